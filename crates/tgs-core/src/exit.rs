//! The exit codes of every tool. The numbers above 2 are those of sysexits.h.

use std::process::ExitCode;

/// How a tool ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// What was asked for is done.
    Ok = 0,
    /// It was tried and failed.
    Failure = 1,
    /// The command line cannot be understood (clap's own code).
    Usage = 2,
    /// Something that is needed is not there: a program, a server, a file (`EX_UNAVAILABLE`).
    Unavailable = 69,
    /// Somebody else is at it; try later (`EX_TEMPFAIL`).
    Busy = 75,
    /// The settings are wrong (`EX_CONFIG`).
    Config = 78,
}

impl Code {
    /// Every code, for the table in the documents.
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::Failure, Self::Usage, Self::Unavailable, Self::Busy, Self::Config];

    /// The meaning, as the documents have it.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failure => "failure",
            Self::Usage => "usage",
            Self::Unavailable => "something needed is unavailable",
            Self::Busy => "busy, try later",
            Self::Config => "bad configuration",
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}
