//! The messages of OBS in its order, chunk streams and header forms (`obs-outputs/librtmp`), as
//! bytes against the server's session.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{collections::HashMap, time::Instant};

use rml_amf0::Amf0Value;
use tgs_rtmp::{
    amf0::{self, AmfValue},
    flv::{Kind, Tag},
    server::{KeyCheck, PublishRefusal, ServerConfig, ServerError, ServerEvent, ServerSession},
    stream_key::StreamKey,
};

const KEY: &str = "live_0123456789abcdef?bandwidthtest=true";

fn text(text: &str) -> Amf0Value {
    Amf0Value::Utf8String(text.to_owned())
}

fn number(number: f64) -> Amf0Value {
    Amf0Value::Number(number)
}

fn object(fields: &[(&str, Amf0Value)]) -> Amf0Value {
    let fields: HashMap<_, _> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Amf0Value::Object(fields)
}

/// A message in chunks of 4096 bytes. Without a `stream` the header has format 1.
fn message(channel: u8, kind: u8, stream: Option<u32>, timestamp: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![if stream.is_some() { channel } else { 0x40 | channel }];
    bytes.extend(&timestamp.to_be_bytes()[1..]);
    bytes.extend(&(body.len() as u32).to_be_bytes()[1..]);
    bytes.push(kind);
    bytes.extend(stream.iter().flat_map(|stream| stream.to_le_bytes()));
    for (index, piece) in body.chunks(4096).enumerate() {
        if index > 0 {
            bytes.push(0xC0 | channel);
        }
        bytes.extend(piece);
    }
    bytes
}

fn invoke(channel: u8, stream: Option<u32>, values: &[Amf0Value]) -> Vec<u8> {
    message(channel, 20, stream, 0, &rml_amf0::serialize(&values.to_vec()).unwrap())
}

/// A server after its handshake and OBS's `connect`.
fn connected() -> ServerSession {
    let now = Instant::now();
    let config = ServerConfig {
        app: Some("live".to_owned()),
        chunk_size: None,
        ..ServerConfig::new(KeyCheck::Caller)
    };
    let mut server = ServerSession::new(config, now);
    // librtmp sends zeros and random bytes, and echoes S1.
    let mut hello = vec![3, 0, 0, 0, 7, 0, 0, 0, 0];
    hello.resize(1537, 0x55);
    server.receive(&hello, now).unwrap();
    let answer = std::mem::take(server.output());
    assert_eq!((answer.len(), &answer[1537..]), (3073, &hello[1..]));
    server.receive(&answer[1..1537], now).unwrap();
    let mut bytes = message(2, 1, Some(0), 0, &4096_u32.to_be_bytes());
    let url = "rtmp://127.0.0.1:1936/live";
    let described = object(&[
        ("app", text("live")),
        ("type", text("nonprivate")),
        ("flashVer", text("FMLE/3.0 (compatible; FMSc/1.0)")),
        ("swfUrl", text(url)),
        ("tcUrl", text(url)),
    ]);
    bytes.extend(invoke(3, Some(0), &[text("connect"), number(1.0), described]));
    assert_eq!(send(&mut server, &bytes), Ok(vec![]));
    let answers = commands(&mut server);
    assert_eq!(answers[0][0].as_str(), Some("_result"), "{answers:?}");
    assert_eq!(answers[0][3].get("code").unwrap().as_str(), Some("NetConnection.Connect.Success"));
    server
}

fn send(server: &mut ServerSession, bytes: &[u8]) -> Result<Vec<ServerEvent>, String> {
    let now = Instant::now();
    server.receive(bytes, now).map_err(|error| error.to_string())?;
    let events: Result<Vec<_>, ServerError> =
        std::iter::from_fn(|| server.next_event(now).transpose()).collect();
    events.map_err(|error| error.to_string())
}

/// The commands that the server has sent: chunks of 128 bytes with full headers, or format 1.
fn commands(server: &mut ServerSession) -> Vec<Vec<AmfValue>> {
    let mut reader = tgs_rtmp::chunk::ChunkReader::new(10_000);
    reader.push(&std::mem::take(server.output()));
    server.output_sent();
    let messages = std::iter::from_fn(|| reader.next_message().unwrap());
    messages.filter(|message| message.kind == 20).map(|message| amf0::read(&message.body)).collect()
}

/// Asks to publish as OBS does.
fn publish(server: &mut ServerSession) {
    let mut bytes = invoke(3, None, &[text("releaseStream"), number(2.0), Amf0Value::Null, text(KEY)]);
    bytes.extend(invoke(3, None, &[text("FCPublish"), number(3.0), Amf0Value::Null, text(KEY)]));
    bytes.extend(invoke(3, None, &[text("createStream"), number(4.0), Amf0Value::Null]));
    assert_eq!(send(server, &bytes), Ok(vec![]));
    let answers = commands(server);
    let created = answers.iter().find(|answer| answer[1].as_number() == Some(4.0)).unwrap();
    assert_eq!((created[0].as_str(), created[3].as_number()), (Some("_result"), Some(1.0)));
    let values = [text("publish"), number(5.0), Amf0Value::Null, text(KEY), text("live")];
    let events = send(server, &invoke(4, Some(1), &values));
    assert_eq!(events, Ok(vec![ServerEvent::Requested(StreamKey::new(KEY))]));
}

fn status_code(server: &mut ServerSession) -> String {
    let answers = commands(server);
    let status = answers.iter().find(|answer| answer[0].as_str() == Some("onStatus")).unwrap();
    status[3].get("code").and_then(AmfValue::as_str).unwrap().to_owned()
}

#[test]
fn obs_goes_live_and_stops() {
    let mut server = connected();
    publish(&mut server);
    server.admit(Instant::now());
    assert_eq!(status_code(&mut server), "NetStream.Publish.Start");

    let described = object(&[("width", number(1280.0)), ("encoder", text("obs-output module"))]);
    let data = rml_amf0::serialize(&vec![text("@setDataFrame"), text("onMetaData"), described]).unwrap();
    let mut bytes = message(4, 18, Some(1), 0, &data);
    bytes.extend(message(4, 8, Some(1), 0, &[0xaf, 0, 0x12, 0x10]));
    bytes.extend(message(4, 9, Some(1), 0, &[0x17, 0, 0, 0, 0, 1, 0x64]));
    let picture = [&[0x17, 1, 0, 0, 0][..], &[7; 10_000]].concat();
    bytes.extend(message(4, 9, Some(1), 0, &picture));
    bytes.extend(message(4, 8, None, 21, &[0xaf, 1, 2]));
    bytes.extend(message(4, 9, None, 12, &[0x27, 1, 0, 0, 0, 7]));
    bytes.extend(invoke(3, None, &[text("FCUnpublish"), number(6.0), Amf0Value::Null, text(KEY)]));
    bytes.extend(invoke(3, None, &[text("deleteStream"), number(7.0), Amf0Value::Null, number(1.0)]));
    let events = send(&mut server, &bytes).unwrap();
    let [ServerEvent::Metadata(metadata), media @ .., ServerEvent::Ended] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(metadata.get("width").and_then(AmfValue::as_number), Some(1280.0));
    let tag = |kind, timestamp, body: &[u8]| ServerEvent::Media(Tag { kind, timestamp, body: body.into() });
    assert_eq!(
        media,
        [
            tag(Kind::Audio, 0, &[0xaf, 0, 0x12, 0x10]),
            tag(Kind::Video, 0, &[0x17, 0, 0, 0, 0, 1, 0x64]),
            tag(Kind::Video, 0, &picture),
            tag(Kind::Audio, 21, &[0xaf, 1, 2]),
            tag(Kind::Video, 33, &[0x27, 1, 0, 0, 0, 7]),
        ]
    );
}

#[test]
fn obs_gets_the_reason_of_a_refusal() {
    for (why, says) in [(PublishRefusal::Key, "wrong stream key"), (PublishRefusal::Busy, "another client")] {
        let mut server = connected();
        publish(&mut server);
        let error = server.refuse(why).to_string();
        assert!(error.contains(says), "{error}");
        assert_eq!(status_code(&mut server), "NetStream.Publish.BadName");
        assert!(!server.is_live());
    }
    let mut server = connected();
    publish(&mut server);
    server.admit(Instant::now());
    server.output().clear();
    server.reject("the picture's codec is HEVC");
    assert_eq!(status_code(&mut server), "NetStream.Publish.Rejected");
    // What was on the way is not refused, and not taken.
    assert_eq!(send(&mut server, &message(4, 9, Some(1), 0, &[0x90, b'h'])), Ok(vec![]));
}
