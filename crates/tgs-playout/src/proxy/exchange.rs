//! Copies bytes both ways between a client and a server until one side ends. Reads no heads.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::{ClientConnection, StreamOwned};
use tgs_core::process;

use super::{head::ResponseHead, spool::Spool};

/// Time limit without a byte: an encoder may be paused, and a server silent.
pub(super) const IDLE: Timespec = Timespec { tv_sec: 3600, tv_nsec: 0 };

const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Size of the buffer for each direction.
const BUFFER: usize = 32 << 10;

/// A server's response, if it is HTTP, and the bytes that came with its head.
pub(super) type UpstreamReply = (Option<ResponseHead>, Vec<u8>);

/// The source of a response: a server, or a child that reads from one.
#[derive(Debug)]
pub(super) struct Upstream {
    stream: UpstreamStream,
    /// Killed when this is dropped.
    _child: Option<process::Child>,
}

#[derive(Debug)]
enum UpstreamStream {
    Plain(OwnedFd),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Upstream {
    pub(super) fn server(stream: TcpStream) -> Self {
        Self { stream: UpstreamStream::Plain(stream.into()), _child: None }
    }

    /// A server behind `tls`, after the handshake.
    pub(super) fn tls(tls: ClientConnection, stream: TcpStream) -> Self {
        Self { stream: UpstreamStream::Tls(Box::new(StreamOwned::new(tls, stream))), _child: None }
    }

    pub(super) fn child(child: process::Child, output: OwnedFd) -> Self {
        Self { stream: UpstreamStream::Plain(output), _child: Some(child) }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.stream {
            UpstreamStream::Plain(fd) => Ok(rustix::io::read(fd, into)?),
            UpstreamStream::Tls(tls) => tls.read(into),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.stream {
            UpstreamStream::Plain(fd) => Ok(rustix::io::write(fd, bytes)?),
            UpstreamStream::Tls(tls) => tls.write(bytes),
        }
    }

    /// Whether TLS holds decrypted bytes, which a poll of the socket does not show.
    fn has_unread(&mut self) -> bool {
        let UpstreamStream::Tls(tls) = &mut self.stream else { return false };
        tls.conn.process_new_packets().is_ok_and(|state| state.plaintext_bytes_to_read() > 0)
    }

    /// Whether TLS holds bytes that the socket has not taken.
    fn has_unsent(&self) -> bool {
        matches!(&self.stream, UpstreamStream::Tls(tls) if tls.conn.wants_write())
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        Ok(rustix::io::ioctl_fionbio(self, true)?)
    }
}

impl AsFd for Upstream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            UpstreamStream::Plain(fd) => fd.as_fd(),
            UpstreamStream::Tls(tls) => tls.sock.as_fd(),
        }
    }
}

/// A connection of a client through the proxy.
pub(super) struct Exchange<'a> {
    /// `None` after its end.
    pub(super) server: Option<Upstream>,
    to_server: CopyBuffer,
    to_client: CopyBuffer,
    /// The beginning of the body.
    pub(super) spool: Option<Spool>,
    /// Bytes of the spool that the client has, while it gets the spool.
    pub(super) replay_at: Option<u64>,
    /// Whether new bytes go into the spool.
    pub(super) records: bool,
    pub(super) filter: Option<ByteFilter<'a>>,
}

/// Decides which of a server's bytes the client gets. An error holds the last bytes before the end.
pub(super) type ByteFilter<'a> = Box<dyn FnMut(&[u8]) -> Result<Vec<u8>, Vec<u8>> + 'a>;

#[derive(Default)]
struct CopyBuffer {
    bytes: Vec<u8>,
    at: usize,
}

impl CopyBuffer {
    fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Refills the empty buffer; returns the number of bytes read.
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
            Err(error) if is_transient(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

impl Exchange<'_> {
    /// An exchange with the bytes to send first to either side.
    pub(super) fn new(server: Option<Upstream>, to_server: Vec<u8>, to_client: Vec<u8>) -> Self {
        Self {
            server,
            to_server: CopyBuffer { bytes: to_server, at: 0 },
            to_client: CopyBuffer { bytes: to_client, at: 0 },
            spool: None,
            replay_at: None,
            records: true,
            filter: None,
        }
    }

    /// Adds bytes of the body that came with the head.
    pub(super) fn push_body(&mut self, bytes: &[u8]) {
        self.record(bytes);
        self.to_client.bytes.extend_from_slice(bytes);
    }

    fn record(&mut self, bytes: &[u8]) {
        if self.records {
            self.spool.take_if(|spool| !spool.push(bytes));
        }
    }

    /// Runs until the client closes, or has received everything that the server sent.
    pub(super) fn run(&mut self, client: &TcpStream) {
        let prepared = self.server.as_ref().map_or(Ok(()), Upstream::set_nonblocking);
        if client.set_nonblocking(true).is_err() || prepared.is_err() {
            return;
        }
        while self.step(client).unwrap_or(false) {}
        let _ = client.shutdown(Shutdown::Both);
    }

    /// Copies what is ready; `false` at the end. An error is the client's.
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
        let has_unsent = self.server.as_ref().is_some_and(Upstream::has_unsent);
        of_server.set(PollFlags::OUT, has_unsent || !self.to_server.is_empty());
        let has_unread = self.to_client.is_empty() && self.server.as_mut().is_some_and(Upstream::has_unread);
        // A poll of a closed server would return at once while the client has not read everything.
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
                .or_else(|e| if is_transient(&e) { Ok(1) } else { Err(e) })?;
        }
        if !server_can.is_empty() {
            self.exchange_with_server(server_can);
        }
        Ok(true)
    }

    /// Fills the client's buffer from the spool, which precedes new bytes.
    fn refill(&mut self) -> io::Result<()> {
        if let (true, Some(at), Some(spool)) = (self.to_client.is_empty(), self.replay_at, &self.spool) {
            let count = self.to_client.fill(|into| spool.read(at, into))?;
            self.replay_at = Some(at + count as u64).filter(|_| count > 0);
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
                Err(error) if is_transient(&error) => {}
                Err(_) => self.server = None,
            }
        }
    }
}
