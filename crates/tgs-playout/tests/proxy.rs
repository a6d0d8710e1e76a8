//! What the real ffprobe and ffmpeg reach through the proxy, against servers on loopback.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tempfile::TempDir;
use tgs_core::cancel::Cancel;
use tgs_playout::{
    ffmpeg::probe::{self, Probe},
    item::{FailureReason, ItemFailure, Media, MediaSource, Trust},
    network::Network,
    proxy::{ProxyClient, ReadPurpose},
};

/// A server that answers each path with the bytes given for it, head and body, and counts its
/// connections.
struct Server {
    port: u16,
    answers: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            answers: Arc::default(),
            connections: Arc::default(),
        };
        let (answers, connections) = (Arc::clone(&server.answers), Arc::clone(&server.connections));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                connections.fetch_add(1, Ordering::SeqCst);
                let answers = Arc::clone(&answers);
                // A client that goes away is no failure.
                thread::spawn(move || drop(answer(stream, &answers)));
            }
        });
        server
    }

    fn gives(&self, path: &str, head: &str, body: &[u8]) {
        let answer = [head.replace('\n', "\r\n").as_bytes(), b"\r\n\r\n", body].concat();
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// Gives `path` once, and then says that it is gone.
    fn gives_once(&self, path: &str, head: &str, body: &[u8]) {
        self.gives(&format!("once {path}"), head, body);
    }

    fn at(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: TcpStream, answers: &Mutex<HashMap<String, Vec<u8>>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
    let found = {
        let mut answers = answers.lock().unwrap();
        answers.remove(&format!("once {path}")).or_else(|| answers.get(&path).cloned())
    };
    let gone = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec();
    stream.write_all(&found.unwrap_or(gone))
}

/// A clip of 2 s.
fn clip(dir: &Path, name: &str, options: &[&str]) -> Vec<u8> {
    let path = dir.join(name);
    let mut command = Command::new("ffmpeg");
    command.args([
        "-v",
        "error",
        "-y",
        "-f",
        "lavfi",
        "-i",
        "color=s=64x36:r=10:d=2",
        "-f",
        "lavfi",
        "-i",
        "sine=d=2",
    ]);
    command.args(["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"]).args(options).arg(&path);
    assert!(command.status().expect("run ffmpeg: apt-get install ffmpeg").success());
    fs::read(path).unwrap()
}

fn source(url: &str, trust: Trust) -> MediaSource {
    MediaSource { trust, ..MediaSource::at(url.to_owned()) }
}

fn probed(url: &str, trust: Trust) -> Result<Probe, ItemFailure> {
    let media = Media { sources: vec![source(url, trust)], ..Media::at(String::new(), false) };
    let wanted = probe::ProbeOptions::default();
    probe::probe(Path::new("ffprobe"), &media, wanted, &Cancel::new())
}

/// Plays `url` as an encoder does: how many packets come, and what ffmpeg complains about.
fn play(url: &str, trust: Trust) -> (usize, String) {
    let mut command = tgs_core::process::command("ffmpeg");
    command.args(["-nostdin", "-v", "error"]);
    command.args(tgs_playout::ffmpeg::input::source_options(&source(url, trust)));
    let client = ProxyClient::new(&source(url, trust), ReadPurpose::Playback);
    command.args([
        "-i",
        &client.input_url(&source(url, trust)),
        "-map",
        "0",
        "-c",
        "copy",
        "-f",
        "framecrc",
        "-",
    ]);
    client.apply(&mut command);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let packets = text(output.stdout).lines().filter(|line| !line.starts_with('#')).count();
    (packets, text(output.stderr))
}

const STRANGER: Trust = Trust::Found(Network::Public);
const NEIGHBOUR: Trust = Trust::Found(Network::Loopback);

#[test]
fn strangers_reach_no_private_address() {
    let dir = TempDir::new().unwrap();
    let server = Server::new();
    server.gives("/a.ts", "HTTP/1.1 200 OK", &clip(dir.path(), "a.ts", &[]));
    for trust in [Trust::Operator, NEIGHBOUR] {
        assert!(probed(&server.at("/a.ts"), trust).is_ok(), "{trust:?}");
    }
    let before = server.connections();
    for host in ["127.0.0.1", "localhost", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{}/a.ts", server.port);
            let failure = probed(&url, STRANGER).unwrap_err();
            assert_eq!(failure.reason, FailureReason::Forbidden, "{url}: {failure}");
            assert!(failure.detail.starts_with("it leads to "), "{url}: {failure}");
        }
    }
    assert_eq!(server.connections(), before);
}

#[test]
fn redirects_and_segments_are_judged_too() {
    let dir = TempDir::new().unwrap();
    let server = Server::new();
    let segment = clip(dir.path(), "a.ts", &[]);
    server.gives("/a.ts", "HTTP/1.1 200 OK", &segment);
    server.gives("/near.ts", "HTTP/1.1 302 Found\nLocation: /a.ts", b"");
    server.gives("/far.ts", "HTTP/1.1 302 Found\nLocation: http://169.254.169.254/latest/a.ts", b"");
    server.gives("/tls.ts", "HTTP/1.1 302 Found\nLocation: https://10.0.0.1/a.ts", b"");
    let list = |segment: &str| {
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{segment}\n#EXT-X-ENDLIST\n").into_bytes()
    };
    let hls = "HTTP/1.1 200 OK\nContent-Type: application/vnd.apple.mpegurl";
    server.gives("/near.m3u8", hls, &list("a.ts"));
    server.gives("/far.m3u8", hls, &list("http://192.168.0.1/a.ts"));
    let private = dir.path().join("private.ts");
    fs::write(&private, &segment).unwrap();
    server.gives("/file.m3u8", hls, &list(&format!("file://{}", private.display())));
    for path in ["/near.ts", "/near.m3u8"] {
        probed(&server.at(path), NEIGHBOUR).expect(path);
    }
    for trust in [Trust::Operator, NEIGHBOUR] {
        for (path, address) in
            [("/far.ts", "169.254.169.254"), ("/tls.ts", "10.0.0.1"), ("/far.m3u8", "192.168.0.1")]
        {
            let failure = probed(&server.at(path), trust).unwrap_err();
            assert!(failure.detail.starts_with(&format!("it leads to {address}, ")), "{path}: {failure}");
        }
        assert!(probed(&server.at("/file.m3u8"), trust).is_err());
    }
}

/// A list may come over any protocol that the operator names: `file://` in it is not opened.
#[test]
fn a_list_over_tcp_opens_no_files() {
    let dir = TempDir::new().unwrap();
    clip(dir.path(), "private.ts", &[]);
    let list = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{}\n#EXT-X-ENDLIST\n",
        dir.path().join("private.ts").display()
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.write_all(list.as_bytes());
        }
    });
    assert!(probed(&url, Trust::Operator).is_err());
    assert_eq!(play(&url, Trust::Operator).0, 0);
}

#[test]
fn senders_that_take_one_connection_are_asked_once() {
    let dir = TempDir::new().unwrap();
    let ts = clip(dir.path(), "a.ts", &[]);
    let (whole, _) = play(&format!("file:{}", dir.path().join("a.ts").display()), Trust::Operator);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // Nobody else is let in.
        drop(listener);
        let _ = stream.write_all(&ts);
    });
    probed(&url, Trust::Operator).unwrap();
    assert_eq!(play(&url, Trust::Operator).0, whole);
    assert_eq!(probed(&url, Trust::Operator).unwrap_err().detail, "the server refuses the connection");
}

#[test]
fn what_can_be_asked_for_once_is_asked_for_once() {
    let dir = TempDir::new().unwrap();
    let server = Server::new();
    let (ts, mp3) =
        (clip(dir.path(), "a.ts", &[]), clip(dir.path(), "a.mp3", &["-vn", "-c:a", "libmp3lame"]));
    let sized = format!("HTTP/1.1 200 OK\nContent-Length: {}", ts.len());
    server.gives_once("/sized.ts", &sized, &ts);
    server.gives_once("/unsized.ts", "HTTP/1.0 200 OK\nContent-Type: video/mp2t", &ts);
    server.gives_once("/radio", "ICY 200 OK\nicy-name:x\nContent-Type:audio/mpeg", &mp3);
    for (path, file) in [("/sized.ts", "a.ts"), ("/unsized.ts", "a.ts"), ("/radio", "a.mp3")] {
        let (whole, _) = play(&format!("file:{}", dir.path().join(file).display()), Trust::Operator);
        assert!(whole > 50, "{whole}");
        probed(&server.at(path), Trust::Operator).expect(path);
        assert_eq!(play(&server.at(path), Trust::Operator).0, whole, "{path}");
        // It was kept for one.
        let (nothing, why) = play(&server.at(path), Trust::Operator);
        assert!(nothing == 0 && why.contains("404"), "{path}: {why}");
    }
    // What the server gives parts of is fetched anew.
    server.gives_once("/parts.ts", &format!("{sized}\nAccept-Ranges: bytes"), &ts);
    probed(&server.at("/parts.ts"), Trust::Operator).unwrap();
    assert!(play(&server.at("/parts.ts"), Trust::Operator).1.contains("404"));
    // What was kept is not given to somebody who may not reach its server.
    server.gives_once("/private.ts", &sized, &ts);
    probed(&server.at("/private.ts"), Trust::Operator).unwrap();
    assert!(play(&server.at("/private.ts"), STRANGER).1.contains("403"));
}

#[test]
fn a_busy_server_is_left_alone_as_long_as_it_asks() {
    let dir = TempDir::new().unwrap();
    let server = Server::new();
    server.gives("/a.ts", "HTTP/1.1 200 OK", &clip(dir.path(), "a.ts", &[]));
    server.gives_once("/a.ts", "HTTP/1.1 503 Busy\nRetry-After: 300\nContent-Length: 0", b"");
    let words = "the server is busy (HTTP 503), and asks to come back in ";
    for _ in 0..2 {
        let failure = probed(&server.at("/a.ts"), Trust::Operator).unwrap_err();
        assert!(failure.reason == FailureReason::Network && failure.detail.starts_with(words), "{failure}");
    }
    assert_eq!(server.connections(), 1);
    // Only what it is busy with.
    server.gives_once("/b.ts", "HTTP/1.1 429 Slow down\nRetry-After: 0\nContent-Length: 0", b"");
    server.gives("/b.ts", "HTTP/1.1 200 OK", &fs::read(dir.path().join("a.ts")).unwrap());
    assert_eq!(probed(&server.at("/b.ts"), Trust::Operator).unwrap_err().reason, FailureReason::Network);
    probed(&server.at("/b.ts"), Trust::Operator).unwrap();
}

#[test]
fn an_index_at_the_end_wants_a_server_that_sends_parts() {
    let dir = TempDir::new().unwrap();
    let server = Server::new();
    // Larger than what ffmpeg keeps of what it has read.
    let large = ["-c:a", "pcm_s16le", "-ar", "192000", "-ac", "2"];
    let late = clip(dir.path(), "a.mov", &large);
    let early = clip(dir.path(), "b.mov", &[&large[..], &["-movflags", "faststart"]].concat());
    for (path, file) in [("/late.mp4", &late), ("/early.mp4", &early)] {
        server.gives(path, &format!("HTTP/1.1 200 OK\nContent-Length: {}", file.len()), file);
    }
    probed(&server.at("/early.mp4"), Trust::Operator).unwrap();
    let failure = probed(&server.at("/late.mp4"), Trust::Operator).unwrap_err();
    assert_eq!(failure.reason, FailureReason::Unplayable);
    assert!(failure.detail.contains("moov") && failure.detail.contains("-movflags +faststart"), "{failure}");
}

#[test]
fn only_what_the_network_has_answered_is_a_strangers_word() {
    let server = Server::new();
    server.gives("/a", "HTTP/1.1 200 OK\nContent-Length: 1", b"a");
    let source = MediaSource::at(server.at("/a"));
    let run = |command: &mut Command, client: &ProxyClient| {
        client.apply(command);
        command.output().unwrap();
        client.trust_in_answer()
    };
    let client = ProxyClient::new(&source, ReadPurpose::Probe);
    assert_eq!(run(&mut Command::new("true"), &client), Trust::Operator, "nobody was asked");
    let asks = || {
        let mut command = Command::new("ffprobe");
        command.arg(&source.url);
        command
    };
    assert_eq!(run(&mut asks(), &client), Trust::Found(Network::Loopback));
    // Past this proxy it may have asked anybody.
    let client = ProxyClient::new(&source, ReadPurpose::Probe);
    assert_eq!(run(asks().env("http_proxy", "http://127.0.0.1:9"), &client), Trust::Found(Network::Loopback));
    // Without a value it is no proxy, and ours decides.
    let client = ProxyClient::new(&source, ReadPurpose::Probe);
    let mut command = asks();
    command.env("http_proxy", "");
    client.apply(&mut command);
    assert!(
        command
            .get_envs()
            .any(|(name, value)| name == "http_proxy" && value.is_some_and(|it| !it.is_empty()))
    );
    // A proxy for https alone stays in force there, and ours decides about the rest.
    for own in ["https_proxy", "HTTPS_PROXY"] {
        let client = ProxyClient::new(&source, ReadPurpose::Probe);
        let mut command = asks();
        command.env(own, "http://127.0.0.1:9").env("no_proxy", "10.0.0.1");
        client.apply(&mut command);
        let set = |name: &str| command.get_envs().find(|(one, _)| *one == name).and_then(|(_, value)| value);
        assert_eq!(set(own).unwrap(), "http://127.0.0.1:9");
        assert!(set("http_proxy").unwrap().to_str().unwrap().contains('@'));
        assert!(["https_proxy", "HTTPS_PROXY"].iter().all(|name| *name == own || set(name).is_none()));
        assert_eq!(set("no_proxy"), None);
        assert_eq!(client.trust_in_answer(), Trust::Found(Network::Loopback));
    }
    let client = ProxyClient::new(&MediaSource::at("http://name.invalid/".into()), ReadPurpose::Probe);
    client.note_bypass();
    assert_eq!(client.trust_in_answer(), Trust::Found(Network::Public));
}
