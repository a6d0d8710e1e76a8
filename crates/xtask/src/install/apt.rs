//! Packages of the distribution.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Result, bail, ensure};

use super::proof::find;
use crate::step;

/// Services that come with the packages and would take their ports (80; 9090, the metrics' own; 22;
/// 2379) at once, and the packages that bring them.
const SERVICES: [(&str, &str); 9] = [
    ("nginx", "nginx"),
    ("prometheus", "prometheus"),
    ("ssh", "openssh-server"),
    ("logrotate.timer", "logrotate"),
    ("danted", "dante-server"),
    ("podman.socket", "podman"),
    ("podman-restart.service", "podman"),
    ("podman-auto-update.timer", "podman"),
    ("etcd", "etcd-server"),
];

/// Installs `packages`, or stops with the command that does where this is not root's session.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    ensure!(
        find("apt-get").is_some(),
        "missing: {list} (the names are Debian's), and there is no apt-get here to install them with"
    );
    if !rustix::process::geteuid().is_root() {
        bail!("missing: {list}; run this, then try again:\n  {}", by_hand(&list));
    }
    let quiet = Quiet::new(packages);
    let done = try_install(packages);
    drop(quiet);
    ensure!(done, "apt-get could not install: {list}");
    Ok(())
}

fn by_hand(list: &str) -> String {
    format!("sudo apt-get update && sudo apt-get install --yes --no-install-recommends {list}")
}

/// Installs from the package lists this machine has, and where they are missing or stale, from
/// fresh ones.
fn try_install(packages: &[&str]) -> bool {
    let name = format!("apt-get install {}", packages.join(" "));
    let known =
        apt("install").arg("--simulate").args(packages).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if known.is_ok_and(|status| status.success()) && step::run(&name, apt("install").args(packages)) {
        return true;
    }
    step::run("apt-get update", &mut apt("update")) && step::run(&name, apt("install").args(packages))
}

fn apt(verb: &str) -> Command {
    let mut command = Command::new("apt-get");
    command
        .args([
            "--yes",
            "--quiet=2",
            "-o",
            "DPkg::Lock::Timeout=300",
            "-o",
            "Dpkg::Use-Pty=0",
            "--no-install-recommends",
        ])
        .arg(verb)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null());
    command
}

/// Keeps the services of new packages from starting, now and at the next boot. The masks are in
/// /run: after a crash of this program they are gone with the next boot too. Without systemd
/// nothing starts services here.
struct Quiet(Vec<&'static str>);

impl Quiet {
    fn new(packages: &[&str]) -> Self {
        // A service that was there before is the operator's.
        let new = SERVICES.iter().filter(|(_, package)| packages.contains(package));
        let mut services: Vec<_> = new.map(|(service, _)| *service).collect();
        if !Path::new("/run/systemd/system").exists() {
            services.clear();
        }
        let quiet = Self(services);
        quiet.systemctl(&["mask", "--runtime"]);
        quiet
    }

    fn systemctl(&self, words: &[&str]) {
        if !self.0.is_empty() {
            step::run(
                &format!("systemctl {} {}", words.join(" "), self.0.join(" ")),
                Command::new("systemctl").args(words).args(&self.0),
            );
        }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        self.systemctl(&["unmask", "--runtime"]);
        self.systemctl(&["disable"]);
    }
}
