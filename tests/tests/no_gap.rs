//! Within and between items the ingest sees one even stream: at nginx-rtmp and at our own recorder,
//! by both publishers.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{path::Path, path::PathBuf, time::Duration};

use tgs_e2e::{
    broadcast::{Broadcast, Launch},
    clips::{AUDIO, Clip, PLAIN, VIDEO, Video, clip},
    flvcheck::{Report, alignment},
    ingest::Ingest,
    nginx::Nginx,
};

const SECOND: Duration = Duration::from_secs(1);
const FRAME: f64 = 1.0 / 30.0;

/// Five items that differ in size, rate and sound, 2.2 s each, of which the first and the last two
/// flash with a beep.
fn mixed() -> Vec<PathBuf> {
    let short = |clip: Clip| Clip {
        video: clip.video.map(|v| Video { millis: 2200, ..v }),
        audio: clip.audio.map(|a| tgs_e2e::clips::Audio { millis: 2200, ..a }),
        ..clip
    };
    let clips = [
        clip("join25", (640, 360), "25", 48_000, 2200),
        short(Clip { name: "join-silent", audio: None, ..PLAIN }),
        short(Clip { name: "join-blind", ext: "m4a", video: None, ..PLAIN }),
        short(Clip {
            name: "join-portrait",
            video: Some(Video { size: (360, 640), rate: "24000/1001", ..VIDEO }),
            audio: Some(tgs_e2e::clips::Audio { rate: 22_050, layout: "mono", ..AUDIO }),
            ..PLAIN
        }),
        clip("join60", (320, 180), "60", 44_100, 2200),
    ];
    clips.iter().map(|clip| clip.path().unwrap()).collect()
}

/// Plays the mixed list once to `url`.
fn broadcast(url: &str, publisher: &str) -> Broadcast {
    let broadcast = Launch::to(url)
        .unwrap()
        .set("PUBLISHER", publisher)
        .arg("--once")
        .play(mixed())
        .finish(60 * SECOND)
        .unwrap();
    let mut warnings = broadcast.warnings_but_filler();
    warnings.retain(|line| !line.contains("PUBLISHER=ffmpeg"));
    assert_eq!(warnings, [""; 0]);
    broadcast
}

/// One even stream in which every item is whole and begins with a keyframe.
fn check(broadcast: &Broadcast, recording: &Path) {
    let report = Report::of_file(recording).unwrap();
    report.check(30.0, 44_100.0).unwrap();
    let surplus = report.video.frames as f64 * FRAME - 5.0 * 2.2;
    let filled = broadcast.log().contains("filler on air");
    assert!(surplus.abs() < 5.0 * FRAME || filled && surplus > 0.0, "{surplus} s too long");
    let measured = alignment(recording).unwrap();
    assert_eq!(measured.offsets.len(), 6, "{measured:?}");
    assert_eq!((measured.silent_flashes.len(), measured.dark_beeps.len()), (2, 2), "{measured:?}");
    assert!(measured.offsets.iter().all(|(_, offset)| offset.abs() < 40.0), "{measured:?}");
    // An item begins a second before its first flash, or beep; B-frames put its sending two frames
    // before its showing.
    for first in [0, 2, 4].map(|n| measured.offsets[n].0).into_iter().chain([measured.silent_flashes[0]]) {
        let begins = (first - 1.0 - 2.0 * FRAME) * 1000.0;
        let off = report.keyframes.iter().map(|&ms| (ms as f64 - begins).abs()).fold(f64::MAX, f64::min);
        assert!(off < FRAME * 1.1e3, "no keyframe at {begins} ms: {:?}", report.keyframes);
    }
}

fn at_nginx(publisher: &str) {
    let nginx = Nginx::start().unwrap();
    let broadcast = broadcast(&nginx.url("key"), publisher);
    check(&broadcast, &nginx.recording().unwrap());
}

fn at_the_recorder(publisher: &str) {
    let ingest = Ingest::start().unwrap();
    let broadcast = broadcast(&ingest.url("key"), publisher);
    ingest.wait_ended(5 * SECOND).unwrap();
    let record = ingest.record().unwrap();
    let recording = broadcast.dir().join("recorded.flv");
    record.write_flv(&recording).unwrap();
    check(&broadcast, &recording);
    let commands: Vec<String> = record.commands().into_iter().map(|(name, _)| name).collect();
    let expected =
        ["connect", "releaseStream", "FCPublish", "createStream", "publish", "FCUnpublish", "deleteStream"];
    let commands: Vec<&str> = commands.iter().map(String::as_str).filter(|c| expected.contains(c)).collect();
    assert_eq!(commands, expected);
    // It came at the pace at which it is watched, and not at once. (Before it begins, ffmpeg as
    // the sender looks at the stream for a while.)
    let mut media = record.media().skip_while(|m| m.received.timestamp < 5000);
    let (first, last) = (media.next().unwrap(), media.last().unwrap());
    let took = (last.arrived - first.arrived).as_secs_f64();
    let due = f64::from(last.received.timestamp - first.received.timestamp) / 1000.0;
    assert!(took > due - 2.5 && took < due + 5.0, "{due} s of media took {took} s");
}

#[test]
fn native_at_nginx() {
    at_nginx("native");
}

#[test]
fn native_at_the_recorder() {
    at_the_recorder("native");
}

#[test]
fn ffmpeg_at_nginx() {
    at_nginx("ffmpeg");
}

#[test]
fn ffmpeg_at_the_recorder() {
    at_the_recorder("ffmpeg");
}
