//! Classifies yt-dlp's errors and words them for the operator.
//!
//! yt-dlp has no error codes, and much of its text is the site's. The patterns match yt-dlp 2026.10
//! and YouTube; other texts are passed on.

use tgs_playout::item::{FailureReason, ItemFailure};

/// A class of errors.
struct RefusalClass {
    /// One of these in the lower-case error is enough.
    patterns: &'static [&'static str],
    reason: FailureReason,
    message: &'static str,
    /// Whether yt-dlp's own text is appended.
    quoted: bool,
}

const fn class(
    patterns: &'static [&'static str],
    reason: FailureReason,
    message: &'static str,
    quoted: bool,
) -> RefusalClass {
    RefusalClass { patterns, reason, message, quoted }
}

/// The first match counts: specific classes precede general ones.
const CLASSES: [RefusalClass; 15] = [
    class(
        &["not a bot", "captcha", "anti-bot", "likely being blocked"],
        FailureReason::BotCheck,
        "the site suspects a bot: pass a browser's cookies (--cookies FILE in YTDLP_ARGS) \
         or use another address",
        false,
    ),
    class(
        &["http error 429", "too many requests", "rate-limit", "rate limit"],
        FailureReason::Network,
        "the site limits requests from this address (HTTP 429)",
        false,
    ),
    class(
        &[
            "members-only",
            "members only",
            "channel's members",
            "join this channel",
            "premium",
            "subscribers",
            "purchase",
        ],
        FailureReason::Forbidden,
        "it is for paying members: pass a member's cookies (--cookies FILE in YTDLP_ARGS)",
        false,
    ),
    class(
        &["private video", "is private", "playlist is private", "private playlist", "made it private"],
        FailureReason::Forbidden,
        "it is private: only accounts invited by its owner may see it",
        false,
    ),
    class(
        &["confirm your age", "age-restricted", "age restricted", "inappropriate for some users"],
        FailureReason::Forbidden,
        "it is age-restricted: pass the cookies of an age-verified account (--cookies FILE in YTDLP_ARGS)",
        false,
    ),
    class(
        &["your country", "your location", "your region", "geo restrict", "geo-restrict", "georestrict"],
        FailureReason::GeoBlocked,
        "it is not available in this server's country: use a proxy (--proxy URL in YTDLP_ARGS)",
        false,
    ),
    class(
        &["sign in", "log in", "login", "registered users", "--cookies", "--username", "account credentials"],
        FailureReason::Forbidden,
        "the site requires a login: pass a browser's cookies (--cookies FILE in YTDLP_ARGS)",
        false,
    ),
    class(&["drm"], FailureReason::Unplayable, "it is protected by DRM", false),
    class(
        &[
            "will begin",
            "premieres in",
            "not currently live",
            "is offline",
            "not live",
            "has not started",
            "event has ended",
        ],
        FailureReason::Unplayable,
        "it is not live now",
        true,
    ),
    class(&NO_FORMAT, FailureReason::Unplayable, "yt-dlp finds nothing on the page that can be played", true),
    class(
        &["javascript runtime", "js runtime"],
        FailureReason::NoJsRuntime,
        "yt-dlp needs a JavaScript runtime for this site: install deno, or name another one (--js-runtimes node in YTDLP_ARGS)",
        false,
    ),
    class(
        &[
            "removed",
            "deleted",
            "no longer available",
            "terminated",
            "does not exist",
            "doesn't exist",
            "video unavailable",
            "isn't available",
            "is not available",
            "is unavailable",
            "http error 404",
            "http error 410",
        ],
        FailureReason::Missing,
        "it was removed or never existed",
        true,
    ),
    class(&["http error 401", "http error 403"], FailureReason::Forbidden, "the server refuses it", true),
    class(&["unsupported url"], FailureReason::Unplayable, "yt-dlp finds nothing to play on the page", false),
    class(
        &[
            "unable to download",
            "unable to connect",
            "timed out",
            "connection",
            "getaddrinfo",
            "failed to resolve",
            "name resolution",
            "network is unreachable",
            "certificate",
            "[ssl",
            "http error 5",
            "transporterror",
        ],
        FailureReason::Network,
        "the network or the site failed",
        true,
    ),
];

/// Without a format, an earlier warning names the cause.
const NO_FORMAT: [&str; 3] =
    ["requested format is not available", "no video formats found", "only images are available"];
const NO_RUNTIME: [&str; 2] = ["no supported javascript runtime", "challenge solving failed"];

/// The failure in yt-dlp's `messages`; `ended` describes its exit, for an empty output.
pub(super) fn explain(messages: &str, ended: &str) -> ItemFailure {
    let Some(error) = last_error(messages) else {
        let last = messages.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it printed no error");
        return ItemFailure::new(FailureReason::Tool, format!("yt-dlp {ended}: {}", shortened(last)));
    };
    if let Some(usage) = error.strip_prefix(USAGE) {
        return ItemFailure::new(
            FailureReason::Tool,
            format!("yt-dlp does not accept YTDLP_ARGS ({})", shortened(usage)),
        );
    }
    let has = |text: &str, patterns: &[&str]| {
        let text = without_urls(text).to_lowercase().replace('\u{2019}', "'");
        patterns.iter().any(|sign| text.contains(sign))
    };
    let error = without_prefix(error);
    if has(error, &NO_FORMAT) && has(messages, &NO_RUNTIME) {
        return explain("ERROR: no JavaScript runtime", ended);
    }
    let said = shortened(summary(error));
    match CLASSES.iter().find(|class| has(error, class.patterns)) {
        Some(class) if class.quoted => ItemFailure::new(class.reason, format!("{} ({said})", class.message)),
        Some(class) => ItemFailure::new(class.reason, class.message),
        None if error.contains("please report this issue") => ItemFailure::new(
            FailureReason::Unplayable,
            format!("yt-dlp cannot parse the page ({said}): a newer version may"),
        ),
        None => ItemFailure::new(FailureReason::Unplayable, format!("yt-dlp says: {said}")),
    }
}

const ERROR: &str = "ERROR: ";
const USAGE: &str = "yt-dlp: error: ";

/// The last error with its following lines.
fn last_error(messages: &str) -> Option<&str> {
    let start = messages.rfind(ERROR).max(messages.rfind(USAGE))?;
    let text = &messages[start..];
    Some(text.split("\nWARNING:").next().unwrap_or(text).trim())
}

/// Strips extractor and video id: `ERROR: [youtube] dQw4w9WgXcQ: Private video`.
fn without_prefix(error: &str) -> &str {
    let text = error.strip_prefix(ERROR).unwrap_or(error);
    let Some((_, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once("] ")) else { return text };
    match rest.split_once(": ") {
        Some((id, said)) if !id.contains(' ') => said,
        _ => rest,
    }
}

/// The first line, without Python's cause and advice for terminal users.
fn summary(error: &str) -> &str {
    let line = error.lines().next().unwrap_or_default();
    let ends = ["; please report this issue", " (caused by", " Use --", ". See  ", "  https://"];
    ends.iter().fold(line, |text, end| text.split(end).next().unwrap_or(text))
}

/// One line of at most 200 characters.
fn shortened(text: &str) -> String {
    without_urls(text).chars().filter(|c| !c.is_control()).take(200).collect()
}

/// URLs may hold access tokens, and any pattern.
fn without_urls(text: &str) -> String {
    let words = text.split_whitespace().map(|word| if word.contains("://") { "(URL)" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Literal texts of yt-dlp, and their wording.
    #[test]
    fn errors_are_classified() {
        let long = "Use --cookies-from-browser or --cookies for the authentication. See  https://github.com/yt-dlp/yt-dlp/wiki/FAQ#how-do-i-pass-cookies-to-yt-dlp  for how to manually pass cookies";
        let cases = [
            (format!("ERROR: [youtube] x: Sign in to confirm you\u{2019}re not a bot. {long}"), FailureReason::BotCheck, "the site suspects a bot"),
            ("ERROR: [youtube] x: All player responses are invalid. Your IP is likely being blocked by Youtube".into(), FailureReason::BotCheck, "the site suspects a bot"),
            (format!("ERROR: [youtube] x: Sign in to confirm your age. This video may be inappropriate for some users. {long}"), FailureReason::Forbidden, "it is age-restricted"),
            (format!("ERROR: [youtube] x: Private video. Sign in if you've been granted access to this video. {long}"), FailureReason::Forbidden, "it is private"),
            ("ERROR: [youtube] x: Join this channel to get access to members-only content like this video, and other exclusive perks.".into(), FailureReason::Forbidden, "it is for paying members"),
            (format!("ERROR: [vimeo] 1: This video is only available for registered users. {long}"), FailureReason::Forbidden, "the site requires a login"),
            ("ERROR: [youtube] x: Video unavailable. This video has been removed by the uploader".into(), FailureReason::Missing, "it was removed or never existed (Video unavailable. This video has been removed by the uploader)"),
            ("ERROR: [youtube] x: Video unavailable. This video is no longer available because the YouTube account associated with this video has been terminated.".into(), FailureReason::Missing, "it was removed"),
            ("ERROR: [youtube] x: Video unavailable".into(), FailureReason::Missing, "it was removed or never existed (Video unavailable)"),
            ("ERROR: [youtube:tab] PLx: YouTube said: The playlist does not exist.".into(), FailureReason::Missing, "it was removed"),
            ("ERROR: [youtube] x: The uploader has not made this video available in your country\nThis video is available in Japan.\nYou might want to use a VPN or a proxy server (with --proxy) to workaround.".into(), FailureReason::GeoBlocked, "it is not available in this server's country"),
            ("ERROR: [svt] x: This video is not available from your location due to geo restriction".into(), FailureReason::GeoBlocked, "it is not available"),
            ("WARNING: [youtube] No supported JavaScript runtime could be found. Only deno is enabled by default; to use another runtime add  --js-runtimes RUNTIME[:PATH]  to your command/config.\nWARNING: Only images are available for download. use --list-formats to see them\nERROR: [youtube] x: Requested format is not available. Use --list-formats for a list of available formats".into(), FailureReason::NoJsRuntime, "yt-dlp needs a JavaScript runtime"),
            ("WARNING: [youtube] x: n challenge solving failed: Some formats may be missing.\nERROR: [youtube] x: Requested format is not available. Use --list-formats for a list of available formats".into(), FailureReason::NoJsRuntime, "yt-dlp needs a JavaScript runtime"),
            ("WARNING: [youtube] No supported JavaScript runtime could be found.\nERROR: [youtube] x: Video unavailable".into(), FailureReason::Missing, "it was removed"),
            ("ERROR: [a] x: Requested format is not available. Use --list-formats for a list of available formats".into(), FailureReason::Unplayable, "yt-dlp finds nothing on the page that can be played (Requested format is not available.)"),
            ("ERROR: [youtube] x: This content isn't available, try again later. The current session has been rate-limited by YouTube for up to an hour.".into(), FailureReason::Network, "the site limits requests"),
            ("ERROR: [x] y: Unable to download JSON metadata: HTTP Error 429: Too Many Requests (caused by <HTTPError 429: Too Many Requests>)".into(), FailureReason::Network, "the site limits requests"),
            ("ERROR: [generic] Unable to download webpage: HTTP Error 403: Forbidden (caused by <HTTPError 403: Forbidden>)".into(), FailureReason::Forbidden, "the server refuses it (Unable to download webpage: HTTP Error 403: Forbidden)"),
            ("ERROR: [generic] x: Unable to download webpage: [Errno -2] Name or service not known (caused by TransportError('[Errno -2] Name or service not known'))".into(), FailureReason::Network, "the network or the site failed (Unable to download webpage: [Errno -2] Name or service not known)"),
            ("ERROR: Unsupported URL: http://h/premium/login?token=x".into(), FailureReason::Unplayable, "yt-dlp finds nothing to play on the page"),
            ("ERROR: [youtube] x: This live event will begin in 3 hours.".into(), FailureReason::Unplayable, "it is not live now (This live event will begin in 3 hours.)"),
            ("ERROR: [x] y: The channel is not currently live".into(), FailureReason::Unplayable, "it is not live now"),
            ("ERROR: [generic] drm-captcha: Unable to download webpage: timed out".into(), FailureReason::Network, "the network or the site failed"),
            ("ERROR: [DRM] The requested site is known to use DRM protection. It will NOT be supported.".into(), FailureReason::Unplayable, "it is protected by DRM"),
            ("ERROR: [x] y: Unable to extract title; please report this issue on  https://github.com/yt-dlp/yt-dlp/issues?q= , filling out the appropriate issue template.".into(), FailureReason::Unplayable, "yt-dlp cannot parse the page (Unable to extract title)"),
            ("\nUsage: yt-dlp [OPTIONS] URL [URL...]\n\nyt-dlp: error: no such option: --nope\n".into(), FailureReason::Tool, "yt-dlp does not accept YTDLP_ARGS (no such option: --nope)"),
            ("Traceback (most recent call last):\n  File \"x\"\nValueError: Invalid IPv6 URL\n".into(), FailureReason::Tool, "yt-dlp exited with 1: ValueError: Invalid IPv6 URL"),
            (String::new(), FailureReason::Tool, "yt-dlp exited with 1: it printed no error"),
        ];
        for (messages, reason, words) in cases {
            let got = explain(&messages, "exited with 1");
            assert_eq!(got.reason, reason, "{messages}: {got}");
            assert!(got.detail.starts_with(words), "{messages}: {got}");
        }
    }

    #[test]
    fn urls_are_removed() {
        let got = explain("ERROR: [x] y: Bad thing at http://h/?token=secret happened", "");
        assert_eq!(got.detail, "yt-dlp says: Bad thing at (URL) happened");
    }

    proptest! {
        #[test]
        fn any_message_has_a_bounded_explanation(messages in "(ERROR: |\\[|\\] |: |\n|WARNING:|\\PC{0,8}){0,12}") {
            prop_assert!(explain(&messages, "exited with 1").detail.chars().count() < 400);
        }
    }
}
