//! The network of a cluster: a switch, and a namespace for each node. Packets between nodes are
//! dropped where they arrive, so that the sender notices nothing, and each direction alone.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};

use crate::netns::NetworkNamespace;

/// A machine of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// The ingest and the test itself.
    Ingest,
    /// An etcd of this number.
    Etcd(usize),
    /// A host that broadcasts, of this number.
    Host(usize),
}

impl Node {
    /// The nodes of a cluster.
    pub const ALL: [Self; 6] =
        [Self::Ingest, Self::Etcd(0), Self::Etcd(1), Self::Etcd(2), Self::Host(0), Self::Host(1)];

    /// The number of etcd nodes.
    pub const ETCDS: usize = 3;

    /// The address within the cluster.
    #[must_use]
    pub fn address(self) -> Ipv4Addr {
        let last = match self {
            Self::Ingest => 1,
            Self::Etcd(number) => 11 + number as u8,
            Self::Host(number) => 21 + number as u8,
        };
        Ipv4Addr::new(10, 115, 0, last)
    }

    fn name(self) -> String {
        match self {
            Self::Ingest => "ingest".to_owned(),
            Self::Etcd(number) => format!("etcd{number}"),
            Self::Host(number) => format!("host{number}"),
        }
    }
}

/// The namespaces; dropping the value removes them.
#[derive(Debug)]
pub(super) struct Network {
    nodes: Vec<(Node, NetworkNamespace)>,
    _switch: NetworkNamespace,
}

impl Network {
    /// Creates the network, and moves this thread to the ingest's node.
    pub(super) fn new() -> Result<Self> {
        let name = |what: &str| format!("tgs-cl-{}-{what}", std::process::id());
        let switch = NetworkNamespace::new(name("switch"))?;
        switch.ip(&["link", "add", "switch", "type", "bridge"])?;
        switch.ip(&["link", "set", "switch", "up"])?;
        let mut nodes = Vec::new();
        for node in Node::ALL {
            let namespace = NetworkNamespace::new(name(&node.name()))?;
            let (port, other) = (node.name(), switch.name());
            namespace.ip(&["link", "add", "cable", "type", "veth", "peer", "name", &port, "netns", other])?;
            switch.ip(&["link", "set", &port, "master", "switch", "up"])?;
            namespace.ip(&["address", "add", &format!("{}/24", node.address()), "dev", "cable"])?;
            namespace.ip(&["link", "set", "cable", "up"])?;
            namespace.nft(
                "add table ip fault; add chain ip fault arriving { type filter hook input priority 0; }",
            )?;
            nodes.push((node, namespace));
        }
        let network = Self { nodes, _switch: switch };
        network.namespace(Node::Ingest)?.enter()?;
        Ok(network)
    }

    pub(super) fn namespace(&self, node: Node) -> Result<&NetworkNamespace> {
        let found = self.nodes.iter().find(|(other, _)| *other == node);
        found.map(|(_, namespace)| namespace).context("no such node")
    }

    /// Loses the packets of `from` that go to `to`.
    pub(super) fn lose(&self, from: &[Node], to: &[Node]) -> Result<()> {
        let addresses: Vec<_> = from.iter().map(|node| node.address().to_string()).collect();
        let rule = format!("add rule ip fault arriving ip saddr {{ {} }} drop", addresses.join(", "));
        to.iter().try_for_each(|node| self.namespace(*node)?.nft(&rule))
    }

    /// Loses all packets between the two groups.
    pub(super) fn part(&self, one: &[Node], other: &[Node]) -> Result<()> {
        self.lose(one, other)?;
        self.lose(other, one)
    }

    /// Loses nothing any more.
    pub(super) fn heal(&self) -> Result<()> {
        self.nodes.iter().try_for_each(|(_, namespace)| namespace.nft("flush chain ip fault arriving"))
    }
}

/// The nodes that are not among `these`.
pub(super) fn others(these: &[Node]) -> Vec<Node> {
    Node::ALL.into_iter().filter(|node| !these.contains(node)).collect()
}
