//! What the Unix sockets of a broadcast share: the longest path, and the loop that accepts.

use std::{
    io,
    os::unix::net::{UnixListener, UnixStream},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, poll};

use crate::http::closed_within;

/// The longest path that `sockaddr_un` holds (unix(7)), in bytes.
pub(crate) const LONGEST_PATH: usize = 107;

/// The pause after a lack of descriptors or threads.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Hands connections to `admit` until the other end of `stopped` closes. `listener` must not block.
/// Failures are logged at debug level, after `failed`.
pub(crate) fn accept_each(
    listener: &UnixListener,
    stopped: &UnixStream,
    failed: &str,
    mut admit: impl FnMut(UnixStream),
) {
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        // Errors are interruptions by signals.
        let _ = poll(&mut fds, None);
        if closed_within(stopped, Duration::ZERO) {
            return;
        }
        match listener.accept() {
            Ok((socket, _)) => admit(socket),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => {
                log::debug!("{failed}: {error}");
                if closed_within(stopped, RETRY_PAUSE) {
                    return;
                }
            }
        }
    }
}
