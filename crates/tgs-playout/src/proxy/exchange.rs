//! What goes through a connection of the proxy behind the heads: bytes, both ways, until one side is done.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tgs_core::process;

use super::{head::Answer, held::Recording};

/// A connection on which nothing moves for that long is closed: an encoder may be paused, a server may be silent.
pub(super) const IDLE: Timespec = Timespec { tv_sec: 3600, tv_nsec: 0 };

/// Bytes on their way, in each direction.
const BUFFER: usize = 32 << 10;

/// What a server said: its answer where that is one of HTTP's, and what came with it.
pub(super) type Said = (Option<Answer>, Vec<u8>);

/// Where an answer comes from: a server, or a child that speaks to one.
#[derive(Debug)]
pub(super) struct Origin {
    fd: OwnedFd,
    /// Ends with this.
    _child: Option<process::Child>,
}

impl Origin {
    pub(super) fn server(stream: TcpStream) -> Self {
        Self { fd: stream.into(), _child: None }
    }

    pub(super) fn child(child: process::Child, output: OwnedFd) -> Self {
        Self { fd: output, _child: Some(child) }
    }

    pub(super) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&self.fd, into)?)
    }

    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(&self.fd, bytes)?)
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        Ok(rustix::io::ioctl_fionbio(&self.fd, true)?)
    }
}

impl AsFd for Origin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Bytes that go both ways until one side is done.
pub(super) struct Exchange {
    /// `None` once it has closed.
    pub(super) server: Option<Origin>,
    to_server: Buffer,
    to_client: Buffer,
    /// What has come so far.
    pub(super) recording: Option<Recording>,
    /// How much of the recording the client has been given, where it gets it from the beginning.
    pub(super) replayed: Option<u64>,
    /// Whether what comes now is recorded too.
    pub(super) grows: bool,
}

#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    at: usize,
}

impl Buffer {
    fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Reads anew into it, which must be empty; how much came.
    fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        self.bytes.resize(BUFFER, 0);
        self.at = 0;
        let count = read(&mut self.bytes);
        self.bytes.truncate(*count.as_ref().unwrap_or(&0));
        count
    }

    fn drain_into(&mut self, write: impl FnOnce(&[u8]) -> io::Result<usize>) -> io::Result<()> {
        match write(&self.bytes[self.at..]) {
            Ok(n) => self.at += n,
            Err(error) if is_later(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

impl Exchange {
    /// With what is to be sent first.
    pub(super) fn new(server: Option<Origin>, to_server: Vec<u8>, to_client: Vec<u8>) -> Self {
        Self {
            server,
            to_server: Buffer { bytes: to_server, at: 0 },
            to_client: Buffer { bytes: to_client, at: 0 },
            recording: None,
            replayed: None,
            grows: true,
        }
    }

    /// Takes bytes of the body that came with the head.
    pub(super) fn came(&mut self, bytes: &[u8]) {
        self.record(bytes);
        self.to_client.bytes.extend_from_slice(bytes);
    }

    fn record(&mut self, bytes: &[u8]) {
        if self.grows {
            self.recording.take_if(|recording| !recording.push(bytes));
        }
    }

    /// Runs until the client goes away, or has all that the server sent.
    pub(super) fn run(&mut self, client: &TcpStream) {
        let servers = self.server.as_ref().map_or(Ok(()), Origin::set_nonblocking);
        if client.set_nonblocking(true).is_err() || servers.is_err() {
            return;
        }
        while self.step(client).unwrap_or(false) {}
        let _ = client.shutdown(Shutdown::Both);
    }

    /// Moves what can be moved; `false` at the end. An error is the client's.
    fn step(&mut self, mut client: &TcpStream) -> io::Result<bool> {
        self.refill()?;
        if self.to_client.is_empty() && self.server.is_none() {
            return Ok(false);
        }
        let mut of_client = PollFlags::RDHUP;
        of_client.set(PollFlags::IN, self.to_server.is_empty());
        of_client.set(PollFlags::OUT, !self.to_client.is_empty());
        let mut of_server = PollFlags::empty();
        of_server.set(PollFlags::IN, self.to_client.is_empty());
        of_server.set(PollFlags::OUT, !self.to_server.is_empty());
        // A closed server would end each wait while the client has no time for what came before.
        let server = self.server.as_ref().filter(|_| !of_server.is_empty());
        let mut fds = vec![PollFd::new(client, of_client)];
        fds.extend(server.map(|server| PollFd::new(server, of_server)));
        if poll(&mut fds, Some(&IDLE))? == 0 {
            return Ok(false);
        }
        let client_can = fds[0].revents();
        let server_can = fds.get(1).map_or(PollFlags::empty(), PollFd::revents);
        if client_can.intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR) {
            return Ok(false);
        }
        if client_can.contains(PollFlags::OUT) {
            self.to_client.drain_into(|bytes| client.write(bytes))?;
        }
        if client_can.contains(PollFlags::IN) && self.to_server.is_empty() {
            self.to_server
                .fill(|into| client.read(into))
                .or_else(|e| if is_later(&e) { Ok(1) } else { Err(e) })?;
        }
        if !server_can.is_empty() {
            self.exchange_with_server(server_can);
        }
        Ok(true)
    }

    /// What was recorded goes to the client before what still comes.
    fn refill(&mut self) -> io::Result<()> {
        if let (true, Some(at), Some(recording)) = (self.to_client.is_empty(), self.replayed, &self.recording)
        {
            let count = self.to_client.fill(|into| recording.read(at, into))?;
            self.replayed = Some(at + count as u64).filter(|_| count > 0);
        }
        Ok(())
    }

    fn exchange_with_server(&mut self, can: PollFlags) {
        let Some(server) = &self.server else { return };
        if can.contains(PollFlags::OUT) && self.to_server.drain_into(|bytes| server.write(bytes)).is_err() {
            self.server = None;
            return;
        }
        if can.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) && self.to_client.is_empty() {
            match self.to_client.fill(|into| server.read(into)) {
                Ok(0) => self.server = None,
                Ok(_) => {
                    let bytes = std::mem::take(&mut self.to_client.bytes);
                    self.record(&bytes);
                    self.to_client.bytes = bytes;
                }
                Err(error) if is_later(&error) => {}
                Err(_) => self.server = None,
            }
        }
    }
}
