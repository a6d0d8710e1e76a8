//! The long run: timeline, read-ahead, filler, pacing and publisher together through 60 days of
//! simulated time, in minutes.
//!
//! # Theory of operation
//!
//! One thread, deterministic: time passes only while the playout waits, and then the world advances
//! ([`World`]): encoders fill the read-ahead, servers go away, machines stall, clocks are set. The
//! playout and its parts are the product's own; simulated are the clock, the encoders
//! (`encoder.rs`) and the server. The viewer (`viewer.rs`) judges the output that reaches the
//! server: no picture or sound is missing or duplicated, each time is within a millisecond of its
//! count from the start, and each tag comes when due by a clock that only outages and
//! resynchronised lags shift.
//!
//! In 60 days one item exceeds the 31 bits of its encoder's timestamps, and the broadcast's clock
//! the 32 bits of RTMP's; so does each connection's, which begins six hours before the overflow.
//! Session and playlist are absent, since neither reaches the engine: they have their own long runs
//! (`telegram/state_machine/long_run.rs` and `playlist/long_run.rs` in tgs-stream).
//!
//! A debug build simulates one day, for its debug assertions.

mod encoder;
mod viewer;
mod world;

use std::{
    path::Path,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use tgs_core::cancel::Cancel;
use tgs_rtmp::flv::{FILE_HEADER, Tag, write_tag};

use super::*;
use crate::{
    events::Events,
    item_notes::ItemNotes,
    lane::Lanes,
    monitor::Monitors,
    output::parse_output,
    outputs::Outputs,
    profile::Profile,
    publisher::{OpenSink, Publisher},
    read_ahead::ReadAhead,
    sink::{Sink, SinkError},
    timeline::Timeline,
};
use encoder::{AUDIO_HEADER, FPS, SECOND, SILENCE};
use world::{FIRST_TIMESTAMP, World};

/// The clock of the playout, and the simulated world.
#[derive(Debug)]
struct Simulated {
    began: Instant,
    /// Nanoseconds since `began`, and the offset of the wall clock in seconds: copies of the
    /// world's values that need no lock.
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

impl Sink for Line {
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

/// A filler of four seconds, like the slate.
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

/// What the viewer and the world went through, for the log.
fn totals(world: &World) -> String {
    let seconds = |ns: u64| ns / SECOND;
    let viewer = &world.viewer;
    format!(
        "{} failed; {} tags; away {} s, resynchronised {} s; {:?}; at most {:.1} s ahead, {:.1} s queued; memory by \
         the day {:?} KiB",
        world.programme.failed,
        viewer.seen.tags,
        seconds(viewer.away.unsigned_abs()),
        seconds(viewer.let_go),
        viewer.seen,
        world.most_ahead,
        world.most_queued,
        world.resident_kib,
    )
}

fn supervision(cancel: Cancel, shared_status: SharedStatus, simulated: &Arc<Simulated>) -> Supervision {
    let metadata = Tag { kind: Kind::Script, timestamp: 0, body: [0].into() };
    Supervision {
        cancel,
        leaving: Leaving::default(),
        shared_status,
        monitors: Monitors::default().begin_run(metadata),
        outputs: Outputs::default().begin_run(),
        tracker: OnAirTracker::new(Events::default(), ItemNotes::default(), simulated.clone()),
        watchdog: Watchdog::default(),
        started: simulated.began,
    }
}

/// Broadcasts for `days`; returns the viewer's totals.
fn broadcast(days: u64, seed: u64, clock_is_set: bool) -> viewer::Seen {
    let real = Instant::now();
    fastrand::seed(seed);
    let dir = tempfile::tempdir().unwrap();
    let filler = filler(dir.path());
    assert_eq!(*filler.silence().header, AUDIO_HEADER);
    let (cancel, shared_status) = (Cancel::new(), SharedStatus::default());
    let ahead = Duration::from_secs(10);
    let read_ahead = Arc::new(ReadAhead::new(FPS as u32, ahead, shared_status.standing()));
    let world = World::new(
        days,
        seed,
        read_ahead.clone(),
        ahead,
        (cancel.clone(), shared_status.clone()),
        clock_is_set,
    );
    let simulated = Arc::new(Simulated {
        began: Instant::now(),
        now: AtomicU64::new(0),
        wall_offset: AtomicI64::new(0),
        world: Mutex::new(world),
    });
    let line = simulated.clone();
    let open: OpenSink = Box::new(move |_, _, _| {
        line.world(World::connect)?;
        Ok(Box::new(Line(line.clone())))
    });
    let output = parse_output("rtmp://simulated/app/key", None).unwrap();
    let publisher = Publisher::new(output, Profile::P720, FIRST_TIMESTAMP, cancel.clone())
        .simulated(open, simulated.clone());
    let timeline = Timeline::new(&Profile::P720, filler.silence());
    let supervision = supervision(cancel, shared_status, &simulated);
    let switch = LaneSwitch::new(read_ahead, Lanes::default());
    let mut playout = Playout::new(switch, timeline, filler, publisher, supervision, true);
    let played = playout.run().expect("the broadcast goes on to the end");

    let shown_to = playout.timeline.next_picture_ms();
    let anchor = simulated.at(playout.anchor.unwrap()) as i64;
    assert!(playout.switch.current().recent_len() <= 8);
    drop(playout);
    simulated.world(|world| {
        let viewer = &world.viewer;
        let last = world.programme.given.pop_front().expect("the last item");
        assert!(world.programme.given.is_empty() && viewer.saw_all_of(last), "not to the end: {last:?}");
        assert_eq!((played, last.seq), (world.programme.runs(), world.programme.runs()));
        // Only outages and resynchronised lags have moved the anchor.
        let moved = viewer.away + viewer.let_go as i64;
        assert_eq!(viewer.anchor.unwrap(), moved + viewer.first_due);
        // The broadcast's time includes the media that live sources skipped; the viewer's does not.
        let skipped = shown_to as i64 - (viewer.pictures * 1000 / FPS) as i64;
        let drift = (viewer.anchor.unwrap() - anchor) / 1_000_000 - skipped;
        assert!(drift.abs() <= 1 + viewer.live_breaks as i64, "{drift} ms of drift");
        assert!(world.most_ahead <= 10.5 && world.most_queued <= 12.0);
        println!(
            "{days} days in {:.0} s: {played} items played, {}",
            real.elapsed().as_secs_f64(),
            totals(world)
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
