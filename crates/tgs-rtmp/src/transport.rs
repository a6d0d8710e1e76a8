//! An open socket with or without TLS, non-blocking, for client and server. Independent of RTMP.

use std::{
    any::Any,
    fmt,
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustix::event::PollFlags;
use rustls::Connection;

use crate::{
    fence::{FENCED_WRITE, Fence},
    socket::wait_for,
};

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
    /// Dropped before the socket: it holds a descriptor of it.
    fence: Option<Fenced>,
}

/// A fence, and the connection's registration there.
type Fenced = (Arc<dyn Fence>, Box<dyn Any + Send>);

impl Transport {
    /// A connection over `socket`, which is non-blocking.
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self::after(socket, 0)
    }

    /// A connection over `socket`, which is non-blocking and over which `written` bytes were sent.
    pub(crate) fn after(socket: TcpStream, written: u64) -> Self {
        Self { socket, tls: None, written, arrived: 0, unread: false, fence: None }
    }

    /// Puts the connection under `fence`.
    pub(crate) fn fenced_by(&mut self, fence: Arc<dyn Fence>) -> io::Result<()> {
        let limit = u32::try_from(fence.user_timeout().as_millis()).unwrap_or(u32::MAX);
        rustix::net::sockopt::set_tcp_user_timeout(&self.socket, limit)?;
        let socket = self.socket.try_clone()?;
        // A disconnect sends a reset and discards the send buffer, also while another thread polls.
        let abort = move || {
            let _ = rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
            let _ = rustix::net::connect_unspec(&socket);
        };
        let guard = fence.register(Box::new(abort));
        self.fence = Some((fence, guard));
        Ok(())
    }

    /// The most bytes that the next write may have; an error if it must not begin.
    fn admitted(fence: Option<&Fenced>) -> io::Result<usize> {
        match fence {
            None => Ok(usize::MAX),
            Some((fence, _)) if fence.may_send() => Ok(FENCED_WRITE),
            Some(_) => Err(io::ErrorKind::PermissionDenied.into()),
        }
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

    /// Whether this is a connection with TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.tls.is_some()
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
        let mut done = 0;
        let outcome = self.push_part(out, &mut done);
        out.drain(..done);
        outcome
    }

    /// The same; `done` counts the bytes of `out` that are taken.
    fn push_part(&mut self, out: &[u8], done: &mut usize) -> io::Result<bool> {
        loop {
            let written = match &mut self.tls {
                Some(tls) if tls.wants_write() => {
                    Self::admitted(self.fence.as_ref())?;
                    tls.write_tls(&mut self.socket)
                }
                _ if *done == out.len() => return Ok(true),
                Some(tls) => {
                    // One piece at a time: TLS writes all that it holds at once.
                    let most = if self.fence.is_some() { FENCED_WRITE } else { usize::MAX };
                    let end = done.saturating_add(most).min(out.len());
                    tls.writer().write_all(&out[*done..end])?;
                    *done = end;
                    continue;
                }
                None => {
                    let most = Self::admitted(self.fence.as_ref())?;
                    let end = done.saturating_add(most).min(out.len());
                    self.socket.write(&out[*done..end]).inspect(|count| *done += count)
                }
            };
            match written {
                Ok(count) => self.written += count as u64,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
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

#[cfg(test)]
mod tests {
    use std::{
        net::TcpListener,
        sync::{
            Mutex,
            atomic::{AtomicBool, Ordering},
        },
        time::Instant,
    };

    use super::*;

    /// A fence that a test opens and shuts.
    #[derive(Default)]
    struct Gate {
        shut: AtomicBool,
        abort: Mutex<Option<Box<dyn Fn() + Send>>>,
    }

    impl Fence for Gate {
        fn may_send(&self) -> bool {
            !self.shut.load(Ordering::SeqCst)
        }

        fn register(&self, abort: Box<dyn Fn() + Send>) -> Box<dyn Any + Send> {
            *self.abort.lock().unwrap() = Some(abort);
            Box::new(())
        }

        fn user_timeout(&self) -> Duration {
            Duration::from_secs(1)
        }
    }

    fn fenced() -> (Arc<Gate>, Transport, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_nonblocking(true).unwrap();
        let (gate, mut transport) = (Arc::<Gate>::default(), Transport::new(client));
        transport.fenced_by(gate.clone()).unwrap();
        (gate, transport, listener.accept().unwrap().0)
    }

    #[test]
    fn nothing_is_written_once_the_fence_is_shut() {
        let (gate, mut transport, mut server) = fenced();
        let mut out = vec![7; 3 * FENCED_WRITE];
        assert!(transport.push(&mut out).unwrap() && out.is_empty());
        server.read_exact(&mut vec![0; 3 * FENCED_WRITE]).unwrap();
        gate.shut.store(true, Ordering::SeqCst);
        out.push(8);
        let error = transport.push(&mut out).unwrap_err();
        assert_eq!((error.kind(), out), (io::ErrorKind::PermissionDenied, vec![8]));
    }

    #[test]
    fn the_abort_resets_the_connection_and_discards_what_was_not_sent() {
        let (gate, mut transport, mut server) = fenced();
        // The peer reads nothing: its window and this send buffer fill.
        let mut out = vec![7; 64 << 20];
        assert!(!transport.push(&mut out).unwrap());
        gate.abort.lock().unwrap().as_ref().unwrap()();
        let (mut read, until) = (0, Instant::now() + Duration::from_secs(10));
        let error = loop {
            assert!(Instant::now() < until, "no reset");
            match server.read(&mut [0; 4096]) {
                Ok(0) => panic!("an orderly end"),
                Ok(count) => read += count as u64,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(read < transport.written(), "{read} of {}", transport.written());
        assert!(transport.push(&mut out).is_err());
    }
}
