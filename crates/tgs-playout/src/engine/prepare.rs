//! The prepare thread: owns the programme, prepares one item ahead, and applies requests to the
//! list.

use std::{io, sync::mpsc, thread, time::Duration};

use tgs_core::{
    cancel::Cancel,
    supervise::{Panic, contain},
};

use super::{
    context::EngineContext,
    prefetch::{self, UpcomingItems},
    requests::PlaylistRequest,
};
use crate::{
    cache,
    ffmpeg::{
        draw,
        outcome::TOLERATED_SHORTFALL,
        probe::{self, Probe},
        ready_subtitles::ReadySubtitles,
    },
    item::{Item, ItemFailure, Media, NextItem, Programme, UpcomingItem},
    proxy,
    read_ahead::{Admission, AdmittedItem},
    threads::await_end,
};

/// How an item is played.
pub(super) enum PlaySource {
    Encode(Box<Probe>),
    /// Bridged source, probed only when the item is due: its sender may accept a single connection
    /// and not wait for a second.
    Unprobed,
    Cached(cache::CacheEntry),
}

impl PlaySource {
    pub(super) fn length(&self) -> Option<Duration> {
        match self {
            Self::Encode(found) => found.duration,
            Self::Unprobed => None,
            Self::Cached(entry) => Some(entry.length()),
        }
    }
}

/// An item that can be played.
pub(super) struct PreparedItem {
    pub(super) item: Item,
    /// Its cache key at preparation time.
    pub(super) key: Option<cache::CacheKey>,
    pub(super) source: PlaySource,
}

/// The prepared next step.
enum Prepared {
    Play(Box<PreparedItem>),
    Skip { title: String, failure: ItemFailure },
    End,
}

/// The next step of the encode thread.
pub(super) enum NextStep {
    Play(Box<PreparedItem>, AdmittedItem),
    Skip {
        title: String,
        failure: ItemFailure,
    },
    End,
    /// The prepare thread has ended: the broadcast is stopped.
    Gone,
}

/// Front of the prepare thread. Dropping it cancels the broadcast and waits one second for the
/// thread, so that its ffprobe and yt-dlp calls end with the broadcast. The limit is for a file
/// system that hangs, whose calls cannot be cancelled.
pub(super) struct PrepareHandle {
    pub(super) ask: mpsc::Sender<PlaylistRequest>,
    answers: mpsc::Receiver<(NextStep, usize)>,
    cancel: Cancel,
    thread: thread::JoinHandle<()>,
}

impl PrepareHandle {
    /// Starts the thread, which prepares the first item at once.
    pub(super) fn start(
        program: Box<dyn Programme>,
        shared: EngineContext,
        coming: Option<UpcomingItems>,
    ) -> io::Result<Self> {
        let (ask, asked) = mpsc::channel();
        let (answer, answers) = mpsc::sync_channel(1);
        let cancel = shared.cancel.clone();
        let prepare = PrepareThread { program, shared, upcoming: coming, ahead: Prepared::End };
        let thread = thread::Builder::new().name("prepare".into()).spawn(move || {
            let context = prepare.shared.clone();
            context.guard("prepare", || prepare.run(&asked, &answer));
        })?;
        Ok(Self { ask, answers, cancel, thread })
    }

    /// The next step and the number of entries in a round. Blocks while the item is being prepared.
    pub(super) fn next(&self) -> (NextStep, usize) {
        let gone = (NextStep::Gone, 0);
        if self.ask.send(PlaylistRequest::Next).is_err() {
            return gone;
        }
        loop {
            match self.answers.recv_timeout(Duration::from_millis(100)) {
                Ok(answer) => return answer,
                Err(mpsc::RecvTimeoutError::Timeout) if !self.cancel.is_cancelled() => {}
                Err(_) => return gone,
            }
        }
    }
}

impl Drop for PrepareHandle {
    fn drop(&mut self) {
        self.cancel.cancel();
        // Wakes a thread that waits for a request.
        let _ = self.ask.send(PlaylistRequest::Next);
        await_end([&self.thread], Duration::from_secs(1));
    }
}

/// The prepare thread.
struct PrepareThread {
    program: Box<dyn Programme>,
    shared: EngineContext,
    /// Coming items, for the prefetcher.
    upcoming: Option<UpcomingItems>,
    /// The prepared next step.
    ahead: Prepared,
}

impl PrepareThread {
    fn run(mut self, asked: &mpsc::Receiver<PlaylistRequest>, answer: &mpsc::SyncSender<(NextStep, usize)>) {
        self.look_ahead();
        // Whether the encode thread waits for an answer.
        let mut wanted = false;
        while let Ok(ask) = asked.recv()
            && !self.shared.cancel.is_cancelled()
        {
            match ask {
                PlaylistRequest::Next => wanted = true,
                command => {
                    // The panic hook logs a panic; the list then continues at its position.
                    let _ = contain(|| self.obey(command));
                    self.shared.read_ahead.release_request();
                }
            }
            while wanted && let Some(turn) = self.turn() {
                wanted = false;
                let over = matches!(turn, NextStep::End);
                let round = contain(|| self.program.round_len()).unwrap_or_default();
                if answer.send((turn, round)).is_err() {
                    return;
                }
                if !over {
                    self.look_ahead();
                }
            }
        }
    }

    fn look_ahead(&mut self) {
        let next = contain(|| self.program.next()).unwrap_or_else(|panic| NextItem::Skip {
            id: String::new(),
            title: "the next entry".to_owned(),
            failure: ItemFailure::of_panic(&panic),
        });
        self.prepare(next);
    }

    /// Prepares `next` to follow the item being encoded.
    fn prepare(&mut self, next: NextItem) {
        self.ahead = self.look(next);
        let title = match &self.ahead {
            Prepared::Play(ready) => Some(ready.item.title.clone()),
            Prepared::Skip { .. } | Prepared::End => None,
        };
        let next = self.shared.read_ahead.set_prepared(title);
        self.shared.show_next(next);
        if let Some(upcoming) = &self.upcoming {
            let first = match &self.ahead {
                Prepared::Play(ready) => match ready.source {
                    PlaySource::Encode(_) => Some(ready.item.clone()),
                    PlaySource::Cached(_) | PlaySource::Unprobed => None,
                },
                Prepared::Skip { .. } | Prepared::End => None,
            };
            let first = first.map(|item| UpcomingItem {
                id: item.id.clone(),
                part: item.media.part.clone(),
                find: Box::new(|| Some(item)),
            });
            let coming = contain(|| self.program.upcoming(prefetch::ITEMS)).unwrap_or_default();
            upcoming.set(first.into_iter().chain(coming).collect());
        }
    }

    /// Applies an operator's request to the list.
    fn obey(&mut self, command: PlaylistRequest) {
        match command {
            PlaylistRequest::Next => {}
            PlaylistRequest::Reload => {
                self.program.reload();
                if !matches!(self.ahead, Prepared::End)
                    && let Some(next) = self.program.replaced()
                {
                    self.prepare(next);
                }
            }
            PlaylistRequest::Jump(meant, to) => {
                let ahead = match self.leave(meant.skip) {
                    Some(NextItem::Play(item)) => Some(item.turn),
                    Some(_) => None,
                    None => self.ahead.place(),
                };
                self.program.jump(meant.turn.or(ahead), to);
                self.look_ahead();
            }
            PlaylistRequest::Replan(meant) => {
                // Without a `turn` the current item has not been admitted: `left` is that item, if
                // any.
                let left = self.leave(meant.skip);
                let over = left.is_none() && matches!(self.ahead, Prepared::End);
                if !self.program.replan(meant.turn) || over {
                    self.look_ahead();
                } else if let Some(next) = left {
                    self.prepare(next);
                }
            }
        }
    }

    /// Skips `count` entries that were discarded before they were due. Returns the last entry taken
    /// from the programme, `None` for a `count` of 0.
    fn leave(&mut self, count: u64) -> Option<NextItem> {
        let mut next = None;
        for _ in 0..count {
            if self.shared.cancel.is_cancelled() {
                break;
            }
            // An entry that cannot be played does not count.
            for _ in 0..=self.program.round_len() {
                next = Some(self.program.next());
                match &next {
                    Some(NextItem::Skip { .. }) => {}
                    Some(NextItem::Kept { item, .. })
                        if self.shared.cache.recall(&item.id, &item.media.part).is_none() => {}
                    _ => break,
                }
            }
        }
        next
    }

    /// The step to run now; `None` if a request must be applied first.
    fn turn(&mut self) -> Option<NextStep> {
        loop {
            let now = match std::mem::replace(&mut self.ahead, Prepared::End) {
                Prepared::Play(ready) => {
                    let title = ready.item.title.clone();
                    #[cfg(test)]
                    crate::faults::strike("the prepare thread", &title);
                    contain(|| self.confirm(*ready)).unwrap_or_else(|panic| Prepared::failed(title, &panic))
                }
                other => other,
            };
            return match now {
                Prepared::Skip { title, failure } => Some(NextStep::Skip { title, failure }),
                Prepared::End => self.shared.read_ahead.finish().then_some(NextStep::End),
                Prepared::Play(ready) => match self.shared.read_ahead.admit(&ready.item, &self.shared.cancel)
                {
                    Admission::Admitted(attempt) => {
                        if let Some(upcoming) = &self.upcoming {
                            upcoming.set(Vec::new());
                        }
                        Some(NextStep::Play(ready, attempt))
                    }
                    Admission::Ended => self.shared.read_ahead.finish().then_some(NextStep::End),
                    Admission::Skipped => {
                        self.look_ahead();
                        continue;
                    }
                    Admission::Stale => {
                        self.ahead = Prepared::Play(ready);
                        None
                    }
                },
            };
        }
    }

    /// Checks a prepared item again: the list, the file or the cache may have changed since, and
    /// URLs may have expired.
    fn confirm(&mut self, ready: PreparedItem) -> Prepared {
        let PreparedItem { mut item, key, source: way } = ready;
        let cache = &self.shared.cache;
        let now = cache.key(&item.media);
        let same = now == key;
        let entry = now.as_ref().and_then(|key| cache.find(key, &item));
        let way = match (entry.filter(|entry| self.shared.accepts(entry, &item)), way) {
            (Some(entry), _) => {
                item.media.expires = None;
                Some(PlaySource::Cached(entry))
            }
            (None, PlaySource::Encode(mut found)) if same => {
                // It may have been measured since.
                self.shared.add_loudness(&item.media, &mut found);
                if found.ready_subtitles == ReadySubtitles::Failed {
                    draw::prepare_item(&self.shared.setup, &item, &mut found, None, &self.shared.cancel);
                }
                Some(PlaySource::Encode(found))
            }
            (None, way) if same => Some(way),
            (None, _) => None,
        };
        match (self.program.confirm(item.clone()), way) {
            (NextItem::Play(confirmed), Some(way)) if confirmed == item => {
                Prepared::Play(Box::new(PreparedItem { item, key: now, source: way }))
            }
            // Another item, or changed content.
            (other, _) => self.look(other),
        }
    }

    /// Prepares `next`; a panic counts as its failure.
    fn look(&mut self, next: NextItem) -> Prepared {
        let title = match &next {
            NextItem::Play(item) | NextItem::Kept { item, .. } => item.title.clone(),
            NextItem::Skip { title, .. } => title.clone(),
            NextItem::End => String::new(),
        };
        contain(|| self.find_way(next)).unwrap_or_else(|panic| Prepared::failed(title, &panic))
    }

    /// Prepares `next`, or the item after it if `next` was left at its very end.
    fn find_way(&mut self, mut next: NextItem) -> Prepared {
        loop {
            let (item, key, way) = match next {
                NextItem::Play(item) => {
                    // Computed before the probe: the key must never name content newer than the
                    // probed one.
                    let key = self.shared.cache.key(&item.media);
                    match self.way(key.as_ref(), &item) {
                        Ok(way) => (item, key, way),
                        Err(failure) => return Prepared::Skip { title: item.title, failure },
                    }
                }
                NextItem::Kept { item, failure } => {
                    match self.shared.cache.recall(&item.id, &item.media.part) {
                        Some(entry) => {
                            let title = entry.title().to_owned();
                            log::warn!("“{title}” plays as it was kept, because {failure}");
                            (Item { title, ..item }, None, PlaySource::Cached(entry))
                        }
                        None => return Prepared::Skip { title: item.title, failure },
                    }
                }
                NextItem::Skip { title, failure, .. } => return Prepared::Skip { title, failure },
                NextItem::End => return Prepared::End,
            };
            let at_its_end =
                |whole| !item.start.is_zero() && item.start.saturating_add(TOLERATED_SHORTFALL / 2) > whole;
            if way.length().is_some_and(at_its_end) {
                next = self.program.next();
                continue;
            }
            // A remote source without a duration is live.
            let remote = item.media.sources.iter().any(|source| !source.is_file());
            let live = item.media.live || (remote && way.length().is_none());
            // URLs that are not opened need no renewal.
            let expires = item.media.expires.filter(|_| matches!(way, PlaySource::Encode(_)));
            let media = Media { live, expires, ..item.media };
            if let PlaySource::Encode(found) = &way
                && let Some(loss) = found.loss()
            {
                log::warn!("“{}” plays {loss}", item.title);
            }
            let item = Item { media, ..item };
            return Prepared::Play(Box::new(PreparedItem { item, key, source: way }));
        }
    }

    /// The cache entry if there is one, else the probe that an encoder needs.
    fn way(&self, key: Option<&cache::CacheKey>, item: &Item) -> Result<PlaySource, ItemFailure> {
        if let Some(entry) = key
            .and_then(|key| self.shared.cache.find(key, item))
            .filter(|entry| self.shared.accepts(entry, item))
        {
            return Ok(PlaySource::Cached(entry));
        }
        if item.media.sources.iter().any(proxy::is_bridged) {
            return Ok(PlaySource::Unprobed);
        }
        let EngineContext { ffprobe, wanted, cancel, .. } = &self.shared;
        let mut found = probe::probe(ffprobe, &item.media, *wanted, cancel)?;
        self.shared.measure_in_time(&item.media, &mut found);
        draw::prepare_item(&self.shared.setup, item, &mut found, Some(draw::BRIEF), cancel);
        Ok(PlaySource::Encode(Box::new(found)))
    }
}

impl Prepared {
    fn failed(title: String, panic: &Panic) -> Self {
        Self::Skip { title, failure: ItemFailure::of_panic(panic) }
    }

    fn place(&self) -> Option<u64> {
        match self {
            Self::Play(ready) => Some(ready.item.turn),
            Self::Skip { .. } | Self::End => None,
        }
    }
}
