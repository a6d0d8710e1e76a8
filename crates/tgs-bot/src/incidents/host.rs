//! Incidents of the host: deaths of broadcasts, updates of yt-dlp, disks, deploys.

use std::time::{SystemTime, UNIX_EPOCH};

use tgs_control::{BroadcastStatus, Timestamp};

use super::{IncidentKind, IncidentLog, MOST_CHANNELS};
use crate::machine_notes::{MachineNote, NoteSubject};

/// A note that is newer is reported although the bot has never seen one before.
const NEWS: u64 = 600;
/// yt-dlp is updated each week; so two updates were missed, as in the alert `TgsYtDlpStale`.
const STALE: u64 = 15 * 86_400;
impl IncidentLog {
    /// Takes what a channel's status says of the machine.
    pub(super) fn on_machine_status(&mut self, channel: &str, status: &BroadcastStatus, now: u64) {
        self.of_machine(channel, IncidentKind::DiskFilling, filling(status), now);
        self.of_machine(channel, IncidentKind::YtDlpStale, stale(status, now), now);
    }

    /// A condition of the machine that a channel reports.
    fn of_machine(&mut self, channel: &str, kind: IncidentKind, cause: Option<String>, now: u64) {
        let key = (kind, channel.to_owned());
        match cause {
            Some(cause) if self.machine.len() < 2 * MOST_CHANNELS => {
                self.machine.insert(key, cause);
            }
            Some(_) => {}
            None => {
                self.machine.remove(&key);
            }
        }
        let first =
            self.machine.iter().find(|((known, _), _)| *known == kind).map(|(_, cause)| cause.clone());
        self.standing("", kind, first, now);
    }

    /// Takes how units and deploys have ended.
    pub(crate) fn observe_machine(&mut self, notes: &[MachineNote], time: SystemTime) {
        let now = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        for note in notes {
            let (channel, kind) = match &note.subject {
                NoteSubject::YtDlpUpdate => {
                    let failed = (!note.is_good).then(|| note.detail.clone());
                    self.standing("", IncidentKind::YtDlpFailed, failed, now);
                    continue;
                }
                NoteSubject::Broadcast(channel) => {
                    (&**channel, (!note.is_good).then_some(IncidentKind::Died))
                }
                NoteSubject::Deploy if note.is_good => ("", Some(IncidentKind::Deployed)),
                NoteSubject::Deploy => ("", Some(IncidentKind::DeployTakenBack)),
            };
            let key = format!("{:?}", note.subject);
            if self.noted.len() >= 2 * MOST_CHANNELS && !self.noted.contains_key(&key) {
                continue;
            }
            let before = self.noted.insert(key, note.at);
            // One from before the first start of the bot may be of long ago.
            let is_new = before.map_or(now.saturating_sub(note.at) < NEWS, |before| before != note.at);
            if let Some(kind) = kind.filter(|_| is_new) {
                self.happened(channel, kind, &note.detail, now);
            }
        }
        self.forget(now);
    }
}

/// What of a disk is left, if it is little.
fn filling(status: &BroadcastStatus) -> Option<String> {
    let disk = status.disk.as_ref().filter(|disk| disk.is_filling())?;
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let (free, total) = (gigabytes(disk.free_bytes), gigabytes(disk.total_bytes));
    // Rounded, so that each change is not an edit.
    Some(format!("{}: {free:.1} of {total:.0} GB free", disk.dir))
}

/// The last update of yt-dlp, if it is of long ago.
fn stale(status: &BroadcastStatus, now: u64) -> Option<String> {
    let updated = status.ytdlp_updated.as_ref()?;
    let at = Timestamp::parse(updated)?;
    (now.saturating_sub(at.0 / 1000) > STALE).then(|| updated.clone())
}
