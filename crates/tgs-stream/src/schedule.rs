//! The timetable on air: a thread that opens a lane for each slot before it is due.
//!
//! `tgs-schedule` knows what a timetable means, the engine when a lane takes the air; here slots
//! become lanes. The file is watched: an edit is taken at once, a broken one is refused and the
//! timetable before stays.

mod contents;
mod fill;
mod pick;
mod planning;
mod policy;
mod slot_programme;
mod store;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, SystemTime},
};

use tgs_control::{PublisherState, ScheduleText};
use tgs_core::{files::FileVersion, supervise::keep_running};
use tgs_playout::{
    engine::Control,
    lane::{AfterEnd, Lane, LaneHandle, LaneRefused, LaneStart, LaneState, ListReturn},
};
use tgs_schedule::{Fill, Occurrence, Timetable, edit::etag};

pub(crate) use self::{
    contents::plan_of_day,
    fill::LengthOf,
    store::{ScheduleError, ScheduleFile},
};
use self::{
    policy::{Now, OccurrenceKey, SlotAction, SlotPolicy},
    slot_programme::{SlotPlan, SlotProgramme},
    store::FinishedFile,
};
use crate::resolver::Resolver;

/// How often the lanes and the clock are looked at.
const TICK: Duration = Duration::from_millis(500);

/// How often the timetable is evaluated if nothing changes.
const EVALUATE_EVERY: Duration = Duration::from_secs(10);

/// How long a refused lane is not tried again.
const RETRY: Duration = Duration::from_secs(5);

/// The rank of slots among the lanes.
pub(crate) const SLOT_RANK: u8 = 1;

/// What the scheduler needs.
pub(crate) struct ScheduleConfig {
    /// SCHEDULE.
    pub(crate) file: PathBuf,
    /// SCHEDULE_PREROLL.
    pub(crate) preroll: Duration,
    /// SCHEDULE_RETURN.
    pub(crate) list_returns: ListReturn,
    pub(crate) state_dir: PathBuf,
    pub(crate) resolver: Resolver,
    pub(crate) length: Arc<LengthOf>,
    /// Slots are prepared as if it were this time at least: when a held engine is to begin.
    pub(crate) not_before: Option<SystemTime>,
}

/// Where lanes are opened: the engine, or a simulation of it.
trait LaneHost {
    fn open_lane(&mut self, lane: Lane) -> Result<LaneHandle, LaneRefused>;

    /// Whether the server is connected: without, nothing starts in time.
    fn is_connected(&self) -> bool;
}

impl LaneHost for Control {
    fn open_lane(&mut self, lane: Lane) -> Result<LaneHandle, LaneRefused> {
        Self::open_lane(self, lane)
    }

    fn is_connected(&self) -> bool {
        self.is_getting_ready() || self.status.read().status.publisher == PublisherState::Connected
    }
}

/// The timetable, shared between the scheduler and the control socket.
#[derive(Debug, Clone)]
pub(crate) struct Schedule(Arc<SharedSchedule>);

#[derive(Debug)]
struct SharedSchedule {
    file: ScheduleFile,
    timetable: Mutex<Option<Arc<Timetable>>>,
    /// Held while the file is replaced.
    writing: Mutex<()>,
}

impl Schedule {
    /// Reads the timetable and starts the thread that follows it. While the file is broken, the
    /// list plays alone.
    pub(crate) fn start(config: ScheduleConfig, control: &Control) -> Self {
        let file = ScheduleFile::new(config.file.clone());
        let timetable = file.read().map(|(timetable, _)| Arc::new(timetable));
        let timetable = timetable.inspect_err(|error| {
            log::error!("the timetable is not used until it is correct, the list plays alone: {error}");
        });
        let schedule = Self(Arc::new(SharedSchedule {
            file,
            timetable: Mutex::new(timetable.ok()),
            writing: Mutex::new(()),
        }));
        let (shared, control) = (schedule.clone(), control.clone());
        let stopped = control.stopped();
        let run = move || {
            let (mut scheduler, mut control) = (Scheduler::new(shared, config), control);
            keep_running(
                "schedule",
                |delay| stopped.wait(delay),
                || {
                    while !stopped.wait(TICK) {
                        scheduler.follow_file();
                        let now = SystemTime::now();
                        let now = scheduler.config.not_before.map_or(now, |begins| now.max(begins));
                        scheduler.tick(&mut control, now);
                    }
                },
            );
        };
        if let Err(error) = thread::Builder::new().name("schedule".into()).spawn(run) {
            log::error!("the timetable is not followed: failed to start a thread: {error}");
        }
        schedule
    }

    /// The timetable in force.
    fn timetable(&self) -> Option<Arc<Timetable>> {
        self.lock().clone()
    }

    /// The text of the file, and what is wrong with it.
    pub(crate) fn shown(&self) -> Result<ScheduleText, ScheduleError> {
        let text = self.file().text()?;
        let problem = Timetable::parse(&text).err().map(|problems| problems.to_string());
        let path = self.file().path().display().to_string();
        Ok(ScheduleText { path, etag: etag(&text), text, problem })
    }

    /// Replaces the text, unless it has changed since the version `seen`. It is in force at once.
    pub(crate) fn set(&self, text: &str, seen: &str) -> Result<(), ScheduleError> {
        // One change at a time: another would be lost.
        let _turn = self.0.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let timetable = self.file().set(text, seen)?;
        *self.lock() = Some(Arc::new(timetable));
        Ok(())
    }

    /// The file of the timetable.
    fn file(&self) -> &ScheduleFile {
        &self.0.file
    }

    /// The folder in which relative paths of the timetable begin.
    fn dir(&self) -> &Path {
        self.0.file.dir()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Timetable>>> {
        self.0.timetable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's state.
struct Scheduler {
    schedule: Schedule,
    config: ScheduleConfig,
    policy: SlotPolicy,
    finished: FinishedFile,
    handles: BTreeMap<OccurrenceKey, LaneHandle>,
    version: Option<FileVersion>,
    evaluated: Option<SystemTime>,
    /// When the next slot is to be prepared.
    due: Option<SystemTime>,
    states: Vec<(OccurrenceKey, LaneState)>,
    connected: bool,
    refused_at: Option<SystemTime>,
}

impl Scheduler {
    fn new(schedule: Schedule, config: ScheduleConfig) -> Self {
        let finished = FinishedFile::open(&config.state_dir);
        let policy = SlotPolicy::new(finished.read());
        let version = schedule.file().version();
        Self {
            schedule,
            config,
            policy,
            finished,
            handles: BTreeMap::new(),
            version,
            evaluated: None,
            due: None,
            states: Vec::new(),
            connected: false,
            refused_at: None,
        }
    }

    /// Decides anew if a slot is due or something has changed.
    fn tick(&mut self, host: &mut dyn LaneHost, now: SystemTime) {
        let states: Vec<_> = self.handles.iter().map(|(key, handle)| (key.clone(), handle.state())).collect();
        let connected = host.is_connected();
        let is_due = self.due.is_none_or(|due| now >= due);
        let changed = states != self.states || connected != self.connected;
        if is_due || changed || is_past(self.evaluated, EVALUATE_EVERY, now) {
            (self.states, self.connected) = (states, connected);
            self.evaluate(host, now);
        }
    }

    /// Takes an edit of the file.
    fn follow_file(&mut self) {
        let version = self.schedule.file().version();
        if version == self.version || version.is_none() {
            return;
        }
        self.version = version;
        match self.schedule.file().read() {
            Ok((timetable, _)) => {
                log::info!("the timetable has changed: {} slots", timetable.slots().len());
                *self.schedule.lock() = Some(Arc::new(timetable));
                self.evaluated = None;
            }
            Err(error) => log::error!("the edited timetable is not used, the one before stays: {error}"),
        }
    }

    fn evaluate(&mut self, host: &mut dyn LaneHost, time: SystemTime) {
        let Some(timetable) = self.schedule.timetable() else { return };
        self.evaluated = Some(time);
        let before = self.policy.finished().len();
        let now = Now { time, preroll: self.config.preroll, connected: self.connected, states: &self.states };
        let actions = self.policy.step(&timetable, now);
        self.handles.retain(|_, handle| !matches!(handle.state(), LaneState::Over | LaneState::Stopped));
        for action in actions {
            self.execute(host, &timetable, action, time);
        }
        if self.policy.finished().len() != before {
            self.finished.write(self.policy.finished());
        }
        let next = timetable.next_after(time + self.config.preroll);
        self.due = next.and_then(|next| next.start.checked_sub(self.config.preroll));
    }

    fn execute(
        &mut self,
        host: &mut dyn LaneHost,
        timetable: &Timetable,
        action: SlotAction,
        now: SystemTime,
    ) {
        match action {
            SlotAction::Open { key, occurrence, joins_at, start } => {
                if is_past(self.refused_at, RETRY, now) {
                    let lane = self.lane(timetable, &key, &occurrence, joins_at, start, now);
                    self.open(host, timetable, lane, key, &occurrence, now);
                }
            }
            SlotAction::Close { key, cause } => {
                if let Some(handle) = self.handles.remove(&key) {
                    handle.close(&cause);
                }
            }
            SlotAction::SetEnd { key, end } => {
                if let Some(handle) = self.handles.get(&key) {
                    handle.set_end(end);
                }
            }
            SlotAction::Skip { key } => {
                log::warn!("“{}” is not played: its start has passed; see late in the timetable", key.name);
            }
        }
    }

    fn lane(
        &self,
        timetable: &Timetable,
        key: &OccurrenceKey,
        occurrence: &Occurrence,
        joins_at: Duration,
        start: LaneStart,
        now: SystemTime,
    ) -> Lane {
        let slot = timetable.slot(occurrence).clone();
        let after_end = if slot.fill == Fill::Slate { AfterEnd::Filler } else { AfterEnd::List };
        let back_at = occurrence.end.and_then(|end| timetable.clock(end));
        let plan = SlotPlan {
            slot,
            dir: self.schedule.dir().to_owned(),
            starts: occurrence.start,
            airs_at: match start {
                LaneStart::Now => now,
                LaneStart::At(at) | LaneStart::AfterItem(at) => at,
            },
            ends: occurrence.end,
            joins_at,
        };
        if !joins_at.is_zero() {
            log::info!("“{}” is joined {} s after its start", key.name, joins_at.as_secs());
        }
        Lane {
            name: key.name.clone(),
            programme: Box::new(SlotProgramme::new(
                plan,
                self.config.resolver.clone(),
                self.config.length.clone(),
            )),
            start,
            end: Some(occurrence.latest_end),
            rank: SLOT_RANK,
            after_end,
            slate_text: back_at.filter(|_| after_end == AfterEnd::Filler).map(|at| format!("Back at {at}")),
            list_returns: self.config.list_returns,
            read_ahead: None,
            short_groups: false,
        }
    }

    fn open(
        &mut self,
        host: &mut dyn LaneHost,
        timetable: &Timetable,
        lane: Lane,
        key: OccurrenceKey,
        occurrence: &Occurrence,
        now: SystemTime,
    ) {
        match host.open_lane(lane) {
            Ok(handle) => {
                self.handles.insert(key, handle);
                self.policy.opened(timetable, occurrence);
            }
            // The next engine opens what is due then.
            Err(LaneRefused::NotRunning) => {}
            Err(refused) => {
                log::error!("“{}” is not prepared: {refused}", key.name);
                self.refused_at = Some(now);
            }
        }
    }
}

/// Whether `interval` has passed since `since`; also if the clock was set back.
fn is_past(since: Option<SystemTime>, interval: Duration, now: SystemTime) -> bool {
    !since.is_some_and(|since| now.duration_since(since).is_ok_and(|passed| passed < interval))
}

#[cfg(test)]
mod fortnight;
