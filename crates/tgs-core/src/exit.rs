//! The exit codes of all tools. Codes above 2 are those of sysexits.h.

use std::process::ExitCode;

/// How a tool ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// The task is done.
    Ok = 0,
    /// The task failed.
    Failure = 1,
    /// The command line is invalid (clap's own code).
    Usage = 2,
    /// A required program, server or file is missing (`EX_UNAVAILABLE`).
    Unavailable = 69,
    /// Another process holds a lock; try later (`EX_TEMPFAIL`).
    Busy = 75,
    /// The settings are invalid (`EX_CONFIG`).
    Config = 78,
}

impl Code {
    /// All codes, for the table in the documents.
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::Failure, Self::Usage, Self::Unavailable, Self::Busy, Self::Config];

    /// The meaning, as in the documents' table.
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
