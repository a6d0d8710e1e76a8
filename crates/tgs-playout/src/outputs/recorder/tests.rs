//! The recorder on a clock of the test: files, titles, and disks that fail.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use tgs_control::AiredItem;
use tgs_recording::index::RecordingIndex;
use tgs_rtmp::flv::Kind;

use super::*;
use crate::events::Events;

/// 2026-11-28T12:59:50Z: ten seconds before an hour in any zone of whole hours.
const START: u64 = 1_795_870_790_000;

#[derive(Debug, Default)]
struct WallClock(AtomicU64);

impl Clock for WallClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> f64 {
        self.0.load(Ordering::Relaxed) as f64 / 1000.0
    }

    fn wait(&self, _: Duration, _: &Cancel) -> bool {
        unreachable!("the recorder does not wait by this clock");
    }
}

/// A broadcast of 25 pictures a second with a keyframe every 2 s, and its recorder.
struct Aired<'a> {
    feed: super::super::queue::OutputFeed,
    reader: TagReader,
    recorder: Recorder<'a>,
    events: &'a Events,
    clock: &'a WallClock,
    sent: u64,
}

fn picture(timestamp: u64, size: usize) -> Tag {
    let key = if timestamp.is_multiple_of(2000) { 0x17 } else { 0x27 };
    let mut body = vec![key, 1, 0, 0, 0];
    body.resize(size, 7);
    Tag { kind: Kind::Video, timestamp, body: body.into() }
}

impl Aired<'_> {
    /// Sends media of this length in parts of 400 ms, after each of which the recorder turns.
    fn air(&mut self, millis: u64, size: usize) {
        for part in 0..millis / 400 {
            for at in (self.sent..self.sent + 400).step_by(40) {
                self.feed.push(&picture(at, size));
                self.feed.push(&Tag { kind: Kind::Audio, timestamp: at + 1, body: [0xaf, 1, 0, 0].into() });
            }
            self.sent += 400;
            // The newest tag has just been sent.
            self.clock.0.store(START + self.sent - 39, Ordering::Relaxed);
            self.recorder.turn(&self.reader, false);
            assert!(part < 100_000);
        }
    }

    fn begin_item(&self, seq: u64, title: &str) {
        let item = AiredItem { seq, title: title.to_owned(), ..AiredItem::default() };
        // An event is some ms late.
        let at = Timestamp(START + self.sent + 60);
        self.events.report(BroadcastEvent::ItemBegan {
            at,
            item,
            offset_seconds: 0.0,
            duration_seconds: None,
            resumed: false,
            planned_start: None,
        });
    }

    fn end(mut self) {
        self.recorder.turn(&self.reader, true);
        self.recorder.end_file(u64::MAX);
    }
}

/// Runs `act` with a broadcast whose recorder writes into `dir`.
fn with(dir: &Path, most_bytes: u64, act: impl FnOnce(Aired<'_>, &SharedRecorder)) {
    let config = RecorderConfig {
        dir: dir.to_owned(),
        segment: Duration::from_hours(1),
        fps: 25,
        keep: Duration::from_hours(24),
        most_bytes,
    };
    let (events, clock, shared) = (Events::default(), WallClock::default(), SharedRecorder::new(dir));
    clock.0.store(START, Ordering::Relaxed);
    let subscription = events.subscribe(64).unwrap();
    let queue = TagQueue::default();
    let feed = queue.begin_run(true);
    for (kind, body) in [(Kind::Video, vec![0x17, 0, 0, 0, 0, 1]), (Kind::Audio, vec![0xaf, 0, 0x12, 0x10])] {
        feed.push(&Tag { kind, timestamp: 0, body: body.into() });
    }
    let recorder = Recorder::new(&config, Some(&subscription), &clock, &shared);
    let reader = queue.reader();
    act(Aired { feed, reader, recorder, events: &events, clock: &clock, sent: 0 }, &shared);
}

/// The closed recordings in `dir`.
fn recorded(dir: &Path) -> Vec<RecordingIndex> {
    let mut all: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|ending| ending == "mkv"));
    all.sort();
    all.iter().map(|path| RecordingIndex::open(path).unwrap().1).collect()
}

fn titles(index: &RecordingIndex) -> Vec<(u64, &str)> {
    index.chapters.iter().map(|chapter| (chapter.time, &*chapter.title)).collect()
}

#[test]
fn a_file_begins_with_the_hour_and_has_the_titles_of_its_items() {
    let dir = tempfile::tempdir().unwrap();
    with(dir.path(), 0, |mut aired, shared| {
        aired.begin_item(1, "first");
        aired.air(6000, 100);
        aired.begin_item(2, "second \u{1b}[2J\0 <b>\n");
        aired.air(6000, 100);
        // With the first keyframe behind the hour.
        aired.air(2000, 100);
        aired.begin_item(3, "third");
        aired.air(8000, 100);
        let status = shared_status(shared);
        assert_eq!(status.recorder, RecorderState::Recording);
        assert!(status.file.unwrap().ends_with(".mkv.part") && status.written_bytes > 10_000);
        aired.end();
    });
    let found = recorded(dir.path());
    assert_eq!(found.iter().map(|index| index.started.0 - START).collect::<Vec<_>>(), [0, 10_000]);
    assert_eq!(titles(&found[0]), [(0, "first"), (6000, "second  [2J  <b>")]);
    assert_eq!(titles(&found[1]), [(0, "second  [2J  <b>"), (4000, "third")]);
    // With the length of the last frame, which is sound.
    assert_eq!((found[0].end, found[1].end), (10_001, 12_001));
}

fn shared_status(shared: &SharedRecorder) -> tgs_control::RecorderStatus {
    let view = RecorderView::default();
    view.set(shared.clone());
    view.status().unwrap()
}

#[test]
fn a_disk_that_fails_stops_nothing_and_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("mount/records");
    with(&place, 0, |mut aired, shared| {
        aired.air(4000, 100);
        let status = shared_status(shared);
        assert!(
            matches!(&status.recorder, RecorderState::Failing { cause } if cause.contains("No such file"))
        );
        assert!(status.lost_seconds > 2.0, "{status:?}");
        fs::create_dir(dir.path().join("mount")).unwrap();
        aired.recorder.retry = Some(Instant::now());
        aired.air(4000, 100);
        assert_eq!(shared_status(shared).recorder, RecorderState::Recording);
        // Its directory vanishes: found at the next look, since writing itself does not fail.
        fs::remove_dir_all(&place).unwrap();
        aired.recorder.tidied = None;
        aired.air(400, 100);
        assert!(matches!(shared_status(shared).recorder, RecorderState::Failing { .. }));
        aired.recorder.retry = Some(Instant::now());
        aired.air(4000, 100);
        assert_eq!(shared_status(shared).recorder, RecorderState::Recording);
        aired.end();
    });
    let found = recorded(&place);
    assert_eq!(found.len(), 1);
    assert!(found[0].end >= 2000, "{}", found[0].end);
}

#[test]
fn what_a_crash_has_left_is_closed_and_the_oldest_are_deleted() {
    let dir = tempfile::tempdir().unwrap();
    with(dir.path(), 0, |mut aired, _| {
        aired.begin_item(1, "lost");
        aired.air(6000, 100);
    });
    assert!(recorded(dir.path()).is_empty());
    // Two days before, and a file of somebody else.
    let old = dir.path().join("2026-11-26T00-00-00+0000.mkv");
    fs::write(&old, [0; 10]).unwrap();
    let long_ago = std::time::UNIX_EPOCH + Duration::from_millis(START) - Duration::from_hours(48);
    fs::File::options()
        .write(true)
        .open(&old)
        .unwrap()
        .set_times(fs::FileTimes::new().set_modified(long_ago))
        .unwrap();
    fs::write(dir.path().join("film.mkv"), [0; 10]).unwrap();
    with(dir.path(), 0, |mut aired, _| {
        aired.air(400, 100);
        assert!(!old.exists());
        fs::remove_file(dir.path().join("film.mkv")).unwrap();
        let found = recorded(dir.path());
        assert_eq!((found.len(), titles(&found[0])), (1, vec![(0, "lost")]));
        assert!(found[0].end >= 6000 - 800, "{}", found[0].end);
    });
    // 40 kB a group: a file for each, of which four are kept.
    with(dir.path(), 160_000, |mut aired, _| {
        aired.air(30_000, 800);
        aired.recorder.tidied = None;
        aired.air(400, 800);
        let sizes: u64 =
            fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().metadata().unwrap().len()).sum();
        assert!((80_000..=210_000).contains(&sizes), "{sizes}");
    });
}
