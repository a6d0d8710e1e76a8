//! The hosts of a hot standby, as `status` shows them.

use serde::{Deserialize, Serialize};

use crate::{health, null::null_as_default};

/// What a host is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostRole {
    /// It publishes.
    Active,
    /// It takes over when the active host fails; also any unknown role.
    #[default]
    #[serde(other)]
    Standby,
}

/// The hot standby, as one host sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostsStatus {
    /// The name of this host.
    #[serde(deserialize_with = "null_as_default")]
    pub host: String,
    /// What it is.
    #[serde(deserialize_with = "null_as_default")]
    pub role: HostRole,
    /// The host that publishes; absent if nobody does, or it is not known.
    pub active: Option<String>,
    /// The hosts that are present, this one included.
    #[serde(deserialize_with = "null_as_default")]
    pub hosts: Vec<PresentHost>,
    /// Seconds until the lease of this host may have run out; absent without a lease.
    pub lease_seconds: Option<f64>,
    /// Why etcd does not answer; absent while it does.
    pub etcd: Option<String>,
    /// What keeps this host from taking over; absent without a problem.
    pub problem: Option<String>,
    /// How often this host has taken the air since its start.
    #[serde(deserialize_with = "null_as_default")]
    pub takeovers: u64,
}

/// A host that is present.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PresentHost {
    /// Its name.
    #[serde(deserialize_with = "null_as_default")]
    pub host: String,
    /// `HA_PRIORITY`
    #[serde(deserialize_with = "null_as_default")]
    pub priority: u32,
    /// Whether it could take over now, or publishes.
    #[serde(deserialize_with = "null_as_default")]
    pub ready: bool,
    /// Its version of tgs-stream.
    #[serde(deserialize_with = "null_as_default")]
    pub version: String,
}

impl HostsStatus {
    /// The line in `systemctl status` of a standby.
    #[must_use]
    pub fn summary(&self) -> String {
        let of = match &self.active {
            Some(active) => format!("{} of {active}", health::STANDBY),
            None => format!("{}: no host is active", health::STANDBY),
        };
        match (&self.problem, &self.etcd) {
            (Some(why), _) => format!("unable to take over: {why}"),
            (None, Some(why)) => format!("{of}; etcd does not answer: {why}"),
            (None, None) => of,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Health;

    #[test]
    fn the_line_says_whose_standby_this_is_or_why_it_is_unable() {
        let mut hosts = HostsStatus { active: Some("left".into()), ..HostsStatus::default() };
        assert_eq!(hosts.summary(), "standby of left");
        assert_eq!(Health::from_summary(&hosts.summary()), Some(Health::Standby));
        hosts.etcd = Some("refused".into());
        assert_eq!(hosts.summary(), "standby of left; etcd does not answer: refused");
        hosts.problem = Some("same session".into());
        let unable = "unable to take over: same session";
        assert_eq!(hosts.summary(), unable);
        assert_eq!(Health::from_summary(unable), Some(Health::Unhealthy(unable.into())));
    }

    #[test]
    fn unknown_roles_and_nulls_are_read() {
        let hosts: HostsStatus = serde_json::from_str(r#"{"role":"referee","hosts":null,"new":1}"#).unwrap();
        assert_eq!(hosts, HostsStatus::default());
    }
}
