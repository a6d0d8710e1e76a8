//! Puts the parts of one broadcast together and runs it: outputs, recorder, timetable, live input,
//! control socket, pages, and the way into Telegram or to an output.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use tgs_control::channels;
use tgs_core::{
    error::CliError,
    exit::Code,
    proxy::KeptProxies,
    settings::{ScheduleReturn, Settings},
    systemd,
};
use tgs_playout::{
    engine::Control,
    lane::ListReturn,
    output::Output,
    outputs::{RunningOutputs, RunningRecorder},
};
use tgs_telegram::Ingest;

use crate::{
    as_run::AsRunLog,
    broadcast::Broadcast,
    cli::Cli,
    control_server::{Answers, ControlServer, RecordingReads, Subscribers},
    kept_proxies::ProxySaver,
    live_input::LiveInputError,
    live_takeover::LiveTakeover,
    preflight::PublishTarget,
    schedule::{Schedule, ScheduleConfig},
    settings_source::{ReloadableSettings, SettingsSource},
    setup::{check_tools, first_of, further_outputs, profile, recorder, resolver, rtmp_output},
    standing::Standing,
    status_server,
    status_source::StatusSource,
    succession::Succession,
    telegram::{self, EngineRunner, SharedTelegramStatus},
};

/// What each broadcast of this process starts with.
pub(crate) struct BroadcastStart<'a> {
    pub(crate) cli: &'a Cli,
    pub(crate) settings: &'a Settings,
    pub(crate) source: SettingsSource,
    pub(crate) target: PublishTarget,
    pub(crate) kept_proxies: KeptProxies,
}

impl BroadcastStart<'_> {
    /// Whether the broadcast goes into Telegram.
    pub(crate) fn into_telegram(&self) -> bool {
        matches!(self.target, PublishTarget::Telegram)
    }
}

/// Runs a broadcast until it ends, or `control` is stopped. With a `succession` it continues where
/// another host was, and shows where it is.
pub(crate) fn run(
    start: &BroadcastStart<'_>,
    control: &Control,
    succession: Option<&Arc<Succession>>,
) -> Result<Code, CliError> {
    let BroadcastStart { cli, settings, target, kept_proxies, .. } = start;
    let status = SharedTelegramStatus::default();
    let mut broadcast = Broadcast::new(cli, settings, control, succession.map(|succession| &**succession))?;
    // `--once` neither resumes nor overwrites what is kept of the broadcast.
    let kept_in = (!cli.once).then_some(&*settings.state_dir);
    let standing = Standing::open(kept_in, settings.pause_max, control);
    let _saver = (!cli.once).then(|| ProxySaver::start(kept_proxies.clone()));
    let _outputs = start_outputs(settings, target, &standing, kept_proxies, control)?;
    let _recorder = start_recorder(settings, target, control);
    let shown = StatusSource {
        control: control.clone(),
        telegram: start.into_telegram().then(|| status.clone()),
        standing: standing.clone(),
        warnings: settings.warnings.clone(),
        hosts: succession.map(|succession| succession.hosts()),
    };
    let schedule = start_schedule(cli, settings, control)?;
    // Kept here too: without a control socket, publishers still go live.
    let live = start_live(cli, settings, control)?.map(Arc::new);
    let _as_run = AsRunLog::start(&settings.state_dir, settings.as_run_keep, control);
    let _status_server = status_server::open(settings, cli.fixed_port, &shown);
    let _control_server = open_control(start, shown, &broadcast, (schedule, live.clone()), succession);
    systemd::ready();
    match target {
        PublishTarget::Output(output) => broadcast.play(output, &standing, control),
        PublishTarget::Telegram => {
            let known_ingest = succession.and_then(|succession| succession.ingest.clone());
            into_chat(start, broadcast, &standing, (status, known_ingest), control)
        }
    }
}

/// Starts the further outputs. A broadcast into a file has none: it is written faster than real
/// time.
fn start_outputs(
    settings: &Settings,
    target: &PublishTarget,
    standing: &Standing,
    kept: &KeptProxies,
    control: &Control,
) -> Result<Option<RunningOutputs>, CliError> {
    if settings.also_outputs.is_empty() {
        return Ok(None);
    }
    if matches!(target, PublishTarget::Output(Output::File(_))) {
        log::warn!("ALSO_OUTPUT_URLS has no effect, because the broadcast is written to a file");
        return Ok(None);
    }
    let outputs = further_outputs(settings, &standing.paused_outputs(), kept).map_err(first_of)?;
    Ok(Some(control.start_outputs(outputs, &profile(settings))))
}

/// Starts to record. A broadcast into a file is a recording itself.
fn start_recorder(settings: &Settings, target: &PublishTarget, control: &Control) -> Option<RunningRecorder> {
    let config = recorder(settings, settings.recording.as_ref()?);
    if matches!(target, PublishTarget::Output(Output::File(_))) {
        log::warn!("RECORD_DIR has no effect, because the broadcast is written to a file");
        return None;
    }
    Some(control.start_recorder(config))
}

/// Opens the control socket. The broadcast runs without it too.
fn open_control(
    start: &BroadcastStart<'_>,
    source: StatusSource,
    broadcast: &Broadcast<'_>,
    (schedule, live): (Option<Schedule>, Option<Arc<LiveTakeover>>),
    succession: Option<&Arc<Succession>>,
) -> Option<ControlServer> {
    let succession = succession.cloned();
    let previewer = broadcast.previewer(&source.control.stopped()).ok();
    let answers = Answers { schedule, live, previewer, succession, ..idle_answers(start, source, broadcast) };
    serve_control(start.settings, answers)
}

/// The answers of a broadcast without timetable, live input and previews.
pub(crate) fn idle_answers(
    start: &BroadcastStart<'_>,
    source: StatusSource,
    broadcast: &Broadcast<'_>,
) -> Answers {
    let settings = start.settings;
    Answers {
        control: source.control.clone(),
        standing: source.standing.clone(),
        queue: broadcast.queue(),
        view: broadcast.view(),
        subscribers: Subscribers::default(),
        channel: channels::name_of(&socket_path(settings)),
        output: match &start.target {
            PublishTarget::Output(output) => Some(output.to_string()),
            PublishTarget::Telegram => None,
        },
        succession: None,
        schedule: None,
        live: None,
        state_dir: settings.state_dir.clone(),
        cache_dir: settings.cache_dir.clone(),
        ytdlp: settings.ytdlp_path.clone(),
        listing: Mutex::default(),
        recordings: RecordingReads::default(),
        previewer: None,
        into_file: matches!(start.target, PublishTarget::Output(Output::File(_))),
        started: SystemTime::now(),
        source,
    }
}

/// Serves the control socket; a failure is logged.
pub(crate) fn serve_control(settings: &Settings, answers: Answers) -> Option<ControlServer> {
    ControlServer::start(&socket_path(settings), answers)
        .inspect_err(|error| log::error!("no control socket, so tgs-ctl and tgs-web cannot steer: {error}"))
        .ok()
}

fn socket_path(settings: &Settings) -> std::path::PathBuf {
    let runtime_dir = std::env::var_os("RUNTIME_DIRECTORY");
    channels::socket_path(settings.control_socket.as_deref(), runtime_dir.as_deref(), &settings.state_dir)
}

/// Follows the timetable, if there is one. `--once` plays the list alone.
fn start_schedule(cli: &Cli, settings: &Settings, control: &Control) -> Result<Option<Schedule>, CliError> {
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
    };
    Ok(Some(Schedule::start(config, control)))
}

/// Listens for publishers, if LIVE_INPUT is set. `--once` plays the list alone.
fn start_live(cli: &Cli, settings: &Settings, control: &Control) -> Result<Option<LiveTakeover>, CliError> {
    let Some(live) = settings.live.as_ref().filter(|_| !cli.once) else { return Ok(None) };
    let started = LiveTakeover::start(live, &settings.state_dir, control);
    started.map(Some).map_err(|error| match error {
        LiveInputError::Thread(_) | LiveInputError::Relay(_) => CliError::new(Code::Failure, error),
        LiveInputError::Keys(_) | LiveInputError::Certificate(_) => CliError::new(Code::Config, error),
    })
}

fn into_chat(
    start: &BroadcastStart<'_>,
    broadcast: Broadcast<'_>,
    standing: &Standing,
    (status, known_ingest): (SharedTelegramStatus, Option<Ingest>),
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
        known_ingest,
    };
    Ok(telegram::run(config, &runner))
}
