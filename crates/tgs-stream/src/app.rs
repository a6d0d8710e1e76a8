//! What `tgs-stream` does from its settings to its exit code: puts the parts together, and nothing else.

use std::{
    fs,
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use tgs_core::{
    cancel::Cancel,
    error::CliError,
    exit::Code,
    files::lock::{FileLock, LockError},
    logging, owner, remedy,
    settings::{self, Settings},
    signals, systemd,
};
use tgs_playout::{
    command::Command,
    engine::{self, Control, EngineError},
};
use tgs_telegram::Ingest;

use crate::{
    broadcast::{Broadcast, order, profile},
    cache_cli, check, children,
    cli::Cli,
    preflight,
    preflight::PublishTarget,
    resolver::Resolver,
    status_server,
    telegram::{self, SharedTelegramStatus},
    ytdlp::YtDlp,
};

/// Runs the tool.
pub fn run(mut cli: Cli) -> Result<ExitCode, CliError> {
    // Typed on a server, wherever that is, the broadcast that is installed there is meant.
    if (cli.cache_status || cli.cache_clear) && cli.env_file.is_none() {
        cli.env_file = settings::installed(Path::new(""));
    }
    remedy::set_env_file(cli.env_file.as_deref());
    // Before the settings are read: they may be another user's pipe or link.
    match become_owner(&cli) {
        Ok(None) => {}
        Ok(Some(code)) => return Ok(code.into()),
        Err(refused) => {
            logging::init("info");
            log::error!("failed to {refused}");
            return Ok(Code::Config.into());
        }
    }
    Ok(run_as_this_user(cli).into())
}

/// What root has to become the owner of the files for, and runs to its end as that: the exit code.
fn become_owner(cli: &Cli) -> Result<Option<u8>, owner::Refused> {
    let env_file = cli.env_file.clone().unwrap_or_else(|| ".env".into());
    if let Some(code) = owner::run_as_owner(Some(&env_file), [])? {
        return Ok(Some(code));
    }
    let (settings, _) =
        Settings::examine(cli.env_file.as_deref(), &|name| std::env::var_os(name), &overrides(cli));
    let paths = settings.map(|settings| children::written_or_run(&settings)).unwrap_or_default();
    owner::run_as_owner(Some(&env_file), paths.iter().map(|path| &**path))
}

fn run_as_this_user(cli: Cli) -> Code {
    if cli.check_settings {
        return check_settings(&cli);
    }
    let loaded = Settings::load(cli.env_file.as_deref(), &|name| std::env::var_os(name), &overrides(&cli));
    let settings = match loaded {
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
    if cli.cache_status || cli.cache_clear {
        let mut out = std::io::stdout();
        let done = if cli.cache_clear {
            cache_cli::clear(&settings, &mut out).context("empty the cache")
        } else {
            cache_cli::status(&settings, cli.json, &mut out).context("show the cache")
        };
        return done.map_or_else(|error| CliError::from(error).log(), |()| Code::Ok);
    }
    let control = Control::default();
    if let Err(error) = listen(&control, cli.check) {
        log::error!("failed to listen for signals: {error}");
        return Code::Failure;
    }
    let ended =
        if cli.check { check_only(cli, &settings, &control) } else { broadcast(&cli, &settings, &control) };
    ended.unwrap_or_else(|error| error.log())
}

/// `--check-settings`. What cannot be written has no reader; the exit code is the answer.
fn check_settings(cli: &Cli) -> Code {
    // What is looked at says it itself.
    logging::init("off");
    let checked = preflight::report(cli, &Cancel::new(), &mut std::io::stdout());
    checked.unwrap_or(Code::Failure)
}

/// Takes signals as commands. At a terminal, and while a list is only checked, SIGHUP means that the terminal is gone.
fn listen(control: &Control, check: bool) -> std::io::Result<()> {
    let (stopped, control) = (control.stopped(), control.clone());
    let attended = check || std::io::stdin().is_terminal();
    let others: &[i32] = if check { &[] } else { &[SIGHUP, SIGUSR1] };
    signals::listen(&[SIGTERM, SIGINT], others, stopped, move |signal| match signal {
        SIGHUP if !attended => order(&control, Command::Reload),
        SIGUSR1 => order(&control, Command::Next),
        _ => {
            log::info!("stopping");
            systemd::stopping();
            order(&control, Command::Stop);
        }
    })
}

/// What the command line sets.
pub(crate) fn overrides(cli: &Cli) -> Vec<(&'static str, &str)> {
    [("OUTPUT_URL", &cli.output), ("PLAYLIST", &cli.playlist)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
        .collect()
}

/// The first of several errors; the others are logged.
fn first_of(all: Vec<CliError>) -> CliError {
    let mut all = all.into_iter();
    let first = all.next().unwrap_or_else(|| CliError::failure("use the settings"));
    for other in all {
        let _ = other.log();
    }
    first
}

fn check_only(cli: Cli, settings: &Settings, control: &Control) -> Result<Code, CliError> {
    let file = playlist_file(&cli, settings);
    // It may run beside a broadcast, and leaves nothing behind.
    let scratch = tempfile::tempdir().context("make a temporary directory")?;
    children::confine(&cli, settings, scratch.path());
    engine::check_tools(&settings.ffmpeg_path, &settings.ffprobe_path(), &control.stopped())
        .map_err(engine_failed)?;
    let resolver = resolver(settings, &control.stopped())?;
    let mut stderr = std::io::stderr();
    let progress = stderr.is_terminal().then_some(&mut stderr as &mut dyn Write);
    let all = check::check(cli.sources, file, &resolver, &mut std::io::stdout(), progress)
        .context("check the list")?;
    Ok(if all { Code::Ok } else { Code::Failure })
}

fn broadcast(cli: &Cli, settings: &Settings, control: &Control) -> Result<Code, CliError> {
    let target = preflight::look(cli, settings, &control.stopped()).map_err(first_of)?;
    if settings.publisher == settings::Publisher::Ffmpeg {
        warn_of_ffmpeg();
    }
    let _held = hold(&settings.state_dir)?;
    children::confine(cli, settings, &settings.state_dir.join("scratch"));
    let desk = SharedTelegramStatus::default();
    let into_telegram = matches!(target, PublishTarget::Telegram);
    let mut show = Broadcast::new(cli, settings, &control.stopped())?;
    let _front = status_server::open(settings, cli.fixed_port, control, into_telegram.then(|| desk.clone()));
    systemd::ready();
    match target {
        PublishTarget::Output(output) => show.play(output, control),
        PublishTarget::Telegram => {
            // Found missing now, not when a call has been created for it.
            engine::check_tools(&settings.ffmpeg_path, &settings.ffprobe_path(), &control.stopped())
                .map_err(engine_failed)?;
            let show = Mutex::new(show);
            let play = |ingest: &Ingest, control: &Control| {
                let mut show = show.lock().unwrap_or_else(PoisonError::into_inner);
                let played = preflight::rtmp_output(
                    settings,
                    ingest.output().expose(),
                    "the ingest that Telegram names",
                )
                .and_then(|output| show.play(output, control));
                played.unwrap_or_else(|error| error.log())
            };
            let env_file = cli.env_file.clone().unwrap_or_else(|| ".env".into());
            let config = telegram::TelegramConfig {
                settings: settings.clone(),
                reload: Box::new(|| reload(cli)),
                env_file,
                status: desk,
                control: control.clone(),
                time_scale: cli.hurry.max(1),
            };
            Ok(telegram::run(config, &play))
        }
    }
}

/// The settings as they are now; `None`, and said, where they cannot be read any more.
fn reload(cli: &Cli) -> Option<Settings> {
    let loaded = Settings::load(cli.env_file.as_deref(), &|name| std::env::var_os(name), &overrides(cli));
    loaded.map_err(|problems| log::error!("failed to read the settings again: {problems}")).ok()
}

pub(crate) fn engine_failed(error: EngineError) -> CliError {
    let missing = matches!(error, EngineError::NoFfmpeg { .. });
    let code = if missing { Code::Unavailable } else { Code::Failure };
    CliError::new(code, anyhow::Error::new(error).context("broadcast"))
}

fn warn_of_ffmpeg() {
    log::warn!(
        "PUBLISHER=ffmpeg: the stream key is shown in the process list, the send queue is not measured, /healthz \
         does not see an outage, and after one what was on its way is lost"
    );
}

/// Claims the state directory: two broadcasts in one would overwrite each other's position.
fn hold(state_dir: &Path) -> Result<FileLock, CliError> {
    let path = state_dir.join("lock");
    let take = || {
        fs::create_dir_all(state_dir)?;
        FileLock::take(state_dir, "lock".as_ref(), Duration::ZERO, &Cancel::new())
    };
    take().map_err(|error| match error {
        LockError::Held(holder) => {
            let pid = holder.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            let why = anyhow::anyhow!(
                "use STATE_DIR {}: another tgs-stream{pid} runs with it; give this one a STATE_DIR of its own",
                state_dir.display()
            );
            CliError::new(Code::Busy, why)
        }
        error => {
            let doing = format!("use STATE_DIR: cannot write {}", path.display());
            anyhow::Error::new(error).context(doing).into()
        }
    })
}

pub(crate) fn resolver(settings: &Settings, cancel: &Cancel) -> Result<Resolver, CliError> {
    let height = profile(settings.quality).height;
    let ytdlp = YtDlp::new(&settings.ytdlp_path, &settings.ytdlp_args, height)
        .map_err(|error| CliError::new(Code::Config, error.context("use YTDLP_ARGS")))?;
    Ok(Resolver {
        ffmpeg: settings.ffmpeg_path.clone(),
        ffprobe: settings.ffprobe_path(),
        ytdlp,
        image_duration: settings.image_duration,
        cancel: cancel.clone(),
    })
}

/// The playlist file, unless sources on the command line are all that is asked for.
pub(crate) fn playlist_file(cli: &Cli, settings: &Settings) -> Option<PathBuf> {
    (cli.playlist.is_some() || cli.sources.is_empty()).then(|| settings.playlist.clone())
}
