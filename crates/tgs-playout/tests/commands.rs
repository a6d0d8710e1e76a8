//! Commands to a running engine with the real ffmpeg: their effect for viewers, frame by frame.
//!
//! Each clip shows its number as brightness and its time as colour, so that every frame of the
//! recording says where it comes from.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    fs::{self, File},
    io::BufReader,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command as Process,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use tgs_control::{EngineStatus, OnAir, PlayingItem};
use tgs_playout::{
    command::{Command, CommandRefused},
    engine::{self, Control, EngineConfig, RunEnd, Summary},
    ffmpeg::Processing,
    item::{Item, JumpTarget, Media, NextItem, Programme},
    output::Output,
    profile::Profile,
};
use tgs_rtmp::flv::{FlvReader, Kind};

const PROFILE: Profile = Profile { width: 320, height: 180, video_kbps: 200, ..Profile::P720 };

/// How long each clip is.
const CLIP: f64 = 12.0;

/// How far a frame's colour may lie, in seconds: it has 8 steps a second, and an encoder.
const NEAR: f64 = 0.3;

/// Files that play before the rest of the list; the test adds to it.
type SharedQueue = Arc<Mutex<Vec<PathBuf>>>;

/// Some files in order, once.
struct List {
    files: Vec<PathBuf>,
    /// What each turn so far has played.
    turns: Vec<Entry>,
    at: usize,
    start: Duration,
    queue: SharedQueue,
    /// Whether the queue waits for an entry that one has gone to.
    ahead_of_queue: bool,
    reloads: Arc<Mutex<u32>>,
}

#[derive(Clone)]
enum Entry {
    Listed(usize),
    /// Behind the one before this.
    Queued(usize, PathBuf),
}

impl List {
    fn new(files: &[PathBuf]) -> Self {
        let reloads = Arc::default();
        let (files, turns, queue) = (files.to_vec(), Vec::new(), SharedQueue::default());
        Self { files, turns, at: 0, start: Duration::ZERO, queue, ahead_of_queue: false, reloads }
    }
}

impl Programme for List {
    fn next(&mut self) -> NextItem {
        let queued = self.queue.lock().unwrap().first().cloned();
        let path = if queued.is_none() || std::mem::take(&mut self.ahead_of_queue) {
            let Some(path) = self.files.get(self.at) else { return NextItem::End };
            self.turns.push(Entry::Listed(self.at));
            self.at += 1;
            path.clone()
        } else {
            let path = self.queue.lock().unwrap().remove(0);
            self.turns.push(Entry::Queued(self.at, path.clone()));
            path
        };
        let live = path.starts_with("udp:");
        let url = if live { path.display().to_string() } else { format!("file:{}", path.display()) };
        let media = Media::at(url, live);
        let title = path.file_stem().unwrap().to_string_lossy().into_owned();
        let (id, place) = (path.display().to_string(), self.turns.len() as u64 - 1);
        NextItem::Play(Item { id, turn: place, title, start: std::mem::take(&mut self.start), media })
    }

    fn confirm(&mut self, item: Item) -> NextItem {
        NextItem::Play(item)
    }

    fn round_len(&self) -> usize {
        self.files.len()
    }

    fn jump(&mut self, place: Option<u64>, to: JumpTarget) {
        let Some(place) = place else { return };
        for unseen in self.turns[place as usize + 1..].iter().rev() {
            if let Entry::Queued(_, path) = unseen {
                self.queue.lock().unwrap().insert(0, path.clone());
            }
        }
        let at = match &self.turns[place as usize] {
            Entry::Listed(at) => *at,
            Entry::Queued(at, _) => at - 1,
        };
        self.ahead_of_queue = to != JumpTarget::After;
        self.at = match to {
            JumpTarget::Again(from) => {
                self.start = from;
                at
            }
            JumpTarget::Before => at.saturating_sub(1),
            JumpTarget::After => at + 1,
            JumpTarget::Entry(entry) => entry as usize,
        };
    }

    fn reload(&mut self) {
        *self.reloads.lock().unwrap() += 1;
    }
}

/// Four clips, `0.mkv` to `3.mkv`.
fn clips(dir: &Path) -> Vec<PathBuf> {
    let clip = |number: usize| {
        let path = dir.join(format!("{number}.mkv"));
        let colour = format!("geq=lum={}:cb=64:cr='40+8*T'", 40 + 40 * number);
        let picture = format!("nullsrc=s=64x36:r=30:d={CLIP},format=yuv444p,{colour}");
        let sound = format!("sine=f={}:r=44100:d={CLIP}", 300 + 100 * number);
        let done = Process::new("ffmpeg")
            .args([
                "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound,
            ])
            .args(["-c:v", "ffv1", "-color_range", "tv", "-colorspace", "bt709", "-c:a", "pcm_s16le"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        path
    };
    (0..4).map(clip).collect()
}

/// A piece of the recording without a jump in it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Piece {
    /// Which clip; `None` for the filler.
    clip: Option<usize>,
    /// Where in the clip it begins and ends, in seconds.
    from: f64,
    to: f64,
    frames: usize,
}

/// What the recording shows.
fn seen(recording: &Path) -> Vec<Piece> {
    let decoded = Process::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(recording)
        .args([
            "-vf",
            "scale=2:2:flags=area,format=yuv444p",
            "-fps_mode",
            "passthrough",
            "-f",
            "rawvideo",
            "-",
        ])
        .output()
        .unwrap();
    assert!(
        decoded.status.success() && decoded.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&decoded.stderr)
    );
    let mut pieces: Vec<Piece> = Vec::new();
    for frame in decoded.stdout.chunks_exact(12) {
        let (y, cb, cr) = (f64::from(frame[0]), frame[4], f64::from(frame[8]));
        let (clip, time) = if cb < 100 {
            (Some(((y - 40.0) / 40.0).round() as usize), (cr - 40.0) / 8.0)
        } else {
            (None, 0.0)
        };
        match pieces.last_mut() {
            Some(last) if last.clip == clip && (time - last.to).abs() < 2.0 * NEAR => {
                last.to = time;
                last.frames += 1;
            }
            _ => pieces.push(Piece { clip, from: time, to: time, frames: 1 }),
        }
    }
    pieces
}

/// An engine that writes `out.flv` in `dir` in real time.
fn config(dir: &Path, ffprobe: PathBuf) -> EngineConfig {
    EngineConfig {
        ffmpeg: "ffmpeg".into(),
        ffprobe,
        profile: PROFILE,
        processing: Processing::default(),
        ffmpeg_args: String::new(),
        output: Output::File(dir.join("out.flv")),
        read_ahead: Duration::from_secs(4),
        realtime: true,
        filler: None,
        cache_dir: dir.join("cache"),
        cache_limit: 0,
        cache_ahead: false,
        image_duration: Duration::from_secs(10),
        passthrough: false,
        state_dir: dir.join("state"),
        first_timestamp: 0,
    }
}

/// Waits for a status of the engine.
fn until(control: &Control, what: &str, such: impl Fn(&EngineStatus) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let status = control.status.read().status;
        if such(&status) {
            return;
        }
        assert!(Instant::now() < deadline, "waited for {what}: {status:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// An engine that writes a file at the speed of a broadcast, and its end.
struct Running {
    dir: tempfile::TempDir,
    files: Vec<PathBuf>,
    control: Control,
    reloads: Arc<Mutex<u32>>,
    queue: SharedQueue,
    thread: thread::JoinHandle<Summary>,
}

impl Running {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = clips(dir.path());
        let list = files[..3].to_vec();
        Self::of(dir, files, &list)
    }

    fn of(dir: tempfile::TempDir, files: Vec<PathBuf>, list: &[PathBuf]) -> Self {
        let config = config(dir.path(), "ffprobe".into());
        let control = Control::default();
        let list = List::new(list);
        let (reloads, queue) = (list.reloads.clone(), list.queue.clone());
        let thread = thread::spawn({
            let control = control.clone();
            move || engine::run(config, Box::new(list), &control).unwrap()
        });
        Self { dir, files, control, reloads, queue, thread }
    }

    fn send(&self, command: Command) {
        self.control.send(command).unwrap();
    }

    fn until(&self, what: &str, such: impl Fn(&EngineStatus) -> bool) {
        until(&self.control, what, such);
    }

    /// Waits until this clip is shown, `offset` seconds into it or more.
    fn shows(&self, clip: usize, offset: f64) {
        let wanted = clip.to_string();
        self.until(&format!("{clip} at {offset} s"), |status| match &status.on_air {
            OnAir::Item(PlayingItem { title, offset_seconds, .. }) => {
                *title == wanted && *offset_seconds >= offset
            }
            _ => false,
        });
    }

    /// Waits for its end; what it wrote, proven to be even.
    fn end(self) -> (Summary, Vec<Piece>) {
        let summary = self.thread.join().unwrap();
        let recording = self.dir.path().join("out.flv");
        let mut reader = FlvReader::new(BufReader::new(File::open(&recording).unwrap()));
        let mut times = [Vec::new(), Vec::new()];
        while let Some(tag) = reader.next_tag().unwrap() {
            if tag.is_frame() {
                times[usize::from(tag.kind == Kind::Audio)].push(tag.timestamp as i64);
            }
        }
        for (times, (least, most)) in times.iter().zip([(33, 34), (23, 24)]) {
            for pair in times.windows(2) {
                let step = pair[1] - pair[0];
                assert!((least..=most).contains(&step), "a step of {step} ms at {} ms", pair[0]);
            }
        }
        (summary, seen(&recording))
    }
}

/// What was shown of the clips. The filler bridges the time that an encoder takes to begin, also
/// within a clip, which then continues where it was.
fn without_filler(seen: &[Piece]) -> Vec<Piece> {
    let mut clips: Vec<Piece> = Vec::new();
    for piece in seen.iter().filter(|piece| piece.clip.is_some()) {
        match clips.last_mut() {
            Some(last) if last.clip == piece.clip && (piece.from - last.to).abs() < 2.0 * NEAR => {
                last.to = piece.to;
                last.frames += piece.frames;
            }
            _ => clips.push(*piece),
        }
    }
    clips
}

/// The clips in order, and that each piece begins where it is to.
fn check(seen: &[Piece], expected: &[(usize, f64)]) {
    let clips: Vec<Option<usize>> = seen.iter().map(|piece| piece.clip).collect();
    assert_eq!(clips, expected.iter().map(|(clip, _)| Some(*clip)).collect::<Vec<_>>(), "{seen:#?}");
    for (piece, (_, from)) in seen.iter().zip(expected) {
        assert!((piece.from - from).abs() < NEAR, "{piece:?} does not begin at {from}: {seen:#?}");
    }
}

#[test]
fn next_previous_and_seek_lead_where_they_say_without_a_gap() {
    let running = Running::start();
    running.shows(0, 0.1);
    running.send(Command::Next);
    running.shows(1, 0.5);
    running.send(Command::Seek(Duration::from_secs(8)));
    running.shows(1, 8.2);
    running.send(Command::Previous);
    running.shows(0, 0.5);
    // Twice at once: two items.
    running.send(Command::Next);
    running.send(Command::Next);
    running.shows(2, 0.5);
    running.send(Command::StopAfterCurrent);
    running.send(Command::Seek(Duration::from_millis(10_500)));
    let (summary, seen) = running.end();
    assert_eq!((summary.failed, summary.end), (0, RunEnd::AfterCurrent));
    let seen = without_filler(&seen);
    check(&seen, &[(0, 0.0), (1, 0.0), (1, 8.0), (0, 0.0), (2, 0.0), (2, 10.5)]);
    assert!((seen.last().unwrap().to - CLIP).abs() < NEAR, "{seen:#?}");
    // The command came within two seconds: the rest of the group on air, and one more at most while
    // the next item gets ready.
    assert!(seen[0].to < 4.0 + NEAR, "{seen:#?}");
}

#[test]
fn a_pause_takes_nothing_away_and_what_is_queued_comes_between() {
    let running = Running::start();
    running.shows(0, 1.0);
    running.send(Command::Pause);
    running.until("the filler", |status| status.paused && matches!(status.on_air, OnAir::Filler { .. }));
    running.queue.lock().unwrap().push(running.files[3].clone());
    running.send(Command::Replan);
    running.send(Command::Reload);
    running.send(Command::Title("Night".into()));
    running.until("the title", |status| status.title.as_deref() == Some("Night"));
    running.until("the queued clip", |status| status.next.as_deref() == Some("3"));
    running.send(Command::Resume);
    running.shows(0, 3.0);
    running.send(Command::Seek(Duration::from_millis(10_500)));
    running.shows(3, 0.5);
    running.send(Command::Next);
    running.shows(1, 0.5);
    running.send(Command::Stop);
    assert_eq!(running.control.send(Command::Next), Err(CommandRefused::Stopped));
    assert_eq!(*running.reloads.lock().unwrap(), 1);
    let (summary, seen) = running.end();
    assert_eq!((summary.failed, summary.end), (0, RunEnd::Stopped));
    let seen = without_filler(&seen);
    // The group of pictures that the pause has cut is shown again.
    let resumed = seen.iter().take_while(|piece| piece.from < 10.0).count() - 1;
    for pair in seen[..=resumed].windows(2) {
        assert!((-NEAR..2.0 + NEAR).contains(&(pair[0].to - pair[1].from)), "{seen:#?}");
    }
    let before = seen[..=resumed].iter().map(|piece| (0, piece.from));
    let expected: Vec<_> = before.chain([(0, 10.5), (3, 0.0), (1, 0.0)]).collect();
    check(&seen, &expected);
    assert!(seen[0].from < NEAR, "{seen:#?}");
    assert!((seen[resumed + 1].to - CLIP).abs() < NEAR, "it was not shown to its end: {seen:#?}");
}

#[test]
fn an_entry_is_gone_to_and_relative_seeks_add_up() {
    let running = Running::start();
    running.shows(0, 0.5);
    running.send(Command::Goto(2));
    running.shows(2, 1.0);
    // Behind the first, the second refers to its target.
    running.send(Command::SeekBy(3000));
    running.send(Command::SeekBy(4000));
    running.shows(2, 8.2);
    running.send(Command::SeekBy(-60_000));
    running.until("the beginning", |status| match &status.on_air {
        OnAir::Item(item) => item.offset_seconds < 2.0,
        _ => false,
    });
    running.send(Command::Goto(1));
    running.shows(1, 0.5);
    running.send(Command::Stop);
    let (summary, seen) = running.end();
    assert_eq!((summary.failed, summary.end), (0, RunEnd::Stopped));
    let seen = without_filler(&seen);
    let clips: Vec<Option<usize>> = seen.iter().map(|piece| piece.clip).collect();
    assert_eq!(clips, [0, 2, 2, 2, 1].map(Some), "{seen:#?}");
    assert!(seen[1].from < NEAR && seen[3].from < NEAR && seen[4].from < NEAR, "{seen:#?}");
    // Counted from what was published at the first one, a second into the item or a little later.
    assert!((8.0 - NEAR..9.0).contains(&seen[2].from), "{seen:#?}");
}

#[test]
fn a_list_that_has_come_to_its_end_can_still_be_gone_back_in() {
    let running = Running::start();
    running.shows(0, 0.1);
    running.send(Command::Next);
    running.send(Command::Next);
    running.send(Command::Seek(Duration::from_secs(8)));
    running.until("all of the last item", |status| match &status.on_air {
        OnAir::Item(item) => {
            let encoded = item.offset_seconds + status.readahead_seconds;
            item.title == "2" && item.offset_seconds > 8.1 && status.next.is_none() && encoded > CLIP - 0.5
        }
        _ => false,
    });
    running.send(Command::Previous);
    running.shows(1, 0.2);
    running.send(Command::Seek(Duration::from_mins(1)));
    running.shows(2, 0.2);
    running.send(Command::Next);
    let (summary, seen) = running.end();
    assert_eq!((summary.failed, summary.end), (0, RunEnd::Over));
    check(&without_filler(&seen), &[(0, 0.0), (2, 8.0), (1, 0.0), (2, 0.0)]);
}

/// A sender of a clip in real time, ended with this.
struct Sender(std::process::Child);

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_live_source_goes_on_at_its_newest_behind_a_pause_and_cannot_be_sought_in() {
    let dir = tempfile::tempdir().unwrap();
    let files = clips(dir.path());
    // Free now; nobody else takes ports of UDP here.
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("udp://127.0.0.1:{port}");
    let mut sender = Process::new("ffmpeg");
    sender.args(["-v", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i"]).arg(&files[3]);
    sender.args([
        "-vf",
        "scale=320:180:flags=neighbor,format=yuv420p",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
    ]);
    sender.args(["-tune", "zerolatency", "-g", "15", "-crf", "10", "-c:a", "aac", "-f", "mpegts"]);
    let _sender = Sender(sender.arg(format!("{url}?pkt_size=1316")).spawn().unwrap());
    let list = [PathBuf::from(&url), files[0].clone()];
    let running = Running::of(dir, files, &list);
    running.until("the live source", |status| match &status.on_air {
        OnAir::Item(item) => item.offset_seconds > 1.0,
        _ => false,
    });
    assert_eq!(running.control.send(Command::Seek(Duration::from_secs(3))), Err(CommandRefused::Live));
    running.send(Command::Pause);
    running.until("the filler", |status| matches!(status.on_air, OnAir::Filler { .. }));
    let filler = || {
        let all = prometheus::default_registry().gather();
        let one = all.iter().find(|family| family.name() == "tgs_filler_seconds_total").unwrap();
        one.get_metric()[0].get_counter().get_value()
    };
    let before = filler();
    running.until("five seconds of filler", |_| filler() > before + 5.0);
    running.send(Command::Resume);
    running.until("the live source", |status| matches!(status.on_air, OnAir::Item(_)));
    running.send(Command::Next);
    running.shows(0, 0.5);
    running.send(Command::Stop);
    let (summary, seen) = running.end();
    assert_eq!((summary.failed, summary.end), (0, RunEnd::Stopped));
    // Shorter fillers may be where an encoder has taken long to begin.
    let between = |at: usize| [at - 1, at + 1].map(|at| seen.get(at).and_then(|piece| piece.clip));
    let fillers = (1..seen.len()).filter(|at| seen[*at].clip.is_none() && between(*at) == [Some(3); 2]);
    let paused = fillers.max_by_key(|at| seen[*at].frames).unwrap();
    let (left, resumed) = (seen[paused - 1], seen[paused + 1]);
    assert_eq!((left.clip, resumed.clip), (Some(3), Some(3)), "{seen:#?}");
    // It begins anew each 12 s. What the filler has bridged is missing, give or take a group, and
    // what an encoder on a busy machine was late before.
    let bridged = seen[paused].frames as f64 / 30.0;
    let more = (resumed.from - left.to - bridged + CLIP / 2.0).rem_euclid(CLIP) - CLIP / 2.0;
    assert!((-3.0..4.5).contains(&more), "{more} s more than {bridged} are missing: {seen:#?}");
    assert_eq!(seen.last().unwrap().clip, Some(0), "{seen:#?}");
}

/// One film that has become another one when it is due, of which ffprobe does not come to an end.
struct Replaced {
    film: PathBuf,
    hang: PathBuf,
}

impl Programme for Replaced {
    fn next(&mut self) -> NextItem {
        let media = Media::at(format!("file:{}", self.film.display()), false);
        let (id, title) = ("film".to_owned(), "film".to_owned());
        NextItem::Play(Item { id, turn: 0, title, start: Duration::ZERO, media })
    }

    fn confirm(&mut self, item: Item) -> NextItem {
        fs::write(&self.hang, "").unwrap();
        NextItem::Play(Item { title: "another".to_owned(), ..item })
    }

    fn round_len(&self) -> usize {
        1
    }

    fn jump(&mut self, _: Option<u64>, _: JumpTarget) {}

    fn reload(&mut self) {}
}

#[test]
fn a_stop_while_an_item_is_prepared_is_no_failure_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (hang, probing, ffprobe) = (at("hang"), at("probing"), at("ffprobe"));
    let condition = format!("[ -e {} ] && touch {} && exec sleep 60", hang.display(), probing.display());
    fs::write(&ffprobe, format!("#!/bin/sh\n{condition}\nexec ffprobe \"$@\"\n")).unwrap();
    fs::set_permissions(&ffprobe, fs::Permissions::from_mode(0o755)).unwrap();
    let programme = Replaced { film: clips(dir.path()).remove(0), hang };
    let (config, control) = (config(dir.path(), ffprobe), Control::default());
    let engine = thread::spawn({
        let control = control.clone();
        move || engine::run(config, Box::new(programme), &control).unwrap()
    });
    // The engine runs, too.
    until(&control, "the ffprobe that hangs", |status| {
        probing.exists() && matches!(status.on_air, OnAir::Filler { .. })
    });
    control.send(Command::Stop).unwrap();
    let summary = engine.join().unwrap();
    assert_eq!((summary.failed, summary.end), (0, RunEnd::Stopped));
    assert_eq!(control.status.read().status.last_failure, None);
}

#[test]
fn what_nothing_plays_for_is_refused_and_the_rest_waits() {
    let control = Control::default();
    for command in [
        Command::Next,
        Command::Previous,
        Command::Seek(Duration::ZERO),
        Command::SeekBy(1),
        Command::Goto(0),
    ] {
        assert_eq!(control.send(command), Err(CommandRefused::NothingPlays));
    }
    for command in [Command::Replan, Command::Reload, Command::Pause, Command::StopAfterCurrent] {
        assert_eq!(control.send(command), Ok(()));
    }
    let status = control.status.read().status;
    assert!(status.paused && status.stops_after_current);
    let other = control.another();
    other.send(Command::Stop).unwrap();
    assert!(other.stopped().is_cancelled() && !control.stopped().is_cancelled());
}
