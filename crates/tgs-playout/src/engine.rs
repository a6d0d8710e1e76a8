//! The broadcast: three threads and their shared state.
//!
//! - *prepare* owns the programme and resolves and probes one item ahead, which can take seconds.
//! - *encode* runs one encoder after another into the read-ahead.
//! - *playout*, the caller's own thread, paces and publishes.
//!
//! Two optional threads write the cache: one for the item being encoded, one for coming items. The
//! latter measures their loudness as well.
//!
//! The encode thread handles every failure of an item, playout every failure of the connection.

mod config;
mod context;
mod control;
mod encode;
mod encoder_run;
mod lane_threads;
mod opened_lane;
mod play;
mod prefetch;
mod prepare;
mod preview;
mod requests;
mod set_up;
mod skip_log;
mod speed_meter;
mod tools;
mod unplayed;

use std::{
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use tgs_core::cancel::Cancel;
use tgs_rtmp::flv::Tag;

pub use self::{
    config::{EngineConfig, EngineError, RunEnd, Summary},
    control::Control,
    preview::{PreviewError, preview},
    tools::check_tools,
};
use self::{
    context::EngineContext,
    encode::EncodeThread,
    lane_threads::LaneOpener,
    prefetch::{CachePrefetcher, UpcomingItems},
    prepare::PrepareHandle,
    set_up::set_up,
};
use crate::{
    cache::{self, Cache},
    ffmpeg::EncodeSetup,
    filler::Filler,
    item::{Item, NextItem, Programme},
    lane::{Lanes, OpenLane},
    loudness::LoudnessMeter,
    main_output::{MainOutput, ThreadedPublisher},
    on_air::OnAirTracker,
    output::Output,
    pacing::{LaneSwitch, Playout, Supervision},
    publisher::Publisher,
    read_ahead::ReadAhead,
    sink::file,
    threads::await_end,
    timeline::Timeline,
};

/// Time that the end of a broadcast waits for the cache writer.
const SETTLE: Duration = Duration::from_secs(3);

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
    control.leaving.begin_run();
    // An error during a stop is a consequence of the stop.
    let stopped = |error| if cancel.is_cancelled() { EngineError::Stopped } else { error };
    let ffprobe = config.ffprobe.clone();
    let version = check_tools(&config.ffmpeg, &ffprobe, &cancel).map_err(stopped)?;
    let read_ahead =
        Arc::new(ReadAhead::new(config.profile.fps, config.read_ahead, control.status.standing()));
    let setup = set_up(&config, &version, &cancel, !control.held.is_held()).map_err(stopped)?;
    let cache = Arc::new(Cache::open(&config.cache_dir, config.cache_limit, &setup, &version));
    let meter = meter(&setup, &config.cache_dir);
    let shared = EngineContext {
        ffprobe: ffprobe.clone(),
        wanted: setup.wanted(),
        setup: Arc::new(setup.clone()),
        cache: cache.clone(),
        meter: meter.clone(),
        read_ahead: read_ahead.clone(),
        control: control.clone(),
        cancel: cancel.clone(),
        lane: None,
    };
    let coming = (config.cache_ahead || meter.is_some()).then(UpcomingItems::default);
    let preparer = PrepareHandle::start(program, shared.clone(), coming.clone())
        .map_err(|source| EngineError::Thread { name: "prepare", source })?;
    let lanes = Lanes::default();
    let opener = LaneOpener::new(&lanes, &setup, &shared, &config, &version);
    let _attached = control.attach(read_ahead.clone(), preparer.ask.clone(), Box::new(opener));
    let own = config.filler.as_deref();
    let filler = Filler::prepare(&setup, &version, &ffprobe, own, &config.cache_dir, &cancel)
        .map_err(|error| stopped(error.into()))?;
    let ahead = coming.map(|upcoming| CachePrefetcher {
        upcoming,
        encodes: config.cache_ahead,
        meter,
        cache: cache.clone(),
        read_ahead: Some(read_ahead.clone()),
        setup: setup.clone(),
        ffprobe,
        cancel: cancel.clone(),
    });
    cache::forget_fillers(&config.cache_dir);
    let encode = EncodeThread::new(setup, shared, config.passthrough);
    let is_file = matches!(config.output, Output::File(_));
    let (timeline, of_list) = (Timeline::new(&config.profile, filler.silence()), lanes.clone());
    let play = move || -> Result<Playout, EngineError> {
        let started = await_release(control, &read_ahead, &of_list).unwrap_or(started);
        let metadata = file::metadata_tag(&config.profile);
        let publisher = Publisher::new(config.output, config.profile, config.first_timestamp, cancel)
            .under(control.permit.clone());
        let supervision = supervision(control, metadata, &publisher, started);
        let main = main_output(publisher, control)?;
        let switch = LaneSwitch::new(read_ahead, of_list);
        Ok(Playout::new(switch, timeline, filler, main, supervision, !is_file || config.realtime))
    };
    let ended = run_threads(encode, preparer, ahead, play, &cache, &lanes, control);
    lanes.end_all(Duration::from_secs(1));
    ended
}

/// Encodes the next items of `programme` into the cache, and prepares the filler, for a broadcast
/// that may begin later. With CACHE_AHEAD off, items are only measured.
pub fn prepare_ahead(
    config: &EngineConfig,
    mut programme: Box<dyn Programme>,
    cancel: &Cancel,
) -> Result<(), EngineError> {
    let version = check_tools(&config.ffmpeg, &config.ffprobe, cancel)?;
    let setup = set_up(config, &version, cancel, true)?;
    let own = config.filler.as_deref();
    let filler = Filler::prepare(&setup, &version, &config.ffprobe, own, &config.cache_dir, cancel);
    filler.map_err(|error| if cancel.is_cancelled() { EngineError::Stopped } else { error.into() })?;
    let ahead = CachePrefetcher {
        upcoming: UpcomingItems::default(),
        encodes: config.cache_ahead,
        meter: meter(&setup, &config.cache_dir),
        cache: Arc::new(Cache::open(&config.cache_dir, config.cache_limit, &setup, &version)),
        read_ahead: None,
        setup,
        ffprobe: config.ffprobe.clone(),
        cancel: cancel.clone(),
    };
    for _ in 0..prefetch::ITEMS {
        if cancel.is_cancelled() {
            break;
        }
        match programme.next() {
            // The whole item: the position within it moves.
            NextItem::Play(item) => ahead.keep_now(&Item { start: Duration::ZERO, ..item }),
            NextItem::Kept { .. } | NextItem::Skip { .. } => {}
            NextItem::End => break,
        }
    }
    Ok(())
}

/// Waits while the start is held; until then nothing is connected or sent. Returns the time of the
/// release, if it was held.
fn await_release(control: &Control, read_ahead: &ReadAhead, lanes: &Lanes) -> Option<Instant> {
    if !control.held.is_held() {
        return None;
    }
    // A live source follows its live edge meanwhile.
    read_ahead.set_at_live_edge(true);
    let due = |lane: &OpenLane| lane.is_startable() || !lane.starts_by(SystemTime::now());
    let is_ready = |held| read_ahead.is_ready_to_begin(held) && lanes.all().iter().all(|lane| due(lane));
    control.held.wait(&control.cancel, is_ready);
    read_ahead.set_at_live_edge(false);
    Some(Instant::now())
}

/// The meter of a broadcast that levels its items.
fn meter(setup: &EncodeSetup, cache_dir: &Path) -> Option<Arc<LoudnessMeter>> {
    let EncodeSetup { ffmpeg, profile, processing, image_duration, .. } = setup;
    LoudnessMeter::open(ffmpeg, &processing.sound, profile.channels, *image_duration, cache_dir).map(Arc::new)
}

/// The main output: beside further outputs with a thread of its own.
fn main_output(publisher: Publisher, control: &Control) -> Result<MainOutput, EngineError> {
    if !control.outputs.exist() || publisher.is_file() {
        return Ok(MainOutput::from(publisher));
    }
    let threaded = ThreadedPublisher::start(publisher, control);
    threaded.map(MainOutput::Threaded).map_err(|source| EngineError::Thread { name: "publisher", source })
}

/// Links the playout thread to the rest of the process.
fn supervision(control: &Control, metadata: Tag, publisher: &Publisher, started: Instant) -> Supervision {
    Supervision {
        cancel: control.cancel.clone(),
        leaving: control.leaving.clone(),
        shared_status: control.status.clone(),
        monitors: control.monitors.begin_run(metadata),
        outputs: control.outputs.begin_run(),
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
    play: impl FnOnce() -> Result<Playout, EngineError>,
    cache: &Cache,
    lanes: &Lanes,
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
        let played: Option<Result<u64, EngineError>> = control.guard("playout", || Ok(play()?.run()?));
        let end = match (cancel.is_cancelled(), control.is_ending()) {
            _ if control.leaving.has_left() => RunEnd::Left,
            (true, _) => RunEnd::Stopped,
            (false, true) if lanes.on_air().is_some() => RunEnd::AfterLane,
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

#[cfg(test)]
mod tests;
