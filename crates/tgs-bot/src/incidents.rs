//! What is wrong with the channels, since when, and whom it was reported to. Each incident is one
//! message for each user, edited as it goes on. No I/O and no clock.

mod host;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use tgs_control::{BroadcastStatus, OnAir, PublisherState, TelegramState, Timestamp};
use tgs_core::mask;

use crate::{broadcasts::ChannelFault, texts::BotLanguage};

/// Most incidents that are kept.
const MOST: usize = 64;
/// Most channels whose last failure and session are kept.
const MOST_CHANNELS: usize = 64;
/// An incident that returns within this time after its end is the same.
const SAME_WITHIN: u64 = 300;
/// An incident that could be reported to nobody is forgotten after this time.
const FORGOTTEN_AFTER: u64 = 86_400;
/// Failed items belong together if one follows the other within this time.
const FAILURES_WITHIN: u64 = 600;
/// Encoding speed below which an encoder is too slow, as in the alert `TgsEncoderSlow`.
const TOO_SLOW: f64 = 0.95;
/// Longest detail in characters.
const LONGEST: usize = 300;

/// The kinds of incidents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IncidentKind {
    /// The broadcast does not run, or does not answer.
    Away,
    /// No session is valid, so nothing is published.
    Degraded,
    /// The server of the stream is not connected.
    IngestAway,
    /// The filler is on air, and nobody has asked for it.
    Filler,
    /// Viewers get something else than what is sent (VIEWER_CHECK).
    ViewersLose,
    /// The encoder does not keep up.
    SlowEncoder,
    /// Items failed.
    ItemsFailed,
    /// The Telegram session was replaced by another.
    SessionReplaced,
    /// The process of the broadcast ended otherwise than by a stop.
    Died,
    /// The last update of yt-dlp failed.
    YtDlpFailed,
    /// yt-dlp was not updated for two weeks.
    YtDlpStale,
    /// The disk of a broadcast is filling.
    DiskFilling,
    /// A deploy is done.
    Deployed,
    /// A deploy failed, and the release before runs again.
    DeployTakenBack,
}

impl IncidentKind {
    /// How long the condition must last.
    fn delay(self) -> Duration {
        Duration::from_secs(match self {
            Self::Away | Self::IngestAway => 30,
            Self::Filler => 60,
            Self::SlowEncoder => 120,
            _ => 0,
        })
    }

    /// Whether it can wait for the end of a quiet time.
    fn can_wait(self) -> bool {
        matches!(
            self,
            Self::SlowEncoder
                | Self::ItemsFailed
                | Self::SessionReplaced
                | Self::YtDlpFailed
                | Self::YtDlpStale
                | Self::Deployed
        )
    }

    /// Whether it only happens, and is never over.
    pub(crate) fn is_momentary(self) -> bool {
        matches!(
            self,
            Self::ItemsFailed | Self::SessionReplaced | Self::Died | Self::Deployed | Self::DeployTakenBack
        )
    }

    /// Whether one that comes again soon is counted in the same message.
    fn is_counted(self) -> bool {
        !matches!(self, Self::SessionReplaced | Self::Deployed | Self::DeployTakenBack)
    }
}

/// An incident of a channel. Times are Unix times in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Incident {
    /// The incident's number.
    pub(crate) id: u64,
    /// The channel; empty if the whole machine is concerned.
    pub(crate) channel: String,
    pub(crate) kind: IncidentKind,
    /// The cause, credentials masked.
    pub(crate) detail: String,
    pub(crate) began: u64,
    pub(crate) ended: Option<u64>,
    /// How often it came; of failed items, how many.
    pub(crate) count: u32,
    /// Grows with each change that is to be shown.
    pub(crate) revision: u32,
    /// By user.
    shown: BTreeMap<i64, ShownIncident>,
    /// The last time it came.
    last: u64,
}

/// What a user was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct ShownIncident {
    message_id: Option<i32>,
    revision: u32,
}

/// All incidents, and what tells new from known ones; kept over restarts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct IncidentLog {
    incidents: Vec<Incident>,
    /// The number of the last incident.
    last_id: u64,
    /// The last failure of each channel.
    failures: BTreeMap<String, String>,
    /// The fingerprint of each channel's session.
    sessions: BTreeMap<String, String>,
    /// When each unit and deploy ended that was reported last.
    noted: BTreeMap<String, u64>,
    /// What each channel says of the machine. One message tells of what several say.
    #[serde(skip)]
    machine: BTreeMap<(IncidentKind, String), String>,
    /// The languages in which incidents are reported; only of users that the settings name.
    languages: BTreeMap<i64, BotLanguage>,
    /// Since when a condition lasts that is no incident yet.
    #[serde(skip)]
    pending: BTreeMap<(String, IncidentKind), u64>,
    /// Channels that have run since the start.
    #[serde(skip)]
    seen: BTreeSet<String>,
    /// Divides the delays, for tests.
    #[serde(skip)]
    time_scale: u32,
}

/// A message about an incident that is due.
#[derive(Debug, PartialEq)]
pub(crate) struct DueMessage<'a> {
    pub(crate) user_id: i64,
    /// The message to edit; `None` for a new one.
    pub(crate) message_id: Option<i32>,
    pub(crate) incident: &'a Incident,
}

impl Incident {
    /// The incident for a program.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let time = |seconds: u64| Timestamp(seconds.saturating_mul(1000)).to_string();
        serde_json::json!({
            "id": self.id,
            "revision": self.revision,
            "channel": self.channel,
            "kind": self.kind,
            "state": if self.ended.is_some() || self.kind.is_momentary() { "over" } else { "open" },
            "detail": self.detail,
            "began": time(self.began),
            "ended": self.ended.map(time),
            "count": self.count,
        })
    }
}

impl IncidentLog {
    /// The same with delays divided by `time_scale`.
    pub(crate) fn with_time_scale(self, time_scale: u32) -> Self {
        Self { time_scale, ..self }
    }

    /// The channels that are watched also while they do not run.
    pub(crate) fn channels(&self) -> impl Iterator<Item = &str> {
        self.seen.iter().map(String::as_str)
    }

    /// Takes what a channel answers now.
    pub(crate) fn observe(
        &mut self,
        channel: &str,
        sample: &Result<BroadcastStatus, ChannelFault>,
        time: SystemTime,
    ) {
        let now = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        match sample {
            Ok(status) => {
                if self.seen.len() < MOST_CHANNELS {
                    self.seen.insert(channel.to_owned());
                }
                self.standing(channel, IncidentKind::Away, None, now);
                self.on_status(channel, status, now);
            }
            Err(fault) => {
                let open = self.open(channel, IncidentKind::Away).is_some();
                if open || self.seen.contains(channel) {
                    let cause = match fault {
                        ChannelFault::NotRunning | ChannelFault::Denied => String::new(),
                        ChannelFault::Refused(why) | ChannelFault::NoAnswer(why) => why.clone(),
                    };
                    self.standing(channel, IncidentKind::Away, Some(cause), now);
                }
            }
        }
        self.forget(now);
    }

    fn on_status(&mut self, channel: &str, status: &BroadcastStatus, now: u64) {
        let engine = &status.status.engine;
        let telegram = status.status.telegram.as_ref();
        let degraded = telegram.filter(|telegram| telegram.state == TelegramState::Degraded);
        let degraded = degraded.map(|telegram| telegram.why.clone().unwrap_or_default());
        // Without a session there is no server to connect to.
        let runs = !status.stopped && degraded.is_none();
        let ingest = match &engine.publisher {
            PublisherState::Reconnecting { cause } if runs => Some(cause.clone()),
            _ => None,
        };
        let filler = match &engine.on_air {
            OnAir::Filler { cause } if runs && !engine.paused => Some(cause.clone()),
            _ => None,
        };
        let slow = engine.encoder_speed_ratio.filter(|speed| *speed > 0.0 && *speed < TOO_SLOW && runs);
        self.standing(channel, IncidentKind::Degraded, degraded, now);
        self.standing(channel, IncidentKind::IngestAway, ingest, now);
        let viewers =
            telegram.filter(|_| runs).and_then(|telegram| telegram.viewer_check.as_ref()?.trouble());
        self.standing(channel, IncidentKind::Filler, filler, now);
        self.standing(channel, IncidentKind::ViewersLose, viewers, now);
        self.standing(channel, IncidentKind::SlowEncoder, slow.map(|_| String::new()), now);
        self.on_machine_status(channel, status, now);
        if let Some(failure) = &engine.last_failure {
            let before = insert(&mut self.failures, channel, failure);
            // The first one that is seen may be of long ago.
            if before.is_some_and(|before| before != *failure) {
                self.happened(channel, IncidentKind::ItemsFailed, failure, now);
            }
        } else {
            insert(&mut self.failures, channel, "");
        }
        if let Some(session) = telegram.and_then(|telegram| telegram.session.as_ref()) {
            let before = insert(&mut self.sessions, channel, session);
            if before.is_some_and(|before| before != *session) {
                self.happened(channel, IncidentKind::SessionReplaced, "", now);
            }
        }
    }

    fn open(&mut self, channel: &str, kind: IncidentKind) -> Option<&mut Incident> {
        self.incidents
            .iter_mut()
            .find(|incident| incident.channel == channel && incident.kind == kind && incident.ended.is_none())
    }

    /// A condition that lasts (`cause`) or is over.
    fn standing(&mut self, channel: &str, kind: IncidentKind, cause: Option<String>, now: u64) {
        let key = (channel.to_owned(), kind);
        let Some(cause) = cause.map(|cause| shown(&cause)) else {
            self.pending.remove(&key);
            if let Some(incident) = self.open(channel, kind) {
                incident.ended = Some(now);
                incident.revision += 1;
            }
            return;
        };
        if let Some(incident) = self.open(channel, kind) {
            incident.last = now;
            if incident.detail != cause && !cause.is_empty() {
                incident.detail = cause;
                incident.revision += 1;
            }
            return;
        }
        let since = *self.pending.entry(key.clone()).or_insert(now);
        let delay = kind.delay().as_secs() / u64::from(self.time_scale.max(1));
        if now.saturating_sub(since) >= delay {
            self.pending.remove(&key);
            self.begin(channel, kind, cause, since, now);
        }
    }

    fn begin(&mut self, channel: &str, kind: IncidentKind, detail: String, began: u64, now: u64) {
        let recent = self.incidents.iter_mut().find(|incident| {
            incident.channel == channel
                && incident.kind == kind
                && incident.ended.is_some_and(|ended| now.saturating_sub(ended) < SAME_WITHIN)
        });
        if let Some(incident) = recent.filter(|_| kind.is_counted()) {
            incident.ended = None;
            incident.count += 1;
            incident.revision += 1;
            (incident.detail, incident.last) = (detail, now);
            return;
        }
        if self.incidents.len() >= MOST {
            let over = self.incidents.iter().position(|incident| incident.ended.is_some());
            self.incidents.remove(over.unwrap_or(0));
        }
        self.last_id += 1;
        self.incidents.push(Incident {
            id: self.last_id,
            channel: channel.to_owned(),
            kind,
            detail,
            began,
            ended: None,
            count: 1,
            revision: 1,
            shown: BTreeMap::new(),
            last: now,
        });
    }

    /// Something momentary. Several within a time are one incident.
    fn happened(&mut self, channel: &str, kind: IncidentKind, detail: &str, now: u64) {
        let detail = shown(detail);
        match self.open(channel, kind) {
            Some(incident) => {
                incident.count += 1;
                incident.revision += 1;
                (incident.detail, incident.last) = (detail, now);
            }
            None => self.begin(channel, kind, detail, now, now),
        }
    }

    /// Ends momentary incidents, and drops what is over and reported.
    fn forget(&mut self, now: u64) {
        for incident in &mut self.incidents {
            let within = match incident.kind {
                IncidentKind::ItemsFailed | IncidentKind::Died => FAILURES_WITHIN,
                _ => 0,
            };
            if incident.kind.is_momentary() && now.saturating_sub(incident.last) > within {
                // Not a new revision: there is nothing to add.
                incident.ended.get_or_insert(incident.last);
            }
        }
        self.incidents.retain(|incident| {
            let age = incident.ended.map(|ended| now.saturating_sub(ended));
            let reported = incident.shown.values().all(|shown| shown.revision == incident.revision);
            age.is_none_or(|age| age < if reported { SAME_WITHIN } else { FORGOTTEN_AFTER })
        });
    }

    /// The language of a user's messages: `current`, else the last one.
    pub(crate) fn language(&mut self, user_id: i64, current: Option<BotLanguage>) -> BotLanguage {
        if let Some(current) = current {
            self.languages.insert(user_id, current);
        }
        self.languages.get(&user_id).copied().unwrap_or_default()
    }

    /// The next message that one of `users` is owed. During a quiet time only of what cannot wait.
    pub(crate) fn due(&self, users: &BTreeSet<i64>, is_quiet: bool) -> Option<DueMessage<'_>> {
        let mut candidates = self.incidents.iter().filter(|incident| !is_quiet || !incident.kind.can_wait());
        candidates.find_map(|incident| {
            users.iter().find_map(|&user_id| {
                let shown = incident.shown.get(&user_id);
                let is_due = shown.is_none_or(|shown| shown.revision != incident.revision);
                let message_id = shown.and_then(|shown| shown.message_id);
                is_due.then_some(DueMessage { user_id, message_id, incident })
            })
        })
    }

    /// This revision of an incident was sent or edited, or cannot be delivered to this user.
    pub(crate) fn reported(&mut self, id: u64, revision: u32, user_id: i64, message_id: Option<i32>) {
        if let Some(incident) = self.incidents.iter_mut().find(|incident| incident.id == id) {
            incident.shown.insert(user_id, ShownIncident { message_id, revision });
        }
    }
}

/// Sets a bounded map's value, and returns the one before.
fn insert(map: &mut BTreeMap<String, String>, channel: &str, value: &str) -> Option<String> {
    if map.len() >= MOST_CHANNELS && !map.contains_key(channel) {
        return None;
    }
    map.insert(channel.to_owned(), value.to_owned())
}

fn shown(text: &str) -> String {
    mask::urls(text).chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests;
