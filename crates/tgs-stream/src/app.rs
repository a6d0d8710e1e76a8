//! `tgs-stream` from its command line to its exit code: connects the parts, and does nothing else.

use std::{
    fs,
    io::{IsTerminal, Write},
    ops::ControlFlow,
    path::Path,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use tgs_control::CommandSender;
use tgs_core::{
    cancel::Cancel,
    error::CliError,
    exit::Code,
    files::lock::{FileLock, LockError},
    logging, owner,
    proxy::KeptProxies,
    remedy,
    settings::{self, Settings},
    signals, systemd,
};
use tgs_playout::{command::Command, engine::Control};

use crate::{
    assembly::{self, BroadcastStart},
    broadcast_origin::BroadcastOrigin,
    cache_cli, check, children,
    cli::Cli,
    hot_standby::{self, SignalledControl},
    preflight,
    preview::PreviewRequest,
    resolver::Resolver,
    schedule::{ScheduleFile, plan_of_day},
    settings_source::{ReadSettings, SettingsSource},
    setup::{check_tools, first_of, meter, resolver, send_as},
    upgrade::successor,
};

/// Runs the tool.
pub fn run(mut cli: Cli) -> Result<ExitCode, CliError> {
    // The cache commands mean the installed broadcast, from whichever directory they are typed.
    if (cli.cache_status || cli.cache_clear) && cli.env_file.is_none() {
        cli.env_file = settings::installed(Path::new(""));
    }
    remedy::set_env_file(cli.env_file.as_deref());
    let source = SettingsSource::new(&cli);
    match read_as_owner(&cli, &source) {
        Ok(ControlFlow::Continue(read)) => Ok(run_with(&cli, read, source).into()),
        Ok(ControlFlow::Break(code)) => Ok(code.into()),
        Err(refused) => {
            logging::init("info");
            log::error!("failed to {refused}");
            Ok(Code::Config.into())
        }
    }
}

/// Reads the settings. Started by root on another user's files, runs the tool as that user instead
/// and gives its exit code.
fn read_as_owner(
    cli: &Cli,
    source: &SettingsSource,
) -> Result<ControlFlow<u8, ReadSettings>, owner::Refused> {
    let env_file = cli.env_file_path();
    // Before they are read: the file may be another user's pipe or link.
    if let Some(code) = owner::run_as_owner(Some(&env_file), [])? {
        return Ok(ControlFlow::Break(code));
    }
    let read = source.read();
    let paths = read.settings.as_ref().map(children::written_or_run).unwrap_or_default();
    let code = owner::run_as_owner(Some(&env_file), paths.iter().map(|path| &**path))?;
    Ok(code.map_or(ControlFlow::Continue(read), ControlFlow::Break))
}

fn run_with(cli: &Cli, read: ReadSettings, source: SettingsSource) -> Code {
    if cli.check_settings {
        return check_settings(cli, read);
    }
    let settings = match read.accept() {
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
    let signalled = SignalledControl::new(&control);
    if let Err(error) = listen(&control, &signalled, cli.check || cli.preview.is_some()) {
        log::error!("failed to listen for signals: {error}");
        return Code::Failure;
    }
    let ended = if cli.check {
        check_only(cli, &settings, &control)
    } else if cli.preview.is_some() {
        preview_only(cli, &settings, &control)
    } else {
        broadcast(cli, &settings, source, &control, &signalled)
    };
    ended.unwrap_or_else(|error| error.log())
}

/// `--check-settings`. A closed stdout is no failure: the exit code is the answer.
fn check_settings(cli: &Cli, read: ReadSettings) -> Code {
    // The report holds everything that the checked parts would log.
    logging::init("off");
    let checked = preflight::report(cli, read, &Cancel::new(), &mut std::io::stdout());
    checked.unwrap_or(Code::Failure)
}

/// Turns signals into commands. At a terminal and with `--check`, SIGHUP means that the terminal
/// was closed.
fn listen(control: &Control, signalled: &SignalledControl, check: bool) -> std::io::Result<()> {
    let (stopped, control, signalled) = (control.stopped(), control.clone(), signalled.clone());
    let at_terminal = check || std::io::stdin().is_terminal();
    let others: &[i32] = if check { &[] } else { &[SIGHUP, SIGUSR1] };
    let by_signal = |control: &Control, command| send_as(control, command, &CommandSender::signal());
    signals::listen(&[SIGTERM, SIGINT], others, stopped, move |signal| match signal {
        SIGHUP if !at_terminal => by_signal(&signalled.get(), Command::Reload),
        SIGUSR1 => by_signal(&signalled.get(), Command::Next),
        _ => {
            log::info!("stopping");
            systemd::stopping();
            let control = control.clone();
            signalled.stop(move || by_signal(&control, Command::Stop));
        }
    })
}

fn check_only(cli: &Cli, settings: &Settings, control: &Control) -> Result<Code, CliError> {
    // Not in STATE_DIR: a broadcast may run there.
    let scratch = tempfile::tempdir().context("make a temporary directory")?;
    children::confine(cli, settings, scratch.path());
    check_tools(settings, control)?;
    let resolver = resolver(settings, &control.stopped())?;
    if let Some(date) = &cli.on {
        return check_day(date, settings, &resolver);
    }
    let mut stderr = std::io::stderr();
    let progress = stderr.is_terminal().then_some(&mut stderr as &mut dyn Write);
    let file = cli.playlist_file(settings);
    let meter = meter(settings);
    let sources = cli.sources.iter().cloned().map(Into::into).collect();
    let all = check::check(sources, file, &resolver, meter, &mut std::io::stdout(), progress)
        .context("check the list")?;
    Ok(if all { Code::Ok } else { Code::Failure })
}

/// `--preview`.
fn preview_only(cli: &Cli, settings: &Settings, control: &Control) -> Result<Code, CliError> {
    let request = PreviewRequest::of(cli, settings).map_err(|why| CliError::new(Code::Usage, why))?;
    // Not in STATE_DIR: a broadcast may run there.
    let scratch = tempfile::tempdir().context("make a temporary directory")?;
    children::confine(cli, settings, scratch.path());
    check_tools(settings, control)?;
    let resolver = resolver(settings, &control.stopped())?;
    request.run(cli, settings, &resolver, scratch.path())?;
    Ok(Code::Ok)
}

/// `--check --on`.
fn check_day(date: &str, settings: &Settings, resolver: &Resolver) -> Result<Code, CliError> {
    let Some(file) = settings.schedule.clone() else {
        let why = anyhow::anyhow!("plan {date}: SCHEDULE in the .env file names no timetable");
        return Err(CliError::new(Code::Config, why));
    };
    let planned = plan_of_day(&ScheduleFile::new(file), date, resolver);
    let (plan, all) = planned.with_context(|| format!("plan {date}"))?;
    if resolver.cancel.is_cancelled() {
        return Err(CliError::failure(format!("plan {date}: stopped before the end")));
    }
    write!(std::io::stdout(), "{plan}").context("write the plan")?;
    Ok(if all { Code::Ok } else { Code::Failure })
}

fn broadcast(
    cli: &Cli,
    settings: &Settings,
    source: SettingsSource,
    control: &Control,
    signalled: &SignalledControl,
) -> Result<Code, CliError> {
    let predecessor = successor::predecessor()?;
    let kept_proxies = KeptProxies::in_dir(&settings.state_dir);
    let target =
        preflight::check_start(cli, settings, &kept_proxies, &control.stopped()).map_err(first_of)?;
    if settings.publisher == settings::PublisherKind::Ffmpeg {
        log::warn!(
            "PUBLISHER=ffmpeg: the process list shows the stream key, the send queue is not measured, /healthz does \
             not see an outage, and a reconnect loses what was in flight"
        );
    }
    let lock = match &predecessor {
        Some(predecessor) => predecessor.state_lock(&settings.state_dir)?,
        None => lock(&settings.state_dir)?,
    };
    children::confine(cli, settings, &settings.state_dir.join("scratch"));
    let start = BroadcastStart { cli, settings, source, target, kept_proxies, lock };
    match settings.ha.as_ref().filter(|_| !cli.once) {
        Some(ha) => hot_standby::run(&start, ha, control, signalled),
        None => assembly::run(
            &start,
            control,
            predecessor.map_or(BroadcastOrigin::Own, |old| BroadcastOrigin::Process(Box::new(old))),
        ),
    }
}

/// Locks the state directory: two broadcasts in one would overwrite each other's position.
fn lock(state_dir: &Path) -> Result<FileLock, CliError> {
    let take = || {
        fs::create_dir_all(state_dir)?;
        // Versions before 0.2 lock the same file.
        FileLock::take(state_dir, "lock".as_ref(), Duration::ZERO, &Cancel::new()).map(FileLock::keep_file)
    };
    take().map_err(|error| match error {
        LockError::Held(holder) => {
            let pid = holder.pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
            let why = anyhow::anyhow!(
                "use STATE_DIR {}: another tgs-stream (pid {pid}) runs with it; give this one a STATE_DIR of its own",
                state_dir.display()
            );
            CliError::new(Code::Busy, why)
        }
        error => {
            let doing = format!("use STATE_DIR: cannot write {}", state_dir.join("lock").display());
            anyhow::Error::new(error).context(doing).into()
        }
    })
}
