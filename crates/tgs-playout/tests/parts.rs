//! In-points, out-points and tracks of real files: what the probe promises, and what ffmpeg makes.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod ffmpeg;

use std::{path::Path, time::Duration};

use ffmpeg::make;
use tgs_core::cancel::Cancel;
use tgs_playout::{
    ffmpeg::{
        EncodeJob, EncodeSetup, Encoder, ExtraArgs, Processing,
        probe::{self, Probe, ProbeOptions},
    },
    item::{Item, ItemFailure, Media, MediaPart, MediaSource},
    profile::Profile,
};
use tgs_rtmp::flv::Kind;

const X264: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 25 -c:a aac";
const PICTURE: &str = "-f lavfi -i testsrc2=s=160x90:r=25:d=10";
const SOUND: &str = "-f lavfi -i sine=440:r=48000:d=10";

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn part(in_point: f64, out_point: Option<f64>) -> MediaPart {
    MediaPart { in_point: seconds(in_point), out_point: out_point.map(seconds), ..MediaPart::default() }
}

fn media(dir: &Path, names: &[&str], part: MediaPart) -> Media {
    let source = |name: &&str| MediaSource::at(format!("file:{}", dir.join(name).display()));
    Media { sources: names.iter().map(source).collect(), part, ..Media::at(String::new(), false) }
}

fn setup(dir: &Path) -> EncodeSetup {
    EncodeSetup {
        ffmpeg: "ffmpeg".into(),
        ffprobe: "ffprobe".into(),
        profile: Profile { width: 160, height: 90, video_kbps: 100, ..Profile::P720 },
        processing: Processing::default(),
        extra: ExtraArgs::default(),
        scratch: dir.to_owned(),
        image_duration: seconds(5.0),
        short_groups: false,
    }
}

fn probed(media: &Media) -> Result<Probe, ItemFailure> {
    let wanted = ProbeOptions { height: 90, image_duration: seconds(5.0), ..ProbeOptions::default() };
    probe::probe(Path::new("ffprobe"), media, wanted, &Cancel::new())
}

/// Pictures, and the seconds that the sound reaches, of `media` from `start` on.
fn encoded(dir: &Path, media: &Media, start: f64) -> (usize, f64) {
    let (found, setup) = (probed(media).unwrap(), setup(dir));
    let item = Item {
        id: String::new(),
        turn: 0,
        title: String::new(),
        start: seconds(start),
        media: media.clone(),
    };
    let job = EncodeJob::item(&item, &found, &setup);
    let mut encoder = Encoder::start(job.command(&setup), &Cancel::new()).unwrap();
    let (mut pictures, mut heard) = (0, 0);
    while let Some(tag) = encoder.next_tag().unwrap() {
        match tag.kind {
            Kind::Video => pictures += usize::from(tag.is_frame()),
            Kind::Audio if tag.is_frame() => heard = heard.max(tag.timestamp),
            _ => {}
        }
    }
    let ended = encoder.finish(true).unwrap();
    // It may need more than a second to exit.
    assert!(ended.status.success() || ended.killed_here, "{media:?}: {}", ended.messages);
    (pictures, heard as f64 / 1000.0)
}

#[test]
fn a_part_is_exact_to_the_picture_in_every_container() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.mp4", "a.mkv", "a.ts"] {
        make(dir.path(), &format!("{PICTURE} {SOUND} {X264} {name}"));
        for (from, to, start, expected) in [
            (2.0, Some(5.0), 0.0, 3.0),
            (2.0, Some(5.0), 1.0, 2.0),
            (0.0, Some(4.0), 0.0, 4.0),
            (7.0, None, 0.0, 3.0),
        ] {
            let media = media(dir.path(), &[name], part(from, to));
            let length = probed(&media).unwrap().duration.unwrap().as_secs_f64();
            assert!((length - start - expected).abs() < 0.1, "{name} {from}: probed {length}");
            let (pictures, heard) = encoded(dir.path(), &media, start);
            let wanted = (expected * 30.0) as usize;
            // Only the end of the file may be a picture off.
            let off = if to.is_some() { 0 } else { 3 };
            assert!(pictures.abs_diff(wanted) <= off, "{name} {from}-{to:?}+{start}: {pictures} pictures");
            assert!((heard - expected).abs() < 0.2, "{name} {from}-{to:?}+{start}: sound to {heard}");
        }
    }
    // Beyond the end: what there is.
    let media = media(dir.path(), &["a.mp4"], part(8.0, Some(60.0)));
    assert!(probed(&media).unwrap().duration.unwrap().abs_diff(seconds(2.0)) < seconds(0.1));
}

#[test]
fn a_part_after_the_end_is_refused_with_both_times() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), &format!("{PICTURE} {SOUND} {X264} a.mp4"));
    let failure = probed(&media(dir.path(), &["a.mp4"], part(60.0, Some(70.0)))).unwrap_err();
    assert_eq!(failure.detail, "its list begins it at 60.0 s, and it ends at 10.0 s");
}

#[test]
fn the_sound_is_that_of_the_language_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let tags = "-metadata:s:a:0 language=eng -metadata:s:a:1 language=rus -metadata:s:a:2 language=ger";
    for name in ["a.mp4", "a.mkv"] {
        let inputs = format!("{PICTURE} {SOUND} {SOUND} {SOUND} -map 0 -map 1 -map 2 -map 3");
        make(dir.path(), &format!("{inputs} {X264} {tags} -disposition:a:0 default {name}"));
        for (languages, index) in [
            (vec![], 1),
            (vec!["ru"], 2),
            (vec!["fr", "de", "ru"], 3),
            (vec!["ja"], 1),
            (vec!["rus", "eng"], 2),
        ] {
            let languages: Vec<String> = languages.into_iter().map(str::to_owned).collect();
            let media = media(dir.path(), &[name], MediaPart { languages, ..MediaPart::default() });
            assert_eq!(probed(&media).unwrap().audio.unwrap().index, index, "{name}: {:?}", media.part);
        }
        let silent = MediaPart { no_audio: true, ..part(1.0, Some(3.0)) };
        let silent = media(dir.path(), &[name], silent);
        let found = probed(&silent).unwrap();
        assert!(found.audio.is_none() && !found.unheard && !found.still, "{found:?}");
        assert_eq!(encoded(dir.path(), &silent, 0.0), (60, 0.0));
    }
    make(dir.path(), &format!("{SOUND} a.mp3"));
    let silent = media(dir.path(), &["a.mp3"], MediaPart { no_audio: true, ..MediaPart::default() });
    assert_eq!(probed(&silent).unwrap_err().detail, "it holds no picture, and its list says no-audio");
}

#[test]
fn a_still_is_shown_as_long_as_its_list_says() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), "-f lavfi -i testsrc2=s=160x90:r=25 -frames:v 1 still.png");
    let still = MediaPart { still: Some(seconds(2.0)), ..MediaPart::default() };
    for (part, expected) in
        [(MediaPart::default(), 5.0), (still, 2.0), (part(0.0, Some(3.0)), 3.0), (part(1.0, Some(3.0)), 2.0)]
    {
        let media = media(dir.path(), &["still.png"], part);
        assert_eq!(probed(&media).unwrap().duration, Some(seconds(expected)));
        assert_eq!(encoded(dir.path(), &media, 0.0).0, (expected * 30.0) as usize, "{:?}", media.part);
    }
}

#[test]
fn a_picture_plays_with_the_sound_of_another_file() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), "-f lavfi -i testsrc2=s=160x90:r=25 -frames:v 1 still.jpg");
    make(dir.path(), &format!("{SOUND} tone.mp3"));
    make(dir.path(), &format!("{PICTURE} {SOUND} {X264} film.mp4"));
    for (name, from, to, expected) in [
        ("still.jpg", 0.0, None, 10.0),
        ("still.jpg", 2.0, Some(8.0), 6.0),
        ("film.mp4", 2.0, Some(8.0), 6.0),
    ] {
        let media = media(dir.path(), &[name, "tone.mp3"], part(from, to));
        let found = probed(&media).unwrap();
        assert_eq!((found.video.unwrap().source, found.audio.unwrap().source), (0, 1), "{name}");
        let (pictures, heard) = encoded(dir.path(), &media, 0.0);
        let length = pictures as f64 / 30.0;
        assert!((length - expected).abs() < 0.15, "{name} from {from}: {length} s of picture");
        assert!((heard - expected).abs() < 0.15, "{name} from {from}: sound to {heard} s");
    }
}
