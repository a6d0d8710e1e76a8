//! The archive of `cargo xtask dist`, deployed to a machine with systemd: the real broadcast
//! reaches a real ingest through the test DC, and a release that dies after three seconds is taken
//! back with the picture there again in 90 s.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    path::Path,
    process::Output,
    time::{Duration, Instant},
};

use tgs_e2e::{
    bin_path::workspace,
    clips::noisy,
    machine::{Machine, UNIT},
    nginx::Nginx,
    tools,
};
use tgs_testdc::{TestDc, World};

const LIMIT: Duration = Duration::from_secs(30);

/// A tgs-stream that starts well, and dies.
const DYING: &str = "#!/bin/sh\n[ \"$1\" = --version ] && exec echo tgs-stream 9.9.9\nsystemd-notify --ready\nsleep 3\nexit 70\n";

fn deploy(machine: &Machine, options: &str) -> Output {
    let script = format!("bash /root/remote_deploy.sh --stable 5 {options}");
    machine.run(&["bash", "-c", &script]).unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Waits for so much more media at the ingest.
fn goes_live(machine: &Machine, ingest: &Nginx, within: Duration) {
    let before = ingest.recorded_bytes().unwrap();
    ingest
        .wait_recorded(before + 100_000, within)
        .unwrap_or_else(|error| panic!("{error}\n{}", machine.journal(UNIT).unwrap()));
}

#[test]
fn a_release_goes_live_and_a_broken_one_is_taken_back() {
    let machine = Machine::boot().unwrap();
    machine.put(&tools::archive().unwrap(), "/root/good.tar.gz", 0o600, "root:root").unwrap();
    let script = workspace().join("deploy/remote_deploy.sh");
    machine.put(&script, "/root/remote_deploy.sh", 0o700, "root:root").unwrap();
    machine.join_network().unwrap();
    let (dc, ingest) = (TestDc::start(World::example()).unwrap(), Nginx::start().unwrap());
    dc.set_ingest(ingest.url("").trim_end_matches('/'));
    machine.put_media(&noisy("released", 20_000).path().unwrap(), "/srv/clip.mp4").unwrap();
    machine.write("/srv/list.txt", "/srv/clip.mp4\n", 0o644).unwrap();
    let env = format!(
        "API_ID={}\nAPI_HASH={}\nSESSION_STRING={}\nCHAT_ID=-100{}\nPLAYLIST=/srv/list.txt\n",
        dc.api_id(),
        dc.api_hash(),
        dc.new_session(World::ALICE, 2).telethon_string(),
        World::CHANNEL
    );
    machine.write("/root/env", &env, 0o600).unwrap();

    let first = deploy(&machine, "--archive /root/good.tar.gz --id good --env /root/env");
    assert_eq!(first.status.code(), Some(0), "{}", said(&first));
    goes_live(&machine, &ingest, LIMIT);
    let good = machine.sh("readlink /opt/tg_video_streamer/current").unwrap();

    machine.write("/root/dying", DYING, 0o755).unwrap();
    machine
        .sh("cd /root && mkdir new && tar -xzf good.tar.gz -C new && mv dying new/*/bin/tgs-stream")
        .unwrap();
    // The folder's own name, not `./`: as xtask packs it.
    machine.sh("cd /root/new && tar -cf ../bad.tar.gz -I 'gzip -1' *").unwrap();
    let began = Instant::now();
    let second = deploy(&machine, "--archive /root/bad.tar.gz --id bad");
    let said = said(&second);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("failed; going back to ") && said.contains(&good), "{said}");
    goes_live(&machine, &ingest, Duration::from_secs(90).saturating_sub(began.elapsed()));
    assert_eq!(machine.sh("readlink /opt/tg_video_streamer/current").unwrap(), good);
    let running = machine.unit(UNIT).unwrap()["MainPID"].clone();
    let program = machine.sh(&format!("readlink /proc/{running}/exe")).unwrap();
    assert_eq!(Path::new(&program), Path::new("/opt/tg_video_streamer").join(&good).join("bin/tgs-stream"));
    // A deploy brings no session back: the settings are those of the service.
    assert_eq!(machine.read("/opt/tg_video_streamer/shared/.env").unwrap(), env);
}
