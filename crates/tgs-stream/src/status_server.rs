//! The pages of a running broadcast, and its line in `systemctl status`. Joins the engine's health
//! with the state of the Telegram side.

use tgs_control::{Health, Status, TelegramState};
use tgs_core::{mask, settings::Settings, systemd::Reporter};
use tgs_playout::{engine::Control, status::METRICS};

use crate::{
    http::{FILE_EVERY, HttpConfig, HttpServer, Pages},
    telegram::SharedTelegramStatus,
    ytdlp,
};

/// The pages and the status line, until this is dropped.
pub(crate) struct StatusServer {
    _http: HttpServer,
    _reporter: Reporter,
}

/// Shows the broadcast of `control`; `telegram` is the state of a broadcast into Telegram.
/// With `fixed_port`, no other port is tried.
pub(crate) fn open(
    settings: &Settings,
    fixed_port: bool,
    control: &Control,
    telegram: Option<SharedTelegramStatus>,
) -> StatusServer {
    std::sync::LazyLock::force(&METRICS);
    let registered = ytdlp::installed::YtdlpMetrics::of(&settings.ytdlp_path)
        .and_then(|metrics| prometheus::register(Box::new(metrics)));
    if let Err(error) = registered {
        log::warn!("no metrics of yt-dlp: {error}");
    }
    let (engine, own) = (control.status.clone(), telegram.clone());
    let reporter = Reporter::start(control.watchdog.clone(), move || {
        let telegram = own.as_ref().map(SharedTelegramStatus::read);
        Status { engine: engine.read().status, telegram, warnings: Vec::new() }.summary()
    });
    StatusServer { _http: start_http(settings, fixed_port, control, telegram), _reporter: reporter }
}

fn start_http(
    settings: &Settings,
    fixed_port: bool,
    control: &Control,
    telegram: Option<SharedTelegramStatus>,
) -> HttpServer {
    let (health, engine) = (control.status.clone(), control.status.clone());
    let own = telegram.clone();
    let warnings = settings.warnings.clone();
    HttpServer::start(
        &HttpConfig {
            host: settings.prometheus_host.to_string(),
            port: settings.prometheus_port,
            fixed_port,
            metrics_file: settings.metrics_file.clone(),
            state_dir: settings.state_dir.clone(),
            file_every: FILE_EVERY,
        },
        Pages {
            health: Box::new(move || match own.as_ref().map(SharedTelegramStatus::read) {
                Some(now) if now.state != TelegramState::Live => Health::Unhealthy(now.reason()),
                _ => match health.read().health() {
                    Health::Unhealthy(why) => Health::Unhealthy(mask::urls(&why).into_owned()),
                    Health::Healthy => Health::Healthy,
                },
            }),
            status_json: Box::new(move || {
                let telegram = telegram.as_ref().map(SharedTelegramStatus::read);
                let status = Status { engine: engine.read().status, telegram, warnings: warnings.clone() };
                status.to_json().unwrap_or_default()
            }),
        },
    )
}
