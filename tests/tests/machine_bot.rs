//! The unit of the bot on a real systemd: it starts and waits for Telegram, comes back after a
//! crash, and what of the broadcast is secret does not exist for it. What it says is shown in
//! `bot`.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::time::Duration;

use tgs_e2e::machine::Machine;

const LIMIT: Duration = Duration::from_secs(30);
const UNIT: &str = "tg_video_bot";
const SETTINGS: &str = "API_ID=12345\nAPI_HASH=0123456789abcdef0123456789abcdef\n\
                        BOT_TOKEN=77:AAtestdc0123456789abcdefghijklmnopq\nBOT_ADMINS=5\n";

#[test]
fn it_waits_for_telegram_and_sees_no_secret_of_the_broadcast() {
    let machine = Machine::boot().unwrap();
    machine.install_tree(&["tgs-bot"]).unwrap();
    let shared = "/opt/tg_video_streamer/shared";
    machine.write(&format!("{shared}/bot.env"), SETTINGS, 0o600).unwrap();
    machine.write(&format!("{shared}/.env"), "SESSION_STRING=x\n", 0o644).unwrap();
    let checked = machine.sh("/opt/tg_video_streamer/current/bin/tgs-bot --check").unwrap();
    assert!(checked.contains("bot 77 are valid: 1 may steer, 0 may look"), "{checked}");
    machine.sh(&format!("systemctl start {UNIT}")).unwrap();
    let waits = machine.wait_for("the bot", LIMIT, || {
        machine.unit(UNIT).is_ok_and(|unit| unit["StatusText"].starts_with("waiting for Telegram"))
    });
    waits.unwrap_or_else(|error| panic!("{error}\n{}", machine.journal(UNIT).unwrap()));
    assert_eq!(machine.sh("stat -c '%U:%G %a' /var/lib/tgs-bot").unwrap(), "tgs-bot:tgs-bot 700");

    // Killed, it is back.
    let before = machine.unit(UNIT).unwrap()["MainPID"].clone();
    machine.sh(&format!("kill -KILL {before}")).unwrap();
    let back = machine.wait_for("the bot after a crash", LIMIT, || {
        machine.unit(UNIT).is_ok_and(|unit| unit["ActiveState"] == "active" && unit["MainPID"] != before)
    });
    back.unwrap_or_else(|error| panic!("{error}\n{}", machine.journal(UNIT).unwrap()));

    // As the service's process sees the machine, even with the group that may read the directories.
    let pid = &machine.unit(UNIT).unwrap()["MainPID"];
    let inside = format!(
        "nsenter --target {pid} --mount setpriv --reuid tgs-bot --regid tgs-bot --groups tgstream --"
    );
    machine.sh(&format!("chmod -R g+rX {shared} /var/lib/tg_video_streamer")).unwrap();
    for path in [
        "/opt/tg_video_streamer/shared/.env",
        "/opt/tg_video_streamer/shared/bot.env",
        "/opt/tg_video_streamer/current/.env",
        "/opt/tg_video_streamer/instances",
        "/var/lib/tg_video_streamer",
        "/var/cache/tg_video_streamer",
        "/var/log/journal",
    ] {
        let read =
            machine.sh(&format!("{inside} sh -c 'cat {path} || ls {path}/' 2>&1 || echo refused")).unwrap();
        assert!(read.ends_with("refused"), "{path}: {read}");
    }
    machine.sh(&format!("{inside} sh -c 'echo x >/var/lib/tgs-bot/x && rm /var/lib/tgs-bot/x'")).unwrap();
    let journal = machine.journal(UNIT).unwrap();
    assert!(!journal.contains("AAtestdc"), "{journal}");

    sandbox_admits_pictures_and_films(&machine);
    deaths_leave_a_note(&machine);

    // Settings that cannot be used: it does not start again and again.
    machine.write(&format!("{shared}/bot.env"), "BOT_TOKEN=77\n", 0o600).unwrap();
    machine.run(&["systemctl", "restart", UNIT]).unwrap();
    let unit = machine.unit(UNIT).unwrap();
    assert_eq!((&*unit["ActiveState"], &*unit["ExecMainStatus"]), ("failed", "78"), "{unit:?}");
}

/// In the sandbox of the unit, ffmpeg draws a picture, and a film becomes readable for the
/// broadcast.
fn sandbox_admits_pictures_and_films(machine: &Machine) {
    let unit = "/run/systemd/system/sandbox-of-bot.service";
    let script = "set -eu; cd /var/lib/tgs-bot
        ffmpeg -v error -f lavfi -i testsrc -frames:v 1 -c:v mjpeg -f image2pipe -y picture.jpg
        media=/var/lib/tgs-bot-media
        echo film >$media/.part-1; chmod 640 $media/.part-1; mv -n $media/.part-1 $media/film.mp4
        ! cat /opt/tg_video_streamer/shared/.env\n";
    machine.write("/usr/local/bin/sandbox-of-bot", script, 0o755).unwrap();
    let edit = format!(
        "sed -e 's|^ExecStart=.*|ExecStart=/bin/sh /usr/local/bin/sandbox-of-bot|' -e 's/^Type=.*/Type=oneshot/' \
         -e '/^Restart/d' -e '/^Watchdog/d' -e '/^NotifyAccess/d' /etc/systemd/system/{UNIT}.service >{unit}"
    );
    machine.sh(&edit).unwrap();
    machine.sh("systemctl daemon-reload").unwrap();
    let started =
        machine.sh("systemctl start sandbox-of-bot 2>&1 || journalctl --no-pager -u sandbox-of-bot").unwrap();
    assert_eq!(started, "");
    let film = "/var/lib/tgs-bot-media/film.mp4";
    assert_eq!(machine.sh(&format!("stat -c '%U:%G %a' {film}")).unwrap(), "tgs-bot:tgstream 640");
    let read = machine.sh(&format!("setpriv --reuid tgstream --regid tgstream --clear-groups cat {film}"));
    assert_eq!(read.unwrap(), "film");
    machine.sh("test -s /var/lib/tgs-bot/picture.jpg && rm /var/lib/tgs-bot/picture.jpg").unwrap();
}

/// A unit that is killed leaves how, where the user of the bot can read it.
fn deaths_leave_a_note(machine: &Machine) {
    let note = "/run/tgs-notes/tg_video_streamer@dies.service";
    machine.write("/opt/tg_video_streamer/instances/dies.env", "OUTPUT_URL=x\n", 0o644).unwrap();
    let unit = "/etc/systemd/system/tg_video_streamer@dies.service.d/end.conf";
    let dropin = "[Service]\nType=exec\nExecStart=\nExecStart=/bin/sh -c 'kill -SEGV $$$$'\nRestart=no\n";
    machine.write(unit, dropin, 0o644).unwrap();
    machine.sh("systemctl daemon-reload").unwrap();
    machine.run(&["systemctl", "start", "tg_video_streamer@dies"]).unwrap();
    let found = machine.wait_for("a note", LIMIT, || machine.read(note).is_ok());
    found.unwrap_or_else(|error| panic!("{error}\n{}", machine.journal("tg_video_streamer@dies").unwrap()));
    let seen =
        machine.sh(&format!("setpriv --reuid tgs-bot --regid tgs-bot --clear-groups cat {note}")).unwrap();
    assert!(seen == "signal killed SEGV" || seen == "core-dump dumped SEGV", "{seen}");
}
