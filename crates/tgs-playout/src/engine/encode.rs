//! The encode thread: plays one item after another into the read-ahead, encoded, copied or from the cache, and tells why one
//! failed.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tgs_core::{backoff::Backoff, process::describe, supervise::contain};

use super::{
    EARLY, Shared,
    prepare::{Preparer, Ready, Turn, Way},
    skip_log::SkipLog,
};
use crate::{
    cache,
    copy::Groups,
    encoder::{self, Encoder, Job, Setup, last_message},
    feed::{Attempt, OnAir, Piece},
    flv::{FlvError, Kind, Tag},
    item::{Failure, Item, Reason, Source},
    probe::{self, Probe},
    status::METRICS,
};

/// After so many failures in a row there is a pause, also in the middle of a longer list.
const MANY: usize = 50;

/// Tags that may come before an encoder's first picture: some seconds of sound.
const MAX_EARLY: usize = 1000;

/// The encode thread.
pub(super) struct Encode {
    setup: Setup,
    copy_matching: bool,
    shared: Shared,
    failed: u64,
    failed_in_row: usize,
    skip_log: SkipLog,
}

impl Encode {
    pub(super) fn new(setup: Setup, shared: Shared, copy_matching: bool) -> Self {
        let skip_log = SkipLog::new(Instant::now());
        Self { setup, copy_matching, shared, failed: 0, failed_in_row: 0, skip_log }
    }

    /// Encodes until the programme is over or the broadcast cancelled; the number of failed items.
    pub(super) fn run(mut self, preparer: &Preparer) -> u64 {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        while !self.shared.cancel.is_cancelled() {
            let (next, round) = preparer.next();
            self.sum_up_failures();
            match next {
                // What is left is still shown, and a command may lead back.
                Turn::End => self.shared.feed.wait_reopened(&self.shared.cancel),
                Turn::Gone => break,
                Turn::Skip { title, failure } => {
                    self.pause(round, &mut backoff);
                    self.fail(&title, &failure, Duration::ZERO);
                }
                Turn::Play(ready, attempt) => {
                    self.pause(round, &mut backoff);
                    if !attempt.left.is_cancelled() {
                        let title = ready.item.title.clone();
                        #[cfg(test)]
                        crate::faults::strike("the encode thread", &title);
                        if let Err(panic) = contain(|| self.take_turn(*ready, &attempt)) {
                            self.fail(&title, &Failure::of_panic(&panic), Duration::ZERO);
                        }
                    }
                    self.shared.feed.close();
                }
            }
        }
        self.failed
    }

    /// Plays an item in the way that was found for it.
    fn take_turn(&mut self, ready: Ready, attempt: &Attempt) {
        let Ready { item, key, way } = ready;
        #[cfg(test)]
        crate::faults::strike("encoding", &item.title);
        match way {
            Way::Encode(found) => {
                let copied = Job::copy(&item, &found, &self.setup).filter(|_| self.copy_matching);
                match copied {
                    Some(job) => self.copy(item, &job, attempt),
                    None => self.play(item, key.as_ref(), &found, attempt),
                }
            }
            Way::Kept(entry) => self.replay(item, entry, attempt),
        }
    }

    /// Waits where the whole list has just failed, or much of a long one: the filler is on air, and asking again at once would
    /// change nothing.
    fn pause(&mut self, round: usize, backoff: &mut Backoff) {
        if self.failed_in_row == 0 {
            backoff.reset();
        } else if self.failed_in_row >= round.clamp(1, MANY) {
            self.failed_in_row = 0;
            self.sum_up_failures();
            let delay = backoff.next_delay();
            let seconds = delay.as_secs_f64();
            if round <= MANY {
                log::warn!("nothing in the list can be played; trying again in {seconds:.0} s");
            } else {
                log::warn!(
                    "{MANY} items in a row cannot be played; going on with the list in {seconds:.0} s"
                );
            }
            // A command, or an edit of the list, is worth another try.
            self.shared.feed.wait_told(delay, &self.shared.cancel);
        }
    }

    /// Plays what was encoded before. Where that turns out to be damaged the rest is encoded.
    fn replay(&mut self, item: Item, entry: cache::Entry, attempt: &Attempt) {
        self.shared.cache.measure();
        METRICS.cache_hits.inc();
        // No encoder works, so none is slow.
        METRICS.encoder_speed.set(0.0);
        self.shared.control.board.update(|status| status.encoder_speed_ratio = None);
        let feed = &self.shared.feed;
        let on_air = OnAir {
            run: attempt.run,
            // Its tags carry their times from the item's beginning on, wherever it goes on air.
            item: Item { start: Duration::ZERO, ..item.clone() },
            silent: entry.is_silent(),
            expected: Some(entry.length()),
        };
        let mut playback = entry.play(item.start);
        feed.give(Piece::Begin(Arc::new(on_air)), false, &attempt.left);
        let mut damaged = None;
        while let Some(group) = playback.next_group() {
            let Ok(tags) = group.map_err(|error| damaged = Some(error.at)) else { break };
            if !feed.give_group(tags, &attempt.left) {
                return;
            }
        }
        feed.give(Piece::End, false, &attempt.left);
        self.failed_in_row = 0;
        if let Some(at) = damaged {
            playback.remove();
            let seconds = at.as_secs();
            log::warn!(
                "what was kept of “{}” is damaged after {seconds} s and removed; encoding the rest",
                item.title
            );
            self.encode_rest(Item { start: at, ..item }, attempt);
        }
    }

    /// Plays `item` as it is stored, a group of pictures at a time. From the first on that cannot go on air so, it is encoded.
    fn copy(&mut self, item: Item, job: &Job, attempt: &Attempt) {
        let Ok(mut encoder) = Encoder::start(job.command(&self.setup), &attempt.left) else {
            // It will not encode either, and that says why.
            return self.encode_rest(item, attempt);
        };
        let (feed, left) = (&self.shared.feed, &attempt.left);
        let mut on_air =
            Some(OnAir { run: attempt.run, item: item.clone(), silent: false, expected: job.expected });
        let mut give = |group: Vec<Tag>| {
            let begin = on_air.take().map(|on_air| Piece::Begin(Arc::new(on_air)));
            begin.is_none_or(|begin| feed.give(begin, false, left)) && feed.give_group(group, left)
        };
        let mut groups = Groups::new(self.setup.profile.fps);
        let mut newest = 0;
        let ended = loop {
            let group = match encoder.next_tag() {
                Ok(Some(tag)) => {
                    newest = newest.max(tag.timestamp);
                    groups.push(tag)
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(format!("ffmpeg’s copy of it {error}")),
            };
            match group {
                Ok(Some(group)) => {
                    if !give(group) {
                        return;
                    }
                }
                Ok(None) => {}
                Err(why) => break Err(why),
            }
        };
        let short = job.expected.is_some_and(|whole| Duration::from_millis(newest) + EARLY < whole);
        let ended = match ended {
            Ok(()) if short => Err("the copy ends before its end".to_owned()),
            other => other,
        };
        if ended.is_ok() && !give(groups.rest()) {
            return;
        }
        let begun = on_air.is_none();
        if begun {
            feed.give(Piece::End, false, left);
        }
        match ended {
            Ok(()) => self.failed_in_row = 0,
            Err(_) if left.is_cancelled() => {}
            Err(why) => {
                let at = Duration::from_millis(groups.begun());
                log::info!("“{}” is encoded from {:.1} s on: {why}", item.title, at.as_secs_f64());
                self.encode_rest(Item { start: at, ..item }, attempt);
            }
        }
    }

    fn encode_rest(&mut self, item: Item, attempt: &Attempt) {
        let found = if item.media.sources.is_empty() {
            let why = "what was kept of it is damaged, and its page could not be asked";
            Err(Failure::new(Reason::Missing, why))
        } else {
            probe::probe(&self.shared.ffprobe, &item.media, self.setup.profile.height, &attempt.left)
        };
        match found {
            Ok(found) => self.play(item, None, &found, attempt),
            Err(_) if attempt.left.is_cancelled() => {}
            Err(failure) => self.fail(&item.title, &failure, item.start),
        }
    }

    fn play(&mut self, item: Item, key: Option<&cache::Key>, found: &Probe, attempt: &Attempt) {
        let title = item.title.clone();
        let job = Job::item(&item, found, &self.setup);
        let mut played = Duration::ZERO;
        let outcome = self.encode(item, key, &job, attempt, &mut played);
        if !played.is_zero() {
            self.shared.feed.give(Piece::End, false, &attempt.left);
        }
        match outcome {
            Ok(()) => self.failed_in_row = 0,
            // It was left, or the broadcast was stopped.
            Err(_) if attempt.left.is_cancelled() => {}
            Err(failure) => self.fail(&title, &failure, played),
        }
    }

    /// Runs the encoder of `item` to its end. `played` tells how much of it came.
    fn encode(
        &mut self,
        item: Item,
        key: Option<&cache::Key>,
        job: &Job,
        attempt: &Attempt,
        played: &mut Duration,
    ) -> Result<(), Failure> {
        let (feed, left) = (&self.shared.feed, &attempt.left);
        let tool = |e: io::Error| Failure::new(Reason::Tool, format!("cannot run ffmpeg: {e}"));
        let source = item.media.sources.first().cloned();
        #[cfg(test)]
        let title = item.title.clone();
        let mut encoder = Encoder::start(job.command(&self.setup), left).map_err(tool)?;
        let mut meter = Meter::new(self.setup.profile.fps);
        let live = item.media.live;
        let mut recording = key.and_then(|key| self.shared.cache.record(key, &item, job.expected));
        METRICS.cache_misses.inc_by(u64::from(recording.is_some()));
        let mut early = Vec::new();
        let mut on_air =
            Some(OnAir { run: attempt.run, item, silent: job.is_silent(), expected: job.expected });
        let read = loop {
            let began = Instant::now();
            let tag = match encoder.next_tag() {
                Ok(Some(tag)) => tag,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            #[cfg(test)]
            if meter.frames == 15 {
                crate::faults::strike("showing", &title);
            }
            meter.count(began.elapsed(), tag.kind == Kind::Video && tag.is_frame());
            if let Some(ratio) = meter.due() {
                METRICS.encoder_speed.set(ratio);
                self.shared.control.board.update(|status| status.encoder_speed_ratio = Some(ratio));
            }
            *played = meter.media();
            recording.take_if(|recording| !recording.push(&tag));
            if on_air.is_some() && !tag.is_keyframe() {
                // Headers, and sound that comes before the first picture: without one there is nothing to put on air.
                early.push(Piece::Tag(tag));
                if early.len() > MAX_EARLY {
                    break Ok(());
                }
                continue;
            }
            if let Some(on_air) = on_air.take() {
                feed.give(Piece::Begin(Arc::new(on_air)), live, left);
                for piece in early.drain(..) {
                    feed.give(piece, live, left);
                }
            }
            if !feed.give(Piece::Tag(tag), live, left) {
                break Err(io::Error::from(io::ErrorKind::ConnectionAborted).into());
            }
        };
        let ended = encoder.finish(read.is_ok()).map_err(tool)?;
        judge(&read, &ended, job.expected, *played, source.as_ref())?;
        // A hole that the network left once would be there for ever.
        let clean = ended.status.success()
            && (source.as_ref().is_some_and(Source::is_file) || ended.messages.trim().is_empty());
        if let (Some(recording), Some(length), true) = (recording, job.expected, clean) {
            recording.finish(length, job.is_silent(), job.titled);
        }
        Ok(())
    }

    fn sum_up_failures(&mut self) {
        if let Some(line) = self.skip_log.sum_up(Instant::now()) {
            log::warn!("{line}");
        }
    }

    /// Tells about an item that failed, and counts it.
    fn fail(&mut self, title: &str, failure: &Failure, played: Duration) {
        let what = if played.is_zero() { "skipped" } else { "cut short" };
        if let Some(line) = self.skip_log.add(format!("{what} “{title}”: {failure}"), Instant::now()) {
            log::warn!("{line}");
        }
        METRICS.failures.with_label_values(&[failure.reason.label()]).inc();
        self.shared.control.board.update(|status| status.last_failure = Some(format!("{title}: {failure}")));
        self.failed += 1;
        // What was on air for a while has not made the list unplayable.
        self.failed_in_row = if played > EARLY { 0 } else { self.failed_in_row + 1 };
    }
}

/// Whether an encoder's run was what was asked of it.
pub(crate) fn judge(
    read: &Result<(), FlvError>,
    ended: &encoder::Ended,
    expected: Option<Duration>,
    played: Duration,
    source: Option<&Source>,
) -> Result<(), Failure> {
    let missing = expected.map_or(Duration::ZERO, |expected| expected.saturating_sub(played));
    let whole = missing <= EARLY && !played.is_zero();
    let seconds = |d: Duration| format!("{:.1} s", d.as_secs_f64());
    if let Err(FlvError::Io(error)) = read
        && error.kind() == io::ErrorKind::TimedOut
    {
        let after = seconds(played);
        return Err(Failure::new(
            Reason::Stalled,
            format!("no frame came for {} s, {after} into it", encoder::STALL.as_secs()),
        ));
    }
    if whole && read.is_ok() {
        return Ok(());
    }
    if ended.status.code().is_none() {
        let how = describe(ended.status);
        return Err(Failure::new(
            Reason::Encoder,
            format!("its encoder was {how} after {}", seconds(played)),
        ));
    }
    if played.is_zero() {
        return Err(match source {
            Some(source) => encoder::explain(&ended.messages, source),
            None => Failure::new(Reason::Unplayable, "it names no source"),
        });
    }
    let remote = source.is_some_and(|source| !source.is_file());
    let said = match last_message(&ended.messages) {
        message if ended.messages.trim().is_empty() || message.is_empty() => String::new(),
        message => format!(" (ffmpeg says: {message})"),
    };
    let reason = if remote { Reason::Network } else { Reason::Truncated };
    Err(Failure::new(reason, format!("it ended {} before its end{said}", seconds(missing))))
}

/// Measures how fast an encoder works: media it makes in the time that somebody waits for it.
struct Meter {
    fps: f64,
    frames: u64,
    window_frames: u64,
    waited: Duration,
    since: Instant,
}

impl Meter {
    fn new(fps: u32) -> Self {
        let now = Instant::now();
        Self { fps: f64::from(fps), frames: 0, window_frames: 0, waited: Duration::ZERO, since: now }
    }

    fn count(&mut self, waited: Duration, picture: bool) {
        self.waited += waited;
        self.frames += u64::from(picture);
        self.window_frames += u64::from(picture);
    }

    fn media(&self) -> Duration {
        Duration::from_secs_f64(self.frames as f64 / self.fps)
    }

    /// The ratio of the last seconds, every two of them.
    fn due(&mut self) -> Option<f64> {
        if self.since.elapsed() < Duration::from_secs(2) || self.waited.is_zero() {
            return None;
        }
        let ratio = self.window_frames as f64 / self.fps / self.waited.as_secs_f64();
        *self = Self { frames: self.frames, ..Self::new(self.fps as u32) };
        Some(ratio)
    }
}
