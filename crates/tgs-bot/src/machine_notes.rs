//! What units and deploys leave for the bot: how each unit of ours last ended (`ExecStopPost=`),
//! and how the last deploy ended. The files belong to others: they are read bounded.

use std::{
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use tgs_control::channels::Channel;
use tgs_core::files;

/// Where units leave how they ended: a file by the name of the unit.
pub(crate) const UNIT_NOTES: &str = "/run/tgs-notes";
/// Where a deploy leaves how it ended.
const DEPLOY_NOTE: &str = "/opt/tg_video_streamer/last-deploy";
/// The unit that updates yt-dlp.
const YTDLP_UNIT: &str = "yt-dlp-update.service";
/// Longest note in bytes, and most notes.
const LONGEST: u64 = 512;
const MOST: usize = 100;

/// Where the notes are.
#[derive(Debug, Clone)]
pub(crate) struct NotePlaces {
    pub(crate) units: PathBuf,
    pub(crate) deploy: PathBuf,
}

impl Default for NotePlaces {
    fn default() -> Self {
        Self { units: UNIT_NOTES.into(), deploy: DEPLOY_NOTE.into() }
    }
}

/// Whose note it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoteSubject {
    /// The unit of a channel.
    Broadcast(String),
    /// The update of yt-dlp.
    YtDlpUpdate,
    Deploy,
}

/// How something ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MachineNote {
    pub(crate) subject: NoteSubject,
    /// Whether it ended well.
    pub(crate) is_good: bool,
    pub(crate) detail: String,
    /// When, in Unix seconds.
    pub(crate) at: u64,
}

impl NotePlaces {
    /// The notes of now.
    pub(crate) fn read(&self) -> Vec<MachineNote> {
        let entries = fs::read_dir(&self.units).into_iter().flatten().flatten().take(MOST);
        let of_units = entries.filter_map(|entry| {
            let unit = entry.file_name().into_string().ok()?;
            unit_note(&unit, &text(&entry.path())?, written(&entry.path())?)
        });
        let of_deploy = text(&self.deploy).zip(written(&self.deploy));
        of_units.chain(of_deploy.and_then(|(text, at)| deploy_note(&text, at))).collect()
    }
}

fn text(path: &Path) -> Option<String> {
    String::from_utf8(files::read_regular(path, LONGEST).ok()?).ok()
}

fn written(path: &Path) -> Option<u64> {
    Some(fs::metadata(path).ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// `RESULT CODE STATUS`, as systemd.exec(5) has it: `signal killed SEGV`, `success exited 0`.
fn unit_note(unit: &str, text: &str, at: u64) -> Option<MachineNote> {
    let subject = match unit {
        YTDLP_UNIT => NoteSubject::YtDlpUpdate,
        other => NoteSubject::Broadcast(Channel::named(other.strip_suffix(".service")?)?.name),
    };
    let mut words = text.split_whitespace();
    let result = words.next()?;
    let more: Vec<_> = words.take(2).collect();
    Some(MachineNote {
        subject,
        is_good: result == "success",
        detail: [&[result], &*more].concat().join(" "),
        at,
    })
}

/// `done RELEASE` or `back RELEASE`.
fn deploy_note(text: &str, at: u64) -> Option<MachineNote> {
    let mut words = text.split_whitespace();
    let is_good = match words.next()? {
        "done" => true,
        "back" => false,
        _ => return None,
    };
    let detail = words.next().unwrap_or_default().to_owned();
    Some(MachineNote { subject: NoteSubject::Deploy, is_good, detail, at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_units_and_deploys_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let places = NotePlaces { units: dir.path().join("units"), deploy: dir.path().join("last-deploy") };
        assert_eq!(places.read(), []);
        fs::create_dir(&places.units).unwrap();
        for (unit, text) in [
            ("tg_video_streamer.service", "watchdog killed KILL\n"),
            ("tg_video_streamer@news.service", "success exited 0\n"),
            ("yt-dlp-update.service", "exit-code exited 1\n"),
            ("tg_video_streamer.service.new", "x"),
            ("empty.service", ""),
        ] {
            fs::write(places.units.join(unit), text).unwrap();
        }
        fs::write(places.units.join("tg_video_streamer@big.service"), [b'x'; 1000]).unwrap();
        fs::write(&places.deploy, "back releases/20261129T000000Z-tgs\n").unwrap();
        let mut notes = places.read();
        notes.sort_by_key(|note| format!("{:?}", note.subject));
        let seen: Vec<_> = notes.iter().map(|it| (it.subject.clone(), it.is_good, &*it.detail)).collect();
        let broadcast = |name: &str| NoteSubject::Broadcast(name.to_owned());
        let expected = [
            (broadcast("main"), false, "watchdog killed KILL"),
            (broadcast("news"), true, "success exited 0"),
            (NoteSubject::Deploy, false, "releases/20261129T000000Z-tgs"),
            (NoteSubject::YtDlpUpdate, false, "exit-code exited 1"),
        ];
        assert_eq!(seen, expected);
    }
}
