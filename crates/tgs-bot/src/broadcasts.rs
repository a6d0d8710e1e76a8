//! Speaks to the control sockets in threads of their own, so that a broadcast that does not answer
//! holds up neither Telegram nor the other channels. All queues are bounded.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    thread,
};

use anyhow::Context;
use serde_json::Value;
use tgs_control::{
    BroadcastStatus, ControlClient, ControlError,
    channels::{self, Channel},
    method::{Call, NoParams},
};
use tgs_core::supervise::contain;
use tgs_telegram::bot::BotWake;

use crate::picture::{NoPicture, PictureTaker};

/// Threads; so many broadcasts may fail to answer before others have to wait.
const THREADS: usize = 4;
/// Requests that wait for a thread.
const WAITING: usize = 32;

/// Where the answer of a request is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessagePlace {
    /// A new message.
    New,
    /// This message, edited.
    Edited(i32),
    /// Nowhere: the incidents are looked for.
    Watched,
    /// Nowhere: received files that are no longer needed are looked for.
    Cleaned,
    /// In the digest.
    Digest,
}

/// A request to a broadcast in the name of a user.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ChannelRequest {
    pub(crate) user_id: i64,
    pub(crate) channel: Channel,
    /// A command before the status is requested.
    pub(crate) call: Option<Call>,
    pub(crate) place: MessagePlace,
    /// The pressed button that waits for an answer.
    pub(crate) press: Option<i64>,
    /// Whether a picture is taken.
    pub(crate) with_picture: bool,
    /// Whether the message to edit is a picture.
    pub(crate) below_picture: bool,
}

impl ChannelRequest {
    /// A request of the bot itself, for its status.
    pub(crate) fn unseen(channel: Channel, place: MessagePlace) -> Self {
        Self {
            user_id: 0,
            channel,
            call: None,
            place,
            press: None,
            with_picture: false,
            below_picture: false,
        }
    }
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct ChannelReport {
    pub(crate) request: ChannelRequest,
    /// The result of the command or question; `None` without one.
    pub(crate) outcome: Option<Result<Value, ChannelFault>>,
    pub(crate) status: Result<BroadcastStatus, ChannelFault>,
    /// The picture on air as JPEG; `None` if none was wanted.
    pub(crate) picture: Option<Result<Vec<u8>, NoPicture>>,
}

/// Why a broadcast gave no answer, or refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChannelFault {
    NotRunning,
    Denied,
    Refused(String),
    NoAnswer(String),
}

impl From<ControlError> for ChannelFault {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::NotRunning(_) => Self::NotRunning,
            ControlError::Denied(_) => Self::Denied,
            ControlError::Refused(error) => Self::Refused(error.message),
            error => Self::NoAnswer(error.to_string()),
        }
    }
}

/// The threads that speak to broadcasts.
#[derive(Debug)]
pub(crate) struct Broadcasts {
    /// The sockets of the command line; those of the machine if empty.
    sockets: Vec<PathBuf>,
    requests: SyncSender<ChannelRequest>,
    reports: Receiver<ChannelReport>,
}

impl Broadcasts {
    /// Starts the threads. Each report wakes the receiver of updates.
    pub(crate) fn start(
        sockets: Vec<PathBuf>,
        wake: &BotWake,
        pictures: PictureTaker,
    ) -> anyhow::Result<Self> {
        let (requests, waiting) = mpsc::sync_channel::<ChannelRequest>(WAITING);
        // As many reports as can be under way: their threads never wait.
        let (done, reports) = mpsc::sync_channel(WAITING + THREADS);
        let (waiting, pictures) = (Arc::new(Mutex::new(waiting)), Arc::new(pictures));
        for _ in 0..THREADS {
            let (waiting, done, wake) = (Arc::clone(&waiting), done.clone(), wake.clone());
            let pictures = Arc::clone(&pictures);
            let work = move || {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(request) = next else { return };
                    if done.send(answer(request, &pictures)).is_err() {
                        return;
                    }
                    wake.wake();
                }
            };
            thread::Builder::new().name("control".into()).spawn(work).context("start a thread")?;
        }
        Ok(Self { sockets, requests, reports })
    }

    /// The channels that can be steered, `main` first.
    pub(crate) fn channels(&self) -> Vec<Channel> {
        if self.sockets.is_empty() {
            return channels::discover();
        }
        let mut all: Vec<Channel> = Vec::new();
        for socket in &self.sockets {
            let name = channels::name_of(socket);
            let numbered = (2..).map(|n| format!("{name}-{n}"));
            let mut names = std::iter::once(name.clone()).chain(numbered);
            let free = names.find(|name| all.iter().all(|known| known.name != *name)).unwrap_or_default();
            all.push(Channel { name: free, socket: socket.clone() });
        }
        all
    }

    /// Queues a request. Returns it if too many wait.
    pub(crate) fn ask(&self, request: ChannelRequest) -> Result<(), Box<ChannelRequest>> {
        self.requests.try_send(request).map_err(|error| match error {
            TrySendError::Full(request) | TrySendError::Disconnected(request) => Box::new(request),
        })
    }

    /// The next report, if there is one.
    pub(crate) fn report(&self) -> Option<ChannelReport> {
        self.reports.try_recv().ok()
    }
}

fn answer(request: ChannelRequest, pictures: &PictureTaker) -> ChannelReport {
    let answered = contain(|| speak(&request));
    let (outcome, status) = answered.unwrap_or_else(|panic| {
        let fault = ChannelFault::NoAnswer(panic.to_string());
        (request.call.as_ref().map(|_| Err(fault.clone())), Err(fault))
    });
    let is_sent = status.as_ref().is_ok_and(|status| !status.stopped);
    let picture = (request.with_picture && is_sent).then(|| {
        let taken = contain(|| pictures.take(&request.channel.socket, &name(&request)));
        taken.unwrap_or_else(|panic| Err(NoPicture::NothingSent(panic.to_string())))
    });
    ChannelReport { request, outcome, status, picture }
}

/// The outcome of the command, and the status.
type SpokenAnswer = (Option<Result<Value, ChannelFault>>, Result<BroadcastStatus, ChannelFault>);

/// The name that is in the log of the broadcast beside each command.
fn name(request: &ChannelRequest) -> String {
    match request.user_id {
        0 => "tgs-bot".to_owned(),
        user_id => format!("{user_id} (tgs-bot)"),
    }
}

fn speak(request: &ChannelRequest) -> SpokenAnswer {
    let mut client = match ControlClient::connect(&request.channel.socket, &name(request)) {
        Ok(client) => client,
        Err(error) => {
            let fault = ChannelFault::from(error);
            return (request.call.as_ref().map(|_| Err(fault.clone())), Err(fault));
        }
    };
    let outcome = request.call.as_ref().map(|call| client.call(call).map_err(ChannelFault::from));
    (outcome, client.get(&Call::Status(NoParams {})).map_err(ChannelFault::from))
}
