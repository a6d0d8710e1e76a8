//! The socket between a process and its successor: lines of JSON, and descriptors beside them.

use std::{
    io::{self, IoSlice, IoSliceMut, Write},
    mem::MaybeUninit,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use rustix::{
    cmsg_space,
    event::{PollFd, PollFlags, Timespec, poll},
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, recvmsg, sendmsg,
    },
};
use serde::{Serialize, de::DeserializeOwned};

/// Descriptors in one message.
const MOST_DESCRIPTORS: usize = 8;

/// Larger than any message: positions name addresses of items.
const LONGEST: usize = 2 << 20;

/// How long a message may take to be written.
const WRITE_TIME_OUT: Duration = Duration::from_secs(5);

/// One end of the socket.
#[derive(Debug)]
pub(super) struct HandoverChannel {
    socket: UnixStream,
    received: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

/// Why no message was received.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChannelError {
    /// The other process has closed its end, or has ended.
    #[error("it has ended")]
    Closed,
    /// Nothing came in time.
    #[error("it did not answer in time")]
    TimedOut,
    /// The message is not understood.
    #[error("it says what this version does not understand: {0}")]
    Unknown(#[from] serde_json::Error),
    /// The socket failed.
    #[error("the socket to it failed: {0}")]
    Failed(#[from] io::Error),
}

impl HandoverChannel {
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_write_timeout(Some(WRITE_TIME_OUT))?;
        Ok(Self { socket, received: Vec::new(), descriptors: Vec::new() })
    }

    /// Sends a message, with descriptors beside its first byte.
    pub(super) fn send(&mut self, message: &impl Serialize, beside: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !beside.is_empty() && !control.push(SendAncillaryMessage::ScmRights(beside)) {
            return Err(io::Error::other("too many descriptors"));
        }
        let sent = sendmsg(&self.socket, &[IoSlice::new(&line)], &mut control, SendFlags::NOSIGNAL)?;
        (&self.socket).write_all(&line[sent..])
    }

    /// The next message, if it comes before `deadline`.
    pub(super) fn receive<T: DeserializeOwned>(&mut self, deadline: Instant) -> Result<T, ChannelError> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let rest = self.received.split_off(end + 1);
                let line = std::mem::replace(&mut self.received, rest);
                return Ok(serde_json::from_slice(&line)?);
            }
            if self.received.len() > LONGEST {
                return Err(io::Error::other("the message is too long").into());
            }
            self.read(deadline)?;
        }
    }

    /// The descriptors received so far.
    pub(super) fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.descriptors)
    }

    /// Whether the other end is closed.
    pub(super) fn is_closed(&self) -> bool {
        let mut fds = [PollFd::new(&self.socket, PollFlags::RDHUP)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok_and(|found| found > 0)
    }

    fn read(&mut self, deadline: Instant) -> Result<(), ChannelError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let limit = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        // An error is an interruption by a signal.
        if poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&limit)).unwrap_or(0) == 0 {
            return if left.is_zero() { Err(ChannelError::TimedOut) } else { Ok(()) };
        }
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; 16 << 10];
        let into = &mut [IoSliceMut::new(&mut bytes)];
        let got = recvmsg(&self.socket, into, &mut control, RecvFlags::CMSG_CLOEXEC);
        let count = match got {
            Ok(got) if got.bytes > 0 => got.bytes,
            Ok(_) | Err(rustix::io::Errno::CONNRESET) => return Err(ChannelError::Closed),
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(io::Error::from(error).into()),
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        self.received.extend_from_slice(&bytes[..count]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Read, os::fd::AsFd, thread};

    use super::*;

    fn pair() -> (HandoverChannel, HandoverChannel) {
        let (one, other) = UnixStream::pair().unwrap();
        (HandoverChannel::new(one).unwrap(), HandoverChannel::new(other).unwrap())
    }

    #[test]
    fn messages_and_descriptors_arrive_in_order() {
        let (mut one, mut other) = pair();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "handed").unwrap();
        let file = File::open(dir.path().join("a")).unwrap();
        let long = "x".repeat(1 << 20);
        let soon = || Instant::now() + Duration::from_secs(20);
        thread::scope(|threads| {
            threads.spawn(|| {
                one.send(&long, &[file.as_fd(), file.as_fd()]).unwrap();
                one.send(&"second", &[]).unwrap();
            });
            assert_eq!(other.receive::<String>(soon()).unwrap(), long);
            assert_eq!(other.receive::<String>(soon()).unwrap(), "second");
        });
        let descriptors = other.take_descriptors();
        assert_eq!(descriptors.len(), 2);
        let mut text = String::new();
        File::from(descriptors.into_iter().next().unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "handed");
    }

    #[test]
    fn silence_an_end_and_nonsense_are_told_apart() {
        let (mut one, mut other) = pair();
        let now = Instant::now();
        assert!(matches!(other.receive::<String>(now), Err(ChannelError::TimedOut)));
        assert!(!other.is_closed());
        one.send(&3, &[]).unwrap();
        assert!(matches!(
            other.receive::<String>(now + Duration::from_secs(9)),
            Err(ChannelError::Unknown(_))
        ));
        drop(one);
        assert!(matches!(other.receive::<String>(now + Duration::from_secs(9)), Err(ChannelError::Closed)));
        assert!(other.is_closed());
    }
}
