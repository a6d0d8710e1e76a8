//! Starts the program that takes this process's place: the one child that outlives its parent.
//!
//! It gets this process's arguments and whole environment, as a restart by systemd would give them,
//! and is neither confined nor, once it is released, ended with this process. Its stdin is one end
//! of a socket pair, over which the two speak; that needs no descriptor number.

use std::{
    env,
    ffi::OsStr,
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    process::{self, Command, ExitStatus, Stdio},
};

use super::find;

/// Set in the environment of a successor.
const MARK: &str = "TGS_SUCCESSOR";

/// A started successor. Dropping it kills and reaps the process, unless it was released.
#[derive(Debug)]
pub struct Successor {
    child: process::Child,
    released: bool,
}

impl Successor {
    /// Starts the program by the path by which this process was started: a link such as `current`
    /// leads to the new release.
    pub fn start(channel: OwnedFd) -> io::Result<Self> {
        let mut args = env::args_os();
        let name = args.next().unwrap_or_default();
        let child = Command::new(program(&name)?)
            .args(args)
            // systemd names this process there; without it, the watchdog is the successor's too.
            .env_remove("WATCHDOG_PID")
            .env(MARK, "1")
            .stdin(Stdio::from(channel))
            .spawn()?;
        Ok(Self { child, released: false })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Leaves the process alone from now on.
    pub fn release(mut self) {
        self.released = true;
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if !self.released {
            // An error means that it has ended.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The program of the first argument.
fn program(name: &OsStr) -> io::Result<PathBuf> {
    if name.as_encoded_bytes().contains(&b'/') { Ok(PathBuf::from(name)) } else { find(Path::new(name)) }
}

/// The channel to the process whose place this one is to take; `None` if it was started in any
/// other way. Takes stdin's place, which is empty afterwards.
pub fn channel_of_predecessor() -> io::Result<Option<OwnedFd>> {
    if env::var_os(MARK).is_none() {
        return Ok(None);
    }
    let stdin = io::stdin();
    let channel = stdin.as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    Ok(Some(channel))
}
