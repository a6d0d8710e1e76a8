//! Executes the methods of the control socket.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::{Value, json};
use tgs_control::{
    BroadcastStatus, Health, Hello,
    method::{Call, LogLines, PROTOCOL, SeekParams, StopParams},
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
    standing::{Standing, StandingError},
    status_source::StatusSource,
};

/// The longest title, in characters: as long as Telegram's of a live stream may be.
const LONGEST_TITLE: usize = 128;

/// The furthest position of a seek: longer than any item.
const FURTHEST: f64 = 1e7;

/// What the server needs to answer.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) control: Control,
    pub(crate) standing: Standing,
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
                return result(&self.hello());
            }
            Call::Status(_) => return Ok(Answer::Result(self.status())),
            Call::LogTail(params) => return result(&LogLines { lines: logging::recent(params.lines) }),
            Call::Subscribe(params) => {
                let subscription = self.subscribers.add(params.events.clone())?;
                let accepted = serde_json::to_value(params).unwrap_or_default();
                return Ok(Answer::Subscribed(accepted, subscription));
            }
            Call::Next(_) => self.send(Command::Next, peer)?,
            Call::Previous(_) => self.send(Command::Previous, peer)?,
            Call::Seek(params) => self.seek(params, peer)?,
            Call::PlaylistReload(_) => self.send(Command::Reload, peer)?,
            Call::Pause(_) => self.keep("pause", peer, Standing::pause)?,
            Call::Resume(_) => self.keep("resume", peer, Standing::resume)?,
            Call::TitleSet(params) => {
                if params.text.chars().count() > LONGEST_TITLE {
                    let why = format!("a title has at most {LONGEST_TITLE} characters");
                    return Err(RpcError::new(ErrorCode::InvalidParams, why));
                }
                self.keep("set the title", peer, |standing| standing.set_title(params.text))?;
            }
            Call::Stop(_) if self.into_file => {
                let why = "a start would overwrite the file; end tgs-stream with SIGTERM instead";
                return Err(RpcError::new(ErrorCode::Refused, why));
            }
            Call::Stop(StopParams { after_current: false }) => self.keep("stop", peer, Standing::stop)?,
            Call::Stop(StopParams { after_current: true }) => {
                self.keep("stop after the current item", peer, Standing::stop_after_current)?;
            }
            Call::Start(_) => self.keep("start", peer, Standing::start)?,
            other => {
                let (method, _) = other.to_parts();
                let why = format!("{method} is not supported yet");
                return Err(RpcError::new(ErrorCode::UnknownMethod, why));
            }
        }
        Ok(Answer::Result(json!({})))
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
            upcoming: status.engine.next.iter().cloned().collect(),
            queue_length: 0,
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
            (None, Some(by)) if (-FURTHEST..=FURTHEST).contains(&by) => wrong("`by` is not supported yet"),
            (None, Some(_)) => wrong("`by` is a number of seconds from -10,000,000 to 10,000,000"),
            _ => wrong("give either `to` or `by`, in seconds"),
        }
    }

    fn send(&self, command: Command, peer: &Peer) -> Result<(), RpcError> {
        log::info!("{command}, asked for by {peer}");
        self.control.send(command).map_err(refused)
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
