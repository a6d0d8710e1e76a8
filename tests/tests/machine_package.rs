//! The Debian package on a machine with systemd: from nothing to a broadcast that reaches a real
//! ingest through the test DC, over an upgrade, and away again with nothing of the operator's lost.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::time::Duration;

use tgs_e2e::{
    broadcast::until,
    clips::noisy,
    machine::{ENV_FILE, Machine, UNIT},
    nginx::Nginx,
    tools,
};
use tgs_testdc::{TestDc, World};

const LIMIT: Duration = Duration::from_secs(30);
const STATE: &str = "/var/lib/tg_video_streamer";

fn install(machine: &Machine, package: &str) -> String {
    machine.sh(&format!("DEBIAN_FRONTEND=noninteractive apt-get install --yes {package}")).unwrap()
}

/// The unit's process; 0 while the unit does not run.
fn pid(machine: &Machine) -> u32 {
    machine.unit(UNIT).unwrap()["MainPID"].parse().unwrap()
}

/// Waits for so much more media at the ingest.
fn goes_live(machine: &Machine, ingest: &Nginx) {
    let before = ingest.recorded_bytes().unwrap();
    ingest
        .wait_recorded(before + 100_000, LIMIT)
        .unwrap_or_else(|error| panic!("{error}\n{}", machine.journal(UNIT).unwrap()));
}

/// The units are enabled, and wait for their settings without an error.
fn is_laid_out_and_enabled(machine: &Machine) {
    let layout = machine
        .sh("cd /opt/tg_video_streamer && stat -c '%n %U:%G %a' . releases shared shared/ytdlp instances && readlink current")
        .unwrap();
    assert_eq!(
        layout,
        ". root:root 755\nreleases root:root 755\nshared tgstream:tgstream 750\nshared/ytdlp tgstream:tgstream 755\n\
         instances tgstream:tgstream 750\npackaged"
    );
    assert_eq!(
        machine.sh("systemctl is-enabled tg_video_streamer yt-dlp-update.timer").unwrap(),
        "enabled\nenabled"
    );
    assert_eq!(machine.sh("systemctl is-active yt-dlp-update.timer").unwrap(), "active");
    let unit = machine.unit(UNIT).unwrap();
    assert_eq!(unit["ActiveState"], "inactive");
    assert_eq!(machine.sh("systemctl --failed --no-legend").unwrap(), "");
    for tool in [
        "tgs-stream",
        "tgs-session",
        "tgs-ctl",
        "tgs-diag",
        "tgs-check-active",
        "tgs-ytdlp-update",
        "tgs-web",
        "tgs-bot",
    ] {
        let version = machine.sh(&format!("{tool} --version")).unwrap();
        assert_eq!(version, format!("{tool} {}", env!("CARGO_PKG_VERSION")));
        // Debian keeps documentation, and completions beside it; both may be left out by the
        // machine's dpkg settings.
        machine.sh(&format!("dpkg -L tgs | grep -x /usr/share/man/man1/{tool}.1.gz")).unwrap();
        machine.sh(&format!("test -f /usr/share/bash-completion/completions/{tool}")).unwrap();
    }
}

fn start_without_settings_says_what_to_run(machine: &Machine) {
    let started = machine.run(&["systemctl", "start", UNIT]).unwrap();
    let said = String::from_utf8_lossy(&started.stderr);
    assert!(!started.status.success() && said.contains("Assertion failed on job"), "{said}");
    let shown = machine.sh(&format!("systemctl status --no-pager --full {UNIT} || true")).unwrap();
    assert!(
        shown.contains("asserts failed") && shown.contains("settings: /opt/tg_video_streamer/current/.env;"),
        "{shown}"
    );
    let said = machine
        .sh(&format!("tgs-check-active {UNIT} --restart --timeout 8 --stable 2 2>&1 || true"))
        .unwrap();
    assert!(
        said.contains("tgs-session --write-env --env-file /opt/tg_video_streamer/current/.env"),
        "{said}"
    );
    assert_eq!(machine.sh("systemctl --failed --no-legend").unwrap(), "");
}

/// Of the packaged documents, and what the alerts name. Some machines' dpkg leaves documents out.
fn links_of_documents_lead_somewhere(machine: &Machine) {
    let lost = machine
        .sh(r"cd /usr/share/doc/tgs || exit 0; [ -e guide/operations.md ] || exit 0
              head -c 1 /opt/tg_video_streamer/current/docs/guide/operations.md >/dev/null
              find . -name '*.md' -exec grep -oHE '\]\([^)#]+' {} + | grep -v :// | while IFS= read -r line; do
                  [ -e ${line%/*.md:*}/${line##*(} ] || echo $line
              done")
        .unwrap();
    assert_eq!(lost, "", "links of the packaged documents that lead nowhere");
}

/// Settings for a broadcast of a clip to `ingest`, which `dc` names.
fn write_settings(machine: &Machine, dc: &TestDc, ingest: &Nginx) {
    dc.set_ingest(ingest.url("").trim_end_matches('/'));
    machine.put_media(&noisy("packaged", 20_000).path().unwrap(), "/srv/clip.mp4").unwrap();
    machine.write("/srv/list.txt", "/srv/clip.mp4\n", 0o644).unwrap();
    let chat = format!("-100{}", World::CHANNEL);
    machine
        .settings(
            ENV_FILE,
            &[
                ("API_ID", &dc.api_id().to_string()),
                ("API_HASH", &dc.api_hash()),
                ("SESSION_STRING", &dc.new_session(World::ALICE, 2).telethon_string()),
                ("CHAT_ID", &chat),
                ("PLAYLIST", "/srv/list.txt"),
            ],
        )
        .unwrap();
}

#[test]
fn from_nothing_to_a_broadcast_over_an_upgrade_and_away_again() {
    let machine = Machine::boot().unwrap();
    machine.put(&tools::package().unwrap(), "/root/tgs.deb", 0o644, "root:root").unwrap();
    let said = install(&machine, "/root/tgs.deb");
    assert!(said.contains("tgs-session --write-env"), "it does not say what is next: {said}");

    is_laid_out_and_enabled(&machine);
    start_without_settings_says_what_to_run(&machine);
    links_of_documents_lead_somewhere(&machine);

    // With settings: `systemctl start`, and the picture is at the ingest that Telegram names.
    machine.join_network().unwrap();
    let (dc, ingest) = (TestDc::start(World::example()).unwrap(), Nginx::start().unwrap());
    write_settings(&machine, &dc, &ingest);
    let settings = machine.sh(&format!("sha256sum {ENV_FILE}; stat -c '%U %a' {ENV_FILE}")).unwrap();
    machine.sh("systemctl start tg_video_streamer").unwrap();
    goes_live(&machine, &ingest);
    // The slate may come first.
    let playing = "playing clip into Demo channel (-1002000000001)";
    let plays = || (machine.unit(UNIT).unwrap()["StatusText"] == playing).then_some(());
    until("the clip on air", LIMIT, plays).unwrap();

    // An upgrade: the same package under a higher version.
    machine
        .sh("cd /root && dpkg-deb --raw-extract tgs.deb new && sed -i 's/^Version: .*/Version: 9.0.0-1/' new/DEBIAN/control &&
             dpkg-deb --build -Znone new new.deb")
        .unwrap();
    let before = pid(&machine);
    install(&machine, "/root/new.deb");
    assert_ne!(pid(&machine), before, "the old program still runs");
    goes_live(&machine, &ingest);

    // Removed: nothing runs, everything of the operator's is there, and how to end what is at
    // Telegram was said.
    let said = machine.sh("apt-get remove --yes tgs").unwrap();
    for what in ["--end-call", "--log-out"] {
        assert!(
            said.contains(&format!("tgs-session {what} --env-file /opt/tg_video_streamer/current/.env")),
            "{said}"
        );
    }
    assert_eq!(machine.run(&["pgrep", "--exact", "tgs-stream"]).unwrap().status.code(), Some(1));
    assert_eq!(machine.sh("command -v tgs-stream || echo gone").unwrap(), "gone");
    assert_eq!(machine.sh(&format!("sha256sum {ENV_FILE}; stat -c '%U %a' {ENV_FILE}")).unwrap(), settings);
    let position = machine.sh(&format!("find {STATE} -name 'position*'")).unwrap();
    assert!(!position.is_empty(), "{}", machine.sh(&format!("find {STATE}")).unwrap());

    // Installed again it goes on by itself; purged, nothing is left.
    install(&machine, "/root/tgs.deb");
    goes_live(&machine, &ingest);
    let said = machine.sh("apt-get purge --yes tgs").unwrap();
    assert!(said.contains("tgs-session --log-out") && said.contains("Settings > Devices"), "{said}");
    let left = machine.sh("find /opt /var/lib /var/cache /var/log /etc -path '*tg_video_streamer*' -o -name '*yt-dlp-update*' 2>/dev/null");
    assert_eq!(left.unwrap_or_default(), "");
}
