//! The world around the playout: encoders, servers, the machine, its clock.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tgs_core::cancel::Cancel;
use tgs_rtmp::flv::{Kind, Tag};

use super::{
    encoder::{FPS, GROUP, HOUR, Programme, SECOND},
    viewer::{JITTER, Viewer},
};
use crate::{
    read_ahead::{Event, ReadAhead},
    sink::SinkError,
    status::SharedStatus,
};

pub(super) const DAY: u64 = 24 * HOUR;

/// Each connection's timestamps overflow six hours after its start.
pub(super) const FIRST_TIMESTAMP: u64 = (1 << 32) - 6 * HOUR / 1_000_000;

/// Permitted growth of the process's memory after the first day, in KiB.
const GROWTH_KIB: u64 = 2048;

/// Largest delay until a returned server is found: the longest back-off and attempt.
const FOUND: u64 = 45 * SECOND;

/// A loss of the connection.
#[derive(Debug, Clone, Copy)]
struct Outage {
    at: u64,
    /// The server refuses connections for this long.
    refuses: u64,
    /// Number of subsequent connections that are dropped within seconds.
    short: u32,
    /// Delay of the server's acknowledgements before.
    ack_delay: u64,
}

/// The world around the playout.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: u64,
    rng: fastrand::Rng,
    read_ahead: Arc<ReadAhead>,
    /// Capacity of the read-ahead in pictures.
    ahead: u64,
    cancel: Cancel,
    shared_status: SharedStatus,
    pub(super) programme: Programme,
    pub(super) viewer: Viewer,
    /// Next time to run the encoder, which wakes when a third of a second is free.
    fill_at: u64,
    /// Time at which the read-ahead was nearly empty last.
    starved_at: u64,
    outages: VecDeque<Outage>,
    /// The server is away until then.
    back_at: u64,
    short: u32,
    lost_at: u64,
    /// Time at which this connection is cut.
    cut_at: u64,
    ack_delay: u64,
    /// Bytes of this connection: queued, then flushed with their times.
    pub(super) taken: u64,
    flushed: VecDeque<(u64, u64)>,
    acked: u64,
    /// Time and duration of machine stalls; then of uplink stalls.
    stalls: VecDeque<(u64, u64)>,
    slow: VecDeque<(u64, u64)>,
    /// Start and end of periods in which a source yields no media.
    starves: VecDeque<(u64, u64)>,
    /// Time and new offset, in seconds, of each change of the wall clock.
    sets: VecDeque<(u64, i64)>,
    pub(super) wall_offset: i64,
    next_day: u64,
    pub(super) resident_kib: Vec<u64>,
    pub(super) most_ahead: f64,
    pub(super) most_queued: f64,
}

/// Moments about `mean` ns apart until `end`, each with a duration.
fn moments(rng: &mut fastrand::Rng, end: u64, mean: u64, lasts: std::ops::Range<u64>) -> Vec<(u64, u64)> {
    let mut at = 0;
    std::iter::from_fn(|| {
        at += rng.u64(mean / 2..mean * 3 / 2);
        (at < end).then(|| (at, rng.u64(lasts.clone())))
    })
    .collect()
}

/// The outages of `days` days, in order of time.
fn outages(rng: &mut fastrand::Rng, days: u64) -> Vec<Outage> {
    let end = days * DAY;
    let mut outages = Vec::new();
    // The ingest restarts each night.
    for day in 0..days {
        let at = day * DAY + 4 * HOUR + rng.u64(..HOUR);
        outages.push(Outage { at, refuses: rng.u64(SECOND..90 * SECOND), short: rng.u32(..3), ack_delay: 0 });
    }
    // Line failures.
    for (at, refuses) in moments(rng, end, 7 * HOUR, 0..SECOND) {
        let short = if rng.u32(..4) == 0 { rng.u32(1..8) } else { 0 };
        outages.push(Outage { at, refuses, short, ack_delay: rng.u64(..5 * SECOND) });
    }
    for (at, refuses) in moments(rng, end, 8 * DAY, 600 * SECOND..4 * HOUR) {
        outages.push(Outage { at, refuses, short: 0, ack_delay: rng.u64(..5 * SECOND) });
    }
    for at in Programme::live_at(days) {
        let at = at + 90 * 60 * SECOND / 2;
        outages.push(Outage { at, refuses: 20 * SECOND, short: 1, ack_delay: SECOND });
    }
    outages.sort_by_key(|outage| outage.at);
    outages
}

impl World {
    pub(super) fn new(
        days: u64,
        seed: u64,
        read_ahead: Arc<ReadAhead>,
        ahead: Duration,
        (cancel, shared_status): (Cancel, SharedStatus),
        sets: bool,
    ) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let end = days * DAY;
        let outages = outages(&mut rng, days);
        let still = moments(&mut rng, end, 9 * HOUR, SECOND / 50..30 * SECOND);
        let slow = moments(&mut rng, end, 11 * HOUR, SECOND / 50..20 * SECOND);
        let starves = moments(&mut rng, end, 2 * HOUR, 0..60 * SECOND);
        let clock = moments(&mut rng, end, 10 * HOUR, 0..8 * 3600);
        let clock = clock.into_iter().filter(|_| sets).map(|(at, offset)| (at, offset as i64 - 4 * 3600));
        Self {
            now: 0,
            read_ahead,
            ahead: ahead.as_secs() * FPS,
            cancel,
            shared_status,
            programme: Programme::new(days, rng.u64(..)),
            viewer: Viewer::new(FIRST_TIMESTAMP),
            fill_at: 0,
            starved_at: 0,
            outages: outages.into(),
            back_at: 0,
            short: 0,
            lost_at: 0,
            cut_at: u64::MAX,
            ack_delay: 0,
            taken: 0,
            flushed: VecDeque::new(),
            acked: 0,
            stalls: still.into(),
            slow: slow.into(),
            starves: starves.into_iter().map(|(at, lasts)| (at, at + lasts)).collect(),
            sets: clock.collect(),
            wall_offset: 0,
            next_day: DAY,
            resident_kib: Vec::new(),
            most_ahead: 0.0,
            most_queued: 0.0,
            rng,
        }
    }

    /// Advances time to `until`, with the clock changes and encoder work that are due.
    pub(super) fn pass(&mut self, until: u64, away: bool) {
        self.now = self.now.max(until);
        if let Some((_, offset)) = self.sets.pop_front_if(|(at, _)| *at <= self.now) {
            self.wall_offset = offset;
        }
        if let Some((_, until)) = self.starves.pop_front_if(|(at, _)| *at <= self.now) {
            self.programme.starve(until);
        }
        if self.now >= self.fill_at || away {
            self.fill(away);
        }
        if self.now >= self.next_day {
            self.end_day();
        }
    }

    /// Runs the encoder until the read-ahead is full.
    fn fill(&mut self, away: bool) {
        let mut have = (self.read_ahead.seconds() * FPS as f64).round() as u64;
        if have < 2 * GROUP {
            self.starved_at = self.now;
        }
        self.viewer.starved = self.now < self.starved_at + SECOND;
        while have < self.ahead {
            let Some((piece, live)) = self.programme.next(self.now) else { break };
            have += u64::from(matches!(&piece, Event::Tag(tag) if tag.kind == Kind::Video && tag.is_frame()));
            self.read_ahead.push(piece, live, &self.cancel);
            if live && away && have >= self.ahead {
                // The oldest group makes room.
                have -= 1;
            }
        }
        if self.programme.is_over(self.now) {
            self.read_ahead.finish();
        }
        self.fill_at = self.now + SECOND / 10;
    }

    /// Waits on a connection, which may be cut meanwhile.
    pub(super) fn wait(&mut self, until: u64) -> Result<(), SinkError> {
        if until > self.now {
            // A playout that waits is on time.
            self.viewer.behind = 0;
            self.viewer.waited = true;
        }
        let until = until.max(self.now) + self.rng.u64(..JITTER);
        let lasts = self.stalls.pop_front_if(|(at, _)| *at <= until).map_or(0, |(_, lasts)| lasts);
        self.viewer.behind += lasts;
        self.pass((until + lasts).min(self.cut_at.max(self.now)), false);
        self.is_cut()
    }

    fn is_cut(&mut self) -> Result<(), SinkError> {
        if self.now < self.cut_at { Ok(()) } else { Err(SinkError::Simulated) }
    }

    pub(super) fn flush(&mut self) -> Result<(), SinkError> {
        if let Some((_, lasts)) = self.slow.pop_front_if(|(at, _)| *at <= self.now) {
            self.viewer.behind += lasts;
            self.pass(self.now + lasts, false);
        }
        self.is_cut()?;
        self.flushed.push_back((self.now, self.taken));
        let acked = self.acked();
        self.viewer.flushed(self.taken, acked);
        Ok(())
    }

    pub(super) fn acked(&mut self) -> u64 {
        while let Some((_, bytes)) = self.flushed.pop_front_if(|(at, _)| *at + self.ack_delay <= self.now) {
            self.acked = bytes;
        }
        self.acked
    }

    pub(super) fn queue(&mut self, tag: &Tag) {
        self.taken += tag.body.len() as u64;
        self.viewer.take(self.now, tag, &mut self.programme);
        if self.viewer.behind > 0 && tag.is_keyframe() {
            // The playout does not wait while it makes up for a lag; the encoder works in parallel.
            self.fill(false);
        }
    }

    pub(super) fn lost(&mut self) {
        self.lost_at = self.now;
        let acked = self.acked();
        self.viewer.lost(acked);
        while let Some(outage) = self.outages.pop_front_if(|outage| outage.at <= self.now) {
            self.back_at = self.back_at.max(outage.at + outage.refuses);
            self.short += outage.short;
        }
    }

    /// One attempt to connect.
    pub(super) fn connect(&mut self) -> Result<(), SinkError> {
        let silent = self.now < self.back_at && self.rng.bool();
        let takes = if silent { 10 * SECOND } else { self.rng.u64(SECOND / 100..SECOND / 3) };
        self.pass(self.now + takes, true);
        if self.now < self.back_at || silent {
            return Err(SinkError::Simulated);
        }
        let searched = self.now - self.lost_at.max(self.back_at);
        assert!(searched < FOUND, "a server that is there is found after {searched} ns");
        let next = self.outages.front().copied();
        self.ack_delay = next.map_or(SECOND / 25, |outage| outage.ack_delay.max(SECOND / 50));
        self.cut_at = next.map_or(u64::MAX, |outage| outage.at);
        if self.short > 0 {
            self.short -= 1;
            let lasts = if self.rng.bool() { self.rng.u64(..7 * SECOND) } else { 0 };
            self.cut_at = self.now + lasts;
        }
        (self.taken, self.acked) = (0, 0);
        self.flushed.clear();
        self.viewer.connected();
        Ok(())
    }

    fn end_day(&mut self) {
        self.next_day += DAY;
        let status = self.shared_status.read().status;
        self.most_ahead = self.most_ahead.max(status.readahead_seconds);
        self.most_queued = self.most_queued.max(status.queue_seconds);
        let resident = resident_kib();
        self.resident_kib.push(resident);
        assert!(resident <= self.resident_kib[0] + GROWTH_KIB, "memory grows: {:?} KiB", self.resident_kib);
    }
}

/// Resident memory of this process in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    resident.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}
