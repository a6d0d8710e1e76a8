//! Tests of the stored positions: edits, crashes, upgrades and rollbacks.

use std::{
    env, fs,
    io::{self, BufRead},
    process::{Command, Stdio},
    time::Instant,
};

use serde_json::Value;

use super::{
    file::{MAX_FILE, MAX_LISTS},
    list_key::{FNV_DIGITS, fnv},
    *,
};
use crate::{playlist::Bookmark, source::EntryKey};

/// Long enough that no save is due by time alone.
const NEVER: Duration = Duration::from_hours(1);

impl From<&str> for ListKey {
    fn from(key: &str) -> Self {
        Self::of([key])
    }
}

fn at(item: &str, offset_ms: u64) -> Position {
    let key = |item: &str| EntryKey { item: item.into(), nth: 1, within: Vec::new() };
    let bookmark = Bookmark {
        key: key(item),
        shuffle_seed: Some(u64::MAX),
        followed_by: vec![key("next")],
        interstitials: Vec::new(),
    };
    Position { bookmark, offset_ms, queued: None, after: false }
}

fn saved_position(dir: &Path, list: &str) -> Option<Position> {
    PositionStore::start(dir, list.into(), NEVER).1
}

#[test]
fn survives_stop_and_start() {
    let dir = tempfile::tempdir().unwrap();
    let (store, before) = PositionStore::start(dir.path(), "a".into(), NEVER);
    assert_eq!(before, None);
    store.set(at("/clips/ö \"1\"\n.mp4", 1));
    store.set(at("/clips/ö \"1\"\n.mp4", 61_234));
    drop(store);
    assert_eq!(saved_position(dir.path(), "a"), Some(at("/clips/ö \"1\"\n.mp4", 61_234)));
    assert_eq!(
        saved_position(dir.path(), "a"),
        Some(at("/clips/ö \"1\"\n.mp4", 61_234)),
        "reading does not spend it"
    );
}

#[test]
fn lists_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    for list in 0..MAX_LISTS + 2 {
        let (store, before) = PositionStore::start(dir.path(), (&*list.to_string()).into(), NEVER);
        assert_eq!(before, None);
        store.set(at("x", list as u64));
    }
    for list in 0..MAX_LISTS + 2 {
        let remembered = (list >= 2).then(|| at("x", list as u64));
        assert_eq!(saved_position(dir.path(), &list.to_string()), remembered, "list {list}");
    }
    PositionStore::start(dir.path(), "5".into(), NEVER).0.clear();
    assert_eq!(saved_position(dir.path(), "5"), None);
    assert_eq!(saved_position(dir.path(), "6"), Some(at("x", 6)));
}

#[test]
fn a_new_item_is_saved_at_once_and_progress_at_intervals() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("position.json");
    let wait_for = |wanted: &Position| {
        let end = Instant::now() + Duration::from_mins(1);
        while !PositionFile::read(&file).is_ok_and(|positions| positions.get(&"a".into()) == Some(wanted)) {
            assert!(Instant::now() < end, "{wanted:?} is not written");
            thread::yield_now();
        }
    };
    let (store, _) = PositionStore::start(dir.path(), "a".into(), NEVER);
    store.set(at("one", 0));
    wait_for(&at("one", 0));
    store.set(at("one", 500));
    store.set(at("two", 0));
    wait_for(&at("two", 0));
    drop(store);
    let (store, _) = PositionStore::start(dir.path(), "a".into(), Duration::from_millis(1));
    store.set(at("two", 700));
    wait_for(&at("two", 700));
}

#[test]
fn an_unchanged_position_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("position.json");
    let (store, _) = PositionStore::start(dir.path(), "a".into(), NEVER);
    store.set(at("one", 7));
    drop(store);
    fs::remove_file(&file).unwrap();
    let shared = StoreShared { state: Mutex::default(), changed: Condvar::new() };
    *shared.lock() = StoreState { position: Some(at("one", 7)), now: true, stop: true };
    let writer = |saved| Writer {
        path: file.clone(),
        list: "a".into(),
        positions: PositionFile::default(),
        saved,
        failing: false,
    };
    writer(Some(at("one", 7))).run(&shared, NEVER);
    assert!(!file.exists());
    writer(Some(at("one", 6))).run(&shared, NEVER);
    assert!(file.exists());
}

#[test]
fn long_names_are_limited_to_what_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let name = |tail: usize, length: usize| format!("{}{tail}", "x".repeat(length));
    let follower = |n| EntryKey { item: name(n, 200_000), nth: 0, within: Vec::new() };
    let long = |item: usize, length| {
        let mut position = at(&name(item, length), 9);
        position.bookmark.followed_by = (0..8).map(follower).collect();
        position
    };
    for (list, length) in [("old", 900_000), ("new", 300_000)] {
        let store = PositionStore::start(dir.path(), list.into(), NEVER).0;
        store.set(long(1, length));
    }
    let size = fs::metadata(dir.path().join("position.json")).unwrap().len();
    assert!(size <= MAX_FILE, "{size}");
    let saved = saved_position(dir.path(), "new").unwrap();
    assert_eq!((saved.bookmark.key.item, saved.offset_ms), (name(1, 300_000), 9));
    assert_eq!(saved.bookmark.followed_by, (0..3).map(follower).collect::<Vec<_>>());
    assert_eq!(saved_position(dir.path(), "old"), None, "the one played longest ago goes first");
    // With a name that alone is too long, the last saved position stays.
    let store = PositionStore::start(dir.path(), "new".into(), NEVER).0;
    store.set(long(2, MAX_FILE as usize));
    drop(store);
    assert!(PositionFile::read(&dir.path().join("position.json")).is_ok());
}

#[test]
fn a_malformed_file_is_moved_aside() {
    let large = vec![b' '; MAX_FILE as usize + 1];
    let newer = br#"{"version":2,"lists":{"a":1}}"#;
    let torn = br#"{"version":1,"lists":[{"list":"a","item":"x","offset_"#;
    let negative = br#"{"version":1,"lists":[{"list":"a","item":"x","offset_ms":-1,"shuffle_seed":null}]}"#;
    for content in [&b""[..], b"\0\0\0\0", b"null", b"[]", b"\xff\xfe", newer, torn, negative, &large] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("position.json");
        fs::write(&file, content).unwrap();
        let (store, before) = PositionStore::start(dir.path(), "a".into(), NEVER);
        assert_eq!(before, None);
        assert_eq!(fs::read(dir.path().join("position.json.broken")).unwrap(), content);
        store.set(at("x", 1));
        drop(store);
        assert_eq!(saved_position(dir.path(), "a"), Some(at("x", 1)));
    }
}

#[test]
fn a_missing_directory_or_a_taken_name_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let (store, before) = PositionStore::start(&dir.path().join("missing"), "a".into(), NEVER);
    assert_eq!(before, None);
    store.set(at("x", 1));
    drop(store);

    fs::create_dir(dir.path().join("position.json")).unwrap();
    let (store, before) = PositionStore::start(dir.path(), "a".into(), NEVER);
    assert_eq!(before, None);
    store.set(at("x", 1));
}

#[test]
fn a_failure_is_logged_once_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("later");
    let mut writer = Writer {
        path: home.join("position.json"),
        list: "a".into(),
        positions: PositionFile::default(),
        saved: None,
        failing: false,
    };
    writer.save(Some(at("x", 1)));
    assert!(writer.failing);
    assert_eq!(writer.saved, None, "it must be tried again");
    fs::create_dir(&home).unwrap();
    writer.save(Some(at("x", 1)));
    assert!(!writer.failing);
    assert_eq!(writer.saved, Some(at("x", 1)));
}

#[test]
fn keys_of_lists_differ() {
    assert_eq!(fnv([""; 0].iter()), "cbf29ce484222325", "FNV-1a's own start");
    assert_eq!(fnv([""; 0].iter()).len(), FNV_DIGITS);
    assert!(ListKey::from("a").key.len() > FNV_DIGITS);
    assert_eq!(ListKey::of(["a"]), ListKey::of([b"a"]));
    assert_ne!(ListKey::of(["ab"]), ListKey::of(["a", "b"]));
    assert_ne!(ListKey::of(["a", "b"]), ListKey::of(["b", "a"]));
}

/// `position.json` as versions before 0.2 read and write it.
struct OlderVersion<'a>(&'a Path);

impl OlderVersion<'_> {
    fn read(&self) -> Vec<Value> {
        let bytes = fs::read(self.0.join("position.json")).unwrap_or_else(|_| br#"{"lists":[]}"#.to_vec());
        let mut file: Value = serde_json::from_slice(&bytes).unwrap();
        serde_json::from_value(file["lists"].take()).unwrap()
    }

    fn get(&self, list: &str) -> Option<Position> {
        let name = fnv([list].iter());
        let entry = self.read().into_iter().find(|entry| entry["list"] == *name)?;
        Some(serde_json::from_value(entry).unwrap())
    }

    fn set(&self, list: &str, position: &Position) {
        self.set_named(fnv([list].iter()), position);
    }

    fn set_named(&self, name: String, position: &Position) {
        let mut lists = self.read();
        lists.retain(|entry| entry["list"] != *name);
        let mut entry = serde_json::to_value(position).unwrap();
        entry["list"] = name.into();
        lists.insert(0, entry);
        lists.truncate(MAX_LISTS);
        let file = serde_json::json!({"version": 1, "lists": lists});
        fs::write(self.0.join("position.json"), file.to_string()).unwrap();
    }
}

#[test]
fn upgrades_and_rollbacks_find_the_position_saved_last() {
    let dir = tempfile::tempdir().unwrap();
    let older = OlderVersion(dir.path());
    older.set("a", &at("x", 1));
    for upgrade in 0..3 {
        let (store, before) = PositionStore::start(dir.path(), "a".into(), NEVER);
        assert_eq!(before, Some(at("x", 10 * upgrade + 1)));
        store.set(at("x", 10 * upgrade + 2));
        drop(store);
        assert_eq!(saved_position(dir.path(), "a"), Some(at("x", 10 * upgrade + 2)));
        assert_eq!(older.get("a"), Some(at("x", 10 * upgrade + 2)), "a rollback resumes there");
        older.set("b", &at("y", upgrade));
        older.set("a", &at("x", 10 * upgrade + 11));
    }
    // Its new key may be in front as well.
    older.set_named(ListKey::from("a").key, &at("x", 99));
    let (store, before) = PositionStore::start(dir.path(), "a".into(), NEVER);
    assert_eq!(before, Some(at("x", 99)));
    store.clear();
    drop(store);
    assert_eq!((saved_position(dir.path(), "a"), older.get("a")), (None, None));
    assert_eq!(saved_position(dir.path(), "b"), Some(at("y", 2)));
}

#[test]
fn both_entries_of_a_list_take_one_slot() {
    let dir = tempfile::tempdir().unwrap();
    let older = OlderVersion(dir.path());
    let names: Vec<_> = (0..MAX_LISTS).map(|list| list.to_string()).collect();
    for name in &names {
        older.set(name, &at(name, 1));
    }
    for (migrated, name) in names.iter().enumerate() {
        PositionStore::start(dir.path(), (&**name).into(), NEVER).0.set(at(name, 2));
        for (list, name) in names.iter().enumerate() {
            let saved = Some(at(name, if list <= migrated { 2 } else { 1 }));
            assert_eq!(saved_position(dir.path(), name), saved, "{list} after {migrated}");
            assert_eq!(older.get(name), saved, "{list} after {migrated}");
        }
    }
    assert_eq!(older.read().len(), 2 * MAX_LISTS);
    PositionStore::start(dir.path(), "one more".into(), NEVER).0.set(at("x", 3));
    assert_eq!((saved_position(dir.path(), "0"), older.get("0")), (None, None));
    assert_eq!(saved_position(dir.path(), "1"), Some(at("1", 2)));
    assert_eq!(older.read().len(), 2 * MAX_LISTS);
}

/// Re-executes itself as a process that only saves, and kills it at random moments.
#[test]
fn killed_at_any_moment_the_file_is_whole() {
    const ROLE: &str = "TGS_TEST_POSITION_WRITER";
    if let Some(dir) = env::var_os(ROLE) {
        let file = Path::new(&dir).join("position.json");
        let first = PositionFile::open(&file).get(&"a".into()).map_or(0, |old| old.offset_ms + 1);
        let mut writer = Writer {
            path: file,
            list: "a".into(),
            positions: PositionFile::default(),
            saved: None,
            failing: false,
        };
        for n in first.. {
            writer.save(Some(at(&"x".repeat(n as usize % 5000), n)));
            assert!(!writer.failing);
            println!("saved {n}");
        }
    }
    // On tmpfs: a kill is no power failure, and thousands of fsyncs take seconds.
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let file = dir.path().join("position.json");
    let mut random = fastrand::Rng::with_seed(0x7067_7301);
    for round in 0..50 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "position::tests::killed_at_any_moment_the_file_is_whole"])
            .env(ROLE, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = io::BufReader::new(child.stdout.take().unwrap()).lines();
        let mut saved = || lines.next()?.unwrap().strip_prefix("saved ").map_or(Some(0), |n| n.parse().ok());
        let mut last = 0;
        for _ in 0..random.usize(5..20) {
            last = saved().unwrap();
        }
        thread::sleep(Duration::from_micros(random.u64(0..3000)));
        child.kill().unwrap();
        child.wait().unwrap();
        while let Some(n) = saved() {
            last = n;
        }
        let found = PositionFile::read(&file).unwrap().get(&"a".into()).unwrap().clone();
        assert_eq!(found.bookmark.key.item.len() as u64, found.offset_ms % 5000, "round {round}");
        assert!((last..=last + 1).contains(&found.offset_ms), "round {round}: {last} saved, {found:?} found");
    }
}
