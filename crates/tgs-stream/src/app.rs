//! What `tgs-stream` does from its settings to its exit code: puts the parts together, and nothing else.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{IsTerminal, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use anyhow::Context;
use clap::Parser;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use tgs_core::{
    cancel::Cancel,
    exit::Code,
    logging, process,
    settings::{self, Quality, Settings},
};
use tgs_playout::{
    engine::{self, Config, Control, EngineError},
    profile::Profile,
    publisher::{self, Output},
    status::METRICS,
};

use crate::{
    check,
    cli::Cli,
    http::{FILE_EVERY, Pages, Web, WebConfig},
    playlist::{self, Playlist},
    position::{Keeper, Position, SAVE_EVERY, list_key},
    resolver::Resolver,
    ytdlp::YtDlp,
};

/// How often the position is passed on: with the keeper's own 1.5 s a `kill -9` costs less than two seconds.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// Runs the tool.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(code) = process::shim() {
        return code;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // To stdout or stderr, as it should be; a closed one is no reason to fail.
            let _ = error.print();
            return if error.use_stderr() { Code::Usage } else { Code::Ok }.into();
        }
    };
    run(cli).into()
}

fn run(cli: Cli) -> Code {
    let overrides: Vec<(&'static str, &str)> = [("OUTPUT_URL", &cli.output), ("PLAYLIST", &cli.playlist)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
        .collect();
    let settings = match Settings::load(cli.env_file.as_deref(), &|name| std::env::var_os(name), &overrides) {
        Ok(settings) => settings,
        Err(problems) => {
            logging::init("info");
            for problem in &problems.0 {
                log::error!("failed to read the settings: {problem}");
            }
            return Code::Config;
        }
    };
    logging::init(&settings.rust_log);
    for warning in &settings.warnings {
        log::warn!("{warning}");
    }
    let control = Control::default();
    if let Err(error) = watch_signals(control.cancel.clone()) {
        log::error!("failed to listen for signals: {error}");
        return Code::Failure;
    }
    let ended =
        if cli.check { check_only(cli, &settings, &control) } else { broadcast(cli, &settings, &control) };
    ended.unwrap_or_else(|Failed(code, error)| {
        log::error!("failed to {error:#}");
        code
    })
}

/// An error, and the exit code it leads to.
struct Failed(Code, anyhow::Error);

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self(Code::Failure, error)
    }
}

fn check_only(cli: Cli, settings: &Settings, control: &Control) -> Result<Code, Failed> {
    let file = playlist_file(&cli, settings);
    engine::check_tools(&settings.ffmpeg_path, &settings.ffprobe_path(), &control.cancel)
        .map_err(engine_failed)?;
    let resolver = resolver(settings, &control.cancel)?;
    let mut stderr = std::io::stderr();
    let progress = stderr.is_terminal().then_some(&mut stderr as &mut dyn Write);
    let all = check::check(cli.sources, file, &resolver, &mut std::io::stdout(), progress)
        .context("check the list")?;
    Ok(if all { Code::Ok } else { Code::Failure })
}

fn broadcast(cli: Cli, settings: &Settings, control: &Control) -> Result<Code, Failed> {
    let output = output(settings)?;
    let _held = hold(&settings.state_dir)?;
    let file = playlist_file(&cli, settings);
    let list = list_key(named(&cli.sources, file.as_deref()).iter().map(|name| name.as_encoded_bytes()));
    // Played once, a list has no position to come back to, and the broadcast's own is left alone.
    let (keeper, kept) = (!cli.once).then(|| Keeper::start(&settings.state_dir, list, SAVE_EVERY)).unzip();
    let kept = kept.flatten().filter(|_| !cli.from_start);
    if let Some(kept) = &kept {
        log::info!("going on with {} at {} s", kept.bookmark.key.item, kept.offset_ms / 1000);
    }
    let playlist = Playlist::open(playlist::Config {
        sources: cli.sources,
        file,
        repeat: settings.repeat && !cli.once,
        shuffle: settings.shuffle,
        resume: kept.map(|kept| (kept.bookmark, Duration::from_millis(kept.offset_ms))),
        resolver: resolver(settings, &control.cancel)?,
    })
    .context("open the list")?;
    let bookmarks = playlist.bookmarks();
    let _web = start_web(settings, control);
    let config = Config {
        ffmpeg: settings.ffmpeg_path.clone(),
        ffprobe: settings.ffprobe_path(),
        profile: profile(settings.quality),
        ffmpeg_args: settings.ffmpeg_args.clone(),
        output,
        read_ahead: settings.read_ahead,
        realtime: cli.realtime,
        filler: settings.filler.clone(),
        cache_dir: settings.cache_dir.clone(),
        state_dir: settings.state_dir.clone(),
        first_timestamp: cli.first_timestamp,
    };
    let keep = || {
        if let Some(keeper) = &keeper
            && let Some(published) = control.board.read().published
            && let Some(bookmark) = bookmarks.of(&published.id)
        {
            keeper.set(Position { bookmark, offset_ms: published.offset.as_millis() as u64 });
        }
    };
    let ended = thread::scope(|threads| {
        threads.spawn(|| {
            while !control.cancel.wait(LOOK_EVERY) {
                keep();
            }
        });
        let ended = engine::run(config, Box::new(playlist), control);
        control.cancel.cancel();
        ended
    });
    // Also after a failure, and with what arrived last.
    keep();
    let summary = match ended {
        Ok(summary) => summary,
        Err(EngineError::Stopped) => return Ok(Code::Ok),
        Err(error) => return Err(engine_failed(error)),
    };
    if summary.over
        && let Some(keeper) = &keeper
    {
        keeper.clear();
    }
    if cli.once && summary.over && summary.played == 0 {
        return Err(anyhow::anyhow!("play anything: none of the entries can be played").into());
    }
    Ok(Code::Ok)
}

fn engine_failed(error: EngineError) -> Failed {
    let missing = matches!(error, EngineError::NoFfmpeg { .. });
    let code = if missing { Code::Unavailable } else { Code::Failure };
    Failed(code, anyhow::Error::new(error).context("broadcast"))
}

/// The profile that VIDEO_QUALITY names.
fn profile(quality: Quality) -> Profile {
    match quality {
        Quality::P480 => Profile::P480,
        Quality::P720 => Profile::P720,
        Quality::P1080 => Profile::P1080,
    }
}

fn output(settings: &Settings) -> Result<Output, Failed> {
    let config = |why: anyhow::Error| Failed(Code::Config, why);
    let Some(url) = &settings.output_url else {
        return Err(config(anyhow::anyhow!(
            "find out where to publish: give --output, or OUTPUT_URL in the .env file"
        )));
    };
    let by_ffmpeg = (settings.publisher == settings::Publisher::Ffmpeg).then(|| settings.ffmpeg_path.clone());
    if by_ffmpeg.is_some() {
        log::warn!(
            "PUBLISHER=ffmpeg: the stream key is shown in the process list, the send queue is not measured, /healthz \
             does not see an outage, and after one what was on its way is lost"
        );
    }
    publisher::parse_output(url.expose(), by_ffmpeg)
        .map_err(|why| config(anyhow::anyhow!("use the output (--output, OUTPUT_URL): {why}")))
}

/// Claims the state directory: two broadcasts in one would overwrite each other's position.
fn hold(state_dir: &Path) -> Result<File, Failed> {
    let path = state_dir.join("lock");
    let open = || -> std::io::Result<File> {
        fs::create_dir_all(state_dir)?;
        File::options().read(true).write(true).create(true).truncate(false).open(&path)
    };
    let mut file = open().with_context(|| format!("use STATE_DIR: cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            let (dir, pid) = (state_dir.display(), pid.trim());
            let why = anyhow::anyhow!(
                "use STATE_DIR {dir}: another tgs-stream (pid {pid}) runs with it; give this one a STATE_DIR of its own"
            );
            return Err(Failed(Code::Busy, why));
        }
        Err(TryLockError::Error(error)) => {
            return Err(anyhow::Error::new(error).context(format!("lock {}", path.display())).into());
        }
    }
    // Only for the message above.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

fn resolver(settings: &Settings, cancel: &Cancel) -> Result<Resolver, Failed> {
    let height = profile(settings.quality).height;
    let ytdlp = YtDlp::new(&settings.ytdlp_path, &settings.ytdlp_args, height)
        .map_err(|error| Failed(Code::Config, error.context("use YTDLP_ARGS")))?;
    Ok(Resolver {
        ffmpeg: settings.ffmpeg_path.clone(),
        ffprobe: settings.ffprobe_path(),
        ytdlp,
        cancel: cancel.clone(),
    })
}

/// The playlist file, unless sources on the command line are all that is asked for.
fn playlist_file(cli: &Cli, settings: &Settings) -> Option<PathBuf> {
    (cli.playlist.is_some() || cli.sources.is_empty()).then(|| settings.playlist.clone())
}

/// What identifies the list: its sources and its file, wherever the tool is started.
fn named(sources: &[OsString], file: Option<&Path>) -> Vec<OsString> {
    // A URL has no place in the file system and stays as it is.
    let place = |path: &Path| fs::canonicalize(path).unwrap_or(path.to_owned()).into_os_string();
    sources.iter().map(|source| place(Path::new(source))).chain(file.map(place)).collect()
}

fn start_web(settings: &Settings, control: &Control) -> Web {
    std::sync::LazyLock::force(&METRICS);
    let (health, status) = (control.board.clone(), control.board.clone());
    Web::start(
        &WebConfig {
            host: settings.prometheus_host.to_string(),
            port: settings.prometheus_port,
            metrics_file: settings.metrics_file.clone(),
            state_dir: settings.state_dir.clone(),
            file_every: FILE_EVERY,
        },
        Pages {
            health: Box::new(move || health.read().health()),
            status_json: Box::new(move || serde_json::to_string(&status.read()).unwrap_or_default()),
        },
    )
}

/// The first SIGTERM or SIGINT ends the broadcast in order, the second ends the process.
fn watch_signals(cancel: Cancel) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in &mut signals {
            if cancel.is_cancelled() {
                // Children die with this process: their parent-death signal is set.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
            log::info!("stopping");
            cancel.cancel();
        }
    })?;
    Ok(())
}
