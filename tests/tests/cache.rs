//! Encode once, from the outside: what the ingest gets from the cache, two broadcasts in one cache,
//! and a writer killed at any moment.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tgs_core::process::find;
use tgs_e2e::{
    bin_path,
    broadcast::{Broadcast, Launch, wrapped_ffmpeg},
    cached_items,
    clips::{PLAIN, VIDEO, Video, clip, noisy},
    flvcheck::Report,
    ingest::Ingest,
};
use tgs_rtmp::flv::{FlvReader, Kind, Tag};

const SECOND: Duration = Duration::from_secs(1);

/// Three items whose lengths meet no frame of sound, one of them silent.
fn list() -> Vec<PathBuf> {
    let silent = tgs_e2e::clips::Clip {
        name: "kept-silent",
        audio: None,
        video: Some(Video { millis: 2200, ..VIDEO }),
        ..PLAIN
    };
    [clip("kept25", (640, 360), "25", 48_000, 2300), silent, clip("kept60", (320, 180), "60", 44_100, 2700)]
        .iter()
        .map(|clip| clip.path().unwrap())
        .collect()
}

/// To `output`, with the cache in `dir` and the state in `state`; no source yet.
fn into_cache(output: impl AsRef<OsStr>, dir: &Path, state: &Path) -> Launch {
    let launch = Launch::to(output).unwrap().keeping(state).arg("--once");
    launch.set("CACHE_DIR", dir.join("cache")).set("CACHE_MAX_GB", "1")
}

/// The same with the list twice.
fn launch(ingest: &Ingest, dir: &Path, state: &Path) -> Launch {
    into_cache(ingest.url("key"), dir, state).play([list(), list()].concat())
}

fn entries(dir: &Path) -> (usize, usize) {
    let names = fs::read_dir(dir.join("cache/items")).unwrap().map(|e| e.unwrap().file_name());
    let names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    let count = |begin: &str| names.iter().filter(|name| name.starts_with(begin)).count();
    (count("item-"), count("part-"))
}

/// What arrived, which is one even stream.
fn arrived(ingest: &Ingest, broadcast: &Broadcast) -> Vec<Tag> {
    ingest.wait_ended(5 * SECOND).unwrap();
    let tags: Vec<Tag> = ingest.record().unwrap().tags().filter(|tag| tag.kind != Kind::Script).collect();
    let problems = Report::of_tags(&tags).problems(30.0, 44_100.0);
    assert!(problems.is_empty(), "{problems:?}\n{}", broadcast.log());
    tags
}

#[test]
fn the_same_tags_come_from_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let tool = tempfile::tempdir().unwrap();
    // The directory that encoders work in is the only one that they can write to.
    let script = "case \"$*\" in *file:*libx264*) echo >> encoded;; esac\nexec \"$REAL\" \"$@\"";
    let ffmpeg = wrapped_ffmpeg(tool.path(), script).unwrap();
    let log = dir.path().join("state/scratch/encoded");
    let encoded = || fs::read_to_string(&log).unwrap_or_default().len();

    let ingest = Ingest::start().unwrap();
    let launch = launch(&ingest, dir.path(), dir.path()).set("FFMPEG_PATH", &ffmpeg);
    let broadcast = launch.finish(60 * SECOND).unwrap();
    arrived(&ingest, &broadcast);
    assert_eq!(encoded(), 3, "the second round comes from the cache");

    // Into a file, which waits for the encoder: the filler that a busy machine shows meanwhile
    // would move all that follows.
    tgs_playout::cache::clear(&dir.path().join("cache")).unwrap();
    fs::remove_file(&log).unwrap();
    let into_file = |name: &str| {
        let output = dir.path().join(name);
        let launch = into_cache(&output, dir.path(), dir.path()).set("FFMPEG_PATH", &ffmpeg);
        launch.play(list()).finish(60 * SECOND).unwrap();
        let mut tags = FlvReader::new(fs::File::open(output).unwrap());
        std::iter::from_fn(|| tags.next_tag().unwrap()).collect::<Vec<_>>()
    };
    let first = into_file("first.flv");
    assert_eq!(encoded(), 3);
    let second = into_file("second.flv");
    assert_eq!(encoded(), 3, "nothing is encoded twice");
    assert_eq!(first.len(), second.len());
    let differ = first.iter().zip(&second).position(|(one, other)| one != other);
    assert!(differ.is_none(), "tag {differ:?} of {} differs", first.len());
    assert!(first.len() as f64 > 7.2 * (30.0 + 40.0), "{} tags", first.len());
}

#[test]
fn two_broadcasts_that_encode_the_same_at_once_make_one_entry() {
    let dir = tempfile::tempdir().unwrap();
    let ingests = [Ingest::start().unwrap(), Ingest::start().unwrap()];
    let states = [dir.path().join("one"), dir.path().join("two")];
    let mut both: Vec<Broadcast> = ingests
        .iter()
        .zip(&states)
        .map(|(ingest, state)| launch(ingest, dir.path(), state).start().unwrap())
        .collect();
    for (broadcast, ingest) in both.iter_mut().zip(&ingests) {
        assert!(broadcast.wait(60 * SECOND).unwrap().success(), "{}", broadcast.log());
        let tags = arrived(ingest, broadcast);
        assert!(tags.len() as f64 > 2.0 * 7.2 * (30.0 + 40.0), "{} tags", tags.len());
        assert!(!broadcast.log().contains("not kept"), "{}", broadcast.log());
    }
    assert_eq!(entries(dir.path()), (3, 0));
}

/// An interrupted rsync leaves its hidden file, the begun copy under `.partial/`, or a begun entry
/// under its own name.
#[test]
fn what_an_interrupted_rsync_has_copied_is_used_or_encoded_again() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other");
    // rsync writes 256 KiB at once: the second film is twice as large.
    let films = [list().remove(0), noisy("kept-noisy", 7000).path().unwrap()];
    let play = |dir: &Path| {
        let ingest = Ingest::start().unwrap();
        let launch = into_cache(ingest.url("key"), dir, &dir.join("state")).play(films.clone());
        let broadcast = launch.finish(60 * SECOND).unwrap();
        arrived(&ingest, &broadcast);
        broadcast.log()
    };
    play(&other);
    let ways = [
        (None, Signal::KILL),
        (Some("--partial-dir=.partial"), Signal::TERM),
        (Some("--inplace"), Signal::KILL),
    ];
    thread::scope(|threads| {
        for (option, signal) in ways {
            let here = dir.path().join(option.unwrap_or("plain"));
            let (other, play) = (&other, &play);
            threads.spawn(move || {
                fs::create_dir(&here).unwrap();
                interrupted_copy(other, &here, option, signal);
                let begun = begun(other, &here);
                assert_eq!(begun.len(), 1, "{option:?}: no entry was half copied");
                let log = play(&here);
                assert!(!log.contains("ERROR") && !log.contains("cannot"), "{log}");
                let kept = tgs_playout::cache::list(&here.join("cache"));
                assert_eq!(kept.len(), 2, "{option:?}: {begun:?}\n{log}");
                assert_eq!(entries(&here), (2, 0));
            });
        }
    });
}

/// Copies the cache of another host with rsync, which is ended by `signal` within an entry.
fn interrupted_copy(from: &Path, to: &Path, option: Option<&str>, signal: Signal) {
    let mut rsync = Command::new(find("setpriv").unwrap())
        .args(["--pdeathsig", "KILL", "rsync", "-a", "--bwlimit=100"])
        .args(option)
        .args([&from.join("cache"), to])
        .process_group(0)
        .spawn()
        .unwrap();
    while begun(from, to).is_empty() {
        assert!(rsync.try_wait().unwrap().is_none(), "rsync {option:?} has ended");
        thread::sleep(Duration::from_millis(10));
    }
    // It is three processes.
    kill_process_group(Pid::from_child(&rsync), signal).unwrap();
    rsync.wait().unwrap();
}

/// The begun copies in `to`: files with the name of an entry in `from`, or of rsync's making, that
/// are shorter.
fn begun(from: &Path, to: &Path) -> Vec<PathBuf> {
    let files = |dir: PathBuf| {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
            .filter(|(_, meta)| meta.is_file())
    };
    let whole: Vec<_> = files(from.join("cache/items")).collect();
    let shorter = |(path, meta): &(PathBuf, fs::Metadata)| {
        let name = path.file_name().unwrap().to_string_lossy();
        whole.iter().any(|(entry, all)| {
            name.contains(&*entry.file_name().unwrap().to_string_lossy())
                && (1..all.len()).contains(&meta.len())
        })
    };
    let items = to.join("cache/items");
    let all = files(items.clone()).chain(files(items.join(".partial")));
    all.filter(shorter).map(|(path, _)| path).collect()
}

#[test]
fn a_writer_killed_at_any_moment_leaves_whole_entries_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let writer = bin_path::build("cache_writer").unwrap();
    let (mut seen, mut parts) = (0, 0);
    for round in 0..200 {
        let mut child = Command::new(find("setpriv").unwrap())
            .args(["--pdeathsig", "KILL"])
            .arg(&writer)
            .arg(dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Some entries later, however slow the disk is, and then a moment of its own for each.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..=round % 3 {
            lines.next().unwrap().unwrap();
        }
        thread::sleep(Duration::from_micros(moment(round) % 15_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let names = fs::read_dir(dir.path().join("items")).unwrap();
        parts +=
            names.filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with("part-")).count();
        let cache = cached_items::cache(dir.path());
        for number in 0..cached_items::ITEMS {
            let item = cached_items::item(dir.path(), number).unwrap();
            if let Some(entry) = cache.key(&item.media).and_then(|key| cache.find(&key, &item)) {
                let mut playback = entry.play(Duration::ZERO);
                let groups = std::iter::from_fn(|| playback.next_group());
                let tags: Vec<Tag> = groups.flat_map(|group| group.expect("every group is whole")).collect();
                assert!(tags == cached_items::tags(number), "round {round}, item {number}");
                seen += 1;
            }
        }
        let left = fs::read_dir(dir.path().join("items")).unwrap();
        let left = left.filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with("part-"));
        assert_eq!(left.count(), 0, "what the killed one was at is removed");
        if round % 10 == 9 {
            tgs_playout::cache::clear(dir.path()).unwrap();
        }
    }
    assert!(seen > 200 && parts > 20, "{seen} entries and {parts} parts: the kills did not meet the writing");
}

/// Different for each `n`, and the same in each run.
fn moment(n: u64) -> u64 {
    (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}
