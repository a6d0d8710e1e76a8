//! The unit of the bot on a real systemd: it starts and waits for Telegram, comes back after a
//! crash, and what of the broadcast is secret does not exist for it. What it says is shown in
//! `bot`.

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

    // Killed, it is back within ten seconds.
    let before = machine.unit(UNIT).unwrap()["MainPID"].clone();
    machine.sh(&format!("kill -KILL {before}")).unwrap();
    let back = machine.wait_for("the bot after a crash", Duration::from_secs(10), || {
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

    // Settings that cannot be used: it does not start again and again.
    machine.write(&format!("{shared}/bot.env"), "BOT_TOKEN=77\n", 0o600).unwrap();
    machine.run(&["systemctl", "restart", UNIT]).unwrap();
    let unit = machine.unit(UNIT).unwrap();
    assert_eq!((&*unit["ActiveState"], &*unit["ExecMainStatus"]), ("failed", "78"), "{unit:?}");
}
