//! Parses ffmpeg's stderr with `-v repeat+level+warning` line by line: the text of its errors,
//! warnings about the input's streams, and at the level `info` the result of the loudness meter.
//! Memory is bounded, however much ffmpeg prints.

use super::glyphs::MissingGlyphs;

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
    pub(super) missing_glyphs: MissingGlyphs,
    /// The result of the loudness meter, as printed.
    pub(super) summary: String,
    in_summary: bool,
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

    /// Keeps the lines of the loudness meter's result.
    fn note_summary(&mut self, level: Option<&str>, text: &str) {
        if level.is_some() {
            self.in_summary =
                level == Some("info") && text.starts_with("[Parsed_ebur128_") && text.ends_with("Summary:");
            if self.in_summary {
                self.summary.clear();
            }
        }
        if self.in_summary && self.summary.len() < KEPT {
            self.summary.push_str(text);
            self.summary.push('\n');
        }
    }

    fn read(&mut self, line: &str) {
        // A missing font says nothing about the item.
        if self.missing_glyphs.note(line) {
            return;
        }
        let (level, text) = split_level(line);
        self.in_error = level.map_or(self.in_error, |level| !matches!(level, "warning" | "info"));
        self.note_summary(level, &text);
        if self.in_error {
            self.errors.extend_from_slice(text.as_bytes());
            self.errors.push(b'\n');
            let surplus = self.errors.len().saturating_sub(KEPT);
            self.errors.drain(..surplus);
        }
        if level == Some("info") {
            // Titles and names of the source.
        } else if let Some(stream) = damaged_stream(&text) {
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
        if matches!(group, "panic" | "fatal" | "error" | "warning" | "info") {
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
    fn the_meters_result_is_kept_and_no_error() {
        let mut messages = Messages::default();
        messages.push(b"[info]     title           : [Parsed_ebur128_0 @ 0x1] Summary:\n    I: 3 LUFS\n");
        messages
            .push(b"[Parsed_ebur128_3 @ 0x5] [info] Summary:\n\n    I:   -17.6 LUFS\n    Peak:  -3 dBFS\n");
        messages.push(b"[libx264 @ 0x1] [info] frame I:1\n    I: 9 LUFS\n");
        assert_eq!(crate::ffmpeg::loudness::parse_summary(&messages.summary), Some((-17.6, -3.0)));
        assert_eq!(messages.errors(), "");
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
