//! The long run: timeline, read-ahead, filler, pacing and publisher together through 60 days of simulated time, in minutes.
//!
//! # Theory of operation
//!
//! One thread and no chance: time passes only where the playout waits, and then the world goes on ([`World`]): encoders
//! fill the read-ahead, servers go away, machines stand still, clocks are set. The playout, and all it is made of, is
//! the product's own; simulated are the clock, the encoders (`encoder.rs`) and the server. What reaches the server is
//! judged as a viewer would (`viewer.rs`): no picture or sound is missing, none comes twice, each lies within a
//! millisecond of where counting from the very beginning puts it, and comes at its moment by a clock that has moved for
//! nothing but the time that the viewer was away or a lag that was let go.
//!
//! In 60 days one item outlives the 31 bits of its encoder's times, and the broadcast's own clock the 32 bits of
//! RTMP's; so does each connection's, which begins six hours before. Session and playlist are not here, since neither
//! reaches the engine: they have long runs of their own (`telegram/state_machine/long_run.rs` and `playlist/long_run.rs` in tgs-stream).
//!
//! Without optimisation it is one day, for the debug assertions' sake.

mod encoder;
mod viewer;

use std::{
    collections::VecDeque,
    path::Path,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use tgs_core::cancel::Cancel;

use super::*;
use crate::{
    flv::{FILE_HEADER, Tag, write_tag},
    profile::Profile,
    publisher,
    timeline::Timeline,
};
use encoder::{AUDIO_HEADER, FPS, GROUP, HOUR, Programme, SECOND, SILENCE};
use viewer::{JITTER, Viewer};

const DAY: u64 = 24 * HOUR;

/// Each connection's clock runs over six hours after its beginning.
const FIRST_TIMESTAMP: u64 = (1 << 32) - 6 * HOUR / 1_000_000;

/// Memory that the process may take more at the end than after the first day, in KiB.
const GROWTH_KIB: u64 = 2048;

/// After the server is back, this long at most until it is found: the longest back-off and attempt.
const FOUND: u64 = 45 * SECOND;

/// How a connection is lost.
#[derive(Debug, Clone, Copy)]
struct Outage {
    at: u64,
    /// The server refuses for this long.
    refuses: u64,
    /// Connections that are dropped within seconds, one after another.
    short: u32,
    /// How late the server acknowledged before.
    ack_delay: u64,
}

/// All that goes on beside the playout.
#[derive(Debug)]
struct World {
    now: u64,
    rng: fastrand::Rng,
    read_ahead: Arc<ReadAhead>,
    /// How many pictures the read-ahead takes.
    ahead: u64,
    control: Control,
    programme: Programme,
    viewer: Viewer,
    /// When the encoder is looked at next: it is woken when a third of a second is free.
    fill_at: u64,
    /// When it was about to be empty last.
    starved_at: u64,
    outages: VecDeque<Outage>,
    /// The server is away until then.
    back_at: u64,
    short: u32,
    lost_at: u64,
    /// When this connection is cut.
    cut_at: u64,
    ack_delay: u64,
    /// Bytes taken and bytes sent of this connection, and when.
    taken: u64,
    flushed: VecDeque<(u64, u64)>,
    acked: u64,
    /// When the machine stands still and for how long; when the uplink is as slow.
    stalls: VecDeque<(u64, u64)>,
    slow: VecDeque<(u64, u64)>,
    /// When a source gives nothing, and until when.
    starves: VecDeque<(u64, u64)>,
    /// When the wall's clock is set to another offset, in seconds.
    sets: VecDeque<(u64, i64)>,
    wall_offset: i64,
    next_day: u64,
    resident_kib: Vec<u64>,
    most_ahead: f64,
    most_queued: f64,
}

/// Moments with `mean` ns between them until `end`, and how long each lasts.
fn moments(rng: &mut fastrand::Rng, end: u64, mean: u64, lasts: std::ops::Range<u64>) -> Vec<(u64, u64)> {
    let mut at = 0;
    std::iter::from_fn(|| {
        at += rng.u64(mean / 2..mean * 3 / 2);
        (at < end).then(|| (at, rng.u64(lasts.clone())))
    })
    .collect()
}

impl World {
    fn new(
        days: u64,
        seed: u64,
        read_ahead: Arc<ReadAhead>,
        ahead: Duration,
        control: Control,
        sets: bool,
    ) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let end = days * DAY;
        let mut outages = Vec::new();
        // The ingest is restarted each night.
        for day in 0..days {
            let at = day * DAY + 4 * HOUR + rng.u64(..HOUR);
            outages.push(Outage {
                at,
                refuses: rng.u64(SECOND..90 * SECOND),
                short: rng.u32(..3),
                ack_delay: 0,
            });
        }
        // Lines break.
        for (at, refuses) in moments(&mut rng, end, 7 * HOUR, 0..SECOND) {
            let short = if rng.u32(..4) == 0 { rng.u32(1..8) } else { 0 };
            outages.push(Outage { at, refuses, short, ack_delay: rng.u64(..5 * SECOND) });
        }
        for (at, refuses) in moments(&mut rng, end, 8 * DAY, 600 * SECOND..4 * HOUR) {
            outages.push(Outage { at, refuses, short: 0, ack_delay: rng.u64(..5 * SECOND) });
        }
        for at in Programme::live_at(days) {
            let at = at + 90 * 60 * SECOND / 2;
            outages.push(Outage { at, refuses: 20 * SECOND, short: 1, ack_delay: SECOND });
        }
        outages.sort_by_key(|outage| outage.at);
        let still = moments(&mut rng, end, 9 * HOUR, SECOND / 50..30 * SECOND);
        let slow = moments(&mut rng, end, 11 * HOUR, SECOND / 50..20 * SECOND);
        let starves = moments(&mut rng, end, 2 * HOUR, 0..60 * SECOND);
        let mut clock: Vec<_> = moments(&mut rng, end, 10 * HOUR, 0..8 * 3600)
            .into_iter()
            .map(|(at, offset)| (at, offset as i64 - 4 * 3600))
            .collect();
        if !sets {
            clock.clear();
        }
        Self {
            now: 0,
            read_ahead,
            ahead: ahead.as_secs() * FPS,
            control,
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
            sets: clock.into(),
            wall_offset: 0,
            next_day: DAY,
            resident_kib: Vec::new(),
            most_ahead: 0.0,
            most_queued: 0.0,
            rng,
        }
    }

    /// Time passes; encoders and people do what they do.
    fn pass(&mut self, until: u64, away: bool) {
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

    /// Lets the encoder work until the read-ahead is full.
    fn fill(&mut self, away: bool) {
        let mut have = (self.read_ahead.seconds() * FPS as f64).round() as u64;
        if have < 2 * GROUP {
            self.starved_at = self.now;
        }
        self.viewer.starved = self.now < self.starved_at + SECOND;
        while have < self.ahead {
            let Some((piece, live)) = self.programme.next(self.now) else { break };
            have += u64::from(matches!(&piece, Event::Tag(tag) if tag.kind == Kind::Video && tag.is_frame()));
            self.read_ahead.push(piece, live, &self.control.cancel);
            if live && away && have >= self.ahead {
                // The oldest make room.
                have -= 1;
            }
        }
        if self.programme.is_over(self.now) {
            self.read_ahead.finish();
        }
        self.fill_at = self.now + SECOND / 10;
    }

    /// Waits on a connection, which may be cut meanwhile.
    fn wait(&mut self, until: u64) -> Result<(), SinkError> {
        if until > self.now {
            // Who waits is on time.
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
        if self.now < self.cut_at { Ok(()) } else { Err(SinkError("cut by the simulation".into())) }
    }

    fn flush(&mut self) -> Result<(), SinkError> {
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

    fn acked(&mut self) -> u64 {
        while let Some((_, bytes)) = self.flushed.pop_front_if(|(at, _)| *at + self.ack_delay <= self.now) {
            self.acked = bytes;
        }
        self.acked
    }

    fn queue(&mut self, tag: &Tag) {
        self.taken += tag.body.len() as u64;
        self.viewer.take(self.now, tag, &mut self.programme);
        if self.viewer.behind > 0 && tag.is_keyframe() {
            // While the playout makes up for a lag it does not wait, and the encoder works beside it.
            self.fill(false);
        }
    }

    fn lost(&mut self) {
        self.lost_at = self.now;
        let acked = self.acked();
        self.viewer.lost(acked);
        while let Some(outage) = self.outages.pop_front_if(|outage| outage.at <= self.now) {
            self.back_at = self.back_at.max(outage.at + outage.refuses);
            self.short += outage.short;
        }
    }

    /// One attempt to connect.
    fn connect(&mut self) -> Result<(), SinkError> {
        let silent = self.now < self.back_at && self.rng.bool();
        let takes = if silent { 10 * SECOND } else { self.rng.u64(SECOND / 100..SECOND / 3) };
        self.pass(self.now + takes, true);
        if self.now < self.back_at || silent {
            return Err(SinkError("refused by the simulation".into()));
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
        let status = self.control.board.read();
        self.most_ahead = self.most_ahead.max(status.readahead_seconds);
        self.most_queued = self.most_queued.max(status.queue_seconds);
        let resident = resident_kib();
        self.resident_kib.push(resident);
        assert!(resident <= self.resident_kib[0] + GROWTH_KIB, "memory grows: {:?} KiB", self.resident_kib);
    }
}

/// Memory of this process.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    resident.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// The clock that the playout sees, and the world behind it.
#[derive(Debug)]
struct Simulated {
    began: Instant,
    /// Nanoseconds since then, and the offset of the wall's clock in seconds: a copy of the world's, free of locks.
    now: AtomicU64,
    wall_offset: AtomicI64,
    world: Mutex<World>,
}

impl Simulated {
    fn world<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let mut world: MutexGuard<'_, World> = self.world.lock().unwrap();
        let done = act(&mut world);
        self.now.store(world.now, Ordering::Relaxed);
        self.wall_offset.store(world.wall_offset, Ordering::Relaxed);
        done
    }

    fn at(&self, moment: Instant) -> u64 {
        (moment - self.began).as_nanos() as u64
    }
}

impl Clock for Simulated {
    fn now(&self) -> Instant {
        self.began + Duration::from_nanos(self.now.load(Ordering::Relaxed))
    }

    fn wall(&self) -> f64 {
        let since = self.now.load(Ordering::Relaxed) as f64 / SECOND as f64;
        1.8e9 + since + self.wall_offset.load(Ordering::Relaxed) as f64
    }

    fn wait(&self, timeout: Duration, cancel: &Cancel) -> bool {
        self.world(|world| world.pass(world.now + timeout.as_nanos() as u64, true));
        cancel.is_cancelled()
    }
}

/// A connection to the simulated server.
struct Line(Arc<Simulated>);

impl publisher::Sink for Line {
    fn queue(&mut self, tag: &Tag) -> Result<(), SinkError> {
        self.0.world(|world| world.queue(tag));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.0.world(World::flush)
    }

    fn wait(&mut self, until: Instant) -> Result<(), SinkError> {
        let until = self.0.at(until);
        self.0.world(|world| world.wait(until))
    }

    fn written(&self) -> u64 {
        self.0.world(|world| world.taken)
    }

    fn acked(&self) -> u64 {
        self.0.world(World::acked)
    }

    fn goodbye(self: Box<Self>) {}
}

impl Drop for Line {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.world(World::lost);
        }
    }
}

/// A filler of four seconds, as the slate is.
fn filler(dir: &Path) -> Filler {
    let mut bytes = FILE_HEADER.to_vec();
    let mut tags = vec![encoder::header(Kind::Video), encoder::header(Kind::Audio)];
    let mut frames: Vec<Tag> = (0..4 * FPS).map(|n| encoder::picture(0, n)).collect();
    frames.extend((0..170).map(|n| encoder::sound(0, n)));
    frames.sort_by_key(|tag| tag.timestamp);
    tags.extend(frames);
    tags.push(Tag { kind: Kind::Audio, timestamp: 3980, body: SILENCE.into() });
    for tag in tags {
        write_tag(&mut bytes, &tag).unwrap();
    }
    let path = dir.join("filler.flv");
    std::fs::write(&path, bytes).unwrap();
    Filler::encoded(&path).unwrap()
}

/// Broadcasts for so many days; what was seen.
fn broadcast(days: u64, seed: u64, clock_is_set: bool) -> viewer::Seen {
    let real = Instant::now();
    fastrand::seed(seed);
    let dir = tempfile::tempdir().unwrap();
    let filler = filler(dir.path());
    assert_eq!(*filler.silence().header, AUDIO_HEADER);
    let control = Control::default();
    let ahead = Duration::from_secs(10);
    let read_ahead = Arc::new(ReadAhead::new(FPS as u32, ahead));
    let world = World::new(days, seed, read_ahead.clone(), ahead, control.clone(), clock_is_set);
    let simulated = Arc::new(Simulated {
        began: Instant::now(),
        now: AtomicU64::new(0),
        wall_offset: AtomicI64::new(0),
        world: Mutex::new(world),
    });
    let line = simulated.clone();
    let open: publisher::OpenSink = Box::new(move |_, _, _| {
        line.world(World::connect)?;
        Ok(Box::new(Line(line.clone())))
    });
    let output = publisher::parse_output("rtmp://simulated/app/key", None).unwrap();
    let publisher = Publisher::new(output, Profile::P720, FIRST_TIMESTAMP, control.cancel.clone())
        .simulated(open, simulated.clone());
    let timeline = Timeline::new(&Profile::P720, filler.silence());
    let mut playout = Playout::new(read_ahead, timeline, filler, publisher, control, true, simulated.began);
    let played = playout.run().expect("the broadcast goes on to the end");

    let shown_to = playout.timeline.next_picture_ms();
    let anchor = simulated.at(playout.anchor.unwrap()) as i64;
    assert!(playout.recent.len() <= 8);
    drop(playout);
    simulated.world(|world| {
        let viewer = &world.viewer;
        let last = world.programme.given.pop_front().expect("the last item");
        assert!(world.programme.given.is_empty() && viewer.saw_all_of(last), "not to the end: {last:?}");
        assert_eq!((played, last.run), (world.programme.runs(), world.programme.runs()));
        // Nothing else has moved the one anchor.
        let moved = viewer.away + viewer.let_go as i64;
        assert_eq!(viewer.anchor.unwrap(), moved + viewer.first_due);
        // What live sources have skipped is in the broadcast's time, and not in the viewer's.
        let skipped = shown_to as i64 - (viewer.pictures * 1000 / FPS) as i64;
        let drift = (viewer.anchor.unwrap() - anchor) / 1_000_000 - skipped;
        assert!(drift.abs() <= 1 + viewer.live_breaks as i64, "{drift} ms of drift");
        assert!(world.most_ahead <= 10.5 && world.most_queued <= 12.0);
        let seconds = |ns: u64| ns / SECOND;
        println!(
            "{days} days in {:.0} s: {played} items played, {} failed; {} tags; away {} s, let go {} s; {:?}; at most \
             {:.1} s ahead, {:.1} s queued; memory by the day {:?} KiB",
            real.elapsed().as_secs_f64(),
            world.programme.failed,
            viewer.seen.tags,
            seconds(viewer.away.unsigned_abs()),
            seconds(viewer.let_go),
            viewer.seen,
            world.most_ahead,
            world.most_queued,
            world.resident_kib,
        );
        viewer.seen.clone()
    })
}

#[test]
fn sixty_days_drift_leak_and_stop_nowhere() {
    let days = if cfg!(debug_assertions) { 1 } else { 60 };
    let seen = broadcast(days, 1, true);
    assert!(seen.connections > 4 * days && seen.wraps >= days / 2 && seen.fillers > days, "{seen:?}");
}

#[test]
fn a_clock_that_people_set_changes_nothing() {
    assert_eq!(broadcast(1, 2, true), broadcast(1, 2, false));
}
