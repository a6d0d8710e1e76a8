//! The broadcast as a whole: the list from where it was left, the engine that plays it, and the position kept. It can be
//! played more than once: a stream that had to be closed goes on where it was.

use std::{ffi::OsString, fs, path::Path, thread, time::Duration};

use anyhow::Context;
use tgs_core::{
    cancel::Cancel,
    error::CliError,
    exit::Code,
    settings::{Publisher, Quality, Settings},
    supervise::keep_running,
    systemd,
};
use tgs_playout::{
    command::Command,
    engine::{self, Control, EngineConfig, EngineError, RunEnd},
    output::Output,
    profile::Profile,
};

use crate::{
    app::{engine_failed, playlist_file, resolver},
    cli::Cli,
    playlist::{self, Playlist, PlaylistWatch},
    position::{ListKey, Position, PositionStore, SAVE_EVERY},
};

/// How often the position is passed on: with the keeper's own 1.5 s a `kill -9` costs less than two seconds.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// How often the playlist file is looked at.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// A list and how it is to be played.
pub(crate) struct Broadcast<'a> {
    cli: &'a Cli,
    settings: &'a Settings,
    /// The list, opened before anything is published to find out early that it cannot be read.
    next: Option<OpenedPlaylist>,
    /// Stops the questions that the list asks of ffprobe and yt-dlp.
    cancel: Cancel,
}

/// The list from where it was left.
struct OpenedPlaylist {
    playlist: Playlist,
    keeper: Option<PositionStore>,
}

impl<'a> Broadcast<'a> {
    pub(crate) fn new(cli: &'a Cli, settings: &'a Settings, cancel: &Cancel) -> Result<Self, CliError> {
        let next = Some(OpenedPlaylist::open(cli, settings, cli.from_start, cancel)?);
        Ok(Self { cli, settings, next, cancel: cancel.clone() })
    }

    /// Plays it, until it ends or `control` stops it.
    pub(crate) fn play(&mut self, output: Output, control: &Control) -> Result<Code, CliError> {
        let (cli, settings) = (self.cli, self.settings);
        let OpenedPlaylist { playlist, keeper } = match self.next.take() {
            Some(opened) => opened,
            None => OpenedPlaylist::open(cli, settings, false, &self.cancel)?,
        };
        let bookmarks = playlist.bookmarks();
        let stopped = control.stopped();
        follow(playlist.watch(), control.clone());
        let config = EngineConfig {
            ffmpeg: settings.ffmpeg_path.clone(),
            ffprobe: settings.ffprobe_path(),
            profile: profile(settings.quality),
            ffmpeg_args: settings.ffmpeg_args.clone(),
            output,
            read_ahead: settings.read_ahead,
            realtime: cli.realtime,
            filler: settings.filler.clone(),
            cache_dir: settings.cache_dir.clone(),
            cache_limit: settings.cache_limit,
            cache_ahead: settings.cache_ahead,
            // Headers that change half-way do not come out of that sender again.
            image_duration: settings.image_duration,
            copy_matching: settings.copy_matching && settings.publisher == Publisher::Native,
            state_dir: settings.state_dir.clone(),
            first_timestamp: cli.first_timestamp,
        };
        let keep = || {
            if let Some(keeper) = &keeper
                && let Some(published) = control.board.read().published
                && let Some((bookmark, offset)) = bookmarks.resume_point(published.place, published.offset)
            {
                keeper.set(Position { bookmark, offset_ms: offset.as_millis() as u64 });
            }
        };
        let ended = thread::scope(|threads| {
            threads.spawn(|| {
                // A scope ends in a panic where one of its threads has.
                keep_running(
                    "keep",
                    |delay| stopped.wait(delay),
                    || {
                        while !stopped.wait(LOOK_EVERY) {
                            keep();
                        }
                    },
                );
            });
            let ended = engine::run(config, Box::new(playlist), control);
            order(control, Command::Stop);
            ended
        });
        // Also after a failure, and with what arrived last.
        keep();
        let summary = match ended {
            Ok(summary) => summary,
            Err(EngineError::Stopped) => return Ok(Code::Ok),
            Err(error) => return Err(engine_failed(error)),
        };
        if let Some(keeper) = &keeper {
            let published = control.board.read().published;
            match summary.end {
                RunEnd::Stopped => {}
                RunEnd::Over => keeper.clear(),
                RunEnd::AfterCurrent => {
                    match published.and_then(|published| bookmarks.after(published.place)) {
                        Some(bookmark) => keeper.set(Position { bookmark, offset_ms: 0 }),
                        None => keeper.clear(),
                    }
                }
            }
        }
        if cli.once && summary.end == RunEnd::Over && summary.played == 0 {
            return Err(anyhow::anyhow!("play anything: none of the entries can be played").into());
        }
        Ok(Code::Ok)
    }
}

impl OpenedPlaylist {
    /// Opens the list where it was left, or at its beginning.
    fn open(cli: &Cli, settings: &Settings, from_start: bool, cancel: &Cancel) -> Result<Self, CliError> {
        let file = playlist_file(cli, settings);
        let list =
            ListKey::of(named(&cli.sources, file.as_deref()).iter().map(|name| name.as_encoded_bytes()));
        // Played once, a list has no position to come back to, and the broadcast's own is left alone.
        let (keeper, kept) =
            (!cli.once).then(|| PositionStore::start(&settings.state_dir, list, SAVE_EVERY)).unzip();
        let kept = kept.flatten().filter(|_| !from_start);
        if let Some(kept) = &kept {
            log::info!("going on with {} at {} s", kept.bookmark.key.item, kept.offset_ms / 1000);
        }
        let playlist = Playlist::open(playlist::PlaylistConfig {
            sources: cli.sources.clone(),
            file,
            repeat: settings.repeat && !cli.once,
            shuffle: settings.shuffle,
            wait: systemd::is_supervising() && !cli.once,
            resume: kept.map(|kept| (kept.bookmark, Duration::from_millis(kept.offset_ms))),
            resolver: resolver(settings, cancel)?,
        })
        .context("open the list")?;
        Ok(Self { playlist, keeper })
    }
}

/// Has the list read again whenever its file was edited, until the broadcast is over.
fn follow(mut watch: PlaylistWatch, control: Control) {
    let stopped = control.stopped();
    // Nobody waits for its end: a file system that hangs cannot be asked to stop.
    let run = move || {
        keep_running(
            "watch",
            |delay| stopped.wait(delay),
            || {
                while !stopped.wait(WATCH_EVERY) {
                    if watch.changed() {
                        order(&control, Command::Reload);
                    }
                }
            },
        );
    };
    if let Err(error) = thread::Builder::new().name("watch".into()).spawn(run) {
        log::warn!("edits of the playlist are taken at a SIGHUP only: failed to start a thread: {error}");
    }
}

/// Gives a command that nobody waits for an answer to.
pub(crate) fn order(control: &Control, command: Command) {
    if let Err(refused) = control.send(command) {
        log::warn!("a command was not taken: {refused}");
    }
}

/// The profile that VIDEO_QUALITY names.
pub(crate) fn profile(quality: Quality) -> Profile {
    match quality {
        Quality::P480 => Profile::P480,
        Quality::P720 => Profile::P720,
        Quality::P1080 => Profile::P1080,
    }
}

/// What identifies the list: its sources and its file, wherever the tool is started.
fn named(sources: &[OsString], file: Option<&Path>) -> Vec<OsString> {
    // A URL has no place in the file system and stays as it is.
    let place = |path: &Path| fs::canonicalize(path).unwrap_or(path.to_owned()).into_os_string();
    sources.iter().map(|source| place(Path::new(source))).chain(file.map(place)).collect()
}
