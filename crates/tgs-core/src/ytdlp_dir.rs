//! Reads the directory in which `tgs-ytdlp-update` installs yt-dlp. Changes nothing.
//!
//! ```text
//! <root>/current  -> versions/<name>       swapped by rename
//! <root>/previous -> versions/<name>
//! <root>/last-success                      seconds since 1970 of the last successful update
//! <root>/versions/<name>/                  a Python environment
//! <root>/versions/<name>/tgs-version       its version of yt-dlp; written once it is complete
//! ```

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::files;

/// The link to the version in use.
pub const CURRENT: &str = "current";
/// The link to the previous version.
pub const PREVIOUS: &str = "previous";
/// The directory of the versions.
pub const VERSIONS: &str = "versions";
/// The file with the time of the last successful update.
pub const LAST_SUCCESS: &str = "last-success";
/// The file that holds a version's number and marks the version as complete.
pub const VERSION: &str = "tgs-version";

/// A version of yt-dlp that `tgs-ytdlp-update` installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The version as PyPI writes it: `2026.8.19`.
    pub version: String,
    /// When an update last succeeded: it installed the newest version, or found it installed.
    pub last_success: Option<SystemTime>,
}

/// Returns the version of the program at `yt_dlp`; `None` if `tgs-ytdlp-update` did not install it.
#[must_use]
pub fn installed(yt_dlp: &Path) -> Option<Installed> {
    // `current` resolves to <root>/versions/<name>, so this is <root>/versions/<name>/bin/yt-dlp.
    let program = yt_dlp.canonicalize().ok()?;
    let dir = program.ancestors().nth(2)?;
    let version = version(dir)?;
    let last_success = dir.ancestors().nth(2).and_then(last_success);
    Some(Installed { version, last_success })
}

/// Returns the version in the directory `dir`; `None` if it is incomplete.
#[must_use]
pub fn version(dir: &Path) -> Option<String> {
    let text = files::read_text(&dir.join(VERSION)).ok()?;
    Some(text.trim().to_owned()).filter(|version| !version.is_empty())
}

/// When an update in the directory `root` last succeeded.
#[must_use]
pub fn last_success(root: &Path) -> Option<SystemTime> {
    let seconds = files::read_text(&root.join(LAST_SUCCESS)).ok()?.trim().parse().ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn the_directory_is_found_from_the_program_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("ytdlp");
        let bin = root.join("versions/2026.8.19/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::write(bin.join("yt-dlp"), "").unwrap();
        symlink("versions/2026.8.19", root.join(CURRENT)).unwrap();
        symlink("ytdlp/current", dir.path().join("venv")).unwrap();
        let program = dir.path().join("venv/bin/yt-dlp");
        assert_eq!(installed(&program), None, "it is not complete");

        fs::write(root.join("current").join(VERSION), "2026.8.19\n").unwrap();
        let version = "2026.8.19".to_owned();
        assert_eq!(installed(&program), Some(Installed { version: version.clone(), last_success: None }));

        fs::write(root.join(LAST_SUCCESS), "1795388125\n").unwrap();
        let last_success = Some(UNIX_EPOCH + Duration::from_secs(1_795_388_125));
        assert_eq!(installed(&program), Some(Installed { version, last_success }));

        for text in ["", "soon", "-1", "99999999999999999999999"] {
            fs::write(root.join(LAST_SUCCESS), text).unwrap();
            assert_eq!(installed(&program).unwrap().last_success, None, "{text:?}");
        }
        assert_eq!(installed(Path::new("/bin/sh")), None);
        assert_eq!(installed(Path::new("/no/such")), None);
    }
}
