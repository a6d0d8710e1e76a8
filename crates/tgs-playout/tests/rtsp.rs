//! What the real ffprobe and ffmpeg reach over RTSP, against a server on loopback.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, UdpSocket},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tempfile::TempDir;
use tgs_core::cancel::Cancel;
use tgs_playout::{
    ffmpeg::{
        input::source_options,
        probe::{self, Probe},
    },
    item::{FailureReason, ItemFailure, Media, MediaSource, Trust},
    network::Network,
    proxy::{ProxyClient, ReadPurpose},
};

const NEIGHBOUR: Trust = Trust::Found(Network::Loopback);

/// What a server does instead of playing.
#[derive(Debug, Clone)]
enum Oddity {
    None,
    /// It answers this method with a redirect.
    Redirects(&'static str, String),
    /// It answers SETUP with a transport of its own choice.
    NamesTransport(String),
}

/// Serves the transport stream `ts` as RTP, over TLS with `tls`; answers its port.
fn server(ts: Vec<u8>, oddity: Oddity, tls: Option<Arc<ServerConfig>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (ts, oddity, tls) = (ts.clone(), oddity.clone(), tls.clone());
            // A client that goes away is no failure.
            thread::spawn(move || match tls {
                None => drop(serve(stream, &ts, &oddity)),
                Some(tls) => {
                    let tls = ServerConnection::new(tls).unwrap();
                    drop(serve(StreamOwned::new(tls, stream), &ts, &oddity));
                }
            });
        }
    });
    port
}

fn serve(stream: impl Read + Write, ts: &[u8], oddity: &Oddity) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut request, mut number, mut transport) = (String::new(), String::new(), String::new());
        stream.read_line(&mut request)?;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? <= 2 {
                break;
            }
            match line.trim_end().split_once(": ") {
                Some(("CSeq", value)) => value.clone_into(&mut number),
                Some(("Transport", value)) => value.clone_into(&mut transport),
                _ => {}
            }
        }
        let method = request.split(' ').next().unwrap_or_default();
        let answer = |rest: &str| format!("RTSP/1.0 200 OK\r\nCSeq: {number}\r\nSession: 1\r\n{rest}");
        let answer = match (method, oddity) {
            ("", _) => return Ok(()),
            (method, Oddity::Redirects(at, to)) if method == *at => {
                format!("RTSP/1.0 302 Found\r\nCSeq: {number}\r\nLocation: {to}\r\n\r\n")
            }
            ("DESCRIBE", _) => {
                let sdp = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\n";
                let length = sdp.len();
                answer(&format!("Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{sdp}"))
            }
            ("SETUP", Oddity::NamesTransport(transport)) => {
                answer(&format!("Transport: {transport}\r\n\r\n"))
            }
            ("SETUP", _) if !transport.contains("/TCP") => {
                format!("RTSP/1.0 461 Unsupported Transport\r\nCSeq: {number}\r\n\r\n")
            }
            ("SETUP", _) => answer(&format!("Transport: {transport}\r\n\r\n")),
            _ => answer("\r\n"),
        };
        stream.get_mut().write_all(answer.as_bytes())?;
        if method == "PLAY" {
            for (number, packets) in ts.chunks(7 * 188).enumerate() {
                let [high, low] = u16::try_from(number).unwrap().to_be_bytes();
                let header = [0x80, 33, high, low, 0, 0, 0, 0, 0, 0, 0, 1];
                let length = u16::try_from(header.len() + packets.len()).unwrap().to_be_bytes();
                stream.get_mut().write_all(&[b"$\0", &length[..], &header, packets].concat())?;
            }
            // The end of the stream.
            return Ok(());
        }
    }
}

/// The settings of a TLS server whose certificate nobody has signed.
fn tls(dir: &Path) -> Arc<ServerConfig> {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    command.args(["-days", "1", "-subj", "/CN=camera", "-keyout", "key.pem", "-out", "cert.pem"]);
    let output = command.current_dir(dir).output().expect("run openssl: apt-get install openssl");
    assert!(output.status.success(), "{output:?}");
    let certificate = CertificateDer::from_pem_file(dir.join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(dir.join("key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap())
}

/// A port that counts its connections.
fn forbidden_port() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, connections) = (listener.local_addr().unwrap().port(), Arc::<AtomicUsize>::default());
    let counted = Arc::clone(&connections);
    thread::spawn(move || {
        for _ in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, connections)
}

/// A clip of 2 s.
fn clip(dir: &Path) -> Vec<u8> {
    let path = dir.join("a.ts");
    let mut command = Command::new("ffmpeg");
    command.args([
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "color=s=64x36:r=10:d=2",
        "-f",
        "lavfi",
        "-i",
        "sine=d=2",
    ]);
    command.args(["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"]).arg(&path);
    assert!(command.status().expect("run ffmpeg: apt-get install ffmpeg").success());
    fs::read(path).unwrap()
}

fn source(url: &str, trust: Trust) -> MediaSource {
    MediaSource { trust, ..MediaSource::at(url.to_owned()) }
}

fn probed(url: &str, trust: Trust) -> Result<Probe, ItemFailure> {
    let media = Media { sources: vec![source(url, trust)], ..Media::at(String::new(), true) };
    let wanted = probe::ProbeOptions::default();
    probe::probe(Path::new("ffprobe"), &media, wanted, &Cancel::new())
}

/// Plays `url` as an encoder does: how many packets come, and ffmpeg's messages.
fn play(url: &str, trust: Trust) -> (usize, String) {
    let source = source(url, trust);
    let client = ProxyClient::new(&source, ReadPurpose::Playback);
    let mut command = tgs_core::process::command("ffmpeg");
    command.args(["-nostdin", "-v", "error"]).args(source_options(&source));
    command.args(["-i", &client.input_url(&source), "-map", "0", "-c", "copy", "-f", "framecrc", "-"]);
    client.apply(&mut command);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let packets = text(output.stdout).lines().filter(|line| !line.starts_with('#')).count();
    (packets, text(output.stderr))
}

#[test]
fn a_stream_plays_through_the_relay() {
    let dir = TempDir::new().unwrap();
    let ts = clip(dir.path());
    for (scheme, tls) in [("rtsp", None), ("rtsps", Some(tls(dir.path())))] {
        let url = format!("{scheme}://127.0.0.1:{}/live?a=b", server(ts.clone(), Oddity::None, tls));
        let (whole, messages) = play(&url, Trust::Operator);
        assert!(whole > 50, "{whole}: {messages}");
        let found = probed(&url, NEIGHBOUR).unwrap();
        assert!(found.video.is_some() && found.audio.is_some(), "{found:?}");
        let (relayed, messages) = play(&url, NEIGHBOUR);
        assert_eq!(relayed, whole, "{messages}");
    }
}

#[test]
fn redirects_are_followed_for_the_operator_only() {
    let dir = TempDir::new().unwrap();
    let ts = clip(dir.path());
    let (port, connections) = forbidden_port();
    for method in ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"] {
        for (scheme, tls) in [("rtsp", None), ("rtsps", Some(tls(dir.path())))] {
            let to = format!("rtsp://127.0.0.1:{port}/x");
            let server = server(ts.clone(), Oddity::Redirects(method, to), tls);
            let url = format!("{scheme}://localhost:{server}/live");
            let failure = probed(&url, NEIGHBOUR).unwrap_err();
            assert_eq!(failure.reason, FailureReason::Forbidden, "{method}: {failure}");
            let start = format!("its RTSP server redirects to 127.0.0.1 port {port} (status 302)");
            assert!(failure.detail.starts_with(&start), "{method}: {failure}");
            let (packets, messages) = play(&url, NEIGHBOUR);
            assert!(packets == 0 && messages.contains("403"), "{method}: {messages}");
        }
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
    let to = format!("rtsp://127.0.0.1:{}/x", server(ts.clone(), Oddity::None, None));
    let url = format!("rtsp://127.0.0.1:{}/live", server(ts, Oddity::Redirects("DESCRIBE", to), None));
    assert!(play(&url, Trust::Operator).0 > 50);
}

/// ffmpeg sends packets to the UDP ports that a server names.
#[test]
fn strangers_name_no_udp_ports() {
    let dir = TempDir::new().unwrap();
    let ts = clip(dir.path());
    let target = UdpSocket::bind("127.0.0.1:0").unwrap();
    target.set_nonblocking(true).unwrap();
    let port = target.local_addr().unwrap().port();
    let transport = format!(
        "RTP/AVP/UDP;unicast;client_port=1-2;source=127.0.0.1;server_port={port}-{}",
        port.wrapping_add(1)
    );
    let url = format!("rtsp://127.0.0.1:{}/live", server(ts, Oddity::NamesTransport(transport), None));
    assert!(probed(&url, NEIGHBOUR).is_err());
    assert_eq!(play(&url, NEIGHBOUR).0, 0);
    assert!(target.recv(&mut [0; 9]).is_err(), "a packet came");
    play(&url, Trust::Operator);
    target.recv(&mut [0; 9]).expect("the operator's server is asked over UDP");
}

#[test]
fn strangers_reach_no_private_address_over_rtsp() {
    let (port, connections) = forbidden_port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        for scheme in ["rtsp", "RTSPS"] {
            let url = format!("{scheme}://{host}:{port}/live");
            let failure = probed(&url, Trust::Found(Network::Public)).unwrap_err();
            assert_eq!(failure.reason, FailureReason::Forbidden, "{url}: {failure}");
            assert!(failure.detail.starts_with("it leads to "), "{url}: {failure}");
        }
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}
