//! The cache with items that are known tag by tag, and nothing encoded.

use std::{
    fs::File,
    io,
    os::unix::fs::symlink,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use rustix::fs::{FileType, Mode};
use tgs_rtmp::flv::{Kind, Tag};

use super::{
    files::{ABANDONED, FORGOTTEN, files},
    *,
};
use crate::{
    ffmpeg::{ExtraArgs, Processing},
    profile::Profile,
    status::METRICS,
};

const SECOND: Duration = Duration::from_secs(1);

/// A cache in a directory of its own, with media beside it.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn with(&self, limit: u64, profile: Profile, args: &str, version: &str) -> Cache {
        let extra = ExtraArgs::parse(args).unwrap();
        let setup = EncodeSetup {
            ffmpeg: "ffmpeg".into(),
            ffprobe: "ffprobe".into(),
            profile,
            processing: Processing::default(),
            extra,
            scratch: "/".into(),
            image_duration: Duration::from_secs(10),
            short_groups: false,
        };
        Cache::open(self.dir.path(), limit, &setup, version)
    }

    fn cache(&self, limit: u64) -> Cache {
        self.with(limit, Profile::P720, "", "ffmpeg 5")
    }

    fn file(&self, name: &str, content: &str) -> Item {
        let path = self.dir.path().join(name);
        fs::write(&path, content).unwrap();
        let media = Media::at(format!("file:{}", path.display()), false);
        Item { id: path.display().to_string(), turn: 0, title: name.into(), start: Duration::ZERO, media }
    }

    fn items(&self) -> PathBuf {
        self.dir.path().join(DIRECTORY)
    }

    /// What is there, by the beginning of its name.
    fn count(&self, begin: &str) -> usize {
        files(&self.items()).iter().filter(|file| file.name.starts_with(begin)).count()
    }
}

fn page(id: &str, identity: &str) -> Item {
    let media = Media { identity: Some(identity.into()), ..Media::at("https://cdn/x".into(), false) };
    Item { id: id.into(), turn: 0, title: id.into(), start: Duration::ZERO, media }
}

/// So many groups of two seconds at one picture a second, `size` bytes each, begun by headers and
/// an early sound.
fn encoded(groups: u64, size: usize) -> Vec<Tag> {
    let tag = |kind, timestamp, body: Vec<u8>| Tag { kind, timestamp, body: body.into() };
    let mut tags = vec![
        tag(Kind::Video, 0, vec![0x17, 0, 0, 0, 0, 1]),
        tag(Kind::Audio, 0, vec![0xaf, 0, 0x12, 0x10]),
        tag(Kind::Audio, 0, vec![0xaf, 1, 7]),
    ];
    for second in 0..groups * 2 {
        let first = if second % 2 == 0 { 0x17 } else { 0x27 };
        let mut body = vec![first, 1, 0, 0, 0];
        body.resize(size.max(6), second as u8);
        tags.push(tag(Kind::Video, second * 1000, body));
        tags.push(tag(Kind::Audio, second * 1000 + 20, vec![0xaf, 1, second as u8]));
    }
    tags
}

/// Encodes `item` to these tags and keeps it; waits until that is done.
fn keep(cache: &Cache, item: &Item, tags: &[Tag]) -> bool {
    let Some(recording) = record(cache, item, Some(SECOND)) else { return false };
    let taken = tags.iter().all(|tag| recording.push(tag));
    recording.finish(SECOND * 7, false, false);
    cache.settle(SECOND * 10);
    taken && found(cache, item).is_some()
}

fn found(cache: &Cache, item: &Item) -> Option<CacheEntry> {
    cache.find(&cache.key(&item.media)?, item)
}

fn record(cache: &Cache, item: &Item, length: Option<Duration>) -> Option<CacheRecording> {
    cache.record(&cache.key(&item.media)?, item, length)
}

fn played(entry: CacheEntry, from: Duration) -> Vec<Tag> {
    let mut playback = entry.play(from);
    std::iter::from_fn(|| playback.next_group()).flat_map(Result::unwrap).collect()
}

#[test]
fn what_is_kept_comes_back_tag_by_tag() {
    let world = World::new();
    let (cache, item, tags) = (world.cache(1 << 30), world.file("a", "a"), encoded(3, 9));
    assert!(found(&cache, &item).is_none());
    assert!(keep(&cache, &item, &tags));
    let entry = found(&cache, &item).unwrap();
    assert_eq!((entry.title(), entry.length(), entry.is_silent()), ("a", SECOND * 7, false));
    assert_eq!(played(entry, Duration::ZERO), tags);
    // From a point within on: the headers, and what follows the next keyframe.
    let rest = played(found(&cache, &item).unwrap(), Duration::from_millis(1001));
    assert_eq!(rest[..2], tags[..2]);
    assert_eq!(rest[2..], tags[3 + 4..]);
    let last = played(found(&cache, &item).unwrap(), SECOND * 100);
    assert_eq!(last[2..], tags[3 + 8..]);
    let mut reader = tgs_rtmp::flv::FlvReader::new(File::open(&files(&world.items())[0].path).unwrap());
    assert_eq!(reader.next_tag().unwrap(), Some(tags[0].clone()), "a player can open it");
}

#[test]
fn another_content_or_setup_has_an_entry_of_its_own() {
    let world = World::new();
    let item = world.file("a", "a");
    assert!(keep(&world.cache(1 << 30), &item, &encoded(1, 9)));
    for other in [
        world.with(1 << 30, Profile::P480, "", "ffmpeg 5"),
        world.with(1 << 30, Profile::P720, "-b:v 1M", "ffmpeg 5"),
        world.with(1 << 30, Profile::P720, "", "ffmpeg 6"),
        world.cache(0),
    ] {
        assert!(found(&other, &item).is_none());
    }
    let cache = world.cache(1 << 30);
    assert!(found(&cache, &world.file("b", "a")).is_none(), "another path");
    assert!(found(&cache, &item).is_some());
    assert!(found(&cache, &world.file("a", "b")).is_none(), "another content under its name");
    for none in [
        Item { media: Media { live: true, ..item.media.clone() }, ..item.clone() },
        Item { media: Media::at("https://h/a.mp4".into(), false), ..item.clone() },
        Item { media: Media::at(format!("file:{}", world.dir.path().display()), false), ..item.clone() },
        world.file("list.m3u8", "#EXTM3U"),
    ] {
        assert!(record(&cache, &none, Some(SECOND)).is_none(), "{none:?}");
    }
    assert!(record(&cache, &world.file("c", "c"), None).is_none(), "who knows whether it is whole");
    let begun = Item { start: SECOND, ..world.file("c", "c") };
    assert!(record(&cache, &begun, Some(SECOND)).is_none());
}

#[test]
fn a_slate_shows_the_title_it_was_made_with() {
    let world = World::new();
    let (cache, item) = (world.cache(1 << 30), world.file("a", "a"));
    let recording = record(&cache, &item, Some(SECOND)).unwrap();
    assert!(encoded(1, 9).iter().all(|tag| recording.push(tag)));
    recording.finish(SECOND, false, true);
    cache.settle(SECOND * 10);
    assert!(found(&cache, &item).is_some());
    assert!(found(&cache, &Item { title: "renamed".into(), ..item }).is_none());
}

#[test]
fn a_page_is_recalled_when_it_cannot_be_asked() {
    let world = World::new();
    let (cache, whole) = (world.cache(1 << 30), MediaPart::default());
    assert!(keep(&cache, &page("https://site/1", "Site 1 22"), &encoded(1, 9)));
    assert!(world.cache(1 << 30).recall("https://site/1", &whole).is_some());
    assert!(cache.recall("https://site/2", &whole).is_none());
    // Another address of the same.
    assert!(found(&cache, &page("https://site/one", "Site 1 22")).is_some());
    assert_eq!(cache.recall("https://site/one", &whole).unwrap().title(), "https://site/1");
    // A file that is gone was taken away by somebody.
    let file = world.file("a", "a");
    assert!(keep(&cache, &file, &encoded(1, 9)));
    assert!(cache.recall(&file.id, &whole).is_none());
    clear(world.dir.path()).unwrap();
    assert!(cache.recall("https://site/1", &whole).is_none());
}

#[test]
fn a_part_has_an_entry_of_its_own() {
    let world = World::new();
    let cache = world.cache(1 << 30);
    let part = |part: MediaPart| {
        let page = page("https://site/1", "Site 1 22");
        Item { media: Media { part, ..page.media.clone() }, ..page }
    };
    let cut = part(MediaPart { out_point: Some(SECOND), ..MediaPart::default() });
    assert!(keep(&cache, &cut, &encoded(1, 9)));
    assert!(found(&cache, &cut).is_some() && cache.recall(&cut.id, &cut.media.part).is_some());
    for other in [
        MediaPart::default(),
        MediaPart { in_point: SECOND / 2, ..cut.media.part.clone() },
        MediaPart { out_point: Some(SECOND * 2), ..MediaPart::default() },
        MediaPart { no_audio: true, ..cut.media.part.clone() },
        MediaPart { languages: vec!["ru".into()], ..cut.media.part.clone() },
    ] {
        let other = part(other);
        assert!(found(&cache, &other).is_none(), "{other:?}");
        assert!(cache.recall(&other.id, &other.media.part).is_none(), "{other:?}");
    }
}

#[test]
fn only_a_whole_entry_is_used() {
    let world = World::new();
    let (cache, item) = (world.cache(1 << 30), world.file("a", "a"));
    assert!(keep(&cache, &item, &encoded(3, 50)));
    let path = files(&world.items()).remove(0).path;
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(found(&cache, &item).is_none(), "{length} of {} bytes", whole.len());
        assert!(!path.exists());
    }
    // Any damage is found at the latest when its group is due, and nothing of that group is given
    // out.
    for at in tgs_rtmp::flv::FILE_HEADER.len()..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let Some(entry) = found(&cache, &item) else { continue };
        let mut playback = entry.play(Duration::ZERO);
        let groups: Vec<_> = std::iter::from_fn(|| playback.next_group()).take(3).collect();
        let good = groups.iter().take_while(|group| group.is_ok()).count();
        assert!(good < 3, "byte {at}");
        assert_eq!(groups[good].as_ref().unwrap_err().at, SECOND * 2 * good as u32);
    }
}

#[test]
fn what_was_used_longest_ago_goes_first() {
    let world = World::new();
    let all: Vec<Item> = ["a", "b", "c", "d"].map(|name| world.file(name, name)).into();
    let cache = world.cache(1 << 30);
    for item in &all[..3] {
        assert!(keep(&cache, item, &encoded(150, 1000)));
    }
    let entries = files(&world.items());
    let size = entries[0].bytes;
    for (age, item) in all[..3].iter().enumerate() {
        let path = world.items().join(entry_name(&cache.key(&item.media).unwrap()));
        let used = SystemTime::now() - SECOND * (100 - age as u32);
        File::options().append(true).open(path).unwrap().set_modified(used).unwrap();
    }
    // Playing the oldest makes it the newest.
    drop(found(&cache, &all[0]).unwrap().play(Duration::ZERO));
    let evicted = METRICS.cache.evictions.get();
    let small = world.cache(size * 7 / 2);
    assert!(keep(&small, &all[3], &encoded(150, 1000)));
    let left: Vec<bool> = all.iter().map(|item| found(&small, item).is_some()).collect();
    assert_eq!(left, [true, false, true, true]);
    assert_eq!(METRICS.cache.evictions.get() - evicted, 1);
    // What is larger than all is not begun.
    assert!(record(&small, &world.file("e", "e"), Some(SECOND * 10)).is_none());
    assert_eq!(world.count("item-"), 3);
}

#[test]
fn two_that_keep_the_same_make_one_entry() {
    let world = World::new();
    let (one, two, item, tags) =
        (world.cache(1 << 30), world.cache(1 << 30), world.file("a", "a"), encoded(2, 9));
    let recordings = [&one, &two].map(|cache| record(cache, &item, Some(SECOND)).unwrap());
    for tag in &tags {
        // One of them may know by now that the other writes it.
        let taken = recordings.iter().filter(|recording| recording.push(tag)).count();
        assert!(taken > 0);
    }
    for recording in recordings {
        recording.finish(SECOND, false, false);
    }
    one.settle(SECOND * 10);
    two.settle(SECOND * 10);
    assert_eq!((world.count("item-"), world.count("part-")), (1, 0));
    assert_eq!(played(found(&one, &item).unwrap(), Duration::ZERO), tags);
}

#[test]
fn what_is_given_up_leaves_nothing() {
    let world = World::new();
    let (cache, item) = (world.cache(1 << 30), world.file("a", "a"));
    let recording = record(&cache, &item, Some(SECOND)).unwrap();
    assert!(encoded(2, 9).iter().all(|tag| recording.push(tag)));
    drop(recording);
    cache.settle(SECOND * 10);
    assert!(files(&world.items()).is_empty());
    // Changed while it was encoded.
    let recording = record(&cache, &item, Some(SECOND)).unwrap();
    assert!(encoded(2, 9).iter().all(|tag| recording.push(tag)));
    world.file("a", "b");
    recording.finish(SECOND, false, false);
    cache.settle(SECOND * 10);
    assert!(files(&world.items()).is_empty());
}

#[test]
fn the_next_start_removes_what_a_dead_process_left() {
    let world = World::new();
    drop(world.cache(1 << 30));
    let at = |name: &str| world.items().join(name);
    for name in ["part-1", "part-2", "item-3.flv", ".page-4.77", ".item-7.flv.abcdef", ".item-8.flv.abcdef"] {
        fs::write(at(name), "x").unwrap();
    }
    let old = File::options().append(true).open(at(".item-7.flv.abcdef")).unwrap();
    old.set_modified(SystemTime::now() - ABANDONED - SECOND).unwrap();
    symlink("item-9.flv", at("page-5")).unwrap();
    symlink("item-3.flv", at("page-6")).unwrap();
    // Planted ones: a FIFO without a reader, and a link.
    rustix::fs::mknodat(rustix::fs::CWD, at("part-10"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    symlink("somebody's", at("part-11")).unwrap();
    let held = File::options().append(true).open(at("part-2")).unwrap();
    held.try_lock().unwrap();
    fs::write(at("somebody's"), "x").unwrap();
    drop(world.cache(1 << 30));
    let mut left: Vec<_> = files(&world.items()).into_iter().map(|file| file.name).collect();
    left.sort();
    assert_eq!(left, [".item-8.flv.abcdef", "item-3.flv", "page-6", "part-2", "somebody's"]);
    // A held one is not cleared either, nor what is not ours.
    clear(world.dir.path()).unwrap();
    assert_eq!(files(&world.items()).len(), 2);
}

#[test]
fn a_filler_that_nobody_uses_is_forgotten() {
    let world = World::new();
    let at = |name: &str| world.dir.path().join(name);
    for (name, age) in
        [("filler-1.flv", FORGOTTEN + SECOND), ("filler-2.flv", SECOND), ("ffmpeg-args-1", FORGOTTEN * 2)]
    {
        fs::write(at(name), "x").unwrap();
        File::options().append(true).open(at(name)).unwrap().set_modified(SystemTime::now() - age).unwrap();
    }
    forget_fillers(world.dir.path());
    assert_eq!(
        ["filler-1.flv", "filler-2.flv", "ffmpeg-args-1"].map(|name| at(name).exists()),
        [false, true, true]
    );
}

#[test]
fn root_does_not_clear_where_another_user_could_lead_it_elsewhere() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::new();
    drop(world.cache(1 << 30));
    let elsewhere = world.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("item-1.flv"), "precious").unwrap();
    fs::remove_dir(world.items()).unwrap();
    symlink(&elsewhere, world.items()).unwrap();
    std::os::unix::fs::lchown(world.items(), Some(12345), None).unwrap();
    assert_eq!(clear(world.dir.path()).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    assert!(elsewhere.join("item-1.flv").exists());
}

#[test]
fn room_is_made_only_where_it_is_enough() {
    let world = World::new();
    let cache = world.cache(1 << 30);
    for name in ["a", "b"] {
        assert!(keep(&cache, &world.file(name, name), &encoded(150, 1000)));
    }
    // Somebody else's data in the directory are not ours to count.
    fs::write(world.items().join("others"), vec![0; 2 << 20]).unwrap();
    let store = &world.cache(1 << 20).store;
    assert!(!store.make_room(2 << 20));
    assert_eq!(world.count("item-"), 2);
    assert!(store.make_room(600 << 10));
    assert_eq!(world.count("item-"), 1);
    // A lower limit holds from the start on.
    drop(world.cache(1 << 10));
    assert_eq!(world.count("item-"), 0);
}

#[test]
fn what_may_look_otherwise_next_time_is_not_kept() {
    let world = World::new();
    let item = world.file("a", "a");
    let key = |args: &str| world.with(1 << 30, Profile::P720, args, "ffmpeg 5").key(&item.media);
    assert!(key("-vf hue=s=0").is_some());
    assert!(key("-vf drawtext=text='%{localtime}'").is_none());
    assert!(key("-vf \"movie=logo.png[l];[in][l]overlay\"").is_none());
    for list in ["#EXTM3U\n", "ffconcat version 1.0", "<?xml version='1.0'?><MPD/>"] {
        assert!(world.cache(1 << 30).key(&world.file("list.bin", list).media).is_none(), "{list}");
    }
}

#[test]
fn what_was_replaced_since_it_was_looked_at_is_not_kept_under_its_new_name() {
    let world = World::new();
    let cache = world.cache(1 << 30);
    let item = world.file("a", "a");
    let key = cache.key(&item.media).unwrap();
    world.file("a", "another");
    let recording = cache.record(&key, &item, Some(SECOND)).unwrap();
    assert!(encoded(2, 9).iter().all(|tag| recording.push(tag)));
    recording.finish(SECOND, false, false);
    cache.settle(SECOND * 10);
    assert_eq!(world.count("item-") + world.count("part-"), 0);
}

#[test]
fn what_is_there_is_listed() {
    let world = World::new();
    let cache = world.cache(1 << 30);
    assert_eq!(list(world.dir.path()), []);
    assert!(keep(&cache, &world.file("a", "a"), &encoded(1, 9)));
    let kept = list(world.dir.path());
    assert_eq!((kept.len(), kept[0].title.as_str(), kept[0].seconds), (1, "a", 7));
    assert_eq!(clear(world.dir.path()).unwrap(), kept[0].bytes);
    assert_eq!(list(world.dir.path()), []);
}
