//! Who publishes, and when, as the ingest sees it. As Telegram's servers do, the ingest accepts the
//! newer connection; the older ones stay open, so that media which a host still sends is seen.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tgs_rtmp::flv::{Kind, Tag};

use super::{
    network::Node,
    numbered::{self, Shown},
};
use crate::{
    ingest::{Ingest, Message, Setup},
    viewer::Gap,
};

/// A shorter time without media is no gap.
const NOTABLE: Duration = Duration::from_millis(100);

/// Media that is younger flows.
const FLOWS: Duration = Duration::from_millis(500);

/// Keyframes kept of the beginning of a publication: filler may come first.
const OPENING: usize = 4;

/// Frames a second of the broadcast.
const FPS: f64 = 30.0;

/// The ingest and its record.
#[derive(Debug)]
pub struct Publications {
    ingest: Ingest,
    log: Arc<Mutex<Log>>,
}

/// What has arrived.
#[derive(Debug, Default)]
struct Log {
    publications: BTreeMap<usize, Publication>,
    /// The connection whose media began last.
    newest: Option<usize>,
    last: Option<Instant>,
    gaps: Vec<Gap>,
    changes: Vec<(Instant, Ending, usize)>,
    late: Vec<(Instant, Late)>,
}

/// A connection that has brought media.
#[derive(Debug, Default)]
struct Publication {
    header: Option<Tag>,
    opening: Vec<Keyframe>,
    latest: Option<Keyframe>,
    frames: u32,
}

#[derive(Debug, Clone)]
struct Keyframe {
    tag: Tag,
    /// Its number among the frames of the connection.
    frame: u32,
}

/// What a connection had brought when another one took its place.
#[derive(Debug, Clone)]
struct Ending {
    connection: usize,
    header: Option<Tag>,
    latest: Option<Keyframe>,
    frames: u32,
}

/// Media of a connection whose place a newer one had taken.
#[derive(Debug, Clone)]
struct Late {
    connection: usize,
    newest: usize,
    messages: u32,
    /// Timestamps in ms: the first and the last.
    from: u32,
    to: u32,
    ended: Instant,
}

/// What the ingest saw in a time.
#[derive(Debug, Default)]
pub struct Window {
    /// The times without media.
    pub gaps: Vec<Gap>,
    /// The connections that took the place of others.
    pub changes: Vec<Change>,
    /// The hosts that sent after another had taken over.
    pub doubles: Vec<Double>,
}

/// One connection took the place of another.
#[derive(Debug, Clone)]
pub struct Change {
    /// The host before.
    pub from: usize,
    /// The host after; the same for a new connection of a host.
    pub to: usize,
    /// The last picture before.
    pub last: Option<Shown>,
    /// The first picture of an item after.
    pub first: Option<Shown>,
    /// Whether other pictures came before it, such as the slate.
    pub filler: bool,
}

/// Media of one host after the first media of another.
#[derive(Debug, Clone)]
pub struct Double {
    /// The host that was late.
    pub host: usize,
    /// How many messages.
    pub messages: u32,
    /// How much media, by its timestamps.
    pub media: Duration,
    /// From the first media of the other host to the last of these.
    pub after: Duration,
}

impl Publications {
    /// Starts the ingest at its node's address, in the network that this thread has entered.
    pub(super) fn start() -> Result<Self> {
        let (pass_on, messages) = mpsc::channel();
        let setup = Setup { pass_on: Some(pass_on), ..Setup::default() };
        let ingest = Ingest::start_at(Node::Ingest.address(), setup)?;
        let log = Arc::new(Mutex::new(Log::default()));
        let shared = Arc::clone(&log);
        // Ends with the ingest.
        thread::spawn(move || {
            for (connection, message) in messages {
                lock(&shared).take(connection, &message);
            }
        });
        Ok(Self { ingest, log })
    }

    /// Where the hosts publish.
    #[must_use]
    pub fn url(&self) -> String {
        self.ingest.url("key")
    }

    /// The address of the application, without a stream key.
    #[must_use]
    pub fn server(&self) -> String {
        self.ingest.url("").trim_end_matches('/').to_owned()
    }

    /// The host whose media flows.
    #[must_use]
    pub fn active(&self) -> Option<usize> {
        let log = lock(&self.log);
        let newest = log.newest.filter(|_| log.last.is_some_and(|last| last.elapsed() < FLOWS))?;
        drop(log);
        self.host_of(newest).ok()
    }

    /// What was seen from `mark` on.
    pub fn since(&self, mark: Instant) -> Result<Window> {
        let log = lock(&self.log);
        let waiting = log.last.map(|from| Gap { from, to: Instant::now() });
        let gaps = log.gaps.iter().copied().chain(waiting).filter(|gap| gap.to >= mark).collect();
        let changes: Vec<_> = log.changes.iter().filter(|(at, ..)| *at >= mark).cloned().collect();
        let openings: Vec<_> = changes.iter().map(|(_, _, new)| log.opening(*new)).collect();
        let late: Vec<_> = log.late.iter().filter(|(_, late)| late.ended >= mark).cloned().collect();
        drop(log);
        let changes = changes.iter().zip(openings).map(|((_, ending, new), (header, opening))| {
            let (first, filler) = first_shown(header.as_ref(), &opening)?;
            let (from, to) = (self.host_of(ending.connection)?, self.host_of(*new)?);
            Ok(Change { from, to, last: ending.shown()?, first, filler })
        });
        let mut doubles = Vec::new();
        for (began, late) in late {
            let host = self.host_of(late.connection)?;
            // A host's own older connection is no second publisher.
            if host != self.host_of(late.newest)? {
                let media = Duration::from_millis(late.to.wrapping_sub(late.from).into());
                let after = late.ended.saturating_duration_since(began);
                doubles.push(Double { host, messages: late.messages, media, after });
            }
        }
        Ok(Window { gaps, changes: changes.collect::<Result<_>>()?, doubles })
    }

    /// Ends the connections whose place a newer one has taken.
    pub(super) fn end_replaced(&self) {
        if let Some(newest) = lock(&self.log).newest {
            self.ingest.end_before(newest);
        }
    }

    fn host_of(&self, connection: usize) -> Result<usize> {
        let peer = self.ingest.peer(connection).context("no such connection")?;
        let is_peer = |number: &usize| Node::Host(*number).address() == peer;
        (0..2).find(is_peer).with_context(|| format!("{peer} is no host"))
    }
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first keyframe that shows an item, and whether another one came before it.
fn first_shown(header: Option<&Tag>, opening: &[Keyframe]) -> Result<(Option<Shown>, bool)> {
    let Some(header) = header else { return Ok((None, false)) };
    for (index, keyframe) in opening.iter().enumerate() {
        if let Some(shown) = numbered::read(header, &keyframe.tag)? {
            return Ok((Some(shown), index > 0));
        }
    }
    Ok((None, !opening.is_empty()))
}

impl Ending {
    /// The last picture, by the last keyframe and the number of frames after it.
    fn shown(&self) -> Result<Option<Shown>> {
        let (Some(header), Some(keyframe)) = (&self.header, &self.latest) else { return Ok(None) };
        let shown = numbered::read(header, &keyframe.tag)?;
        let after = f64::from(self.frames.saturating_sub(keyframe.frame)) / FPS;
        Ok(shown.map(|shown| Shown { at: shown.at + after, ..shown }))
    }
}

impl Log {
    fn take(&mut self, connection: usize, message: &Message) {
        let Some(tag) = message.tag() else { return };
        let arrived = message.arrived;
        if !self.publications.contains_key(&connection) {
            if let Some(old) = self.newest {
                self.changes.push((arrived, self.ending(old), connection));
            }
            self.newest = Some(connection);
        }
        if let Some(newest) = self.newest.filter(|newest| *newest != connection) {
            self.take_late(connection, newest, message);
            return;
        }
        if let Some(from) = self.last.replace(arrived)
            && arrived.saturating_duration_since(from) >= NOTABLE
        {
            self.gaps.push(Gap { from, to: arrived });
        }
        self.publications.entry(connection).or_default().take(tag);
    }

    fn take_late(&mut self, connection: usize, newest: usize, message: &Message) {
        let at = message.received.timestamp;
        let began = self.changes.last().map_or(message.arrived, |(at, ..)| *at);
        let same = |late: &&mut (Instant, Late)| late.1.connection == connection && late.1.newest == newest;
        if let Some((_, late)) = self.late.last_mut().as_mut().filter(|late| same(late)) {
            late.messages += 1;
            (late.from, late.to) = (late.from.min(at), late.to.max(at));
            late.ended = message.arrived;
        } else {
            let late = Late { connection, newest, messages: 1, from: at, to: at, ended: message.arrived };
            self.late.push((began, late));
        }
    }

    fn ending(&self, connection: usize) -> Ending {
        let old = self.publications.get(&connection);
        Ending {
            connection,
            header: old.and_then(|old| old.header.clone()),
            latest: old.and_then(|old| old.latest.clone()),
            frames: old.map_or(0, |old| old.frames),
        }
    }

    fn opening(&self, connection: usize) -> (Option<Tag>, Vec<Keyframe>) {
        let publication = self.publications.get(&connection);
        publication.map(|it| (it.header.clone(), it.opening.clone())).unwrap_or_default()
    }
}

impl Publication {
    fn take(&mut self, tag: Tag) {
        if tag.kind != Kind::Video {
            return;
        }
        if tag.is_sequence_header() {
            self.header = Some(tag);
        } else if tag.is_frame() {
            let keyframe = tag.is_keyframe().then_some(Keyframe { tag, frame: self.frames });
            self.frames += 1;
            if let Some(keyframe) = keyframe {
                if self.opening.len() < OPENING {
                    self.opening.push(keyframe.clone());
                }
                self.latest = Some(keyframe);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tgs_rtmp::chunk::{Received, kind};

    use super::*;

    #[test]
    fn media_of_an_older_connection_after_that_of_a_newer_one_is_late() {
        let began = Instant::now();
        let mut log = Log::default();
        let mut take = |connection, timestamp: u32, at: u64| {
            let received = Received {
                chunk_stream: 6,
                kind: kind::VIDEO,
                stream: 1,
                timestamp,
                body: vec![0x27, 1, 0, 0, 0, 9],
            };
            log.take(connection, &Message { received, arrived: began + Duration::from_millis(at) });
        };
        take(0, 0, 0);
        take(0, 33, 33);
        take(1, 0, 3000);
        take(1, 33, 3033);
        take(0, 67, 3050);
        take(0, 100, 3060);
        take(1, 67, 3067);
        let [gap] = log.gaps[..] else { panic!("{:?}", log.gaps) };
        assert_eq!(gap.length(None), Duration::from_millis(2967));
        assert_eq!(log.changes.len(), 1);
        assert_eq!((log.changes[0].1.connection, log.changes[0].1.frames, log.changes[0].2), (0, 2, 1));
        let [(from, late)] = &log.late[..] else { panic!("{:?}", log.late) };
        assert_eq!((late.connection, late.newest, late.messages, late.from, late.to), (0, 1, 2, 67, 100));
        assert_eq!(late.ended - *from, Duration::from_millis(60));
    }
}
