//! The recording of a broadcast: what is aired, over crashes, full and hanging disks, and cut.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;
use tgs_control::{RecorderState, RecorderStatus};
use tgs_e2e::{
    bin_path,
    broadcast::{Broadcast, Launch},
    clips::{self, AUDIO, Clip, PLAIN, VIDEO, Video},
    disk::{Disk, FrozenDisk},
    flvcheck::Report,
    ingest::{Ingest, Record},
};
use tgs_rtmp::flv::Kind;

const SECOND: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_mins(1);

/// Plays two clips over and over to `ingest`, with the recordings in `records`.
fn launch(dir: &Path, ingest: &Ingest, records: &Path) -> Launch {
    let clips = [(4000, "first"), (5000, "second 'é' <x>")].map(|(millis, name)| {
        let path = dir.join(format!("{name}.mp4"));
        clips::clip("recorded", (640, 360), "30", 44_100, millis).copy_to(&path).unwrap();
        path
    });
    let launch = Launch::to(ingest.url("key")).unwrap().keeping(dir).play(clips);
    launch.set("RECORD_DIR", records).set("TZ", "Europe/Berlin").set("RUST_LOG", "debug")
}

/// The command `tgs-ctl` of an operator in the directory of the broadcast.
fn ctl(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(bin_path::build("tgs-ctl").unwrap());
    command.args(args).current_dir(dir).stdin(Stdio::null());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", dir).env("STATE_DIR", dir.join("state")).output().unwrap()
}

fn ok(dir: &Path, args: &[&str]) -> String {
    let output = ctl(dir, args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn fails(dir: &Path, args: &[&str]) -> String {
    let output = ctl(dir, args);
    assert!(!output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Waits for the `nth` time that an item is on air, and for three seconds of media then.
fn until_on_air(broadcast: &Broadcast, ingest: &Ingest, title: &str, nth: usize) {
    broadcast.wait_item(title, nth, LIMIT).unwrap();
    let newest = ingest.record().unwrap().media().last().unwrap().received.timestamp;
    until_media(ingest, newest + 3000);
}

/// Waits until the newest connection has brought so many ms of media.
fn until_media(ingest: &Ingest, millis: u32) {
    let newest = |record: &Record| record.media().last().map_or(0, |media| media.received.timestamp);
    let enough = |records: &[Record]| records.last().is_some_and(|record| newest(record) >= millis);
    ingest.wait("media", LIMIT, enough).unwrap();
}

/// Waits until the recorder is as `such` says.
fn until(broadcast: &Broadcast, what: &str, such: impl Fn(&RecorderStatus) -> bool) -> RecorderStatus {
    let recording = || broadcast.status().ok()?.recording.filter(|it| such(it));
    broadcast.until(what, LIMIT, recording).unwrap()
}

fn records(recorder: &RecorderStatus) -> bool {
    recorder.recorder == RecorderState::Recording
}

/// The closed recordings, oldest first.
fn recordings(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> =
        fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|ending| ending == "mkv"));
    all.sort();
    all
}

fn run(command: &mut Command) -> Vec<u8> {
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.is_empty(), "{command:?}: {said}");
    done.stdout
}

/// An output that decodes. With the times of the file: in pictures, ffmpeg would round two to one.
const NULL: [&str; 5] = ["-enc_time_base", "-1", "-f", "null", "-"];

/// What ffprobe says of the file, all of which ffmpeg decodes without a complaint.
fn probe(file: &Path) -> Value {
    run(Command::new("ffmpeg").args(["-v", "error", "-xerror", "-i"]).arg(file).args(NULL));
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-of", "json", "-show_format", "-show_streams", "-show_chapters"]).arg(file);
    serde_json::from_slice(&run(&mut command)).unwrap()
}

fn seconds(probed: &Value) -> f64 {
    probed["format"]["duration"].as_str().unwrap().parse().unwrap()
}

/// The titles of the chapters, and their beginnings in seconds.
fn chapters(probed: &Value) -> Vec<(String, f64)> {
    let chapter = |it: &Value| {
        let at: f64 = it["start_time"].as_str().unwrap().parse().unwrap();
        (it["tags"]["title"].as_str().unwrap().to_owned(), at)
    };
    probed["chapters"].as_array().unwrap().iter().map(chapter).collect()
}

/// The hash of the coded pictures of a file.
fn pictures(file: &Path) -> String {
    let args = ["-map", "0:v", "-c", "copy", "-f", "streamhash", "-hash", "md5", "-"];
    let mut command = Command::new("ffmpeg");
    String::from_utf8(run(command.args(["-v", "error", "-i"]).arg(file).args(args))).unwrap()
}

#[test]
fn what_is_aired_is_recorded_listed_and_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, kept) = (dir.path(), dir.path().join("records"));
    let ingest = Ingest::start().unwrap();
    let mut broadcast = launch(dir, &ingest, &kept).start().unwrap();
    until_on_air(&broadcast, &ingest, "first", 2);
    let shown = until(&broadcast, "a recording", records);
    assert!(shown.file.unwrap().ends_with(".mkv.part"), "{:?}", shown.dir);
    assert!(ok(dir, &["status"]).contains(&format!("Recording     {}/2", kept.display())));
    let listed = ok(dir, &["record", "list"]);
    assert!(listed.contains("not closed yet") && listed.contains("1 recordings"), "{listed}");

    // Of the file that is being written.
    for name in ["cut.mkv", "cut.mp4"] {
        let said = ok(dir, &["record", "cut", "--from", "6s", "--to", "now", name]);
        assert!(said.starts_with(&format!("{name}: 0:00:0")) && said.contains(" +0"), "{said}");
        let probed = probe(&dir.join(name));
        assert!((4.0..9.5).contains(&seconds(&probed)), "{probed}");
        assert!(!chapters(&probed).is_empty(), "{probed}");
    }
    let again = fails(dir, &["record", "cut", "--from", "6s", "--to", "now", "cut.mkv"]);
    assert!(again.contains("it exists"), "{again}");
    let none = fails(dir, &["record", "cut", "--from", "5h", "--to", "4h", "none.mkv"]);
    assert!(none.contains("nothing was recorded between"), "{none}");
    assert!(fails(dir, &["record", "cut", "--from", "soon", "--to", "now", "x.mkv"]).contains("no time"));
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!names.into_iter().any(|name| name.to_string_lossy().contains("none.mkv")));

    for (metric, least) in [
        ("tgs_recording_active", 1.0),
        ("tgs_recording_written_bytes_total", 20_000.0),
        ("tgs_recording_kept_bytes", 0.0),
    ] {
        assert!(broadcast.metric(metric).unwrap() >= least, "{metric}");
    }
    assert!(broadcast.metric("tgs_recording_lost_seconds_total").unwrap() < 0.1);
    broadcast.stop().unwrap();
    ingest.wait_ended(5 * SECOND).unwrap();

    let [file] = &recordings(&kept)[..] else { panic!("{}", broadcast.log()) };
    let probed = probe(file);
    let record = ingest.record().unwrap();
    let tags: Vec<_> = record.tags().collect();
    Report::of_tags(&tags).check(30.0, 44_100.0).unwrap();
    // Picture for picture what the server received, from the first to the last.
    let sent = tags.iter().filter(|tag| tag.kind == Kind::Video && tag.is_frame());
    let whole = dir.join("sent.h264.flv");
    record.write_flv(&whole).unwrap();
    assert_eq!(pictures(file), pictures(&whole), "{} pictures were sent", sent.count());
    let found = chapters(&probed);
    // Where an item is late, the filler has a chapter before it.
    let is_item = |chapter: &&(String, f64)| chapter.0 != "filler";
    let mut titles: Vec<_> = found.iter().filter(is_item).map(|(title, _)| &**title).collect();
    let pieces = titles.len();
    titles.dedup();
    assert!(titles.starts_with(&["first", "second 'é' <x>", "first"]), "{found:?}");
    assert!(found[0].1 < 0.1, "{found:?}");
    // Where an encoder pauses, the filler is within an item.
    let whole = found.windows(2).filter(|pair| titles.len() == pieces && is_item(&&pair[0]));
    for (pair, length) in whole.zip([4.0, 5.0]) {
        assert!((pair[1].1 - pair[0].1 - length).abs() < 0.2, "{found:?}");
    }
}

#[test]
fn a_kill_loses_less_than_two_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, kept) = (dir.path(), dir.path().join("records"));
    for millis in [7100, 7700] {
        let ingest = Ingest::start().unwrap();
        let mut broadcast = launch(dir, &ingest, &kept).start().unwrap();
        let before = recordings(&kept).len();
        until_media(&ingest, millis);
        broadcast.signal(Signal::KILL).unwrap();
        broadcast.wait(5 * SECOND).unwrap();
        ingest.wait_ended(5 * SECOND).unwrap();
        let sent = ingest.record().unwrap().media().last().unwrap().received.timestamp;
        let after = Ingest::start().unwrap();
        let mut again = launch(dir, &after, &kept).start().unwrap();
        again.wait_log(&["closed the recording"], LIMIT).unwrap();
        until(&again, "a recording", records);
        let all = recordings(&kept);
        assert_eq!(all.len(), before + 1, "{all:?}");
        let recorded = seconds(&probe(all.last().unwrap()));
        let lost = f64::from(sent) / 1000.0 - recorded;
        println!("{lost:.2} s of {sent} ms are lost");
        assert!(lost < 2.0, "{lost} s of {sent} ms are lost");
        again.stop().unwrap();
    }
}

#[test]
fn a_full_disk_stops_nothing_and_is_said() {
    let disk = Disk::of("24m").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (dir, kept) = (dir.path(), disk.path().join("records"));
    // The mount itself may be written by anybody, and root trusts no such place.
    fs::create_dir(&kept).unwrap();
    let ingest = Ingest::start().unwrap();
    let mut broadcast = launch(dir, &ingest, &kept).start().unwrap();
    until(&broadcast, "a recording", records);
    // Less than nothing: not even the last file can be closed.
    disk.fill(0).unwrap();
    broadcast.wait_log(&["WARN", "failed to record into", "No space left"], LIMIT).unwrap();
    let full = until(&broadcast, "the full disk", |it| !records(it) && it.lost_seconds > 3.0);
    assert!(matches!(full.recorder, RecorderState::Failing { .. }));
    assert_eq!(broadcast.get("/healthz").unwrap().0, 200);
    assert!(broadcast.metric("tgs_recording_active").unwrap() < 0.5);
    assert!(ok(dir, &["status"]).contains("Recording     fails: "));
    disk.free().unwrap();
    until(&broadcast, "a recording again", records);
    let played = ingest.record().unwrap().media().last().unwrap().received.timestamp;
    until_media(&ingest, played + 4000);
    broadcast.stop().unwrap();
    ingest.wait_ended(5 * SECOND).unwrap();
    Report::of_tags(&ingest.record().unwrap().tags().collect::<Vec<_>>()).check(30.0, 44_100.0).unwrap();
    // What was written before is closed by the next start.
    let after = Ingest::start().unwrap();
    let mut again = launch(dir, &after, &kept).start().unwrap();
    until(&again, "a recording", records);
    again.stop().unwrap();
    let all = recordings(&kept);
    assert!(all.len() >= 3, "{all:?}");
    for file in &all {
        probe(file);
    }
}

#[test]
fn a_disk_that_hangs_stops_nothing_and_is_said() {
    let disk = FrozenDisk::of(64).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (dir, kept) = (dir.path(), disk.path().join("records"));
    let ingest = Ingest::start().unwrap();
    let mut broadcast = launch(dir, &ingest, &kept).start().unwrap();
    until(&broadcast, "a recording", records);
    disk.freeze().unwrap();
    let hangs = |it: &RecorderStatus| matches!(&it.recorder, RecorderState::Failing { cause } if cause == "the disk does not answer");
    until(&broadcast, "the hanging disk", hangs);
    let played = ingest.record().unwrap().media().last().unwrap().received.timestamp;
    until_media(&ingest, played + 12_000);
    assert_eq!(broadcast.get("/healthz").unwrap().0, 200);
    disk.thaw().unwrap();
    until(&broadcast, "a recording again", |it| records(it) && it.lost_seconds > 5.0);
    broadcast.wait_log(&["WARN", "the disk is too slow"], LIMIT).unwrap();
    broadcast.stop().unwrap();
    ingest.wait_ended(5 * SECOND).unwrap();
    Report::of_tags(&ingest.record().unwrap().tags().collect::<Vec<_>>()).check(30.0, 44_100.0).unwrap();
    for file in recordings(&kept) {
        probe(&file);
    }
}

#[test]
fn an_item_with_other_codec_headers_is_a_file_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, kept) = (dir.path(), dir.path().join("records"));
    let codec =
        "-c:v libx264 -preset veryfast -profile:v main -g 30 -keyint_min 30 -sc_threshold 0 -pix_fmt yuv420p";
    let video = Video { millis: 4000, codec, ..VIDEO };
    let sound = clips::Audio { rate: 44_100, millis: 4000, ..AUDIO };
    let own = Clip { name: "own-headers", video: Some(video), audio: Some(sound), ..PLAIN };
    own.copy_to(&dir.join("own.mp4")).unwrap();
    let other = clips::clip("recorded", (320, 180), "30", 44_100, 4000);
    other.copy_to(&dir.join("other.mp4")).unwrap();
    let ingest = Ingest::start().unwrap();
    let launch = Launch::to(ingest.url("key")).unwrap().keeping(dir);
    let launch = launch.play([dir.join("own.mp4"), dir.join("other.mp4")]).set("RECORD_DIR", &kept);
    let mut broadcast = launch.set("PASSTHROUGH", "1").set("FADE", "0ms").start().unwrap();
    until_on_air(&broadcast, &ingest, "own", 2);
    let refused = fails(dir, &["record", "cut", "--from", "20s", "--to", "now", "x.mkv"]);
    assert!(refused.contains("the format of picture or sound changes at 20"), "{refused}");
    broadcast.stop().unwrap();
    ingest.wait_ended(5 * SECOND).unwrap();
    let record = ingest.record().unwrap();
    let headers = record.tags().filter(|tag| tag.kind == Kind::Video && tag.is_sequence_header()).count();
    assert!(headers >= 3, "the item was encoded after all:\n{}", broadcast.log());
    let all = recordings(&kept);
    assert_eq!(all.len(), headers, "{all:?}");
    let probed: Vec<_> = all.iter().map(|file| probe(file)).collect();
    let is_own = |probed: &&Value| chapters(probed)[0].0 == "own";
    let own = probed.iter().find(is_own).unwrap();
    assert!((seconds(own) - 4.0).abs() < 0.2, "{own}");
    // The title of the next item is not in the file before. Late items have filler before them.
    let titles = probed.iter().flat_map(chapters).map(|(title, _)| title);
    let mut titles: Vec<_> = titles.filter(|title| title != "filler").collect();
    titles.dedup();
    assert!(titles.len() >= 3 && titles[..3] == ["own", "other", "own"], "{probed:?}");
}
