//! A small HTTP server on 127.0.0.1 for media, which fails on request as real servers do.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use anyhow::{Context, Result};

/// The response at a path; all other paths answer 404.
#[derive(Debug, Clone)]
pub enum Page {
    /// The bytes, also in ranges.
    Whole(Vec<u8>),
    /// A share of the bytes (0 to 1), then the connection closes; a request for the rest gets no
    /// answer.
    DiesAt(Vec<u8>, f64),
    /// A share of the bytes (0 to 1), then the open connection stalls.
    StallsAt(Vec<u8>, f64),
    /// The request is never answered.
    Hangs,
    /// This status line with an empty body (`403 Forbidden`).
    Refuses(&'static str),
}

/// The server. Its threads end with the test process; dropping it closes hanging connections.
#[derive(Debug)]
pub struct Web {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pages: Mutex<HashMap<&'static str, Page>>,
    requests: AtomicUsize,
    /// The other ends of the channels on which hanging connections wait.
    hanging: Mutex<Vec<mpsc::Sender<()>>>,
}

impl Web {
    /// Serves `pages` at paths with a leading slash.
    pub fn serve(pages: impl IntoIterator<Item = (&'static str, Page)>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen on 127.0.0.1")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            pages: Mutex::new(pages.into_iter().collect()),
            requests: AtomicUsize::new(0),
            hanging: Mutex::default(),
        });
        let inner = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&inner);
                thread::spawn(move || {
                    // The client may have disconnected.
                    let _ = answer(&stream, &shared);
                });
            }
        });
        Ok(Self { port, shared })
    }

    /// The URL of `path`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Puts `page` at `path` and closes hanging connections.
    pub fn set(&self, path: &'static str, page: Page) {
        self.shared.pages.lock().unwrap_or_else(PoisonError::into_inner).insert(path, page);
        self.shared.let_go();
    }

    /// Number of requests so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.shared.let_go();
    }
}

impl Shared {
    fn page(&self, path: &str) -> Option<Page> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }

    fn let_go(&self) {
        self.hanging.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Waits until [`Web::set`] or the drop of the server releases the connection.
    fn hang(&self) {
        let (end, wait) = mpsc::channel();
        self.hanging.lock().unwrap_or_else(PoisonError::into_inner).push(end);
        let _ = wait.recv();
    }
}

fn answer(mut stream: &TcpStream, shared: &Shared) -> Result<()> {
    let (path, from) = request(stream)?;
    shared.requests.fetch_add(1, Ordering::SeqCst);
    let page = shared.page(&path);
    let (bytes, share) = match &page {
        None => return Ok(write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?),
        Some(Page::Refuses(status)) => {
            return Ok(write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")?);
        }
        Some(Page::Hangs) => {
            shared.hang();
            return Ok(());
        }
        Some(Page::Whole(bytes)) => (bytes, 1.0),
        Some(Page::DiesAt(bytes, share) | Page::StallsAt(bytes, share)) => (bytes, *share),
    };
    let total = bytes.len();
    let end = (total as f64 * share) as usize;
    if from.is_some_and(|from| from >= total) {
        return Ok(write!(stream, "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n")?);
    }
    let begin = from.unwrap_or(0);
    let stalls = matches!(page, Some(Page::StallsAt(..)));
    if begin < end || stalls {
        match from {
            Some(_) => write!(
                stream,
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {begin}-{}/{total}\r\n",
                total - 1
            )?,
            None => write!(stream, "HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\n")?,
        }
        write!(stream, "Content-Length: {}\r\nConnection: close\r\n\r\n", total - begin)?;
        stream.write_all(bytes.get(begin..end).unwrap_or_default())?;
    }
    if stalls {
        shared.hang();
    }
    Ok(())
}

/// Parses the path and the first requested byte.
fn request(stream: &TcpStream) -> Result<(String, Option<usize>)> {
    let mut lines = BufReader::new(stream.take(64 * 1024)).lines();
    let first = lines.next().context("no request")??;
    let path = first.split(' ').nth(1).context("no path")?.to_owned();
    let mut from = None;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            from = range.split('-').next().and_then(|n| n.parse().ok());
        }
    }
    Ok((path, from))
}
