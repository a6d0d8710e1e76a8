//! Items, encoders and lines that fail: the ingest sees one even stream over one connection, the
//! operator sees the reason.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::process::Signal;
use tgs_e2e::{
    broadcast::{Broadcast, Launch, Process, wrapped_ffmpeg},
    clips::{Clip, PLAIN, clip, noisy},
    flvcheck::{Alignment, Report, alignment},
    ingest::Ingest,
    throttle::Throttle,
    web::{Page, Web},
};

const SECOND: Duration = Duration::from_secs(1);

/// One of 5 s that can be cut anywhere, in a container that tells its length at the beginning.
fn streamable() -> Clip {
    Clip { ext: "mkv", ..noisy("cuttable", 5000) }
}

/// A broadcast to a recorder of its own.
struct OnAir {
    ingest: Ingest,
    broadcast: Broadcast,
}

impl OnAir {
    fn with(publisher: &str, launch: impl FnOnce(Launch) -> Launch) -> Self {
        let ingest = Ingest::start().unwrap();
        let launch = launch(Launch::to(ingest.url("key")).unwrap().set("PUBLISHER", publisher));
        Self { ingest, broadcast: launch.start().unwrap() }
    }

    /// One by each publisher: they run side by side, since both mostly wait.
    fn by_both(launch: impl Fn(Launch) -> Launch) -> [Self; 2] {
        ["native", "ffmpeg"].map(|publisher| Self::with(publisher, &launch))
    }

    /// The warnings, without the one that says what the ffmpeg publisher lacks.
    fn warnings(&self) -> Vec<String> {
        self.broadcast.warnings().into_iter().filter(|w| !w.contains("PUBLISHER=ffmpeg")).collect()
    }

    /// Waits for the end, and fails unless it came in order.
    fn ended(&mut self, limit: Duration) {
        let status = self.broadcast.wait(limit).unwrap();
        assert!(status.success(), "{status}");
        self.ingest.wait_ended(5 * SECOND).unwrap();
    }

    /// What was recorded over the only connection, which must be one even stream.
    fn recorded(&self) -> (Report, Alignment) {
        let record = self.ingest.record().unwrap();
        let file = self.broadcast.dir().join("recorded.flv");
        record.write_flv(&file).unwrap();
        let report = Report::of_file(&file).unwrap();
        report.check(30.0, 44_100.0).unwrap();
        let measured = alignment(&file).unwrap();
        assert!(measured.offsets.iter().all(|(_, offset)| offset.abs() < 40.0), "{measured:?}");
        (report, measured)
    }
}

/// Asserts that exactly one warning names `title`, and that it holds all of `words`.
fn assert_warned(warnings: &[String], title: &str, words: &[&str]) {
    let of_it: Vec<&String> = warnings.iter().filter(|w| w.contains(&format!("“{title}”"))).collect();
    let all = of_it.len() == 1 && words.iter().all(|word| of_it[0].contains(word));
    assert!(all, "“{title}” with {words:?} in:\n{}", warnings.join("\n"));
}

#[test]
fn bad_files_are_skipped_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("empty.mp4"), "").unwrap();
    fs::write(at("text.mp4"), "This is no film.\n".repeat(200)).unwrap();
    let garbage: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(at("garbage.mp4"), garbage).unwrap();
    PLAIN.cut_to(&at("cut-before-index.mp4"), 0.5).unwrap();
    // A new one might still be being copied.
    let before = SystemTime::now() - 60 * SECOND;
    fs::File::options().write(true).open(at("cut-before-index.mp4")).unwrap().set_modified(before).unwrap();
    streamable().cut_to(&at("cut.mkv"), 0.5).unwrap();
    fs::create_dir(at("folder.mp4")).unwrap();
    let bad = [
        "missing.mp4",
        "empty.mp4",
        "text.mp4",
        "garbage.mp4",
        "cut-before-index.mp4",
        "cut.mkv",
        "folder.mp4",
    ];
    let mut list = vec![PLAIN.path().unwrap()];
    list.extend(bad.map(at));
    list.push(PLAIN.path().unwrap());
    for mut on_air in OnAir::by_both(|launch| launch.arg("--once").play(&list)) {
        on_air.ended(60 * SECOND);
        let warnings = on_air.warnings();
        assert_warned(&warnings, "missing", &["skipped", "there is no such file"]);
        assert_warned(&warnings, "empty", &["skipped", "the file is empty"]);
        assert_warned(&warnings, "text", &["skipped", "or no video at all"]);
        assert_warned(&warnings, "garbage", &["skipped", "or no video at all"]);
        assert_warned(&warnings, "cut-before-index", &["skipped", "cut off before its index"]);
        assert_warned(&warnings, "cut", &["cut short", "before its end"]);
        assert!(warnings.iter().any(|w| w.contains("the folder holds no media")), "{warnings:?}");
        let (_, measured) = on_air.recorded();
        // Two flashes of each good clip, one or two of the truncated one.
        let flashes = measured.offsets.len();
        assert!(flashes == 5 || flashes == 6, "{measured:?}");
    }
}

#[test]
fn bad_servers_are_bridged_and_named() {
    let media = fs::read(streamable().path().unwrap()).unwrap();
    let web = Web::serve([
        ("/refused.mp4", Page::Refuses("403 Forbidden")),
        ("/broken.mp4", Page::Refuses("500 Internal Server Error")),
        ("/whole.mkv", Page::Whole(media.clone())),
        ("/dies.mkv", Page::DiesAt(media.clone(), 0.5)),
        ("/stalls.mkv", Page::StallsAt(media, 0.5)),
        ("/hangs.mp4", Page::Hangs),
    ])
    .unwrap();
    let names =
        ["/none.mp4", "/refused.mp4", "/whole.mkv", "/broken.mp4", "/dies.mkv", "/stalls.mkv", "/hangs.mp4"];
    let mut list: Vec<PathBuf> = names.map(|name| web.url(name).into()).to_vec();
    // Nothing listens here.
    list.push("http://127.0.0.1:9/closed.mp4".into());
    list.push(PLAIN.path().unwrap());
    let mut on_air = OnAir::with("native", |launch| launch.arg("--once").play(&list));
    on_air.ended(120 * SECOND);
    let warnings = on_air.warnings();
    assert_warned(&warnings, "none", &["skipped", "404"]);
    assert_warned(&warnings, "refused", &["skipped", "403"]);
    assert_warned(&warnings, "broken", &["skipped", "server failed"]);
    // ffmpeg asks again and again for the rest, and another one once more, for longer than
    // viewers are to wait.
    for title in ["“dies”", "“stalls”"] {
        let of_it = |words: &str| warnings.iter().any(|w| w.contains(title) && w.contains(words));
        assert!(of_it("encoding the rest") && of_it("cut short"), "{title} in {warnings:?}");
    }
    assert_warned(&warnings, "hangs", &["skipped"]);
    assert_warned(&warnings, "closed", &["skipped", "refuses the connection"]);
    assert!(!warnings.iter().any(|w| w.contains("“whole”")), "{warnings:?}");
    let (report, measured) = on_air.recorded();
    // Four of the whole clip, two of the last, and what the two broken ones had.
    assert!((8..=11).contains(&measured.offsets.len()), "{measured:?}");
    // It waited for the two that say nothing for 10 s, and was not silent.
    assert!(report.video.last > 20_000, "{report:?}");
    assert!(warnings.iter().any(|w| w.contains("filler on air")), "{warnings:?}");
}

/// Plays an item whose encoder gets `signal`, between other clips. The warning of the item holds
/// `words`.
fn encoder_gets(signal: Signal, name: &'static str, before: &[Clip], words: &[&str]) {
    // A pipe holds a small item whole, so its encoder would end before the item is published.
    let item = noisy(name, 30_000);
    let clips = before.iter().chain([&item, &PLAIN]);
    let list: Vec<_> = clips.map(|clip| clip.path().unwrap()).collect();
    let item = item.path().unwrap();
    let mut on_air = OnAir::with("ffmpeg", |launch| launch.arg("--once").play(&list));
    on_air.broadcast.wait_item(name, 1, 60 * SECOND).unwrap();
    let url = format!("file:{}", item.display());
    let is_its = |process: &Process| process.is_encoder() && process.args.contains(&url);
    on_air.broadcast.wait_process(10 * SECOND, is_its).unwrap().signal(signal).unwrap();
    on_air.ended(60 * SECOND);
    assert_warned(&on_air.warnings(), &title(&item), words);
    let (report, measured) = on_air.recorded();
    // All of the item. With nothing before it, its encoder dies before there is any read-ahead, so
    // there is filler for a while.
    assert!(report.video.last > 30_000, "{report:?}");
    let seen = measured.offsets.last().unwrap().0 * 1000.0;
    assert!(seen > report.video.last as f64 - 1500.0, "the last clip was not played: {measured:?}");
}

#[test]
fn an_encoder_that_is_killed_is_replaced() {
    encoder_gets(Signal::KILL, "killed", &[], &["encoder", "SIGKILL", "encoding the rest"]);
}

#[test]
fn an_encoder_that_is_stopped_is_replaced() {
    encoder_gets(Signal::STOP, "stopped", &[PLAIN], &["encoder was stopped", "encoding the rest"]);
}

fn title(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

/// An ffmpeg that encodes items at `speed` times real time; slate and version as ever.
fn slowed_ffmpeg(dir: &Path, speed: &str) -> PathBuf {
    let script = format!(
        "case \"$*\" in *file:*) exec \"$REAL\" -readrate {speed} \"$@\" ;; *) exec \"$REAL\" \"$@\" ;; esac"
    );
    wrapped_ffmpeg(dir, &script).unwrap()
}

#[test]
fn an_item_of_few_bytes_in_real_time_does_not_stall() {
    let dir = tempfile::tempdir().unwrap();
    let ffmpeg = slowed_ffmpeg(dir.path(), "0.5");
    // Hardly more than 1 kB/s: whatever keeps bytes back until they are many keeps these for a long
    // time.
    let quiet = clip("quiet", (320, 180), "30", 44_100, 8000).path().unwrap();
    let mut on_air =
        OnAir::with("native", |launch| launch.arg("--once").set("FFMPEG_PATH", &ffmpeg).play([&quiet]));
    on_air.ended(60 * SECOND);
    assert!(on_air.warnings().iter().all(|w| w.contains("filler on air")), "{:?}", on_air.warnings());
    let (_, measured) = on_air.recorded();
    assert_eq!(measured.offsets.len(), 7, "{measured:?}");
}

#[test]
fn a_slow_encoder_is_bridged_between_keyframes_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let ffmpeg = slowed_ffmpeg(dir.path(), "0.6");
    let slow = noisy("slow", 9000).path().unwrap();
    let mut on_air =
        OnAir::with("native", |launch| launch.arg("--once").set("FFMPEG_PATH", &ffmpeg).play([&slow]));
    on_air
        .broadcast
        .wait_log(&["WARN", "filler on air", "the encoder is slower than real time"], 30 * SECOND)
        .unwrap();
    on_air.ended(60 * SECOND);
    let (report, measured) = on_air.recorded();
    // All of the item is shown, in pieces.
    assert_eq!(measured.offsets.len(), 8, "{measured:?}");
    assert!(report.video.last > 12_000, "no filler: {report:?}");
    // It was no failure of the item.
    assert!(on_air.warnings().iter().all(|w| w.contains("filler on air")), "{:?}", on_air.warnings());
}

#[test]
fn a_slow_uplink_is_named_and_survived() {
    let noisy = noisy("uplink", 6000).path().unwrap();
    let ingest = Ingest::start().unwrap();
    // A third of the bitrate. With less, a receive window of loopback may stay shut for as long as
    // a dead line.
    let line = Throttle::start(ingest.port(), 45_000).unwrap();
    let url = format!("rtmp://127.0.0.1:{}/live/key", line.port());
    let launch = Launch::to(url).unwrap().set("VIDEO_QUALITY", "480p").play([noisy]);
    let broadcast = launch.start().unwrap();
    let mut on_air = OnAir { ingest, broadcast };
    on_air.broadcast.wait_log(&["WARN", "uplink", "slower than the bitrate"], 60 * SECOND).unwrap();
    assert!(on_air.broadcast.metric("tgs_publisher_queue_seconds").unwrap() > 0.5);
    line.set(10_000_000);
    // The lag was dropped: publishing continues in real time with a nearly empty queue.
    on_air
        .broadcast
        .until("a short queue", 20 * SECOND, || {
            on_air.broadcast.metric("tgs_publisher_queue_seconds").ok().filter(|q| *q < 0.5)
        })
        .unwrap();
    let now = on_air.ingest.record().unwrap().media().last().unwrap().received.timestamp;
    on_air
        .ingest
        .wait("three more seconds", 10 * SECOND, |records| {
            records[0].media().last().is_some_and(|m| m.received.timestamp > now + 3000)
        })
        .unwrap();
    on_air.broadcast.stop().unwrap();
    on_air.ingest.wait_ended(5 * SECOND).unwrap();
    on_air.recorded();
    assert!(on_air.warnings().iter().all(|w| !w.contains("encoder")), "{:?}", on_air.warnings());
}

#[test]
fn a_list_of_bad_items_shows_the_slate_and_does_not_spin() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.mp4", "b.mp4", "c.mp4"] {
        fs::write(folder.path().join(name), "no film").unwrap();
    }
    let mut both = OnAir::by_both(|launch| launch.play([folder.path()]));
    for on_air in &both {
        let again = |nth| {
            on_air.broadcast.wait_log_nth(&["nothing in the list", "trying again in"], nth, 20 * SECOND)
        };
        let rounds = [1, 2, 3].map(|nth| again(nth).unwrap().at);
        // The waits grow from 1 s; each is at least half of what it grew to.
        assert!(rounds[1] - rounds[0] >= SECOND / 2 && rounds[2] - rounds[1] >= SECOND, "{rounds:?}");
        let lines = on_air.broadcast.lines();
        let skipped = lines.iter().filter(|l| l.at <= rounds[2] && l.text.contains("skipped “")).count();
        assert_eq!(skipped, 9, "three items in three rounds");
        on_air.broadcast.wait_log(&["filler on air"], 10 * SECOND).unwrap();
        let flows = |records: &[tgs_e2e::ingest::Record]| records.iter().any(|r| r.media().count() > 100);
        on_air.ingest.wait("the slate", 10 * SECOND, flows).unwrap();
        assert_eq!(on_air.broadcast.get("/healthz").unwrap().0, 200);
    }
    PLAIN.copy_to(&folder.path().join("good.mp4")).unwrap();
    for on_air in &mut both {
        on_air.broadcast.wait_item("good", 1, 20 * SECOND).unwrap();
        // It comes round again, though the others stay bad.
        on_air.broadcast.wait_metric("streams_played_total", 2.0, 20 * SECOND).unwrap();
        on_air.broadcast.stop().unwrap();
        on_air.ingest.wait_ended(5 * SECOND).unwrap();
        on_air.recorded();
    }
}
