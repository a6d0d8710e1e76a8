//! Turns events into entries of the as-run log. Pure: reads no clock and no file.
//!
//! The end of an entry is the beginning of the next: what lies between two of them is an entry
//! without a broadcast. If the clock is set back, entries have no length until it has caught up.

use tgs_control::{AiredItem, AsRunEntry, AsRunKind, BroadcastEvent, ItemEnd, Timestamp};

/// Limit of a text in an entry, in characters: titles and messages come from outside.
const LONGEST: usize = 1000;

/// The open entry, and what is needed for the next.
#[derive(Debug)]
pub(crate) struct Ledger {
    open: Option<AsRunEntry>,
    /// [`AiredItem::seq`] of the open item.
    seq: u64,
    /// End of the last entry, or beginning of the open one.
    cursor: Timestamp,
    next_n: u64,
    /// When the item after the current one is to begin.
    plan: Option<Timestamp>,
}

impl Ledger {
    /// Continues after the `last` entry of the file with the number `next_n`. `alive` are the
    /// number of the entry that was on air and the time up to which it is known to have been.
    /// Returns the lines to write.
    pub(crate) fn resume(
        (last, next_n): (Option<AsRunEntry>, u64),
        alive: Option<(u64, Timestamp)>,
        now: Timestamp,
    ) -> (Self, Vec<AsRunEntry>) {
        let mut ledger = Self {
            open: None,
            seq: 0,
            cursor: last.as_ref().map_or(now, |last| last.end.unwrap_or(last.start)),
            next_n,
            plan: None,
        };
        let mut lines = Vec::new();
        match last {
            Some(last) if last.end.is_none() && last.kind == AsRunKind::OffAir => {
                ledger.open = Some(last);
                return (ledger, lines);
            }
            Some(last) if last.end.is_none() => {
                let alive = alive.filter(|(n, _)| *n == last.n).map_or(last.start, |(_, at)| at);
                // A clock that was wrong must not place the end beyond this start.
                let end = alive.min(now).max(last.start);
                let mut line = AsRunEntry { end: Some(end), estimated: true, ..last };
                if line.kind == AsRunKind::Item {
                    let aired = end.millis_since(line.start) as f64 / 1000.0;
                    line.end_offset_seconds = line.offset_seconds.map(|offset| offset + aired);
                    line.ended = Some("cut".to_owned());
                    line.reason = Some("tgs-stream was killed, or the machine went down".to_owned());
                }
                ledger.cursor = end;
                lines.push(line);
            }
            _ => {}
        }
        let off_air = AsRunEntry {
            kind: AsRunKind::OffAir,
            reason: Some("tgs-stream was not running".to_owned()),
            ..AsRunEntry::default()
        };
        lines.extend(ledger.begin(ledger.cursor, off_air));
        (ledger, lines)
    }

    /// The entry on air.
    pub(super) fn open(&self) -> Option<&AsRunEntry> {
        self.open.as_ref()
    }

    /// Applies `event`. Returns the lines to write.
    pub(crate) fn apply(&mut self, event: &BroadcastEvent) -> Vec<AsRunEntry> {
        match event {
            BroadcastEvent::ItemBegan {
                at,
                item,
                offset_seconds,
                duration_seconds,
                resumed,
                planned_start,
            } => {
                self.plan = planned_start.or(self.plan);
                self.begin_item(*at, item, *offset_seconds, *duration_seconds, *resumed)
            }
            BroadcastEvent::ItemEnded { at, item, offset_seconds, how } => {
                self.end_item(*at, item, *offset_seconds, how)
            }
            BroadcastEvent::ItemFailed { at, title, detail, played_seconds, .. } => {
                if *played_seconds > 0.0 {
                    // What was encoded of it is shown, and its end says why.
                    return Vec::new();
                }
                let mut entry =
                    AsRunEntry { kind: AsRunKind::Item, title: text(title), ..Default::default() };
                (entry.ended, entry.reason) = (Some("failed".to_owned()), text(detail));
                vec![self.moment(*at, entry)]
            }
            BroadcastEvent::FillerBegan { at, cause } => self.begin(
                *at,
                AsRunEntry { kind: AsRunKind::Filler, reason: text(cause), ..Default::default() },
            ),
            BroadcastEvent::OutageBegan { at, cause } => self.begin(
                *at,
                AsRunEntry { kind: AsRunKind::Outage, reason: text(cause), ..Default::default() },
            ),
            BroadcastEvent::FillerEnded { at } => self.end(*at, AsRunKind::Filler).into_iter().collect(),
            // Until a picture follows.
            BroadcastEvent::OutageEnded { .. } | BroadcastEvent::Unknown => Vec::new(),
            BroadcastEvent::Started { at } => {
                let off_air = self.open.as_ref().is_some_and(|open| open.kind == AsRunKind::OffAir);
                if off_air { Vec::new() } else { self.go_off_air(*at, "the engine has started again") }
            }
            BroadcastEvent::Stopped { at, cause } => self.go_off_air(*at, cause),
        }
    }

    fn begin_item(
        &mut self,
        at: Timestamp,
        item: &AiredItem,
        offset: f64,
        duration: Option<f64>,
        resumed: bool,
    ) -> Vec<AsRunEntry> {
        let rest = duration.map(|duration| (duration - offset).max(0.0));
        let after = |from: Timestamp| rest.map(|rest| Timestamp(from.0 + (rest * 1000.0).round() as u64));
        let planned_start = (!resumed).then(|| self.plan.unwrap_or(at));
        self.plan = after(at);
        self.seq = item.seq;
        let entry = AsRunEntry {
            kind: AsRunKind::Item,
            title: text(&item.title),
            id: text(&item.id),
            source: item.source.as_deref().and_then(text),
            lane: item.lane.as_deref().and_then(text),
            planned_start,
            planned_end: planned_start.and_then(after),
            offset_seconds: Some(offset),
            resumed,
            ..AsRunEntry::default()
        };
        self.begin(at, entry)
    }

    fn end_item(&mut self, at: Timestamp, item: &AiredItem, offset: f64, how: &ItemEnd) -> Vec<AsRunEntry> {
        let (ended, by, reason) = match how {
            ItemEnd::Played => ("played", None, None),
            ItemEnd::Skipped { by, command } => ("skipped", text(&by.to_string()), text(command)),
            ItemEnd::Failed { reason } => ("failed", None, text(reason)),
            ItemEnd::Cut { cause } => ("cut", None, text(cause)),
            ItemEnd::Interrupted { cause } => ("interrupted", None, text(cause)),
            ItemEnd::Unknown => ("unknown", None, None),
        };
        let finish = |entry: AsRunEntry| AsRunEntry {
            ended: Some(ended.to_owned()),
            by,
            reason,
            end_offset_seconds: Some(offset),
            ..entry
        };
        let is_open = |open: &AsRunEntry| open.kind == AsRunKind::Item && self.seq == item.seq;
        if self.open.as_ref().is_some_and(is_open) {
            return self.end(at, AsRunKind::Item).map(finish).into_iter().collect();
        }
        // An interrupted item that does not come back.
        let entry = AsRunEntry {
            kind: AsRunKind::Item,
            title: text(&item.title),
            id: text(&item.id),
            source: item.source.as_deref().and_then(text),
            lane: item.lane.as_deref().and_then(text),
            resumed: true,
            offset_seconds: Some(offset),
            ..AsRunEntry::default()
        };
        vec![finish(self.moment(at, entry))]
    }

    fn go_off_air(&mut self, at: Timestamp, cause: &str) -> Vec<AsRunEntry> {
        self.plan = None;
        self.begin(at, AsRunEntry { kind: AsRunKind::OffAir, reason: text(cause), ..Default::default() })
    }

    /// Begins `entry`, and ends the one before it at the same time.
    fn begin(&mut self, at: Timestamp, entry: AsRunEntry) -> Vec<AsRunEntry> {
        let mut lines = Vec::new();
        let at = at.max(self.cursor);
        if let Some(open) = self.open.take() {
            lines.push(AsRunEntry { end: Some(at), ..open });
        } else if at > self.cursor {
            let n = self.take_n();
            let (kind, start) = (AsRunKind::OffAir, self.cursor);
            lines.push(AsRunEntry { n, kind, start, end: Some(at), ..AsRunEntry::default() });
        }
        let entry = AsRunEntry { n: self.take_n(), start: at, ..entry };
        self.cursor = at;
        self.open = Some(entry.clone());
        lines.push(entry);
        lines
    }

    /// Ends the open entry if it is of this kind.
    fn end(&mut self, at: Timestamp, kind: AsRunKind) -> Option<AsRunEntry> {
        let open = self.open.take_if(|open| open.kind == kind)?;
        self.cursor = at.max(self.cursor);
        Some(AsRunEntry { end: Some(self.cursor), ..open })
    }

    /// An entry without length, beside the open one.
    fn moment(&mut self, at: Timestamp, entry: AsRunEntry) -> AsRunEntry {
        let at = at.max(self.cursor);
        AsRunEntry { n: self.take_n(), start: at, end: Some(at), ..entry }
    }

    fn take_n(&mut self) -> u64 {
        let n = self.next_n;
        self.next_n += 1;
        n
    }
}

fn text(text: &str) -> Option<String> {
    Some(text.chars().take(LONGEST).collect()).filter(|text: &String| !text.is_empty())
}
