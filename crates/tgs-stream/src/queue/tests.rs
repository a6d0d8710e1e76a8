//! The queue's file, its limits, and the order of its items compared to a model.

use std::{collections::HashSet, fs, ops::Deref, os::unix::fs::PermissionsExt, time::Duration};

use proptest::prelude::*;
use tempfile::TempDir;
use tgs_playout::{item::Trust, network::Network};

use super::{consumer::QueueConsumer, line::MAX_LINE, *};
use crate::source::{EntryKey, EntryKind};

/// A queue, and the playlist's side of it.
struct Opened {
    queue: PlayQueue,
    consumer: QueueConsumer,
}

impl Deref for Opened {
    type Target = PlayQueue;

    fn deref(&self) -> &PlayQueue {
        &self.queue
    }
}

fn opened(queue: PlayQueue) -> Opened {
    Opened { consumer: queue.consumer(), queue }
}

fn open(dir: &TempDir) -> Opened {
    opened(PlayQueue::open(
        Some(dir.path().join("queue.json")),
        Some(&dir.path().join("list.txt")),
        Control::default(),
    ))
}

fn memory() -> Opened {
    opened(PlayQueue::open(None, None, Control::default()))
}

/// Replaces the entries without writing each to the disk.
fn fill(queue: &mut Opened, entries: impl Iterator<Item = PendingEntry>) {
    *queue.entries() = QueueEntries::new(entries.collect());
    queue.consumer = queue.queue.consumer();
}

fn url(name: &str) -> String {
    format!("http://h/{name}.mp4")
}

fn titles(queue: &PlayQueue) -> String {
    queue.list().into_iter().map(|entry| entry.title).collect::<Vec<_>>().join(" ")
}

/// Hands out the next item as `turn`; its title.
fn take(queue: &Opened, turn: u64) -> Option<String> {
    let item = queue.consumer.next()?;
    queue.consumer.hand_out(item.place, turn);
    Some(item.entry.title())
}

#[test]
fn a_change_is_on_the_disk_before_it_is_answered() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir);
    let ids: Vec<u64> = ["a", "b", "c"].map(|name| queue.add(&url(name), None).unwrap()).into();
    assert_eq!(ids, [1, 2, 3]);
    assert_eq!(titles(&open(&dir)), "a b c");
    assert_eq!(queue.add(&url("x"), Some(1)).unwrap(), 4);
    assert_eq!(titles(&open(&dir)), "a x b c");
    queue.move_to(3, 0).unwrap();
    queue.move_to(1, 99).unwrap();
    assert_eq!(titles(&open(&dir)), "c x b a");
    queue.remove(4).unwrap();
    assert_eq!(queue.remove(4), Err(QueueError::NoEntry(4)));
    assert_eq!(queue.move_to(4, 0), Err(QueueError::NoEntry(4)));
    assert_eq!(titles(&open(&dir)), "c b a");
    queue.clear().unwrap();
    assert!(open(&dir).is_empty());
    let file = dir.path().join("queue.json");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "URLs may hold passwords");
}

#[test]
fn an_id_is_never_used_again() {
    let dir = TempDir::new().unwrap();
    assert_eq!(open(&dir).add(&url("a"), None), Ok(1));
    open(&dir).clear().unwrap();
    assert_eq!(open(&dir).add(&url("b"), None), Ok(2));
    // Another process wrote a smaller number.
    let file = dir.path().join("queue.json");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("\"next_id\":3", "\"next_id\":1")).unwrap();
    assert_eq!(open(&dir).add(&url("c"), None), Ok(3));
    fs::write(&file, "{").unwrap();
    assert!(open(&dir).add(&url("d"), None).unwrap() > 1_000_000_000);
}

#[test]
fn a_damaged_file_is_set_aside_and_a_half_written_one_is_ignored() {
    let dir = TempDir::new().unwrap();
    let (file, aside) = (dir.path().join("queue.json"), dir.path().join("queue.json.broken"));
    open(&dir).add(&url("a"), None).unwrap();
    let good = fs::read(&file).unwrap();
    for bad in [&b""[..], b"{", b"[]", b"null", &good[..good.len() / 2], br#"{"version":3}"#, b"\xff\0"] {
        fs::write(&file, bad).unwrap();
        assert!(open(&dir).is_empty(), "{bad:?}");
        assert_eq!(fs::read(&aside).unwrap(), bad);
        assert!(!file.exists());
    }
    // Killed between writing the new file and renaming it.
    fs::write(&file, &good).unwrap();
    fs::write(dir.path().join(".queue.json.abc123"), b"{\"version\":1,\"next_id\":9").unwrap();
    assert_eq!(titles(&open(&dir)), "a");
}

#[test]
fn a_change_that_cannot_be_saved_is_refused() {
    let dir = TempDir::new().unwrap();
    let queue = PlayQueue::open(Some(dir.path().join("gone/queue.json")), None, Control::default());
    let refused = queue.add(&url("a"), None).unwrap_err();
    assert!(matches!(refused, QueueError::NotSaved { .. }), "{refused}");
    assert!(queue.is_empty());
    fs::create_dir(dir.path().join("gone")).unwrap();
    assert_eq!(queue.add(&url("a"), None), Ok(1));
}

#[test]
fn sources_that_nothing_can_play_are_refused() {
    let queue = memory();
    let cases = [
        ("", "names nothing"),
        ("   ", "names nothing"),
        ("# a comment", "names nothing"),
        ("a.mp4\nb.mp4", "control character"),
        ("a\u{0}.mp4", "control character"),
        ("gopher://h/x", "gopher://"),
        (r#"{"a":1}"#, "JSON"),
        ("#EXT-X-ENDLIST", "HLS"),
        ("<xml/>", "web page"),
    ];
    for (source, words) in cases {
        let Err(QueueError::Unplayable(why)) = queue.add(source, None) else { panic!("{source:?} is taken") };
        assert!(why.contains(words), "{source:?}: {why}");
    }
    let long = "x".repeat(MAX_LINE + 1);
    assert!(matches!(queue.add(&long, None), Err(QueueError::Unplayable(_))));
    assert!(queue.is_empty());
    for source in ["no such file.mp4", "/no/such/folder/", "clip one.mp4", "https://h/watch", "rtsp://h/1"] {
        queue.add(source, None).unwrap();
    }
}

#[test]
fn the_queue_is_bounded_and_still_read_back() {
    let dir = TempDir::new().unwrap();
    let mut queue = open(&dir);
    let long = format!("/{}.mp4", "\"".repeat(MAX_LINE - 5));
    // One write instead of a thousand.
    let line = QueueLine::parse(&long, dir.path(), None).unwrap();
    fill(&mut queue, (1..=MAX_ENTRIES as u64).map(|id| PendingEntry::new(id, line.clone())));
    let ids = queue.entries().ids();
    let saved = queue.entries().saved(&ids, None);
    queue.file().save(&saved).unwrap();
    assert_eq!(queue.add(&url("a"), None), Err(QueueError::Full));
    let again = open(&dir);
    assert_eq!((again.len(), again.add(&url("a"), None)), (MAX_ENTRIES, Err(QueueError::Full)));
}

#[test]
fn secrets_are_saved_and_not_shown() {
    let dir = TempDir::new().unwrap();
    let secret = "http://me:hidden@h/live/film.mp4?token=hidden|Cookie=sid=hidden";
    open(&dir).add(secret, None).unwrap();
    let queue = open(&dir);
    let shown = serde_json::to_string(&queue.list()).unwrap();
    assert!(!shown.contains("hidden") && shown.contains("film.mp4"), "{shown}");
    let item = queue.consumer.next().unwrap();
    assert!(format!("{:?}", item.entry.kind).contains("token=hidden"));
}

#[test]
fn a_restricted_entry_stays_restricted_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let version = || fs::read_to_string(dir.path().join("queue.json")).unwrap()[..12].to_owned();
    let below = vec![PathBuf::from("/srv/media")];
    let queue = open(&dir);
    queue.add(&url("a"), None).unwrap();
    assert_eq!(version(), r#"{"version":1"#, "a queue of an older version is read by it");
    queue.add_restricted("/srv/media/film.mp4", None, below.clone()).unwrap();
    queue.add_restricted("https://h/b.mp4", None, Vec::new()).unwrap();
    assert_eq!(version(), r#"{"version":2"#);
    let again = open(&dir);
    let taken = |turn| {
        let item = again.consumer.next().unwrap();
        again.consumer.hand_out(item.place, turn);
        (item.entry.trust, item.entry.below.map(|below| below.to_vec()))
    };
    let public = Trust::Found(Network::Public);
    assert_eq!(taken(1), (Trust::Operator, None));
    assert_eq!((taken(2), taken(3)), ((public, Some(below)), (public, Some(Vec::new()))));
}

#[test]
fn a_restricted_source_is_a_file_or_http() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir);
    let below = || vec![dir.path().to_owned()];
    for (source, words) in [
        ("rtmp://h/app/key", "http"),
        ("rtsp://h/1", "http"),
        ("ftp://h/a.mp4", "http"),
        ("/srv/list.m3u", "list"),
        ("file:///srv/list.PLS", "list"),
    ] {
        let refused = queue.add_restricted(source, None, below());
        assert!(matches!(&refused, Err(QueueError::Unplayable(why)) if why.contains(words)), "{refused:?}");
    }
    for dirs in [Vec::new(), vec!["media".into()], vec![PathBuf::from("/srv"); 65]] {
        let refused = queue.add_restricted("/srv/a.mp4", None, dirs);
        assert!(
            matches!(&refused, Err(QueueError::Unplayable(why)) if why.contains("`below`")),
            "{refused:?}"
        );
    }
    // A folder and a list are not even opened.
    fs::write(dir.path().join("list.m3u"), "/etc/passwd").unwrap();
    std::os::unix::fs::symlink("list.m3u", dir.path().join("film.mp4")).unwrap();
    for source in [".", "film.mp4"] {
        queue.add_restricted(source, None, below()).unwrap();
        let item = queue.consumer.next().unwrap();
        assert!(matches!(item.entry.kind, EntryKind::File(_)), "{item:?}");
        queue.consumer.skip(item.place);
    }
}

#[test]
fn an_entry_stays_until_it_was_published_to_its_end() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir);
    for name in ["a", "b"] {
        queue.add(&url(name), None).unwrap();
    }
    let on_air = || queue.list().iter().map(|entry| entry.on_air).collect::<Vec<_>>();
    assert_eq!((take(&queue, 5).as_deref(), take(&queue, 6).as_deref()), (Some("a"), Some("b")));
    assert!(queue.consumer.next().is_none());
    queue.consumer.published(4);
    assert_eq!(on_air(), [false, false]);
    queue.consumer.published(5);
    assert_eq!(on_air(), [true, false]);
    assert_eq!(titles(&open(&dir)), "a b");
    assert_eq!(queue.remove(1), Err(QueueError::OnAir(1)));
    // It is repeated: a seek.
    queue.consumer.repeat(queue_place(1), 5, Duration::from_secs(3));
    queue.consumer.give_back(queue_place(2), 6, Duration::ZERO);
    let item = queue.consumer.next().unwrap();
    assert_eq!((item.entry.title().as_str(), item.from), ("a", Duration::from_secs(3)));
    queue.consumer.hand_out(item.place, 7);
    assert_eq!(take(&queue, 8).as_deref(), Some("b"));
    queue.consumer.published(7);
    assert_eq!(on_air(), [true, false]);
    queue.consumer.published(8);
    assert_eq!((titles(&queue), titles(&open(&dir))), ("b".into(), "b".into()));
    queue.clear().unwrap();
    assert_eq!(titles(&queue), "b", "it is on air");
    queue.consumer.ended();
    assert!(queue.is_empty() && open(&dir).is_empty());
}

/// The place of the entry's first item.
fn queue_place(id: u64) -> QueuePlace {
    QueuePlace { id, index: 0 }
}

#[test]
fn an_older_consumer_gets_nothing_and_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir);
    for name in ["a", "b", "c"] {
        queue.add(&url(name), None).unwrap();
    }
    let older = queue.consumer.clone();
    assert_eq!(take(&queue, 1).as_deref(), Some("a"));
    let queue = opened(queue.queue.clone());
    assert!(older.next().is_none() && !older.has_next());
    assert_eq!(take(&queue, 1).as_deref(), Some("a"));
    older.hand_out(queue_place(2), 2);
    older.skip(queue_place(2));
    older.expand(queue_place(2), Vec::new());
    older.repeat(queue_place(1), 1, Duration::from_secs(3));
    older.give_back(queue_place(1), 1, Duration::ZERO);
    older.published(9);
    older.ended();
    assert_eq!(titles(&open(&dir)), "a b c");
    assert_eq!((take(&queue, 2).as_deref(), take(&queue, 3).as_deref()), (Some("b"), Some("c")));
    queue.consumer.published(2);
    assert_eq!((titles(&queue), titles(&open(&dir))), ("b c".into(), "b c".into()));
}

#[test]
fn an_entry_that_cannot_be_played_leaves_the_queue() {
    let queue = memory();
    queue.add("no such file.mp4", None).unwrap();
    queue.add(&url("a"), None).unwrap();
    let item = queue.consumer.next().unwrap();
    queue.consumer.skip(item.place);
    assert_eq!(take(&queue, 1).as_deref(), Some("a"));
    queue.consumer.published(1);
    assert_eq!(titles(&queue), "a");
}

#[test]
fn a_folder_is_one_entry_and_continues_where_it_was() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("films")).unwrap();
    for name in ["1.mp4", "2.mp4", "3.mp4"] {
        fs::write(dir.path().join("films").join(name), "x").unwrap();
    }
    let queue = open(&dir);
    let id = queue.add("films", None).unwrap();
    queue.add(&url("a"), None).unwrap();
    assert_eq!((take(&queue, 1).as_deref(), take(&queue, 2).as_deref()), (Some("1"), Some("2")));
    queue.consumer.published(2);
    assert_eq!(titles(&queue), "films a");
    let key =
        EntryKey { item: dir.path().join("films/2.mp4").display().to_string(), nth: 0, within: Vec::new() };
    let again = open(&dir);
    // Moved behind another while it is on air: its item still comes first.
    again.move_to(id, 1).unwrap();
    again.consumer.resume(id, key, Duration::from_secs(7));
    let item = again.consumer.next().unwrap();
    assert_eq!((item.entry.title().as_str(), item.from), ("2", Duration::from_secs(7)));
    again.consumer.hand_out(item.place, 1);
    assert_eq!(take(&again, 2).as_deref(), Some("a"));
    assert_eq!(take(&again, 3).as_deref(), Some("3"));
    assert_eq!(take(&again, 4), None);
    // The rest of a folder on air can be removed.
    queue.remove(id).unwrap();
    assert_eq!(take(&queue, 3).as_deref(), Some("a"));
}

#[test]
fn only_a_change_of_what_comes_next_requests_it_again() {
    let line = |id: u64| QueueLine::parse(&url(&id.to_string()), Path::new("/"), None).unwrap();
    let entry = |id| PendingEntry::new(id, line(id));
    // Entries 1 to 4; the engine has 1 (on air), 2 and 3.
    let entries = || {
        let mut queue = memory();
        fill(&mut queue, (1..=4).map(entry));
        for turn in 1..=3 {
            take(&queue, turn).unwrap();
        }
        queue.consumer.published(1);
        queue
    };
    let cases: [(&[u64], bool); 8] = [
        (&[1, 2, 3, 4], false),
        (&[1, 2, 3, 4, 5], false),
        (&[1, 2, 3, 5, 4], false),
        (&[1, 2, 3], false),
        (&[1, 2, 5, 3, 4], true),
        (&[1, 3, 2, 4], true),
        (&[1, 2, 4], true),
        (&[2, 3, 1, 4], false),
    ];
    for (order, replans) in cases {
        let new = order.contains(&5).then(|| entry(5));
        assert_eq!(entries().entries().rearrange(order, new), replans, "{order:?}");
    }
    // The list's next item follows the queue: each further entry precedes it.
    let queue = entries();
    take(&queue, 4).unwrap();
    assert!(queue.consumer.next().is_none());
    queue.consumer.list_item_follows(5);
    assert!(queue.entries().rearrange(&[1, 2, 3, 4, 5], Some(entry(5))));
    let queue = memory();
    assert!(!queue.entries().rearrange(&[1], Some(entry(1))), "nothing was requested");
}

/// An operation on the queue.
#[derive(Debug, Clone)]
enum Step {
    Add(Option<usize>),
    Move(usize, usize),
    Remove(usize),
    Clear,
    /// The engine takes an item ahead.
    Take,
    /// The next item taken is on air.
    Publish,
    /// The engine gives back what is not on air.
    GiveBack,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => proptest::option::of(0..6_usize).prop_map(Step::Add),
        2 => (0..6_usize, 0..6_usize).prop_map(|(which, to)| Step::Move(which, to)),
        1 => (0..6_usize).prop_map(Step::Remove),
        1 => Just(Step::Clear),
        4 => Just(Step::Take),
        4 => Just(Step::Publish),
        2 => Just(Step::GiveBack),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The model: the IDs in order, of which the engine has some. The queue holds the same, in
    /// memory and on the disk, and hands out each entry until it was published.
    #[test]
    fn the_queue_is_that_of_the_model(steps in steps()) {
        let dir = TempDir::new().unwrap();
        let mut queue = open(&dir);
        let (mut order, mut used): (Vec<u64>, HashSet<u64>) = Default::default();
        // Items that the engine has: turn and ID, nearest first; the first one may be on air.
        let mut engine: Vec<(u64, u64, QueuePlace)> = Vec::new();
        let (mut on_air, mut turn) = (None, 0);
        for step in steps {
            match step {
                Step::Add(position) => {
                    let id = queue.add(&url(&turn.to_string()), position).unwrap();
                    prop_assert!(used.insert(id));
                    order.insert(position.unwrap_or(order.len()).min(order.len()), id);
                }
                Step::Move(which, to) if which < order.len() => {
                    let id = order.remove(which);
                    queue.move_to(id, to).unwrap();
                    order.insert(to.min(order.len()), id);
                }
                Step::Remove(which) if which < order.len() => {
                    if on_air == Some(order[which]) {
                        prop_assert_eq!(queue.remove(order[which]), Err(QueueError::OnAir(order[which])));
                    } else {
                        queue.remove(order.remove(which)).unwrap();
                    }
                }
                Step::Clear => {
                    queue.clear().unwrap();
                    order.retain(|id| on_air == Some(*id));
                }
                Step::Take => {
                    let has = |id: &u64| engine.iter().any(|(_, had, _)| had == id);
                    let expected = order.iter().copied().find(|id| !has(id));
                    let next = queue.consumer.next();
                    prop_assert_eq!(next.as_ref().map(|item| item.place.id), expected);
                    if let Some(item) = next {
                        turn += 1;
                        queue.consumer.hand_out(item.place, turn);
                        engine.push((turn, item.place.id, item.place));
                    }
                }
                Step::Publish => {
                    if on_air.is_some() {
                        engine.remove(0);
                    }
                    let ended = on_air.take();
                    let next = engine.first().map(|(turn, id, _)| (*turn, *id));
                    if let Some((turn, id)) = next {
                        queue.consumer.published(turn);
                        on_air = Some(id);
                    } else {
                        turn += 1;
                        queue.consumer.published(turn);
                    }
                    order.retain(|id| Some(*id) != ended);
                }
                Step::GiveBack => {
                    let kept = usize::from(on_air.is_some());
                    for (turn, _, place) in engine.drain(kept..).rev() {
                        queue.consumer.give_back(place, turn, Duration::ZERO);
                    }
                }
                Step::Restart => {
                    queue = open(&dir);
                    engine.clear();
                    (on_air, turn) = (None, 0);
                }
                Step::Move(..) | Step::Remove(_) => {}
            }
            let ids = |queue: &PlayQueue| queue.list().iter().map(|entry| entry.id).collect::<Vec<_>>();
            prop_assert_eq!(&ids(&queue), &order);
            prop_assert_eq!(&ids(&open(&dir)), &order);
            let shown = queue.list().iter().find(|entry| entry.on_air).map(|entry| entry.id);
            prop_assert_eq!(shown, on_air.filter(|id| order.contains(id)));
        }
    }
}
