//! Puts the parts of one broadcast together and runs it: into Telegram, or to an output.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::Context;
use tgs_core::{
    error::CliError,
    exit::Code,
    files::lock::FileLock,
    proxy::KeptProxies,
    settings::{PublisherKind, ScheduleReturn, Settings},
    systemd,
};
use tgs_playout::{command::Command, engine::Control, lane::ListReturn, output::Output};
use tgs_telegram::Ingest;

use crate::{
    as_run::AsRunLog,
    broadcast::Broadcast,
    broadcast_origin::BroadcastOrigin,
    cli::Cli,
    hosts_view::HostsView,
    kept_proxies::ProxySaver,
    preflight::PublishTarget,
    schedule::{Schedule, ScheduleConfig},
    services::Services,
    settings_source::{ReloadableSettings, SettingsSource},
    setup::{check_tools, first_of, resolver, rtmp_output, send},
    standing::Standing,
    status_source::StatusSource,
    telegram::{self, EngineRunner, HandedStream, SharedTelegramStatus},
    upgrade::{HandedDescriptor, Upgrade, successor::Predecessor},
};

/// What each broadcast of this process starts with.
pub(crate) struct BroadcastStart<'a> {
    pub(crate) cli: &'a Cli,
    pub(crate) settings: &'a Settings,
    pub(crate) source: SettingsSource,
    pub(crate) target: PublishTarget,
    pub(crate) kept_proxies: KeptProxies,
    /// Of STATE_DIR.
    pub(crate) lock: FileLock,
}

impl BroadcastStart<'_> {
    /// Whether the broadcast goes into Telegram.
    pub(crate) fn is_for_telegram(&self) -> bool {
        matches!(self.target, PublishTarget::Telegram)
    }

    /// What the pages and the control socket show of the broadcast of `control`.
    pub(crate) fn shown(
        &self,
        control: &Control,
        standing: &Standing,
        status: &SharedTelegramStatus,
        hosts: Option<HostsView>,
    ) -> StatusSource {
        StatusSource {
            control: control.clone(),
            telegram: self.is_for_telegram().then(|| status.clone()),
            standing: standing.clone(),
            warnings: self.settings.warnings.clone(),
            hosts,
        }
    }

    /// Why this broadcast cannot be handed over to another process, if it cannot.
    fn cannot_upgrade(&self, origin: &BroadcastOrigin) -> Option<&'static str> {
        match &self.target {
            PublishTarget::Output(Output::File(_)) => Some("it is written to a file"),
            _ if self.settings.publisher == PublisherKind::Ffmpeg => {
                Some("an ffmpeg publishes it (PUBLISHER=ffmpeg)")
            }
            _ if self.cli.once => Some("it plays its list once (--once)"),
            _ => match origin {
                BroadcastOrigin::Host(_) => Some(HOSTS_HAND_OVER),
                BroadcastOrigin::Own | BroadcastOrigin::Process(_) => None,
            },
        }
    }
}

/// A host hands over to another host instead, whose program may be newer.
pub(crate) const HOSTS_HAND_OVER: &str = "a hot standby takes the air without a gap (tgs-ctl handover)";

/// Runs a broadcast until it ends, or `control` is stopped.
pub(crate) fn run(
    start: &BroadcastStart<'_>,
    control: &Control,
    origin: BroadcastOrigin,
) -> Result<Code, CliError> {
    let BroadcastStart { cli, settings, target, kept_proxies, lock, .. } = start;
    let status = SharedTelegramStatus::default();
    let mut broadcast = Broadcast::new(cli, settings, control, &origin)?;
    // `--once` neither resumes nor overwrites what is kept of the broadcast.
    let kept_in = (!cli.once).then_some(&*settings.state_dir);
    let standing = Standing::open(kept_in, settings.pause_max, control);
    let _saver = (!cli.once).then(|| ProxySaver::start(kept_proxies.clone()));
    let upgrade = Upgrade::new(control, &standing, broadcast.queue(), start.cannot_upgrade(&origin));
    upgrade.keep(HandedDescriptor::StateLock, lock.descriptor());
    broadcast.upgrade = Some(upgrade.clone());
    let (handed, succession) = (origin.handed(), origin.succession().cloned());
    let services = Services {
        cli,
        settings,
        target,
        kept_proxies,
        standing: &standing,
        control,
        shown: start.shown(control, &standing, &status, succession.as_ref().map(|term| term.hosts())),
        schedule: start_schedule(cli, settings, control, &origin)?,
        queue: broadcast.queue(),
        view: broadcast.view(),
        previewer: broadcast.previewer(&control.stopped()).ok(),
        upgrade: upgrade.clone(),
        succession,
    };
    services.prepare_media().map_err(first_of)?;
    let gone = handed.as_ref().and_then(|handed| handed.gone.clone());
    let _as_run = AsRunLog::start(&settings.state_dir, settings.as_run_keep, control, gone);
    let play = || match target {
        PublishTarget::Output(output) => broadcast.play(output, &standing, control),
        PublishTarget::Telegram => {
            into_chat(start, broadcast, &standing, (status, handed, upgrade.clone()), control)
        }
    };
    let played = match origin {
        BroadcastOrigin::Process(predecessor) => succeed(*predecessor, services, control, play),
        BroadcastOrigin::Own | BroadcastOrigin::Host(_) => begin(services, play),
    };
    upgrade.end_media();
    played
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

/// Follows the timetable, if there is one. `--once` plays the list alone.
fn start_schedule(
    cli: &Cli,
    settings: &Settings,
    control: &Control,
    origin: &BroadcastOrigin,
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
        not_before: match origin {
            BroadcastOrigin::Process(predecessor) => Some(predecessor.begins_at()),
            BroadcastOrigin::Own | BroadcastOrigin::Host(_) => None,
        },
    };
    Ok(Some(Schedule::start(config, control)))
}

fn into_chat(
    start: &BroadcastStart<'_>,
    broadcast: Broadcast<'_>,
    standing: &Standing,
    (status, handed, upgrade): (SharedTelegramStatus, Option<HandedStream>, Upgrade),
    control: &Control,
) -> Result<Code, CliError> {
    let (settings, proxies) = (start.settings, &start.kept_proxies);
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
        settings: ReloadableSettings::new(settings.clone(), start.source.clone()),
        env_file: start.cli.env_file_path(),
        status,
        proxies: proxies.clone(),
        control: control.clone(),
        time_scale: start.cli.time_scale.max(1),
        handed,
        upgrade,
    };
    Ok(telegram::run(config, &runner))
}
