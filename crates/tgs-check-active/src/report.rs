//! The outcome as text or as one JSON object.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;

use crate::{
    messages::{self, Outcome},
    snapshot::UnitSnapshot,
    verdict::HealthVerdict,
};

/// The complete result.
#[derive(Debug, Serialize)]
pub(crate) struct CheckReport<'a> {
    /// Whether the unit is up.
    pub(crate) ok: bool,
    pub(crate) unit: &'a str,
    /// The outcome's name: `up`, `failed`, `crash_loop`, …
    pub(crate) outcome: &'static str,
    pub(crate) reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<UnitState<'a>>,
    /// The answer of the health page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) healthz: Option<&'a str>,
    /// Duration of the check.
    pub(crate) seconds: f64,
    /// The last journal lines; empty if the unit is up.
    pub(crate) journal: &'a [String],
}

/// Unit properties in systemd's terms.
#[derive(Debug, Serialize)]
pub(crate) struct UnitState<'a> {
    active: &'a str,
    sub: &'a str,
    result: &'a str,
    /// Restarts by systemd during the check.
    restarts: u32,
    main_pid: Option<u32>,
    /// How the last main process ended.
    main_exit: Option<String>,
}

impl<'a> CheckReport<'a> {
    pub(crate) fn new(unit: &'a str, finding: &'a Outcome, took: Duration, journal: &'a [String]) -> Self {
        Self {
            ok: finding.remedy.is_none(),
            unit,
            outcome: finding.name,
            reason: &finding.reason,
            remedy: finding.remedy.as_deref(),
            state: None,
            healthz: None,
            seconds: (took.as_secs_f64() * 10.0).round() / 10.0,
            journal,
        }
    }

    /// Adds the last observed state.
    pub(crate) fn with(self, seen: &'a UnitSnapshot, restarts: u32, health: &'a HealthVerdict) -> Self {
        let state = UnitState {
            active: &seen.active,
            sub: &seen.sub,
            result: &seen.result,
            restarts,
            main_pid: seen.pid,
            main_exit: seen.end.map(messages::ending),
        };
        let healthz = match health {
            HealthVerdict::NotAsked => None,
            HealthVerdict::Fine(words) | HealthVerdict::Bad(words) | HealthVerdict::Lasting(words) => {
                Some(&**words)
            }
        };
        Self { state: Some(state), healthz, ..self }
    }

    /// The report as one JSON line.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|e| format!("{{\"ok\":false,\"reason\":\"{e}\"}}"))
    }

    /// The report as text: outcome, reason, remedy, last journal lines.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{} {}", self.unit, self.reason);
        match self.healthz {
            Some(healthz) if self.ok => {
                let _ = write!(text, "; /healthz: {healthz}");
            }
            _ => {}
        }
        if let Some(remedy) = self.remedy {
            let _ = write!(text, "\n{remedy}");
        }
        if !self.journal.is_empty() {
            let _ = write!(text, "\nThe last lines of its log:");
            for line in self.journal {
                let _ = write!(text, "\n  {line}");
            }
        }
        text
    }
}
