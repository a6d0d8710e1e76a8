//! A box: a real systemd as PID 1 in a container over this machine's file system, with a real sshd
//! and its own network, booted in a second. Its changes stay inside.
//!
//! It sees the distribution of this machine (`/usr`, `/etc`, `/var`, with all installed packages)
//! and writes to a layer in memory. Homes, `/opt`, sources, and the machine's enabled units and
//! product files are hidden; a test adds the files that it needs. Not enforced: `MemoryMax=`,
//! `TasksMax=`, `IPAddressDeny=`.
//!
//! Root only. The box ends with the value, also after a panic, and soon after its test is killed
//! (the signal follows the *thread* that calls [`Machine::boot`]: call it from a long-lived
//! thread). The next boot removes any remains. Its mounts are invisible to the machine.

mod network;
mod product;
mod remains;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use network::Network;
pub use product::{ENV_FILE, UNIT};
use remains::Claim;

/// The box's ssh address, as seen from the CI side.
pub const ADDRESS: &str = network::SERVER;
/// The address of the other box, from the CI side that [`Machine::reach`] joins to it.
pub const SECOND_ADDRESS: &str = network::SECOND;
/// The CI side, as the first and the second box see it.
pub const CI_ADDRESSES: [&str; 2] = [network::CI, network::SECOND_CI];

const BOOT: &str = include_str!("machine/boot.sh");
const READY_WITHIN: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(20);
const SSHD: &str = "HostKey /etc/ssh/ssh_host_ed25519_key\nUsePAM yes\nPasswordAuthentication no\n\
                    KbdInteractiveAuthentication no\nSubsystem sftp internal-sftp\n";

/// A booted box; dropping it ends the box and removes its resources.
#[derive(Debug)]
pub struct Machine {
    // Declared in drop order: processes, then their network, then the claim on the name.
    nspawn: Option<Child>,
    leader: u32,
    network: Network,
    claim: Claim,
}

impl Machine {
    /// Boots a box and waits until systemd is up and sshd answers. An error names the missing
    /// requirement: root or a package.
    pub fn boot() -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "a box with systemd can be booted by root only");
        let claim = Claim::new()?;
        let network = Network::new(claim.name())?;
        let mut machine = Self { nspawn: None, leader: 0, network, claim };
        machine.seed()?;
        machine.start()?;
        Ok(machine)
    }

    /// The name, unique on this machine; also the host name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.claim.name()
    }

    /// A command that runs as root in the box with a separate environment (no variables of this
    /// process).
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args([
                "--target",
                &self.leader.to_string(),
                "--all",
                "--",
                "/usr/bin/env",
                "--ignore-environment",
            ])
            .args([
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME=/root",
                "LANG=C.UTF-8",
            ])
            .arg(program)
            .stdin(Stdio::null());
        command
    }

    /// Runs the program `words[0]` with the other words as root in the box; a non-zero exit status
    /// is not an error.
    pub fn run(&self, words: &[&str]) -> Result<Output> {
        let (program, args) = words.split_first().context("no program to run")?;
        self.command(program).args(args).output().with_context(|| format!("run {program} in the box"))
    }

    /// Runs a bash script as root in the box (`set -euo pipefail`) and returns its standard output
    /// without the final line break. A non-zero exit status is an error that includes the output.
    pub fn sh(&self, script: &str) -> Result<String> {
        let output = self.run(&["bash", "-euo", "pipefail", "-c", script])?;
        text_of(script, &output)
    }

    /// Copies the file `host` of this machine to `target` in the box, with `mode` and `owner`
    /// (`root`, `a:b`). Creates missing directories; replaces the target by a rename.
    pub fn put(&self, host: &Path, target: &str, mode: u32, owner: &str) -> Result<()> {
        let file = File::open(host).with_context(|| format!("open {}", host.display()))?;
        self.receive(file.into(), target, mode, owner)
    }

    /// Writes the file `target` in the box, owned by root; creates missing directories.
    pub fn write(&self, target: &str, content: &str, mode: u32) -> Result<()> {
        let mut file = tempfile::tempfile().context("make a temporary file")?;
        file.write_all(content.as_bytes())?;
        std::io::Seek::rewind(&mut file)?;
        self.receive(file.into(), target, mode, "root:root")
    }

    /// Copies the directory `host` of this machine recursively to `target` in the box; modes and
    /// links are preserved, the owner is root.
    pub fn put_tree(&self, host: &Path, target: &str) -> Result<()> {
        let mut tar = Command::new("tar")
            .args(["--create", "--owner=root", "--group=root", "--directory"])
            .arg(host)
            .arg(".")
            .stdout(Stdio::piped())
            .spawn()
            .context("run tar")?;
        let archive = tar.stdout.take().context("tar without output")?;
        let script = "mkdir -p \"$0\" && exec tar --extract --directory \"$0\"";
        let output = self.command("sh").args(["-c", script, target]).stdin(archive).output()?;
        let packed = tar.wait()?;
        text_of(&format!("unpack {} to {target}", host.display()), &output)?;
        ensure!(packed.success(), "tar cannot read {}", host.display());
        Ok(())
    }

    /// Reads the file `path` of the box.
    pub fn read(&self, path: &str) -> Result<String> {
        let output = self.run(&["cat", path])?;
        ensure!(output.status.success(), "read {path}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).with_context(|| format!("{path} is no UTF-8"))
    }

    /// All properties of a unit, as printed by `systemctl show`.
    pub fn unit(&self, name: &str) -> Result<BTreeMap<String, String>> {
        // Without --all, what is empty is left out, such as the status of a unit that starts.
        let output = self.run(&["systemctl", "show", "--all", "--", name])?;
        let text = text_of("systemctl show", &output)?;
        Ok(text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect())
    }

    /// The journal of a unit since the boot, messages only: from systemd and from the unit's
    /// processes.
    pub fn journal(&self, unit: &str) -> Result<String> {
        let output =
            self.run(&["journalctl", "--quiet", "--no-pager", "--output=cat", "--boot", "--unit", unit])?;
        text_of("journalctl", &output)
    }

    /// A command on the CI side of the network: on this machine's file system, but with the box as
    /// the only reachable host.
    #[must_use]
    pub fn on_ci_side(&self, program: &str) -> Command {
        let mut command = self.network.command(network::Side::Ci);
        command.arg(program).stdin(Stdio::null());
        command
    }

    /// The private key that root of the box accepts.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.claim.dir().join("key")
    }

    /// A `known_hosts` file with the box's host key only.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.claim.dir().join("known_hosts")
    }

    /// `ssh root@box` from the CI side with a strict CI's options and no prompts; the remote
    /// command follows.
    #[must_use]
    pub fn ssh_command(&self) -> Command {
        self.ssh_as(&self.key())
    }

    /// [`Self::ssh_command`] with another private key.
    #[must_use]
    pub fn ssh_as(&self, key: &Path) -> Command {
        let mut command = self.on_ci_side("ssh");
        command.args(["-F", "/dev/null", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]);
        command.args(["-o", "ConnectTimeout=20", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR"]);
        command.arg("-o").arg(format!("UserKnownHostsFile={}", self.known_hosts().display()));
        command.arg("-i").arg(key).arg(format!("root@{ADDRESS}"));
        command
    }

    /// Runs `command` in the box over ssh with the private key `key`.
    pub fn ssh(&self, key: &Path, command: &str) -> Result<Output> {
        self.ssh_as(key).arg(command).output().context("run ssh")
    }

    /// Sets the link between CI and box down: packets are lost, and both ends see the link state.
    pub fn cut_cable(&self) -> Result<()> {
        self.network.link("down")
    }

    /// Sets the link up again.
    pub fn mend_cable(&self) -> Result<()> {
        self.network.link("up")
    }

    /// A command prefix that runs a program of this machine in the box's network (its 127.0.0.1).
    #[must_use]
    pub fn in_network(&self) -> Command {
        self.network.command(network::Side::Server)
    }

    /// Moves the calling thread permanently into the box's network, with all threads and programs
    /// that it starts later: servers on 127.0.0.1 for the box, clients of the box's servers.
    pub fn join_network(&self) -> Result<()> {
        self.network.join(network::Side::Server)
    }

    /// Joins the CI side of this box to the box `other`, which then accepts this box's key. The
    /// boxes do not reach each other.
    pub fn reach(&self, other: &Self) -> Result<()> {
        self.network.reach(&other.network)?;
        let key = fs::read_to_string(self.key().with_extension("pub"))?;
        other.write("/root/.ssh/authorized_keys", &key, 0o600)
    }

    /// Moves the calling thread permanently into the CI side's network, as [`Self::join_network`].
    pub fn join_ci_network(&self) -> Result<()> {
        self.network.join(network::Side::Ci)
    }

    /// Waits until `condition` holds, at most for `limit`; an error names `what`.
    pub fn wait_for(&self, what: &str, limit: Duration, mut condition: impl FnMut() -> bool) -> Result<()> {
        let until = Instant::now() + limit;
        while !condition() {
            ensure!(Instant::now() < until, "not within {limit:?}: {what}");
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn receive(&self, content: Stdio, target: &str, mode: u32, owner: &str) -> Result<()> {
        let script = "mkdir -p \"$(dirname \"$0\")\"; new=$(mktemp \"$0.XXXXXX\"); cat >\"$new\"; \
                      chown \"$2\" \"$new\"; chmod \"$1\" \"$new\"; mv -T \"$new\" \"$0\"";
        let output = self
            .command("bash")
            .args(["-euc", script, target, &format!("{mode:o}"), owner])
            .stdin(content)
            .output()
            .context("run bash in the box")?;
        text_of(&format!("write {target}"), &output).map(drop)
    }

    /// Writes the files that overlay the machine's in the box: fresh host key, root's key, sshd's
    /// configuration.
    fn seed(&self) -> Result<()> {
        let dir = self.claim.dir();
        let (etc, home) = (dir.join("seed/etc/ssh"), dir.join("seed/root/.ssh"));
        for dir in [&etc, &home] {
            fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        }
        for dir in [&home, &dir.join("seed/root")] {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
        }
        let host_key = etc.join("ssh_host_ed25519_key");
        make_key(&host_key)?;
        make_key(&self.key())?;
        fs::write(etc.join("sshd_config"), SSHD)?;
        fs::copy(self.key().with_extension("pub"), home.join("authorized_keys"))?;
        let public = fs::read_to_string(host_key.with_extension("pub"))?;
        let mut words = public.split_whitespace();
        let (kind, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        fs::write(self.known_hosts(), format!("{ADDRESS} {kind} {key}\n"))?;
        Ok(())
    }

    fn start(&mut self) -> Result<()> {
        let dir = self.claim.dir();
        let console = File::create(dir.join("console"))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "unshare", "--mount", "--propagation", "private"])
            .args(["bash", "-c", BOOT, "boot.sh", self.name()])
            .arg(dir)
            .arg(self.network.name_of(network::Side::Server))
            .stdin(Stdio::null())
            .stdout(console.try_clone()?)
            .stderr(console)
            .spawn()
            .context("run setpriv")?;
        self.nspawn = Some(child);
        self.wait_until_up()
            .with_context(|| format!("boot the box {}; it says:\n{}", self.name(), self.console()))
    }

    fn wait_until_up(&mut self) -> Result<()> {
        let until = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = self.nspawn.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                bail!("systemd-nspawn ended: {status} (apt-get install systemd-container)");
            }
            ensure!(Instant::now() < until, "not up within {READY_WITHIN:?}");
            if self.leader == 0 {
                self.leader =
                    self.nspawn.as_ref().and_then(|child| first_of_the_box(child.id())).unwrap_or(0);
            } else if self.is_up()? {
                return Ok(());
            }
            thread::sleep(POLL);
        }
    }

    fn is_up(&self) -> Result<bool> {
        // `degraded` is up too: the test judges failed units.
        let state = self.run(&["systemctl", "is-system-running", "--wait"])?;
        let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
        let up = matches!(state.as_str(), "running" | "degraded");
        Ok(up && self.ssh_command().arg("true").output().context("run ssh")?.status.success())
    }

    fn console(&self) -> String {
        fs::read_to_string(self.claim.dir().join("console")).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The next boot removes any remains.
        let _ = self.claim.kill();
        if let Some(mut child) = self.nspawn.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.network.remove();
        self.claim.remove();
    }
}

/// The PID 1 of the box that systemd-nspawn `pid` runs: its only child, once that is systemd.
fn first_of_the_box(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let leader = children.split_whitespace().next()?.parse().ok()?;
    let name = fs::read_to_string(format!("/proc/{leader}/comm")).ok()?;
    (name.trim_end() == "systemd").then_some(leader)
}

fn make_key(path: &Path) -> Result<()> {
    let output = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "box", "-f"])
        .arg(path)
        .output()
        .context("run ssh-keygen: apt-get install openssh-client")?;
    text_of("ssh-keygen", &output).map(drop)
}

/// What a program has printed, without line breaks at its end; an error if it failed.
pub(crate) fn text_of(what: &str, output: &Output) -> Result<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "{} of: {what}\n{}{text}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text.trim_end_matches('\n').to_owned())
}
