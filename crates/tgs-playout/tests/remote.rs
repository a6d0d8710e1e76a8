//! The whole engine with the real ffmpeg, from a server on loopback into a file: what of a picture
//! and its sound comes when.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod ffmpeg;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use tgs_playout::{
    engine::{self, Control, EngineConfig, RunEnd, Summary},
    ffmpeg::Processing,
    item::{Item, JumpTarget, Media, NextItem, Programme, UpcomingItem},
    output::Output,
    profile::Profile,
};
use tgs_rtmp::flv::{FlvReader, Kind};

const X264: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 25 -c:a aac";
const VP8: &str = "-c:v libvpx -deadline realtime -c:a libopus";

/// Serves the files of a directory, and the parts that are asked for; the port.
fn serve(dir: PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let dir = dir.clone();
            // A client that goes away is no failure.
            thread::spawn(move || drop(answer(stream, &dir)));
        }
    });
    port
}

fn answer(mut stream: TcpStream, dir: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut from = None;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.split('-').next().and_then(|from| from.parse::<usize>().ok());
        }
        if line.is_empty() {
            break;
        }
    }
    let name = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
    let body = fs::read(dir.join(name))?;
    let (rest, whole) = (&body[from.unwrap_or_default().min(body.len())..], body.len());
    let status = match from {
        Some(from) => format!("206 Part\r\nContent-Range: bytes {from}-{}/{whole}", whole - 1),
        None => "200 OK".to_owned(),
    };
    let length = rest.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nAccept-Ranges: bytes\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(rest)
}

struct One(Option<Item>);

impl Programme for One {
    fn next(&mut self) -> NextItem {
        self.0.take().map_or(NextItem::End, NextItem::Play)
    }

    fn confirm(&mut self, item: Item) -> NextItem {
        NextItem::Play(item)
    }

    fn upcoming(&self, _: usize) -> Vec<UpcomingItem> {
        Vec::new()
    }

    fn round_len(&self) -> usize {
        1
    }

    fn jump(&mut self, _: Option<u64>, _: JumpTarget) {}

    fn reload(&mut self) {}
}

/// What is on air of the item at `url` from `start` on: seconds of picture, and of sound that is no
/// silence.
fn on_air(dir: &Path, url: String, start: Duration) -> (f64, f64) {
    let out = dir.join("out.flv");
    let config = EngineConfig {
        ffmpeg: "ffmpeg".into(),
        ffprobe: "ffprobe".into(),
        profile: Profile { width: 160, height: 90, video_kbps: 100, ..Profile::P720 },
        processing: Processing::default(),
        ffmpeg_args: String::new(),
        output: Output::File(out.clone()),
        read_ahead: Duration::from_secs(4),
        realtime: false,
        filler: None,
        cache_dir: dir.join("cache"),
        cache_limit: 0,
        cache_ahead: false,
        image_duration: Duration::from_secs(10),
        passthrough: false,
        state_dir: dir.join("state"),
        first_timestamp: 0,
    };
    let (id, media) = (url.clone(), Media::at(url, false));
    let item = Item { id: id.clone(), turn: 0, title: String::new(), start, media };
    let summary = engine::run(config, Box::new(One(Some(item))), &Control::default()).unwrap();
    assert_eq!(summary, Summary { played: 1, failed: 0, end: RunEnd::Over }, "{id}");
    let mut reader = FlvReader::new(BufReader::new(File::open(&out).unwrap()));
    let mut pictures = 0;
    while let Some(tag) = reader.next_tag().unwrap() {
        pictures += u32::from(tag.kind == Kind::Video && tag.is_frame());
    }
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&out)
        .args(["-vn", "-ac", "1", "-ar", "8000", "-f", "s16le", "-"])
        .output()
        .unwrap();
    let tenths = decoded.stdout.chunks(1600);
    let loud = |samples: &&[u8]| samples.chunks_exact(2).any(|s| i16::from_le_bytes([s[0], s[1]]) > 500);
    (f64::from(pictures) / 30.0, tenths.filter(loud).count() as f64 / 10.0)
}

fn assert_on_air(dir: &Path, url: &str, start: u64, picture: f64, sound: f64) {
    let (seen, heard) = on_air(dir, url.to_owned(), Duration::from_secs(start));
    let near = |a: f64, b: f64| (a - b).abs() < 0.6;
    assert!(near(seen, picture), "{url}: {seen} s of picture instead of {picture}");
    assert!(near(heard, sound), "{url}: {heard} s of sound instead of {sound}");
}

fn make(dir: &Path, picture: &str, sound: u32, how: &str) {
    ffmpeg::make(
        dir,
        &format!("-f lavfi -i testsrc2=s=160x90:{picture} -f lavfi -i sine=440:r=48000:d={sound} {how}"),
    );
}

#[test]
fn a_picture_that_ends_is_held_while_its_sound_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let port = serve(dir.path().to_owned());
    // The last is as browsers record: without any length, for a stream cannot be gone back in.
    for (name, how) in [
        ("a.mp4", X264),
        ("a.flv", X264),
        ("a.wmv", "-c:v wmv2 -c:a wmav2"),
        ("a.ts", X264),
        ("live.webm", &format!("{VP8} -live 1")),
    ] {
        make(dir.path(), "r=25:d=4", 12, &format!("{how} {name}"));
        assert_on_air(dir.path(), &format!("http://127.0.0.1:{port}/{name}"), 0, 12.0, 12.0);
    }
    // Sound that ends first takes nothing of its picture.
    make(dir.path(), "r=25:d=12", 4, &format!("{X264} b.flv"));
    assert_on_air(dir.path(), &format!("http://127.0.0.1:{port}/b.flv"), 0, 12.0, 4.0);
}

#[test]
fn pictures_far_apart_are_shown_under_their_sound() {
    let dir = tempfile::tempdir().unwrap();
    let port = serve(dir.path().to_owned());
    let url = |name: &str| format!("http://127.0.0.1:{port}/{name}");
    for name in ["podcast.mp4", "podcast.flv", "podcast.mkv"] {
        make(dir.path(), "r=1/30:d=30", 30, &format!("{X264} {name}"));
        assert_on_air(dir.path(), &url(name), 0, 30.0, 30.0);
    }
    // Entered behind its only picture it is heard over a slate.
    assert_on_air(dir.path(), &url("podcast.mp4"), 20, 10.0, 10.0);
    make(dir.path(), "r=1/10:d=30", 30, &format!("{X264} slides.mp4"));
    assert_on_air(dir.path(), &url("slides.mp4"), 0, 30.0, 30.0);
    // A mean rate that hides it: a second of film, and then a picture that stands.
    let stands = "r=25:d=30,select=lt(n\\,25)+eq(n\\,749)";
    for name in ["stands.mkv", "stands.flv"] {
        make(dir.path(), stands, 30, &format!("-vsync passthrough {X264} {name}"));
        assert_on_air(dir.path(), &url(name), 0, 30.0, 30.0);
    }
    // As a browser writes it, which is taken for live: no picture came for too long.
    make(dir.path(), "r=1/30:d=30", 30, &format!("{VP8} -live 1 live.webm"));
    assert_on_air(dir.path(), &url("live.webm"), 0, 30.0, 30.0);
}
