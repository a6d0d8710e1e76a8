//! What goes through a connection of the proxy behind the heads: bytes, both ways, until one side is done.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::{ClientConnection, StreamOwned};
use tgs_core::process;

use super::{head::Answer, held::Recording};

/// A connection on which nothing moves for that long is closed: an encoder may be paused, a server may be silent.
pub(super) const IDLE: Timespec = Timespec { tv_sec: 3600, tv_nsec: 0 };

const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Bytes on their way, in each direction.
const BUFFER: usize = 32 << 10;

/// What a server said: its answer where that is one of HTTP's, and what came with it.
pub(super) type Said = (Option<Answer>, Vec<u8>);

/// Where an answer comes from: a server, or a child that speaks to one.
#[derive(Debug)]
pub(super) struct Origin {
    stream: Stream,
    /// Ends with this.
    _child: Option<process::Child>,
}

#[derive(Debug)]
enum Stream {
    Plain(OwnedFd),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Origin {
    pub(super) fn server(stream: TcpStream) -> Self {
        Self { stream: Stream::Plain(stream.into()), _child: None }
    }

    /// A server on the other side of `tls`, whose handshake is done.
    pub(super) fn tls(tls: ClientConnection, stream: TcpStream) -> Self {
        Self { stream: Stream::Tls(Box::new(StreamOwned::new(tls, stream))), _child: None }
    }

    pub(super) fn child(child: process::Child, output: OwnedFd) -> Self {
        Self { stream: Stream::Plain(output), _child: Some(child) }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Plain(fd) => Ok(rustix::io::read(fd, into)?),
            Stream::Tls(tls) => tls.read(into),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Plain(fd) => Ok(rustix::io::write(fd, bytes)?),
            Stream::Tls(tls) => tls.write(bytes),
        }
    }

    /// Whether TLS holds bytes to read that the socket does not show any more.
    fn has_unread(&mut self) -> bool {
        let Stream::Tls(tls) = &mut self.stream else { return false };
        tls.conn.process_new_packets().is_ok_and(|state| state.plaintext_bytes_to_read() > 0)
    }

    /// Whether TLS holds bytes that the socket did not take.
    fn has_unsent(&self) -> bool {
        matches!(&self.stream, Stream::Tls(tls) if tls.conn.wants_write())
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        Ok(rustix::io::ioctl_fionbio(self, true)?)
    }
}

impl AsFd for Origin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Plain(fd) => fd.as_fd(),
            Stream::Tls(tls) => tls.sock.as_fd(),
        }
    }
}

/// Bytes that go both ways until one side is done.
pub(super) struct Exchange<'a> {
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
    pub(super) filter: Option<Filter<'a>>,
}

/// Decides which of a server's bytes the client gets. An error holds the last bytes; the server's connection ends.
pub(super) type Filter<'a> = Box<dyn FnMut(&[u8]) -> Result<Vec<u8>, Vec<u8>> + 'a>;

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

impl Exchange<'_> {
    /// With what is to be sent first.
    pub(super) fn new(server: Option<Origin>, to_server: Vec<u8>, to_client: Vec<u8>) -> Self {
        Self {
            server,
            to_server: Buffer { bytes: to_server, at: 0 },
            to_client: Buffer { bytes: to_client, at: 0 },
            recording: None,
            replayed: None,
            grows: true,
            filter: None,
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
        let has_unsent = self.server.as_ref().is_some_and(Origin::has_unsent);
        of_server.set(PollFlags::OUT, has_unsent || !self.to_server.is_empty());
        let has_unread = self.to_client.is_empty() && self.server.as_mut().is_some_and(Origin::has_unread);
        // A closed server would end each wait while the client has no time for what came before.
        let server = self.server.as_ref().filter(|_| !of_server.is_empty());
        let mut fds = vec![PollFd::new(client, of_client)];
        fds.extend(server.map(|server| PollFd::new(server, of_server)));
        let time = if has_unread { &AT_ONCE } else { &IDLE };
        if poll(&mut fds, Some(time))? == 0 && !has_unread {
            return Ok(false);
        }
        let client_can = fds[0].revents();
        let mut server_can = fds.get(1).map_or(PollFlags::empty(), PollFd::revents);
        server_can.set(PollFlags::IN, has_unread || server_can.contains(PollFlags::IN));
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
        let Some(server) = &mut self.server else { return };
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
                    let passed = match &mut self.filter {
                        Some(filter) => filter(&bytes),
                        None => Ok(bytes),
                    };
                    self.to_client.bytes = passed.unwrap_or_else(|last| {
                        self.server = None;
                        last
                    });
                }
                Err(error) if is_later(&error) => {}
                Err(_) => self.server = None,
            }
        }
    }
}
