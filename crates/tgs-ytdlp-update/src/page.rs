//! A test page on loopback with a video that every working yt-dlp extracts.
//!
//! Serves only the page, not the video. The thread ends with the process.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process, thread,
    time::{Duration, Instant},
};

/// Time limit for one request; requests are served one at a time.
const TIME: Duration = Duration::from_secs(5);

/// A running test page.
#[derive(Debug)]
pub(crate) struct TestPage {
    /// The URL of the page.
    pub(crate) url: String,
    /// The URL of the video.
    pub(crate) film: String,
}

impl TestPage {
    /// Starts serving a page on a free port.
    pub(crate) fn serve() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let here = format!("http://{}", listener.local_addr()?);
        // Unique to this run, so that a cached answer cannot pass the test.
        let film = format!("/film-{}.mp4", process::id());
        let body = format!(
            "<!DOCTYPE html><html><head><title>tgs</title></head><body><video src=\"{film}\"></video></body></html>\n"
        );
        let page = Self { url: format!("{here}/page.html"), film: format!("{here}{film}") };
        thread::Builder::new().name("page".into()).spawn(move || {
            for stream in listener.incoming().flatten() {
                // A failed answer appears in yt-dlp's own result.
                let _ = answer(stream, &body);
            }
        })?;
        Ok(page)
    }
}

fn answer(mut stream: TcpStream, body: &str) -> io::Result<()> {
    let end = Instant::now() + TIME;
    stream.set_write_timeout(Some(TIME))?;
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < 64 * 1024 {
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk)? {
            _ if Instant::now() >= end => return Err(io::ErrorKind::TimedOut.into()),
            0 => return Ok(()),
            n => request.extend_from_slice(&chunk[..n]),
        }
    }
    let (length, body) = (body.len(), if request.starts_with(b"HEAD ") { "" } else { body });
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}
