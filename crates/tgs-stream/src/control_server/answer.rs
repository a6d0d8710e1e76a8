//! Executes the methods of the control socket.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, TryLockError},
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::{Value, json};
use tgs_control::{
    AsRunListing, BroadcastStatus, CommandSender, DiskSpace, Health, Hello, OutputListing, QueueListing,
    Timestamp,
    method::{
        AsRunParams, Call, GotoParams, LONGEST_TITLE, LogLines, MonitorFormat, PROTOCOL, PreviewParams,
        PreviewPicture, QueueAddParams, Queued, SchedulePlanParams, ScheduleSetParams, SeekParams,
        StopParams, Upgraded,
    },
    rpc::{ErrorCode, RpcError},
};
use tgs_core::{cancel::Cancel, logging, mask, process, time::Utc, ytdlp_dir};
use tgs_playout::{
    command::{Command, CommandRefused},
    engine::Control,
    monitor::Monitor,
    status::METRICS,
};

use super::{
    recordings::{CutAnswer, RecordingReads},
    sender,
    subscribers::{Subscribers, Subscription},
};
use crate::{
    as_run,
    live_input::{LivePreview, PreviewRefused},
    live_takeover::{LiveTakeover, TakeoverRefused},
    playlist::{EntryRef, PlaylistView},
    preview::{PictureRefused, Previewer},
    queue::{PlayQueue, QueueError},
    schedule::{Schedule, ScheduleError},
    standing::{Standing, StandingError},
    status_source::StatusSource,
    succession::{Succession, Urgency},
    upgrade::Upgrade,
};

/// The longest part of the as-run log that one answer holds.
const MOST_AS_RUN: usize = 10_000;

/// The longest plan that one answer holds, in days and rows.
const MOST_DAYS: u16 = 31;
const MOST_ROWS: usize = 10_000;

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
    /// The term on air, of a hot standby.
    pub(crate) succession: Option<Arc<Succession>>,
    pub(crate) subscribers: Subscribers,
    /// The broadcast's name.
    pub(crate) channel: String,
    /// The output without its key; `None` for a broadcast into Telegram.
    pub(crate) output: Option<String>,
    /// The timetable, if SCHEDULE names one.
    pub(crate) schedule: Option<Schedule>,
    /// The live input, if LIVE_INPUT is set.
    pub(crate) live: Option<Arc<LiveTakeover>>,
    /// Where the as-run log is.
    pub(crate) state_dir: PathBuf,
    pub(crate) cache_dir: PathBuf,
    /// yt-dlp: a path, or a name in PATH.
    pub(crate) ytdlp: PathBuf,
    /// Held while a part of the as-run log is read, answered and sent: each takes megabytes.
    pub(crate) listing: Mutex<()>,
    /// Reads the recordings.
    pub(crate) recordings: RecordingReads,
    /// Renders pictures; `None` where yt-dlp's options cannot be used.
    pub(crate) previewer: Option<Previewer>,
    /// Whether the output is a file.
    pub(crate) into_file: bool,
    pub(crate) started: SystemTime,
    pub(crate) upgrade: Upgrade,
}

/// The answer to a request.
#[derive(Debug)]
pub(super) enum Answer {
    /// A result, and nothing else.
    Result(Value),
    /// A result, then notifications.
    Subscribed(Value, Subscription),
    /// A result, then the broadcast.
    Monitor(Value, Monitor),
    /// A result, then a part of the recordings.
    Cut(Value, CutAnswer),
    /// A result, then the publisher's stream.
    Preview(Value, LivePreview),
    /// A result; then the process ends.
    Upgraded(Value, Upgrade),
}

impl Answers {
    /// Set once the broadcast is over.
    pub(super) fn over(&self) -> Cancel {
        self.control.stopped()
    }

    /// The greeting.
    pub(super) fn hello(&self) -> Hello {
        Hello {
            server: "tgs-stream".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            channel: self.channel.clone(),
        }
    }

    /// The turn of a call that needs much memory; `None` for others.
    pub(super) fn turn(&self, call: &Call) -> Result<Option<MutexGuard<'_, ()>>, RpcError> {
        if !matches!(call, Call::AsRunList(_)) {
            return Ok(None);
        }
        match self.listing.try_lock() {
            Ok(turn) => Ok(Some(turn)),
            Err(TryLockError::Poisoned(poisoned)) => Ok(Some(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => {
                Err(RpcError::new(ErrorCode::Limit, "another client is reading the as-run log; ask again"))
            }
        }
    }

    /// Executes `call` for `peer`.
    pub(super) fn answer(&self, call: Call, peer: &mut CommandSender) -> Result<Answer, RpcError> {
        if let Some(standby) = self.source.standby().filter(|_| !call.only_reads()) {
            let of = standby.active.map_or("; no host is active".to_owned(), |host| format!(" of {host}"));
            return Err(RpcError::new(ErrorCode::Refused, format!("this host is the standby{of}")));
        }
        match call {
            Call::Hello(params) => {
                peer.client = sender::stated(&params.client);
                result(&self.hello())
            }
            Call::Status(_) => Ok(Answer::Result(self.status())),
            Call::LogTail(params) => result(&LogLines { lines: logging::recent(params.lines) }),
            Call::PlaylistList(params) => result(&self.view.list(params.offset, params.limit)),
            Call::QueueList(_) => result(&QueueListing { entries: self.queue.list() }),
            Call::QueueAdd(params) => {
                let QueueAddParams { source, position, below } = params;
                let id = self.edit_queue("queue.add", peer, |queue| match below {
                    Some(below) => queue.add_restricted(&source, position, below),
                    None => queue.add(&source, position),
                })?;
                result(&Queued { id })
            }
            Call::Subscribe(params) => {
                let subscription = self.subscribers.add(params.events.clone())?;
                let accepted = serde_json::to_value(params).unwrap_or_default();
                Ok(Answer::Subscribed(accepted, subscription))
            }
            Call::AsRunList(params) => self.list_as_run(params),
            Call::ScheduleGet(_) => {
                result(&self.schedule()?.shown().map_err(|error| timetable_refused(&error))?)
            }
            Call::ScheduleSet(params) => self.set_schedule(&params, peer),
            Call::SchedulePlan(params) => self.plan_schedule(&params),
            Call::OutputList(_) => result(&OutputListing { outputs: self.control.outputs() }),
            Call::RecordList(params) => result(&self.recordings.list(self.control.recording_dir(), params)?),
            Call::RecordCut(params) => {
                log::info!("command: record.cut (from {peer})");
                let (cut, stream) = self.recordings.cut(self.control.recording_dir(), &params)?;
                Ok(Answer::Cut(serde_json::to_value(cut).unwrap_or_default(), stream))
            }
            Call::LiveStatus(_) => result(&self.live()?.status()),
            Call::LivePreview(_) => {
                let preview = self.live()?.preview().map_err(|why| {
                    let code = match why {
                        PreviewRefused::NoPublisher => ErrorCode::Refused,
                        PreviewRefused::TooMany => ErrorCode::Limit,
                    };
                    RpcError::new(code, why.to_string())
                })?;
                Ok(Answer::Preview(monitor_format(), preview))
            }
            Call::Preview(params) => self.preview(params, peer),
            Call::Upgrade(_) => self.upgrade(peer),
            Call::Monitor(_) => {
                let monitor = self.control.monitor();
                let monitor = monitor.map_err(|why| RpcError::new(ErrorCode::Limit, why.to_string()))?;
                Ok(Answer::Monitor(monitor_format(), monitor))
            }
            command => self.execute(command, peer).map(|()| Answer::Result(json!({}))),
        }
    }

    /// Executes a method without a result.
    fn execute(&self, call: Call, peer: &CommandSender) -> Result<(), RpcError> {
        self.refuse_during_upgrade()?;
        match call {
            Call::Next(_) => self.send(Command::Next, peer),
            Call::Previous(_) => self.send(Command::Previous, peer),
            Call::Seek(params) => self.seek(params, peer),
            Call::Goto(params) => self.go_to(params, peer),
            Call::PlaylistReload(_) => {
                log::info!("command: playlist.reload (from {peer})");
                self.send(Command::Reload, peer)
            }
            Call::Pause(_) => self.keep("pause", peer, |standing| standing.pause(peer)),
            Call::Resume(_) => self.keep("resume", peer, |standing| standing.resume(peer)),
            Call::TitleSet(params) => self.set_title(params.text, peer),
            Call::Stop(params) => self.stop(params, peer),
            Call::Start(_) => self.keep("start", peer, Standing::start),
            Call::OutputPause(params) => self.pause_output(&params.name, true, peer),
            Call::OutputResume(params) => self.pause_output(&params.name, false, peer),
            Call::QueueMove(params) => {
                self.edit_queue("queue.move", peer, |queue| queue.move_to(params.id, params.position))
            }
            Call::QueueRemove(params) => {
                self.edit_queue("queue.remove", peer, |queue| queue.remove(params.id))
            }
            Call::LiveTake(_) => self.live()?.take(peer).map_err(takeover_refused),
            Call::LiveDrop(_) => self.live()?.drop_publisher(peer).map_err(takeover_refused),
            Call::Handover(_) => self.hand_over(peer),
            Call::QueueClear(_) => self.edit_queue("queue.clear", peer, PlayQueue::clear),
            // Those with a result; see `answer`.
            other => Err(RpcError::new(ErrorCode::Internal, format!("{} has no effect", other.to_parts().0))),
        }
    }

    fn list_as_run(&self, params: AsRunParams) -> Result<Answer, RpcError> {
        let since = params.since.map(|since| {
            Timestamp::parse(&since).ok_or_else(|| {
                let why = "`since` is a time such as 2026-11-28T18:00:00Z";
                RpcError::new(ErrorCode::InvalidParams, why)
            })
        });
        let entries = as_run::list(&self.state_dir, since.transpose()?, params.limit.min(MOST_AS_RUN));
        let entries = entries.map_err(|error| {
            RpcError::new(ErrorCode::Internal, format!("the as-run log cannot be read: {error}"))
        })?;
        result(&AsRunListing { entries })
    }

    fn pause_output(&self, name: &str, paused: bool, peer: &CommandSender) -> Result<(), RpcError> {
        let command = if paused { "output.pause" } else { "output.resume" };
        self.keep(command, peer, |standing| standing.set_output_paused(name, paused))?;
        log::info!("command: {command} {name} (from {peer})");
        Ok(())
    }

    /// Ends the broadcast of this host; the hot standby continues it.
    fn hand_over(&self, peer: &CommandSender) -> Result<(), RpcError> {
        let why = "this broadcast has no hot standby; HA_ENDPOINTS in its .env names etcd";
        let succession = self.succession.as_ref();
        let succession = succession.ok_or_else(|| RpcError::new(ErrorCode::Refused, why))?;
        log::info!("command: handover (from {peer})");
        let begun = succession.start_hand_over(&self.control, Urgency::Planned);
        begun.map_err(|why| RpcError::new(ErrorCode::Refused, why.to_string()))
    }

    fn live(&self) -> Result<&LiveTakeover, RpcError> {
        let why = "this broadcast has no live input; LIVE_INPUT in its .env names one";
        self.live.as_deref().ok_or_else(|| RpcError::new(ErrorCode::Refused, why))
    }

    fn schedule(&self) -> Result<&Schedule, RpcError> {
        let why = "this broadcast has no timetable; SCHEDULE in its .env names one";
        self.schedule.as_ref().ok_or_else(|| RpcError::new(ErrorCode::Refused, why))
    }

    fn set_schedule(&self, params: &ScheduleSetParams, peer: &CommandSender) -> Result<Answer, RpcError> {
        self.refuse_during_upgrade()?;
        let schedule = self.schedule()?;
        log::info!("command: schedule.set (from {peer})");
        schedule.set(&params.text, &params.etag).map_err(|error| timetable_refused(&error))?;
        result(&schedule.shown().map_err(|error| timetable_refused(&error))?)
    }

    fn plan_schedule(&self, params: &SchedulePlanParams) -> Result<Answer, RpcError> {
        if !(1..=MOST_DAYS).contains(&params.days) {
            return Err(RpcError::new(ErrorCode::InvalidParams, format!("`days` is 1 to {MOST_DAYS}")));
        }
        let plan = self.schedule()?.plan(params.from.as_deref(), params.days);
        let plan = plan.map_err(|error| timetable_refused(&error))?;
        if plan.rows.len() > MOST_ROWS {
            let why = format!("the plan has over {MOST_ROWS} rows; ask for fewer days");
            return Err(RpcError::new(ErrorCode::Limit, why));
        }
        result(&plan)
    }

    fn preview(&self, params: PreviewParams, peer: &CommandSender) -> Result<Answer, RpcError> {
        let PreviewParams { source, at, below } = params;
        let at = Duration::try_from_secs_f64(at).ok().filter(|at| at.as_secs_f64() <= FURTHEST);
        let at = at.ok_or_else(|| RpcError::new(ErrorCode::InvalidParams, "`at` is a number of seconds"))?;
        log::info!("command: preview (from {peer})");
        let refused = |why: String| RpcError::new(ErrorCode::Refused, mask::urls(&why).into_owned());
        let previewer = self.previewer.as_ref().ok_or_else(|| refused("YTDLP_ARGS cannot be used".into()))?;
        let entries = self.queue.items_of(&source, below).map_err(|error| refused(error.to_string()))?;
        let (title, png) = previewer.picture(entries, at).map_err(|why| match why {
            PictureRefused::Busy => RpcError::new(ErrorCode::Limit, why.to_string()),
            why => refused(why.to_string()),
        })?;
        result(&PreviewPicture { title, png: STANDARD.encode(png) })
    }

    fn go_to(&self, params: GotoParams, peer: &CommandSender) -> Result<(), RpcError> {
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

    fn set_title(&self, title: String, peer: &CommandSender) -> Result<(), RpcError> {
        if title.chars().count() > LONGEST_TITLE {
            let why = format!("a title has at most {LONGEST_TITLE} characters");
            return Err(RpcError::new(ErrorCode::InvalidParams, why));
        }
        if title.contains(char::is_control) {
            return Err(RpcError::new(ErrorCode::InvalidParams, "a title has no control characters"));
        }
        self.keep("set the title", peer, |standing| standing.set_title(title, peer))
    }

    fn stop(&self, params: StopParams, peer: &CommandSender) -> Result<(), RpcError> {
        if self.into_file {
            let why = "a start would overwrite the file; end tgs-stream with SIGTERM instead";
            return Err(RpcError::new(ErrorCode::Refused, why));
        }
        if params.after_current {
            return self
                .keep("stop after the current item", peer, |standing| standing.stop_after_current(peer));
        }
        self.keep("stop", peer, |standing| standing.stop(peer))
    }

    fn status(&self) -> Value {
        let (status, health) = (self.source.status(), self.source.health());
        let status = BroadcastStatus {
            unhealthy: match health {
                Health::Unhealthy(why) => Some(why),
                Health::Healthy | Health::Stopped | Health::Standby => None,
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
            live: self.live.as_ref().map(|live| live.status()),
            disk: self.disk(),
            ytdlp_updated: self.ytdlp_updated(),
            status,
        };
        status.to_masked_json()
    }

    fn disk(&self) -> Option<DiskSpace> {
        let space = |dir: &PathBuf| {
            let disk = rustix::fs::statvfs(dir).ok()?;
            Some(DiskSpace {
                dir: dir.display().to_string(),
                free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
                total_bytes: disk.f_blocks.saturating_mul(disk.f_frsize),
            })
        };
        let share = |disk: &DiskSpace| disk.free_bytes.saturating_mul(1000) / disk.total_bytes.max(1);
        [&self.state_dir, &self.cache_dir].into_iter().filter_map(space).min_by_key(share)
    }

    fn ytdlp_updated(&self) -> Option<String> {
        let program = process::find(&self.ytdlp).ok()?;
        Some(Utc(ytdlp_dir::installed(&program)?.last_success?).to_string())
    }

    /// The new process has read what commands change.
    fn refuse_during_upgrade(&self) -> Result<(), RpcError> {
        if !self.upgrade.is_running() {
            return Ok(());
        }
        Err(RpcError::new(ErrorCode::Refused, "an upgrade is under way; send the command again in a moment"))
    }

    fn upgrade(&self, peer: &CommandSender) -> Result<Answer, RpcError> {
        log::info!("command: upgrade (from {peer})");
        let done = self.upgrade.run();
        let done = done.map_err(|error| RpcError::new(ErrorCode::Refused, error.to_string()))?;
        let gap_seconds = done.gap.map(|gap| gap.as_secs_f64());
        let result = Upgraded { pid: done.pid, version: done.version, gap_seconds };
        let result = serde_json::to_value(result).unwrap_or_default();
        Ok(Answer::Upgraded(result, self.upgrade.clone()))
    }

    fn seek(&self, params: SeekParams, peer: &CommandSender) -> Result<(), RpcError> {
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

    fn send(&self, command: Command, peer: &CommandSender) -> Result<(), RpcError> {
        self.control.send_as(command, peer).map_err(refused)
    }

    fn edit_queue<T>(
        &self,
        command: &str,
        peer: &CommandSender,
        edit: impl FnOnce(&PlayQueue) -> Result<T, QueueError>,
    ) -> Result<T, RpcError> {
        self.refuse_during_upgrade()?;
        log::info!("command: {command} (from {peer})");
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
        peer: &CommandSender,
        change: impl FnOnce(&Standing) -> Result<(), StandingError>,
    ) -> Result<(), RpcError> {
        // Stop and start reach no engine, or end it.
        if matches!(command, "stop" | "start") {
            log::info!("command: {command} (from {peer})");
        }
        change(&self.standing).map_err(|error| match error {
            StandingError::Refused(why) => refused(why),
            StandingError::UnknownOutput(_) => RpcError::new(ErrorCode::NotFound, error.to_string()),
            StandingError::NotKept { .. } => RpcError::new(ErrorCode::Internal, error.to_string()),
        })
    }
}

fn result(result: &impl Serialize) -> Result<Answer, RpcError> {
    let value = serde_json::to_value(result);
    value.map(Answer::Result).map_err(|error| RpcError::new(ErrorCode::Internal, error.to_string()))
}

/// The format of the bytes behind a result.
fn monitor_format() -> Value {
    serde_json::to_value(MonitorFormat { format: "flv".to_owned() }).unwrap_or_default()
}

fn takeover_refused(why: TakeoverRefused) -> RpcError {
    RpcError::new(ErrorCode::Refused, why.to_string())
}

fn timetable_refused(error: &ScheduleError) -> RpcError {
    let code = match error {
        ScheduleError::Broken { .. } | ScheduleError::Large { .. } | ScheduleError::Date(_) => {
            ErrorCode::InvalidParams
        }
        ScheduleError::Changed => ErrorCode::Refused,
        ScheduleError::Read { .. } | ScheduleError::Write { .. } => ErrorCode::Internal,
    };
    RpcError::new(code, error.to_string())
}

fn refused(why: CommandRefused) -> RpcError {
    RpcError::new(ErrorCode::Refused, why.to_string())
}
