//! Recordings of real encodings, as ffmpeg and ffprobe read them: closed, after a crash, and cut.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use tgs_control::Timestamp;
use tgs_recording::{
    RecordedTracks,
    cut::{CutError, cut},
    index::RecordingIndex,
    part::{RecordingPart, repair},
    place::RecordingZone,
};
use tgs_rtmp::flv::{FlvReader, Kind, Tag};

/// 2026-03-29T12:00:00Z
const NOON: u64 = 1_774_785_600_000;
/// The frames that are written at once, in milliseconds.
const BATCH: u64 = 800;

/// A real encoding: reordered pictures, a keyframe every 2 s, and sound.
struct Media {
    dir: tempfile::TempDir,
    codecs: RecordedTracks,
    frames: Vec<Tag>,
}

fn run(command: &mut Command) -> Vec<u8> {
    let done = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.is_empty(), "{command:?}: {said}");
    done.stdout
}

fn ffmpeg(args: &[&str]) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y"]).args(args);
    command
}

impl Media {
    fn new(seconds: u32, size: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let flv = dir.path().join("source.flv");
        let (picture, length) = (format!("testsrc2=size={size}:rate=25"), seconds.to_string());
        let inputs = ["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", "sine=sample_rate=44100"];
        let codecs =
            "-c:v libx264 -preset veryfast -bf 2 -g 50 -keyint_min 50 -sc_threshold 0 -c:a aac -ac 2";
        run(ffmpeg(&inputs).args(["-t", &length]).args(codecs.split(' ')).arg(&flv));
        let mut reader = FlvReader::new(fs::File::open(&flv).unwrap());
        let (mut frames, mut headers) = (Vec::new(), [None, None]);
        while let Some(tag) = reader.next_tag().unwrap() {
            if tag.is_sequence_header() {
                headers[usize::from(tag.kind == Kind::Audio)] = Some(tag.body);
            } else if tag.is_frame() {
                frames.push(tag);
            }
        }
        let [video, audio] = headers;
        Self { dir, codecs: RecordedTracks { video: video.unwrap(), audio, fps: 25 }, frames }
    }

    fn source(&self) -> PathBuf {
        self.dir.path().join("source.flv")
    }

    /// Writes the frames from `from` to `to` ms, which were aired at NOON plus `late` and their
    /// time, with a title every 5 s.
    fn write(&self, dir: &Path, from: u64, to: u64, late: u64) -> RecordingPart {
        let started = Timestamp(NOON + late + from);
        let stem = RecordingZone::of_host().stem(started);
        let mut part = RecordingPart::create(dir, &stem, started, self.codecs.clone()).unwrap();
        part.note_chapter(0, &title(from / 5000), 0);
        let wanted = self.frames.iter().filter(|tag| (from..to).contains(&tag.timestamp));
        let moved: Vec<_> =
            wanted.map(|tag| Tag { timestamp: tag.timestamp - from, ..tag.clone() }).collect();
        let mut next = from / 5000 + 1;
        for batch in moved.chunk_by(|a, b| a.timestamp / BATCH == b.timestamp / BATCH) {
            while next * 5000 < from + batch[0].timestamp {
                part.note_chapter(next * 5000 - from, &title(next), 0);
                next += 1;
            }
            part.append(batch).unwrap();
        }
        part
    }
}

fn title(number: u64) -> String {
    format!("item {number} \"é\" <x>")
}

fn probe(file: &Path) -> Value {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-of", "json", "-show_format", "-show_streams", "-show_chapters"]).arg(file);
    serde_json::from_slice(&run(&mut command)).unwrap()
}

fn duration(probed: &Value) -> f64 {
    probed["format"]["duration"].as_str().unwrap().parse().unwrap()
}

/// The beginnings and titles of the chapters.
fn chapters(probed: &Value) -> Vec<(f64, String)> {
    let chapter = |it: &Value| {
        let at: f64 = it["start_time"].as_str().unwrap().parse().unwrap();
        ((at * 100.0).round() / 100.0, it["tags"]["title"].as_str().unwrap().to_owned())
    };
    probed["chapters"].as_array().unwrap().iter().map(chapter).collect()
}

/// Decodes all of it, without a complaint; the hashes of the coded frames of each stream.
fn hashes(file: &Path) -> String {
    let path = file.to_str().unwrap();
    run(&mut ffmpeg(&["-xerror", "-i", path, "-f", "null", "-"]));
    let copy =
        ["-i", path, "-map", "0:v", "-map", "0:a", "-c", "copy", "-f", "streamhash", "-hash", "md5", "-"];
    String::from_utf8(run(&mut ffmpeg(&copy))).unwrap()
}

/// The time of the first picture that a player gets that seeks to `at`.
fn first_behind(file: &Path, at: f64) -> f64 {
    let mut command = Command::new("ffprobe");
    let interval = format!("{at}%+#1");
    command.args(["-v", "error", "-select_streams", "v", "-read_intervals", &interval]);
    command.args(["-show_entries", "packet=pts_time", "-of", "csv=p=0"]).arg(file);
    let text = String::from_utf8(run(&mut command)).unwrap();
    text.lines().next().unwrap().trim_matches(',').parse().unwrap()
}

#[test]
fn a_closed_recording_has_each_frame_is_seekable_and_has_chapters() {
    let media = Media::new(21, "160x120");
    let dir = tempfile::tempdir().unwrap();
    let part = media.write(dir.path(), 0, u64::MAX, 0);
    let unfinished = part.path().to_owned();
    // A player reads it before it is closed, too.
    assert_eq!(hashes(&unfinished), hashes(&media.source()));
    let path = part.close().unwrap().unwrap();
    assert!(!unfinished.exists() && path.extension().unwrap() == "mkv");
    let probed = probe(&path);
    assert!((duration(&probed) - 21.1).abs() < 0.1, "{probed}");
    let streams = &probed["streams"];
    assert_eq!((streams[0]["codec_name"].as_str(), streams[0]["width"].as_u64()), (Some("h264"), Some(160)));
    assert_eq!(
        (streams[1]["codec_name"].as_str(), streams[1]["sample_rate"].as_str()),
        (Some("aac"), Some("44100"))
    );
    let expected: Vec<_> = (0..5).map(|n| (n as f64 * 5.0, title(n))).collect();
    assert_eq!(chapters(&probed), expected);
    assert_eq!(hashes(&path), hashes(&media.source()));
    for (at, found) in [(0.5, 0.08), (7.0, 6.08), (20.5, 20.08)] {
        let first = first_behind(&path, at);
        assert!((first - found).abs() < 0.05, "{at}: {first}");
    }
    // The time of the file is that of its end.
    let changed = Timestamp::from(path.metadata().unwrap().modified().unwrap());
    assert!(changed.0.abs_diff(NOON + 21_000) < 200, "{changed}");
    // Its tables say what its clusters say.
    let (file, index) = RecordingIndex::open(&path).unwrap();
    assert_eq!((index.keyframes.len(), index.started.0), (11, NOON));
    drop(file);
}

#[test]
fn what_a_crash_leaves_is_repaired_up_to_its_last_whole_part() {
    let media = Media::new(13, "96x64");
    let dir = tempfile::tempdir().unwrap();
    let part = media.write(dir.path(), 0, u64::MAX, 0);
    let path = part.path().to_owned();
    drop(part);
    let whole = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let mut before = 0;
    for step in 0..40 {
        let len = whole.len() * step / 39;
        // Written in part; or, after a loss of power, with zeros in place of what was not.
        let mut left = whole[..len].to_vec();
        if step % 2 == 1 {
            left.resize(left.len() + 100_000, 0);
        }
        fs::write(&path, left).unwrap();
        let Some((repaired, millis)) = repair(&path).unwrap() else {
            assert!(!path.exists() && before == 0, "{step}");
            continue;
        };
        assert!(millis >= before, "{step}: {millis} < {before}");
        before = millis;
        if step % 6 == 0 || step == 39 {
            let probed = probe(&repaired);
            assert!((duration(&probed) * 1000.0 - millis as f64).abs() < 1.0, "{probed}");
            hashes(&repaired);
            // A title is noted with the first frames behind its beginning.
            let expected = (millis / 5000 + 1) as usize;
            let found = chapters(&probed).len();
            assert!(
                found == expected || found + 1 == expected && millis % 5000 < BATCH,
                "{found} of {expected}"
            );
            // To repair it twice changes nothing.
            let again = repaired.with_extension("mkv.part");
            fs::rename(&repaired, &again).unwrap();
            let bytes = fs::read(&again).unwrap();
            assert_eq!(repair(&again).unwrap().unwrap().1, millis);
            assert!(fs::read(&repaired).unwrap() == bytes, "{step}");
        }
        fs::remove_file(&repaired).unwrap();
    }
    assert!(before > 13_000, "{before}");
}

#[test]
fn no_damage_of_a_recording_panics() {
    let media = Media::new(2, "64x64");
    let dir = tempfile::tempdir().unwrap();
    let path = media.write(dir.path(), 0, u64::MAX, 0).close().unwrap().unwrap();
    let whole = fs::read(&path).unwrap();
    let part = dir.path().join("x.mkv.part");
    for at in (0..whole.len().min(600)).step_by(3).chain((600..whole.len()).step_by(997)) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        fs::write(&part, damaged).unwrap();
        let _ = RecordingIndex::open(&part);
        if let Ok(Some((repaired, _))) = repair(&part) {
            fs::remove_file(repaired).unwrap();
        }
        let _ = fs::remove_file(&part);
    }
}

/// Cuts into a file of this ending, through ffmpeg.
fn cut_into(dir: &Path, from: u64, to: u64, ending: &str) -> (tgs_control::RecordCut, PathBuf) {
    let zone = RecordingZone::of_host();
    let (cut, mut stream) = cut(dir, Timestamp(NOON + from), Timestamp(NOON + to), &zone).unwrap();
    let path = dir.join(format!("cut.{ending}"));
    let mut command = ffmpeg(&["-f", "matroska", "-i", "pipe:0", "-map", "0", "-c", "copy"]);
    let mut child = command.arg(&path).stdin(Stdio::piped()).spawn().unwrap();
    let (mut pipe, mut bytes) = (child.stdin.take().unwrap(), 0);
    while let Some(next) = stream.next_bytes().unwrap() {
        bytes += next.len() as u64;
        pipe.write_all(&next).unwrap();
    }
    drop(pipe);
    assert!(child.wait().unwrap().success());
    assert_eq!(bytes, cut.bytes);
    (cut, path)
}

#[test]
fn a_cut_joins_files_at_keyframes_and_leaves_out_what_is_missing() {
    let media = Media::new(21, "96x64");
    let dir = tempfile::tempdir().unwrap();
    let first = media.write(dir.path(), 0, 8000, 0).close().unwrap().unwrap();
    media.write(dir.path(), 8000, 14_000, 0).close().unwrap().unwrap();
    // A minute later, and still being written.
    let _open = media.write(dir.path(), 14_000, u64::MAX, 60_000);

    let (whole, path) = cut_into(dir.path(), 0, 90_000, "mkv");
    assert_eq!(hashes(&path), hashes(&media.source()));
    assert_eq!(whole.missing.len(), 1, "{whole:?}");
    let gap = &whole.missing[0];
    assert!(
        gap.from.utc.0.abs_diff(NOON + 14_080) < 50 && gap.to.utc.0.abs_diff(NOON + 74_080) < 50,
        "{gap:?}"
    );
    let probed = probe(&path);
    assert!((duration(&probed) - 21.1).abs() < 0.2, "{probed}");
    // A chapter that a new file repeats is one chapter.
    let titles: Vec<_> = chapters(&probed).into_iter().map(|(_, title)| title).collect();
    assert_eq!(titles, (0..5).map(title).collect::<Vec<_>>());

    // From a keyframe before to a keyframe behind, over the end of a file.
    for ending in ["mkv", "mp4"] {
        let (part, path) = cut_into(dir.path(), 5000, 9100, ending);
        assert!(
            part.from.utc.0.abs_diff(NOON + 4080) < 50 && part.to.utc.0.abs_diff(NOON + 10_080) < 50,
            "{part:?}"
        );
        let probed = probe(&path);
        assert!((duration(&probed) - 6.0).abs() < 0.2 && part.missing.is_empty(), "{probed}");
        hashes(&path);
        let found = chapters(&probed);
        assert_eq!(
            (found[0].1.clone(), found[1].1.clone(), found.len()),
            (title(0), title(1), 3),
            "{found:?}"
        );
        assert!((found[1].0 - 1.0).abs() < 0.15, "{found:?}");
    }

    let zone = RecordingZone::of_host();
    let at = |seconds: u64| Timestamp(NOON + seconds * 1000);
    let refused = |from, to| cut(dir.path(), at(from), at(to), &zone).unwrap_err();
    assert!(matches!(refused(30, 50), CutError::Nothing(..)));
    assert!(matches!(refused(5, 5), CutError::Backwards));
    assert!(matches!(refused(0, 90_000), CutError::TooLong));
    fs::write(&first, "not a recording").unwrap();
    assert!(matches!(refused(0, 10), CutError::Read { .. }));
    fs::remove_file(first).unwrap();
    // Another picture size.
    let other = Media::new(3, "64x64");
    other.write(dir.path(), 0, 3000, 100_000).close().unwrap().unwrap();
    let changes = refused(60, 120).to_string();
    assert!(changes.contains("the format of picture or sound changes at 20"), "{changes}");
}
