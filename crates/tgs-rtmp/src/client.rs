//! A blocking RTMP or RTMPS connection that publishes. It sends the same bytes as ffmpeg, which
//! existing servers are known to accept.
//!
//! It neither reconnects nor paces, and is used by one thread.

mod acked;
mod dial;
mod error;
pub(crate) mod session;
mod transport;

use std::{
    fmt, io,
    sync::Arc,
    time::{Duration, Instant},
};

pub use self::dial::{Deadline, Dial, DirectDialler};
pub use self::error::{
    CertificateProblem, ConnectionLost, LookupProblem, NotRtmp, OpenError, OpenStage, TlsError,
};
pub use self::session::{SERVER_BYTES, SERVER_MESSAGES};
use self::{
    dial::{Cancelled, LOOK},
    session::{PublishSession, Refusal, SessionStep},
    transport::{Transport, closed_or_broken},
};
pub use crate::{
    fence::Fence,
    limits::{Excess, Rate},
};
use crate::{
    flv::{Kind, Tag},
    handshake,
    metadata::Metadata,
    socket::again,
    url::RtmpUrl,
};

/// A connection that transfers less than [`PROGRESS`] in this time is closed.
const STALL: Duration = Duration::from_secs(10);

/// Bytes, counted when written and again when acknowledged. 1 Mbit/s moves twenty times as much.
const PROGRESS: u64 = 128 * 1024;

/// Time limit for sending all queued data, at any rate.
const FLUSH: Duration = Duration::from_secs(45);

/// Reads per pass before other work is done: at most 64 kB.
const READS: usize = 16;

/// Time limit for ending the stream.
const GOODBYE: Duration = Duration::from_secs(1);

/// A connection that can publish media.
pub struct RtmpConnection {
    wire: Transport,
    session: PublishSession,
    cancelled: Cancelled,
    buffer: Box<[u8]>,
    usable: bool,
}

/// Checks that the server of `target` is reachable by `dialler`: DNS, TCP and, for `rtmps`, TLS
/// with a valid certificate. Sends no RTMP and no part of the key. `timeout` covers all steps.
pub fn reach(
    dialler: &dyn Dial,
    target: &RtmpUrl,
    cancelled: impl Fn() -> bool + Send + Sync + 'static,
    timeout: Duration,
) -> Result<(), OpenError> {
    let cancelled: Cancelled = Arc::new(cancelled);
    let deadline = Deadline { at: Instant::now() + timeout, cancelled: &cancelled };
    let mut wire = Transport::connect(dialler, &target.host, target.port, deadline)?;
    if target.tls {
        wire.start_tls(&target.host, deadline)?;
    }
    wire.shutdown();
    Ok(())
}

impl RtmpConnection {
    /// Connects, publishes and sends `metadata`. `timeout` covers all steps; `cancelled` is called
    /// every 50 ms, here and in each later blocking call.
    pub fn open(
        target: &RtmpUrl,
        metadata: &Metadata,
        cancelled: impl Fn() -> bool + Send + Sync + 'static,
        timeout: Duration,
    ) -> Result<Self, OpenError> {
        Self::open_by(&DirectDialler, target, metadata, cancelled, timeout)
    }

    /// Like [`RtmpConnection::open`], over a connection that `dialler` opens. Where it leads
    /// through a proxy, what the proxy has acknowledged may not have arrived.
    pub fn open_by(
        dialler: &dyn Dial,
        target: &RtmpUrl,
        metadata: &Metadata,
        cancelled: impl Fn() -> bool + Send + Sync + 'static,
        timeout: Duration,
    ) -> Result<Self, OpenError> {
        let cancelled: Cancelled = Arc::new(cancelled);
        let deadline = Deadline { at: Instant::now() + timeout, cancelled: &cancelled };
        let mut connection = match Self::open_once(target, dialler, deadline) {
            Err(OpenFailure::Redirect(to)) => Self::follow(target, &to, dialler, deadline)?,
            Err(OpenFailure::Error(error)) => return Err(error),
            Ok(connection) => connection,
        };
        connection.session.metadata(metadata);
        connection
            .flush_until(deadline.at)
            .map_err(|broken| OpenError::Broken { stage: OpenStage::Publish, broken })?;
        Ok(connection)
    }

    fn follow(
        target: &RtmpUrl,
        to: &str,
        dialler: &dyn Dial,
        deadline: Deadline<'_>,
    ) -> Result<Self, OpenError> {
        let new = target.redirected(to).map_err(OpenError::RedirectTarget)?;
        log::info!("the server redirects to {new}");
        if target.is_tls() && !new.is_tls() {
            return Err(OpenError::Redirect {
                to: new.to_string(),
                reason: "it would send the key unencrypted",
            });
        }
        match Self::open_once(&new, dialler, deadline) {
            Ok(connection) => Ok(connection),
            Err(OpenFailure::Error(error)) => Err(error),
            Err(OpenFailure::Redirect(_)) => {
                Err(OpenError::Redirect { to: new.to_string(), reason: "that server redirects once more" })
            }
        }
    }

    fn open_once(target: &RtmpUrl, dialler: &dyn Dial, deadline: Deadline<'_>) -> Result<Self, OpenFailure> {
        let mut wire = Transport::connect(dialler, &target.host, target.port, deadline)?;
        if target.tls {
            wire.start_tls(&target.host, deadline)?;
        }
        let first = shake_hands(&mut wire, deadline)?;
        let mut session = PublishSession::new(target.clone());
        session.out.splice(0..0, first);
        let mut connection = Self {
            wire,
            session,
            cancelled: Arc::clone(deadline.cancelled),
            buffer: vec![0; 4096].into(),
            usable: true,
        };
        connection.negotiate(deadline)?;
        Ok(connection)
    }

    fn negotiate(&mut self, deadline: Deadline<'_>) -> Result<(), OpenFailure> {
        loop {
            let stage = match self.session.step() {
                SessionStep::Application => OpenStage::Application,
                SessionStep::Publish => OpenStage::Publish,
                SessionStep::Live => return Ok(()),
            };
            // Checked in every pass: a server that sends continuously must not defeat the deadline.
            let slice = deadline.slice(stage)?;
            let sent = self.push().map_err(|e| closed_or_broken(e, stage))?;
            match self.listen() {
                Ok(true) => {}
                Ok(false) => {
                    self.wire.poll(!sent, slice);
                }
                Err(Unheard::Closed) => return Err(OpenError::Closed(stage).into()),
                Err(Unheard::Refusal(refusal)) => return Err(OpenFailure::of(refusal, stage)),
                Err(Unheard::Io(e)) => return Err(closed_or_broken(e, stage).into()),
            }
        }
    }

    /// Reads once. Returns whether data had arrived.
    fn listen(&mut self) -> Result<bool, Unheard> {
        let read = self.wire.read(&mut self.buffer);
        let now = Instant::now();
        self.session.allowance.bytes(self.wire.take_arrived(), now).map_err(Refusal::from)?;
        match read {
            Ok(0) => Err(Unheard::Closed),
            Ok(n) => {
                self.session.receive(&self.buffer[..n], now)?;
                Ok(true)
            }
            Err(e) if again(&e) => Ok(false),
            Err(e) => Err(Unheard::Io(e)),
        }
    }

    /// Writes as much as the network accepts now. Returns whether all output is written.
    fn push(&mut self) -> io::Result<bool> {
        let all = self.wire.push(&mut self.session.out)?;
        if all {
            self.session.allowance.answers_sent();
        }
        Ok(all)
    }

    /// Sends an audio or video tag after the queued tags; `tag.timestamp` counts from the start of
    /// this connection. Returns when the kernel has accepted all data.
    pub fn send(&mut self, tag: &Tag) -> Result<(), ConnectionLost> {
        self.queue(tag);
        self.flush()
    }

    /// Queues a tag for the next [`RtmpConnection::send`] or [`RtmpConnection::flush`]. Wake-ups
    /// and writes dominate the cost of a connection: send tags that are due together in one write.
    pub fn queue(&mut self, tag: &Tag) {
        // `open` sends the metadata, in the form servers expect.
        if tag.kind != Kind::Script {
            self.session.media(tag.kind.byte(), tag.timestamp as u32, &tag.body);
        }
    }

    /// Waits until `until` and answers the server meanwhile. Returns early when cancelled.
    pub fn wait(&mut self, until: Instant) -> Result<(), ConnectionLost> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.wire.poll(false, left.min(LOOK)) {
                self.receive()?;
                self.flush()?;
            } else if left <= LOOK {
                return Ok(());
            }
            if left.is_zero() || (self.cancelled)() {
                return Ok(());
            }
        }
    }

    /// Bytes written to the socket since it was opened, including TLS and the handshake.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.wire.written()
    }

    /// Written bytes that the server's TCP has acknowledged. Also valid after a disconnection.
    #[must_use]
    pub fn acked(&self) -> u64 {
        self.wire.acked()
    }

    /// Ends the stream and closes, within a second even if the server does not answer.
    pub fn goodbye(mut self) {
        if !self.usable {
            return;
        }
        let until = Instant::now() + GOODBYE;
        self.session.goodbye();
        let left = || until.saturating_duration_since(Instant::now());
        loop {
            match self.wire.push(&mut self.session.out) {
                Ok(true) => break,
                Ok(false) if !left().is_zero() => {
                    self.wire.poll(true, left());
                }
                _ => return,
            }
            // Discards the data: a full receive buffer must not stop the server from reading.
            let _ = self.wire.read(&mut self.buffer);
        }
        self.wire.shutdown();
        // Closing before the server does would reset the connection and could discard data in
        // flight.
        while !left().is_zero() {
            self.wire.poll(false, left());
            match self.wire.read(&mut self.buffer) {
                Ok(0) => return,
                Err(e) if !again(&e) => return,
                _ => {}
            }
        }
    }

    /// Writes all queued data and answers the server while it waits.
    pub fn flush(&mut self) -> Result<(), ConnectionLost> {
        self.flush_until(Instant::now() + FLUSH)
    }

    fn flush_until(&mut self, end: Instant) -> Result<(), ConnectionLost> {
        let mut looked = (Instant::now(), 0);
        loop {
            match self.push() {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => return Err(self.broken(error)),
            }
            if (self.cancelled)() {
                return Err(ConnectionLost::Cancelled);
            }
            let now = Instant::now();
            // The kernel reports room only once a third of its buffer is free; on a slow uplink
            // acknowledgements show progress much sooner.
            let moved = self.wire.written().saturating_add(self.wire.acked());
            let stalled = now.saturating_duration_since(looked.0) > STALL;
            if moved.saturating_sub(looked.1) >= PROGRESS {
                looked = (now, moved);
            } else if stalled {
                self.usable = false;
                return Err(ConnectionLost::Stalled);
            }
            if now > end {
                self.usable = false;
                return Err(ConnectionLost::Slow);
            }
            if self.wire.poll(true, LOOK) {
                self.receive()?;
            }
        }
    }

    /// Reads the data that has arrived, at most [`READS`] times.
    fn receive(&mut self) -> Result<(), ConnectionLost> {
        for _ in 0..READS {
            match self.listen() {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(unheard) => {
                    self.usable = false;
                    return Err(match unheard {
                        Unheard::Closed => ConnectionLost::Closed,
                        Unheard::Refusal(refusal) => refusal.into_broken(),
                        Unheard::Io(e) => e.into(),
                    });
                }
            }
        }
        Ok(())
    }

    /// The cause of a failed write: the server's last message, if any, is more precise than the
    /// kernel's error.
    fn broken(&mut self, error: io::Error) -> ConnectionLost {
        let said = self.receive();
        self.usable = false;
        match said {
            Err(refused @ (ConnectionLost::Refused(_) | ConnectionLost::Excess(_))) => refused,
            _ => error.into(),
        }
    }
}

impl fmt::Debug for RtmpConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("written", &self.written())
            .field("acked", &self.acked())
            .field("usable", &self.usable)
            .finish_non_exhaustive()
    }
}

/// Why reading from the server failed.
enum Unheard {
    Closed,
    Refusal(Refusal),
    Io(io::Error),
}

impl From<Refusal> for Unheard {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

/// Why one attempt to open failed.
enum OpenFailure {
    Error(OpenError),
    Redirect(String),
}

impl From<OpenError> for OpenFailure {
    fn from(error: OpenError) -> Self {
        Self::Error(error)
    }
}

impl OpenFailure {
    fn of(refusal: Refusal, stage: OpenStage) -> Self {
        Self::Error(match refusal {
            Refusal::Redirect(to) => return Self::Redirect(to),
            Refusal::Authentication => OpenError::Authentication,
            Refusal::Said(text) => OpenError::Rejected(text),
            Refusal::Malformed(malformed) => {
                OpenError::Broken { stage, broken: ConnectionLost::Malformed(malformed) }
            }
            Refusal::Excess(excess) => OpenError::Broken { stage, broken: ConnectionLost::Excess(excess) },
        })
    }
}

impl Refusal {
    fn into_broken(self) -> ConnectionLost {
        match self {
            Self::Malformed(malformed) => ConnectionLost::Malformed(malformed),
            Self::Excess(excess) => ConnectionLost::Excess(excess),
            Self::Said(text) => ConnectionLost::Refused(text),
            Self::Authentication => {
                ConnectionLost::Refused("it asks for a user name and password".to_owned())
            }
            Self::Redirect(_) => ConnectionLost::Refused("it redirects to another server".to_owned()),
        }
    }
}

/// Performs the RTMP handshake. Returns C2, which is sent with the first command.
fn shake_hands(wire: &mut Transport, deadline: Deadline<'_>) -> Result<Vec<u8>, OpenError> {
    const STAGE: OpenStage = OpenStage::Handshake;
    let mut hello = handshake::hello();
    let mut answer = [0; handshake::ANSWER];
    let mut have = 0;
    while have < answer.len() {
        let slice = deadline.slice(STAGE)?;
        let sent = wire.push(&mut hello).map_err(|e| closed_or_broken(e, STAGE))?;
        match wire.read(&mut answer[have..]) {
            Ok(0) if have == 0 => return Err(OpenError::Closed(STAGE)),
            Ok(0) => return Err(OpenError::Handshake(NotRtmp::CutShort)),
            Ok(n) => have += n,
            Err(e) if again(&e) => {
                wire.poll(!sent, slice);
            }
            Err(e) => return Err(closed_or_broken(e, STAGE)),
        }
        if have > 0 && answer[0] != handshake::VERSION {
            return Err(OpenError::Handshake(NotRtmp::of(answer[0])));
        }
    }
    Ok(handshake::reply(&answer).to_vec())
}
