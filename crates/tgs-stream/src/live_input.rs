//! The live input: publishers (OBS, a phone) connect over RTMP or RTMPS and go live over the list.
//!
//! # Theory of operation
//!
//! ```text
//! publisher ──RTMP──> listener ──> publisher thread ──> buffer ──> relay ──unix socket──> ffmpeg
//!                                     key, codec      newest groups   FLV from a keyframe
//! ```
//!
//! `listener` bounds connections, `publisher` checks key and codecs, `place` decides who publishes
//! and when a publisher is lost, `buffer` holds the newest groups of pictures, `relay` serves them
//! as FLV to ffmpeg and ffprobe, `programme` hands the stream to the engine as an item. The
//! broadcast waits for none of them. `live_takeover` decides when it is on air.

mod buffer;
mod clock;
mod connections;
mod flv;
mod handed;
mod keys;
mod listener;
mod place;
mod preview;
mod programme;
mod publisher;
mod refusals;
mod relay;
mod shared;

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::Path,
    sync::{Arc, LazyLock},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tgs_core::{
    cancel::Cancel,
    settings::Live,
    supervise::keep_running,
    tls::{CertificateError, ServerCertificate},
    tries::Tries,
};

pub(crate) use self::preview::{LivePreview, PreviewRefused};
pub use self::{
    handed::{HandedInput, HandedPublisher},
    keys::{KeysError, LineProblem, UNNAMED_KEY},
    place::{LiveEvent, LivePhase, LivePublisher},
    programme::LiveProgramme,
    relay::RelayError,
};
use self::{
    keys::LiveKeys,
    publisher::PublisherContext,
    refusals::{METRICS, RefusalLog},
    relay::Relay,
    shared::SharedLive,
};
use crate::http::closed_within;

/// Wrong keys of an address in a minute; after them it is refused for the rest of it.
const WRONG_KEYS: u32 = 5;

/// A connection without media is closed this long after LIVE_GRACE at the latest.
pub(crate) const IDLE: Duration = Duration::from_secs(2);

/// Why there is no live input.
#[derive(Debug, thiserror::Error)]
pub enum LiveInputError {
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The certificate cannot be used.
    #[error("LIVE_TLS_CERT: {0}")]
    Certificate(#[from] CertificateError),
    /// ffmpeg cannot be served.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// A thread cannot be started.
    #[error("failed to start a thread: {0}")]
    Thread(io::Error),
}

/// Checks keys and certificate.
pub fn check(settings: &Live) -> Result<(), LiveInputError> {
    secrets(settings).map(drop)
}

fn secrets(settings: &Live) -> Result<(LiveKeys, Option<ServerCertificate>), LiveInputError> {
    let keys = LiveKeys::load(settings.key.as_ref(), settings.keys_file.as_deref())?;
    let certificate = settings.tls.as_ref().map(|files| ServerCertificate::load(files, &[])).transpose()?;
    Ok((keys, certificate))
}

/// The running live input. Drop ends it.
#[derive(Debug)]
pub struct LiveInput {
    context: Arc<PublisherContext>,
    relay: Relay,
    /// Where it listens; `None` if the port was taken at the start.
    bound: Option<SocketAddr>,
    /// A copy of the listener, for the process that takes this one's place.
    copy: Option<TcpListener>,
    /// Closing this end stops the listener and its connections.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl LiveInput {
    /// Listens for publishers; the relay's socket is in a directory in `state_dir`. `on_event` is
    /// called for each event, in order: it must not wait, nor call the live input. `handed` is of
    /// the process whose place this one takes.
    pub fn start(
        settings: &Live,
        state_dir: &Path,
        handed: HandedInput,
        on_event: impl Fn(&LiveEvent) + Send + Sync + 'static,
    ) -> Result<Self, LiveInputError> {
        LazyLock::force(&METRICS);
        let (keys, certificate) = secrets(settings)?;
        let shared = Arc::new(SharedLive::new(settings.grace, Box::new(on_event)));
        let relay = Relay::start(&state_dir.join("live"), &shared)?;
        let context = Arc::new(PublisherContext {
            address: settings.address.clone(),
            keys,
            certificate,
            shared,
            tries: Tries::per_minute(WRONG_KEYS),
            refusals: RefusalLog::new(Instant::now()),
            idle: settings.grace + IDLE,
        });
        let address = settings.address.listen;
        let HandedInput { listener, publisher } = handed;
        // The setting may have changed since.
        let listener = listener.filter(|handed| handed.local_addr().is_ok_and(|at| at == address));
        let listener = match listener.map_or_else(|| listener::bind(address), Ok) {
            Ok(listener) => {
                log::info!("live input: listens at {}", context.url());
                Some(listener)
            }
            Err(error) => {
                log::error!(
                    "live input: cannot listen at {address}, which is tried again: {error}; `ss -ltnp 'sport = :{}'` \
                     shows who holds the port, and LIVE_INPUT names another",
                    address.port()
                );
                None
            }
        };
        let bound = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let copy = listener.as_ref().and_then(|listener| listener.try_clone().ok());
        let (stop, stopped) = UnixStream::pair().map_err(LiveInputError::Thread)?;
        let served = Arc::clone(&context);
        let run = move || {
            let mut first = HandedInput { listener, publisher };
            let wait = |delay| closed_within(&stopped, delay);
            keep_running("live-input", wait, || {
                listener::run(std::mem::take(&mut first), address, &served, &stopped);
            });
        };
        let thread =
            thread::Builder::new().name("live-input".into()).spawn(run).map_err(LiveInputError::Thread)?;
        Ok(Self { context, relay, bound, copy, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens; `None` if the port was taken at the start.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.bound
    }

    /// The listener, for the process that takes this one's place.
    pub(crate) fn listener(&self) -> Option<BorrowedFd<'_>> {
        self.copy.as_ref().map(AsFd::as_fd)
    }

    /// The publisher, for the process that takes this one's place. `None` without one, or if it
    /// cannot go over: over TLS, or in the middle of a message for longer than `within`.
    pub(crate) fn take_publisher(&self, within: Duration) -> Option<(TcpStream, HandedPublisher)> {
        if self.phase() == LivePhase::Absent {
            return None;
        }
        let taken = self.context.certificate.is_none().then(|| self.context.shared.take_publisher(within));
        let taken = taken.flatten();
        if taken.is_none() {
            log::warn!(
                "live input: the publisher cannot go over to another process (RTMPS, or it stalls within a \
                 large message) and has to connect again"
            );
        }
        taken
    }

    /// The URL at which publishers connect, without a key.
    #[must_use]
    pub fn url(&self) -> String {
        self.context.url()
    }

    /// The publisher as a programme, until it leaves or `over` is set.
    #[must_use]
    pub fn programme(&self, title: String, over: Cancel) -> LiveProgramme {
        LiveProgramme::new(Arc::clone(&self.context.shared), self.relay.url(), title, over)
    }

    /// The publisher's stream for an operator.
    pub(crate) fn preview(&self) -> Result<LivePreview, PreviewRefused> {
        LivePreview::new(&self.context.shared)
    }

    /// What the publisher does.
    #[must_use]
    pub fn phase(&self) -> LivePhase {
        self.context.shared.snapshot().phase
    }

    /// Disconnects the publisher, which may return after a minute. `false` without one.
    #[must_use]
    pub fn drop_publisher(&self, why: &str) -> bool {
        self.context.shared.drop_publisher(why)
    }
}

impl Drop for LiveInput {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
