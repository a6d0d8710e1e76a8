//! The settings of the hot standby: the types, and parsers of their values.

use std::{path::PathBuf, time::Duration};

use crate::{secret::Secret, tls::TlsFiles, units};

/// The most addresses of etcd.
const MOST_ENDPOINTS: usize = 9;

/// The longest name of a host, and the longest key.
const LONGEST: usize = 200;

/// The hot standby, if `HA_ENDPOINTS` is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaSettings {
    /// `HA_ENDPOINTS`: URLs with http or https, a host and a port.
    pub endpoints: Vec<String>,
    /// `HA_USER` and `HA_PASSWORD`.
    pub login: Option<(String, Secret<String>)>,
    /// `HA_CA`: who certifies etcd's certificates, else the authorities of the system.
    pub authority: Option<PathBuf>,
    /// `HA_CERT` and `HA_CERT_KEY`: the client's certificate.
    pub certificate: Option<TlsFiles>,
    /// `HA_KEY`, without a slash at its end.
    pub key: String,
    /// `HA_TTL`, 3 s to 60 s.
    pub ttl: Duration,
    /// `HA_PRIORITY`
    pub priority: u32,
    /// `HA_HOST`, else the name of the machine.
    pub host: String,
    /// `HA_WITHOUT_ETCD`
    pub without_etcd: WithoutEtcd,
}

/// What an active host does once its lease has run out because it cannot reach etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutEtcd {
    /// Stops publishing: another host may publish by then.
    Stop,
    /// Goes on: two hosts may publish at once.
    Stay,
}

pub(super) fn endpoints(value: &str) -> Result<Vec<String>, String> {
    let all: Vec<String> = value
        .split([',', ' '])
        .filter(|endpoint| !endpoint.is_empty())
        .map(|endpoint| endpoint.trim_end_matches('/').to_owned())
        .collect();
    if all.is_empty() || all.len() > MOST_ENDPOINTS {
        return Err(format!("must be 1 to {MOST_ENDPOINTS} addresses of etcd, separated by commas"));
    }
    let secure = |endpoint: &String| endpoint.starts_with("https://");
    for endpoint in &all {
        let rest = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
        let port = rest.and_then(|rest| rest.rsplit_once(':'));
        let port = port.filter(|(host, _)| !host.is_empty() && !host.contains(['/', '@', '?']));
        if port.is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            return Err("must be addresses such as https://10.0.0.1:2379, separated by commas".into());
        }
    }
    if all.iter().any(secure) && !all.iter().all(secure) {
        return Err("must be all https:// or all http://".into());
    }
    Ok(all)
}

pub(super) fn key(value: &str) -> Result<String, String> {
    let key = value.trim_end_matches('/');
    let fits = key.len() > 1 && key.len() <= LONGEST && key.starts_with('/');
    if fits && !key.contains(char::is_control) {
        Ok(key.to_owned())
    } else {
        Err(format!("must begin with / and have 2 to {LONGEST} characters, as /tgs/main"))
    }
}

pub(super) fn ttl(value: &str) -> Result<Duration, String> {
    let duration = units::parse_duration(value).map_err(|e| e.to_string())?;
    let allowed = Duration::from_secs(3)..=Duration::from_mins(1);
    if allowed.contains(&duration) && duration.subsec_nanos() == 0 {
        Ok(duration)
    } else {
        Err("must be whole seconds from 3s to 60s".into())
    }
}

pub(super) fn priority(value: &str) -> Result<u32, String> {
    let parsed = value.parse().ok().filter(|priority| *priority <= 1000);
    parsed.ok_or_else(|| "must be a number from 0 to 1000".into())
}

pub(super) fn host(value: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    if !value.is_empty() && value.len() <= LONGEST && value.chars().all(fits) {
        Ok(value.to_owned())
    } else {
        Err("must consist of letters, digits, dots, hyphens and underscores".into())
    }
}

pub(super) fn without_etcd(value: &str) -> Result<WithoutEtcd, String> {
    match value {
        "stop" => Ok(WithoutEtcd::Stop),
        "stay" => Ok(WithoutEtcd::Stay),
        _ => Err("must be stop or stay".into()),
    }
}

/// The name of the machine.
pub(super) fn machine_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    host(&name).unwrap_or_else(|_| "host".to_owned())
}
