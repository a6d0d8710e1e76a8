//! Reads a client's messages: one a line, bounded in bytes and time.

use std::{
    io::{self, Read},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use tgs_control::rpc::LONGEST_MESSAGE;

/// From a message's first byte to its newline.
const MESSAGE_TIME_OUT: Duration = Duration::from_secs(10);

/// The lines of one client.
#[derive(Debug, Default)]
pub(super) struct RequestLines {
    input: Vec<u8>,
    /// How much of `input` holds no newline.
    searched: usize,
}

/// What a client has sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A message without its newline.
    Whole(Vec<u8>),
    /// More than [`LONGEST_MESSAGE`] bytes without a newline.
    TooLong,
    /// A message that was begun and not ended in time.
    TooSlow,
    /// The client has disconnected.
    End,
}

impl RequestLines {
    /// Waits for the next line: without a limit for its first byte, then [`MESSAGE_TIME_OUT`].
    pub(super) fn next(&mut self, mut socket: &UnixStream) -> io::Result<Line> {
        let mut deadline = (!self.input.is_empty()).then(|| Instant::now() + MESSAGE_TIME_OUT);
        loop {
            if let Some(at) = self.input[self.searched..].iter().position(|byte| *byte == b'\n') {
                let rest = self.input.split_off(self.searched + at + 1);
                let mut line = std::mem::replace(&mut self.input, rest);
                self.searched = 0;
                line.pop();
                return Ok(Line::Whole(line));
            }
            self.searched = self.input.len();
            if self.input.len() > LONGEST_MESSAGE {
                return Ok(Line::TooLong);
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Line::TooSlow);
            }
            socket.set_read_timeout(left)?;
            let mut some = [0; 4096];
            match socket.read(&mut some) {
                Ok(0) => return Ok(Line::End),
                Ok(count) => {
                    self.input.extend_from_slice(&some[..count]);
                    deadline.get_or_insert_with(|| Instant::now() + MESSAGE_TIME_OUT);
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, thread};

    use super::*;

    #[test]
    fn lines_come_whole_however_they_arrive() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let sender = thread::spawn(move || {
            for part in ["{\"a\"", ":1}\n\n{", "}\nrest"] {
                client.write_all(part.as_bytes()).unwrap();
            }
        });
        let mut lines = RequestLines::default();
        let mut next = || lines.next(&server).unwrap();
        assert_eq!(next(), Line::Whole(b"{\"a\":1}".to_vec()));
        assert_eq!(next(), Line::Whole(Vec::new()));
        assert_eq!(next(), Line::Whole(b"{}".to_vec()));
        assert_eq!(next(), Line::End);
        sender.join().unwrap();
    }

    #[test]
    fn a_line_without_an_end_is_not_stored() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let sender = thread::spawn(move || client.write_all(&vec![b'x'; LONGEST_MESSAGE + 4096]));
        let mut lines = RequestLines::default();
        assert_eq!(lines.next(&server).unwrap(), Line::TooLong);
        assert!(lines.input.len() <= LONGEST_MESSAGE + 4096);
        drop(server);
        let _ = sender.join().unwrap();
    }
}
