//! What a monitor receives: from attaching in mid-group to falling behind and another engine run.

use std::cell::RefCell;

use tgs_rtmp::flv::FlvReader;

use super::*;

const PICTURE_MS: u64 = 40;
/// Pictures in a group.
const GROUP: u64 = 5;

/// The playout thread of a run: sends pictures and keeps the current group, as the publisher does.
struct Run {
    feed: MonitorFeed,
    group: RefCell<Vec<Tag>>,
    header: u8,
    next: u64,
    body: usize,
}

fn header(value: u8) -> Tag {
    Tag { kind: Kind::Video, timestamp: 0, body: [0x17, 0, 0, 0, 0, value].into() }
}

impl Run {
    fn new(monitors: &Monitors, header: u8) -> Self {
        let metadata = Tag { kind: Kind::Script, timestamp: 0, body: [9, 9].into() };
        let feed = monitors.begin_run(metadata);
        Self { feed, group: RefCell::default(), header, next: 0, body: 100 }
    }

    fn send(&mut self, pictures: u64) {
        for _ in 0..pictures {
            let key = self.next.is_multiple_of(GROUP);
            let mut body = vec![if key { 0x17 } else { 0x27 }, 1, 0, 0, 0];
            body.resize(self.body, 0);
            let tag = Tag { kind: Kind::Video, timestamp: self.next * PICTURE_MS, body: body.into() };
            self.next += 1;
            if key {
                let header = Tag { timestamp: tag.timestamp, ..header(self.header) };
                *self.group.get_mut() = vec![header];
            }
            self.group.get_mut().push(tag.clone());
            let group = &self.group;
            if self.feed.is_watched() {
                self.feed.push(tag, || group.borrow().clone());
            }
            if self.next.is_multiple_of(2) {
                self.feed.flush(|| group.borrow().clone());
            }
        }
        let group = &self.group;
        self.feed.flush(|| group.borrow().clone());
    }
}

/// Everything that waits for the monitor.
fn read(monitor: &mut Monitor) -> Vec<u8> {
    std::iter::from_fn(|| monitor.read(Duration::ZERO)).flatten().collect()
}

fn tags(bytes: &[u8]) -> Vec<Tag> {
    let mut reader = FlvReader::new(bytes);
    std::iter::from_fn(|| reader.next_tag().unwrap()).collect()
}

/// The times of the pictures.
fn times(tags: &[Tag]) -> Vec<u64> {
    tags.iter().filter(|tag| tag.is_frame()).map(|tag| tag.timestamp).collect()
}

#[test]
fn a_monitor_begins_with_headers_and_the_current_group_at_zero() {
    let monitors = Monitors::default();
    let mut run = Run::new(&monitors, 1);
    run.send(8);
    let mut monitor = monitors.attach().unwrap();
    run.send(4);
    let tags = tags(&read(&mut monitor));
    assert_eq!(tags[0].kind, Kind::Script);
    assert!(tags[1].is_sequence_header() && tags[2].is_keyframe());
    assert_eq!(times(&tags), (0..7).map(|n| n * PICTURE_MS).collect::<Vec<_>>());
    assert_eq!(tags.iter().filter(|tag| tag.is_sequence_header()).count(), 1);
    assert!(monitor.read(Duration::ZERO).is_none());
}

#[test]
fn a_monitor_attached_before_the_start_waits_for_the_first_picture() {
    let monitors = Monitors::default();
    let mut monitor = monitors.attach().unwrap();
    assert!(monitor.read(Duration::ZERO).is_none());
    let mut run = Run::new(&monitors, 1);
    run.feed.flush(Vec::new);
    assert!(monitor.read(Duration::ZERO).is_none());
    run.send(3);
    assert_eq!(times(&tags(&read(&mut monitor))), [0, 40, 80]);
}

#[test]
fn a_slow_monitor_misses_whole_groups_and_the_others_none() {
    let monitors = Monitors::default();
    let (mut slow, mut quick) = (monitors.attach().unwrap(), monitors.attach().unwrap());
    let mut run = Run::new(&monitors, 1);
    run.body = 400_000;
    let mut seen = Vec::new();
    for _ in 0..40 {
        run.send(1);
        seen.extend(read(&mut quick));
    }
    assert_eq!(times(&tags(&seen)).len(), 40);
    assert!(slow.queued.load(Ordering::Relaxed) <= MAX_QUEUED);
    let mut seen = read(&mut slow);
    // There is room now, and a keyframe comes.
    run.send(GROUP);
    seen.extend(read(&mut slow));
    let tags = tags(&seen);
    let times = times(&tags);
    assert!(times.is_sorted_by(|a, b| a < b) && times.len() < 40, "{times:?}");
    let gap = times.windows(2).position(|pair| pair[1] - pair[0] > PICTURE_MS).unwrap();
    let frames: Vec<_> = tags.iter().filter(|tag| tag.is_frame()).collect();
    assert!(frames[gap + 1].is_keyframe());
    assert_eq!(times.last(), Some(&(44 * PICTURE_MS)));
    assert_eq!(slow.queued.load(Ordering::Relaxed), 0);
}

#[test]
fn another_run_continues_the_times_and_shows_a_new_header() {
    let monitors = Monitors::default();
    let mut monitor = monitors.attach().unwrap();
    Run::new(&monitors, 1).send(7);
    let mut run = Run::new(&monitors, 2);
    run.next = 1000;
    run.send(3);
    Run::new(&monitors, 2).send(2);
    let tags = tags(&read(&mut monitor));
    let times = times(&tags);
    assert_eq!(times, (0..times.len() as u64).map(|n| n * PICTURE_MS).collect::<Vec<_>>());
    assert_eq!(times.len(), 12);
    assert_eq!(tags.iter().filter(|tag| tag.is_sequence_header()).count(), 2);
    assert_eq!(tags.iter().filter(|tag| tag.kind == Kind::Script).count(), 1);
}

#[test]
fn eight_monitors_are_enough_and_a_dropped_one_makes_room() {
    let monitors = Monitors::default();
    let mut all: Vec<_> = (0..MOST_MONITORS).map(|_| monitors.attach().unwrap()).collect();
    assert_eq!(monitors.attach().unwrap_err(), TooManyMonitors);
    all.pop();
    all.push(monitors.attach().unwrap());
    let mut run = Run::new(&monitors, 1);
    run.send(3);
    assert!(all.iter_mut().all(|monitor| times(&tags(&read(monitor))).len() == 3));
    drop(all);
    assert!(!run.feed.is_watched());
}
