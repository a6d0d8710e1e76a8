//! Where the broadcast is in its list, kept in `STATE_DIR` so that a restart goes on there.
//!
//! A position that cannot be read or written never stops anything: the worst that happens is a start from the
//! beginning. Whether the item is still in the list, and how it is resumed, is the playlist's business.

use std::{
    fs,
    io::{self, Read},
    mem,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tgs_core::{digest, supervise::keep_running};

use crate::playlist::Bookmark;

/// How old the file may be while one item plays. A restart has to be within 2 s of where the viewers were.
pub const SAVE_EVERY: Duration = Duration::from_millis(1500);

const VERSION: u32 = 1;

/// How many lists are remembered: enough for the ones an operator goes back and forth between.
const MAX_LISTS: usize = 8;

/// Larger than eight positions can be; what is larger is something else.
const MAX_FILE: u64 = 1024 * 1024;

/// A place in a list, and how far it had been played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The item, and what finds it again in an edited or shuffled list.
    #[serde(flatten)]
    pub bookmark: Bookmark,
    /// How much of the item has really been published, in milliseconds from the item's own beginning.
    pub offset_ms: u64,
}

/// Names a list of sources in the file: by a hash, because sources may be many and long, and URLs may hold passwords.
/// Stable from version to version and machine to machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListKey {
    key: String,
    /// How versions before 0.2 named the list. Their position is read once, and stays for a return to such a version.
    before: String,
}

impl ListKey {
    /// The name of the list of these sources.
    pub fn of<S: AsRef<[u8]>>(sources: impl IntoIterator<Item = S, IntoIter: Clone>) -> Self {
        let sources = sources.into_iter();
        Self { before: fnv(sources.clone()), key: digest::key(sources) }
    }
}

/// FNV-1a, 64 bits.
fn fnv<S: AsRef<[u8]>>(sources: impl Iterator<Item = S>) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for source in sources {
        // The zero byte keeps ["ab"] and ["a", "b"] apart.
        for byte in source.as_ref().iter().chain(&[0]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

/// The file: the positions in several lists, the one last played first.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct PositionFile {
    version: u32,
    lists: Vec<SavedList>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SavedList {
    list: String,
    #[serde(flatten)]
    position: Position,
}

/// Why a file is not a [`PositionFile`].
#[derive(Debug, thiserror::Error)]
enum PositionFileError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is not what tgs-stream writes: {0}")]
    Foreign(#[from] serde_json::Error),
    #[error("it is over 1 MiB, which tgs-stream never writes")]
    Large,
    #[error("it has version {0} of the format, this tgs-stream knows {VERSION}")]
    Version(u32),
}

impl PositionFile {
    /// Reads the file. Whatever is wrong with it, the answer is a book; what could not be understood is kept beside.
    fn open(path: &Path) -> Self {
        let problem = match Self::read(path) {
            Ok(book) => return book,
            Err(PositionFileError::Io(e)) if e.kind() == io::ErrorKind::NotFound => return Self::default(),
            Err(problem) => problem,
        };
        let aside = path.with_extension("json.broken");
        let shown = path.display();
        // A file that may not be read, or a failing disk, says nothing about what is in it: left where it is.
        if matches!(problem, PositionFileError::Io(_)) {
            log::warn!("failed to read {shown}: {problem}; starting from the beginning");
        } else if let Err(e) = fs::rename(path, &aside) {
            log::warn!(
                "failed to read {shown}: {problem}; starting from the beginning (not kept aside: {e})"
            );
        } else {
            log::warn!(
                "failed to read {shown}: {problem}; starting from the beginning, the file is kept as {}",
                aside.display()
            );
        }
        Self::default()
    }

    fn read(path: &Path) -> Result<Self, PositionFileError> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let mut bytes = Vec::new();
        tgs_core::files::open_regular(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(PositionFileError::Large);
        }
        // The version first: another one may have another form.
        let head: Head = serde_json::from_slice(&bytes)?;
        if head.version != VERSION {
            return Err(PositionFileError::Version(head.version));
        }
        Ok(serde_json::from_slice(&bytes)?)
    }

    fn get(&self, list: &str) -> Option<&Position> {
        self.lists.iter().find(|entry| entry.list == list).map(|entry| &entry.position)
    }

    fn set(&mut self, list: &str, position: Option<Position>) {
        self.lists.retain(|entry| entry.list != list);
        if let Some(position) = position {
            self.lists.insert(0, SavedList { list: list.to_owned(), position });
        }
        self.lists.truncate(MAX_LISTS);
    }

    fn write(&mut self, path: &Path) -> io::Result<()> {
        self.version = VERSION;
        // Item ids are URLs too, and those may hold passwords.
        tgs_core::files::replace(path, &self.bytes()?, 0o600)
    }

    /// The file's content, no longer than what is read back: what matters least is left out of it. Names have any length.
    fn bytes(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let bytes = serde_json::to_vec(self)?;
            if bytes.len() as u64 <= MAX_FILE {
                return Ok(bytes);
            }
            let oldest = if self.lists.len() > 1 { self.lists.pop() } else { None };
            let followers = self.lists.first_mut().map(|entry| &mut entry.position.bookmark.followed_by);
            if oldest.is_none() && followers.and_then(Vec::pop).is_none() {
                return Err(io::Error::other("the names of the item and its lists are too long"));
            }
        }
    }
}

/// Keeps a list's position on disk, from a thread of its own: writing waits for the disk.
///
/// Dropping it writes the last position.
#[derive(Debug)]
pub struct PositionStore {
    shared: Arc<StoreShared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct StoreShared {
    state: Mutex<StoreState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct StoreState {
    position: Option<Position>,
    /// Do not wait for the next regular time.
    now: bool,
    stop: bool,
}

impl StoreShared {
    fn lock(&self) -> MutexGuard<'_, StoreState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end of the keeper, `limit` at most. Answers whether it has come.
    fn stopped_within(&self, limit: Duration) -> bool {
        let waiting = self.changed.wait_timeout_while(self.lock(), limit, |s| !s.stop);
        waiting.unwrap_or_else(PoisonError::into_inner).0.stop
    }
}

impl PositionStore {
    /// Opens `position.json` in `state_dir`, which must exist, for the list called `list`.
    ///
    /// Gives the keeper and the position the list was left at, which stays in force until [`PositionStore::set`] or
    /// [`PositionStore::clear`]. `every` is [`SAVE_EVERY`], except in tests.
    #[must_use]
    pub fn start(state_dir: &Path, list: ListKey, every: Duration) -> (Self, Option<Position>) {
        let path = state_dir.join("position.json");
        let book = PositionFile::open(&path);
        let position = book.get(&list.key).or_else(|| book.get(&list.before)).cloned();
        let state = StoreState { position: position.clone(), ..StoreState::default() };
        let shared = Arc::new(StoreShared { state: Mutex::new(state), changed: Condvar::new() });
        let mut saver = Writer { path, list, saved: position.clone(), book, failing: false };
        let thread = thread::Builder::new().name("position".into()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                keep_running("position", |delay| shared.stopped_within(delay), || saver.run(&shared, every));
            }
        });
        if let Err(e) = &thread {
            log::warn!("failed to start the thread that keeps the position, so it will not be kept: {e}");
        }
        (Self { shared, thread: thread.ok() }, position)
    }

    /// This has been published now. Returns at once; a new item is written at once too, progress within one at the
    /// next regular time.
    pub fn set(&self, position: Position) {
        let mut state = self.shared.lock();
        let same_item = state.position.as_ref().is_some_and(|old| old.bookmark == position.bookmark);
        state.position = Some(position);
        if !same_item {
            state.now = true;
            self.shared.changed.notify_one();
        }
    }

    /// The list has been played to its end: the next run begins at its beginning.
    pub fn clear(&self) {
        let mut state = self.shared.lock();
        state.position = None;
        state.now = true;
        self.shared.changed.notify_one();
    }
}

impl Drop for PositionStore {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread holds.
struct Writer {
    path: PathBuf,
    list: ListKey,
    book: PositionFile,
    saved: Option<Position>,
    failing: bool,
}

impl Writer {
    fn run(&mut self, shared: &StoreShared, every: Duration) {
        loop {
            let (position, stop) = {
                let waiting = shared.changed.wait_timeout_while(shared.lock(), every, |s| !s.now && !s.stop);
                let (mut state, _) = waiting.unwrap_or_else(PoisonError::into_inner);
                state.now = false;
                (state.position.clone(), state.stop)
            };
            if position != self.saved {
                self.save(position);
            }
            if stop {
                return;
            }
        }
    }

    /// Writes the file; one line in the log when that begins to fail, and one when it works again.
    fn save(&mut self, position: Option<Position>) {
        self.book.set(&self.list.key, position.clone());
        if position.is_none() {
            self.book.set(&self.list.before, None);
        }
        let result = self.book.write(&self.path);
        let failed_before = mem::replace(&mut self.failing, result.is_err());
        match result {
            Ok(()) => {
                self.saved = position;
                if failed_before {
                    log::info!("the position is kept in {} again", self.path.display());
                }
            }
            Err(e) if !failed_before => log::warn!(
                "failed to keep the position in {}: {e}; the broadcast goes on, a restart would go back to what was kept last",
                self.path.display()
            ),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        env,
        io::BufRead,
        process::{Command, Stdio},
        time::Instant,
    };

    use super::*;
    use crate::source::EntryKey;

    /// Long enough that nothing is saved by time alone.
    const NEVER: Duration = Duration::from_hours(1);

    impl From<&str> for ListKey {
        fn from(key: &str) -> Self {
            Self { key: key.into(), before: String::new() }
        }
    }

    fn at(item: &str, offset_ms: u64) -> Position {
        let key = |item: &str| EntryKey { item: item.into(), nth: 1, within: Vec::new() };
        let bookmark =
            Bookmark { key: key(item), shuffle_seed: Some(u64::MAX), followed_by: vec![key("next")] };
        Position { bookmark, offset_ms }
    }

    fn left_at(dir: &Path, list: &str) -> Option<Position> {
        PositionStore::start(dir, list.into(), NEVER).1
    }

    #[test]
    fn survives_stop_and_start() {
        let dir = tempfile::tempdir().unwrap();
        let (keeper, before) = PositionStore::start(dir.path(), "a".into(), NEVER);
        assert_eq!(before, None);
        keeper.set(at("/clips/ö \"1\"\n.mp4", 1));
        keeper.set(at("/clips/ö \"1\"\n.mp4", 61_234));
        drop(keeper);
        assert_eq!(left_at(dir.path(), "a"), Some(at("/clips/ö \"1\"\n.mp4", 61_234)));
        assert_eq!(
            left_at(dir.path(), "a"),
            Some(at("/clips/ö \"1\"\n.mp4", 61_234)),
            "reading does not spend it"
        );
    }

    #[test]
    fn lists_do_not_disturb_each_other() {
        let dir = tempfile::tempdir().unwrap();
        for list in 0..MAX_LISTS + 2 {
            let (keeper, before) = PositionStore::start(dir.path(), (&*list.to_string()).into(), NEVER);
            assert_eq!(before, None);
            keeper.set(at("x", list as u64));
        }
        for list in 0..MAX_LISTS + 2 {
            let remembered = (list >= 2).then(|| at("x", list as u64));
            assert_eq!(left_at(dir.path(), &list.to_string()), remembered, "list {list}");
        }
        PositionStore::start(dir.path(), "5".into(), NEVER).0.clear();
        assert_eq!(left_at(dir.path(), "5"), None);
        assert_eq!(left_at(dir.path(), "6"), Some(at("x", 6)));
    }

    #[test]
    fn a_new_item_is_written_at_once_and_progress_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("position.json");
        let wait_for = |wanted: &Position| {
            let end = Instant::now() + Duration::from_mins(1);
            while !PositionFile::read(&file).is_ok_and(|book| book.get("a") == Some(wanted)) {
                assert!(Instant::now() < end, "{wanted:?} is not written");
                thread::yield_now();
            }
        };
        let (keeper, _) = PositionStore::start(dir.path(), "a".into(), NEVER);
        keeper.set(at("one", 0));
        wait_for(&at("one", 0));
        keeper.set(at("one", 500));
        keeper.set(at("two", 0));
        wait_for(&at("two", 0));
        drop(keeper);
        let (keeper, _) = PositionStore::start(dir.path(), "a".into(), Duration::from_millis(1));
        keeper.set(at("two", 700));
        wait_for(&at("two", 700));
    }

    #[test]
    fn what_has_not_changed_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("position.json");
        let (keeper, _) = PositionStore::start(dir.path(), "a".into(), NEVER);
        keeper.set(at("one", 7));
        drop(keeper);
        fs::remove_file(&file).unwrap();
        let shared = StoreShared { state: Mutex::default(), changed: Condvar::new() };
        *shared.lock() = StoreState { position: Some(at("one", 7)), now: true, stop: true };
        let saver = |saved| Writer {
            path: file.clone(),
            list: "a".into(),
            book: PositionFile::default(),
            saved,
            failing: false,
        };
        saver(Some(at("one", 7))).run(&shared, NEVER);
        assert!(!file.exists());
        saver(Some(at("one", 6))).run(&shared, NEVER);
        assert!(file.exists());
    }

    #[test]
    fn what_is_written_can_be_read_back_however_long_names_are() {
        let dir = tempfile::tempdir().unwrap();
        let name = |tail: usize, length: usize| format!("{}{tail}", "x".repeat(length));
        let follower = |n| EntryKey { item: name(n, 200_000), nth: 0, within: Vec::new() };
        let long = |item: usize, length| {
            let mut position = at(&name(item, length), 9);
            position.bookmark.followed_by = (0..8).map(follower).collect();
            position
        };
        for (list, length) in [("old", 900_000), ("new", 300_000)] {
            let keeper = PositionStore::start(dir.path(), list.into(), NEVER).0;
            keeper.set(long(1, length));
        }
        let size = fs::metadata(dir.path().join("position.json")).unwrap().len();
        assert!(size <= MAX_FILE, "{size}");
        let kept = left_at(dir.path(), "new").unwrap();
        assert_eq!((kept.bookmark.key.item, kept.offset_ms), (name(1, 300_000), 9));
        assert_eq!(kept.bookmark.followed_by, (0..3).map(follower).collect::<Vec<_>>());
        assert_eq!(left_at(dir.path(), "old"), None, "the one played longest ago goes first");
        // A name that alone is too long: what was kept before stays.
        let keeper = PositionStore::start(dir.path(), "new".into(), NEVER).0;
        keeper.set(long(2, MAX_FILE as usize));
        drop(keeper);
        assert!(PositionFile::read(&dir.path().join("position.json")).is_ok());
    }

    #[test]
    fn a_file_that_is_not_ours_is_kept_aside() {
        let large = vec![b' '; MAX_FILE as usize + 1];
        let newer = br#"{"version":2,"lists":{"a":1}}"#;
        let torn = br#"{"version":1,"lists":[{"list":"a","item":"x","offset_"#;
        let negative =
            br#"{"version":1,"lists":[{"list":"a","item":"x","offset_ms":-1,"shuffle_seed":null}]}"#;
        for content in [&b""[..], b"\0\0\0\0", b"null", b"[]", b"\xff\xfe", newer, torn, negative, &large] {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("position.json");
            fs::write(&file, content).unwrap();
            let (keeper, before) = PositionStore::start(dir.path(), "a".into(), NEVER);
            assert_eq!(before, None);
            assert_eq!(fs::read(dir.path().join("position.json.broken")).unwrap(), content);
            keeper.set(at("x", 1));
            drop(keeper);
            assert_eq!(left_at(dir.path(), "a"), Some(at("x", 1)));
        }
    }

    #[test]
    fn a_directory_that_is_gone_or_a_name_that_is_taken_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let (keeper, before) = PositionStore::start(&dir.path().join("missing"), "a".into(), NEVER);
        assert_eq!(before, None);
        keeper.set(at("x", 1));
        drop(keeper);

        fs::create_dir(dir.path().join("position.json")).unwrap();
        let (keeper, before) = PositionStore::start(dir.path(), "a".into(), NEVER);
        assert_eq!(before, None);
        keeper.set(at("x", 1));
    }

    #[test]
    fn failing_is_said_once_and_ends() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("later");
        let mut saver = Writer {
            path: home.join("position.json"),
            list: "a".into(),
            book: PositionFile::default(),
            saved: None,
            failing: false,
        };
        saver.save(Some(at("x", 1)));
        assert!(saver.failing);
        assert_eq!(saver.saved, None, "it must be tried again");
        fs::create_dir(&home).unwrap();
        saver.save(Some(at("x", 1)));
        assert!(!saver.failing);
        assert_eq!(saver.saved, Some(at("x", 1)));
    }

    #[test]
    fn lists_are_told_apart() {
        assert_eq!(fnv([""; 0].iter()), "cbf29ce484222325", "FNV-1a's own start");
        assert_eq!(ListKey::of(["a"]), ListKey::of([b"a"]));
        assert_ne!(ListKey::of(["ab"]), ListKey::of(["a", "b"]));
        assert_ne!(ListKey::of(["a", "b"]), ListKey::of(["b", "a"]));
    }

    #[test]
    fn the_position_of_an_older_version_is_found_and_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let (list, old) = (ListKey::of(["a"]), fnv(["a"].iter()));
        PositionStore::start(dir.path(), (&*old).into(), NEVER).0.set(at("x", 1));
        let (keeper, before) = PositionStore::start(dir.path(), list.clone(), NEVER);
        assert_eq!(before, Some(at("x", 1)));
        keeper.set(at("x", 2));
        drop(keeper);
        let (keeper, before) = PositionStore::start(dir.path(), list.clone(), NEVER);
        assert_eq!(before, Some(at("x", 2)));
        let old_file = PositionFile::open(&dir.path().join("position.json"));
        assert_eq!(old_file.get(&old), Some(&at("x", 1)), "the older version finds its own");
        keeper.clear();
        drop(keeper);
        assert_eq!(PositionStore::start(dir.path(), list, NEVER).1, None);
    }

    /// Re-executes itself as a process that does nothing but save, and kills it at moments of no choosing.
    #[test]
    fn killed_at_any_moment_the_file_is_whole() {
        const ROLE: &str = "TGS_TEST_POSITION_WRITER";
        if let Some(dir) = env::var_os(ROLE) {
            let file = Path::new(&dir).join("position.json");
            let first = PositionFile::open(&file).get("a").map_or(0, |old| old.offset_ms + 1);
            let mut saver = Writer {
                path: file,
                list: "a".into(),
                book: PositionFile::default(),
                saved: None,
                failing: false,
            };
            for n in first.. {
                saver.save(Some(at(&"x".repeat(n as usize % 5000), n)));
                assert!(!saver.failing);
                println!("saved {n}");
            }
        }
        // In memory: a kill is not a power failure, and a busy disk takes seconds for some thousand fsyncs.
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
            let mut saved =
                || lines.next()?.unwrap().strip_prefix("saved ").map_or(Some(0), |n| n.parse().ok());
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
            let found = PositionFile::read(&file).unwrap().get("a").unwrap().clone();
            assert_eq!(found.bookmark.key.item.len() as u64, found.offset_ms % 5000, "round {round}");
            assert!(
                (last..=last + 1).contains(&found.offset_ms),
                "round {round}: {last} saved, {found:?} found"
            );
        }
    }
}
