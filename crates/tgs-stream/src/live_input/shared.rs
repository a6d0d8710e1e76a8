//! What listener, publishers, relay and programme share: the place and the media under one lock.

use std::{
    fmt,
    net::{IpAddr, TcpStream},
    sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    time::{Duration, Instant},
};

use tgs_rtmp::{
    amf0::AmfValue,
    codec::{AacConfig, AvcConfig},
    flv::Tag,
    server::ServerConnection,
};

use super::{
    buffer::{Cursor, LiveBuffer, ReadStep},
    connections::ServedPublisher,
    handed::{HandOver, HandedPublisher},
    place::{LiveEvent, LivePhase, PlaceRefused, PublisherPlace},
    refusals::METRICS,
};

/// Called for each event, in order and under the lock: it must not wait, nor call the live input.
pub(super) type OnLiveEvent = Box<dyn Fn(&LiveEvent) + Send + Sync>;

/// The state of the live input.
pub(super) struct SharedLive {
    state: Mutex<LiveInputState>,
    changed: Condvar,
    on_event: OnLiveEvent,
}

struct LiveInputState {
    place: PublisherPlace,
    buffer: LiveBuffer,
    metadata: Option<AmfValue>,
    readers: Readers,
    previews: u32,
    stalls: u64,
    /// Set while another process takes the publisher over.
    hand_over: Option<HandOver>,
}

/// A reader that stays for so long is an encoder and no probe.
const ENCODER: Duration = Duration::from_secs(2);

/// The readers of the relay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Readers {
    /// Connected at present.
    pub(super) now: u32,
    /// Encoders that have read so far.
    pub(super) encoders: u64,
    /// When the last reader left.
    pub(super) left: Option<Instant>,
    /// Stalls up to then.
    pub(super) stalls: u64,
}

/// What the programme needs to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct LiveSnapshot {
    pub(super) phase: LivePhase,
    /// Number of the publisher's stream.
    pub(super) run: u64,
    /// Stalls so far.
    pub(super) stalls: u64,
    pub(super) readers: Readers,
}

impl SharedLive {
    pub(super) fn new(grace: Duration, on_event: OnLiveEvent) -> Self {
        let state = LiveInputState {
            place: PublisherPlace::new(grace),
            buffer: LiveBuffer::default(),
            metadata: None,
            readers: Readers::default(),
            previews: 0,
            stalls: 0,
            hand_over: None,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), on_event }
    }

    fn lock(&self) -> MutexGuard<'_, LiveInputState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, state: &mut LiveInputState, event: Option<LiveEvent>) {
        if let Some(event) = event {
            match &event {
                LiveEvent::Arrived(publisher) => {
                    METRICS.sessions.inc();
                    let (key, address) = (&publisher.key_name, publisher.address.to_canonical());
                    log::info!("live input: “{key}” from {address} sends {}", publisher.format);
                }
                LiveEvent::Stalled => {
                    state.stalls += 1;
                    METRICS.stalls.inc();
                    log::warn!("live input: the publisher sends nothing");
                }
                LiveEvent::Returned(_) => log::info!("live input: the publisher sends again"),
                LiveEvent::Left { why } => {
                    state.buffer.close();
                    log::info!("live input: the publisher has left: {why}");
                }
            }
            (self.on_event)(&event);
        }
        METRICS.connected.set((state.place.phase() == LivePhase::Flowing).into());
        self.changed.notify_all();
    }

    /// Gives the place to a client; returns the number of its connection.
    pub(super) fn claim(&self, key_name: &str, address: IpAddr) -> Result<u64, PlaceRefused> {
        let mut state = self.lock();
        let connection = state.place.claim(key_name, address, Instant::now())?;
        state.buffer.open();
        state.metadata = None;
        self.report(&mut state, None);
        Ok(connection)
    }

    /// Whether this connection has the place.
    pub(super) fn is_held_by(&self, connection: u64) -> bool {
        self.lock().place.is_held_by(connection)
    }

    /// Takes a tag. `false` if the connection has lost the place.
    pub(super) fn media(&self, connection: u64, tag: &Tag) -> bool {
        let (mut state, now) = (self.lock(), Instant::now());
        if !state.place.is_held_by(connection) {
            return false;
        }
        METRICS.bytes.inc_by(tag.body.len() as u64);
        state.buffer.push(tag, now);
        if state.buffer.is_ready() {
            let LiveInputState { place, buffer, metadata, .. } = &mut *state;
            let event = place.media(now, || format_of(buffer, metadata.as_ref()));
            if event.is_some() {
                self.report(&mut state, event);
            }
        }
        self.changed.notify_all();
        true
    }

    /// Asks the publisher's thread for its connection; `None` if it does not give it in time.
    pub(super) fn take_publisher(&self, within: Duration) -> Option<(TcpStream, HandedPublisher)> {
        let (give, given) = mpsc::sync_channel(1);
        self.lock().hand_over = Some(give);
        let handed = given.recv_timeout(within);
        // Given under the lock: afterwards nothing comes any more.
        self.lock().hand_over = None;
        handed.ok().or_else(|| given.try_recv().ok())
    }

    /// Gives the connection away, if it is asked for and possible now. Then the caller drops it.
    pub(super) fn give_away(
        &self,
        place: u64,
        connection: &mut ServerConnection,
        served: &ServedPublisher,
    ) -> bool {
        let mut state = self.lock();
        let is_asked = state.hand_over.is_some() && state.place.is_held_by(place);
        if !is_asked || !HandedPublisher::may_have(state.buffer.headers()) {
            return false;
        }
        let Some((socket, session)) = connection.hand_over() else { return false };
        // From here on the socket is not this process's to shut down.
        served.set_handed_over();
        let asked = state.hand_over.take();
        if let Some((give, (key_name, address))) = asked.zip(state.place.hand_over(place)) {
            let handed = HandedPublisher::new(key_name, address, session, state.buffer.headers());
            // If nobody waits any more, the connection closes.
            let _ = give.try_send((socket, handed));
        }
        state.buffer.close();
        true
    }

    /// Keeps the publisher's description of its stream.
    pub(super) fn metadata(&self, connection: u64, metadata: AmfValue) {
        let mut state = self.lock();
        if state.place.is_held_by(connection) {
            state.metadata = Some(metadata);
        }
    }

    /// The connection is lost; the publisher may come back.
    pub(super) fn lost(&self, connection: u64) {
        let mut state = self.lock();
        if state.place.is_held_by(connection) {
            state.buffer.close();
            let event = state.place.lost(connection);
            self.report(&mut state, event);
        }
    }

    /// The publisher has ended its stream, or is refused.
    pub(super) fn leave(&self, connection: u64, why: &str) {
        let mut state = self.lock();
        if state.place.is_held_by(connection) {
            state.buffer.close();
            let event = state.place.leave(connection, why);
            self.report(&mut state, event);
        }
    }

    /// Drops the publisher. `false` without one.
    pub(super) fn drop_publisher(&self, why: &str) -> bool {
        let mut state = self.lock();
        if state.place.phase() == LivePhase::Absent {
            return false;
        }
        state.buffer.close();
        let event = state.place.drop_publisher(why, Instant::now());
        self.report(&mut state, event);
        true
    }

    /// Notes that time has passed.
    pub(super) fn tick(&self) {
        let mut state = self.lock();
        let event = state.place.tick(Instant::now());
        if event.is_some() {
            self.report(&mut state, event);
        }
    }

    /// Adds a reader of the present stream; `None` without one.
    pub(super) fn add_reader(&self) -> Option<Cursor> {
        let mut state = self.lock();
        let cursor = state.buffer.reader()?;
        state.readers.now += 1;
        Some(cursor)
    }

    /// Removes a reader that has read since `began`.
    pub(super) fn remove_reader(&self, began: Instant) {
        let mut state = self.lock();
        state.readers.now = state.readers.now.saturating_sub(1);
        state.readers.encoders += u64::from(began.elapsed() >= ENCODER);
        state.readers.left = Some(Instant::now());
        state.readers.stalls = state.stalls;
        self.changed.notify_all();
    }

    /// The present stream from its newest keyframe on, for a reader that is not counted.
    pub(super) fn cursor(&self) -> Option<Cursor> {
        self.lock().buffer.reader()
    }

    /// Counts a preview; `false` if `most` are open.
    pub(super) fn add_preview(&self, most: u32) -> bool {
        let mut state = self.lock();
        let is_allowed = state.previews < most;
        state.previews += u32::from(is_allowed);
        is_allowed
    }

    /// Counts the end of a preview.
    pub(super) fn remove_preview(&self) {
        let mut state = self.lock();
        state.previews = state.previews.saturating_sub(1);
    }

    /// What is new to a reader; waits for it at most `timeout`.
    pub(super) fn read(&self, cursor: &mut Cursor, timeout: Duration) -> ReadStep {
        let mut state = self.lock();
        let step = state.buffer.read(cursor);
        if step != ReadStep::Wait {
            return step;
        }
        state = self.changed.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner).0;
        state.buffer.read(cursor)
    }

    /// The state.
    pub(super) fn snapshot(&self) -> LiveSnapshot {
        Self::snapshot_of(&self.lock())
    }

    fn snapshot_of(state: &LiveInputState) -> LiveSnapshot {
        LiveSnapshot {
            phase: state.place.phase(),
            run: state.buffer.run(),
            stalls: state.stalls,
            readers: state.readers,
        }
    }

    /// The state after a change, or after `timeout`.
    pub(super) fn wait(&self, timeout: Duration) -> LiveSnapshot {
        let state = self.changed.wait_timeout(self.lock(), timeout).unwrap_or_else(PoisonError::into_inner).0;
        Self::snapshot_of(&state)
    }
}

/// Codecs and size, such as “H.264 1280x720, AAC 44100 Hz stereo”.
fn format_of(buffer: &LiveBuffer, metadata: Option<&AmfValue>) -> String {
    let headers = buffer.headers();
    let stated = |name: &str| {
        let value = metadata?.get(name)?.as_number()?;
        (1.0..=16_384.0).contains(&value).then_some(value as u32)
    };
    let video = headers.video.as_ref().map(|header| {
        let read = AvcConfig::parse(&header.body).map(|config| (config.width, config.height));
        let size = read.or_else(|| Some((stated("width")?, stated("height")?)));
        size.map_or("H.264".to_owned(), |(width, height)| format!("H.264 {width}x{height}"))
    });
    let audio = headers.audio.as_ref().map(|header| match AacConfig::parse(&header.body) {
        Some(AacConfig { rate, channels: 1, .. }) => format!("AAC {rate} Hz mono"),
        Some(AacConfig { rate, channels: 2, .. }) => format!("AAC {rate} Hz stereo"),
        Some(AacConfig { rate, .. }) => format!("AAC {rate} Hz"),
        None => "AAC".to_owned(),
    });
    let audio = audio.or(headers.sound.then(|| "MP3".to_owned()));
    let video = video.unwrap_or("no picture".to_owned());
    format!("{video}, {}", audio.unwrap_or("no sound".to_owned()))
}

impl fmt::Debug for SharedLive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLive").finish_non_exhaustive()
    }
}
