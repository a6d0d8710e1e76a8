//! The RTMP connection against ffmpeg's own, against a server that misbehaves, and against real
//! servers.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    io::Write,
    net::TcpListener,
    path::Path,
    process::{Command, Output, Stdio},
    sync::{LazyLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use tgs_core::cancel::Cancel;
use tgs_e2e::{
    ingest::{Ingest, METADATA, Record, Setup, Welcome},
    nginx::{self, Nginx, free_port},
    stunnel::{Authority, Stunnel, Validity},
};
use tgs_rtmp::{
    chunk::{Received, kind},
    client::{ConnectionLost, OpenError, OpenStage, RtmpConnection},
    flv::{FILE_HEADER, FlvReader, Kind, Tag, write_tag},
    url::RtmpUrl,
};

const SECOND: Duration = Duration::from_secs(1);

/// A key that is found wherever it is printed.
const KEY: &str = "s3cr3t-k3y";

fn open(url: &str) -> Result<RtmpConnection, OpenError> {
    RtmpConnection::open(&RtmpUrl::parse(url).unwrap(), &METADATA, || false, 5 * SECOND)
}

/// The error of opening `url`, and its words; the key is in neither.
fn refused(url: &str) -> (OpenError, String) {
    let error = open(url).expect_err("the connection was accepted");
    let words = error.to_string();
    assert!(!format!("{words} {error:?}").contains(KEY), "{error:?}");
    (error, words)
}

/// Two seconds that fit [`METADATA`], as ffmpeg's output `to` (after `-f flv`).
fn ffmpeg(to: &str) -> Output {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=2", "-f", "lavfi"])
        .args(["-i", "sine=r=44100:d=2", "-c:v", "libx264", "-g", "25", "-b:v", "300k"])
        .args(["-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "64k", "-ac", "2", "-f", "flv", to])
        .output()
        .unwrap();
    assert!(output.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The media of two seconds, in tags.
fn clip() -> &'static [Tag] {
    static CLIP: LazyLock<Vec<Tag>> = LazyLock::new(|| {
        let bytes = ffmpeg("pipe:1").stdout;
        let mut reader = FlvReader::new(bytes.as_slice());
        std::iter::from_fn(|| reader.next_tag().unwrap())
            .filter(|tag| tag.kind != Kind::Script && !is_sequence_end(tag))
            .collect()
    });
    &CLIP
}

/// The end of the video sequence, which `goodbye` sends by itself.
fn is_sequence_end(tag: &Tag) -> bool {
    tag.kind == Kind::Video && tag.body.get(1) == Some(&2)
}

fn at(tag: &Tag, timestamp: u64) -> Tag {
    Tag { timestamp, ..tag.clone() }
}

/// A message without what differs by design: ffmpeg's version.
fn without_version(received: &Received) -> Received {
    let mut body = Vec::new();
    let mut rest = received.body.as_slice();
    while let Some((byte, after)) = rest.split_first() {
        body.push(*byte);
        rest = after;
        if body.ends_with(b"Lavf") {
            let digits = rest.iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
            rest = &rest[digits..];
            // The length in front of the text.
            let text = body.iter().rposition(|b| *b < 3).unwrap();
            body[text] = 0;
        }
    }
    Received { body, ..received.clone() }
}

/// The bytes behind the metadata.
fn behind_metadata(bytes: &[u8]) -> &[u8] {
    let end = b"\0\x08filesize\0\0\0\0\0\0\0\0\0\0\0\x09";
    let at = bytes.windows(end.len()).position(|w| w == end).expect("no metadata");
    &bytes[at + end.len()..]
}

/// What ffmpeg and we send for the same media, to a server set up in the same way.
fn both_publish(setup: &Setup) -> (Record, Record) {
    let ingest = Ingest::start_with(setup.clone()).unwrap();
    ffmpeg(&ingest.url(KEY));
    ingest.wait_ended(10 * SECOND).unwrap();
    let theirs = ingest.record().unwrap();
    let mut connection = open(&ingest.url(KEY)).unwrap();
    for tag in theirs.tags().filter(|tag| !is_sequence_end(tag)) {
        connection.send(&tag).unwrap();
    }
    connection.goodbye();
    ingest.wait("our connection's end", 10 * SECOND, |r| r.len() == 2 && r[1].ended.is_some()).unwrap();
    (theirs, ingest.records().remove(1))
}

#[test]
fn we_send_byte_for_byte_what_ffmpeg_sends() {
    let setups = [
        Setup { keep_bytes: true, ..Setup::default() },
        Setup { keep_bytes: true, chunk_size: None, ..Setup::default() },
        Setup { keep_bytes: true, chunk_size: Some(60_000), check_bandwidth: true, ..Setup::default() },
    ];
    for setup in setups {
        let (theirs, ours) = both_publish(&setup);
        // Commands with their order and fields, metadata, sequence headers, frames, goodbye:
        // everything, on the same chunk and message streams at the same times. The exception:
        // another ffmpeg than 5.1 tells its own version.
        let plain = |r: &Record| r.messages.iter().map(|m| without_version(&m.received)).collect::<Vec<_>>();
        for (i, (their, our)) in plain(&theirs).iter().zip(&plain(&ours)).enumerate() {
            assert_eq!(our, their, "message {i}");
        }
        assert_eq!(ours.messages.len(), theirs.messages.len());
        assert!(theirs.commands().len() >= 7 && theirs.media().count() > 100, "{:?}", theirs.commands());
        // And the chunk headers.
        assert!(behind_metadata(&ours.bytes) == behind_metadata(&theirs.bytes), "chunks differ in {setup:?}");
        if ours.bytes.len() == theirs.bytes.len() {
            let same = ours.bytes.iter().zip(&theirs.bytes).filter(|(a, b)| a == b).count();
            // Two version numbers, each twice.
            assert!(ours.bytes.len() - same <= 10, "{} bytes differ", ours.bytes.len() - same);
        }
        // The first block is random; a server finds ffmpeg's digest in both, and gets its own block
        // back from both.
        assert_eq!(ours.handshake[..9], theirs.handshake[..9]);
        for record in [&ours, &theirs] {
            assert_eq!(record.handshake[1537..], record.handshake_answer[1..1537]);
        }
        for record in [&ours, &theirs] {
            let mut server = Handshake::new(PeerType::Server);
            let answer = server.process_bytes(&record.handshake[..1537]).unwrap();
            let HandshakeProcessResult::InProgress { response_bytes } = answer else {
                panic!("done too soon")
            };
            assert_ne!(response_bytes[1537..], record.handshake[1..1537], "no digest was found");
        }
    }
}

#[test]
fn pings_are_answered_as_ffmpeg_answers_them() {
    let setup = Setup { ping: Some(Duration::from_millis(20)), ..Setup::default() };
    let ingest = Ingest::start_with(setup).unwrap();
    let pong =
        |r: &Record| r.messages.iter().map(|m| &m.received).find(|r| r.kind == kind::USER_CONTROL).cloned();
    let mut theirs = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=s=64x64:r=25"])
        .args(["-c:v", "libx264", "-f", "flv", &ingest.url(KEY)])
        .spawn()
        .unwrap();
    let answered = ingest.wait("ffmpeg's pong", 10 * SECOND, |r| r.iter().any(|r| pong(r).is_some()));
    theirs.kill().unwrap();
    theirs.wait().unwrap();
    answered.unwrap();
    let mut connection = open(&ingest.url(KEY)).unwrap();
    // Nothing is sent meanwhile: waiting alone serves the server.
    for _ in 0..100 {
        connection.wait(Instant::now() + Duration::from_millis(100)).unwrap();
        if pong(&ingest.records()[1]).is_some() {
            break;
        }
    }
    connection.goodbye();
    ingest.wait_ended(10 * SECOND).unwrap();
    let records = ingest.records();
    assert!(pong(&records[1]).is_some(), "no pong from us");
    assert_eq!(pong(&records[1]), pong(&records[0]));
}

#[test]
fn refusals_are_reported_in_words() {
    type Expected = fn(&OpenError) -> bool;
    let welcome = |welcome| Setup { welcome, ..Setup::default() };
    let bad_name = Setup { refuse_key: Some("NetStream.Publish.BadName"), ..Setup::default() };
    let table: [(Setup, Expected, &str); 6] = [
        (
            welcome(Welcome::Authenticate("adobe")),
            |e| matches!(e, OpenError::Authentication),
            "user name and password",
        ),
        (
            welcome(Welcome::Authenticate("llnw")),
            |e| matches!(e, OpenError::Authentication),
            "user name and password",
        ),
        (
            welcome(Welcome::Reject("NetConnection.Connect.InvalidApp", "no such application")),
            |e| matches!(e, OpenError::Rejected(_)),
            "no such application",
        ),
        (
            welcome(Welcome::Close),
            |e| matches!(e, OpenError::Closed(OpenStage::Application)),
            "is the application",
        ),
        (bad_name, |e| matches!(e, OpenError::Rejected(_)), "the stream key is wrong, or somebody publishes"),
        (
            welcome(Welcome::Redirect("http://elsewhere/live".to_owned())),
            |e| matches!(e, OpenError::RedirectTarget(_)),
            "rtmp://",
        ),
    ];
    for (setup, expected, words) in table {
        let ingest = Ingest::start_with(setup.clone()).unwrap();
        let (error, said) = refused(&ingest.url(KEY));
        assert!(expected(&error) && said.contains(words), "{setup:?}: {error:?}");
    }
}

#[test]
fn a_redirect_is_followed_once() {
    let elsewhere = Ingest::start().unwrap();
    let redirect = |to: String| {
        Ingest::start_with(Setup { welcome: Welcome::Redirect(to), ..Setup::default() }).unwrap()
    };
    let application = format!("rtmp://127.0.0.1:{}/other", elsewhere.port());
    for to in [application.clone(), format!("{application}/{KEY}")] {
        open(&redirect(to).url(KEY)).unwrap().goodbye();
    }
    elsewhere.wait_ended(5 * SECOND).unwrap();
    let records = elsewhere.records();
    assert_eq!(records.len(), 2);
    for record in records {
        let commands = record.commands();
        let (name, values) = &commands[0];
        let app = values[1].get("app").and_then(|app| app.as_str());
        assert_eq!((name.as_str(), app), ("connect", Some("other")));
        let publish = commands.iter().find(|(name, _)| name == "publish").unwrap();
        assert_eq!(publish.1[2].as_str(), Some(KEY));
    }
    let first = redirect(application);
    let second = redirect(first.url("x").replace("/x", ""));
    let (error, words) = refused(&second.url(KEY));
    assert!(matches!(error, OpenError::Redirect { .. }) && words.contains("once more"), "{words}");
    assert_eq!(elsewhere.records().len(), 2);
}

/// The address of a server that answers the first bytes of every client with `answer`, and closes.
fn stranger(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        client.write_all(answer).unwrap();
        // All is read, so that closing does not reset.
        client.shutdown(std::net::Shutdown::Write).unwrap();
        std::io::copy(&mut client, &mut std::io::sink()).unwrap();
    });
    format!("127.0.0.1:{port}/live/{KEY}")
}

#[test]
fn who_does_not_speak_rtmp_is_recognised() {
    let table: [(&str, &[u8], &str); 5] = [
        ("rtmp", b"HTTP/1.1 400 Bad Request\r\n\r\n", "web server"),
        ("rtmp", b"\x15\x03\x01\x00\x02\x02\x46", "rtmps://"),
        ("rtmp", b"\x06", "RTMPE"),
        ("rtmp", b"", "rtmps://"),
        ("rtmps", b"\x03hello", "TLS"),
    ];
    for (scheme, answer, words) in table {
        let (_, said) = refused(&format!("{scheme}://{}", stranger(answer)));
        assert!(said.contains(words), "{said}");
    }
    let mut ingest = Ingest::start().unwrap();
    ingest.refuse();
    let (error, said) = refused(&ingest.url(KEY));
    assert!(matches!(error, OpenError::Refused { .. }) && said.contains("refuses connections"), "{said}");
    let (error, said) = refused(&format!("rtmp://no-such-host.invalid/live/{KEY}"));
    assert!(matches!(error, OpenError::Resolve { .. } | OpenError::Timeout(OpenStage::Resolve)), "{said}");
}

#[test]
fn opening_ends_with_its_time_or_when_told() {
    let ingest = Ingest::start_with(Setup { welcome: Welcome::Silence, ..Setup::default() }).unwrap();
    let target = RtmpUrl::parse(&ingest.url(KEY)).unwrap();
    let began = Instant::now();
    let error = RtmpConnection::open(&target, &METADATA, || false, SECOND / 4).unwrap_err();
    assert!(matches!(error, OpenError::Timeout(OpenStage::Application)), "{error}");
    assert!(began.elapsed() >= SECOND / 4 && began.elapsed() < 2 * SECOND, "{:?}", began.elapsed());

    let cancel = Cancel::new();
    let other = cancel.clone();
    let opening = thread::spawn(move || {
        (RtmpConnection::open(&target, &METADATA, move || other.is_cancelled(), 60 * SECOND), Instant::now())
    });
    ingest.wait("a second connection", 5 * SECOND, |r| r.len() == 2 && !r[1].messages.is_empty()).unwrap();
    let cancelled = Instant::now();
    cancel.cancel();
    let (outcome, ended) = opening.join().unwrap();
    assert!(matches!(outcome, Err(OpenError::Cancelled)), "{outcome:?}");
    assert!(ended - cancelled < 5 * SECOND, "{:?}", ended - cancelled);
}

/// Sends media until something stops it; `sent` is called after every tag.
fn send_until_broken(connection: &mut RtmpConnection, sent: impl Fn()) -> ConnectionLost {
    let frame = Tag { kind: Kind::Video, timestamp: 0, body: vec![0x27; 20_000].into() };
    let until = Instant::now() + 30 * SECOND;
    for time in 1.. {
        sent();
        if let Err(broken) = connection.send(&at(&frame, time * 40)) {
            return broken;
        }
        assert!(Instant::now() < until, "nothing stops it");
    }
    unreachable!()
}

#[test]
fn a_reset_is_reported_and_what_arrived_is_known() {
    let ingest =
        Ingest::start_with(Setup { reset_after: Some(20), keep_bytes: true, ..Setup::default() }).unwrap();
    let mut connection = open(&ingest.url(KEY)).unwrap();
    let broken = send_until_broken(&mut connection, || {});
    assert!(matches!(broken, ConnectionLost::Reset | ConnectionLost::Closed), "{broken:?}");
    ingest.wait_ended(5 * SECOND).unwrap();
    let read = 1 + 2 * 1536 + ingest.record().unwrap().bytes.len() as u64;
    assert!((read..=connection.written()).contains(&connection.acked()), "{read} {connection:?}");
    let began = Instant::now();
    connection.goodbye();
    // Taking leave of this server would take a second.
    assert!(began.elapsed() < 9 * SECOND / 10, "a broken connection is not taken leave of");
}

#[test]
fn a_server_that_goes_away_is_noticed_while_waiting() {
    let ingest = Ingest::start().unwrap();
    let mut connection = open(&ingest.url(KEY)).unwrap();
    ingest.wait("the metadata", 5 * SECOND, |r| r[0].messages.len() == 7).unwrap();
    ingest.reset();
    let broken = connection.wait(Instant::now() + 5 * SECOND).unwrap_err();
    assert!(matches!(broken, ConnectionLost::Reset), "{broken:?}");
}

#[test]
fn a_blocked_send_is_interrupted_and_little_is_under_way() {
    let ingest = Ingest::start().unwrap();
    let cancel = Cancel::new();
    let stop = cancel.clone();
    let target = RtmpUrl::parse(&ingest.url(KEY)).unwrap();
    let mut connection =
        RtmpConnection::open(&target, &METADATA, move || stop.is_cancelled(), 5 * SECOND).unwrap();
    ingest.pause();
    let (sender, sent) = mpsc::channel();
    let blocked = thread::spawn(move || {
        let broken = send_until_broken(&mut connection, || sender.send(()).unwrap());
        (broken, connection, Instant::now())
    });
    // The server's kernel takes megabytes before it does not.
    while sent.recv_timeout(2 * SECOND).is_ok() {}
    assert!(!blocked.is_finished());
    let cancelled = Instant::now();
    cancel.cancel();
    let (broken, connection, ended) = blocked.join().unwrap();
    assert!(matches!(broken, ConnectionLost::Cancelled), "{broken:?}");
    assert!(ended - cancelled < 3 * SECOND, "{:?}", ended - cancelled);
    let under_way = connection.written() - connection.acked();
    // What `SEND_BUFFER` promises: twice what 5 Mbit/s need at 200 ms, 2 s at 1 Mbit/s.
    assert!((240_000..320_000).contains(&under_way), "{under_way} bytes are under way");
    // What was begun is finished before the goodbye, so that the server understands it.
    ingest.resume();
    connection.goodbye();
    ingest.wait_ended(5 * SECOND).unwrap();
    let record = ingest.record().unwrap();
    assert_eq!(record.commands().last().unwrap().0, "deleteStream");
    assert_eq!(record.ended.unwrap().1, "closed by the publisher");
}

#[test]
fn a_server_that_takes_nothing_is_given_up() {
    let ingest = Ingest::start().unwrap();
    let mut connection = open(&ingest.url(KEY)).unwrap();
    ingest.pause();
    let began = Instant::now();
    let broken = send_until_broken(&mut connection, || {});
    assert!(matches!(broken, ConnectionLost::NoAnswer | ConnectionLost::Stalled), "{broken:?}");
    assert!(began.elapsed() < 25 * SECOND, "{:?}", began.elapsed());
    assert!(connection.acked() < connection.written());
}

#[test]
fn goodbye_does_not_wait_for_a_silent_server() {
    let ingest = Ingest::start().unwrap();
    let connection = open(&ingest.url(KEY)).unwrap();
    ingest.pause();
    let began = Instant::now();
    connection.goodbye();
    assert!(began.elapsed() < 5 * SECOND, "{:?}", began.elapsed());
}

/// Publishes the clip with its clock beginning at `start`.
fn publish_from(url: &str, start: u64, realtime: bool) {
    let mut connection = open(url).unwrap_or_else(|e| panic!("{e}"));
    let began = Instant::now();
    for tag in clip() {
        if realtime {
            connection.wait(began + Duration::from_millis(tag.timestamp)).unwrap();
        }
        connection.send(&at(tag, start + tag.timestamp)).unwrap();
    }
    connection.goodbye();
}

/// Fails unless the recording at `path` has every frame of the clip at its time. Some servers
/// repeat the sequence headers, and begin the recording's clock with it.
fn assert_whole(path: &Path) {
    let file = std::fs::File::open(path).unwrap();
    let mut reader = FlvReader::new(std::io::BufReader::new(file));
    let recorded =
        std::iter::from_fn(|| reader.next_tag().unwrap()).filter(Tag::is_frame).collect::<Vec<_>>();
    let sent = clip().iter().filter(|tag| tag.is_frame()).collect::<Vec<_>>();
    assert_eq!(recorded.len(), sent.len(), "frames");
    let first = recorded[0].timestamp.wrapping_sub(sent[0].timestamp);
    for kind in [Kind::Audio, Kind::Video] {
        let recorded = recorded.iter().filter(|tag| tag.kind == kind);
        for (recorded, sent) in recorded.zip(sent.iter().filter(|tag| tag.kind == kind)) {
            let time = recorded.timestamp.wrapping_sub(first) & 0xFFFF_FFFF;
            assert_eq!((time, recorded.body.len()), (sent.timestamp, sent.body.len()));
            assert!(recorded.body == sent.body, "another frame at {time}");
        }
    }
}

/// Beginnings from which the clip crosses a limit of the format.
const LIMITS: [u64; 3] = [0, (1 << 24) - 1000, (1 << 32) - 1000];

#[test]
fn nginx_records_it_whole_across_the_limits_of_the_clock() {
    for chunk_size in [None, Some(128)] {
        for start in LIMITS {
            let nginx = Nginx::start_with(&nginx::Options { chunk_size, ..Default::default() }).unwrap();
            publish_from(&nginx.url(KEY), start, false);
            let size = clip().iter().map(|tag| tag.body.len() as u64 + 15).sum::<u64>();
            nginx.wait_recorded(size, 5 * SECOND).unwrap();
            assert_whole(&nginx.recording().unwrap());
        }
    }
}

#[test]
fn a_player_at_nginx_carries_on_across_the_limits_of_the_clock() {
    thread::scope(|scope| {
        for start in LIMITS {
            scope.spawn(move || play_across(start));
        }
    });
}

fn play_across(start: u64) {
    let nginx = Nginx::start_with(&nginx::Options { no_recording: true, ..Default::default() }).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let hashes = dir.path().join("hashes");
    let mut player = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-analyzeduration", "1", "-i", &nginx.url(KEY), "-c", "copy"])
        .args(["-copyts", "-flush_packets", "1", "-f", "framehash"])
        .arg(&hashes)
        .spawn()
        .unwrap();
    let until = Instant::now() + 20 * SECOND;
    let wait_for = |what: &str, there: &dyn Fn() -> bool| {
        while !there() {
            assert!(
                Instant::now() < until,
                "waited for {what} from {start}; the server says:\n{}",
                nginx.log()
            );
            thread::sleep(Duration::from_millis(10));
        }
    };
    wait_for("the player", &|| nginx.log().contains("play: name="));
    publish_from(&nginx.url(KEY), start, true);
    let seen = || seen_by_player(&std::fs::read_to_string(&hashes).unwrap_or_default());
    let pictures = clip().iter().filter(|tag| tag.is_frame() && tag.kind == Kind::Video).count();
    wait_for("every picture", &|| seen()[0].len() >= pictures);
    player.kill().unwrap();
    player.wait().unwrap();
    let first = seen()[0][0].0;
    for (kind, seen) in [Kind::Video, Kind::Audio].into_iter().zip(seen()) {
        let sent = clip().iter().filter(|tag| tag.is_frame() && tag.kind == kind);
        // The player holds back the sound behind the last picture, to interleave it with the next.
        assert!(seen.len() + 10 > sent.clone().count(), "{kind:?} from {start}: {} frames", seen.len());
        for (tag, (time, size)) in sent.zip(seen) {
            let header = if kind == Kind::Video { 5 } else { 2 };
            assert_eq!(
                (time - first, size),
                (tag.timestamp.cast_signed(), tag.body.len() - header),
                "from {start}"
            );
        }
    }
}

/// Decoding times and sizes of pictures and sounds in ffmpeg's `framehash` output.
fn seen_by_player(text: &str) -> [Vec<(i64, usize)>; 2] {
    let mut seen = [Vec::new(), Vec::new()];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let fields = line.split(',').map(str::trim).collect::<Vec<_>>();
        // The last line may be half written.
        if let [stream, time, _, _, size, hash] = fields[..]
            && hash.len() == 64
        {
            seen[stream.parse::<usize>().unwrap()].push((time.parse().unwrap(), size.parse().unwrap()));
        }
    }
    seen
}

#[test]
fn ffmpegs_own_listener_records_it_whole() {
    let dir = tempfile::tempdir().unwrap();
    let recording = dir.path().join("recorded.flv");
    let url = format!("rtmp://127.0.0.1:{}/live/{KEY}", free_port().unwrap());
    let mut server = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-listen", "1", "-i", &url, "-c", "copy", "-copyts"])
        .arg(&recording)
        .spawn()
        .unwrap();
    let until = Instant::now() + 10 * SECOND;
    let mut connection = loop {
        match open(&url) {
            Err(OpenError::Refused { .. }) if Instant::now() < until => {
                thread::sleep(Duration::from_millis(20));
            }
            other => break other.unwrap_or_else(|e| panic!("{e}")),
        }
    };
    for tag in clip() {
        connection.send(tag).unwrap();
    }
    connection.goodbye();
    server.wait().unwrap();
    assert_whole(&recording);
}

/// Publishes the clip by a process that trusts the authorities in `authorities`. `Err` holds what
/// it said.
fn publish_trusting(authorities: &Path, url: &str) -> Result<(), String> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_publish"))
        .arg(url)
        .env_remove("SSL_CERT_DIR")
        .env("SSL_CERT_FILE", authorities)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = thread::spawn(move || -> std::io::Result<()> {
        stdin.write_all(&FILE_HEADER)?;
        clip().iter().try_for_each(|tag| write_tag(&mut stdin, tag))
    });
    let output = child.wait_with_output().unwrap();
    // A child that gives up does not read to the end.
    let _ = writer.join().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains(KEY), "{said}");
    if output.status.success() { Ok(()) } else { Err(said) }
}

#[test]
fn tls_is_verified() {
    let ingest = Ingest::start().unwrap();
    let authority = Authority::new().unwrap();
    let start = |name: &str, names: &str, validity| {
        Stunnel::start(&authority.certificate(name, names, validity).unwrap(), ingest.port()).unwrap()
    };
    let good = start("good", "IP:127.0.0.1,DNS:localhost", Validity::Now);
    for host in ["127.0.0.1", "localhost"] {
        publish_trusting(&authority.file(), &good.url(host, KEY))
            .unwrap_or_else(|e| panic!("{e}\n{}", good.log()));
    }
    ingest.wait("two connections", 5 * SECOND, |r| r.len() == 2 && r[1].ended.is_some()).unwrap();
    for record in ingest.records() {
        let bodies = record.tags().filter(|tag| !is_sequence_end(tag)).map(|tag| tag.body);
        assert!(bodies.eq(clip().iter().map(|tag| tag.body.clone())), "not all of it arrived");
        assert_eq!(record.commands().last().unwrap().0, "deleteStream");
    }

    let stranger = Authority::new().unwrap();
    let expired = start("expired", "IP:127.0.0.1", Validity::Expired);
    let other_name = start("other", "DNS:example.org", Validity::Now);
    let table = [
        (stranger.file(), &good, "its issuer is not known"),
        (authority.file(), &expired, "it has expired"),
        (authority.file(), &other_name, "it is for another host name"),
        (authority.file().with_extension("missing"), &good, "no certificate authorities"),
    ];
    for (authorities, server, words) in table {
        let said = publish_trusting(&authorities, &server.url("127.0.0.1", KEY)).expect_err(words);
        assert!(said.contains("certificate cannot be trusted") && said.contains(words), "{said}");
    }
    assert_eq!(ingest.records().iter().filter(|r| !r.handshake.is_empty()).count(), 2);
}
