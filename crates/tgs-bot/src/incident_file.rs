//! The incidents in the state directory, so that nothing is reported twice after a restart.

use std::{
    io,
    path::{Path, PathBuf},
};

use tgs_core::files;

use crate::incidents::IncidentLog;

/// The file's name.
const NAME: &str = "incidents.json";
/// Longest accepted file in bytes.
const LONGEST: u64 = 1 << 20;

/// The file with the incidents.
#[derive(Debug)]
pub(crate) struct IncidentFile {
    path: PathBuf,
    written: String,
}

impl IncidentFile {
    /// The file in `dir`, and what it holds. A damaged file counts as empty.
    pub(crate) fn read(dir: &Path) -> (Self, IncidentLog) {
        let path = dir.join(NAME);
        let log = match files::read_regular(&path, LONGEST) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                log::warn!("{} is damaged: {error}; open incidents are reported again", path.display());
                IncidentLog::default()
            }),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    log::warn!(
                        "{} cannot be read: {error}; open incidents are reported again",
                        path.display()
                    );
                }
                IncidentLog::default()
            }
        };
        (Self { path, written: String::new() }, log)
    }

    /// Writes the incidents, if they have changed.
    pub(crate) fn write(&mut self, incidents: &IncidentLog) {
        let text = serde_json::to_string(incidents).unwrap_or_default();
        if text == self.written {
            return;
        }
        match files::replace(&self.path, text.as_bytes(), 0o600) {
            Ok(()) => self.written = text,
            Err(error) => log::warn!("{} cannot be written: {error}", self.path.display()),
        }
    }
}
