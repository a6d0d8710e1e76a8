//! The faults of the cluster are real: without hosts that broadcast.

use std::{
    net::{SocketAddr, UdpSocket},
    process::Command,
};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Runs etcdctl in the network of `node`; `None` if it fails within its limit.
fn etcdctl(cluster: &Cluster, node: Node, words: &[&str]) -> Option<String> {
    let mut command = Command::new("nsenter");
    command.arg(cluster.network.namespace(node).unwrap().option()).arg("etcdctl");
    command.args(["--endpoints", &endpoints(), "--dial-timeout=1s", "--command-timeout=3s"]).args(words);
    let output = command.env("ETCDCTL_API", "3").output().expect("etcdctl: apt-get install etcd-client");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether one of some packets of `from` arrives at `to`.
fn arrives(cluster: &Cluster, from: Node, to: Node) -> bool {
    let bind = |node: Node| {
        let address = SocketAddr::from((node.address(), 0));
        let socket =
            cluster.network.namespace(node).unwrap().within(|| Ok(UdpSocket::bind(address)?)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        socket
    };
    let (sender, receiver) = (bind(from), bind(to));
    (0..5).any(|_| {
        sender.send_to(b"x", receiver.local_addr().unwrap()).unwrap();
        receiver.recv(&mut [0; 8]).is_ok()
    })
}

#[test]
fn faults_do_what_they_say() {
    let logs = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new(logs.path()).unwrap();
    let (host, other) = (Node::Host(0), Node::Host(1));

    // One direction, both directions, and the minority with one etcd.
    cluster.network.lose(&[host], &[Node::Etcd(0)]).unwrap();
    assert!(!arrives(&cluster, host, Node::Etcd(0)) && arrives(&cluster, Node::Etcd(0), host));
    cluster.network.heal().unwrap();
    assert!(arrives(&cluster, host, Node::Etcd(0)));
    let rest = network::others(&[host, Node::Etcd(0), Node::Ingest]);
    cluster.network.part(&[host, Node::Etcd(0)], &rest).unwrap();
    assert!(arrives(&cluster, host, Node::Ingest) && arrives(&cluster, Node::Etcd(0), host));
    assert!(!arrives(&cluster, host, Node::Etcd(1)) && !arrives(&cluster, Node::Etcd(2), Node::Etcd(0)));
    // Another key: etcd may execute the request later.
    assert!(etcdctl(&cluster, host, &["put", "minority", "host0"]).is_none(), "a minority has written");
    cluster
        .until("a leader of the majority", 20 * SECOND, || etcdctl(&cluster, other, &["put", "who", "host1"]))
        .unwrap();
    cluster.repair().unwrap();
    let read = cluster.until("etcd to be whole", 20 * SECOND, || etcdctl(&cluster, host, &["get", "who"]));
    assert!(read.unwrap().ends_with("host1\n"));

    // A lease runs out at the leader that is elected next, and not before.
    // etcd may be busy with the election for longer than one request waits.
    let asked = |what: &str, words: &[&str]| {
        cluster.until(what, 20 * SECOND, || etcdctl(&cluster, host, words)).unwrap()
    };
    let lease = asked("a lease", &["lease", "grant", "60"]);
    let lease = lease.split_whitespace().nth(1).unwrap().to_owned();
    asked("a key of the lease", &["put", "leased", "yes", "--lease", &lease]);
    let leader = cluster.until("a leader", 20 * SECOND, || cluster.leader()).unwrap();
    cluster.etcds[leader].kill().unwrap();
    let next = cluster.until("another leader", 20 * SECOND, || cluster.leader()).unwrap();
    assert_ne!(leader, next);
    let read = cluster.until("the next leader", 20 * SECOND, || etcdctl(&cluster, host, &["get", "leased"]));
    assert!(read.unwrap().ends_with("yes\n"));
    cluster.repair().unwrap();
    cluster
        .until("all nodes", 20 * SECOND, || cluster.etcds.iter().all(Etcd::follows).then_some(()))
        .unwrap();

    // A disk that stands still holds up what has to be written to it.
    let leader = cluster.until("a leader", 20 * SECOND, || cluster.leader()).unwrap();
    let waited =
        |cluster: &Cluster| cluster.etcds[leader].metric("etcd_disk_backend_commit_duration_seconds_sum");
    let before = cluster.until("the metric", 20 * SECOND, || waited(&cluster)).unwrap();
    cluster.etcds[leader].slow_down(fastrand::Rng::with_seed(1));
    cluster
        .until("a write that waits", 20 * SECOND, || {
            let _ = etcdctl(&cluster, host, &["put", "slow", "yes"]);
            (waited(&cluster)? > before + 0.15).then_some(())
        })
        .unwrap();
    cluster.repair().unwrap();

    // A wall clock of its own, and the clock of everybody.
    let host = Host::new(&cluster.network, 0, Path::new("date"), &[], logs.path()).unwrap();
    host.step_clock(5000).unwrap();
    let mut date = Command::new("date");
    date.arg("+%s").env("LD_PRELOAD", host::faketime().unwrap());
    date.env("FAKETIME_TIMESTAMP_FILE", host.dir().join("clock"));
    let shown: u64 = String::from_utf8(date.output().unwrap().stdout).unwrap().trim().parse().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert!(shown.abs_diff(now.as_secs() + 5000) < 100, "{shown}");
}
