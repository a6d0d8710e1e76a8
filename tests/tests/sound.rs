//! The sound of a broadcast as the ingest gets it: two clips of very different loudness, and what
//! `--check` says about them.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tgs_e2e::{broadcast::Launch, clips::ffmpeg, ingest::Ingest};

/// A clip of 6 s whose sound is at about this loudness.
fn film(dir: &Path, name: &str, gain: f64) -> PathBuf {
    let path = dir.join(name);
    let chord = "aevalsrc=0.2*sin(1383*t)+0.2*sin(1742*t)+0.15*sin(5224*t):d=6:s=48000";
    let how = format!(
        "-f lavfi -i testsrc2=s=640x360:r=30:d=6 -f lavfi -i {chord} -af volume={gain}dB,alimiter=limit=0.98:level=false \
         -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac -b:a 192k -ac 2"
    );
    let args: Vec<_> = how.split_whitespace().map(str::to_owned).collect();
    ffmpeg(&args, &path).unwrap();
    path
}

/// Integrated loudness and true peak of what is in `file` from `from` s after its first sound on,
/// for 4 s. A slate before it is silent.
fn loudness(file: &Path, from: u32) -> (f64, f64) {
    let meter = format!(
        "silenceremove=start_periods=1:start_threshold=-60dB,asetpts=N/SR/TB,atrim=start={from}:duration=4,\
         ebur128=peak=true:framelog=verbose"
    );
    let done = Command::new("ffmpeg")
        .args(["-nostdin", "-hide_banner", "-nostats", "-i"])
        .arg(file)
        .args(["-vn", "-af", &meter, "-f", "null", "-"])
        .output()
        .unwrap();
    let text = String::from_utf8(done.stderr).unwrap();
    let (_, summary) = text.rsplit_once("Summary:").unwrap();
    let value = |name: &str| {
        let line = summary.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    (value("I:"), value("Peak:"))
}

#[test]
fn two_clips_are_equally_loud_at_the_ingest_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    let quiet = film(dir.path(), "quiet.mp4", -22.0);
    let loud = film(dir.path(), "loud.mp4", 8.5);
    let (low, high) = (loudness(&quiet, 1).0, loudness(&loud, 1).0);
    assert!(low < -30.0 && high > -8.0, "{low} and {high} LUFS");
    let ingest = Ingest::start().unwrap();
    let launch = Launch::to(ingest.url("key"))
        .unwrap()
        .set("LOUDNESS", "-16")
        .keeping(dir.path())
        .arg("--once")
        .play([&quiet, &loud]);
    let broadcast = launch.finish(Duration::from_mins(1)).unwrap();
    ingest.wait_ended(Duration::from_secs(5)).unwrap();
    assert!(!broadcast.log().contains("loudnorm"), "{}", broadcast.log());
    let sent = dir.path().join("sent.flv");
    ingest.record().unwrap().write_flv(&sent).unwrap();
    // 1 s into each.
    for from in [1, 7] {
        let (lufs, peak) = loudness(&sent, from);
        assert!((lufs + 16.0).abs() <= 0.5 && peak <= -0.5, "from {from} s: {lufs} LUFS, {peak} dBTP");
    }
    assert_eq!(fs::read_dir(dir.path().join("cache/loudness")).unwrap().count(), 2);
    // Both are known to the check.
    let tool = tgs_e2e::bin_path::tgs_stream();
    let checked = Command::new(tool)
        .arg("--check")
        .args([&quiet, &loud])
        .current_dir(dir.path())
        .env("CACHE_DIR", dir.path().join("cache"))
        .env("STATE_DIR", dir.path().join("state"))
        .output()
        .unwrap();
    let text = String::from_utf8(checked.stdout).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.contains(" LUFS, peak ")).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("gain +") && lines[1].contains("gain -"), "{text}");
}

#[test]
fn a_language_that_does_not_exist_stops_the_start() {
    let failed = Launch::to("/dev/null").unwrap().set("AUDIO_LANGUAGE", "ru,elvish").arg("--once");
    let mut broadcast = failed.play(["x.mp4"]).start().unwrap();
    let status = broadcast.wait(Duration::from_secs(10)).unwrap();
    assert_eq!(status.code(), Some(78), "{}", broadcast.log());
    assert!(
        broadcast.log().contains("AUDIO_LANGUAGE (in the environment) has “elvish”"),
        "{}",
        broadcast.log()
    );
}
