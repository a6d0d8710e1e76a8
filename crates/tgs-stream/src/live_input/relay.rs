//! Serves the publisher's media as FLV over a private Unix socket, which ffmpeg and ffprobe open
//! as `unix:PATH`. Each connection begins at the newest keyframe and ends with the publisher's
//! stream.

use std::{
    fs, io,
    io::Write,
    os::unix::{
        fs::{DirBuilderExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, poll};
use tgs_core::supervise::{contain, keep_running};

use super::{
    buffer::{Cursor, ReadStep},
    flv::write_flv,
    shared::SharedLive,
};
use crate::{
    http::closed_within,
    unix_socket::{LONGEST_PATH, accept_each},
};

/// Readers at once: the encoder, a probe, and a preview, each also while it is replaced.
const MOST_READERS: u32 = 6;

/// The pause between looks at a waiting reader.
const PAUSE: Duration = Duration::from_millis(100);

/// Small: nothing is decoded.
const STACK_SIZE: usize = 256 * 1024;

/// The running relay. Drop ends it and removes the socket.
#[derive(Debug)]
pub(super) struct Relay {
    path: PathBuf,
    /// Closing this end stops the threads.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

/// Why there is no relay.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The path is longer than the system allows.
    #[error("{} has {} bytes, and a socket's path at most {LONGEST_PATH}: set STATE_DIR to a shorter one",
            .0.display(), .0.as_os_str().len())]
    TooLong(PathBuf),
    /// The socket cannot be created.
    #[error("cannot create {}: {cause}", path.display())]
    Failed {
        /// The socket.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
}

impl Relay {
    /// Listens in `dir`, which only this user may enter.
    pub(super) fn start(dir: &Path, shared: &Arc<SharedLive>) -> Result<Self, RelayError> {
        let path = dir.join("media.sock");
        if path.as_os_str().len() > LONGEST_PATH {
            return Err(RelayError::TooLong(path));
        }
        let failed = |cause| RelayError::Failed { path: path.clone(), cause };
        let listener = bind(dir, &path).map_err(failed)?;
        let (stop, stopped) = UnixStream::pair().map_err(failed)?;
        let shared = Arc::clone(shared);
        let run = move || {
            let readers = Arc::new(AtomicU32::new(0));
            let wait = |delay| closed_within(&stopped, delay);
            let admit = |socket| {
                if let Err(error) = admit(socket, &shared, &readers, &stopped) {
                    log::warn!("live input: failed to serve a reader: {error}");
                }
            };
            let failed = "live input: failed to accept a reader";
            keep_running("live-relay", wait, || accept_each(&listener, &stopped, failed, admit));
        };
        let thread = thread::Builder::new().name("live-relay".into()).spawn(run).map_err(failed)?;
        Ok(Self { path, stop: Some(stop), thread: Some(thread) })
    }

    /// The URL that ffmpeg opens.
    pub(super) fn url(&self) -> String {
        format!("unix:{}", self.path.display())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.path);
    }
}

fn bind(dir: &Path, path: &Path) -> io::Result<UnixListener> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    // STATE_DIR is locked: a socket here was left by a killed process.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves a reader on a thread of its own; closes the connection if there is nothing to read.
fn admit(
    socket: UnixStream,
    shared: &Arc<SharedLive>,
    readers: &Arc<AtomicU32>,
    stopped: &UnixStream,
) -> io::Result<()> {
    if readers.load(Ordering::SeqCst) >= MOST_READERS {
        log::warn!("live input: {MOST_READERS} readers are connected; one more is refused");
        return Ok(());
    }
    let stopped = stopped.try_clone()?;
    socket.set_nonblocking(false)?;
    socket.set_write_timeout(Some(PAUSE))?;
    let Some(cursor) = shared.add_reader() else { return Ok(()) };
    readers.fetch_add(1, Ordering::SeqCst);
    let began = Instant::now();
    let reader =
        RelayReader { began, socket, shared: Arc::clone(shared), readers: Arc::clone(readers), stopped };
    // On a failure the closure is dropped, and the reader with it.
    let serve = move || drop(contain(|| reader.serve(cursor)));
    thread::Builder::new().name("live-reader".into()).stack_size(STACK_SIZE).spawn(serve).map(drop)
}

/// A connected reader; counted until it is dropped.
struct RelayReader {
    began: Instant,
    socket: UnixStream,
    shared: Arc<SharedLive>,
    readers: Arc<AtomicU32>,
    stopped: UnixStream,
}

impl Drop for RelayReader {
    fn drop(&mut self) {
        self.shared.remove_reader(self.began);
        self.readers.fetch_sub(1, Ordering::SeqCst);
    }
}

impl RelayReader {
    fn serve(&self, mut cursor: Cursor) {
        let (mut bytes, mut is_first) = (Vec::new(), true);
        loop {
            bytes.clear();
            match self.shared.read(&mut cursor, PAUSE) {
                ReadStep::Over => return,
                ReadStep::Wait if self.is_gone() => return,
                ReadStep::Wait => continue,
                ReadStep::Tags(headers, tags) => {
                    let file_header = std::mem::take(&mut is_first);
                    write_flv(&mut bytes, file_header, headers.as_ref(), &tags);
                }
            }
            if !self.write(&bytes) {
                return;
            }
        }
    }

    /// Whether the reader has hung up, or the relay ends.
    fn is_gone(&self) -> bool {
        let mut fds = [PollFd::new(&self.socket, PollFlags::RDHUP)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
            || closed_within(&self.stopped, Duration::ZERO)
    }

    /// Writes as fast as the reader reads; `false` if the reader has gone.
    fn write(&self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match (&self.socket).write(bytes) {
                Ok(count) if count > 0 => bytes = &bytes[count..],
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
                    ) =>
                {
                    if closed_within(&self.stopped, Duration::ZERO) {
                        return false;
                    }
                }
                _ => return false,
            }
        }
        true
    }
}
