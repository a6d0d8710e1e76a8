//! A blocking connection of one publisher: runs a session on a socket.
//!
//! It neither listens nor starts a thread: the caller accepts the socket and reads on its thread.

use std::{
    fmt,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use rustix::event::PollFlags;

use super::{ServerConfig, ServerError, ServerEvent, ServerSession};
use crate::socket::{again, wait_for};

/// Interval at which a blocked call checks for cancellation.
const LOOK: Duration = Duration::from_millis(50);

/// Time for a refusal's reason to reach the client.
const GOODBYE: Duration = Duration::from_secs(1);

/// A publisher's connection.
pub struct ServerConnection {
    socket: TcpStream,
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
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let session = ServerSession::new(config, Instant::now());
        let buffer = vec![0; 16 * 1024].into();
        let mut connection = Self { socket, session, cancelled: Box::new(cancelled), buffer };
        match connection.next_event()? {
            ServerEvent::Publishing => Ok(connection),
            // `Publishing` is always a session's first event.
            _ => Err(ServerError::Sequence("media before publish")),
        }
    }

    /// Waits for the next event. [`ServerEvent::Ended`] is the last event; an error closes the
    /// connection.
    pub fn next_event(&mut self) -> Result<ServerEvent, ServerError> {
        let outcome = self.wait_event();
        if outcome.is_err() {
            self.close();
        }
        outcome
    }

    fn wait_event(&mut self) -> Result<ServerEvent, ServerError> {
        loop {
            let now = Instant::now();
            if let Some(event) = self.session.next_event(now)? {
                // Media that waited here while the caller was busy does not count as late.
                if !matches!(event, ServerEvent::Media(_)) {
                    self.session.check_time(now)?;
                }
                self.write()?;
                return Ok(event);
            }
            self.session.check_time(now)?;
            if (self.cancelled)() {
                return Err(ServerError::Cancelled);
            }
            let written = self.write()?;
            match self.socket.read(&mut self.buffer) {
                Ok(0) => return Err(ServerError::Closed),
                Ok(count) => self.session.receive(&self.buffer[..count], now)?,
                Err(error) if again(&error) => wait(&self.socket, !written, LOOK),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes as much as the socket accepts now. Returns whether all output is written.
    fn write(&mut self) -> Result<bool, ServerError> {
        let out = self.session.output();
        while !out.is_empty() {
            match self.socket.write(out) {
                Ok(count) => drop(out.drain(..count)),
                Err(error) if again(&error) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        self.session.output_sent();
        Ok(true)
    }

    /// Sends the remaining output and closes the socket, within a second.
    fn close(&mut self) {
        let until = Instant::now() + GOODBYE;
        while matches!(self.write(), Ok(false)) && Instant::now() < until && !(self.cancelled)() {
            wait(&self.socket, true, LOOK);
        }
        let _ = self.socket.shutdown(Shutdown::Write);
        // Closing with unread data sends a reset, which discards the reason of the refusal.
        while Instant::now() < until && !(self.cancelled)() {
            match self.socket.read(&mut self.buffer) {
                Err(error) if again(&error) => wait(&self.socket, false, LOOK),
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

impl fmt::Debug for ServerConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConnection").field("session", &self.session).finish_non_exhaustive()
    }
}

/// Waits until the socket can be read, or written if `to_write`.
fn wait(socket: &TcpStream, to_write: bool, timeout: Duration) {
    let write = if to_write { PollFlags::OUT } else { PollFlags::empty() };
    wait_for(socket, PollFlags::IN | write, timeout);
}
