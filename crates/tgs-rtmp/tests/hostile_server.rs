//! The RTMP connection against servers that never stop sending, trickle, or do not read: each is
//! given up by name and in time.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use tgs_rtmp::{
    client::{ConnectionLost, Excess, OpenError, OpenStage, RtmpConnection, SERVER_BYTES, SERVER_MESSAGES},
    flv::{Kind, Tag},
    metadata::Metadata,
    url::RtmpUrl,
};

const SECOND: Duration = Duration::from_secs(1);

const METADATA: Metadata = Metadata {
    width: 1280,
    height: 720,
    fps: 30,
    video_kbps: 1800,
    audio_kbps: 128,
    audio_rate: 44_100,
    channels: 2,
};

/// A server's message on a chunk stream of its own, in one chunk or the first of several.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![3, 0, 0, 0];
    bytes.extend(&(body.len() as u32).to_be_bytes()[1..]);
    bytes.extend([kind, 0, 0, 0, 0]);
    bytes.extend(body);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

fn result(call: f64) -> Vec<u8> {
    let body = [vec![2], text("_result"), vec![0], call.to_be_bytes().into(), vec![5, 0], vec![0; 8]];
    message(20, &body.concat())
}

/// What leads to consent: answers to `connect` and `createStream`, and the publishing's start.
fn consent() -> Vec<u8> {
    let status = [vec![2], text("onStatus"), vec![0; 9], vec![5, 3], text("code"), vec![2]];
    let status = [status.concat(), text("NetStream.Publish.Start"), vec![0, 0, 9]].concat();
    [result(1.0), result(4.0), message(20, &status)].concat()
}

const PING: [u8; 6] = [0, 6, 0, 0, 0, 1];

/// A server that answers the handshake, and then does as `behave` has it. Its address.
fn server(behave: impl FnOnce(TcpStream) + Send + 'static) -> RtmpUrl {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // A small buffer and small segments make unread data show soon.
    socket2::SockRef::from(&listener).set_tcp_mss(1400).unwrap();
    socket2::SockRef::from(&listener).set_recv_buffer_size(8192).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut hello = [0; 1537];
        // Whatever fails here ends the connection, which the test sees.
        if client.read_exact(&mut hello).is_ok()
            && client.write_all(&[&[3], &[7; 1536][..], &hello[1..]].concat()).is_ok()
        {
            behave(client);
        }
    });
    RtmpUrl::parse(&format!("rtmp://{address}/app/key")).unwrap()
}

/// Consents, and waits until the publisher has begun. `false` where it has gone.
fn go_live(client: &mut TcpStream) -> bool {
    let (mut said, mut some) = (Vec::<u8>::new(), [0; 4096]);
    let wanted = b"@setDataFrame";
    client.write_all(&consent()).is_ok()
        && loop {
            match client.read(&mut some) {
                Ok(count) if count > 0 => said.extend(&some[..count]),
                _ => break false,
            }
            if said.windows(wanted.len()).any(|window| window == wanted) {
                break true;
            }
        }
}

/// Writes `bytes` again and again until the client has gone.
fn for_ever(mut client: TcpStream, bytes: &[u8]) {
    let bytes = bytes.repeat(60_000 / bytes.len() + 1);
    while client.write_all(&bytes).is_ok() {}
}

fn open(target: &RtmpUrl) -> Result<RtmpConnection, OpenError> {
    RtmpConnection::open(target, &METADATA, || false, 10 * SECOND)
}

/// A server that sends without end, before and after it has accepted the stream: the connection is
/// given up at once, with the reason.
#[test]
fn who_never_stops_talking_is_given_up() {
    let small = [message(1, &1_u32.to_be_bytes()), vec![3, 0, 0, 0, 0, 0, 200, 8, 0, 0, 0, 0, 7]].concat();
    let talk: [(&str, Vec<u8>, Vec<u8>, Excess); 8] = [
        ("pings", vec![], message(4, &PING), Excess::Messages(SERVER_MESSAGES)),
        (
            "a window of one byte",
            message(5, &1_u32.to_be_bytes()),
            message(4, &PING),
            Excess::Messages(SERVER_MESSAGES),
        ),
        ("empty messages", message(6, &[]), vec![0xC3], Excess::Messages(SERVER_MESSAGES)),
        ("aborted messages", vec![], message(2, &3_u32.to_be_bytes()), Excess::Messages(SERVER_MESSAGES)),
        ("chunk sizes", vec![], message(1, &128_u32.to_be_bytes()), Excess::Messages(SERVER_MESSAGES)),
        (
            "media",
            message(1, &65_536_u32.to_be_bytes()),
            message(9, &vec![7; 50_000]),
            Excess::Bytes(SERVER_BYTES),
        ),
        (
            "long names",
            message(1, &65_536_u32.to_be_bytes()),
            message(20, &vec![2; 60_000]),
            Excess::Bytes(SERVER_BYTES),
        ),
        ("chunks of one byte", small, [0xC3, 7].repeat(1000), Excess::Bytes(SERVER_BYTES)),
    ];
    for (what, before, again, expected) in talk {
        let (first, then) = (before.clone(), again.clone());
        let early = server(move |mut client| {
            let _ = client.write_all(&first);
            for_ever(client, &then);
        });
        let began = Instant::now();
        let error = open(&early).unwrap_err();
        let OpenError::Broken { stage: OpenStage::Application, broken: ConnectionLost::Excess(excess) } =
            error
        else {
            panic!("{what}, early: {error:?}");
        };
        assert_eq!(excess, expected, "{what}, early");
        assert!(began.elapsed() < 5 * SECOND, "{what}, early: {:?}", began.elapsed());

        let live = server(move |mut client| {
            if go_live(&mut client) && client.write_all(&before).is_ok() {
                for_ever(client, &again);
            }
        });
        let mut connection = open(&live).unwrap_or_else(|e| panic!("{what}: {e}"));
        let began = Instant::now();
        let broken = loop {
            match connection.wait(Instant::now() + SECOND / 10) {
                Ok(()) => assert!(began.elapsed() < 5 * SECOND, "{what}, live, is still listened to"),
                Err(broken) => break broken,
            }
        };
        // A server that floods without reading: what is queued for it says so first.
        assert!(
            matches!(broken, ConnectionLost::Excess(excess) if excess == expected || excess == Excess::Answers),
            "{what}, live: {broken:?}"
        );
        assert!(began.elapsed() < 5 * SECOND, "{what}, live: {:?}", began.elapsed());
    }
}

/// Whether the client goes `within` this time; what it sends is dropped.
fn goes(client: &mut TcpStream, within: Duration) -> bool {
    let (end, mut some) = (Instant::now() + within, [0; 4096]);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        client.set_read_timeout(Some(left)).unwrap();
        match client.read(&mut some) {
            Ok(count) if count > 0 => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            _ => return true,
        }
    }
}

/// One byte at a time is within every limit of bytes: the time for the whole is what ends it.
#[test]
fn who_trickles_is_given_up_when_the_time_is_over() {
    let trickle = |mut client: TcpStream, bytes: Vec<u8>| {
        for byte in bytes {
            if client.write_all(&[byte]).is_err() || goes(&mut client, Duration::from_millis(5)) {
                return;
            }
        }
    };
    // The handshake itself; and media before the answer.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let slow = RtmpUrl::parse(&format!("rtmp://{}/app/key", listener.local_addr().unwrap())).unwrap();
    thread::spawn(move || trickle(listener.accept().unwrap().0, vec![3; 3000]));
    let chatty = server(move |client| trickle(client, message(9, &[7; 100]).repeat(100)));
    // The handshake with the second one has to be over within the limit.
    for (target, stage, limit) in
        [(slow, OpenStage::Handshake, 2 * SECOND), (chatty, OpenStage::Application, 8 * SECOND)]
    {
        let began = Instant::now();
        let error = RtmpConnection::open(&target, &METADATA, || false, limit).unwrap_err();
        assert!(matches!(error, OpenError::Timeout(at) if at == stage), "{error:?}");
        assert!(began.elapsed() < 4 * limit, "{stage:?}: {:?}", began.elapsed());
    }
}

/// Within the limits, a server is served for as long as it likes, and a stop is heeded at once.
#[test]
fn a_talkative_server_is_served_and_a_stop_is_heeded() {
    let (talk, turns) = mpsc::channel::<()>();
    let target = server(move |mut client| {
        let _ = go_live(&mut client);
        // 20 pings a turn, and nothing is read.
        while turns.recv().is_ok() && client.write_all(&message(4, &PING).repeat(20)).is_ok() {}
    });
    let cancel = Arc::new(AtomicBool::new(false));
    let cancelled = Arc::clone(&cancel);
    let (ask, asked) = mpsc::channel();
    let ask_whether_cancelled = move || {
        // The receiver is gone at the end.
        let _ = ask.send(());
        cancelled.load(Ordering::SeqCst)
    };
    let mut connection =
        RtmpConnection::open(&target, &METADATA, ask_whether_cancelled, 10 * SECOND).unwrap();
    let picture = Tag { kind: Kind::Video, timestamp: 0, body: vec![0x27; 1000].into() };
    for _ in 0..10 {
        talk.send(()).unwrap();
        connection.send(&picture).unwrap();
        connection.wait(Instant::now() + SECOND / 10).unwrap();
    }
    while asked.try_recv().is_ok() {}
    let stop = thread::spawn(move || {
        talk.send(()).unwrap();
        // Asked for the second time, the connection has waited.
        asked.recv().unwrap();
        asked.recv().unwrap();
        cancel.store(true, Ordering::SeqCst);
        // The server stays until the connection has stopped.
        (Instant::now(), talk)
    });
    connection.wait(Instant::now() + 60 * SECOND).unwrap();
    let (stopped, _talk) = stop.join().unwrap();
    assert!(stopped.elapsed() < 20 * SECOND, "the stop was not heeded");
}

/// A server that reads a little now and then moves bytes, and carries no picture.
#[test]
fn who_reads_next_to_nothing_is_given_up() {
    // A turn to read comes whenever the connection asks whether to stop: some 20 times a second.
    let (ask, asked) = mpsc::channel();
    let target = server(move |mut client| {
        let _ = go_live(&mut client);
        let mut little = [0; 256];
        while asked.recv().is_ok() && client.read(&mut little).is_ok_and(|count| count > 0) {}
    });
    let next_turn = move || {
        // The server may have gone.
        let _ = ask.send(());
        false
    };
    let mut connection = RtmpConnection::open(&target, &METADATA, next_turn, 10 * SECOND).unwrap();
    let picture = Tag { kind: Kind::Video, timestamp: 0, body: vec![0x27; 100_000].into() };
    let began = Instant::now();
    let broken = loop {
        if let Err(broken) = connection.send(&picture) {
            break broken;
        }
        assert!(began.elapsed() < 30 * SECOND, "it is still waited for");
    };
    // The kernel's own limit is the first where the window stays too small for a segment.
    assert!(matches!(broken, ConnectionLost::Stalled | ConnectionLost::NoAnswer), "{broken:?}");
    assert!(began.elapsed() < 30 * SECOND, "{:?}", began.elapsed());
}
