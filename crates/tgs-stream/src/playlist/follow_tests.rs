//! Folders that change while they play, and files that are still being copied.

use std::{fs, path::Path, time::SystemTime};

use tempfile::TempDir;

use super::{
    tests::{Engine, Tv},
    *,
};

/// A playlist of one folder.
struct Folder {
    tv: Tv,
    dir: TempDir,
}

impl Folder {
    fn new(names: &str) -> Self {
        let folder = Self { tv: Tv::new(""), dir: TempDir::new().unwrap() };
        folder.tv.write(&format!("{}\n", folder.dir.path().display()));
        names.chars().for_each(|name| folder.add(name));
        folder
    }

    fn path(&self, name: char) -> std::path::PathBuf {
        self.dir.path().join(format!("{name}.mp4"))
    }

    /// Adds a complete file, which rests.
    fn add(&self, name: char) {
        write(&self.path(name), &mp4(true));
    }

    fn open(&self, repeat: bool, shuffle: bool) -> Engine {
        let config = PlaylistConfig { repeat, shuffle, ..self.tv.config() };
        Engine::new(Playlist::open(config).unwrap())
    }
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    let then = SystemTime::now() - Duration::from_secs(3);
    fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
}

/// The boxes of an MP4, the index last.
fn mp4(whole: bool) -> Vec<u8> {
    let atom = |kind: &[u8; 4]| [&16_u32.to_be_bytes()[..], kind, &[7; 8]].concat();
    let index = if whole { atom(b"moov") } else { Vec::new() };
    [atom(b"ftyp"), atom(b"mdat"), index].concat()
}

/// The names of the next items; `-` for an entry that cannot be played, `.` for the end.
fn play(engine: &mut Engine, count: usize) -> String {
    let name = |next: NextItem| match next {
        NextItem::Play(item) => item.title.chars().next().unwrap(),
        NextItem::Kept { .. } | NextItem::Skip { .. } => '-',
        NextItem::End => '.',
    };
    (0..count).map(|_| name(engine.play())).collect()
}

#[test]
fn a_folder_is_followed_while_it_plays() {
    let folder = Folder::new("adg");
    let mut engine = folder.open(true, false);
    assert_eq!(play(&mut engine, 1), "a");
    // In its place, before the item that was next.
    folder.add('b');
    assert_eq!(play(&mut engine, 1), "b");
    fs::remove_file(folder.path('d')).unwrap();
    assert_eq!(play(&mut engine, 2), "ga");
    // The next round has what was added behind the present place.
    assert_eq!(play(&mut engine, 1), "b");
    folder.add('A');
    fs::remove_file(folder.path('g')).unwrap();
    assert_eq!(play(&mut engine, 4), "Aab".chars().chain(['A']).collect::<String>());
    fs::remove_file(folder.path('A')).unwrap();
    fs::remove_file(folder.path('a')).unwrap();
    fs::remove_file(folder.path('b')).unwrap();
    assert_eq!(play(&mut engine, 1), "-");
    folder.add('z');
    assert!(play(&mut engine, 2).ends_with('z'));
}

#[test]
fn a_shuffled_folder_is_followed() {
    let folder = Folder::new("abcdef");
    let mut engine = folder.open(true, true);
    let first = play(&mut engine, 2);
    for gone in "abcdef".chars().filter(|name| !first.contains(*name)) {
        fs::remove_file(folder.path(gone)).unwrap();
    }
    folder.add('z');
    let rounds = play(&mut engine, 12);
    assert!(
        rounds.contains('z') && rounds.chars().all(|name| name == 'z' || first.contains(name)),
        "{first} {rounds}"
    );
}

#[test]
fn a_file_that_is_being_copied_waits_for_the_next_round() {
    let folder = Folder::new("ac");
    write(&folder.path('b'), &mp4(false));
    let mut engine = folder.open(true, false);
    assert_eq!(play(&mut engine, 3), "aca");
    write(&folder.path('b'), &mp4(true));
    // The item after it is prepared already.
    assert_eq!(play(&mut engine, 3), "cab");
}

#[test]
fn without_a_next_round_it_waits_for_the_end() {
    let folder = Folder::new("ac");
    write(&folder.path('b'), &mp4(false));
    let mut engine = folder.open(false, false);
    assert_eq!(play(&mut engine, 3), "ac-");
    write(&folder.path('b'), &mp4(true));
    let rest = play(&mut engine, 3);
    assert!(rest == "b.." || rest == "-b.", "{rest}");
}

#[test]
fn a_folder_of_files_that_are_being_copied_is_a_failure_each_time_it_is_asked() {
    let folder = Folder::new("");
    write(&folder.path('a'), &mp4(false));
    write(&folder.path('b'), &mp4(false));
    let mut engine = folder.open(true, false);
    assert_eq!(play(&mut engine, 2), "--");
    folder.add('b');
    assert!(play(&mut engine, 3).ends_with('b'));
}
