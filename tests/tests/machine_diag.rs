//! `tgs-diag` on a real systemd: as root and as the unit's user, with the unit running, stopped,
//! softened and broken.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::time::Duration;

use serde_json::Value;
use tgs_control::OnAir;
use tgs_e2e::{
    clips::clip,
    ingest::Ingest,
    machine::{ENV_FILE, Machine, UNIT},
};

const LIMIT: Duration = Duration::from_secs(30);
const STATE: &str = "/var/lib/tg_video_streamer";
const DIAG: &str = "/opt/tg_video_streamer/current/bin/tgs-diag";
const LIST: &str = "/srv/media/list.txt";

/// What it has found.
struct Found(Vec<Value>);

impl Found {
    /// Runs it in the box with these words in front and behind.
    fn by(machine: &Machine, before: &str, args: &str) -> Self {
        let out = machine.sh(&format!("{before} {DIAG} {args} --json || [ $? = 1 ]")).unwrap();
        Self(serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}")))
    }

    /// One finding of the check has this level and these words in its text or its remedy.
    #[track_caller]
    fn has(&self, level: &str, check: &str, words: &str) -> &Self {
        let of_check = || self.0.iter().filter(|it| it["check"] == check);
        let said = |it: &Value| format!("{} {}", it["text"], it["remedy"]).contains(words);
        assert!(
            of_check().any(|it| it["level"] == level && said(it)),
            "no {level} {check} with {words:?}, but {:#?}",
            of_check().collect::<Vec<_>>()
        );
        self
    }

    fn failing(&self) -> Vec<String> {
        self.0.iter().filter(|it| it["level"] == "FAIL").map(ToString::to_string).collect()
    }
}

/// A host with the units, in whose network the calling thread is.
fn host() -> Machine {
    let machine = Machine::boot().unwrap();
    machine.join_network().unwrap();
    machine.install_tree(&["tgs-stream", "tgs-diag"]).unwrap();
    machine.install_yt_dlp().unwrap();
    machine
}

/// As the unit's user: otherwise replacing yt-dlp would give root.
fn runs_yt_dlp_as_the_units_user(machine: &Machine) {
    let versions = "/opt/tg_video_streamer/shared/ytdlp/versions/test/bin";
    machine.sh(&format!("mv {versions}/yt-dlp {versions}/kept; printf '#!/bin/sh\\nid -un >&2\\n' >{versions}/yt-dlp; chmod 755 {versions}/yt-dlp")).unwrap();
    Found::by(machine, "", "").has("WARN", "yt-dlp", "tgstream");
    machine.sh(&format!("mv {versions}/kept {versions}/yt-dlp")).unwrap();
}

/// Wrong owner and mode, a softened unit, a timer that is off.
fn finds_softened_unit(machine: &Machine) {
    machine
        .sh(&format!("chown root: {ENV_FILE}; chmod 644 {ENV_FILE}; systemctl stop yt-dlp-update.timer"))
        .unwrap();
    machine
        .drop_in(&format!("{UNIT}.service"), "soft", "[Service]\nNoNewPrivileges=no\nPrivateTmp=no")
        .unwrap();
    machine.sh("systemctl daemon-reload").unwrap();
    let found = Found::by(machine, "", "");
    found
        .has("FAIL", "env-owner", "chown tgstream: ")
        .has("FAIL", "env-mode", "chmod 600 ")
        .has("FAIL", "hardening", "PrivateTmp is no")
        .has("FAIL", "timer", "systemctl enable --now yt-dlp-update.timer");
}

#[test]
fn it_looks_as_the_unit_does_and_says_what_is_wrong() {
    let machine = host();
    let ingest = Ingest::start().unwrap();
    let film = clip("diag-box", (320, 180), "30", 44_100, 20_000).path().unwrap();
    machine.put_media(&film, "/srv/media/film.mp4").unwrap();
    machine.write(LIST, "film.mp4\n", 0o644).unwrap();
    let url = ingest.url("thekey42");
    let settings =
        [("PLAYLIST", LIST), ("OUTPUT_URL", url.as_str()), ("VIDEO_QUALITY", "480p"), ("READ_AHEAD", "3s")];
    machine.settings(ENV_FILE, &settings).unwrap();

    // Nothing runs yet.
    let found = Found::by(&machine, "", "");
    found
        .has("WARN", "unit", "does not run")
        .has("PASS", "env-file", "as tg_video_streamer does")
        .has("PASS", "env-owner", "tgstream")
        .has("PASS", "disk-state", STATE)
        .has("PASS", "disk-cache", "/var/cache/tg_video_streamer")
        .has("PASS", "yt-dlp", "version ")
        .has("PASS", "playlist", "1 can be played");

    machine.sh(&format!("systemctl start {UNIT} && systemctl start yt-dlp-update.timer")).unwrap();
    machine
        .wait_for("an item on air", LIMIT, || {
            machine.status(STATE).is_ok_and(|it| matches!(it.engine.on_air, OnAir::Item(_)))
        })
        .unwrap();
    for before in ["", "runuser -u tgstream --", "cd /root &&"] {
        let found = Found::by(&machine, before, "");
        found
            .has("PASS", "unit", "runs since")
            .has("PASS", "hardening", "the kernel confirms it")
            .has("PASS", "timer", "yt-dlp is updated next on ")
            .has("PASS", "broadcast", "on air")
            .has("PASS", "port", "127.0.0.1:9090")
            .has("PASS", "ingest", "answers")
            .has("PASS", "env-mode", "0600");
        assert_eq!(found.failing(), [""; 0], "{before}");
    }
    // Another user: the report names what that user may not see, and why.
    Found::by(&machine, "runuser -u nobody --", "").has("FAIL", "env-file", "run this as root: ");

    runs_yt_dlp_as_the_units_user(&machine);
    finds_softened_unit(&machine);

    // A broken setting, crash after crash.
    machine.settings(ENV_FILE, &[&settings[..], &[("LOOP", "perhaps")]].concat()).unwrap();
    machine.sh(&format!("systemctl restart --no-block {UNIT}")).unwrap();
    machine
        .wait_for("a crash", LIMIT, || machine.unit(UNIT).is_ok_and(|it| it["SubState"] == "auto-restart"))
        .unwrap();
    let found = Found::by(&machine, "", "");
    found.has("FAIL", "unit", "and systemd starts it again").has("FAIL", "settings", "LOOP must be 1 or 0");
    found.has("PASS", "playlist", "1 can be played");
    Found::by(&machine, "", "--unit tg_video_streamer@none").has("FAIL", "env-file", "instances/none.env");
    Found::by(&machine, "", "--unit no_such_unit").has("FAIL", "unit", "systemd knows no unit no_such_unit");
}
