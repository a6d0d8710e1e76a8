//! The whole engine with the real ffmpeg, into a file: what comes out of it is one even stream.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tgs_playout::{
    engine::{self, Control, EngineConfig, RunEnd, Summary},
    ffmpeg::Processing,
    item::{Item, JumpTarget, Media, MediaPart, NextItem, Programme, UpcomingItem},
    output::Output,
    profile::Profile,
};
use tgs_rtmp::flv::{FlvReader, Kind, Tag};

const PROFILE: Profile = Profile { width: 320, height: 180, video_kbps: 200, ..Profile::P720 };

/// Plays these files once, the first from `start` on.
#[derive(Default)]
struct Once {
    files: Vec<PathBuf>,
    start: Duration,
    /// Whether it is paced, and what comes is encoded ahead.
    ahead: bool,
    /// Whether what is right already is copied.
    copy: bool,
}

impl Once {
    fn item(path: &Path, start: Duration) -> Item {
        let media = Media::at(format!("file:{}", path.display()), false);
        let title = path.file_name().unwrap().to_string_lossy().into_owned();
        Item { id: path.display().to_string(), turn: 0, title, start, media }
    }
}

impl Programme for Once {
    fn next(&mut self) -> NextItem {
        if self.files.is_empty() {
            return NextItem::End;
        }
        let path = self.files.remove(0);
        NextItem::Play(Self::item(&path, std::mem::take(&mut self.start)))
    }

    fn confirm(&mut self, item: Item) -> NextItem {
        NextItem::Play(item)
    }

    fn upcoming(&self, count: usize) -> Vec<UpcomingItem> {
        let coming = |path: &PathBuf| {
            let item = Self::item(path, Duration::ZERO);
            UpcomingItem { id: item.id.clone(), part: MediaPart::default(), find: Box::new(|| Some(item)) }
        };
        self.files.iter().take(count).map(coming).collect()
    }

    fn round_len(&self) -> usize {
        100
    }

    fn jump(&mut self, _: Option<u64>, _: JumpTarget) {}

    fn reload(&mut self) {}
}

/// Makes a clip by ffmpeg's own generators.
fn clip(dir: &Path, name: &str, args: &[&str]) -> PathBuf {
    let path = dir.join(name);
    let done = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(args)
        .arg(&path)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    path
}

fn play(dir: &Path, files: Vec<PathBuf>, args: &str) -> (Summary, Vec<Tag>) {
    play_from(dir, Once { files, ..Once::default() }, "ffmpeg", args)
}

fn play_from(dir: &Path, programme: Once, ffmpeg: &str, args: &str) -> (Summary, Vec<Tag>) {
    let out = dir.join("out.flv");
    let config = EngineConfig {
        ffmpeg: ffmpeg.into(),
        ffprobe: "ffprobe".into(),
        profile: PROFILE,
        processing: Processing::default(),
        ffmpeg_args: args.into(),
        output: Output::File(out.clone()),
        read_ahead: Duration::from_secs(4),
        realtime: programme.ahead,
        filler: None,
        cache_dir: dir.join("cache"),
        cache_limit: 1 << 30,
        cache_ahead: programme.ahead,
        image_duration: Duration::from_secs(10),
        passthrough: programme.copy,
        state_dir: dir.join("state"),
        first_timestamp: 0,
    };
    let summary = engine::run(config, Box::new(programme), &Control::default()).unwrap();
    let mut reader = FlvReader::new(BufReader::new(File::open(out).unwrap()));
    let mut tags = Vec::new();
    while let Some(tag) = reader.next_tag().unwrap() {
        tags.push(tag);
    }
    (summary, tags)
}

fn times(tags: &[Tag], kind: Kind) -> Vec<u64> {
    tags.iter().filter(|t| t.kind == kind && t.is_frame()).map(|t| t.timestamp).collect()
}

/// Every neighbouring step lies in this range of milliseconds.
fn assert_even(times: &[u64], least: u64, most: u64) {
    for pair in times.windows(2) {
        let step = pair[1] as i64 - pair[0] as i64;
        assert!((least as i64..=most as i64).contains(&step), "a step of {step} ms at {} ms", pair[0]);
    }
}

#[test]
fn a_cache_directory_that_cannot_be_written_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // No user can create a file there.
    std::os::unix::fs::symlink("/proc", dir.path().join("cache")).unwrap();
    let film = clip(dir.path(), "film.mp4", &["-f", "lavfi", "-i", "testsrc=s=320x180:r=30:d=2"]);
    let (summary, tags) = play(dir.path(), vec![film], "");
    assert_eq!(summary.played, 1);
    assert!(times(&tags, Kind::Video).len() >= 58);
}

#[test]
fn mixed_items_become_one_stream() {
    let dir = tempfile::tempdir().unwrap();
    let made = |name: &str, args: &[&str]| clip(dir.path(), name, args);
    let files = vec![
        made(
            "first.mp4",
            &[
                "-f",
                "lavfi",
                "-i",
                "testsrc2=s=640x480:r=25:d=3",
                "-f",
                "lavfi",
                "-i",
                "sine=r=48000:d=2",
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-c:a",
                "aac",
            ],
        ),
        made(
            "-leading dash 'quote' \"and\" пример.mkv",
            &["-f", "lavfi", "-i", "testsrc2=s=200x300:r=60:d=2", "-c:v", "libx264", "-pix_fmt", "yuv444p"],
        ),
        made("only sound.mp3", &["-f", "lavfi", "-i", "sine=r=22050:d=2", "-ac", "1"]),
        made(
            "loud.mkv",
            &[
                "-f",
                "lavfi",
                "-i",
                "testsrc2=s=640x360:r=30000/1001:d=2",
                "-f",
                "lavfi",
                "-i",
                "anoisesrc=r=48000:d=4,aformat=channel_layouts=7.1",
                "-c:v",
                "mpeg4",
                "-c:a",
                "flac",
            ],
        ),
    ];
    let (summary, tags) = play(dir.path(), files, "");
    assert_eq!(summary, Summary { played: 4, failed: 0, end: RunEnd::Over });
    let video = times(&tags, Kind::Video);
    assert_even(&video, 33, 34);
    assert_even(&times(&tags, Kind::Audio), 23, 24);
    // 3 + 2 + 2 + 4 s: each item is as long as its longer stream. The mp3 has up to two frames of
    // padding.
    assert!(video.len().abs_diff(11 * 30) <= 3, "{} pictures", video.len());
    assert_eq!(tags.iter().filter(|t| t.is_sequence_header()).count(), 2);
    let keys: Vec<u64> = tags.iter().filter(|t| t.is_keyframe()).map(|t| t.timestamp).collect();
    assert_eq!(keys.len(), 2 + 1 + 1 + 2, "{keys:?}");
    assert!(tags.windows(2).all(|w| w[0].timestamp <= w[1].timestamp), "not in order of time");
}

#[test]
fn bad_items_are_skipped_and_what_is_there_plays() {
    let dir = tempfile::tempdir().unwrap();
    let good = clip(
        dir.path(),
        "good.mkv",
        &[
            "-f",
            "lavfi",
            "-i",
            "testsrc2=s=320x180:r=30:d=4",
            "-f",
            "lavfi",
            "-i",
            "sine=d=4",
            "-c:v",
            "libx264",
            "-g",
            "30",
            "-preset",
            "ultrafast",
            "-c:a",
            "aac",
        ],
    );
    let bytes = std::fs::read(&good).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let files = vec![
        dir.path().join("missing.mp4"),
        file("empty.mp4", b""),
        file("text.mp4", b"this is no video"),
        file("cut.mkv", &bytes[..bytes.len() / 2]),
        good,
    ];
    let (summary, tags) = play(dir.path(), files, "");
    assert_eq!(summary, Summary { played: 2, failed: 4, end: RunEnd::Over });
    let video = times(&tags, Kind::Video);
    assert_even(&video, 33, 34);
    assert!((150..200).contains(&video.len()), "{} pictures", video.len());
}

#[test]
fn arguments_are_proven_and_bad_ones_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let made = clip(
        dir.path(),
        "a.mp4",
        &["-f", "lavfi", "-i", "testsrc2=s=320x180:r=30:d=4", "-c:v", "libx264", "-preset", "ultrafast"],
    );
    let keyframes = |args: &str| {
        let (_, tags) = play(dir.path(), vec![made.clone()], args);
        tags.iter().filter(|t| t.is_keyframe()).count()
    };
    assert_eq!(keyframes("-g 30 -vf \"drawbox=c=red, hue=s=0\""), 4);
    // Each of these cannot be spliced or played by Telegram; the broadcast goes on without.
    for bad in [
        "-g 300",
        "-c:v mpeg4",
        "-pix_fmt yuv444p",
        "-s 160x90",
        "-r 25",
        "-c:a libmp3lame",
        "-nonsense 1",
        "\"open",
        "-ar 48000",
        "-shortest extra.mp4",
    ] {
        assert_eq!(keyframes(bad), 2, "{bad}");
    }
}

#[test]
fn streams_that_begin_late_keep_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let late = |name: &str, video: &str, sound: &str| {
        clip(
            dir.path(),
            name,
            &[
                "-itsoffset",
                video,
                "-f",
                "lavfi",
                "-i",
                "testsrc2=s=320x180:r=30:d=4",
                "-itsoffset",
                sound,
                "-f",
                "lavfi",
                "-i",
                "sine=d=4",
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-c:a",
                "aac",
            ],
        )
    };
    for (name, file) in [("sound", late("sound.mp4", "0", "2")), ("picture", late("picture.mp4", "2", "0"))] {
        let (summary, tags) = play(dir.path(), vec![file], "");
        assert_eq!(summary, Summary { played: 1, failed: 0, end: RunEnd::Over }, "late {name}");
        let (video, audio) = (times(&tags, Kind::Video), times(&tags, Kind::Audio));
        assert!(video.len().abs_diff(6 * 30) <= 2, "late {name}: {} pictures", video.len());
        // The picture is shown two frames later than the clock begins, and the encoder primes and
        // pads.
        assert!(audio.len().abs_diff(6 * 44_100 / 1024) <= 6, "late {name}: {} sounds", audio.len());
        // Two seconds of silence are small frames; a tone's are not.
        let loud = |t: &&Tag| t.kind == Kind::Audio && t.is_frame() && t.body.len() > 60;
        let first = tags.iter().find(loud).unwrap().timestamp;
        let expected = if name == "sound" { 2000_u64 } else { 0 };
        assert!(first.abs_diff(expected) < 150, "late {name}: the tone begins at {first} ms");
    }
}

/// An ffmpeg that writes each of its command lines into `calls`.
fn counted(dir: &Path) -> (String, PathBuf) {
    let (script, calls) = (dir.join("counted"), dir.join("calls"));
    let text = format!("#!/bin/sh\necho \"$*\" >> {}\nexec ffmpeg \"$@\"\n", calls.display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(&calls, "").unwrap();
    (script.display().to_string(), calls)
}

#[test]
fn what_was_encoded_once_is_not_encoded_again() {
    let dir = tempfile::tempdir().unwrap();
    let both = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=5.3", "-f", "lavfi", "-i", "sine=d=5"];
    let silent = ["-f", "lavfi", "-i", "testsrc2=s=160x160:r=30:d=3"];
    let sound = ["-f", "lavfi", "-i", "sine=r=48000:d=2.1"];
    let files = vec![
        clip(dir.path(), "both.mkv", &both),
        clip(dir.path(), "silent.mkv", &silent),
        clip(dir.path(), "sound.mp3", &sound),
    ];
    let twice = || Once { files: [files.clone(), files.clone()].concat(), ..Once::default() };
    let (ffmpeg, calls) = counted(dir.path());
    let encodings = || {
        let calls = std::fs::read_to_string(&calls).unwrap();
        calls.lines().filter(|call| call.contains("-filter_complex") && call.contains("file:")).count()
    };
    let (summary, first) = play_from(dir.path(), twice(), &ffmpeg, "");
    assert_eq!(summary, Summary { played: 6, failed: 0, end: RunEnd::Over });
    let made = encodings();
    assert!((3..=6).contains(&made), "{made}: an entry is there soon after its item has ended");
    let (summary, second) = play_from(dir.path(), twice(), &ffmpeg, "");
    assert_eq!(summary, Summary { played: 6, failed: 0, end: RunEnd::Over });
    assert_eq!(encodings(), made, "the second time nothing is encoded");
    assert!(first == second, "and every tag is the same, joins and all");
    // Another setup has its own; this one is still there then.
    play_from(dir.path(), twice(), &ffmpeg, "-g 30");
    assert!(encodings() >= made + 3);
    let now = encodings();
    play_from(dir.path(), twice(), &ffmpeg, "");
    assert_eq!(encodings(), now);
    // From within: the next keyframe.
    let begun = Once { files: files[..1].to_vec(), start: Duration::from_millis(1500), ..Once::default() };
    let (_, rest) = play_from(dir.path(), begun, &ffmpeg, "");
    assert_eq!(encodings(), now);
    let pictures = times(&rest, Kind::Video).len();
    assert!(pictures.abs_diff(33 * 3) <= 1, "{pictures} pictures from 2.0 s to 5.3 s");
    assert_even(&times(&rest, Kind::Video), 33, 34);
    assert_even(&times(&rest, Kind::Audio), 23, 24);
    // What turns out to be damaged is encoded from there on.
    let kept = cache_files(dir.path());
    for path in &kept {
        let mut bytes = std::fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    let (summary, mended) = play_from(dir.path(), twice(), &ffmpeg, "");
    assert_eq!((summary.played, summary.failed), (6, 0));
    assert!(encodings() > now);
    assert_eq!(times(&mended, Kind::Video).len(), times(&first, Kind::Video).len());
    assert_even(&times(&mended, Kind::Video), 33, 34);
    assert_even(&times(&mended, Kind::Audio), 23, 24);
}

fn cache_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("cache/items")).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "flv"))
        .collect()
}

#[test]
fn coming_items_are_encoded_while_the_broadcast_has_all_it_wants() {
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = [("long.mkv", "9"), ("next.mkv", "3"), ("last.mkv", "2")]
        .map(|(name, seconds)| {
            let picture = format!("testsrc2=s=320x180:r=30:d={seconds}");
            clip(
                dir.path(),
                name,
                &["-f", "lavfi", "-i", &picture, "-c:v", "libx264", "-preset", "ultrafast"],
            )
        })
        .into();
    // On a machine under load the broadcast has what it wants only late: then an item is encoded
    // twice.
    for turn in 0..3 {
        let (ffmpeg, calls) = counted(dir.path());
        let _ = std::fs::remove_dir_all(dir.path().join("cache/items"));
        let programme = Once { files: files.clone(), ahead: true, ..Once::default() };
        let (summary, tags) = play_from(dir.path(), programme, &ffmpeg, "");
        assert_eq!(summary, Summary { played: 3, failed: 0, end: RunEnd::Over });
        let video = times(&tags, Kind::Video);
        assert_even(&video, 33, 34);
        // Each by one encoder: the second and third were there when their turn came.
        let calls = std::fs::read_to_string(&calls).unwrap();
        let count = |file: &PathBuf| {
            let name = format!("file:{}", file.display());
            calls.lines().filter(|call| call.contains(&name)).count()
        };
        let encoded: Vec<usize> = files.iter().map(count).collect();
        assert!(video.len() + 2 >= 14 * 30, "{} pictures", video.len());
        // More pictures are filler.
        if encoded == [1, 1, 1] && video.len() <= 14 * 30 + 2 {
            break;
        }
        assert!(turn < 2, "{} pictures, {encoded:?} encoders\n{calls}", video.len());
    }
    assert_eq!(cache_files(dir.path()).len(), 3);
}

/// A clip of five seconds with the codecs and sizes of [`PROFILE`]; `extra` sets its keyframes.
fn clip_of_profile(dir: &Path, name: &str, extra: &[&str]) -> PathBuf {
    let base = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=30:d=5", "-f", "lavfi", "-i", "sine=r=44100:d=5"];
    let how = [
        "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast", "-b:v", "200k", "-c:a", "aac",
        "-ac", "2",
    ];
    clip(dir, name, &[&base[..], &how, extra].concat())
}

/// What ffmpeg complains of when it decodes the file.
fn decoder_errors(file: &Path) -> String {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i"]).arg(file).args(["-f", "null", "-"]);
    String::from_utf8(ffmpeg.output().unwrap().stderr).unwrap()
}

#[test]
fn matching_items_are_copied_without_encoding() {
    let dir = tempfile::tempdir().unwrap();
    let right = |name: &str, extra: &[&str]| clip_of_profile(dir.path(), name, extra);
    let good = right("good.mp4", &["-g", "45"]);
    let matroska = right("good.mkv", &["-g", "60"]);
    let seldom = right("seldom.mp4", &["-force_key_frames", "0,1", "-g", "900", "-sc_threshold", "0"]);
    let open = right("open.mp4", &["-g", "30", "-x264-params", "open-gop=1:bframes=3:scenecut=0"]);
    let small = clip(
        dir.path(),
        "small.mp4",
        &["-f", "lavfi", "-i", "testsrc2=s=160x90:r=30:d=2", "-f", "lavfi", "-i", "sine=d=2"],
    );
    let list = |copy| Once {
        files: vec![
            small.clone(),
            good.clone(),
            small.clone(),
            matroska.clone(),
            seldom.clone(),
            open.clone(),
        ],
        copy,
        ..Once::default()
    };
    let (ffmpeg, calls) = counted(dir.path());
    let (summary, tags) = play_from(dir.path(), list(true), &ffmpeg, "");
    assert_eq!(summary, Summary { played: 6, failed: 0, end: RunEnd::Over });
    let said = std::fs::read_to_string(&calls).unwrap();
    let calls_of = |file: &Path, copied: bool| {
        let name = format!("file:{}", file.display());
        said.lines().filter(|call| call.contains(&name) && call.contains("-c copy") == copied).count()
    };
    for (file, copied, encoded) in
        [(&good, 1, 0), (&matroska, 1, 0), (&seldom, 1, 1), (&open, 1, 1), (&small, 0, 1)]
    {
        let counted = (calls_of(file, true), calls_of(file, false).min(1));
        assert_eq!(counted, (copied, encoded), "{}", file.display());
    }
    // What of the one with too few keyframes was right has not been encoded: its first second.
    let rest = said.lines().find(|call| call.contains("seldom") && call.contains("-ss")).unwrap();
    assert!(rest.contains("-ss 1.000"), "{rest}");
    let video = times(&tags, Kind::Video);
    assert_even(&video, 33, 34);
    assert_even(&times(&tags, Kind::Audio), 23, 24);
    assert!(video.len().abs_diff((4 * 5 + 2 * 2) * 30) <= 3, "{} pictures", video.len());
    // Each change of the encoder has its header, and is decoded without a complaint.
    assert!(tags.iter().filter(|t| t.kind == Kind::Video && t.is_sequence_header()).count() >= 5);
    assert_eq!(decoder_errors(&dir.path().join("out.flv")), "");
    // Neither arguments of the operator's nor a start within are served by a copy.
    std::fs::write(&calls, "").unwrap();
    play_from(
        dir.path(),
        Once { files: vec![good.clone()], copy: true, ..Once::default() },
        &ffmpeg,
        "-g 30",
    );
    let begun = Once { files: vec![good], copy: true, start: Duration::from_secs(1), ..Once::default() };
    play_from(dir.path(), begun, &ffmpeg, "");
    assert!(!std::fs::read_to_string(&calls).unwrap().contains("-c copy"));
}
