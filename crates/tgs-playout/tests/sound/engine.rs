//! Runs the whole engine into a file.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use tgs_playout::{
    engine::{self, Control, EngineConfig, RunEnd},
    ffmpeg::{Processing, sound::SoundOptions},
    item::{Item, JumpTarget, Media, NextItem, Programme},
    output::Output,
};

use crate::measured::PROFILE;

/// Plays these items once.
pub(crate) struct ProgrammeOf {
    pub(crate) items: Vec<Media>,
    /// Whether what is right already is copied.
    pub(crate) copy: bool,
}

impl ProgrammeOf {
    pub(crate) fn files(files: &[PathBuf]) -> Self {
        let items = files.iter().map(|file| Media::at(format!("file:{}", file.display()), false)).collect();
        Self { items, copy: false }
    }

    /// One page whose media is at `url`.
    pub(crate) fn page(url: &str) -> Self {
        let media = Media { identity: Some("a page".into()), ..Media::at(url.to_owned(), false) };
        Self { items: vec![media], copy: false }
    }
}

impl Programme for ProgrammeOf {
    fn next(&mut self) -> NextItem {
        if self.items.is_empty() {
            return NextItem::End;
        }
        let media = self.items.remove(0);
        let id = media.sources[0].url.replace("file:", "");
        NextItem::Play(Item { title: id.clone(), id, turn: 0, start: Duration::ZERO, media })
    }

    fn confirm(&mut self, item: Item) -> NextItem {
        NextItem::Play(item)
    }

    fn round_len(&self) -> usize {
        100
    }

    fn jump(&mut self, _: Option<u64>, _: JumpTarget) {}

    fn reload(&mut self) {}
}

/// Plays `programme`, with cache and state in `dir`; what was sent.
pub(crate) fn run(dir: &Path, programme: ProgrammeOf, sound: &SoundOptions) -> PathBuf {
    let out = dir.join("out.flv");
    let config = EngineConfig {
        ffmpeg: "ffmpeg".into(),
        ffprobe: "ffprobe".into(),
        profile: PROFILE,
        processing: Processing { sound: sound.clone(), ..Processing::default() },
        ffmpeg_args: String::new(),
        output: Output::File(out.clone()),
        read_ahead: Duration::from_secs(4),
        realtime: false,
        filler: None,
        cache_dir: dir.join("cache"),
        cache_limit: 1 << 30,
        cache_ahead: false,
        image_duration: Duration::from_secs(10),
        passthrough: programme.copy,
        state_dir: dir.join("state"),
        first_timestamp: 0,
    };
    let summary = engine::run(config, Box::new(programme), &Control::default()).unwrap();
    assert_eq!((summary.failed, summary.end), (0, RunEnd::Over));
    out
}

/// Entries in the cache of `dir`.
pub(crate) fn kept(dir: &Path) -> usize {
    tgs_playout::cache::list(&dir.join("cache")).len()
}

/// Serves a file of `dir` on loopback; its address.
pub(crate) fn serve(dir: &Path, name: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/{name}", listener.local_addr().unwrap());
    let body = fs::read(dir.join(name)).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let body = body.clone();
            // A client that goes away is no failure.
            thread::spawn(move || drop(answer(&mut stream, &body)));
        }
    });
    url
}

fn answer(stream: &mut std::net::TcpStream, body: &[u8]) -> std::io::Result<()> {
    let mut from = None;
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?.to_ascii_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.split('-').next().and_then(|from| from.parse::<usize>().ok());
        }
        if line.is_empty() {
            break;
        }
    }
    let (rest, whole) = (&body[from.unwrap_or_default().min(body.len())..], body.len());
    let status = match from {
        Some(from) => format!("206 Part\r\nContent-Range: bytes {from}-{}/{whole}", whole - 1),
        None => "200 OK".to_owned(),
    };
    let length = rest.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nAccept-Ranges: bytes\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(rest)
}
