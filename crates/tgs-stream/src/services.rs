//! What runs beside the engine of a broadcast: further outputs and recording, the status server,
//! the control socket and the live input.

use std::{
    net::TcpStream,
    os::fd::OwnedFd,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use tgs_control::channels;
use tgs_core::{error::CliError, exit::Code, proxy::KeptProxies, settings::Settings};
use tgs_playout::{
    engine::Control,
    output::Output,
    outputs::{OutputConfig, RecorderConfig},
};

use crate::{
    cli::Cli,
    control_server::{Answers, ControlServer, RecordingReads, Subscribers},
    live_input::LiveInputError,
    live_takeover::{HandedLive, LiveTakeover},
    playlist::PlaylistView,
    preflight::PublishTarget,
    preview::Previewer,
    queue::PlayQueue,
    schedule::Schedule,
    setup::{further_outputs, profile, recorder},
    standing::Standing,
    status_server::{self, StatusServer},
    status_source::StatusSource,
    succession::Succession,
    upgrade::{HandedDescriptor, Upgrade, successor::Predecessor},
};

/// What the parts beside the engine are made of.
pub(crate) struct Services<'a> {
    pub(crate) cli: &'a Cli,
    pub(crate) settings: &'a Settings,
    pub(crate) target: &'a PublishTarget,
    pub(crate) kept_proxies: &'a KeptProxies,
    pub(crate) standing: &'a Standing,
    pub(crate) control: &'a Control,
    pub(crate) shown: StatusSource,
    pub(crate) schedule: Option<Schedule>,
    pub(crate) queue: PlayQueue,
    pub(crate) view: PlaylistView,
    pub(crate) previewer: Option<Previewer>,
    pub(crate) upgrade: Upgrade,
    /// The term on air, of a hot standby.
    pub(crate) succession: Option<Arc<Succession>>,
}

/// The running servers. Dropping it ends them.
pub(crate) struct Servers {
    _control: Option<ControlServer>,
    _status: StatusServer,
    /// Without a control socket, publishers still go live.
    _live: Option<Arc<LiveTakeover>>,
}

impl Services<'_> {
    /// Prepares the further outputs and the recording; [`Upgrade::start_media`] starts them.
    pub(crate) fn prepare_media(&self) -> Result<(), Vec<CliError>> {
        let (outputs, recording) = (self.outputs()?, self.recording());
        let (control, profile) = (self.control.clone(), profile(self.settings));
        self.upgrade.set_media(Box::new(move || {
            let outputs = outputs.clone().map(|outputs| control.start_outputs(outputs, &profile));
            (outputs, recording.clone().map(|recording| control.start_recorder(recording)))
        }));
        Ok(())
    }

    /// The further outputs. A broadcast into a file has none: it is written faster than real time.
    fn outputs(&self) -> Result<Option<Vec<OutputConfig>>, Vec<CliError>> {
        if self.settings.also_outputs.is_empty() {
            return Ok(None);
        }
        if self.is_into_file() {
            log::warn!("ALSO_OUTPUT_URLS has no effect, because the broadcast is written to a file");
            return Ok(None);
        }
        further_outputs(self.settings, &self.standing.paused_outputs(), self.kept_proxies).map(Some)
    }

    /// The recording. A broadcast into a file is one itself.
    fn recording(&self) -> Option<RecorderConfig> {
        let config = recorder(self.settings, self.settings.recording.as_ref()?);
        if self.is_into_file() {
            log::warn!("RECORD_DIR has no effect, because the broadcast is written to a file");
            return None;
        }
        Some(config)
    }

    fn is_into_file(&self) -> bool {
        matches!(self.target, PublishTarget::Output(Output::File(_)))
    }

    /// Starts the servers of a standby: nobody publishes to it.
    pub(crate) fn start_idle(self) -> Servers {
        let status =
            status_server::open(self.settings, self.cli.fixed_port, &self.shown, None, &self.upgrade);
        Servers { _control: self.open_control(None, None), _status: status, _live: None }
    }

    /// Starts the servers, with the listeners of `predecessor`, if there is one.
    pub(crate) fn start(self, predecessor: Option<&Predecessor>) -> Result<Servers, CliError> {
        let handed = |what| predecessor.and_then(|predecessor| predecessor.take(what));
        let publisher = predecessor.and_then(Predecessor::take_publisher);
        let live = self.start_live(handed(HandedDescriptor::LiveInput), publisher)?;
        let status = status_server::open(
            self.settings,
            self.cli.fixed_port,
            &self.shown,
            handed(HandedDescriptor::Status).map(Into::into),
            &self.upgrade,
        );
        let control = self.open_control(live.clone(), handed(HandedDescriptor::Control));
        Ok(Servers { _control: control, _status: status, _live: live })
    }

    /// Listens for publishers, if LIVE_INPUT is set. `--once` plays the list alone.
    fn start_live(
        &self,
        listener: Option<OwnedFd>,
        publisher: Option<(TcpStream, HandedLive)>,
    ) -> Result<Option<Arc<LiveTakeover>>, CliError> {
        let Some(live) = self.settings.live.as_ref().filter(|_| !self.cli.once) else { return Ok(None) };
        let handed = (listener.map(Into::into), publisher);
        let started = LiveTakeover::start(live, &self.settings.state_dir, self.control, handed);
        let started = started.map_err(|error| match error {
            LiveInputError::Thread(_) | LiveInputError::Relay(_) => CliError::new(Code::Failure, error),
            LiveInputError::Keys(_) | LiveInputError::Certificate(_) => CliError::new(Code::Config, error),
        })?;
        if let Some(listener) = started.listener() {
            self.upgrade.keep(HandedDescriptor::LiveInput, listener);
        }
        let started = Arc::new(started);
        self.upgrade.set_live(Arc::downgrade(&started));
        Ok(Some(started))
    }

    /// Opens the control socket. The broadcast runs without it too.
    fn open_control(
        self,
        live: Option<Arc<LiveTakeover>>,
        listener: Option<OwnedFd>,
    ) -> Option<ControlServer> {
        let settings = self.settings;
        let runtime_dir = std::env::var_os("RUNTIME_DIRECTORY");
        let socket = channels::socket_path(
            settings.control_socket.as_deref(),
            runtime_dir.as_deref(),
            &settings.state_dir,
        );
        let into_file = self.is_into_file();
        let answers = Answers {
            control: self.control.clone(),
            standing: self.standing.clone(),
            queue: self.queue,
            view: self.view,
            subscribers: Subscribers::default(),
            channel: channels::name_of(&socket),
            output: match self.target {
                PublishTarget::Output(output) => Some(output.to_string()),
                PublishTarget::Telegram => None,
            },
            schedule: self.schedule,
            live,
            state_dir: settings.state_dir.clone(),
            cache_dir: settings.cache_dir.clone(),
            ytdlp: settings.ytdlp_path.clone(),
            listing: Mutex::default(),
            recordings: RecordingReads::default(),
            previewer: self.previewer,
            into_file,
            started: SystemTime::now(),
            source: self.shown,
            upgrade: self.upgrade,
            succession: self.succession,
        };
        ControlServer::start(&socket, answers, listener.map(Into::into))
            .inspect_err(|error| {
                log::error!("no control socket, so tgs-ctl and tgs-web cannot steer: {error}");
            })
            .ok()
    }
}
