//! Tables of state sequences and the expected verdicts.

use super::*;

const STABLE: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_mins(1);

/// A unit in `active (sub)` with this InvocationID and restart count.
fn at(active: &str, sub: &str, invocation: &str, restarts: u32) -> UnitSnapshot {
    UnitSnapshot {
        load: "loaded".into(),
        active: active.into(),
        sub: sub.into(),
        result: "success".into(),
        invocation: invocation.into(),
        restarts,
        condition: true,
        assertion: true,
        ..UnitSnapshot::default()
    }
}

fn running(invocation: &str, restarts: u32) -> UnitSnapshot {
    at("active", "running", invocation, restarts)
}

fn dying(restarts: u32) -> UnitSnapshot {
    UnitSnapshot { result: "exit-code".into(), ..at("activating", "auto-restart", "x", restarts) }
}

/// The verdict and the second in which it is returned, with one poll per second.
fn judge_with(
    old: Option<&UnitSnapshot>,
    health: impl Fn(u64) -> HealthVerdict,
    unit: impl Fn(u64) -> UnitSnapshot,
) -> (u64, Verdict) {
    let mut watch = UnitWatch::new(old, STABLE, TIMEOUT);
    for second in 0..=TIMEOUT.as_secs() {
        let at = Duration::from_secs(second);
        if let Some(verdict) = watch.see((at, at), &unit(second), &health(second)) {
            return (second, verdict);
        }
    }
    panic!("no verdict after the time");
}

fn judge(old: Option<&UnitSnapshot>, unit: impl Fn(u64) -> UnitSnapshot) -> (u64, Verdict) {
    judge_with(old, |_| HealthVerdict::NotAsked, unit)
}

fn up() -> Verdict {
    Verdict::Up(STABLE)
}

#[test]
fn a_unit_that_runs_without_a_restart_is_up() {
    assert_eq!(judge(None, |_| running("a", 7)), (5, up()));
}

#[test]
fn the_run_that_a_restart_ends_does_not_count() {
    let old = running("a", 0);
    // A slow stop: the old run lasts another 9 s.
    let unit = |second| match second {
        0..4 => running("a", 0),
        4..9 => at("deactivating", "stop-sigterm", "a", 0),
        9..12 => at("activating", "start", "b", 0),
        _ => running("b", 0),
    };
    assert_eq!(judge(Some(&old), unit), (17, up()));
    // A restart that does not happen is not a success.
    assert_eq!(judge(Some(&old), |_| running("a", 0)), (56, Verdict::Other));
}

#[test]
fn a_unit_that_was_down_comes_up() {
    let old = UnitSnapshot { condition: false, ..at("inactive", "dead", "", 0) };
    let queued = UnitSnapshot { job: true, ..old.clone() };
    let unit = |second| if second < 2 { queued.clone() } else { running("b", 0) };
    assert_eq!(judge(Some(&old), unit), (7, up()));
}

#[test]
fn one_crash_is_forgiven_if_it_then_stays_up() {
    let unit = |second| match second {
        0..3 => running("a", 0),
        3..13 => dying(0),
        _ => running("b", 1),
    };
    assert_eq!(judge(None, unit), (18, up()));
}

#[test]
fn a_service_that_dies_after_three_seconds_is_a_loop() {
    // 3 s up and 10 s down, as with RestartSec=10.
    let unit = |second: u64| {
        let round = (second / 13) as u32;
        if second % 13 < 3 { running(&format!("r{round}"), round) } else { dying(round) }
    };
    assert_eq!(judge(None, unit), (39, Verdict::CrashLoop(3)));
}

#[test]
fn a_restart_between_two_looks_is_seen_by_the_run_alone() {
    let runs = |second: u64| running(&format!("r{}", second / 4), 0);
    assert!(matches!(judge(None, runs), (_, Verdict::TooShort(_))));
}

#[test]
fn a_slow_loop_is_a_loop_at_the_end_of_the_time() {
    let unit = |second| if second == 30 { running("a", 1) } else { dying(u32::from(second > 30)) };
    assert_eq!(judge(None, unit), (56, Verdict::CrashLoop(1)));
    assert_eq!(judge(None, |_| dying(0)), (56, Verdict::Failed));
}

#[test]
fn a_start_without_an_end() {
    let old = at("inactive", "dead", "", 0);
    assert_eq!(judge(Some(&old), |_| at("activating", "start", "b", 0)), (56, Verdict::Activating));
    assert_eq!(judge(Some(&old), |_| at("activating", "start-pre", "b", 0)), (56, Verdict::Activating));
    let late = |second| if second < 56 { at("activating", "start", "b", 0) } else { running("b", 0) };
    assert_eq!(judge(None, late).1, Verdict::TooShort(Duration::ZERO));
    let just = |second| if second < 55 { at("activating", "start", "b", 0) } else { running("b", 0) };
    assert_eq!(judge(None, just), (60, up()));
}

#[test]
fn a_unit_that_cannot_start_is_reported_at_once() {
    let failed = UnitSnapshot { result: "exit-code".into(), ..at("failed", "failed", "a", 0) };
    let dead = at("inactive", "dead", "a", 0);
    let skipped = UnitSnapshot { condition: false, assertion: false, ..at("inactive", "dead", "", 0) };
    let asserted = UnitSnapshot { assertion: false, ..at("inactive", "dead", "", 0) };
    let load = |load: &str| UnitSnapshot { load: load.into(), ..skipped.clone() };
    let bad = UnitSnapshot { load_error: "why".into(), ..load("bad-setting") };
    let cases = [
        (None, failed.clone(), Verdict::Failed),
        (None, dead.clone(), Verdict::Inactive),
        // Without a requested start, an unchecked condition is not evidence.
        (None, skipped.clone(), Verdict::Inactive),
        (Some(&dead), skipped.clone(), Verdict::NotStarted),
        (Some(&dead), asserted, Verdict::NotStarted),
        (Some(&dead), dead.clone(), Verdict::Inactive),
        (Some(&failed), failed.clone(), Verdict::Failed),
        (None, at("active", "exited", "a", 0), Verdict::Other),
        (None, load("not-found"), Verdict::NotFound),
        (Some(&dead), load("masked"), Verdict::Masked),
        (None, bad, Verdict::BadUnit("why".into())),
        (None, load("error"), Verdict::BadUnit("error".into())),
    ];
    for (old, unit, expected) in cases {
        assert_eq!(judge(old, |_| unit.clone()), (0, expected));
    }
}

#[test]
fn a_pending_start_is_waited_for() {
    let failed = UnitSnapshot { job: true, ..at("failed", "failed", "a", 0) };
    let unit = |second| if second < 5 { failed.clone() } else { running("b", 0) };
    assert_eq!(judge(Some(&failed), unit), (10, up()));
}

#[test]
fn the_page_must_answer_before_the_time_is_over() {
    let bad = || HealthVerdict::Bad("no".into());
    let fine = || HealthVerdict::Fine("200".into());
    let late = |second| if second < 20 { bad() } else { fine() };
    assert_eq!(judge_with(None, late, |_| running("a", 0)), (20, Verdict::Up(Duration::from_secs(20))));
    let never = judge_with(None, |_| bad(), |_| running("a", 0));
    assert_eq!(never, (60, Verdict::Unhealthy("no".into())));
    // The health page of another process does not make a dead unit healthy.
    assert_eq!(judge_with(None, |_| fine(), |_| at("failed", "failed", "a", 0)).1, Verdict::Failed);
}

#[test]
fn no_wait_at_all() {
    let mut watch = UnitWatch::new(None, Duration::ZERO, Duration::ZERO);
    let seen = watch.see((Duration::ZERO, Duration::ZERO), &running("a", 0), &HealthVerdict::NotAsked);
    assert_eq!(seen, Some(Verdict::Up(Duration::ZERO)));
}
