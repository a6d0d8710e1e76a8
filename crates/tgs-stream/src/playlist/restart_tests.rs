//! Where the playlist continues: after restarts, jumps and queued items.

use super::{
    tests::{Engine, Tv, at, line},
    *,
};

#[test]
fn a_restart_resumes_at_the_saved_position() {
    let tv = Tv::new("abcabd");
    let mut engine = Engine::new(tv.open());
    engine.letters(5);
    let saved = engine.list.bookmarks().resume_point(engine.place, Duration::ZERO).unwrap();
    let json = serde_json::to_string(&saved.bookmark).unwrap();
    assert_eq!(
        json,
        r#"{"item":"http://h/b.mp4","nth":1,"shuffle_seed":null,"followed_by":[{"item":"http://h/d.mp4"}]}"#
    );
    let resume = || Some(at(serde_json::from_str(&json).unwrap(), 9));
    let open = || Engine::new(Playlist::open(PlaylistConfig { resume: resume(), ..tv.config() }).unwrap());
    let mut again = open();
    let NextItem::Play(item) = again.play() else { panic!("nothing plays") };
    assert_eq!((&*item.title, item.start), ("b", Duration::from_secs(9)));
    let NextItem::Play(item) = again.play() else { panic!("nothing plays") };
    assert_eq!((&*item.title, item.start), ("d", Duration::ZERO));
    let cases = [("bac", "bacb"), ("acd", "dacd"), ("xyz", "xyzx")];
    for (edited, expected) in cases {
        tv.edit(edited);
        assert_eq!(open().letters(4), expected, "{edited}");
    }
}

#[test]
fn a_restart_continues_the_shuffled_round() {
    let tv = Tv::new("abcdefgh");
    let whole = Engine::new(tv.shuffled(11)).letters(24);
    let mut engine = Engine::new(tv.shuffled(11));
    engine.letters(11);
    let resume = engine.list.bookmarks().resume_point(engine.place, Duration::from_secs(1));
    let list = Playlist::open(PlaylistConfig { shuffle: true, resume, ..tv.config() }).unwrap();
    assert_eq!(Engine::new(list).letters(14), whole[10..]);
}

#[test]
fn the_list_continues_from_the_target_of_a_jump() {
    let tv = Tv::new("ajbjc");
    let cases = [
        // how many play, how many of them are read ahead, jump target, what plays then
        (3, 0, JumpTarget::Again(Duration::from_secs(5)), "bjca"),
        (3, 0, JumpTarget::Before, "jbjc"),
        (3, 0, JumpTarget::After, "jcaj"),
        (3, 2, JumpTarget::Before, "ajbj"),
        (3, 2, JumpTarget::After, "jbjc"),
        (7, 3, JumpTarget::Before, "bjca"),
        (6, 1, JumpTarget::Again(Duration::ZERO), "cajb"),
    ];
    for (played, ahead, to, expected) in cases {
        let mut engine = Engine::new(tv.open());
        engine.letters(played);
        engine.jump(engine.place - ahead, to);
        let NextItem::Play(first) = engine.play() else { panic!("not played") };
        let from = if let JumpTarget::Again(from) = to { from } else { Duration::ZERO };
        assert_eq!(first.start, from, "{played} {ahead} {to:?}");
        assert_eq!(format!("{}{}", first.title, engine.letters(3)), expected, "{played} {ahead} {to:?}");
    }
    // A prepared item that has not played is a place too.
    let mut engine = Engine::new(tv.open());
    engine.letters(1);
    engine.jump(engine.place + 1, JumpTarget::Before);
    assert_eq!(engine.letters(3), "ajb");
    let mut once = Engine::new(Playlist::open(PlaylistConfig { repeat: false, ..tv.config() }).unwrap());
    assert_eq!(once.letters(6), "ajbjc.");
    once.jump(once.place, JumpTarget::Before);
    assert_eq!(once.letters(3), "jc.");
}

#[test]
fn a_jump_into_the_round_before_keeps_its_order() {
    let tv = Tv::new("abcdefgh");
    let whole = Engine::new(tv.shuffled(5)).letters(16);
    let mut engine = Engine::new(tv.shuffled(5));
    engine.letters(9);
    engine.jump(engine.place - 2, JumpTarget::After);
    assert_eq!(engine.letters(9), whole[7..]);
}

#[test]
fn queued_items_play_next_and_again_if_they_were_not_published() {
    let tv = Tv::new("abc");
    let mut engine = Engine::new(tv.open());
    assert_eq!(engine.letters(1), "a");
    let a = engine.place;
    engine.queue('x');
    engine.replan(a);
    engine.queue('y');
    engine.replan(a);
    // The queue survives an edit.
    tv.edit("anbc");
    assert_eq!(engine.letters(2), "xy");
    let y = engine.place;
    // Not published: "a" is still on air.
    engine.queue('z');
    engine.replan(a);
    assert_eq!(engine.letters(1), "x");
    let x = engine.place;
    assert!(x > y);
    engine.jump(x, JumpTarget::Again(Duration::from_secs(3)));
    let NextItem::Play(item) = engine.play() else { panic!("not played") };
    assert_eq!((&*item.title, item.start), ("x", Duration::from_secs(3)));
    engine.jump(engine.place, JumpTarget::Before);
    assert_eq!(engine.letters(1), "a");
    assert_eq!(engine.letters(4), "yznb", "x was seen, and is not queued any more");
    // The target of a jump comes before the queue.
    engine.queue('q');
    engine.replan(engine.place);
    engine.jump(engine.place, JumpTarget::Again(Duration::from_secs(1)));
    assert_eq!(engine.letters(4), "bqca");
}

#[test]
fn a_restart_continues_after_a_queued_item() {
    let tv = Tv::new("abc");
    let mut engine = Engine::new(tv.open());
    engine.letters(1);
    let bookmarks = engine.list.bookmarks();
    engine.queue('x');
    engine.replan(engine.place);
    assert_eq!(engine.letters(1), "x");
    let point = bookmarks.resume_point(engine.place, Duration::from_secs(9)).unwrap();
    assert_eq!((point.bookmark.key.item, point.offset), (line('b'), Duration::ZERO));
    let queued = point.queued.unwrap();
    assert_eq!((queued.item.item, queued.offset_ms, queued.after), (line('x'), 9000, false));
    engine.letters(2);
    let point = bookmarks.resume_point(engine.place, Duration::from_secs(9)).unwrap();
    assert_eq!((point.offset, point.queued), (Duration::from_secs(9), None));
    assert!(bookmarks.after(engine.place, |_| None).is_none(), "the round is over");
    assert_eq!(bookmarks.after(engine.place - 1, |_| None).unwrap().bookmark.key.item, line('c'));
}
