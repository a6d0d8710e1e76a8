//! What was found: one line, and what to do about it.

use std::fmt::Write as _;

use serde::Serialize;

/// How good or bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Level {
    /// As it should be.
    Pass,
    /// It works, but look at it; or it could not be looked at.
    Warn,
    /// It does not work.
    Fail,
}

impl Level {
    /// The word at the beginning of the line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }

    /// ANSI colour: green, yellow, red.
    fn colour(self) -> u8 {
        match self {
            Self::Pass => 32,
            Self::Warn => 33,
            Self::Fail => 31,
        }
    }
}

/// One line of the output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at: a fixed name, for scripts.
    pub(crate) check: &'static str,
    /// The verdict.
    pub(crate) level: Level,
    /// The verdict in words.
    pub(crate) text: String,
    /// What to do about it; every FAIL has one.
    pub(crate) remedy: Option<String>,
}

impl Finding {
    /// It is as it should be.
    pub(crate) fn pass(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, level: Level::Pass, text: text.into(), remedy: None }
    }

    /// It should be looked at.
    pub(crate) fn warn(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, level: Level::Warn, text: text.into(), remedy: None }
    }

    /// It could not be looked at.
    pub(crate) fn unseen(check: &'static str, why: impl std::fmt::Display) -> Self {
        Self::warn(check, format!("not looked at: {why}"))
    }

    /// It does not work.
    pub(crate) fn fail(check: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, level: Level::Fail, text: text.into(), remedy: Some(remedy.into()) }
    }

    /// With what to do about it.
    pub(crate) fn mended_by(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()).filter(|remedy| !remedy.is_empty()), ..self }
    }
}

/// The lines of all of them, the verdicts in colour or not.
pub(crate) fn lines(findings: &[Finding], colour: bool) -> String {
    let mut text = String::new();
    for Finding { check, level, text: words, remedy } in findings {
        let word = level.word();
        let verdict = if colour { format!("\x1b[{}m{word}\x1b[0m", level.colour()) } else { word.to_owned() };
        // Into a String, which never fails.
        let _ = writeln!(text, "{verdict} {check}: {words}");
        if let Some(remedy) = remedy {
            let _ = writeln!(text, "  -> {remedy}");
        }
    }
    text
}

/// How many of each.
pub(crate) fn sum(findings: &[Finding]) -> String {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    format!("{} pass, {} warn, {} fail", count(Level::Pass), count(Level::Warn), count(Level::Fail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_findings_are_shown() {
        let findings = [
            Finding::pass("a", "good"),
            Finding::unseen("b", "--offline"),
            Finding::warn("c", "odd").mended_by("look"),
            Finding::fail("d", "bad", "mend it"),
        ];
        assert_eq!(
            lines(&findings, false),
            "PASS a: good\nWARN b: not looked at: --offline\nWARN c: odd\n  -> look\nFAIL d: bad\n  -> mend it\n"
        );
        assert_eq!(lines(&findings[3..], true), "\x1b[31mFAIL\x1b[0m d: bad\n  -> mend it\n");
        assert_eq!(sum(&findings), "1 pass, 2 warn, 1 fail");
        assert_eq!(
            serde_json::to_string(&findings[3]).unwrap(),
            r#"{"check":"d","level":"FAIL","text":"bad","remedy":"mend it"}"#
        );
    }
}
