//! Random commands at random moments: read-ahead, timeline, filler, pacing and publisher together
//! over simulated time.
//!
//! The items differ in the order and delay of their pictures. Each picture's body names its item
//! and its place in decode and display order, so that the received tags show where each was cut.
//! Time passes only while the playout waits; then encoders fill the read-ahead and commands arrive.

mod lane_orders;
mod material;
mod pieces;
mod programme;

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use proptest::prelude::*;
use tgs_rtmp::flv::{FILE_HEADER, Tag, write_tag};

use super::*;
use crate::{
    events::Events,
    handover::LeavePoint,
    item::{Item, Media},
    item_notes::ItemNotes,
    lane::Lanes,
    monitor::Monitors,
    output::parse_output,
    outputs::Outputs,
    profile::Profile,
    publisher::{OpenSink, Publisher},
    read_ahead::{Discard, ReadAhead, StartedItem},
    simulation::time::{self as simulation, Simulated, SimulatedTime},
    sink::Sink,
};
use lane_orders::LaneOrder;
use material::{FPS, GROUP, Material, PATTERNS};
use pieces::{Piece, pieces};
use programme::SimulatedProgramme;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;
/// When the playout starts.
const START: u64 = 5 * SECOND;
const READ_AHEAD: Duration = Duration::from_secs(4);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Next,
    Jump,
    Queue,
    Pause,
    Resume,
    Leave,
}

struct World {
    now: u64,
    time: Arc<SimulatedTime>,
    shared_status: SharedStatus,
    cancel: Cancel,
    leaving: Leaving,
    list: SimulatedProgramme,
    lanes: Lanes,
    lane_orders: VecDeque<LaneOrder>,
    lane_programmes: Vec<SimulatedProgramme>,
    orders: VecDeque<(u64, Order)>,
    end: u64,
    bytes: u64,
    /// Arrivals, in ns, and their tags.
    received: Vec<(u64, Tag)>,
    /// Each end of a pause: its time, and the position at which a restart would resume.
    resumes: Vec<(u64, u64, Duration)>,
    /// The items that the status has named, one after the other.
    named: Vec<String>,
    /// Where it was asked to leave.
    leaves_at: Option<LeavePoint>,
}

impl simulation::World for World {
    fn pass(&mut self, until: u64) {
        if let OnAir::Item(item) = self.shared_status.read().status.on_air
            && self.named.last() != Some(&item.title)
        {
            self.named.push(item.title);
        }
        loop {
            let next = self.orders.front().map_or(u64::MAX, |order| order.0).min(until);
            let lane = self.lane_orders.front().map_or(u64::MAX, |order| order.opens);
            self.now = self.now.max(next.min(lane));
            self.time.now.store(self.now, Ordering::Relaxed);
            if lane <= self.now {
                self.open_lane();
                continue;
            }
            let Some((_, order)) = self.orders.pop_front_if(|order| order.0 <= until) else { break };
            self.obey(order);
            self.encode();
        }
        self.encode();
        if self.now >= self.end {
            self.cancel.cancel();
        }
    }
}

impl World {
    fn obey(&mut self, order: Order) {
        let standing = self.shared_status.standing();
        match order {
            Order::Next => drop(self.list.read_ahead.skip()),
            Order::Jump => {
                self.list.pending += u64::from(self.list.read_ahead.jump(Discard::All, false).is_ok());
            }
            Order::Queue => {
                self.list.pending += u64::from(self.list.read_ahead.jump(Discard::Later, false).is_ok());
            }
            Order::Pause => standing.set_paused(true),
            Order::Resume => {
                if let Some(at) = self.shared_status.read().published.filter(|_| standing.is_paused()) {
                    self.resumes.push((self.now, self.list.items[at.turn as usize], at.offset));
                }
                standing.set_paused(false);
            }
            Order::Leave => self.leave(),
        }
        self.list.read_ahead.wake();
    }

    /// Leaves a second and a half later, or where the list waits.
    fn leave(&mut self) {
        // The items state no length, so that their end is not expected.
        let encoded = Duration::from_secs_f64(self.list.read_ahead.seconds());
        let points = self.list.read_ahead.leave_points().into_iter();
        let mut points = points.take_while(|point| point.after < encoded);
        if self.shared_status.standing().is_paused() {
            self.leaves_at = points.next();
            self.leaving.at_rest();
        } else {
            let point = points.find(|point| point.after >= Duration::from_millis(1500));
            self.leaves_at = point.inspect(|point| self.leaving.before(point.key));
        }
    }

    /// The prepare and encode threads up to now.
    fn encode(&mut self) {
        self.list.encode(self.now, &self.cancel);
        for lane in &mut self.lane_programmes {
            lane.encode(self.now, &self.cancel);
        }
    }

    fn open_lane(&mut self) {
        let Some(order) = self.lane_orders.pop_front() else { return };
        let programme = order.open(&self.lanes, &self.time, self.shared_status.standing());
        self.lane_programmes.push(programme);
        self.encode();
    }
}

fn item(turn: u64) -> Item {
    let media = Media::at(String::new(), false);
    Item { id: turn.to_string(), turn, title: turn.to_string(), start: Duration::ZERO, media }
}

fn begin(seq: u64, turn: u64, silent: bool) -> Event {
    Event::Begin(Arc::new(StartedItem { seq, item: item(turn), silent, expected: None }))
}

/// A connection that delivers at once.
struct Ingest(Arc<Simulated<World>>);

impl Sink for Ingest {
    fn queue(&mut self, tag: &Tag) -> Result<(), SinkError> {
        let mut world = self.0.world.lock().unwrap();
        let now = world.now;
        world.bytes += tag.body.len() as u64;
        world.received.push((now, tag.clone()));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn wait(&mut self, until: Instant) -> Result<(), SinkError> {
        let until = (until - self.0.time.began).as_nanos() as u64;
        self.0.pass(until.max(self.0.time.elapsed()) + MS / 2);
        Ok(())
    }

    fn written(&self) -> u64 {
        self.0.world.lock().unwrap().bytes
    }

    fn acked(&self) -> u64 {
        self.written()
    }

    fn goodbye(self: Box<Self>) {}
}

const FILLER: Material = Material {
    pattern: PATTERNS[2],
    pictures: 2 * GROUP,
    sound_later: 0,
    silent: false,
    startup: 0,
    speed: 0,
};

/// Broadcasts `materials` in turn for `seconds`, with these commands. Returns what arrived.
fn broadcast(materials: Vec<Material>, orders: Vec<(u64, Order)>, seconds: u64) -> World {
    broadcast_with_lanes(materials, orders, Vec::new(), seconds)
}

fn encoded_filler(dir: &std::path::Path) -> Filler {
    let path = dir.join("filler.flv");
    let mut bytes = FILE_HEADER.to_vec();
    for tag in FILLER.tags(0) {
        write_tag(&mut bytes, &tag).unwrap();
    }
    std::fs::write(&path, bytes).unwrap();
    Filler::encoded(&path).unwrap()
}

/// The same with lanes.
fn broadcast_with_lanes(
    materials: Vec<Material>,
    orders: Vec<(u64, Order)>,
    lane_orders: Vec<LaneOrder>,
    seconds: u64,
) -> World {
    let dir = tempfile::tempdir().unwrap();
    let filler = encoded_filler(dir.path());
    let (cancel, shared_status) = (Cancel::new(), SharedStatus::default());
    let leaving = Leaving::default();
    let time =
        Arc::new(SimulatedTime { began: Instant::now(), starts: Duration::ZERO, now: AtomicU64::new(0) });
    let read_ahead = ReadAhead::new(FPS as u32, READ_AHEAD, shared_status.standing());
    let read_ahead = Arc::new(read_ahead.timed_by(time.clone()));
    let lanes = Lanes::default();
    let world = World {
        now: 0,
        time: time.clone(),
        shared_status: shared_status.clone(),
        cancel: cancel.clone(),
        leaving: leaving.clone(),
        list: SimulatedProgramme::new(read_ahead.clone(), materials),
        lanes: lanes.clone(),
        lane_orders: lane_orders.into(),
        lane_programmes: Vec::new(),
        orders: orders.into(),
        end: seconds * SECOND,
        bytes: 0,
        received: Vec::new(),
        resumes: Vec::new(),
        named: Vec::new(),
        leaves_at: None,
    };
    let simulated = Arc::new(Simulated { time, world: Mutex::new(world) });
    // The first item is ready when the playout starts: without an anchor it waits in real time.
    for tenth in 0..=START / (SECOND / 10) {
        simulated.pass(tenth * SECOND / 10);
    }
    let line = simulated.clone();
    let open: OpenSink = Box::new(move |_, _, _| Ok(Box::new(Ingest(line.clone()))));
    let output = parse_output("rtmp://simulated/app/key", None).unwrap();
    let publisher =
        Publisher::new(output, Profile::P720, 0, cancel.clone()).simulated(open, simulated.clone());
    let timeline = Timeline::new(&Profile::P720, filler.silence());
    let metadata = Tag { kind: Kind::Script, timestamp: 0, body: [0].into() };
    let supervision = Supervision {
        cancel,
        leaving: leaving.clone(),
        shared_status,
        monitors: Monitors::default().begin_run(metadata),
        outputs: Outputs::default().begin_run(),
        tracker: OnAirTracker::new(Events::default(), ItemNotes::default(), simulated.clone()),
        watchdog: Watchdog::default(),
        started: simulated.time.began,
    };
    let mut playout =
        Playout::new(LaneSwitch::new(read_ahead, lanes), timeline, filler, publisher, supervision, true);
    playout.run().unwrap();
    drop(playout);
    if leaving.has_left() {
        assert!(!leaving.stay());
    }
    Arc::into_inner(simulated).unwrap().world.into_inner().unwrap()
}

fn material() -> impl Strategy<Value = Material> {
    let speeds = prop_oneof![3 => Just(u64::MAX), 1 => 20_u64..40, 2 => 40_u64..300];
    (
        0..PATTERNS.len(),
        1_u64..400,
        prop_oneof![3 => Just(0_u64), 1 => 0_u64..300],
        any::<bool>(),
        0_u64..700,
        speeds,
    )
        .prop_map(|(pattern, pictures, sound_later, silent, startup, speed)| {
            let pattern = PATTERNS[pattern];
            Material { pattern, pictures, sound_later, silent: silent && pictures % 2 == 0, startup, speed }
        })
}

fn orders(seconds: u64) -> impl Strategy<Value = Vec<(u64, Order)>> {
    let order = prop_oneof![
        2 => Just(Order::Next), 2 => Just(Order::Jump), 1 => Just(Order::Queue),
        2 => Just(Order::Pause), 3 => Just(Order::Resume)
    ];
    let at = prop_oneof![2 => 4000..seconds * 1000, 1 => (5..seconds).prop_map(|s| s * 1000)];
    prop::collection::vec((at.prop_map(|ms| ms * MS), order), 0..25).prop_map(|mut orders| {
        orders.sort_by_key(|order| order.0);
        orders
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn commands_leave_no_gap_and_miss_no_picture(
        materials in prop::collection::vec(material(), 1..6),
        orders in orders(40),
    ) {
        let world = broadcast(materials, orders, 40);
        let seen = pieces(&world.received)?;
        prop_assert!(!seen.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn another_engine_continues_with_the_very_next_picture(
        materials in prop::collection::vec(material(), 1..6),
        mut orders in orders(30),
        pauses in any::<bool>(),
    ) {
        orders.push((31 * SECOND, if pauses { Order::Pause } else { Order::Resume }));
        orders.push((33 * SECOND, Order::Leave));
        let world = broadcast(materials, orders, 60);
        let seen = pieces(&world.received)?;
        let ended = world.received.last().unwrap().0;
        // Where nothing of the list is encoded that far ahead, it goes on.
        let Some(point) = world.leaves_at else { return Ok(()) };
        prop_assert!(ended < 50 * SECOND, "still on air at {} s", ended / SECOND);
        let last = seen.iter().rfind(|piece| piece.seq > 0).unwrap();
        let (next, sent) = (point.key.offset_ms * FPS / 1000, last.from + last.pictures);
        if point.key.seq != last.seq {
            prop_assert!(point.key.seq > last.seq && point.key.offset_ms == 0, "{:?} after {:?}", point, last);
        } else if pauses {
            // As after a pause, the group that the filler has cut is shown again.
            prop_assert!(next <= sent && next + GROUP > sent, "{:?} after {:?}", point, last);
        } else {
            prop_assert_eq!(next, sent, "{:?} after {:?}", point, last);
        }
    }
}

/// Cached items of 20 s.
const CACHED: Material = Material {
    pattern: PATTERNS[2],
    pictures: 20 * FPS,
    sound_later: 0,
    silent: false,
    startup: 50,
    speed: u64::MAX,
};

/// The time from each command to the first picture that it leads to, in ms.
fn latencies(orders: &[(u64, Order)], pieces: &[Piece]) -> Vec<(Order, u64)> {
    let effect = |&(at, order): &(u64, Order)| {
        let on_air = pieces.iter().rfind(|piece| piece.arrived <= at).unwrap();
        let led_to = |piece: &&Piece| match order {
            Order::Pause => piece.seq == 0,
            Order::Resume => piece.seq > 0,
            _ => piece.seq > on_air.seq,
        };
        let effect = pieces.iter().filter(|piece| piece.arrived > at).find(led_to).unwrap();
        (order, (effect.arrived - at) / MS)
    };
    orders.iter().map(effect).collect()
}

#[test]
fn a_command_acts_within_a_second_where_the_next_item_is_cached() {
    let mut rng = fastrand::Rng::with_seed(1);
    let (mut orders, mut at) = (Vec::new(), START + 3 * SECOND);
    for _ in 0..40 {
        for order in [Order::Next, Order::Jump, Order::Pause, Order::Resume] {
            orders.push((at, order));
            at += rng.u64(3 * SECOND..7 * SECOND);
        }
    }
    let world = broadcast(vec![CACHED], orders.clone(), at / SECOND);
    let seen = pieces(&world.received).unwrap();
    let took = latencies(&orders, &seen);
    for order in [Order::Next, Order::Jump, Order::Pause, Order::Resume] {
        let mut of: Vec<u64> = took.iter().filter(|(of, _)| *of == order).map(|(_, ms)| *ms).collect();
        of.sort_unstable();
        println!("{order:?}: median {} ms, worst {} ms", of[of.len() / 2], of[of.len() - 1]);
        assert!(of[of.len() - 1] < 500, "{order:?}: {of:?}");
    }
    // A restart during the pause would have resumed with the same group.
    assert_eq!(world.resumes.len(), 40);
    for (at, seq, offset) in world.resumes {
        let resumed = seen.iter().find(|piece| piece.arrived > at && piece.seq > 0).unwrap();
        assert_eq!(resumed.seq, seq);
        let begins = resumed.from * 1000 / FPS;
        let offset = offset.as_millis() as u64;
        assert!(offset <= begins && offset + 100 > begins, "{offset} ms for {begins} ms");
    }
}

#[test]
fn the_status_names_each_item_once() {
    let short = Material { pictures: FPS, ..CACHED };
    let world = broadcast(vec![short], Vec::new(), 30);
    let expected: Vec<_> = (0..world.named.len()).map(|turn| turn.to_string()).collect();
    assert!(world.named.len() > 20, "{:?}", world.named);
    assert_eq!(world.named, expected);
}
