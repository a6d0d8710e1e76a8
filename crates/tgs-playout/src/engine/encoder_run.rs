//! One encoder of an item, from start to end: passes its tags to the read-ahead and the cache and
//! judges its end. [`super::play`] decides whether another encoder continues.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tgs_rtmp::flv::{FlvError, Kind, Tag};

use super::{
    context::EngineContext,
    speed_meter::SpeedMeter,
    unplayed::{EncodedExtent, SplitInputs, UnplayedItem},
};
use crate::{
    cache::{CacheKey, CacheRecording},
    ffmpeg::{
        Abandoned, EncodeJob, EncodeSetup, Encoder, EncoderExit,
        outcome::judge,
        probe::{self, Probe},
        ready_subtitles::ReadySubtitles,
    },
    item::{FailureReason, ItemFailure, MediaSource},
    read_ahead::{AdmittedItem, Event, StartedItem},
    status::METRICS,
};

/// Limit of tags before an encoder's first picture: some seconds of sound.
const MAX_EARLY: usize = 1000;

/// Runs encoders of one item.
pub(super) struct EncoderRunner<'a> {
    pub(super) context: &'a EngineContext,
    pub(super) setup: &'a EncodeSetup,
    pub(super) admitted: &'a AdmittedItem,
}

/// The result of one encoder.
pub(super) struct EncoderRun {
    pub(super) outcome: Result<(), ItemFailure>,
    /// Length of the media that this encoder produced.
    pub(super) played: Duration,
    /// Streams of the source that begin where the encoded ones end.
    pub(super) following: Option<Probe>,
    /// How to read the remainder when picture and sound diverge.
    pub(super) split: Option<SplitInputs>,
    /// Whether another encoder may succeed.
    pub(super) retry: bool,
}

impl EncoderRunner<'_> {
    /// Runs an encoder of `unplayed` to its end.
    pub(super) fn run(&self, unplayed: &UnplayedItem, key: Option<&CacheKey>, job: &EncodeJob) -> EncoderRun {
        let mut run = EncoderRun {
            outcome: Ok(()),
            played: Duration::ZERO,
            following: None,
            split: None,
            retry: false,
        };
        match self.try_run(unplayed, key, job, &mut run) {
            Ok(exit) => {
                let hopeless = matches!(exit.abandoned, Some(Abandoned::Trickles(_) | Abandoned::Broken(..)));
                run.retry = !hopeless;
                let fps = unplayed.found.video.map_or(0.0, |video| video.fps);
                log_losses(&unplayed.item.title, &exit, run.played, fps);
            }
            Err(error) => {
                run.outcome =
                    Err(ItemFailure::new(FailureReason::Tool, format!("cannot run ffmpeg: {error}")));
            }
        }
        run
    }

    fn try_run(
        &self,
        unplayed: &UnplayedItem,
        key: Option<&CacheKey>,
        job: &EncodeJob,
        run: &mut EncoderRun,
    ) -> io::Result<EncoderExit> {
        let item = &unplayed.item;
        let mut encoder = Encoder::start(job.command(self.setup), &self.admitted.discarded)?;
        encoder.watch(unplayed.found.watch(&item.media));
        // The next time the item is measured and sounds better, or has its subtitles.
        let complete = !job.is_one_pass() && unplayed.found.ready_subtitles != ReadySubtitles::Failed;
        let key = key.filter(|_| complete);
        let mut recording = key.and_then(|key| self.context.cache.record(key, item, job.expected));
        METRICS.cache.misses.inc_by(u64::from(recording.is_some()));
        let mut output = ItemOutput::new(self, unplayed, job);
        let read = self.copy_tags(&mut encoder, unplayed, &mut output, &mut recording, run);
        let to_end = match &read {
            Err(FlvError::Io(error)) => error.kind() == io::ErrorKind::UnexpectedEof,
            other => other.is_ok(),
        };
        let mut extent = EncodedExtent {
            picture: output.is_started(),
            sound: encoder.has_sound(),
            sound_ahead: encoder.is_sound_ahead(),
            whole: false,
        };
        let exit = encoder.finish(to_end)?;
        extent.whole = to_end && exit.status.success();
        let source = item.media.sources.first();
        run.outcome = judge(&read, &exit, job.promised(&exit, source), run.played, source);
        run.following = self.following(unplayed, &exit, run.played);
        // Separate inputs do not help with a broken, encrypted or too slow source.
        let killed = matches!(&run.outcome, Err(failure) if failure.reason == FailureReason::Encoder);
        let hopeless = exit.abandoned.is_some_and(|why| why != Abandoned::Stalled);
        if run.following.is_none() && !killed && !hopeless {
            run.split = unplayed.needs_split(extent);
        }
        let clean = exit.status.success()
            && run.following.is_none()
            && run.split.is_none()
            // A network source may leave a gap this time only; the cache would keep it.
            && (source.is_some_and(MediaSource::is_file) || exit.messages.trim().is_empty())
            && run.outcome.is_ok();
        if let (Some(loudness), Some(meter), true) =
            (&exit.loudness, &self.context.meter, clean && job.measures())
        {
            meter.keep(&item.media, &unplayed.found, loudness);
        }
        let length = if job.estimated { Some(run.played) } else { job.expected };
        if let (Some(recording), Some(length), true) = (recording, length, clean) {
            recording.finish(length, job.is_silent(), job.titled);
        }
        Ok(exit)
    }

    /// Copies the encoder's tags until it ends, the item is discarded, or sound comes without a
    /// picture.
    fn copy_tags(
        &self,
        encoder: &mut Encoder,
        unplayed: &UnplayedItem,
        output: &mut ItemOutput<'_>,
        recording: &mut Option<CacheRecording>,
        run: &mut EncoderRun,
    ) -> Result<(), FlvError> {
        let mut meter = SpeedMeter::new(self.setup.profile.fps, Instant::now());
        loop {
            let began = Instant::now();
            let Some(tag) = encoder.next_tag()? else { return Ok(()) };
            #[cfg(test)]
            if meter.media() == Duration::from_millis(500) {
                crate::faults::strike("showing", &unplayed.item.title);
            }
            meter.count(began.elapsed(), tag.kind == Kind::Video && tag.is_frame());
            if let Some(ratio) = meter.due(Instant::now(), || encoder.cpu_time()) {
                self.context.show_speed(Some(ratio));
            }
            run.played = meter.media();
            // In a transport stream another picture stream may begin there.
            if unplayed.found.pid.is_none() && unplayed.may_split() && encoder.is_sound_ahead() {
                return Ok(());
            }
            recording.take_if(|recording| !recording.push(&tag));
            if !output.push(tag)? {
                return Ok(());
            }
        }
    }

    /// The streams that begin in the source where those of `unplayed` end, `played` after its
    /// start.
    fn following(&self, unplayed: &UnplayedItem, exit: &EncoderExit, played: Duration) -> Option<Probe> {
        let UnplayedItem { item, found, .. } = unplayed;
        let cut = item.media.ends_at(found.speed().stored(item.start.saturating_add(played)));
        if cut || item.media.live || exit.abandoned.is_some() || !exit.status.success() {
            return None;
        }
        let (ffprobe, wanted) = (&self.context.ffprobe, self.setup.wanted());
        let discarded = &self.admitted.discarded;
        probe::following(ffprobe, &item.media, wanted, found, &exit.new_streams, discarded)
            .inspect_err(|failure| {
                log::warn!("“{}”: cannot look for streams behind its own: {failure}", item.title);
            })
            .ok()
            .flatten()
    }
}

/// Puts an encoder's tags into the read-ahead; the item begins at its first keyframe.
struct ItemOutput<'a> {
    runner: &'a EncoderRunner<'a>,
    live: bool,
    unstarted: Option<StartedItem>,
    /// Headers and sound before the first keyframe.
    early: Vec<Event>,
}

impl<'a> ItemOutput<'a> {
    fn new(runner: &'a EncoderRunner<'a>, unplayed: &UnplayedItem, job: &EncodeJob) -> Self {
        let item = unplayed.item.clone();
        let live = item.media.live;
        let (silent, expected) = (job.is_silent(), job.expected);
        let started = StartedItem { seq: runner.admitted.seq, item, silent, expected };
        Self { runner, live, unstarted: Some(started), early: Vec::new() }
    }

    fn is_started(&self) -> bool {
        self.unstarted.is_none()
    }

    /// Pushes one tag. `false` if [`MAX_EARLY`] tags came without a keyframe.
    fn push(&mut self, tag: Tag) -> Result<bool, FlvError> {
        let (read_ahead, discarded) = (&self.runner.context.read_ahead, &self.runner.admitted.discarded);
        if self.unstarted.is_some() && !tag.is_keyframe() {
            self.early.push(Event::Tag(tag));
            return Ok(self.early.len() <= MAX_EARLY);
        }
        if let Some(started) = self.unstarted.take() {
            read_ahead.push(Event::Begin(Arc::new(started)), self.live, discarded);
            for event in self.early.drain(..) {
                read_ahead.push(event, self.live, discarded);
            }
        }
        if read_ahead.push(Event::Tag(tag), self.live, discarded) {
            Ok(true)
        } else {
            Err(io::Error::from(io::ErrorKind::ConnectionAborted).into())
        }
    }
}

/// Logs lost sound and damaged pictures of an item that played.
fn log_losses(title: &str, exit: &EncoderExit, played: Duration, fps: f64) {
    if exit.sound_lost {
        log::warn!("“{title}”: its sound ends before its picture; the sound that begins there is not played");
    }
    let pictures = (played.as_secs_f64() * if fps > 0.0 { fps } else { 25.0 }) as u64;
    if exit.abandoned.is_none() && exit.damaged > 0 && exit.damaged * 20 >= pictures {
        log::warn!("“{title}”: {} of {pictures} pictures are damaged", exit.damaged);
    }
}
