//! Watches each channel over one connection: its status once a second while a browser looks, else
//! every ten seconds, and its events as they come. All browsers share it.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tgs_control::{
    BroadcastStatus,
    channels::{self, Channel},
    method::{Call, NoParams, SubscribeParams},
    rpc::RpcMessage,
};
use tokio::{
    sync::{Semaphore, broadcast},
    task, time,
};

use super::{
    connection::{AsyncControl, LinkError},
    history::{Columns, EVERY, StatusHistory},
};
use crate::limits::REQUESTS_OF_CHANNEL;

/// Most channels.
const MOST: usize = 64;
/// Events that a new browser sees.
const EVENTS: usize = 100;
/// Updates that a slow browser may be behind; it then gets the whole state again.
const BEHIND: usize = 512;
/// How often the machine is searched for channels.
const SEARCH_EVERY: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_secs(1);
/// Ticks that an answer may take.
const MOST_TICKS: u64 = 15;
/// The name that the desk states when it acts for nobody.
const NAME: &str = "tgs-web";

/// A message for the browsers.
#[derive(Debug, Clone)]
pub(crate) struct BrowserUpdate {
    /// `status` or `event`.
    pub(crate) kind: &'static str,
    /// A JSON object with the channel's name.
    pub(crate) json: Arc<str>,
}

/// All channels since the start of the desk.
#[derive(Debug)]
pub(crate) struct WatchedChannels {
    all: RwLock<BTreeMap<String, Arc<WatchedChannel>>>,
    updates: broadcast::Sender<BrowserUpdate>,
}

/// A channel and what is known of it.
#[derive(Debug)]
pub(crate) struct WatchedChannel {
    /// The name.
    pub(crate) name: String,
    /// The control socket.
    pub(crate) socket: PathBuf,
    /// Limits requests to it at once.
    pub(crate) requests: Arc<Semaphore>,
    known: Mutex<KnownChannels>,
}

#[derive(Debug, Default)]
struct KnownChannels {
    /// The status; `None` while there is no connection.
    status: Option<Value>,
    /// Why there is no connection.
    problem: Option<String>,
    /// Since when (seconds since 1970) the channel is connected, or not.
    since: u64,
    events: VecDeque<Value>,
    history: StatusHistory,
}

impl WatchedChannels {
    /// Watches the broadcasts with these control sockets, or those of this machine if there are
    /// none; and `further` ones. Needs a runtime.
    pub(crate) fn watch(sockets: &[PathBuf], further: Vec<Channel>) -> Arc<Self> {
        let channels = Arc::new(Self { all: RwLock::default(), updates: broadcast::Sender::new(BEHIND) });
        for socket in sockets {
            let name = channels.free_name(&channels::name_of(socket));
            channels.add(Channel { name, socket: socket.clone() });
        }
        for channel in further {
            channels.add(channel);
        }
        if sockets.is_empty() {
            let searching = channels.clone();
            task::spawn(async move {
                let mut search = time::interval(SEARCH_EVERY);
                loop {
                    search.tick().await;
                    for channel in task::spawn_blocking(channels::discover).await.unwrap_or_default() {
                        searching.add(channel);
                    }
                }
            });
        }
        channels
    }

    /// `name`, or with a number if another channel has it.
    fn free_name(&self, name: &str) -> String {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let numbered = (2..).map(|n| format!("{name}-{n}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        names.find(|name| !all.contains_key(name)).unwrap_or_default()
    }

    fn add(self: &Arc<Self>, channel: Channel) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        if all.contains_key(&channel.name) || all.len() >= MOST {
            return;
        }
        let Channel { name, socket } = channel;
        let known = Mutex::new(KnownChannels { since: now(), ..KnownChannels::default() });
        let requests = Arc::new(Semaphore::new(REQUESTS_OF_CHANNEL));
        let channel = Arc::new(WatchedChannel { name: name.clone(), socket, requests, known });
        all.insert(name, channel.clone());
        let updates = self.updates.clone();
        task::spawn(async move { channel.run(&updates).await });
    }

    /// The channel `name`.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<WatchedChannel>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All channels, `main` first.
    pub(crate) fn all(&self) -> Vec<Arc<WatchedChannel>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> = all.values().cloned().collect();
        list.sort_by_key(|channel| channel.name != channels::MAIN);
        list
    }

    /// Updates from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<BrowserUpdate> {
        self.updates.subscribe()
    }
}

impl WatchedChannel {
    /// The channel as the page shows it.
    pub(crate) fn json(&self) -> Value {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        json!({
            "name": self.name,
            "running": known.status.is_some(),
            "since": known.since,
            "problem": known.problem,
            "status": known.status,
        })
    }

    /// The last events, oldest first.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).events.iter().cloned().collect()
    }

    /// The samples of the last `seconds`.
    pub(crate) fn history(&self, seconds: u64) -> Columns {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.history.columns(now().saturating_sub(seconds))
    }

    async fn run(&self, updates: &broadcast::Sender<BrowserUpdate>) {
        loop {
            let error = self.follow(updates).await;
            self.with(|known| {
                if known.status.take().is_some() {
                    known.since = now();
                }
                known.problem = Some(problem(&error));
            });
            self.send_status(updates);
            time::sleep(TICK).await;
        }
    }

    /// Follows the channel over one connection, until it fails.
    async fn follow(&self, updates: &broadcast::Sender<BrowserUpdate>) -> LinkError {
        let mut control = match AsyncControl::connect(&self.socket, NAME).await {
            Ok(control) => control,
            Err(error) => return error,
        };
        if let Err(error) = control.call(&Call::Subscribe(SubscribeParams::default())).await {
            // An older server, or one at its limit: the status is shown without events.
            log::debug!("{}: no events: {error}", self.name);
        }
        let mut tick = time::interval(TICK);
        tick.set_missed_tick_behavior(time::MissedTickBehavior::Skip);
        // The request that waits for its answer, and the ticks since the connection was made.
        let (mut asked, mut ticks) = (None, 0_u64);
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    let looked_at = updates.receiver_count() > 0;
                    match asked {
                        Some((_, since)) if ticks > since + MOST_TICKS => {
                            return LinkError::Protocol("it gives no status".into());
                        }
                        None if looked_at || ticks.is_multiple_of(EVERY) => {
                            match control.send(&Call::Status(NoParams {})).await {
                                Ok(id) => asked = Some((id, ticks)),
                                Err(error) => return error,
                            }
                        }
                        _ => {}
                    }
                    ticks += 1;
                }
                received = control.receive() => match received {
                    Err(error) => return error,
                    Ok(RpcMessage::Notification(method, params)) if method == "event" => self.event(params, updates),
                    Ok(RpcMessage::Notification(..)) => {}
                    Ok(RpcMessage::Answer(id, answer)) => {
                        let Some((_, at)) = asked.take_if(|(expected, _)| id == *expected) else { continue };
                        match answer {
                            Ok(status) => self.accept(status, at.is_multiple_of(EVERY), updates),
                            Err(error) => return error.into(),
                        }
                    }
                },
            }
        }
    }

    fn accept(&self, status: Value, sample: bool, updates: &broadcast::Sender<BrowserUpdate>) {
        let parsed = sample.then(|| serde_json::from_value::<BroadcastStatus>(status.clone()).ok()).flatten();
        let changed = self.with(|known| {
            if known.status.is_none() {
                known.since = now();
            }
            if let Some(parsed) = parsed {
                known.history.add(now(), &parsed);
            }
            known.problem = None;
            known.status.replace(status) != known.status
        });
        if changed {
            self.send_status(updates);
        }
    }

    fn event(&self, event: Value, updates: &broadcast::Sender<BrowserUpdate>) {
        let json = json!({ "channel": self.name, "event": event }).to_string();
        self.with(|known| {
            if known.events.len() >= EVENTS {
                known.events.pop_front();
            }
            known.events.push_back(event);
        });
        // Nobody may be looking.
        let _ = updates.send(BrowserUpdate { kind: "event", json: json.into() });
    }

    fn send_status(&self, updates: &broadcast::Sender<BrowserUpdate>) {
        let _ = updates.send(BrowserUpdate { kind: "status", json: self.json().to_string().into() });
    }

    fn with<T>(&self, act: impl FnOnce(&mut KnownChannels) -> T) -> T {
        act(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Why a channel has no connection, in words for the page.
fn problem(error: &LinkError) -> String {
    match error {
        LinkError::Io(error) => match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => "not_running".into(),
            std::io::ErrorKind::PermissionDenied => "denied".into(),
            _ => error.to_string(),
        },
        error => error.to_string(),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
