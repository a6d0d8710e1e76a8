//! A user at a pseudo-terminal: waits for text, and types.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, tcgetattr},
};

use crate::harness::{Home, Said};

/// The longest anything takes on a busy machine; what a hang costs.
const LONG: Duration = Duration::from_mins(1);

/// The tool, run at a terminal.
pub(crate) struct Run<'a> {
    home: &'a Home,
    child: Child,
    terminal: File,
    seen: String,
    /// What has been waited for is before this.
    read: usize,
}

impl<'a> Run<'a> {
    pub(crate) fn start(home: &'a Home, args: &[&str], env: &[(&str, &str)]) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let path = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let other = || -> OwnedFd { OpenOptions::new().read(true).write(true).open(path).unwrap().into() };
        let mut command = home.command(args);
        command.envs(env.iter().copied());
        command.stdin(other()).stderr(other()).stdout(Stdio::piped());
        let child = command.spawn().unwrap();
        Self { home, child, terminal: terminal.into(), seen: String::new(), read: 0 }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for these words behind those that were waited for before.
    #[track_caller]
    pub(crate) fn expect(&mut self, words: &str) -> &mut Self {
        let end = Instant::now() + LONG;
        loop {
            if let Some(at) = self.seen[self.read..].find(words) {
                self.read += at + words.len();
                return self;
            }
            assert!(self.more(end), "no {words:?} in {}", self.seen);
        }
    }

    pub(crate) fn enter(&mut self, line: &str) -> &mut Self {
        self.terminal.write_all(format!("{line}\n").as_bytes()).unwrap();
        self
    }

    /// Whether the terminal echoes.
    pub(crate) fn shows_what_is_typed(&self) -> bool {
        tcgetattr(&self.terminal).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Said {
        let command_line = fs::read(format!("/proc/{}/cmdline", self.pid())).unwrap_or_default();
        self.home.no_secret_in(&String::from_utf8_lossy(&command_line));
        let end = Instant::now() + LONG;
        while self.more(end) {}
        assert!(Instant::now() < end, "it does not end: {}", self.seen);
        let code = self.child.wait().unwrap().code();
        let mut out = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.home.no_secret_in(&self.seen);
        Said { code, out, err: std::mem::take(&mut self.seen) }
    }

    /// Reads what is new on the screen; not so at the end of the program, or of the time.
    fn more(&mut self, end: Instant) -> bool {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        match poll(&mut [PollFd::new(&self.terminal, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(Errno::INTR) => return true,
            Err(error) => panic!("{error}"),
        }
        let mut bytes = [0; 4096];
        match self.terminal.read(&mut bytes) {
            // The other side is closed: EIO on Linux.
            Ok(0) | Err(_) => false,
            Ok(count) => {
                // Block characters may be cut in two; nobody waits for them.
                self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
                true
            }
        }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
