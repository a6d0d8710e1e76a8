//! The events of simulated pictures, and that their times add up.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use tgs_control::CommandSender;
use tgs_core::cancel::Cancel;

use super::*;
use crate::{
    events::EventSubscription,
    item::{Item, Media},
};

/// A wall clock at a given second.
#[derive(Debug, Default)]
struct At(AtomicU64);

impl Clock for At {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> f64 {
        self.0.load(Ordering::Relaxed) as f64
    }

    fn wait(&self, _: Duration, cancel: &Cancel) -> bool {
        cancel.is_cancelled()
    }
}

struct Stage {
    clock: Arc<At>,
    notes: ItemNotes,
    tracker: OnAirTracker,
    events: EventSubscription,
}

impl Stage {
    fn new() -> Self {
        let (clock, events, notes) = (Arc::<At>::default(), Events::default(), ItemNotes::default());
        let subscription = events.subscribe(100).unwrap();
        let tracker = OnAirTracker::new(events, notes.clone(), clock.clone());
        Self { clock, notes, tracker, events: subscription }
    }

    /// Sends a picture of item `seq` (0: filler) at `second`.
    fn picture(&mut self, second: u64, seq: u64, offset: u64) {
        self.clock.0.store(second, Ordering::Relaxed);
        let media = Media::at(format!("file:/{seq}?token=x"), false);
        let (id, title) = (format!("http://me:hidden@h/{seq}"), seq.to_string());
        let item = Item { id, turn: seq, title, start: Duration::ZERO, media };
        let started = StartedItem { seq, item, silent: false, expected: Some(Duration::from_mins(1)) };
        let origin = TagOrigin { seq, offset_ms: offset * 1000 };
        self.tracker.picture(origin, Some(&Arc::new(started)), None);
    }

    /// A line for each event so far.
    fn seen(&self) -> Vec<String> {
        std::iter::from_fn(|| self.events.next(Duration::ZERO)).map(|event| line(&event)).collect()
    }
}

fn line(event: &BroadcastEvent) -> String {
    let second = |at: &Timestamp| at.0 / 1000;
    match event {
        BroadcastEvent::ItemBegan { at, item, offset_seconds, resumed, .. } => {
            let again = if *resumed { "again " } else { "" };
            format!("{} {again}item {} from {offset_seconds}", second(at), item.seq)
        }
        BroadcastEvent::ItemEnded { at, item, offset_seconds, how } => {
            let how = match how {
                ItemEnd::Played => "played".to_owned(),
                ItemEnd::Skipped { by, command } => format!("{command} by {by}"),
                ItemEnd::Failed { reason } => format!("failed: {reason}"),
                ItemEnd::Cut { cause } => format!("cut: {cause}"),
                ItemEnd::Interrupted { cause } => format!("interrupted: {cause}"),
                ItemEnd::Unknown => "?".to_owned(),
            };
            format!("{} end of {} at {offset_seconds}: {how}", second(at), item.seq)
        }
        BroadcastEvent::FillerBegan { at, cause } => format!("{} filler: {cause}", second(at)),
        BroadcastEvent::FillerEnded { at } => format!("{} end of filler", second(at)),
        BroadcastEvent::OutageBegan { at, cause } => format!("{} outage: {cause}", second(at)),
        BroadcastEvent::OutageEnded { at } => format!("{} end of outage", second(at)),
        BroadcastEvent::Stopped { at, cause } => format!("{} stopped: {cause}", second(at)),
        other => format!("{other:?}"),
    }
}

fn skipped(command: &str) -> ItemEnd {
    let by = CommandSender { user: "uid 0".into(), client: None };
    ItemEnd::Skipped { by, command: command.into() }
}

#[test]
fn items_end_as_the_notes_say() {
    let mut stage = Stage::new();
    stage.picture(1, 1, 0);
    stage.picture(9, 1, 8);
    stage.tracker.item_over(1);
    stage.picture(10, 2, 5);
    stage.notes.set(2, skipped("next"));
    stage.notes.set(2, skipped("previous"));
    stage.picture(12, 3, 0);
    stage.notes.set(3, ItemEnd::Failed { reason: "gone".into() });
    stage.picture(15, 4, 0);
    stage.tracker.stopped(Some("stopped".into()));
    assert_eq!(
        stage.seen(),
        [
            "1 item 1 from 0",
            "10 end of 1 at 8: played",
            "10 item 2 from 5",
            "12 end of 2 at 5: next by uid 0",
            "12 item 3 from 0",
            "15 end of 3 at 0: failed: gone",
            "15 item 4 from 0",
            "15 end of 4 at 0: cut: stopped",
            "15 stopped: stopped",
        ]
    );
}

#[test]
fn filler_interrupts_an_item_and_one_that_does_not_come_back_has_its_end() {
    let mut stage = Stage::new();
    stage.tracker.set_cause("paused");
    stage.picture(0, 1, 0);
    stage.picture(4, 1, 4);
    stage.picture(5, 0, 0);
    stage.picture(9, 1, 5);
    stage.picture(12, 0, 0);
    stage.notes.set(1, skipped("next"));
    stage.picture(14, 2, 0);
    stage.tracker.item_over(2);
    stage.picture(20, 0, 0);
    stage.tracker.stopped(None);
    assert_eq!(
        stage.seen(),
        [
            "0 item 1 from 0",
            "5 end of 1 at 4: interrupted: paused",
            "5 filler: paused",
            "9 end of filler",
            "9 again item 1 from 5",
            "12 end of 1 at 5: interrupted: paused",
            "12 filler: paused",
            "14 end of filler",
            "14 end of 1 at 5: next by uid 0",
            "14 item 2 from 0",
            "20 end of 2 at 0: played",
            "20 filler: paused",
            "20 end of filler",
            "20 stopped: the list is over",
        ]
    );
}

#[test]
fn an_outage_interrupts_and_what_was_on_air_comes_back() {
    let mut stage = Stage::new();
    stage.tracker.outage_began("refused", None);
    stage.tracker.connected(true);
    stage.picture(1, 1, 0);
    stage.picture(6, 1, 5);
    stage.tracker.outage_began("reset by http://u:hidden@h/", Some(TagOrigin { seq: 1, offset_ms: 4000 }));
    stage.tracker.outage_began("refused", None);
    stage.clock.0.store(9, Ordering::Relaxed);
    stage.tracker.connected(true);
    stage.picture(10, 1, 6);
    stage.tracker.outage_began("reset", None);
    // A live source continues with its next keyframe.
    stage.tracker.connected(false);
    stage.picture(12, 1, 9);
    stage.tracker.outage_began("reset", None);
    stage.notes.stopped(&CommandSender::signal());
    stage.tracker.stopped(Some("stopped".into()));
    assert_eq!(
        stage.seen(),
        [
            "0 outage: refused",
            "0 end of outage",
            "1 item 1 from 0",
            "6 end of 1 at 4: interrupted: reset by http://[masked]@h/",
            "6 outage: reset by http://[masked]@h/",
            "9 end of outage",
            "9 again item 1 from 4",
            "10 end of 1 at 6: interrupted: reset",
            "10 outage: reset",
            "10 end of outage",
            "12 again item 1 from 9",
            "12 end of 1 at 9: interrupted: reset",
            "12 outage: reset",
            "12 end of outage",
            "12 end of 1 at 9: cut: stopped by signal",
            "12 stopped: stopped by signal",
        ]
    );
}

#[test]
fn events_show_no_credentials() {
    let mut stage = Stage::new();
    stage.picture(1, 1, 0);
    let event = stage.events.next(Duration::ZERO).unwrap();
    let json = event.to_json().unwrap();
    assert!(json.contains("http://[masked]@h/1") && !json.contains("hidden"), "{json}");
    assert!(json.contains(r#""duration_seconds":60.0"#), "{json}");
}
