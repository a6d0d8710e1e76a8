//! The broadcast: three threads and what they share.
//!
//! - *prepare* owns the programme and looks one item ahead: resolving and probing can take seconds.
//! - *encode* runs one encoder after another into the read-ahead.
//! - *playout*, the caller's own thread, paces and publishes.
//!
//! Beside them, and needed by none of them: one that keeps the item being encoded, one that encodes ahead.
//!
//! A failure of an item ends in the encode thread, a failure of the connection in playout; neither reaches the other.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use tgs_core::{
    backoff::Backoff,
    cancel::Cancel,
    process::{self, RunError, describe},
};

pub use crate::command::Control;
use crate::{
    ahead::{self, Ahead},
    cache::{self, Cache},
    command::Ask,
    copy::Groups,
    encoder::{self, Encoder, FONT_FILE, Job, Setup, last_message},
    feed::{Attempt, Feed, OnAir, Opened, Piece},
    filler::{Filler, FillerError},
    flv::{FlvError, Kind, Tag},
    item::{Coming, Failure, Item, Jump, Media, Next, Program, Reason},
    playout::Playout,
    probe::{self, Probe},
    profile::{ExtraArgs, Profile},
    publisher::{Output, Publisher},
    status::{Board, METRICS},
    timeline::Timeline,
    trial,
};

/// An item that ends this much before its probed end has failed.
const EARLY: Duration = Duration::from_secs(1);

/// How long the end of a broadcast waits for what is being put into the cache.
const SETTLE: Duration = Duration::from_secs(3);

/// Tags that may come before an encoder's first picture: some seconds of sound.
const MAX_EARLY: usize = 1000;

/// The slate's font: DejaVu Sans, cut down to the alphabets of Europe.
const FONT: &[u8] = include_bytes!("../assets/slate.ttf");

/// What a broadcast needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The ffmpeg executable, a path or a name.
    pub ffmpeg: PathBuf,
    /// The ffprobe executable.
    pub ffprobe: PathBuf,
    /// Shape of the broadcast.
    pub profile: Profile,
    /// FFMPEG_ARGS as written.
    pub ffmpeg_args: String,
    /// Where it goes.
    pub output: Output,
    /// How much is encoded ahead, at least 3 s: more than one group of pictures.
    pub read_ahead: Duration,
    /// Whether a file is written at the speed of a broadcast.
    pub realtime: bool,
    /// FILLER: a file to show instead of the slate.
    pub filler: Option<PathBuf>,
    /// Directory for what can be made again.
    pub cache_dir: PathBuf,
    /// Bytes that encoded items may take there; 0 keeps none.
    pub cache_limit: u64,
    /// Whether coming items are encoded into it while the broadcast has all it wants.
    pub cache_ahead: bool,
    /// Whether items of the profile's own shape are passed on as they are.
    pub copy_matching: bool,
    /// Directory of this instance alone.
    pub state_dir: PathBuf,
    /// Time of a connection's first tag in milliseconds; above 0 only to test clocks that run over.
    pub first_timestamp: u64,
}

/// How a broadcast ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Items that went on air.
    pub played: u64,
    /// Items that failed, some of them perhaps after they had been on air for a while.
    pub failed: u64,
    /// Why.
    pub end: End,
}

/// Why a broadcast ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The programme came to its end.
    Over,
    /// It was asked to end with an item, and that one is over.
    AfterCurrent,
    /// It was stopped.
    Stopped,
}

/// Why a broadcast cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// ffmpeg or ffprobe is not there.
    #[error("cannot run {}: {why}; install ffmpeg (apt install ffmpeg) or set FFMPEG_PATH", program.display())]
    NoFfmpeg {
        /// What was tried.
        program: PathBuf,
        /// Why it does not run.
        why: String,
    },
    /// A directory cannot be used.
    #[error("cannot write in {} (make room there, or name another by STATE_DIR or CACHE_DIR)", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was told to stop before it began.
    #[error("it was stopped before it began")]
    Stopped,
    /// There is nothing to bridge a failure with.
    #[error(transparent)]
    Filler(#[from] FillerError),
    /// The output file cannot be written.
    #[error("{0}")]
    Output(String),
}

/// Broadcasts `program` until it ends, `control` stops it, or (a file) the output fails. In each case `control` is
/// stopped afterwards, and no thread or child is left.
pub fn run(config: Config, program: Box<dyn Program>, control: &Control) -> Result<Summary, EngineError> {
    let started = Instant::now();
    let cancel = control.cancel.clone();
    // What a stop interrupts has not failed.
    let stopped = |error| if cancel.is_cancelled() { EngineError::Stopped } else { error };
    let ffprobe = config.ffprobe.clone();
    let version = check_tools(&config.ffmpeg, &ffprobe, &cancel).map_err(stopped)?;
    let feed = Arc::new(Feed::new(config.profile.fps, config.read_ahead));
    let setup = set_up(&config, &version, &cancel).map_err(stopped)?;
    let cache = Arc::new(Cache::open(&config.cache_dir, config.cache_limit, &setup, &version));
    let shared = Shared {
        ffprobe: ffprobe.clone(),
        cache: cache.clone(),
        feed: feed.clone(),
        board: control.board.clone(),
        cancel: cancel.clone(),
    };
    let coming = config.cache_ahead.then(ahead::Board::default);
    let preparer = Preparer::start(program, shared.clone(), coming.clone());
    let _attached = control.attach(feed.clone(), preparer.ask.clone());
    let own = config.filler.as_deref();
    let filler = Filler::prepare(&setup, &version, &ffprobe, own, &config.cache_dir, &cancel)
        .map_err(|error| stopped(error.into()))?;
    let ahead = coming.map(|board| Ahead {
        board,
        cache: cache.clone(),
        feed: feed.clone(),
        setup: setup.clone(),
        ffprobe,
        cancel: cancel.clone(),
    });
    cache::forget_fillers(&config.cache_dir);
    let encode = Encode { setup, shared, copy_matching: config.copy_matching, failed: 0, failed_in_row: 0 };
    let is_file = matches!(config.output, Output::File(_));
    let publisher = Publisher::new(config.output, config.profile, config.first_timestamp, cancel.clone());
    let mut playout = Playout::new(
        feed,
        Timeline::new(&config.profile, filler.silence()),
        filler,
        publisher,
        control.clone(),
        !is_file || config.realtime,
        started,
    );
    thread::scope(|threads| {
        // It gives the preparer back, because dropping that ends the broadcast.
        let encoding = threads.spawn(move || (encode.run(&preparer), preparer));
        let ahead = ahead.map(|ahead| thread::spawn(move || ahead.run()));
        let played = playout.run();
        let end = match (cancel.is_cancelled(), control.is_ending()) {
            (true, _) => End::Stopped,
            (false, true) => End::AfterCurrent,
            (false, false) => End::Over,
        };
        cancel.cancel();
        let failed = encoding.join().map_or(0, |(failed, _)| failed);
        cache.settle(SETTLE);
        // It may be asking yt-dlp, or a disk that hangs: the broadcast does not wait for that.
        let deadline = Instant::now() + Duration::from_secs(1);
        while ahead.as_ref().is_some_and(|thread| !thread.is_finished()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        Ok(Summary { played: played.map_err(EngineError::Output)?, failed, end })
    })
}

/// Lays out the encoder's directory and proves FFMPEG_ARGS, or leaves them out.
fn set_up(config: &Config, version: &str, cancel: &Cancel) -> Result<Setup, EngineError> {
    std::fs::create_dir_all(&config.cache_dir)
        .map_err(|source| EngineError::Directory { path: config.cache_dir.clone(), source })?;
    let scratch = config.state_dir.join("scratch");
    let font = scratch.join(FONT_FILE);
    std::fs::create_dir_all(&scratch)
        .and_then(|()| if font.exists() { Ok(()) } else { std::fs::write(&font, FONT) })
        .map_err(|source| EngineError::Directory { path: scratch.clone(), source })?;
    let plain = Setup {
        ffmpeg: config.ffmpeg.clone(),
        profile: config.profile,
        extra: ExtraArgs::default(),
        scratch: std::path::absolute(&scratch).unwrap_or(scratch),
    };
    let proven = ExtraArgs::parse(&config.ffmpeg_args).and_then(|extra| {
        let setup = Setup { extra, ..plain.clone() };
        if !setup.extra.is_empty() {
            trial::prove(&setup, version, &config.cache_dir, cancel)?;
        }
        Ok(setup)
    });
    if cancel.is_cancelled() {
        return Err(EngineError::Stopped);
    }
    Ok(proven.unwrap_or_else(|reason| {
        log::warn!("FFMPEG_ARGS are not used: {reason}");
        plain
    }))
}

/// Whether ffmpeg and ffprobe run; the first line of `ffmpeg -version`.
pub fn check_tools(ffmpeg: &Path, ffprobe: &Path, cancel: &Cancel) -> Result<String, EngineError> {
    version(ffprobe, cancel)?;
    version(ffmpeg, cancel)
}

fn version(program: &Path, cancel: &Cancel) -> Result<String, EngineError> {
    let fail = |why: String| EngineError::NoFfmpeg { program: program.to_owned(), why };
    let mut command = process::command(program);
    command.arg("-version");
    let output = process::output(command, Duration::from_secs(10), 1 << 20, cancel).map_err(|e| match e {
        RunError::Start { source, .. } => fail(source.to_string()),
        other => fail(other.to_string()),
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().next() {
        Some(line) if output.status.success() => Ok(line.to_owned()),
        _ => Err(fail(format!("with -version it {}", describe(output.status)))),
    }
}

/// What prepare and encode threads share.
#[derive(Debug, Clone)]
struct Shared {
    ffprobe: PathBuf,
    cache: Arc<Cache>,
    feed: Arc<Feed>,
    board: Board,
    cancel: Cancel,
}

/// How an item gets to the viewer.
enum Way {
    Encode(Probe),
    Kept(cache::Entry),
}

impl Way {
    fn length(&self) -> Option<Duration> {
        match self {
            Self::Encode(found) => found.duration,
            Self::Kept(entry) => Some(entry.length()),
        }
    }
}

/// An item that can be played.
struct Ready {
    item: Item,
    /// What it was called in the cache when it was looked at.
    key: Option<cache::Key>,
    way: Way,
}

/// An answer of the prepare thread.
enum Prepared {
    Play(Box<Ready>),
    Skip { title: String, failure: Failure },
    End,
}

/// What the encode thread does next.
enum Turn {
    Play(Box<Ready>, Attempt),
    Skip { title: String, failure: Failure },
    End,
}

/// The prepare thread's front. Dropping it cancels the broadcast and waits for the thread, so that no question it asks
/// of ffprobe or yt-dlp outlives the broadcast. It waits a second: a file system that hangs cannot be asked to stop.
struct Preparer {
    ask: mpsc::Sender<Ask>,
    answers: mpsc::Receiver<(Turn, usize)>,
    cancel: Cancel,
    thread: thread::JoinHandle<()>,
}

impl Preparer {
    /// Starts looking for the first item at once.
    fn start(program: Box<dyn Program>, shared: Shared, coming: Option<ahead::Board>) -> Self {
        let (ask, asked) = mpsc::channel();
        let (answer, answers) = mpsc::sync_channel(1);
        let cancel = shared.cancel.clone();
        let prepare = Prepare { program, shared, coming, ahead: Prepared::End };
        let thread = thread::spawn(move || prepare.run(&asked, &answer));
        Self { ask, answers, cancel, thread }
    }

    /// What to play now, and how many entries a round has. Waits while it is being prepared.
    fn next(&self) -> (Turn, usize) {
        let gone = (Turn::End, 0);
        if self.ask.send(Ask::Next).is_err() {
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

impl Drop for Preparer {
    fn drop(&mut self) {
        self.cancel.cancel();
        // It may be waiting to be asked.
        let _ = self.ask.send(Ask::Next);
        let deadline = Instant::now() + Duration::from_secs(1);
        while !self.thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The prepare thread.
struct Prepare {
    program: Box<dyn Program>,
    shared: Shared,
    /// Where coming items are noted for whoever encodes them ahead.
    coming: Option<ahead::Board>,
    /// What comes next.
    ahead: Prepared,
}

impl Prepare {
    fn run(mut self, asked: &mpsc::Receiver<Ask>, answer: &mpsc::SyncSender<(Turn, usize)>) {
        self.look_ahead();
        // Whether the encode thread waits for an answer.
        let mut wanted = false;
        while let Ok(ask) = asked.recv()
            && !self.shared.cancel.is_cancelled()
        {
            match ask {
                Ask::Next => wanted = true,
                command => {
                    self.obey(command);
                    self.shared.feed.done();
                }
            }
            while wanted && let Some(turn) = self.turn() {
                wanted = false;
                let over = matches!(turn, Turn::End);
                if answer.send((turn, self.program.round_len())).is_err() {
                    return;
                }
                if !over {
                    self.look_ahead();
                }
            }
        }
    }

    fn look_ahead(&mut self) {
        let next = self.program.next();
        self.ahead = self.look(next);
        let title = match &self.ahead {
            Prepared::Play(ready) => Some(ready.item.title.clone()),
            Prepared::Skip { .. } | Prepared::End => None,
        };
        self.shared.board.update(|status| status.next = title);
        if let Some(board) = &self.coming {
            let first = match &self.ahead {
                Prepared::Play(ready) => match ready.way {
                    Way::Encode(_) => Some(ready.item.clone()),
                    Way::Kept(_) => None,
                },
                Prepared::Skip { .. } | Prepared::End => None,
            };
            let first = first.map(|item| Coming { id: item.id.clone(), find: Box::new(|| Some(item)) });
            board.set(first.into_iter().chain(self.program.coming(ahead::ITEMS)).collect());
        }
    }

    /// Does what an operator wants of the list.
    fn obey(&mut self, command: Ask) {
        match command {
            Ask::Next => {}
            Ask::Reload => self.program.reload(),
            Ask::Jump(meant, to) => {
                let ahead = match self.leave(meant.skip) {
                    Some(Next::Play(item)) => Some(item.place),
                    Some(_) => None,
                    None => self.ahead.place(),
                };
                self.program.jump(meant.place.or(ahead), to);
                self.look_ahead();
            }
            Ask::Queue(meant, line) => {
                let left = self.leave(meant.skip);
                self.program.queue(&line);
                // What has not been given out yet is the current item itself.
                if let Some(place) = meant.place {
                    self.program.jump(Some(place), Jump::After);
                    self.look_ahead();
                } else if let Some(next) = left {
                    self.ahead = self.look(next);
                }
            }
        }
    }

    /// Leaves entries that were left before they had their turn. Answers what comes then, where that was any.
    fn leave(&mut self, count: u64) -> Option<Next> {
        let mut next = None;
        for _ in 0..count {
            // What cannot be played is none.
            for _ in 0..=self.program.round_len() {
                next = Some(self.program.next());
                match &next {
                    Some(Next::Skip { .. }) => {}
                    Some(Next::Kept { item, .. }) if self.shared.cache.recall(&item.id).is_none() => {}
                    _ => break,
                }
            }
        }
        next
    }

    /// What to encode now; `None` where a command has to be obeyed first.
    fn turn(&mut self) -> Option<Turn> {
        loop {
            let now = match std::mem::replace(&mut self.ahead, Prepared::End) {
                Prepared::Play(ready) => self.confirm(*ready),
                other => other,
            };
            return match now {
                Prepared::Skip { title, failure } => Some(Turn::Skip { title, failure }),
                Prepared::End => self.shared.feed.finish().then_some(Turn::End),
                Prepared::Play(ready) => match self.shared.feed.open(&ready.item, &self.shared.cancel) {
                    Opened::Goes(attempt) => {
                        if let Some(board) = &self.coming {
                            board.set(Vec::new());
                        }
                        Some(Turn::Play(ready, attempt))
                    }
                    Opened::Over => self.shared.feed.finish().then_some(Turn::End),
                    Opened::Left => {
                        self.look_ahead();
                        continue;
                    }
                    Opened::Stale => {
                        self.ahead = Prepared::Play(ready);
                        None
                    }
                },
            };
        }
    }

    /// What was prepared a while ago, as it is now: the list may have changed, the item too, URLs expired; and somebody may
    /// have put it into the cache.
    fn confirm(&mut self, ready: Ready) -> Prepared {
        let Ready { mut item, key, way } = ready;
        let cache = &self.shared.cache;
        let now = cache.key(&item.media);
        let same = now == key;
        let way = match (now.as_ref().and_then(|key| cache.find(key, &item)), way) {
            (Some(entry), _) => {
                item.media.expires = None;
                Some(Way::Kept(entry))
            }
            (None, way) if same => Some(way),
            (None, _) => None,
        };
        match (self.program.confirm(item.clone()), way) {
            (Next::Play(confirmed), Some(way)) if confirmed == item => {
                Prepared::Play(Box::new(Ready { item, key: now, way }))
            }
            // Another item, or another content of it.
            (other, _) => self.look(other),
        }
    }

    /// What is to be done about `next`, or about what follows it where that was left at its very end.
    fn look(&mut self, mut next: Next) -> Prepared {
        loop {
            let (item, key, way) = match next {
                Next::Play(item) => {
                    // Before it is probed: what is kept under this key is what was looked at, or nothing.
                    let key = self.shared.cache.key(&item.media);
                    match self.way(key.as_ref(), &item) {
                        Ok(way) => (item, key, way),
                        Err(failure) => return Prepared::Skip { title: item.title, failure },
                    }
                }
                Next::Kept { item, failure } => match self.shared.cache.recall(&item.id) {
                    Some(entry) => {
                        let title = entry.title().to_owned();
                        log::warn!("“{title}” plays as it was kept, because {failure}");
                        (Item { title, ..item }, None, Way::Kept(entry))
                    }
                    None => return Prepared::Skip { title: item.title, failure },
                },
                Next::Skip { title, failure, .. } => return Prepared::Skip { title, failure },
                Next::End => return Prepared::End,
            };
            let at_its_end = |whole| !item.start.is_zero() && item.start + EARLY / 2 > whole;
            if way.length().is_some_and(at_its_end) {
                next = self.program.next();
                continue;
            }
            // What comes from elsewhere and has no end is live, whoever did not know it before.
            let remote = item.media.sources.iter().any(|source| !source.url.starts_with("file:"));
            let live = item.media.live || (remote && way.length().is_none());
            // URLs that are not opened need not be asked for anew.
            let expires = item.media.expires.filter(|_| matches!(way, Way::Encode(_)));
            let media = Media { live, expires, ..item.media };
            let item = Item { media, ..item };
            return Prepared::Play(Box::new(Ready { item, key, way }));
        }
    }

    /// From the cache where it is there; else what an encoder has to know.
    fn way(&self, key: Option<&cache::Key>, item: &Item) -> Result<Way, Failure> {
        match key.and_then(|key| self.shared.cache.find(key, item)) {
            Some(entry) => Ok(Way::Kept(entry)),
            None => probe::probe(&self.shared.ffprobe, &item.media, &self.shared.cancel).map(Way::Encode),
        }
    }
}

impl Prepared {
    fn place(&self) -> Option<u64> {
        match self {
            Self::Play(ready) => Some(ready.item.place),
            Self::Skip { .. } | Self::End => None,
        }
    }
}

/// The encode thread.
struct Encode {
    setup: Setup,
    copy_matching: bool,
    shared: Shared,
    failed: u64,
    failed_in_row: usize,
}

impl Encode {
    /// Encodes until the programme is over or the broadcast cancelled; the number of failed items.
    fn run(mut self, preparer: &Preparer) -> u64 {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        while !self.shared.cancel.is_cancelled() {
            let (next, round) = preparer.next();
            match next {
                // What is left is still shown, and a command may lead back.
                Turn::End => self.shared.feed.wait_reopened(&self.shared.cancel),
                Turn::Skip { title, failure } => {
                    self.pause(round, &mut backoff);
                    self.fail(&title, &failure, Duration::ZERO);
                }
                Turn::Play(ready, attempt) => {
                    self.pause(round, &mut backoff);
                    if !attempt.left.is_cancelled() {
                        let Ready { item, key, way } = *ready;
                        match way {
                            Way::Encode(found) => {
                                let copied =
                                    Job::copy(&item, &found, &self.setup).filter(|_| self.copy_matching);
                                match copied {
                                    Some(job) => self.copy(item, &job, &attempt),
                                    None => self.play(item, key.as_ref(), &found, &attempt),
                                }
                            }
                            Way::Kept(entry) => self.replay(item, entry, &attempt),
                        }
                    }
                    self.shared.feed.close();
                }
            }
        }
        self.failed
    }

    /// Waits where the whole list has just failed: the filler is on air, and asking again at once would change nothing.
    fn pause(&mut self, round: usize, backoff: &mut Backoff) {
        if self.failed_in_row == 0 {
            backoff.reset();
        } else if self.failed_in_row >= round.max(1) {
            self.failed_in_row = 0;
            let delay = backoff.next_delay();
            log::warn!("nothing in the list can be played; trying again in {:.0} s", delay.as_secs_f64());
            // A command, or an edit of the list, is worth another try.
            self.shared.feed.wait_told(delay, &self.shared.cancel);
        }
    }

    /// Plays what was encoded before. Where that turns out to be damaged the rest is encoded.
    fn replay(&mut self, item: Item, entry: cache::Entry, attempt: &Attempt) {
        METRICS.cache_hits.inc();
        // No encoder works, so none is slow.
        METRICS.encoder_speed.set(0.0);
        self.shared.board.update(|status| status.encoder_speed_ratio = None);
        let feed = &self.shared.feed;
        let on_air = OnAir {
            run: attempt.run,
            // Its tags carry their times from the item's beginning on, wherever it goes on air.
            item: Item { start: Duration::ZERO, ..item.clone() },
            silent: entry.is_silent(),
            expected: Some(entry.length()),
        };
        let mut playback = entry.play(item.start);
        feed.give(Piece::Begin(Arc::new(on_air)), false, &attempt.left);
        let mut damaged = None;
        while let Some(group) = playback.next_group() {
            let Ok(tags) = group.map_err(|error| damaged = Some(error.at)) else { break };
            for tag in tags {
                if !feed.give(Piece::Tag(tag), false, &attempt.left) {
                    return;
                }
            }
        }
        feed.give(Piece::End, false, &attempt.left);
        self.failed_in_row = 0;
        if let Some(at) = damaged {
            playback.remove();
            let seconds = at.as_secs();
            log::warn!(
                "what was kept of “{}” is damaged after {seconds} s and removed; encoding the rest",
                item.title
            );
            self.encode_rest(Item { start: at, ..item }, attempt);
        }
    }

    /// Plays `item` as it is stored, a group of pictures at a time. From the first on that cannot go on air so, it is encoded.
    fn copy(&mut self, item: Item, job: &Job, attempt: &Attempt) {
        let Ok(mut encoder) = Encoder::start(job.command(&self.setup), &attempt.left) else {
            // It will not encode either, and that says why.
            return self.encode_rest(item, attempt);
        };
        let (feed, left) = (&self.shared.feed, &attempt.left);
        let mut on_air =
            Some(OnAir { run: attempt.run, item: item.clone(), silent: false, expected: job.expected });
        let mut give = |group: Vec<Tag>| {
            let begin = on_air.take().map(|on_air| Piece::Begin(Arc::new(on_air)));
            begin
                .into_iter()
                .chain(group.into_iter().map(Piece::Tag))
                .all(|piece| feed.give(piece, false, left))
        };
        let mut groups = Groups::new(self.setup.profile.fps);
        let mut newest = 0;
        let ended = loop {
            let group = match encoder.next_tag() {
                Ok(Some(tag)) => {
                    newest = newest.max(tag.timestamp);
                    groups.push(tag)
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(format!("ffmpeg’s copy of it {error}")),
            };
            match group {
                Ok(Some(group)) => {
                    if !give(group) {
                        return;
                    }
                }
                Ok(None) => {}
                Err(why) => break Err(why),
            }
        };
        let short = job.expected.is_some_and(|whole| Duration::from_millis(newest) + EARLY < whole);
        let ended = match ended {
            Ok(()) if short => Err("the copy ends before its end".to_owned()),
            other => other,
        };
        if ended.is_ok() && !give(groups.rest()) {
            return;
        }
        let begun = on_air.is_none();
        if begun {
            feed.give(Piece::End, false, left);
        }
        match ended {
            Ok(()) => self.failed_in_row = 0,
            Err(_) if left.is_cancelled() => {}
            Err(why) => {
                let at = Duration::from_millis(groups.begun());
                log::info!("“{}” is encoded from {:.1} s on: {why}", item.title, at.as_secs_f64());
                self.encode_rest(Item { start: at, ..item }, attempt);
            }
        }
    }

    fn encode_rest(&mut self, item: Item, attempt: &Attempt) {
        let found = if item.media.sources.is_empty() {
            let why = "what was kept of it is damaged, and its page could not be asked";
            Err(Failure::new(Reason::Missing, why))
        } else {
            probe::probe(&self.shared.ffprobe, &item.media, &attempt.left)
        };
        match found {
            Ok(found) => self.play(item, None, &found, attempt),
            Err(_) if attempt.left.is_cancelled() => {}
            Err(failure) => self.fail(&item.title, &failure, item.start),
        }
    }

    fn play(&mut self, item: Item, key: Option<&cache::Key>, found: &Probe, attempt: &Attempt) {
        let title = item.title.clone();
        let job = Job::item(&item, found, &self.setup);
        let mut played = Duration::ZERO;
        let outcome = self.encode(item, key, &job, attempt, &mut played);
        if !played.is_zero() {
            self.shared.feed.give(Piece::End, false, &attempt.left);
        }
        match outcome {
            Ok(()) => self.failed_in_row = 0,
            // It was left, or the broadcast was stopped.
            Err(_) if attempt.left.is_cancelled() => {}
            Err(failure) => self.fail(&title, &failure, played),
        }
    }

    /// Runs the encoder of `item` to its end. `played` tells how much of it came.
    fn encode(
        &mut self,
        item: Item,
        key: Option<&cache::Key>,
        job: &Job,
        attempt: &Attempt,
        played: &mut Duration,
    ) -> Result<(), Failure> {
        let (feed, left) = (&self.shared.feed, &attempt.left);
        let tool = |e: io::Error| Failure::new(Reason::Tool, format!("cannot run ffmpeg: {e}"));
        let source = item.media.sources.first().cloned();
        let mut encoder = Encoder::start(job.command(&self.setup), left).map_err(tool)?;
        let mut meter = Meter::new(self.setup.profile.fps);
        let live = item.media.live;
        let mut recording = key.and_then(|key| self.shared.cache.record(key, &item, job.expected));
        METRICS.cache_misses.inc_by(u64::from(recording.is_some()));
        let mut early = Vec::new();
        let mut on_air =
            Some(OnAir { run: attempt.run, item, silent: job.is_silent(), expected: job.expected });
        let read = loop {
            let began = Instant::now();
            let tag = match encoder.next_tag() {
                Ok(Some(tag)) => tag,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            meter.count(began.elapsed(), tag.kind == Kind::Video && tag.is_frame());
            if let Some(ratio) = meter.due() {
                METRICS.encoder_speed.set(ratio);
                self.shared.board.update(|status| status.encoder_speed_ratio = Some(ratio));
            }
            *played = meter.media();
            recording.take_if(|recording| !recording.push(&tag));
            if on_air.is_some() && !tag.is_keyframe() {
                // Headers, and sound that comes before the first picture: without one there is nothing to put on air.
                early.push(Piece::Tag(tag));
                if early.len() > MAX_EARLY {
                    break Ok(());
                }
                continue;
            }
            if let Some(on_air) = on_air.take() {
                feed.give(Piece::Begin(Arc::new(on_air)), live, left);
                for piece in early.drain(..) {
                    feed.give(piece, live, left);
                }
            }
            if !feed.give(Piece::Tag(tag), live, left) {
                break Err(io::Error::from(io::ErrorKind::ConnectionAborted).into());
            }
        };
        let ended = encoder.finish(read.is_ok()).map_err(tool)?;
        judge(&read, &ended, job.expected, *played, source.as_ref())?;
        // A hole that the network left once would be there for ever.
        let clean = ended.status.success() && (is_local(source.as_ref()) || ended.messages.trim().is_empty());
        if let (Some(recording), Some(length), true) = (recording, job.expected, clean) {
            recording.finish(length, job.is_silent(), job.titled);
        }
        Ok(())
    }

    /// Tells about an item that failed, and counts it.
    fn fail(&mut self, title: &str, failure: &Failure, played: Duration) {
        let what = if played.is_zero() { "skipped" } else { "cut short" };
        log::warn!("{what} “{title}”: {failure}");
        METRICS.failures.with_label_values(&[failure.reason.label()]).inc();
        self.shared.board.update(|status| status.last_failure = Some(format!("{title}: {failure}")));
        self.failed += 1;
        // What was on air for a while has not made the list unplayable.
        self.failed_in_row = if played > EARLY { 0 } else { self.failed_in_row + 1 };
    }
}

fn is_local(source: Option<&crate::item::Source>) -> bool {
    source.is_some_and(|source| source.url.starts_with("file:"))
}

/// Whether an encoder's run was what was asked of it.
pub(crate) fn judge(
    read: &Result<(), FlvError>,
    ended: &encoder::Ended,
    expected: Option<Duration>,
    played: Duration,
    source: Option<&crate::item::Source>,
) -> Result<(), Failure> {
    let missing = expected.map_or(Duration::ZERO, |expected| expected.saturating_sub(played));
    let whole = missing <= EARLY && !played.is_zero();
    let seconds = |d: Duration| format!("{:.1} s", d.as_secs_f64());
    if let Err(FlvError::Io(error)) = read
        && error.kind() == io::ErrorKind::TimedOut
    {
        let after = seconds(played);
        return Err(Failure::new(
            Reason::Stalled,
            format!("no frame came for {} s, {after} into it", encoder::STALL.as_secs()),
        ));
    }
    if whole && read.is_ok() {
        return Ok(());
    }
    if ended.status.code().is_none() {
        let how = describe(ended.status);
        return Err(Failure::new(
            Reason::Encoder,
            format!("its encoder was {how} after {}", seconds(played)),
        ));
    }
    if played.is_zero() {
        return Err(match source {
            Some(source) => encoder::explain(&ended.messages, source),
            None => Failure::new(Reason::Unplayable, "it names no source"),
        });
    }
    let remote = source.is_some_and(|s| !s.url.starts_with("file:"));
    let said = match last_message(&ended.messages) {
        message if ended.messages.trim().is_empty() || message.is_empty() => String::new(),
        message => format!(" (ffmpeg says: {message})"),
    };
    let reason = if remote { Reason::Network } else { Reason::Truncated };
    Err(Failure::new(reason, format!("it ended {} before its end{said}", seconds(missing))))
}

/// Measures how fast an encoder works: media it makes in the time that somebody waits for it.
struct Meter {
    fps: f64,
    frames: u64,
    window_frames: u64,
    waited: Duration,
    since: Instant,
}

impl Meter {
    fn new(fps: u32) -> Self {
        let now = Instant::now();
        Self { fps: f64::from(fps), frames: 0, window_frames: 0, waited: Duration::ZERO, since: now }
    }

    fn count(&mut self, waited: Duration, picture: bool) {
        self.waited += waited;
        self.frames += u64::from(picture);
        self.window_frames += u64::from(picture);
    }

    fn media(&self) -> Duration {
        Duration::from_secs_f64(self.frames as f64 / self.fps)
    }

    /// The ratio of the last seconds, every two of them.
    fn due(&mut self) -> Option<f64> {
        if self.since.elapsed() < Duration::from_secs(2) || self.waited.is_zero() {
            return None;
        }
        let ratio = self.window_frames as f64 / self.fps / self.waited.as_secs_f64();
        *self = Self { frames: self.frames, ..Self::new(self.fps as u32) };
        Some(ratio)
    }
}
