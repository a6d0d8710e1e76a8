//! The steps of an upgrade in the process that is on air.

use std::{
    os::{fd::AsFd, unix::net::UnixStream},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tgs_control::OnAir;
use tgs_core::{process::successor::Successor, systemd};
use tgs_playout::{engine::Control, handover::LeavePoint};

use super::{
    channel::{ChannelError, HandoverChannel},
    messages::{HandedState, PROTOCOL, PredecessorSays, SuccessorSays},
    state::{Upgrade, UpgradeOutcome},
};
use crate::position::Position;

/// A successor that is not ready after this time is dropped.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// How far ahead the first attempt leaves; the next ones take twice as long. The successor probes
/// and encodes its first item meanwhile.
const LEAD: Duration = Duration::from_secs(6);

/// The longest such time.
const LONGEST_LEAD: Duration = Duration::from_secs(13);

/// The broadcast leaves this late at most: a read-ahead that runs dry delays it.
const LATE: Duration = Duration::from_secs(5);

/// How long the successor may take from `go` to the first media it sends: a server may be slow to
/// accept it.
const LIVE_WITHIN: Duration = Duration::from_secs(10);

/// How long further outputs and recording may take to end before the successor begins.
const MEDIA_WITHIN: Duration = Duration::from_millis(300);

/// How long a publisher may be in the middle of a message: a keyframe of 4 Mbit over a link of
/// 2 Mbit/s. The successor is on air meanwhile.
const PUBLISHER_WITHIN: Duration = Duration::from_secs(2);

/// Where the broadcast leaves the air.
enum Departure {
    /// Nothing is on air.
    Silent,
    /// At a picture of the list.
    Point(LeavePoint, Instant),
    /// The list waits: at this time.
    Rest(Instant),
}

/// A successor that is ready.
struct ReadySuccessor {
    process: Successor,
    channel: HandoverChannel,
    version: String,
    takes_publisher: bool,
    departure: Departure,
}

/// Why the broadcast was not handed over. It goes on as before.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpgradeError {
    /// This kind of broadcast never is.
    #[error("this broadcast cannot be handed over: {0}; restart it: systemctl restart tg_video_streamer")]
    Impossible(&'static str),
    /// Another upgrade is under way.
    #[error("another upgrade is under way")]
    Busy,
    /// The broadcast is being stopped.
    #[error("the broadcast is being stopped")]
    Stopping,
    /// The successor cannot be started.
    #[error("the new program cannot be started, and the old one goes on: {0}")]
    Start(#[source] std::io::Error),
    /// The successor was not ready in time, or has failed.
    #[error("the new program {doing}, and the old one goes on: {why}; see the log of the unit")]
    Successor {
        /// What it was to do.
        doing: &'static str,
        /// What it did instead.
        why: String,
    },
    /// No picture was found at which to hand over.
    #[error(
        "the broadcast did not reach a picture at which it can be handed over, and the old program goes on; try again"
    )]
    NoPoint,
}

/// The result of an upgrade.
#[derive(Debug)]
pub(crate) struct CompletedUpgrade {
    /// The successor.
    pub(crate) pid: u32,
    pub(crate) version: String,
    /// From the end of this process's connection to the first media of the successor; `None` if
    /// nothing was on air.
    pub(crate) gap: Option<Duration>,
}

impl Upgrade {
    /// Hands the broadcast over; it goes on if that fails. After success [`Upgrade::finish`] ends
    /// this process.
    pub(crate) fn run(&self) -> Result<CompletedUpgrade, UpgradeError> {
        if let Some(why) = self.0.refusal {
            return Err(UpgradeError::Impossible(why));
        }
        if self.0.control.stopped().is_cancelled() {
            return Err(UpgradeError::Stopping);
        }
        {
            let mut state = self.lock();
            if std::mem::replace(&mut state.running, true) {
                return Err(UpgradeError::Busy);
            }
            (state.outcome, state.position) = (None, None);
        }
        log::info!("upgrade: starting the program that is installed now");
        let done = upgrade(self);
        match &done {
            Ok(taken) => {
                self.0.handed_over.cancel();
                log::info!("upgrade: handed over to tgs-stream {}, pid {}", taken.version, taken.pid);
            }
            Err(error) => {
                log::error!("upgrade: {error}");
                if self.lock().media.is_none() {
                    self.start_media();
                }
                self.decide(UpgradeOutcome::Failed);
            }
        }
        done
    }
}

/// Tries until the broadcast is handed over, or the time is up.
fn upgrade(upgrade: &Upgrade) -> Result<CompletedUpgrade, UpgradeError> {
    let deadline = Instant::now() + READY_WITHIN;
    let mut lead = LEAD;
    loop {
        let mut prepared = prepare(upgrade, lead, deadline)?;
        let missed = match &prepared.departure {
            Departure::Silent => false,
            departure => !leave(upgrade, departure)?,
        };
        if !missed {
            let gone = Instant::now();
            return match publish(upgrade, &mut prepared) {
                Ok(at) => {
                    systemd::main_process(prepared.process.id());
                    let gap = (!matches!(prepared.departure, Departure::Silent)).then(|| at - gone);
                    if prepared.takes_publisher {
                        hand_publisher_over(upgrade, &mut prepared.channel);
                    }
                    let ReadySuccessor { process, version, channel, .. } = prepared;
                    let pid = process.id();
                    process.release();
                    // Its end tells the successor that this process has ended.
                    std::mem::forget(channel);
                    Ok(CompletedUpgrade { pid, version, gap })
                }
                Err(error) => Err(error),
            };
        }
        // Another attempt with more time, if there is any.
        drop(prepared);
        if left(deadline) < LEAD {
            return Err(UpgradeError::NoPoint);
        }
        log::warn!("upgrade: the new program was not ready in time for its picture; trying once more");
        lead = (lead * 2).min(LONGEST_LEAD);
    }
}

/// Starts the successor and waits until it is ready.
fn prepare(upgrade: &Upgrade, lead: Duration, deadline: Instant) -> Result<ReadySuccessor, UpgradeError> {
    let (own, other) = UnixStream::pair().map_err(UpgradeError::Start)?;
    let mut channel = HandoverChannel::new(own).map_err(UpgradeError::Start)?;
    let mut process = Successor::start(other.into()).map_err(UpgradeError::Start)?;
    let failed = |doing, process: &mut Successor, error: ChannelError| {
        let ended = matches!(error, ChannelError::Closed).then(|| ended(process)).flatten();
        UpgradeError::Successor { doing, why: ended.unwrap_or_else(|| error.to_string()) }
    };
    let doing = "did not start";
    let (version, takes_publisher) = match channel.receive(deadline) {
        Ok(SuccessorSays::Hello { protocol: PROTOCOL, version, takes_publisher }) => {
            (version, takes_publisher)
        }
        Ok(SuccessorSays::Hello { protocol, version, .. }) => {
            let why = format!("version {version} hands over by protocol {protocol}, this one by {PROTOCOL}");
            return Err(UpgradeError::Successor { doing: "cannot take over", why });
        }
        Ok(SuccessorSays::Refuses { why }) => return Err(UpgradeError::Successor { doing, why }),
        Ok(_) => return Err(UpgradeError::Successor { doing, why: "it skips the greeting".to_owned() }),
        Err(error) => return Err(failed(doing, &mut process, error)),
    };
    let (departure, position) = departure(upgrade, lead, deadline)?;
    let doing = "did not get ready";
    let (descriptors, copies): (Vec<_>, Vec<_>) = upgrade.descriptors().into_iter().unzip();
    let begins = match &departure {
        Departure::Silent => Instant::now(),
        Departure::Point(_, at) | Departure::Rest(at) => *at,
    };
    let start = PredecessorSays::Start(Box::new(HandedState {
        on_air: !matches!(departure, Departure::Silent),
        position: position.clone(),
        begins_at: epoch_ms(SystemTime::now() + left(begins)),
        ingest: upgrade.lock().ingest.clone(),
        descriptors,
    }));
    let beside: Vec<_> = copies.iter().map(AsFd::as_fd).collect();
    channel
        .send(&start, &beside)
        .map_err(|error| UpgradeError::Successor { doing, why: error.to_string() })?;
    upgrade.lock().position = position;
    match channel.receive(deadline) {
        Ok(SuccessorSays::Ready) => {
            Ok(ReadySuccessor { process, channel, version, takes_publisher, departure })
        }
        Ok(SuccessorSays::Refuses { why }) => Err(UpgradeError::Successor { doing, why }),
        Ok(_) => Err(UpgradeError::Successor { doing, why: "it says something else".to_owned() }),
        Err(error) => Err(failed(doing, &mut process, error)),
    }
}

/// Finds where to leave.
fn departure(
    upgrade: &Upgrade,
    lead: Duration,
    deadline: Instant,
) -> Result<(Departure, Option<Position>), UpgradeError> {
    let control = &upgrade.0.control;
    while !control.stopped().is_cancelled() {
        if !upgrade.0.standing.is_playing() {
            return Ok((Departure::Silent, None));
        }
        let mut points = control.leave_points().into_iter();
        if list_waits(control) {
            // Without a point nothing of the list is encoded: it continues where it was published.
            let position = points.find_map(|point| position_of(upgrade, &point));
            return Ok((Departure::Rest(Instant::now() + lead), position));
        }
        let found = points
            .filter(|point| point.after >= lead)
            .find_map(|point| Some((position_of(upgrade, &point)?, point)));
        if let Some((position, point)) = found {
            let at = Instant::now() + point.after;
            return Ok((Departure::Point(point, at), Some(position)));
        }
        if left(deadline) < lead {
            return Err(UpgradeError::NoPoint);
        }
        thread::sleep(Duration::from_millis(100));
    }
    Err(UpgradeError::Stopping)
}

/// The position at `point`, if a file can hold exactly that, and the queue is the same until then.
fn position_of(upgrade: &Upgrade, point: &LeavePoint) -> Option<Position> {
    let published = upgrade.0.control.status.published().map(|published| published.turn);
    if published.is_some_and(|turn| turn != point.turn) && !upgrade.0.queue.is_empty() {
        return None;
    }
    let bookmarks = upgrade.lock().bookmarks.clone()?;
    bookmarks.exact_point(point.turn, point.offset).map(Position::from)
}

/// Leaves the air. `false` if the picture was not reached: the broadcast goes on.
fn leave(upgrade: &Upgrade, departure: &Departure) -> Result<bool, UpgradeError> {
    let control = &upgrade.0.control;
    let at = match departure {
        Departure::Silent => return Ok(true),
        Departure::Point(point, at) => {
            // The picture may have been taken already.
            if left(*at) < Duration::from_millis(300) {
                return Ok(false);
            }
            control.leave_at(point);
            *at
        }
        Departure::Rest(at) => return leave_at_rest(upgrade, *at),
    };
    if control.wait_left(left(at) + LATE) {
        return Ok(true);
    }
    if control.stay() {
        return Ok(false);
    }
    // It is about to leave: a server may be slow to take the rest.
    if control.wait_left(LATE) { Ok(true) } else { Err(UpgradeError::NoPoint) }
}

/// Leaves while the list waits. `false` if the list is on air meanwhile.
fn leave_at_rest(upgrade: &Upgrade, at: Instant) -> Result<bool, UpgradeError> {
    let control = &upgrade.0.control;
    let mut asked = false;
    while !left(at + LATE).is_zero() && list_waits(control) {
        if left(at).is_zero() && !std::mem::replace(&mut asked, true) {
            control.leave_at_rest();
        }
        if control.wait_left(Duration::from_millis(50)) {
            return Ok(true);
        }
    }
    if control.stay() {
        return Ok(false);
    }
    if control.wait_left(LATE) { Ok(true) } else { Err(UpgradeError::NoPoint) }
}

/// Whether the filler or a lane is on air.
fn list_waits(control: &Control) -> bool {
    match control.status.read().status.on_air {
        OnAir::Item(item) => item.lane.is_some(),
        OnAir::Filler { .. } => true,
        _ => false,
    }
}

/// Lets the successor publish. Returns when its first media was sent.
fn publish(upgrade: &Upgrade, prepared: &mut ReadySuccessor) -> Result<Instant, UpgradeError> {
    let doing = "did not publish";
    let ending = upgrade.clone();
    // Their servers accept the successor once they are left; a slow one must not delay the others.
    let ended = thread::Builder::new().name("upgrade-media".into()).spawn(move || ending.end_media());
    if let Ok(ended) = ended {
        let deadline = Instant::now() + MEDIA_WITHIN;
        while !ended.is_finished() && !left(deadline).is_zero() {
            thread::sleep(Duration::from_millis(2));
        }
    }
    let sent = prepared.channel.send(&PredecessorSays::Go, &[]);
    sent.map_err(|error| UpgradeError::Successor { doing, why: error.to_string() })?;
    match prepared.channel.receive(Instant::now() + LIVE_WITHIN) {
        Ok(SuccessorSays::Live) => Ok(Instant::now()),
        Ok(SuccessorSays::Refuses { why }) => Err(UpgradeError::Successor { doing, why }),
        Ok(_) => Err(UpgradeError::Successor { doing, why: "it says something else".to_owned() }),
        Err(error) => Err(UpgradeError::Successor { doing, why: error.to_string() }),
    }
}

/// Gives the publisher of the live input to the successor, which serves it from now on. One that
/// cannot go over is disconnected with the end of this process.
fn hand_publisher_over(upgrade: &Upgrade, channel: &mut HandoverChannel) {
    let live = upgrade.lock().live.upgrade();
    let Some((socket, live)) = live.and_then(|live| live.hand_over(PUBLISHER_WITHIN)) else { return };
    if let Err(error) = channel.send(&PredecessorSays::Publisher(Box::new(live)), &[socket.as_fd()]) {
        log::warn!("upgrade: the publisher of the live input does not go over: {error}");
    }
}

/// How a process that has closed its channel has ended.
fn ended(process: &mut Successor) -> Option<String> {
    let deadline = Instant::now() + Duration::from_secs(1);
    while !left(deadline).is_zero() {
        if let Some(status) = process.ended() {
            return Some(format!("it has ended ({status})"));
        }
        thread::sleep(Duration::from_millis(5));
    }
    None
}

fn epoch_ms(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

/// The time left until `deadline`.
fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
