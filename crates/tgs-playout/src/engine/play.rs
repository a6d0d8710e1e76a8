//! Plays one item into the read-ahead: from the cache, by passthrough, or by one or more encoders
//! in sequence. Neither counts failures nor backs off.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use tgs_rtmp::flv::Tag;

use super::{
    context::EngineContext,
    encoder_run::{EncoderRun, EncoderRunner},
    prepare::{PlaySource, PreparedItem},
    unplayed::{SplitInputs, UnplayedItem},
};
use crate::{
    cache,
    ffmpeg::{
        EncodeJob, EncodeSetup, Encoder, draw,
        outcome::TOLERATED_SHORTFALL,
        passthrough::{GroupSplitter, PassthroughError},
        probe::{self, Probe},
    },
    item::{FailureReason, Item, ItemFailure},
    read_ahead::{AdmittedItem, Event, StartedItem},
    status::METRICS,
};

/// Length at the end of a picture stream that is encoded again to hold its last frame.
const OVERLAP: Duration = Duration::from_millis(200);

/// Plays items, one at a time.
pub(super) struct ItemPlayer {
    pub(super) setup: EncodeSetup,
    /// Whether items in the profile's own format are passed through.
    pub(super) passthrough: bool,
    pub(super) context: EngineContext,
}

/// How an item ended without a failure.
pub(super) enum Played {
    Whole,
    /// A command discarded the item, or the broadcast is stopped.
    Discarded,
}

/// An item's failure, after `played` of the item.
pub(super) struct PlayFailure {
    pub(super) failure: ItemFailure,
    pub(super) played: Duration,
}

type PlayResult = Result<Played, PlayFailure>;

impl ItemPlayer {
    /// Plays `prepared` from its prepared source.
    pub(super) fn play(&self, prepared: PreparedItem, admitted: &AdmittedItem) -> PlayResult {
        let PreparedItem { item, key, source } = prepared;
        #[cfg(test)]
        crate::faults::strike("encoding", &item.title);
        match source {
            PlaySource::Encode(found) => {
                let copy = EncodeJob::copy(&item, &found, &self.setup).filter(|_| self.passthrough);
                match copy {
                    Some(job) => self.pass_through(item, &job, admitted),
                    None => self.encode(item, key.as_ref(), &found, admitted),
                }
            }
            PlaySource::Unprobed => self.probe_and_encode(item, admitted),
            PlaySource::Cached(entry) => self.replay(item, entry, admitted),
        }
    }

    /// Plays a cache entry. Encodes the item from the first damaged group of pictures on.
    fn replay(&self, item: Item, entry: cache::CacheEntry, admitted: &AdmittedItem) -> PlayResult {
        self.context.cache.measure();
        METRICS.cache.hits.inc();
        let (read_ahead, discarded) = (&self.context.read_ahead, &admitted.discarded);
        let started = StartedItem {
            seq: admitted.seq,
            // Times of a cache entry count from the item's beginning, wherever playing starts.
            item: Item { start: Duration::ZERO, ..item.clone() },
            silent: entry.is_silent(),
            expected: Some(entry.length()),
        };
        let mut playback = entry.play(item.start);
        read_ahead.push(Event::Begin(Arc::new(started)), false, discarded);
        let mut damaged = None;
        while let Some(group) = playback.next_group() {
            let Ok(tags) = group.map_err(|error| damaged = Some(error.at)) else { break };
            if !read_ahead.push_group(tags, discarded) {
                return Ok(Played::Discarded);
            }
        }
        read_ahead.push(Event::End, false, discarded);
        let Some(at) = damaged else { return Ok(Played::Whole) };
        playback.remove();
        let seconds = at.as_secs();
        log::warn!(
            "the cache entry of “{}” is damaged after {seconds} s and removed; encoding the rest",
            item.title
        );
        self.probe_and_encode(Item { start: at, ..item }, admitted)
    }

    /// Plays `item` as it is stored. Encodes it from the first group of pictures that cannot be
    /// broadcast.
    fn pass_through(&self, item: Item, job: &EncodeJob, admitted: &AdmittedItem) -> PlayResult {
        let discarded = &admitted.discarded;
        let Ok(mut encoder) = Encoder::start(job.command(&self.setup), discarded) else {
            // The encoder fails to start as well, and reports the error.
            return self.probe_and_encode(item, admitted);
        };
        let read_ahead = &self.context.read_ahead;
        let (seq, expected) = (admitted.seq, job.expected);
        let mut unstarted = Some(StartedItem { seq, item: item.clone(), silent: false, expected });
        let mut push = |group: Vec<Tag>| {
            let begin = unstarted.take().map(|started| Event::Begin(Arc::new(started)));
            begin.is_none_or(|begin| read_ahead.push(begin, false, discarded))
                && read_ahead.push_group(group, discarded)
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
                Err(error) => break Err(PassthroughError::Read(error)),
            };
            match group {
                Ok(Some(group)) => {
                    if !push(group) {
                        return Ok(Played::Discarded);
                    }
                }
                Ok(None) => {}
                Err(why) => break Err(why),
            }
        };
        let reached = Duration::from_millis(newest) + TOLERATED_SHORTFALL;
        let short = expected.is_some_and(|whole| reached < whole);
        let ended = if short { ended.and(Err(PassthroughError::Short)) } else { ended };
        if ended.is_ok() && !push(groups.rest()) {
            return Ok(Played::Discarded);
        }
        if unstarted.is_none() {
            read_ahead.push(Event::End, false, discarded);
        }
        match ended {
            Ok(()) => Ok(Played::Whole),
            Err(_) if discarded.is_cancelled() => Ok(Played::Discarded),
            Err(why) => {
                let at = Duration::from_millis(groups.begun());
                log::info!("“{}”: encoding from {:.1} s on: {why}", item.title, at.as_secs_f64());
                self.probe_and_encode(Item { start: at, ..item }, admitted)
            }
        }
    }

    fn probe_and_encode(&self, item: Item, admitted: &AdmittedItem) -> PlayResult {
        let found = if item.media.sources.is_empty() {
            let why = "its cache entry is damaged, and its page could not be asked";
            Err(ItemFailure::new(FailureReason::Missing, why))
        } else {
            let wanted = self.setup.wanted();
            let discarded = &admitted.discarded;
            probe::probe(&self.context.ffprobe, &item.media, wanted, discarded).map(|mut found| {
                self.context.add_loudness(&item.media, &mut found);
                draw::prepare_item(&self.setup, &item, &mut found, Some(draw::BRIEF), discarded);
                found
            })
        };
        match found {
            Ok(found) => self.encode(item, None, &found, admitted),
            Err(_) if admitted.discarded.is_cancelled() => Ok(Played::Discarded),
            Err(failure) => Err(PlayFailure { failure, played: item.start }),
        }
    }

    /// Encodes `item`; after a failed encoder another one continues, within limits.
    fn encode(
        &self,
        item: Item,
        key: Option<&cache::CacheKey>,
        found: &Probe,
        admitted: &AdmittedItem,
    ) -> PlayResult {
        let (start, discarded) = (item.start, &admitted.discarded);
        let runner = EncoderRunner { context: &self.context, setup: &self.setup, admitted };
        let mut unplayed = UnplayedItem::new(item, found.clone());
        let mut key = key;
        let mut job = unplayed.job(&self.setup);
        log_one_pass(&unplayed.item, &job);
        let outcome = loop {
            let run = runner.run(&unplayed, key.take(), &job);
            if discarded.is_cancelled() {
                return Ok(Played::Discarded);
            }
            if let ControlFlow::Break(outcome) = self.continue_after(&mut unplayed, run, discarded) {
                break outcome;
            }
            job = unplayed.job(&self.setup);
        };
        let played = unplayed.item.start.saturating_sub(start);
        if !played.is_zero() {
            self.context.read_ahead.push(Event::End, false, discarded);
        }
        match outcome {
            Ok(()) => Ok(Played::Whole),
            Err(_) if discarded.is_cancelled() => Ok(Played::Discarded),
            Err(failure) => Err(PlayFailure { failure, played }),
        }
    }

    /// Prepares `unplayed` for another encoder, or returns the item's outcome.
    fn continue_after(
        &self,
        unplayed: &mut UnplayedItem,
        run: EncoderRun,
        discarded: &tgs_core::cancel::Cancel,
    ) -> ControlFlow<Result<(), ItemFailure>> {
        let EncoderRun { outcome, played, following, split, retry } = run;
        let title = unplayed.item.title.clone();
        if let Some(following) = following {
            unplayed.advance(played);
            let at = unplayed.item.start.as_secs_f64();
            log::info!("“{title}”: its streams end after {at:.1} s and others begin; encoding those");
            unplayed.continue_with(following);
            return ControlFlow::Continue(());
        }
        if let Some(split) = split {
            let cut = self.cut_open_group();
            unplayed.advance(played.saturating_sub(cut.max(OVERLAP)));
            let at = unplayed.item.start.as_secs_f64();
            let how = match split {
                SplitInputs::Each => "its sound continues without its picture; reading each on its own",
                SplitInputs::SoundAlone => "no picture comes; playing its sound",
            };
            log::info!("“{title}”, from {at:.1} s on: {how}");
            unplayed.split(split);
            return ControlFlow::Continue(());
        }
        let failure = match outcome {
            Err(failure) if retry && unplayed.may_retry(&failure, played) => failure,
            Err(failure) if unplayed.found.has_extras() => {
                unplayed.advance(played.saturating_sub(self.cut_open_group()));
                log::warn!("“{title}”: {failure}; going on without its subtitles or cover art");
                if failure.reason == FailureReason::Stalled {
                    draw::give_up(&self.setup, &unplayed.found.ready_subtitles);
                }
                unplayed.found.without_extras();
                return ControlFlow::Continue(());
            }
            ended => {
                unplayed.advance(played);
                return ControlFlow::Break(ended);
            }
        };
        unplayed.advance(played.saturating_sub(self.cut_open_group()));
        let live = unplayed.item.media.live;
        let how = if live { "connecting again" } else { "encoding the rest" };
        log::warn!("“{title}”: {failure}; {how}");
        if live {
            // The sender may have changed its streams.
            let wanted = self.setup.wanted();
            match probe::probe(&self.context.ffprobe, &unplayed.item.media, wanted, discarded) {
                Ok(found) => unplayed.continue_with(found),
                Err(failure) => return ControlFlow::Break(Err(failure)),
            }
        }
        ControlFlow::Continue(())
    }

    /// Removes the open group of pictures from the read-ahead. Returns its length.
    fn cut_open_group(&self) -> Duration {
        Duration::from_secs(self.context.read_ahead.cut_open_group()) / self.setup.profile.fps
    }
}

/// Logs that the loudness of an item is evened out while it plays.
fn log_one_pass(Item { title, media, .. }: &Item, job: &EncodeJob) {
    if job.is_one_pass() {
        let why = if media.live { "it is live" } else { "it is not measured yet" };
        log::info!("“{title}”: its loudness is evened out while it plays (loudnorm): {why}");
    }
}
