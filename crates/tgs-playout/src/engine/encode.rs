//! The encode thread: plays one item after another into the read-ahead, encoded, copied or from the cache, and tells why one
//! failed.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tgs_core::{backoff::Backoff, supervise::contain};
use tgs_rtmp::flv::{FlvError, Kind, Tag};

use super::{
    context::EngineContext,
    meter::SpeedMeter,
    prepare::{NextStep, PlaySource, PrepareHandle, PreparedItem},
    rest::{EncodedExtent, SplitInputs, UnplayedItem},
    skip_log::SkipLog,
};
use crate::{
    cache,
    ffmpeg::{
        Abandoned, EncodeJob, EncodeSetup, Encoder, EncoderExit,
        outcome::{EARLY, judge},
        passthrough::GroupSplitter,
        probe::{self, Probe},
    },
    item::{FailureReason, Item, ItemFailure, MediaSource},
    read_ahead::{AdmittedItem, Event, StartedItem},
    status::METRICS,
};

/// After so many failures in a row there is a pause, also in the middle of a longer list.
const MANY: usize = 50;

/// Tags that may come before an encoder's first picture: some seconds of sound.
const MAX_EARLY: usize = 1000;

/// So much of a picture that has ended is shown again, for the last of it to be held.
const AGAIN: Duration = Duration::from_millis(200);

/// An item that is shorter than this is followed by a pause of [`PAUSE`]: a list of single frames would keep the log and the
/// processor busy for nothing.
const BRIEF: Duration = Duration::from_millis(300);

/// See [`BRIEF`].
const PAUSE: Duration = Duration::from_millis(500);

/// The encode thread.
pub(super) struct EncodeThread {
    setup: EncodeSetup,
    copy_matching: bool,
    shared: EngineContext,
    failed: u64,
    failed_in_row: usize,
    skip_log: SkipLog,
}

impl EncodeThread {
    pub(super) fn new(setup: EncodeSetup, shared: EngineContext, copy_matching: bool) -> Self {
        let skip_log = SkipLog::new(Instant::now());
        Self { setup, copy_matching, shared, failed: 0, failed_in_row: 0, skip_log }
    }

    /// Encodes until the programme is over or the broadcast cancelled; the number of failed items.
    pub(super) fn run(mut self, preparer: &PrepareHandle) -> u64 {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        while !self.shared.cancel.is_cancelled() {
            let (next, round) = preparer.next();
            self.sum_up_failures();
            match next {
                // What is left is still shown, and a command may lead back.
                NextStep::End => self.shared.read_ahead.wait_reopened(&self.shared.cancel),
                NextStep::Gone => break,
                NextStep::Skip { title, failure } => {
                    self.pause(round, &mut backoff);
                    self.fail(&title, &failure, Duration::ZERO);
                }
                NextStep::Play(ready, attempt) => {
                    self.pause(round, &mut backoff);
                    let brief = ready.source.length().is_some_and(|length| length < BRIEF);
                    if !attempt.left.is_cancelled() {
                        let title = ready.item.title.clone();
                        #[cfg(test)]
                        crate::faults::strike("the encode thread", &title);
                        if let Err(panic) = contain(|| self.take_turn(*ready, &attempt)) {
                            self.fail(&title, &ItemFailure::of_panic(&panic), Duration::ZERO);
                        }
                    }
                    self.shared.read_ahead.close();
                    // No encoder works, so none is slow.
                    self.shared.show_speed(None);
                    if brief {
                        self.shared.read_ahead.wait_command(PAUSE, &self.shared.cancel);
                    }
                }
            }
        }
        self.failed
    }

    /// Plays an item in the way that was found for it.
    fn take_turn(&mut self, ready: PreparedItem, attempt: &AdmittedItem) {
        let PreparedItem { item, key, source: way } = ready;
        #[cfg(test)]
        crate::faults::strike("encoding", &item.title);
        match way {
            PlaySource::Encode(found) => {
                let copied = EncodeJob::copy(&item, &found, &self.setup).filter(|_| self.copy_matching);
                match copied {
                    Some(job) => self.copy(item, &job, attempt),
                    None => self.play(item, key.as_ref(), &found, attempt),
                }
            }
            PlaySource::Unprobed => self.encode_rest(item, attempt),
            PlaySource::Cached(entry) => self.replay(item, entry, attempt),
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
            self.shared.read_ahead.wait_command(delay, &self.shared.cancel);
        }
    }

    /// Plays what was encoded before. Where that turns out to be damaged the rest is encoded.
    fn replay(&mut self, item: Item, entry: cache::CacheEntry, attempt: &AdmittedItem) {
        self.shared.cache.measure();
        METRICS.cache_hits.inc();
        let read_ahead = &self.shared.read_ahead;
        let on_air = StartedItem {
            run: attempt.run,
            // Its tags carry their times from the item's beginning on, wherever it goes on air.
            item: Item { start: Duration::ZERO, ..item.clone() },
            silent: entry.is_silent(),
            expected: Some(entry.length()),
        };
        let mut playback = entry.play(item.start);
        read_ahead.push(Event::Begin(Arc::new(on_air)), false, &attempt.left);
        let mut damaged = None;
        while let Some(group) = playback.next_group() {
            let Ok(tags) = group.map_err(|error| damaged = Some(error.at)) else { break };
            if !read_ahead.push_group(tags, &attempt.left) {
                return;
            }
        }
        read_ahead.push(Event::End, false, &attempt.left);
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
    fn copy(&mut self, item: Item, job: &EncodeJob, attempt: &AdmittedItem) {
        let Ok(mut encoder) = Encoder::start(job.command(&self.setup), &attempt.left) else {
            // It will not encode either, and that says why.
            return self.encode_rest(item, attempt);
        };
        let (read_ahead, left) = (&self.shared.read_ahead, &attempt.left);
        let mut on_air =
            Some(StartedItem { run: attempt.run, item: item.clone(), silent: false, expected: job.expected });
        let mut give = |group: Vec<Tag>| {
            let begin = on_air.take().map(|on_air| Event::Begin(Arc::new(on_air)));
            begin.is_none_or(|begin| read_ahead.push(begin, false, left))
                && read_ahead.push_group(group, left)
        };
        let mut groups = GroupSplitter::new(self.setup.profile.fps);
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
            read_ahead.push(Event::End, false, left);
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

    fn encode_rest(&mut self, item: Item, attempt: &AdmittedItem) {
        let found = if item.media.sources.is_empty() {
            let why = "what was kept of it is damaged, and its page could not be asked";
            Err(ItemFailure::new(FailureReason::Missing, why))
        } else {
            probe::probe(&self.shared.ffprobe, &item.media, self.setup.wanted(), &attempt.left)
        };
        match found {
            Ok(found) => self.play(item, None, &found, attempt),
            Err(_) if attempt.left.is_cancelled() => {}
            Err(failure) => self.fail(&item.title, &failure, item.start),
        }
    }

    /// Encodes `item`, by another encoder from where one has failed.
    fn play(&mut self, item: Item, key: Option<&cache::CacheKey>, found: &Probe, attempt: &AdmittedItem) {
        let (title, start) = (item.title.clone(), item.start);
        let (read_ahead, left) = (self.shared.read_ahead.clone(), &attempt.left);
        let mut rest = UnplayedItem::new(item, *found);
        let mut key = key;
        let outcome = loop {
            let job = rest.job(&self.setup);
            let EncoderRun { outcome, played, later, apart, again } =
                self.encode(&rest, key.take(), &job, attempt);
            if left.is_cancelled() {
                // It was left, or the broadcast was stopped.
                return;
            }
            if let Some(later) = later {
                rest.came(played);
                let at = rest.item.start.as_secs_f64();
                log::info!("“{title}”: its streams end after {at:.1} s and others go on; encoding those");
                rest.goes_on_with(later);
                continue;
            }
            if let Some(apart) = apart {
                let cut = Duration::from_secs(read_ahead.cut_open_group()) / self.setup.profile.fps;
                rest.came(played.saturating_sub(cut.max(AGAIN)));
                let at = rest.item.start.as_secs_f64();
                let how = match apart {
                    SplitInputs::Each => "its sound goes on without its picture; reading each on its own",
                    SplitInputs::SoundAlone => "no picture comes; playing its sound",
                };
                log::info!("“{title}”, from {at:.1} s on: {how}");
                rest.read_apart(apart);
                continue;
            }
            let again = again && outcome.as_ref().is_err_and(|failure| rest.may_go_on(failure, played));
            let failure = match outcome {
                Err(failure) if again => failure,
                ended => {
                    rest.came(played);
                    break ended;
                }
            };
            let cut = Duration::from_secs(read_ahead.cut_open_group()) / self.setup.profile.fps;
            rest.came(played.saturating_sub(cut));
            let live = rest.item.media.live;
            let how = if live { "connecting again" } else { "encoding the rest" };
            log::warn!("“{title}”: {failure}; {how}");
            if live {
                // It may be another by now.
                let wanted = self.setup.wanted();
                match probe::probe(&self.shared.ffprobe, &rest.item.media, wanted, left) {
                    Ok(found) => rest.goes_on_with(found),
                    Err(failure) => break Err(failure),
                }
            }
        };
        let played = rest.item.start.saturating_sub(start);
        if !played.is_zero() {
            read_ahead.push(Event::End, false, left);
        }
        match outcome {
            Ok(()) => self.failed_in_row = 0,
            Err(_) if left.is_cancelled() => {}
            Err(failure) => self.fail(&title, &failure, played),
        }
    }

    /// Runs an encoder of `rest` to its end.
    fn encode(
        &self,
        rest: &UnplayedItem,
        key: Option<&cache::CacheKey>,
        job: &EncodeJob,
        attempt: &AdmittedItem,
    ) -> EncoderRun {
        let mut run =
            EncoderRun { outcome: Ok(()), played: Duration::ZERO, later: None, apart: None, again: false };
        match self.run_encoder(rest, key, job, attempt, &mut run) {
            Ok(ended) => {
                let hopeless = matches!(ended.given_up, Some(Abandoned::Trickles(_) | Abandoned::Broken(..)));
                run.again = !hopeless;
                let fps = rest.found.video.map_or(0.0, |video| video.fps);
                tell_losses(&rest.item.title, &ended, run.played, fps);
            }
            Err(error) => {
                run.outcome =
                    Err(ItemFailure::new(FailureReason::Tool, format!("cannot run ffmpeg: {error}")));
            }
        }
        run
    }

    /// What goes on in the file behind the streams of `rest`, whose encoder has come to its end.
    fn later(&self, rest: &UnplayedItem, ended: &EncoderExit, attempt: &AdmittedItem) -> Option<Probe> {
        let UnplayedItem { item, found, .. } = rest;
        if item.media.live || ended.given_up.is_some() || !ended.status.success() {
            return None;
        }
        let (ffprobe, wanted) = (&self.shared.ffprobe, self.setup.wanted());
        probe::later(ffprobe, &item.media, wanted, found, &ended.new_streams, &attempt.left)
            .inspect_err(|failure| {
                log::warn!("“{}”: cannot look for more behind its streams: {failure}", item.title);
            })
            .ok()
            .flatten()
    }

    /// Gives what an encoder of `rest` makes to the read-ahead and the cache; `run` tells what came of it.
    fn run_encoder(
        &self,
        rest: &UnplayedItem,
        key: Option<&cache::CacheKey>,
        job: &EncodeJob,
        attempt: &AdmittedItem,
        run: &mut EncoderRun,
    ) -> io::Result<EncoderExit> {
        let (read_ahead, left, item) = (&self.shared.read_ahead, &attempt.left, &rest.item);
        let mut encoder = Encoder::start(job.command(&self.setup), left)?;
        #[cfg(test)]
        let title = item.title.clone();
        encoder.watch(rest.found.watch(&item.media));
        let mut meter = SpeedMeter::new(self.setup.profile.fps, Instant::now());
        let live = item.media.live;
        let mut recording = key.and_then(|key| self.shared.cache.record(key, item, job.expected));
        METRICS.cache_misses.inc_by(u64::from(recording.is_some()));
        let mut early = Vec::new();
        let mut on_air = Some(StartedItem {
            run: attempt.run,
            item: item.clone(),
            silent: job.is_silent(),
            expected: job.expected,
        });
        let read = loop {
            let began = Instant::now();
            let tag = match encoder.next_tag() {
                Ok(Some(tag)) => tag,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            #[cfg(test)]
            if meter.media() == Duration::from_millis(500) {
                crate::faults::strike("showing", &title);
            }
            meter.count(began.elapsed(), tag.kind == Kind::Video && tag.is_frame());
            if let Some(ratio) = meter.due(Instant::now(), || encoder.cpu_time()) {
                self.shared.show_speed(Some(ratio));
            }
            run.played = meter.media();
            // In a transport stream another picture may begin there.
            if rest.found.pid.is_none() && rest.may_part() && encoder.is_apart() {
                break Ok(());
            }
            recording.take_if(|recording| !recording.push(&tag));
            if on_air.is_some() && !tag.is_keyframe() {
                // Headers, and sound that comes before the first picture: without one there is nothing to put on air.
                early.push(Event::Tag(tag));
                if early.len() > MAX_EARLY {
                    break Ok(());
                }
                continue;
            }
            if let Some(on_air) = on_air.take() {
                read_ahead.push(Event::Begin(Arc::new(on_air)), live, left);
                for piece in early.drain(..) {
                    read_ahead.push(piece, live, left);
                }
            }
            if !read_ahead.push(Event::Tag(tag), live, left) {
                break Err(io::Error::from(io::ErrorKind::ConnectionAborted).into());
            }
        };
        let over = match &read {
            Err(FlvError::Io(error)) => error.kind() == io::ErrorKind::UnexpectedEof,
            other => other.is_ok(),
        };
        let (sound_ahead, heard) = (encoder.is_apart(), encoder.is_heard());
        let ended = encoder.finish(over)?;
        let source = item.media.sources.first();
        run.outcome = judge(&read, &ended, job.promised(&ended, source), run.played, source);
        run.later = self.later(rest, &ended, attempt);
        // What is broken, encrypted or too slow plays no better so; another encoder replaces one that was killed.
        let killed = matches!(&run.outcome, Err(failure) if failure.reason == FailureReason::Encoder);
        let hopeless = ended.given_up.is_some_and(|why| why != Abandoned::Stalled);
        if run.later.is_none() && !killed && !hopeless {
            run.apart = rest.apart(EncodedExtent {
                picture: on_air.is_none(),
                sound: heard,
                sound_ahead,
                whole: over && ended.status.success(),
            });
        }
        // A hole that the network left once would be there for ever.
        let clean = ended.status.success()
            && run.later.is_none()
            && run.apart.is_none()
            && (source.is_some_and(MediaSource::is_file) || ended.messages.trim().is_empty())
            && run.outcome.is_ok();
        let length = if job.estimated { Some(run.played) } else { job.expected };
        if let (Some(recording), Some(length), true) = (recording, length, clean) {
            recording.finish(length, job.is_silent(), job.titled);
        }
        Ok(ended)
    }

    fn sum_up_failures(&mut self) {
        if let Some(line) = self.skip_log.sum_up(Instant::now()) {
            log::warn!("{line}");
        }
    }

    /// Tells about an item that failed, and counts it.
    fn fail(&mut self, title: &str, failure: &ItemFailure, played: Duration) {
        let what = if played.is_zero() { "skipped" } else { "cut short" };
        if let Some(line) = self.skip_log.add(format!("{what} “{title}”: {failure}"), Instant::now()) {
            log::warn!("{line}");
        }
        METRICS.failures.with_label_values(&[failure.reason.label()]).inc();
        self.shared.control.board.show(|status| status.last_failure = Some(format!("{title}: {failure}")));
        self.failed += 1;
        // What was on air for a while has not made the list unplayable.
        self.failed_in_row = if played > EARLY { 0 } else { self.failed_in_row + 1 };
    }
}

/// What an encoder has come to.
struct EncoderRun {
    outcome: Result<(), ItemFailure>,
    /// How much of the item it gave.
    played: Duration,
    /// What goes on in the file behind the streams that it encoded.
    later: Option<Probe>,
    /// How the rest is to be read, where picture and sound do not come together.
    apart: Option<SplitInputs>,
    /// Whether another encoder may do better.
    again: bool,
}

/// Says what a viewer missed of an item that was played.
fn tell_losses(title: &str, ended: &EncoderExit, played: Duration, fps: f64) {
    if ended.sound_lost {
        log::warn!(
            "“{title}”: its sound ends before its picture, and another that begins there is not heard"
        );
    }
    let pictures = (played.as_secs_f64() * if fps > 0.0 { fps } else { 25.0 }) as u64;
    if ended.given_up.is_none() && ended.damaged > 0 && ended.damaged * 20 >= pictures {
        log::warn!("“{title}”: {} of {pictures} pictures cannot be decoded whole", ended.damaged);
    }
}
