//! What a standby does meanwhile: it opens the list where the host on air is, encodes the coming
//! items into the cache, and signs in with its own session.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tgs_core::{
    cancel::Cancel, error::CliError, proxy::KeptProxies, settings::Settings, supervise::keep_running,
};
use tgs_ha::Member;
use tgs_playout::{
    engine::{self, Control},
    output::{Output, OutputSlot},
};
use tgs_telegram::Ingest;

use super::session::StandbyLook;
use crate::{
    assembly::BroadcastStart,
    broadcast,
    cli::Cli,
    position::Position,
    settings_source::SettingsSource,
    setup::{engine_config, engine_failed},
    telegram::SharedTelegramStatus,
};

/// How often the record of the host on air is compared with what is prepared.
const EVERY: Duration = Duration::from_secs(1);

/// How often a host looks whether another one is on air.
const LOOK: Duration = Duration::from_millis(100);

/// How long the end of the preparations waits for the session.
const SETTLE: Duration = Duration::from_secs(1);

/// The preparations of one standby phase.
pub(super) struct Preparation {
    cancel: Cancel,
    session: Option<JoinHandle<()>>,
    ingest: Arc<Mutex<Option<Ingest>>>,
}

/// What the threads need.
struct Preparer {
    cli: Cli,
    settings: Settings,
    source: SettingsSource,
    proxies: KeptProxies,
    into_telegram: bool,
    member: Arc<Member>,
    cancel: Cancel,
    list_ready: AtomicBool,
    /// The fingerprint of the session, and whether Telegram accepts it.
    session: Mutex<(String, bool)>,
    ingest: Arc<Mutex<Option<Ingest>>>,
}

impl Preparation {
    /// Starts the preparations. They end with the result, or with `control`.
    pub(super) fn start(
        start: &BroadcastStart<'_>,
        member: &Arc<Member>,
        control: &Control,
        status: SharedTelegramStatus,
    ) -> Self {
        let (cancel, ingest) = (control.stopped(), Arc::<Mutex<Option<Ingest>>>::default());
        let preparer = Arc::new(Preparer {
            cli: start.cli.clone(),
            settings: start.settings.clone(),
            source: start.source.clone(),
            proxies: start.kept_proxies.clone(),
            into_telegram: start.is_for_telegram(),
            member: member.clone(),
            cancel: cancel.clone(),
            list_ready: AtomicBool::new(false),
            session: Mutex::default(),
            ingest: ingest.clone(),
        });
        let _ = preparer.clone().spawn("ha-prepare", Preparer::prepare_items);
        let session = preparer
            .into_telegram
            .then(|| preparer.spawn("ha-session", move |preparer| preparer.keep_session(&status)));
        Self { cancel, session: session.flatten(), ingest }
    }

    /// Ends the preparations. Returns the ingest, if Telegram has named it.
    pub(super) fn end(self) -> Option<Ingest> {
        self.cancel.cancel();
        // The broadcast signs in with the same session. A cancelled call ends at once.
        let until = Instant::now() + SETTLE;
        while self.session.as_ref().is_some_and(|thread| !thread.is_finished()) && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        self.ingest.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Preparer {
    /// Never joined: a disk or a page may hang.
    fn spawn(
        self: Arc<Self>,
        name: &'static str,
        run: impl Fn(&Self) + Send + 'static,
    ) -> Option<JoinHandle<()>> {
        let work = move || {
            let run = || {
                if self.await_other() {
                    run(&self);
                }
            };
            keep_running(name, |delay| self.cancel.wait(delay), run);
        };
        thread::Builder::new()
            .name(name.into())
            .spawn(work)
            .inspect_err(|error| {
                log::error!("the standby is not prepared: failed to start a thread: {error}");
            })
            .ok()
    }

    /// Waits until another host is on air: a host that is alone takes the air at once.
    fn await_other(&self) -> bool {
        let own = self.settings.ha.as_ref().map(|ha| ha.host.as_str());
        while self.member.view().holder.is_none_or(|holder| Some(&*holder) == own) {
            if self.cancel.wait(LOOK) {
                return false;
            }
        }
        true
    }

    /// Says whether this host could take over.
    fn show(&self) {
        let (session, valid) = self.session.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ready = self.list_ready.load(Ordering::SeqCst) && (valid || !self.into_telegram);
        if !self.cancel.is_cancelled() {
            self.member.set_ready(ready, &session);
        }
    }

    /// Encodes the items at the position of the host on air, whenever that is another item.
    fn prepare_items(&self) {
        let mut prepared: Option<Option<Position>> = None;
        while !self.cancel.is_cancelled() {
            let position = self.position();
            let same = match (&prepared, &position) {
                (Some(Some(old)), Some(new)) => old.is_in_item_of(new),
                (Some(None), None) => true,
                _ => false,
            };
            if !same {
                let done = self.prepare(position.clone());
                if let Err(error) = &done {
                    log::debug!("the coming items are not prepared: {error:?}");
                }
                // A list that cannot be opened now is tried again.
                prepared = done.is_ok().then_some(position);
            }
            let _ = self.cancel.wait(EVERY);
        }
    }

    fn position(&self) -> Option<Position> {
        serde_json::from_value(self.member.view().record?.position?).ok()
    }

    fn prepare(&self, position: Option<Position>) -> Result<(), CliError> {
        let cancel = self.cancel.child();
        let opened = broadcast::open_at(&self.cli, &self.settings, position, &cancel);
        // With the list open, a take-over would play.
        self.list_ready.store(opened.is_ok(), Ordering::SeqCst);
        self.show();
        let mut config = engine_config(&self.cli, &self.settings, Output::Later(OutputSlot::default()));
        // A preparation that hangs must not disturb the engine's files; children may write here.
        config.state_dir = self.settings.state_dir.join("scratch").join("standby");
        engine::prepare_ahead(&config, Box::new(opened?), &cancel).map_err(engine_failed)
    }

    /// Signs in with this host's own session, and asks for the ingest.
    fn keep_session(&self, status: &SharedTelegramStatus) {
        let look = StandbyLook {
            settings: &self.settings,
            source: &self.source,
            proxies: &self.proxies,
            status,
            member: &self.member,
            cancel: &self.cancel,
        };
        look.run(&|session: String, valid, ingest: Option<Ingest>| {
            *self.session.lock().unwrap_or_else(PoisonError::into_inner) = (session, valid);
            if ingest.is_some() {
                *self.ingest.lock().unwrap_or_else(PoisonError::into_inner) = ingest;
            }
            self.show();
        });
    }
}
