//! `tgs-stream` from its command line to its exit code: connects the parts, and does nothing else.

use std::{
    fs,
    io::{IsTerminal, Write},
    ops::ControlFlow,
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    thread,
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
    settings::{self, ScheduleReturn, Settings},
    signals, systemd,
};
use tgs_playout::{
    command::Command,
    engine::{self, Control},
    lane::ListReturn,
    output::Output,
};
use tgs_telegram::Ingest;

use crate::{
    as_run::AsRunLog,
    broadcast::Broadcast,
    cache_cli, check, children,
    cli::Cli,
    kept_proxies::ProxySaver,
    preflight::{self, PublishTarget},
    preview::PreviewRequest,
    resolver::Resolver,
    schedule::{Schedule, ScheduleConfig, ScheduleFile, plan_of_day},
    services::Services,
    settings_source::{ReadSettings, ReloadableSettings, SettingsSource},
    setup::{engine_failed, meter, resolver, rtmp_output, send, send_as},
    standing::Standing,
    status_source::StatusSource,
    telegram::{self, EngineRunner, HandedStream, SharedTelegramStatus},
    upgrade::{
        HandedDescriptor, Upgrade,
        successor::{self, Predecessor},
    },
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
    if let Err(error) = listen(&control, cli.check || cli.preview.is_some()) {
        log::error!("failed to listen for signals: {error}");
        return Code::Failure;
    }
    let ended = if cli.check {
        check_only(cli, &settings, &control)
    } else if cli.preview.is_some() {
        preview_only(cli, &settings, &control)
    } else {
        broadcast(cli, &settings, source, &control)
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
fn listen(control: &Control, check: bool) -> std::io::Result<()> {
    let (stopped, control) = (control.stopped(), control.clone());
    let at_terminal = check || std::io::stdin().is_terminal();
    let others: &[i32] = if check { &[] } else { &[SIGHUP, SIGUSR1] };
    let by_signal = move |command| send_as(&control, command, &CommandSender::signal());
    signals::listen(&[SIGTERM, SIGINT], others, stopped, move |signal| match signal {
        SIGHUP if !at_terminal => by_signal(Command::Reload),
        SIGUSR1 => by_signal(Command::Next),
        _ => {
            log::info!("stopping");
            systemd::stopping();
            by_signal(Command::Stop);
        }
    })
}

/// The first of several errors; the others are logged.
fn first_of(errors: Vec<CliError>) -> CliError {
    let mut errors = errors.into_iter();
    let first = errors.next().unwrap_or_else(|| CliError::failure("use the settings"));
    for error in errors {
        let _ = error.log();
    }
    first
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

fn check_tools(settings: &Settings, control: &Control) -> Result<(), CliError> {
    engine::check_tools(&settings.ffmpeg_path, &settings.ffprobe_path(), &control.stopped())
        .map_err(engine_failed)?;
    Ok(())
}

fn broadcast(
    cli: &Cli,
    settings: &Settings,
    source: SettingsSource,
    control: &Control,
) -> Result<Code, CliError> {
    let predecessor = successor::predecessor()?;
    let kept_proxies = KeptProxies::in_dir(&settings.state_dir);
    let target =
        preflight::check_start(cli, settings, &kept_proxies, &control.stopped()).map_err(first_of)?;
    warn_of_publisher(settings);
    let lock = match &predecessor {
        Some(predecessor) => predecessor.state_lock(&settings.state_dir)?,
        None => lock(&settings.state_dir)?,
    };
    children::confine(cli, settings, &settings.state_dir.join("scratch"));
    let status = SharedTelegramStatus::default();
    let mut broadcast = Broadcast::new(cli, settings, control, predecessor.as_ref())?;
    // `--once` neither resumes nor overwrites what is kept of the broadcast.
    let kept_in = (!cli.once).then_some(&*settings.state_dir);
    let standing = Standing::open(kept_in, settings.pause_max, control);
    let _saver = (!cli.once).then(|| ProxySaver::start(kept_proxies.clone()));
    let upgrade = Upgrade::new(control, &standing, broadcast.queue(), cannot_upgrade(cli, settings, &target));
    upgrade.keep(HandedDescriptor::StateLock, lock.descriptor());
    broadcast.upgrade = Some(upgrade.clone());
    let services = Services {
        cli,
        settings,
        target: &target,
        kept_proxies: &kept_proxies,
        standing: &standing,
        control,
        shown: StatusSource {
            control: control.clone(),
            telegram: matches!(target, PublishTarget::Telegram).then(|| status.clone()),
            standing: standing.clone(),
            warnings: settings.warnings.clone(),
        },
        schedule: start_schedule(cli, settings, control, predecessor.as_ref())?,
        queue: broadcast.queue(),
        view: broadcast.view(),
        previewer: broadcast.previewer(&control.stopped()).ok(),
        upgrade: upgrade.clone(),
    };
    services.prepare_media().map_err(first_of)?;
    let gone = predecessor.as_ref().map(Predecessor::gone);
    let _as_run = AsRunLog::start(&settings.state_dir, settings.as_run_keep, control, gone.clone());
    let handed =
        gone.map(|gone| HandedStream { ingest: predecessor.as_ref().and_then(Predecessor::ingest), gone });
    let play = || match &target {
        PublishTarget::Output(output) => broadcast.play(output, &standing, control),
        PublishTarget::Telegram => {
            let chat = ChatParts { status, proxies: kept_proxies.clone(), handed, upgrade: &upgrade };
            into_chat(cli, settings, source, broadcast, &standing, chat, control)
        }
    };
    let played = match predecessor {
        None => begin(services, play),
        Some(predecessor) => succeed(predecessor, services, control, play),
    };
    upgrade.end_media();
    played
}

fn warn_of_publisher(settings: &Settings) {
    if settings.publisher == settings::PublisherKind::Ffmpeg {
        log::warn!(
            "PUBLISHER=ffmpeg: the process list shows the stream key, the send queue is not measured, /healthz does \
             not see an outage, and a reconnect loses what was in flight"
        );
    }
}

/// Starts what runs beside the engine, and plays.
fn begin(services: Services<'_>, play: impl FnOnce() -> Result<Code, CliError>) -> Result<Code, CliError> {
    services.upgrade.start_media();
    let _servers = services.start(None)?;
    systemd::ready();
    play()
}

/// Gets ready beside `predecessor`, takes its place, and plays.
fn succeed(
    mut predecessor: Predecessor,
    services: Services<'_>,
    control: &Control,
    play: impl FnOnce() -> Result<Code, CliError>,
) -> Result<Code, CliError> {
    if predecessor.is_on_air() {
        control.hold();
    }
    thread::scope(|threads| {
        let taking_over = thread::Builder::new().name("takeover".into()).spawn_scoped(threads, || {
            let taken = predecessor.take_over(control, || services.upgrade.start_media());
            let servers = taken.and_then(|()| services.start(Some(&predecessor)));
            match &servers {
                Ok(_) => systemd::ready(),
                Err(_) => send(control, Command::Stop),
            }
            servers
        });
        let taking_over = taking_over.context("start a thread")?;
        let played = play();
        send(control, Command::Stop);
        match taking_over.join() {
            Ok(Ok(servers)) => drop(servers),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(CliError::failure("take over the broadcast: its thread died")),
        }
        played
    })
}

/// Why this broadcast cannot be handed over to another process, if it cannot.
fn cannot_upgrade(cli: &Cli, settings: &Settings, target: &PublishTarget) -> Option<&'static str> {
    match target {
        PublishTarget::Output(Output::File(_)) => Some("it is written to a file"),
        _ if settings.publisher == settings::PublisherKind::Ffmpeg => {
            Some("an ffmpeg publishes it (PUBLISHER=ffmpeg)")
        }
        _ if cli.once => Some("it plays its list once (--once)"),
        _ => None,
    }
}

/// Follows the timetable, if there is one. `--once` plays the list alone.
fn start_schedule(
    cli: &Cli,
    settings: &Settings,
    control: &Control,
    predecessor: Option<&Predecessor>,
) -> Result<Option<Schedule>, CliError> {
    let Some(file) = settings.schedule.clone().filter(|_| !cli.once) else { return Ok(None) };
    let resolver = resolver(settings, &control.stopped())?;
    let config = ScheduleConfig {
        file,
        preroll: settings.schedule_preroll,
        list_returns: match settings.schedule_return {
            ScheduleReturn::Resume => ListReturn::Resume,
            ScheduleReturn::Next => ListReturn::Next,
        },
        state_dir: settings.state_dir.clone(),
        resolver: resolver.clone(),
        length: Arc::new(move |item| resolver.probe(&item.media).ok().and_then(|found| found.duration)),
        not_before: predecessor.map(Predecessor::begins_at),
    };
    Ok(Some(Schedule::start(config, control)))
}

/// What a broadcast into a chat needs besides.
struct ChatParts<'a> {
    status: SharedTelegramStatus,
    proxies: KeptProxies,
    handed: Option<HandedStream>,
    upgrade: &'a Upgrade,
}

fn into_chat(
    cli: &Cli,
    settings: &Settings,
    source: SettingsSource,
    broadcast: Broadcast<'_>,
    standing: &Standing,
    ChatParts { status, proxies, handed, upgrade }: ChatParts<'_>,
    control: &Control,
) -> Result<Code, CliError> {
    // A missing ffmpeg must show before a call is created.
    check_tools(settings, control)?;
    // A stopped broadcast creates no call.
    if !standing.await_start(&control.stopped()) {
        return Ok(Code::Ok);
    }
    let broadcast = Mutex::new(broadcast);
    let play = |output: &Output, control: &Control| {
        let mut broadcast = broadcast.lock().unwrap_or_else(PoisonError::into_inner);
        broadcast.play(output, standing, control).unwrap_or_else(|error| error.log())
    };
    let output = |ingest: &Ingest| {
        let (url, through) = (ingest.output(), proxies.list("ingest", settings.ingest_proxies()));
        rtmp_output(settings, url.expose(), through, "the ingest that Telegram names")
    };
    let runner =
        EngineRunner { play: &play, output: &output, has_further_outputs: !settings.also_outputs.is_empty() };
    let config = telegram::TelegramConfig {
        settings: ReloadableSettings::new(settings.clone(), source),
        env_file: cli.env_file_path(),
        status,
        proxies: proxies.clone(),
        control: control.clone(),
        time_scale: cli.time_scale.max(1),
        handed,
        upgrade: upgrade.clone(),
    };
    Ok(telegram::run(config, &runner))
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
