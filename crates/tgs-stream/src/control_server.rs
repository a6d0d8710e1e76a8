//! The control socket: steers the broadcast, and shows it, to the members of its group.
//!
//! One thread accepts, one serves each connection. `connections` bounds their number, `lines` the
//! size and time of a message, `subscribers` the notifications that wait. Nothing here is waited
//! for by the broadcast. The protocol is [`tgs_control::method`]; `answer` executes it.

mod answer;
mod connection;
mod connections;
mod lines;
mod recordings;
mod sender;
mod subscribers;
mod watch;

use std::{
    fs, io,
    os::{
        fd::AsFd,
        unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
};

use tgs_core::{cancel::Cancel, supervise::keep_running};

use self::connections::ControlConnections;
pub(crate) use self::{answer::Answers, recordings::RecordingReads, subscribers::Subscribers};
use crate::{
    http::closed_within,
    unix_socket::{LONGEST_PATH, accept_each},
    upgrade::HandedDescriptor,
};

/// The running server. Drop closes all connections and removes the socket.
#[derive(Debug)]
pub(crate) struct ControlServer {
    path: PathBuf,
    /// Closing this end stops the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
    /// Once set, another process listens there.
    handed_over: Cancel,
}

/// Why there is no control socket. The broadcast runs without it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    /// The path is longer than the system allows.
    #[error("{} has {} bytes, and a socket's path at most {LONGEST_PATH}: set CONTROL_SOCKET to a shorter one",
            .0.display(), .0.as_os_str().len())]
    TooLong(PathBuf),
    /// Another process listens there.
    #[error("{} belongs to another running process: set CONTROL_SOCKET to another path", .0.display())]
    InUse(PathBuf),
    /// Something other than a socket is in its place.
    #[error("{} exists and is no socket: remove it, or set CONTROL_SOCKET to another path", .0.display())]
    NoSocket(PathBuf),
    /// The socket cannot be created.
    #[error("cannot create {}: {source}", .path.display())]
    Failed {
        /// The socket.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl ControlServer {
    /// Listens at `path` and answers requests from `answers`. `handed` is the listener of the
    /// process whose place this one takes.
    pub(crate) fn start(
        path: &Path,
        answers: Answers,
        handed: Option<UnixListener>,
    ) -> Result<Self, SocketError> {
        let failed = |source| SocketError::Failed { path: path.to_owned(), source };
        let listener = handed.filter(|handed| is_at(handed, path)).map_or_else(|| bind(path), Ok)?;
        answers.upgrade.keep(HandedDescriptor::Control, listener.as_fd());
        let handed_over = answers.upgrade.handed_over();
        let (stop, stopped) = UnixStream::pair().map_err(failed)?;
        let answers = Arc::new(answers);
        watch_state(&answers);
        let run = move || {
            let connections = Arc::new(ControlConnections::default());
            let failed = "failed to accept a connection to the control socket";
            let admit = |socket| {
                let answers = Arc::clone(&answers);
                connections.admit(socket, move |served| connection::serve(served, &answers));
            };
            keep_running(
                "control",
                |delay| closed_within(&stopped, delay),
                || accept_each(&listener, &stopped, failed, admit),
            );
            connections.close_all();
        };
        let thread = thread::Builder::new().name("control".into()).spawn(run).map_err(failed)?;
        log::info!("control socket: {}", path.display());
        Ok(Self { path: path.to_owned(), stop: Some(stop), thread: Some(thread), handed_over })
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if !self.handed_over.is_cancelled() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Publishes changes of the state until the broadcast is over.
fn watch_state(answers: &Arc<Answers>) {
    let (answers, over) = (Arc::clone(answers), answers.control.stopped());
    let run = move || keep_running("control-watch", |delay| over.wait(delay), || watch::run(&answers, &over));
    if let Err(error) = thread::Builder::new().name("control-watch".into()).spawn(run) {
        log::warn!("subscribers of the control socket see no state: failed to start a thread: {error}");
    }
}

/// Creates the socket. The umask of the service keeps it from others until its mode is set.
/// Whether `handed` listens at `path`. If CONTROL_SOCKET has changed since, its own is removed.
fn is_at(handed: &UnixListener, path: &Path) -> bool {
    let at = handed.local_addr();
    let Some(at) = at.as_ref().ok().and_then(|at| at.as_pathname()) else { return false };
    if at != path {
        let _ = fs::remove_file(at);
    }
    at == path
}

fn bind(path: &Path) -> Result<UnixListener, SocketError> {
    if path.as_os_str().len() > LONGEST_PATH {
        return Err(SocketError::TooLong(path.to_owned()));
    }
    let failed = |source| SocketError::Failed { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(found) => {
            use std::os::unix::fs::FileTypeExt;
            if !found.file_type().is_socket() {
                return Err(SocketError::NoSocket(path.to_owned()));
            }
            if UnixStream::connect(path).is_ok() {
                return Err(SocketError::InUse(path.to_owned()));
            }
            // Left by a killed process.
            fs::remove_file(path).map_err(failed)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(failed)?;
    // accept must not block on a client that has disconnected since poll.
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_the_process_before_is_used_at_its_own_path_and_removed_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let (own, other) = (dir.path().join("a.sock"), dir.path().join("b.sock"));
        let listener = UnixListener::bind(&own).unwrap();
        assert!(is_at(&listener, &own) && own.exists());
        assert!(!is_at(&listener, &other) && !own.exists());
    }
}
