//! Terminal I/O: messages and prompts go to stderr, answers come from stdin, results go to stdout.
//! A prompt ends when the tool is cancelled; a password is not echoed.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write, stderr, stdin, stdout},
};

use anyhow::Context as _;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr},
};
use tgs_core::{cancel::Cancel, error::CliError, secret::Secret};

use crate::error;

/// Poll interval of the stop flag during a prompt.
const STOP_CHECK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// Maximum length of an answer, in bytes.
const LONGEST: usize = 4096;

/// Writes a message line to stderr.
pub(crate) fn say(text: &str) {
    // A closed stderr must not fail the tool.
    let _ = writeln!(stderr(), "{}", plain(text));
}

/// Writes the result of the tool to stdout.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    let mut out = stdout();
    writeln!(out, "{text}").and_then(|()| out.flush()).context("write to stdout")?;
    Ok(())
}

/// Escapes control characters: other users choose names and titles.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' {
            let _ = write!(plain, "{}", c.escape_default());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// An interactive terminal.
#[derive(Debug)]
pub(crate) struct Terminal<'a> {
    cancel: &'a Cancel,
    /// Input read from stdin and not consumed yet.
    typed: Vec<u8>,
}

impl<'a> Terminal<'a> {
    pub(crate) fn open(cancel: &'a Cancel) -> Result<Self, CliError> {
        if stdin().is_terminal() && stderr().is_terminal() {
            return Ok(Self { cancel, typed: Vec::new() });
        }
        Err(CliError::failure(
            "ask how to sign in: there is no terminal; run it in one (with ssh: ssh -t), or with a standby session \
             use --non-interactive",
        ))
    }

    /// Prompts for a line and trims it.
    pub(crate) fn ask(&mut self, prompt: &str) -> Result<String, CliError> {
        let _ = write!(stderr(), "{}", plain(prompt));
        self.line().map(|line| line.trim().to_owned())
    }

    /// Prompts for a line without echo. Spaces are significant.
    pub(crate) fn ask_secret(&mut self, prompt: &str) -> Result<Secret<String>, CliError> {
        // Disable echo before the prompt appears, so that no typed character is shown.
        let hidden = Hidden::begin();
        let _ = write!(stderr(), "{}", plain(prompt));
        let line = self.line().map(Secret::new);
        drop(hidden);
        line
    }

    fn line(&mut self) -> Result<String, CliError> {
        loop {
            if let Some(end) = self.typed.iter().position(|byte| *byte == b'\n') {
                let rest = self.typed.split_off(end + 1);
                let line = std::mem::replace(&mut self.typed, rest);
                let line = String::from_utf8(line)
                    .map_err(|_| CliError::failure("read the answer: it is not UTF-8 text"))?;
                return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.typed.len() > LONGEST {
                return Err(CliError::failure("read the answer: it is too long"));
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> Result<(), CliError> {
        if self.cancel.is_cancelled() {
            let _ = writeln!(stderr());
            return Err(error::stopped());
        }
        let failed = |error: Errno| anyhow::Error::new(io::Error::from(error)).context("read the answer");
        let stdin = stdin();
        match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&STOP_CHECK)) {
            Ok(0) | Err(Errno::INTR) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(failed(error).into()),
        }
        let mut bytes = [0; 512];
        match rustix::io::read(&stdin, &mut bytes) {
            Ok(0) => Err(CliError::failure("read the answer: the terminal was closed")),
            Ok(count) => {
                self.typed.extend_from_slice(&bytes[..count]);
                Ok(())
            }
            Err(Errno::INTR | Errno::AGAIN) => Ok(()),
            Err(error) => Err(failed(error).into()),
        }
    }
}

/// Disables echo until dropped.
struct Hidden(Option<Termios>);

impl Hidden {
    fn begin() -> Self {
        let before = tcgetattr(stdin()).ok();
        if let Some(mut modes) = before.clone() {
            modes.local_modes.remove(LocalModes::ECHO);
            // Echo the newline, so that the cursor moves to the next line.
            modes.local_modes.insert(LocalModes::ECHONL);
            let _ = tcsetattr(stdin(), OptionalActions::Now, &modes);
        }
        Self(before)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(stdin(), OptionalActions::Now, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(plain("a\x1b[2Jb\rc\u{9b}d\ne"), "a\\u{1b}[2Jb\\rc\\u{9b}d\ne");
    }
}
