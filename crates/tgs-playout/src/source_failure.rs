//! Why ffmpeg or ffprobe could not open or read a source, from their messages.

use std::fs;

use crate::item::{FailureReason, ItemFailure, MediaSource};

/// Explains from the messages why ffmpeg or ffprobe could not open or read `source`.
pub(crate) fn explain(messages: &str, source: &MediaSource) -> ItemFailure {
    if let Some(path) = source.url.strip_prefix("file:")
        && fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() == 0)
    {
        return ItemFailure::new(FailureReason::Unplayable, "the file is empty");
    }
    let has = |words: &[&str]| words.iter().any(|word| messages.contains(word));
    let file = source.is_file();
    let (reason, detail) = if has(&["Unable to open key file", "Unable to read key file"]) {
        (FailureReason::Forbidden, "it is encrypted, and its key cannot be fetched")
    } else if has(&["No such file or directory"]) && file {
        (FailureReason::Missing, "there is no such file")
    } else if has(&["404 Not Found", "410 Gone"]) {
        (FailureReason::Missing, "the server says that it is not there (HTTP 404)")
    } else if has(&["403 Forbidden", "401 Unauthorized"]) {
        (FailureReason::Forbidden, "the server refuses it (HTTP 401 or 403)")
    } else if has(&["Permission denied"]) && file {
        (FailureReason::Forbidden, "this user may not read the file")
    } else if has(&["Connection refused"]) {
        (FailureReason::Network, "the server refuses the connection")
    } else if has(&["Connection timed out", "Operation timed out"]) {
        (FailureReason::Network, "the server does not answer")
    } else if has(&["Failed to resolve hostname", "Name or service not known"]) {
        (FailureReason::Network, "the server's name cannot be resolved")
    } else if !file
        && has(&["Connection reset", "Input/output error", "5XX Server Error", "Network is unreachable"])
    {
        (FailureReason::Network, "the network or the server failed")
    } else if has(&["Error when loading first segment"]) {
        (
            FailureReason::Unplayable,
            "its first segment is no audio or video: it is broken, or encrypted with another key",
        )
    } else if has(&["moov atom not found"]) {
        (
            FailureReason::Unplayable,
            "it is cut off before its index, or no video at all (moov atom not found)",
        )
    } else if has(&["Invalid data found", "End of file", "could not find codec parameters", "Unknown format"])
    {
        (FailureReason::Unplayable, "it is no audio or video that ffmpeg knows")
    } else {
        let last = last_message(messages);
        return ItemFailure::new(
            if file { FailureReason::Unplayable } else { FailureReason::Network },
            format!("ffmpeg says: {last}"),
        );
    };
    ItemFailure::new(reason, detail)
}

/// The first line of ffmpeg's messages, in the same form as [`last_message`].
pub(crate) fn first_message(messages: &str) -> String {
    last_message(messages.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default())
}

/// The last line of ffmpeg's messages, without the `[context @ address]` prefix and without URLs,
/// whose queries may hold access tokens.
pub(crate) fn last_message(messages: &str) -> String {
    let says = |line: &&str| !line.is_empty() && !line.starts_with("Last message repeated");
    let line = messages.lines().map(str::trim).rfind(says).unwrap_or("nothing");
    let line =
        if line.starts_with('[') { line.split_once("] ").map_or(line, |(_, rest)| rest) } else { line };
    let words = line.split(' ').map(|word| if word.contains("://") { "(URL)" } else { word });
    words.collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_determine_the_reason() {
        for (messages, url, reason) in [
            ("file:/x: No such file or directory", "file:/x", FailureReason::Missing),
            ("https://h/x: Server returned 404 Not Found", "https://h/x", FailureReason::Missing),
            (
                "http://h/x: Server returned 403 Forbidden (access denied)",
                "http://h/x",
                FailureReason::Forbidden,
            ),
            (
                "Connection to tcp://127.0.0.1:9 failed: Connection refused",
                "http://h/x",
                FailureReason::Network,
            ),
            ("[mov @ 0x1] moov atom not found\nfile:/x: Invalid data", "file:/x", FailureReason::Unplayable),
            ("something new", "file:/x", FailureReason::Unplayable),
        ] {
            assert_eq!(explain(messages, &MediaSource::at(url.into())).reason, reason, "{messages}");
        }
    }

    #[test]
    fn messages_lose_addresses_and_urls() {
        let text = "first\n[https @ 0x55] cannot open https://h/?token=abc now\n";
        assert_eq!(last_message(text), "cannot open (URL) now");
        let repeated = "[h264 @ 0x1] broken\n    Last message repeated 3 times\n\n";
        assert_eq!(last_message(repeated), "broken");
        assert_eq!(last_message("    Last message repeated 3 times\n"), "nothing");
    }
}
