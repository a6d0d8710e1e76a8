//! The message that shows a channel, and its buttons.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tgs_control::{
    BroadcastStatus, EntryState, OnAir, PlayingItem, PlaylistPage, PublisherState, SchedulePlan, Timestamp,
    channels::Channel,
    method::{Call, LogLines},
};
use tgs_core::{
    mask,
    time::{clock, moment},
};
use tgs_telegram::bot::{BotText, Button, Keyboard};

use crate::{
    access::BotRole,
    broadcasts::{ChannelFault, ChannelReport},
    incidents::{Incident, IncidentKind},
    press::{ButtonAction, PAGE_ROWS, cancel_data},
    texts::Texts,
};

/// Longest title of an item in the message, in characters.
const LONGEST: usize = 120;
/// Most lines of a plan or a log: each is an entity, of which a message has at most 100.
const ROWS: usize = 30;
/// Buttons of channels in a row, and at most.
const CHANNELS_IN_ROW: usize = 3;
const MOST_CHANNELS: usize = 30;

/// The text that shows the channel of a report.
pub(crate) fn panel(report: &ChannelReport, texts: &Texts) -> BotText {
    let text = BotText::plain("📺 ").foreign(&report.request.channel.name).own("\n");
    let text = match &report.status {
        Ok(status) => on_air(text, status, texts),
        Err(fault) => refusal(text.own("⚠ "), fault, texts),
    };
    let text = match &report.picture {
        Some(Err(why)) => text.own("\n").own(texts.no_picture).foreign(&shown(&why.to_string())),
        _ => text,
    };
    let text = match &report.outcome {
        None => text,
        Some(Ok(_)) => text.own("\n").own(texts.done),
        Some(Err(fault)) => refusal(text.own("\n").own(texts.refused), fault, texts),
    };
    // Below a picture there is less room.
    if report.request.with_picture || report.request.below_picture { text.caption() } else { text }
}

/// The answer to a question of which the panel shows nothing: the plan of a day, the log, or a page
/// of the list.
pub(crate) fn listing(
    report: &ChannelReport,
    texts: &Texts,
    time: SystemTime,
) -> Option<(BotText, Keyboard)> {
    let (Some(call), Some(Ok(result))) = (&report.request.call, &report.outcome) else { return None };
    let name = &report.request.channel.name;
    let text = BotText::plain("📺 ").foreign(name).own("\n");
    match call {
        Call::SchedulePlan(_) => Some((plan(text, result, texts), Keyboard::default())),
        Call::LogTail(_) => Some((log_lines(text, result, texts, time), Keyboard::default())),
        Call::PlaylistList(_) => Some(page(text, result, texts, name)),
        _ => None,
    }
}

/// A page of the list, with buttons for those around it.
fn page(text: BotText, result: &Value, texts: &Texts, channel: &str) -> (BotText, Keyboard) {
    let page: PlaylistPage = serde_json::from_value(result.clone()).unwrap_or_default();
    let (Some(first), Some(last)) = (page.entries.first(), page.entries.last()) else {
        return (text.own(texts.nothing), Keyboard::default());
    };
    let (first, last) = (first.index, last.index);
    let text = text.own(texts.page).own(&format!("{}–{} / {}\n", first + 1, last + 1, page.total));
    let text = page.entries.iter().take(PAGE_ROWS).fold(text, |text, entry| {
        let sign = if entry.state == EntryState::Current { "▶ " } else { "" };
        let text = text.own(sign).own(&format!("{}. ", entry.index + 1));
        text.foreign(&shown(&entry.title)).own("\n")
    });
    let button = |text: &str, offset: usize| Button {
        text: text.to_owned(),
        data: ButtonAction::Page(offset).data(channel, false),
    };
    let mut row = Vec::new();
    if first > 0 {
        row.push(button("◀", first.saturating_sub(PAGE_ROWS)));
    }
    if last + 1 < page.total {
        row.push(button("▶", last + 1));
    }
    (text, Keyboard(if row.is_empty() { Vec::new() } else { vec![row] }))
}

/// The button that stops the receiving of a file.
pub(crate) fn cancel(id: u64, texts: &Texts) -> Keyboard {
    Keyboard(vec![vec![Button { text: texts.cancel.to_owned(), data: cancel_data(id) }]])
}

fn plan(text: BotText, result: &Value, texts: &Texts) -> BotText {
    let plan: SchedulePlan = serde_json::from_value(result.clone()).unwrap_or_default();
    let rows: Vec<_> = plan.rows.iter().filter_map(|row| Some((row.local.get(11..16)?, row))).collect();
    if rows.is_empty() {
        return text.own(texts.nothing);
    }
    rows.into_iter().take(ROWS).fold(text, |text, (clock, row)| {
        let text = text.own(clock).own("  ");
        match &row.name {
            Some(name) => text.foreign(&shown(name)).own("\n"),
            None => text.own(texts.list).own("\n"),
        }
    })
}

/// The newest lines of the last hour.
fn log_lines(text: BotText, result: &Value, texts: &Texts, time: SystemTime) -> BotText {
    let log: LogLines = serde_json::from_value(result.clone()).unwrap_or_default();
    let hour_ago = Timestamp::from(time.checked_sub(Duration::from_hours(1)).unwrap_or(UNIX_EPOCH));
    let is_new = |line: &&String| {
        let at = line.split(' ').next().and_then(Timestamp::parse);
        at.is_none_or(|at| at >= hour_ago)
    };
    let lines: Vec<_> = log.lines.iter().filter(is_new).collect();
    if lines.is_empty() {
        return text.own(texts.nothing);
    }
    let newest = &lines[lines.len().saturating_sub(ROWS)..];
    newest.iter().fold(text, |text, line| text.foreign(&shown(line)).own("\n"))
}

fn shown(text: &str) -> String {
    let masked = mask::urls(text);
    let mut short: String = masked.chars().take(LONGEST).collect();
    if masked.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}

fn refusal(text: BotText, fault: &ChannelFault, texts: &Texts) -> BotText {
    match fault {
        ChannelFault::NotRunning => text.own(texts.not_running),
        ChannelFault::Denied => text.own(texts.denied),
        ChannelFault::Refused(why) => text.foreign(&mask::urls(why)),
        ChannelFault::NoAnswer(why) => text.own(texts.no_answer).foreign(&mask::urls(why)),
    }
}

fn on_air(mut text: BotText, status: &BroadcastStatus, texts: &Texts) -> BotText {
    let engine = &status.status.engine;
    text = match &engine.on_air {
        _ if status.stopped => text.own(texts.stopped).own("\n"),
        _ if status.status.is_standby() => {
            let active = status.status.hosts.as_ref().and_then(|hosts| hosts.active.as_deref());
            text.own(texts.standby).foreign(&shown(active.unwrap_or("?"))).own("\n")
        }
        OnAir::Item(item) => playing(text, item),
        OnAir::Filler { cause } => text.own("▶ ").own(texts.filler).foreign(&shown(cause)).own("\n"),
        OnAir::Stopped => text.own(texts.stopped).own("\n"),
        OnAir::Starting => text.own("▶ ").own(texts.starting).own("\n"),
    };
    if engine.paused {
        text = text.own(texts.paused).own("\n");
    }
    if engine.stops_after_current {
        text = text.own(texts.stops_after).own("\n");
    }
    if let PublisherState::Reconnecting { cause } = &engine.publisher {
        text = text.own(texts.reconnecting).foreign(&shown(cause)).own("\n");
    } else if let Some(why) = &status.unhealthy {
        text = text.own(texts.unhealthy).foreign(&shown(why)).own("\n");
    }
    if let Some(title) = &engine.title {
        text = text.own(texts.title).foreign(&shown(title)).own("\n");
    }
    if !status.upcoming.is_empty() {
        text = text.own("\n").own(texts.upcoming).own("\n");
        for (n, title) in status.upcoming.iter().take(5).enumerate() {
            text = text.own(&format!("{}. ", n + 1)).foreign(&shown(title)).own("\n");
        }
    }
    if status.queue_length > 0 {
        text = text.own(texts.queue).own(&status.queue_length.to_string()).own("\n");
    }
    match &engine.last_failure {
        Some(failure) => text.own(texts.last_failure).foreign(&shown(failure)).own("\n"),
        None => text,
    }
}

fn playing(text: BotText, item: &PlayingItem) -> BotText {
    let text = text.own("▶ ").foreign(&shown(&item.title)).own("\n");
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
    let at = seconds(item.offset_seconds);
    match item.duration_seconds.map(seconds).filter(|whole| !whole.is_zero()) {
        None => text.own(&format!("{}\n", clock(at))),
        Some(whole) => {
            let tenths = (at.as_secs_f64() / whole.as_secs_f64() * 10.0).clamp(0.0, 10.0) as usize;
            let bar = ["▰".repeat(tenths), "▱".repeat(10 - tenths)].concat();
            text.own(&format!("{bar} {} / {}\n", clock(at), clock(whole)))
        }
    }
}

/// The message about an incident.
pub(crate) fn incident(incident: &Incident, texts: &Texts) -> BotText {
    let what = match incident.kind {
        IncidentKind::Away => texts.incident_away,
        IncidentKind::Degraded => texts.incident_degraded,
        IncidentKind::IngestAway => texts.incident_ingest,
        IncidentKind::Filler => texts.incident_filler,
        IncidentKind::ViewersLose => texts.incident_viewers,
        IncidentKind::SlowEncoder => texts.incident_slow,
        IncidentKind::ItemsFailed => texts.incident_failed,
        IncidentKind::SessionReplaced => texts.incident_session,
        IncidentKind::Died => texts.incident_died,
        IncidentKind::YtDlpFailed => texts.incident_ytdlp_failed,
        IncidentKind::YtDlpStale => texts.incident_ytdlp_stale,
        IncidentKind::DiskFilling => texts.incident_disk,
        IncidentKind::Deployed => texts.incident_deployed,
        IncidentKind::DeployTakenBack => texts.incident_taken_back,
    };
    let over = incident.ended.filter(|_| !incident.kind.is_momentary());
    let sign = match (over, incident.kind) {
        (Some(_), _) => "✅ ",
        (None, IncidentKind::SessionReplaced | IncidentKind::Deployed) => "ℹ ",
        _ => "🚨 ",
    };
    let mut text = BotText::plain(sign);
    if !incident.channel.is_empty() {
        text = text.foreign(&incident.channel).own(": ");
    }
    text = text.own(what);
    if !incident.detail.is_empty() {
        text = text.own("\n").foreign(&shown(&incident.detail));
    }
    let began = UNIX_EPOCH + Duration::from_secs(incident.began);
    text = text.own("\n").own(&moment(began));
    if incident.count > 1 {
        text = text.own(", ").own(texts.times).own(&incident.count.to_string());
    }
    match over {
        Some(ended) => {
            let lasted = Duration::from_secs(ended.saturating_sub(incident.began));
            text.own(", ").own(texts.over).own(&clock(lasted))
        }
        None => text,
    }
}

/// The buttons of a panel.
pub(crate) fn buttons(
    report: &ChannelReport,
    channels: &[Channel],
    role: BotRole,
    texts: &Texts,
) -> Keyboard {
    let name = &report.request.channel.name;
    let below_picture = is_picture(report);
    let button = |text: &str, action: ButtonAction| Button {
        text: text.to_owned(),
        data: action.data(name, below_picture),
    };
    let mut rows = Vec::new();
    if let (BotRole::Admin, Ok(status)) = (role, &report.status) {
        let paused = status.status.engine.paused;
        rows.push(vec![
            button("⏮", ButtonAction::Previous),
            button("⏪ 30", ButtonAction::Back),
            if paused { button("▶", ButtonAction::Resume) } else { button("⏸", ButtonAction::Pause) },
            button("30 ⏩", ButtonAction::Forward),
            button("⏭", ButtonAction::Next),
        ]);
        rows.push(vec![
            button(texts.stop_after, ButtonAction::StopAfter),
            button(texts.refresh, ButtonAction::Show),
            button("📷", ButtonAction::Picture),
        ]);
    } else {
        rows.push(vec![button(texts.refresh, ButtonAction::Show), button("📷", ButtonAction::Picture)]);
    }
    if channels.len() > 1 {
        rows.extend(choice(channels, below_picture).0);
    }
    Keyboard(rows)
}

/// Whether the message of a report is a picture, or becomes one.
pub(crate) fn is_picture(report: &ChannelReport) -> bool {
    report.request.below_picture || matches!(report.picture, Some(Ok(_)))
}

/// A button for each channel.
pub(crate) fn choice(channels: &[Channel], below_picture: bool) -> Keyboard {
    let button = |channel: &Channel| Button {
        text: channel.name.chars().take(30).collect(),
        data: ButtonAction::Show.data(&channel.name, below_picture),
    };
    let shown = &channels[..channels.len().min(MOST_CHANNELS)];
    Keyboard(shown.chunks(CHANNELS_IN_ROW).map(|row| row.iter().map(button).collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        broadcasts::{ChannelRequest, MessagePlace},
        texts::BotLanguage,
    };

    fn report(status: Result<BroadcastStatus, ChannelFault>) -> ChannelReport {
        let channel = Channel { name: "main".to_owned(), socket: "/x".into() };
        let request = ChannelRequest { user_id: 5, ..ChannelRequest::unseen(channel, MessagePlace::New) };
        ChannelReport { request, outcome: None, status, picture: None }
    }

    #[test]
    fn the_panel_shows_what_is_on_air() {
        let mut status = BroadcastStatus::default();
        status.status.engine.on_air = OnAir::Item(PlayingItem {
            title: "A film /stop_after http://me:hidden@h/x\n@all".to_owned(),
            offset_seconds: 61.0,
            duration_seconds: Some(120.0),
            ..PlayingItem::default()
        });
        status.upcoming = vec!["b".to_owned(), "c".to_owned()];
        status.queue_length = 2;
        let text = panel(&report(Ok(status.clone())), BotLanguage::English.texts());
        insta::assert_snapshot!(text.text(), @r"
        📺 main
        ▶ A film /stop_after http://[masked]@h/x @all
        ▰▰▰▰▰▱▱▱▱▱ 0:01:01 / 0:02:00

        Next:
        1. b
        2. c
        In the queue: 2
        ");
        status.status.engine.paused = true;
        status.unhealthy = Some("connection_lost".to_owned());
        status.upcoming.clear();
        let mut refused = report(Ok(status));
        refused.outcome = Some(Err(ChannelFault::Refused("no item before".to_owned())));
        let text = panel(&refused, BotLanguage::Russian.texts());
        assert!(text.text().contains("⏸ пауза\n⚠ connection_lost\n"), "{text:?}");
        assert!(text.text().ends_with("✖ отказ: no item before"), "{text:?}");
    }

    #[test]
    fn pages_of_the_list_lead_to_those_around() {
        let entries = |range: std::ops::Range<usize>| {
            let state = |n| if n == 21 { "current" } else { "later" };
            let entry = |n| serde_json::json!({ "index": n, "title": format!("t{n}"), "state": state(n) });
            serde_json::json!({ "total": 45, "entries": range.map(entry).collect::<Vec<_>>() })
        };
        let texts = BotLanguage::English.texts();
        let shown = |range| page(BotText::default(), &entries(range), texts, "main");
        let data = |keyboard: &Keyboard| {
            keyboard.0.iter().flatten().map(|button| button.data.clone()).collect::<Vec<_>>()
        };
        let (text, keyboard) = shown(20..40);
        assert!(text.text().starts_with("Entries: 21–40 / 45\n21. t20\n▶ 22. t21\n"), "{text:?}");
        assert_eq!(data(&keyboard), ["page.0:main", "page.40:main"]);
        assert_eq!(data(&shown(0..20).1), ["page.20:main"]);
        assert_eq!(data(&shown(40..45).1), ["page.20:main"]);
        assert_eq!(shown(50..50), (BotText::plain("nothing"), Keyboard::default()));
    }

    #[test]
    fn viewers_get_no_buttons_that_steer() {
        let texts = BotLanguage::English.texts();
        let channels = ["main", "news"].map(|name| Channel { name: name.to_owned(), socket: "/x".into() });
        let data = |role| {
            let keyboard = buttons(&report(Ok(BroadcastStatus::default())), &channels, role, texts);
            keyboard.0.into_iter().flatten().map(|button| button.data).collect::<Vec<_>>()
        };
        assert_eq!(data(BotRole::Viewer), ["show:main", "picture:main", "show:main", "show:news"]);
        assert_eq!(data(BotRole::Admin).len(), 10);
        let away = report(Err(ChannelFault::NotRunning));
        assert_eq!(buttons(&away, &channels[..1], BotRole::Admin, texts).0.len(), 1);
    }
}
