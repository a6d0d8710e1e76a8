//! The error that ends a tool, with its exit code. Libraries have their own typed errors.

use std::{
    fmt,
    io::{Write, stderr},
};

use crate::exit::Code;

/// Why a tool ends without success. Its text follows "failed to".
#[derive(Debug)]
pub struct CliError {
    code: Code,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    /// An error of the command line, help or version; clap formats and prints it.
    Usage(clap::Error),
    Other(anyhow::Error),
}

impl CliError {
    /// Creates an error with the exit code `code`.
    pub fn new(code: Code, error: impl Into<anyhow::Error>) -> Self {
        Self { code, cause: Cause::Other(error.into()) }
    }

    /// Creates an error with the text `text` and the exit code of a failure.
    pub fn failure(text: impl Into<String>) -> Self {
        anyhow::Error::msg(text.into()).into()
    }

    /// The same error with another exit code.
    #[must_use]
    pub fn with_code(self, code: Code) -> Self {
        Self { code, ..self }
    }

    /// The same error with `context` before its text, as by [`anyhow::Context`].
    #[must_use]
    pub fn context(self, context: impl fmt::Display + Send + Sync + 'static) -> Self {
        let cause = match self.cause {
            Cause::Other(error) => Cause::Other(error.context(context)),
            usage @ Cause::Usage(_) => usage,
        };
        Self { cause, ..self }
    }

    /// The exit code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// Logs the error and returns its exit code.
    #[must_use]
    pub fn log(&self) -> Code {
        log::error!("failed to {self}");
        self.code
    }

    /// Prints the error to stderr, on one line that begins with the tool's name. Ignores a closed
    /// stderr.
    pub fn print(&self, tool: &str) {
        let _ = match &self.cause {
            Cause::Usage(error) => error.print(),
            Cause::Other(_) => writeln!(stderr(), "{}", self.line(tool)),
        };
    }

    fn line(&self, tool: &str) -> String {
        let mut line = String::new();
        // Names and titles are untrusted: escape characters that could control the terminal.
        for c in format!("{tool}: failed to {self}").chars() {
            match c {
                '\n' => line.push(' '),
                c if c.is_control() => line.extend(c.escape_default()),
                c => line.push(c),
            }
        }
        line
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Usage(error) => error.fmt(f),
            Cause::Other(error) => f.write_str(&chain(error)),
        }
    }
}

/// Joins the error and its causes. Omits a cause that the text already contains: typed errors print
/// theirs.
fn chain(error: &anyhow::Error) -> String {
    let mut causes = error.chain().map(ToString::to_string);
    let mut text = causes.next().unwrap_or_default();
    for cause in causes {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

impl From<anyhow::Error> for CliError {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Code::Failure, error)
    }
}

impl From<clap::Error> for CliError {
    fn from(error: clap::Error) -> Self {
        // Help and version are errors to clap, but go to stdout.
        let code = if error.use_stderr() { Code::Usage } else { Code::Ok };
        Self { code, cause: Cause::Usage(error) }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn one_line_with_the_whole_chain() {
        let error = Err::<(), _>(std::io::Error::other("a\nb\x1b[2J")).context("open the file").unwrap_err();
        let error = CliError::from(error);
        assert_eq!(error.line("tgs-x"), "tgs-x: failed to open the file: a b\\u{1b}[2J");
        assert_eq!((error.code(), error.with_code(Code::Busy).code()), (Code::Failure, Code::Busy));
        assert_eq!(CliError::failure("stop").to_string(), "stop");
        let busy = CliError::failure("stop").with_code(Code::Busy).context("end the stream");
        assert_eq!((busy.to_string(), busy.code()), ("end the stream: stop".to_owned(), Code::Busy));
        let shows_its_cause =
            crate::owner::Refused::Io { path: "/a".into(), source: std::io::Error::other("b") };
        assert_eq!(CliError::new(Code::Config, shows_its_cause).to_string(), "look at /a: b");
    }

    #[test]
    fn help_is_no_failure() {
        let parse = |args: &[&str]| clap::Command::new("x").try_get_matches_from(args).unwrap_err();
        assert_eq!(CliError::from(parse(&["x", "--help"])).code(), Code::Ok);
        assert_eq!(CliError::from(parse(&["x", "--no-such"])).code(), Code::Usage);
    }
}
