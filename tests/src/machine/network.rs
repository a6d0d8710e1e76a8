//! The network of a box: two network namespaces, CI and server, joined by a veth pair. Neither
//! reaches any other network.

use std::process::{Command, Stdio};

use anyhow::Result;

use crate::netns::{self, ip};

/// The server's address; `CI` is the other end. All boxes use the same addresses: their networks
/// are separate.
pub(super) const SERVER: &str = "10.113.0.2";
pub(super) const CI: &str = "10.113.0.1";

/// The addresses of a second server and of the CI side, as that server sees it.
pub(super) const SECOND: &str = "10.113.0.6";
pub(super) const SECOND_CI: &str = "10.113.0.5";

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

    /// A command prefix that runs a program in the network of that side.
    pub(super) fn command(&self, side: Side) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path(side))).arg("--");
        command
    }

    pub(super) fn join(&self, side: Side) -> Result<()> {
        netns::enter(&self.name_of(side))
    }

    /// Joins the CI side of this network to the server of `other` by a second cable.
    pub(super) fn reach(&self, other: &Self) -> Result<()> {
        let (ci, server) = (self.name_of(Side::Ci), other.name_of(Side::Server));
        ip(&[
            "link", "add", "second", "netns", &ci, "type", "veth", "peer", "name", "second", "netns", &server,
        ])?;
        for (side, address) in [(&ci, SECOND_CI), (&server, SECOND)] {
            ip(&["-n", side, "address", "add", &format!("{address}/30"), "dev", "second"])?;
            ip(&["-n", side, "link", "set", "second", "up"])?;
        }
        Ok(())
    }

    /// Sets the CI's end of the veth pair `up` or `down`.
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

/// Removes the network namespaces of the box `name`, if any.
pub(super) fn remove(name: &str) {
    for side in Side::BOTH {
        // The namespace may not exist.
        let _ = Command::new("ip")
            .args(["netns", "delete", &format!("{name}-{}", side.suffix())])
            .stderr(Stdio::null())
            .status();
    }
}
