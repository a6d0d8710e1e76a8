//! Interstitials, weights and separation in a list that plays: simulated days, with edits, commands
//! and restarts.

use std::collections::HashMap;

use super::{
    tests::{Engine, Tv},
    *,
};

/// A list of letters; capital ones are interstitials.
fn write(tv: &Tv, list: &str) {
    let lines: Vec<String> = list
        .split_whitespace()
        .map(|word| match word.split_once('@') {
            Some((name, every)) => format!("#TGS:every={every}\nhttp://h/{name}.mp4"),
            None => format!("http://h/{word}.mp4"),
        })
        .collect();
    tv.write(&lines.join("\n"));
}

fn open(list: &str, repeat: bool) -> (Tv, Engine) {
    let tv = Tv::new("");
    write(&tv, list);
    let playlist = Playlist::open(PlaylistConfig { repeat, ..tv.config() }).unwrap();
    (tv, Engine::new(playlist))
}

fn name(next: &NextItem) -> char {
    match next {
        NextItem::Play(item) => item.title.chars().next().unwrap(),
        NextItem::Kept { .. } | NextItem::Skip { .. } => '-',
        NextItem::End => '.',
    }
}

/// Plays `count` items of `minutes` each; interstitials take half a minute.
fn play(engine: &mut Engine, count: usize, minutes: u64) -> String {
    let mut names = String::new();
    for _ in 0..count {
        let now = name(&engine.play());
        let length = if now.is_uppercase() { 30 } else { minutes * 60 };
        engine.list.clock.ahead += Duration::from_secs(length);
        names.push(now);
    }
    names
}

#[test]
fn they_play_between_items_after_time_or_count() {
    let (_tv, mut engine) = open("a b J@15m c d", true);
    // 10 minutes each: due after 15, played after 20.
    assert_eq!(play(&mut engine, 10, 10), "abJcdJabJc");
    let (_tv, mut engine) = open("a b c S@2", true);
    assert_eq!(play(&mut engine, 9, 1), "abScaSbcS");
    let (_tv, mut engine) = open("a b c S@2 J@4m", true);
    assert_eq!(play(&mut engine, 10, 2), "abSJcaSJbc");
}

#[test]
fn none_follows_the_last_item_of_a_list_that_ends() {
    let (_tv, mut engine) = open("a b S@2", false);
    assert_eq!(play(&mut engine, 3, 1), "ab.");
    let (_tv, mut engine) = open("S@2", true);
    assert_eq!(play(&mut engine, 2, 1), "--");
}

#[test]
fn one_that_cannot_be_played_comes_again_only_when_it_is_due() {
    let tv = Tv::new("");
    tv.write("http://h/a.mp4\nhttp://h/b.mp4\n#TGS:every=2\n/nowhere/gone.mp4\n");
    let mut engine = Engine::new(tv.open());
    assert_eq!(play(&mut engine, 7, 1), "ab-ab-a");
}

#[test]
fn a_pool_takes_turns_and_comes_before_the_queue() {
    let tv = Tv::new("");
    tv.write("http://h/a.mp4\nhttp://h/b.mp4\n#TGS:every=2\nhttp://h/S.mp4\n#TGS:every=2\nhttp://h/T.mp4\n");
    let mut engine = Engine::new(tv.open());
    assert_eq!(play(&mut engine, 1, 1), "a");
    engine.queue('!');
    engine.replan(engine.place);
    assert_eq!(play(&mut engine, 6, 1), "!STbaS");
}

#[test]
fn commands_that_discard_an_interstitial_make_it_due_again() {
    let (_tv, mut engine) = open("a b c d S@2", true);
    assert_eq!(play(&mut engine, 2, 1), "ab");
    // S is handed out; b is played again.
    engine.jump(engine.place, JumpTarget::Again(Duration::from_secs(5)));
    assert_eq!(play(&mut engine, 4, 1), "bScd");
    // On air is d, S follows.
    assert_eq!(play(&mut engine, 1, 1), "S");
    engine.jump(engine.place, JumpTarget::Again(Duration::from_secs(5)));
    let NextItem::Play(item) = engine.play() else { panic!("nothing plays") };
    assert_eq!((&*item.title, item.start), ("S", Duration::from_secs(5)));
    assert_eq!(play(&mut engine, 2, 1), "ab");
    assert_eq!(play(&mut engine, 1, 1), "S");
    engine.jump(engine.place, JumpTarget::Before);
    assert_eq!(play(&mut engine, 2, 1), "bc");
    engine.jump(engine.place, JumpTarget::After);
    assert_eq!(play(&mut engine, 1, 1), "S");
}

#[test]
fn a_restart_continues_after_it_and_keeps_its_time() {
    let (tv, mut engine) = open("a b c J@15m", true);
    assert_eq!(play(&mut engine, 3, 10), "abJ");
    let resume = engine.list.bookmarks().resume_point(engine.place, Duration::from_secs(5)).unwrap();
    let json = serde_json::to_string(&crate::position::Position::from(resume)).unwrap();
    let resume = serde_json::from_str::<crate::position::Position>(&json).unwrap().into();
    let list = Playlist::open(PlaylistConfig { resume: Some(resume), ..tv.config() }).unwrap();
    let mut engine = Engine::new(list);
    engine.list.clock.ahead += Duration::from_mins(4);
    assert_eq!(play(&mut engine, 4, 10), "caJb");
    // At the end of a round.
    let (tv, mut engine) = open("a b S@2", true);
    assert_eq!(play(&mut engine, 3, 1), "abS");
    let resume = engine.list.bookmarks().resume_point(engine.place, Duration::from_secs(5));
    let list = Playlist::open(PlaylistConfig { resume, ..tv.config() }).unwrap();
    assert_eq!(play(&mut Engine::new(list), 3, 1), "abS");
}

#[test]
fn an_edit_begins_no_count_anew() {
    let (tv, mut engine) = open("a b c S@3", true);
    assert_eq!(play(&mut engine, 2, 1), "ab");
    write(&tv, "a b x c S@3");
    assert_eq!(play(&mut engine, 2, 1), "xS");
}

/// The items of a week, with edits, commands and restarts.
struct Week {
    rng: fastrand::Rng,
    tv: Tv,
    engine: Engine,
    /// Letters and when they began, in seconds.
    aired: Vec<(char, u64)>,
    now: u64,
}

impl Week {
    fn config(&self, resume: Option<ResumePoint>) -> PlaylistConfig {
        let separate = vec![SeparateRule { by: tgs_core::settings::SeparateBy::Artist, items: 2 }];
        PlaylistConfig { shuffle: true, separate, resume, ..self.tv.config() }
    }

    /// Five artists of eight songs; a song of weight 3, and two interstitials.
    fn list(without: Option<usize>) -> String {
        let songs = (0..40).filter(|n| Some(*n) != without).map(|n| {
            let artist = char::from(b'a' + n as u8 / 8);
            let weight = if n == 0 { "#TGS:weight=3\n" } else { "" };
            format!("#EXTINF:1,{artist} - {n}\n{weight}http://h/{n}.mp4\n")
        });
        let breaks =
            "#TGS:every=20m\n#EXTINF:1,J\nhttp://h/J.mp4\n#TGS:every=7\n#EXTINF:1,S\nhttp://h/S.mp4\n";
        songs.collect::<String>() + breaks
    }

    fn restart(&mut self) {
        let resume = self.engine.list.bookmarks().resume_point(self.engine.place, Duration::ZERO);
        let ahead = self.engine.list.clock.ahead;
        let mut list = Playlist::open(self.config(resume)).unwrap();
        list.clock.ahead = ahead;
        let saved =
            list.resume.as_ref().map(|resume| resume.bookmark.interstitials.clone()).unwrap_or_default();
        list.interstitials.load(&saved, list.clock.now(), list.clock.wall());
        self.engine = Engine::new(list);
    }

    fn play(&mut self) {
        let NextItem::Play(item) = self.engine.play() else { panic!("nothing plays") };
        let name = item.title.chars().next().unwrap();
        self.aired.push((name, self.now));
        let length = if name.is_uppercase() { 15 } else { self.rng.u64(120..300) };
        self.now += length;
        self.engine.list.clock.ahead += Duration::from_secs(length);
    }
}

/// Interstitials come at the end of the first item after 20 minutes, and after seven items. Returns
/// how often each item played.
fn check_interstitials(aired: &[(char, u64)], near: impl Fn(usize) -> bool) -> HashMap<char, usize> {
    let (mut last, mut since) = (0, 0);
    let mut counts: HashMap<char, usize> = HashMap::new();
    for (at, (name, began)) in aired.iter().enumerate() {
        *counts.entry(*name).or_default() += 1;
        match name {
            'J' => {
                let waited = began - last;
                assert!(
                    (20 * 60..20 * 60 + 330).contains(&waited) || near(at),
                    "{waited} s before item {at}"
                );
                last = *began;
            }
            'S' => {
                assert!(since == 7 || near(at), "{since} items before item {at}");
                since = 0;
            }
            _ => since += 1,
        }
    }
    counts
}

#[test]
fn a_week_of_random_play_keeps_its_rules() {
    let tv = Tv::new("");
    tv.write(&Week::list(None));
    let engine = Engine::new(tv.open());
    let mut week = Week { rng: fastrand::Rng::with_seed(3), tv, engine, aired: Vec::new(), now: 0 };
    week.engine = Engine::new(Playlist::open(week.config(None)).unwrap());
    let (mut disturbed, mut restarts) = (Vec::new(), 0);
    while week.now < 7 * 86_400 {
        week.play();
        match week.rng.u32(..200) {
            0 => {
                let without = Some(week.rng.usize(1..40));
                week.tv.write(&Week::list(without.filter(|_| week.rng.bool())));
                disturbed.push(week.aired.len());
            }
            1 => {
                week.restart();
                restarts += 1;
                disturbed.push(week.aired.len());
            }
            _ => {}
        }
    }
    let near = |at: usize| disturbed.iter().any(|edit| at.abs_diff(*edit) < 8);
    let songs: Vec<(usize, char)> = week
        .aired
        .iter()
        .enumerate()
        .filter(|(_, (name, _))| name.is_lowercase())
        .map(|(n, (name, _))| (n, *name))
        .collect();
    let mut close = 0;
    for window in songs.windows(3) {
        let [(at, a), (_, b), (_, c)] = window else { continue };
        close += usize::from((a == b || b == c || a == c) && !near(*at));
    }
    assert!(close * 100 < songs.len(), "{close} of {} are too near", songs.len());
    let counts = check_interstitials(&week.aired, near);
    println!(
        "{} items, {restarts} restarts, {} disturbances, {close} too near: {counts:?}",
        week.aired.len(),
        disturbed.len()
    );
    assert!(restarts > 3 && counts[&'J'] > 400 && counts[&'S'] > 300, "{counts:?}");
    // Eight songs, one of them three times a round.
    let share = counts[&'a'] as f64 / counts[&'b'] as f64;
    assert!((1.15..1.35).contains(&share), "{share}");
}
