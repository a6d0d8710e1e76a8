//! What the times in a file are worth, with the real ffprobe and ffmpeg: jumps, late streams, ends
//! that nobody states.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod ffmpeg;

use std::{fs, path::Path, time::Duration};

use ffmpeg::make;
use tgs_core::cancel::Cancel;
use tgs_playout::{
    ffmpeg::{
        EncodeJob, EncodeSetup, Encoder, ExtraArgs, Processing,
        probe::{self, ProbeOptions},
    },
    item::{Item, Media},
    profile::Profile,
};
use tgs_rtmp::flv::Kind;

const X264: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 25 -c:a aac -vsync passthrough";
const PICTURE: &str = "-f lavfi -i testsrc2=s=160x90:r=25:d=6";
const SOUND: &str = "-f lavfi -i sine=440:r=48000:d=6";

/// What a file was probed to be: seconds, and whether that is a guess. Then what its encoder makes:
/// seconds of picture, and the end of the sound.
fn encoded(dir: &Path, name: &str) -> (Option<f64>, bool, f64, f64) {
    let setup = EncodeSetup {
        ffmpeg: "ffmpeg".into(),
        ffprobe: "ffprobe".into(),
        profile: Profile { width: 160, height: 90, video_kbps: 100, ..Profile::P720 },
        processing: Processing::default(),
        extra: ExtraArgs::default(),
        scratch: dir.to_owned(),
        image_duration: Duration::from_secs(5),
        short_groups: false,
    };
    let media = Media::at(format!("file:{}", dir.join(name).display()), false);
    let wanted = ProbeOptions { height: 90, image_duration: setup.image_duration, ..ProbeOptions::default() };
    let found = probe::probe(Path::new("ffprobe"), &media, wanted, &Cancel::new()).unwrap();
    let title = String::new();
    let item = Item { id: title.clone(), turn: 0, title, start: Duration::ZERO, media };
    let job = EncodeJob::item(&item, &found, &setup);
    let mut encoder = Encoder::start(job.command(&setup), &Cancel::new()).unwrap();
    let (mut pictures, mut heard) = (0, 0);
    while let Some(tag) = encoder.next_tag().unwrap() {
        match tag.kind {
            Kind::Video if tag.is_frame() => pictures += 1,
            Kind::Audio if tag.is_frame() => heard = heard.max(tag.timestamp),
            _ => {}
        }
    }
    let ended = encoder.finish(true).unwrap();
    // It may need more than a second to exit.
    assert!(ended.status.success() || ended.killed_here, "{name}: {}", ended.messages);
    let length = found.duration.map(|length| length.as_secs_f64());
    (length, found.times.estimated, f64::from(pictures) / 30.0, heard as f64 / 1000.0)
}

/// The picture is `seconds` long, and so it was probed; the sound ends at `heard`.
fn assert_plays(dir: &Path, name: &str, seconds: f64, heard: f64) {
    let (length, _, pictures, sound) = encoded(dir, name);
    let near = |a: f64, b: f64| (a - b).abs() < 0.25;
    assert!(length.is_none_or(|length| near(length, seconds)), "{name}: probed {length:?}");
    assert!(near(pictures, seconds), "{name}: {pictures} s of picture");
    assert!(near(sound, heard), "{name}: sound to {sound} s");
}

/// ffmpeg takes the first stream that it reads for the beginning of a transport stream.
#[test]
fn streams_of_a_transport_stream_that_begin_apart_stay_apart() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), &format!("-itsoffset 0.6 {PICTURE} {SOUND} {X264} picture.ts"));
    make(dir.path(), &format!("{PICTURE} -itsoffset 0.7 {SOUND} {X264} sound.ts"));
    make(dir.path(), &format!("{PICTURE} -itsoffset 3 {SOUND} {X264} late.ts"));
    for (name, seconds) in [("picture.ts", 6.6), ("sound.ts", 6.7), ("late.ts", 9.0)] {
        let (_, _, pictures, heard) = encoded(dir.path(), name);
        // Moved to the beginning, one of them would end after 6 s.
        assert!((pictures - seconds).abs() < 0.4, "{name}: {pictures} s of picture");
        assert!((heard - seconds).abs() < 0.5, "{name}: sound to {heard} s");
    }
}

#[test]
fn a_jump_of_the_clock_is_cut_out() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), &format!("{PICTURE} {SOUND} {X264} base.mkv"));
    for (name, picture, sound) in [("both", 1800, 1800), ("sound", 0, 7200), ("picture", 7200, 0)] {
        let step = |by: u32| format!("setts=ts=if(gt(TS*TB\\,3)\\,TS+{by}/TB\\,TS)");
        let steps = format!("-bsf:v {} -bsf:a {}", step(picture), step(sound));
        make(dir.path(), &format!("-i base.mkv -c copy {steps} -max_interleave_delta 0 {name}.mkv"));
        assert_plays(dir.path(), &format!("{name}.mkv"), 6.0, 6.0);
    }
    make(dir.path(), "-i base.mkv -c copy -output_ts_offset 1000 late.mkv");
    assert_plays(dir.path(), "late.mkv", 6.0, 6.0);
}

#[test]
fn a_stream_that_begins_late_or_ends_early_takes_nothing_of_the_other() {
    let dir = tempfile::tempdir().unwrap();
    for end in ["mkv", "flv", "ts"] {
        make(
            dir.path(),
            &format!("-itsoffset 14 {PICTURE} -f lavfi -i sine=440:r=48000:d=20 {X264} late.{end}"),
        );
        assert_plays(dir.path(), &format!("late.{end}"), 20.0, 20.0);
    }
    for end in ["flv", "webm"] {
        let codecs = if end == "webm" { "-c:v libvpx -deadline realtime -c:a libopus" } else { X264 };
        make(dir.path(), &format!("{PICTURE} -f lavfi -i sine=440:r=48000:d=9 {codecs} early.{end}"));
        assert_plays(dir.path(), &format!("early.{end}"), 9.0, 9.0);
    }
    make(
        dir.path(),
        &format!("-f lavfi -i testsrc2=s=160x90:r=1/10:d=30 -f lavfi -i sine=d=30 {X264} slides.mp4"),
    );
    assert_plays(dir.path(), "slides.mp4", 30.0, 30.0);
}

#[test]
fn a_still_is_shown_for_the_time_that_is_set() {
    let dir = tempfile::tempdir().unwrap();
    for end in ["png", "jpg", "bmp", "gif", "webp", "mp4"] {
        make(dir.path(), &format!("-f lavfi -i testsrc2=s=160x90:r=25 -frames:v 1 still.{end}"));
        assert_plays(dir.path(), &format!("still.{end}"), 5.0, 0.0);
    }
}

#[test]
fn a_raw_stream_of_pictures_is_no_still() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), "-f lavfi -i testsrc2=s=160x90:r=25:d=3 -c:v mjpeg -f mjpeg motion.mjpeg");
    assert_plays(dir.path(), "motion.mjpeg", 3.0, 0.0);
    // A photo with a second picture behind it.
    make(dir.path(), "-f lavfi -i testsrc2=s=160x90:r=25 -frames:v 2 -c:v mjpeg -f mjpeg photo.mpo");
    assert_plays(dir.path(), "photo.mpo", 5.0, 0.0);
}

/// A recorder's file. ffmpeg mixes 9 channels and more by itself only where the file says where
/// each belongs.
#[test]
fn channels_without_a_place_are_heard() {
    let dir = tempfile::tempdir().unwrap();
    for channels in [9, 16, 32] {
        let tone = vec!["0.2*sin(2764*t)"; channels].join("|");
        make(dir.path(), &format!("-f lavfi -i aevalsrc={tone}:d=3 tracks{channels}.wav"));
        assert_plays(dir.path(), &format!("tracks{channels}.wav"), 3.0, 3.0);
    }
}

/// ffmpeg builds the filter graph anew then, and its state is lost.
#[test]
fn a_change_of_rate_or_size_half_way_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let join = |parts: [&str; 2], name: &str| {
        let bytes = parts.map(|part| fs::read(dir.path().join(part)).unwrap()).concat();
        fs::write(dir.path().join(name), bytes).unwrap();
    };
    let picture = "-f lavfi -i testsrc2=s=160x90:r=25:d=15";
    let sound = |rate: u32| format!("-f lavfi -i sine=440:r={rate}:d=15");
    make(dir.path(), &format!("{picture} {} {X264} -ac 2 stereo.ts", sound(44_100)));
    make(dir.path(), &format!("{picture} {} {X264} -ac 1 mono.ts", sound(22_050)));
    join(["stereo.ts", "mono.ts"], "rate.ts");
    assert_plays(dir.path(), "rate.ts", 30.0, 30.0);
    let sized = |size: &str, seconds: u32| format!("-f lavfi -i testsrc2=s={size}:r=5:d={seconds} {X264}");
    make(dir.path(), &format!("{} small.ts", sized("160x90", 66)));
    make(dir.path(), &format!("{} -output_ts_offset 66 large.ts", sized("320x180", 6)));
    join(["small.ts", "large.ts"], "size.ts");
    assert_plays(dir.path(), "size.ts", 72.0, 0.0);
    make(dir.path(), &format!("{} -c:a libvorbis -ac 2 part.ogg", sound(44_100)));
    join(["part.ogg", "part.ogg"], "chained.ogg");
    assert_plays(dir.path(), "chained.ogg", 30.0, 30.0);
}

#[test]
fn a_length_that_was_guessed_is_measured_or_no_promise() {
    let dir = tempfile::tempdir().unwrap();
    let noise = "-f lavfi -i anoisesrc=r=44100:d=20:a=0.5,volume=0:enable=lt(t\\,12)";
    make(dir.path(), &format!("{noise} -c:a aac -b:a 256k vbr.aac"));
    assert_plays(dir.path(), "vbr.aac", 20.0, 20.0);
}
