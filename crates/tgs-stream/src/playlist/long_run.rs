//! 60 simulated days of edits (good and broken), commands and restarts: something always plays, and
//! it is the entry that the list has there.
//!
//! Time advances by whole items. Other parts have long runs of their own
//! (`tgs-playout/src/playout/long_run.rs`, `telegram/state_machine/long_run.rs`).

use std::{collections::HashSet, fs};

use super::{
    tests::{Engine, Tv},
    *,
};

/// 500 s each: 60 days.
const TURNS: usize = 10_368;

/// The entries that a list may have.
const NAMES: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// The operators of the channel.
struct People {
    rng: fastrand::Rng,
    tv: Tv,
    /// The accepted list.
    list: Vec<char>,
    /// Whether the last saved file is broken.
    broken: bool,
    /// Accepted edits, broken ones, commands, restarts.
    edits: usize,
    mistakes: usize,
    commands: usize,
    restarts: usize,
}

impl People {
    fn new(seed: u64) -> Self {
        let list = vec!['a', 'b', 'c'];
        Self {
            rng: fastrand::Rng::with_seed(seed),
            tv: Tv::new("abc"),
            list,
            broken: false,
            edits: 0,
            mistakes: 0,
            commands: 0,
            restarts: 0,
        }
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.rng.u32(..n) == 0
    }

    /// Saves another list or a broken one.
    fn edit(&mut self) {
        match self.rng.u32(..12) {
            0 => self.tv.write(""),
            1 => self.tv.write("gone.mp4\nnowhere/\n"),
            2 => self.tv.write("#EXTM3U\n#EXT-X-VERSION:3\n"),
            3 => fs::remove_file(&self.tv.file).unwrap_or_default(),
            _ => return self.change(),
        }
        (self.broken, self.mistakes) = (true, self.mistakes + 1);
    }

    fn change(&mut self) {
        for _ in 0..=self.rng.usize(..3) {
            let at = self.rng.usize(..self.list.len());
            match self.rng.u32(..8) {
                0 if self.list.len() > 1 => self.rng.shuffle(&mut self.list),
                1..4 if self.list.len() > 1 => drop(self.list.remove(at)),
                4 => self.list = NAMES.chars().filter(|_| self.rng.u32(..9) == 0).chain(['z']).collect(),
                _ => self.list.insert(at, char::from(NAMES.as_bytes()[self.rng.usize(..NAMES.len())])),
            }
            let mut seen = HashSet::new();
            self.list.retain(|name| seen.insert(*name));
        }
        self.tv.edit(&String::from_iter(&self.list));
        (self.broken, self.edits) = (false, self.edits + 1);
    }

    /// The entry that follows `last` of `old` in the current list.
    fn follows(&self, last: char, old: &[char]) -> char {
        let place = |of: char| self.list.iter().position(|name| *name == of);
        let at = old.iter().position(|name| *name == last).unwrap();
        let behind = || old[at + 1..].iter().find_map(|name| place(*name));
        let before = || old[..at].iter().rev().find_map(|name| Some(place(*name)? + 1));
        let next = place(last).map(|at| at + 1).or_else(behind).or_else(before).unwrap_or(0);
        self.list[next % self.list.len()]
    }

    /// Gives a command while `last` is on air; returns the next item and its start. `next` follows
    /// without a command.
    fn command(
        &mut self,
        engine: &mut Engine,
        last: char,
        old: &[char],
        seconds: u64,
        next: char,
    ) -> (char, Duration) {
        let at = old.iter().position(|name| *name == last).unwrap();
        match self.rng.u32(..3) {
            0 => {
                engine.jump(engine.place, JumpTarget::Again(Duration::from_secs(seconds)));
                (last, Duration::from_secs(seconds))
            }
            1 => {
                engine.jump(engine.place, JumpTarget::Before);
                (old[at.saturating_sub(1)], Duration::ZERO)
            }
            _ => {
                engine.queue('!');
                engine.replan(engine.place);
                assert_eq!(played(engine), ('!', Duration::ZERO));
                (next, Duration::ZERO)
            }
        }
    }

    /// Restarts the tool, `seconds` into the item on air.
    fn restart(&mut self, engine: &Engine, shuffle: bool, seconds: u64) -> Engine {
        if self.broken {
            self.change();
        }
        self.restarts += 1;
        let kept = engine.list.bookmarks().resume_point(engine.place, Duration::from_secs(seconds));
        let resume = kept.map(|point| {
            let json = serde_json::to_string(&point.bookmark).unwrap();
            ResumePoint { bookmark: serde_json::from_str(&json).unwrap(), ..point }
        });
        Engine::new(Playlist::open(PlaylistConfig { shuffle, resume, ..self.tv.config() }).unwrap())
    }
}

fn played(engine: &mut Engine) -> (char, Duration) {
    let NextItem::Play(item) = engine.play() else { panic!("nothing plays") };
    (item.title.chars().next().unwrap(), item.start)
}

#[test]
fn sixty_days_of_edits_commands_and_restarts() {
    let mut people = People::new(1);
    let mut engine = Engine::new(people.tv.open());
    let (mut last, mut old) = (played(&mut engine).0, people.list.clone());
    for turn in 1..TURNS {
        let seconds = people.rng.u64(..500);
        let edited = people.one_in(40);
        for _ in 0..people.rng.u32(..3) * u32::from(edited) {
            people.edit();
            engine.list.reload();
        }
        if people.one_in(300) {
            engine = people.restart(&engine, false, seconds);
            let (now, from) = played(&mut engine);
            let kept = people.list.contains(&last);
            let expected = if kept { last } else { people.follows(last, &old) };
            // A bookmark names the next eight only.
            let known = kept
                || old
                    .iter()
                    .skip_while(|name| **name != last)
                    .skip(1)
                    .take(8)
                    .any(|name| people.list.contains(name));
            assert!(
                !known || now == expected,
                "turn {turn}: {now}, not {expected}, after a restart at {last}: {old:?} {:?}",
                people.list
            );
            assert_eq!(from, Duration::from_secs(seconds * u64::from(kept)), "turn {turn}");
            (last, old) = (now, people.list.clone());
            continue;
        }
        let mut expected = (people.follows(last, &old), Duration::ZERO);
        if people.list == old && people.one_in(20) {
            people.commands += 1;
            expected = people.command(&mut engine, last, &old, seconds, expected.0);
        }
        let now = played(&mut engine);
        assert_eq!(now, expected, "turn {turn}: after {last} of {old:?}, now {:?}", people.list);
        assert!(!engine.list.queue.has_next());
        assert_eq!(engine.list.order.len(), people.list.len(), "turn {turn}: {:?}", people.list);
        (last, old) = (now.0, people.list.clone());
    }
    let People { edits, mistakes, commands, restarts, .. } = people;
    println!(
        "{TURNS} items, {edits} edits, {mistakes} broken ones, {commands} commands, {restarts} restarts"
    );
    assert!(edits.min(mistakes).min(commands).min(restarts) > 20);
}

#[test]
fn a_shuffled_round_plays_every_entry_through_sixty_days_of_edits() {
    let mut people = People::new(2);
    let mut engine = Engine::new(people.tv.shuffled(2));
    let mut round = None;
    let (mut seen, mut all_along) = (HashSet::new(), HashSet::new());
    let (mut last, mut rounds) = (None, 0);
    for turn in 0..TURNS {
        if people.one_in(40) {
            people.edit();
        }
        let restarted = turn > 0 && people.one_in(300);
        if restarted {
            engine = people.restart(&engine, true, 5);
        }
        let (now, _) = played(&mut engine);
        assert!(people.list.contains(&now), "turn {turn}: {now} of {:?}", people.list);
        let shuffled_with =
            engine.list.bookmarks().find(engine.place).unwrap().bookmark.unwrap().shuffle_seed;
        all_along.retain(|name| people.list.contains(name));
        let resumed = restarted && last == Some(now);
        if restarted && !resumed {
            // The playing entry and all followers that its bookmark names may be gone.
            (seen, all_along) = (HashSet::new(), HashSet::new());
        }
        if round != shuffled_with {
            let missed: Vec<&char> = all_along.difference(&seen).collect();
            assert!(missed.is_empty(), "turn {turn}: {missed:?} had no turn in round {rounds}");
            (round, rounds) = (shuffled_with, rounds + 1);
            seen.clear();
            all_along = people.list.iter().copied().collect();
        }
        assert!(seen.insert(now) || resumed, "turn {turn}: {now} twice in round {rounds}");
        last = Some(now);
    }
    println!("{TURNS} items in {rounds} rounds, {} edits, {} restarts", people.edits, people.restarts);
}
