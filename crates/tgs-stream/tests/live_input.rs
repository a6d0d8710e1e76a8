//! The live input with real publishers and real readers: ffmpeg, ffprobe, and clients that
//! misbehave.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tgs_core::{
    cancel::Cancel,
    logging,
    secret::Secret,
    settings::{Live, LiveAddress, LiveStart},
    tls::TlsFiles,
};
use tgs_playout::{
    ffmpeg::{
        input::source_options,
        probe::{self, ProbeOptions},
    },
    item::{Item, NextItem, Programme},
};
use tgs_rtmp::{
    client::RtmpConnection,
    flv::{FlvReader, Tag},
    metadata::Metadata,
    url::RtmpUrl,
};
use tgs_stream::live_input::{HandedInput, LiveEvent, LiveInput};

const KEY: &str = "0123456789abcdef-key";

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A live input, and what it reports.
struct Setup {
    input: LiveInput,
    events: Receiver<LiveEvent>,
    _dir: TempDir,
}

impl Setup {
    fn new() -> Self {
        Self::with(|_, _| {})
    }

    fn with(change: impl FnOnce(&mut Live, &Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = settings_of("127.0.0.1:0".parse().unwrap());
        change(&mut settings, dir.path());
        logging::init("info");
        let (sender, events) = channel();
        let report = move |event: &LiveEvent| drop(sender.send(event.clone()));
        let input = LiveInput::start(&settings, dir.path(), HandedInput::default(), report).unwrap();
        Self { input, events, _dir: dir }
    }

    fn url(&self, path: &str) -> String {
        format!("rtmp://{}/{path}", self.input.local_addr().unwrap())
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.input.local_addr().unwrap()).unwrap()
    }

    fn event(&self) -> LiveEvent {
        self.events.recv_timeout(PATIENCE).unwrap()
    }

    /// The next event but that the publisher stalls or flows again: on a busy machine it does so at
    /// any time.
    fn event_but_stalls(&self) -> LiveEvent {
        loop {
            let event = self.event();
            if !is_of_stall(&event) {
                return event;
            }
        }
    }

    fn arrived(&self) -> String {
        match self.event() {
            LiveEvent::Arrived(publisher) => publisher.format,
            other => panic!("{other:?}"),
        }
    }

    fn item(&self) -> Item {
        let mut programme = self.input.programme("live".to_owned(), Cancel::new());
        match programme.next() {
            NextItem::Play(item) => item,
            other => panic!("{other:?}"),
        }
    }
}

/// Whether it is the beginning or the end of a stall.
fn is_of_stall(event: &LiveEvent) -> bool {
    matches!(event, LiveEvent::Stalled | LiveEvent::Returned(_))
}

fn settings_of(listen: SocketAddr) -> Live {
    Live {
        address: LiveAddress { secure: false, listen, app: "live".to_owned() },
        key: Some(Secret::new(KEY.to_owned())),
        keys_file: None,
        tls: None,
        start: LiveStart::Now,
        delay: Duration::from_secs(2),
        grace: Duration::from_secs(10),
        over_schedule: true,
    }
}

/// A file with one key, which begins with its name.
fn named_key(dir: &Path, name: &str) -> PathBuf {
    let keys = dir.join("keys");
    fs::write(&keys, format!("{name} = {name}-0123456789abcdef\n")).unwrap();
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();
    keys
}

/// A process that ends with the test.
struct Publisher(Child);

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Publishes a test picture in real time with these output options.
fn publish(url: &str, options: &str) -> Publisher {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=s=322x182:r=25"]);
    command.args(["-re", "-f", "lavfi", "-i", "sine=r=44100"]);
    command.args([
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-pix_fmt",
        "yuv420p",
        "-g",
        "25",
        "-c:a",
        "aac",
    ]);
    command.args(options.split_whitespace()).args(["-f", "flv", url]);
    Publisher(command.stderr(Stdio::piped()).spawn().unwrap())
}

/// Waits for the process, and returns its messages.
fn messages(mut publisher: Publisher) -> String {
    let mut text = String::new();
    publisher.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

/// Waits until the log has a line with all `words`.
fn logged(words: &[&str]) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        let lines = logging::recent(500);
        if let Some(line) = lines.iter().find(|line| words.iter().all(|word| line.contains(word))) {
            return line.clone();
        }
        assert!(Instant::now() < until, "{words:?} in {lines:#?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Reads the item with ffmpeg for this many seconds; the times of its pictures.
fn read(item: &Item, seconds: &str) -> Vec<f64> {
    let source = &item.media.sources[0];
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v", "-show_entries", "packet=pts_time", "-of", "csv=p=0"])
        .args(["-read_intervals", &format!("%+{seconds}")])
        .args(source_options(source))
        .args(["-i", &source.url])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect()
}

#[test]
fn a_listener_of_the_process_before_serves_at_the_address_of_the_settings_only() {
    let handed = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (first, free) = (handed(), handed().local_addr().unwrap());
    let address = first.local_addr().unwrap();
    for (settings, listener, expected) in [(address, first, address), (free, handed(), free)] {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings_of(settings);
        let handed = HandedInput { listener: Some(listener), publisher: None };
        let input = LiveInput::start(&settings, dir.path(), handed, |_| ()).unwrap();
        assert_eq!(input.local_addr(), Some(expected));
    }
}

#[test]
fn ffmpeg_goes_live_is_probed_and_read_and_leaves() {
    let setup = Setup::with(|live, _| live.grace = Duration::from_secs(10));
    let publisher = publish(&setup.url(&format!("live/{KEY}")), "");
    assert_eq!(setup.arrived(), "H.264 322x182, AAC 44100 Hz mono");
    let item = setup.item();
    assert!(item.media.live);
    let wanted = ProbeOptions::default();
    let began = Instant::now();
    let found = probe::probe(Path::new("ffprobe"), &item.media, wanted, &Cancel::new()).unwrap();
    let took = began.elapsed();
    let video = found.video.unwrap();
    assert_eq!((video.width, video.height, found.audio.is_some()), (322, 182, true));
    assert_eq!(found.duration, None);
    // Less than its own limit, which would say that it saw no end of the headers.
    assert!(took < Duration::from_secs(18), "the probe took {took:?}");
    // Two readers at once, each from a keyframe on.
    let times = read(&item, "2");
    assert!(times.len() >= 50 && times[0] < 0.2, "{times:?}");
    drop(publisher);
    while setup.event() != LiveEvent::Stalled {}
    let LiveEvent::Left { why } = setup.event_but_stalls() else { panic!() };
    let silent = why.strip_prefix("no media for ").and_then(|why| why.strip_suffix(" s"));
    let silent: Option<u64> = silent.and_then(|seconds| seconds.parse().ok());
    assert!(silent.is_some_and(|seconds| (10..50).contains(&seconds)), "{why}");
    assert!(read(&item, "2").is_empty());
}

#[test]
fn strangers_are_refused_with_a_word_and_the_publisher_notices_nothing() {
    let setup = Setup::with(|live, dir| live.keys_file = Some(named_key(dir, "bob")));
    let publisher = publish(&setup.url(&format!("live/{KEY}")), "");
    setup.arrived();
    let item = setup.item();
    // Not with the same key: it takes the place of a publisher that stalls.
    let second = messages(publish(&setup.url("live/bob-0123456789abcdef"), ""));
    assert!(second.contains("another client publishes"), "{second}");
    logged(&["refused 127.0.0.1", "another client publishes already"]);
    let other = messages(publish(&setup.url(&format!("other/{KEY}")), ""));
    assert!(other.contains("no such application"), "{other}");
    logged(&["refused 127.0.0.1", "an application that does not exist here"]);
    setup.connect().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    logged(&["refused 127.0.0.1", "its first byte is 71 instead of 3"]);
    for _ in 0..5 {
        let wrong = messages(publish(&setup.url("live/another-key-of-somebody"), ""));
        assert!(wrong.contains("wrong stream key"), "{wrong}");
    }
    logged(&["refused 127.0.0.1", "the client gave a wrong stream key"]);
    let mut blocked = setup.connect();
    assert_eq!(blocked.read(&mut [0; 10]).unwrap_or_default(), 0);
    logged(&["refused 127.0.0.1", "too many wrong stream keys"]);
    let shown = logging::recent(500).join("\n");
    assert!(!shown.contains(KEY) && !shown.contains("another-key"), "{shown}");
    // The publisher still flows.
    assert!(read(&item, "1").len() >= 25);
    assert_eq!(setup.events.try_iter().find(|event| !is_of_stall(event)), None);
    drop(publisher);
}

/// Sends a flood after the handshake until the server closes; how much it took, in bytes.
fn flood(mut client: TcpStream, piece: &[u8]) -> usize {
    client.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut sent = 0;
    client.write_all(&[3; 3073]).unwrap();
    while client.write_all(piece).is_ok() {
        sent += piece.len();
    }
    sent
}

#[test]
fn floods_and_half_open_connections_are_bounded_and_a_publisher_still_gets_in() {
    let setup = Setup::new();
    // Chunk headers of empty messages, of endless messages, and of ever new chunk streams.
    let empty = [6, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0].repeat(1000);
    let endless = [&[6, 0, 0, 0, 0, 0xFF, 0xFF, 9, 1, 0, 0, 0][..], &[0xC6; 128].repeat(1000)].concat();
    let streams: Vec<u8> = (2..64).flat_map(|id| [id, 0, 0, 0, 0, 0xFF, 0, 9, 1, 0, 0, 0]).collect();
    for piece in [empty, endless, streams.repeat(100)] {
        let began = Instant::now();
        let sent = flood(setup.connect(), &piece);
        // Beyond the limits only what the sockets' buffers hold, and what is read while closing.
        assert!(sent < 24 << 20, "{sent} bytes were taken");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
    let idle: Vec<TcpStream> = (0..20).map(|_| setup.connect()).collect();
    let _publisher = publish(&setup.url(&format!("live/{KEY}")), "");
    setup.arrived();
    drop(idle);
}

#[test]
fn a_codec_that_is_not_supported_is_named() {
    let setup = Setup::new();
    let _picture = publish(&setup.url(&format!("live/{KEY}")), "-c:v flv1");
    logged(&["the picture's codec is Sorenson H.263, and only H.264 is supported"]);
    let _sound = publish(&setup.url(&format!("live/{KEY}")), "-c:a nellymoser -ar 22050 -ac 1");
    logged(&["the sound's codec is Nellymoser, and only AAC and MP3 are supported"]);
    let _good = publish(&setup.url(&format!("live/{KEY}")), "-c:a libmp3lame");
    // The picture of the refused one may have arrived before its sound.
    let arrived = (0..3).find_map(|_| match setup.event_but_stalls() {
        LiveEvent::Arrived(publisher) if publisher.format.contains("MP3") => Some(publisher.format),
        _ => None,
    });
    assert_eq!(arrived.as_deref(), Some("H.264 322x182, MP3"));
}

#[test]
fn a_lost_publisher_returns_and_its_stream_is_handed_out_again() {
    let setup = Setup::with(|live, _| live.grace = Duration::from_mins(1));
    let url = setup.url(&format!("live/{KEY}"));
    let publisher = publish(&url, "");
    setup.arrived();
    let mut programme = setup.input.programme("live".to_owned(), Cancel::new());
    let NextItem::Play(first) = programme.next() else { panic!() };
    assert!(!read(&first, "1").is_empty());
    drop(publisher);
    while setup.event() != LiveEvent::Stalled {}
    let publisher = publish(&url, "-s 640x360");
    let again = |event: LiveEvent| matches!(event, LiveEvent::Returned(again) if again.format.starts_with("H.264 640x360"));
    while !again(setup.event()) {}
    let NextItem::Play(second) = programme.next() else { panic!() };
    assert!(second.turn > first.turn);
    assert!(read(&second, "1").len() >= 25);
    assert!(setup.input.drop_publisher("dropped"));
    assert_eq!(setup.event_but_stalls(), LiveEvent::Left { why: "dropped".to_owned() });
    assert!(matches!(programme.next(), NextItem::End));
    drop(publisher);
    let away = messages(publish(&url, ""));
    assert!(away.contains("another client publishes"), "{away}");
    logged(&["an operator has dropped this publisher"]);
}

#[test]
fn whatever_a_publisher_sends_is_described_and_read() {
    for (options, format) in [
        ("-an", "H.264 322x182, no sound"),
        ("-vn -ac 2", "no picture, AAC 44100 Hz stereo"),
        ("-r 50 -bf 3 -preset veryfast -ar 48000 -s 1278x718", "H.264 1278x718, AAC 48000 Hz mono"),
    ] {
        let setup = Setup::new();
        let publisher = publish(&setup.url(&format!("live/{KEY}")), options);
        assert_eq!(setup.arrived(), format);
        let wanted = ProbeOptions::default();
        let found = probe::probe(Path::new("ffprobe"), &setup.item().media, wanted, &Cancel::new()).unwrap();
        assert_eq!(found.video.is_some(), !options.contains("-vn"), "{options}");
        assert_eq!(found.audio.is_some(), !options.contains("-an"), "{options}");
        drop(publisher);
    }
}

/// Two seconds of picture and sound, as tags.
fn clip(dir: &Path) -> Vec<Tag> {
    let path = dir.join("clip.flv");
    let done = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=2"])
        .args([
            "-f",
            "lavfi",
            "-i",
            "sine=r=44100:d=2",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-g",
            "25",
        ])
        .args(["-c:a", "aac"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(done.success());
    let mut reader = FlvReader::new(fs::File::open(path).unwrap());
    std::iter::from_fn(|| reader.next_tag().unwrap()).collect()
}

#[test]
fn timestamps_that_jump_are_read_as_one_time() {
    let setup = Setup::new();
    let dir = tempfile::tempdir().unwrap();
    let tags = clip(dir.path());
    let metadata = Metadata {
        width: 320,
        height: 180,
        fps: 25,
        video_kbps: 300,
        audio_kbps: 64,
        audio_rate: 44_100,
        channels: 1,
    };
    let url = RtmpUrl::parse(&setup.url(&format!("live/{KEY}"))).unwrap();
    let mut connection = RtmpConnection::open(&url, &metadata, || false, PATIENCE).unwrap();
    let send = move || {
        let began = Instant::now();
        // Forward by an hour, then back to the beginning. A reader begins at the newest keyframe:
        // the second one comes late enough for it.
        for (base, offset, slower) in [(0, 0, 5), (3_600_000, 10, 1), (0, 12, 1)] {
            for tag in &tags {
                let time = tag.timestamp * slower;
                let due = Duration::from_secs(offset) + Duration::from_millis(time);
                connection.wait(began + due).unwrap();
                connection.send(&Tag { timestamp: base + time, ..tag.clone() }).unwrap();
            }
        }
        connection.goodbye();
    };
    let publisher = thread::spawn(send);
    setup.arrived();
    let times = read(&setup.item(), "30");
    publisher.join().unwrap();
    assert!(times.len() >= 140, "{} pictures", times.len());
    let steps = times.windows(2).map(|pair| (pair[1] - pair[0]).abs());
    // A jump is bridged by the time that passed.
    assert!(steps.fold(0.0, f64::max) < 10.0, "{times:?}");
    assert_eq!(setup.event_but_stalls(), LiveEvent::Left { why: "it ended its stream".to_owned() });
}

#[test]
fn rtmps_and_named_keys() {
    let setup = Setup::with(|live, dir| {
        let files = TlsFiles { cert: dir.join("cert.pem"), key: dir.join("key.pem") };
        let done = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"])
            .args(["-keyout".as_ref(), files.key.as_os_str(), "-out".as_ref(), files.cert.as_os_str()])
            .output()
            .unwrap();
        assert!(done.status.success());
        let keys = named_key(dir, "anna");
        (live.address.secure, live.tls, live.keys_file, live.key) = (true, Some(files), Some(keys), None);
    });
    let url = setup.url("live/anna-0123456789abcdef").replacen("rtmp", "rtmps", 1);
    let _publisher = publish(&url, "");
    let LiveEvent::Arrived(publisher) = setup.event() else { panic!() };
    assert_eq!((&*publisher.key_name, publisher.address.to_string()), ("anna", "127.0.0.1".to_owned()));
}
