//! What a run has found: a row for each fault, the table of the kinds, and the targets.

use std::{
    fmt,
    time::{Duration, Instant},
};

use super::{
    ITEM_SECONDS, ITEMS,
    fault::Fault,
    numbered::Shown,
    publications::{Change, Window},
};

/// How far the broadcast may continue from where viewers left it, in seconds.
const MOST_OFF: f64 = 2.0;

/// How much of a list may be shown again beside HA_TTL, in seconds, where the active host published
/// without being able to record its position: the age of the record.
const UNRECORDED: f64 = 1.0;

/// A larger distance between two items is no border that was crossed, in seconds.
const NEAR_BORDER: f64 = 6.0;

/// What a stopped process may still send when it continues: one write.
const ONE_WRITE: Duration = Duration::from_millis(40);

/// A fault, and what followed.
#[derive(Debug)]
pub struct Row {
    /// The kind.
    pub fault: Fault,
    /// What was hit.
    pub words: String,
    /// The longest time without media that counts.
    pub gap: Duration,
    limit: Duration,
    /// How far back the broadcast may continue, in seconds.
    most_back: f64,
    /// The largest distance between the last picture of one connection and the first of the next.
    pub off: Option<f64>,
    /// How many hosts took over.
    pub takeovers: usize,
    /// Items that were continued with another item.
    pub wrong: Vec<String>,
    /// Connections that began with filler, or showed no item at all.
    pub filler: usize,
    /// Media of a host after that of its successor.
    pub doubles: Vec<String>,
    /// The single writes of processes that were stopped meanwhile.
    pub single_writes: usize,
    /// From the end of the fault until there was a standby.
    pub standby: Duration,
}

/// What a run has found.
#[derive(Debug, Default)]
pub struct Found {
    /// The faults, in order.
    pub rows: Vec<Row>,
}

impl Row {
    pub(super) fn of(
        (fault, words): (Fault, String),
        (limit, ttl, spare): (Duration, Duration, Duration),
        counts_from: Option<Instant>,
        window: &Window,
        standby: Duration,
    ) -> Self {
        let gap = window.gaps.iter().map(|gap| gap.length(counts_from)).max().unwrap_or_default();
        let offs = window.changes.iter().filter_map(off);
        let is_single = |media: Duration| fault == Fault::StopActive && media <= ONE_WRITE;
        let single_writes = window.doubles.iter().filter(|double| is_single(double.media)).count();
        let doubles = window.doubles.iter().filter(|double| !is_single(double.media));
        let most_back = if fault.hides_position() { seconds(ttl) + UNRECORDED } else { MOST_OFF };
        let most_back = most_back + seconds(spare);
        Self {
            fault,
            words,
            gap,
            limit,
            most_back,
            off: offs.max_by(|a, b| a.abs().total_cmp(&b.abs())),
            takeovers: window.changes.iter().filter(|change| change.from != change.to).count(),
            wrong: window.changes.iter().filter_map(wrong).collect(),
            filler: window.changes.iter().filter(|change| change.filler || change.first.is_none()).count(),
            doubles: doubles.map(|double| format!("{double:?}")).collect(),
            single_writes,
            standby,
        }
    }

    /// Whether the broadcast continued at another place than it may.
    fn is_off(&self) -> bool {
        self.off.is_some_and(|off| off > MOST_OFF || off < -self.most_back)
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.gap > self.limit {
            faults.push(format!(
                "{:.2} s without media, {:.0} allowed",
                seconds(self.gap),
                seconds(self.limit)
            ));
        }
        if let Some(off) = self.off.filter(|_| self.is_off()) {
            faults.push(format!("continued {off:+.2} s off"));
        }
        faults.extend(self.wrong.iter().cloned());
        faults.extend(self.doubles.iter().map(|double| format!("two publishers at once: {double}")));
        faults
    }
}

/// The place in the list, in seconds.
fn place(shown: Shown) -> f64 {
    f64::from(u32::from(shown.clip) * ITEM_SECONDS) + shown.at
}

/// How far the first picture after is from the last one before; the list is a circle.
fn off(change: &Change) -> Option<f64> {
    let length = f64::from(u32::from(ITEMS) * ITEM_SECONDS);
    let ahead = (place(change.first?) - place(change.last?)).rem_euclid(length);
    Some(if ahead > length / 2.0 { ahead - length } else { ahead })
}

/// Another item than the one before, and not its neighbour near their border.
fn wrong(change: &Change) -> Option<String> {
    let (last, first) = (change.last?, change.first?);
    let is_far = off(change).is_some_and(|off| off.abs() > NEAR_BORDER);
    (is_far && last.clip != first.clip).then(|| format!("item {} after item {}", first.clip, last.clip))
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

impl Found {
    /// The targets: whether each is met, and its description.
    #[must_use]
    pub fn targets(&self) -> Vec<(bool, String)> {
        let doubles: usize = self.rows.iter().map(|row| row.doubles.len()).sum();
        let late = self.rows.iter().filter(|row| row.gap > row.limit).count();
        let off = self.rows.iter().filter(|row| row.is_off()).count();
        let wrong: usize = self.rows.iter().map(|row| row.wrong.len()).sum();
        let takeovers: usize = self.rows.iter().map(|row| row.takeovers).sum();
        vec![
            (takeovers > 0, format!("{takeovers} takeovers in {} faults", self.rows.len())),
            (doubles == 0, format!("{doubles} times two publishers at once")),
            (late == 0, format!("{late} times media back too late")),
            (off == 0, format!("{off} times at another place than allowed")),
            (wrong == 0, format!("{wrong} times the wrong item")),
        ]
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let off = self.off.map_or_else(|| "-".to_owned(), |off| format!("{off:+.2}"));
        write!(
            f,
            "{} ({}): {:.2} s without media, {off} s off, {} takeovers, standby after {:.1} s",
            self.fault.name(),
            self.words,
            seconds(self.gap),
            self.takeovers,
            seconds(self.standby)
        )?;
        self.faults().iter().try_for_each(|fault| write!(f, "; FAULT: {fault}"))
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| fault | count | takeovers | longest without media, s | allowed, s | position off, s | allowed back, s | wrong item | filler | \
             two at once | single writes | standby back, s |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
        )?;
        for fault in Fault::ALL {
            let rows: Vec<_> = self.rows.iter().filter(|row| row.fault == fault).collect();
            let Some(worst) = rows.iter().max_by_key(|row| row.gap) else { continue };
            let sum = |of: fn(&Row) -> usize| rows.iter().map(|row| of(row)).sum::<usize>();
            let off = rows.iter().filter_map(|row| row.off).max_by(|a, b| a.abs().total_cmp(&b.abs()));
            writeln!(
                f,
                "| {} | {} | {} | {:.2} | {:.0} | {} | {:.0} | {} | {} | {} | {} | {:.1} |",
                fault.name(),
                rows.len(),
                sum(|row| row.takeovers),
                seconds(worst.gap),
                rows.iter().map(|row| seconds(row.limit)).fold(0.0, f64::max),
                off.map_or_else(|| "–".to_owned(), |off| format!("{off:+.2}")),
                rows.iter().map(|row| row.most_back).fold(0.0, f64::max),
                sum(|row| row.wrong.len()),
                sum(|row| row.filler),
                sum(|row| row.doubles.len()),
                sum(|row| row.single_writes),
                rows.iter().map(|row| seconds(row.standby)).fold(0.0, f64::max)
            )?;
        }
        writeln!(f)?;
        for (met, words) in self.targets() {
            writeln!(f, "{:<4} {words}", if met { "ok" } else { "MISS" })?;
        }
        self.rows.iter().filter(|row| !row.faults().is_empty()).try_for_each(|row| writeln!(f, "{row}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(last: (u16, f64), first: (u16, f64)) -> Change {
        let shown = |(clip, at)| Some(Shown { clip, at });
        Change { from: 0, to: 1, last: shown(last), first: shown(first), filler: false }
    }

    #[test]
    fn the_place_is_compared_around_the_list() {
        let close = |of: &Change, to: f64| (off(of).unwrap() - to).abs() < 1e-6;
        let over_the_end = change((3, 23.5), (0, 0.5));
        assert!(close(&over_the_end, 1.0) && wrong(&over_the_end).is_none());
        let back = change((1, 0.5), (0, 23.0));
        assert!(close(&back, -1.5) && wrong(&back).is_none());
        let again = change((1, 10.0), (1, 0.0));
        assert!(close(&again, -10.0) && wrong(&again).is_none());
        let other = change((1, 10.0), (2, 10.0));
        assert!(close(&other, 24.0));
        assert_eq!(wrong(&other).as_deref(), Some("item 2 after item 1"));
    }

    #[test]
    fn a_single_write_after_a_stop_is_no_second_publisher() {
        use crate::cluster::Double;
        let double = |media| Double { host: 0, messages: 2, media, after: Duration::from_secs(1) };
        let window = Window {
            doubles: vec![double(Duration::from_millis(33)), double(Duration::from_millis(70))],
            ..Window::default()
        };
        let row = |fault| {
            Row::of(
                (fault, String::new()),
                (Duration::MAX, Duration::ZERO, Duration::ZERO),
                None,
                &window,
                Duration::ZERO,
            )
        };
        let stopped = row(Fault::StopActive);
        assert_eq!((stopped.doubles.len(), stopped.single_writes), (1, 1));
        assert_eq!(row(Fault::CutActive).doubles.len(), 2);
    }
}
