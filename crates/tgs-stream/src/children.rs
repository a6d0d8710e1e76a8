//! What ffmpeg and yt-dlp may see and write: which files are ours, and which are the operator's grant to them.

use std::path::{Path, PathBuf};

use tgs_core::{
    process,
    process::confine::{self, Confinement},
    settings::Settings,
};

use crate::cli::Cli;

/// Confines every child from now on, with `scratch` as the one directory it can write in.
pub(crate) fn confine(cli: &Cli, settings: &Settings, scratch: &Path) {
    if let Err(error) = confine::make_scratch(scratch) {
        log::warn!("ffmpeg and yt-dlp can write nowhere: failed to make {}: {error}", scratch.display());
    }
    let hidden = vec![cli.env_file_path()];
    let writable = cookies(&settings.ytdlp_args);
    confine::children(&Confinement { hidden, writable, scratch: scratch.to_owned() });
}

/// Everything that a broadcast writes or executes. The lists are not among it: they say what to play, and may be anybody's.
pub(crate) fn written_or_run(settings: &Settings) -> Vec<PathBuf> {
    let programs = [settings.ffmpeg_path.clone(), settings.ffprobe_path(), settings.ytdlp_path.clone()];
    let mut paths: Vec<_> = programs.iter().filter_map(|program| process::find(program).ok()).collect();
    paths.extend([settings.state_dir.clone(), settings.cache_dir.clone()]);
    paths.extend(settings.metrics_file.clone());
    let output = settings.output_url.as_ref().map(|output| output.expose().as_str());
    paths.extend(output.filter(|output| !output.contains("://")).map(PathBuf::from));
    paths.extend(cookies(&settings.ytdlp_args));
    paths
}

/// The file that `--cookies` in YTDLP_ARGS names: yt-dlp writes back what sites have set, and fails where it cannot.
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
    fn the_cookies_are_the_operators_grant() {
        let dir = tempfile::tempdir().unwrap();
        let jar = dir.path().join("c.txt");
        std::fs::write(&jar, "").unwrap();
        let jar = jar.to_str().unwrap();
        assert_eq!(cookies(&format!("-4 --cookies '{jar}' -v")), [PathBuf::from(jar)]);
        assert_eq!(cookies(&format!("--cookies={jar}")), [PathBuf::from(jar)]);
        // A directory would be all that is in it.
        for args in ["", "--cookies", "--cookies /", "--cookies /no/such/file", "'"] {
            assert!(cookies(args).is_empty(), "{args}");
        }
    }
}
