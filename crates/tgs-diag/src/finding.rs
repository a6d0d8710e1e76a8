//! A finding: verdict, text and remedy.

use std::fmt::Write as _;

use serde::Serialize;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Level {
    /// The check succeeded.
    Pass,
    /// A possible problem, or the check could not run.
    Warn,
    /// The check failed.
    Fail,
}

impl Level {
    /// The word at the start of an output line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }

    /// ANSI colour code: green, yellow, red.
    fn colour(self) -> u8 {
        match self {
            Self::Pass => 32,
            Self::Warn => 33,
            Self::Fail => 31,
        }
    }
}

/// One finding, printed as one line plus its remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// The name of the check; stable, for scripts.
    pub(crate) check: &'static str,
    /// The severity.
    pub(crate) level: Level,
    /// The finding as text.
    pub(crate) text: String,
    /// The remedy; every FAIL has one.
    pub(crate) remedy: Option<String>,
}

impl Finding {
    /// The check succeeded.
    pub(crate) fn pass(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, level: Level::Pass, text: text.into(), remedy: None }
    }

    /// A possible problem.
    pub(crate) fn warn(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, level: Level::Warn, text: text.into(), remedy: None }
    }

    /// The check could not run.
    pub(crate) fn unseen(check: &'static str, why: impl std::fmt::Display) -> Self {
        Self::warn(check, format!("not checked: {why}"))
    }

    /// The check failed.
    pub(crate) fn fail(check: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, level: Level::Fail, text: text.into(), remedy: Some(remedy.into()) }
    }

    /// Adds a remedy; an empty string means none.
    pub(crate) fn with_remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()).filter(|remedy| !remedy.is_empty()), ..self }
    }
}

/// Formats findings as lines, optionally in colour.
pub(crate) fn lines(findings: &[Finding], colour: bool) -> String {
    let mut text = String::new();
    for Finding { check, level, text: words, remedy } in findings {
        let word = level.word();
        let verdict = if colour { format!("\x1b[{}m{word}\x1b[0m", level.colour()) } else { word.to_owned() };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{verdict} {check}: {words}");
        if let Some(remedy) = remedy {
            let _ = writeln!(text, "  -> {remedy}");
        }
    }
    text
}

/// The number of findings per level.
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
            Finding::warn("c", "odd").with_remedy("look"),
            Finding::fail("d", "bad", "mend it"),
        ];
        assert_eq!(
            lines(&findings, false),
            "PASS a: good\nWARN b: not checked: --offline\nWARN c: odd\n  -> look\nFAIL d: bad\n  -> mend it\n"
        );
        assert_eq!(lines(&findings[3..], true), "\x1b[31mFAIL\x1b[0m d: bad\n  -> mend it\n");
        assert_eq!(sum(&findings), "1 pass, 2 warn, 1 fail");
        assert_eq!(
            serde_json::to_string(&findings[3]).unwrap(),
            r#"{"check":"d","level":"FAIL","text":"bad","remedy":"mend it"}"#
        );
    }
}
