//! Checks the hot standby: that etcd can be reached, and what the running tgs-stream says of the
//! hosts. Reads and writes no key.

use std::time::Duration;

use tgs_control::{HostRole, HostsStatus};
use tgs_core::settings::HaSettings;
use tgs_playout::upstream::UpstreamDialler;
use tgs_rtmp::{client, url::RtmpUrl};

use crate::{context::DiagContext, finding::Finding, runner::CheckSink, running_broadcast::RunningBroadcast};

const CHECK: &str = "hot standby";

/// Time limit of one connection.
const LIMIT: Duration = Duration::from_secs(4);

/// Checks HA_ENDPOINTS, if set.
pub(crate) fn look(context: &DiagContext, out: &CheckSink) {
    let Some(settings) = &context.settings else { return };
    let Some(ha) = &settings.ha else { return };
    out.say(if context.offline { Finding::unseen(CHECK, "--offline") } else { endpoints(ha, out) });
    if let Ok(running) = RunningBroadcast::of(settings)
        && let Some(hosts) = running.hosts()
    {
        out.say(hosts_finding(hosts));
    }
}

fn endpoints(ha: &HaSettings, out: &CheckSink) -> Finding {
    let failures: Vec<_> = ha.endpoints.iter().filter_map(|endpoint| reach(endpoint, out)).collect();
    let all = ha.endpoints.len();
    if failures.is_empty() {
        return Finding::pass(CHECK, format!("all {all} addresses of etcd take connections"));
    }
    let text = format!("{} of {all} addresses of etcd: {}", failures.len(), failures.join("; "));
    let remedy = "check etcd there, and the firewall; no host can take over while most of them are away";
    if failures.len() * 2 < all {
        Finding::warn(CHECK, text).with_remedy(remedy)
    } else {
        Finding::fail(CHECK, text, remedy)
    }
}

/// Why there is no TCP connection to `endpoint`; `None` if there is.
fn reach(endpoint: &str, out: &CheckSink) -> Option<String> {
    let address = endpoint.split_once("://").map_or(endpoint, |(_, address)| address);
    let target = match RtmpUrl::parse(&format!("rtmp://{address}/etcd/etcd")) {
        Ok(target) => target,
        Err(why) => return Some(format!("{endpoint} cannot be used: {why}")),
    };
    let (cancel, dialler) = (out.cancel.clone(), UpstreamDialler::default());
    let reached = client::reach(&dialler, &target, move || cancel.is_cancelled(), LIMIT.min(out.left()));
    reached.err().map(|error| format!("{endpoint}: {error}"))
}

fn hosts_finding(hosts: &HostsStatus) -> Finding {
    let own = &hosts.host;
    if let Some(why) = &hosts.problem {
        return Finding::fail(CHECK, format!("{own} cannot take over: {why}"), "the line says what to do");
    }
    if let Some(why) = &hosts.etcd {
        let remedy = "see the addresses of etcd above; etcdctl endpoint status --cluster shows the leader";
        return Finding::fail(CHECK, format!("etcd does not answer {own}: {why}"), remedy);
    }
    let others = hosts.hosts.iter().filter(|host| host.host != *own && host.ready).count();
    match (hosts.role, &hosts.active) {
        (HostRole::Active, _) if others == 0 => {
            Finding::warn(CHECK, format!("{own} is on air, and no standby is ready"))
                .with_remedy("start tgs-stream on another host with the same HA_KEY")
        }
        (HostRole::Active, _) => Finding::pass(CHECK, format!("{own} is on air, {others} could take over")),
        (HostRole::Standby, Some(active)) => {
            Finding::pass(CHECK, format!("{own} is the standby of {active}"))
        }
        (HostRole::Standby, None) => Finding::warn(CHECK, "no host is on air")
            .with_remedy("wait some seconds; tgs-ctl status shows the hosts"),
    }
}

#[cfg(test)]
mod tests {
    use tgs_control::PresentHost;

    use super::*;

    #[test]
    fn the_state_of_the_hosts_is_judged() {
        let other = PresentHost { host: "right".into(), ready: true, ..PresentHost::default() };
        let active = HostsStatus {
            host: "left".into(),
            role: HostRole::Active,
            active: Some("left".into()),
            hosts: vec![other],
            ..HostsStatus::default()
        };
        let text = |hosts: &HostsStatus| hosts_finding(hosts).text;
        assert_eq!(text(&active), "left is on air, 1 could take over");
        let alone = HostsStatus { hosts: Vec::new(), ..active.clone() };
        assert_eq!(text(&alone), "left is on air, and no standby is ready");
        let away = HostsStatus { etcd: Some("refused".into()), ..active.clone() };
        assert_eq!(text(&away), "etcd does not answer left: refused");
        let standby = HostsStatus { role: HostRole::Standby, active: Some("right".into()), ..active };
        assert_eq!(text(&standby), "left is the standby of right");
    }
}
