//! `tgs-ytdlp-update`, killed at any moment: yt-dlp works afterwards, and the next update succeeds.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    fs,
    os::unix::{fs::symlink, process::CommandExt},
    process::Stdio,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tgs_e2e::{full_length, tools::YT_DLP_VERSIONS, yt_dlp_place::Place};

const OLD: &str = YT_DLP_VERSIONS[0];
const NEW: &str = YT_DLP_VERSIONS[1];
/// As `--version` writes them.
const SHOWN: [&str; 2] = ["2026.07.04", "2026.08.19"];

/// Starts the tool and kills it with its group after `delay`; whether it still ran then.
fn kill_after(place: &Place, args: &[&str], delay: Duration) -> bool {
    let mut command = place.command(args);
    command.process_group(0).stderr(Stdio::null()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    // The clock of this thread, or the end of the tool where that comes first.
    let (done, wait) = mpsc::channel::<()>();
    let group = Pid::from_child(&child);
    let killer = thread::spawn(move || {
        let early = wait.recv_timeout(delay).is_ok();
        if !early {
            kill_process_group(group, Signal::KILL).unwrap();
        }
        !early
    });
    let status = child.wait().unwrap();
    // The killer may be past its wait.
    let _ = done.send(());
    let _ = killer.join();
    status.code().is_none()
}

/// yt-dlp works, whichever of the two it is.
fn works(place: &Place) -> String {
    let version = place.version().unwrap();
    assert!(SHOWN.contains(&&*version), "{version}");
    version
}

/// Makes the old version the one in use, as it was before the first update.
fn reset(place: &Place) {
    let link = place.root().join("link");
    symlink(format!("versions/{OLD}"), &link).unwrap();
    fs::rename(link, place.root().join("current")).unwrap();
}

/// `kills` updates, and as many ways back, killed after the parts `turn`, `turn` + 2, … of the time
/// they take, and a random part of one more.
fn run(turn: u32, kills: u32) -> u32 {
    let place = Place::with(&[OLD]).unwrap();
    let began = Instant::now();
    assert_eq!(place.run(&[]).unwrap().code, Some(0));
    let update = began.elapsed();
    place.offer(&format!("yt_dlp-{NEW}-")).unwrap();
    let later = fastrand::u32(..1000);
    println!("a kill comes {later} thousandths of its part later");
    let moment = |kill: u32, whole: Duration| whole * (1000 * (2 * kill + turn) + later) / (2 * kills * 1000);
    let mut killed = 0;
    for kill in 0..kills {
        killed += u32::from(kill_after(&place, &[], moment(kill, update)));
        if works(&place) == SHOWN[1] {
            reset(&place);
        }
    }
    let ran = place.run(&[]).unwrap();
    assert_eq!((ran.code, ran.result()), (Some(0), &*format!("updated {OLD} -> {NEW}")), "{}", ran.log);
    let kept = place.versions().unwrap();
    assert!(
        kept.len() == 2 && kept.contains(&OLD.to_owned()),
        "what killed runs have left is gone: {kept:?}"
    );

    let began = Instant::now();
    assert_eq!(place.run(&["--rollback"]).unwrap().code, Some(0));
    let rollback = began.elapsed();
    for kill in 0..kills {
        // The links are swapped at the very end.
        killed += u32::from(kill_after(&place, &["--rollback"], rollback / 2 + moment(kill, rollback / 2)));
        works(&place);
    }
    let ran = place.run(&[]).unwrap();
    assert_eq!(ran.code, Some(0), "{}", ran.log);
    works(&place);
    killed
}

#[test]
fn yt_dlp_works_after_kills_at_any_moment() {
    // In each place, as many updates and as many ways back are killed: twenty in all.
    let (kills, places) = (full_length(1, 5), full_length(1, 2));
    let runs: Vec<_> = (0..places).map(|turn| thread::spawn(move || run(turn, kills))).collect();
    let killed: u32 = runs.into_iter().map(|run| run.join().unwrap()).sum();
    // The last ones can come too late.
    assert!(killed >= places * kills, "only {killed} of {} hit a running tool", 2 * places * kills);
}
