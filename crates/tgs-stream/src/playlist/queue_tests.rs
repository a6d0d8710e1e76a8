//! The playlist with its queue, and the list as operators see it: restarts, changes of what comes
//! next, jumps to an entry, listing.

use tgs_control::EntryState;
use tgs_playout::{engine::Control, status::Published};

use super::{
    tests::{Engine, Tv, line},
    *,
};

/// A playlist with its queue in `tv`'s folder, as a process opens them.
struct Process {
    engine: Engine,
    queue: PlayQueue,
    view: PlaylistView,
    control: Control,
}

impl Process {
    fn start(tv: &Tv, config: PlaylistConfig) -> Self {
        let control = Control::default();
        let queue =
            PlayQueue::open(Some(tv.file.with_file_name("queue.json")), Some(&tv.file), control.clone());
        let view = PlaylistView::new(queue.clone(), control.status.clone());
        let list = PlaylistConfig { queue: queue.clone(), view: view.clone(), ..config };
        Self { engine: Engine::new(Playlist::open(list).unwrap()), queue, view, control }
    }

    fn of(tv: &Tv) -> Self {
        Self::start(tv, tv.config())
    }

    fn queue(&self, letters: &str) -> Vec<u64> {
        letters.chars().map(|letter| self.queue.add(&line(letter), None).unwrap()).collect()
    }

    /// Plays the next item, and publishes `seconds` of it. Returns its letter and start.
    fn play(&mut self, seconds: u64) -> (char, u64) {
        let NextItem::Play(item) = self.engine.play() else { panic!("nothing plays") };
        let published = Published { turn: item.turn, offset: Duration::from_secs(seconds) };
        self.engine.list.queue.published(published.turn);
        self.control
            .status
            .update(|state| (state.sent_turn, state.published) = (Some(published.turn), Some(published)));
        (item.title.chars().next().unwrap(), item.start.as_secs())
    }

    fn letters(&mut self, count: usize) -> String {
        (0..count).map(|_| self.play(1).0).collect()
    }

    fn replan(&mut self) {
        self.engine.replan(self.engine.place);
    }

    /// Kills the process and starts it again with `config`.
    fn restart(self, tv: &Tv, config: PlaylistConfig) -> Self {
        let published = self.control.status.published().unwrap();
        let resume = self.engine.list.bookmarks().resume_point(published.turn, published.offset);
        Self::start(tv, PlaylistConfig { resume, ..config })
    }

    /// Stops the broadcast after the current item, and starts it again.
    fn stop_after_current(self, tv: &Tv, config: PlaylistConfig) -> Self {
        let list = &self.engine.list;
        let published = self.control.status.published().unwrap();
        let resume = list.bookmarks().after(published.turn, |place| list.queue.following(place));
        list.queue.ended();
        Self::start(tv, PlaylistConfig { resume, ..config })
    }

    fn states(&self) -> String {
        let letter = |state| match state {
            EntryState::Passed => 'p',
            EntryState::Current => 'c',
            EntryState::Next => 'n',
            EntryState::Later => 'l',
        };
        self.view.list(0, 100).entries.iter().map(|entry| letter(entry.state)).collect()
    }

    fn upcoming(&self) -> String {
        self.view.upcoming(5).concat()
    }
}

#[test]
fn a_restart_resumes_a_queued_item_and_then_the_list() {
    let tv = Tv::new("abc");
    let mut process = Process::of(&tv);
    assert_eq!(process.play(1), ('a', 0));
    process.queue("xy");
    process.replan();
    assert_eq!(process.play(9), ('x', 0));
    let mut process = process.restart(&tv, tv.config());
    assert_eq!(process.queue.len(), 2);
    assert_eq!(process.play(4), ('x', 9));
    assert_eq!(process.play(8), ('y', 0));
    assert_eq!(process.queue.len(), 1);
    let mut process = process.restart(&tv, tv.config());
    assert_eq!(process.play(9), ('y', 8));
    assert_eq!(process.play(7), ('b', 0));
    assert!(process.queue.is_empty());
    // On air is the list's item: what is queued waits for its end.
    process.queue("z");
    let mut process = process.restart(&tv, tv.config());
    assert_eq!([process.play(1), process.play(1), process.play(1)], [('b', 7), ('z', 0), ('c', 0)]);
}

#[test]
fn a_restart_resumes_a_queued_item_at_both_ends_of_a_round() {
    let tv = Tv::new("ab");
    let process = Process::of(&tv);
    process.queue("x");
    // Before the first item of the list: it was prepared before the entry was queued.
    let mut process = Process::of(&tv);
    assert_eq!(process.play(5), ('x', 0));
    let mut process = process.restart(&tv, tv.config());
    assert_eq!([process.play(1), process.play(1), process.play(1)], [('x', 5), ('a', 0), ('b', 0)]);
    // After its last item.
    process.queue("y");
    process.replan();
    assert_eq!(process.play(6), ('y', 0));
    let once = || PlaylistConfig { repeat: false, ..tv.config() };
    let mut process = process.restart(&tv, once());
    assert_eq!(process.play(7), ('y', 6));
    let mut process = process.restart(&tv, once());
    assert_eq!(process.play(7), ('y', 7));
    assert!(matches!(process.engine.play(), NextItem::End));
}

#[test]
fn a_stop_after_an_item_of_a_queued_folder_continues_with_the_next_one() {
    let tv = Tv::new("ab");
    let folder = tv.file.with_file_name("films");
    std::fs::create_dir(&folder).unwrap();
    for name in ["1.mp4", "2.mp4", "3.mp4"] {
        std::fs::write(folder.join(name), "x").unwrap();
    }
    for config in [tv.config(), PlaylistConfig { repeat: false, ..tv.config() }] {
        let repeats = config.repeat;
        let mut process = Process::start(&tv, config);
        assert_eq!(process.play(1).0, 'a');
        if !repeats {
            // The round ends with b; the folder follows.
            assert_eq!(process.play(1).0, 'b');
        }
        process.queue.add("films", None).unwrap();
        process.replan();
        assert_eq!(process.letters(2), "12");
        let again = || PlaylistConfig { repeat: repeats, ..tv.config() };
        let mut process = process.stop_after_current(&tv, again());
        assert_eq!((process.queue.len(), process.play(1)), (1, ('3', 0)));
        let mut process = process.stop_after_current(&tv, again());
        assert!(process.queue.is_empty());
        assert_eq!(process.play(1).0, if repeats { 'b' } else { 'a' });
    }
}

#[test]
fn a_restricted_file_that_becomes_a_link_after_it_was_prepared_is_not_played() {
    let tv = Tv::new("ab");
    let (library, secret) = (tv.file.with_file_name("library"), tv.file.with_file_name("secret.mp4"));
    let film = library.join("film.mp4");
    std::fs::create_dir(&library).unwrap();
    std::fs::write(&film, "x").unwrap();
    std::fs::write(&secret, "x").unwrap();
    let mut process = Process::of(&tv);
    assert_eq!(process.letters(1), "a");
    process.queue.add_restricted(film.to_str().unwrap(), None, vec![library]).unwrap();
    process.replan();
    assert_eq!(process.upcoming()[..4], *"film");
    std::fs::remove_file(&film).unwrap();
    std::os::unix::fs::symlink(&secret, &film).unwrap();
    let NextItem::Skip { failure, .. } = process.engine.play() else { panic!("it plays") };
    assert_eq!(failure.reason, tgs_playout::item::FailureReason::Forbidden);
    assert_eq!(process.letters(1), "b");
}

#[test]
fn a_change_of_the_queue_returns_items_taken_ahead() {
    let tv = Tv::new("abc");
    let mut process = Process::of(&tv);
    assert_eq!(process.letters(1), "a");
    let ids = process.queue("xy");
    process.replan();
    process.queue.move_to(ids[1], 0).unwrap();
    process.replan();
    assert_eq!(process.upcoming(), "yxbca");
    process.queue.remove(ids[1]).unwrap();
    process.replan();
    assert_eq!(process.letters(3), "xbc");
    assert!(process.queue.is_empty());
}

#[test]
fn before_the_first_item_only_what_changes_is_requested_again() {
    let tv = Tv::new("abc");
    let Process { engine: Engine { mut list, .. }, queue, .. } = Process::of(&tv);
    assert!(list.replan(None), "nothing changed");
    queue.add(&line('x'), None).unwrap();
    assert!(!list.replan(None));
    assert!(matches!(list.next(), NextItem::Play(item) if item.title == "x"));
    queue.add(&line('y'), None).unwrap();
    assert!(list.replan(None), "y comes later");
    queue.clear().unwrap();
    assert!(!list.replan(None));
    let NextItem::Play(first) = list.next() else { panic!("nothing plays") };
    assert_eq!(first.title, "a", "the list has lost nothing");
    // A resumed item keeps its place and its offset.
    let NextItem::Play(first) = list.confirm(first) else { panic!("not confirmed") };
    let resume = list.bookmarks().resume_point(first.turn, Duration::from_secs(9));
    let Process { engine: Engine { mut list, .. }, queue, .. } =
        Process::start(&tv, PlaylistConfig { resume, ..tv.config() });
    queue.add(&line('z'), None).unwrap();
    assert!(list.replan(None), "a was on air");
}

#[test]
fn the_playlist_of_an_ended_engine_changes_neither_queue_nor_view() {
    let tv = Tv::new("abc");
    let mut ended = Process::of(&tv);
    assert_eq!(ended.letters(1), "a");
    ended.queue("xy");
    ended.replan();
    assert_eq!(ended.letters(1), "x");
    let (queue, view, control) = (ended.queue.clone(), ended.view.clone(), ended.control.clone());
    let config = PlaylistConfig { queue: queue.clone(), view: view.clone(), ..tv.config() };
    let engine = Engine::new(Playlist::open(config).unwrap());
    let mut process = Process { engine, queue, view, control };
    assert_eq!(process.letters(1), "x");
    let shown = (process.states(), process.upcoming());
    // y was prepared when its engine ended; its thread goes on.
    for letter in ["y", "b", "c"] {
        let NextItem::Play(item) = ended.engine.play() else { panic!("nothing plays") };
        assert_eq!(item.title, letter);
        ended.engine.list.queue.published(item.turn);
    }
    assert_eq!((process.states(), process.upcoming()), shown);
    assert_eq!((process.queue.len(), process.letters(2).as_str()), (2, "ya"));
}

#[test]
fn a_jump_leads_to_the_entry_of_an_index_or_id() {
    let tv = Tv::new("ajbjc");
    let mut process = Process::of(&tv);
    assert_eq!(process.letters(2), "aj");
    process.queue("x");
    process.replan();
    let id = |process: &Process, index| process.view.find(&EntryRef::Index(index)).unwrap();
    let target = id(&process, 3);
    process.engine.jump(process.engine.place, JumpTarget::Entry(target));
    // The second j, then the queue, then what follows in the list.
    assert_eq!((process.upcoming().as_str(), process.letters(3).as_str()), ("jxcaj", "jxc"));
    let listed = process.view.list(2, 1);
    assert_eq!((listed.total, &*listed.entries[0].title), (5, "b"));
    let by_id = process.view.find(&EntryRef::Id(listed.entries[0].id.clone()));
    assert_eq!(by_id, Ok(id(&process, 2)));
    assert_eq!(process.view.find(&EntryRef::Index(5)), Err(NoSuchEntry::Index { index: 5, total: 5 }));
    for other in ["", "x", "0123456789abcdef", &"f".repeat(99)] {
        assert_eq!(process.view.find(&EntryRef::Id(other.into())), Err(NoSuchEntry::Id), "{other}");
    }
    // Edited away between the command and its effect: the list continues.
    tv.edit("ajc");
    process.engine.list.reload();
    process.engine.jump(process.engine.place, JumpTarget::Entry(by_id.unwrap()));
    assert_eq!(process.letters(2), "aj");
}

#[test]
fn a_jump_in_a_shuffled_list_stays_in_the_round_on_air() {
    let tv = Tv::new("abcdefgh");
    let seed = tv.shuffled(5).seed;
    let bookmark = Bookmark {
        key: EntryKey { item: String::new(), nth: 0, within: Vec::new() },
        shuffle_seed: Some(seed),
        followed_by: Vec::new(),
        interstitials: Vec::new(),
    };
    let resume = Some(ResumePoint { bookmark, offset: Duration::ZERO, queued: None, after: false });
    let mut process = Process::start(&tv, PlaylistConfig { shuffle: true, resume, ..tv.config() });
    let order: String = process.view.list(0, 8).entries.into_iter().map(|entry| entry.title).collect();
    assert_eq!(process.letters(8), order);
    // The next round is prepared; the last item of this one is on air.
    assert_eq!(process.states(), "pppppppc");
    let listed: String = process.view.list(0, 8).entries.into_iter().map(|entry| entry.title).collect();
    assert_eq!(listed, order);
    let target = process.view.find(&EntryRef::Index(2)).unwrap();
    process.engine.jump(process.engine.place, JumpTarget::Entry(target));
    assert_eq!(process.letters(3), order[2..5]);
    assert_eq!(process.states(), "ppppcnll");
}

#[test]
fn the_listing_says_what_is_on_air_and_what_follows() {
    let tv = Tv::new("abc");
    let mut process = Process::of(&tv);
    assert_eq!((process.states().as_str(), process.upcoming().as_str()), ("nll", "abcab"));
    process.play(1);
    assert_eq!((process.states().as_str(), process.upcoming().as_str()), ("cnl", "bcabc"));
    process.queue("x");
    process.replan();
    assert_eq!((process.states().as_str(), process.upcoming().as_str()), ("cnl", "xbcab"));
    process.play(1);
    assert_eq!((process.states().as_str(), process.upcoming().as_str()), ("pnl", "bcabc"));
    process.letters(2);
    assert_eq!(process.states(), "npc");
    let once = PlaylistConfig { repeat: false, ..tv.config() };
    let mut process = Process::start(&tv, once);
    process.letters(3);
    assert_eq!((process.states().as_str(), process.upcoming().as_str()), ("ppc", ""));
}

#[test]
fn a_long_list_is_shared_and_its_secrets_are_not_shown() {
    let tv = Tv::new("");
    let lines: Vec<_> = (0..100_000).map(|n| format!("http://me:hidden@h/{n}.mp4?token=hidden")).collect();
    tv.write(&lines.join("\n"));
    let process = Process::of(&tv);
    let page = process.view.list(99_998, usize::MAX);
    assert_eq!((page.total, page.entries.len()), (100_000, 2));
    assert_eq!(process.view.list(0, usize::MAX).entries.len(), 1000);
    assert!(process.view.list(usize::MAX, usize::MAX).entries.is_empty());
    let shown = serde_json::to_string(&page).unwrap();
    assert!(!shown.contains("hidden") && shown.contains("99999.mp4"), "{shown}");
    // The playlist itself, the view, and this.
    let order = Arc::clone(&process.engine.list.order);
    assert_eq!(Arc::strong_count(&order), 3);
    let last = process.view.find(&EntryRef::Id(page.entries[1].id.clone())).unwrap();
    assert_eq!(process.view.find(&EntryRef::Index(99_999)), Ok(last));
}
