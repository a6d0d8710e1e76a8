//! State that the prepare and encode threads share.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tgs_core::{cancel::Cancel, supervise::contain};

use super::control::Control;
use crate::{
    cache::{Cache, CacheEntry},
    ffmpeg::{
        EncodeSetup,
        probe::{Probe, ProbeOptions},
    },
    item::{Item, Media},
    lane::OpenLane,
    loudness::LoudnessMeter,
    read_ahead::ReadAhead,
    status::METRICS,
};

/// Time for which an item may wait for its loudness before it is encoded.
const IN_TIME: Duration = Duration::from_secs(5);

/// Longer files are not measured within [`IN_TIME`]: a second of sound takes about 0.01 s.
const SHORT: Duration = Duration::from_mins(5);

/// State that the prepare and encode threads share.
#[derive(Debug, Clone)]
pub(super) struct EngineContext {
    pub(super) ffprobe: PathBuf,
    /// Options of every probe of this broadcast.
    pub(super) wanted: ProbeOptions,
    /// The settings of all encoders.
    pub(super) setup: Arc<EncodeSetup>,
    pub(super) cache: Arc<Cache>,
    /// `None` if the loudness of items stays as it is.
    pub(super) meter: Option<Arc<LoudnessMeter>>,
    pub(super) read_ahead: Arc<ReadAhead>,
    pub(super) control: Control,
    pub(super) cancel: Cancel,
    /// The lane that the threads work for; `None`: the list.
    pub(super) lane: Option<Arc<OpenLane>>,
}

impl EngineContext {
    /// Runs `work`, the body of the thread `name`. A panic ends the lane; that of the list's
    /// threads ends the broadcast.
    pub(super) fn guard<T>(&self, name: &'static str, work: impl FnOnce() -> T) -> Option<T> {
        match &self.lane {
            None => self.control.guard(name, work),
            Some(lane) => contain(work)
                .map_err(|panic| {
                    log::error!("“{}” ends, because its thread {name} died: {panic}", lane.name);
                    lane.close(&format!("its thread {name} died"));
                })
                .ok(),
        }
    }

    /// Whether `entry` serves for `item`. A held start continues with the very picture at which
    /// another engine leaves.
    pub(super) fn accepts(&self, entry: &CacheEntry, item: &Item) -> bool {
        !self.control.held.is_held() || item.start.is_zero() || entry.begins_at(item.start)
    }

    /// Adds the kept measurement of the sound to what was probed.
    pub(super) fn add_loudness(&self, media: &Media, found: &mut Probe) {
        if let Some(meter) = self.meter.as_ref().filter(|_| found.loudness.is_none()) {
            found.loudness = meter.known(media, found);
        }
    }

    /// The same; a short file that is not measured yet is measured now, within [`IN_TIME`].
    pub(super) fn measure_in_time(&self, media: &Media, found: &mut Probe) {
        self.add_loudness(media, found);
        let short = found.duration.is_some_and(|length| length <= SHORT);
        let Some(meter) = self.meter.as_ref().filter(|_| found.loudness.is_none()) else { return };
        if !short || !media.is_stored() || found.audio.is_none() {
            return;
        }
        let deadline = Instant::now() + IN_TIME;
        let mut proceed = || Instant::now() < deadline && !self.cancel.is_cancelled();
        match meter.measure(media, found, true, &mut proceed) {
            Ok(loudness) => found.loudness = Some(loudness),
            Err(why) => log::debug!("a loudness is not measured in time: {why}"),
        }
    }

    /// Shows the title of the prepared item, if the list's.
    pub(super) fn show_next(&self, next: Option<String>) {
        if self.lane.is_none() {
            self.control.status.show(|status| status.next = next);
        }
    }

    /// Publishes the encoder's speed; `None` while no encoder runs.
    pub(super) fn show_speed(&self, ratio: Option<f64>) {
        METRICS.encoder_speed.set(ratio.unwrap_or_default());
        self.control.status.show(|status| status.encoder_speed_ratio = ratio);
    }
}
