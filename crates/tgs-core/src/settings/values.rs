//! The values of all settings, parsed.

use std::{
    mem,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    ha::HaSettings,
    live::Live,
    look::LookSettings,
    mounted_session::MountedSession,
    outputs::NamedOutput,
    parse::{ChatId, OnLoss, PublisherKind, Regen, ScheduleReturn, SeparateRule},
    picture::Picture,
    recording::RecordSettings,
    sound::Sound,
};
use crate::{proxy::UpstreamProxy, secret::Secret};

/// The settings for Telegram alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telegram {
    /// `API_ID`
    pub api_id: Option<i32>,
    /// `API_HASH`
    pub api_hash: Option<Secret<String>>,
    /// `SESSION_STRING`, unchecked: a malformed string counts as a dead session.
    pub session: Option<Secret<String>>,
    /// Where that session lies, with `SESSION_STRING_FILE`.
    pub mounted_session: Option<MountedSession>,
    /// `CHAT_ID`
    pub chat: Option<ChatId>,
    /// `CALL_TITLE`
    pub call_title: Option<String>,
    /// `SESSION_REGEN`
    pub regen: Regen,
    /// `ON_SESSION_LOSS`
    pub on_loss: OnLoss,
    /// `STANDBY_SESSION_STRING`, unchecked.
    pub standby: Option<Secret<String>>,
    /// `STANDBY_SESSION_STRING_FILE`
    pub standby_file: Option<PathBuf>,
    /// `TWO_FA_PASSWORD`
    pub password: Option<Secret<String>>,
    /// `PHONE`, as written.
    pub phone: Option<String>,
    /// `VIEWER_CHECK`
    pub viewer_check: bool,
    /// `TELEGRAM_PROXY`; empty for a direct connection.
    pub proxies: Vec<UpstreamProxy>,
}

/// The settings of one run. Paths are absolute after [`Settings::load`], unchanged after
/// [`Settings::examine`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct Settings {
    /// The settings for Telegram.
    pub telegram: Telegram,
    /// `OUTPUT_URL`, unchecked.
    pub output_url: Option<Secret<String>>,
    /// `ALSO_OUTPUT_URLS`, at most [`super::MOST_OUTPUTS`], with `ALSO_OUTPUT_PROXIES`.
    pub also_outputs: Vec<NamedOutput>,
    /// `OUTPUT_PROXY`; `Some` and empty for `direct`. No MTProxy is among them.
    pub output_proxies: Option<Vec<UpstreamProxy>>,
    /// `PLAYLIST`
    pub playlist: PathBuf,
    /// `LOOP`
    pub repeat: bool,
    /// `SHUFFLE`
    pub shuffle: bool,
    /// `SEPARATE`
    pub separate: Vec<SeparateRule>,
    /// The settings of the picture.
    pub picture: Picture,
    /// `FILLER`
    pub filler: Option<PathBuf>,
    /// `FFMPEG_ARGS`, unchecked: arguments that fail do not prevent a start.
    pub ffmpeg_args: String,
    /// `FFMPEG_PATH`: a path, or a name to look up in PATH.
    pub ffmpeg_path: PathBuf,
    /// `YTDLP_PATH`: a path, or a name to look up in PATH.
    pub ytdlp_path: PathBuf,
    /// `YTDLP_ARGS`; its quotes are balanced.
    pub ytdlp_args: String,
    /// `READ_AHEAD`, 3 s to 30 s.
    pub read_ahead: Duration,
    /// `PUBLISHER`
    pub publisher: PublisherKind,
    /// `PROMETHEUS_HOST`
    pub prometheus_host: IpAddr,
    /// `PROMETHEUS_PORT`; 0 selects any free port.
    pub prometheus_port: u16,
    /// Whether `PROMETHEUS_PORT` is set at all.
    pub prometheus_port_given: bool,
    /// `METRICS_FILE`
    pub metrics_file: Option<PathBuf>,
    /// `STATE_DIR`; need not exist yet.
    pub state_dir: PathBuf,
    /// `CONTROL_SOCKET`
    pub control_socket: Option<PathBuf>,
    /// `PAUSE_MAX`, 1 s to 168 h.
    pub pause_max: Duration,
    /// `SCHEDULE`
    pub schedule: Option<PathBuf>,
    /// `SCHEDULE_PREROLL`, 10 s to 10 min.
    pub schedule_preroll: Duration,
    /// `SCHEDULE_RETURN`
    pub schedule_return: ScheduleReturn,
    /// `CACHE_DIR`; need not exist yet.
    pub cache_dir: PathBuf,
    /// `CACHE_MAX_GB`, in bytes; 0 disables the cache.
    pub cache_limit: u64,
    /// `CACHE_AHEAD`
    pub cache_ahead: bool,
    /// `PASSTHROUGH`
    pub passthrough: bool,
    /// `IMAGE_DURATION`, 1 s to 1 h.
    pub image_duration: Duration,
    /// `AS_RUN_KEEP`, 1 day to 10 years.
    pub as_run_keep: Duration,
    /// The recording, if `RECORD_DIR` is set.
    pub recording: Option<RecordSettings>,
    /// The live input, if `LIVE_INPUT` is set.
    pub live: Option<Live>,
    /// The hot standby, if `HA_ENDPOINTS` is set.
    pub ha: Option<HaSettings>,
    /// The channel's look.
    pub look: LookSettings,
    /// The sound of all items.
    pub sound: Sound,
    /// `RUST_LOG`, unchecked.
    pub rust_log: String,
    /// The files that `NAME_FILE` of secrets name.
    pub secret_files: Vec<PathBuf>,
    /// Warnings for the operator, to be logged once logging has started.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Makes all paths absolute, relative to `dir` (empty: the working directory), since children
    /// run in other directories. Program names without a slash stay: PATH resolves them.
    #[must_use]
    pub fn absolute(mut self, dir: &Path) -> Self {
        let absolute = |path: &mut PathBuf| {
            *path = std::path::absolute(dir.join(&*path)).unwrap_or(mem::take(path));
        };
        [&mut self.playlist, &mut self.state_dir, &mut self.cache_dir].into_iter().for_each(absolute);
        [&mut self.filler, &mut self.metrics_file, &mut self.control_socket]
            .into_iter()
            .flatten()
            .chain(self.look.logo.as_mut().map(|logo| &mut logo.file))
            .chain(self.recording.as_mut().map(|recording| &mut recording.dir))
            .for_each(absolute);
        self.telegram.standby_file.iter_mut().chain(&mut self.secret_files).for_each(absolute);
        if let Some(mounted) = &mut self.telegram.mounted_session {
            [&mut mounted.file, &mut mounted.renewed_file].into_iter().for_each(absolute);
        }
        if let Some(live) = &mut self.live {
            let tls = live.tls.iter_mut().flat_map(|tls| [&mut tls.cert, &mut tls.key]);
            live.keys_file.iter_mut().chain(tls).for_each(absolute);
        }
        if let Some(ha) = &mut self.ha {
            let tls = ha.certificate.iter_mut().flat_map(|tls| [&mut tls.cert, &mut tls.key]);
            ha.authority.iter_mut().chain(tls).for_each(absolute);
        }
        for program in [&mut self.ffmpeg_path, &mut self.ytdlp_path] {
            if program.as_os_str().as_encoded_bytes().contains(&b'/') {
                absolute(program);
            }
        }
        self
    }

    /// The proxies to the ingest that Telegram names: OUTPUT_PROXY, else those of TELEGRAM_PROXY
    /// that carry RTMP. Empty for a direct connection.
    #[must_use]
    pub fn ingest_proxies(&self) -> Vec<UpstreamProxy> {
        match &self.output_proxies {
            Some(proxies) => proxies.clone(),
            None if self.publisher == PublisherKind::Ffmpeg => Vec::new(),
            None => self.telegram.proxies.iter().filter(|proxy| proxy.carries_rtmp()).cloned().collect(),
        }
    }

    /// The proxies to the server of OUTPUT_URL: OUTPUT_PROXY alone.
    #[must_use]
    pub fn output_url_proxies(&self) -> Vec<UpstreamProxy> {
        self.output_proxies.clone().unwrap_or_default()
    }

    /// The ffprobe program: the file beside ffmpeg if it exists, else `ffprobe` in PATH.
    #[must_use]
    pub fn ffprobe_path(&self) -> PathBuf {
        let beside = self.ffmpeg_path.with_file_name("ffprobe");
        if beside.exists() { beside } else { "ffprobe".into() }
    }
}
