//! Which received files are still needed: an entry of the queue stays there until it has been shown
//! to its end. Kept over restarts, with the messages of files that were not whole.
//!
//! Only files of the record are removed: the directory may hold others.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tgs_control::{QueueListing, channels::Channel, method::Call, method::NoParams};
use tgs_core::files;

use crate::{
    broadcasts::{Broadcasts, ChannelReport, ChannelRequest, MessagePlace},
    fetch::FetchMessage,
    media_dir::MediaDir,
};

/// The name of the record in the state directory.
const NAME: &str = "media.json";
/// Longest accepted record in bytes.
const LONGEST: u64 = 1 << 20;
/// How often the queues are looked at.
const EVERY: Duration = Duration::from_mins(1);
/// A file that has left the queue is kept for as long: `previous` goes back to it.
const AFTER_QUEUE: u64 = 600;
/// A file that no queue has named for as long is removed.
const UNUSED: u64 = 7 * 86_400;

/// A received file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeptFile {
    channel: String,
    /// When it was last in the queue, in Unix seconds.
    queued: u64,
    /// Since when it is not, by the answers of its channel.
    gone: Option<u64>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Record {
    /// By name in the directory.
    files: BTreeMap<String, KeptFile>,
    unfinished: Vec<FetchMessage>,
}

/// The received files.
#[derive(Debug)]
pub(crate) struct KeptFiles {
    dir: MediaDir,
    path: PathBuf,
    record: Record,
    written: String,
    next: SystemTime,
    time_scale: u32,
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl KeptFiles {
    /// Continues with the record in `state_dir`. A damaged one counts as empty, and its files stay.
    pub(crate) fn read(dir: MediaDir, state_dir: &Path, time_scale: u32) -> Self {
        let path = state_dir.join(NAME);
        let record = files::read_regular(&path, LONGEST).ok();
        let record = record.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self { dir, path, record, written: String::new(), next: UNIX_EPOCH, time_scale: time_scale.max(1) }
    }

    /// The messages of files that an earlier run did not finish, once.
    pub(crate) fn take_unfinished(&mut self) -> Vec<FetchMessage> {
        std::mem::take(&mut self.record.unfinished)
    }

    /// A file is whole, and about to be queued on `channel`.
    pub(crate) fn received(&mut self, file: &Path, channel: &str, time: SystemTime) {
        let Some(name) = file.file_name().and_then(|name| name.to_str()) else { return };
        let kept = KeptFile { channel: channel.to_owned(), queued: seconds(time), gone: None };
        self.record.files.insert(name.to_owned(), kept);
        self.write();
    }

    /// The messages of files that are not whole now.
    pub(crate) fn unfinished(&mut self, messages: impl Iterator<Item = FetchMessage>) {
        self.record.unfinished = messages.collect();
        self.write();
    }

    /// Asks the channels of received files for their queues, if it is time, and removes files that
    /// are no longer needed.
    pub(crate) fn round(&mut self, broadcasts: &Broadcasts, channels: &[Channel], time: SystemTime) {
        if time < self.next && self.next.duration_since(time).is_ok_and(|wait| wait <= EVERY) {
            return;
        }
        self.next = time + EVERY / self.time_scale;
        for channel in channels {
            if self.record.files.values().all(|file| file.channel != channel.name) {
                continue;
            }
            // If too many requests wait, the next round asks.
            let _ = broadcasts.ask(ChannelRequest {
                call: Some(Call::QueueList(NoParams {})),
                ..ChannelRequest::unseen(channel.clone(), MessagePlace::Cleaned)
            });
        }
        self.sweep(seconds(time));
    }

    /// Takes the answer to a question of [`KeptFiles::round`], or to the queueing of a file. A file
    /// that could not be queued is removed.
    pub(crate) fn on_report(&mut self, report: &ChannelReport, time: SystemTime) {
        let now = seconds(time);
        match (&report.request.call, &report.outcome) {
            (Some(Call::QueueAdd(params)), Some(outcome)) => {
                let file = Path::new(&params.source);
                let name = file.file_name().and_then(|name| name.to_str());
                let Some(name) = name.filter(|_| file.parent() == Some(self.dir.path())) else { return };
                match self.record.files.get_mut(name) {
                    Some(file) if outcome.is_ok() => file.queued = now,
                    Some(_) => {
                        self.record.files.remove(name);
                        self.dir.remove(name);
                    }
                    None => {}
                }
            }
            (Some(Call::QueueList(_)), Some(Ok(queue))) if report.request.place == MessagePlace::Cleaned => {
                self.on_queue(&report.request.channel.name, queue, now);
            }
            _ => return,
        }
        self.write();
    }

    fn on_queue(&mut self, channel: &str, queue: &Value, now: u64) {
        let queue: QueueListing = serde_json::from_value(queue.clone()).unwrap_or_default();
        for (name, file) in self.record.files.iter_mut().filter(|(_, file)| file.channel == channel) {
            let path = self.dir.path().join(name);
            if queue.entries.iter().any(|entry| Path::new(&entry.source) == path) {
                (file.queued, file.gone) = (now, None);
            } else {
                file.gone.get_or_insert(now);
            }
        }
    }

    fn sweep(&mut self, now: u64) {
        let after_queue = AFTER_QUEUE / u64::from(self.time_scale);
        let entries = self.dir.entries();
        for entry in &entries {
            let Some(kept) = self.record.files.get(&entry.name) else { continue };
            let is_played = kept.gone.is_some_and(|gone| now.saturating_sub(gone) >= after_queue);
            let used = kept.queued.max(seconds(entry.modified));
            if is_played || now.saturating_sub(used) > UNUSED {
                log::info!("{} is removed: {}", entry.name, if is_played { "played" } else { "unused" });
                self.dir.remove(&entry.name);
                self.record.files.remove(&entry.name);
            }
        }
        self.record.files.retain(|name, _| entries.iter().any(|entry| entry.name == *name));
        self.write();
    }

    fn write(&mut self) {
        let text = serde_json::to_string(&self.record).unwrap_or_default();
        if text == self.written {
            return;
        }
        match files::replace(&self.path, text.as_bytes(), 0o600) {
            Ok(()) => self.written = text,
            Err(error) => log::warn!("{} cannot be written: {error}", self.path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;
    use tgs_control::{BroadcastStatus, method::QueueAddParams};

    use super::*;
    use crate::broadcasts::ChannelFault;

    fn report(call: Call, outcome: Result<Value, ChannelFault>) -> ChannelReport {
        let channel = Channel { name: "main".to_owned(), socket: "/x".into() };
        let place = match call {
            Call::QueueList(_) => MessagePlace::Cleaned,
            _ => MessagePlace::Edited(1),
        };
        let request = ChannelRequest { call: Some(call), ..ChannelRequest::unseen(channel, place) };
        ChannelReport {
            request,
            outcome: Some(outcome),
            status: Ok(BroadcastStatus::default()),
            picture: None,
        }
    }

    #[test]
    fn a_received_file_goes_when_it_is_played_or_refused_or_old() {
        let (media, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let dir = MediaDir::new(media.path().to_owned(), 1 << 30);
        let mut kept = KeptFiles::read(dir.clone(), state.path(), 1);
        let path = |name: &str| media.path().join(name).to_str().unwrap().to_owned();
        let add = |name: &str| {
            fs::write(path(name), "x").unwrap();
            Call::QueueAdd(QueueAddParams { source: path(name), position: None, below: None })
        };
        let now = SystemTime::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        for name in ["refused.mp4", "played.mp4", "waits.mp4"] {
            kept.received(Path::new(&path(name)), "main", now);
        }
        kept.on_report(&report(add("refused.mp4"), Err(ChannelFault::NotRunning)), now);
        kept.on_report(&report(add("played.mp4"), Ok(json!({}))), now);
        kept.on_report(&report(add("waits.mp4"), Ok(json!({}))), now);
        fs::write(path("other.mp4"), "x").unwrap();
        let names = || {
            let mut names: Vec<_> = dir.entries().into_iter().map(|entry| entry.name).collect();
            names.sort();
            names
        };
        assert_eq!(names(), ["other.mp4", "played.mp4", "waits.mp4"]);
        let queue = json!({ "entries": [{ "source": path("waits.mp4") }] });
        let list = || Call::QueueList(NoParams {});
        kept.on_report(&report(list(), Ok(queue.clone())), at(10));
        // After a restart, too. A channel that does not answer says nothing.
        let mut kept = KeptFiles::read(dir.clone(), state.path(), 1);
        kept.on_report(&report(list(), Err(ChannelFault::NotRunning)), at(20));
        kept.sweep(seconds(at(10 + AFTER_QUEUE - 1)));
        assert_eq!(names().len(), 3);
        kept.sweep(seconds(at(10 + AFTER_QUEUE)));
        assert_eq!(names(), ["other.mp4", "waits.mp4"]);
        kept.on_report(&report(list(), Ok(queue)), at(UNUSED));
        kept.sweep(seconds(at(UNUSED + 10)));
        assert_eq!(names(), ["other.mp4", "waits.mp4"]);
        kept.sweep(seconds(at(2 * UNUSED + 10)));
        // What the bot has not received stays.
        assert_eq!((names(), kept.record.files.len()), (vec!["other.mp4".to_owned()], 0));
    }

    #[test]
    fn the_messages_of_unfinished_files_outlive_a_restart() {
        let state = tempfile::tempdir().unwrap();
        let dir = MediaDir::new(state.path().to_owned(), 1);
        let message = FetchMessage { user_id: 5, message_id: 7 };
        KeptFiles::read(dir.clone(), state.path(), 1).unfinished([message].into_iter());
        let mut kept = KeptFiles::read(dir.clone(), state.path(), 1);
        assert_eq!((kept.take_unfinished(), kept.take_unfinished()), (vec![message], Vec::new()));
        fs::write(state.path().join(NAME), "{").unwrap();
        assert_eq!(KeptFiles::read(dir, state.path(), 1).record, Record::default());
    }
}
