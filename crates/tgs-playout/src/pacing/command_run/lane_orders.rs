//! Lanes beside the list: hard starts, soft starts, and the return to the list.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, UNIX_EPOCH},
};

use proptest::prelude::*;
use tgs_core::cancel::Cancel;

use super::{
    CACHED, FPS, GROUP, MS, Material, Piece, READ_AHEAD, SECOND, START, SimulatedProgramme, SimulatedTime,
    broadcast_with_lanes, material, pieces,
};
use crate::{
    command::StandingCommands,
    item::{Item, JumpTarget, NextItem, Programme},
    lane::{AfterEnd, Lane, LaneStart, Lanes, ListReturn, OpenLane, lane_of},
    read_ahead::ReadAhead,
};

/// A lane to be opened. Times in ns.
#[derive(Debug, Clone)]
pub(super) struct LaneOrder {
    pub(super) opens: u64,
    starts: u64,
    soft: bool,
    ends: Option<u64>,
    items: u64,
    materials: Vec<Material>,
    list_returns: ListReturn,
    after_end: AfterEnd,
}

impl LaneOrder {
    fn hard(starts: u64, length: u64) -> Self {
        Self {
            opens: starts - 3 * SECOND,
            starts,
            soft: false,
            ends: Some(starts + length),
            items: u64::MAX,
            materials: vec![CACHED],
            list_returns: ListReturn::Resume,
            after_end: AfterEnd::List,
        }
    }

    pub(super) fn open(
        self,
        lanes: &Lanes,
        time: &Arc<SimulatedTime>,
        standing: Arc<StandingCommands>,
    ) -> SimulatedProgramme {
        let at = |ns: u64| UNIX_EPOCH + Duration::from_nanos(ns);
        let start =
            if self.soft { LaneStart::AfterItem(at(self.starts)) } else { LaneStart::At(at(self.starts)) };
        let id = self.starts / MS;
        let read_ahead = ReadAhead::new(FPS as u32, READ_AHEAD, standing).timed_by(time.clone());
        let read_ahead = Arc::new(read_ahead.numbered_above(OpenLane::first_seq(id)));
        let lane = Lane {
            name: format!("at {id} ms"),
            programme: Box::new(NoItems),
            start,
            end: self.ends.map(at),
            rank: 0,
            after_end: self.after_end,
            slate_text: None,
            list_returns: self.list_returns,
            read_ahead: None,
            short_groups: false,
        };
        lanes.add(Arc::new(OpenLane::new(id, &lane, read_ahead.clone(), Cancel::new()))).unwrap();
        let mut programme = SimulatedProgramme::new(read_ahead, self.materials);
        programme.ends_after = self.items;
        programme
    }
}

/// The items come from a [`SimulatedProgramme`] instead.
struct NoItems;

impl Programme for NoItems {
    fn next(&mut self) -> NextItem {
        NextItem::End
    }

    fn confirm(&mut self, item: Item) -> NextItem {
        NextItem::Play(item)
    }

    fn round_len(&self) -> usize {
        0
    }

    fn jump(&mut self, _: Option<u64>, _: JumpTarget) {}

    fn reload(&mut self) {}
}

/// How early (positive) or late a lane's first picture arrived, in ms.
fn early(order: &LaneOrder, pieces: &[Piece]) -> i64 {
    let first = pieces.iter().find(|piece| lane_of(piece.seq) == order.starts / MS).unwrap();
    assert_eq!(first.from, 0, "the first picture of the lane is missing");
    (order.starts / MS) as i64 - (first.arrived / MS) as i64
}

#[test]
fn a_hard_start_is_within_100_ms_and_the_list_resumes_where_it_was_cut() {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut lanes = Vec::new();
    let mut at = START + 5 * SECOND;
    for _ in 0..100 {
        lanes.push(LaneOrder::hard(at + rng.u64(0..SECOND), 4 * SECOND));
        at += rng.u64(8 * SECOND..14 * SECOND);
    }
    for pattern in super::PATTERNS.iter().take(3) {
        let listed = Material { pattern, ..CACHED };
        let world = broadcast_with_lanes(vec![listed], Vec::new(), lanes.clone(), at / SECOND + 5);
        let seen = pieces(&world.received).unwrap();
        let mut off: Vec<i64> = lanes.iter().map(|lane| early(lane, &seen)).collect();
        off.sort_unstable();
        println!("{} early, {} late, median {}", off[off.len() - 1], -off[0], off[off.len() / 2]);
        assert!(off[0] >= -100 && off[off.len() - 1] <= 100, "{off:?}");
        // Lanes end as exactly, and what was cut is shown again from its group on.
        for pair in seen.windows(3).filter(|pieces| lane_of(pieces[1].seq) > 0) {
            let [before, lane, after] = pair else { unreachable!() };
            let length = (after.arrived - lane.arrived) / MS;
            assert!((3850..=4150).contains(&length), "{length} ms");
            if before.seq == after.seq {
                let cut = before.from + before.pictures;
                assert!(after.from <= cut && after.from + GROUP > cut, "{before:?} {after:?}");
            }
        }
        assert!(seen.iter().all(|piece| piece.seq > 0), "filler was sent");
    }
}

#[test]
fn a_soft_start_waits_for_the_end_of_the_item() {
    let order =
        LaneOrder { soft: true, ends: None, items: 2, ..LaneOrder::hard(START + 30 * SECOND, SECOND) };
    let world = broadcast_with_lanes(vec![CACHED], Vec::new(), vec![order], 130);
    let seen = pieces(&world.received).unwrap();
    let lanes: Vec<u64> = seen.iter().map(|piece| lane_of(piece.seq)).collect();
    let lane = (START + 30 * SECOND) / MS;
    assert_eq!(lanes, [0, 0, lane, lane, 0, 0, 0], "two items of 20 s, two of the lane, the list again");
    assert!(seen.iter().take(5).all(|piece| piece.from == 0 && piece.pictures == 20 * FPS), "{seen:?}");
}

#[test]
fn the_list_goes_on_with_its_next_item_if_the_lane_says_so() {
    let order =
        LaneOrder { list_returns: ListReturn::Next, ..LaneOrder::hard(START + 10 * SECOND, 5 * SECOND) };
    let world = broadcast_with_lanes(vec![CACHED], Vec::new(), vec![order], 60);
    let seen = pieces(&world.received).unwrap();
    assert_eq!((seen[0].seq, lane_of(seen[1].seq) > 0, seen[2].seq, seen[2].from), (1, true, 2, 0));
}

#[test]
fn an_early_end_leaves_the_list_or_the_filler_until_the_end_of_the_time() {
    for (after_end, source) in [(AfterEnd::List, 1), (AfterEnd::Filler, 0)] {
        let order = LaneOrder { items: 1, after_end, ..LaneOrder::hard(START + 10 * SECOND, 30 * SECOND) };
        let world = broadcast_with_lanes(vec![CACHED], Vec::new(), vec![order.clone()], 80);
        let seen = pieces(&world.received).unwrap();
        assert_eq!((seen[1].pictures, seen[2].seq), (20 * FPS, source), "{after_end:?}: {seen:?}");
        let back = seen.iter().skip(2).find(|piece| piece.seq == 1).unwrap();
        if after_end == AfterEnd::Filler {
            let late = back.arrived.abs_diff(order.ends.unwrap()) / MS;
            assert!(late <= 150, "{late} ms");
        }
    }
}

#[test]
fn a_lane_without_items_leaves_the_list_on_air() {
    let order = LaneOrder { items: 0, ..LaneOrder::hard(START + 10 * SECOND, 5 * SECOND) };
    let world = broadcast_with_lanes(vec![CACHED], Vec::new(), vec![order], 60);
    let seen = pieces(&world.received).unwrap();
    assert!(seen.iter().all(|piece| lane_of(piece.seq) == 0 && piece.from == 0), "{seen:?}");
    assert!(world.lanes.is_empty());
}

/// Lanes at random that may overlap.
fn lane_orders(seconds: u64) -> impl Strategy<Value = Vec<LaneOrder>> {
    let returns = prop_oneof![Just(ListReturn::Resume), Just(ListReturn::Next)];
    let after = prop_oneof![2 => Just(AfterEnd::List), 1 => Just(AfterEnd::Filler)];
    let order = (
        (9_000..seconds * 1000, 0_u64..4_000, any::<bool>(), prop::option::of(500_u64..9_000)),
        (1_u64..4, prop::collection::vec(material(), 1..3), returns, after),
    );
    let order =
        order.prop_map(|((starts, preroll, soft, length), (items, materials, list_returns, after_end))| {
            let starts = starts * MS;
            let ends = length.map(|length| starts + length * MS);
            let opens = starts - preroll * MS;
            LaneOrder { opens, starts, soft, ends, items, materials, list_returns, after_end }
        });
    prop::collection::vec(order, 0..6).prop_map(|mut orders| {
        orders.sort_by_key(|order| order.opens);
        orders.dedup_by_key(|order| order.starts / MS);
        orders
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn lanes_and_commands_leave_no_gap_and_miss_no_picture(
        materials in prop::collection::vec(material(), 1..6),
        orders in super::orders(40),
        lanes in lane_orders(40),
    ) {
        let world = broadcast_with_lanes(materials, orders, lanes, 45);
        prop_assert!(!pieces(&world.received)?.is_empty());
        let _ = world.time.now.load(Ordering::Relaxed);
    }
}
