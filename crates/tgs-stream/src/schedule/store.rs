//! The files of the timetable: SCHEDULE itself, and which slots are over, in `STATE_DIR`.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tgs_core::files::{self, FileVersion, replace};
use tgs_schedule::{DateError, Timetable, TimetableProblems, edit::etag};

use super::policy::Finished;
use crate::state_file;

/// The largest timetable, in bytes.
const MAX_TIMETABLE: u64 = 1 << 20;

/// The largest file of finished slots, in bytes.
const MAX_FINISHED: u64 = 1 << 20;

/// Why a timetable cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScheduleError {
    /// The file cannot be read.
    #[error("cannot read {}: {source} (SCHEDULE names it)", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// It is larger than a timetable can be.
    #[error("{} is over 1 MiB, which is no timetable", path.display())]
    Large { path: PathBuf },
    /// It is no timetable.
    #[error("{}: {problems}", path.display())]
    Broken { path: PathBuf, problems: TimetableProblems },
    /// It is no date.
    #[error("the date {0}")]
    Date(#[from] DateError),
    /// The text has changed since it was read.
    #[error("the timetable has changed since it was read; read it again")]
    Changed,
    /// The file cannot be written.
    #[error(
        "cannot write {}: {source}; put it into a folder that the service may write to, such as STATE_DIR",
        path.display()
    )]
    Write { path: PathBuf, source: io::Error },
}

/// The file that SCHEDULE names.
#[derive(Debug)]
pub(crate) struct ScheduleFile {
    path: PathBuf,
}

impl ScheduleFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path: std::path::absolute(&path).unwrap_or(path) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// The file's version; `None` without a regular file, as between two steps of an editor.
    pub(super) fn version(&self) -> Option<FileVersion> {
        FileVersion::of_regular(&self.path)
    }

    /// The text of the file.
    pub(super) fn text(&self) -> Result<String, ScheduleError> {
        let failed = |source| ScheduleError::Read { path: self.path.clone(), source };
        let mut text = String::new();
        let file = files::open_regular(&self.path).map_err(failed)?;
        file.take(MAX_TIMETABLE + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > MAX_TIMETABLE {
            return Err(ScheduleError::Large { path: self.path.clone() });
        }
        Ok(text)
    }

    /// The timetable, and its text.
    pub(crate) fn read(&self) -> Result<(Timetable, String), ScheduleError> {
        let text = self.text()?;
        let timetable = Timetable::parse(&text);
        let timetable =
            timetable.map_err(|problems| ScheduleError::Broken { path: self.path.clone(), problems })?;
        Ok((timetable, text))
    }

    /// Replaces the text if it is a timetable and the file has not changed since `seen`. Returns
    /// the timetable.
    pub(super) fn set(&self, text: &str, seen: &str) -> Result<Timetable, ScheduleError> {
        let broken = |problems| ScheduleError::Broken { path: self.path.clone(), problems };
        let timetable = Timetable::parse(text).map_err(broken)?;
        if etag(&self.text()?) != seen {
            return Err(ScheduleError::Changed);
        }
        let failed = |source| ScheduleError::Write { path: self.path.clone(), source };
        let mode = fs::metadata(&self.path).map_err(failed)?.mode() & 0o777;
        replace(&self.path, text.as_bytes(), mode).map_err(failed)?;
        Ok(timetable)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedFinished {
    version: u32,
    finished: Vec<Finished>,
}

/// `schedule.json`: the slots that are over before their time, which a restart must not repeat.
pub(super) struct FinishedFile {
    path: PathBuf,
}

impl FinishedFile {
    const VERSION: u32 = 1;

    pub(super) fn open(state_dir: &Path) -> Self {
        Self { path: state_dir.join("schedule.json") }
    }

    /// What is kept. A file that cannot be used is as none: at worst a slot plays again.
    pub(super) fn read(&self) -> Vec<Finished> {
        match state_file::read::<SavedFinished>(&self.path, Self::VERSION, MAX_FINISHED) {
            Ok(saved) => saved.finished,
            Err(state_file::StateFileError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                Vec::new()
            }
            Err(error) => {
                log::warn!("{} is not used: {error}", self.path.display());
                Vec::new()
            }
        }
    }

    pub(super) fn write(&self, finished: &[Finished]) {
        let saved = SavedFinished { version: Self::VERSION, finished: finished.to_vec() };
        let json = serde_json::to_vec(&saved).unwrap_or_default();
        if let Err(error) = replace(&self.path, &json, 0o600) {
            log::warn!("failed to write {}: {error}; a restart may repeat a slot", self.path.display());
        }
    }
}
