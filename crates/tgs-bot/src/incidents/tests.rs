//! Tests of when an incident begins, goes on and ends.

use tgs_control::{DiskSpace, PlayingItem, TelegramStatus};

use super::*;
use crate::machine_notes::{MachineNote, NoteSubject};

fn on_air() -> BroadcastStatus {
    let mut status = BroadcastStatus::default();
    status.status.engine.on_air = OnAir::Item(PlayingItem::default());
    status.status.engine.publisher = PublisherState::Connected;
    status
}

fn at(log: &mut IncidentLog, seconds: u64, sample: &Result<BroadcastStatus, ChannelFault>) {
    log.observe("main", sample, UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds));
}

/// What users 1 and 2 are owed: user, whether it is an edit, kind, whether it is over.
fn deliver(log: &mut IncidentLog) -> Vec<(i64, bool, IncidentKind, bool)> {
    let mut all = Vec::new();
    while let Some(due) = log.due(&[1, 2].into(), false) {
        let (id, revision, user_id) = (due.incident.id, due.incident.revision, due.user_id);
        all.push((user_id, due.message_id.is_some(), due.incident.kind, due.incident.ended.is_some()));
        log.reported(id, revision, user_id, Some(7));
    }
    all
}

#[test]
fn an_incident_is_one_message_that_is_edited() {
    let mut log = IncidentLog::default();
    at(&mut log, 0, &Ok(on_air()));
    let mut away = on_air();
    away.status.engine.publisher = PublisherState::Reconnecting { cause: "refused".into() };
    at(&mut log, 10, &Ok(away.clone()));
    at(&mut log, 30, &Ok(away.clone()));
    assert_eq!(deliver(&mut log), []);
    at(&mut log, 40, &Ok(away.clone()));
    let kind = IncidentKind::IngestAway;
    assert_eq!(deliver(&mut log), [(1, false, kind, false), (2, false, kind, false)]);
    at(&mut log, 50, &Ok(away.clone()));
    assert_eq!(deliver(&mut log), []);
    // Nothing is reported twice after a restart.
    let text = serde_json::to_string(&log).unwrap();
    let mut log: IncidentLog = serde_json::from_str(&text).unwrap();
    at(&mut log, 60, &Ok(away.clone()));
    assert_eq!(deliver(&mut log), []);
    at(&mut log, 70, &Ok(on_air()));
    assert_eq!(deliver(&mut log), [(1, true, kind, true), (2, true, kind, true)]);
    // Back within minutes: the same message.
    at(&mut log, 80, &Ok(away.clone()));
    at(&mut log, 110, &Ok(away));
    assert_eq!(deliver(&mut log), [(1, true, kind, false), (2, true, kind, false)]);
    at(&mut log, 120, &Ok(on_air()));
    deliver(&mut log);
    at(&mut log, 120 + SAME_WITHIN, &Ok(on_air()));
    assert_eq!(log.incidents, []);
}

#[test]
fn what_was_asked_for_is_no_incident() {
    let mut log = IncidentLog::default();
    let mut paused = on_air();
    paused.status.engine.paused = true;
    paused.status.engine.on_air = OnAir::Filler { cause: "paused".into() };
    let mut stopped = on_air();
    stopped.stopped = true;
    stopped.status.engine.publisher = PublisherState::Reconnecting { cause: String::new() };
    for seconds in (0..1000).step_by(10) {
        at(&mut log, seconds, &Ok(if seconds < 500 { paused.clone() } else { stopped.clone() }));
    }
    // A channel that never ran is not missed.
    log.observe("other", &Err(ChannelFault::NotRunning), UNIX_EPOCH + Duration::from_hours(600));
    log.observe("other", &Err(ChannelFault::NotRunning), UNIX_EPOCH + Duration::from_hours(1000));
    assert_eq!(log.incidents, []);
    for seconds in [2000, 2031] {
        at(&mut log, seconds, &Err(ChannelFault::NotRunning));
    }
    assert_eq!(deliver(&mut log)[0].2, IncidentKind::Away);
}

#[test]
fn failures_and_sessions_are_reported_as_they_come() {
    let mut log = IncidentLog::default();
    let with = |failure: &str, session: &str| {
        let mut status = on_air();
        status.status.engine.last_failure = Some(failure.to_owned());
        status.status.telegram = Some(TelegramStatus {
            state: TelegramState::Live,
            session: Some(session.to_owned()),
            ..TelegramStatus::default()
        });
        Ok(status)
    };
    at(&mut log, 0, &with("old", "a"));
    assert_eq!(deliver(&mut log), []);
    at(&mut log, 10, &with("http://me:hidden@h/new", "a"));
    let failed = IncidentKind::ItemsFailed;
    assert_eq!(log.due(&[1].into(), true), None);
    assert_eq!(deliver(&mut log), [(1, false, failed, false), (2, false, failed, false)]);
    assert!(!log.incidents[0].detail.contains("hidden"), "{log:?}");
    at(&mut log, 20, &with("newer", "a"));
    assert_eq!(deliver(&mut log)[0], (1, true, failed, false));
    at(&mut log, 30, &with("newer", "b"));
    assert_eq!(deliver(&mut log)[0].2, IncidentKind::SessionReplaced);
    at(&mut log, 3000, &with("newer", "b"));
    assert_eq!((deliver(&mut log), log.incidents.len()), (Vec::new(), 0));
}

#[test]
fn deaths_updates_and_deploys_are_reported_once() {
    let mut log = IncidentLog::default();
    let time = |seconds: u64| UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds);
    let note = |subject: NoteSubject, is_good, at: u64| MachineNote {
        subject,
        is_good,
        detail: "signal killed SEGV".into(),
        at: 1_000_000 + at,
    };
    let main = || NoteSubject::Broadcast("main".to_owned());
    // Of long ago.
    let old = MachineNote { at: 5, ..note(main(), false, 0) };
    log.observe_machine(&[old], time(0));
    assert_eq!(deliver(&mut log), []);
    log.observe_machine(&[note(main(), true, 10)], time(10));
    assert_eq!(deliver(&mut log), []);
    for _ in 0..2 {
        log.observe_machine(&[note(main(), false, 20)], time(20));
    }
    assert_eq!(deliver(&mut log)[0], (1, false, IncidentKind::Died, false));
    let text = serde_json::to_string(&log).unwrap();
    let mut log: IncidentLog = serde_json::from_str(&text).unwrap();
    log.observe_machine(&[note(main(), false, 20)], time(30));
    assert_eq!(deliver(&mut log), []);
    // It dies again: the same message.
    log.observe_machine(&[note(main(), false, 40)], time(40));
    assert_eq!(deliver(&mut log)[0], (1, true, IncidentKind::Died, false));
    log.observe_machine(&[note(NoteSubject::Deploy, true, 50)], time(50));
    assert_eq!(deliver(&mut log)[0].2, IncidentKind::Deployed);
    log.observe_machine(&[note(NoteSubject::Deploy, false, 60)], time(60));
    assert_eq!(deliver(&mut log)[0], (1, false, IncidentKind::DeployTakenBack, false));
    // An update that fails is an incident until the next one.
    for (is_good, over) in [(false, false), (true, true)] {
        log.observe_machine(&[note(NoteSubject::YtDlpUpdate, is_good, 70)], time(70));
        assert_eq!(deliver(&mut log)[0], (1, over, IncidentKind::YtDlpFailed, over));
    }
}

#[test]
fn several_channels_on_a_full_disk_are_one_incident() {
    let mut log = IncidentLog::default();
    let with = |free_bytes| {
        let mut status = on_air();
        status.disk = Some(DiskSpace { dir: "/var".into(), free_bytes, total_bytes: 100_000_000_000 });
        status.ytdlp_updated = Some("1970-01-12T00:00:00Z".to_owned());
        Ok(status)
    };
    let time = |seconds: u64| UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds);
    for channel in ["main", "news"] {
        log.observe(channel, &with(1_000_000_000), time(0));
    }
    assert_eq!(
        deliver(&mut log),
        [(1, false, IncidentKind::DiskFilling, false), (2, false, IncidentKind::DiskFilling, false)]
    );
    log.observe("main", &with(50_000_000_000), time(10));
    assert_eq!(deliver(&mut log), []);
    log.observe("news", &with(50_000_000_000), time(20));
    assert_eq!(deliver(&mut log)[0], (1, true, IncidentKind::DiskFilling, true));
    log.observe("news", &with(50_000_000_000), time(15 * 86_400));
    assert_eq!(deliver(&mut log)[0], (1, false, IncidentKind::YtDlpStale, false));
}

#[test]
fn the_log_is_bounded() {
    let mut log = IncidentLog::default();
    let mut degraded = on_air();
    degraded.status.telegram =
        Some(TelegramStatus { state: TelegramState::Degraded, ..TelegramStatus::default() });
    for n in 0..1000 {
        log.observe(&format!("channel {n}"), &Ok(degraded.clone()), UNIX_EPOCH + Duration::from_secs(9));
    }
    assert_eq!(
        (log.incidents.len(), log.seen.len(), log.failures.len()),
        (MOST, MOST_CHANNELS, MOST_CHANNELS)
    );
}
