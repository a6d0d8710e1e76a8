//! How one host continues what another was doing: the record of the host on air, from and to the
//! files of `STATE_DIR`.
//!
//! Paths in it are those of the other host: both have the same list in the same place.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tgs_core::{files, supervise::keep_running};
use tgs_ha::{HandOverError, Member, OnAirTerm, StateRecord};
use tgs_playout::{command::Command, engine::Control};
use tgs_telegram::Ingest;

use crate::{
    hosts_view::HostsView,
    playlist::Bookmarks,
    position::{ListPlace, Position},
};

/// How often the record is brought up to date. Its position may be 0.45 s old: see
/// [`crate::position::SAVE_EVERY`].
const EVERY: Duration = Duration::from_millis(100);

/// How far ahead a host leaves the air: the successor needs the time to get ready.
const AHEAD: Duration = Duration::from_secs(8);

/// The same where the host is being stopped.
const AHEAD_OF_STOP: Duration = Duration::from_secs(5);

/// How long before the point the successor must be ready, and how much later it may be reached.
const LEAD: Duration = Duration::from_millis(500);

/// How often a point is chosen before this host leaves at once.
const TRIES: u32 = 2;

/// How often a wait looks.
const LOOK: Duration = Duration::from_millis(20);

/// The largest file that is read.
const LARGEST: u64 = 1 << 20;

/// The files that go along whole, by the part of the record.
const STANDING: &str = "control.json";
const QUEUE: &str = "queue.json";

/// Where the broadcast is in its list, as the position's thread says.
#[derive(Debug, Clone, Default)]
pub(crate) struct PositionFeed(Arc<Mutex<Fed>>);

#[derive(Debug, Default)]
struct Fed {
    /// `Saved`: the list is not open yet; the record's position holds.
    place: ListPlace,
    /// Of the engine that runs.
    bookmarks: Option<Bookmarks>,
    /// Whether the broadcast has left the air: its place is final.
    left: bool,
}

impl Fed {
    fn set(&mut self, place: ListPlace) {
        if !self.left {
            self.place = place;
        }
    }
}

impl PositionFeed {
    pub(crate) fn set(&self, position: Position) {
        self.lock().set(ListPlace::At(Box::new(position)));
    }

    pub(crate) fn clear(&self) {
        self.lock().set(ListPlace::Beginning);
    }

    /// Sets where the broadcast has left the air. What is acknowledged later is before that.
    fn leave_at(&self, position: Position) {
        let mut fed = self.lock();
        fed.set(ListPlace::At(Box::new(position)));
        fed.left = true;
    }

    /// Names the bookmarks of the engine that begins.
    pub(crate) fn follow(&self, bookmarks: Bookmarks) {
        self.lock().bookmarks = Some(bookmarks);
    }

    fn bookmarks(&self) -> Option<Bookmarks> {
        self.lock().bookmarks.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Fed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a host hands over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// It was asked to.
    Planned,
    /// It is being stopped, and killed if that takes long.
    Stop,
}

impl Urgency {
    /// How far ahead the point is at least, and how often one is chosen.
    fn point(self) -> (Duration, u32) {
        match self {
            Self::Planned => (AHEAD, TRIES),
            Self::Stop => (AHEAD_OF_STOP, 1),
        }
    }
}

/// The term on air of one host.
#[derive(Debug)]
pub(crate) struct Succession {
    member: Arc<Member>,
    term: OnAirTerm,
    host: String,
    state_dir: PathBuf,
    pub(crate) feed: PositionFeed,
    /// The ingest that the standby has learned from Telegram.
    pub(crate) ingest: Option<Ingest>,
    hosts: HostsView,
    /// Whether a hand-over was requested.
    requested: AtomicBool,
    /// Whether it was tried; held by the thread that tries.
    tried: Mutex<bool>,
}

impl Succession {
    /// A term that begins. Brings the files of `state_dir` up to date with the record.
    pub(crate) fn begin(
        member: &Arc<Member>,
        term: OnAirTerm,
        host: &str,
        state_dir: &Path,
        ingest: Option<Ingest>,
        hosts: &HostsView,
    ) -> Self {
        let succession = Self {
            member: member.clone(),
            term,
            host: host.to_owned(),
            state_dir: state_dir.to_owned(),
            feed: PositionFeed::default(),
            ingest,
            hosts: hosts.clone(),
            requested: AtomicBool::new(false),
            tried: Mutex::default(),
        };
        if let Some(record) = succession.foreign() {
            for (name, part, mode) in [(STANDING, &record.standing, 0o640), (QUEUE, &record.queue, 0o600)] {
                if let Err(error) = restore(&state_dir.join(name), part.as_ref(), mode) {
                    log::warn!("failed to write {name} as the host {} had it: {error}", record.host);
                }
            }
        }
        succession
    }

    /// The record, if another host wrote it: the files of this host are older then.
    fn foreign(&self) -> Option<&StateRecord> {
        self.term.record.as_ref().filter(|record| !record.host.is_empty() && record.host != self.host)
    }

    /// Where the list continues.
    pub(crate) fn place(&self) -> ListPlace {
        let Some(record) = self.foreign() else { return ListPlace::Saved };
        let Some(position) = record.position.clone() else { return ListPlace::Beginning };
        match serde_json::from_value(position) {
            Ok(position) => ListPlace::At(position),
            Err(error) => {
                log::warn!("the position of the host {} cannot be read: {error}", record.host);
                ListPlace::Saved
            }
        }
    }

    /// What the status shows of the hosts.
    pub(crate) fn hosts(&self) -> HostsView {
        self.hosts.clone()
    }

    /// Begins to hand the air over, at a keyframe of the broadcast of `control` if the successor
    /// gets ready for it in time, else at once.
    pub(crate) fn start_hand_over(
        self: &Arc<Self>,
        control: &Control,
        urgency: Urgency,
    ) -> Result<(), HandOverError> {
        self.member.successor()?;
        if self.requested.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let (succession, leaving) = (self.clone(), control.clone());
        let (ahead, tries) = urgency.point();
        let run = move || {
            if (0..tries).any(|_| succession.leave_at_point(&leaving, ahead)) {
                return;
            }
            if let Err(error) = succession.member.successor() {
                log::warn!("the air is not handed over: {error}");
                succession.requested.store(false, Ordering::SeqCst);
                return;
            }
            log::warn!("no standby got ready in time; this host hands over at once");
            let _ = leaving.send(Command::Stop);
        };
        let started = thread::Builder::new().name("ha-leave".into()).spawn(run);
        started.map(drop).or_else(|_| control.send(Command::Stop).map_err(|_| HandOverError::NotActive))
    }

    /// Announces a point some seconds ahead, waits until the successor holds its broadcast ready
    /// there, leaves, and hands over. `false`: this host is still on air.
    fn leave_at_point(&self, control: &Control, ahead: Duration) -> bool {
        let points = control.leave_points();
        let point = points.iter().find(|point| point.after >= ahead && !point.live).or(points.last());
        let Some((point, bookmarks)) = point.zip(self.feed.bookmarks()) else { return false };
        let Some(resume) = bookmarks.resume_point(point.turn, point.offset) else { return false };
        let position = Position::from(resume);
        let announced = Instant::now();
        let record = StateRecord { position: serde_json::to_value(&position).ok(), ..self.parts() };
        let Some(offer) = self.member.announce(StateRecord { host: self.host.clone(), ..record }) else {
            return false;
        };
        let stopped = control.stopped();
        while !self.member.is_held(&offer) {
            if announced.elapsed() + LEAD > point.after || stopped.wait(LOOK) {
                self.member.withdraw();
                return false;
            }
        }
        control.leave_at(point);
        if !control.wait_left(point.after.saturating_sub(announced.elapsed()) + LEAD) && control.stay() {
            self.member.withdraw();
            return false;
        }
        self.feed.leave_at(position);
        self.record();
        self.hand_over();
        let _ = control.send(Command::Stop);
        true
    }

    /// Hands over after the broadcast's end, once. The thread that waited for the point and that of
    /// the broadcast both call this; the later one finds it done, or failed.
    pub(crate) fn hand_over(&self) {
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *tried, true) || !self.is_on_air() {
            return;
        }
        match self.member.hand_over() {
            Ok(host) => log::info!("the host {host} publishes now"),
            Err(error) => log::warn!("the air is not handed over: {error}"),
        }
    }

    /// The term as it goes on if the hand-over has failed: from what this host did itself.
    pub(crate) fn continued(&self) -> OnAirTerm {
        let record = StateRecord { host: self.host.clone(), position: self.position(), ..self.parts() };
        OnAirTerm { record: Some(record), offer: None, ..self.term.clone() }
    }

    /// Holds the broadcast of `control` until the permit begins, if the host before has announced
    /// that it will hand over.
    pub(crate) fn hold(self: &Arc<Self>, control: &Control) {
        let Some(offer) = self.term.offer.clone() else { return };
        control.hold();
        let (succession, held) = (self.clone(), control.clone());
        let run = move || {
            let (permit, mut said) = (&succession.term.permit, false);
            while !permit.is_valid() && !permit.is_over() {
                if !said && held.is_ready() {
                    said = true;
                    succession.member.hold(&offer);
                }
                if held.stopped().wait(LOOK) {
                    return;
                }
            }
            if permit.is_valid() {
                held.release();
            }
        };
        if let Err(error) = thread::Builder::new().name("ha-hold".into()).spawn(run) {
            log::warn!("the hand-over is not prepared: failed to start a thread: {error}");
            control.release();
        }
    }

    /// Whether the air is to be handed over.
    pub(crate) fn is_handing_over(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }

    /// Keeps the record up to date until `control` is stopped.
    pub(crate) fn start_recording(self: &Arc<Self>, control: &Control) {
        let (succession, stopped) = (self.clone(), control.stopped());
        let run = move || {
            keep_running(
                "ha-record",
                |delay| stopped.wait(delay),
                || {
                    while !stopped.wait(EVERY) {
                        succession.record();
                    }
                },
            );
        };
        if let Err(error) = thread::Builder::new().name("ha-record".into()).spawn(run) {
            log::error!("the position is not written to etcd: failed to start a thread: {error}");
        }
    }

    /// Stops the broadcast of `control` when the permit has ended.
    pub(crate) fn end_with_permit(&self, control: &Control) -> io::Result<()> {
        let (permit, control) = (self.term.permit.clone(), control.clone());
        let stopped = control.stopped();
        let run = move || {
            while !permit.is_over() {
                if stopped.wait(Duration::from_millis(50)) {
                    return;
                }
            }
            let _ = control.send(Command::Stop);
        };
        thread::Builder::new().name("ha-term".into()).spawn(run).map(drop)
    }

    /// Whether this host may still publish.
    pub(crate) fn is_on_air(&self) -> bool {
        self.term.permit.is_valid()
    }

    /// Brings the record up to date.
    pub(crate) fn record(&self) {
        self.member.set_record(StateRecord { position: self.position(), ..self.parts() });
        // The metrics.
        let _ = self.hosts.status();
    }

    /// The record's position.
    fn position(&self) -> Option<Value> {
        match &self.feed.lock().place {
            ListPlace::Saved => self.term.record.as_ref()?.position.clone(),
            ListPlace::At(position) => serde_json::to_value(position).ok(),
            ListPlace::Beginning => None,
        }
    }

    /// The record without the position.
    fn parts(&self) -> StateRecord {
        StateRecord {
            standing: part(&self.state_dir.join(STANDING)),
            queue: part(&self.state_dir.join(QUEUE)),
            ..StateRecord::default()
        }
    }
}

/// A file as a part of the record; `None` if there is no such file.
fn part(path: &Path) -> Option<Value> {
    serde_json::from_slice(&files::read_regular(path, LARGEST).ok()?).ok()
}

fn restore(path: &Path, part: Option<&Value>, mode: u32) -> io::Result<()> {
    match part.filter(|part| !part.is_null()) {
        Some(part) => files::replace(path, &serde_json::to_vec(part)?, mode),
        None => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tgs_core::permit::Permit;
    use tgs_ha::HaConfig;

    use super::*;

    fn position(offset_ms: u64) -> Value {
        json!({ "item": "/a.mp4", "nth": 0, "index": 0, "offset_ms": offset_ms })
    }

    #[test]
    fn a_failed_hand_over_does_not_bring_back_what_the_host_before_did() {
        let config = HaConfig {
            endpoints: vec!["http://127.0.0.1:1".to_owned()],
            ttl: Duration::from_secs(5),
            ..HaConfig::default()
        };
        let member = Arc::new(Member::start(config).unwrap());
        let (dir, hosts) = (tempfile::tempdir().unwrap(), HostsView::new(&member, "right"));
        let begin = |term| Succession::begin(&member, term, "right", dir.path(), None, &hosts);
        let record = StateRecord {
            host: "left".to_owned(),
            position: Some(position(1000)),
            queue: Some(json!(["of left"])),
            ..StateRecord::default()
        };
        let permit = Permit::always();
        let first = begin(OnAirTerm { permit, number: 1, record: Some(record), offer: Some("1".to_owned()) });
        let queue = || fs::read_to_string(dir.path().join(QUEUE)).unwrap();
        assert_eq!(queue(), r#"["of left"]"#);
        assert!(matches!(first.place(), ListPlace::At(at) if at.offset_ms == 1000));

        // It plays on, and leaves; then the hand-over fails.
        fs::write(dir.path().join(QUEUE), r#"["of right"]"#).unwrap();
        first.feed.leave_at(serde_json::from_value(position(9000)).unwrap());
        first.feed.set(serde_json::from_value(position(8500)).unwrap());
        let again = begin(first.continued());
        assert_eq!(queue(), r#"["of right"]"#);
        assert!(matches!(again.place(), ListPlace::Saved));
        let at: Position = serde_json::from_value(again.position().unwrap()).unwrap();
        assert_eq!(at.offset_ms, 9000, "what was acknowledged late counts for nothing");
        assert_eq!(again.term.offer, None);
    }
}
