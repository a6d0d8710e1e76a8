//! Whether a program, a file or a Python module is installed.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tgs_core::process;

/// What shows that a package is there.
#[derive(Debug, Clone, Copy)]
pub(super) enum Proof {
    /// A program in the search path or in /usr/sbin.
    Program(&'static str),
    /// A file.
    File(&'static str),
    /// An element of GStreamer.
    GstElement(&'static str),
    /// A module of the system's Python.
    PythonModule(&'static str),
}

impl Proof {
    pub(super) fn holds(&self) -> bool {
        match self {
            Self::Program(name) => find(name).is_some(),
            Self::File(path) => Path::new(path).exists(),
            Self::GstElement(name) => succeeds(Command::new("gst-inspect-1.0").args(["--exists", name])),
            Self::PythonModule(name) => {
                succeeds(Command::new("python3").args(["-c", &format!("import {name}")]))
            }
        }
    }
}

/// The program `name` in the search path or in /usr/sbin, which plain users have not got in it.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin");
    process::find_in(name.as_ref(), Path::new(""), &path).ok()
}

pub(super) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_tell_what_is_there() {
        assert!(Proof::Program("sh").holds());
        assert!(!Proof::Program("no-such-program").holds());
        assert!(!Proof::File("/nonexistent").holds());
        assert!(!Proof::PythonModule("no_such_module").holds());
    }
}
