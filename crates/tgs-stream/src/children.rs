//! The confinement of ffmpeg and yt-dlp: which files are hidden from them, and which they may
//! write.

use std::path::{Path, PathBuf};

use tgs_core::{
    process,
    process::confine::{self, Confinement},
    settings::{Settings, hidden_places},
};

use crate::cli::Cli;

/// Confines every child started from now on. Children can write in `scratch` only.
pub(crate) fn confine(cli: &Cli, settings: &Settings, scratch: &Path) {
    if let Err(error) = confine::make_scratch(scratch) {
        log::warn!(
            "ffmpeg and yt-dlp have no writable directory: failed to create {}: {error}",
            scratch.display()
        );
    }
    let mut hidden = vec![cli.env_file_path()];
    hidden.extend(live_secrets(settings));
    hidden.extend(hidden_places(&settings.secret_files));
    hidden.extend(settings.telegram.mounted_session.as_ref().map(|mounted| mounted.renewed_file.clone()));
    let writable = cookies(&settings.ytdlp_args);
    confine::children(&Confinement { hidden, writable, scratch: scratch.to_owned() });
}

/// The files of the live input's keys.
fn live_secrets(settings: &Settings) -> impl Iterator<Item = PathBuf> {
    let live = settings.live.as_ref();
    let keys = live.and_then(|live| live.keys_file.clone());
    keys.into_iter().chain(live.and_then(|live| live.tls.as_ref()).map(|tls| tls.key.clone()))
}

/// All paths that a broadcast writes or executes. Lists are not among them: they may belong to
/// anybody.
pub(crate) fn written_or_run(settings: &Settings) -> Vec<PathBuf> {
    let programs = [settings.ffmpeg_path.clone(), settings.ffprobe_path(), settings.ytdlp_path.clone()];
    let mut paths: Vec<_> = programs.iter().filter_map(|program| process::find(program).ok()).collect();
    paths.extend([settings.state_dir.clone(), settings.cache_dir.clone()]);
    paths.extend(settings.metrics_file.clone());
    paths.extend(settings.recording.as_ref().map(|recording| recording.dir.clone()));
    let output = settings.output_url.as_ref().map(|output| output.expose().as_str());
    paths.extend(output.filter(|output| !output.contains("://")).map(PathBuf::from));
    paths.extend(cookies(&settings.ytdlp_args));
    paths
}

/// The file of `--cookies` in YTDLP_ARGS: yt-dlp writes cookies back, and fails if it cannot.
fn cookies(args: &str) -> Vec<PathBuf> {
    let args = shell_words::split(args).unwrap_or_default();
    let named =
        args.iter().zip(args.iter().skip(1)).filter(|(flag, _)| *flag == "--cookies").map(|(_, file)| file);
    let joined = args.iter().filter_map(|arg| arg.strip_prefix("--cookies="));
    named
        .map(String::as_str)
        .chain(joined)
        .map(Path::new)
        .filter(|path| path.is_file())
        .map(Path::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_may_write_the_cookie_file() {
        let dir = tempfile::tempdir().unwrap();
        let jar = dir.path().join("c.txt");
        std::fs::write(&jar, "").unwrap();
        let jar = jar.to_str().unwrap();
        assert_eq!(cookies(&format!("-4 --cookies '{jar}' -v")), [PathBuf::from(jar)]);
        assert_eq!(cookies(&format!("--cookies={jar}")), [PathBuf::from(jar)]);
        // A directory would grant everything in it.
        for args in ["", "--cookies", "--cookies /", "--cookies /no/such/file", "'"] {
            assert!(cookies(args).is_empty(), "{args}");
        }
    }
}
