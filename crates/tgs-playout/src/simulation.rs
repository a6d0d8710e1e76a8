//! A broadcast in simulated time, for tests of what decides about it: lists and timetables.
//!
//! The playout thread and its parts are the product's own; simulated are clock, encoders and
//! server. One thread, deterministic: time passes only while the playout waits. Five pictures and
//! five sounds a second suffice, since nothing here looks at them.

mod encoding;
mod format;
pub(crate) mod time;
mod world;

use std::{
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tgs_control::BroadcastEvent;
use tgs_core::{cancel::Cancel, systemd::Watchdog};
use tgs_rtmp::flv::{FILE_HEADER, Kind, Tag, write_tag};

use self::{
    encoding::Encoding,
    format::{FPS, PROFILE, read_ahead},
    time::{Simulated, SimulatedTime},
    world::SimulatedWorld,
};
pub use self::{format::LengthOf, world::Stage};
use crate::{
    events::Events,
    filler::Filler,
    handover::Leaving,
    item::Programme,
    item_notes::ItemNotes,
    lane::Lanes,
    monitor::Monitors,
    on_air::OnAirTracker,
    output::parse_output,
    outputs::Outputs,
    pacing::{LaneSwitch, Playout, Supervision},
    publisher::{OpenSink, Publisher},
    sink::{Sink, SinkError},
    status::SharedStatus,
    timeline::Timeline,
};

/// A broadcast to be simulated.
pub struct Simulation {
    /// The list.
    pub list: Box<dyn Programme>,
    /// The items' lengths.
    pub length: Arc<LengthOf>,
    /// The wall-clock time of the start.
    pub starts: SystemTime,
    /// How long it lasts.
    pub lasts: Duration,
    /// Called every half second of simulated time.
    pub on_tick: Box<dyn FnMut(&mut Stage) + Send>,
}

/// Simulates the broadcast. Returns what was on air.
///
/// # Panics
///
/// If the simulation itself fails.
#[must_use]
pub fn simulate(simulation: Simulation) -> Vec<BroadcastEvent> {
    let Simulation { list, length, starts, lasts, on_tick } = simulation;
    let (cancel, shared_status) = (Cancel::new(), SharedStatus::default());
    let (events, notes, lanes) = (Events::default(), ItemNotes::default(), Lanes::default());
    let time = Arc::new(SimulatedTime {
        began: Instant::now(),
        starts: starts.duration_since(UNIX_EPOCH).unwrap_or_default(),
        now: AtomicU64::new(0),
    });
    let read_ahead = read_ahead(&time, &shared_status, 0);
    let list = Encoding::new(list, read_ahead.clone(), cancel.clone(), length.clone());
    let subscription = events.subscribe(1000).expect("nobody else has subscribed");
    let stage = Stage {
        time: time.clone(),
        starts,
        shared_status: shared_status.clone(),
        lanes: lanes.clone(),
        encodings: vec![list],
        length,
        is_up: true,
        next_lane: 1,
    };
    let world = SimulatedWorld::new(stage, on_tick, subscription, lasts, cancel.clone());
    let simulated = Arc::new(Simulated { time, world: Mutex::new(world) });
    // The first item is ready when the playout starts.
    simulated.pass(Duration::from_secs(1).as_nanos() as u64);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let filler = filler(dir.path());
    let line = simulated.clone();
    let open: OpenSink = Box::new(move |_, _, _| {
        let is_up = line.world(|world| world.stage.is_up);
        if is_up {
            Ok(Box::new(Line { simulated: line.clone(), written: 0 }))
        } else {
            Err(SinkError::Simulated)
        }
    });
    let output = parse_output("rtmp://simulated/app/key", None).expect("a valid address");
    let publisher = Publisher::new(output, PROFILE, 0, cancel.clone()).simulated(open, simulated.clone());
    let metadata = Tag { kind: Kind::Script, timestamp: 0, body: [0].into() };
    let supervision = Supervision {
        cancel,
        leaving: Leaving::default(),
        shared_status,
        monitors: Monitors::default().begin_run(metadata),
        outputs: Outputs::default().begin_run(),
        tracker: OnAirTracker::new(events, notes, simulated.clone()),
        watchdog: Watchdog::default(),
        started: simulated.time.began,
    };
    let switch = LaneSwitch::new(read_ahead, lanes);
    let timeline = Timeline::new(&PROFILE, filler.silence());
    let mut playout = Playout::new(switch, timeline, filler, publisher, supervision, true);
    let _ = playout.run();
    drop(playout);
    simulated.world(SimulatedWorld::take_events)
}

/// A filler of four seconds.
fn filler(dir: &std::path::Path) -> Filler {
    let path = dir.join("filler.flv");
    let mut bytes = FILE_HEADER.to_vec();
    for tag in encoding::headers().into_iter().chain(encoding::tags(0, 4 * FPS)) {
        write_tag(&mut bytes, &tag).expect("memory can be written");
    }
    std::fs::write(&path, bytes).and_then(|()| Filler::encoded(&path)).expect("a filler")
}

/// A connection that delivers at once, until the server is away.
struct Line {
    simulated: Arc<Simulated<SimulatedWorld>>,
    written: u64,
}

impl Line {
    fn check(&self) -> Result<(), SinkError> {
        let is_up = self.simulated.world(|world| world.stage.is_up);
        if is_up { Ok(()) } else { Err(SinkError::Simulated) }
    }
}

impl Sink for Line {
    fn queue(&mut self, tag: &Tag) -> Result<(), SinkError> {
        self.written += tag.body.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.check()
    }

    fn wait(&mut self, until: Instant) -> Result<(), SinkError> {
        let until = until.saturating_duration_since(self.simulated.time.began).as_nanos() as u64;
        // The kernel wakes a waiting thread a little late.
        self.simulated.pass(until.max(self.simulated.time.elapsed()) + 500_000);
        self.check()
    }

    fn written(&self) -> u64 {
        self.written
    }

    fn acked(&self) -> u64 {
        self.written
    }

    fn goodbye(self: Box<Self>) {}
}
