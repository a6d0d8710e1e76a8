//! Finds out which form of a command fits this host.

use std::{
    env,
    path::{Path, PathBuf},
};

use rustix::process::geteuid;

use super::command::RemedyHost;
use crate::{owner::Owner, settings::INSTALLED, systemd};

/// Directory of packaged and deployed installations.
const TOP: &str = "/opt/tg_video_streamer";
/// Directories in every user's PATH, also under sudo.
const SEARCHED: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/bin"];

/// Sets the settings file of this process: `--env-file`, else `./.env`. Before this call, as in
/// tests, commands stay unchanged. Only the first call has an effect.
pub fn set_env_file(file: Option<&Path>) {
    find(file).set();
}

/// Looks at this process, its user and the owner of the settings file.
fn find(file: Option<&Path>) -> RemedyHost {
    let exe = env::current_exe().unwrap_or_default();
    let named = file.map_or_else(|| PathBuf::from(".env"), Path::to_owned);
    let there = file.is_some() || named.exists();
    let env_file = there.then(|| std::path::absolute(&named).unwrap_or(named));
    let owner = env_file.as_deref().and_then(|file| Owner::of(file).ok().flatten());
    let is_service = env_file.as_deref().is_some_and(is_installed) || systemd::is_supervising();
    // A service's user has no shell to paste into.
    let user = owner.filter(|user| is_service || user.uid != geteuid().as_raw()).map(|user| user.name);
    RemedyHost {
        programs: exe.parent().and_then(programs),
        env_file: env_file.map(|file| spelt(&file)),
        user,
        has_sudo: SEARCHED.iter().any(|dir| Path::new(dir).join("sudo").exists()),
    }
}

/// Returns the directory to name for programs in `dir`; `None` if it is in PATH.
fn programs(dir: &Path) -> Option<PathBuf> {
    if SEARCHED.iter().any(|searched| dir == Path::new(searched)) {
        return None;
    }
    // The next release has another directory; `current` follows it.
    let current = Path::new(TOP).join("current/bin");
    let is_release = dir.starts_with(Path::new(TOP).join("releases"));
    Some(if is_release { current } else { dir.to_owned() })
}

/// Whether `file` is a settings file of the installation.
fn is_installed(file: &Path) -> bool {
    let whole = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    file == Path::new(INSTALLED) || whole.starts_with(TOP)
}

/// Returns the path as the documents write it: `current` for the first instance's file.
fn spelt(file: &Path) -> PathBuf {
    let first = Path::new(TOP).join("shared/.env");
    let is_first = file == first || file.canonicalize().is_ok_and(|whole| whole == first);
    if is_first { INSTALLED.into() } else { file.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_programs_and_settings_are() {
        assert_eq!(programs(Path::new("/usr/bin")), None);
        let releases = Path::new("/opt/tg_video_streamer/releases/x/bin");
        assert_eq!(programs(releases), Some("/opt/tg_video_streamer/current/bin".into()));
        assert_eq!(programs(Path::new("/home/a/target/release")), Some("/home/a/target/release".into()));
        assert_eq!(spelt(Path::new("/opt/tg_video_streamer/shared/.env")), Path::new(INSTALLED));
        let instance = Path::new("/opt/tg_video_streamer/instances/news.env");
        assert_eq!(spelt(instance), instance);
        assert!(
            is_installed(instance) && is_installed(Path::new(INSTALLED)) && !is_installed(Path::new(".env"))
        );
    }

    #[test]
    fn a_file_of_anothers_is_worked_on_as_that_user() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(".env");
        std::fs::write(&file, "").unwrap();
        let me = find(Some(&file));
        assert_eq!((me.env_file.as_deref(), me.user), (Some(&*file), None));
        assert_eq!(find(Some(Path::new("/nowhere/.env"))).env_file, Some("/nowhere/.env".into()));
        if geteuid().is_root() {
            std::os::unix::fs::chown(&file, Some(65534), None).unwrap();
            assert_eq!(find(Some(&file)).user.as_deref(), Some("nobody"));
        }
    }
}
