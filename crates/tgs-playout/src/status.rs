//! The engine's shared state and metrics, and its health. Serves no page.

use std::{
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};

use prometheus::{
    Gauge, IntCounter, IntCounterVec, IntGauge, Opts, register_gauge, register_int_counter,
    register_int_counter_vec, register_int_gauge,
};
use tgs_control::{EngineStatus, Health, OnAir, PublisherState, health};

use crate::{
    command::StandingCommands,
    item::{FailureReason, Item},
};

/// A snapshot of the engine: the part shown by `/status`, and the part for this process only.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EngineState {
    /// The engine's part of `/status`.
    pub status: EngineStatus,
    /// The item on air, or the one before the filler.
    pub item: Option<Arc<Item>>,
    /// The [`crate::item::Item::turn`] of the item sent last.
    pub sent_turn: Option<u64>,
    /// Item and offset published last: where a restart resumes.
    pub published: Option<Published>,
    /// Item and offset in the lane on air; `None` while the list is on air.
    pub lane_position: Option<Published>,
    /// Time of the last sent media, accurate to half a second.
    pub sent_at: Option<Instant>,
    /// A required thread that died, and its panic message.
    pub dead_thread: Option<(&'static str, String)>,
    /// Start of the current filler, unless the broadcast is paused.
    pub filler_since: Option<Instant>,
}

/// How far an item has been published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its [`crate::item::Item::turn`].
    pub turn: u64,
    /// Offset from the item's own beginning.
    pub offset: Duration,
}

/// The engine's state, shared between its threads and `/status`.
#[derive(Debug, Clone, Default)]
pub struct SharedStatus {
    snapshot: Arc<Mutex<EngineState>>,
    standing: Arc<StandingCommands>,
}

impl SharedStatus {
    /// A copy of the state.
    #[must_use]
    pub fn read(&self) -> EngineState {
        let mut state = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone();
        state.status.paused = self.standing.is_paused();
        state.status.stops_after_current = self.standing.stops_after_current();
        state
    }

    /// The [`crate::item::Item::turn`] of the item sent last.
    #[must_use]
    pub fn sent_turn(&self) -> Option<u64> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).sent_turn
    }

    /// Item and offset published last.
    #[must_use]
    pub fn published(&self) -> Option<Published> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).published.clone()
    }

    /// Item and offset of what is on air: in a lane, or in the list.
    pub(crate) fn position(&self) -> Option<Published> {
        let state = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        state.lane_position.clone().or_else(|| state.published.clone())
    }

    /// Applies `change` to the state.
    pub fn update(&self, change: impl FnOnce(&mut EngineState)) {
        change(&mut self.snapshot.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The commands in force.
    pub(crate) fn standing(&self) -> Arc<StandingCommands> {
        self.standing.clone()
    }

    /// Applies `change` to the part shown by `/status`.
    pub fn show(&self, change: impl FnOnce(&mut EngineStatus)) {
        self.update(|state| change(&mut state.status));
    }
}

/// Longest time without sent media that /healthz accepts.
const HEALTHY_PAUSE: Duration = Duration::from_secs(5);

/// Longest filler outside a pause that /healthz accepts.
const HEALTHY_FILLER: Duration = Duration::from_mins(5);

impl EngineState {
    /// The state for another run of the engine: keeps only values set by commands.
    #[must_use]
    pub fn for_next_run(&self) -> Self {
        let status = EngineStatus { title: self.status.title.clone(), ..EngineStatus::default() };
        Self { status, ..Self::default() }
    }

    /// The engine's health, with the problem if unhealthy.
    #[must_use]
    pub fn health(&self) -> Health {
        self.problem(Instant::now()).map_or(Health::Healthy, Health::Unhealthy)
    }

    fn problem(&self, now: Instant) -> Option<String> {
        if let Some((name, panic)) = &self.dead_thread {
            return Some(format!("the thread {name} died ({panic}), and tgs-stream ends"));
        }
        match &self.status.publisher {
            PublisherState::Connecting => return Some(health::NOT_CONNECTED.to_owned()),
            PublisherState::Reconnecting { cause } => {
                return Some(format!("{}: {cause}", health::CONNECTION_LOST));
            }
            PublisherState::Connected => {}
        }
        let since = |at: Instant| now.saturating_duration_since(at);
        let Some(still) = self.sent_at.map(since) else {
            return Some(format!("{} yet", health::NOTHING_SENT));
        };
        if still > HEALTHY_PAUSE {
            return Some(format!("{} for {} s", health::NOTHING_SENT, still.as_secs()));
        }
        let OnAir::Filler { cause } = &self.status.on_air else { return None };
        let filler = self.filler_since.map(since).filter(|filler| *filler >= HEALTHY_FILLER)?;
        // A failure since the filler began is more specific than the filler's cause.
        let failed = self.status.last_failure.as_ref().map(|failure| format!("last failure: {failure}"));
        let cause = failed.as_ref().unwrap_or(cause);
        Some(format!("{} for {} min: {cause}", health::ONLY_FILLER, filler.as_secs() / 60))
    }
}

/// The engine's metrics, in the default registry.
#[derive(Debug)]
pub struct EngineMetrics {
    pub(crate) streams_played: IntCounter,
    pub(crate) on_air: IntGauge,
    pub(crate) paused: IntGauge,
    pub(crate) output_bytes: IntCounter,
    pub(crate) output_seconds: prometheus::Counter,
    pub(crate) filler_seconds: prometheus::Counter,
    pub(crate) reconnects: IntCounter,
    pub(crate) queue_seconds: Gauge,
    pub(crate) encoder_speed: Gauge,
    pub(crate) readahead_seconds: Gauge,
    pub(crate) failures: IntCounterVec,
    pub(crate) last_progress: Gauge,
    pub(crate) cache: CacheMetrics,
}

/// The metrics of the encode cache.
#[derive(Debug)]
pub(crate) struct CacheMetrics {
    pub(crate) hits: IntCounter,
    pub(crate) misses: IntCounter,
    pub(crate) evictions: IntCounter,
    pub(crate) bytes: Gauge,
}

/// The metrics. The first access registers all of them, so that every series exists from the first
/// scrape on.
pub static METRICS: LazyLock<EngineMetrics> = LazyLock::new(|| {
    let metrics = EngineMetrics::register().expect("metric names are constants and registered once");
    for reason in FailureReason::ALL {
        metrics.failures.with_label_values(&[reason.label()]);
    }
    metrics
});

impl EngineMetrics {
    /// Media bytes sent to the server since the start.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.output_bytes.get()
    }

    /// Connections lost and made again since the start.
    #[must_use]
    pub fn reconnect_count(&self) -> u64 {
        self.reconnects.get()
    }

    fn register() -> prometheus::Result<Self> {
        Ok(Self {
            streams_played: register_int_counter!("streams_played_total", "Items that were broadcast.")?,
            on_air: register_int_gauge!("tgs_on_air", "1 while media is being published, else 0.")?,
            paused: register_int_gauge!(
                "tgs_paused",
                "1 while the filler is shown because it was asked for."
            )?,
            output_bytes: register_int_counter!("tgs_output_bytes_total", "Media bytes published.")?,
            output_seconds: prometheus::register_counter!(
                "tgs_output_media_seconds_total",
                "Seconds of media published, filler included."
            )?,
            filler_seconds: prometheus::register_counter!(
                "tgs_filler_seconds_total",
                "Seconds of filler published."
            )?,
            reconnects: register_int_counter!(
                "tgs_publisher_reconnects_total",
                "Connections made again after one was lost."
            )?,
            queue_seconds: register_gauge!(
                "tgs_publisher_queue_seconds",
                "Seconds of media sent and not yet acknowledged by the server's TCP."
            )?,
            encoder_speed: register_gauge!(
                "tgs_encoder_speed_ratio",
                "Media seconds that the encoder makes in a second of its working time; 0 while none works or nothing \
                 is measured."
            )?,
            readahead_seconds: register_gauge!(
                "tgs_readahead_seconds",
                "Seconds of encoded media that wait to be sent."
            )?,
            failures: register_int_counter_vec!(
                Opts::new(
                    "tgs_item_failures_total",
                    "Items that could not be played to their end, by cause."
                ),
                &["reason"]
            )?,
            last_progress: register_gauge!(
                "tgs_last_progress_timestamp_seconds",
                "When media was published last, in seconds since the epoch; 0 before the first."
            )?,
            cache: CacheMetrics::register()?,
        })
    }
}

impl CacheMetrics {
    fn register() -> prometheus::Result<Self> {
        Ok(Self {
            hits: register_int_counter!(
                "tgs_cache_hits_total",
                "Items that were played as they had been encoded before."
            )?,
            misses: register_int_counter!(
                "tgs_cache_misses_total",
                "Items that had to be encoded and might have been in the cache."
            )?,
            evictions: register_int_counter!(
                "tgs_cache_evictions_total",
                "Encoded items that were removed to make room for others."
            )?,
            bytes: register_gauge!(
                "tgs_cache_size_bytes",
                "Bytes of encoded items in CACHE_DIR, which broadcasts may share."
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected(sent_at: Option<Instant>) -> EngineState {
        let status = EngineStatus { publisher: PublisherState::Connected, ..EngineStatus::default() };
        EngineState { status, sent_at, ..EngineState::default() }
    }

    #[test]
    fn health_goes_by_a_clock_that_nobody_sets() {
        let sent = |ago: u64| connected(Instant::now().checked_sub(Duration::from_secs(ago)));
        assert_eq!(sent(3).health(), Health::Healthy);
        assert_eq!(sent(7).health(), Health::Unhealthy("nothing was sent for 7 s".to_owned()));
        assert_eq!(connected(None).health(), Health::Unhealthy("nothing was sent yet".to_owned()));
        // The wall clock's time is shown, and decides nothing.
        METRICS.last_progress.set(4e9);
        assert_ne!(sent(7).health(), Health::Healthy);
    }

    #[test]
    fn five_minutes_of_filler_that_nobody_asked_for_are_unhealthy() {
        let now = Instant::now();
        let filler = |seconds| {
            let mut state = connected(Some(now));
            state.status.on_air = OnAir::Filler { cause: "nothing to play".into() };
            state.filler_since = now.checked_sub(Duration::from_secs(seconds));
            state
        };
        assert_eq!(filler(299).problem(now), None);
        let long = "only the filler is shown for 5 min: nothing to play";
        assert_eq!(filler(301).problem(now).as_deref(), Some(long));
        let mut failed = filler(600);
        failed.status.last_failure = Some("a film: no such file".into());
        let long = "only the filler is shown for 10 min: last failure: a film: no such file";
        assert_eq!(failed.problem(now).as_deref(), Some(long));
        // Asked for, it is not counted.
        assert_eq!(EngineState { filler_since: None, ..filler(0) }.problem(now), None);
        let mut away = filler(900);
        away.status.publisher = PublisherState::Reconnecting { cause: "refused".into() };
        assert_eq!(away.problem(now).as_deref(), Some("connection lost: refused"));
    }

    #[test]
    fn a_dead_thread_is_unhealthy_whatever_flows() {
        let now = Instant::now();
        let dead = EngineState { dead_thread: Some(("encode", "index 7".into())), ..connected(Some(now)) };
        assert_eq!(
            dead.problem(now).as_deref(),
            Some("the thread encode died (index 7), and tgs-stream ends")
        );
    }
}
