//! The network of a box: two network namespaces joined by a cable (veth), the CI's side and the
//! server's. Nothing else is reached from either.

use std::{
    fs::File,
    os::fd::AsFd as _,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The server's address; the other one is the CI's. Every box has the same: their networks do not
/// meet.
pub(super) const SERVER: &str = "10.113.0.2";
const CI: &str = "10.113.0.1";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Ci,
    Server,
}

impl Side {
    const BOTH: [Self; 2] = [Self::Ci, Self::Server];

    fn suffix(self) -> &'static str {
        match self {
            Self::Ci => "ci",
            Self::Server => "server",
        }
    }
}

#[derive(Debug)]
pub(super) struct Network {
    name: String,
}

impl Network {
    pub(super) fn new(name: &str) -> Result<Self> {
        let network = Self { name: name.to_owned() };
        for side in Side::BOTH {
            ip(&["netns", "add", &network.name_of(side)])?;
        }
        let (ci, server) = (network.name_of(Side::Ci), network.name_of(Side::Server));
        ip(&[
            "link", "add", "cable", "netns", &ci, "type", "veth", "peer", "name", "cable", "netns", &server,
        ])?;
        for (side, address) in [(&ci, CI), (&server, SERVER)] {
            ip(&["-n", side, "address", "add", &format!("{address}/30"), "dev", "cable"])?;
            ip(&["-n", side, "link", "set", "lo", "up"])?;
            ip(&["-n", side, "link", "set", "cable", "up"])?;
        }
        Ok(network)
    }

    pub(super) fn name_of(&self, side: Side) -> String {
        format!("{}-{}", self.name, side.suffix())
    }

    /// A command prefix: what follows runs in the network of that side.
    pub(super) fn command(&self, side: Side) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path(side))).arg("--");
        command
    }

    pub(super) fn join(&self) -> Result<()> {
        let path = self.path(Side::Server);
        let file = File::open(&path).with_context(|| format!("open {path}"))?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("join the network {path}"))
    }

    /// Sets the CI's end of the cable `up` or `down`.
    pub(super) fn link(&self, state: &str) -> Result<()> {
        ip(&["-n", &self.name_of(Side::Ci), "link", "set", "cable", state])
    }

    fn path(&self, side: Side) -> String {
        format!("/run/netns/{}", self.name_of(side))
    }

    pub(super) fn remove(&self) {
        remove(&self.name);
    }
}

/// Removes what is there of the network of the box `name`.
pub(super) fn remove(name: &str) {
    for side in Side::BOTH {
        // That it is not there is no matter.
        let _ = Command::new("ip")
            .args(["netns", "delete", &format!("{name}-{}", side.suffix())])
            .stderr(Stdio::null())
            .status();
    }
}

fn ip(words: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(words).output().context("run ip: apt-get install iproute2")?;
    ensure!(
        output.status.success(),
        "ip {}: {}",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(())
}
