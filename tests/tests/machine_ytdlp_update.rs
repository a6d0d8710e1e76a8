//! The update of yt-dlp by its own unit, in its sandbox, on a real systemd; and what a full disk or
//! half a Python do to it.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::time::Duration;

use tgs_e2e::{
    machine::{ENV_FILE, Machine},
    tools::{YT_DLP_VERSIONS, wheels_dir},
};

const LIMIT: Duration = Duration::from_mins(5);
const ROOT: &str = "/opt/tg_video_streamer/shared/ytdlp";
const LOG: &str = "/var/log/yt-dlp-update.log";

/// A box with the unit, which finds wheels at /srv/wheels instead of a network.
fn machine() -> Machine {
    let machine = Machine::boot().unwrap();
    machine.install_tree(&["tgs-ytdlp-update"]).unwrap();
    machine.put_tree(&wheels_dir(), "/srv/wheels").unwrap();
    machine.settings(ENV_FILE, &[("SESSION_STRING", "nobody's business")]).unwrap();
    let start = "[Service]\nExecStart=\nExecStart=/opt/tg_video_streamer/current/bin/tgs-ytdlp-update --env-file \
                 /opt/tg_video_streamer/current/.env --find-links /srv/wheels\n";
    machine.drop_in("yt-dlp-update.service", "test", start).unwrap();
    machine
}

#[test]
fn a_missed_update_is_made_up_for_in_its_sandbox() {
    let machine = machine();
    // Persistent=: the last time was two weeks ago. The random delay is for real fleets.
    machine.drop_in("yt-dlp-update.timer", "test", "[Timer]\nRandomizedDelaySec=0\n").unwrap();
    machine
        .sh("mkdir -p /var/lib/systemd/timers && \
             touch -d '2 weeks ago' /var/lib/systemd/timers/stamp-yt-dlp-update.timer && \
             systemctl enable --now yt-dlp-update.timer")
        .unwrap();
    let result = || machine.read(LOG).unwrap_or_default().contains(" RESULT: ");
    machine.wait_for("a result in the log", LIMIT, result).unwrap();
    let log = machine.read(LOG).unwrap();
    let new = YT_DLP_VERSIONS[1];
    assert!(log.contains(&format!(" INFO  RESULT: installed {new}\n")), "{log}");
    assert!(!log.contains("Landlock"), "pip was not confined: {log}");
    assert!(log.contains("works; JavaScript: deno-"), "{log}");
    let path = "/opt/tg_video_streamer/current/venv/bin/yt-dlp";
    let run = format!(
        "runuser -u tgstream -- {path} --version; stat -c %U {ROOT}/current/ {LOG}; \
                       find {ROOT} ! -user tgstream; ls -d /tmp/tgs-* 2>/dev/null || true"
    );
    assert_eq!(machine.sh(&run).unwrap().trim(), "2026.08.19\ntgstream\ntgstream");

    // As an operator runs it: nothing of root's is left.
    let again = machine
        .sh("/opt/tg_video_streamer/current/bin/tgs-ytdlp-update --find-links /srv/wheels 2>&1")
        .unwrap();
    assert!(again.contains("continuing as ") && again.contains("RESULT: already newest"), "{again}");
    assert_eq!(machine.sh(&format!("find {ROOT} ! -user tgstream")).unwrap().trim(), "");

    // A new file takes the place of the log, for the same writer.
    machine.sh("logrotate --force /etc/logrotate.d/yt-dlp-update && systemctl start yt-dlp-update").unwrap();
    let log = machine.read(LOG).unwrap();
    assert!(log.contains("RESULT: already newest") && !log.contains("RESULT: installed"), "{log}");
    assert_eq!(machine.sh(&format!("stat -c '%U %a' {LOG}")).unwrap().trim(), "tgstream 640");
}

#[test]
fn a_full_disk_and_a_missing_module_are_named() {
    let machine = machine();
    for (options, finder) in [
        ("size=100m", "full disk: only "),
        // Room enough in bytes: pip runs into the end of it.
        ("size=2g,nr_inodes=1500", "No space left on device"),
    ] {
        machine
            .sh(&format!("mount -t tmpfs -o mode=755,uid=tgstream,gid=tgstream,{options} none {ROOT}"))
            .unwrap();
        let failed = machine.sh("systemctl start yt-dlp-update 2>&1 && exit 1; systemctl show -P ExecMainStatus yt-dlp-update").unwrap();
        assert!(failed.ends_with("\n1"), "{failed}");
        // The bot reads it.
        let note = machine.read("/run/tgs-notes/yt-dlp-update.service").unwrap();
        assert_eq!(note, "exit-code exited 1\n");
        let log = machine.read(LOG).unwrap();
        let result = log.lines().last().unwrap();
        assert!(
            result.contains("RESULT: FAILED to make room for a new version, full disk: ")
                && result.contains(finder),
            "{log}"
        );
        assert!(result.ends_with("; there is still NO yt-dlp"), "{result}");
        let left = machine.sh(&format!("ls -A {ROOT}/versions")).unwrap();
        assert_eq!(left.trim(), "", "nothing is left of it");
        machine.sh(&format!("umount {ROOT}; systemctl reset-failed yt-dlp-update")).unwrap();
    }
    // As Debian is without the package python3-venv.
    machine.sh("rm -r /usr/lib/python3*/ensurepip; systemctl start yt-dlp-update || true").unwrap();
    let log = machine.read(LOG).unwrap();
    let result = log.lines().last().unwrap();
    assert!(result.contains("no venv module: ") && result.contains("; install python3-venv; "), "{log}");
}
