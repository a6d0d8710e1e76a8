//! The unit files as text: what the requirements name stands in them, systemd understands every
//! line, and the sandbox is as tight as it was. What they do on a running system is shown in
//! `machine_units.rs`.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use tgs_e2e::bin_path::workspace;

const BROADCAST: &str = "tg_video_streamer.service";
const INSTANCE: &str = "tg_video_streamer@.service";
const UPDATE: &str = "yt-dlp-update.service";
const TIMER: &str = "yt-dlp-update.timer";
const DESK: &str = "tg_video_web.service";
const BOT: &str = "tg_video_bot.service";

fn unit(name: &str) -> String {
    fs::read_to_string(workspace().join("deploy/systemd").join(name)).unwrap()
}

/// The directives of a unit, as they are written, without comments.
fn directives(unit: &str) -> Vec<&str> {
    unit.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// What the bot reads of a unit's end.
const NOTE: &str = concat!(
    "ExecStopPost=-/bin/sh -c 'umask 022; echo \"$$SERVICE_RESULT $$EXIT_CODE $$EXIT_STATUS\" >\"$$0.new\" ",
    "&& mv \"$$0.new\" \"$$0\"' /run/tgs-notes/%n",
);

/// Lines that requirements name, or that the tools depend on.
const REQUIRED: &[(&str, &[&str])] = &[
    (
        BROADCAST,
        &[
            "StartLimitInterval=0",
            "Type=notify",
            "User=tgstream",
            "EnvironmentFile=/opt/tg_video_streamer/current/.env",
            "ExecReload=/bin/kill -HUP $MAINPID",
            "Restart=always",
            "RestartSec=10",
            "TimeoutStopSec=10",
            "ProtectSystem=full",
            "NoNewPrivileges=yes",
            "PrivateTmp=true",
            "ProtectHome=read-only",
            "ProtectProc=invisible",
            "OOMPolicy=continue",
            "MemoryMax=75%",
            "TasksMax=2048",
            "LimitNOFILE=4096",
            "WantedBy=multi-user.target",
        ],
    ),
    (INSTANCE, &["EnvironmentFile=/opt/tg_video_streamer/instances/%i.env"]),
    (INSTANCE, &["StateDirectory=tg_video_streamer@%i", "CacheDirectory=tg_video_streamer"]),
    (BROADCAST, &[NOTE]),
    (UPDATE, &[NOTE]),
    (BROADCAST, &["RuntimeDirectory=tg_video_streamer", "RuntimeDirectoryMode=0750"]),
    (INSTANCE, &["RuntimeDirectory=tg_video_streamer@%i", "RuntimeDirectoryMode=0750"]),
    (UPDATE, &["Type=oneshot", "User=tgstream", "StandardOutput=append:/var/log/yt-dlp-update.log"]),
    (
        DESK,
        &[
            "Type=notify",
            "User=tgs-web",
            "SupplementaryGroups=tgstream",
            "InaccessiblePaths=-/opt/tg_video_streamer/shared -/opt/tg_video_streamer/instances",
            "InaccessiblePaths=-/var/lib/tg_video_streamer -/var/cache/tg_video_streamer",
            "TemporaryFileSystem=/var/lib:ro /var/cache:ro",
            "ProtectSystem=strict",
            "NoNewPrivileges=yes",
            "MemoryDenyWriteExecute=yes",
        ],
    ),
    (
        BOT,
        &[
            "Type=notify",
            "User=tgs-bot",
            "SupplementaryGroups=tgstream",
            "StateDirectory=tgs-bot",
            "StateDirectoryMode=0700",
            "RestartPreventExitStatus=78",
            "LoadCredential=bot.env:/opt/tg_video_streamer/shared/bot.env",
            "InaccessiblePaths=-/opt/tg_video_streamer/shared -/opt/tg_video_streamer/instances",
            "InaccessiblePaths=-/var/lib/tg_video_streamer -/var/cache/tg_video_streamer",
            "TemporaryFileSystem=/var/lib:ro /var/cache:ro",
            "ProtectSystem=strict",
            "NoNewPrivileges=yes",
            "MemoryDenyWriteExecute=yes",
        ],
    ),
    (TIMER, &["OnCalendar=Sun *-*-* 02:00:00 UTC", "Persistent=true", "WantedBy=timers.target"]),
];

#[test]
fn units_contain_the_required_directives() {
    for (name, lines) in REQUIRED {
        let unit = unit(name);
        for line in *lines {
            assert!(directives(&unit).contains(line), "{name} without {line}");
        }
    }
    let broadcast = unit(BROADCAST);
    for (name, words) in [
        ("ExecStart=", "--env-file /opt/tg_video_streamer/current/.env"),
        ("ExecStart=", "/opt/tg_video_streamer/current/bin/tgs-stream"),
        ("WatchdogSec=", ""),
    ] {
        let found =
            directives(&broadcast).into_iter().any(|line| line.starts_with(name) && line.contains(words));
        assert!(found, "{BROADCAST} without {name}{words}");
    }
    // An update must not restart the broadcast, whatever it does.
    for name in [UPDATE, TIMER] {
        assert!(!unit(name).contains("tg_video_streamer.service"), "{name}");
    }
}

#[test]
fn an_instance_differs_from_the_broadcast_in_its_places_only() {
    let (one, many) = (unit(BROADCAST), unit(INSTANCE));
    let shared = |unit| {
        let places = [
            "Description",
            "AssertPathExists",
            "EnvironmentFile",
            "ExecStart",
            "WorkingDirectory",
            "StateDirectory",
            "RuntimeDirectory",
        ];
        let is_place = |line: &&str| places.contains(&line.split('=').next().unwrap_or_default());
        directives(unit).into_iter().filter(|line| !is_place(line)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(shared(&one), shared(&many));
}

/// A root that holds systemd's own units, ours, and programs where ours name them.
fn root(change: impl Fn(String) -> String) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    let (bin, own) = (at("opt/tg_video_streamer/current/bin"), at("etc/systemd/system"));
    for dir in [&bin, &own, &at("usr/lib/systemd/system")] {
        fs::create_dir_all(dir).unwrap();
    }
    symlink("usr/lib", at("lib")).unwrap();
    for entry in fs::read_dir("/lib/systemd/system").unwrap() {
        let entry = entry.unwrap();
        // Directories only order systemd's own units.
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), at("usr/lib/systemd/system").join(entry.file_name())).unwrap();
        }
    }
    let tools = ["tgs-stream", "tgs-ytdlp-update", "tgs-web", "tgs-bot"].map(|name| bin.join(name));
    for tool in tools.into_iter().chain([at("bin/kill"), at("bin/sh")]) {
        fs::create_dir_all(tool.parent().unwrap()).unwrap();
        fs::copy("/bin/true", tool).unwrap();
    }
    for name in [BROADCAST, INSTANCE, UPDATE, TIMER, DESK, BOT] {
        fs::write(own.join(name), change(unit(name))).unwrap();
    }
    root
}

/// What systemd has to say about the units below `root`.
fn verify(root: &Path) -> String {
    let output = Command::new("systemd-analyze")
        .arg("--root")
        .arg(root)
        .args([
            "--man=no",
            "--recursive-errors=no",
            "verify",
            BROADCAST,
            "tg_video_streamer@news.service",
            UPDATE,
            TIMER,
            DESK,
            BOT,
        ])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

#[test]
fn systemd_understands_every_line() {
    assert_eq!(verify(root(|unit| unit).path()), "");
    // The check finds a key in the wrong section, an invalid value and a missing program.
    let said =
        verify(root(|unit| unit.replace("[Service]\n", "[Service]\nStartLimitIntervalSec=0\n")).path());
    assert!(said.contains("'StartLimitIntervalSec' in section [Service]"), "{said}");
    let said = verify(root(|unit| unit.replace("KillMode=mixed", "KillMode=some")).path());
    assert!(said.contains("some"), "{said}");
    let said = verify(root(|unit| unit.replace("bin/tgs-", "bin/no-")).path());
    assert!(said.contains("no-stream is not executable"), "{said}");
}

/// Whether systemd finds the sandbox of a unit at most as open as `threshold` tenths, and what it
/// says.
fn is_tight(path: &Path, threshold: u32) -> (bool, String) {
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=yes", "--no-pager", &format!("--threshold={threshold}")])
        .arg(path)
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_sandbox_is_as_tight_as_it_was() {
    for (name, threshold) in [(BROADCAST, 12), (INSTANCE, 12), (UPDATE, 15), (DESK, 12), (BOT, 12)] {
        let (tight, said) = is_tight(&workspace().join("deploy/systemd").join(name), threshold);
        assert!(tight, "{said}");
    }
    let dir = tempfile::tempdir().unwrap();
    let loose = dir.path().join(BROADCAST);
    fs::write(&loose, unit(BROADCAST).replace("PrivateDevices=yes", "")).unwrap();
    let (tight, said) = is_tight(&loose, 12);
    assert!(!tight, "{said}");
}
