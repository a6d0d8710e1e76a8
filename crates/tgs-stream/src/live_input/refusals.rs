//! Refused clients: counted by reason, and logged with a limit. No line contains a key.

use std::{
    net::IpAddr,
    sync::{LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};

use prometheus::{
    IntCounter, IntCounterVec, IntGauge, Opts, register_int_counter, register_int_counter_vec,
    register_int_gauge,
};
use tgs_rtmp::server::ServerError;

/// Lines per [`WINDOW`]; further refusals are summed up.
const LINES: u32 = 10;

const WINDOW: Duration = Duration::from_mins(1);

/// Why a client is refused, as a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefusalReason {
    /// The key is wrong.
    Key,
    /// The address has given too many wrong keys.
    Tries,
    /// Another client publishes, or an operator dropped this one.
    Busy,
    /// The application is another one.
    Application,
    /// A codec that is not supported.
    Codec,
    /// It does not speak RTMP.
    Protocol,
    /// TLS failed.
    Tls,
    /// It sends too much, or too many are connected.
    Limit,
    /// It does not publish in time.
    Timeout,
    /// It left before it published.
    Gone,
}

impl RefusalReason {
    const ALL: [Self; 10] = [
        Self::Key,
        Self::Tries,
        Self::Busy,
        Self::Application,
        Self::Codec,
        Self::Protocol,
        Self::Tls,
        Self::Limit,
        Self::Timeout,
        Self::Gone,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Tries => "tries",
            Self::Busy => "busy",
            Self::Application => "application",
            Self::Codec => "codec",
            Self::Protocol => "protocol",
            Self::Tls => "tls",
            Self::Limit => "limit",
            Self::Timeout => "timeout",
            Self::Gone => "gone",
        }
    }

    /// The reason of an error before the client published.
    pub(super) fn of(error: &ServerError) -> Self {
        match error {
            ServerError::Key => Self::Key,
            ServerError::Busy => Self::Busy,
            ServerError::Application => Self::Application,
            ServerError::Handshake(_) | ServerError::Malformed(_) | ServerError::Sequence(_) => {
                Self::Protocol
            }
            ServerError::Tls(_) => Self::Tls,
            ServerError::Excess(_) => Self::Limit,
            ServerError::NotPublished(_) | ServerError::Idle(_) => Self::Timeout,
            ServerError::Closed | ServerError::Cancelled | ServerError::Io(_) => Self::Gone,
        }
    }
}

/// The metrics of the live input, in the default registry.
#[derive(Debug)]
pub(super) struct LiveMetrics {
    pub(super) connected: IntGauge,
    pub(super) bytes: IntCounter,
    pub(super) sessions: IntCounter,
    pub(super) stalls: IntCounter,
    refused: IntCounterVec,
}

/// The one set of them; only a broadcast with LIVE_INPUT has it.
pub(super) static METRICS: LazyLock<LiveMetrics> = LazyLock::new(|| {
    let metrics = LiveMetrics::register().expect("metric names are constants and registered once");
    for reason in RefusalReason::ALL {
        metrics.refused.with_label_values(&[reason.label()]);
    }
    metrics
});

impl LiveMetrics {
    fn register() -> prometheus::Result<Self> {
        Ok(Self {
            connected: register_int_gauge!(
                "tgs_live_input_connected",
                "1 while a publisher of LIVE_INPUT sends, else 0."
            )?,
            bytes: register_int_counter!(
                "tgs_live_input_bytes_total",
                "Bytes of picture and sound received from publishers of LIVE_INPUT."
            )?,
            sessions: register_int_counter!(
                "tgs_live_input_publishers_total",
                "Publishers of LIVE_INPUT that arrived."
            )?,
            stalls: register_int_counter!(
                "tgs_live_input_stalls_total",
                "Times that a publisher of LIVE_INPUT sent nothing or lost its connection."
            )?,
            refused: register_int_counter_vec!(
                Opts::new(
                    "tgs_live_input_refused_total",
                    "Connections to LIVE_INPUT that were refused, by reason."
                ),
                &["reason"]
            )?,
        })
    }
}

/// Counts and logs refusals.
#[derive(Debug)]
pub(super) struct RefusalLog(Mutex<LogWindow>);

#[derive(Debug)]
struct LogWindow {
    began: Instant,
    lines: u32,
    /// Refusals without a line.
    held: u64,
}

impl RefusalLog {
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(LogWindow { began: now, lines: 0, held: 0 }))
    }

    /// Counts a refused client and logs `why`, unless there were too many.
    pub(super) fn note(&self, address: IpAddr, reason: RefusalReason, why: &str, now: Instant) {
        METRICS.refused.with_label_values(&[reason.label()]).inc();
        for line in self.lines(address, why, now) {
            log::warn!("{line}");
        }
    }

    fn lines(&self, address: IpAddr, why: &str, now: Instant) -> Vec<String> {
        let mut lines: Vec<_> = self.sum_up(now).into_iter().collect();
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.lines < LINES {
            window.lines += 1;
            lines.push(format!("live input: refused {}: {why}", address.to_canonical()));
        } else {
            window.held += 1;
        }
        lines
    }

    /// The line for the refusals without a line, once a minute.
    pub(super) fn sum_up(&self, now: Instant) -> Option<String> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(window.began) < WINDOW {
            return None;
        }
        let held = window.held;
        *window = LogWindow { began: now, lines: 0, held: 0 };
        (held > 0).then(|| format!("live input: refused {held} more connections in the last minute"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_summed_up() {
        let start = Instant::now();
        let log = RefusalLog::new(start);
        let note = |seconds| {
            log.lines(
                [192, 0, 2, 1].into(),
                "the client gave a wrong stream key",
                start + Duration::from_secs(seconds),
            )
        };
        for _ in 0..LINES {
            assert_eq!(note(1), ["live input: refused 192.0.2.1: the client gave a wrong stream key"]);
        }
        assert!((0..1000).all(|_| note(2).is_empty()));
        assert_eq!(note(61).len(), 2);
        assert_eq!(log.sum_up(start + Duration::from_secs(200)), None);
    }
}
