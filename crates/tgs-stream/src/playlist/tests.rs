//! The playlist with entries that need no network: direct URLs are passed through.

use std::{ffi::OsString, fs, path::Path};

use tempfile::TempDir;
use tgs_core::cancel::Cancel;
use tgs_playout::{engine::Control, item::FailureReason};

use super::*;
use crate::{source::EntryKind, ytdlp::YtDlp};

fn resolver() -> Resolver {
    let ytdlp = YtDlp::new("/no/such/yt-dlp", "", 720).unwrap();
    Resolver {
        ffmpeg: "ffmpeg".into(),
        ffprobe: "ffprobe".into(),
        ytdlp,
        wanted: tgs_playout::ffmpeg::probe::ProbeOptions::default(),
        cancel: Cancel::new(),
    }
}

/// A playlist file of direct URLs named by letters.
pub(super) struct Tv {
    dir: TempDir,
    pub(super) file: PathBuf,
}

impl Tv {
    pub(super) fn new(letters: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let tv = Self { file: dir.path().join("list.txt"), dir };
        tv.edit(letters);
        tv
    }

    /// Replaces the file by renaming, as most editors do.
    pub(super) fn edit(&self, letters: &str) {
        let lines: Vec<String> = letters.chars().map(|c| format!("http://h/{c}.mp4")).collect();
        self.write(&lines.join("\n"));
    }

    pub(super) fn write(&self, text: &str) {
        let new = self.dir.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, &self.file).unwrap();
    }

    pub(super) fn config(&self) -> PlaylistConfig {
        let control = Control::default();
        let queue = PlayQueue::open(None, Some(&self.file), control.clone());
        PlaylistConfig {
            sources: Vec::new(),
            file: Some(self.file.clone()),
            repeat: true,
            shuffle: false,
            separate: Vec::new(),
            wait: false,
            resume: None,
            view: PlaylistView::new(queue.clone(), control.status.clone()),
            queue,
            resolver: resolver(),
        }
    }

    pub(super) fn open(&self) -> Playlist {
        Playlist::open(self.config()).unwrap()
    }

    pub(super) fn shuffled(&self, seed: u64) -> Playlist {
        let bookmark = Bookmark {
            key: EntryKey { item: String::new(), nth: 0, within: Vec::new() },
            shuffle_seed: Some(seed),
            followed_by: Vec::new(),
            interstitials: Vec::new(),
        };
        let resume = Some(at(bookmark, 0));
        let mut list = Playlist::open(PlaylistConfig { shuffle: true, resume, ..self.config() }).unwrap();
        list.resume = None;
        list
    }
}

/// A saved position in the list, in seconds.
pub(super) fn at(bookmark: Bookmark, seconds: u64) -> ResumePoint {
    ResumePoint { bookmark, offset: Duration::from_secs(seconds), queued: None, after: false }
}

/// The letter of an item, `-` for a skipped entry, `.` for the end.
fn letter(next: &NextItem) -> char {
    match next {
        NextItem::Play(item) => item.title.chars().next().unwrap(),
        NextItem::Kept { .. } | NextItem::Skip { .. } => '-',
        NextItem::End => '.',
    }
}

/// The engine: requests one item ahead. The watch has always seen the last edit.
pub(super) struct Engine {
    pub(super) list: Playlist,
    ahead: Option<NextItem>,
    /// The turn of the last played item.
    pub(super) place: u64,
}

impl Engine {
    pub(super) fn new(mut list: Playlist) -> Self {
        let ahead = Some(list.next());
        Self { list, ahead, place: 0 }
    }

    /// The item that plays now.
    pub(super) fn play(&mut self) -> NextItem {
        self.list.reload();
        let now = match self.ahead.take().unwrap() {
            NextItem::Play(item) => self.list.confirm(item),
            other => other,
        };
        if !matches!(now, NextItem::End) {
            self.ahead = Some(self.list.next());
        }
        if let NextItem::Play(item) = &now {
            self.place = item.turn;
        }
        now
    }

    /// A jump while the item `place` is on air.
    pub(super) fn jump(&mut self, place: u64, to: JumpTarget) {
        self.list.jump(Some(place), to);
        self.ahead = Some(self.list.next());
    }

    /// Adds an entry to the end of the queue.
    pub(super) fn queue(&mut self, letter: char) -> u64 {
        self.list.queue.queue().add(&line(letter), None).unwrap()
    }

    /// The command that the queue sends after a change, while the item `place` is on air.
    pub(super) fn replan(&mut self, place: u64) {
        assert!(!self.list.replan(Some(place)));
        self.ahead = Some(self.list.next());
    }

    pub(super) fn letters(&mut self, count: usize) -> String {
        (0..count).map(|_| letter(&self.play())).collect()
    }
}

#[test]
fn plays_in_order_and_repeats() {
    let tv = Tv::new("abc");
    assert_eq!(Engine::new(tv.open()).letters(7), "abcabca");
    let mut once = Engine::new(Playlist::open(PlaylistConfig { repeat: false, ..tv.config() }).unwrap());
    assert_eq!(once.letters(4), "abc.");
}

#[test]
fn sources_come_before_the_file() {
    let tv = Tv::new("b");
    let sources = vec![OsString::from("http://h/a.mp4").into()];
    assert_eq!(
        Engine::new(Playlist::open(PlaylistConfig { sources, ..tv.config() }).unwrap()).letters(3),
        "aba"
    );
}

#[test]
fn a_bad_entry_is_skipped_each_round() {
    let tv = Tv::new("");
    tv.write("http://h/a.mp4\nnothing.mp4\n");
    let mut list = tv.open();
    assert_eq!((letter(&list.next()), list.round_len()), ('a', 2));
    let NextItem::Skip { id, title, failure } = list.next() else { panic!("played") };
    assert_eq!((id, &*title), (tv.dir.path().join("nothing.mp4").display().to_string(), "nothing"));
    assert_eq!(failure.detail, format!("there is no such file (line 2 of {})", tv.file.display()));
    assert_eq!(letter(&list.next()), 'a');
}

#[test]
fn an_empty_list_is_an_error_with_advice() {
    let tv = Tv::new("");
    let file = tv.file.display().to_string();
    let error = |config: PlaylistConfig| format!("{:#}", Playlist::open(config).unwrap_err());
    assert_eq!(
        error(tv.config()),
        format!("{file} names nothing to play: write a path or a URL on a line, or name a SOURCE")
    );
    tv.write("#EXTM3U\n#EXT-X-VERSION:3\n");
    assert!(error(tv.config()).ends_with("is an HLS playlist, not a list of entries: name it as a SOURCE"));
    fs::remove_file(&tv.file).unwrap();
    assert_eq!(
        error(tv.config()),
        format!(
            "cannot read the playlist {file} (name a SOURCE, or another file by --playlist or PLAYLIST): No such file \
             or directory (os error 2)"
        )
    );
    let neither = PlaylistConfig { file: None, ..tv.config() };
    assert!(error(neither).starts_with("the command line names nothing to play"));
}

#[test]
fn a_folder_is_listed_again_each_round() {
    let dir = TempDir::new().unwrap();
    let add = |name: &str| fs::write(dir.path().join(name), "x").unwrap();
    add("a.mp4");
    add("c.mp4");
    let tv = Tv::new("");
    let sources = vec![dir.path().as_os_str().to_owned().into()];
    let mut list = Playlist::open(PlaylistConfig { sources, file: None, ..tv.config() }).unwrap();
    assert_eq!(letter(&list.next()), 'a');
    add("b.mp4");
    // It is also followed within the round.
    let rest: String = (0..4).map(|_| letter(&list.next())).collect();
    assert_eq!(rest, "bcab");
}

#[test]
fn each_round_has_its_own_repeatable_order() {
    let tv = Tv::new("abcdefgh");
    let rounds = Engine::new(tv.shuffled(3)).letters(40);
    assert_eq!(Engine::new(tv.shuffled(3)).letters(40), rounds);
    let rounds: Vec<&str> = (0..5).map(|n| &rounds[n * 8..n * 8 + 8]).collect();
    for (n, round) in rounds.iter().enumerate() {
        let mut sorted: Vec<char> = round.chars().collect();
        sorted.sort_unstable();
        assert_eq!(String::from_iter(sorted), "abcdefgh");
        assert!(!rounds[..n].contains(round), "{rounds:?}");
    }
}

#[test]
fn a_shuffled_round_does_not_begin_with_the_last_item() {
    for (letters, seeds) in [("ab", 0..50), ("abc", 0..50)] {
        let tv = Tv::new(letters);
        for seed in seeds {
            let played: Vec<char> = Engine::new(tv.shuffled(seed)).letters(40).chars().collect();
            assert!(played.windows(2).all(|pair| pair[0] != pair[1]), "{letters} {seed}: {played:?}");
        }
    }
    // A single entry has to repeat.
    assert_eq!(Engine::new(Tv::new("a").shuffled(1)).letters(3), "aaa");
}

#[test]
fn an_edit_applies_at_the_next_item() {
    let cases = [
        // list, how many play, edited list, what plays then
        ("abc", 1, "abc", "bcab"),
        ("abc", 1, "axbc", "xbca"),
        ("abc", 1, "xya", "xyax"),
        ("abcd", 2, "acd", "cdac"),
        ("abcd", 2, "adx", "dxad"),
        ("abc", 2, "xyz", "xyzx"),
        ("abc", 3, "abcd", "dabc"),
        ("abc", 3, "ab", "abab"),
        ("abc", 3, "xabc", "xabc"),
        ("ajbjc", 4, "ajbjx", "xajb"),
    ];
    for (first, played, then, expected) in cases {
        let tv = Tv::new(first);
        let mut engine = Engine::new(tv.open());
        assert_eq!(engine.letters(played), first[..played]);
        tv.edit(then);
        assert_eq!(engine.letters(4), expected, "{first} at {played} -> {then}");
    }
}

#[test]
fn an_edit_before_the_first_item_keeps_the_prepared_one() {
    let tv = Tv::new("abc");
    let mut engine = Engine::new(tv.open());
    tv.edit("xab");
    assert_eq!(engine.letters(3), "abx");
}

#[test]
fn a_list_played_once_continues_after_an_edit() {
    let tv = Tv::new("abc");
    let mut engine = Engine::new(Playlist::open(PlaylistConfig { repeat: false, ..tv.config() }).unwrap());
    assert_eq!(engine.letters(2), "ab");
    tv.edit("abcd");
    assert_eq!(engine.letters(3), "cd.");
}

#[test]
fn an_edit_of_a_shuffled_list_moves_nothing_else() {
    let tv = Tv::new("abcdefgh");
    let whole = Engine::new(tv.shuffled(5)).letters(8);
    let mut engine = Engine::new(tv.shuffled(5));
    let played = engine.letters(3);
    tv.edit("abcdefghi");
    let rest: String = engine.letters(6).chars().filter(|c| *c != 'i').take(5).collect();
    assert_eq!(format!("{played}{rest}"), whole);
}

#[test]
fn an_edit_without_a_playable_entry_is_rejected_once() {
    let tv = Tv::new("abc");
    let mut engine = Engine::new(tv.open());
    assert_eq!(engine.letters(1), "a");
    for text in ["", "# nothing\n", "gone.mp4\nnowhere/\n", "list.txt\n", "gopher://h/x\n"] {
        tv.write(text);
        let why = engine.list.read_edit().map(|(named, ..)| named).unwrap_err();
        assert!(why.to_string().contains("nothing"), "{why}");
        engine.list.reload();
        assert!(engine.list.edit.is_none(), "{text}");
    }
    assert_eq!(engine.letters(3), "bca");
    fs::remove_file(&tv.file).unwrap();
    assert_eq!(engine.letters(2), "bc");
    tv.edit("xyc");
    assert_eq!(engine.letters(3), "xyc");
}

#[test]
fn an_edit_with_one_good_file_is_accepted() {
    let tv = Tv::new("ab");
    let mut engine = Engine::new(tv.open());
    assert_eq!(engine.letters(1), "a");
    // Half a second of silence, as WAV.
    let mut wav =
        b"RIFF\x64\x1f\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\x40\x1f\0\0"
            .to_vec();
    wav.resize(wav.len() + 8000, 0x80);
    fs::write(tv.dir.path().join("good.wav"), wav).unwrap();
    tv.write("gone.mp4\ngood.wav\n");
    assert_eq!(engine.letters(3), "-g-");
}

pub(super) fn line(letter: char) -> String {
    format!("http://h/{letter}.mp4")
}

#[test]
fn the_watch_reports_each_edit_once() {
    let tv = Tv::new("ab");
    let mut watch = tv.open().watch();
    assert!(!watch.changed());
    tv.edit("abc");
    assert!(watch.changed() && !watch.changed());
}

#[test]
fn a_live_item_has_no_start_offset() {
    let tv = Tv::new("");
    tv.write("rtmp://h/live/x\n");
    let bookmark = Bookmark {
        key: EntryKey { item: "rtmp://h/live/x".into(), nth: 0, within: Vec::new() },
        shuffle_seed: None,
        followed_by: Vec::new(),
        interstitials: Vec::new(),
    };
    let resume = Some(at(bookmark, 50));
    let mut list = Playlist::open(PlaylistConfig { resume, ..tv.config() }).unwrap();
    let NextItem::Play(item) = list.next() else { panic!("not played") };
    assert!(item.media.live && item.start.is_zero());
}

#[test]
fn identities_do_not_depend_on_the_working_directory() {
    let tv = Tv::new("");
    fs::write(tv.dir.path().join("clip one.mp4"), "x").unwrap();
    tv.write("clip one.mp4\r\n");
    let NextItem::Play(item) = tv.open().next() else { panic!("not played") };
    let path = tv.dir.path().join("clip one.mp4");
    assert_eq!(Path::new(&item.id), path);
    assert_eq!(item.media.sources[0].url, format!("file:{}", path.display()));
}

#[test]
fn a_panic_is_the_failure_of_its_entry_only() {
    let tv = Tv::new("");
    tv.write("http://h/a.mp4\nhttp://h/panic.mp4\nhttp://h/b.mp4");
    let mut list = tv.open();
    assert_eq!(letter(&list.next()), 'a');
    let NextItem::Skip { title, failure, .. } = list.next() else { panic!("it is played") };
    assert_eq!((title.as_str(), failure.reason), ("panic", FailureReason::Internal));
    assert!(
        failure.detail.starts_with("a fault of tgs-stream, please report it: as asked (line 2 of "),
        "{failure}"
    );
    assert_eq!(letter(&list.next()), 'b');
}

#[test]
fn an_edit_replaces_the_prepared_item_at_once() {
    let tv = Tv::new("abc");
    let mut list = tv.open();
    let NextItem::Play(first) = list.next() else { panic!("nothing plays") };
    assert!(matches!(list.confirm(first), NextItem::Play(_)));
    assert_eq!(letter(&list.next()), 'b', "looked at ahead");
    list.reload();
    assert!(list.replaced().is_none(), "nothing was edited");
    tv.edit("axbc");
    list.reload();
    let Some(NextItem::Play(other)) = list.replaced() else { panic!("the old one stays") };
    assert_eq!(other.title, "x");
    assert!(list.replaced().is_none(), "once");
    assert!(matches!(list.confirm(other), NextItem::Play(_)));
    assert_eq!(letter(&list.next()), 'b');
    // An edit elsewhere does not affect it.
    tv.edit("axbd");
    list.reload();
    assert!(list.replaced().is_none());
    let NextItem::Play(same) = list.next() else { panic!("nothing plays") };
    assert_eq!(same.title, "d");
}

#[test]
fn an_edit_replaces_an_unplayable_entry_at_once() {
    let tv = Tv::new("");
    tv.write("/no/such/folder.m3u");
    let mut list = tv.open();
    assert_eq!(letter(&list.next()), '-');
    list.reload();
    assert!(list.replaced().is_none(), "nothing was edited");
    tv.edit("ab");
    list.reload();
    assert_eq!(list.replaced().as_ref().map(letter), Some('a'));
}

#[test]
fn titles_from_urls_hold_no_token() {
    let tv = Tv::new("");
    tv.write(
        "http://h:8080/live/me/hidden/12.ts\nhttps://site/watch?v=abcdefghijk&key=hidden\nhttp://h/?hidden",
    );
    let titles: Vec<String> = source::expand(&tv.open().named).iter().map(PlaylistEntry::title).collect();
    assert!(!titles.iter().any(|title| title.contains("hidden")), "{titles:?}");
    assert_eq!(titles[..2], ["12", "site/watch?v=abcdefghijk&key=[masked]"]);
}

#[test]
fn nested_lists_share_a_limit() {
    let tv = Tv::new("ab");
    let mut list = tv.open();
    let inside = |within: &[&str], count: usize| -> Vec<PlaylistEntry> {
        let mut found: Vec<PlaylistEntry> = (0..count)
            .map(|n| PlaylistEntry::new(format!("http://h/{n}"), EntryKind::List(String::new())))
            .collect();
        for entry in &mut found {
            entry.key.within = within.iter().map(ToString::to_string).collect();
        }
        found
    };
    list.replace(0, inside(&["http://h/a.mp4"], 15_000));
    assert_eq!(list.order.len(), 15_001);
    list.replace(7, inside(&["http://h/a.mp4", "http://h/7"], 15_000));
    assert_eq!(list.order.len(), source::MAX_REMOTE + 1);
    list.replace(9, inside(&["http://h/a.mp4", "http://h/9"], 15_000));
    assert_eq!(list.order.len(), source::MAX_REMOTE + 1);
    // The other list has a position of its own.
    let end = list.order.len() - 1;
    list.replace(end, inside(&["http://h/b.mp4"], 15_000));
    assert_eq!(list.order.len(), source::MAX_REMOTE + 15_000);
}

#[test]
fn a_huge_file_is_rejected_and_a_long_list_is_truncated() {
    let tv = Tv::new("abc");
    let mut engine = Engine::new(tv.open());
    assert_eq!(engine.letters(1), "a");
    tv.write(&"http://h/x.mp4\n".repeat((17 << 20) / 15));
    engine.list.reload();
    assert!(engine.list.edit.is_none());
    assert_eq!(engine.letters(3), "bca");
    tv.write(&"x\n".repeat(5 << 20));
    let (named, entries) = (engine.list.listing.read().unwrap(), 100_000);
    assert_eq!((named.len(), source::expand(&named).len()), (entries, entries));
}
