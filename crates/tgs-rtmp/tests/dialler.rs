//! A dialler from outside: the client publishes over what it has connected, and repeats its errors.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use tgs_rtmp::{
    client::{self, Deadline, Dial, OpenError, RtmpConnection},
    flv::{Kind, Tag},
    metadata::Metadata,
    server::{KeyCheck, ServerConfig, ServerConnection, ServerEvent},
    stream_key::StreamKey,
    url::RtmpUrl,
};

const SECOND: Duration = Duration::from_secs(1);

const METADATA: Metadata = Metadata {
    width: 320,
    height: 180,
    fps: 30,
    video_kbps: 100,
    audio_kbps: 64,
    audio_rate: 44_100,
    channels: 2,
};

/// Connects to one server, whatever the name, after a word and its answer.
struct Introduced(SocketAddr);

impl Dial for Introduced {
    fn dial(&self, host: &str, port: u16, deadline: Deadline<'_>) -> Result<TcpStream, OpenError> {
        assert!(!deadline.is_cancelled() && deadline.left() > SECOND);
        let failed = |error: io::Error| OpenError::Dial(Box::new(error));
        let mut stream = TcpStream::connect_timeout(&self.0, deadline.left()).map_err(failed)?;
        stream.write_all(format!("{host}:{port}\n").as_bytes()).map_err(failed)?;
        stream.read_exact(&mut [0; 3]).map_err(failed)?;
        Ok(stream)
    }
}

/// Refuses.
struct Refusing;

impl Dial for Refusing {
    fn dial(&self, _: &str, _: u16, _: Deadline<'_>) -> Result<TcpStream, OpenError> {
        Err(OpenError::Dial("no way leads there".into()))
    }
}

#[test]
fn it_publishes_over_what_the_dialler_has_connected() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut word = [0; 23];
        socket.read_exact(&mut word).unwrap();
        assert_eq!(&word, b"no-such-host.invalid:9\n");
        socket.write_all(b"ok\n").unwrap();
        let config = ServerConfig::new(KeyCheck::Exactly(StreamKey::new("key")));
        let mut publisher = ServerConnection::accept(socket, config, || false).unwrap();
        let mut received = 0;
        loop {
            match publisher.next_event().unwrap() {
                ServerEvent::Media(tag) => received += tag.body.len(),
                ServerEvent::Ended => return received,
                _ => {}
            }
        }
    });
    let url = RtmpUrl::parse("rtmp://no-such-host.invalid:9/app/key").unwrap();
    let dialler = Introduced(address);
    let mut connection = RtmpConnection::open_by(&dialler, &url, &METADATA, || false, 10 * SECOND).unwrap();
    let body: Vec<u8> = [&[0xaf, 1][..], &[7; 5000]].concat();
    for timestamp in 0..20 {
        let body = body.clone().into();
        connection.send(&Tag { kind: Kind::Audio, timestamp, body }).unwrap();
    }
    // The kernel counts the dialler's bytes as well; both counts do.
    let until = Instant::now() + 10 * SECOND;
    while connection.acked() < connection.written() {
        assert!(Instant::now() < until, "{} of {}", connection.acked(), connection.written());
        connection.wait(Instant::now() + SECOND / 50).unwrap();
    }
    assert!(connection.written() > 20 * 5000 + 23);
    connection.goodbye();
    assert_eq!(server.join().unwrap(), 20 * 5002);
}

#[test]
fn its_errors_are_repeated() {
    let url = RtmpUrl::parse("rtmps://host/app/key").unwrap();
    let error = client::reach(&Refusing, &url, || false, SECOND).unwrap_err();
    assert!(matches!(error, OpenError::Dial(_)) && error.to_string() == "no way leads there");
    let error = RtmpConnection::open_by(&Refusing, &url, &METADATA, || false, SECOND).unwrap_err();
    assert!(error.to_string() == "no way leads there" && !error.permanent());
}
