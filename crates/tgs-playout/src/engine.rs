//! The broadcast: three threads and their shared state.
//!
//! - *prepare* owns the programme and resolves and probes one item ahead, which can take seconds.
//! - *encode* runs one encoder after another into the read-ahead.
//! - *playout*, the caller's own thread, paces and publishes.
//!
//! Two optional threads write the cache: one for the item being encoded, one for coming items.
//!
//! The encode thread handles every failure of an item, playout every failure of the connection.

mod config;
mod context;
mod control;
mod encode;
mod encoder_run;
mod play;
mod prefetch;
mod prepare;
mod skip_log;
mod speed_meter;
mod tools;
mod unplayed;

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tgs_core::cancel::Cancel;
use tgs_rtmp::flv::Tag;

pub use self::{
    config::{EngineConfig, EngineError, RunEnd, Summary},
    control::Control,
    tools::check_tools,
};
use self::{
    context::EngineContext,
    encode::EncodeThread,
    prefetch::{CachePrefetcher, UpcomingItems},
    prepare::PrepareHandle,
};
use crate::{
    cache::{self, Cache},
    ffmpeg::{
        EncodeSetup, ExtraArgs,
        args_probe::{self, ArgsProbeError},
        slate::FONT_FILE,
    },
    filler::Filler,
    item::Programme,
    on_air::OnAirTracker,
    output::Output,
    pacing::{Playout, Supervision},
    publisher::Publisher,
    read_ahead::ReadAhead,
    sink::file,
    threads::await_end,
    timeline::Timeline,
};

/// Time that the end of a broadcast waits for the cache writer.
const SETTLE: Duration = Duration::from_secs(3);

/// Font of the slate: DejaVu Sans, reduced to the alphabets of Europe.
const FONT: &[u8] = include_bytes!("../assets/slate.ttf");

/// Broadcasts `program` until it ends, `control` stops it, or a file output fails. In each of these
/// cases `control` is cancelled afterwards, and no thread or child is left.
pub fn run(
    config: EngineConfig,
    program: Box<dyn Programme>,
    control: &Control,
) -> Result<Summary, EngineError> {
    let ended = broadcast(config, program, control);
    // A thread's death cancels the broadcast, which then returns as if it were stopped.
    match control.status.read().dead_thread {
        Some((name, panic)) => Err(EngineError::Died { name, panic }),
        None => ended,
    }
}

fn broadcast(
    config: EngineConfig,
    program: Box<dyn Programme>,
    control: &Control,
) -> Result<Summary, EngineError> {
    let started = Instant::now();
    let cancel = control.cancel.clone();
    control.notes.clear();
    // An error during a stop is a consequence of the stop.
    let stopped = |error| if cancel.is_cancelled() { EngineError::Stopped } else { error };
    let ffprobe = config.ffprobe.clone();
    let version = check_tools(&config.ffmpeg, &ffprobe, &cancel).map_err(stopped)?;
    let read_ahead =
        Arc::new(ReadAhead::new(config.profile.fps, config.read_ahead, control.status.standing()));
    let setup = set_up(&config, &version, &cancel).map_err(stopped)?;
    let cache = Arc::new(Cache::open(&config.cache_dir, config.cache_limit, &setup, &version));
    let shared = EngineContext {
        ffprobe: ffprobe.clone(),
        wanted: setup.wanted(),
        cache: cache.clone(),
        read_ahead: read_ahead.clone(),
        control: control.clone(),
        cancel: cancel.clone(),
    };
    let coming = config.cache_ahead.then(UpcomingItems::default);
    let preparer = PrepareHandle::start(program, shared.clone(), coming.clone())
        .map_err(|source| EngineError::Thread { name: "prepare", source })?;
    let _attached = control.attach(read_ahead.clone(), preparer.ask.clone());
    let own = config.filler.as_deref();
    let filler = Filler::prepare(&setup, &version, &ffprobe, own, &config.cache_dir, &cancel)
        .map_err(|error| stopped(error.into()))?;
    let ahead = coming.map(|upcoming| CachePrefetcher {
        upcoming,
        cache: cache.clone(),
        read_ahead: read_ahead.clone(),
        setup: setup.clone(),
        ffprobe,
        cancel: cancel.clone(),
    });
    cache::forget_fillers(&config.cache_dir);
    let encode = EncodeThread::new(setup, shared, config.passthrough);
    let is_file = matches!(config.output, Output::File(_));
    let metadata = file::metadata_tag(&config.profile);
    let publisher = Publisher::new(config.output, config.profile, config.first_timestamp, cancel.clone());
    let supervision = supervision(control, metadata, &publisher, started);
    let playout = Playout::new(
        read_ahead,
        Timeline::new(&config.profile, filler.silence()),
        filler,
        publisher,
        supervision,
        !is_file || config.realtime,
    );
    run_threads(encode, preparer, ahead, playout, &cache, control)
}

/// Links the playout thread to the rest of the process.
fn supervision(control: &Control, metadata: Tag, publisher: &Publisher, started: Instant) -> Supervision {
    Supervision {
        cancel: control.cancel.clone(),
        shared_status: control.status.clone(),
        monitors: control.monitors.begin_run(metadata),
        tracker: OnAirTracker::new(control.events.clone(), control.notes.clone(), publisher.clock()),
        watchdog: control.watchdog.clone(),
        started,
    }
}

/// Runs the encode, prefetch and playout threads until the broadcast ends.
fn run_threads(
    encode: EncodeThread,
    preparer: PrepareHandle,
    ahead: Option<CachePrefetcher>,
    mut playout: Playout,
    cache: &Cache,
    control: &Control,
) -> Result<Summary, EngineError> {
    let cancel = &control.cancel;
    thread::scope(|threads| {
        let failed = |name| move |source| EngineError::Thread { name, source };
        let encoding = thread::Builder::new().name("encode".into());
        // The thread returns the preparer: dropping it cancels the broadcast.
        let encoding = encoding
            .spawn_scoped(threads, move || (control.guard("encode", || encode.run(&preparer)), preparer))
            .map_err(failed("encode"))?;
        let ahead = ahead.and_then(CachePrefetcher::start);
        let played = control.guard("playout", || playout.run());
        let end = match (cancel.is_cancelled(), control.is_ending()) {
            (true, _) => RunEnd::Stopped,
            (false, true) => RunEnd::AfterCurrent,
            (false, false) => RunEnd::Over,
        };
        cancel.cancel();
        let failed = encoding.join().ok().and_then(|(failed, _)| failed).unwrap_or_default();
        cache.settle(SETTLE);
        // The prefetcher may hang in yt-dlp or on a disk: the broadcast waits one second at most.
        await_end(&ahead, Duration::from_secs(1));
        let played = played.unwrap_or(Ok(0))?;
        Ok(Summary { played, failed, end })
    })
}

/// Creates the directories and verifies FFMPEG_ARGS; arguments that fail are left out.
fn set_up(config: &EngineConfig, version: &str, cancel: &Cancel) -> Result<EncodeSetup, EngineError> {
    std::fs::create_dir_all(&config.cache_dir)
        .map_err(|source| EngineError::Directory { path: config.cache_dir.clone(), source })?;
    let scratch = config.state_dir.join("scratch");
    let font = scratch.join(FONT_FILE);
    std::fs::create_dir_all(&scratch)
        .and_then(|()| if font.exists() { Ok(()) } else { std::fs::write(&font, FONT) })
        .map_err(|source| EngineError::Directory { path: scratch.clone(), source })?;
    let plain = EncodeSetup {
        ffmpeg: config.ffmpeg.clone(),
        profile: config.profile,
        extra: ExtraArgs::default(),
        scratch: std::path::absolute(&scratch).unwrap_or(scratch),
        image_duration: config.image_duration,
    };
    let prove = || -> Result<EncodeSetup, ArgsProbeError> {
        let setup = EncodeSetup { extra: ExtraArgs::parse(&config.ffmpeg_args)?, ..plain.clone() };
        if !setup.extra.is_empty() {
            args_probe::prove(&setup, version, &config.cache_dir, cancel)?;
        }
        Ok(setup)
    };
    let proven = prove();
    if cancel.is_cancelled() {
        return Err(EngineError::Stopped);
    }
    Ok(proven.unwrap_or_else(|reason| {
        log::warn!("FFMPEG_ARGS are not used: {reason}");
        plain
    }))
}

#[cfg(test)]
mod tests;
