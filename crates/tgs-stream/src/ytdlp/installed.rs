//! Metrics of the installed yt-dlp: its version and last update.
//!
//! Evaluated at each scrape, so that an update shows at once. The version is in the directory of
//! `tgs-ytdlp-update`; any other yt-dlp is run once in the background. Does not check that it
//! works.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus::{
    IntGaugeVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use tgs_core::{
    cancel::Cancel,
    process,
    ytdlp_dir::{self, Installed},
};

/// The first start of a yt-dlp compiles it.
const LIMIT: Duration = Duration::from_mins(1);

/// The metrics of one yt-dlp.
#[derive(Debug)]
pub(crate) struct YtdlpMetrics {
    /// A path, or a name to look up in PATH.
    program: PathBuf,
    cached: Arc<Mutex<CachedVersion>>,
    info: IntGaugeVec,
    last_update: IntGaugeVec,
}

/// The version of a yt-dlp that `tgs-ytdlp-update` has not installed.
#[derive(Debug, Default)]
struct CachedVersion {
    /// The file and its modification time.
    file: Option<(PathBuf, Option<SystemTime>)>,
    version: Option<String>,
}

impl YtdlpMetrics {
    /// The metrics of `program`.
    pub(crate) fn of(program: &Path) -> prometheus::Result<Self> {
        let info = Opts::new("tgs_ytdlp_info", "Always 1; the label says which yt-dlp runs.");
        let last_update = Opts::new(
            "tgs_ytdlp_last_update_timestamp_seconds",
            "Unix time when tgs-ytdlp-update last installed or confirmed the newest yt-dlp.",
        );
        Ok(Self {
            program: program.to_owned(),
            cached: Arc::default(),
            info: IntGaugeVec::new(info, &["version"])?,
            last_update: IntGaugeVec::new(last_update, &[])?,
        })
    }

    fn installed(&self) -> Option<Installed> {
        let program = process::find(&self.program).ok()?;
        if let Some(installed) = ytdlp_dir::installed(&program) {
            return Some(installed);
        }
        let file = fs::canonicalize(&program).ok()?;
        let of = Some((file, program.metadata().and_then(|meta| meta.modified()).ok()));
        let mut cached = lock(&self.cached);
        if cached.file != of {
            cached.file.clone_from(&of);
            cached.version = None;
            let answer = Arc::clone(&self.cached);
            let thread = thread::Builder::new().name("yt-dlp-version".into()).spawn(move || {
                let version = ask(&program);
                let mut cached = lock(&answer);
                if cached.file == of {
                    cached.version = version;
                }
            });
            if let Err(error) = thread {
                log::debug!("failed to start a thread that asks yt-dlp for its version: {error}");
            }
        }
        Some(Installed { version: cached.version.clone()?, last_success: None })
    }
}

impl Collector for YtdlpMetrics {
    fn desc(&self) -> Vec<&Desc> {
        [self.info.desc(), self.last_update.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.info.reset();
        self.last_update.reset();
        if let Some(now) = self.installed() {
            self.info.with_label_values(&[&now.version]).set(1);
            if let Some(since) = now.last_success.and_then(|time| time.duration_since(UNIX_EPOCH).ok()) {
                self.last_update.with_label_values::<&str>(&[]).set(since.as_secs() as i64);
            }
        }
        [self.info.collect(), self.last_update.collect()].concat()
    }
}

fn lock(asked: &Mutex<CachedVersion>) -> MutexGuard<'_, CachedVersion> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `program --version` and normalises the version as `tgs-ytdlp-update` does.
fn ask(program: &Path) -> Option<String> {
    let mut command = process::command(program);
    command.args(["--ignore-config", "--version"]);
    let output = process::output(command, LIMIT, 4096, &Cancel::new())
        .map_err(|error| log::debug!("failed to ask yt-dlp for its version: {error}"))
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    plain(text.trim()).filter(|_| output.status.success())
}

/// `2026.8.19` for `2026.08.19`; `None` for anything but a version.
fn plain(version: &str) -> Option<String> {
    let numbers: Option<Vec<_>> =
        version.split('.').map(|part| Some(part.parse::<u64>().ok()?.to_string())).collect();
    Some(numbers?.join("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use prometheus::TextEncoder;

    use super::*;

    /// The metrics without HELP and TYPE.
    fn shown(metrics: &YtdlpMetrics) -> String {
        let families: Vec<_> =
            metrics.collect().into_iter().filter(|family| !family.get_metric().is_empty()).collect();
        let text = TextEncoder::new().encode_to_string(&families).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).fold(String::new(), |all, line| all + line + "\n")
    }

    fn program(path: &Path, version: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("#!/bin/sh\necho {version}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn an_update_shows_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let metrics = YtdlpMetrics::of(&at("current/bin/yt-dlp")).unwrap();
        assert_eq!(shown(&metrics), "", "not installed");
        for version in ["2026.8.19", "2026.10.26"] {
            let name = format!("versions/{version}");
            program(&at(&name).join("bin/yt-dlp"), "wrong");
            fs::write(at(&name).join("tgs-version"), format!("{version}\n")).unwrap();
            symlink(&name, at("new")).unwrap();
            fs::rename(at("new"), at("current")).unwrap();
            assert_eq!(shown(&metrics), format!("tgs_ytdlp_info{{version=\"{version}\"}} 1\n"));
        }
        fs::write(at("last-success"), "1795388125\n").unwrap();
        assert_eq!(
            shown(&metrics),
            "tgs_ytdlp_info{version=\"2026.10.26\"} 1\ntgs_ytdlp_last_update_timestamp_seconds 1795388125\n"
        );
    }

    #[test]
    fn an_unmanaged_yt_dlp_is_run_once_in_the_background() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("yt-dlp");
        program(&path, "2026.08.19; echo asked >>\"$0.log\"");
        let metrics = YtdlpMetrics::of(&path).unwrap();
        assert_eq!(shown(&metrics), "");
        let end = std::time::Instant::now() + LIMIT;
        while shown(&metrics).is_empty() && std::time::Instant::now() < end {
            thread::yield_now();
        }
        assert_eq!(shown(&metrics), "tgs_ytdlp_info{version=\"2026.8.19\"} 1\n");
        assert_eq!(fs::read_to_string(dir.path().join("yt-dlp.log")).unwrap(), "asked\n");
    }

    #[test]
    fn versions() {
        assert_eq!(plain("2026.08.19").as_deref(), Some("2026.8.19"));
        assert_eq!(plain("2026.10.26.220202").as_deref(), Some("2026.10.26.220202"));
        for text in ["", "yt-dlp", "2026.10.", "-1", "2026.1\n2"] {
            assert_eq!(plain(text), None, "{text:?}");
        }
    }
}
