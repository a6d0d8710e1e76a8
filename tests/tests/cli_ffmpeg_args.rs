//! FFMPEG_ARGS and FILLER: what works is seen in the stream, what does not is one warning and no
//! reason not to start.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;
use tgs_control::OnAir;
use tgs_e2e::{
    broadcast::{Broadcast, Launch, wrapped_ffmpeg},
    clips::{Clip, PLAIN, VIDEO, Video, clip},
    flvcheck::{Report, beeps, brightness},
    ingest::Ingest,
};

const LIMIT: Duration = Duration::from_mins(1);

/// A clip of 1.5 s of noise, which needs all the bits it is given.
fn noise() -> PathBuf {
    let filters = ",noise=alls=60:allf=t";
    let video = Video { size: (320, 180), filters, millis: 1500, codec: "-c:v mpeg4 -q:v 8", ..VIDEO };
    Clip { name: "noise", video: Some(video), audio: None, ..PLAIN }.path().unwrap()
}

fn short() -> PathBuf {
    clip("second", (320, 180), "30", 44_100, 1000).path().unwrap()
}

/// Plays `source` once with these FFMPEG_ARGS. `cache` holds the slate, so that not every run
/// encodes it.
fn played(cache: &TempDir, source: &Path, args: &str) -> (Broadcast, PathBuf) {
    let launch = Launch::to("out.flv").unwrap().play([source]).arg("--once").set("FFMPEG_ARGS", args);
    let broadcast = launch.set("CACHE_DIR", cache.path()).finish(LIMIT).unwrap();
    let out = broadcast.dir().join("out.flv");
    Report::of_file(&out).unwrap().check(30.0, 44_100.0).unwrap();
    (broadcast, out)
}

#[test]
fn options_and_filters_change_the_stream() {
    let cache = tempfile::tempdir().unwrap();
    let bytes = |path: &Path| fs::metadata(path).unwrap().len();
    let (plain, out) = played(&cache, &noise(), "");
    let full = bytes(&out);
    assert_eq!(plain.warnings(), [""; 0]);
    let (slim, out) = played(&cache, &noise(), "-b:v 200k -maxrate 200k -bufsize 200k");
    assert_eq!(slim.warnings(), [""; 0]);
    assert!(bytes(&out) < full / 2, "{} bytes, {full} without", bytes(&out));
    // A value with spaces in quotes; the sound's chain beside the picture's.
    let (white, out) = played(
        &cache,
        &PLAIN.path().unwrap(),
        r#"-vf "drawbox=x=0: y=0: w=iw: h=ih: c=white: t=fill, hue=s=0" -af volume=0 -preset ultrafast"#,
    );
    assert_eq!(white.warnings(), [""; 0]);
    assert_eq!(beeps(&out).unwrap(), [0.0; 0]);
    let pictures = brightness(&out).unwrap();
    assert_eq!(pictures.len(), 90);
    assert!(pictures.iter().all(|(_, luma)| *luma > 220.0), "{pictures:?}");
}

/// Every kind of argument that cannot be used: the stream is then what it is without any.
#[test]
fn unusable_arguments_give_one_warning_with_the_reason() {
    let cases = [
        // Not even tried.
        (r#"-vf "drawbox"#, "quote"),
        ("-b:v 1M other.flv", "“other.flv” stands where an option"),
        ("-i other.mp4", "-i belongs to the engine"),
        // Refused by ffmpeg.
        ("-no_such_option 1", "ffmpeg refuses them"),
        ("-vf no_such_filter", "ffmpeg refuses them"),
        ("-b:v", "ffmpeg refuses them"),
        // Not what FLV and Telegram take.
        ("-c:v flv1", "not H.264"),
        ("-c:a libmp3lame", "not AAC"),
        ("-pix_fmt yuv444p", "yuv420p"),
        // Not what can be joined.
        ("-g 300", "keyframes are more than 2.1 s apart"),
        // Recovery points instead of IDR pictures: decoding cannot begin there.
        ("-x264-params open-gop=1", "keyframes"),
        ("-s 320x180", "is 320×180, the broadcast's is 640×360"),
        ("-r 25", "frame rate must stay 30"),
        ("-vf fps=15", "frame rate must stay 30"),
        ("-ar 48000", "48000 Hz"),
        ("-af atempo=2", "neither be cut nor stretched"),
        // The picture comes a second later than its sound.
        ("-vf setpts=PTS+1/TB", "sound"),
    ];
    let cache = tempfile::tempdir().unwrap();
    for (args, reason) in cases {
        let (broadcast, out) = played(&cache, &short(), args);
        let warnings = broadcast.warnings();
        assert_eq!(warnings.len(), 1, "{args}: {warnings:?}");
        assert!(warnings[0].contains(" WARN  FFMPEG_ARGS are not used: "), "{args}: {warnings:?}");
        assert!(warnings[0].contains(reason), "{args}: {warnings:?}");
        let report = Report::of_file(&out).unwrap();
        assert!(report.video.frames.abs_diff(30) <= 1, "{args}: {} pictures", report.video.frames);
    }
}

/// A start with proven arguments does not wait for a trial, and one with refused ones says so
/// again.
#[test]
fn the_verdict_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    // The one directory that it may write in.
    let runs = dir.path().join("state/scratch/runs");
    let script = format!("echo \"$@\" >> '{}'\nexec \"$REAL\" \"$@\"", runs.display());
    let ffmpeg = wrapped_ffmpeg(dir.path(), &script).unwrap();
    let trials = |args: &str| {
        let launch = Launch::to("out.flv").unwrap().play([short()]).arg("--once").set("FFMPEG_ARGS", args);
        let launch = launch
            .set("FFMPEG_PATH", &ffmpeg)
            .set("CACHE_DIR", dir.path().join("cache"))
            .set("STATE_DIR", dir.path().join("state"));
        let broadcast = launch.finish(LIMIT).unwrap();
        let log = fs::read_to_string(&runs).unwrap();
        fs::remove_file(&runs).unwrap();
        // The item itself was encoded by the same script.
        assert!(log.lines().any(|run| run.contains("second")), "{log}");
        (log.lines().filter(|run| run.contains("testsrc2")).count(), broadcast.warnings().len())
    };
    assert_eq!(trials("-preset ultrafast"), (1, 0));
    assert_eq!(trials("-preset ultrafast"), (0, 0));
    assert_eq!(trials("-g 300"), (1, 1));
    assert_eq!(trials("-g 300"), (0, 1));
    assert_eq!(trials("-preset superfast"), (1, 0));
}

/// A broadcast of nothing that can be played, with `file` as FILLER, to `ingest`.
fn filling(home: &TempDir, file: &Path, ingest: &Ingest) -> Broadcast {
    let launch = Launch::to(ingest.url("key")).unwrap().keeping(home.path());
    launch.play(["gone.mp4"]).set("FILLER", file).start().unwrap()
}

/// Stops it after a second of filler. The brightness of the pictures that the server got.
fn filled(mut broadcast: Broadcast, ingest: &Ingest) -> Vec<f64> {
    broadcast.wait_metric("tgs_filler_seconds_total", 1.0, LIMIT).unwrap();
    let status = broadcast.status().unwrap();
    assert!(matches!(status.engine.on_air, OnAir::Filler { .. }), "{status:?}");
    broadcast.stop().unwrap();
    ingest.wait_ended(Duration::from_secs(5)).unwrap();
    let out = broadcast.dir().join("out.flv");
    ingest.record().unwrap().write_flv(&out).unwrap();
    Report::of_file(&out).unwrap().check(30.0, 44_100.0).unwrap();
    let pictures: Vec<f64> = brightness(&out).unwrap().into_iter().map(|(_, luma)| luma).collect();
    assert!(pictures.len() > 25, "{pictures:?}");
    pictures
}

#[test]
fn a_filler_file_is_shown_in_place_of_the_slate() {
    let video = Video { filters: ",drawbox=c=white:t=fill", size: (320, 180), ..VIDEO };
    let white = Clip { name: "white", video: Some(video), ..PLAIN }.path().unwrap();
    let (home, ingest) = (tempfile::tempdir().unwrap(), Ingest::start().unwrap());
    // The first start publishes before the file is encoded.
    let mut first = filling(&home, &white, &Ingest::start().unwrap());
    first.wait_log(&["FILLER", white.to_str().unwrap(), "is ready"], LIMIT).unwrap();
    first.stop().unwrap();
    assert!(!first.warnings().concat().contains("FILLER"), "{}", first.log());
    let pictures = filled(filling(&home, &white, &ingest), &ingest);
    assert!(pictures.iter().all(|luma| *luma > 220.0), "{pictures:?}");
}

#[test]
fn a_filler_file_that_cannot_be_used_is_a_warning_and_the_slate() {
    let home = tempfile::tempdir().unwrap();
    let text = home.path().join("text.mp4");
    fs::write(&text, "no video\n").unwrap();
    for file in [text, home.path().join("gone.mp4")] {
        let ingest = Ingest::start().unwrap();
        let broadcast = filling(&home, &file, &ingest);
        let told = ["WARN", "FILLER", file.to_str().unwrap(), "built-in slate"];
        broadcast.wait_log(&told, LIMIT).unwrap();
        let pictures = filled(broadcast, &ingest);
        assert!(pictures.iter().all(|luma| *luma < 128.0), "{pictures:?}");
    }
}
