//! What readers take: from the newest keyframe, within the bounds, over engine runs.

use super::*;

const PICTURE_MS: u64 = 40;
/// Pictures in a group.
const GROUP: u64 = 5;

/// The playout thread of a run.
struct Run {
    feed: OutputFeed,
    next: u64,
    body: usize,
}

impl Run {
    fn new(queue: &TagQueue, header: u8) -> Self {
        let feed = queue.begin_run(true);
        feed.push(&Tag { kind: Kind::Video, timestamp: 0, body: [0x17, 0, 0, 0, 0, header].into() });
        Self { feed, next: 0, body: 100 }
    }

    fn send(&mut self, pictures: u64) {
        for _ in 0..pictures {
            let mut body = vec![if self.next.is_multiple_of(GROUP) { 0x17 } else { 0x27 }, 1, 0, 0, 0];
            body.resize(self.body, 0);
            let tag = Tag { kind: Kind::Video, timestamp: self.next * PICTURE_MS, body: body.into() };
            self.feed.push(&tag);
            self.next += 1;
        }
    }
}

/// Everything that waits: the times of the pictures, and of the headers.
fn read(reader: &TagReader) -> (Vec<u64>, Vec<u64>) {
    let taken = reader.take(usize::MAX).tags;
    let (frames, headers): (Vec<_>, Vec<_>) = taken.iter().partition(|tag| tag.is_frame());
    let times = |tags: Vec<&Tag>| tags.iter().map(|tag| tag.timestamp).collect();
    (times(frames), times(headers))
}

/// Whether a new reader has something to begin with.
fn has_group(queue: &TagQueue) -> bool {
    let queue = queue.lock();
    queue.running && queue.group.is_some()
}

fn times(pictures: std::ops::Range<u64>) -> Vec<u64> {
    pictures.map(|picture| picture * PICTURE_MS).collect()
}

#[test]
fn a_reader_begins_at_the_newest_keyframe_and_then_misses_nothing() {
    let queue = TagQueue::default();
    assert!(!has_group(&queue));
    let mut run = Run::new(&queue, 1);
    run.send(8);
    assert!(has_group(&queue));
    let early = queue.reader();
    assert_eq!(read(&early), (times(5..8), times(5..6)));
    run.send(9);
    let late = queue.reader();
    assert_eq!(read(&late), (times(15..17), times(15..16)));
    assert_eq!(read(&early), (times(8..17), vec![]));
    assert_eq!(read(&early), (vec![], vec![]));
    // Nobody needs what is before the newest keyframe.
    let queue = queue.lock();
    assert_eq!((queue.first, queue.tags.len()), (16, 2));
}

#[test]
fn a_part_can_be_taken_and_the_rest_waits() {
    let queue = TagQueue::default();
    let mut run = Run::new(&queue, 1);
    run.send(5);
    let reader = queue.reader();
    let taken = reader.take(150);
    assert_eq!(taken.tags.len(), 3, "the header and two pictures");
    assert_eq!(taken.waiting, Duration::from_millis(2 * PICTURE_MS));
    assert_eq!(read(&reader).0, times(2..5));
}

#[test]
fn a_slow_reader_skips_to_the_newest_keyframe_and_the_others_miss_nothing() {
    for (body, pictures) in [(100, 300), (64 << 10, 150)] {
        let queue = TagQueue::default();
        let mut run = Run::new(&queue, 1);
        run.body = body;
        run.send(1);
        let (slow, quick) = (queue.reader(), queue.reader());
        assert_eq!(read(&slow).0, read(&quick).0);
        for picture in 1..pictures {
            run.send(1);
            assert_eq!(read(&quick), (times(picture..picture + 1), vec![]));
            let queue = queue.lock();
            let span = queue.tags.back().unwrap().timestamp - queue.tags[0].timestamp;
            assert!(queue.bytes <= MAX_QUEUED && span <= MAX_BEHIND.as_millis() as u64, "{span} ms");
        }
        let taken = slow.take(usize::MAX);
        let newest = (pictures - 1) / GROUP * GROUP;
        assert_eq!(taken.dropped, Duration::from_millis(newest * PICTURE_MS));
        assert_eq!(taken.tags[1].timestamp, newest * PICTURE_MS);
        assert!(taken.tags[0].is_sequence_header() && taken.tags[1].is_keyframe());
    }
}

#[test]
fn a_group_beyond_all_bounds_is_waited_out() {
    let queue = TagQueue::default();
    let mut run = Run::new(&queue, 1);
    run.body = 5 << 20;
    run.send(1);
    let reader = queue.reader();
    assert_eq!(read(&reader).0, times(0..1));
    run.send(3);
    assert!(!has_group(&queue), "its keyframe is gone");
    assert_eq!(read(&reader), (vec![], vec![]), "it has lost its place");
    run.send(2);
    assert_eq!(read(&reader).0, times(5..6));
}

#[test]
fn runs_follow_each_other_as_one_stream() {
    let queue = TagQueue::default();
    let mut first = Run::new(&queue, 1);
    first.send(6);
    let reader = queue.reader();
    assert_eq!(read(&reader).0, times(5..6));
    first.send(1);
    drop(first);
    assert!(queue.is_flowing() && !has_group(&queue), "a new connection waits for the next run");
    let mut second = Run::new(&queue, 1);
    second.send(2);
    // The header in force is not repeated.
    assert_eq!(read(&reader), (times(6..9), vec![]));
    let third = Run::new(&queue, 2);
    assert_eq!(read(&reader).1.len(), 1, "another header");
    drop(third);
}
