//! `tiny_http` behind a private socket, one request at a time. `acceptor.rs` limits the clients.

use std::{
    io::{self, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tempfile::TempDir;
use tiny_http::Server;

use super::request::{self, status_only};

/// The time limit for a page, which is made from memory.
const PAGE_TIME_OUT: Duration = Duration::from_secs(10);

/// `tiny_http` on a socket in a directory that only this user can enter.
#[derive(Debug)]
pub(super) struct Backend {
    dir: TempDir,
    current: Mutex<BackendServer>,
    /// Serialises requests: `tiny_http` starts a thread per connection.
    serial: Mutex<()>,
}

struct BackendServer {
    server: Arc<Server>,
    socket: PathBuf,
    count: u64,
}

impl Backend {
    pub(super) fn new(state_dir: &Path) -> io::Result<Self> {
        let make = |dir: &Path| {
            let dir = tempfile::Builder::new().prefix("tgs-pages-").tempdir_in(dir)?;
            let current = BackendServer::new(dir.path(), 0)?;
            Ok(Self { dir, current: Mutex::new(current), serial: Mutex::new(()) })
        };
        // A socket's path is limited to 107 bytes, which a state directory may exceed.
        make(&std::env::temp_dir()).or_else(|_: io::Error| make(state_dir))
    }

    fn current(&self) -> MutexGuard<'_, BackendServer> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn server(&self) -> Arc<Server> {
        Arc::clone(&self.current().server)
    }

    /// Replaces a server that no longer accepts.
    pub(super) fn renew(&self) -> io::Result<()> {
        let mut current = self.current();
        *current = BackendServer::new(self.dir.path(), current.count.wrapping_add(1))?;
        Ok(())
    }

    /// The complete answer for the client.
    pub(super) fn answer(&self, request: &request::HttpRequest) -> Vec<u8> {
        let answer = self.ask(request).unwrap_or_else(|e| {
            log::debug!("failed to make the page {}: {e}", request.target);
            status_only(503)
        });
        let close = if request.close { "Connection: close\r\n" } else { "" };
        // After the status line; its version is that of the client's connection.
        match answer.iter().position(|byte| *byte == b'\n') {
            Some(end) if answer.starts_with(b"HTTP/1.0 ") => {
                [b"HTTP/1.1", &answer[8..=end], close.as_bytes(), &answer[end + 1..]].concat()
            }
            _ => answer,
        }
    }

    fn ask(&self, request: &request::HttpRequest) -> io::Result<Vec<u8>> {
        let _serial = self.serial.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stream = UnixStream::connect(&self.current().socket)?;
        stream.set_read_timeout(Some(PAGE_TIME_OUT))?;
        stream.set_write_timeout(Some(PAGE_TIME_OUT))?;
        stream.write_all(format!("{} {} HTTP/1.0\r\n\r\n", request.method, request.target).as_bytes())?;
        let mut answer = Vec::new();
        // The answer ends with the connection; it is ours, so its length is bounded.
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

impl BackendServer {
    fn new(dir: &Path, count: u64) -> io::Result<Self> {
        let socket = dir.join(count.to_string());
        let server = Server::from_listener(UnixListener::bind(&socket)?, None).map_err(io::Error::other)?;
        Ok(Self { server: Arc::new(server), socket, count })
    }
}

impl std::fmt::Debug for BackendServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("BackendServer").field(&self.socket).finish()
    }
}
