//! What becomes of the rest of an item whose encoder or streams end half-way: with the real ffmpeg,
//! into a file.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod ffmpeg;

use std::{
    fs::{self, File},
    io::BufReader,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::Duration,
};

use ffmpeg::make;
use tgs_playout::{
    engine::{self, Control, EngineConfig, RunEnd, Summary},
    ffmpeg::Processing,
    item::{Item, JumpTarget, Media, MediaSource, NextItem, Programme},
    output::Output,
    profile::Profile,
};
use tgs_rtmp::flv::{FlvReader, Kind, Tag};

const PROFILE: Profile = Profile { width: 320, height: 180, video_kbps: 200, ..Profile::P720 };

/// Plays these once.
struct Once(Vec<MediaSource>);

impl Programme for Once {
    fn next(&mut self) -> NextItem {
        if self.0.is_empty() {
            return NextItem::End;
        }
        let source = self.0.remove(0);
        let (id, title) = (source.url.clone(), "item".to_owned());
        let media = Media { sources: vec![source], ..Media::at(String::new(), false) };
        NextItem::Play(Item { id, turn: 0, title, start: Duration::ZERO, media })
    }

    fn confirm(&mut self, item: Item) -> NextItem {
        NextItem::Play(item)
    }

    fn round_len(&self) -> usize {
        100
    }

    fn jump(&mut self, _: Option<u64>, _: JumpTarget) {}

    fn reload(&mut self) {}
}

/// Picture and sound of so many seconds.
fn av(seconds: u32) -> String {
    format!(
        "-f lavfi -i testsrc2=s=320x180:r=25:d={seconds} -f lavfi -i sine=r=48000:d={seconds} \
         -c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 25 -c:a aac"
    )
}

fn at(dir: &Path, name: &str) -> MediaSource {
    MediaSource::at(format!("file:{}", dir.join(name).display()))
}

fn play(dir: &Path, sources: Vec<MediaSource>, ffmpeg: &str) -> (Summary, Vec<Tag>) {
    let out = dir.join("out.flv");
    let config = EngineConfig {
        ffmpeg: ffmpeg.into(),
        ffprobe: "ffprobe".into(),
        profile: PROFILE,
        processing: Processing::default(),
        ffmpeg_args: String::new(),
        output: Output::File(out.clone()),
        read_ahead: Duration::from_secs(6),
        realtime: false,
        filler: None,
        cache_dir: dir.join("cache"),
        cache_limit: 1 << 30,
        cache_ahead: false,
        image_duration: Duration::from_secs(10),
        passthrough: false,
        state_dir: dir.join("state"),
        first_timestamp: 0,
    };
    let summary = engine::run(config, Box::new(Once(sources)), &Control::default()).unwrap();
    let mut reader = FlvReader::new(BufReader::new(File::open(out).unwrap()));
    let tags = std::iter::from_fn(|| reader.next_tag().unwrap()).collect();
    (summary, tags)
}

fn times(tags: &[Tag], kind: Kind) -> Vec<u64> {
    tags.iter().filter(|t| t.kind == kind && t.is_frame()).map(|t| t.timestamp).collect()
}

/// Pictures and sound last for so many seconds, without a hole, and the tone is heard all the time.
fn assert_whole(tags: &[Tag], seconds: u64) {
    let (video, audio) = (times(tags, Kind::Video), times(tags, Kind::Audio));
    assert!((video.len() as u64).abs_diff(seconds * 30) <= 6, "{} pictures", video.len());
    assert!((audio.len() as u64).abs_diff(seconds * 44_100 / 1024) <= 14, "{} sounds", audio.len());
    assert!(video.windows(2).all(|pair| pair[1] - pair[0] <= 34), "a hole in the picture");
    // Silence is put where sound is missing, and its frames are small.
    let silent = tags.iter().filter(|t| t.kind == Kind::Audio && t.is_frame() && t.body.len() < 30).count();
    assert!(silent <= 12, "{silent} frames of silence");
}

/// An ffmpeg of which the first encoder of `film` gives so many bytes and then `ends`, a shell
/// command.
fn failing(dir: &Path, bytes: u32, ends: &str) -> String {
    let (script, done) = (dir.join("failing"), dir.join("done"));
    let _ = fs::remove_file(&done);
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in *film*) if [ ! -e {0} ]; then touch {0}; \
         ffmpeg \"$@\" | head -c {bytes}; {ends}; fi;; esac\nexec ffmpeg \"$@\"\n",
        done.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    script.display().to_string()
}

#[test]
fn an_encoder_that_is_killed_or_stopped_is_replaced_where_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), &format!("{} film.mp4", av(9)));
    for (ends, bytes) in [("kill -KILL $$", 100_001), ("kill -STOP $$", 100_000), ("kill -SEGV $$", 10)] {
        let ffmpeg = failing(dir.path(), bytes, ends);
        let (summary, tags) = play(dir.path(), vec![at(dir.path(), "film.mp4")], &ffmpeg);
        assert_eq!(summary, Summary { played: 1, failed: 0, end: RunEnd::Over }, "{ends}");
        assert_whole(&tags, 9);
        // What was made by two encoders is not kept.
        let kept = tgs_playout::cache::list(&dir.path().join("cache"));
        assert!(kept.is_empty(), "{ends}: {kept:?}");
    }
    // What nothing comes of is left.
    let text = "#!/bin/sh\ncase \"$*\" in *film*) kill -KILL $$;; esac\nexec ffmpeg \"$@\"\n";
    fs::write(dir.path().join("failing"), text).unwrap();
    let ffmpeg = dir.path().join("failing").display().to_string();
    let (summary, _) = play(dir.path(), vec![at(dir.path(), "film.mp4")], &ffmpeg);
    assert_eq!(summary, Summary { played: 0, failed: 1, end: RunEnd::Over });
}

#[test]
fn a_transport_stream_whose_streams_change_plays_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    for (name, seconds, options) in [
        ("a.ts", 7, "-mpegts_start_pid 0x100"),
        ("b.ts", 6, "-mpegts_start_pid 0x200 -mpegts_pmt_start_pid 0x1100"),
        ("c.ts", 5, "-c:v mpeg2video -c:a mp2 -mpegts_start_pid 0x300"),
    ] {
        make(dir.path(), &format!("{} {options} {name}", av(seconds)));
    }
    let bytes = ["a.ts", "b.ts", "c.ts"].map(|name| fs::read(dir.path().join(name)).unwrap()).concat();
    fs::write(dir.path().join("film.ts"), bytes).unwrap();
    let (summary, tags) = play(dir.path(), vec![at(dir.path(), "film.ts")], "ffmpeg");
    assert_eq!(summary, Summary { played: 1, failed: 0, end: RunEnd::Over });
    assert_whole(&tags, 18);
    let kept = tgs_playout::cache::list(&dir.path().join("cache"));
    assert!(kept.is_empty(), "a part stands for the whole: {kept:?}");
}

#[test]
fn a_broken_picture_is_left() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), &format!("{} film.ts", av(30)));
    let mut bytes = fs::read(dir.path().join("film.ts")).unwrap();
    // Half of what comes behind the first seconds is noise.
    let mut noise = 1_u32;
    for packet in bytes.chunks_exact_mut(188).skip(800) {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if noise >> 31 == 1 {
            packet[12..].iter_mut().for_each(|byte| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = (noise >> 24) as u8;
            });
        }
    }
    fs::write(dir.path().join("film.ts"), bytes).unwrap();
    let (summary, tags) = play(dir.path(), vec![at(dir.path(), "film.ts")], "ffmpeg");
    assert_eq!(summary, Summary { played: 1, failed: 1, end: RunEnd::Over });
    let pictures = times(&tags, Kind::Video).len();
    assert!(pictures < 25 * 30, "{pictures} pictures were sent");
}

#[test]
fn lists_of_segments_play_whole() {
    let dir = tempfile::tempdir().unwrap();
    let segments = |name: &str, options: &str| {
        let names = format!("-hls_segment_filename {name}%d.ts {name}.m3u8");
        make(dir.path(), &format!("{} {options} -hls_time 2 -hls_list_size 0 {names}", av(6)));
        fs::read_to_string(dir.path().join(format!("{name}.m3u8"))).unwrap().replace("#EXT-X-ENDLIST\n", "")
    };
    // The clock of the second part is five seconds ahead of where the first one ends.
    let (first, second) = (segments("a", ""), segments("b", "-output_ts_offset 11"));
    let second = &second[second.find("#EXTINF").unwrap()..];
    let jumps = format!("{first}#EXT-X-DISCONTINUITY\n{second}#EXT-X-ENDLIST\n");
    fs::write(dir.path().join("jumps.m3u8"), jumps).unwrap();
    let list = |name: &str| MediaSource { hls: true, ..at(dir.path(), name) };
    let (summary, tags) = play(dir.path(), vec![MediaSource { jumps: true, ..list("jumps.m3u8") }], "ffmpeg");
    assert_eq!(summary, Summary { played: 1, failed: 0, end: RunEnd::Over });
    assert_whole(&tags, 12);
    // Nobody writes its end any more.
    fs::write(dir.path().join("open.m3u8"), first).unwrap();
    let ends = Some(Duration::from_secs(6));
    let (summary, tags) = play(dir.path(), vec![MediaSource { ends, ..list("open.m3u8") }], "ffmpeg");
    assert_eq!(summary, Summary { played: 1, failed: 0, end: RunEnd::Over });
    assert_whole(&tags, 6);
}
