//! A deploy over the installed package, and the package gone: what runs is then the deploy's, and
//! nothing of it is lost.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use tgs_e2e::{
    bin_path::workspace,
    machine::{ENV_FILE, Machine},
    tools,
};

const UNIT: &str = "tg_video_streamer.service";
const TIMER: &str = "yt-dlp-update.timer";
/// Enough to run without a network, waiting for one.
const SETTINGS: &str =
    "API_ID=1\nAPI_HASH=0123456789abcdef0123456789abcdef\nCHAT_ID=-1001\nPLAYLIST=/srv/list.txt\n";

fn machine() -> Machine {
    let machine = Machine::boot().unwrap();
    machine.put(&tools::package().unwrap(), "/root/tgs.deb", 0o644, "root:root").unwrap();
    machine.put(&tools::archive().unwrap(), "/root/release.tar.gz", 0o600, "root:root").unwrap();
    let script = workspace().join("deploy/remote_deploy.sh");
    machine.put(&script, "/root/remote_deploy.sh", 0o700, "root:root").unwrap();
    machine.write("/root/env", SETTINGS, 0o600).unwrap();
    apt(&machine, "install /root/tgs.deb");
    machine
}

fn apt(machine: &Machine, what: &str) {
    machine.sh(&format!("DEBIAN_FRONTEND=noninteractive apt-get --yes {what}")).unwrap();
}

fn deploy(machine: &Machine, id: &str) -> String {
    let script =
        format!("/root/remote_deploy.sh --archive /root/release.tar.gz --id {id} --stable 5 --env /root/env");
    machine.sh(&script).unwrap()
}

/// What names this run of the broadcast, which is up.
fn run(machine: &Machine) -> String {
    let unit = machine.unit(UNIT).unwrap();
    assert_eq!(unit["ActiveState"], "active", "{}", machine.journal(UNIT).unwrap());
    assert!(machine.sh(&format!("readlink /proc/{}/exe", unit["MainPID"])).unwrap().contains("/releases/"));
    unit["InvocationID"].clone()
}

/// Enabled, and the units are those of the release.
fn in_force(machine: &Machine) {
    for unit in [UNIT, TIMER] {
        let there = machine.unit(unit).unwrap();
        assert_eq!(there["FragmentPath"], format!("/etc/systemd/system/{unit}"));
        assert_eq!((&*there["LoadState"], &*there["NeedDaemonReload"]), ("loaded", "no"));
        let wants = machine.sh(&format!("ls /etc/systemd/system/*.wants/{unit}")).unwrap();
        assert!(wants.contains(unit));
    }
    assert_eq!(machine.sh(&format!("systemctl is-active {TIMER}")).unwrap(), "active");
}

#[test]
fn the_package_goes_and_the_deployed_broadcast_goes_on() {
    let machine = machine();
    assert!(deploy(&machine, "over").contains(&format!("runs: {UNIT}")));
    in_force(&machine);
    let before = run(&machine);
    machine.sh("install -o tgstream -m 600 /root/env /opt/tg_video_streamer/instances/a.env").unwrap();

    // Another version of the package, the package removed, and purged.
    apt(&machine, "install --reinstall /root/tgs.deb");
    apt(&machine, "remove tgs");
    assert_eq!(run(&machine), before);
    in_force(&machine);
    apt(&machine, "purge tgs");
    assert_eq!(run(&machine), before);
    in_force(&machine);
    let kept = "cat /opt/tg_video_streamer/shared/.env /opt/tg_video_streamer/instances/a.env && \
                ls -d /var/lib/tg_video_streamer /var/cache/tg_video_streamer /etc/logrotate.d/yt-dlp-update >/dev/null";
    assert_eq!(machine.sh(kept).unwrap(), format!("{SETTINGS}{SETTINGS}").trim_end());
    // It would start again, and the next deploy finds it as it should be.
    machine.sh(&format!("systemctl restart {UNIT}")).unwrap();
    assert!(deploy(&machine, "next").contains(&format!("runs: {UNIT}")));
    assert_ne!(run(&machine), before);
    in_force(&machine);
}

#[test]
fn a_deploy_where_the_package_was_removed_takes_its_masks_away() {
    let machine = machine();
    machine.write("/root/env.sh", "install -o tgstream -m 600 /root/env \"$1\"", 0o600).unwrap();
    machine.sh(&format!("bash /root/env.sh {ENV_FILE}; systemctl start {UNIT}")).unwrap();
    apt(&machine, "remove tgs");
    assert_eq!(machine.unit(UNIT).unwrap()["LoadState"], "masked");
    assert!(deploy(&machine, "after").contains(&format!("runs: {UNIT}")));
    run(&machine);
    in_force(&machine);
}
