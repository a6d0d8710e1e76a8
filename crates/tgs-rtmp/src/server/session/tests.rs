//! Client messages and the server's answers to them.

use std::time::Duration;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    client::session::PublishSession, limits::Excess, metadata::Metadata, server::ServerLimits, url::RtmpUrl,
};

const KEY: &str = "s3cr3t";

const METADATA: Metadata = Metadata {
    width: 320,
    height: 180,
    fps: 25,
    video_kbps: 300,
    audio_kbps: 64,
    audio_rate: 44_100,
    channels: 2,
};

fn config() -> ServerConfig {
    ServerConfig::new(KeyCheck::Exactly(StreamKey::new(KEY)))
}

/// A session after the handshake.
fn server(config: ServerConfig) -> ServerSession {
    let now = Instant::now();
    let mut server = ServerSession::new(config, now);
    server.receive(&handshake::hello(), now).unwrap();
    assert_eq!(server.output().len(), handshake::ANSWER);
    server.output().clear();
    server.receive(&[7; handshake::BLOCK], now).unwrap();
    server
}

/// Exchanges bytes until client and server have no output. Returns the server's events.
fn talk(client: &mut PublishSession, server: &mut ServerSession) -> Result<Vec<ServerEvent>, ServerError> {
    let (now, mut events) = (Instant::now(), Vec::new());
    loop {
        server.receive(&mem::take(&mut client.out), now)?;
        while let Some(event) = server.next_event(now)? {
            events.push(event);
        }
        let answer = mem::take(server.output());
        server.output_sent();
        // A refusal also shows in the server's error.
        if answer.is_empty() || client.receive(&answer, now).is_err() {
            return Ok(events);
        }
    }
}

fn client(url: &str) -> PublishSession {
    PublishSession::new(RtmpUrl::parse(url).unwrap())
}

fn live(config: ServerConfig) -> ServerSession {
    let mut server = server(config);
    let events = talk(&mut client("rtmp://host/app/s3cr3t"), &mut server).unwrap();
    assert_eq!(events, [ServerEvent::Publishing]);
    assert!(server.is_live());
    server
}

fn chunks(kind: u8, body: &[u8]) -> Vec<u8> {
    let (mut bytes, mut writer) = (Vec::new(), ChunkWriter::default());
    let message = Message { kind, stream: 1, timestamp: 0, body };
    writer.write(&mut bytes, ChunkStream::Video, message);
    bytes
}

fn command(name: &str, values: impl FnOnce(&mut AmfWriter<'_>)) -> Vec<u8> {
    let mut body = Vec::new();
    let mut out = AmfWriter(&mut body);
    out.string(name).number(1.0);
    values(&mut out);
    chunks(kind::COMMAND, &body)
}

fn events(server: &mut ServerSession, bytes: &[u8]) -> Result<Vec<ServerEvent>, ServerError> {
    let now = Instant::now();
    server.receive(bytes, now)?;
    std::iter::from_fn(|| server.next_event(now).transpose()).collect()
}

#[test]
fn a_publisher_is_served_from_connect_to_its_end() {
    let (mut client, mut server) = (client("rtmp://host/app/s3cr3t"), server(config()));
    assert_eq!(talk(&mut client, &mut server).unwrap(), [ServerEvent::Publishing]);
    client.metadata(&METADATA);
    client.media(kind::VIDEO, 40, &[7; 10_000]);
    client.media(kind::AUDIO, 41, &[0xAF, 1, 2]);
    client.goodbye();
    let events = talk(&mut client, &mut server).unwrap();
    let [ServerEvent::Metadata(metadata), ServerEvent::Media(video), ServerEvent::Media(audio), rest @ ..] =
        &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(metadata.get("width").and_then(AmfValue::as_number), Some(320.0));
    assert_eq!((video.kind, video.timestamp, video.body.len()), (Kind::Video, 40, 10_000));
    assert_eq!((audio.kind, audio.timestamp, &*audio.body), (Kind::Audio, 41, &[0xAF, 1, 2][..]));
    // The client ends its video sequence, then sends two commands that end the stream: one event.
    assert!(matches!(rest, [ServerEvent::Media(_), ServerEvent::Ended]), "{rest:?}");
}

#[test]
fn a_wrong_key_or_application_is_refused_without_showing_the_key() {
    let only_app = ServerConfig { app: Some("app".to_owned()), ..config() };
    for url in ["rtmp://host/app/s3cr3", "rtmp://host/app/s3cr3t2", "rtmp://host/app/other"] {
        let mut server = server(only_app.clone());
        let error = talk(&mut client(url), &mut server).unwrap_err();
        assert!(matches!(error, ServerError::Key), "{error}");
        let answer = String::from_utf8_lossy(server.output()).into_owned();
        assert!(answer.contains("NetStream.Publish.BadName") && !answer.contains(KEY), "{answer}");
        assert!(!server.is_live());
    }
    let mut server = server(only_app.clone());
    let error = talk(&mut client("rtmp://host/other/s3cr3t"), &mut server).unwrap_err();
    assert!(matches!(error, ServerError::Application), "{error}");
    assert!(String::from_utf8_lossy(server.output()).contains("NetConnection.Connect.InvalidApp"));
    assert!(!format!("{only_app:?} {server:?} {error:?}").contains(KEY));
}

#[test]
fn messages_out_of_order_end_the_connection() {
    let publish = command("publish", |out| _ = out.null().string(KEY).string("live"));
    let play = command("play", |out| _ = out.null().string(KEY));
    for bytes in [chunks(kind::VIDEO, &[7; 9]), publish.clone(), play] {
        let error = events(&mut server(config()), &bytes).unwrap_err();
        assert!(matches!(error, ServerError::Sequence(_)), "{error}");
    }
    for bytes in [publish, command("connect", |out| _ = out.null())] {
        let error = events(&mut live(config()), &bytes).unwrap_err();
        assert!(matches!(error, ServerError::Sequence(_)), "{error}");
    }
    let error = ServerSession::new(config(), Instant::now()).receive(b"GET / HTTP/1.1", Instant::now());
    assert!(matches!(error, Err(ServerError::Handshake(b'G'))), "{error:?}");
}

/// The events of a publisher that is handed over after `cut` bytes; the server at the end.
fn handed_over_at(cut: usize, sent: &[u8]) -> (Vec<ServerEvent>, ServerSession) {
    let mut server = live(config());
    let mut seen = events(&mut server, &sent[..cut]).unwrap();
    assert!(server.output().is_empty() || server.hand_over().is_none(), "an acknowledgement waits");
    server.output().clear();
    let mut server = ServerSession::resume(config(), server.hand_over().unwrap(), Instant::now());
    seen.extend(events(&mut server, &sent[cut..]).unwrap());
    (seen, server)
}

#[test]
fn another_session_goes_on_after_any_byte() {
    let mut sent = chunks(kind::CHUNK_SIZE, &128_u32.to_be_bytes());
    sent.extend(chunks(kind::WINDOW, &1000_u32.to_be_bytes()));
    let mut writer = ChunkWriter::default();
    for n in 0..6_u32 {
        let (picture, sound) = (vec![n as u8; 700], [0xAF, 1, n as u8]);
        let message = |kind, body| Message { kind, stream: 1, timestamp: n * 40, body };
        writer.write(&mut sent, ChunkStream::Video, message(kind::VIDEO, &picture));
        writer.write(&mut sent, ChunkStream::Audio, message(kind::AUDIO, &sound));
    }
    let (expected, whole) = handed_over_at(sent.len(), &sent);
    assert_eq!(expected.len(), 12);
    for cut in 0..sent.len() {
        let (seen, mut server) = handed_over_at(cut, &sent);
        assert_eq!((&seen, format!("{server:?}")), (&expected, format!("{whole:?}")), "{cut}");
        assert!(cut > sent.len() / 2 || !server.output().is_empty(), "{cut}: nothing is acknowledged");
    }
}

#[test]
fn much_of_a_message_does_not_go_over() {
    let mut sent = chunks(kind::CHUNK_SIZE, &1000_u32.to_be_bytes());
    let mut writer = ChunkWriter::default();
    writer.chunk_size = 1000;
    let picture = vec![7; 400_000];
    let picture = Message { kind: kind::VIDEO, stream: 1, timestamp: 0, body: &picture };
    writer.write(&mut sent, ChunkStream::Video, picture);
    for (received, goes_over) in [(250_000, true), (270_000, false), (sent.len(), true)] {
        let mut server = live(config());
        events(&mut server, &sent[..received]).unwrap();
        server.output().clear();
        assert_eq!(server.hand_over().is_some(), goes_over, "{received} bytes");
    }
}

/// Sends `bytes` repeatedly; the client never reads.
fn flood(mut server: ServerSession, bytes: &[u8]) -> ServerError {
    for _ in 0..100_000 {
        let outcome = events(&mut server, bytes);
        let queued = server.output().len();
        assert!(queued < 20_000, "{queued} bytes queued");
        if let Err(error) = outcome {
            return error;
        }
    }
    panic!("the flood has no end");
}

#[test]
fn everything_a_client_controls_has_a_limit() {
    type Case<'a> = (&'static str, Vec<u8>, &'a dyn Fn(&ServerError) -> bool);
    let limits = ServerLimits {
        longest_message: 100_000,
        bytes: Rate { at_once: 1 << 20, per_second: 1000 },
        messages: Rate { at_once: 1000, per_second: 10 },
        ..ServerLimits::default()
    };
    let config = ServerConfig { limits, ..config() };
    let server = || server(config.clone());
    let is_bytes = |e: &ServerError| matches!(e, ServerError::Excess(Excess::Bytes(_)));
    let is_messages = |e: &ServerError| matches!(e, ServerError::Excess(Excess::Messages(_)));
    let is_answers = |e: &ServerError| matches!(e, ServerError::Excess(Excess::Answers));
    let is_long = |e: &ServerError| matches!(e, ServerError::Malformed(Malformed::TooLong(_)));
    let is_unfinished = |e: &ServerError| matches!(e, ServerError::Malformed(Malformed::Unfinished));
    let create = command("createStream", |out| _ = out.null());
    let window = [chunks(kind::WINDOW, &1_u32.to_be_bytes()), chunks(kind::ABORT, &[0; 4])].concat();
    // 64 chunk streams, each with an incomplete message.
    let mut open = chunks(kind::CHUNK_SIZE, &65_000_u32.to_be_bytes());
    for id in 3..60 {
        open.extend([id, 0, 0, 0, 0, 0xFF, 0, kind::VIDEO, 1, 0, 0, 0]);
        open.extend(vec![7; 65_000]);
    }
    let table: [Case<'_>; 6] = [
        ("unread answers", create, &|e| is_answers(e) || is_messages(e)),
        ("acknowledgements", window, &|e| is_answers(e) || is_messages(e)),
        ("empty messages", chunks(kind::BANDWIDTH, &[]), &is_messages),
        ("long messages", [6, 0, 0, 0, 0xFF, 0, 0, 9, 1, 0, 0, 0].to_vec(), &is_long),
        ("long commands", chunks(kind::COMMAND, &vec![2; LONGEST_COMMAND + 1]), &is_long),
        ("unfinished messages", open, &|e| is_unfinished(e) || is_bytes(e)),
    ];
    for (what, bytes, expected) in table {
        let error = flood(server(), &bytes);
        assert!(expected(&error), "{what}: {error:?}");
    }
    let video = flood(
        live(ServerConfig { chunk_size: None, ..config.clone() }),
        &chunks(kind::VIDEO, &vec![7; 90_000]),
    );
    assert!(is_bytes(&video), "{video:?}");
}

#[test]
fn a_stranger_may_send_little() {
    let is_long = |error| matches!(error, ServerError::Malformed(Malformed::TooLong(_)));
    // The header of a message of 4 MiB: only publishers may send it.
    let long = [6, 0, 0, 0, 0x3F, 0xFF, 0xFF, kind::VIDEO, 1, 0, 0, 0];
    assert!(is_long(flood(server(config()), &long)));
    assert_eq!(events(&mut live(config()), &long).unwrap(), []);
    let ping = chunks(kind::USER_CONTROL, &[0; 6]);
    assert!(matches!(
        flood(server(config()), &ping),
        ServerError::Excess(Excess::Messages(Rate { at_once: 200, .. }))
    ));
    let filled = chunks(kind::DATA, &vec![0; 60_000]);
    assert!(matches!(
        flood(server(config()), &filled),
        ServerError::Excess(Excess::Bytes(Rate { at_once: 262_144, .. }))
    ));
    let mut live = live(config());
    events(&mut live, &chunks(kind::CHUNK_SIZE, &128_u32.to_be_bytes())).unwrap();
    for _ in 0..100 {
        events(&mut live, &filled).unwrap();
    }
}

#[test]
fn the_application_is_found_in_what_clients_send() {
    let only_app = ServerConfig { app: Some("app".to_owned()), ..config() };
    for (sent, accepted) in
        [("app", true), ("app/", true), ("/app", true), ("app?x=y", true), ("app/x", false), ("", false)]
    {
        let connect = command("connect", |out| _ = out.object().name("app").string(sent).end());
        assert_eq!(events(&mut server(only_app.clone()), &connect).is_ok(), accepted, "{sent}");
    }
}

#[test]
fn a_client_has_to_publish_and_to_send_in_time() {
    let began = Instant::now();
    let after = |seconds| began + Duration::from_secs(seconds);
    let silent = ServerSession::new(config(), began);
    silent.check_time(after(9)).unwrap();
    assert!(matches!(silent.check_time(after(12)), Err(ServerError::NotPublished(_))));
    let mut live = live(config());
    assert!(matches!(live.check_time(after(30)), Err(ServerError::Idle(_))));
    live.receive(&chunks(kind::VIDEO, &[7; 9]), after(30)).unwrap();
    assert!(matches!(live.next_event(after(30)), Ok(Some(ServerEvent::Media(_)))));
    live.check_time(after(35)).unwrap();
    // Other messages do not count as media.
    live.receive(&chunks(kind::WINDOW, &[0, 0, 0, 9]), after(39)).unwrap();
    live.next_event(after(39)).unwrap();
    assert!(matches!(live.check_time(after(42)), Err(ServerError::Idle(_))));
}

proptest! {
    #[test]
    fn a_client_can_send_anything(
        pieces in vec(vec(any::<u8>(), 0..200), 0..10),
        messages in vec((0_u8..24, vec(0_u8..20, 0..60)), 0..20),
        is_live: bool,
    ) {
        let mut server = if is_live { live(config()) } else { server(config()) };
        for (kind, body) in messages {
            if events(&mut server, &chunks(kind, &body)).is_err() {
                break;
            }
        }
        for piece in &pieces {
            let _ = events(&mut server, piece);
        }
        prop_assert!(server.output().len() < 20_000);
    }
}
