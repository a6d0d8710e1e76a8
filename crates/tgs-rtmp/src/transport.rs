//! An open socket with or without TLS, non-blocking, for client and server. Independent of RTMP.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use rustix::event::PollFlags;
use rustls::Connection;

use crate::socket::wait_for;

/// Limit of socket reads per call without TLS data: a peer may send empty records endlessly.
const RECORDS: usize = 16;

/// An open connection.
pub(crate) struct Transport {
    socket: TcpStream,
    tls: Option<Box<Connection>>,
    written: u64,
    /// Bytes received from the network since the last [`Transport::take_arrived`].
    arrived: usize,
    /// TLS may hold data that `poll` on the socket does not show.
    unread: bool,
}

impl Transport {
    /// A connection over `socket`, which is non-blocking.
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self::after(socket, 0)
    }

    /// A connection over `socket`, which is non-blocking and over which `written` bytes were sent.
    pub(crate) fn after(socket: TcpStream, written: u64) -> Self {
        Self { socket, tls: None, written, arrived: 0, unread: false }
    }

    /// Begins TLS; its handshake happens in [`Transport::read`] and [`Transport::push`].
    pub(crate) fn set_tls(&mut self, tls: impl Into<Connection>) {
        let mut tls = tls.into();
        tls.set_buffer_limit(None);
        self.tls = Some(Box::new(tls));
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Whether the handshake of TLS is incomplete.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// Whether TLS has bytes to send that no caller has written.
    pub(crate) fn has_output(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Interprets what [`Transport::read_tls`] has received.
    pub(crate) fn advance_tls(&mut self) -> Result<(), rustls::Error> {
        self.tls.as_mut().map_or(Ok(()), |tls| tls.process_new_packets().map(|_| ()))
    }

    /// Receives bytes of TLS; 0 at the end, or without TLS.
    pub(crate) fn read_tls(&mut self) -> io::Result<usize> {
        self.tls.as_mut().map_or(Ok(0), |tls| tls.read_tls(&mut self.socket))
    }

    /// Writes as much of `out` as the socket accepts and removes that part. Returns whether
    /// everything is written, including data held by TLS.
    pub(crate) fn push(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else {
            let mut done = 0;
            let outcome = loop {
                if done == out.len() {
                    break Ok(true);
                }
                match self.socket.write(&out[done..]) {
                    Ok(n) => done += n,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break Ok(false),
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => break Err(e),
                }
            };
            self.written += done as u64;
            out.drain(..done);
            return outcome;
        };
        tls.writer().write_all(out)?;
        out.clear();
        while tls.wants_write() {
            match tls.write_tls(&mut self.socket) {
                Ok(n) => self.written += n as u64,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    /// Reads received data: `WouldBlock` if none has arrived, 0 if the peer has closed.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.socket.read(buffer).inspect(|count| self.arrived += count);
        };
        self.unread = false;
        for _ in 0..RECORDS {
            match tls.reader().read(buffer) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Ok(count) => {
                    self.unread = count == buffer.len();
                    return Ok(count);
                }
                Err(e) => return Err(e),
            }
            let count = tls.read_tls(&mut self.socket)?;
            // Treats a close without `close_notify` as a normal end.
            if count == 0 {
                return Ok(0);
            }
            self.arrived += count;
            tls.process_new_packets().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Bytes received from the network since the last call, including TLS overhead.
    pub(crate) fn take_arrived(&mut self) -> usize {
        std::mem::take(&mut self.arrived)
    }

    /// Waits at most `timeout` until the socket is readable, or with `to_write` also writable.
    /// Returns whether it is ready.
    pub(crate) fn poll(&self, to_write: bool, timeout: Duration) -> bool {
        if self.unread {
            return true;
        }
        let write = if to_write { PollFlags::OUT } else { PollFlags::empty() };
        wait_for(&self.socket, PollFlags::IN | write, timeout)
    }

    /// Shuts down the sending side.
    pub(crate) fn shutdown(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            // Best effort: nothing depends on the arrival of `close_notify`.
            let _ = tls.write_tls(&mut self.socket);
        }
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("socket", &self.socket).finish_non_exhaustive()
    }
}
