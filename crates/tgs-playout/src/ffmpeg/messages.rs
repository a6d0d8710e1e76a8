//! Parses ffmpeg's stderr with `-v repeat+level+warning` line by line: the text of its errors, and
//! warnings about the input's streams. Memory is bounded, however much ffmpeg prints.

use std::fs;

use crate::item::{FailureReason, ItemFailure, MediaSource};

/// Bytes kept of the end of the errors, to explain a failure.
const KEPT: usize = 4096;

/// Bytes kept of one line.
const LONGEST_LINE: usize = 2048;

/// Limit of the recorded streams that appear half-way.
const MOST_STREAMS: usize = 64;

/// A picture or sound stream that appears half-way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NewStream {
    /// Offset of its first packet in the file.
    pub(super) position: u64,
    /// The time that the encoder's output had reached, in milliseconds.
    pub(super) at: u64,
    /// Whether the stream is sound.
    pub(super) sound: bool,
}

#[derive(Debug, Default)]
pub(super) struct Messages {
    line: Vec<u8>,
    errors: Vec<u8>,
    /// Whether the last line with a level was an error: lines without a level continue it.
    in_error: bool,
    /// ffmpeg's index of the picture stream in use.
    pub(super) picture: Option<usize>,
    /// Damaged or undecodable pictures of that stream.
    pub(super) damaged: u64,
    /// The time that the encoder's output has reached, in milliseconds.
    pub(super) now: u64,
    pub(super) new_streams: Vec<NewStream>,
}

impl Messages {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                self.read(&String::from_utf8_lossy(&line));
            } else if self.line.len() < LONGEST_LINE {
                self.line.push(*byte);
            }
        }
    }

    /// The end of the errors, at most [`KEPT`] bytes.
    pub(super) fn errors(&mut self) -> String {
        if !self.line.is_empty() {
            self.push(b"\n");
        }
        String::from_utf8_lossy(&self.errors).into_owned()
    }

    fn read(&mut self, line: &str) {
        let (level, text) = split_level(line);
        self.in_error = level.map_or(self.in_error, |level| level != "warning");
        if self.in_error {
            self.errors.extend_from_slice(text.as_bytes());
            self.errors.push(b'\n');
            let surplus = self.errors.len().saturating_sub(KEPT);
            self.errors.drain(..surplus);
        }
        if let Some(stream) = damaged_stream(&text) {
            self.damaged += u64::from(self.picture == Some(stream));
        } else if let Some(stream) = new_stream(&text, self.now)
            && self.new_streams.len() < MOST_STREAMS
        {
            self.new_streams.push(stream);
        }
    }
}

/// Splits a line into its level and the text without the level: `[h264 @ 0x1] [error] no frame!`
/// gives `error` and `[h264 @ 0x1] no frame!`.
fn split_level(line: &str) -> (Option<&str>, String) {
    let mut rest = line;
    while let Some((group, behind)) = rest.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        if matches!(group, "panic" | "fatal" | "error" | "warning") {
            return (Some(group), format!("{}{behind}", &line[..line.len() - rest.len()]));
        }
        rest = behind;
    }
    (None, line.to_owned())
}

/// The stream whose picture or frame of sound was lost or decoded with damage.
fn damaged_stream(text: &str) -> Option<usize> {
    // ffmpeg 5 and 6.
    if let Some((_, stream)) = text.split_once("corrupt decoded frame in stream ") {
        return stream.trim().parse().ok();
    }
    if let Some((_, stream)) = text.split_once("Error while decoding stream #") {
        return stream.split([':', ' ']).nth(1)?.parse().ok();
    }
    // Since ffmpeg 7 the prefix names the stream: `[vist#0:1/h264 @ 0x1]`.
    let lost = ["corrupt decoded frame", "Error submitting packet to decoder", "Decoding error"];
    let (_, stream) = text.split_once("ist#").filter(|_| lost.iter().any(|words| text.contains(words)))?;
    stream.split([':', '/', ' ']).nth(1)?.parse().ok()
}

/// Parses `New video stream 0:2 at pos:1880 and DTS:1.4s`.
fn new_stream(text: &str, at: u64) -> Option<NewStream> {
    let (_, rest) = text.split_once("New ")?;
    let sound = rest.starts_with("audio stream ");
    if !sound && !rest.starts_with("video stream ") {
        return None;
    }
    let (_, position) = rest.split_once(" at pos:")?;
    let position = position.split(' ').next()?.parse().ok()?;
    Some(NewStream { position, at, sound })
}

/// Explains from the messages why ffmpeg or ffprobe could not open or read `source`.
#[must_use]
pub fn explain(messages: &str, source: &MediaSource) -> ItemFailure {
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
#[must_use]
pub fn first_message(messages: &str) -> String {
    last_message(messages.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default())
}

/// The last line of ffmpeg's messages, without the `[context @ address]` prefix and without URLs,
/// whose queries may hold access tokens.
#[must_use]
pub fn last_message(messages: &str) -> String {
    let says = |line: &&str| !line.is_empty() && !line.starts_with("Last message repeated");
    let line = messages.lines().map(str::trim).rfind(says).unwrap_or("nothing");
    let line =
        if line.starts_with('[') { line.split_once("] ").map_or(line, |(_, rest)| rest) } else { line };
    let words = line.split(' ').map(|word| if word.contains("://") { "(URL)" } else { word });
    words.collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn errors_are_kept_without_their_level_and_warnings_are_not() {
        let mut messages = Messages::default();
        messages.push(b"[mov @ 0x1] [warning] odd\n more of it\n[mov @ 0x1] [error] moov ");
        messages.push(b"atom not found\nand where\n[error] a.mp4: Invalid data\n[fatal] the end");
        let errors = messages.errors();
        assert_eq!(errors, "[mov @ 0x1] moov atom not found\nand where\na.mp4: Invalid data\nthe end\n");
        messages.push(&b"[error] x\n".repeat(100_000));
        messages.push(&b"y".repeat(100_000));
        assert!(messages.errors().len() <= KEPT && messages.line.len() <= LONGEST_LINE);
    }

    #[test]
    fn damage_is_counted_for_the_picture_that_is_shown() {
        let mut messages = Messages { picture: Some(1), ..Messages::default() };
        for line in [
            "[warning] file:/a.ts: corrupt decoded frame in stream 1",
            "[error] Error while decoding stream #0:1: Invalid data found when processing input",
            "[vist#0:1/h264 @ 0x1] [warning] corrupt decoded frame",
            "[vist#0:1/h264 @ 0x1] [dec:h264 @ 0x2] [error] Error submitting packet to decoder: Invalid data",
            // The sound's, and what is said once more about the same picture.
            "[error] Error while decoding stream #0:0: Invalid data found when processing input",
            "[aist#0:0/aac @ 0x1] [dec:aac @ 0x2] [error] Error submitting packet to decoder: Invalid data",
            "[h264 @ 0x1] [error] error while decoding MB 4 0",
        ] {
            messages.push(line.as_bytes());
            messages.push(b"\n");
        }
        assert_eq!(messages.damaged, 4);
    }

    #[test]
    fn streams_that_appear_are_noted() {
        let mut messages = Messages { now: 4000, ..Messages::default() };
        messages.push(b"[warning] New subtitle stream 0:2 at pos:1 and DTS:1.4s\n");
        messages.push(b"[warning] New video stream 0:3 at pos:188564 and DTS:1.48s\n");
        messages.push(b"[warning] New audio stream 0:4 at pos:190000 and DTS:1.4s\n");
        let video = NewStream { position: 188_564, at: 4000, sound: false };
        let audio = NewStream { position: 190_000, at: 4000, sound: true };
        assert_eq!(messages.new_streams, [video, audio]);
    }

    #[test]
    fn failures_are_told_in_words() {
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

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..400), line in "(\\[[a-z#:0-9]{0,4}\\] |corrupt decoded frame|Error while decoding stream #|ist#|New audio stream | at pos:|:|9){0,8}") {
            let mut messages = Messages::default();
            messages.push(&bytes);
            messages.push(line.as_bytes());
            let _ = messages.errors();
        }
    }
}
