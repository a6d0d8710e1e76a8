//! The read-ahead with pictures that are numbers, and no encoder behind it.

use tgs_rtmp::flv::Kind;

use super::*;
use crate::item::Media;

fn begin(live: bool) -> Event {
    let media = Media::at(String::new(), live);
    let item = Item { id: "x".into(), turn: 1, title: "x".into(), start: Duration::ZERO, media };
    Event::Begin(Arc::new(StartedItem { seq: 1, item, silent: false, expected: None }))
}

fn picture(key: bool, number: u64) -> Event {
    let first = if key { 0x17 } else { 0x27 };
    Event::Tag(Tag { kind: Kind::Video, timestamp: number, body: vec![first, 1, 0, 0, 0, 0].into() })
}

/// Groups of two pictures, at one frame a second.
fn read_ahead(seconds: u64) -> (ReadAhead, Cancel) {
    (ReadAhead::new(1, Duration::from_secs(seconds), Arc::default()), Cancel::new())
}

fn number(taken: Polled) -> Option<u64> {
    match taken {
        Polled::Event(Event::Tag(tag)) => Some(tag.timestamp),
        _ => None,
    }
}

#[test]
fn a_group_goes_out_whole_or_not_at_all() {
    let (read_ahead, cancel) = read_ahead(10);
    for piece in [begin(false), picture(true, 0), picture(false, 1)] {
        read_ahead.push(piece, false, &cancel);
    }
    assert!(matches!(read_ahead.poll(StartLevel::Group), Polled::NotReady));
    read_ahead.push(picture(true, 2), false, &cancel);
    assert!(matches!(read_ahead.poll(StartLevel::Group), Polled::Event(Event::Begin(_))));
    assert_eq!(number(read_ahead.poll(StartLevel::Group)), Some(0));
    assert_eq!(number(read_ahead.poll(StartLevel::Group)), Some(1));
    assert!(matches!(read_ahead.poll(StartLevel::Group), Polled::NotReady));
    read_ahead.push(Event::End, false, &cancel);
    assert_eq!(number(read_ahead.poll(StartLevel::Group)), Some(2));
    assert!(matches!(read_ahead.poll(StartLevel::Group), Polled::Event(Event::End)));
    read_ahead.finish();
    assert!(matches!(read_ahead.poll(StartLevel::Group), Polled::Ended));
}

#[test]
fn after_an_underrun_it_fills_up_first() {
    let (read_ahead, cancel) = read_ahead(4);
    read_ahead.push(begin(false), false, &cancel);
    for n in 0..3 {
        read_ahead.push(picture(n % 2 == 0, n), false, &cancel);
    }
    assert!(matches!(read_ahead.poll(StartLevel::Refilled), Polled::NotReady));
    read_ahead.push(picture(false, 3), false, &cancel);
    assert!(matches!(read_ahead.poll(StartLevel::Refilled), Polled::Event(_)));
}

#[test]
fn a_live_item_keeps_its_newest_while_the_viewer_is_away() {
    let (read_ahead, cancel) = read_ahead(4);
    read_ahead.set_at_live_edge(true);
    read_ahead.push(begin(true), true, &cancel);
    for n in 0..9 {
        assert!(read_ahead.push(picture(n % 2 == 0, n), true, &cancel));
    }
    assert!(matches!(read_ahead.poll(StartLevel::Group), Polled::Event(Event::Begin(_))));
    let left: Vec<u64> = std::iter::from_fn(|| number(read_ahead.wait_event(Duration::ZERO))).collect();
    assert_eq!(left, [6, 7, 8]);
}

fn item(seq: u64, live: bool) -> Item {
    let media = Media::at(String::new(), live);
    Item { id: "x".into(), turn: 100 + seq, title: "x".into(), start: Duration::ZERO, media }
}

/// Opens an item and gives `pictures` of it, in groups of two, numbered from 100 times its own
/// number.
fn encode(read_ahead: &ReadAhead, cancel: &Cancel, seq: u64, live: bool, pictures: u64) -> AdmittedItem {
    let Admission::Admitted(attempt) = read_ahead.admit(&item(seq, live), cancel) else {
        panic!("{seq} does not go")
    };
    assert_eq!(attempt.seq, seq);
    let on_air = StartedItem { seq, item: item(seq, live), silent: false, expected: None };
    read_ahead.push(Event::Begin(Arc::new(on_air)), live, cancel);
    for n in 0..pictures {
        read_ahead.push(picture(n % 2 == 0, seq * 100 + n), live, cancel);
    }
    attempt
}

/// Everything that is handed out now, an item's beginning and end as 0.
fn taken(read_ahead: &ReadAhead, need: StartLevel) -> Vec<u64> {
    let mut taken = Vec::new();
    while let Polled::Event(piece) = read_ahead.poll(need) {
        taken.push(if let Event::Tag(tag) = piece { tag.timestamp } else { 0 });
    }
    taken
}

#[test]
fn an_item_that_is_left_is_cut_at_once_or_shown_for_two_groups_at_most() {
    // How many pictures of the next one are here, and what is shown then. One picture is a second,
    // which came at once.
    for (ready, shown) in [(3, &[0, 200, 201][..]), (1, &[0, 200]), (0, &[101, 102, 103, 0])] {
        let (read_ahead, cancel) = read_ahead(20);
        let attempt = encode(&read_ahead, &cancel, 1, false, 9);
        read_ahead.poll(StartLevel::Group);
        assert_eq!(number(read_ahead.poll(StartLevel::Group)), Some(100));
        read_ahead.skip().unwrap();
        assert!(attempt.discarded.is_cancelled());
        assert!(
            !read_ahead.push(picture(true, 999), false, &cancel)
                && !read_ahead.push(Event::End, false, &cancel)
        );
        read_ahead.close();
        encode(&read_ahead, &cancel, 2, false, ready);
        assert_eq!(taken(&read_ahead, StartLevel::Group), shown);
    }
}

#[test]
fn what_is_encoded_of_the_next_item_stays() {
    let (read_ahead, cancel) = read_ahead(20);
    encode(&read_ahead, &cancel, 1, false, 4);
    read_ahead.push(Event::End, false, &cancel);
    read_ahead.close();
    let second = encode(&read_ahead, &cancel, 2, false, 4);
    read_ahead.poll(StartLevel::Group);
    read_ahead.poll(StartLevel::Group);
    read_ahead.skip().unwrap();
    assert!(!second.discarded.is_cancelled());
    assert_eq!(taken(&read_ahead, StartLevel::Group), [0, 200, 201]);
    assert!((read_ahead.seconds() - 2.0).abs() < 0.1, "{}", read_ahead.seconds());
}

#[test]
fn a_jump_makes_stale_what_is_prepared_until_it_is_done() {
    let (read_ahead, cancel) = read_ahead(20);
    encode(&read_ahead, &cancel, 1, false, 3);
    read_ahead.poll(StartLevel::Group);
    assert_eq!(read_ahead.jump(Discard::All, true), Ok(TargetItem { turn: Some(101), skip: 0 }));
    read_ahead.close();
    assert!(matches!(read_ahead.admit(&item(2, false), &cancel), Admission::Stale));
    assert!(!read_ahead.finish(), "the list has come to its end elsewhere");
    read_ahead.release_request();
    encode(&read_ahead, &cancel, 2, true, 3);
    assert_eq!(read_ahead.jump(Discard::All, true), Err(CommandRefused::Live));
    for _ in 0..MAX_PENDING {
        read_ahead.reserve_request().unwrap();
    }
    assert_eq!(read_ahead.jump(Discard::All, false), Err(CommandRefused::Busy));
    assert!(
        matches!(read_ahead.admit(&item(3, false), &cancel), Admission::Stale),
        "what is asked is not forgotten"
    );
}

#[test]
fn what_is_queued_leaves_the_item_on_air_whole() {
    let (read_ahead, cancel) = read_ahead(20);
    encode(&read_ahead, &cancel, 1, false, 4);
    read_ahead.push(Event::End, false, &cancel);
    read_ahead.close();
    let second = encode(&read_ahead, &cancel, 2, false, 4);
    read_ahead.poll(StartLevel::Group);
    read_ahead.poll(StartLevel::Group);
    assert_eq!(read_ahead.jump(Discard::Later, false), Ok(TargetItem { turn: Some(101), skip: 0 }));
    assert!(second.discarded.is_cancelled());
    read_ahead.close();
    read_ahead.release_request();
    encode(&read_ahead, &cancel, 3, false, 3);
    assert_eq!(taken(&read_ahead, StartLevel::Group), [101, 102, 103, 0, 0, 300, 301]);
}

#[test]
fn the_list_ends_with_the_item_on_air_at_once_where_all_of_it_is_here() {
    let (read_ahead, cancel) = read_ahead(20);
    encode(&read_ahead, &cancel, 1, false, 4);
    read_ahead.push(Event::End, false, &cancel);
    read_ahead.close();
    encode(&read_ahead, &cancel, 2, false, 4);
    read_ahead.poll(StartLevel::Group);
    read_ahead.end_with_current();
    assert_eq!(taken(&read_ahead, StartLevel::Group), [100, 101, 102, 103, 0]);
    assert!(matches!(read_ahead.poll(StartLevel::Group), Polled::Ended));
}

#[test]
fn a_pause_begins_at_once_and_a_live_item_goes_on_at_its_newest() {
    let (read_ahead, cancel) = read_ahead(4);
    encode(&read_ahead, &cancel, 1, true, 3);
    read_ahead.poll(StartLevel::Group);
    assert_eq!(number(read_ahead.poll(StartLevel::Group)), Some(100));
    read_ahead.standing.set_paused(true);
    read_ahead.wake();
    assert_eq!(taken(&read_ahead, StartLevel::Group), [0; 0]);
    assert_eq!(read_ahead.rewind(), Some(100));
    for n in 3..12 {
        assert!(read_ahead.push(picture(n % 2 == 0, 100 + n), true, &cancel));
    }
    assert_eq!(taken(&read_ahead, StartLevel::Refilled), [0; 0]);
    read_ahead.standing.set_paused(false);
    read_ahead.wake();
    assert_eq!(number(read_ahead.poll(StartLevel::Refilled)), Some(108));
}

#[test]
fn a_full_feed_holds_the_encoder_until_it_is_cancelled() {
    let (read_ahead, cancel) = read_ahead(1);
    read_ahead.push(begin(false), false, &cancel);
    assert!(read_ahead.push(picture(true, 0), false, &cancel));
    cancel.cancel();
    assert!(!read_ahead.push(picture(true, 1), false, &cancel));
}

#[test]
fn next_is_what_follows_the_item_on_air_not_the_one_that_is_encoded() {
    let (read_ahead, cancel) = read_ahead(20);
    let titled = |seq: u64| Item { title: format!("item {seq}"), ..item(seq, false) };
    let begin = |seq: u64| {
        let Admission::Admitted(_) = read_ahead.admit(&titled(seq), &cancel) else {
            panic!("{seq} does not go")
        };
        let on_air = StartedItem { seq, item: titled(seq), silent: false, expected: None };
        read_ahead.push(Event::Begin(Arc::new(on_air)), false, &cancel);
        for n in 0..4 {
            read_ahead.push(picture(n % 2 == 0, seq * 100 + n), false, &cancel);
        }
    };
    let next = || read_ahead.next_title();
    read_ahead.set_prepared(Some("item 1".into()));
    assert_eq!(next().as_deref(), Some("item 1"), "nothing is on air");
    begin(1);
    read_ahead.set_prepared(Some("item 2".into()));
    assert_eq!(next().as_deref(), Some("item 1"), "encoded, and not yet shown");
    read_ahead.poll(StartLevel::Group);
    assert_eq!(next().as_deref(), Some("item 2"));
    read_ahead.push(Event::End, false, &cancel);
    read_ahead.close();
    let Admission::Admitted(_) = read_ahead.admit(&titled(2), &cancel) else { panic!("2 does not go") };
    read_ahead.set_prepared(Some("item 3".into()));
    assert_eq!(next().as_deref(), Some("item 2"), "its encoder has begun, and nothing has come of it");
    read_ahead.close();
    begin(2);
    read_ahead.set_prepared(Some("item 3".into()));
    // The last seconds of the first are on air.
    assert_eq!(next().as_deref(), Some("item 2"));
    assert_eq!(taken(&read_ahead, StartLevel::Group)[..5], [100, 101, 102, 103, 0]);
    assert_eq!(next().as_deref(), Some("item 3"));
    read_ahead.end_with_current();
    assert_eq!(next(), None, "the list ends here");
}

#[test]
fn an_item_that_a_panic_ended_has_an_end() {
    let (read_ahead, cancel) = read_ahead(20);
    encode(&read_ahead, &cancel, 1, false, 3);
    read_ahead.close();
    encode(&read_ahead, &cancel, 2, false, 3);
    assert_eq!(taken(&read_ahead, StartLevel::Group), [0, 100, 101, 102, 0, 0, 200, 201]);
    // One that was left has none: it is shown no further.
    read_ahead.skip().unwrap();
    read_ahead.close();
    encode(&read_ahead, &cancel, 3, false, 3);
    assert_eq!(taken(&read_ahead, StartLevel::Group), [0, 300, 301]);
}

#[test]
fn where_another_encoder_goes_on_only_whole_groups_are_left() {
    let (read_ahead, cancel) = read_ahead(10);
    let sound = || Event::Tag(Tag { kind: Kind::Audio, timestamp: 2, body: vec![0xaf, 1, 0].into() });
    for piece in
        [begin(false), picture(true, 0), picture(false, 1), picture(true, 2), sound(), picture(false, 3)]
    {
        read_ahead.push(piece, false, &cancel);
    }
    assert_eq!(read_ahead.cut_open_group(), 2);
    assert_eq!(read_ahead.cut_open_group(), 0);
    for piece in [begin(false), picture(true, 2), picture(false, 3), Event::End] {
        read_ahead.push(piece, false, &cancel);
    }
    let taken: Vec<_> = std::iter::from_fn(|| match read_ahead.poll(StartLevel::Group) {
        Polled::Event(piece) => Some(piece),
        Polled::NotReady | Polled::Ended => None,
    })
    .collect();
    let pictures: Vec<u64> = taken
        .iter()
        .filter_map(|piece| match piece {
            Event::Tag(tag) if tag.kind == Kind::Video => Some(tag.timestamp),
            _ => None,
        })
        .collect();
    assert_eq!((pictures, taken.len()), (vec![0, 1, 2, 3], 8));
    assert_eq!(read_ahead.seconds().to_bits(), 0.0_f64.to_bits());
}

#[test]
fn a_group_that_is_on_air_is_not_cut() {
    let (read_ahead, cancel) = read_ahead(2);
    for piece in [begin(false), picture(true, 0), picture(false, 1)] {
        read_ahead.push(piece, false, &cancel);
    }
    // It is full, so the group goes out without its end.
    assert!(matches!(read_ahead.poll(StartLevel::Group), Polled::Event(Event::Begin(_))));
    assert_eq!(number(read_ahead.poll(StartLevel::Group)), Some(0));
    assert_eq!(read_ahead.cut_open_group(), 0);
    assert_eq!(number(read_ahead.poll(StartLevel::Group)), Some(1));
    assert!(matches!(read_ahead.poll(StartLevel::Group), Polled::NotReady));
    for piece in [begin(false), picture(true, 2), Event::End] {
        read_ahead.push(piece, false, &cancel);
    }
    assert!(matches!(read_ahead.poll(StartLevel::Group), Polled::Event(Event::Begin(_))));
    assert_eq!(number(read_ahead.poll(StartLevel::Group)), Some(2));
}

/// Picture `n` of groups of pictures `I P B B P B B …`, at 10 frames a second.
fn reordered(n: u64, group: u64) -> Tag {
    let first = if n.is_multiple_of(group) { 0x17 } else { 0x27 };
    let later: u16 =
        [100, 300, 0, 0][if n.is_multiple_of(group) { 0 } else { 1 + (n % group - 1) as usize % 3 }];
    let [high, low] = later.to_be_bytes();
    Tag { kind: Kind::Video, timestamp: n * 100, body: vec![first, 1, 0, high, low, 0].into() }
}

/// Two groups of four pictures as an item, and a sound with each picture.
fn encode_reordered(read_ahead: &ReadAhead, cancel: &Cancel, seq: u64) {
    let Admission::Admitted(_) = read_ahead.admit(&item(seq, false), cancel) else { panic!("no {seq}") };
    let on_air = StartedItem { seq, item: item(seq, false), silent: false, expected: None };
    read_ahead.push(Event::Begin(Arc::new(on_air)), false, cancel);
    for n in 0..8 {
        read_ahead.push(Event::Tag(reordered(n, 4)), false, cancel);
        let sound = Tag { kind: Kind::Audio, timestamp: n * 100 + 1, body: vec![0xaf, 1, 0].into() };
        read_ahead.push(Event::Tag(sound), false, cancel);
    }
    read_ahead.push(Event::End, false, cancel);
    read_ahead.close();
}

/// The read-ahead in the middle of the first of two groups of item 1, after `taken` tags.
fn in_a_group(taken: usize) -> (ReadAhead, Cancel) {
    let (read_ahead, cancel) = (ReadAhead::new(10, Duration::from_secs(4), Arc::default()), Cancel::new());
    encode_reordered(&read_ahead, &cancel, 1);
    encode_reordered(&read_ahead, &cancel, 2);
    assert!(matches!(read_ahead.poll(StartLevel::Group), Polled::Event(Event::Begin(_))));
    for _ in 0..taken {
        assert!(number(read_ahead.poll(StartLevel::Group)).is_some());
    }
    (read_ahead, cancel)
}

#[test]
fn a_cut_waits_for_the_pictures_displayed_before_and_takes_their_sound_along() {
    // After the keyframe, its sound, and the picture that the next two are displayed before.
    let (read_ahead, _cancel) = in_a_group(3);
    read_ahead.skip().unwrap();
    let shown = taken(&read_ahead, StartLevel::Group);
    // The rest of the group, the sound that belongs to it, and the next item.
    assert_eq!(shown[..7], [101, 200, 201, 300, 301, 401, 0], "{shown:?}");
    // After the keyframe at once, with the sound of its 100 ms, which begin late.
    let (read_ahead, _cancel) = in_a_group(1);
    read_ahead.skip().unwrap();
    let shown = taken(&read_ahead, StartLevel::Group);
    assert_eq!(shown[..4], [1, 101, 0, 0], "{shown:?}");
}

#[test]
fn a_paused_item_goes_on_with_the_group_that_was_cut() {
    for (before, rest, again) in [
        (1, &[1, 101][..], [0, 1, 101, 100]),
        // The filler follows a whole group: the next one.
        (7, &[301, 401], [400, 500, 501, 600]),
    ] {
        let (read_ahead, _cancel) = in_a_group(before);
        let seconds = read_ahead.seconds();
        read_ahead.standing.set_paused(true);
        assert_eq!(taken(&read_ahead, StartLevel::Group), rest);
        assert_eq!(read_ahead.rewind(), Some(again[0]));
        assert_eq!(taken(&read_ahead, StartLevel::Refilled), [0; 0]);
        assert!(read_ahead.seconds() >= seconds);
        read_ahead.standing.set_paused(false);
        assert_eq!(taken(&read_ahead, StartLevel::Refilled)[..4], again);
        // The next item is untouched.
        assert_eq!(read_ahead.rewind(), None);
    }
    // It is left meanwhile: what follows is the next item.
    let (read_ahead, _cancel) = in_a_group(1);
    read_ahead.standing.set_paused(true);
    assert_eq!(taken(&read_ahead, StartLevel::Group), [1, 101]);
    read_ahead.rewind();
    read_ahead.skip().unwrap();
    read_ahead.standing.set_paused(false);
    assert_eq!(taken(&read_ahead, StartLevel::Refilled)[..3], [0, 0, 1]);
}

#[test]
fn a_group_that_its_encoder_has_not_finished_is_shown_as_far_as_it_is_whole() {
    let (read_ahead, cancel) =
        (ReadAhead::new(10, Duration::from_millis(900), Arc::default()), Cancel::new());
    let Admission::Admitted(_) = read_ahead.admit(&item(1, false), &cancel) else { panic!("no item") };
    read_ahead.push(begin(false), false, &cancel);
    for n in 0..9 {
        read_ahead.push(Event::Tag(reordered(n, 60)), false, &cancel);
    }
    // It is full, so the group goes out without its end.
    assert!(matches!(read_ahead.poll(StartLevel::Group), Polled::Event(Event::Begin(_))));
    assert_eq!(number(read_ahead.poll(StartLevel::Group)), Some(0));
    assert_eq!(number(read_ahead.poll(StartLevel::Group)), Some(100));
    read_ahead.skip().unwrap();
    assert_eq!(taken(&read_ahead, StartLevel::Group), [200, 300, 400, 500, 600, 0]);
}
