//! A page on loopback for yt-dlp to extract from: a film in a web page, as no version of it may fail to find.
//!
//! It serves the page alone; there is no film. The thread ends with the process.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process, thread,
    time::{Duration, Instant},
};

/// How long one client has for its whole request: the next one waits meanwhile.
const TIME: Duration = Duration::from_secs(5);

/// The page.
#[derive(Debug)]
pub(crate) struct TestPage {
    /// Where it is.
    pub(crate) url: String,
    /// What it plays.
    pub(crate) film: String,
}

impl TestPage {
    /// Serves one.
    pub(crate) fn serve() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let here = format!("http://{}", listener.local_addr()?);
        // A name of this run: an answer out of some cache would prove nothing.
        let film = format!("/film-{}.mp4", process::id());
        let body = format!(
            "<!DOCTYPE html><html><head><title>tgs</title></head><body><video src=\"{film}\"></video></body></html>\n"
        );
        let page = Self { url: format!("{here}/page.html"), film: format!("{here}{film}") };
        thread::Builder::new().name("page".into()).spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever asked may have gone again; yt-dlp's own words will tell.
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
