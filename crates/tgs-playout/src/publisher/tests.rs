//! What is sent again, over a way out whose acknowledgements the test decides.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use super::*;

/// A way out whose acknowledgements the test decides: with a real server they come when the kernel
/// likes.
#[derive(Clone, Default)]
struct Wire(Arc<Mutex<(Vec<Tag>, u64)>>, Vec<Tag>, Arc<AtomicBool>);

impl Sink for Wire {
    fn queue(&mut self, tag: &Tag) -> Result<(), SinkError> {
        self.1.push(tag.clone());
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        if self.2.load(Ordering::SeqCst) {
            return Err(SinkError::Simulated);
        }
        self.0.lock().unwrap().0.append(&mut self.1);
        Ok(())
    }

    fn wait(&mut self, _until: Instant) -> Result<(), SinkError> {
        Ok(())
    }

    fn written(&self) -> u64 {
        self.0.lock().unwrap().0.len() as u64
    }

    fn acked(&self) -> u64 {
        self.0.lock().unwrap().1
    }

    fn goodbye(self: Box<Self>) {}
}

const PROFILE: Profile = Profile { fps: 10, ..Profile::P720 };

fn publisher() -> Publisher {
    Publisher::new(Output::File("unused.flv".into()), PROFILE, 0, Cancel::new())
}

fn connect(publisher: &mut Publisher) -> Wire {
    let wire = Wire::default();
    publisher.link = Some(Box::new(wire.clone()));
    wire
}

/// Picture `n` at `100 n` ms; every fifth is a keyframe.
fn picture(n: u64) -> TimedTag {
    let body = vec![if n.is_multiple_of(5) { 0x17 } else { 0x27 }, 1, 0, 0, 0, n as u8].into();
    let tag = Tag { kind: Kind::Video, timestamp: n * 100, body };
    TimedTag { tag, origin: TagOrigin { seq: 1, offset_ms: n * 100 } }
}

fn send(publisher: &mut Publisher, placed: TimedTag) {
    publisher.send(placed).unwrap();
    publisher.flush().unwrap();
}

/// The sequence header of the encoder `which`.
fn header(which: u8) -> TimedTag {
    let tag = Tag { kind: Kind::Video, timestamp: 0, body: vec![0x17, 0, 0, 0, 0, which].into() };
    TimedTag { tag, origin: TagOrigin { seq: 1, offset_ms: 0 } }
}

fn pictures(wire: &Wire) -> Vec<(u8, u64)> {
    let sent = wire.0.lock().unwrap();
    sent.0.iter().filter(|tag| tag.is_frame()).map(|tag| (tag.body[5], tag.timestamp)).collect()
}

#[test]
fn after_a_break_it_goes_on_from_the_last_keyframe_that_arrived() {
    let mut publisher = publisher();
    let first = connect(&mut publisher);
    send(&mut publisher, header(1));
    for n in 0..18 {
        // The header and all but the last six arrive.
        first.0.lock().unwrap().1 = 1 + n.min(12);
        send(&mut publisher, picture(n));
    }
    // Picture 11 is the twelfth and the last that arrived.
    assert_eq!(publisher.lose(), Some(1100));
    let second = connect(&mut publisher);
    publisher.resume().unwrap();
    send(&mut publisher, picture(18));
    let expected: Vec<(u8, u64)> = (10..19).map(|n| (n as u8, (n - 10) * 100)).collect();
    assert_eq!(pictures(&second), expected);
    assert!(second.0.lock().unwrap().0[0].is_sequence_header());
}

#[test]
fn each_picture_that_is_sent_again_has_its_own_header() {
    let mut publisher = publisher();
    let first = connect(&mut publisher);
    send(&mut publisher, header(1));
    for n in 0..20 {
        if n == 10 {
            send(&mut publisher, header(2));
        }
        // Nothing from picture 7 on arrives.
        first.0.lock().unwrap().1 = 1 + n.min(7);
        send(&mut publisher, picture(n));
    }
    for _ in 0..2 {
        // The second time it is the one that was sent again.
        publisher.lose();
        let again = connect(&mut publisher);
        publisher.resume().unwrap();
        let wire = again.0.lock().unwrap();
        let of = |tag: &Tag| (tag.is_sequence_header(), tag.body[5]);
        let order: Vec<_> = wire.0.iter().map(of).collect();
        assert_eq!(order[..2], [(true, 1), (false, 5)]);
        assert_eq!(order[5..8], [(false, 9), (true, 2), (false, 10)]);
    }
    // A header is no place in an item.
    let last = connect(&mut publisher);
    last.0.lock().unwrap().1 = 1;
    publisher.resume().unwrap();
    assert_eq!(publisher.published(), None);
}

#[test]
fn what_was_queued_has_arrived_with_what_was_sent_behind_it() {
    let mut publisher = publisher();
    let wire = connect(&mut publisher);
    send(&mut publisher, picture(0));
    publisher.send(picture(1)).unwrap();
    wire.0.lock().unwrap().1 = 2;
    assert_eq!(publisher.published().map(|origin| origin.offset_ms), Some(0));
    send(&mut publisher, picture(2));
    wire.0.lock().unwrap().1 = 3;
    assert_eq!(publisher.published().map(|origin| origin.offset_ms), Some(200));
}

#[test]
fn a_break_while_sending_again_loses_nothing() {
    let mut publisher = publisher();
    connect(&mut publisher);
    for n in 0..4 {
        send(&mut publisher, picture(n));
    }
    publisher.lose();
    let second = connect(&mut publisher);
    second.2.store(true, Ordering::SeqCst);
    second.0.lock().unwrap().1 = 2;
    assert!(publisher.resume().is_err());
    assert_eq!(publisher.lose(), Some(0));
    let third = connect(&mut publisher);
    publisher.resume().unwrap();
    assert_eq!(pictures(&third), [(0, 0), (1, 100), (2, 200), (3, 300)]);
}

#[test]
fn a_tag_that_finds_no_connection_is_not_lost() {
    let mut publisher = publisher();
    connect(&mut publisher);
    send(&mut publisher, picture(0));
    publisher.lose();
    assert!(publisher.send(picture(1)).is_err());
    // The second attempt fails as well before the third succeeds.
    assert!(publisher.resume().is_err());
    publisher.lose();
    let third = connect(&mut publisher);
    publisher.resume().unwrap();
    assert_eq!(pictures(&third), [(0, 0), (1, 100)]);
}

#[test]
fn the_memory_is_bounded_where_nothing_is_acknowledged() {
    let mut publisher = publisher();
    connect(&mut publisher);
    for n in 0..200 {
        let mut placed = picture(n);
        let mut body = vec![0; 200_000];
        body[..6].copy_from_slice(&placed.tag.body);
        placed.tag.body = body.into();
        send(&mut publisher, placed);
    }
    let kept: usize = publisher.sent.iter().map(|sent| sent.placed.tag.body.len()).sum();
    assert!(kept <= MAX_KEPT + 5 * 200_000, "{kept} bytes kept");
    assert!(publisher.sent[0].placed.tag.is_keyframe());
}
