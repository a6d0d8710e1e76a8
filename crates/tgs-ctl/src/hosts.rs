//! The text of the hosts of a hot standby.

use tgs_control::{HostRole, HostsStatus, PresentHost};

use crate::text::plain;

/// The lines of `status`: the hosts, then what is wrong.
pub(crate) fn lines(hosts: &HostsStatus) -> Vec<String> {
    let mut lines: Vec<_> = hosts.hosts.iter().map(|host| line(hosts, host)).collect();
    if hosts.hosts.is_empty() {
        lines.push(format!("{} (this one)", plain(&hosts.host)));
    }
    if let Some(why) = &hosts.problem {
        lines.push(format!("this host cannot take over: {}", plain(why)));
    }
    if let Some(why) = &hosts.etcd {
        let lease = hosts.lease_seconds.filter(|_| hosts.role == HostRole::Active);
        let lease = lease.map(|left| format!("; the lease lasts {left:.1} s")).unwrap_or_default();
        lines.push(format!("etcd does not answer: {}{lease}", plain(why)));
    }
    lines
}

fn line(hosts: &HostsStatus, host: &PresentHost) -> String {
    let state = match (hosts.active.as_deref() == Some(&*host.host), host.ready) {
        (true, _) => "active",
        (false, true) => "standby, ready",
        (false, false) => "standby, not ready",
    };
    let own = if host.host == hosts.host { " (this one)" } else { "" };
    format!(
        "{}{own}: {state}, priority {}, version {}",
        plain(&host.host),
        host.priority,
        plain(&host.version)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_a_line_and_what_is_wrong_follows() {
        let host = |name: &str, ready| PresentHost { host: name.into(), ready, ..PresentHost::default() };
        let hosts = HostsStatus {
            host: "left".into(),
            role: HostRole::Active,
            active: Some("left".into()),
            hosts: vec![host("left", true), host("right", false)],
            lease_seconds: Some(3.21),
            etcd: Some("refused".into()),
            ..HostsStatus::default()
        };
        let expected = [
            "left (this one): active, priority 0, version ",
            "right: standby, not ready, priority 0, version ",
            "etcd does not answer: refused; the lease lasts 3.2 s",
        ];
        assert_eq!(lines(&hosts), expected);
    }
}
