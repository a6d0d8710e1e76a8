//! The read-ahead with pictures that are numbers, and no encoder behind it.

use super::*;
use crate::item::Media;

fn begin(live: bool) -> Piece {
    let media = Media::at(String::new(), live);
    let item = Item { id: "x".into(), place: 1, title: "x".into(), start: Duration::ZERO, media };
    Piece::Begin(Arc::new(OnAir { run: 1, item, silent: false, expected: None }))
}

fn picture(key: bool, number: u64) -> Piece {
    let first = if key { 0x17 } else { 0x27 };
    Piece::Tag(Tag { kind: Kind::Video, timestamp: number, body: vec![first, 1, 0, 0, 0, 0].into() })
}

/// Groups of two pictures, at one frame a second.
fn feed(seconds: u64) -> (Feed, Cancel) {
    (Feed::new(1, Duration::from_secs(seconds)), Cancel::new())
}

fn number(taken: Taken) -> Option<u64> {
    match taken {
        Taken::Piece(Piece::Tag(tag)) => Some(tag.timestamp),
        _ => None,
    }
}

#[test]
fn a_group_goes_out_whole_or_not_at_all() {
    let (feed, cancel) = feed(10);
    for piece in [begin(false), picture(true, 0), picture(false, 1)] {
        feed.give(piece, false, &cancel);
    }
    assert!(matches!(feed.take(Need::Group), Taken::NotReady));
    feed.give(picture(true, 2), false, &cancel);
    assert!(matches!(feed.take(Need::Group), Taken::Piece(Piece::Begin(_))));
    assert_eq!(number(feed.take(Need::Group)), Some(0));
    assert_eq!(number(feed.take(Need::Group)), Some(1));
    assert!(matches!(feed.take(Need::Group), Taken::NotReady));
    feed.give(Piece::End, false, &cancel);
    assert_eq!(number(feed.take(Need::Group)), Some(2));
    assert!(matches!(feed.take(Need::Group), Taken::Piece(Piece::End)));
    feed.finish();
    assert!(matches!(feed.take(Need::Group), Taken::Over));
}

#[test]
fn after_an_underrun_it_fills_up_first() {
    let (feed, cancel) = feed(4);
    feed.give(begin(false), false, &cancel);
    for n in 0..3 {
        feed.give(picture(n % 2 == 0, n), false, &cancel);
    }
    assert!(matches!(feed.take(Need::Refilled), Taken::NotReady));
    feed.give(picture(false, 3), false, &cancel);
    assert!(matches!(feed.take(Need::Refilled), Taken::Piece(_)));
}

#[test]
fn a_live_item_keeps_its_newest_while_the_viewer_is_away() {
    let (feed, cancel) = feed(4);
    feed.set_at_live_edge(true);
    feed.give(begin(true), true, &cancel);
    for n in 0..9 {
        assert!(feed.give(picture(n % 2 == 0, n), true, &cancel));
    }
    assert!(matches!(feed.take(Need::Group), Taken::Piece(Piece::Begin(_))));
    let left: Vec<u64> = std::iter::from_fn(|| number(feed.take_any(Duration::ZERO))).collect();
    assert_eq!(left, [6, 7, 8]);
}

fn item(run: u64, live: bool) -> Item {
    let media = Media::at(String::new(), live);
    Item { id: "x".into(), place: 100 + run, title: "x".into(), start: Duration::ZERO, media }
}

/// Opens an item and gives `pictures` of it, in groups of two, numbered from 100 times its own number.
fn encode(feed: &Feed, cancel: &Cancel, run: u64, live: bool, pictures: u64) -> Attempt {
    let Opened::Goes(attempt) = feed.open(&item(run, live), cancel) else { panic!("{run} does not go") };
    assert_eq!(attempt.run, run);
    let on_air = OnAir { run, item: item(run, live), silent: false, expected: None };
    feed.give(Piece::Begin(Arc::new(on_air)), live, cancel);
    for n in 0..pictures {
        feed.give(picture(n % 2 == 0, run * 100 + n), live, cancel);
    }
    attempt
}

/// Everything that is handed out now, an item's beginning and end as 0.
fn taken(feed: &Feed, need: Need) -> Vec<u64> {
    let mut taken = Vec::new();
    while let Taken::Piece(piece) = feed.take(need) {
        taken.push(if let Piece::Tag(tag) = piece { tag.timestamp } else { 0 });
    }
    taken
}

#[test]
fn an_item_that_is_left_is_shown_to_the_end_of_a_group_and_one_more_at_most() {
    // How many pictures of the next one are here, and what is shown then.
    for (ready, shown) in [(3, &[101, 0, 200, 201][..]), (1, &[101, 102, 103, 0])] {
        let (feed, cancel) = feed(20);
        let attempt = encode(&feed, &cancel, 1, false, 9);
        feed.take(Need::Group);
        assert_eq!(number(feed.take(Need::Group)), Some(100));
        feed.skip();
        assert!(attempt.left.is_cancelled());
        assert!(!feed.give(picture(true, 999), false, &cancel) && !feed.give(Piece::End, false, &cancel));
        feed.close();
        encode(&feed, &cancel, 2, false, ready);
        assert_eq!(taken(&feed, Need::Group), shown);
    }
}

#[test]
fn what_is_encoded_of_the_next_item_stays() {
    let (feed, cancel) = feed(20);
    encode(&feed, &cancel, 1, false, 4);
    feed.give(Piece::End, false, &cancel);
    feed.close();
    let second = encode(&feed, &cancel, 2, false, 4);
    feed.take(Need::Group);
    feed.take(Need::Group);
    feed.skip();
    assert!(!second.left.is_cancelled());
    assert_eq!(taken(&feed, Need::Group), [101, 0, 200, 201]);
    assert!((feed.seconds() - 2.0).abs() < 0.1, "{}", feed.seconds());
}

#[test]
fn a_jump_makes_stale_what_is_prepared_until_it_is_done() {
    let (feed, cancel) = feed(20);
    encode(&feed, &cancel, 1, false, 3);
    feed.take(Need::Group);
    assert_eq!(feed.jump(Leave::All, true), Ok(Meant { place: Some(101), skip: 0 }));
    feed.close();
    assert!(matches!(feed.open(&item(2, false), &cancel), Opened::Stale));
    assert!(!feed.finish(), "the list has come to its end elsewhere");
    feed.done();
    encode(&feed, &cancel, 2, true, 3);
    assert_eq!(feed.jump(Leave::All, true), Err(Refused::Live));
    for _ in 0..MOST_ASKED {
        feed.ask().unwrap();
    }
    assert_eq!(feed.jump(Leave::All, false), Err(Refused::Busy));
    assert!(matches!(feed.open(&item(3, false), &cancel), Opened::Stale), "what is asked is not forgotten");
}

#[test]
fn what_is_queued_leaves_the_item_on_air_whole() {
    let (feed, cancel) = feed(20);
    encode(&feed, &cancel, 1, false, 4);
    feed.give(Piece::End, false, &cancel);
    feed.close();
    let second = encode(&feed, &cancel, 2, false, 4);
    feed.take(Need::Group);
    feed.take(Need::Group);
    assert_eq!(feed.jump(Leave::Later, false), Ok(Meant { place: Some(101), skip: 0 }));
    assert!(second.left.is_cancelled());
    feed.close();
    feed.done();
    encode(&feed, &cancel, 3, false, 3);
    assert_eq!(taken(&feed, Need::Group), [101, 102, 103, 0, 0, 300, 301]);
}

#[test]
fn the_list_ends_with_the_item_on_air_at_once_where_all_of_it_is_here() {
    let (feed, cancel) = feed(20);
    encode(&feed, &cancel, 1, false, 4);
    feed.give(Piece::End, false, &cancel);
    feed.close();
    encode(&feed, &cancel, 2, false, 4);
    feed.take(Need::Group);
    feed.end_with_current();
    assert_eq!(taken(&feed, Need::Group), [100, 101, 102, 103, 0]);
    assert!(matches!(feed.take(Need::Group), Taken::Over));
}

#[test]
fn a_pause_begins_between_groups_and_a_live_item_goes_on_at_its_newest() {
    let (feed, cancel) = feed(4);
    encode(&feed, &cancel, 1, true, 3);
    feed.take(Need::Group);
    assert_eq!(number(feed.take(Need::Group)), Some(100));
    feed.set_paused(true);
    assert_eq!(taken(&feed, Need::Group), [101]);
    for n in 3..12 {
        assert!(feed.give(picture(n % 2 == 0, 100 + n), true, &cancel));
    }
    assert_eq!(taken(&feed, Need::Refilled), [0; 0]);
    feed.set_paused(false);
    assert_eq!(number(feed.take(Need::Refilled)), Some(108));
}

#[test]
fn a_full_feed_holds_the_encoder_until_it_is_cancelled() {
    let (feed, cancel) = feed(1);
    feed.give(begin(false), false, &cancel);
    assert!(feed.give(picture(true, 0), false, &cancel));
    cancel.cancel();
    assert!(!feed.give(picture(true, 1), false, &cancel));
}

#[test]
fn next_is_what_follows_the_item_on_air_not_the_one_that_is_encoded() {
    let (feed, cancel) = feed(20);
    let titled = |run: u64| Item { title: format!("item {run}"), ..item(run, false) };
    let begin = |run: u64| {
        let Opened::Goes(_) = feed.open(&titled(run), &cancel) else { panic!("{run} does not go") };
        let on_air = OnAir { run, item: titled(run), silent: false, expected: None };
        feed.give(Piece::Begin(Arc::new(on_air)), false, &cancel);
        for n in 0..4 {
            feed.give(picture(n % 2 == 0, run * 100 + n), false, &cancel);
        }
    };
    let next = || feed.next_title();
    feed.set_prepared(Some("item 1".into()));
    assert_eq!(next().as_deref(), Some("item 1"), "nothing is on air");
    begin(1);
    feed.set_prepared(Some("item 2".into()));
    assert_eq!(next().as_deref(), Some("item 1"), "encoded, and not yet shown");
    feed.take(Need::Group);
    assert_eq!(next().as_deref(), Some("item 2"));
    feed.give(Piece::End, false, &cancel);
    feed.close();
    let Opened::Goes(_) = feed.open(&titled(2), &cancel) else { panic!("2 does not go") };
    feed.set_prepared(Some("item 3".into()));
    assert_eq!(next().as_deref(), Some("item 2"), "its encoder has begun, and nothing has come of it");
    feed.close();
    begin(2);
    feed.set_prepared(Some("item 3".into()));
    // The last seconds of the first are on air.
    assert_eq!(next().as_deref(), Some("item 2"));
    assert_eq!(taken(&feed, Need::Group)[..5], [100, 101, 102, 103, 0]);
    assert_eq!(next().as_deref(), Some("item 3"));
    feed.end_with_current();
    assert_eq!(next(), None, "the list ends here");
}

#[test]
fn an_item_that_a_panic_ended_has_an_end() {
    let (feed, cancel) = feed(20);
    encode(&feed, &cancel, 1, false, 3);
    feed.close();
    encode(&feed, &cancel, 2, false, 3);
    assert_eq!(taken(&feed, Need::Group), [0, 100, 101, 102, 0, 0, 200, 201]);
    // One that was left has none: it is shown no further.
    feed.skip();
    feed.close();
    encode(&feed, &cancel, 3, false, 3);
    assert_eq!(taken(&feed, Need::Group), [0, 300, 301]);
}

#[test]
fn where_another_encoder_goes_on_only_whole_groups_are_left() {
    let (feed, cancel) = feed(10);
    let sound = || Piece::Tag(Tag { kind: Kind::Audio, timestamp: 2, body: vec![0xaf, 1, 0].into() });
    for piece in
        [begin(false), picture(true, 0), picture(false, 1), picture(true, 2), sound(), picture(false, 3)]
    {
        feed.give(piece, false, &cancel);
    }
    assert_eq!(feed.cut_open_group(), 2);
    assert_eq!(feed.cut_open_group(), 0);
    for piece in [begin(false), picture(true, 2), picture(false, 3), Piece::End] {
        feed.give(piece, false, &cancel);
    }
    let taken: Vec<_> = std::iter::from_fn(|| match feed.take(Need::Group) {
        Taken::Piece(piece) => Some(piece),
        Taken::NotReady | Taken::Over => None,
    })
    .collect();
    let pictures: Vec<u64> = taken
        .iter()
        .filter_map(|piece| match piece {
            Piece::Tag(tag) if tag.kind == Kind::Video => Some(tag.timestamp),
            _ => None,
        })
        .collect();
    assert_eq!((pictures, taken.len()), (vec![0, 1, 2, 3], 8));
    assert_eq!(feed.seconds().to_bits(), 0.0_f64.to_bits());
}

#[test]
fn a_group_that_is_on_air_is_not_cut() {
    let (feed, cancel) = feed(2);
    for piece in [begin(false), picture(true, 0), picture(false, 1)] {
        feed.give(piece, false, &cancel);
    }
    // It is full, so the group goes out without its end.
    assert!(matches!(feed.take(Need::Group), Taken::Piece(Piece::Begin(_))));
    assert_eq!(number(feed.take(Need::Group)), Some(0));
    assert_eq!(feed.cut_open_group(), 0);
    assert_eq!(number(feed.take(Need::Group)), Some(1));
    assert!(matches!(feed.take(Need::Group), Taken::NotReady));
    for piece in [begin(false), picture(true, 2), Piece::End] {
        feed.give(piece, false, &cancel);
    }
    assert!(matches!(feed.take(Need::Group), Taken::Piece(Piece::Begin(_))));
    assert_eq!(number(feed.take(Need::Group)), Some(2));
}
