//! Messages to a server, and messages that a server may send.

use proptest::{collection::vec, prelude::*};

use super::*;

impl PublishSession {
    fn hear(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.receive(bytes, Instant::now())
    }
}

fn session() -> PublishSession {
    PublishSession::new(RtmpUrl::parse("rtmp://host/app/s3cr3t").unwrap())
}

/// One message of the server as bytes.
fn from_server(kind: u8, timestamp: u32, body: &[u8]) -> Vec<u8> {
    let mut writer = ChunkWriter::default();
    let mut bytes = Vec::new();
    writer.write(&mut bytes, ChunkStream::System, Message { kind, stream: 0, timestamp, body });
    bytes
}

fn command(name: &str, id: f64, rest: impl FnOnce(&mut AmfWriter<'_>)) -> Vec<u8> {
    let mut body = Vec::new();
    let mut out = AmfWriter(&mut body);
    out.string(name).number(id);
    rest(&mut out);
    from_server(kind::COMMAND, 0, &body)
}

fn status(level: &str, code: &str, description: &str) -> Vec<u8> {
    command("onStatus", 0.0, |out| {
        out.null().object().name("level").string(level);
        out.name("code").string(code).name("description").string(description).end();
    })
}

/// The messages in the session's output.
fn said(session: &mut PublishSession, reader: &mut ChunkReader) -> Vec<Received> {
    reader.push(&mem::take(&mut session.out));
    std::iter::from_fn(|| reader.next_message().unwrap()).collect()
}

fn names(messages: &[Received]) -> Vec<String> {
    let name = |m: &Received| amf0::read(&m.body).first()?.as_str().map(str::to_owned);
    messages.iter().filter_map(name).collect()
}

fn live() -> (PublishSession, ChunkReader) {
    let (mut session, mut reader) = (session(), ChunkReader::new(1 << 20));
    session.hear(&command("_result", 1.0, |_| {})).unwrap();
    session
        .hear(&command("_result", 4.0, |out| {
            out.null().number(1.0);
        }))
        .unwrap();
    session.hear(&status("status", "NetStream.Publish.Start", "")).unwrap();
    assert_eq!(session.step(), SessionStep::Live);
    said(&mut session, &mut reader);
    (session, reader)
}

#[test]
fn answers_decide_how_it_goes_on_whatever_comes_between() {
    let (mut session, mut reader) = (session(), ChunkReader::new(1 << 20));
    assert_eq!(names(&said(&mut session, &mut reader)), ["connect"]);
    // None of these is an answer to `connect`.
    session.hear(&status("status", "NetConnection.Something", "")).unwrap();
    session.hear(&command("_result", 9.0, |_| {})).unwrap();
    session.hear(&command("_result", -1.0, |_| {})).unwrap();
    session.hear(&command("onFCPublish", 0.0, |_| {})).unwrap();
    session.hear(&from_server(kind::BANDWIDTH, 0, &[0, 0, 0, 1, 2])).unwrap();
    assert_eq!(said(&mut session, &mut reader), []);
    session.hear(&command("_result", 1.0, |_| {})).unwrap();
    assert_eq!(names(&said(&mut session, &mut reader)), ["releaseStream", "FCPublish", "createStream"]);
    // Errors of calls without effect do not stop the session.
    session.hear(&command("_error", 2.0, |_| {})).unwrap();
    session.hear(&command("_error", 3.0, |_| {})).unwrap();
    session
        .hear(&command("_result", 4.0, |out| {
            out.null().number(7.0);
        }))
        .unwrap();
    let publish = said(&mut session, &mut reader);
    assert_eq!((names(&publish), publish[0].stream), (vec!["publish".to_owned()], 7));
    assert_eq!(session.step(), SessionStep::Publish);
    session.hear(&status("status", "NetStream.Publish.Start", "")).unwrap();
    assert_eq!(session.step(), SessionStep::Live);
}

#[test]
fn errors_are_put_into_words_without_the_key() {
    let error = |code: &str, text: &str| {
        command("_error", 1.0, |out| {
            out.null().object().name("level").string("error");
            out.name("code").string(code).name("description").string(text).end();
        })
    };
    let redirect = command("_error", 1.0, |out| {
        out.null().object().name("code").string("NetConnection.Connect.Rejected").name("ex");
        out.object().name("code").number(302.0).name("redirect").string("rtmp://b/app").end().end();
    });
    let said = |text: &str| Refusal::Said(text.to_owned());
    let table = [
        (error("A.B", "no s3cr3t\nhere"), said("A.B; no *** here")),
        (error("", "why"), said("why; it gives no code")),
        (command("_error", 1.0, |_| {}), said("it gives no code")),
        (
            status("error", "NetStream.Publish.BadName", ""),
            said("NetStream.Publish.BadName; the stream key is wrong, or somebody publishes with it already"),
        ),
        (
            error("X", "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth"),
            Refusal::Authentication,
        ),
        (error("X", "code=403 need auth; authmod=llnw"), Refusal::Authentication),
        (redirect, Refusal::Redirect("rtmp://b/app".to_owned())),
    ];
    for (bytes, refusal) in table {
        assert_eq!(session().hear(&bytes), Err(refusal));
    }
    let Err(Refusal::Said(long)) = session().hear(&error("A", &"ä".repeat(5000))) else { panic!() };
    assert_eq!(long.chars().count(), LONGEST_QUOTE + 1);
}

#[test]
fn the_servers_questions_are_answered() {
    let (mut session, mut reader) = live();
    session.hear(&from_server(kind::USER_CONTROL, 41, &[0, 6, 1, 2, 3, 4])).unwrap();
    let pong = said(&mut session, &mut reader);
    assert_eq!(pong.len(), 1);
    assert_eq!((pong[0].kind, pong[0].chunk_stream, pong[0].timestamp), (kind::USER_CONTROL, 2, 42));
    assert_eq!(pong[0].body, [0, 7, 1, 2, 3, 4]);
    // Neither Stream Begin nor a truncated ping request is answered.
    session.hear(&from_server(kind::USER_CONTROL, 0, &[0, 0, 0, 0, 0, 1])).unwrap();
    session.hear(&from_server(kind::USER_CONTROL, 0, &[0, 6, 1])).unwrap();
    assert_eq!(said(&mut session, &mut reader), []);
}

#[test]
fn received_bytes_are_reported_twice_a_window() {
    let (mut session, mut reader) = live();
    session.hear(&from_server(kind::WINDOW, 0, &1000_u32.to_be_bytes())).unwrap();
    said(&mut session, &mut reader);
    let mut reports = Vec::new();
    for _ in 0..20 {
        session.hear(&from_server(kind::BANDWIDTH, 0, &[0; 88])).unwrap();
        reports.extend(said(&mut session, &mut reader));
    }
    assert!(reports.iter().all(|r| r.kind == kind::ACKNOWLEDGEMENT && r.chunk_stream == 2));
    let counts = reports.iter().filter_map(|r| first_u32(&r.body)).collect::<Vec<_>>();
    // 20 messages of 100 bytes: every sixth message passes 500 bytes.
    assert!((3..=4).contains(&counts.len()), "{counts:?}");
    assert!(counts.windows(2).all(|w| w[1] - w[0] == 600), "{counts:?}");
    assert!(session.hear(&from_server(kind::WINDOW, 0, &[0; 4])).is_err());
}

#[test]
fn chunks_grow_with_the_servers() {
    let (mut session, mut reader) = live();
    session.hear(&from_server(kind::CHUNK_SIZE, 3, &5000_u32.to_be_bytes())).unwrap();
    session.media(kind::VIDEO, 40, &[7; 5000]);
    assert_eq!(session.out[..16], [2, 0, 0, 3, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0x13, 0x88]);
    assert_eq!(session.out.len(), 16 + 12 + 5000);
    assert_eq!(said(&mut session, &mut reader).len(), 2);
    for size in [0, 1 << 31] {
        let (mut session, _) = live();
        assert!(session.hear(&from_server(kind::CHUNK_SIZE, 0, &u32::to_be_bytes(size))).is_err());
    }
}

#[test]
fn what_a_server_may_ask_for_is_bounded() {
    let ping = from_server(kind::USER_CONTROL, 0, &[0, 6, 1, 2, 3, 4]);
    let window = from_server(kind::WINDOW, 0, &1_u32.to_be_bytes());
    let check = command("onBWDone", 0.0, |_| {});
    let chunks = from_server(kind::CHUNK_SIZE, 0, &128_u32.to_be_bytes());
    let unread = Err(Refusal::Excess(Excess::Answers));
    let spoken = Err(Refusal::Excess(Excess::Messages(SERVER_MESSAGES)));
    // The flood, whether the client can send meanwhile, and the expected error.
    let table = [
        (&ping, false, &unread),
        (&ping, true, &spoken),
        (&[window.as_slice(), &ping].concat(), false, &unread),
        (&check, false, &unread),
        (&chunks, false, &unread),
        // A one-byte header is a whole message if the previous length was 0.
        (&from_server(kind::BANDWIDTH, 0, &[]).into_iter().chain([0xC3; 100]).collect(), true, &spoken),
    ];
    for (bytes, sends, expected) in table {
        let (mut session, _) = live();
        let now = Instant::now();
        let (mut count, mut most) = (0, 0);
        let end = loop {
            let heard = session.receive(bytes, now);
            (count, most) = (count + 1, most.max(session.out.len()));
            if sends {
                session.out.clear();
                session.allowance.answers_sent();
            }
            if heard.is_err() || count == 100_000 {
                break heard;
            }
        };
        assert_eq!(&end, expected, "after {count} of {bytes:?}");
        assert!(most < 100_000, "{most} bytes queued by {bytes:?}");
    }
}

#[test]
fn the_chunks_we_send_have_a_sensible_size() {
    for (wanted, used) in [(1_u32, 128_usize), (127, 128), (60_000, 60_000), ((1 << 31) - 1, 0x00FF_FFFF)] {
        let (mut session, mut reader) = live();
        session.hear(&from_server(kind::CHUNK_SIZE, 0, &wanted.to_be_bytes())).unwrap();
        session.media(kind::VIDEO, 0, &[7; 5000]);
        assert_eq!(session.writer.chunk_size, used);
        let sent = said(&mut session, &mut reader);
        assert_eq!(first_u32(&sent[0].body), Some(used as u32));
        assert_eq!(sent[1].body, [7; 5000]);
    }
}

#[test]
fn without_video_nothing_ends_a_video_sequence() {
    let (mut session, mut reader) = live();
    session.media(kind::AUDIO, 0, &[0xAF, 1]);
    session.goodbye();
    let messages = said(&mut session, &mut reader);
    assert_eq!(messages.iter().map(|m| m.kind).collect::<Vec<_>>(), [8, 20, 20]);
}

proptest! {
    #[test]
    fn a_server_can_say_anything(
        messages in vec((0_u8..24, any::<u32>(), vec(0_u8..20, 0..60)), 0..20),
        garbage in vec(any::<u8>(), 0..200),
    ) {
        let (mut session, _) = live();
        for (kind, timestamp, body) in messages {
            if session.hear(&from_server(kind, timestamp, &body)).is_err() {
                session = live().0;
            }
        }
        let _ = session.hear(&garbage);
    }

    /// Numbers at the limits of their range, which no server sends.
    #[test]
    fn the_longest_numbers_do_not_overflow(
        messages in vec((0_u8..24, any::<u32>(), vec(prop_oneof![Just(0_u8), Just(1), Just(0x7F), Just(0xFF)], 0..12)), 0..20),
        timestamp in any::<u32>(),
        before in prop_oneof![Just(0_u64), Just(u64::MAX - 100)],
    ) {
        let (mut session, _) = live();
        (session.received, session.reported, session.calls) = (before, before, u32::MAX);
        for (kind, time, body) in messages {
            let _ = session.hear(&from_server(kind, time, &body));
        }
        session.media(kind::VIDEO, timestamp, &[7; 300]);
        session.goodbye();
        prop_assert!(session.out.len() < 100_000);
    }
}
