//! The hosts that are present, and their order.

use serde::{Deserialize, Serialize};

/// What a host says of itself. Its key belongs to its lease.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostInfo {
    /// Its name.
    pub host: String,
    /// Which process it is: a random text.
    pub instance: String,
    /// `HA_PRIORITY`
    pub priority: u32,
    /// Its version of tgs-stream.
    pub version: String,
    /// Whether it could take over now.
    pub ready: bool,
    /// A hash of its Telegram session; empty without one.
    pub session: String,
    /// The number of the offer that it holds a broadcast ready for; empty without one.
    pub holds: String,
    /// Its lease.
    pub lease: i64,
}

impl HostInfo {
    /// Whether this host takes over before `other`.
    fn is_before(&self, other: &Self) -> bool {
        (other.priority, &self.host) < (self.priority, &other.host)
    }
}

/// How many of `hosts` take over before `own`. Those that are not ready come after all that are.
pub(crate) fn rank(own: &HostInfo, hosts: &[HostInfo]) -> u32 {
    let before = |other: &&HostInfo| {
        other.host != own.host && if other.ready == own.ready { other.is_before(own) } else { other.ready }
    };
    hosts.iter().filter(before).count() as u32
}

/// The host whose Telegram session `own` must not use: the host on air, or one before it in order.
pub(crate) fn shares_session<'a>(
    own: &HostInfo,
    hosts: &'a [HostInfo],
    active: Option<i64>,
) -> Option<&'a HostInfo> {
    if own.session.is_empty() || active == Some(own.lease) {
        return None;
    }
    let same = |other: &&HostInfo| other.host != own.host && other.session == own.session;
    hosts.iter().filter(same).find(|other| active == Some(other.lease) || other.is_before(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, priority: u32, lease: i64) -> HostInfo {
        HostInfo {
            host: name.into(),
            priority,
            lease,
            ready: true,
            session: "s".into(),
            ..HostInfo::default()
        }
    }

    #[test]
    fn priority_then_name_decide_and_the_unready_come_last() {
        let [a, b, c] = [host("a", 1, 1), host("b", 5, 2), host("c", 1, 3)];
        let all = [a.clone(), b.clone(), c.clone()];
        assert_eq!([&a, &b, &c].map(|own| rank(own, &all)), [1, 0, 2]);
        let unready = HostInfo { ready: false, ..b.clone() };
        let all = [a.clone(), unready.clone(), c.clone()];
        assert_eq!([&a, &unready, &c].map(|own| rank(own, &all)), [0, 2, 1]);
    }

    #[test]
    fn one_host_alone_uses_a_session() {
        let [a, b] = [host("a", 1, 1), host("b", 5, 2)];
        let all = [a.clone(), b.clone()];
        assert_eq!(shares_session(&a, &all, None), Some(&b));
        assert_eq!(shares_session(&b, &all, None), None);
        assert_eq!(shares_session(&b, &all, Some(1)), Some(&a));
        assert_eq!(shares_session(&a, &all, Some(1)), None);
        let other = HostInfo { session: "t".into(), ..a };
        assert_eq!(shares_session(&other, &all, Some(2)), None);
    }
}
