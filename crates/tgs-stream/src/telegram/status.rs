//! The Telegram side's shared status, and its metrics. Takes no decision.

use std::{
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use prometheus::{
    GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, register_gauge_vec, register_int_counter_vec,
    register_int_gauge, register_int_gauge_vec,
};
use tgs_control::{TelegramState, TelegramStatus, ViewerPicture};
use tgs_telegram::ErrorClass;

/// The status, shared between the Telegram side and `/status`.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedTelegramStatus(Arc<Mutex<TelegramStatus>>);

impl SharedTelegramStatus {
    /// A copy.
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
    viewers: IntGaugeVec,
    live_edge: GaugeVec,
    viewer_picture: IntGaugeVec,
    state: IntGaugeVec,
}

/// The one set of them; only a broadcast into Telegram has it.
pub(crate) static METRICS: LazyLock<TelegramMetrics> = LazyLock::new(|| {
    let metrics = TelegramMetrics::register().expect("metric names are constants and registered once");
    for class in ErrorClass::COUNTED {
        metrics.errors.with_label_values(&[class.name()]);
    }
    for result in ["success", "failure"] {
        metrics.regen_attempts.with_label_values(&[result]);
    }
    metrics.set_state(TelegramState::Starting);
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
            viewers: register_int_gauge_vec!(
                "tgs_viewers",
                "Participants of the live stream at the last check; absent while their number is not known.",
                &[]
            )?,
            live_edge: register_gauge_vec!(
                "tgs_viewer_live_edge_age_seconds",
                "How far the newest second that viewers can get lies behind (VIEWER_CHECK); absent while it is not known.",
                &[]
            )?,
            viewer_picture: register_int_gauge_vec!(
                "tgs_viewer_picture",
                "1 for what viewers see and hear of the newest second, and 0 for the rest (VIEWER_CHECK); absent while it is not known.",
                &["state"]
            )?,
            state: register_int_gauge_vec!(
                "tgs_state",
                "1 for the state the broadcast is in, as /healthz names it, and 0 for every other.",
                &["state"]
            )?,
        })
    }

    pub(crate) fn count(&self, class: ErrorClass) {
        if class != ErrorClass::Stopped {
            self.errors.with_label_values(&[class.name()]).inc();
        }
    }

    pub(crate) fn count_renewal(&self, succeeded: bool) {
        let result = if succeeded { "success" } else { "failure" };
        self.regen_attempts.with_label_values(&[result]).inc();
    }

    pub(crate) fn set_state(&self, state: TelegramState) {
        for known in TelegramState::ALL {
            self.state.with_label_values(&[known.name()]).set((known == state).into());
        }
    }

    pub(crate) fn set_viewers(&self, viewers: Option<u32>) {
        let none: [&str; 0] = [];
        match viewers {
            Some(viewers) => self.viewers.with_label_values(&none).set(viewers.into()),
            None => self.viewers.reset(),
        }
    }

    pub(crate) fn set_live_edge(&self, age: Option<Duration>) {
        let none: [&str; 0] = [];
        match age {
            Some(age) => self.live_edge.with_label_values(&none).set(age.as_secs_f64()),
            None => self.live_edge.reset(),
        }
    }

    pub(crate) fn set_viewer_picture(&self, picture: Option<ViewerPicture>) {
        let Some(picture) = picture else { return self.viewer_picture.reset() };
        for known in ViewerPicture::ALL {
            self.viewer_picture.with_label_values(&[known.name()]).set((known == picture).into());
        }
    }

    pub(crate) fn set_standby(&self, valid: bool) {
        let none: [&str; 0] = [];
        self.standby_valid.with_label_values(&none).set(valid.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_state_is_shown_at_a_time() {
        for state in TelegramState::ALL {
            METRICS.set_state(state);
            let shown: Vec<_> = TelegramState::ALL
                .into_iter()
                .filter(|s| METRICS.state.with_label_values(&[s.name()]).get() == 1)
                .collect();
            assert_eq!(shown, [state]);
        }
    }
}
