//! One host of a hot standby: a standby until it has the air, then the ordinary broadcast, from
//! where the host before it was.
//!
//! A host that loses the air ends its broadcast and is a standby again, in the same process.

mod prepare;
mod session;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tgs_core::{
    error::CliError,
    exit::Code,
    permit::Permit,
    settings::{HaSettings, WithoutEtcd},
    systemd,
};
use tgs_ha::{HaConfig, HostInfo, Member, OnAirTerm};
use tgs_playout::{command::Command, engine::Control};
use tgs_telegram::Ingest;

use self::prepare::Preparation;
use crate::{
    assembly::{self, BroadcastStart, HOSTS_HAND_OVER},
    broadcast::Broadcast,
    broadcast_origin::BroadcastOrigin,
    hosts_view::HostsView,
    services::{Servers, Services},
    setup::send,
    standing::Standing,
    succession::{Succession, Urgency},
    telegram::SharedTelegramStatus,
    upgrade::Upgrade,
};

/// How often a standby looks whether the tool is stopped.
const LOOK: Duration = Duration::from_millis(100);

/// How long a stop waits for the hand-over: less than the unit's TimeoutStopSec=10.
const STOP_WITHIN: Duration = Duration::from_millis(8500);

/// The broadcast that signals reach. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct SignalledControl(Arc<Mutex<Signalled>>);

#[derive(Debug, Clone)]
struct Signalled {
    control: Control,
    /// The term on air, of a hot standby.
    term: Option<Arc<Succession>>,
}

impl SignalledControl {
    pub(crate) fn new(control: &Control) -> Self {
        Self(Arc::new(Mutex::new(Signalled { control: control.clone(), term: None })))
    }

    pub(crate) fn get(&self) -> Control {
        self.lock().control.clone()
    }

    /// Calls `stop`, after a hand-over if another host is ready for it.
    pub(crate) fn stop(&self, stop: impl Fn() + Clone + Send + 'static) {
        let Signalled { control, term } = self.lock().clone();
        let Some(term) = term.filter(|term| term.is_on_air()) else { return stop() };
        if term.is_handing_over() || term.start_hand_over(&control, Urgency::Stop).is_err() {
            return stop();
        }
        let (began, then) = (Instant::now(), stop.clone());
        let run = move || {
            while term.is_on_air() && term.is_handing_over() && began.elapsed() < STOP_WITHIN {
                thread::sleep(LOOK);
            }
            then();
        };
        if thread::Builder::new().name("ha-stop".into()).spawn(run).is_err() {
            stop();
        }
    }

    fn set(&self, control: &Control, term: Option<&Arc<Succession>>) {
        *self.lock() = Signalled { control: control.clone(), term: term.cloned() };
    }

    fn lock(&self) -> MutexGuard<'_, Signalled> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs as one host until `control` is stopped, or the broadcast ends by itself.
pub(crate) fn run(
    start: &BroadcastStart<'_>,
    ha: &HaSettings,
    control: &Control,
    signalled: &SignalledControl,
) -> Result<Code, CliError> {
    let member = Member::start(config(ha)).map_err(|error| CliError::new(Code::Config, error))?;
    let member = Arc::new(member);
    let host = ThisHost { start, ha, control, signalled, hosts: HostsView::new(&member, &ha.host), member };
    if let Err(error) = host.hosts.register_metrics() {
        log::warn!("no metrics of the hot standby: {error}");
    }
    let ended = host.run();
    // Also while a thread that hangs still holds the member.
    host.member.leave();
    ended
}

fn config(ha: &HaSettings) -> HaConfig {
    HaConfig {
        endpoints: ha.endpoints.clone(),
        login: ha.login.clone(),
        authority: ha.authority.clone(),
        certificate: ha.certificate.clone(),
        key: ha.key.clone(),
        ttl: ha.ttl,
        stays: ha.without_etcd == WithoutEtcd::Stay,
        info: HostInfo {
            host: ha.host.clone(),
            priority: ha.priority,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..HostInfo::default()
        },
    }
}

/// This host.
struct ThisHost<'a> {
    start: &'a BroadcastStart<'a>,
    ha: &'a HaSettings,
    /// The tool's own: stopping it ends everything.
    control: &'a Control,
    signalled: &'a SignalledControl,
    hosts: HostsView,
    member: Arc<Member>,
}

impl ThisHost<'_> {
    fn run(&self) -> Result<Code, CliError> {
        let mut last = 0;
        loop {
            let Some((term, ingest)) = self.stand_by(last)? else { return Ok(Code::Ok) };
            last = term.number;
            if let Some(code) = self.broadcast(&term, ingest)? {
                return Ok(code);
            }
        }
    }

    /// Is a standby until this host has the air. `None` if the tool was stopped.
    fn stand_by(&self, last: u64) -> Result<Option<(OnAirTerm, Option<Ingest>)>, CliError> {
        let start = self.start;
        let stopped = self.control.stopped();
        // No engine runs with it.
        let control = Control::under(Permit::always(), &stopped);
        self.signalled.set(&control, None);
        let status = SharedTelegramStatus::default();
        let _servers = self.idle_services(&control, &status);
        systemd::ready();
        let preparation = Preparation::start(start, &self.member, &control, status);
        let taken = loop {
            if stopped.is_cancelled() {
                break None;
            }
            if self.member.has_ended() {
                return Err(CliError::failure("take part in the hot standby: its thread has died"));
            }
            if let Some(term) = self.member.next_term(last, LOOK) {
                break Some(term);
            }
        };
        send(&control, Command::Stop);
        Ok(taken.map(|term| (term, preparation.end())))
    }

    /// The pages and the control socket of a standby.
    fn idle_services(&self, control: &Control, status: &SharedTelegramStatus) -> Servers {
        let (start, settings) = (self.start, self.start.settings);
        let standing = Standing::open(None, settings.pause_max, control);
        let idle = Broadcast::idle(start.cli, settings, control);
        let services = Services {
            cli: start.cli,
            settings,
            target: &start.target,
            kept_proxies: &start.kept_proxies,
            standing: &standing,
            control,
            shown: start.shown(control, &standing, status, Some(self.hosts.clone())),
            schedule: None,
            queue: idle.queue(),
            view: idle.view(),
            previewer: None,
            upgrade: Upgrade::new(control, &standing, idle.queue(), Some(HOSTS_HAND_OVER)),
            succession: None,
        };
        services.start_idle()
    }

    /// Broadcasts until this host has lost the air or handed it over (`None`), or the broadcast is
    /// over.
    fn broadcast(&self, term: &OnAirTerm, ingest: Option<Ingest>) -> Result<Option<Code>, CliError> {
        let settings = self.start.settings;
        let (mut term, mut ingest) = (term.clone(), ingest);
        loop {
            let control = Control::under(term.permit.clone(), &self.control.stopped());
            let succession = Succession::begin(
                &self.member,
                term.clone(),
                &self.ha.host,
                &settings.state_dir,
                ingest.take(),
                &self.hosts,
            );
            let succession = Arc::new(succession);
            self.signalled.set(&control, Some(&succession));
            succession.end_with_permit(&control).map_err(|error| {
                CliError::from(anyhow::Error::new(error).context("start the thread that watches the permit"))
            })?;
            succession.hold(&control);
            succession.start_recording(&control);
            let ended = assembly::run(self.start, &control, BroadcastOrigin::Host(succession.clone()));
            send(&control, Command::Stop);
            // Where the successor continues.
            succession.record();
            if !succession.is_on_air() {
                if let Err(error) = ended {
                    let _ = error.log();
                }
                return Ok(None);
            }
            if !succession.is_handing_over() {
                return ended.map(Some);
            }
            succession.hand_over();
            if !succession.is_on_air() {
                return Ok(None);
            }
            term = succession.continued();
        }
    }
}
