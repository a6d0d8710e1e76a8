//! Waiting on a non-blocking socket, for client and server.

use std::{io, os::fd::AsFd, time::Duration};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Whether the call can be repeated: the socket was not ready, or a signal interrupted the call.
pub(crate) fn again(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Waits until the socket is ready for one of `flags`; `false` after `timeout`.
pub(crate) fn wait_for(socket: &impl AsFd, flags: PollFlags, timeout: Duration) -> bool {
    let timeout =
        Timespec { tv_sec: timeout.as_secs().cast_signed(), tv_nsec: timeout.subsec_nanos().into() };
    // `poll` fails only when a signal interrupts it; the caller polls again.
    poll(&mut [PollFd::new(socket, flags)], Some(&timeout)).is_ok_and(|ready| ready > 0)
}
