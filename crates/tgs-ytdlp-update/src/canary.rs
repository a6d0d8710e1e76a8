//! The canary: a real page that the new yt-dlp must extract if the current one can.
//!
//! If both fail, the page or the network is at fault, and the new version is accepted.

use std::{
    fs::{self, Permissions},
    io::Read,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::Duration,
};

use tgs_core::{cancel::Cancel, files, process, settings::Settings};

use crate::{
    child::{self, Stdout},
    cli::Cli,
    error::{CanaryError, ChildFailure, NotWorking},
};

/// Time limit for one page, as in `tgs-stream`.
const LIMIT: Duration = Duration::from_mins(1);

/// Maximum size of a playlist, in bytes.
const MAX_LIST: u64 = 1 << 20;

/// A page and the yt-dlp arguments for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Canary {
    url: String,
    /// YTDLP_ARGS: the page may require cookies or a proxy.
    args: Vec<String>,
}

impl Canary {
    /// The page of `--canary`, else the first page of the playlist. `scratch` receives copies of
    /// files that yt-dlp writes to.
    pub(crate) fn find(cli: &Cli, scratch: &Path) -> Option<Self> {
        let settings = cli.env_file.as_deref().and_then(settings);
        let args = settings.as_ref().map(|settings| split(&settings.ytdlp_args)).unwrap_or_default();
        let url = cli.canary.clone().or_else(|| first_page(&settings.as_ref()?.playlist));
        if url.is_none() {
            log::info!("no canary: there is no page in the playlist, and no --canary");
        }
        Some(Self { url: url?, args: with_own_cookies(args, scratch) })
    }

    /// Tests `new`, and `old` if `new` fails. The error says why `new` must not be used.
    pub(crate) fn run(&self, new: &Path, old: Option<&Path>, cancel: &Cancel) -> Result<(), NotWorking> {
        let Err(first) = self.ask(new, cancel) else {
            log::info!("the canary {} works with the new version", self.url);
            return Ok(());
        };
        let Some(old) = old else {
            log::warn!(
                "the canary {} does not work ({first}); there is no older version to compare with",
                self.url
            );
            return Ok(());
        };
        if let Err(reason) = self.ask(old, cancel) {
            log::warn!(
                "the canary {} works with neither version ({reason}): no fault of the new one",
                self.url
            );
            return Ok(());
        }
        // Sites refuse at random: `new` must fail both before and after a success of `old`.
        self.ask(new, cancel).map_err(|detail| NotWorking::Canary { url: self.url.clone(), detail })
    }

    fn ask(&self, dir: &Path, cancel: &Cancel) -> Result<(), CanaryError> {
        let mut command: Command = process::command(dir.join("bin/yt-dlp"));
        command.args(["--ignore-config", "--no-cache-dir", "--no-update", "--dump-single-json"]);
        command.args(["--flat-playlist", "--playlist-items", ":3", "--socket-timeout", "15"]);
        command.args(&self.args).arg("--").arg(&self.url);
        let output = child::run("canary", command, Stdout::Answer, LIMIT, cancel)?;
        if output.status.success() { Ok(()) } else { Err(CanaryError::Refused(ChildFailure::of(&output))) }
    }
}

/// The settings that name the playlist. With unreadable settings only the canary is skipped.
fn settings(path: &Path) -> Option<Settings> {
    let loaded = Settings::load(Some(path), &|name| std::env::var_os(name), &[]);
    loaded.map_err(|problems| log::warn!("no canary from the playlist: failed to {problems}")).ok()
}

/// Replaces the operator's cookies file in `args` by a copy, because yt-dlp writes to the file.
fn with_own_cookies(args: Vec<String>, scratch: &Path) -> Vec<String> {
    let own = |file: &str| {
        let copy = scratch.join("cookies.txt");
        let copied =
            fs::copy(file, &copy).and_then(|_| fs::set_permissions(&copy, Permissions::from_mode(0o600)));
        match copied {
            Ok(()) => copy.to_string_lossy().into_owned(),
            Err(error) => {
                log::warn!("testing the canary without a copy of the cookies file {file}: {error}");
                file.to_owned()
            }
        }
    };
    let mut is_file = false;
    args.into_iter()
        .map(|arg| match arg.strip_prefix("--cookies=") {
            Some(file) => format!("--cookies={}", own(file)),
            None if std::mem::replace(&mut is_file, arg == "--cookies") => own(&arg),
            None => arg,
        })
        .collect()
}

/// Splits arguments that the settings have already validated.
fn split(args: &str) -> Vec<String> {
    shell_words::split(args).unwrap_or_default()
}

/// The first entry of the playlist that is a web page and not a media file.
fn first_page(path: &Path) -> Option<String> {
    let mut text = Vec::new();
    files::open_regular(path).ok()?.take(MAX_LIST).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    text.lines().map(str::trim).find(|line| is_page(line)).map(ToOwned::to_owned)
}

fn is_page(entry: &str) -> bool {
    let lower = entry.to_ascii_lowercase();
    if !lower.starts_with("http://") && !lower.starts_with("https://") {
        return false;
    }
    let path = lower.split(['?', '#']).next().unwrap_or_default();
    let media = [
        "mp4", "m4v", "mkv", "webm", "mov", "avi", "flv", "ts", "mp3", "m4a", "aac", "ogg", "opus", "wav",
        "flac", "m3u8", "m3u", "mpd",
    ];
    !path.rsplit_once('.').is_some_and(|(_, extension)| media.contains(&extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookies_are_copied() {
        let (dir, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let jar = dir.path().join("jar").to_str().unwrap().to_owned();
        fs::write(&jar, "# Netscape HTTP Cookie File\n").unwrap();
        let copy = scratch.path().join("cookies.txt").to_str().unwrap().to_owned();
        let args =
            |jar: &str| vec!["-4".to_owned(), "--cookies".into(), jar.into(), "--proxy".into(), "p".into()];
        assert_eq!(with_own_cookies(args(&jar), scratch.path()), args(&copy));
        assert_eq!(fs::read(&copy).unwrap(), fs::read(&jar).unwrap());
        let joined = vec![format!("--cookies={jar}")];
        assert_eq!(with_own_cookies(joined, scratch.path()), [format!("--cookies={copy}")]);
        assert_eq!(with_own_cookies(args("/no/such"), scratch.path()), args("/no/such"));
        assert_eq!(with_own_cookies(vec!["--cookies".into()], scratch.path()), ["--cookies"]);
    }

    #[test]
    fn the_first_page_of_a_list() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("list");
        let cases = [
            (
                "# https://h/comment\r\n/a/film.mp4\n  https://h/watch?v=1.mp4 \nhttps://h/2\n",
                Some("https://h/watch?v=1.mp4"),
            ),
            (
                "http://h/film.MP4?x=1\nhttps://h/live.m3u8\nHTTPS://h/page.html\n",
                Some("HTTPS://h/page.html"),
            ),
            ("film.mp4\nrtmp://h/live\n", None),
            ("", None),
        ];
        for (text, expected) in cases {
            fs::write(&list, text).unwrap();
            assert_eq!(first_page(&list).as_deref(), expected, "{text:?}");
        }
        assert_eq!(first_page(&dir.path().join("none")), None);
        assert_eq!(first_page(dir.path()), None);
    }
}
