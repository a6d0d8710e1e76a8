//! The pages of a running broadcast, and its line in `systemctl status`.

use std::net::TcpListener;

use tgs_core::{cancel::Cancel, settings::Settings, systemd::Reporter};
use tgs_playout::status::METRICS;

use crate::{
    http::{FILE_EVERY, HttpConfig, HttpServer, Pages},
    status_source::StatusSource,
    upgrade::{HandedDescriptor, Upgrade},
    ytdlp,
};

/// The pages and the status line, until this is dropped.
pub(crate) struct StatusServer {
    _http: HttpServer,
    _reporter: Reporter,
}

/// Shows the broadcast of `source`. With `fixed_port`, no other port is tried. `listener` is that
/// of the process whose place this one takes.
pub(crate) fn open(
    settings: &Settings,
    fixed_port: bool,
    source: &StatusSource,
    listener: Option<TcpListener>,
    upgrade: &Upgrade,
) -> StatusServer {
    std::sync::LazyLock::force(&METRICS);
    let registered = ytdlp::installed::YtdlpMetrics::of(&settings.ytdlp_path)
        .and_then(|metrics| prometheus::register(Box::new(metrics)));
    // A host of a hot standby opens its pages several times.
    if let Err(error) = registered.or_else(|error| match error {
        prometheus::Error::AlreadyReg => Ok(()),
        error => Err(error),
    }) {
        log::warn!("no metrics of yt-dlp: {error}");
    }
    let shown = source.clone();
    let reporter = Reporter::start(source.control.watchdog.clone(), move || shown.summary());
    let http = start_http(settings, fixed_port, source, listener, upgrade.handed_over());
    if let Some(listener) = http.listener() {
        upgrade.keep(HandedDescriptor::Status, listener);
    }
    StatusServer { _http: http, _reporter: reporter }
}

fn start_http(
    settings: &Settings,
    fixed_port: bool,
    source: &StatusSource,
    listener: Option<TcpListener>,
    handed_over: Cancel,
) -> HttpServer {
    let (health, status) = (source.clone(), source.clone());
    HttpServer::start_with(
        &HttpConfig {
            host: settings.prometheus_host.to_string(),
            port: settings.prometheus_port,
            fixed_port,
            metrics_file: settings.metrics_file.clone(),
            state_dir: settings.state_dir.clone(),
            file_every: FILE_EVERY,
        },
        Pages {
            health: Box::new(move || health.health()),
            status_json: Box::new(move || status.status().to_json().unwrap_or_default()),
        },
        listener,
        handed_over,
    )
}
