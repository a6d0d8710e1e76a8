//! Executes what the election decides. One thread; each call of etcd has a time limit.
//!
//! The permit is safe whatever hangs here: it ends by itself, on a thread of its own.

use std::{
    io,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use etcd_client::ConnectOptions;
use tgs_core::permit::{Permit, boot_time};
use tokio::{runtime, task::AbortHandle, time::timeout};

use crate::{
    election::{Election, EtcdAnswer, Millis, Step, Timing},
    error::{EtcdError, HandOverError},
    etcd::EtcdPool,
    hosts::{HostInfo, rank, shares_session},
    record::StateRecord,
    requests::{self, KeyNames, SeenKeys},
    shared::{HaConfig, HaView, OnAirTerm, Shared, Wish, successor},
    watch,
};

/// How much earlier than the lease the permit ends: the longest time from the fence's wake-up to
/// the reset, and the server's rounding.
const MARGIN: Millis = 250;

/// How often the record is written at most. Its position may be 0.55 s old. So a successor
/// continues within 2 s of what was sent last, and repeats at most the lease and 1 s where the host
/// before published without etcd.
const RECORD_EVERY: Millis = 500;

/// The pause after a failure.
const RETRY: Millis = 200;

/// The longest pause: times of a suspended machine are seen late otherwise.
const LONGEST_PAUSE: Millis = 1000;

pub(crate) struct HaDriver {
    shared: Arc<Shared>,
    pool: EtcdPool,
    watch: (Vec<String>, ConnectOptions),
    keys: KeyNames,
    ttl: Duration,
    stays: bool,
    election: Election,
    info: HostInfo,
    /// Whether etcd has `info`.
    is_present: bool,
    observed: SeenKeys,
    /// When the state was last seen to change; `None` before.
    state_changed: Option<Millis>,
    next_renewal: Millis,
    next_record: Millis,
    /// What was written last.
    written: StateRecord,
    terms: u64,
    takeovers: u64,
    /// The offer that etcd has of this host.
    announced: Option<String>,
    failing: bool,
}

impl HaDriver {
    pub(crate) fn new(config: HaConfig, options: ConnectOptions, shared: Arc<Shared>) -> Self {
        let timing = Timing { ttl: millis(config.ttl), margin: MARGIN, stays: config.stays };
        let pool = EtcdPool::new(config.endpoints.clone(), options.clone(), config.ttl / 4);
        let instance = format!("{:x}-{:x}", std::process::id(), boot_time().as_nanos());
        Self {
            shared,
            pool,
            watch: (config.endpoints, options),
            keys: KeyNames::below(&config.key),
            ttl: config.ttl,
            stays: config.stays,
            election: Election::new(timing),
            info: HostInfo { instance, ..config.info },
            is_present: false,
            observed: SeenKeys::default(),
            state_changed: None,
            next_renewal: 0,
            next_record: 0,
            written: StateRecord::default(),
            terms: 0,
            takeovers: 0,
            announced: None,
            failing: false,
        }
    }

    /// Runs until the member leaves.
    pub(crate) fn run(mut self) {
        let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return log::error!("no hot standby: failed to start its runtime: {error}"),
        };
        runtime.block_on(async {
            let watching = self.start_watch();
            loop {
                let done = self.round().await;
                self.note(done.as_ref().err());
                if self.shared.lock().wish == Wish::Leave {
                    break;
                }
                self.pause(done.is_err()).await;
            }
            watching.abort();
            self.leave().await;
        });
        // A look-up of a name cannot be interrupted.
        runtime.shutdown_background();
    }

    fn start_watch(&self) -> AbortHandle {
        let (endpoints, options) = self.watch.clone();
        let (preferred, key) = (self.pool.preferred(), self.keys.all.clone());
        let run = watch::run(endpoints, options, preferred, key, self.shared.wake.clone());
        tokio::spawn(run).abort_handle()
    }

    /// One round: the lease, a look, and what follows from it.
    async fn round(&mut self) -> Result<(), EtcdError> {
        let expired = self.election.tick(now());
        self.execute(expired).await?;
        self.renew().await?;
        self.present().await?;
        self.look().await?;
        if self.election.is_active() {
            self.write_record().await?;
            self.announce().await?;
        }
        if self.shared.lock().wish == Wish::HandOver {
            let handed_over = self.hand_over().await;
            self.shared.update(|state| {
                state.handed_over = Some(handed_over);
                // Here: another round may come before the caller runs, and would find nothing to
                // hand over.
                if state.wish == Wish::HandOver {
                    state.wish = Wish::Take;
                }
            });
        }
        Ok(())
    }

    async fn renew(&mut self) -> Result<(), EtcdError> {
        let sent = now();
        let Some(lease) = self.election.lease() else {
            let lease = requests::grant(&mut self.pool, self.ttl.as_secs().cast_signed()).await?;
            self.next_renewal = sent + millis(self.ttl) / 5;
            self.info.lease = lease;
            self.is_present = false;
            return self.answered(EtcdAnswer::Granted { lease, sent }).await;
        };
        if sent < self.next_renewal {
            return Ok(());
        }
        match requests::renew(&mut self.pool, lease).await {
            Ok(()) => {
                self.next_renewal = sent + millis(self.ttl) / 5;
                self.answered(EtcdAnswer::Renewed { lease, sent }).await
            }
            Err(EtcdError::LeaseGone) => {
                self.answered(EtcdAnswer::LeaseGone { lease }).await?;
                Err(EtcdError::LeaseGone)
            }
            Err(error) => Err(error),
        }
    }

    /// Says that this host is present, and what of it has changed.
    async fn present(&mut self) -> Result<(), EtcdError> {
        let wanted = self.shared.lock().info.clone();
        if self.is_present && same_but_lease(&wanted, &self.info) {
            return Ok(());
        }
        self.info = HostInfo { lease: self.info.lease, instance: self.info.instance.clone(), ..wanted };
        requests::present(&mut self.pool, &self.keys, &self.info).await?;
        self.is_present = true;
        Ok(())
    }

    /// Reads etcd, and takes the air if it is free and this host's turn.
    async fn look(&mut self) -> Result<(), EtcdError> {
        for _ in 0..2 {
            let observed = requests::look(&mut self.pool, &self.keys).await?;
            if self.observed.state_revision != 0 && observed.state_revision > self.observed.state_revision {
                self.state_changed = Some(now());
            }
            self.observed = observed;
            let step = self.election.answered(self.seen(), now());
            self.follow_offer().await?;
            self.show();
            match step {
                Some(Step::Take(lease)) => {
                    requests::take(&mut self.pool, &self.keys, &self.info.host, lease).await?;
                }
                step => return self.execute(step).await,
            }
        }
        Ok(())
    }

    /// What was read, as the election wants it.
    fn seen(&self) -> EtcdAnswer {
        let holder = self.observed.active.as_ref().map(|active| active.lease);
        let rank = rank(&self.info, &self.observed.hosts);
        let may_take = self.problem().is_none() && !self.is_early() && self.shared.lock().wish == Wish::Take;
        EtcdAnswer::Seen { holder, rank, may_take }
    }

    /// Whether `active` has gone sooner than its lease can have run out, without a farewell. Some
    /// versions of etcd revoke leases that were renewed; the host on air may not know yet.
    fn is_early(&self) -> bool {
        let left = self.record().is_some_and(|record| record.left);
        let ttl = millis(self.ttl);
        // A record that was just seen is no older than its host's permit.
        let fresh = |changed: Millis| {
            let since = now().saturating_sub(changed);
            since < ttl && changed + ttl / 2 > self.election.free_since().unwrap_or_else(now)
        };
        !left && self.state_changed.is_some_and(fresh)
    }

    /// What keeps this host from taking over.
    fn problem(&self) -> Option<String> {
        let active = self.observed.active.as_ref().map(|active| active.lease);
        if let Some(other) = shares_session(&self.info, &self.observed.hosts, active) {
            return Some(format!(
                "the host {} uses the same Telegram session; create one for this host: tgs-session --write-env",
                other.host
            ));
        }
        let same = self.observed.hosts.iter().find(|other| other.host == self.info.host);
        same.filter(|other| other.instance != self.info.instance && other.lease != 0 && self.is_present)
            .map(|_| format!("another process is called {}; give each host its own HA_HOST", self.info.host))
    }

    fn record(&self) -> Option<StateRecord> {
        StateRecord::read(self.observed.state.as_deref()?, None)
    }

    async fn answered(&mut self, answer: EtcdAnswer) -> Result<(), EtcdError> {
        let step = self.election.answered(answer, now());
        self.execute(step).await
    }

    async fn execute(&mut self, step: Option<Step>) -> Result<(), EtcdError> {
        match step {
            None | Some(Step::Take(_)) => {}
            Some(Step::Begin(until)) => return self.begin(until).await,
            Some(Step::Extend(until)) => {
                if let Some(term) = &self.shared.lock().term {
                    term.permit.extend(until.map(Duration::from_millis));
                }
            }
            Some(Step::End) => self.end("this host has lost the air"),
        }
        self.show();
        Ok(())
    }

    /// Announces a hand-over, or withdraws it.
    async fn announce(&mut self) -> Result<(), EtcdError> {
        let offer = self.shared.lock().offer.clone();
        let id = offer.as_ref().map(|offer| offer.id.clone());
        let Some(active) = self.observed.active.clone().filter(|_| id != self.announced) else {
            return Ok(());
        };
        requests::announce(&mut self.pool, &self.keys, &active, offer.as_ref()).await?;
        self.announced = id;
        Ok(())
    }

    /// Begins to hold a broadcast for an offer to this host, and ends that when the offer is gone.
    async fn follow_offer(&mut self) -> Result<(), EtcdError> {
        let active = self.observed.active.as_ref().map(|active| active.lease);
        let own = active.is_some() && active == self.election.lease();
        let offer = self.observed.offer.clone().filter(|offer| offer.to == self.info.host && !own);
        let held = self.shared.lock().term.as_ref().and_then(|term| term.offer.clone());
        if own || offer.as_ref().map(|offer| &offer.id) == held.as_ref() {
            return Ok(());
        }
        if held.is_some() {
            self.drop_held();
        }
        let Some(offer) = offer.filter(|_| !self.election.is_active()) else { return Ok(()) };
        let queue = requests::queue(&mut self.pool, &self.keys).await?;
        let queue = queue.and_then(|queue| serde_json::from_slice(&queue).ok());
        let record = Some(StateRecord { queue, ..offer.record });
        self.terms += 1;
        let permit = Permit::pending(self.silence());
        let term = OnAirTerm { permit, number: self.terms, record, offer: Some(offer.id) };
        self.shared.update(|state| state.term = Some(term));
        Ok(())
    }

    /// Ends a broadcast that is held and will not be aired.
    fn drop_held(&mut self) {
        self.shared.update(|state| {
            state.info.holds.clear();
            if let Some(term) = state.term.take_if(|term| term.offer.is_some()) {
                term.permit.end();
            }
        });
    }

    /// The held broadcast, if it continues where the host before has left.
    fn held_term(&self) -> Option<OnAirTerm> {
        let term = self.shared.lock().term.clone().filter(|term| term.offer.is_some())?;
        let (offered, left) = (term.record.as_ref()?, self.record()?);
        (left.left && left.position == offered.position && !term.permit.is_over()).then_some(term)
    }

    fn silence(&self) -> Duration {
        Duration::from_secs(5).min(self.ttl / 2)
    }

    /// Airs the held broadcast.
    fn begin_held(&mut self, term: &OnAirTerm, until: Option<Millis>) -> io::Result<()> {
        let end = until.map(Duration::from_millis);
        term.permit.begin(end.unwrap_or_else(|| boot_time() + self.ttl))?;
        term.permit.extend(end);
        self.takeovers += 1;
        log::info!("this host ({}) is on air", self.info.host);
        self.written = StateRecord::default();
        self.next_record = 0;
        self.shared.update(|state| {
            state.info.holds.clear();
            state.record = StateRecord { left: false, ..term.record.clone().unwrap_or_default() };
            if let Some(term) = &mut state.term {
                term.offer = None;
            }
        });
        self.show();
        Ok(())
    }

    /// Begins a term on air.
    async fn begin(&mut self, until: Option<Millis>) -> Result<(), EtcdError> {
        if let Some(term) = self.held_term()
            && self.begin_held(&term, until).is_ok()
        {
            return Ok(());
        }
        self.drop_held();
        let queue = match requests::queue(&mut self.pool, &self.keys).await {
            Ok(queue) => queue,
            Err(error) => {
                // The key is this host's: the next look begins again.
                let _ = self.election.leave();
                return Err(error);
            }
        };
        let record =
            self.observed.state.as_deref().and_then(|state| StateRecord::read(state, queue.as_deref()));
        let silence = self.silence();
        let end = until.map(Duration::from_millis);
        let permit = match Permit::until(end.unwrap_or_else(|| boot_time() + self.ttl), silence) {
            Ok(permit) => permit,
            Err(error) => {
                let _ = self.election.leave();
                log::error!("this host cannot publish: failed to start the thread of the fence: {error}");
                return Ok(());
            }
        };
        permit.extend(end);
        self.terms += 1;
        self.takeovers += 1;
        let number = self.terms;
        log::info!("this host ({}) is on air", self.info.host);
        // The first record is this host's, also before its broadcast has set one.
        self.written = StateRecord::default();
        self.next_record = 0;
        self.shared.update(|state| {
            state.record = StateRecord { left: false, ..record.clone().unwrap_or_default() };
            state.term = Some(OnAirTerm { permit, number, record, offer: None });
        });
        self.show();
        Ok(())
    }

    fn end(&mut self, why: &str) {
        self.announced = None;
        self.shared.lock().offer = None;
        if let Some(term) = self.shared.update(|state| state.term.take()) {
            term.permit.end();
            log::warn!("{why}; it is a standby now");
        }
        self.show();
    }

    /// Writes the record when it is due, or queue or standing commands have changed.
    async fn write_record(&mut self) -> Result<(), EtcdError> {
        let record = self.shared.lock().record.clone();
        let at_once = record.standing != self.written.standing || record.queue != self.written.queue;
        if !at_once && now() < self.next_record {
            return Ok(());
        }
        self.next_record = now() + RECORD_EVERY;
        self.write(record).await
    }

    async fn write(&mut self, record: StateRecord) -> Result<(), EtcdError> {
        let Some(active) = self.observed.active.clone() else { return Ok(()) };
        let record = StateRecord { host: self.info.host.clone(), at_ms: epoch_ms(), ..record };
        let Some(state) = record.to_bytes() else {
            log::warn!("the position is not written to etcd: it has more than 1 MiB");
            return Ok(());
        };
        let queue = (record.queue != self.written.queue).then(|| record.queue_bytes());
        if queue == Some(None) {
            log::warn!("the queue is not written to etcd: it has more than 1 MiB");
        }
        if requests::write_record(&mut self.pool, &self.keys, &active, state, queue.flatten()).await? {
            self.written = record;
        } else {
            // Another host has the key: the next look shows which.
            let step = self.election.leave();
            self.execute(step).await?;
        }
        Ok(())
    }

    /// Gives the air to the successor.
    async fn hand_over(&mut self) -> Result<String, HandOverError> {
        if !self.election.is_active() {
            return Err(HandOverError::NotActive);
        }
        let view = self.shared.lock().view.clone();
        let holds = |host: &&HostInfo| self.announced.as_ref().is_some_and(|offer| host.holds == *offer);
        let to = view.hosts.iter().find(holds).cloned().or_else(|| successor(&view, &self.info.host));
        let to = to.ok_or(HandOverError::NoStandby)?;
        let refused = |error: EtcdError| HandOverError::Etcd(error.to_string());
        let record = StateRecord { left: true, ..self.shared.lock().record.clone() };
        self.write(record).await.map_err(refused)?;
        let active = self.observed.active.clone().ok_or(HandOverError::NotActive)?;
        // Before the request: from its execution on, the successor may publish.
        let _ = self.election.leave();
        self.end(&format!("this host hands over to {}", to.host));
        match requests::hand_over(&mut self.pool, &self.keys, &active, &to).await {
            Ok(_) => Ok(to.host),
            // Unknown whether it was executed; the next look shows it.
            Err(error) => Err(refused(error)),
        }
    }

    /// Leaves the air and the other hosts.
    async fn leave(&mut self) {
        if self.election.is_active() && self.hand_over().await.is_err() {
            let record = StateRecord { left: true, ..self.shared.lock().record.clone() };
            let _ = self.write(record).await;
        }
        let _ = self.election.leave();
        self.end("this host leaves");
        if let Some(lease) = self.election.lease()
            && let Err(error) = requests::revoke(&mut self.pool, lease).await
        {
            log::debug!("the lease is left to run out: {error}");
        }
    }

    /// Waits until something is due, or changes.
    async fn pause(&mut self, failed: bool) {
        let now = now();
        let rank = rank(&self.info, &self.observed.hosts);
        let mut due = now + LONGEST_PAUSE.min(millis(self.ttl) / 5);
        if failed {
            due = now + RETRY;
        } else {
            let times = [self.election.takes_at(rank), Some(self.next_renewal)];
            due = times.into_iter().flatten().fold(due, Millis::min);
            if self.election.is_active() {
                due = due.min(self.next_record);
            }
        }
        let wait = Duration::from_millis(due.saturating_sub(now).max(20));
        let woken = timeout(wait, self.shared.wake.notified()).await;
        if failed && woken.is_ok() {
            // Also a hasty caller leaves etcd some time.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Logs the first of several failures, and the end of them.
    fn note(&mut self, error: Option<&EtcdError>) {
        let failing = error.is_some_and(|error| !matches!(error, EtcdError::LeaseGone));
        if let (true, false, Some(error)) = (failing, self.failing, error) {
            let then = match (self.election.is_active(), self.stays) {
                (true, false) => "; this host goes on until its lease may have run out",
                (true, true) => "; this host goes on (HA_WITHOUT_ETCD=stay)",
                (false, _) => "; no take-over is possible meanwhile",
            };
            log::warn!("etcd does not answer: {error}{then}");
        }
        if self.failing && !failing {
            log::info!("etcd answers again");
        }
        self.failing = failing;
        let why = error.filter(|_| failing).map(ToString::to_string);
        self.shared.update(|state| state.view.etcd_failure = why);
        self.show();
    }

    /// Updates what [`crate::Member::view`] returns.
    fn show(&self) {
        let lease_left =
            self.election.lease_ends().map(|ends| Duration::from_millis(ends.saturating_sub(now())));
        let problem = self.problem();
        let record = self.record();
        self.shared.update(|state| {
            let looked = state.view.looked || self.is_present && !self.observed.hosts.is_empty();
            state.view = HaView {
                active: self.election.is_active()
                    && state.term.as_ref().is_some_and(|term| term.offer.is_none()),
                holder: self.observed.active.as_ref().map(|active| active.host.clone()),
                hosts: self.observed.hosts.clone(),
                looked,
                lease_left,
                etcd_failure: state.view.etcd_failure.take(),
                problem,
                takeovers: self.takeovers,
                record,
            };
        });
    }
}

/// Whether both say the same of a host, but for what the driver fills in.
fn same_but_lease(one: &HostInfo, other: &HostInfo) -> bool {
    (one.ready, &one.session, &one.holds) == (other.ready, &other.session, &other.holds)
}

fn now() -> Millis {
    millis(boot_time())
}

fn millis(time: Duration) -> Millis {
    time.as_millis() as u64
}

fn epoch_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
