//! The last day of a channel, sampled every ten seconds, for the charts.

use std::collections::VecDeque;

use serde::Serialize;
use tgs_control::BroadcastStatus;

/// Seconds between samples.
pub(crate) const EVERY: u64 = 10;

/// A day.
const MOST: usize = 24 * 3600 / EVERY as usize;

/// Most points of a chart.
const POINTS: usize = 720;

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sample {
    /// Seconds since 1970.
    time: u64,
    /// The counter of sent bytes.
    bytes: Option<u64>,
    readahead: f32,
    speed: Option<f32>,
    /// The counter of reconnects.
    reconnects: Option<u64>,
}

/// The samples of a day.
#[derive(Debug, Default)]
pub(crate) struct StatusHistory(VecDeque<Sample>);

/// The columns of the charts.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Columns {
    /// Seconds since 1970.
    pub(crate) time: Vec<u64>,
    /// Sent kbit/s.
    pub(crate) bitrate: Vec<Option<f32>>,
    /// Read-ahead in seconds; the shortest of the point.
    pub(crate) readahead: Vec<Option<f32>>,
    /// Encoding speed; the slowest of the point.
    pub(crate) speed: Vec<Option<f32>>,
    /// Reconnects within the point.
    pub(crate) reconnects: Vec<Option<u64>>,
}

impl StatusHistory {
    /// Adds a sample.
    pub(crate) fn add(&mut self, time: u64, status: &BroadcastStatus) {
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        let engine = &status.status.engine;
        self.0.push_back(Sample {
            time,
            bytes: status.sent_bytes,
            readahead: engine.readahead_seconds as f32,
            speed: engine.encoder_speed_ratio.map(|speed| speed as f32),
            reconnects: status.reconnects,
        });
    }

    /// The samples since `from`, in at most [`POINTS`] points.
    pub(crate) fn columns(&self, from: u64) -> Columns {
        let samples: Vec<_> = self.0.iter().filter(|sample| sample.time >= from).collect();
        let size = samples.len().div_ceil(POINTS).max(1);
        let mut columns = Columns::default();
        let mut before: Option<&Sample> = None;
        for point in samples.chunks(size) {
            let Some(last) = point.last() else { continue };
            let min = |values: &mut dyn Iterator<Item = f32>| values.reduce(f32::min);
            // A counter that is smaller than before belongs to a new process.
            let grown =
                |now: Option<u64>, then: Option<u64>| now.zip(then).and_then(|(a, b)| a.checked_sub(b));
            let since = before.map(|before| last.time.saturating_sub(before.time)).filter(|time| *time > 0);
            let bytes = before.and_then(|before| grown(last.bytes, before.bytes));
            let rate = bytes.zip(since).map(|(bytes, since)| bytes as f32 * 0.008 / since as f32);
            columns.time.push(last.time);
            columns.bitrate.push(rate);
            columns.readahead.push(min(&mut point.iter().map(|sample| sample.readahead)));
            columns.speed.push(min(&mut point.iter().filter_map(|sample| sample.speed)));
            columns.reconnects.push(before.and_then(|before| grown(last.reconnects, before.reconnects)));
            before = Some(last);
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(bytes: u64, readahead: f64, reconnects: u64) -> BroadcastStatus {
        let mut status = BroadcastStatus { sent_bytes: Some(bytes), ..BroadcastStatus::default() };
        status.reconnects = Some(reconnects);
        status.status.engine.readahead_seconds = readahead;
        status
    }

    #[test]
    fn rates_come_from_counters_and_survive_a_restart() {
        let mut history = StatusHistory::default();
        history.add(100, &status(0, 4.0, 3));
        history.add(110, &status(2_500_000, 3.0, 4));
        history.add(120, &status(1000, 2.0, 0));
        let columns = history.columns(0);
        assert_eq!(columns.time, [100, 110, 120]);
        assert_eq!(columns.bitrate, [None, Some(2000.0), None]);
        assert_eq!(columns.reconnects, [None, Some(1), None]);
        assert_eq!(columns.readahead, [Some(4.0), Some(3.0), Some(2.0)]);
        assert_eq!(columns.speed, [None, None, None]);
        assert_eq!(history.columns(115).time, [120]);
    }

    #[test]
    fn a_day_is_kept_and_shown_in_few_points() {
        let mut history = StatusHistory::default();
        for n in 0..MOST as u64 + 500 {
            history.add(n * EVERY, &status(n * 2_500_000, 4.0 - f64::from((n % 7) as u32) / 10.0, 0));
        }
        assert_eq!(history.0.len(), MOST);
        let columns = history.columns(0);
        assert!(columns.time.len() <= POINTS);
        assert!(columns.bitrate.iter().skip(1).flatten().all(|rate| (rate - 2000.0).abs() < 1.0));
        assert!(columns.readahead.iter().flatten().all(|seconds| *seconds < 3.6));
    }
}
