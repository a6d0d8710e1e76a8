//! Derives the events of what is on air from the pictures that the playout thread sends.
//!
//! # Theory of operation
//!
//! Exactly one of nothing, an item, the filler and an outage is on air. Pictures decide: sound of
//! two items may overlap. An item that gives way to filler without an end of its own is interrupted
//! and may come back; an outage interrupts as well. Ends and beginnings of one change have the same
//! time, so that the times add up.

use std::{
    mem,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use tgs_control::{AiredItem, BroadcastEvent, CommandSender, ItemEnd, Timestamp};
use tgs_core::mask;

use crate::{
    clock::Clock,
    events::Events,
    item_notes::ItemNotes,
    lane::{OpenLane, lane_of},
    read_ahead::StartedItem,
    timeline::TagOrigin,
};

/// What is on air, and whom to tell.
#[derive(Debug)]
pub(crate) struct OnAirTracker {
    events: Events,
    notes: ItemNotes,
    clock: Arc<dyn Clock>,
    shown: Shown,
    /// The items that filler, an outage or a lane replaced, one a lane at most.
    interrupted: Vec<ShownItem>,
    /// The lanes that are over since the last picture, and why.
    over_lanes: Vec<(u64, String)>,
    /// Number of the item whose last tag has been taken from the read-ahead.
    over: u64,
    /// Why something else follows the item.
    cause: String,
    in_outage: bool,
}

#[derive(Debug)]
enum Shown {
    Nothing,
    Item(ShownItem),
    Filler,
}

#[derive(Debug, Clone)]
struct ShownItem {
    aired: AiredItem,
    offset_ms: u64,
    duration_seconds: Option<f64>,
}

impl OnAirTracker {
    pub(crate) fn new(events: Events, notes: ItemNotes, clock: Arc<dyn Clock>) -> Self {
        Self {
            events,
            notes,
            clock,
            shown: Shown::Nothing,
            interrupted: Vec::new(),
            over_lanes: Vec::new(),
            over: 0,
            cause: String::new(),
            in_outage: false,
        }
    }

    /// The engine begins to connect.
    pub(crate) fn started(&self) {
        self.events.report(BroadcastEvent::Started { at: self.now() });
    }

    /// Why filler or a lane follows, if it does.
    pub(crate) fn set_cause(&mut self, cause: &str) {
        cause.clone_into(&mut self.cause);
    }

    /// The list continues without the item `seq` after the lane that `command` names.
    pub(crate) fn skip(&self, seq: u64, command: &str) {
        let by = CommandSender::internal();
        self.notes.set(seq, ItemEnd::Skipped { by, command: command.to_owned() });
    }

    /// The lane `id` is over because of `cause`.
    pub(crate) fn lane_over(&mut self, id: u64, cause: &str) {
        let at = self.now();
        while let Some(place) = self.interrupted.iter().position(|gone| lane_of(gone.aired.seq) == id) {
            let gone = self.interrupted.remove(place);
            let how = self.notes.of(gone.aired.seq).unwrap_or(ItemEnd::Cut { cause: masked(cause) });
            self.end(at, &gone, how);
        }
        if matches!(&self.shown, Shown::Item(shown) if lane_of(shown.aired.seq) == id) {
            self.over_lanes.push((id, masked(cause)));
        }
    }

    /// The last tag of item `seq` has been taken from the read-ahead.
    pub(crate) fn item_over(&mut self, seq: u64) {
        self.over = seq;
    }

    /// A picture has been sent. `item` is the item of its origin.
    pub(crate) fn picture(
        &mut self,
        origin: TagOrigin,
        item: Option<&Arc<StartedItem>>,
        lane: Option<&Arc<OpenLane>>,
    ) {
        match &mut self.shown {
            Shown::Item(shown) if shown.aired.seq == origin.seq => shown.offset_ms = origin.offset_ms,
            Shown::Filler if origin.seq == 0 => {}
            _ => self.change(origin, item, lane),
        }
    }

    fn change(&mut self, origin: TagOrigin, item: Option<&Arc<StartedItem>>, lane: Option<&Arc<OpenLane>>) {
        let at = self.now();
        match mem::replace(&mut self.shown, Shown::Nothing) {
            Shown::Item(shown) => self.leave(at, &shown, origin.seq),
            Shown::Filler => self.events.report(BroadcastEvent::FillerEnded { at }),
            Shown::Nothing => {}
        }
        if origin.seq == 0 {
            self.begin_filler(at);
        } else if let Some(item) = item {
            let lane_of_item = lane_of(origin.seq);
            let place = self.interrupted.iter().position(|gone| lane_of(gone.aired.seq) == lane_of_item);
            let interrupted = place.map(|place| self.interrupted.remove(place));
            let resumed = interrupted.as_ref().is_some_and(|shown| shown.aired.seq == origin.seq);
            if let Some(gone) = interrupted.filter(|_| !resumed) {
                let how = self.notes.of(gone.aired.seq).unwrap_or(ItemEnd::Played);
                self.end(at, &gone, how);
            }
            let planned_start = lane.and_then(|lane| lane.take_planned()).map(timestamp);
            let name = lane.map(|lane| masked(&lane.name));
            self.begin(at, ShownItem::new(item, origin, name), resumed, planned_start);
        }
    }

    /// An item leaves the air.
    fn leave(&mut self, at: Timestamp, shown: &ShownItem, next: u64) {
        let seq = shown.aired.seq;
        let for_another = next == 0 || lane_of(next) != lane_of(seq);
        let over_lanes = mem::take(&mut self.over_lanes);
        let over = over_lanes.into_iter().find(|(id, _)| *id == lane_of(seq));
        let how = match self.notes.of(seq) {
            Some(how) => how,
            None if self.over != seq
                && let Some((_, cause)) = over =>
            {
                ItemEnd::Cut { cause }
            }
            None if for_another && self.over != seq => {
                self.interrupted.push(shown.clone());
                ItemEnd::Interrupted { cause: masked(&self.cause) }
            }
            None => ItemEnd::Played,
        };
        self.end(at, shown, how);
    }

    fn begin(&mut self, at: Timestamp, shown: ShownItem, resumed: bool, planned_start: Option<Timestamp>) {
        self.events.report(BroadcastEvent::ItemBegan {
            at,
            item: shown.aired.clone(),
            offset_seconds: seconds(shown.offset_ms),
            duration_seconds: shown.duration_seconds,
            resumed,
            planned_start,
        });
        self.shown = Shown::Item(shown);
    }

    fn begin_filler(&mut self, at: Timestamp) {
        self.events.report(BroadcastEvent::FillerBegan { at, cause: masked(&self.cause) });
        self.shown = Shown::Filler;
    }

    fn end(&self, at: Timestamp, shown: &ShownItem, how: ItemEnd) {
        let (item, offset_seconds) = (shown.aired.clone(), seconds(shown.offset_ms));
        self.events.report(BroadcastEvent::ItemEnded { at, item, offset_seconds, how });
    }

    /// The connection is lost or cannot be made. `arrived` is the last picture known to have
    /// arrived.
    pub(crate) fn outage_began(&mut self, cause: &str, arrived: Option<TagOrigin>) {
        if mem::replace(&mut self.in_outage, true) {
            return;
        }
        let (at, cause) = (self.now(), masked(cause));
        match &mut self.shown {
            Shown::Item(shown) => {
                if let Some(arrived) = arrived.filter(|arrived| arrived.seq == shown.aired.seq) {
                    shown.offset_ms = arrived.offset_ms;
                }
                let shown = shown.clone();
                self.end(at, &shown, ItemEnd::Interrupted { cause: cause.clone() });
            }
            Shown::Filler => self.events.report(BroadcastEvent::FillerEnded { at }),
            Shown::Nothing => {}
        }
        self.events.report(BroadcastEvent::OutageBegan { at, cause });
    }

    /// A connection is made. With `resumes` it begins with what may not have arrived; otherwise
    /// with the next picture.
    pub(crate) fn connected(&mut self, resumes: bool) {
        if !mem::take(&mut self.in_outage) {
            return;
        }
        let at = self.now();
        self.events.report(BroadcastEvent::OutageEnded { at });
        match mem::replace(&mut self.shown, Shown::Nothing) {
            Shown::Item(shown) if resumes => self.begin(at, shown, true, None),
            Shown::Item(shown) => self.interrupted.push(shown),
            Shown::Filler if resumes => self.begin_filler(at),
            Shown::Filler | Shown::Nothing => {}
        }
    }

    /// The run ends: with its list, or (`cause`) before.
    pub(crate) fn stopped(&mut self, cause: Option<String>) {
        let at = self.now();
        let cause = cause.map(|cause| match self.notes.stopped_by() {
            Some(by) => format!("stopped by {by}"),
            None => masked(&cause),
        });
        let rest = |cause: &Option<String>| match cause {
            Some(cause) => ItemEnd::Cut { cause: cause.clone() },
            None => ItemEnd::Played,
        };
        match (mem::replace(&mut self.shown, Shown::Nothing), mem::take(&mut self.in_outage)) {
            (shown, true) => {
                self.events.report(BroadcastEvent::OutageEnded { at });
                if let Shown::Item(shown) = shown {
                    self.interrupted.push(shown);
                }
            }
            (Shown::Item(shown), false) => {
                let how = self.notes.of(shown.aired.seq).unwrap_or_else(|| rest(&cause));
                self.end(at, &shown, how);
            }
            (Shown::Filler, false) => self.events.report(BroadcastEvent::FillerEnded { at }),
            (Shown::Nothing, false) => {}
        }
        for gone in mem::take(&mut self.interrupted) {
            let how = self.notes.of(gone.aired.seq).unwrap_or_else(|| rest(&cause));
            self.end(at, &gone, how);
        }
        let cause = cause.unwrap_or_else(|| "the list is over".to_owned());
        self.events.report(BroadcastEvent::Stopped { at, cause });
    }

    fn now(&self) -> Timestamp {
        Timestamp((self.clock.wall() * 1000.0).round() as u64)
    }
}

impl ShownItem {
    fn new(started: &StartedItem, origin: TagOrigin, lane: Option<String>) -> Self {
        let item = &started.item;
        let source = item.media.sources.first();
        let source = source.map(|source| masked(source.url.strip_prefix("file:").unwrap_or(&source.url)));
        let (id, title) = (masked(&item.id), masked(&item.title));
        let aired = AiredItem { seq: origin.seq, id, title, source, lane };
        let duration_seconds = started.expected.map(|rest| (rest + item.start).as_secs_f64());
        Self { aired, offset_ms: origin.offset_ms, duration_seconds }
    }
}

fn masked(text: &str) -> String {
    mask::urls(text).into_owned()
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_millis() as u64)
}

fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

#[cfg(test)]
mod tests;
