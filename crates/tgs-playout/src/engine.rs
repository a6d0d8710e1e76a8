//! The broadcast: three threads and what they share.
//!
//! - *prepare* owns the programme and looks one item ahead: resolving and probing can take seconds.
//! - *encode* runs one encoder after another into the read-ahead.
//! - *playout*, the caller's own thread, paces and publishes.
//!
//! Beside them, and needed by none of them: one that keeps the item being encoded, one that encodes ahead.
//!
//! A failure of an item ends in the encode thread, a failure of the connection in playout; neither reaches the other.

mod encode;
mod meter;
mod prepare;
mod rest;
mod skip_log;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tgs_core::{
    cancel::Cancel,
    process::{self, RunError, describe},
};

pub use crate::command::Control;

use crate::{
    cache::{self, Cache},
    ffmpeg::{EncodeSetup, ExtraArgs, args_probe, probe::ProbeOptions, slate::FONT_FILE},
    filler::{Filler, FillerError},
    item::Programme,
    playout::Playout,
    prefetch::{self, CachePrefetcher},
    profile::Profile,
    publisher::{Output, Publisher},
    read_ahead::ReadAhead,
    status::METRICS,
    threads::await_end,
    timeline::Timeline,
};
use encode::EncodeThread;
use prepare::PrepareHandle;

/// How long the end of a broadcast waits for what is being put into the cache.
const SETTLE: Duration = Duration::from_secs(3);

/// The slate's font: DejaVu Sans, cut down to the alphabets of Europe.
const FONT: &[u8] = include_bytes!("../assets/slate.ttf");

/// What a broadcast needs to know.
#[derive(Debug, Clone)]
pub struct EngineConfig {
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
    /// How long a still picture is shown.
    pub image_duration: Duration,
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
    pub end: RunEnd,
}

/// Why a broadcast ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnd {
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
    /// A thread of the broadcast cannot be started.
    #[error("cannot start the thread {name}: {source}")]
    Thread {
        /// Its name.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A thread without which there is no broadcast has died.
    #[error("the thread {name} died, which is a fault of tgs-stream; please report it: {panic}")]
    Died {
        /// Its name.
        name: &'static str,
        /// What it died of.
        panic: String,
    },
    /// The output file cannot be written.
    #[error("{0}")]
    Output(String),
}

/// Broadcasts `program` until it ends, `control` stops it, or (a file) the output fails. In each case `control` is
/// stopped afterwards, and no thread or child is left.
pub fn run(
    config: EngineConfig,
    program: Box<dyn Programme>,
    control: &Control,
) -> Result<Summary, EngineError> {
    let ended = broadcast(config, program, control);
    // It stops the broadcast, which then ends as one that was asked to.
    match control.board.read().dead_thread {
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
    // What a stop interrupts has not failed.
    let stopped = |error| if cancel.is_cancelled() { EngineError::Stopped } else { error };
    let ffprobe = config.ffprobe.clone();
    let version = check_tools(&config.ffmpeg, &ffprobe, &cancel).map_err(stopped)?;
    let read_ahead = Arc::new(ReadAhead::new(config.profile.fps, config.read_ahead));
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
    let coming = config.cache_ahead.then(prefetch::UpcomingItems::default);
    let preparer = PrepareHandle::start(program, shared.clone(), coming.clone())
        .map_err(|source| EngineError::Thread { name: "prepare", source })?;
    let _attached = control.attach(read_ahead.clone(), preparer.ask.clone());
    let own = config.filler.as_deref();
    let filler = Filler::prepare(&setup, &version, &ffprobe, own, &config.cache_dir, &cancel)
        .map_err(|error| stopped(error.into()))?;
    let ahead = coming.map(|board| CachePrefetcher {
        board,
        cache: cache.clone(),
        read_ahead: read_ahead.clone(),
        setup: setup.clone(),
        ffprobe,
        cancel: cancel.clone(),
    });
    cache::forget_fillers(&config.cache_dir);
    let encode = EncodeThread::new(setup, shared, config.copy_matching);
    let is_file = matches!(config.output, Output::File(_));
    let publisher = Publisher::new(config.output, config.profile, config.first_timestamp, cancel.clone());
    let mut playout = Playout::new(
        read_ahead,
        Timeline::new(&config.profile, filler.silence()),
        filler,
        publisher,
        control.clone(),
        !is_file || config.realtime,
        started,
    );
    thread::scope(|threads| {
        let failed = |name| move |source| EngineError::Thread { name, source };
        let encoding = thread::Builder::new().name("encode".into());
        // It gives the preparer back, because dropping that ends the broadcast.
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
        // It may be asking yt-dlp, or a disk that hangs: the broadcast does not wait for that.
        await_end(&ahead, Duration::from_secs(1));
        let played = played.unwrap_or(Ok(0)).map_err(EngineError::Output)?;
        Ok(Summary { played, failed, end })
    })
}

/// Lays out the encoder's directory and proves FFMPEG_ARGS, or leaves them out.
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
    let proven = ExtraArgs::parse(&config.ffmpeg_args).and_then(|extra| {
        let setup = EncodeSetup { extra, ..plain.clone() };
        if !setup.extra.is_empty() {
            args_probe::prove(&setup, version, &config.cache_dir, cancel)?;
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

/// To load its libraries takes this long where the disk is busy: ten seconds were seen beside a build.
const VERSION_TIME_OUT: Duration = Duration::from_secs(25);

fn version(program: &Path, cancel: &Cancel) -> Result<String, EngineError> {
    let fail = |why: String| EngineError::NoFfmpeg { program: program.to_owned(), why };
    let mut command = process::command(program);
    command.arg("-version");
    let output = process::output(command, VERSION_TIME_OUT, 1 << 20, cancel).map_err(|e| match e {
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
struct EngineContext {
    ffprobe: PathBuf,
    /// Lines of the broadcast's picture.
    wanted: ProbeOptions,
    cache: Arc<Cache>,
    read_ahead: Arc<ReadAhead>,
    control: Control,
    cancel: Cancel,
}

impl EngineContext {
    /// Shows how fast the encoder works; `None` where none does.
    fn show_speed(&self, ratio: Option<f64>) {
        METRICS.encoder_speed.set(ratio.unwrap_or_default());
        self.control.board.update(|status| status.encoder_speed_ratio = ratio);
    }
}

#[cfg(test)]
mod tests;
