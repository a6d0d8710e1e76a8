//! The playout thread: takes encoded media, places it on the timeline, and sends it when due.
//!
//! # Theory of operation
//!
//! One anchor relates the broadcast's clock to the wall clock for the whole run. It moves in two
//! cases only: by the duration of an outage of all outputs (files wait), and by a lag at a
//! resynchronisation. If
//! the read-ahead lacks the next group of pictures when the group is due, filler is sent instead,
//! between two keyframes. This thread opens no item and starts no process except the sender of
//! `PUBLISHER=ffmpeg`; it waits for its connection and the clock only.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use tgs_control::OnAir;
use tgs_core::{
    cancel::Cancel,
    systemd::{Heartbeat, Watchdog},
};
use tgs_rtmp::flv::{Kind, Tag};

use crate::{
    clock::Clock,
    filler::Filler,
    handover::Leaving,
    main_output::{Attempts, MainOutput},
    monitor::MonitorFeed,
    on_air::OnAirTracker,
    outputs::OutputFeed,
    read_ahead::{Event, Polled, StartLevel},
    sink::SinkError,
    status::{METRICS, SharedStatus},
    timeline::{TagOrigin, TimedTag, Timeline},
};

mod bridge;
mod connection;
mod lane_switch;
mod lanes;
mod leave;
mod report;

pub(crate) use self::lane_switch::LaneSwitch;

/// A lag above this limit is not made up: the clock resynchronises.
const MAX_LAG: Duration = Duration::from_secs(10);

/// Tags that are due within this time are sent together: a third of the wake-ups, which dominate
/// the cost of a broadcast from the cache. Players buffer far more than a picture or two.
pub(crate) const TOGETHER: Duration = Duration::from_millis(40);

/// Upper bound of one loop of this thread, with a margin: connecting (10 s), names that a resolver
/// does not answer (5 s a server, three servers, two attempts, for IPv4 and IPv6), and the longest
/// back-off (30 s).
const LONGEST_TURN: Duration = Duration::from_mins(2);

/// Why the items of a broadcast end that leaves the air for another engine.
const HANDED_OVER: &str = "handed over to another process";

/// The playout thread's state.
#[derive(Debug)]
pub(crate) struct Playout {
    switch: LaneSwitch,
    timeline: Timeline,
    filler: Filler,
    main: MainOutput,
    monitors: MonitorFeed,
    outputs: OutputFeed,
    tracker: OnAirTracker,
    clock: Arc<dyn Clock>,
    cancel: Cancel,
    leaving: Leaving,
    shared_status: SharedStatus,
    heartbeat: Heartbeat,
    /// Whether sending is paced; a file is written as fast as the item is encoded.
    paced: bool,
    started: Instant,
    /// Moment at which the broadcast's time 0 was due.
    anchor: Option<Instant>,
    source: OnAirSource,
    /// Origin of the last tag sent.
    last: TagOrigin,
    /// Number of items sent, and the numbers of the newest.
    played: u64,
    newest: VecDeque<u64>,
    /// Origin of the last item frame that has arrived.
    arrived: Option<TagOrigin>,
    /// The same of the list's items.
    list_arrived: Option<TagOrigin>,
    /// While there is no connection: the broadcast time up to which everything has arrived.
    resume_at: Option<u64>,
    /// Set after a jump of a live source: tags before the next keyframe are dropped.
    until_keyframe: bool,
    reported: Option<Instant>,
    /// Time at which media was sent last.
    sent_at: Option<Instant>,
    attempts: Attempts,
    /// Time spent in sending since the broadcast was last on time: distinguishes a slow uplink from
    /// a stalled machine.
    sending: Duration,
}

/// Links of the playout thread to the rest of the process.
#[derive(Debug)]
pub(crate) struct Supervision {
    /// Stops the broadcast.
    pub(crate) cancel: Cancel,
    /// Asks the broadcast to leave the air.
    pub(crate) leaving: Leaving,
    /// Receives the snapshot.
    pub(crate) shared_status: SharedStatus,
    /// Receives what is sent.
    pub(crate) monitors: MonitorFeed,
    /// Receives the same, for the further outputs.
    pub(crate) outputs: OutputFeed,
    /// Receives the changes of what is on air.
    pub(crate) tracker: OnAirTracker,
    /// Receives the heartbeat.
    pub(crate) watchdog: Watchdog,
    /// Start time of the broadcast.
    pub(crate) started: Instant,
}

/// The source of the tags being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnAirSource {
    /// Nothing has been sent yet.
    Nothing,
    Item,
    Filler,
    /// Another lane was on air: the current one has sent nothing since.
    Changed,
}

/// Why the playout thread ends early.
enum PlayoutEnd {
    Cancelled,
    Failed(SinkError),
}

impl Playout {
    /// A broadcast that has not started.
    pub(crate) fn new(
        switch: LaneSwitch,
        timeline: Timeline,
        filler: Filler,
        main: impl Into<MainOutput>,
        supervision: Supervision,
        paced: bool,
    ) -> Self {
        let Supervision { cancel, leaving, shared_status, monitors, outputs, tracker, watchdog, started } =
            supervision;
        let heartbeat = watchdog.watch("playout", LONGEST_TURN);
        let main = main.into();
        Self {
            switch,
            timeline,
            filler,
            clock: main.clock(),
            main,
            monitors,
            outputs,
            tracker,
            cancel,
            leaving,
            shared_status,
            heartbeat,
            paced,
            started,
            anchor: None,
            source: OnAirSource::Nothing,
            last: TagOrigin { seq: 0, offset_ms: 0 },
            played: 0,
            newest: VecDeque::new(),
            arrived: None,
            list_arrived: None,
            resume_at: None,
            until_keyframe: false,
            reported: None,
            sent_at: None,
            attempts: Attempts::default(),
            sending: Duration::ZERO,
        }
    }

    /// Runs until the programme is over, the broadcast is stopped, or the output cannot be written.
    /// Returns the number of items sent.
    pub(crate) fn run(&mut self) -> Result<u64, SinkError> {
        self.tracker.started();
        let ended = self.broadcast();
        self.report(true);
        self.monitors.flush(|| self.main.current_group());
        self.tracker.stopped(match &ended {
            Ok(()) if self.leaving.is_leaving() => Some(HANDED_OVER.to_owned()),
            Ok(()) => None,
            Err(PlayoutEnd::Cancelled) => Some("stopped".to_owned()),
            Err(PlayoutEnd::Failed(error)) => Some(error.to_string()),
        });
        self.main.goodbye();
        self.leaving.note_closed();
        METRICS.on_air.set(0);
        self.shared_status.show(|status| status.on_air = OnAir::Stopped);
        match ended {
            Ok(()) | Err(PlayoutEnd::Cancelled) => Ok(self.played),
            Err(PlayoutEnd::Failed(error)) => Err(error),
        }
    }

    fn broadcast(&mut self) -> Result<(), PlayoutEnd> {
        self.connect(false)?;
        self.await_output()?;
        while let Some(placed) = self.next_placed()? {
            self.deliver(placed)?;
        }
        while let Some(placed) = self.timeline.pop_rest() {
            self.deliver(placed)?;
        }
        Ok(())
    }

    /// The next tag in order of time; `None` when the programme is over.
    fn next_placed(&mut self) -> Result<Option<TimedTag>, PlayoutEnd> {
        loop {
            self.heartbeat.beat();
            if let Some(placed) = self.timeline.pop() {
                return Ok(Some(placed));
            }
            if self.cancel.is_cancelled() {
                return Err(PlayoutEnd::Cancelled);
            }
            if self.leaves_without_item() {
                return Ok(None);
            }
            match self.take() {
                Polled::Event(piece) if self.leaves_before(&piece) => return Ok(None),
                Polled::Event(piece) => self.accept(piece),
                Polled::Ended if self.is_over() => return Ok(None),
                Polled::Ended if !self.holds_with_filler() => {}
                Polled::NotReady if !self.paced => {}
                Polled::NotReady | Polled::Ended => self.bridge()?,
            }
        }
    }

    fn take(&mut self) -> Polled {
        if self.paced
            && let Some(to) = self.due_lane()
        {
            return self.take_to_change(to);
        }
        self.poll()
    }

    fn poll(&self) -> Polled {
        let read_ahead = &self.switch.current().read_ahead;
        match self.source {
            _ if !self.paced => read_ahead.wait_event(Duration::from_millis(200)),
            OnAirSource::Nothing | OnAirSource::Changed => read_ahead.poll(StartLevel::Start),
            OnAirSource::Item => read_ahead.poll(StartLevel::Group),
            // The filler continues until its reordered pictures leave no gap: see
            // [`Timeline::is_whole`].
            OnAirSource::Filler if !self.timeline.is_whole() => Polled::NotReady,
            OnAirSource::Filler => read_ahead.poll(StartLevel::Refilled),
        }
    }

    /// Whether the end of what is on air ends the broadcast.
    fn is_over(&self) -> bool {
        self.switch.current_lane().is_none_or(|lane| lane.ends_broadcast())
    }

    /// Whether the filler is shown after the end of the current lane's programme.
    fn holds_with_filler(&self) -> bool {
        self.switch.current_lane().is_some_and(|lane| lane.holds_with_filler())
    }

    fn accept(&mut self, piece: Event) {
        match piece {
            Event::Begin(item) => {
                self.switch.current_mut().begin(item);
                self.begin_segment();
            }
            Event::Tag(tag) => {
                if matches!(self.source, OnAirSource::Filler | OnAirSource::Changed) {
                    self.begin_segment();
                }
                if tag.is_sequence_header() {
                    self.switch.current_mut().headers[usize::from(tag.kind == Kind::Audio)] =
                        Some(tag.clone());
                }
                self.timeline.push(tag);
            }
            Event::End => self.tracker.item_over(self.switch.current().newest().map_or(0, |item| item.seq)),
        }
    }

    /// Begins a segment of the newest item: its first, or a further one after filler or a jump.
    fn begin_segment(&mut self) {
        let source = self.switch.current_mut();
        if let Some(item) = source.newest() {
            self.timeline.begin(item.seq, item.item.start.as_millis() as u64, item.silent);
        }
        for header in source.headers.iter().flatten() {
            self.timeline.push(header.clone());
        }
        source.rewound = None;
        self.source = OnAirSource::Item;
    }

    /// Serves the connection until `until`.
    fn idle(&mut self, until: Instant) -> Result<(), PlayoutEnd> {
        self.heartbeat.beat();
        self.report(false);
        let began = self.clock.now();
        let flushed = self.main.flush();
        self.monitors.flush(|| self.main.current_group());
        self.sending += self.clock.now() - began;
        if let Err(broken) = flushed.and_then(|()| self.main.wait(until)) {
            self.recover(broken)?;
        }
        if self.cancel.is_cancelled() { Err(PlayoutEnd::Cancelled) } else { Ok(()) }
    }

    /// Sends one tag when due, over as many connections as needed.
    fn deliver(&mut self, placed: TimedTag) -> Result<(), PlayoutEnd> {
        if self.until_keyframe && !placed.tag.is_keyframe() {
            return Ok(());
        }
        if self.until_keyframe {
            self.until_keyframe = false;
            if let MainOutput::Direct(publisher) = &mut self.main {
                publisher.forget(placed.tag.timestamp);
            }
            for header in self.timeline.headers().collect::<Vec<_>>() {
                let tag = Tag { timestamp: placed.tag.timestamp, ..header };
                let origin = placed.origin;
                self.show(&tag);
                if let Err(broken) = self.main.send(TimedTag { tag, origin }) {
                    self.lost(&broken);
                }
            }
            self.anchor = None;
        }
        self.await_time(placed.tag.timestamp)?;
        if self.until_keyframe {
            // The connection was lost during the wait, and the source is live.
            return self.deliver(placed);
        }
        self.await_output()?;
        let began = self.clock.now();
        let (origin, picture) = (placed.origin, placed.tag.kind == Kind::Video && placed.tag.is_frame());
        let tag = placed.tag.clone();
        if let Err(broken) = self.main.send(placed) {
            // The publisher keeps the tag and sends it again on the next connection.
            self.recover(broken)?;
        }
        self.sending += self.clock.now() - began;
        self.show(&tag);
        self.note_sent(origin, picture);
        Ok(())
    }

    /// Hands a tag that has been sent to monitors and further outputs.
    fn show(&mut self, tag: &Tag) {
        if self.outputs.is_wanted() {
            self.outputs.push(tag);
        }
        if self.monitors.is_watched() {
            self.monitors.push(tag.clone(), || self.main.current_group());
        }
    }

    fn await_time(&mut self, timestamp: u64) -> Result<(), PlayoutEnd> {
        if !self.paced {
            return if self.cancel.is_cancelled() { Err(PlayoutEnd::Cancelled) } else { Ok(()) };
        }
        loop {
            let since = Duration::from_millis(timestamp);
            let now = self.clock.now();
            let Some(due) = self.anchor.map(|anchor| anchor + since) else {
                self.anchor = now.checked_sub(since);
                return Ok(());
            };
            if now + TOGETHER < due {
                self.idle(due)?;
                // The anchor may have moved meanwhile, or the machine may have stalled.
                continue;
            }
            let lag = now.saturating_duration_since(due);
            if lag > MAX_LAG {
                self.resynchronise(lag);
            } else if lag < Duration::from_secs(1) {
                self.sending = Duration::ZERO;
            }
            return Ok(());
        }
    }

    /// Handles a lag above [`MAX_LAG`]: files are delayed, a live source continues at its live
    /// edge.
    fn resynchronise(&mut self, lag: Duration) {
        let cause = if self.sending > lag / 2 {
            "the uplink is slower than the bitrate: choose a lower VIDEO_QUALITY or a better line"
        } else {
            "this machine stood still"
        };
        log::warn!("{:.1} s behind real time; resynchronising: {cause}", lag.as_secs_f64());
        self.sending = Duration::ZERO;
        self.anchor = self.anchor.map(|anchor| anchor + lag);
        if self.is_live() {
            self.switch.current().read_ahead.skip_to_live_edge();
            self.begin_segment();
        }
    }

    fn is_live(&self) -> bool {
        self.source == OnAirSource::Item
            && self.switch.current().newest().is_some_and(|item| item.item.media.live)
    }
}

#[cfg(test)]
mod command_run;
#[cfg(test)]
mod long_run;
