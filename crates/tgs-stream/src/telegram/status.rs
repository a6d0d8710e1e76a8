//! What the Telegram side tells about itself: the part of /status and /healthz that the engine does not know, and its
//! metrics. Nothing is decided by these values.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use prometheus::{
    IntCounterVec, IntGauge, IntGaugeVec, Opts, register_int_counter_vec, register_int_gauge,
    register_int_gauge_vec,
};
use serde::Serialize;
use tgs_telegram::Class;

/// Every state, as /healthz, /status and `tgs_state` name it.
pub(crate) const STATES: [&str; 13] = [
    "starting",
    "live",
    "waiting_flood",
    "waiting_network",
    "waiting_rights",
    "waiting_chat",
    "waiting_people",
    "waiting_call",
    "waiting_app",
    "waiting_in_use",
    "waiting_other",
    "degraded",
    "stopping",
];

/// Everything at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct TelegramStatus {
    /// One of [`STATES`]: what /healthz answers where nothing is on air.
    pub(crate) state: &'static str,
    /// Why it is not live, in words with the remedy.
    pub(crate) why: Option<String>,
    /// When the next attempt is made, in seconds since the epoch.
    pub(crate) retry_at: Option<u64>,
    /// Whether the session was good when last asked.
    pub(crate) session_valid: bool,
    /// Which session: the short hash of its key.
    pub(crate) session: Option<String>,
    /// Whose session it is.
    pub(crate) account: Option<String>,
    /// Into which chat, as `title (number)`.
    pub(crate) chat: Option<String>,
    /// Whether the standby session was good when it was last used; unset where there is none.
    pub(crate) standby_valid: Option<bool>,
}

impl Default for TelegramStatus {
    fn default() -> Self {
        Self {
            state: "starting",
            why: None,
            retry_at: None,
            session_valid: false,
            session: None,
            account: None,
            chat: None,
            standby_valid: None,
        }
    }
}

/// The shared snapshot.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedTelegramStatus(Arc<Mutex<TelegramStatus>>);

impl SharedTelegramStatus {
    /// A copy of what is on it.
    pub(crate) fn read(&self) -> TelegramStatus {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes it.
    pub(crate) fn update(&self, change: impl FnOnce(&mut TelegramStatus)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The metrics of the Telegram side, in the default registry.
pub(crate) struct TelegramMetrics {
    pub(crate) session_valid: IntGauge,
    pub(crate) degraded: IntGauge,
    regen_attempts: IntCounterVec,
    errors: IntCounterVec,
    standby_valid: IntGaugeVec,
    state: IntGaugeVec,
}

/// The one set of them; only a broadcast into Telegram has it.
pub(crate) static METRICS: LazyLock<TelegramMetrics> = LazyLock::new(|| {
    let metrics = TelegramMetrics::register().expect("metric names are constants and registered once");
    for class in Class::COUNTED {
        metrics.errors.with_label_values(&[class.name()]);
    }
    for result in ["success", "failure"] {
        metrics.regen_attempts.with_label_values(&[result]);
    }
    metrics.set_state("starting");
    metrics
});

impl TelegramMetrics {
    fn register() -> prometheus::Result<Self> {
        Ok(Self {
            session_valid: register_int_gauge!(
                "tgs_session_valid",
                "1 if the session was good when Telegram was last asked, else 0."
            )?,
            degraded: register_int_gauge!(
                "tgs_degraded",
                "1 while nothing is published because there is no valid session, else 0."
            )?,
            regen_attempts: register_int_counter_vec!(
                Opts::new("tgs_session_regen_attempts_total", "Attempts to sign in again, by result."),
                &["result"]
            )?,
            errors: register_int_counter_vec!(
                Opts::new(
                    "tgs_telegram_errors_total",
                    "Calls of Telegram that failed, by class of the error."
                ),
                &["class"]
            )?,
            standby_valid: register_int_gauge_vec!(
                "tgs_standby_valid",
                "1 if the standby session was good when it was last used, else 0; absent before that.",
                &[]
            )?,
            state: register_int_gauge_vec!(
                "tgs_state",
                "1 for the state the broadcast is in, as /healthz names it, and 0 for every other.",
                &["state"]
            )?,
        })
    }

    pub(crate) fn count(&self, class: Class) {
        if class != Class::Stopped {
            self.errors.with_label_values(&[class.name()]).inc();
        }
    }

    pub(crate) fn count_renewal(&self, succeeded: bool) {
        let result = if succeeded { "success" } else { "failure" };
        self.regen_attempts.with_label_values(&[result]).inc();
    }

    /// Shows one of [`STATES`].
    pub(crate) fn set_state(&self, state: &str) {
        debug_assert!(STATES.contains(&state), "{state} is not among the states");
        for known in STATES {
            self.state.with_label_values(&[known]).set((known == state).into());
        }
    }

    pub(crate) fn set_standby(&self, valid: bool) {
        let none: [&str; 0] = [];
        self.standby_valid.with_label_values(&none).set(valid.into());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::state_machine::WaitReason, *};

    #[test]
    fn one_state_is_shown_at_a_time_and_every_wait_is_among_them() {
        let reasons = [
            WaitReason::Flood(Duration::ZERO),
            WaitReason::Network,
            WaitReason::Rights,
            WaitReason::Chat,
            WaitReason::People,
            WaitReason::Call,
            WaitReason::App,
            WaitReason::InUse,
            WaitReason::Other,
        ];
        for state in
            reasons.map(WaitReason::name).into_iter().chain(["live", "degraded", "stopping", "starting"])
        {
            METRICS.set_state(state);
            let shown: Vec<_> =
                STATES.into_iter().filter(|s| METRICS.state.with_label_values(&[s]).get() == 1).collect();
            assert_eq!(shown, [state]);
        }
    }
}
