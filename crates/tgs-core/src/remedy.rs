//! Commands for messages, ready to paste on this host: with the program's path, the settings file
//! and the user of this installation.

use std::{
    env,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use rustix::process::geteuid;

use crate::{owner::Owner, settings::INSTALLED, systemd};

/// Directory of packaged and deployed installations.
const TOP: &str = "/opt/tg_video_streamer";
/// Directories in every user's PATH, also under sudo.
const SEARCHED: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/bin"];

static HOST: OnceLock<RemedyHost> = OnceLock::new();

/// Sets the settings file of this process: `--env-file`, else `./.env`. Before this call, as in
/// tests, commands stay unchanged. Only the first call has an effect.
pub fn set_env_file(file: Option<&Path>) {
    let _ = HOST.set(RemedyHost::find(file));
}

/// Completes a command of a tgs tool, given without its settings file: `tgs-session --write-env`.
#[must_use]
pub fn command(words: &str) -> String {
    HOST.get().map_or_else(|| words.to_owned(), |host| host.command(words))
}

/// Completes a command for root, of any program: `systemctl start NAME`.
#[must_use]
pub fn as_root(words: &str) -> String {
    HOST.get().map_or_else(|| words.to_owned(), |host| host.as_root(words))
}

/// Completes a command for the user `user`.
#[must_use]
pub fn as_user(user: &str, words: &str) -> String {
    HOST.get().map_or_else(|| with_sudo(true, user, words), |host| with_sudo(host.has_sudo, user, words))
}

/// The settings file as messages name it, if any.
#[must_use]
pub fn env_file() -> Option<&'static Path> {
    HOST.get()?.env_file.as_deref()
}

/// The form of commands on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RemedyHost {
    /// The directory of the tgs programs; `None` if it is in PATH.
    programs: Option<PathBuf>,
    /// The value of `--env-file`, if the option is needed.
    env_file: Option<PathBuf>,
    /// The owner of the files, unless the reader of the message is the owner.
    user: Option<String>,
    has_sudo: bool,
}

impl RemedyHost {
    fn find(file: Option<&Path>) -> Self {
        let exe = env::current_exe().unwrap_or_default();
        let named = file.map_or_else(|| PathBuf::from(".env"), Path::to_owned);
        let there = file.is_some() || named.exists();
        let env_file = there.then(|| std::path::absolute(&named).unwrap_or(named));
        let owner = env_file.as_deref().and_then(|file| Owner::of(file).ok().flatten());
        let is_service = env_file.as_deref().is_some_and(is_installed) || systemd::is_supervising();
        // A service's user has no shell to paste into.
        let user = owner.filter(|user| is_service || user.uid != geteuid().as_raw()).map(|user| user.name);
        Self {
            programs: exe.parent().and_then(programs),
            env_file: env_file.map(|file| spelt(&file)),
            user,
            has_sudo: SEARCHED.iter().any(|dir| Path::new(dir).join("sudo").exists()),
        }
    }

    fn command(&self, words: &str) -> String {
        let mut words = self.with_path(words);
        if let Some(file) = &self.env_file {
            words = format!("{words} --env-file {}", shell_words::quote(&file.to_string_lossy()));
        }
        match &self.user {
            Some(user) => with_sudo(self.has_sudo, user, &words),
            None => words,
        }
    }

    fn as_root(&self, words: &str) -> String {
        let words = self.with_path(words);
        if self.has_sudo { format!("sudo {words}") } else { words }
    }

    /// Adds its path to a tgs program in `words`.
    fn with_path(&self, words: &str) -> String {
        let (program, rest) = words.split_once(' ').map_or((words, ""), |(program, rest)| (program, rest));
        let path = self.programs.as_ref().map(|dir| dir.join(program));
        match path.filter(|path| program.starts_with("tgs-") && path.exists()) {
            Some(path) => format!("{} {rest}", shell_words::quote(&path.to_string_lossy())).trim_end().into(),
            None => words.to_owned(),
        }
    }
}

fn with_sudo(has_sudo: bool, user: &str, words: &str) -> String {
    if has_sudo { format!("sudo -u {user} {words}") } else { format!("runuser -u {user} -- {words}") }
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

    fn host(programs: Option<&str>, env_file: &str, user: Option<&str>, has_sudo: bool) -> RemedyHost {
        let user = user.map(str::to_owned);
        RemedyHost { programs: programs.map(Into::into), env_file: Some(env_file.into()), user, has_sudo }
    }

    #[test]
    fn commands_for_each_kind_of_host() {
        let package = host(None, INSTALLED, Some("tgstream"), true);
        assert_eq!(
            package.command("tgs-session --write-env"),
            "sudo -u tgstream tgs-session --write-env --env-file /opt/tg_video_streamer/current/.env"
        );
        assert_eq!(package.as_root("systemctl start x"), "sudo systemctl start x");
        let without_sudo = RemedyHost { has_sudo: false, ..package };
        assert_eq!(
            without_sudo.command("tgs-session --write-env"),
            "runuser -u tgstream -- tgs-session --write-env --env-file /opt/tg_video_streamer/current/.env"
        );
        assert_eq!(without_sudo.as_root("systemctl start x"), "systemctl start x");

        // Programs that are not in the search path, in a directory with a blank.
        let dir = tempfile::Builder::new().prefix("with blank").tempdir().unwrap();
        std::fs::write(dir.path().join("tgs-session"), "").unwrap();
        let bin = dir.path().to_str().unwrap();
        let by_hand = host(Some(bin), "/home/a/my films/.env", None, true);
        assert_eq!(
            by_hand.command("tgs-session --write-env"),
            format!("'{bin}/tgs-session' --write-env --env-file '/home/a/my films/.env'")
        );
        assert_eq!(
            by_hand.command("tgs-session"),
            format!("'{bin}/tgs-session' --env-file '/home/a/my films/.env'")
        );
        assert_eq!(by_hand.as_root("systemctl start x"), "sudo systemctl start x");
        // One that is not there is looked for in the search path.
        assert_eq!(by_hand.as_root("tgs-diag"), "sudo tgs-diag");
    }

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
        let me = RemedyHost::find(Some(&file));
        assert_eq!((me.env_file.as_deref(), me.user), (Some(&*file), None));
        assert_eq!(RemedyHost::find(Some(Path::new("/nowhere/.env"))).env_file, Some("/nowhere/.env".into()));
        if geteuid().is_root() {
            std::os::unix::fs::chown(&file, Some(65534), None).unwrap();
            assert_eq!(RemedyHost::find(Some(&file)).user.as_deref(), Some("nobody"));
        }
    }
}
