//! A blocking connection of one publisher: runs a session on a socket.
//!
//! It neither listens nor starts a thread: the caller accepts the socket and reads on its thread.

use std::{
    fmt,
    net::{Shutdown, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{HandedSession, KeyCheck, PublishRefusal, ServerConfig, ServerError, ServerEvent, ServerSession};
use crate::{socket::again, stream_key::StreamKey, transport::Transport};

/// Interval at which a blocked call checks for cancellation.
const LOOK: Duration = Duration::from_millis(50);

/// Time for a refusal's reason to reach the client, and bytes that are read meanwhile.
const GOODBYE: (Duration, usize) = (Duration::from_secs(1), 4 << 20);

/// A publisher's connection.
pub struct ServerConnection {
    wire: Transport,
    session: ServerSession,
    cancelled: Box<dyn Fn() -> bool + Send>,
    buffer: Box<[u8]>,
}

impl ServerConnection {
    /// Serves `socket` until the client publishes with a key that `config` accepts. Blocks at most
    /// [`time_to_publish`](super::ServerLimits::time_to_publish); calls `cancelled` every 50 ms.
    pub fn accept(
        socket: TcpStream,
        config: ServerConfig,
        cancelled: impl Fn() -> bool + Send + 'static,
    ) -> Result<Self, ServerError> {
        Self::serve(socket, None, config, cancelled, |_| Err(PublishRefusal::Key))
    }

    /// Like [`ServerConnection::accept`] for the key that `decide` accepts instead of `config`, and
    /// over TLS if there is a `tls`.
    pub fn accept_by(
        socket: TcpStream,
        tls: Option<Arc<rustls::ServerConfig>>,
        config: ServerConfig,
        cancelled: impl Fn() -> bool + Send + 'static,
        decide: impl FnOnce(&StreamKey) -> Result<(), PublishRefusal>,
    ) -> Result<Self, ServerError> {
        Self::serve(socket, tls, ServerConfig { key: KeyCheck::Caller, ..config }, cancelled, decide)
    }

    fn serve(
        socket: TcpStream,
        tls: Option<Arc<rustls::ServerConfig>>,
        config: ServerConfig,
        cancelled: impl Fn() -> bool + Send + 'static,
        decide: impl FnOnce(&StreamKey) -> Result<(), PublishRefusal>,
    ) -> Result<Self, ServerError> {
        let session = ServerSession::new(config, Instant::now());
        let mut connection = Self::over(socket, session, cancelled)?;
        if let Some(tls) = tls {
            connection.wire.set_tls(rustls::ServerConnection::new(tls).map_err(ServerError::Tls)?);
        }
        match connection.next_event()? {
            ServerEvent::Publishing => Ok(connection),
            ServerEvent::Requested(key) => match decide(&key) {
                Ok(()) => {
                    connection.session.admit(Instant::now());
                    Ok(connection)
                }
                Err(why) => {
                    let error = connection.session.refuse(why);
                    connection.close();
                    Err(error)
                }
            },
            // One of both is always a session's first event.
            _ => Err(ServerError::Sequence("media before publish")),
        }
    }

    /// Continues the connection of a publisher that another process has handed over.
    pub fn resume(
        socket: TcpStream,
        handed: HandedSession,
        config: ServerConfig,
        cancelled: impl Fn() -> bool + Send + 'static,
    ) -> Result<Self, ServerError> {
        Self::over(socket, ServerSession::resume(config, handed, Instant::now()), cancelled)
    }

    fn over(
        socket: TcpStream,
        session: ServerSession,
        cancelled: impl Fn() -> bool + Send + 'static,
    ) -> Result<Self, ServerError> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let (wire, buffer) = (Transport::new(socket), vec![0; 16 * 1024].into());
        Ok(Self { wire, session, cancelled: Box::new(cancelled), buffer })
    }

    /// Takes a copy of the socket and the session's state out, for [`ServerConnection::resume`] in
    /// another process; drop the connection afterwards. `None` if that is not possible now, and
    /// never with TLS, whose keys stay in this process.
    pub fn hand_over(&mut self) -> Option<(TcpStream, HandedSession)> {
        if self.wire.is_secure() {
            return None;
        }
        let socket = self.wire.socket().try_clone().ok()?;
        Some((socket, self.session.hand_over()?))
    }

    /// Waits for the next event. [`ServerEvent::Ended`] is the last event; an error closes the
    /// connection.
    pub fn next_event(&mut self) -> Result<ServerEvent, ServerError> {
        loop {
            if let Some(event) = self.next_event_soon()? {
                return Ok(event);
            }
        }
    }

    /// The same, but `None` after 50 ms without an event.
    pub fn next_event_soon(&mut self) -> Result<Option<ServerEvent>, ServerError> {
        let outcome = self.wait_event(Instant::now() + LOOK);
        if outcome.is_err() {
            self.close();
        }
        outcome
    }

    /// Closes the connection because of what the publisher sends; `why` is shown to the client.
    pub fn reject(mut self, why: &str) {
        self.session.reject(why);
        self.close();
    }

    /// Lets the client close the connection after [`ServerEvent::Ended`], within a second: some
    /// clients take a close by the server for a failure.
    pub fn finish(mut self) {
        let until = Instant::now() + GOODBYE.0;
        while Instant::now() < until && !(self.cancelled)() && self.write().is_ok() {
            match self.wire.read(&mut self.buffer) {
                Err(error) if again(&error) => _ = self.wire.poll(false, LOOK),
                Ok(count) if count > 0 => {}
                Ok(_) | Err(_) => return,
            }
        }
        self.close();
    }

    fn wait_event(&mut self, until: Instant) -> Result<Option<ServerEvent>, ServerError> {
        loop {
            let now = Instant::now();
            if let Some(event) = self.session.next_event(now)? {
                // Media that waited here while the caller was busy does not count as late.
                if !matches!(event, ServerEvent::Media(_)) {
                    self.session.check_time(now)?;
                }
                self.write()?;
                return Ok(Some(event));
            }
            self.session.check_time(now)?;
            if (self.cancelled)() {
                return Err(ServerError::Cancelled);
            }
            if now >= until {
                return Ok(None);
            }
            let written = self.write()?;
            let read = self.wire.read(&mut self.buffer);
            self.session.count(self.wire.take_arrived(), now)?;
            match read {
                Ok(0) => return Err(ServerError::Closed),
                Ok(count) => self.session.feed(&self.buffer[..count])?,
                Err(error) if again(&error) => {
                    // The answer to a part of TLS's handshake is written first.
                    if !written || !self.wire.has_output() {
                        self.wire.poll(!written, LOOK);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes as much as the socket accepts now. Returns whether all output is written.
    fn write(&mut self) -> Result<bool, ServerError> {
        let written = self.wire.push(self.session.output())?;
        if written {
            self.session.output_sent();
        }
        Ok(written)
    }

    /// Sends the remaining output and closes the socket, within a second.
    fn close(&mut self) {
        let (until, mut left) = (Instant::now() + GOODBYE.0, GOODBYE.1);
        while matches!(self.write(), Ok(false)) && Instant::now() < until && !(self.cancelled)() {
            self.wire.poll(true, LOOK);
        }
        self.wire.shutdown();
        // Closing with unread data sends a reset, which discards the reason of the refusal.
        while Instant::now() < until && !(self.cancelled)() {
            match self.wire.read(&mut self.buffer) {
                Err(error) if again(&error) => _ = self.wire.poll(false, LOOK),
                Ok(count) if (1..left).contains(&count) => left -= count,
                Ok(_) | Err(_) => break,
            }
        }
        let _ = self.wire.socket().shutdown(Shutdown::Both);
    }
}

impl fmt::Debug for ServerConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConnection").field("session", &self.session).finish_non_exhaustive()
    }
}
