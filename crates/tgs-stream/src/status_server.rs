//! What the running tool shows to the outside: its pages, and its line in `systemctl status`.
//!
//! It reads the snapshots that the engine and the Telegram side keep; nothing is decided here.

use serde_json::Value;
use tgs_core::{mask, settings::Settings, systemd::Reporter};
use tgs_playout::{
    engine::Control,
    status::{Connection, METRICS, OnAir, Status},
};

use crate::{
    http::{FILE_EVERY, HttpConfig, HttpServer, Pages},
    telegram::{SharedTelegramStatus, TelegramStatus},
    ytdlp,
};

/// What is shown, until this is dropped.
pub(crate) struct StatusServer {
    _http: HttpServer,
    _reporter: Reporter,
}

/// What /status shows.
#[derive(serde::Serialize)]
struct StatusPage {
    #[serde(flatten)]
    engine: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    telegram: Option<TelegramStatus>,
    /// What the settings were read with doubts about.
    warnings: Vec<String>,
}

impl StatusPage {
    /// As it is shown: without logins and tokens of URLs, which names and failures of items hold.
    fn to_json(&self) -> serde_json::Result<String> {
        let mut page = serde_json::to_value(self)?;
        mask_urls(&mut page);
        serde_json::to_string(&page)
    }
}

fn mask_urls(value: &mut Value) {
    match value {
        Value::String(text) => *text = mask::urls(text).into_owned(),
        Value::Array(all) => all.iter_mut().for_each(mask_urls),
        Value::Object(fields) => fields.values_mut().for_each(mask_urls),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Shows the broadcast that `control` holds; `desk` is there where it goes into Telegram.
/// With `fixed_port` no other port takes the wanted one's place.
pub(crate) fn open(
    settings: &Settings,
    fixed_port: bool,
    control: &Control,
    desk: Option<SharedTelegramStatus>,
) -> StatusServer {
    std::sync::LazyLock::force(&METRICS);
    let registered = ytdlp::installed::YtdlpMetrics::of(&settings.ytdlp_path)
        .and_then(|metrics| prometheus::register(Box::new(metrics)));
    if let Err(error) = registered {
        log::warn!("no metrics of yt-dlp: {error}");
    }
    let (board, own) = (control.board.clone(), desk.clone());
    let reporter = Reporter::start(control.pulse.clone(), move || {
        let line = line(&board.read(), own.as_ref().map(SharedTelegramStatus::read));
        mask::urls(&line).into_owned()
    });
    StatusServer { _http: start_web(settings, fixed_port, control, desk), _reporter: reporter }
}

fn start_web(
    settings: &Settings,
    fixed_port: bool,
    control: &Control,
    desk: Option<SharedTelegramStatus>,
) -> HttpServer {
    let (health, status) = (control.board.clone(), control.board.clone());
    let (state, telegram) = (desk.clone(), desk);
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
            health: Box::new(move || match state.as_ref().map(SharedTelegramStatus::read) {
                Some(now) if now.state != "live" => Err(waiting(&now)),
                _ => health.read().health().map_err(|why| mask::urls(&why).into_owned()),
            }),
            status_json: Box::new(move || {
                let telegram = telegram.as_ref().map(SharedTelegramStatus::read);
                let page = StatusPage { engine: status.read(), telegram, warnings: warnings.clone() };
                page.to_json().unwrap_or_default()
            }),
        },
    )
}

/// The state's name and why it is not live.
fn waiting(now: &TelegramStatus) -> String {
    format!("{}: {}", now.state, now.why.as_deref().unwrap_or_default())
}

/// What plays, or what is waited for, for `systemctl status`.
fn line(engine: &Status, telegram: Option<TelegramStatus>) -> String {
    let chat = match telegram {
        Some(now) if now.state != "live" => return waiting(&now),
        Some(now) => now.chat.map(|chat| format!(" into {chat}")).unwrap_or_default(),
        None => String::new(),
    };
    let on_air = match &engine.on_air {
        OnAir::Starting => "starting".to_owned(),
        OnAir::Item(item) => format!("playing {}{chat}", item.title),
        OnAir::Filler { cause } => format!("filler{chat}: {cause}"),
        OnAir::Stopped => "stopped".to_owned(),
    };
    match &engine.publisher {
        Connection::Connected => on_air,
        Connection::Connecting => format!("connecting; {on_air}"),
        Connection::Reconnecting { cause } => format!("reconnecting ({cause}); {on_air}"),
    }
}

#[cfg(test)]
mod tests {
    use tgs_playout::status::PlayingItem;

    use super::*;

    #[test]
    fn the_page_shows_no_token_and_what_the_settings_were_doubted_for() {
        let url = "http://me:hidden@h/film.mp4?token=hidden";
        let item = PlayingItem {
            id: url.into(),
            title: url.into(),
            duration_seconds: Some(1.5),
            ..PlayingItem::default()
        };
        let mut engine = Status { on_air: OnAir::Item(item), ..Status::default() };
        engine.last_failure = Some(format!("“{url}”: the server refuses it"));
        engine.next = Some(url.into());
        engine.publisher = Connection::Reconnecting { cause: format!("{url} is gone") };
        let warnings = vec!["PROXY is no setting of ours".to_owned()];
        let json = StatusPage { engine, telegram: None, warnings }.to_json().unwrap();
        assert!(!json.contains("hidden") && json.contains("film.mp4"), "{json}");
        let page: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(page["on_air"]["id"], "http://[masked]@h/film.mp4?token=[masked]");
        assert_eq!(page["on_air"]["duration_seconds"], 1.5);
        assert_eq!(page["warnings"][0], "PROXY is no setting of ours");
        assert!(page.get("telegram").is_none());
    }

    #[test]
    fn the_line_says_what_plays_or_what_is_waited_for() {
        let item = PlayingItem { title: "Film".into(), ..PlayingItem::default() };
        let mut engine =
            Status { on_air: OnAir::Item(item), publisher: Connection::Connected, ..Status::default() };
        let live =
            TelegramStatus { state: "live", chat: Some("News (7)".into()), ..TelegramStatus::default() };
        assert_eq!(line(&engine, None), "playing Film");
        assert_eq!(line(&engine, Some(live.clone())), "playing Film into News (7)");
        engine.publisher = Connection::Reconnecting { cause: "refused".into() };
        assert_eq!(line(&engine, Some(live.clone())), "reconnecting (refused); playing Film into News (7)");
        engine = Status { publisher: Connection::Connected, ..Status::default() };
        engine.on_air = OnAir::Filler { cause: "the source gives nothing".into() };
        assert_eq!(line(&engine, Some(live)), "filler into News (7): the source gives nothing");
        let degraded = TelegramStatus {
            state: "degraded",
            why: Some("SESSION_REVOKED".into()),
            ..TelegramStatus::default()
        };
        assert_eq!(line(&engine, Some(degraded)), "degraded: SESSION_REVOKED");
        assert_eq!(line(&Status::default(), None), "connecting; starting");
    }
}
