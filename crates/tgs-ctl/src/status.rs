//! The text of `status` and `channels`. Reads no clock.

use std::time::{Duration, SystemTime};

use tgs_control::{
    BroadcastStatus, OnAir, PlayingItem, PublisherState, TelegramState, TelegramStatus, ViewerCheckStatus,
    ViewerPicture,
};
use tgs_core::time::{clock, hours_and_minutes, moment, parse_utc};

use crate::{
    hosts, live_input, outputs, record,
    text::{TerminalStyle, fit, plain, width},
};

/// Columns of the labels.
const LABEL: usize = 12;
/// The widest progress bar.
const WIDEST_BAR: usize = 40;

/// How to write a status.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StatusView<'a> {
    /// The channel's name.
    pub(crate) channel: &'a str,
    /// The version of tgs-stream.
    pub(crate) version: &'a str,
    /// The time of the request.
    pub(crate) now: SystemTime,
    /// The columns of the terminal; `None`: lines of any length, no progress bar.
    pub(crate) columns: Option<usize>,
    /// The style.
    pub(crate) style: TerminalStyle,
}

/// What the broadcast does, in one word and a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StatusSummary {
    Live,
    Paused(String),
    Stopped,
    /// Another host publishes.
    Standby(String),
    NotLive(String),
}

impl StatusSummary {
    pub(crate) fn of(status: &BroadcastStatus) -> Self {
        match (&status.unhealthy, status.status.engine.paused) {
            _ if status.stopped => Self::Stopped,
            (Some(why), _) => Self::NotLive(plain(why)),
            _ if status.status.is_standby() => {
                let active = status.status.hosts.as_ref().and_then(|hosts| hosts.active.as_deref());
                Self::Standby(
                    active.map_or(": no host is active".to_owned(), |host| format!(" of {}", plain(host))),
                )
            }
            (None, true) => {
                let ends = status.pause_ends.as_deref().and_then(parse_utc);
                Self::Paused(ends.map(|time| format!(" until {}", moment(time))).unwrap_or_default())
            }
            (None, false) => Self::Live,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Paused(until) => format!("paused{until}"),
            Self::Standby(of) => format!("standby{of}"),
            Self::NotLive(why) => format!("not live: {why}"),
            other => other.word().to_owned(),
        }
    }

    fn paint(&self, style: TerminalStyle, text: &str) -> String {
        match self {
            Self::Live => style.green(text),
            Self::Paused(_) | Self::Stopped | Self::Standby(_) => style.yellow(text),
            Self::NotLive(_) => style.red(text),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Paused(_) => "paused",
            Self::Stopped => "stopped",
            Self::Standby(_) => "standby",
            Self::NotLive(_) => "not live",
        }
    }
}

impl StatusView<'_> {
    /// The lines of `status`.
    pub(crate) fn lines(&self, status: &BroadcastStatus) -> Vec<String> {
        let engine = &status.status.engine;
        let mut lines = Vec::new();
        let name = plain(self.channel);
        lines
            .push(self.style.bold(&self.columns.map_or_else(|| name.clone(), |columns| fit(&name, columns))));
        let state = StatusSummary::of(status);
        self.push_painted(&mut lines, "State", &state.text(), |text| state.paint(self.style, text));
        self.push(&mut lines, "On air", &on_air(&engine.on_air));
        if let OnAir::Item(item) = &engine.on_air {
            self.push(&mut lines, "", &self.progress(item));
        }
        if engine.stops_after_current {
            self.push(&mut lines, "", "stops after this item");
        }
        for (at, title) in status.upcoming.iter().enumerate() {
            self.push(&mut lines, if at == 0 { "Next" } else { "" }, &plain(title));
        }
        let queue = match status.queue_length {
            0 => "empty".to_owned(),
            1 => "1 entry".to_owned(),
            entries => format!("{entries} entries"),
        };
        self.push(&mut lines, "Queue", &queue);
        if let Some(live) = &status.live {
            self.push(&mut lines, "Live input", &live_input::line(live));
        }
        self.push(&mut lines, "Ingest", &ingest(status));
        for (at, output) in status.status.outputs.iter().enumerate() {
            self.push(&mut lines, if at == 0 { "Outputs" } else { "" }, &outputs::line(output));
        }
        if let Some(recording) = &status.status.recording {
            self.push(&mut lines, "Recording", &record::line(recording));
        }
        if let Some(telegram) = &status.status.telegram {
            self.push(&mut lines, "Session", &session(telegram));
            if let Some(chat) = &telegram.chat {
                self.push(&mut lines, "Chat", &plain(chat));
            }
            if let Some(viewers) = telegram.viewers {
                self.push(&mut lines, "Viewers", &viewers.to_string());
            }
            if let Some(check) = &telegram.viewer_check {
                self.push(&mut lines, "Viewers get", &viewer_check(check));
            }
        }
        self.push_hosts(&mut lines, status);
        let speed = engine.encoder_speed_ratio.map(|speed| format!(", encoder at {speed:.1}x"));
        let ahead = format!("{:.1} s{}", engine.readahead_seconds, speed.unwrap_or_default());
        self.push(&mut lines, "Read-ahead", &ahead);
        if let Some(title) = &engine.title {
            self.push(&mut lines, "Title", &plain(title));
        }
        self.push(&mut lines, "Since", &self.since(status));
        if let Some(failure) = &engine.last_failure {
            self.push(&mut lines, "Last failure", &plain(failure));
        }
        for warning in &status.status.warnings {
            self.push(&mut lines, "Warning", &plain(warning));
        }
        lines
    }

    fn push_hosts(&self, lines: &mut Vec<String>, status: &BroadcastStatus) {
        let hosts = status.status.hosts.as_ref().map(hosts::lines).unwrap_or_default();
        for (at, line) in hosts.iter().enumerate() {
            self.push(lines, if at == 0 { "Hosts" } else { "" }, line);
        }
    }

    fn push(&self, lines: &mut Vec<String>, label: &str, text: &str) {
        self.push_painted(lines, label, text, str::to_owned);
    }

    /// Adds a line. The text is cut before it is coloured: the codes take no columns.
    fn push_painted(&self, lines: &mut Vec<String>, label: &str, text: &str, paint: impl Fn(&str) -> String) {
        let text = match self.columns {
            Some(columns) => fit(text, columns.saturating_sub(LABEL + 2)),
            None => text.to_owned(),
        };
        lines.push(format!("{}  {}", self.style.dim(&format!("{label:LABEL$}")), paint(&text)));
    }

    fn progress(&self, item: &PlayingItem) -> String {
        let times = times(item);
        let Some(share) = share(item) else { return times };
        let percent = format!("{:3.0} %", share * 100.0);
        let used = LABEL + 2 + width(&times) + 2 + 2 + percent.len();
        let bar = self.columns.and_then(|columns| columns.checked_sub(used)).filter(|left| *left >= 10);
        match bar {
            Some(left) => {
                let columns = left.min(WIDEST_BAR);
                let full = (share * columns as f64) as usize;
                format!("{times}  {}{}  {percent}", "█".repeat(full), "░".repeat(columns - full))
            }
            None => format!("{times}  {}", percent.trim_start()),
        }
    }

    fn since(&self, status: &BroadcastStatus) -> String {
        let process = format!("tgs-stream {}, process {}", plain(self.version), status.pid);
        match parse_utc(&status.started_at) {
            Some(start) => {
                let running = self.now.duration_since(start).unwrap_or_default();
                format!("{} ({}), {process}", moment(start), hours_and_minutes(running))
            }
            None => process,
        }
    }

    /// One line: for a pipe, and for each channel of `channels`.
    pub(crate) fn line(&self, status: &BroadcastStatus) -> [String; 3] {
        let engine = &status.status.engine;
        let what = match (&StatusSummary::of(status), &engine.on_air) {
            (StatusSummary::NotLive(why), _) => why.clone(),
            (_, OnAir::Item(item)) => format!("{}  {}", on_air(&engine.on_air), times(item)),
            (_, other) => on_air(other),
        };
        [plain(self.channel), StatusSummary::of(status).word().to_owned(), what]
    }
}

fn on_air(on_air: &OnAir) -> String {
    match on_air {
        OnAir::Item(item) => plain(&item.title),
        OnAir::Filler { cause } if cause.is_empty() => "filler".to_owned(),
        OnAir::Filler { cause } => format!("filler: {}", plain(cause)),
        OnAir::Starting => "nothing yet: starting".to_owned(),
        OnAir::Stopped => "nothing: stopped".to_owned(),
    }
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or_default()
}

/// `0:12:03 of 1:30:00`
fn times(item: &PlayingItem) -> String {
    let at = clock(seconds(item.offset_seconds));
    match item.duration_seconds {
        Some(length) => format!("{at} of {}", clock(seconds(length))),
        None => at,
    }
}

/// The shown part of the item, 0 to 1.
fn share(item: &PlayingItem) -> Option<f64> {
    let length = item.duration_seconds.filter(|length| *length > 0.0)?;
    Some((item.offset_seconds / length).clamp(0.0, 1.0))
}

fn ingest(status: &BroadcastStatus) -> String {
    let engine = &status.status.engine;
    let mut text = match &engine.publisher {
        PublisherState::Reconnecting { cause } => format!("reconnecting: {}", plain(cause)),
        PublisherState::Connected => {
            format!("connected, {:.1} s not yet acknowledged", engine.queue_seconds)
        }
        PublisherState::Connecting if status.stopped => "not connected".to_owned(),
        other @ PublisherState::Connecting => other.name().to_owned(),
    };
    if let Some(output) = &status.output {
        text = format!("{text}, {}", plain(output));
    }
    text
}

fn viewer_check(check: &ViewerCheckStatus) -> String {
    match (&check.failure, check.arrives) {
        (Some(failure), _) => plain(failure),
        (None, false) => "nothing yet".to_owned(),
        (None, true) => {
            let behind = Duration::from_millis(check.live_edge_age_ms).as_secs_f64();
            let picture = match check.picture {
                None | Some(ViewerPicture::Good) => "the stream",
                Some(ViewerPicture::Black) => "a black picture",
                Some(ViewerPicture::Frozen) => "a picture that stands still",
                Some(ViewerPicture::Silent) => "no sound",
            };
            format!("{picture}, {behind:.1} s behind")
        }
    }
}

fn session(telegram: &TelegramStatus) -> String {
    let state = telegram.state.name();
    let mut text = match (&telegram.why, telegram.state) {
        (Some(why), state_is) if state_is != TelegramState::Live => format!("{state}: {}", plain(why)),
        _ => state.to_owned(),
    };
    if let Some(proxy) = &telegram.proxy {
        text = format!("{text}, through {}", plain(proxy));
    }
    if let Some(account) = &telegram.account {
        text = format!("{text}, account {}", plain(account));
    }
    if !telegram.session_valid && telegram.state == TelegramState::Live {
        text.push_str(", the session is dead");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const PLAIN: TerminalStyle = TerminalStyle { colour: false };

    fn view(columns: Option<usize>, style: TerminalStyle) -> StatusView<'static> {
        let now = UNIX_EPOCH + Duration::from_mins(29_538_845);
        StatusView { channel: "news", version: "0.1.0", now, columns, style }
    }

    fn status() -> BroadcastStatus {
        serde_json::from_str(
            r#"{"on_air":{"state":"item","id":"/m/a.mkv","title":"A film \u001b[2J","offset_seconds":723.4,
                "duration_seconds":5400.0},"publisher":{"state":"connected"},"readahead_seconds":3.96,
                "queue_seconds":0.25,"encoder_speed_ratio":3.25,"last_failure":"b: no such file",
                "stops_after_current":true,"title":"Night","telegram":{"state":"live","account":"Bob (@bob, 5)",
                "chat":"News (-100)","session_valid":true,"viewers":12,
                "viewer_check":{"live_edge_age_ms":400,"arrives":true,"failure":null}},"warnings":["PROXY is no setting"],
                "upcoming":["b","c"],"queue_length":2,"started_at":"2026-03-01T00:00:00Z","pid":42,
                "output":"rtmps://dc4.example.org/s/"}"#,
        )
        .unwrap()
    }

    #[test]
    fn everything_that_is_known_is_shown() {
        insta::assert_snapshot!(view(None, PLAIN).lines(&status()).join("\n"));
        insta::assert_snapshot!(view(Some(72), PLAIN).lines(&status()).join("\n"));
    }

    #[test]
    fn no_line_exceeds_the_terminal() {
        let mut long = status();
        long.unhealthy = Some("x".repeat(300));
        long.status.engine.last_failure = Some("映".repeat(300));
        for columns in [1, 20, 41, 80] {
            for line in view(Some(columns), PLAIN).lines(&long) {
                assert!(width(&line) <= columns.max(LABEL + 2), "{columns}: {line}");
            }
        }
    }

    #[test]
    fn colours_are_for_terminals_and_titles_cannot_add_any() {
        let coloured = view(None, TerminalStyle { colour: true }).lines(&status()).join("\n");
        assert!(coloured.starts_with("\x1b[1mnews\x1b[0m\n"), "{coloured:?}");
        assert!(coloured.contains("\x1b[32mlive\x1b[0m"), "{coloured:?}");
        assert!(!coloured.contains("\x1b[2J"));
    }

    #[test]
    fn the_state_is_what_viewers_are_affected_by_first() {
        let line = |change: &dyn Fn(&mut BroadcastStatus)| {
            let mut status = status();
            change(&mut status);
            view(None, PLAIN).line(&status).join(" | ")
        };
        assert_eq!(line(&|_| ()), "news | live | A film \\u{1b}[2J  0:12:03 of 1:30:00");
        let filler = OnAir::Filler { cause: "paused".into() };
        assert_eq!(
            line(&|it| {
                it.status.engine.paused = true;
                it.status.engine.on_air = filler.clone();
            }),
            "news | paused | filler: paused"
        );
        assert_eq!(
            line(&|it| it.unhealthy = Some("connection lost: refused".into())),
            "news | not live | connection lost: refused"
        );
        assert_eq!(
            line(&|it| {
                it.stopped = true;
                it.status.engine.on_air = OnAir::Stopped;
            }),
            "news | stopped | nothing: stopped"
        );
    }

    #[test]
    fn a_pause_says_when_it_ends() {
        let mut paused = status();
        paused.status.engine.paused = true;
        paused.pause_ends = Some("2026-03-01T01:00:00Z".into());
        let lines = view(None, PLAIN).lines(&paused);
        assert_eq!(lines[1], "State         paused until 2026-03-01 01:00:00 UTC");
    }

    #[test]
    fn odd_numbers_do_no_harm() {
        let mut odd = status();
        if let OnAir::Item(item) = &mut odd.status.engine.on_air {
            item.offset_seconds = -3.0;
            item.duration_seconds = Some(f64::NAN);
        }
        let lines = view(Some(60), PLAIN).lines(&odd);
        assert!(lines[3].contains("0:00:00 of 0:00:00"), "{lines:?}");
    }
}
