//! Two hosts over three etcd nodes under some faults. `cargo xtask soak --cluster` draws 200.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{path::Path, time::Duration};

use tgs_e2e::{
    bin_path::tgs_stream,
    cluster::{Fault, Plan, run},
};

/// The shortest that is allowed.
const TTL: Duration = Duration::from_secs(3);

/// Other tests run beside it; the soak is judged strictly.
const SPARE: Duration = Duration::from_secs(4);

fn survives(faults: &[Fault], seed: u64, through_telegram: bool) {
    let logs = tempfile::tempdir().unwrap();
    let plan = Plan {
        ttl: TTL,
        faults: faults.to_vec(),
        seed,
        through_telegram,
        spare: SPARE,
        logs: logs.path().to_owned(),
    };
    let found = run(tgs_stream(), &plan, |row| {
        println!("{row}");
        true
    });
    let log = |name: &str| std::fs::read_to_string(Path::new(logs.path()).join(name)).unwrap_or_default();
    let logs = || format!("host0:\n{}\nhost1:\n{}", log("host0.log"), log("host1.log"));
    let found = found.unwrap_or_else(|error| panic!("{error:#}\n{}", logs()));
    assert!(found.targets().iter().all(|(met, _)| *met), "{found}\n{}", logs());
}

#[test]
fn dead_and_stopped_hosts_are_replaced() {
    use Fault::{HandOver, KillActiveAndLeader, StopActive, StopLeader};
    survives(&[HandOver, StopActive, KillActiveAndLeader, StopLeader], 1, false);
}

#[test]
fn hosts_and_etcd_that_are_cut_off_never_make_two_publishers() {
    use Fault::{CutActive, CutBoth, LoseQuorum};
    survives(&[CutActive, CutBoth, LoseQuorum], 2, false);
}

#[test]
fn in_telegram_another_session_takes_over() {
    survives(&[Fault::KillActive, Fault::Deaf], 3, true);
}
