//! Encodes one file by the engine's job, and measures sound by ffmpeg.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tgs_core::cancel::Cancel;
use tgs_playout::{
    ffmpeg::{
        EncodeJob, EncodeSetup, Encoder, ExtraArgs, Probe, Processing,
        loudness::{Gain, LoudnessTarget},
        probe,
        sound::SoundOptions,
    },
    item::{Item, Media},
    loudness::LoudnessMeter,
    profile::Profile,
};
use tgs_rtmp::flv::{self, FlvReader, Kind};

pub(crate) const PROFILE: Profile = Profile { width: 160, height: 90, video_kbps: 100, ..Profile::P720 };

/// The defaults of the settings.
pub(crate) fn options() -> SoundOptions {
    SoundOptions {
        loudness: Some(LoudnessTarget { lufs: -16.0, peak: -1.5 }),
        fade: Duration::from_millis(10),
        ..SoundOptions::default()
    }
}

/// What an encoder made.
pub(crate) struct Encoded {
    pub(crate) path: PathBuf,
    /// The gain that the measurement has led to.
    pub(crate) gain: Option<Gain>,
}

/// Measures and encodes a file of `dir`.
pub(crate) fn encode(dir: &Path, name: &str, sound: &SoundOptions) -> Encoded {
    encode_as(dir, name, sound, |_| ())
}

/// The same, with another probe.
pub(crate) fn encode_as(
    dir: &Path,
    name: &str,
    sound: &SoundOptions,
    alter: impl FnOnce(&mut Probe),
) -> Encoded {
    let setup = EncodeSetup {
        ffmpeg: "ffmpeg".into(),
        ffprobe: "ffprobe".into(),
        profile: PROFILE,
        processing: Processing { sound: sound.clone(), ..Processing::default() },
        extra: ExtraArgs::default(),
        scratch: dir.to_owned(),
        image_duration: Duration::from_secs(5),
        short_groups: false,
    };
    let media = Media::at(format!("file:{}", dir.join(name).display()), false);
    let mut found = probe::probe(Path::new("ffprobe"), &media, setup.wanted(), &Cancel::new()).unwrap();
    alter(&mut found);
    let meter = LoudnessMeter::open(&setup.ffmpeg, sound, 2, setup.image_duration, dir);
    found.loudness = meter.as_ref().map(|meter| meter.measure(&media, &found, true, &mut || true).unwrap());
    let gain = meter.zip(found.loudness).map(|(meter, loudness)| meter.gain(&loudness));
    let title = String::new();
    let item = Item { id: title.clone(), turn: 0, title, start: Duration::ZERO, media };
    let job = EncodeJob::item(&item, &found, &setup);
    assert!(!job.is_one_pass());
    let mut encoder = Encoder::start(job.command(&setup), &Cancel::new()).unwrap();
    let path = dir.join("encoded.flv");
    let mut out = BufWriter::new(File::create(&path).unwrap());
    out.write_all(&flv::FILE_HEADER).unwrap();
    while let Some(tag) = encoder.next_tag().unwrap() {
        flv::write_tag(&mut out, &tag).unwrap();
    }
    out.flush().unwrap();
    let ended = encoder.finish(true).unwrap();
    // It may need more than a second to exit.
    assert!(ended.status.success() || ended.killed_here, "{name}: {}", ended.messages);
    Encoded { path, gain }
}

/// Integrated loudness and true peak of a file, by ffmpeg's meter.
pub(crate) fn loudness(path: &Path) -> (f64, f64) {
    let done = Command::new("ffmpeg")
        .args(["-nostdin", "-hide_banner", "-nostats", "-i"])
        .arg(path)
        .args(["-vn", "-af", "ebur128=peak=true:framelog=verbose", "-f", "null", "-"])
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

/// The sound of a file: the left channel at 44.1 kHz.
pub(crate) fn samples(path: &Path) -> Vec<f64> {
    let done = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(path)
        .args(["-vn", "-af", "pan=mono|c0=c0", "-ar", "44100", "-f", "f32le", "-"])
        .output()
        .unwrap();
    let four = |four: &[u8]| f64::from(f32::from_le_bytes(four.try_into().unwrap()));
    done.stdout.chunks_exact(4).map(four).collect()
}

/// The effective level of each tenth of a second.
pub(crate) fn levels(path: &Path) -> Vec<f64> {
    let level = |tenth: &[f64]| (tenth.iter().map(|s| s * s).sum::<f64>() / tenth.len() as f64).sqrt();
    samples(path).chunks(4410).map(level).collect()
}

/// The frequency of the tone of a file in Hz, rounded to hundreds.
pub(crate) fn tone(path: &Path) -> u32 {
    let samples = samples(path);
    let middle = &samples[samples.len() / 4..samples.len() / 4 + 44_100 / 2];
    let crossings = middle.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count() as u32;
    (crossings * 2 + 50) / 100 * 100
}

/// The pictures of an FLV file, as stored.
pub(crate) fn pictures(path: &Path) -> Vec<Vec<u8>> {
    let mut reader = FlvReader::new(BufReader::new(File::open(path).unwrap()));
    let mut found = Vec::new();
    while let Some(tag) = reader.next_tag().unwrap() {
        if tag.kind == Kind::Video && tag.is_frame() {
            found.push(tag.body.to_vec());
        }
    }
    found
}
