//! Redacts all output: secrets of the settings, tokens in URLs, and terminal control characters.
//!
//! The tool's own texts contain no secrets; other programs' messages and foreign names may. Knows
//! the actual secrets, whereas [`tgs_core::mask`] recognises secrets by their form.

use std::{collections::BTreeSet, fmt::Write as _};

use tgs_core::{
    env_file::EnvFile,
    mask,
    proxy::UpstreamProxy,
    settings::{Settings, TABLE},
};

use crate::finding::Finding;

/// The replacement for a secret.
const HIDDEN: &str = mask::MASKED;

/// Minimum length of a secret. A shorter one occurs in ordinary words, and its masking reveals it.
const SHORTEST: usize = 8;

/// Minimum length of an alphanumeric run that counts as a key; a session string has 350 characters.
const LONGEST: usize = 80;

const QUOTES: [char; 2] = ['\'', '"'];

/// Query parameters that identify a page and grant no access.
const HARMLESS: [&str; 3] = ["v", "list", "t"];

/// The secrets to mask, longest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Redactor(Vec<String>);

impl Redactor {
    /// Collects the secrets of the file, including those of invalid lines, and of the settings.
    pub(crate) fn new(text: &str, file: &EnvFile, settings: Option<&Settings>) -> Self {
        // SESSION_STRING_FILE has the path of a file.
        let secret = |name: &str| {
            !name.ends_with("_FILE")
                && TABLE.iter().any(|setting| setting.secret && name.contains(setting.name))
        };
        let mut found: BTreeSet<String> = BTreeSet::new();
        let mut shown: Vec<String> = Vec::new();
        found
            .extend(file.entries.iter().filter(|entry| secret(&entry.name)).map(|entry| entry.value.clone()));
        for line in text.lines() {
            // Includes commented-out lines: an old session may still be valid.
            if let Some((name, value)) = line.split_once('=')
                && secret(name)
            {
                let value = value.trim();
                found.extend(unquoted(value).map(str::to_owned));
                found.extend(value.split(['\'', '"', ' ', '\t', '#']).map(str::to_owned));
            }
        }
        if let Some(settings) = settings {
            let telegram = &settings.telegram;
            let all = [
                &telegram.api_hash,
                &telegram.session,
                &telegram.standby,
                &telegram.password,
                &settings.output_url,
            ];
            found.extend(all.into_iter().flatten().map(|secret| secret.expose().clone()));
            found.extend(settings.also_outputs.iter().map(|output| output.url.expose().clone()));
            found.extend(telegram.phone.clone());
            let of_outputs = || settings.also_outputs.iter().flat_map(|output| &output.proxies);
            let proxies = || {
                telegram.proxies.iter().chain(settings.output_proxies.iter().flatten()).chain(of_outputs())
            };
            found.extend(proxies().flat_map(UpstreamProxy::secrets).map(str::to_owned));
            // Scheme, host and port of a proxy are no secret, and name it in findings.
            shown.extend(proxies().map(ToString::to_string));
        }
        // The stream key, the last path segment of a URL.
        let keys: Vec<_> = found.iter().filter(|text| text.contains("://")).cloned().collect();
        found.extend(keys.iter().filter_map(|url| Some(url.rsplit_once('/')?.1.to_owned())));
        found.retain(|secret| !shown.iter().any(|text| text.contains(secret)));
        let mut all: Vec<_> = found.into_iter().filter(|secret| secret.len() >= SHORTEST).collect();
        all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(all)
    }

    /// Redacts a text.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut shown = self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN));
        if shown.contains("://") {
            shown = shown.split(' ').map(url).collect::<Vec<_>>().join(" ");
        }
        plain(&keys(&shown))
    }

    /// Redacts a finding.
    pub(crate) fn finding(&self, finding: Finding) -> Finding {
        let remedy = finding.remedy.map(|remedy| self.text(&remedy));
        Finding { text: self.text(&finding.text), remedy, ..finding }
    }
}

/// The forms that `value` may take in its file: unchanged, or without one or all quotes at either
/// end.
fn unquoted(value: &str) -> impl Iterator<Item = &str> {
    let begun = [value, value.strip_prefix(QUOTES).unwrap_or(value), value.trim_start_matches(QUOTES)];
    begun.into_iter().flat_map(|it| [it, it.strip_suffix(QUOTES).unwrap_or(it), it.trim_end_matches(QUOTES)])
}

/// Masks credentials and tokens of a URL in `word`, and drops its fragment.
fn url(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
    let end = rest.find(['>', '"', '\'', ')']).unwrap_or(rest.len());
    let (rest, tail) = rest.split_at(end);
    let (rest, _) = rest.split_once('#').unwrap_or((rest, ""));
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let (authority, below) = path.split_at(path.find('/').unwrap_or(path.len()));
    let host =
        authority.rsplit_once('@').map_or(authority.to_owned(), |(_, host)| format!("{HIDDEN}@{host}"));
    let mut shown = format!("{scheme}://{host}{below}");
    if let Some(query) = query {
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) if !HARMLESS.contains(&name) => format!("{name}={HIDDEN}"),
            Some(_) => pair.to_owned(),
            None => HIDDEN.to_owned(),
        });
        let _ = write!(shown, "?{}", pairs.collect::<Vec<_>>().join("&"));
    }
    shown + tail
}

/// Masks everything that looks like a session string or a hash, in any setting.
fn keys(text: &str) -> String {
    let of_key = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let mut shown = String::with_capacity(text.len());
    for piece in text.split_inclusive(|c| !of_key(c)) {
        let word = piece.trim_end_matches(|c| !of_key(c));
        let hash = word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        if hash || word.len() >= LONGEST {
            shown.extend([HIDDEN, &piece[word.len()..]]);
        } else {
            shown.push_str(piece);
        }
    }
    shown
}

/// One line with control characters escaped.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => plain.push(' '),
            c if c.is_control() => plain.extend(c.escape_default()),
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redactor(text: &str) -> Redactor {
        Redactor::new(text, &tgs_core::env_file::parse(text.as_bytes()), None)
    }

    #[test]
    fn output_of_other_programs_is_redacted() {
        let it = redactor(
            "API_HASH=abcdefgh\nOUTPUT_URL=rtmp://h/app/thekey42\n#SESSION_STRING=1oldstring\nTWO_FA_PASSWORD=live",
        );
        for (said, shown) in [
            ("bad abcdefgh in rtmp://h/app/thekey42", "bad [masked] in [masked]"),
            ("key thekey42, 1oldstring, live", "key [masked], [masked], live"),
            ("a 0123456789abcdef0123456789abcdef.", "a [masked]."),
            (&format!("CHAT_ID is {}!", "xY-_".repeat(30)), "CHAT_ID is [masked]!"),
            (
                "<https://me:pw@h/x?token=1&v=abc#f>: gone",
                "<https://[masked]@h/x?token=[masked]&v=abc>: gone",
            ),
            ("see https://my.telegram.org", "see https://my.telegram.org"),
            ("a\nb\x1b[2J", "a b\\u{1b}[2J"),
        ] {
            assert_eq!(it.text(said), shown);
        }
    }

    #[test]
    fn a_secret_that_begins_with_a_quote_is_hidden_with_it() {
        for (line, secret) in
            [("API_HASH='\"short!!", "\"short!!"), ("TWO_FA_PASSWORD=\"short!!'\"", "short!!'")]
        {
            assert_eq!(redactor(line).text(&format!("a {secret} b")), "a [masked] b", "{line}");
        }
    }

    #[test]
    fn a_proxy_is_named_without_its_password() {
        let text = "TELEGRAM_PROXY='socks5://joeuser:s3cr3t-pw@h.example:1080 http://h2.example:3128'";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let env = |name: &str| (name == "HOME").then(|| "/home/me".into());
        let (settings, problems) = Settings::examine(Some(file.path()), &env, &[]);
        assert!(problems.0.is_empty(), "{problems}");
        let it = Redactor::new(text, &tgs_core::env_file::parse(text.as_bytes()), settings.as_ref());
        let named = "socks5://h.example:1080 leads nowhere, http://h2.example:3128 too";
        assert_eq!(it.text(named), named);
        for secret in ["s3cr3t-pw", "joeuser:s3cr3t-pw", "socks5://joeuser:s3cr3t-pw@h.example:1080"] {
            let shown = it.text(&format!("a {secret} b"));
            assert!(!shown.contains("s3cr3t"), "{shown}");
        }
    }

    proptest! {
        #[test]
        fn no_secret_comes_through(secret in "[!-~]{8,40}", line in 0..3_usize) {
            let line = [format!("SESSION_STRING={secret}"), format!("export API_HASH='{secret}"), format!("#TWO_FA_PASSWORD={secret}")][line].clone();
            let shown = redactor(&line).text(&format!("before {secret} after"));
            prop_assert!(!shown.contains(&secret), "{shown}");
        }
    }
}
