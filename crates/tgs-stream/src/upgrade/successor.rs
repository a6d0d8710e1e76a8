//! The side of the new program: it gets ready beside the process on air, and publishes once that
//! has left.

use std::{
    collections::BTreeMap,
    io,
    net::TcpStream,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tgs_core::{cancel::Cancel, error::CliError, files::lock::FileLock, process::successor};
use tgs_playout::engine::Control;
use tgs_telegram::Ingest;

use super::{
    channel::{ChannelError, HandoverChannel},
    messages::{HandedDescriptor, HandedState, PROTOCOL, PredecessorSays, SuccessorSays},
};
use crate::{live_takeover::HandedLive, position::ListPlace};

/// Longer than the process on air takes for anything.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long the first media may take after `go`: less than the process on air waits.
const MEDIA_WITHIN: Duration = Duration::from_secs(9);

/// How long the end of the process that was on air is waited for. Then only locks keep the two
/// apart.
const END_WITHIN: Duration = Duration::from_secs(20);

/// How often a wait looks at what wakes nobody.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The process whose place this one takes.
pub(crate) struct Predecessor {
    channel: HandoverChannel,
    state: HandedState,
    descriptors: Mutex<BTreeMap<HandedDescriptor, OwnedFd>>,
    publisher: Mutex<Option<(TcpStream, HandedLive)>>,
    gone: Cancel,
}

/// Why this process does not take over.
#[derive(Debug, thiserror::Error)]
enum TakeoverFailed {
    #[error("the process on air: {0}")]
    Channel(#[from] ChannelError),
    #[error("the socket to the process on air failed: {0}")]
    Socket(#[from] io::Error),
    #[error("{0}")]
    Item(String),
    #[error("the server accepts no media within {} s", MEDIA_WITHIN.as_secs())]
    NoMedia,
    #[error("the process on air has ended, or needs this one no more")]
    Dropped,
    #[error("this process is being stopped")]
    Stopping,
}

/// The process that has started this one as its successor, once it has said where to continue;
/// `None` if this process was started in any other way.
pub(crate) fn predecessor() -> Result<Option<Predecessor>, CliError> {
    let failed =
        |error: TakeoverFailed| CliError::from(anyhow::Error::new(error).context("take over the broadcast"));
    let Some(channel) = successor::channel_of_predecessor().map_err(|error| failed(error.into()))? else {
        return Ok(None);
    };
    greet(channel).map(Some).map_err(failed)
}

fn greet(channel: OwnedFd) -> Result<Predecessor, TakeoverFailed> {
    let mut channel = HandoverChannel::new(UnixStream::from(channel))?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    channel.send(&SuccessorSays::Hello { protocol: PROTOCOL, version, takes_publisher: true }, &[])?;
    let PredecessorSays::Start(state) = channel.receive(Instant::now() + PATIENCE)? else {
        return Err(TakeoverFailed::Dropped);
    };
    let descriptors = state.descriptors.iter().copied().zip(channel.take_descriptors()).collect();
    Ok(Predecessor {
        channel,
        state: *state,
        descriptors: Mutex::new(descriptors),
        publisher: Mutex::default(),
        gone: Cancel::new(),
    })
}

impl Predecessor {
    /// Whether an engine runs there.
    pub(crate) fn is_on_air(&self) -> bool {
        self.state.on_air
    }

    /// Where the list continues.
    pub(crate) fn place(&self) -> ListPlace {
        self.state.position.clone().map_or(ListPlace::Saved, |position| ListPlace::At(Box::new(position)))
    }

    /// When this process is expected to begin.
    pub(crate) fn begins_at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.state.begins_at)
    }

    /// The ingest to publish to before Telegram is asked.
    pub(crate) fn ingest(&self) -> Option<Ingest> {
        let handed = self.state.ingest.clone()?;
        Some(Ingest { url: handed.url, key: tgs_core::secret::Secret::new(handed.key) })
    }

    /// Set once the process that was on air has ended.
    pub(crate) fn gone(&self) -> Cancel {
        self.gone.clone()
    }

    /// A descriptor that was handed over.
    pub(crate) fn take(&self, what: HandedDescriptor) -> Option<OwnedFd> {
        self.descriptors().remove(&what)
    }

    /// The publisher of the live input, if it goes on here.
    pub(crate) fn take_publisher(&self) -> Option<(TcpStream, HandedLive)> {
        self.publisher.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn descriptors(&self) -> MutexGuard<'_, BTreeMap<HandedDescriptor, OwnedFd>> {
        self.descriptors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock of `state_dir`, which the process on air holds as well.
    pub(crate) fn state_lock(&self, state_dir: &Path) -> Result<FileLock, CliError> {
        let handed = self.take(HandedDescriptor::StateLock).ok_or_else(|| io::ErrorKind::NotFound.into());
        let lock = handed.and_then(|fd| FileLock::handed_over(state_dir, "lock".as_ref(), fd));
        lock.map(FileLock::keep_file).map_err(|error| {
            let doing = format!("take over the lock of STATE_DIR {}", state_dir.display());
            anyhow::Error::new(error).context(doing).into()
        })
    }

    /// Waits until the engine of `control` is ready and the process on air has left; then calls
    /// `begin` and lets the engine publish. Waits for the end of that process. An error stops this
    /// one: the process on air goes on.
    pub(crate) fn take_over(&mut self, control: &Control, begin: impl FnOnce()) -> Result<(), CliError> {
        let taken = self.try_take_over(control, begin);
        if let Err(error) = &taken {
            let _ = self.channel.send(&SuccessorSays::Refuses { why: error.to_string() }, &[]);
        }
        taken
            .map_err(|error| CliError::from(anyhow::Error::new(error).context("take over the broadcast")))?;
        self.wait_end();
        self.gone.cancel();
        Ok(())
    }

    fn try_take_over(&mut self, control: &Control, begin: impl FnOnce()) -> Result<(), TakeoverFailed> {
        if self.state.on_air {
            self.wait_for(control, PATIENCE, TakeoverFailed::Dropped, || control.is_ready())?;
        }
        self.channel.send(&SuccessorSays::Ready, &[])?;
        let PredecessorSays::Go = self.channel.receive(Instant::now() + PATIENCE)? else {
            return Err(TakeoverFailed::Dropped);
        };
        begin();
        control.release();
        if self.state.on_air {
            let sends = || control.status.read().sent_at.is_some();
            self.wait_for(control, MEDIA_WITHIN, TakeoverFailed::NoMedia, sends)?;
        }
        self.channel.send(&SuccessorSays::Live, &[])?;
        Ok(())
    }

    /// Waits for the end of the process that was on air, which may hand a publisher over before.
    fn wait_end(&mut self) {
        let deadline = Instant::now() + END_WITHIN;
        loop {
            match self.channel.receive(deadline) {
                Ok(PredecessorSays::Publisher(live)) => {
                    let socket = self.channel.take_descriptors().pop().map(TcpStream::from);
                    *self.publisher.get_mut().unwrap_or_else(PoisonError::into_inner) =
                        socket.zip(Some(*live));
                }
                // A socket beside what is not understood is closed: its publisher connects again.
                Ok(_) | Err(ChannelError::Unknown(_)) => drop(self.channel.take_descriptors()),
                Err(_) => break,
            }
        }
        drop(self.channel.take_descriptors());
        while !self.channel.is_closed() {
            if Instant::now() >= deadline {
                return log::warn!("the process that was on air does not end; going on beside it");
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    fn wait_for(
        &self,
        control: &Control,
        limit: Duration,
        late: TakeoverFailed,
        done: impl Fn() -> bool,
    ) -> Result<(), TakeoverFailed> {
        let deadline = Instant::now() + limit;
        while !done() {
            if let Some(failure) = control.status.read().status.last_failure {
                // The list would go on with another item, which viewers would see as a jump.
                return Err(TakeoverFailed::Item(failure));
            }
            if self.channel.is_closed() {
                return Err(TakeoverFailed::Dropped);
            }
            if Instant::now() >= deadline {
                return Err(late);
            }
            if control.stopped().wait(LOOK_EVERY) {
                return Err(TakeoverFailed::Stopping);
            }
        }
        Ok(())
    }
}
