//! Executes the methods of the control socket.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::{Value, json};
use tgs_control::{
    BroadcastStatus, Health, Hello, QueueListing,
    method::{Call, GotoParams, LogLines, PROTOCOL, Queued, SeekParams, StopParams},
    rpc::{ErrorCode, RpcError},
};
use tgs_core::{logging, time::Utc};
use tgs_playout::{
    command::{Command, CommandRefused},
    engine::Control,
    status::METRICS,
};

use super::{
    sender::Peer,
    subscribers::{Subscribers, Subscription},
};
use crate::{
    playlist::{EntryRef, PlaylistView},
    queue::{PlayQueue, QueueError},
    standing::{Standing, StandingError},
    status_source::StatusSource,
};

/// The longest title, in characters: as long as Telegram's of a live stream may be.
const LONGEST_TITLE: usize = 128;

/// The furthest position of a seek: longer than any item.
const FURTHEST: f64 = 1e7;

/// The number of titles in [`BroadcastStatus::upcoming`].
const UPCOMING: usize = 5;

/// What the server needs to answer.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) control: Control,
    pub(crate) standing: Standing,
    pub(crate) queue: PlayQueue,
    pub(crate) view: PlaylistView,
    pub(crate) source: StatusSource,
    pub(crate) subscribers: Subscribers,
    /// The broadcast's name.
    pub(crate) channel: String,
    /// The output without its key; `None` for a broadcast into Telegram.
    pub(crate) output: Option<String>,
    /// Whether the output is a file.
    pub(crate) into_file: bool,
    pub(crate) started: SystemTime,
}

/// The answer to a request.
#[derive(Debug)]
pub(super) enum Answer {
    /// A result, and nothing else.
    Result(Value),
    /// A result, then notifications.
    Subscribed(Value, Subscription),
}

impl Answers {
    /// The greeting.
    pub(super) fn hello(&self) -> Hello {
        Hello {
            server: "tgs-stream".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            channel: self.channel.clone(),
        }
    }

    /// Executes `call` for `peer`.
    pub(super) fn answer(&self, call: Call, peer: &mut Peer) -> Result<Answer, RpcError> {
        match call {
            Call::Hello(params) => {
                peer.state(&params.client);
                result(&self.hello())
            }
            Call::Status(_) => Ok(Answer::Result(self.status())),
            Call::LogTail(params) => result(&LogLines { lines: logging::recent(params.lines) }),
            Call::PlaylistList(params) => result(&self.view.list(params.offset, params.limit)),
            Call::QueueList(_) => result(&QueueListing { entries: self.queue.list() }),
            Call::QueueAdd(params) => {
                let id =
                    self.edit_queue("queue.add", peer, |queue| queue.add(&params.source, params.position))?;
                result(&Queued { id })
            }
            Call::Subscribe(params) => {
                let subscription = self.subscribers.add(params.events.clone())?;
                let accepted = serde_json::to_value(params).unwrap_or_default();
                Ok(Answer::Subscribed(accepted, subscription))
            }
            command => self.execute(command, peer).map(|()| Answer::Result(json!({}))),
        }
    }

    /// Executes a method without a result.
    fn execute(&self, call: Call, peer: &Peer) -> Result<(), RpcError> {
        match call {
            Call::Next(_) => self.send(Command::Next, peer),
            Call::Previous(_) => self.send(Command::Previous, peer),
            Call::Seek(params) => self.seek(params, peer),
            Call::Goto(params) => self.go_to(params, peer),
            Call::PlaylistReload(_) => self.send(Command::Reload, peer),
            Call::Pause(_) => self.keep("pause", peer, Standing::pause),
            Call::Resume(_) => self.keep("resume", peer, Standing::resume),
            Call::TitleSet(params) => self.set_title(params.text, peer),
            Call::Stop(params) => self.stop(params, peer),
            Call::Start(_) => self.keep("start", peer, Standing::start),
            Call::QueueMove(params) => {
                self.edit_queue("queue.move", peer, |queue| queue.move_to(params.id, params.position))
            }
            Call::QueueRemove(params) => {
                self.edit_queue("queue.remove", peer, |queue| queue.remove(params.id))
            }
            Call::QueueClear(_) => self.edit_queue("queue.clear", peer, PlayQueue::clear),
            other => {
                let (method, _) = other.to_parts();
                let why = format!("{method} is not supported yet");
                Err(RpcError::new(ErrorCode::UnknownMethod, why))
            }
        }
    }

    fn go_to(&self, params: GotoParams, peer: &Peer) -> Result<(), RpcError> {
        let entry = match (params.index, params.id) {
            (Some(index), None) => EntryRef::Index(index),
            (None, Some(id)) => EntryRef::Id(id),
            _ => {
                let why = "give either `index` or `id`, as playlist.list shows them";
                return Err(RpcError::new(ErrorCode::InvalidParams, why));
            }
        };
        let entry = self.view.find(&entry);
        let entry = entry.map_err(|why| RpcError::new(ErrorCode::NotFound, why.to_string()))?;
        self.send(Command::Goto(entry), peer)
    }

    fn set_title(&self, title: String, peer: &Peer) -> Result<(), RpcError> {
        if title.chars().count() > LONGEST_TITLE {
            let why = format!("a title has at most {LONGEST_TITLE} characters");
            return Err(RpcError::new(ErrorCode::InvalidParams, why));
        }
        self.keep("set the title", peer, |standing| standing.set_title(title))
    }

    fn stop(&self, params: StopParams, peer: &Peer) -> Result<(), RpcError> {
        if self.into_file {
            let why = "a start would overwrite the file; end tgs-stream with SIGTERM instead";
            return Err(RpcError::new(ErrorCode::Refused, why));
        }
        if params.after_current {
            return self.keep("stop after the current item", peer, Standing::stop_after_current);
        }
        self.keep("stop", peer, Standing::stop)
    }

    fn status(&self) -> Value {
        let (status, health) = (self.source.status(), self.source.health());
        let status = BroadcastStatus {
            unhealthy: match health {
                Health::Unhealthy(why) => Some(why),
                Health::Healthy | Health::Stopped => None,
            },
            stopped: self.standing.is_stopped(),
            pause_ends: self.standing.pause_ends().map(|at| Utc(at).to_string()),
            upcoming: self.view.upcoming(UPCOMING),
            queue_length: self.queue.len(),
            started_at: Utc(self.started).to_string(),
            pid: std::process::id(),
            output: self.output.clone(),
            sent_bytes: Some(METRICS.sent_bytes()),
            reconnects: Some(METRICS.reconnect_count()),
            status,
        };
        status.to_masked_json()
    }

    fn seek(&self, params: SeekParams, peer: &Peer) -> Result<(), RpcError> {
        let wrong = |why: &str| Err(RpcError::new(ErrorCode::InvalidParams, why));
        match (params.to, params.by) {
            (Some(to), None) if (0.0..=FURTHEST).contains(&to) => {
                self.send(Command::Seek(Duration::from_secs_f64(to)), peer)
            }
            (Some(_), None) => wrong("`to` is a number of seconds from 0 to 10,000,000"),
            (None, Some(by)) if (-FURTHEST..=FURTHEST).contains(&by) => {
                self.send(Command::SeekBy((by * 1000.0) as i64), peer)
            }
            (None, Some(_)) => wrong("`by` is a number of seconds from -10,000,000 to 10,000,000"),
            _ => wrong("give either `to` or `by`, in seconds"),
        }
    }

    fn send(&self, command: Command, peer: &Peer) -> Result<(), RpcError> {
        log::info!("{command}, asked for by {peer}");
        self.control.send(command).map_err(refused)
    }

    fn edit_queue<T>(
        &self,
        command: &str,
        peer: &Peer,
        edit: impl FnOnce(&PlayQueue) -> Result<T, QueueError>,
    ) -> Result<T, RpcError> {
        log::info!("{command}, asked for by {peer}");
        edit(&self.queue).map_err(|error| {
            let code = match error {
                QueueError::Full => ErrorCode::Limit,
                QueueError::Unplayable(_) => ErrorCode::InvalidParams,
                QueueError::NoEntry(_) => ErrorCode::NotFound,
                QueueError::OnAir(_) => ErrorCode::Refused,
                QueueError::NotSaved { .. } => ErrorCode::Internal,
            };
            RpcError::new(code, error.to_string())
        })
    }

    fn keep(
        &self,
        command: &str,
        peer: &Peer,
        change: impl FnOnce(&Standing) -> Result<(), StandingError>,
    ) -> Result<(), RpcError> {
        log::info!("{command}, asked for by {peer}");
        change(&self.standing).map_err(|error| match error {
            StandingError::Refused(why) => refused(why),
            StandingError::NotKept { .. } => RpcError::new(ErrorCode::Internal, error.to_string()),
        })
    }
}

fn result(result: &impl Serialize) -> Result<Answer, RpcError> {
    let value = serde_json::to_value(result);
    value.map(Answer::Result).map_err(|error| RpcError::new(ErrorCode::Internal, error.to_string()))
}

fn refused(why: CommandRefused) -> RpcError {
    RpcError::new(ErrorCode::Refused, why.to_string())
}
