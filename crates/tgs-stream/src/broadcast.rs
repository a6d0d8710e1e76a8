//! One broadcast: the playlist from its saved position, the engine that plays it, and the saving of
//! the position. Plays again after a stream was closed, from where that ended.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use anyhow::Context;
use tgs_core::{
    cancel::Cancel, error::CliError, exit::Code, permit::Permit, settings::Settings, supervise::keep_running,
    systemd,
};
use tgs_playout::{
    command::Command,
    engine::{self, Control, EngineError, RunEnd},
    output::Output,
};

use crate::{
    broadcast_origin::BroadcastOrigin,
    cli::Cli,
    playlist::{self, Bookmarks, Playlist, PlaylistView, PlaylistWatch},
    position::{ListKey, ListPlace, Position, PositionStore, SAVE_EVERY},
    preview::Previewer,
    queue::{PlayQueue, consumer::QueueConsumer},
    resolver::Resolver,
    setup::{engine_config, engine_failed, resolver, send},
    standing::Standing,
    succession::PositionFeed,
    upgrade::Upgrade,
};

/// How often the published position is read, which may be 0.25 s old.
const POSITION_EVERY: Duration = Duration::from_millis(200);

/// How long the end of an engine waits for the disk.
const SETTLE: Duration = Duration::from_secs(3);

/// How often the playlist file is checked for an edit.
const WATCH_EVERY: Duration = Duration::from_secs(1);

pub(crate) struct Broadcast<'a> {
    cli: &'a Cli,
    settings: &'a Settings,
    /// Opened before anything is published, so that an unreadable list is an early error.
    next: Option<OpenedPlaylist>,
    queue: PlayQueue,
    view: PlaylistView,
    /// Hands the broadcast over to another process.
    pub(crate) upgrade: Option<Upgrade>,
    /// Gets the position, if another host continues from it.
    feed: Option<PositionFeed>,
}

/// The playlist at its position.
struct OpenedPlaylist {
    playlist: Playlist,
    position_store: Option<PositionStore>,
}

impl<'a> Broadcast<'a> {
    /// The broadcast at the position of its STATE_DIR, or where `origin` continues.
    pub(crate) fn new(
        cli: &'a Cli,
        settings: &'a Settings,
        control: &Control,
        origin: &BroadcastOrigin,
    ) -> Result<Self, CliError> {
        // `--once` neither plays nor overwrites the broadcast's queue.
        let kept = (!cli.once).then(|| settings.state_dir.join("queue.json"));
        let mut broadcast = Self::with_queue(cli, settings, control, kept);
        broadcast.feed = origin.succession().map(|succession| succession.feed.clone());
        let place = match origin {
            BroadcastOrigin::Own => ListPlace::Saved,
            BroadcastOrigin::Process(predecessor) => predecessor.place(),
            BroadcastOrigin::Host(succession) => succession.place(),
        };
        let is_saved = matches!(place, ListPlace::Saved);
        // This host's own file does not know what the host before did.
        let keep = !is_saved && origin.succession().is_some();
        // A process that takes another's place has the arguments of that one's start.
        let is_start = !matches!(origin, BroadcastOrigin::Process(_));
        let place = if cli.from_start && is_saved && is_start { ListPlace::Beginning } else { place };
        broadcast.next = Some(broadcast.open(place, keep, &control.stopped())?);
        Ok(broadcast)
    }

    /// A broadcast that does not run, with an empty queue.
    pub(crate) fn idle(cli: &'a Cli, settings: &'a Settings, control: &Control) -> Self {
        Self::with_queue(cli, settings, control, None)
    }

    fn with_queue(cli: &'a Cli, settings: &'a Settings, control: &Control, kept: Option<PathBuf>) -> Self {
        let queue = PlayQueue::open(kept, cli.playlist_file(settings).as_deref(), control.clone());
        let view = PlaylistView::new(queue.clone(), control.status.clone());
        Self { cli, settings, next: None, queue, view, upgrade: None, feed: None }
    }

    /// The queue, for commands of operators.
    #[must_use]
    pub(crate) fn queue(&self) -> PlayQueue {
        self.queue.clone()
    }

    /// The list as operators see it.
    #[must_use]
    pub(crate) fn view(&self) -> PlaylistView {
        self.view.clone()
    }

    /// Renders pictures of items.
    pub(crate) fn previewer(&self, stopped: &Cancel) -> Result<Previewer, CliError> {
        Previewer::new(self.cli, self.settings, stopped)
    }

    /// Plays until the list ends or `control` stops; rests while the broadcast is stopped.
    pub(crate) fn play(
        &mut self,
        output: &Output,
        standing: &Standing,
        control: &Control,
    ) -> Result<Code, CliError> {
        loop {
            let played = standing.run_gated(control, |engine| self.play_once(output.clone(), engine));
            // A host of a hot standby leaves for another host.
            let left = control.has_left() && self.feed.is_none();
            if left && self.upgrade.as_ref().is_some_and(Upgrade::is_to_return) {
                log::warn!("upgrade: publishing again");
                continue;
            }
            return played.unwrap_or(Ok(Code::Ok));
        }
    }

    /// Plays until the list ends or `control`, one engine's, stops.
    fn play_once(&mut self, output: Output, control: &Control) -> Result<Code, CliError> {
        let OpenedPlaylist { mut playlist, position_store } = match self.next.take() {
            Some(opened) => opened,
            None => self.open(ListPlace::Saved, false, &control.stopped())?,
        };
        // An early opened one, too: a page that hangs must not outlive this engine.
        playlist.end_with(control.stopped());
        let saver = PositionSaver {
            control: control.clone(),
            queue: playlist.queue(),
            bookmarks: playlist.bookmarks(),
            store: position_store,
            upgrade: self.upgrade.clone(),
            feed: self.feed.clone(),
        };
        if let Some(upgrade) = &self.upgrade {
            upgrade.set_list(playlist.bookmarks());
        }
        if let Some(feed) = &self.feed {
            feed.follow(playlist.bookmarks());
        }
        watch(playlist.watch(), control.clone());
        let config = engine_config(self.cli, self.settings, output);
        let saving = saver.start();
        let ended = engine::run(config, Box::new(playlist), control);
        send(control, Command::Stop);
        saving.finish(ended.as_ref().ok().map(|summary| summary.end));
        let summary = match ended {
            Ok(summary) => summary,
            Err(EngineError::Stopped) => return Ok(Code::Ok),
            Err(error) => return Err(engine_failed(error)),
        };
        if self.cli.once && summary.end == RunEnd::Over && summary.played == 0 {
            return Err(anyhow::anyhow!("play anything: none of the entries can be played").into());
        }
        Ok(Code::Ok)
    }

    /// Opens the list at `place`, and saves that if it is to be kept. `cancel` ends ffprobe and
    /// yt-dlp.
    fn open(&self, place: ListPlace, keep: bool, cancel: &Cancel) -> Result<OpenedPlaylist, CliError> {
        let (cli, settings) = (self.cli, self.settings);
        let file = cli.playlist_file(settings);
        let names = source_names(&cli.sources, file.as_deref());
        let list = ListKey::of(names.iter().map(|name| name.as_encoded_bytes()));
        // `--once` neither resumes nor overwrites the broadcast's position.
        let (position_store, saved) =
            (!cli.once).then(|| PositionStore::start(&settings.state_dir, list, SAVE_EVERY)).unzip();
        let saved = match place {
            ListPlace::Saved => saved.flatten(),
            ListPlace::At(position) => Some(*position),
            ListPlace::Beginning => None,
        };
        if let Some(store) = position_store.as_ref().filter(|_| keep) {
            saved.clone().map_or_else(|| store.clear(), |position| store.set(position));
        }
        // A host that takes over before the first item is on air begins there, too.
        if let Some(feed) = &self.feed {
            saved.clone().map_or_else(|| feed.clear(), |position| feed.set(position));
        }
        if let Some(saved) = &saved {
            let on_air = saved.queued.as_ref().map(|queued| (&queued.item.item, queued.offset_ms));
            let (item, offset_ms) = on_air.unwrap_or((&saved.bookmark.key.item, saved.offset_ms));
            log::info!("resuming {item} at {} s", offset_ms / 1000);
        }
        let resolver = resolver(settings, cancel)?;
        let playlist = Playlist::open(playlist_config(
            cli,
            settings,
            saved,
            self.queue.clone(),
            self.view.clone(),
            resolver,
        ))
        .context("open the list")?;
        Ok(OpenedPlaylist { playlist, position_store })
    }
}

/// Opens the list at `position` for a look ahead: nothing of the broadcast changes.
pub(crate) fn open_at(
    cli: &Cli,
    settings: &Settings,
    position: Option<Position>,
    cancel: &Cancel,
) -> Result<Playlist, CliError> {
    let control = Control::under(Permit::always(), cancel);
    let idle = Broadcast::idle(cli, settings, &control);
    let resolver = resolver(settings, cancel)?;
    let config = playlist_config(cli, settings, position, idle.queue, idle.view, resolver);
    Ok(Playlist::open(config).context("open the list")?)
}

fn playlist_config(
    cli: &Cli,
    settings: &Settings,
    position: Option<Position>,
    queue: PlayQueue,
    view: PlaylistView,
    resolver: Resolver,
) -> playlist::PlaylistConfig {
    playlist::PlaylistConfig {
        sources: cli.sources.iter().cloned().map(Into::into).collect(),
        file: cli.playlist_file(settings),
        repeat: settings.repeat && !cli.once,
        shuffle: settings.shuffle,
        separate: settings.separate.clone(),
        wait: systemd::is_supervising() && !cli.once,
        resume: position.map(Into::into),
        queue,
        view,
        resolver,
    }
}

/// Saves the position and the queue while an engine runs, on a thread of its own.
struct PositionSaver {
    control: Control,
    queue: QueueConsumer,
    bookmarks: Bookmarks,
    store: Option<PositionStore>,
    upgrade: Option<Upgrade>,
    feed: Option<PositionFeed>,
}

/// A running [`PositionSaver`].
struct Saving {
    ends: mpsc::Sender<Option<RunEnd>>,
    done: mpsc::Receiver<()>,
}

impl PositionSaver {
    fn start(self) -> Saving {
        let ((ends, end), (finished, done)) = (mpsc::channel(), mpsc::channel());
        let stopped = self.control.stopped();
        let run = move || {
            keep_running(
                "position-reader",
                |delay| stopped.wait(delay),
                || {
                    while !stopped.wait(POSITION_EVERY) {
                        self.save();
                    }
                },
            );
            if let Ok(end) = end.recv() {
                self.save_end(end);
            }
            // Writes the last position.
            drop(self);
            let _ = finished.send(());
        };
        if let Err(error) = thread::Builder::new().name("position-reader".into()).spawn(run) {
            log::warn!("the position is not saved: failed to start a thread: {error}");
        }
        Saving { ends, done }
    }

    fn save(&self) {
        let Some(published) = self.control.status.published() else { return };
        // First the queue: an entry that has ended must not be played again after a crash.
        self.queue.published(published.turn);
        if let Some(point) = self.bookmarks.resume_point(published.turn, published.offset) {
            self.set(point.into());
        }
    }

    fn set(&self, position: Position) {
        if let Some(feed) = &self.feed {
            feed.set(position.clone());
        }
        if let Some(store) = &self.store {
            store.set(position);
        }
    }

    /// Saves where the next run starts after a run that has ended so; `None` after a failure.
    fn save_end(&self, end: Option<RunEnd>) {
        // What was published since the last interval.
        self.save();
        if end == Some(RunEnd::Left) {
            return self.save_left();
        }
        let Some(end) = end.filter(|end| !matches!(end, RunEnd::Stopped | RunEnd::AfterLane)) else { return };
        let published = self.control.status.published().filter(|_| end == RunEnd::AfterCurrent);
        let next = published
            .and_then(|published| self.bookmarks.after(published.turn, |place| self.queue.following(place)));
        self.queue.ended();
        if let Some(next) = next {
            return self.set(next.into());
        }
        if let Some(feed) = &self.feed {
            feed.clear();
        }
        if let Some(store) = &self.store {
            store.clear();
        }
    }
}

impl PositionSaver {
    /// Saves where another process continues: to the picture, not to what was acknowledged.
    fn save_left(&self) {
        let position = self.upgrade.as_ref().and_then(Upgrade::position);
        if let (Some(store), Some(position)) = (&self.store, position) {
            store.set(position);
        }
    }
}

impl Saving {
    /// Saves the end of the run. Waits [`SETTLE`] at most: a disk that hangs must not keep the next
    /// engine from starting.
    fn finish(self, end: Option<RunEnd>) {
        if self.ends.send(end).is_ok() && self.done.recv_timeout(SETTLE) == Err(RecvTimeoutError::Timeout) {
            log::warn!("the disk of STATE_DIR does not answer; the position may be an older one");
        }
    }
}

/// Reloads the list after each edit of its file, until the broadcast ends.
fn watch(mut watch: PlaylistWatch, control: Control) {
    let stopped = control.stopped();
    // Never joined: a hanging file system cannot be interrupted.
    let run = move || {
        keep_running(
            "watch",
            |delay| stopped.wait(delay),
            || {
                while !stopped.wait(WATCH_EVERY) {
                    if watch.changed() {
                        send(&control, Command::Reload);
                    }
                }
            },
        );
    };
    if let Err(error) = thread::Builder::new().name("watch".into()).spawn(run) {
        log::warn!("the playlist is reloaded only on SIGHUP: failed to start a thread: {error}");
    }
}

/// The names that identify the list, independent of the working directory.
fn source_names(sources: &[OsString], file: Option<&Path>) -> Vec<OsString> {
    // A URL is no path, so it stays as it is.
    let name = |path: &Path| fs::canonicalize(path).unwrap_or(path.to_owned()).into_os_string();
    sources.iter().map(|source| name(Path::new(source))).chain(file.map(name)).collect()
}
