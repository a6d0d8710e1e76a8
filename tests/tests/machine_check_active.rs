//! tgs-check-active on a real systemd, against units that fail in each way that it tells apart.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    process::Output,
    time::{Duration, Instant},
};

use serde_json::Value;
use tgs_e2e::{
    bin_path::{build, workspace},
    machine::{ADDRESS, ENV_FILE, Machine, UNIT},
};

const TOOL: &str = "/opt/tg_video_streamer/current/bin/tgs-check-active";

fn boot() -> Machine {
    let machine = Machine::boot().unwrap();
    machine.put(&build("tgs-check-active").unwrap(), TOOL, 0o755, "root:root").unwrap();
    machine
}

fn unit(machine: &Machine, name: &str, service: &str) {
    let text = format!("[Unit]\nStartLimitIntervalSec=0\n[Service]\n{service}\n");
    machine.write(&format!("/run/systemd/system/{name}"), &text, 0o644).unwrap();
    machine.sh("systemctl daemon-reload").unwrap();
}

/// The exit code and everything that was said.
fn said(output: &Output) -> (i32, String) {
    let text = String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap();
    (output.status.code().unwrap_or(-1), text)
}

fn check(machine: &Machine, args: &str) -> (i32, String) {
    let words: Vec<_> = [TOOL].into_iter().chain(args.split(' ')).collect();
    said(&machine.run(&words).unwrap())
}

/// One unit that runs, and one of each way to fail.
fn make_units(machine: &Machine) {
    let units = [
        ("ok", "ExecStart=sleep infinity"),
        ("exits78", "ExecStart=sh -c 'echo SESSION_STRING=1Apabc is bad; exit 78'"),
        ("killed", "ExecStart=sh -c 'kill -9 $$$$'"),
        ("missing", "ExecStart=/nonexistent/program"),
        ("nobody-here", "User=nobodyhere\nExecStart=sleep infinity"),
        ("loop", "Restart=always\nRestartSec=1\nExecStart=sh -c 'sleep 0.5; exit 69'"),
        ("slow", "Type=notify\nExecStart=sleep infinity"),
        ("no-file", "EnvironmentFile=/nonexistent/.env\nExecStart=sleep infinity"),
        ("broken", "ExecStart=relative/path"),
        ("done", "Type=oneshot\nRemainAfterExit=yes\nExecStart=true"),
    ];
    for (name, service) in units {
        unit(machine, &format!("{name}.service"), service);
    }
    let skipped = "[Unit]\nConditionPathExists=/etc/passwd\nConditionPathExists=/opt/x/.env\n[Service]\n\
                   ExecStart=/opt/x/tgs-stream --env-file /opt/x/.env\n";
    machine.write("/run/systemd/system/skipped.service", skipped, 0o644).unwrap();
    let asserts = skipped.replace("ConditionPathExists=/opt/x/.env", "AssertPathExists=/opt/x/.env");
    machine.write("/run/systemd/system/asserts.service", &asserts, 0o644).unwrap();
    machine.sh("systemctl mask --runtime --quiet hidden.service; systemctl daemon-reload").unwrap();
}

/// Another user may check, and learns what needs more rights.
fn checks_as_nobody(machine: &Machine) {
    let as_nobody = |args: &str| {
        let script = format!("setpriv --reuid=nobody --regid=nogroup --clear-groups {TOOL} {args}");
        said(&machine.run(&["bash", "-c", &script]).unwrap())
    };
    assert_eq!(as_nobody("ok --stable 1").0, 0);
    let (code, text) = as_nobody("ok --restart --stable 1");
    assert_eq!(code, 1);
    assert!(text.contains("may not be restarted by this user") && text.contains("as root"), "{text}");
}

#[test]
fn each_failure_has_its_name_and_its_remedy() {
    let machine = boot();
    make_units(&machine);
    let cases = [
        ("absent", "not_found", "does not exist", "systemctl list-unit-files"),
        ("hidden", "masked", "is masked", "systemctl unmask hidden.service"),
        ("broken", "bad_unit", "cannot be loaded", "systemd-analyze verify broken.service"),
        (
            "skipped",
            "condition_failed",
            "ConditionPathExists=/opt/x/.env does not hold",
            "tgs-session --write-env --env-file /opt/x/.env",
        ),
        (
            "asserts",
            "condition_failed",
            "AssertPathExists=/opt/x/.env does not hold",
            "tgs-session --write-env --env-file /opt/x/.env",
        ),
        ("exits78", "failed", "exited with 78, bad configuration", "fix the settings"),
        ("killed", "failed", "was killed by SIGKILL", "journalctl -u killed.service"),
        ("missing", "failed", "could not be executed", "ExecStart="),
        ("nobody-here", "failed", "its user does not exist", "systemd-sysusers"),
        ("no-file", "failed", "a file it names is missing", "journalctl"),
        ("loop", "crash_loop", "times during the check", "apt install ffmpeg"),
        ("slow", "activating", "still activating (start)", "--timeout"),
        ("done", "not_running", "active (exited)", "journalctl"),
    ];
    for (name, outcome, words, remedy) in cases {
        let (code, text) = check(&machine, &format!("{name} --restart --timeout 20 --stable 6 --json"));
        assert_eq!(code, 1, "{name}: {text}");
        let told: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert_eq!((&told["outcome"], &told["ok"]), (&outcome.into(), &false.into()), "{text}");
        assert!(told["reason"].as_str().unwrap().contains(words), "{words}: {text}");
        assert!(told["remedy"].as_str().unwrap().contains(remedy), "{remedy}: {text}");
        assert!(!text.contains("1Apabc"), "{text}");
    }
    let (_, text) = check(&machine, "exits78 --restart");
    assert!(text.contains("SESSION_STRING=[masked] is bad"), "{text}");

    // Without --restart there is no wait: the answer is immediate.
    let began = Instant::now();
    let (code, text) = check(&machine, "skipped");
    assert_eq!(code, 1);
    assert!(
        text.contains("does not run: inactive (dead)")
            && text.contains("tgs-check-active skipped.service --restart starts it"),
        "{text}"
    );
    assert!(began.elapsed() < Duration::from_secs(10));

    let (code, text) = check(&machine, "ok --restart --stable 1");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("ok.service is up: active (running) for 1 s"), "{text}");
    checks_as_nobody(&machine);
}

#[test]
fn a_service_that_was_up_for_a_moment_is_not_up() {
    let machine = boot();
    // What "restart, then is-active" takes for good.
    unit(&machine, "moment.service", "Restart=always\nRestartSec=1\nExecStart=sh -c 'sleep 4; exit 1'");
    assert_eq!(machine.sh("systemctl restart moment; systemctl is-active moment").unwrap(), "active");
    let (code, text) = check(&machine, "moment --restart --timeout 90 --stable 20");
    assert_eq!(code, 1);
    assert!(text.contains("does not stay up: systemd restarted it "), "{text}");

    // One crash on the way is no failure, and the old run is no success.
    unit(
        &machine,
        "tg_video_streamer@a.service",
        "Restart=always\nRestartSec=1\nTimeoutStopSec=2\n\
         ExecStart=bash -c 'trap \"\" TERM; [[ -e /run/second ]] || { touch /run/second; exit 1; }; sleep infinity & wait; wait'",
    );
    for _ in 0..2 {
        let run = || machine.unit("tg_video_streamer@a.service").unwrap().remove("InvocationID");
        let before = run();
        let (code, text) = check(&machine, "tg_video_streamer@a --restart --timeout 20 --stable 3");
        assert_eq!(code, 0, "{text}");
        assert_ne!(run(), before);
    }
}

#[test]
fn the_health_page_may_say_what_it_said_before() {
    let machine = boot();
    let page = "import http.server,os,sys\n\
                class Page(http.server.BaseHTTPRequestHandler):\n\
                \x20   def do_GET(self):\n\
                \x20       code, words = open('/run/page').read().split(' ', 1)\n\
                \x20       self.send_response(int(code)); self.end_headers(); self.wfile.write(words.encode())\n\
                server = http.server.HTTPServer(('127.0.0.1', 0), Page)\n\
                open('/run/metrics.port', 'w').write('127.0.0.1:%d\\n' % server.server_port)\n\
                server.serve_forever()\n";
    machine.write("/opt/page.py", page, 0o644).unwrap();
    // What the page says changes with the restart where /run/next is there.
    unit(
        &machine,
        "page.service",
        "ExecStartPre=-sh -c 'mv /run/next /run/page'\nExecStart=/usr/bin/python3 /opt/page.py",
    );
    let restart = |before: &str, after: &str, timeout: u32| {
        machine
            .sh(&format!(
                "echo '{before}' >/run/page; rm -f /run/next /run/metrics.port; systemctl restart page"
            ))
            .unwrap();
        machine
            .wait_for("the page", Duration::from_secs(30), || machine.sh("test -s /run/metrics.port").is_ok())
            .unwrap();
        machine.sh(&format!("echo '{after}' >/run/next")).unwrap();
        let args = format!("page --restart --stable 1 --timeout {timeout} --healthz /run/metrics.port");
        check(&machine, &args)
    };
    let cases = [
        ("200 ok", "200 ok", 0),
        ("503 degraded: no session", "200 ok", 0),
        ("503 degraded: no session", "503 degraded: still none", 0),
        ("503 connection lost: reset", "503 not yet connected to the server", 0),
        ("200 ok", "503 degraded: API_HASH=abcdef is bad", 1),
        ("503 waiting_network: down", "503 waiting_rights: no", 1),
        ("503 starting:", "503 starting:", 1),
        ("200 ok", "500 what", 1),
    ];
    for (before, after, expected) in cases {
        // What fails takes all of its time.
        let (code, text) = restart(before, after, if expected == 0 { 20 } else { 12 });
        assert_eq!(code, expected, "{before} -> {after}: {text}");
        assert_eq!(text.contains("runs, but does not work"), expected == 1, "{text}");
        assert!(!text.contains("abcdef"), "{text}");
    }
    // Without a restart there is no "before".
    machine.sh("echo '503 degraded: x' >/run/page").unwrap();
    assert_eq!(check(&machine, "page --stable 0 --timeout 1 --healthz /run/metrics.port").0, 1);
    machine.sh("echo '200 ok' >/run/page").unwrap();
    let port = machine.read("/run/metrics.port").unwrap();
    assert_eq!(check(&machine, &format!("page --stable 0 --healthz http://{}/healthz", port.trim())).0, 0);
}

#[test]
fn a_broadcast_that_is_off_the_air_is_not_up() {
    let machine = Machine::boot().unwrap();
    machine.install_tree(&["tgs-stream", "tgs-check-active"]).unwrap();
    machine.write("/opt/tg_video_streamer/shared/playlist.txt", "nothing.mp4\n", 0o644).unwrap();
    machine
        .put(&workspace().join("ci/check_service_active.sh"), "/root/check.sh", 0o755, "root:root")
        .unwrap();
    let telegram =
        [("API_ID", "1"), ("API_HASH", "0123456789abcdef0123456789abcdef"), ("CHAT_ID", "-1001234567890")];
    let pages = [("PROMETHEUS_PORT", "9191"), ("STATE_DIR", "/var/lib/tg_video_streamer/own")];
    machine.settings(ENV_FILE, &[&telegram[..], &pages].concat()).unwrap();
    machine.sh(&format!("systemctl start {UNIT}")).unwrap();
    let pid = || machine.unit(UNIT).unwrap()["MainPID"].clone();
    let degraded = || machine.unit(UNIT).unwrap()["StatusText"].starts_with("degraded: ");
    machine.wait_for("degraded mode", Duration::from_secs(30), degraded).unwrap();

    // No session. The page is found wherever it is, its state is said at once, and others hear it
    // from systemd.
    let began = Instant::now();
    let (code, text) = check(&machine, "--stable 1");
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("runs, but does not work: 503: degraded: ")
            && text.contains("tgs-diag prints the remedy"),
        "{text}"
    );
    let as_nobody = format!("setpriv --reuid=nobody --regid=nogroup --clear-groups {TOOL} --stable 0");
    let (code, text) = said(&machine.run(&["bash", "-c", &as_nobody]).unwrap());
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("does not work: 503: degraded: "), "{text}");
    assert!(began.elapsed() < Duration::from_secs(20), "it waited for what does not come");
    for active in [format!("{TOOL} --active-only --stable 1"), "/root/check.sh --stable 1".to_owned()] {
        let (code, text) = said(&machine.run(&["bash", "-c", &active]).unwrap());
        assert_eq!(code, 0, "{active}: {text}");
    }
    // A restart changes nothing about it, and is not to blame.
    let before = pid();
    let (code, text) = check(&machine, "--restart --stable 2");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("is up") && text.contains("503 as before the restart: degraded: "), "{text}");
    assert_ne!(pid(), before);

    // What a start would refuse is not restarted, and all of it is said.
    let before = pid();
    let wrong =
        [("LOOP", "perhaps"), ("OUTPUT_URL", "http://h/thekey42"), ("FFMPEG_PATH", "/nowhere/ffmpeg")];
    machine.settings(ENV_FILE, &[&telegram[..], &pages, &wrong].concat()).unwrap();
    for by in [format!("{TOOL} --restart"), "/root/check.sh --restart".to_owned()] {
        let (code, text) = said(&machine.run(&["bash", "-c", &by]).unwrap());
        assert_eq!(code, 1, "{by}: {text}");
        for words in
            ["was left as it is", "LOOP must be 1 or 0", "OUTPUT_URL", "/nowhere/ffmpeg", "--restart"]
        {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(!text.contains("thekey42"), "{text}");
        assert_eq!(pid(), before, "{by}");
    }
    // A user who may not read the settings cannot say that a start would refuse them.
    let as_nobody = format!("{} --restart", as_nobody.replace(" --stable 0", ""));
    let (code, text) = said(&machine.run(&["bash", "-c", &as_nobody]).unwrap());
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("may not be restarted by this user") && !text.contains("would refuse"), "{text}");

    // No ingest: connecting is waited for and is no success.
    machine.settings(ENV_FILE, &[("OUTPUT_URL", "rtmp://127.0.0.1:9/live/thekey42")]).unwrap();
    let (code, text) = check(&machine, "--restart --stable 1 --timeout 30");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("refuses connections") && !text.contains("thekey42"), "{text}");
}

#[test]
fn from_ci_over_ssh_and_where_only_the_script_is_known() {
    let machine = boot();
    unit(&machine, "tg_video_streamer.service", "ExecStart=sleep infinity");
    let restart = |unit: &str| {
        let mut command = machine.on_ci_side("bash");
        let read = |path| std::fs::read_to_string(path).unwrap();
        command.arg(workspace().join("ci/restart.sh")).arg(format!("root@{ADDRESS}")).arg(unit);
        command.env("DEPLOY_SSH_KEY", read(machine.key()).trim_end());
        command.env("DEPLOY_KNOWN_HOSTS", read(machine.known_hosts()).trim_end());
        said(&command.output().unwrap())
    };
    let (code, text) = restart("tg_video_streamer");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("tg_video_streamer.service is up"), "{text}");
    let (code, text) = restart("absent");
    assert_eq!(code, 1);
    assert!(text.contains("absent.service does not exist"), "{text}");
    assert_eq!(restart("a;reboot").0, 2);

    machine
        .put(&workspace().join("ci/check_service_active.sh"), "/root/check.sh", 0o755, "root:root")
        .unwrap();
    let (code, text) = said(&machine.run(&["/root/check.sh"]).unwrap());
    assert_eq!(code, 0, "{text}");
    machine.sh(&format!("rm {TOOL}")).unwrap();
    let (code, text) = said(&machine.run(&["/root/check.sh"]).unwrap());
    assert_eq!(code, 1);
    assert!(text.contains("there is no tgs-check-active"), "{text}");

    // This machine itself may have no systemd at all.
    if !std::path::Path::new("/run/systemd/system").exists() {
        let tool = build("tgs-check-active").unwrap();
        let (code, text) = said(&std::process::Command::new(tool).output().unwrap());
        assert_eq!(code, 1);
        assert!(text.contains("does not run systemd"), "{text}");
    }
}
