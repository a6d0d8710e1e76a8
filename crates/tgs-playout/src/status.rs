//! What a running broadcast tells about itself: one snapshot for /status, and the counters for /metrics.
//!
//! Nothing is decided by these values.

use std::{
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};

use prometheus::{
    Gauge, IntCounter, IntCounterVec, IntGauge, Opts, register_gauge, register_int_counter,
    register_int_counter_vec, register_int_gauge,
};
use serde::Serialize;

use crate::item::FailureReason;

/// What is on air.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum OnAir {
    /// Nothing has been sent yet.
    #[default]
    Starting,
    /// An item.
    Item(PlayingItem),
    /// The filler, because of what `cause` says.
    Filler {
        /// In words.
        cause: String,
    },
    /// The broadcast is over.
    Stopped,
}

/// The item on air.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PlayingItem {
    /// The item's identity.
    pub id: String,
    /// Its title.
    pub title: String,
    /// How far into it the viewer is, in seconds.
    pub offset_seconds: f64,
    /// How long it is, in seconds, where that is known.
    pub duration_seconds: Option<f64>,
}

/// The publisher's side.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Connection {
    /// Not connected since the start.
    #[default]
    Connecting,
    /// Media can be sent.
    Connected,
    /// The connection is lost and being made again.
    Reconnecting {
        /// Why, in words.
        cause: String,
    },
}

/// Everything at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Status {
    /// What is on air.
    pub on_air: OnAir,
    /// The publisher.
    pub publisher: Connection,
    /// The item that was published last and how far: what a restart resumes.
    #[serde(skip)]
    pub published: Option<Published>,
    /// When media was sent last, to half a second.
    #[serde(skip)]
    pub sent_at: Option<Instant>,
    /// Seconds of encoded media that wait to be sent.
    pub readahead_seconds: f64,
    /// Seconds of sent media that the server's TCP has not acknowledged.
    pub queue_seconds: f64,
    /// Media seconds encoded in a second of the encoder's time; `None` before the first measurement, and where nothing is
    /// encoded.
    pub encoder_speed_ratio: Option<f64>,
    /// Why the last item that failed did so: title and cause.
    pub last_failure: Option<String>,
    /// Whether the filler is shown because it was asked for.
    pub paused: bool,
    /// Whether the list ends with the item that was current when that was asked for.
    pub stops_after_current: bool,
    /// What the broadcast is called, where that was said while it runs.
    pub title: Option<String>,
    /// What is known to follow what is on air.
    pub next: Option<String>,
    /// A thread that has died, though nothing goes on without it, and its panic.
    #[serde(skip)]
    pub dead_thread: Option<(&'static str, String)>,
    /// Since when nothing but the filler has been shown, without having been asked for.
    #[serde(skip)]
    pub filler_since: Option<Instant>,
}

/// How far an item has been published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its [`crate::item::Item::turn`].
    pub place: u64,
    /// From its own beginning.
    pub offset: Duration,
}

/// The shared snapshot.
#[derive(Debug, Clone, Default)]
pub struct SharedStatus(Arc<Mutex<Status>>);

impl SharedStatus {
    /// A copy of what is on it.
    #[must_use]
    pub fn read(&self) -> Status {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes it.
    pub fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Media that stood still for longer than this is reported by /healthz.
const HEALTHY_PAUSE: Duration = Duration::from_secs(5);

/// So is a filler that nobody asked for, after this long.
const HEALTHY_FILLER: Duration = Duration::from_mins(5);

impl Status {
    /// What holds beyond one run of the engine: what an operator has said.
    #[must_use]
    pub fn said(&self) -> Self {
        Self {
            paused: self.paused,
            stops_after_current: self.stops_after_current,
            title: self.title.clone(),
            ..Self::default()
        }
    }

    /// Whether media flows; if not, why.
    pub fn health(&self) -> Result<(), String> {
        self.health_at(Instant::now())
    }

    fn health_at(&self, now: Instant) -> Result<(), String> {
        if let Some((name, panic)) = &self.dead_thread {
            return Err(format!("the thread {name} died ({panic}), and tgs-stream ends"));
        }
        match &self.publisher {
            Connection::Connecting => return Err("not yet connected to the server".into()),
            Connection::Reconnecting { cause } => return Err(format!("connection lost: {cause}")),
            Connection::Connected => {}
        }
        let since = |at: Instant| now.saturating_duration_since(at);
        let still = since(self.sent_at.ok_or("nothing was sent yet")?);
        if still > HEALTHY_PAUSE {
            return Err(format!("nothing was sent for {} s", still.as_secs()));
        }
        if let (OnAir::Filler { cause }, Some(filler)) = (&self.on_air, self.filler_since.map(since))
            && filler >= HEALTHY_FILLER
        {
            // What failed since the filler came says more than why it came.
            let failed = self.last_failure.as_ref().map(|failure| format!("last failure: {failure}"));
            let cause = failed.as_ref().unwrap_or(cause);
            return Err(format!("only the filler is shown for {} min: {cause}", filler.as_secs() / 60));
        }
        Ok(())
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
    pub(crate) cache_hits: IntCounter,
    pub(crate) cache_misses: IntCounter,
    pub(crate) cache_evictions: IntCounter,
    pub(crate) cache_bytes: Gauge,
}

/// The one set of them. Reading it registers all, so that each series exists from the first scrape on.
pub static METRICS: LazyLock<EngineMetrics> = LazyLock::new(|| {
    let metrics = EngineMetrics::register().expect("metric names are constants and registered once");
    for reason in FailureReason::ALL {
        metrics.failures.with_label_values(&[reason.label()]);
    }
    metrics
});

impl EngineMetrics {
    fn register() -> prometheus::Result<Self> {
        Ok(Self {
            streams_played: register_int_counter!("streams_played_total", "Items that went on air.")?,
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
            cache_hits: register_int_counter!(
                "tgs_cache_hits_total",
                "Items that were played as they had been encoded before."
            )?,
            cache_misses: register_int_counter!(
                "tgs_cache_misses_total",
                "Items that had to be encoded and might have been in the cache."
            )?,
            cache_evictions: register_int_counter!(
                "tgs_cache_evictions_total",
                "Encoded items that were removed to make room for others."
            )?,
            cache_bytes: register_gauge!(
                "tgs_cache_size_bytes",
                "Bytes of encoded items in CACHE_DIR, which broadcasts may share."
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_goes_by_a_clock_that_nobody_sets() {
        let sent = |ago: u64| Status {
            publisher: Connection::Connected,
            sent_at: Instant::now().checked_sub(Duration::from_secs(ago)),
            ..Status::default()
        };
        assert_eq!(sent(3).health(), Ok(()));
        assert_eq!(sent(7).health(), Err("nothing was sent for 7 s".to_owned()));
        let none = Status { sent_at: None, ..sent(0) };
        assert_eq!(none.health(), Err("nothing was sent yet".to_owned()));
        // What the wall's clock says is shown, and decides nothing.
        METRICS.last_progress.set(4e9);
        assert!(sent(7).health().is_err());
    }

    #[test]
    fn five_minutes_of_filler_that_nobody_asked_for_are_unhealthy() {
        let now = Instant::now();
        let filler = |seconds| {
            let since = now.checked_sub(Duration::from_secs(seconds));
            Status {
                publisher: Connection::Connected,
                sent_at: Some(now),
                on_air: OnAir::Filler { cause: "nothing to play".into() },
                filler_since: since,
                ..Status::default()
            }
        };
        assert_eq!(filler(299).health_at(now), Ok(()));
        let long = "only the filler is shown for 5 min: nothing to play";
        assert_eq!(filler(301).health_at(now), Err(long.to_owned()));
        let failed = Status { last_failure: Some("a film: no such file".into()), ..filler(600) };
        let long = "only the filler is shown for 10 min: last failure: a film: no such file";
        assert_eq!(failed.health_at(now), Err(long.to_owned()));
        // Asked for, it is not counted.
        assert_eq!(Status { filler_since: None, ..filler(0) }.health_at(now), Ok(()));
        let away = Status { publisher: Connection::Reconnecting { cause: "refused".into() }, ..filler(900) };
        assert_eq!(away.health_at(now), Err("connection lost: refused".to_owned()));
    }

    #[test]
    fn a_dead_thread_is_unhealthy_whatever_flows() {
        let now = Instant::now();
        let dead = Status {
            publisher: Connection::Connected,
            sent_at: Some(now),
            dead_thread: Some(("encode", "index 7".into())),
            ..Status::default()
        };
        assert_eq!(
            dead.health_at(now),
            Err("the thread encode died (index 7), and tgs-stream ends".to_owned())
        );
    }
}
