//! A server and a CI machine with releases for it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;
use tgs_e2e::{
    bin_path::{build, workspace},
    machine::{ADDRESS, Machine},
};

pub(crate) const ROOT: &str = "/opt/tg_video_streamer";
pub(crate) const MAIN: &str = "tg_video_streamer.service";
pub(crate) const GOOD: &str = "exec sleep infinity";
/// What a release answers that has nothing against the settings.
pub(crate) const TAKES_ALL: &str = "[[ $* != *--check-settings* ]] || exit 0";
/// Passes a check that asks only once.
pub(crate) const DIES: &str = "sleep 3; echo it is over >&2; exit 78";
/// Passes a check that asks for five seconds only.
pub(crate) const DIES_LATER: &str = "sleep 6; exit 1";
/// How long each release has to hold here; on a server it is a minute.
pub(crate) const STABLE: &str = "5";
pub(crate) const SETTINGS: &str = "API_HASH=0123456789abcdef0123456789abcdef\n";
pub(crate) const OTHER: &str = "API_HASH=other\n";
/// Replaces a program that the script calls: runs it, and then kills the script if this call is the
/// configured one.
pub(crate) const KILLER: &str = r#"#!/bin/bash
"/usr/bin/${0##*/}" "$@"
code=$?
if [[ -e /run/kill-at && "${0##*/} $*" == $(</run/kill-at) ]]; then
    /usr/bin/mv /run/kill-at /run/killed
    kill -KILL "$(</run/deploy.pid)"
fi
exit "$code"
"#;

pub(crate) const UNIT: &str = "\
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
pub(crate) struct Host {
    pub(crate) machine: Machine,
    ci: TempDir,
}

impl Host {
    pub(crate) fn new() -> Self {
        let machine = Machine::boot().unwrap();
        machine.put(&script(), "/root/remote_deploy.sh", 0o755, "root:root").unwrap();
        Self { machine, ci: TempDir::new().unwrap() }
    }

    /// A host on which the good release `first` runs.
    pub(crate) fn with_a_release() -> Self {
        let host = Self::new();
        host.release("first", GOOD);
        host.write("env", SETTINGS);
        host.must_deploy("first", &["--env", "/root/env"]);
        host
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.ci.path().join(name)
    }

    pub(crate) fn sh(&self, script: &str) -> String {
        self.machine.sh(script).unwrap()
    }

    /// Writes /root/`name` on the server and `name` on the CI machine.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
        self.machine.write(&format!("/root/{name}"), text, 0o600).unwrap();
    }

    /// A release whose `tgs-stream` does `body`; `change` may do more to its folder.
    pub(crate) fn release_with(&self, name: &str, body: &str, change: impl Fn(&Path)) {
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
            .args(["--create", "--use-compress-program=gzip -1", "--owner=1234", "--group=1234", "--file"])
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
    pub(crate) fn release(&self, name: &str, body: &str) {
        self.release_with(name, &format!("{TAKES_ALL}\n{body}"), |_| {});
    }

    /// Runs the script on the server itself.
    pub(crate) fn command(&self, name: &str, options: &[&str]) -> Command {
        let mut command = self.machine.command("/root/remote_deploy.sh");
        command.args(["--archive", &format!("/root/{name}.tar.gz"), "--stable", STABLE]).args(options);
        command
    }

    pub(crate) fn deploy(&self, name: &str, options: &[&str]) -> (i32, String) {
        said(&self.command(name, options).output().unwrap())
    }

    pub(crate) fn must_deploy(&self, name: &str, options: &[&str]) -> String {
        let (code, said) = self.deploy(name, options);
        assert_eq!(code, 0, "{said}");
        said
    }

    /// Deploys from the CI machine with this key and these known hosts.
    pub(crate) fn over_ssh(&self, name: &str, key: &Path, known_hosts: &str, options: &[&str]) -> Command {
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

    pub(crate) fn known_hosts(&self) -> String {
        fs::read_to_string(self.machine.known_hosts()).unwrap()
    }

    /// The label of the release that is current.
    pub(crate) fn current(&self) -> String {
        let link = self.sh(&format!("readlink {ROOT}/current"));
        link.rsplit_once('-').unwrap_or_else(|| panic!("current is {link}")).1.to_owned()
    }

    /// What names this run of the service.
    pub(crate) fn run_of(&self, unit: &str) -> String {
        let unit = self.machine.unit(unit).unwrap();
        assert_eq!((&*unit["ActiveState"], &*unit["SubState"]), ("active", "running"));
        unit["InvocationID"].clone()
    }

    pub(crate) fn env(&self) -> String {
        self.machine.read(&format!("{ROOT}/shared/.env")).unwrap_or_default()
    }

    /// Deploys with --replace-env and kills the script just after its first command that looks like
    /// `mark`.
    pub(crate) fn deploy_killed_at(&self, mark: &str, name: &str, id: &str) {
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
    pub(crate) fn is_tidy(&self) {
        let left = self.sh(&format!(
            "shopt -s nullglob dotglob; echo {ROOT}/releases/.* {ROOT}/*.new.* {ROOT}/.dep* /var/tmp/tgs-deploy.* \
             {ROOT}/shared/*.tgs-new {ROOT}/shared/*.lock {ROOT}/shared/.env.before*"
        ));
        assert_eq!(left, "");
    }
}

pub(crate) fn script() -> PathBuf {
    workspace().join("deploy/remote_deploy.sh")
}

pub(crate) fn said(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}
