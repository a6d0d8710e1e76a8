//! Masks secrets in text of unknown origin: journal lines, output of children. Secrets that the tgs
//! tools know never enter a message ([`crate::secret`]).
//!
//! Detection is by form: the value after the name of a secret setting, the path of an RTMP URL, a
//! password in any URL, an API hash (32 hexadecimal digits), and long random-looking runs of
//! letters and digits, such as session strings. A short secret on its own looks like a word and
//! stays.

use std::borrow::Cow;

use crate::settings::TABLE;

/// The replacement of a secret.
pub const MASKED: &str = "[masked]";

/// The length of an API hash.
const HASH_LENGTH: usize = 32;
/// A session string has at least 351 characters; a part of one is masked too.
const KEY_LENGTH: usize = 40;

/// Returns `text` with each secret replaced by [`MASKED`].
#[must_use]
pub fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let steps: [fn(&str) -> Cow<'_, str>; 3] = [settings_values, addresses, keys];
        let mut line = Cow::Borrowed(line);
        for step in steps {
            line = Cow::Owned(step(&line).into_owned());
        }
        masked.push_str(&line);
    }
    masked
}

/// Masks the values of secret settings in the syntax of `.env`, JSON and `{:?}`.
fn settings_values(line: &str) -> Cow<'_, str> {
    let names = || TABLE.iter().filter(|setting| setting.secret).map(|setting| setting.name);
    let mut masked = String::new();
    let mut rest = line;
    // The first name, and the longer of two at one place: STANDBY_SESSION_STRING contains
    // SESSION_STRING.
    while let Some((at, name)) = names()
        .filter_map(|name| rest.find(name).map(|at| (at, name)))
        .min_by_key(|(at, name)| (*at, usize::MAX - name.len()))
    {
        let (before, after) = rest.split_at(at + name.len());
        masked.push_str(before);
        rest = after;
        let Some(value) = value_at(after) else { continue };
        let length = value_length(&after[value..], name);
        masked.push_str(&after[..value]);
        if length > 0 {
            masked.push_str(MASKED);
        }
        rest = &after[value + length..];
    }
    masked.push_str(rest);
    Cow::Owned(masked)
}

/// Returns where the value begins after a name: directly after `=`, or at a quote after `=` or `:`
/// and blanks.
fn value_at(after: &str) -> Option<usize> {
    let closed = after.trim_start_matches(['"', '\'', ' ']);
    let behind = closed.strip_prefix(['=', ':'])?;
    let value = behind.trim_start_matches(' ');
    let quoted = value.starts_with(['"', '\'']);
    let direct = closed.starts_with('=') && value.len() == behind.len();
    (quoted || direct).then_some(after.len() - value.len())
}

/// Returns the length of the value: to the closing quote, or to the next blank; to the line end for
/// a password, which may contain blanks.
fn value_length(text: &str, name: &str) -> usize {
    let line = text.trim_end().len();
    let Some(quote @ ('"' | '\'')) = text.chars().next() else {
        let blank = text.find(char::is_whitespace).unwrap_or(line);
        return if name.contains("PASSWORD") { line } else { blank };
    };
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && quote == '"' && !escaped;
    }
    line
}

/// Masks login and stream key of RTMP URLs, and other URLs as [`urls`] does.
fn addresses(line: &str) -> Cow<'_, str> {
    each_address(line, |scheme, address, masked| {
        let (host, path) = address.split_at(address.find('/').unwrap_or(address.len()));
        if scheme.to_ascii_lowercase().starts_with("rtmp") {
            masked.push_str(&without_login(host));
            masked.push_str(&without_key(path));
        } else {
            masked.push_str(&without_token(address));
        }
    })
}

/// Masks everything that could grant access in the URLs of `text`: the login before the host, query
/// values, and path parts that look like tokens. The media's name stays.
#[must_use]
pub fn urls(text: &str) -> Cow<'_, str> {
    each_address(text, |_, address, masked| masked.push_str(&without_token(address)))
}

/// Calls `mask` with the scheme, the text after `://` and the output, for each URL in `text`.
fn each_address(text: &str, mask: impl Fn(&str, &str, &mut String)) -> Cow<'_, str> {
    if !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let mut masked = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let scheme = rest[..at].rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        let (before, after) = rest.split_at(at + 3);
        masked.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "\"'<>`“”".contains(c)).unwrap_or(after.len());
        // Trailing punctuation belongs to the sentence.
        let address = after[..end].trim_end_matches([',', '.', ':', ';', ')', '…']);
        mask(scheme, address, &mut masked);
        rest = &after[address.len()..];
    }
    masked.push_str(rest);
    Cow::Owned(masked)
}

/// Masks an address as [`urls`] shows it.
fn without_token(address: &str) -> String {
    let (host, rest) = address.split_at(address.find(['/', '?', '#', '|']).unwrap_or(address.len()));
    let (path, rest) = rest.split_at(rest.find(['?', '#', '|']).unwrap_or(rest.len()));
    let mut shown = without_login(host) + &path_without_token(host, path);
    let mut bare_is_harmless = false;
    // Some players read request headers after `|`.
    for part in rest.split_inclusive(['?', '#', '|', '&', ';']) {
        let (value, end) = match part.strip_suffix(['?', '#', '|', '&', ';']) {
            Some(value) => (value, &part[value.len()..]),
            None => (part, ""),
        };
        shown += &parameter(value, bare_is_harmless);
        shown += end;
        bare_is_harmless |= end == "#";
    }
    shown
}

/// Masks `name=value` of a query or fragment. `bare_is_harmless`: a short text without `=` is an
/// anchor in a page.
fn parameter(text: &str, bare_is_harmless: bool) -> Cow<'_, str> {
    let Some((name, value)) = text.split_once('=') else {
        let shown = text.is_empty() || (bare_is_harmless && text.len() <= 20);
        return if shown { text.into() } else { MASKED.into() };
    };
    let place = ["id", "index", "p", "page", "start", "t"].contains(&name)
        && value.len() <= 6
        && value.bytes().all(|b| b.is_ascii_digit());
    // The id of a YouTube video.
    let video = name == "v"
        && value.len() == 11
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if place || video || value.is_empty() {
        return text.into();
    }
    let name = if name.len() > 30 { MASKED } else { name };
    format!("{name}={MASKED}").into()
}

/// Masks path parts that look like tokens, and the login of `/live/USER/PASSWORD/7.ts` and
/// `/USER/PASSWORD/70`, the form of IPTV providers.
fn path_without_token(host: &str, path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    let numbered = parts.last().is_some_and(|last| {
        let stem = last.split('.').next().unwrap_or_default();
        stem.len() > 1 && stem.bytes().all(|b| b.is_ascii_digit())
    });
    let login = match parts.as_slice() {
        ["", "live" | "movie" | "series" | "timeshift", _, _, _, ..] => 2..4,
        ["", _, _, _] if numbered && host.contains(':') => 1..3,
        _ => 0..0,
    };
    let hex = |part: &str| part.len() >= HASH_LENGTH && part.bytes().all(|b| b.is_ascii_hexdigit());
    let shown = parts.iter().enumerate().map(|(at, part)| {
        let (part, more) = part.split_at(part.find(';').unwrap_or(part.len()));
        let token = part.split('.').any(is_random) || (hex(part) && at + 1 < parts.len());
        let part = if token || login.contains(&at) { MASKED } else { part };
        format!("{part}{}", if more.is_empty() { "" } else { ";[masked]" })
    });
    shown.collect::<Vec<_>>().join("/")
}

/// Masks the login before `host`.
fn without_login(host: &str) -> String {
    match host.rsplit_once('@') {
        Some((_, host)) => format!("{MASKED}@{host}"),
        None => host.to_owned(),
    }
}

/// Masks `/app/KEY` as `/app/[masked]`; a path of one part is the key.
fn without_key(path: &str) -> String {
    let inner = path.strip_prefix('/').unwrap_or(path);
    match inner.split_once('/') {
        _ if inner.is_empty() => path.to_owned(),
        Some((app, key)) if !key.is_empty() => format!("/{app}/{MASKED}"),
        _ => format!("/{MASKED}"),
    }
}

/// Masks API hashes and runs that look like base64 of random bytes.
fn keys(line: &str) -> Cow<'_, str> {
    let in_run = |c: char| c.is_ascii_alphanumeric() || "+/_-=".contains(c);
    let mut masked = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(in_run) {
        let end = rest[start..].find(|c| !in_run(c)).map_or(rest.len(), |length| start + length);
        masked.push_str(&rest[..start]);
        let run = &rest[start..end];
        if is_random(run) {
            masked.push_str(MASKED);
        } else {
            masked.push_str(&without_hashes(run));
        }
        rest = &rest[end..];
    }
    masked.push_str(rest);
    Cow::Owned(masked)
}

/// Masks the API hashes in a run.
fn without_hashes(run: &str) -> String {
    let parts = run.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    parts
        .map(|part| {
            let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            let hash = word.len() == HASH_LENGTH && word.chars().all(|c| c.is_ascii_hexdigit());
            if hash { format!("{MASKED}{}", &part[word.len()..]) } else { part.to_owned() }
        })
        .collect()
}

/// Whether a run is long and changes between upper case, lower case and digits almost as often as
/// random base64 (two times in three). Words, paths and CamelCase change at most once in five
/// characters, or have separators; hexadecimal digests have no upper case.
fn is_random(run: &str) -> bool {
    if run.len() < KEY_LENGTH {
        return false;
    }
    let kind = |c: char| match c {
        'A'..='Z' => 0,
        'a'..='z' => 1,
        '0'..='9' => 2,
        _ => 3,
    };
    let kinds: Vec<_> = run.chars().map(kind).collect();
    let changes = kinds.windows(2).filter(|pair| pair[0] != pair[1] && !pair.contains(&3)).count();
    let count = |kind: i32| kinds.iter().filter(|k| **k == kind).count();
    // In base64 one character in six is a digit, one in thirty is neither letter nor digit.
    let mixed = count(0) > 0 && count(1) > 0 && count(2) * 20 >= run.len() && count(3) * 8 <= run.len();
    mixed && changes * 5 >= run.len() * 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_are_masked() {
        let session = "1ApWapzMBu5Gk3mQz0xT9cVJb7yLr2HdWn8Ef4sKo1Ui6Pa";
        let cases = [
            ("SESSION_STRING=1ApWapz x", "SESSION_STRING=[masked] x"),
            (
                "STANDBY_SESSION_STRING='a b' SESSION_STRING=b",
                "STANDBY_SESSION_STRING=[masked] SESSION_STRING=[masked]",
            ),
            ("read API_HASH = \"a\\\"b\", next", "read API_HASH = [masked], next"),
            ("{\"API_HASH\": \"0a\", \"b\": 1}", "{\"API_HASH\": [masked], \"b\": 1}"),
            ("TWO_FA_PASSWORD=correct horse\n", "TWO_FA_PASSWORD=[masked]\n"),
            ("OUTPUT_URL=rtmp://h/a/k", "OUTPUT_URL=[masked]"),
            ("SESSION_STRING='never closed", "SESSION_STRING=[masked]"),
            (
                "to rtmps://dc4.example.org:443/s/12:Key_-x, again",
                "to rtmps://dc4.example.org:443/s/[masked], again",
            ),
            ("'rtmp://host/key' failed", "'rtmp://host/[masked]' failed"),
            ("tcurl=rtmp://host/app/", "tcurl=rtmp://host/[masked]"),
            ("proxy http://me:pass@host:3128/x", "proxy http://[masked]@host:3128/x"),
            ("hash 0123456789abcdef0123456789ABCDEF.", "hash [masked]."),
        ];
        for (text, expected) in cases {
            assert_eq!(mask(text), expected);
        }
        assert_eq!(mask(&format!("got \"{session}\"\n{session}")), "got \"[masked]\"\n[masked]");
    }

    #[test]
    fn credentials_of_urls_are_masked_and_names_are_kept() {
        let cases = [
            ("http://h/a.mp4", "http://h/a.mp4"),
            (
                "skipped http://h/a.mp4?token=x&e=17, then",
                "skipped http://h/a.mp4?token=[masked]&e=[masked], then",
            ),
            ("http://h?token=x", "http://h?token=[masked]"),
            ("http://h/a?SECRET: no", "http://h/a?[masked]: no"),
            ("<https://me:pw@h:8443/a>: x", "<https://[masked]@h:8443/a>: x"),
            ("rtsp://token@cam/1", "rtsp://[masked]@cam/1"),
            ("srt://h:9000?passphrase=x&mode=caller", "srt://h:9000?passphrase=[masked]&mode=[masked]"),
            (
                "https://www.youtube.com/watch?v=dQw4w9WgXcQ&t=42",
                "https://www.youtube.com/watch?v=dQw4w9WgXcQ&t=42",
            ),
            ("https://h/a?v=0&id=7&id=secret", "https://h/a?v=[masked]&id=7&id=[masked]"),
            ("https://h/a#access_token=x", "https://h/a#access_token=[masked]"),
            ("https://h/page#top", "https://h/page#top"),
            ("http://h/a.ts|Cookie=sid=1&User-Agent=x", "http://h/a.ts|Cookie=[masked]&User-Agent=[masked]"),
            ("http://h/a;jsessionid=1/b.mp4", "http://h/a;[masked]/b.mp4"),
            ("http://h:8080/live/me/pw/12.ts", "http://h:8080/live/[masked]/[masked]/12.ts"),
            ("http://h:8080/me/pw/1234", "http://h:8080/[masked]/[masked]/1234"),
            ("http://h/films/2020/12.ts", "http://h/films/2020/12.ts"),
            ("http://h/hls/0123456789abcdef0123456789abcdef/i.m3u8", "http://h/hls/[masked]/i.m3u8"),
            ("two: http://a/?k=1 http://b/?k=2", "two: http://a/?k=[masked] http://b/?k=[masked]"),
            ("rtmp://h/app/key", "rtmp://h/app/key"),
            ("“http://h/?k=1” ends", "“http://h/?k=[masked]” ends"),
            ("://", "://"),
        ];
        for (text, expected) in cases {
            assert_eq!(urls(text), expected);
        }
    }

    #[test]
    fn normal_text_stays() {
        for text in [
            "",
            "\n\n",
            "Degraded mode; SESSION_STRING invalid; run: tgs-session --write-env",
            "SESSION_STRING= is empty; API_HASH: missing; line 3: OUTPUT_URL is no URL",
            "ExecStart=/opt/tg_video_streamer/current/bin/tgs-stream --env-file /opt/tg_video_streamer/current/.env",
            "metrics, health and status at http://127.0.0.1:9090/metrics; see https://my.telegram.org",
            "rtmps://dc4-1.rtmp.t.me:443 refused; rtmp:// is missing",
            "playing /srv/media/Season-01/The_Long_Night_Of_The_Living_Documentation_S01E07_1080p.x264.mkv",
            "TheQuickBrownFoxJumpsOverTheLazyDogAndRunsAwayFromTheOtherOne1",
            "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "tg_video_streamer.service: Main process exited, code=exited, status=78/CONFIG",
            "----------------------------------------------------------------------------",
            "2026-02-28T23:59:59.007Z INFO  on air: ü",
        ] {
            assert_eq!(mask(text), text);
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_lines_stay_lines(text in "(.|\n|API_HASH|=|\"|'|rtmp://|/|@|:|[a-f0-9]{30,34}){0,60}") {
            let shown = mask(&text);
            prop_assert_eq!(shown.matches('\n').count(), text.matches('\n').count());
        }

        #[test]
        fn no_session_string_stays(key in prop::collection::vec(any::<u8>(), 32..300), before in "[ a-z:\"'(]{0,12}") {
            let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            // Bytes as base64 writes them: six bits a character, here of evenly spread ones.
            let string: String = key.iter().map(|b| char::from(alphabet[usize::from(b & 63)])).collect();
            prop_assume!(is_random(&string) || string.len() >= 120);
            let shown = mask(&format!("{before} {string} and more"));
            prop_assert!(!shown.contains(&string[..16]), "{}", shown);
        }

        #[test]
        fn no_value_of_a_secret_setting_stays(value in "[A-Za-z0-9!#%&*+,./:;<>?@^_|~-]{6,60}", quote in "['\"]?") {
            for name in ["API_HASH", "SESSION_STRING", "STANDBY_SESSION_STRING", "TWO_FA_PASSWORD", "OUTPUT_URL"] {
                let shown = mask(&format!("x {name}={quote}{value}{quote} y"));
                prop_assert!(!shown.contains(&value), "{}", shown);
            }
        }

        #[test]
        fn no_token_of_a_url_stays(token in "[A-Za-z0-9._~+-]{8,60}", name in "(token|key|sig|e|st|auth|)", port in "(:80)?") {
            let equals = if name.is_empty() { "" } else { "=" };
            for url in [
                format!("http://h{port}/a.mp4?{name}{equals}{token}"),
                format!("http://h{port}/a.mp4?x=1&{name}{equals}{token}&y=2"),
                format!("http://{token}@h{port}/a.mp4"),
                format!("http://me:{token}@h{port}/a.mp4"),
            ] {
                for shown in [urls(&format!("skipped {url} again")).into_owned(), mask(&url)] {
                    prop_assert!(!shown.contains(&token), "{}", shown);
                    prop_assert!(shown.contains("a.mp4"), "{}", shown);
                }
            }
        }

        #[test]
        fn no_stream_key_stays(key in "[A-Za-z0-9:_?=&-]{8,60}", app in "[a-z]{1,8}") {
            let shown = mask(&format!("failed to publish to rtmps://host.example:443/{app}/{key}: refused"));
            prop_assert!(!shown.contains(&key), "{}", shown);
        }

        #[test]
        fn words_and_paths_stay(text in "([A-Z]?[a-z]{1,9}[0-9]{0,2}[ /_.-]){1,30}") {
            prop_assert_eq!(mask(&text), text);
        }
    }
}
