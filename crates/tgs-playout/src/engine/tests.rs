//! What a panic costs: that one item where an item is at work, the broadcast (with a failure that
//! all can see) where a thread dies that it needs.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use tgs_control::Health;
use tgs_core::cancel::Cancel;
use tgs_rtmp::flv::{FlvReader, Kind};

use super::*;
use crate::{
    ffmpeg::{EncodeSetup, ExtraArgs, Processing},
    item::{Item, JumpTarget, Media, MediaPart, NextItem, UpcomingItem},
    profile::Profile,
    status::METRICS,
};

const PROFILE: Profile = Profile { width: 320, height: 180, video_kbps: 200, ..Profile::P720 };

/// One clip, again and again, under these titles.
struct Titles {
    clip: PathBuf,
    all: Vec<&'static str>,
    given: usize,
    /// Begins again after the last.
    repeat: bool,
}

impl Programme for Titles {
    fn next(&mut self) -> NextItem {
        let at = if self.repeat { self.given % self.all.len() } else { self.given };
        self.given += 1;
        let Some(&title) = self.all.get(at) else { return NextItem::End };
        assert!(title != "next panics", "at an address with http://me:hidden@h/");
        let media = Media::at(format!("file:{}", self.clip.display()), false);
        let (id, place) = (title.to_owned(), self.given as u64);
        NextItem::Play(Item { id, turn: place, title: title.to_owned(), start: Duration::ZERO, media })
    }

    fn confirm(&mut self, item: Item) -> NextItem {
        assert!(item.title != "confirm panics");
        NextItem::Play(item)
    }

    fn upcoming(&self, _: usize) -> Vec<UpcomingItem> {
        panic!("coming panics")
    }

    fn round_len(&self) -> usize {
        self.all.len()
    }

    fn jump(&mut self, _: Option<u64>, _: JumpTarget) {}

    fn reload(&mut self) {
        panic!("reload panics");
    }
}

fn clip(dir: &Path) -> PathBuf {
    let path = dir.join("clip.mp4");
    let inputs = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=30:d=1", "-f", "lavfi", "-i", "sine=d=1"];
    let done = Command::new("ffmpeg").args(["-v", "error"]).args(inputs).arg(&path).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    path
}

fn play(
    dir: &Path,
    titles: Vec<&'static str>,
    repeat: bool,
    control: &Control,
) -> Result<Summary, EngineError> {
    let config = EngineConfig {
        ffmpeg: "ffmpeg".into(),
        ffprobe: "ffprobe".into(),
        profile: PROFILE,
        processing: Processing::default(),
        ffmpeg_args: String::new(),
        output: Output::File(dir.join("out.flv")),
        read_ahead: Duration::from_secs(4),
        realtime: repeat,
        filler: None,
        cache_dir: dir.join("cache"),
        cache_limit: 0,
        cache_ahead: true,
        image_duration: Duration::from_secs(10),
        passthrough: false,
        state_dir: dir.join("state"),
        first_timestamp: 0,
    };
    run(config, Box::new(Titles { clip: clip(dir), all: titles, given: 0, repeat }), control)
}

#[test]
fn a_panic_at_an_item_is_that_items_failure() {
    let dir = tempfile::tempdir().unwrap();
    let control = Control::default();
    let failures = || METRICS.failures.with_label_values(&["internal"]).get();
    control.send(crate::command::Command::Reload).unwrap();
    let titles =
        vec!["one", "next panics", "two", "encoding panics", "confirm panics", "showing panics", "three"];
    let summary = play(dir.path(), titles, false, &control).unwrap();
    // The one that fails half-way has been on air.
    assert_eq!(summary, Summary { played: 4, failed: 4, end: RunEnd::Over });
    assert_eq!(failures(), 4);
    let failure = control.status.read().status.last_failure.unwrap();
    assert!(failure.starts_with("showing panics: a fault of tgs-stream, please report it: "), "{failure}");
    assert!(failure.contains("token http://h/?key=[masked]"), "{failure}");
    assert_eq!(control.status.read().dead_thread, None);
    let mut tags = FlvReader::new(BufReader::new(File::open(dir.path().join("out.flv")).unwrap()));
    let mut times = Vec::new();
    while let Some(tag) = tags.next_tag().unwrap() {
        if tag.kind == Kind::Video && tag.is_frame() {
            times.push(tag.timestamp);
        }
    }
    assert!(times.len() > 90, "{} pictures of three whole seconds and a part", times.len());
    assert!(times.windows(2).all(|pair| (33..=34).contains(&(pair[1] - pair[0]))), "{times:?}");
}

#[test]
fn the_death_of_a_thread_that_it_needs_ends_the_broadcast() {
    for (title, name) in [
        ("the encode thread panics", "encode"),
        ("the prepare thread panics", "prepare"),
        ("the playout thread panics", "playout"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let control = Control::default();
        let ended = play(dir.path(), vec!["one", title], true, &control);
        assert!(matches!(ended, Err(EngineError::Died { name: died, .. }) if died == name), "{ended:?}");
        let stuck = control.watchdog.stuck(Instant::now());
        assert_eq!(stuck.map(|(thread, _)| thread), Some(name), "the watchdog");
        let Health::Unhealthy(health) = control.status.read().health() else {
            panic!("{name} is not missed")
        };
        assert!(health.starts_with(&format!("the thread {name} died (as asked: ")), "{health}");
        assert!(health.ends_with(", and tgs-stream ends") && !health.contains("hidden"), "{health}");
    }
}

#[test]
fn a_panic_while_an_item_is_encoded_ahead_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let setup = EncodeSetup {
        ffmpeg: "ffmpeg".into(),
        ffprobe: "ffprobe".into(),
        profile: PROFILE,
        processing: Processing::default(),
        extra: ExtraArgs::default(),
        scratch: dir.path().to_owned(),
        image_duration: Duration::from_secs(10),
        short_groups: false,
    };
    let cancel = Cancel::new();
    let read_ahead = Arc::new(ReadAhead::new(30, Duration::from_secs(3), Arc::default()));
    // Nothing more comes, so nobody waits for an encoder.
    assert!(read_ahead.finish());
    let upcoming = UpcomingItems::default();
    let cache = Arc::new(Cache::open(dir.path(), 1 << 30, &setup, "ffmpeg"));
    let (asked, answers) = std::sync::mpsc::channel();
    let coming = |id: &str, panics: bool| {
        let asked = asked.clone();
        let find = move || {
            asked.send(panics).unwrap();
            assert!(!panics, "as asked");
            None
        };
        UpcomingItem { id: id.to_owned(), part: MediaPart::default(), find: Box::new(find) }
    };
    upcoming.set(vec![coming("a", true), coming("b", false)]);
    let ahead = CachePrefetcher {
        encodes: true,
        meter: None,
        upcoming,
        cache,
        read_ahead: Some(read_ahead),
        setup,
        ffprobe: "ffprobe".into(),
        cancel: cancel.clone(),
    };
    let thread = ahead.start().unwrap();
    let patience = Duration::from_mins(1);
    assert_eq!([answers.recv_timeout(patience), answers.recv_timeout(patience)], [Ok(true), Ok(false)]);
    cancel.cancel();
    thread.join().unwrap();
}

#[test]
fn a_filler_that_nobody_asked_for_is_timed() {
    let dir = tempfile::tempdir().unwrap();
    let control = Control::default();
    let wait = |what: &str, done: &dyn Fn(Option<Instant>) -> bool| {
        let end = Instant::now() + Duration::from_mins(1);
        while !done(control.status.read().filler_since) {
            assert!(Instant::now() < end, "{what}");
            thread::sleep(Duration::from_millis(10));
        }
    };
    thread::scope(|threads| {
        threads.spawn(|| play(dir.path(), vec!["encoding panics"], true, &control).unwrap());
        wait("the filler is not noticed", &|since| since.is_some());
        control.send(crate::command::Command::Pause).unwrap();
        wait("a pause is taken for a fault", &|since| since.is_none());
        let resumed = Instant::now();
        control.send(crate::command::Command::Resume).unwrap();
        wait("the pause is counted", &|since| since.is_some_and(|since| since >= resumed));
        control.send(crate::command::Command::Stop).unwrap();
    });
}
