//! The commands, in the form that fits this host.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// Unset before [`super::set_env_file`], as in tests: commands then stay unchanged.
static HOST: OnceLock<RemedyHost> = OnceLock::new();

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
pub(super) struct RemedyHost {
    /// The directory of the tgs programs; `None` if it is in PATH.
    pub(super) programs: Option<PathBuf>,
    /// The value of `--env-file`, if the option is needed.
    pub(super) env_file: Option<PathBuf>,
    /// The owner of the files, unless the reader of the message is the owner.
    pub(super) user: Option<String>,
    pub(super) has_sudo: bool,
}

impl RemedyHost {
    /// Makes this the form of all later commands. Only the first call has an effect.
    pub(super) fn set(self) {
        let _ = HOST.set(self);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::INSTALLED;

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
}
