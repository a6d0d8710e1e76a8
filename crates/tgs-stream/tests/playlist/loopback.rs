//! A web site on loopback for the real yt-dlp.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc::{self, Receiver, Sender},
    thread,
};

use tempfile::TempDir;
use tgs_core::cancel::Cancel;
use tgs_stream::{resolver::Resolver, ytdlp::YtDlp};

/// Serves the files of a directory. `SITE` in a text file is replaced by the site's address.
pub(crate) struct Site {
    pub(crate) url: String,
    pub(crate) dir: TempDir,
    /// Connections to `/hold`, which are never answered.
    pub(crate) held: Receiver<TcpStream>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let dir = TempDir::new().unwrap();
        let (give, held) = mpsc::channel();
        let (root, site) = (dir.path().to_owned(), url.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (root, site, give) = (root.clone(), site.clone(), give.clone());
                // A client that disconnects is no failure.
                thread::spawn(move || drop(answer(stream, &root, &site, &give)));
            }
        });
        Self { url, dir, held }
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Makes a 2 s file of video and audio, video only (`v`), or audio only (`a`).
    pub(crate) fn clip(&self, name: &str, streams: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-y"]);
        if streams.contains('v') {
            command.args(["-f", "lavfi", "-i", "color=s=64x36:r=10:d=2"]);
        }
        if streams.contains('a') {
            command.args(["-f", "lavfi", "-i", "sine=d=2"]);
        }
        command.args(["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"]);
        if path.extension().is_some_and(|e| e == "m3u8") {
            command.args(["-hls_time", "1", "-hls_list_size", "0"]);
        } else {
            command.args(["-movflags", "faststart"]);
        }
        let done = command.arg(&path).status().expect("run ffmpeg: apt-get install ffmpeg");
        assert!(done.success(), "ffmpeg made no {name}");
        path
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.url)
    }
}

/// The values of `X-Token` and `Cookie` in a request's headers.
fn token_and_cookie(
    lines: impl Iterator<Item = std::io::Result<String>>,
) -> std::io::Result<(Option<String>, String)> {
    let (mut token, mut cookie) = (None, String::new());
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("x-token")
        {
            token = Some(value.to_owned());
        }
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("cookie")
        {
            value.clone_into(&mut cookie);
        }
    }
    Ok((token, cookie))
}

fn answer(mut stream: TcpStream, root: &Path, site: &str, hold: &Sender<TcpStream>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let (token, cookie) = token_and_cookie(lines)?;
    let path = request.split(' ').nth(1).unwrap_or("/").split('?').next().unwrap_or("/").to_owned();
    if path == "/hold" {
        let _ = hold.send(stream);
        return Ok(());
    }
    let place = path.strip_prefix("/moved/").map(|name| format!("Location: /deep/{name}\r\n"));
    // Once, and always.
    let busy =
        path.strip_prefix("/busy/").filter(|name| fs::create_dir(root.join(format!("{name}.busy"))).is_ok());
    let patience =
        busy.map(|_| 1).or_else(|| path.strip_prefix("/patience/")?.split('/').next()?.parse().ok());
    let other = place.map(|place| format!("302 Found\r\n{place}"));
    let other = other.or_else(|| Some(format!("429 Too Many Requests\r\nRetry-After: {}\r\n", patience?)));
    if let Some(head) = other {
        return stream
            .write_all(format!("HTTP/1.1 {head}Content-Length: 0\r\nConnection: close\r\n\r\n").as_bytes());
    }
    let path = path.strip_prefix("/busy").map_or(path.clone(), str::to_owned);
    let page = path.rsplit('.').next() == Some("html");
    // Files in this directory require the cookie that the page sets.
    if path.starts_with("/cookie/") && !page && cookie != "tok=abc" {
        let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return Ok(());
    }
    let (status, body) = match (path.strip_prefix("/token/"), token) {
        (Some(wanted), token) if token.as_deref() != Some(wanted) => ("403 Forbidden", Vec::new()),
        (Some(name), _) if name.contains('-') => ("200 OK", fs::read(root.join("v.mp4"))?),
        (Some(_), _) => ("200 OK", fs::read(root.join("a.m4a"))?),
        _ => match fs::read(root.join(path.trim_start_matches('/'))) {
            Ok(body) => ("200 OK", body),
            Err(_) => ("404 Not Found", Vec::new()),
        },
    };
    let kind = match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("xml") => "application/rss+xml",
        Some("m3u8") => "application/vnd.apple.mpegurl",
        Some("mp4") => "video/mp4",
        _ => "application/octet-stream",
    };
    let body = match String::from_utf8(body) {
        Ok(text) => text.replace("SITE", site).into_bytes(),
        Err(binary) => binary.into_bytes(),
    };
    let mut head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\n");
    if page {
        head.push_str("Set-Cookie: tok=abc; Path=/\r\n");
    }
    let _ = write!(head, "Content-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    if !request.starts_with("HEAD") {
        stream.write_all(&body)?;
    }
    Ok(())
}

/// The yt-dlp under test: `TGS_TEST_YTDLP`, that of `cargo xtask test` (in `TGS_TOOLS`, if set), or
/// the one in PATH.
fn yt_dlp_path() -> PathBuf {
    if let Some(path) = env::var_os("TGS_TEST_YTDLP") {
        return path.into();
    }
    let target = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools");
    let installed = env::var_os("TGS_TOOLS").map_or_else(target, PathBuf::from).join("venv/bin/yt-dlp");
    if installed.exists() {
        return installed;
    }
    tgs_core::process::find("yt-dlp").unwrap_or_else(|_| {
        panic!("{} is missing: run `cargo xtask test` once, or set TGS_TEST_YTDLP", installed.display())
    })
}

/// The extractors of this directory, where yt-dlp finds plugins and Python writes its cache.
fn plugins() -> PathBuf {
    let plugins = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugins");
    let dir = plugins.join("tgs/yt_dlp_plugins/extractor");
    fs::create_dir_all(&dir).unwrap();
    // Tests run in parallel: the file must be complete at every moment.
    let mut file = tempfile::NamedTempFile::new_in(&plugins).unwrap();
    file.write_all(include_bytes!("extractors.py")).unwrap();
    file.persist(dir.join("tgs.py")).unwrap();
    plugins
}

/// yt-dlp with the tests' extractors, for videos up to 720 lines.
pub(crate) fn yt_dlp() -> YtDlp {
    let args = format!("--no-cache-dir --plugin-dirs '{}'", plugins().display());
    YtDlp::new(yt_dlp_path(), &args, 720).unwrap()
}

pub(crate) fn resolver() -> Resolver {
    Resolver {
        ffmpeg: "ffmpeg".into(),
        ffprobe: "ffprobe".into(),
        ytdlp: yt_dlp(),
        wanted: tgs_playout::ffmpeg::probe::ProbeOptions::default(),
        cancel: Cancel::new(),
    }
}
