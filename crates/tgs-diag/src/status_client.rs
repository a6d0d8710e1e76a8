//! What a running `tgs-stream` says of itself, by its pages: it is asked in place of Telegram while it holds the session.

use std::{io, net::SocketAddr, path::Path, time::Duration};

use serde_json::Value;
use tgs_core::http_get;

use crate::finding::Finding;

/// For a page that is made from memory on the same machine.
const LIMIT: Duration = Duration::from_secs(2);

/// The pages at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StatusPages {
    /// Where they answer.
    pub(crate) address: SocketAddr,
    status: Value,
    /// `/healthz`: nothing where all is well, else the reason.
    health: Result<(), String>,
}

/// Why there are no pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoStatus {
    /// Nothing runs with this STATE_DIR.
    NotRunning,
    /// One may run, but the file that says where may not be read.
    Hidden(String),
    /// Nothing, or something else, answers there.
    NoAnswer(SocketAddr),
}

impl StatusPages {
    /// Asks the one that runs with this STATE_DIR.
    pub(crate) fn of(state_dir: &Path) -> Result<Self, NoStatus> {
        let file = state_dir.join("metrics.port");
        let address = http_get::address_in(&file).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::InvalidData => NoStatus::NotRunning,
            _ => NoStatus::Hidden(format!("{} cannot be read: {e}", file.display())),
        })?;
        Self::at(address).ok_or(NoStatus::NoAnswer(address))
    }

    /// Asks what answers at `address`; `None` where that is no `tgs-stream`.
    pub(crate) fn at(address: SocketAddr) -> Option<Self> {
        let page = http_get::get(address, "/status", LIMIT).ok()?;
        let status: Value = serde_json::from_str(&page.body).ok()?;
        status.get("on_air")?;
        let health = match http_get::get(address, "/healthz", LIMIT) {
            Ok(page) if page.status == 200 => Ok(()),
            Ok(page) => Err(page.body.trim().to_owned()),
            Err(error) => Err(error.to_string()),
        };
        Some(Self { address, status, health })
    }

    fn telegram(&self, name: &str) -> Option<&str> {
        self.status.get("telegram")?.get(name)?.as_str()
    }

    /// Whether it speaks of this session: one that has moved on to another says nothing about it.
    pub(crate) fn is_about(&self, fingerprint: &str) -> bool {
        self.telegram("session").is_none_or(|own| own == fingerprint)
    }

    /// Whether media flows.
    pub(crate) fn broadcast(&self) -> Finding {
        let check = "broadcast";
        match &self.health {
            Ok(()) => {
                let title = self.status["on_air"].get("title").and_then(Value::as_str);
                let title = title.map(|title| format!(": {title}")).unwrap_or_default();
                Finding::pass(check, format!("on air{title}"))
            }
            Err(why) => Finding::fail(
                check,
                format!("tgs-stream is not live: {why}"),
                "what it waits for is in that line; what else FAILs here may be the cause",
            ),
        }
    }

    /// What it says of the Telegram side: session, chat, rights, call, standby.
    pub(crate) fn session(&self, holder: &str) -> Vec<Finding> {
        let Some(telegram) = self.status.get("telegram").filter(|it| it.is_object()) else {
            return vec![Finding::unseen(
                "session",
                format_args!("{holder} uses it and does not speak of it"),
            )];
        };
        let (state, why) =
            (self.telegram("state").unwrap_or("unknown"), self.telegram("why").unwrap_or_default());
        let account = self.telegram("account").map(|it| format!(", account {it}")).unwrap_or_default();
        let valid = telegram.get("session_valid").and_then(Value::as_bool);
        let mut findings = vec![match valid {
            Some(true) => Finding::pass("session", format!("alive: {holder} uses it{account}")),
            Some(false) if state == "degraded" => {
                Finding::fail("session", format!("dead, says {holder}: {why}"), crate::settings::sign_in())
            }
            _ => Finding::warn("session", format!("{holder} uses it, and is {state}: {why}")),
        }];
        let live = state == "live";
        findings.push(match self.telegram("chat") {
            Some(chat) => Finding::pass("chat", format!("found: {chat}")),
            None => Finding::unseen("chat", format_args!("{holder} has not found it; it is {state}: {why}")),
        });
        if live {
            findings.push(Finding::pass("rights", format!("{holder} was given the stream key")));
            findings.push(Finding::pass("call", "live"));
        } else {
            let unseen = |check| {
                Finding::unseen(check, format_args!("{holder} uses the session, and is {state}: {why}"))
            };
            findings.extend(["rights", "call"].map(unseen));
        }
        findings
    }

    /// What it says of the server it publishes to.
    pub(crate) fn ingest(&self) -> Finding {
        let check = "ingest";
        let publisher = &self.status["publisher"];
        let cause = publisher.get("cause").or_else(|| publisher.get("reconnecting")?.get("cause"));
        match (cause.and_then(Value::as_str), &self.health) {
            (Some(cause), _) => Finding::fail(
                check,
                format!("tgs-stream has lost its connection: {cause}"),
                "if this lasts, check this machine's network; tgs-stream connects again by itself",
            ),
            (None, Ok(())) => Finding::pass(check, "tgs-stream is connected to it"),
            (None, Err(_)) => Finding::unseen(check, "tgs-stream uses the session and is not connected"),
        }
    }

    /// What it says of the standby session, where it has used one.
    pub(crate) fn standby(&self) -> Option<bool> {
        self.status.get("telegram")?.get("standby_valid")?.as_bool()
    }
}
