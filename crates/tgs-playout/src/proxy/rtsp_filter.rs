//! Checks the messages and packets of an RTSP server on their way to ffmpeg. Does no I/O and reads
//! no requests.
//!
//! ffmpeg follows redirects to any address, so a redirect ends the connection. Bytes that ffmpeg
//! could frame differently than this module are refused or dropped.

use super::{head::Authority, protocols::server_of};
use crate::item::{FailureReason, ItemFailure};

/// Limit for a status line and headers.
const MAX_HEAD: usize = 16 << 10;

/// Limit for the body of a message: an SDP description takes a few kilobytes.
const MAX_BODY: usize = 1 << 20;

/// ffmpeg reads the payload of an interleaved packet that is shorter than this as text.
const MIN_PACKET: usize = 8;

/// Why the filter ends a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RtspRefusal {
    /// The server redirects the client.
    Redirect { status: u16, target: Option<Authority> },
    /// Not RTSP, or RTSP that other readers frame differently.
    Malformed(&'static str),
}

impl RtspRefusal {
    pub(super) fn failure(&self) -> ItemFailure {
        match self {
            Self::Redirect { status, target } => {
                let target = target.as_ref().filter(|target| target.host.is_ascii());
                let to = target.map_or(String::new(), |t| format!(" to {} port {}", t.host, t.port));
                ItemFailure::new(
                    FailureReason::Forbidden,
                    format!(
                        "its RTSP server redirects{to} (status {status}): RTSP redirects are followed only for \
                         addresses in your own playlist"
                    ),
                )
            }
            Self::Malformed(why) => {
                ItemFailure::new(FailureReason::Network, format!("its RTSP server sends {why}"))
            }
        }
    }
}

/// Passes a server's bytes on once their message or packet has been checked.
#[derive(Debug, Default)]
pub(super) struct RtspFilter {
    /// The head of the current message or packet.
    head: Vec<u8>,
    /// Bytes of body or payload still to come.
    body: usize,
    is_dropped: bool,
}

impl RtspFilter {
    /// Checks `bytes` from the server; returns the bytes for ffmpeg.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) -> Result<Vec<u8>, RtspRefusal> {
        let mut passed = Vec::with_capacity(bytes.len());
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.body > 0 {
                let (body, rest) = bytes.split_at(self.body.min(bytes.len()));
                if !self.is_dropped {
                    passed.extend_from_slice(body);
                }
                self.body -= body.len();
                bytes = rest;
                continue;
            }
            bytes = rest;
            self.head.push(byte);
            match *self.head {
                // ffmpeg takes an empty line between two messages for a response without a status.
                [b'\r' | b'\n'] => self.head.clear(),
                [b'$', _, high, low] => {
                    self.body = usize::from(u16::from_be_bytes([high, low]));
                    self.finish_head(self.body < MIN_PACKET, &mut passed);
                }
                [b'$', ..] => {}
                [.., b'\n', b'\n'] | [.., b'\n', b'\r', b'\n'] => {
                    self.body = body_length(&self.head)?;
                    self.finish_head(false, &mut passed);
                }
                _ if self.head.len() > MAX_HEAD => {
                    return Err(RtspRefusal::Malformed("a head without an end"));
                }
                _ => {}
            }
        }
        Ok(passed)
    }

    fn finish_head(&mut self, is_dropped: bool, passed: &mut Vec<u8>) {
        self.is_dropped = is_dropped;
        if !is_dropped {
            passed.extend_from_slice(&self.head);
        }
        self.head.clear();
    }
}

/// Length of the body after the head of a message. A redirect is an error.
fn body_length(head: &[u8]) -> Result<usize, RtspRefusal> {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    if lines.clone().any(|line| line.contains(&b'\r') || line.contains(&0) || line.starts_with(b"$")) {
        return Err(RtspRefusal::Malformed("control characters in a head"));
    }
    let first = lines.next().unwrap_or_default();
    let (mut length, mut target) = (None, None);
    for line in lines {
        if let Some(value) = value_of(line, b"content-length:") {
            let digits = str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
            let count = digits.and_then(|digits| digits.parse().ok()).filter(|count| *count <= MAX_BODY);
            let count = count.ok_or(RtspRefusal::Malformed("a body without a usable length"))?;
            if length.replace(count).is_some() {
                return Err(RtspRefusal::Malformed("a body with two lengths"));
            }
        } else if let Some(value) = value_of(line, b"location:") {
            target = str::from_utf8(value).ok().and_then(server_of);
        }
    }
    if let Some(status) = redirect(first)? {
        return Err(RtspRefusal::Redirect { status, target });
    }
    Ok(length.unwrap_or(0))
}

/// The status of a message whose `first` line redirects: a response, or the request `REDIRECT`.
fn redirect(first: &[u8]) -> Result<Option<u16>, RtspRefusal> {
    let mut words = first.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let start = words.next().unwrap_or_default();
    if !start.starts_with(b"RTSP/") {
        return Ok((start == b"REDIRECT").then_some(302));
    }
    let status = words.next().filter(|word| word.len() == 3).and_then(|word| str::from_utf8(word).ok());
    let status = status.filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let status: u16 = status
        .and_then(|text| text.parse().ok())
        .ok_or(RtspRefusal::Malformed("an answer without a status"))?;
    Ok((300..400).contains(&status).then_some(status))
}

/// The value of the header `line` if it begins with `name`, in lower case and with its colon.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passed(bytes: &[u8]) -> Result<Vec<u8>, RtspRefusal> {
        RtspFilter::default().pass(bytes)
    }

    #[test]
    fn messages_and_packets_pass_unchanged() {
        for text in [
            "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n",
            "RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: 5\r\n\r\nv=0\r\nRTSP/1.0 401 No\nCSeq: 3\n\n",
            "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
            "$\u{0}\u{0}\u{8}RTSP/1.0RTSP/1.0 454 Gone\r\n\r\n",
        ] {
            assert_eq!(passed(text.as_bytes()).unwrap(), text.as_bytes());
        }
    }

    #[test]
    fn bytes_that_ffmpeg_frames_differently_do_not_pass() {
        assert_eq!(
            passed(b"\r\n\n$\x01\0\x03abcRTSP/1.0 200 OK\r\n\r\n").unwrap(),
            b"RTSP/1.0 200 OK\r\n\r\n"
        );
        assert_eq!(passed(b"RTSP/1.0 302 Moved\r\nLocation: x\r\n").unwrap(), b"");
        for text in [
            "RTSP/1.0 200 OK\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\n",
            "RTSP/1.0 200 OK\r\nContent-Length: -5\r\n\r\n",
            "RTSP/1.0 200 OK\r\nContent-Length: 5x\r\n\r\n",
            "RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n",
            "RTSP/1.0 200 OK\r\n\r\r\nRTSP/1.0 302 Moved\r\n\r\n",
            "RTSP/1.0 200 OK\r\n$\u{0}\u{0}\u{8}\r\n\r\n",
            "RTSP/1.0 200 OK\r\nContent-Length: 5\u{0}\r\n\r\n",
            "RTSP/1.0 +200 OK\r\n\r\n",
            "RTSP/1.0\r\n\r\n",
        ] {
            assert!(matches!(passed(text.as_bytes()), Err(RtspRefusal::Malformed(_))), "{text:?}");
        }
        assert!(matches!(passed(&vec![b'a'; MAX_HEAD + 1]), Err(RtspRefusal::Malformed(_))));
    }

    #[test]
    fn redirects_end_the_connection() {
        let target = Some(Authority { host: "10.0.0.1".into(), port: 554 });
        for (text, status, target) in [
            ("RTSP/1.0 302 Moved\r\nLocation: rtsp://u:p@10.0.0.1/x\r\n\r\n", 302, target),
            ("  RTSP/2.0\t301\r\n\r\n", 301, None),
            ("RTSP/1.0 200 OK\n\nRTSP/1.0 399 \n\n", 399, None),
            ("REDIRECT rtsp://a RTSP/1.0\r\nCSeq: 1\r\n\r\n", 302, None),
        ] {
            assert_eq!(passed(text.as_bytes()), Err(RtspRefusal::Redirect { status, target }), "{text:?}");
        }
    }

    proptest! {
        /// The boundaries of reads do not matter.
        #[test]
        fn pieces_pass_as_the_whole(
            parts in prop::collection::vec(
                prop_oneof![
                    Just(b"RTSP/1.0 200 OK\r\n".to_vec()),
                    Just(b"RTSP/1.0 302 Moved\r\n".to_vec()),
                    Just(b"Content-Length: 9\r\n".to_vec()),
                    Just(b"\r\n".to_vec()),
                    Just(b"$\0\0\x09".to_vec()),
                    prop::collection::vec(any::<u8>(), 0..12),
                ],
                0..12,
            ),
            piece in 1..9_usize,
        ) {
            let bytes = parts.concat();
            let mut filter = RtspFilter::default();
            let pieces: Result<Vec<_>, _> = bytes.chunks(piece).map(|piece| filter.pass(piece)).collect();
            prop_assert_eq!(pieces.map(|pieces| pieces.concat()), passed(&bytes));
        }
    }
}
