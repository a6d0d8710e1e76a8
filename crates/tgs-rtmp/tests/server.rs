//! The server against clients that are not ours: ffmpeg and rml_rtmp; and against hostile clients
//! on real sockets.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rml_rtmp::{
    handshake::{Handshake, HandshakeProcessResult, PeerType},
    sessions::{
        ClientSession, ClientSessionConfig, ClientSessionEvent, ClientSessionResult, PublishRequestType,
    },
    time::RtmpTimestamp,
};
use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tgs_rtmp::{
    amf0::AmfValue,
    flv::{Kind, Tag},
    server::{
        KeyCheck, PublishRefusal, ServerConfig, ServerConnection, ServerError, ServerEvent, ServerLimits,
        ServerSession,
    },
    stream_key::StreamKey,
};

const SECOND: Duration = Duration::from_secs(1);

const KEY: &str = "s3cr3t";

fn config() -> ServerConfig {
    let limits = ServerLimits { time_to_publish: 60 * SECOND, idle: 60 * SECOND, ..Default::default() };
    ServerConfig { limits, ..ServerConfig::new(KeyCheck::Exactly(StreamKey::new(KEY))) }
}

fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, format!("rtmp://{address}/live"))
}

/// Publishes three seconds to `url` without pacing.
fn ffmpeg(url: &str) -> Child {
    Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=3"])
        .args(["-f", "lavfi", "-i", "sine=r=44100:d=3", "-c:v", "libx264", "-preset", "ultrafast"])
        .args(["-c:a", "aac", "-f", "flv", url])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn ffmpeg_publishes_every_frame() {
    let (listener, url) = listen();
    let child = ffmpeg(&format!("{url}/{KEY}"));
    let socket = listener.accept().unwrap().0;
    let mut connection = ServerConnection::accept(socket, config(), || false).unwrap();
    let (mut frames, mut width, mut headers) = ([0, 0], None, 0);
    loop {
        match connection.next_event().unwrap() {
            ServerEvent::Metadata(metadata) => width = metadata.get("width").and_then(AmfValue::as_number),
            ServerEvent::Media(tag) if tag.is_sequence_header() => headers += 1,
            ServerEvent::Media(tag) if tag.is_frame() => frames[usize::from(tag.kind == Kind::Video)] += 1,
            ServerEvent::Ended => break,
            _ => {}
        }
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((frames[1], headers, width), (75, 2, Some(320.0)));
    assert!((129..=131).contains(&frames[0]), "{} frames of sound", frames[0]);
}

#[test]
fn ffmpeg_with_a_wrong_key_is_refused_with_the_reason() {
    let (listener, url) = listen();
    let child = ffmpeg(&format!("{url}/other"));
    let socket = listener.accept().unwrap().0;
    let error = ServerConnection::accept(socket, config(), || false).unwrap_err();
    assert!(matches!(error, ServerError::Key), "{error}");
    let output = child.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && words.contains("wrong stream key"), "{words}");
}

#[test]
fn a_client_of_rtmps_is_accepted_over_tls_and_others_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let done = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout"])
        .args([at("key.pem").as_os_str(), "-out".as_ref(), at("cert.pem").as_os_str()])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let cert = CertificateDer::from_pem_file(at("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(at("key.pem")).unwrap();
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .unwrap();
    let tls = Arc::new(tls);
    let (listener, url) = listen();
    let accept = |listener: &TcpListener| {
        let socket = listener.accept().unwrap().0;
        let decide = |key: &StreamKey| if key.matches(KEY) { Ok(()) } else { Err(PublishRefusal::Key) };
        ServerConnection::accept_by(socket, Some(tls.clone()), config(), || false, decide)
    };
    let secure = url.replacen("rtmp://127.0.0.1", "rtmps://localhost", 1);
    // ffmpeg does not verify certificates by default.
    let child = ffmpeg(&format!("{secure}/{KEY}"));
    let mut connection = accept(&listener).unwrap();
    let mut pictures = 0;
    loop {
        match connection.next_event().unwrap() {
            ServerEvent::Media(tag) => pictures += usize::from(tag.kind == Kind::Video && tag.is_frame()),
            ServerEvent::Ended => break,
            _ => {}
        }
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(pictures, 75);

    let child = ffmpeg(&format!("{secure}/other"));
    assert!(matches!(accept(&listener), Err(ServerError::Key)));
    let words = String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr).into_owned();
    assert!(words.contains("wrong stream key"), "{words}");

    let mut child = ffmpeg(&format!("{url}/{KEY}"));
    let error = accept(&listener).unwrap_err();
    assert!(matches!(error, ServerError::Tls(_)), "{error}");
    assert!(!child.wait().unwrap().success());

    let mut child = ffmpeg(&format!("{secure}/{KEY}"));
    let error = ServerConnection::accept(listener.accept().unwrap().0, config(), || false).unwrap_err();
    assert!(error.to_string().contains("begins with rtmps://"), "{error}");
    assert!(!child.wait().unwrap().success());
}

/// rml_rtmp's client against the session, without sockets.
#[test]
fn another_library_publishes() {
    let now = Instant::now();
    let mut server = ServerSession::new(config(), now);
    let mut handshake = Handshake::new(PeerType::Client);
    server.receive(&handshake.generate_outbound_p0_and_p1().unwrap(), now).unwrap();
    let answer = std::mem::take(server.output());
    let HandshakeProcessResult::Completed { response_bytes, .. } = handshake.process_bytes(&answer).unwrap()
    else {
        panic!("the handshake is not complete");
    };
    server.receive(&response_bytes, now).unwrap();

    let (mut client, mut results) = ClientSession::new(ClientSessionConfig::new()).unwrap();
    results.push(client.request_connection("live".to_owned()).unwrap());
    let (mut events, mut published) = (Vec::new(), false);
    while !results.is_empty() {
        for result in std::mem::take(&mut results) {
            match result {
                ClientSessionResult::OutboundResponse(packet) => {
                    server.receive(&packet.bytes, now).unwrap();
                    events.extend(std::iter::from_fn(|| server.next_event(now).unwrap()));
                    let answer = std::mem::take(server.output());
                    server.output_sent();
                    results.extend(client.handle_input(&answer).unwrap());
                }
                ClientSessionResult::RaisedEvent(ClientSessionEvent::ConnectionRequestAccepted) => {
                    results
                        .push(client.request_publishing(KEY.to_owned(), PublishRequestType::Live).unwrap());
                }
                ClientSessionResult::RaisedEvent(ClientSessionEvent::PublishRequestAccepted) => {
                    published = true;
                    let time = RtmpTimestamp::new(40);
                    let body = vec![0x17, 1, 0, 0, 0, 9].into();
                    results.push(client.publish_video_data(body, time, false).unwrap());
                    results.extend(client.stop_publishing().unwrap());
                }
                _ => {}
            }
        }
    }
    assert!(published);
    let video = Tag { kind: Kind::Video, timestamp: 40, body: [0x17, 1, 0, 0, 0, 9].as_slice().into() };
    assert_eq!(events, [ServerEvent::Publishing, ServerEvent::Media(video), ServerEvent::Ended]);
}

#[test]
fn a_client_that_does_nothing_or_trickles_is_given_up_in_time() {
    let short = ServerLimits { time_to_publish: SECOND / 2, ..Default::default() };
    for trickles in [false, true] {
        let (listener, _) = listen();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = listener.accept().unwrap().0;
        let done = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&done);
        let trickle = thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                if trickles {
                    let _ = client.write_all(&[3]);
                }
                thread::sleep(Duration::from_millis(5));
            }
        });
        let began = Instant::now();
        let error = ServerConnection::accept(socket, ServerConfig { limits: short, ..config() }, || false)
            .unwrap_err();
        assert!(matches!(error, ServerError::NotPublished(_)), "{error}");
        assert!(began.elapsed() < 5 * SECOND, "{:?}", began.elapsed());
        done.store(true, Ordering::SeqCst);
        trickle.join().unwrap();
    }
}

#[test]
fn a_client_that_floods_or_is_no_client_is_given_up_and_a_cancel_is_heeded() {
    let (listener, _) = listen();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let socket = listener.accept().unwrap().0;
    let flood = thread::spawn(move || {
        let mut sent = client.write_all(&[3; 3073]);
        // Empty messages without end.
        while sent.is_ok() {
            sent = client.write_all(&[[6, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0]; 1000].concat());
        }
    });
    let error = ServerConnection::accept(socket, config(), || false).unwrap_err();
    assert!(matches!(error, ServerError::Excess(_)), "{error}");
    flood.join().unwrap();

    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let error = ServerConnection::accept(listener.accept().unwrap().0, config(), || false).unwrap_err();
    assert!(matches!(error, ServerError::Handshake(b'G')), "{error}");
    assert_eq!(client.read(&mut [0; 10]).unwrap(), 0);

    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let began = Instant::now();
    let cancelled = move || began.elapsed() > SECOND / 5;
    let error = ServerConnection::accept(listener.accept().unwrap().0, config(), cancelled).unwrap_err();
    assert!(matches!(error, ServerError::Cancelled), "{error}");
    assert!(began.elapsed() < 20 * SECOND, "{:?}", began.elapsed());
}
