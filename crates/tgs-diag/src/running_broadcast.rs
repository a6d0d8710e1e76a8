//! Findings about a running `tgs-stream`, from its control socket, or the pages of an older one.
//! They replace all queries to Telegram while that process holds the session.

use std::net::SocketAddr;

use tgs_control::{
    AddressError, Health, HostsStatus, OnAir, PublisherState, RunningStatus, Status, StatusClient,
    TelegramState, TelegramStatus, ViewerCheckStatus,
};
use tgs_core::settings::Settings;

use crate::finding::Finding;

/// What it says of itself at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RunningBroadcast {
    status: Status,
    health: Health,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// No tgs-stream runs with this STATE_DIR.
    NotRunning,
    /// `metrics.port` is unreadable, so it is unknown whether one runs.
    Unreadable(AddressError),
    /// No tgs-stream answers at this address.
    Silent(SocketAddr),
}

impl RunningBroadcast {
    /// Queries the `tgs-stream` that runs with these settings.
    pub(crate) fn of(settings: &Settings) -> Result<Self, NoAnswer> {
        let asked = RunningStatus::ask(settings.control_socket.as_deref(), &settings.state_dir, "tgs-diag");
        if let Some(RunningStatus { status, health }) = asked {
            return Ok(Self { status, health });
        }
        Err(match StatusClient::of_state_dir(&settings.state_dir) {
            Ok(client) => NoAnswer::Silent(client.address()),
            Err(AddressError::Missing(_) | AddressError::NoAddress(_)) => NoAnswer::NotRunning,
            Err(error @ AddressError::Unreadable { .. }) => NoAnswer::Unreadable(error),
        })
    }

    /// Whether the status may describe the session with this fingerprint.
    pub(crate) fn is_about(&self, fingerprint: &str) -> bool {
        let session = self.status.telegram.as_ref().and_then(|telegram| telegram.session.as_deref());
        session.is_none_or(|own| own == fingerprint)
    }

    /// Checks whether media flows.
    pub(crate) fn broadcast(&self) -> Finding {
        let check = "broadcast";
        match (&self.health, &self.status.engine.on_air) {
            (Health::Healthy, OnAir::Item(item)) => Finding::pass(check, format!("on air: {}", item.title)),
            (Health::Healthy, _) => Finding::pass(check, "on air"),
            (Health::Stopped, _) => {
                Finding::warn(check, "an operator has stopped the broadcast").with_remedy("tgs-ctl start")
            }
            (Health::Standby, _) => Finding::pass(check, "this host is a standby: another one publishes"),
            (Health::Unhealthy(why), _) => Finding::fail(
                check,
                format!("tgs-stream is not live: {why}"),
                "what it waits for is in that line; what else FAILs here may be the cause",
            ),
        }
    }

    /// Findings on the Telegram side: session, chat, rights, call.
    pub(crate) fn session(&self, holder: &str) -> Vec<Finding> {
        let Some(telegram) = &self.status.telegram else {
            return vec![Finding::unseen(
                "session",
                format_args!("{holder} uses it and does not speak of it"),
            )];
        };
        let TelegramStatus { state, why, account, .. } = telegram;
        let (name, why) = (state.name(), why.as_deref().unwrap_or_default());
        let account = account.as_ref().map(|it| format!(", account {it}")).unwrap_or_default();
        let mut findings = vec![match state {
            _ if telegram.session_valid => {
                Finding::pass("session", format!("alive: {holder} uses it{account}"))
            }
            TelegramState::Degraded => Finding::fail(
                "session",
                format!("dead, as {holder} reports: {why}"),
                crate::settings::sign_in(),
            ),
            _ => Finding::warn("session", format!("{holder} uses it, and is {name}: {why}")),
        }];
        findings.push(match &telegram.chat {
            Some(chat) => Finding::pass("chat", format!("found: {chat}")),
            None => Finding::unseen("chat", format_args!("{holder} has not found it; it is {name}: {why}")),
        });
        if *state == TelegramState::Live {
            findings.push(Finding::pass("rights", format!("{holder} was given the stream key")));
            findings.push(Finding::pass("call", "live"));
        } else {
            let unseen = |check| {
                Finding::unseen(check, format_args!("{holder} uses the session, and is {name}: {why}"))
            };
            findings.extend(["rights", "call"].map(unseen));
        }
        findings
    }

    /// Finding on the connection to the ingest server.
    pub(crate) fn ingest(&self) -> Finding {
        let check = "ingest";
        match (&self.status.engine.publisher, &self.health) {
            (PublisherState::Reconnecting { cause }, _) => Finding::fail(
                check,
                format!("tgs-stream has lost its connection: {cause}"),
                "if this lasts, check this machine's network; tgs-stream connects again by itself",
            ),
            (_, Health::Stopped) => Finding::pass(check, "not in use: the broadcast is stopped"),
            (_, Health::Standby) => Finding::pass(check, "not in use: this host is a standby"),
            (_, Health::Healthy) => Finding::pass(check, "tgs-stream is connected to it"),
            (_, Health::Unhealthy(_)) => {
                Finding::unseen(check, "tgs-stream uses the session and is not connected")
            }
        }
    }

    /// The hosts of the hot standby.
    pub(crate) fn hosts(&self) -> Option<&HostsStatus> {
        self.status.hosts.as_ref()
    }

    /// What the viewer check has found last.
    pub(crate) fn viewer_check(&self) -> Option<&ViewerCheckStatus> {
        self.status.telegram.as_ref()?.viewer_check.as_ref()
    }

    /// Whether the standby session was valid at its last use by `tgs-stream`.
    pub(crate) fn standby(&self) -> Option<bool> {
        self.status.telegram.as_ref()?.standby_valid
    }
}
