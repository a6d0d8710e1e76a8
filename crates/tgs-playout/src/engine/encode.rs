//! The encode thread: plays one item after another, counts failures, and backs off when the whole
//! list fails. [`super::play`] plays the single item.

use std::time::{Duration, Instant, SystemTime};

use tgs_control::{BroadcastEvent, ItemEnd};
use tgs_core::{backoff::Backoff, mask, supervise::contain};

use super::{
    context::EngineContext,
    play::{ItemPlayer, PlayFailure, Played},
    prepare::{NextStep, PrepareHandle, PreparedItem},
    skip_log::SkipLog,
};
use crate::{
    ffmpeg::{EncodeSetup, outcome::TOLERATED_SHORTFALL},
    item::ItemFailure,
    read_ahead::AdmittedItem,
    status::METRICS,
};

/// Failures in a row after which the thread pauses, even within a longer list.
const MAX_FAILURES_IN_ROW: usize = 50;

/// Items shorter than this are followed by [`BRIEF_PAUSE`]: a list of single frames would fill the
/// log and keep a processor busy.
const BRIEF: Duration = Duration::from_millis(300);

/// Pause after a [`BRIEF`] item.
const BRIEF_PAUSE: Duration = Duration::from_millis(500);

/// The encode thread.
pub(super) struct EncodeThread {
    player: ItemPlayer,
    context: EngineContext,
    failed: u64,
    failed_in_row: usize,
    skip_log: SkipLog,
}

impl EncodeThread {
    pub(super) fn new(setup: EncodeSetup, context: EngineContext, passthrough: bool) -> Self {
        let skip_log = SkipLog::new(Instant::now());
        let player = ItemPlayer { setup, passthrough, context: context.clone() };
        Self { player, context, failed: 0, failed_in_row: 0, skip_log }
    }

    /// Plays until the programme ends or the broadcast is cancelled. Returns the number of failed
    /// items.
    pub(super) fn run(mut self, prepare: &PrepareHandle) -> u64 {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        while !self.context.cancel.is_cancelled() {
            let (next, round) = prepare.next();
            self.sum_up_failures();
            match next {
                // The read-ahead still plays, and a command may reopen the list.
                NextStep::End => self.context.read_ahead.wait_reopened(&self.context.cancel),
                NextStep::Gone => break,
                NextStep::Skip { title, failure } => {
                    self.wait_backoff(round, &mut backoff);
                    // A stop ends the ffprobe of the item that is being prepared: no failure.
                    if !self.context.cancel.is_cancelled() {
                        self.fail(None, &title, &failure, Duration::ZERO);
                    }
                }
                NextStep::Play(prepared, admitted) => {
                    self.wait_backoff(round, &mut backoff);
                    self.play(*prepared, &admitted);
                }
            }
        }
        self.failed
    }

    fn play(&mut self, prepared: PreparedItem, admitted: &AdmittedItem) {
        let brief = prepared.source.length().is_some_and(|length| length < BRIEF);
        if !admitted.discarded.is_cancelled() {
            let title = prepared.item.title.clone();
            #[cfg(test)]
            crate::faults::strike("the encode thread", &title);
            match contain(|| self.player.play(prepared, admitted)) {
                Ok(Ok(Played::Whole)) => self.failed_in_row = 0,
                Ok(Ok(Played::Discarded)) => {}
                Ok(Err(PlayFailure { failure, played })) => {
                    self.fail(Some(admitted.seq), &title, &failure, played);
                }
                Err(panic) => {
                    self.fail(Some(admitted.seq), &title, &ItemFailure::of_panic(&panic), Duration::ZERO);
                }
            }
        }
        self.context.read_ahead.close();
        self.context.show_speed(None);
        if brief {
            self.context.read_ahead.wait_command(BRIEF_PAUSE, &self.context.cancel);
        }
    }

    /// Waits after the whole list, or [`MAX_FAILURES_IN_ROW`] items of a long one, failed in a row:
    /// an immediate retry would fail the same way. The filler is sent meanwhile.
    fn wait_backoff(&mut self, round: usize, backoff: &mut Backoff) {
        if self.failed_in_row == 0 {
            backoff.reset();
        } else if self.failed_in_row >= round.clamp(1, MAX_FAILURES_IN_ROW) {
            self.failed_in_row = 0;
            self.sum_up_failures();
            let delay = backoff.next_delay();
            let seconds = delay.as_secs_f64();
            if round <= MAX_FAILURES_IN_ROW {
                log::warn!("nothing in the list can be played; trying again in {seconds:.0} s");
            } else {
                log::warn!(
                    "{MAX_FAILURES_IN_ROW} items in a row cannot be played; going on with the list in {seconds:.0} s"
                );
            }
            // A command or an edit of the list ends the wait early.
            self.context.read_ahead.wait_command(delay, &self.context.cancel);
        }
    }

    fn sum_up_failures(&mut self) {
        if let Some(line) = self.skip_log.sum_up(Instant::now()) {
            log::warn!("{line}");
        }
    }

    /// Logs, reports and counts an item's failure. `seq` is its number if it was admitted.
    fn fail(&mut self, seq: Option<u64>, title: &str, failure: &ItemFailure, played: Duration) {
        let what = if played.is_zero() { "skipped" } else { "cut short" };
        // An item of which nothing came lends its number to the next one.
        if let Some(seq) = seq.filter(|_| !played.is_zero()) {
            let reason = mask::urls(&failure.detail).into_owned();
            self.context.control.notes.set(seq, ItemEnd::Failed { reason });
        }
        if let Some(line) = self.skip_log.add(format!("{what} “{title}”: {failure}"), Instant::now()) {
            log::warn!("{line}");
            // As rare as the lines: a list that fails as a whole must not flood the subscribers.
            self.context.control.report(BroadcastEvent::ItemFailed {
                at: SystemTime::now().into(),
                title: mask::urls(title).into_owned(),
                reason: failure.reason.label().to_owned(),
                detail: mask::urls(&failure.detail).into_owned(),
                played_seconds: played.as_secs_f64(),
            });
        }
        METRICS.failures.with_label_values(&[failure.reason.label()]).inc();
        self.context.control.status.show(|status| status.last_failure = Some(format!("{title}: {failure}")));
        self.failed += 1;
        // An item that played for a while shows that the list is playable.
        self.failed_in_row = if played > TOLERATED_SHORTFALL { 0 } else { self.failed_in_row + 1 };
    }
}
