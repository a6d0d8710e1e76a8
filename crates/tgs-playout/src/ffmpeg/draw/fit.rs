//! Fits a text into a box: wraps it, makes it smaller, cuts it. Widths are estimates on the large
//! side; libass wraps what is wider nevertheless.

/// Characters of a text; the rest is cut.
const LONGEST: usize = 300;

/// Sizes that are tried, in parts of the largest one.
const STEPS: [f64; 5] = [1.0, 0.85, 0.72, 0.61, 0.52];

/// A box for text.
#[derive(Debug, Clone, Copy)]
pub(super) struct TextBox {
    /// In pixels.
    pub(super) width: f64,
    /// In pixels.
    pub(super) height: f64,
    /// The largest font size in pixels: the height of a line.
    pub(super) size: f64,
}

/// A text in lines.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FittedText {
    /// The font size in pixels.
    pub(super) size: f64,
    pub(super) lines: Vec<String>,
}

/// Fits `text` into `space`, with the largest size that holds all of it.
pub(super) fn fit(text: &str, space: TextBox) -> FittedText {
    let text = cleaned(text);
    let mut last = FittedText { size: space.size, lines: Vec::new() };
    for step in STEPS {
        let size = space.size * step;
        let lines = wrapped(&text, space.width / size);
        let most = ((space.height / size) as usize).max(1);
        if lines.len() <= most {
            return FittedText { size, lines };
        }
        last = FittedText { size, lines: lines.into_iter().take(most).collect() };
    }
    if let Some(end) = last.lines.last_mut() {
        end.pop();
        let kept = end.trim_end().len();
        end.truncate(kept);
        end.push('…');
    }
    last
}

/// One line without control characters and marks that reorder text, of at most [`LONGEST`]
/// characters.
fn cleaned(text: &str) -> String {
    let reorders = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let plain: String = text
        .chars()
        .filter(|c| !reorders(*c))
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LONGEST * 4)
        .collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}…", line[..cut].trim_end()),
        None => line,
    }
}

/// Breaks `text` into lines of at most `width`, in parts of the font size: at spaces, and anywhere
/// in words that are longer than half a line, as those of scripts without spaces are.
fn wrapped(text: &str, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let (mut line, mut used) = (String::new(), 0.0);
    for word in text.split(' ') {
        let long = width_of(word);
        let space = if line.is_empty() { 0.0 } else { width_of(" ") };
        if used + space + long <= width {
            if space > 0.0 {
                line.push(' ');
            }
            line.push_str(word);
            used += space + long;
            continue;
        }
        let breakable = long > width / 2.0;
        if !line.is_empty() && !breakable {
            lines.push(std::mem::take(&mut line));
            used = 0.0;
        } else if !line.is_empty() {
            line.push(' ');
            used += space;
        }
        for cluster in clusters(word) {
            let wide = width_of(cluster);
            if used + wide > width && !line.is_empty() {
                lines.push(std::mem::take(&mut line).trim_end().to_owned());
                used = 0.0;
            }
            line.push_str(cluster);
            used += wide;
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Splits a word before each character that may begin a line.
fn clusters(word: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut from = 0;
    let mut joined = false;
    for (at, c) in word.char_indices() {
        let starts = !joined && char_width(c) > 0.0 && !CLOSING.contains(c);
        if at > from && starts {
            parts.push(&word[from..at]);
            from = at;
        }
        // Thai vowels that are written before their consonant, and the zero-width joiner.
        joined = matches!(c, '\u{e40}'..='\u{e44}' | '\u{200d}');
    }
    parts.push(&word[from..]);
    parts
}

/// Characters that do not begin a line.
const CLOSING: &str = ".,;:!?…)]}»”’。、，．！？）」』】〉》ー々ぁぃぅぇぉっゃゅょァィゥェォッャュョ\u{e30}\u{e32}\u{e33}\u{e45}\u{e46}";

fn width_of(text: &str) -> f64 {
    text.chars().map(char_width).sum()
}

/// The width of a character in parts of the font size.
fn char_width(c: char) -> f64 {
    match c {
        // Combining marks and invisible characters.
        '\u{300}'..='\u{36f}'
        | '\u{483}'..='\u{489}'
        | '\u{591}'..='\u{5bd}'
        | '\u{5bf}'..='\u{5c7}'
        | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}'
        | '\u{670}'
        | '\u{900}'..='\u{902}'
        | '\u{93c}'
        | '\u{941}'..='\u{948}'
        | '\u{94d}'
        | '\u{e31}'
        | '\u{e34}'..='\u{e3a}'
        | '\u{e47}'..='\u{e4e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{20d0}'..='\u{20ff}'
        | '\u{fe00}'..='\u{fe0f}' => 0.0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{1f000}'..='\u{1faff}'
        | '\u{20000}'..='\u{3ffff}' => 1.05,
        'm' | 'w' | 'M' | 'W' | '—' | '…' | '@' | '%' | 'Ж' | 'ж' | 'Ш' | 'Щ' | 'ш' | 'щ' | 'Ю' | 'ю' => {
            0.9
        }
        'i' | 'j' | 'l' | 'I' | ' ' | '.' | ',' | ':' | '\'' | '|' | '!' => 0.32,
        c if c.is_uppercase() => 0.68,
        _ => 0.6,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPACE: TextBox = TextBox { width: 1000.0, height: 200.0, size: 50.0 };

    #[test]
    fn a_short_text_keeps_its_size_and_a_long_one_shrinks_until_it_is_cut() {
        let short = fit("one  two\nthree", SPACE);
        assert_eq!((short.size, short.lines), (50.0, vec!["one two three".to_owned()]));
        let long = fit(&"many words ".repeat(12), SPACE);
        assert!(long.size < 50.0 || long.lines.len() > 1, "{long:?}");
        assert!(long.lines.len() as f64 * long.size <= 200.0, "{long:?}");
        let cut = fit(&"W".repeat(3000), SPACE);
        assert!(cut.lines.last().unwrap().ends_with('…'), "{cut:?}");
        assert!(cut.lines.len() as f64 * cut.size <= 200.0, "{cut:?}");
        assert!(fit("", SPACE).lines.is_empty());
    }

    #[test]
    fn scripts_without_spaces_break_between_letters_and_not_before_marks() {
        let thai = fit(&"สวัสดีชาวโลก".repeat(12), SPACE);
        assert!(thai.lines.len() > 1);
        for line in &thai.lines {
            let first = line.chars().next().unwrap();
            assert!(char_width(first) > 0.0 && !CLOSING.contains(first), "{line}");
        }
        let chinese = fit(&"你好世界。".repeat(20), SPACE);
        assert!(chinese.lines.iter().all(|line| !line.starts_with('。')), "{chinese:?}");
    }

    proptest! {
        #[test]
        fn any_text_fits(text in "\\PC{0,400}", width in 50.0..2000.0, height in 10.0..400.0, size in 5.0..100.0) {
            let fitted = fit(&text, TextBox { width, height, size });
            prop_assert!(fitted.lines.len() <= (height / fitted.size).max(1.0) as usize);
            prop_assert!(fitted.lines.iter().all(|line| !line.contains('\n')));
        }
    }
}
