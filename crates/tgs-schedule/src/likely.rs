//! The known word that a misspelt one most likely means.

/// The longest part of a word from the file that a message repeats.
const LONGEST_WORD: usize = 40;

/// The word of `known` that differs from `word` in one or two letters, transpositions counting
/// once.
pub(crate) fn likely<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.trim().to_lowercase();
    let allowed = if word.chars().count() < 5 { 1 } else { 2 };
    // Bounded: the distance takes the product of both lengths.
    if word.chars().count() > LONGEST_WORD {
        return None;
    }
    let close = known.into_iter().map(|known| (strsim::osa_distance(&word, &known.to_lowercase()), known));
    close
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Quotes a word of the file for a message, or names it `otherwise`: what could be an address with
/// a token is not repeated.
pub(crate) fn shown(word: &str, otherwise: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || " ,.:_+-".contains(c);
    if word.chars().count() <= LONGEST_WORD && word.chars().all(plain) {
        format!("{word:?}")
    } else {
        otherwise.to_owned()
    }
}

/// `a, b or c`.
pub(crate) fn choice<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.into_iter().collect();
    match &words[..] {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let known = ["hard", "soft", "restart"];
        for (word, expected) in [
            ("hrad", Some("hard")),
            ("Hard", Some("hard")),
            ("restrat", Some("restart")),
            ("hardened", None),
            ("", None),
        ] {
            assert_eq!(likely(word, known), expected, "{word}");
        }
        assert_eq!(likely(&"x".repeat(1 << 20), known), None);
        assert_eq!(shown("hrad", "a word"), "\"hrad\"");
        assert_eq!(shown("http://h/?token=1", "a word"), "a word");
        assert_eq!(choice(["a"]), "a");
        assert_eq!(choice(["a", "b", "c"]), "a, b or c");
    }
}
