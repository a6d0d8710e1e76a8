//! Deploying over real ssh to a host with a real systemd: a release that is good, one that is not,
//! and everything that may come between. The release is a stand-in whose `tgs-stream` is a script;
//! its `tgs-check-active` is the real one.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tgs_e2e::{
    bin_path::{build, workspace},
    machine::{ADDRESS, Machine},
};

const ROOT: &str = "/opt/tg_video_streamer";
const MAIN: &str = "tg_video_streamer.service";
const GOOD: &str = "exec sleep infinity";
/// What a release answers that has nothing against the settings.
const TAKES_ALL: &str = "[[ $* != *--check-settings* ]] || exit 0";
/// Passes a check that asks only once.
const DIES: &str = "sleep 3; echo it is over >&2; exit 78";
/// Passes a check that asks for five seconds only.
const DIES_LATER: &str = "sleep 6; exit 1";
/// How long each release has to hold here; on a server it is a minute.
const STABLE: &str = "5";
const SETTINGS: &str = "API_HASH=0123456789abcdef0123456789abcdef\n";
const OTHER: &str = "API_HASH=other\n";
/// Replaces a program that the script calls: runs it, and then kills the script if this call is the
/// configured one.
const KILLER: &str = r#"#!/bin/bash
"/usr/bin/${0##*/}" "$@"
code=$?
if [[ -e /run/kill-at && "${0##*/} $*" == $(</run/kill-at) ]]; then
    /usr/bin/mv /run/kill-at /run/killed
    kill -KILL "$(</run/deploy.pid)"
fi
exit "$code"
"#;

const UNIT: &str = "\
[Unit]
ConditionPathExists=/opt/tg_video_streamer/current/.env
StartLimitIntervalSec=0
[Service]
Type=exec
User=tgstream
EnvironmentFile=/opt/tg_video_streamer/current/.env
ExecStart=/opt/tg_video_streamer/current/bin/tgs-stream
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
";

/// A server, and a CI machine with releases for it.
struct Host {
    machine: Machine,
    ci: TempDir,
}

impl Host {
    fn new() -> Self {
        let machine = Machine::boot().unwrap();
        machine.put(&script(), "/root/remote_deploy.sh", 0o755, "root:root").unwrap();
        Self { machine, ci: TempDir::new().unwrap() }
    }

    /// A host on which the good release `first` runs.
    fn with_a_release() -> Self {
        let host = Self::new();
        host.release("first", GOOD);
        host.write("env", SETTINGS);
        host.must_deploy("first", &["--env", "/root/env"]);
        host
    }

    fn at(&self, name: &str) -> PathBuf {
        self.ci.path().join(name)
    }

    fn sh(&self, script: &str) -> String {
        self.machine.sh(script).unwrap()
    }

    /// Writes /root/`name` on the server and `name` on the CI machine.
    fn write(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
        self.machine.write(&format!("/root/{name}"), text, 0o600).unwrap();
    }

    /// A release whose `tgs-stream` does `body`; `change` may do more to its folder.
    fn release_with(&self, name: &str, body: &str, change: impl Fn(&Path)) {
        let dir = self.at("build").join(name);
        let put = |path: &str, text: &[u8]| {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            if path.parent().unwrap().ends_with("bin") {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
        };
        put(
            "bin/tgs-stream",
            format!("#!/bin/bash\n[[ ${{1:-}} != --version ]] || exit 0\n{body}\n").as_bytes(),
        );
        put("bin/tgs-check-active", &fs::read(build("tgs-check-active").unwrap()).unwrap());
        put("systemd/tg_video_streamer.service", UNIT.as_bytes());
        let instance = UNIT.replace("/current/.env", "/instances/%i.env");
        put("systemd/tg_video_streamer@.service", instance.as_bytes());
        put(
            "logrotate.d/yt-dlp-update",
            &fs::read(workspace().join("deploy/logrotate.d/yt-dlp-update")).unwrap(),
        );
        for file in ["sysusers.d/tg_video_streamer.conf", "tmpfiles.d/tg_video_streamer.conf"] {
            put(file, &fs::read(workspace().join("deploy").join(file)).unwrap());
        }
        change(&dir);
        let tar = Command::new("tar")
            .args(["--create", "--gzip", "--owner=1234", "--group=1234", "--file"])
            .arg(self.at(&format!("{name}.tar.gz")))
            .arg("--directory")
            .arg(self.at("build"))
            .arg(name)
            .status();
        assert!(tar.unwrap().success());
        let archive = self.at(&format!("{name}.tar.gz"));
        self.machine.put(&archive, &format!("/root/{name}.tar.gz"), 0o600, "root:root").unwrap();
    }

    /// One that accepts all settings.
    fn release(&self, name: &str, body: &str) {
        self.release_with(name, &format!("{TAKES_ALL}\n{body}"), |_| {});
    }

    /// Runs the script on the server itself.
    fn command(&self, name: &str, options: &[&str]) -> Command {
        let mut command = self.machine.command("/root/remote_deploy.sh");
        command.args(["--archive", &format!("/root/{name}.tar.gz"), "--stable", STABLE]).args(options);
        command
    }

    fn deploy(&self, name: &str, options: &[&str]) -> (i32, String) {
        said(&self.command(name, options).output().unwrap())
    }

    fn must_deploy(&self, name: &str, options: &[&str]) -> String {
        let (code, said) = self.deploy(name, options);
        assert_eq!(code, 0, "{said}");
        said
    }

    /// Deploys from the CI machine with this key and these known hosts.
    fn over_ssh(&self, name: &str, key: &Path, known_hosts: &str, options: &[&str]) -> Command {
        let mut command = self.machine.on_ci_side("bash");
        command
            .arg(workspace().join("ci/deploy.sh"))
            .arg(format!("root@{ADDRESS}"))
            .arg(self.at(&format!("{name}.tar.gz")))
            .args(["--stable", STABLE])
            .args(options)
            .env("DEPLOY_SSH_KEY", fs::read_to_string(key).unwrap().trim_end())
            .env("DEPLOY_KNOWN_HOSTS", known_hosts.trim_end())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn known_hosts(&self) -> String {
        fs::read_to_string(self.machine.known_hosts()).unwrap()
    }

    /// The label of the release that is current.
    fn current(&self) -> String {
        let link = self.sh(&format!("readlink {ROOT}/current"));
        link.rsplit_once('-').unwrap_or_else(|| panic!("current is {link}")).1.to_owned()
    }

    /// What names this run of the service.
    fn run_of(&self, unit: &str) -> String {
        let unit = self.machine.unit(unit).unwrap();
        assert_eq!((&*unit["ActiveState"], &*unit["SubState"]), ("active", "running"));
        unit["InvocationID"].clone()
    }

    fn env(&self) -> String {
        self.machine.read(&format!("{ROOT}/shared/.env")).unwrap_or_default()
    }

    /// Deploys with --replace-env and kills the script just after its first command that looks like
    /// `mark`.
    fn deploy_killed_at(&self, mark: &str, name: &str, id: &str) {
        for program in ["tar", "mv", "ln", "rm", "timeout", "systemctl", "logger"] {
            self.machine.write(&format!("/usr/local/sbin/{program}"), KILLER, 0o755).unwrap();
        }
        self.machine.write("/run/kill-at", mark, 0o600).unwrap();
        let script = format!(
            "echo $$ >/run/deploy.pid; exec /root/remote_deploy.sh --archive /root/{name}.tar.gz --id {id} \
             --stable {STABLE} --replace-env /root/other"
        );
        let output = self.machine.run(&["bash", "-c", &script]).unwrap();
        let (_, said) = said(&output);
        assert!(!output.status.success(), "{mark}: {said}");
        // It was here that it was killed.
        self.sh("rm /run/killed");
    }

    /// Nothing half-done lies about.
    fn is_tidy(&self) {
        let left = self.sh(&format!(
            "shopt -s nullglob dotglob; echo {ROOT}/releases/.* {ROOT}/*.new.* {ROOT}/.dep* /var/tmp/tgs-deploy.* \
             {ROOT}/shared/*.tgs-new {ROOT}/shared/*.lock {ROOT}/shared/.env.before*"
        ));
        assert_eq!(left, "");
    }
}

fn script() -> PathBuf {
    workspace().join("deploy/remote_deploy.sh")
}

fn said(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_first_deploy_waits_for_its_settings() {
    let host = Host::new();
    host.release("first", GOOD);
    let said = host.must_deploy("first", &[]);
    assert!(said.contains("there are no settings") && said.contains("tgs-session"), "{said}");
    assert_eq!(host.machine.unit(MAIN).unwrap()["ActiveState"], "inactive");
    assert_eq!(host.sh(&format!("systemctl is-enabled {MAIN}")), "enabled");

    host.write("env", SETTINGS);
    let said = host.must_deploy("first", &["--env", "/root/env"]);
    assert!(said.contains("installed") && said.contains("runs: tg_video_streamer.service"), "{said}");
    host.run_of(MAIN);
    let modes = host.sh(&format!(
        "stat -c '%n %a %U:%G' {ROOT} {ROOT}/releases {ROOT}/current/ {ROOT}/current/bin/* {ROOT}/shared {ROOT}/shared/.env; \
         readlink {ROOT}/current/.env {ROOT}/current/venv /etc/systemd/system/{MAIN}"
    ));
    assert_eq!(
        modes.replace(ROOT, ""),
        " 755 root:root\n/releases 755 root:root\n/current/ 755 root:root\n\
         /current/bin/tgs-check-active 755 root:root\n/current/bin/tgs-stream 755 root:root\n\
         /shared 750 tgstream:tgstream\n/shared/.env 600 tgstream:tgstream\n\
         ../../shared/.env\n../../shared/ytdlp/current\n/current/systemd/tg_video_streamer.service"
    );
    // From the next boot on, also when this release has long gone.
    assert_eq!(
        host.sh(&format!(
            "readlink /etc/systemd/system/multi-user.target.wants/{MAIN}; systemctl is-enabled {MAIN}"
        )),
        format!("/etc/systemd/system/{MAIN}\nenabled")
    );

    // The settings stay, and so do the operator's own decisions.
    host.write("env", "API_HASH=other\n");
    host.sh(&format!("systemctl disable --quiet {MAIN}"));
    let before = host.run_of(MAIN);
    let said = host.must_deploy("first", &["--env", "/root/env", "--id", "second"]);
    assert!(said.contains("kept /opt/tg_video_streamer/shared/.env"), "{said}");
    assert_ne!(host.run_of(MAIN), before);
    assert_eq!(host.current(), "second");
    assert_eq!(host.machine.read(&format!("{ROOT}/shared/.env")).unwrap(), SETTINGS);
    // Linked into place again, but not to start at boot.
    assert_eq!(host.machine.run(&["systemctl", "is-enabled", MAIN]).unwrap().stdout, b"linked\n");
    host.must_deploy("first", &["--replace-env", "/root/env", "--id", "third"]);
    assert_eq!(host.machine.read(&format!("{ROOT}/shared/.env")).unwrap(), "API_HASH=other\n");
    assert_eq!(host.machine.read(&format!("{ROOT}/shared/.env.bak")).unwrap(), SETTINGS);
    host.is_tidy();
}

#[test]
fn a_release_that_does_not_stay_up_is_taken_back() {
    let host = Host::with_a_release();
    host.release("dies", DIES);
    host.write("env", "API_HASH=other\n");
    let (code, said) = host.deploy("dies", &["--replace-env", "/root/env"]);
    assert_eq!(code, 1, "{said}");
    for words in [
        "restarted it 3 times",
        "exited with 78, bad configuration",
        "it is over",
        "does not stay up; releases/",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(host.current(), "first");
    host.run_of(MAIN);
    let runs = host.sh(&format!("systemctl cat {MAIN} >/dev/null; readlink -f {ROOT}/current"));
    assert_eq!(host.sh("ls /opt/tg_video_streamer/releases"), runs.rsplit('/').next().unwrap());
    // The settings that came with it are gone with it.
    assert_eq!(host.machine.read(&format!("{ROOT}/shared/.env")).unwrap(), SETTINGS);
    host.is_tidy();
}

#[test]
fn a_release_that_dies_after_the_first_seconds_is_taken_back() {
    let host = Host::with_a_release();
    host.release("later", DIES_LATER);
    // A short proof does not see it, the longer one does. On a server that is a minute, without the
    // option.
    let (code, said) = host.deploy("later", &["--stable", "9", "--timeout", "8"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("does not stay up") && host.current() == "first", "{said}");
    host.run_of(MAIN);
    let script = fs::read_to_string(script()).unwrap();
    assert!(script.contains("timeout=60 stable=60"), "the deploy proves for another time");
    host.is_tidy();
}

#[test]
fn settings_that_a_start_would_refuse_stop_nothing() {
    let host = Host::with_a_release();
    host.sh(&format!("echo NAME=news >{ROOT}/instances/news.env; systemctl start tg_video_streamer@news"));
    let units = [MAIN, "tg_video_streamer@news.service"];
    let runs = || units.map(|unit| host.run_of(unit));
    let before = runs();
    // The release itself says so, of each broadcast that runs, as the user of the unit and with its
    // directories.
    let said_by =
        "id -un; pwd; echo \"FAIL LOOP must be 1 or 0 ($*) $STATE_DIRECTORY $CACHE_DIRECTORY\"; exit 78";
    host.release_with(
        "refuses",
        &format!("[[ $* != *--check-settings* ]] || {{ {said_by}; }}\n{GOOD}"),
        |_| {},
    );
    host.write("other", OTHER);
    let (code, said) = host.deploy("refuses", &["--replace-env", "/root/other"]);
    assert_eq!(code, 1, "{said}");
    for words in [
        "tgstream\n/opt/tg_video_streamer/shared\n",
        "FAIL LOOP must be 1 or 0 (--check-settings --env-file /opt/tg_video_streamer/shared/.env) \
         /var/lib/tg_video_streamer /var/cache/tg_video_streamer",
        "(--check-settings --fixed-port --env-file /opt/tg_video_streamer/instances/news.env) \
         /var/lib/tg_video_streamer@news /var/cache/tg_video_streamer",
        "nothing was stopped: mend the settings",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!((host.current(), host.env(), runs()), ("first".into(), SETTINGS.into(), before), "{said}");
    host.is_tidy();
    // What does not run has nothing to lose, and may be what the new settings mend.
    host.sh(&format!("systemctl stop {}", units.join(" ")));
    host.must_deploy("refuses", &[]);
}

#[test]
fn what_is_no_release_changes_nothing() {
    let host = Host::with_a_release();
    let before = host.run_of(MAIN);
    let garbage = |dir: &Path| fs::write(dir.join("bin/tgs-check-active"), "\x7fELF not a program").unwrap();
    host.release_with("garbage", GOOD, garbage);
    host.release_with("incomplete", GOOD, |dir| fs::remove_dir_all(dir.join("sysusers.d")).unwrap());
    host.release_with("link", GOOD, |dir| {
        std::os::unix::fs::symlink("/etc/shadow", dir.join("bin/tgs")).unwrap();
    });
    host.sh("head -c 100000 /root/first.tar.gz >/root/cut.tar.gz");
    host.sh("cd /root && mkdir -p x/y && echo a >x/y/a && tar -czPf up.tar.gz x/y/../y/a && tar -czPf two.tar.gz x /etc/hostname");
    let cases = [
        ("garbage", "tgs-check-active of this release does not run"),
        ("incomplete", "it has no sysusers.d"),
        ("link", "holds links or devices"),
        ("cut", "is no whole archive"),
        ("up", "a path with .. in it"),
        ("two", "does not hold one folder"),
    ];
    for (name, words) in cases {
        let (code, said) = host.deploy(name, &[]);
        assert_eq!(code, 1, "{name}: {said}");
        assert!(said.contains(words), "{name}: {said}");
    }
    assert_eq!(host.deploy("missing", &[]).0, 2);
    assert_eq!(host.deploy("first", &["--id", "../x"]).0, 2);
    assert_eq!((host.current(), host.run_of(MAIN)), ("first".into(), before));
    host.is_tidy();
}

#[test]
fn over_ssh_with_the_right_key_only_and_to_the_right_host_only() {
    let host = Host::new();
    host.release("first", GOOD);
    host.write("env", SETTINGS);
    let env = host.at("env");
    let options = ["--env", env.to_str().unwrap()];

    let stranger = host.at("stranger");
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&stranger).status();
    assert!(made.unwrap().success());
    let public = fs::read_to_string(stranger.with_extension("pub")).unwrap();
    let other = format!("{ADDRESS} {public}");
    let key = host.machine.key();
    let cases = [
        (&*stranger, host.known_hosts(), "Permission denied"),
        (&*key, other, "Host key verification failed"),
        (&*key, "elsewhere ssh-ed25519 AAAA".to_owned(), "Host key verification failed"),
    ];
    for (key, known_hosts, words) in cases {
        let (code, said) = said(&host.over_ssh("first", key, &known_hosts, &options).output().unwrap());
        assert_eq!(code, 255, "{said}");
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(host.sh("find /opt -mindepth 1; ls -d /var/tmp/tgs-* 2>/dev/null || :"), "");

    let (code, said) = said(&host.over_ssh("first", &key, &host.known_hosts(), &options).output().unwrap());
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("runs: tg_video_streamer.service"), "{said}");
    host.run_of(MAIN);
    host.is_tidy();
    // The answer of the work is the answer of the step.
    host.release("dies", "exit 78");
    let (code, said) = self::said(&host.over_ssh("dies", &key, &host.known_hosts(), &[]).output().unwrap());
    assert_eq!(code, 1, "{said}");
    assert_eq!(host.current(), "first");
    assert!(host.sh("journalctl -q -o cat -t tgs-deploy").contains("going back to"));
}

#[test]
fn a_cable_pulled_half_way_leaves_no_half_deploy() {
    let host = Host::with_a_release();
    let key = host.machine.key();
    host.release("second", GOOD);
    let before = host.run_of(MAIN);
    // A line that is quick at first and then nearly stands still.
    let slow = host.at("slow");
    fs::create_dir(&slow).unwrap();
    let tar =
        "#!/bin/sh\n/usr/bin/tar \"$@\" | (head -c 100000; while sleep 0.2; do printf x || exit; done)\n";
    fs::write(slow.join("tar"), tar).unwrap();
    fs::set_permissions(slow.join("tar"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut step = host
        .over_ssh("second", &key, &host.known_hosts(), &[])
        .env("PATH", format!("{}:/usr/bin:/bin", slow.display()))
        .spawn()
        .unwrap();
    let arrived = || !host.sh("find /var/tmp/tgs-deploy.* -type f -size +10k 2>/dev/null || :").is_empty();
    host.machine.wait_for("a part of the upload", Duration::from_secs(20), arrived).unwrap();
    host.machine.cut_cable().unwrap();
    assert_eq!(step.wait().unwrap().code(), Some(255));
    assert_eq!((host.current(), host.run_of(MAIN)), ("first".into(), before));
    assert!(host.sh("ls /opt/tg_video_streamer/releases").ends_with("-first"));
}

#[test]
fn a_cable_pulled_while_the_release_is_proven_changes_nothing() {
    let host = Host::with_a_release();
    host.release("second", GOOD);
    let mut step = host.over_ssh("second", &host.machine.key(), &host.known_hosts(), &[]).spawn().unwrap();
    host.machine.wait_for("the swap", Duration::from_secs(20), || host.current() == "second").unwrap();
    host.machine.cut_cable().unwrap();
    let done =
        || host.sh("journalctl -q -o cat -t tgs-deploy").contains("second runs: tg_video_streamer.service");
    host.machine.wait_for("the end of the deploy", Duration::from_secs(30), done).unwrap();
    assert_eq!(step.wait().unwrap().code(), Some(255));
    host.run_of(MAIN);
}

#[test]
fn nobody_else_can_read_the_settings_for_an_instant() {
    let host = Host::with_a_release();
    // May enter the directory, and reads whatever it can open there, all the time.
    host.sh("useradd --system --gid tgstream snoop");
    let snoop = "cd /opt/tg_video_streamer/shared; echo ready; while :; do for f in .env*; do \
                 [[ $f == *.lock ]] || ! cat \"$f\" 2>/dev/null; done; done";
    let mut snoop = host
        .machine
        .command("setpriv")
        .args(["--reuid=snoop", "--regid=tgstream", "--clear-groups", "bash", "-c", snoop])
        .stdout(fs::File::create(host.at("seen")).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let seen = || fs::read_to_string(host.at("seen")).unwrap();
    host.machine.wait_for("the reader", Duration::from_secs(10), || seen() == "ready\n").unwrap();
    let env = format!("{ROOT}/shared/.env");
    host.write("env", SETTINGS);
    for (start, options) in [
        (format!("rm {env}"), vec!["--env", "/root/env"]),
        (format!("install -o root -g root -m 600 /root/env {env}.x; mv {env}.x {env}"), vec![]),
        ("true".into(), vec!["--replace-env", "/root/env"]),
    ] {
        host.sh(&start);
        host.must_deploy("first", &[&["--id", "next", "--keep", "2"], &options[..]].concat());
        assert_eq!(host.sh(&format!("stat -c '%a %U:%G' {env}")), "600 tgstream:tgstream");
        assert_eq!(host.machine.read(&env).unwrap(), SETTINGS);
    }
    // A world-readable file gets its mode corrected.
    snoop.kill().unwrap();
    snoop.wait().unwrap();
    assert_eq!(seen(), "ready\n");
    host.sh(&format!("chmod 666 {env}"));
    host.must_deploy("first", &["--id", "next"]);
    assert_eq!(host.sh(&format!("stat -c '%a %U:%G' {env}")), "600 tgstream:tgstream");
}

#[test]
fn what_the_service_plants_is_not_followed() {
    let host = Host::with_a_release();
    host.sh("echo precious >/root/precious; chmod 644 /root/precious; chmod 711 /root");
    let as_service = |script: &str| {
        host.sh(&format!(
            "cd {ROOT}/shared && setpriv --reuid=tgstream --regid=tgstream --clear-groups bash -c '{script}'"
        ))
    };
    let untouched = || {
        assert_eq!(
            host.sh("stat -c '%a %U:%G' /root/precious /etc/shadow; cat /root/precious"),
            "644 root:root\n640 root:shadow\nprecious"
        );
    };
    host.write("env", SETTINGS);
    // A directory in the file's place: reported, and nothing changes.
    let before = host.run_of(MAIN);
    for target in ["/root/precious", "/etc/shadow", "/dev/null", "nowhere"] {
        as_service(&format!("ln -sfT {target} .env"));
        for options in [["--env", "/root/env"], ["--replace-env", "/root/env"]] {
            let (code, said) = host.deploy("first", &options);
            assert_eq!(code, 1, "{target} {options:?}: {said}");
            assert!(said.contains("is a link, which is not followed"), "{said}");
        }
        untouched();
    }
    assert_eq!(host.run_of(MAIN), before);
    // Where nothing was to be written it is said, and holds up nobody: neither the broadcast nor
    // that of another channel.
    host.sh(&format!("ln -s /etc/shadow {ROOT}/instances/a.env"));
    as_service(&format!("echo {} >x; mv -T x .env", SETTINGS.trim()));
    let said = host.must_deploy("first", &[]);
    assert!(said.contains("WARNING: left /opt/tg_video_streamer/instances/a.env as it is"), "{said}");
    assert_ne!(host.run_of(MAIN), before);
    untouched();
    // Beside it: replaced like any leftover.
    as_service(
        "rm .env; for f in .env.bak .env.before-deploy .env.tgs-new .env.before-deploy.tgs-new; do ln -sf /root/precious $f; done; mkfifo .env.lock",
    );
    host.must_deploy("first", &["--id", "a", "--env", "/root/env"]);
    untouched();
    as_service("ln -sf /root/precious .env.bak; rm -f .env.lock; ln -s /etc/shadow .env.lock");
    let (code, said) = host.deploy("first", &["--id", "b", "--replace-env", "/root/env"]);
    assert_eq!(code, 1, "a lock that leads to root's files can be no lock: {said}");
    as_service("rm .env.lock");
    host.must_deploy("first", &["--id", "c", "--replace-env", "/root/env"]);
    untouched();
    assert_eq!(host.machine.read(&format!("{ROOT}/shared/.env.bak")).unwrap(), SETTINGS);
    // Links that come and go while the deploy works.
    let race = "cd /opt/tg_video_streamer/shared; while :; do ln -sfT /root/precious .env; ln -sfT /root/precious .env.tgs-new; \
                echo A=b >new; mv -fT new .env; done";
    let mut race = host
        .machine
        .command("setpriv")
        .args(["--reuid=tgstream", "--regid=tgstream", "--clear-groups", "bash", "-c", race])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..5 {
        let _ = host.deploy("first", &["--id", "race", "--replace-env", "/root/env", "--timeout", "6"]);
    }
    race.kill().unwrap();
    race.wait().unwrap();
    untouched();
}

#[test]
fn one_at_a_time() {
    let host = Host::with_a_release();
    host.release("dies", DIES);
    host.release("second", GOOD);
    let mut first = host.command("dies", &[]).stdout(Stdio::piped()).spawn().unwrap();
    host.machine.wait_for("the swap", Duration::from_secs(20), || host.current() == "dies").unwrap();
    let (code, said) = host.deploy("second", &[]);
    assert_eq!(code, 75, "{said}");
    assert!(said.contains("another deploy is under way"), "{said}");
    assert_eq!(first.wait().unwrap().code(), Some(1));
    assert_eq!(host.current(), "first");

    // tgs-session --write-env is at the settings: the deploy waits for it.
    // The kernel lists who waits while the process that locked is there.
    let lock = format!("echo locked; read -r || :; cp {ROOT}/shared/.env /root/before");
    let mut holder = host
        .machine
        .command("flock")
        .args([&format!("{ROOT}/shared/.env.lock"), "bash", "-c", &lock])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(holder.stdout.take().unwrap()), &mut line)
        .unwrap();
    host.write("env", OTHER);
    let mut deploy =
        host.command("second", &["--replace-env", "/root/env"]).stdout(Stdio::null()).spawn().unwrap();
    let waits = || host.sh("cat /proc/locks").contains("-> FLOCK");
    host.machine.wait_for("the deploy at the lock", Duration::from_secs(20), waits).unwrap();
    assert_eq!((host.env(), host.current()), (SETTINGS.into(), "first".into()));
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    assert!(deploy.wait().unwrap().success());
    assert_eq!(host.machine.read("/root/before").unwrap(), SETTINGS);
    assert_eq!(host.env(), OTHER);
    host.is_tidy();
}

#[test]
fn every_instance_is_restarted_and_one_that_fails_takes_all_back() {
    let host = Host::new();
    let body =
        |fails: &str| format!("[[ $NAME != {fails} && $NAME != broken ]] || exit 1\nexec sleep infinity");
    host.release("named", &body("nobody"));
    host.release("fails", &body("b"));
    let units = [MAIN, "tg_video_streamer@a.service", "tg_video_streamer@b.service"];
    host.must_deploy("named", &[]);
    // As an operator leaves them who has not read how they should be.
    host.sh(&format!(
        "cd {ROOT}/instances; for i in a b broken; do echo NAME=$i >$i.env; done; echo NAME=main >{ROOT}/shared/.env"
    ));
    host.sh(&format!(
        "systemctl start {}; systemctl start --no-block tg_video_streamer@broken",
        units.join(" ")
    ));
    let runs = || units.map(|unit| host.run_of(unit));

    let before = runs();
    let said = host.must_deploy("named", &["--id", "again"]);
    assert!(runs().iter().zip(&before).all(|(now, before)| now != before), "{said}");
    assert!(said.contains("tg_video_streamer@broken.service did not run before either"), "{said}");
    assert_eq!(
        host.sh(&format!("stat -c '%n %a %U:%G' {ROOT}/instances/*")).replace(ROOT, ""),
        "/instances/a.env 600 tgstream:tgstream\n/instances/b.env 600 tgstream:tgstream\n/instances/broken.env 600 tgstream:tgstream"
    );

    let (code, said) = host.deploy("fails", &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("tg_video_streamer@b.service does not stay up"), "{said}");
    assert_eq!(host.current(), "again");
    runs();

    // What else a release brings: how its log is rotated. An operator's own file stays.
    let rotate = "/etc/logrotate.d/yt-dlp-update";
    assert_eq!(
        host.sh(&format!("readlink {rotate}; logrotate --debug {rotate} 2>&1 | grep -c ^error || :")),
        format!("{ROOT}/current/logrotate.d/yt-dlp-update\n0")
    );
}

#[test]
fn old_releases_go_except_one_that_is_in_use() {
    let host = Host::with_a_release();
    // A process of the first release that is still running.
    host.sh(&format!("cp /bin/sleep {ROOT}/current/bin/lasting; systemd-run --quiet $(readlink -f {ROOT}/current)/bin/lasting infinity"));
    for name in ["b", "c", "d"] {
        host.must_deploy("first", &["--id", name, "--keep", "2"]);
    }
    let left = || host.sh(&format!("cd {ROOT}/releases && ls | cut -d- -f2 | xargs"));
    assert_eq!(left(), "first c d");
    host.sh("systemctl stop 'run-*.service'");
    host.must_deploy("first", &["--id", "e", "--keep", "1"]);
    // The one before is what one would go back to.
    assert_eq!(left(), "d e");
}

#[test]
fn killed_at_any_moment_it_leaves_a_release_that_runs() {
    let host = Host::with_a_release();
    host.release("second", GOOD);
    host.write("other", OTHER);
    host.sh("head -c 100000 /root/first.tar.gz >/root/cut.tar.gz");
    let marks = [
        ("tar --extract *", false, false),
        ("mv * /opt/tg_video_streamer/.deploying", false, false),
        ("mv * /opt/tg_video_streamer/releases/*", false, false),
        ("timeout * remote_deploy.sh replace *", false, true),
        ("ln -s releases/* */current.new.*", false, true),
        ("mv * /opt/tg_video_streamer/current", true, true),
        ("systemctl daemon-reload", true, true),
        // The release was proven, but the deploy was killed before it reported that.
        ("logger * tg_video_streamer.service *", true, true),
    ];
    for (round, (mark, swapped, replaced)) in marks.into_iter().enumerate() {
        let (before, id) = (host.current(), format!("k{round}"));
        host.deploy_killed_at(mark, "second", &id);
        assert_eq!(host.current(), if swapped { id } else { before }, "{mark}");
        assert_eq!(host.env(), if replaced { OTHER } else { SETTINGS }, "{mark}");
        host.sh(&format!("cd {ROOT}/current/ && ./bin/tgs-check-active --version && test -s .env"));
        host.run_of(MAIN);
        // The next run takes the settings back before it does anything, even where it comes no
        // further.
        let (code, said) = host.deploy("cut", &[]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("is no whole archive"), "{mark}: {said}");
        assert_eq!(host.env(), SETTINGS, "{mark}: {said}");
    }
    // Once it is proven, its settings are the settings.
    host.deploy_killed_at("rm -f /opt/tg_video_streamer/.deploying", "second", "proven");
    assert_eq!((host.current(), host.env()), ("proven".into(), OTHER.into()));
    host.must_deploy("second", &["--id", "last"]);
    assert_eq!((host.current(), host.env()), ("last".into(), OTHER.into()));
    assert_eq!(host.machine.read(&format!("{ROOT}/shared/.env.bak")).unwrap(), SETTINGS);
    host.run_of(MAIN);
    host.is_tidy();
}

#[test]
fn killed_as_it_goes_back_it_goes_back_the_next_time() {
    let host = Host::with_a_release();
    host.release("fails", "exit 78");
    host.write("other", OTHER);
    let marks = [
        ("ln -s releases/*-first */current.new.*", "fails", OTHER),
        ("timeout * remote_deploy.sh restore *", "first", SETTINGS),
    ];
    for (mark, current, env) in marks {
        host.deploy_killed_at(mark, "fails", "fails");
        assert_eq!((&*host.current(), &*host.env()), (current, env), "{mark}");
        // A release that was never proven is not what one goes back to, and neither are its
        // settings.
        let (code, said) = host.deploy("fails", &["--id", "again"]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("was cut off before it"), "{mark}: {said}");
        assert_eq!((&*host.current(), &*host.env()), ("first", SETTINGS), "{mark}: {said}");
        host.run_of(MAIN);
    }
    host.is_tidy();
}

#[test]
fn settings_go_back_to_what_they_were() {
    let host = Host::new();
    host.release("first", GOOD);
    host.must_deploy("first", &[]);
    // There were no settings before; an unrelated older file is ignored.
    host.sh(&format!("echo OLD=1 >{ROOT}/shared/.env.bak; chown tgstream: {ROOT}/shared/.env.bak"));
    host.release("fails", "exit 78");
    host.write("other", OTHER);
    let (code, said) = host.deploy("fails", &["--replace-env", "/root/other"]);
    assert_eq!(code, 1, "{said}");
    let left = host.sh(&format!("cd {ROOT}/shared && ls -A; cat .env.bak"));
    assert_eq!(left, ".env.bak\nytdlp\nOLD=1", "{said}");
    host.is_tidy();

    // A release that fails has signed in anew before: that session lives, the one in the old
    // settings may not.
    host.write("env", SETTINGS);
    host.must_deploy("first", &["--env", "/root/env"]);
    host.release("signs-in", &format!("cd {ROOT}/shared; umask 077; echo NEW=1 >x; mv x .env; exit 78"));
    let (code, said) = host.deploy("signs-in", &["--replace-env", "/root/other"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("which was changed meanwhile"), "{said}");
    assert_eq!(host.env(), "NEW=1\n");
    assert_eq!(host.machine.read(&format!("{ROOT}/shared/.env.bak")).unwrap(), SETTINGS);
    host.is_tidy();
}

#[test]
fn what_was_stopped_stays_so_and_what_failed_is_started() {
    let host = Host::with_a_release();
    host.sh(&format!("systemctl stop {MAIN}"));
    let said = host.must_deploy("first", &["--id", "second"]);
    assert!(said.contains("nothing was started: systemctl start tg_video_streamer"), "{said}");
    assert_eq!(host.machine.unit(MAIN).unwrap()["ActiveState"], "inactive");
    assert_eq!(host.current(), "second");

    let once = format!("/run/systemd/system/{MAIN}.d/once.conf");
    host.machine.write(&once, "[Service]\nRestart=no\n", 0o644).unwrap();
    host.sh(&format!(
        "systemctl daemon-reload; systemctl start {MAIN}; systemctl kill --signal=KILL {MAIN}; \
         until systemctl --quiet is-failed {MAIN}; do sleep 0.1; done"
    ));
    host.must_deploy("first", &["--id", "third"]);
    host.run_of(MAIN);
}

#[test]
fn a_mask_is_no_success() {
    let host = Host::new();
    host.release("first", GOOD);
    host.write("env", SETTINGS);
    // As dpkg leaves it when the package is removed.
    host.sh(&format!("DPKG_MAINTSCRIPT_PACKAGE=tgs deb-systemd-helper mask {MAIN}; systemctl daemon-reload"));
    assert_eq!(host.machine.unit(MAIN).unwrap()["LoadState"], "masked");
    host.must_deploy("first", &["--env", "/root/env"]);
    host.run_of(MAIN);
    // As an operator who wants nothing to run.
    host.sh(&format!("systemctl stop {MAIN}; rm /etc/systemd/system/{MAIN}; systemctl mask --quiet {MAIN}"));
    let (code, said) = host.deploy("first", &["--id", "second"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("is masked") && said.contains("systemctl unmask tg_video_streamer"), "{said}");
    assert_eq!(host.current(), "first");
    assert_eq!(host.sh(&format!("readlink /etc/systemd/system/{MAIN}")), "/dev/null");
    host.is_tidy();
}

#[test]
fn a_deploy_that_is_killed_leaves_no_settings_behind() {
    let host = Host::with_a_release();
    host.release("second", GOOD);
    host.write("other", OTHER);
    let env = host.at("other");
    let options = ["--replace-env", env.to_str().unwrap()];
    let mut step =
        host.over_ssh("second", &host.machine.key(), &host.known_hosts(), &options).spawn().unwrap();
    host.machine.wait_for("the swap", Duration::from_secs(20), || host.current() == "second").unwrap();
    assert_ne!(host.sh("ls /var/tmp/tgs-deploy.*/env"), "");
    host.sh("systemctl kill --signal=KILL 'tgs-deploy-*.service'");
    assert!(!step.wait().unwrap().success());
    assert_eq!(host.sh("shopt -s nullglob; echo /var/tmp/tgs-deploy.*"), "");
    host.must_deploy("second", &["--id", "third"]);
    assert_eq!(host.env(), SETTINGS);
    host.is_tidy();
}
