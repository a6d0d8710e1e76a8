//! What the broadcast shows of itself: joins the engine, the Telegram side and the operator's stop.

use tgs_control::{Health, HostRole, HostsStatus, OnAir, Status, TelegramState};
use tgs_core::mask;
use tgs_playout::engine::Control;

use crate::{hosts_view::HostsView, standing::Standing, telegram::SharedTelegramStatus};

/// The parts that a status is made of.
#[derive(Debug, Clone)]
pub(crate) struct StatusSource {
    pub(crate) control: Control,
    /// `None` for a broadcast to an output.
    pub(crate) telegram: Option<SharedTelegramStatus>,
    pub(crate) standing: Standing,
    /// Warnings about the settings.
    pub(crate) warnings: Vec<String>,
    /// The hosts of a hot standby.
    pub(crate) hosts: Option<HostsView>,
}

impl StatusSource {
    /// The document of `/status`, unmasked.
    pub(crate) fn status(&self) -> Status {
        let telegram = self.telegram.as_ref().map(SharedTelegramStatus::read);
        let mut engine = self.control.status.read().status;
        // The engine may still be ending.
        if self.standing.is_stopped() {
            engine.on_air = OnAir::Stopped;
        }
        Status {
            engine,
            telegram,
            outputs: self.control.outputs(),
            recording: self.control.recording(),
            warnings: self.warnings.clone(),
            hosts: self.hosts.as_ref().map(HostsView::status),
        }
    }

    /// What this host is, if it is a standby.
    pub(crate) fn standby(&self) -> Option<HostsStatus> {
        self.hosts.as_ref().map(HostsView::status).filter(|hosts| hosts.role == HostRole::Standby)
    }

    /// The answer of `/healthz`.
    pub(crate) fn health(&self) -> Health {
        if let Some(standby) = self.standby() {
            return standby.problem.map_or(Health::Standby, Health::Unhealthy);
        }
        if self.standing.is_stopped() {
            return Health::Stopped;
        }
        match self.telegram.as_ref().map(SharedTelegramStatus::read) {
            Some(now) if now.state != TelegramState::Live => Health::Unhealthy(now.reason()),
            now => match self.control.status.read().health() {
                Health::Unhealthy(why) => Health::Unhealthy(mask::urls(&why).into_owned()),
                healthy => now.and_then(|now| now.viewer_check?.trouble()).map_or(healthy, Health::Unhealthy),
            },
        }
    }

    /// The line in `systemctl status`.
    pub(crate) fn summary(&self) -> String {
        if let Some(standby) = self.standby() {
            return standby.summary();
        }
        if self.standing.is_stopped() {
            return "stopped by an operator; start it with: tgs-ctl start".to_owned();
        }
        self.status().summary()
    }
}
