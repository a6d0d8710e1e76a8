//! The lines of `watch`.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use tgs_control::{BroadcastEvent, ItemEnd, StateChange, Timestamp};
use tgs_core::time::clock;

use crate::text::plain;

/// The line of a notification that arrived at `now`. An event of a newer version is shown as JSON.
pub(crate) fn line(params: &Value, now: SystemTime) -> String {
    let event = serde_json::from_value(params.clone()).unwrap_or(BroadcastEvent::Unknown);
    let (at, text) = match &event {
        BroadcastEvent::ItemBegan { at, item, offset_seconds, duration_seconds, resumed, .. } => {
            let verb = if *resumed { "continues" } else { "began" };
            let length = duration_seconds.map(|length| format!(" of {}", time(length))).unwrap_or_default();
            (at, format!("item {verb}: {} at {}{length}", item.title, time(*offset_seconds)))
        }
        BroadcastEvent::ItemEnded { at, item, offset_seconds, how } => {
            (at, format!("item ended at {}: {}: {}", time(*offset_seconds), item.title, end(how)))
        }
        BroadcastEvent::ItemFailed { at, title, detail, .. } => {
            (at, format!("item failed: {title}: {detail}"))
        }
        BroadcastEvent::FillerBegan { at, cause } => (at, format!("filler began: {cause}")),
        BroadcastEvent::FillerEnded { at } => (at, "filler ended".to_owned()),
        BroadcastEvent::OutageBegan { at, cause } => (at, format!("outage began: {cause}")),
        BroadcastEvent::OutageEnded { at } => (at, "outage ended".to_owned()),
        BroadcastEvent::Started { at } => (at, "broadcast started".to_owned()),
        BroadcastEvent::Stopped { at, cause } => (at, format!("broadcast stopped: {cause}")),
        BroadcastEvent::Unknown => return state_line(params, now),
    };
    format!("{}  {}", moment(*at), plain(&text))
}

/// The line of a change of the state, which carries no time.
fn state_line(params: &Value, now: SystemTime) -> String {
    let change = serde_json::from_value(params.clone()).unwrap_or(StateChange::Unknown);
    let text = match change {
        StateChange::Paused { ends: Some(ends) } => {
            let ends = Timestamp::parse(&ends).map_or(ends, moment);
            format!("paused until {ends}")
        }
        StateChange::Paused { ends: None } => "paused".to_owned(),
        StateChange::Resumed => "resumed".to_owned(),
        StateChange::StoppedByOperator => "stopped by an operator".to_owned(),
        StateChange::StartedByOperator => "started by an operator".to_owned(),
        StateChange::Session { state, why: Some(why) } => format!("session: {state}: {why}"),
        StateChange::Session { state, why: None } => format!("session: {state}"),
        StateChange::Queue { length } => format!("queue: {length} entries"),
        StateChange::LiveArrived { publisher } => {
            format!("live input: “{}” from {}: {}", publisher.key, publisher.address, publisher.format)
        }
        StateChange::LiveLeft { key } => format!("live input: “{key}” has gone"),
        StateChange::Unknown => params.to_string(),
    };
    format!("{}  {}", moment(now.into()), plain(&text))
}

fn moment(at: Timestamp) -> String {
    at.to_string().trim_end_matches('Z').replacen('T', " ", 1)
}

fn time(seconds: f64) -> String {
    clock(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

fn end(how: &ItemEnd) -> String {
    match how {
        ItemEnd::Played => "played".to_owned(),
        ItemEnd::Skipped { by, command } => format!("skipped ({command}) by {by}"),
        ItemEnd::Failed { reason } => format!("failed: {reason}"),
        ItemEnd::Cut { cause } => format!("cut: {cause}"),
        ItemEnd::Interrupted { cause } => format!("interrupted: {cause}"),
        ItemEnd::Unknown => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_event_is_a_line() {
        let at = "2026-03-01T00:00:00.120Z";
        let item = json!({ "seq": 1, "id": "/a", "title": "A\u{1b}film" });
        let by = json!({ "user": "uid 0 (root)", "client": "tgs-ctl" });
        let lines: Vec<_> = [
            json!({ "event": "item_began", "at": at, "item": item, "offset_seconds": 0.0, "duration_seconds": 90.0 }),
            json!({ "event": "item_ended", "at": at, "item": item, "offset_seconds": 9.0,
                "how": { "how": "skipped", "by": by, "command": "next" } }),
            json!({ "event": "item_failed", "at": at, "title": "b", "reason": "probe", "detail": "no such file",
                "played_seconds": 0.0 }),
            json!({ "event": "filler_began", "at": at, "cause": "the next item is not ready" }),
            json!({ "event": "outage_ended", "at": at }),
            json!({ "event": "paused", "ends": at }),
            json!({ "event": "session", "state": "degraded", "why": "SESSION_REVOKED" }),
            json!({ "event": "advert", "price": 3 }),
        ]
        .iter()
        .map(|params| line(params, SystemTime::UNIX_EPOCH))
        .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
