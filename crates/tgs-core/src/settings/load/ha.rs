//! Reads the settings of the hot standby, and checks that they fit together.

use super::Reader;
use crate::{
    secret::Secret,
    settings::{
        ha::{HaSettings, endpoints, host, key, machine_name, priority, ttl, without_etcd},
        parse::{PublisherKind, path, text},
    },
    tls::TlsFiles,
};

impl Reader<'_> {
    /// `None` without `HA_ENDPOINTS`. Problems of the others are reported in any case.
    pub(super) fn ha(&mut self, publisher: Option<PublisherKind>) -> Option<HaSettings> {
        let found = self.find("HA_ENDPOINTS");
        let shown = found.as_ref().map(|(_, shown)| shown.clone()).unwrap_or_default();
        let endpoints = found.and_then(|found| self.parse(found, endpoints));
        let (login, certificate) = (self.ha_login(), self.ha_certificate());
        let authority = self.optional("HA_CA", path);
        let key = self.optional("HA_KEY", key);
        let (ttl, priority) = (self.value("HA_TTL", ttl), self.value("HA_PRIORITY", priority));
        let host = self.optional("HA_HOST", host).unwrap_or_else(machine_name);
        let without_etcd = self.value("HA_WITHOUT_ETCD", without_etcd);
        let endpoints = endpoints?;
        if publisher == Some(PublisherKind::Ffmpeg) {
            self.problems.push(format!(
                "{shown} needs PUBLISHER=native: what ffmpeg has taken cannot be stopped when the lease ends"
            ));
        }
        if (authority.is_some() || certificate.is_some()) && endpoints[0].starts_with("http://") {
            self.problems
                .push(format!("{shown} begins with http://, which uses no certificate: write https://"));
        }
        if key.is_none() {
            self.problems.push(format!(
                "{shown} needs HA_KEY, the same on all hosts of this broadcast and of no other, as /tgs/main"
            ));
        }
        Some(HaSettings {
            endpoints,
            login,
            authority,
            certificate,
            key: key?,
            ttl: ttl?,
            priority: priority?,
            host,
            without_etcd: without_etcd?,
        })
    }

    fn ha_login(&mut self) -> Option<(String, Secret<String>)> {
        match (self.optional("HA_USER", text), self.optional("HA_PASSWORD", text)) {
            (Some(user), Some(password)) => Some((user, Secret::new(password))),
            (None, None) => None,
            _ => {
                self.problems.push("HA_USER and HA_PASSWORD belong together: set both".into());
                None
            }
        }
    }

    fn ha_certificate(&mut self) -> Option<TlsFiles> {
        match (self.optional("HA_CERT", path), self.optional("HA_CERT_KEY", path)) {
            (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
            (None, None) => None,
            _ => {
                self.problems.push("HA_CERT and HA_CERT_KEY belong together: set both".into());
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, ffi::OsString, path::Path, time::Duration};

    use crate::settings::{Settings, WithoutEtcd};

    const PLAIN: (&str, &str) = ("HA_ENDPOINTS", "http://127.0.0.1:2379");
    const KEY: (&str, &str) = ("HA_KEY", "/tgs/main/");

    fn load(set: &[(&str, &str)]) -> Result<Settings, String> {
        let env: BTreeMap<_, _> = set.iter().copied().chain([("HOME", "/home/me")]).collect();
        let env = |name: &str| env.get(name).map(OsString::from);
        Settings::load_in(Path::new("/nowhere"), None, &env, &[]).map_err(|problems| problems.to_string())
    }

    #[test]
    fn the_hot_standby_is_read() {
        assert_eq!(load(&[KEY, ("HA_TTL", "4s")]).unwrap().ha, None);
        let ha = load(&[PLAIN, KEY]).unwrap().ha.unwrap();
        assert_eq!((ha.endpoints, ha.key.as_str()), (vec!["http://127.0.0.1:2379".to_owned()], "/tgs/main"));
        assert_eq!((ha.ttl, ha.priority), (Duration::from_secs(5), 0));
        assert_eq!((ha.without_etcd, ha.host.is_empty(), ha.login), (WithoutEtcd::Stop, false, None));
        let secure = [
            ("HA_ENDPOINTS", "https://a:2379, https://[::1]:2379/"),
            ("HA_CA", "ca.pem"),
            ("HA_CERT", "c.pem"),
            ("HA_CERT_KEY", "k.pem"),
            ("HA_USER", "tgs"),
            ("HA_PASSWORD", "s3cr3t"),
            ("HA_HOST", "left"),
        ];
        let ha = load(&[&[KEY], &secure[..]].concat()).unwrap().ha.unwrap();
        assert_eq!(ha.endpoints, ["https://a:2379", "https://[::1]:2379"]);
        assert_eq!(ha.certificate.unwrap().key, Path::new("/nowhere/k.pem"));
        assert_eq!((ha.host.as_str(), ha.login.unwrap().0.as_str()), ("left", "tgs"));
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for (set, says) in [
            (&[PLAIN][..], "HA_ENDPOINTS (in the environment) needs HA_KEY"),
            (&[KEY, ("HA_ENDPOINTS", "127.0.0.1:2379")], "must be addresses such as https://10.0.0.1:2379"),
            (&[KEY, ("HA_ENDPOINTS", "http://u:s3cr3t@h:1")], "must be addresses such as"),
            (&[KEY, ("HA_ENDPOINTS", "http://a:1 https://b:1")], "must be all https:// or all http://"),
            (&[PLAIN, ("HA_KEY", "tgs")], "must begin with /"),
            (&[PLAIN, KEY, ("HA_TTL", "2s")], "must be whole seconds from 3s to 60s"),
            (&[PLAIN, KEY, ("HA_PRIORITY", "-1")], "must be a number from 0 to 1000"),
            (&[PLAIN, KEY, ("HA_HOST", "a/b")], "must consist of letters"),
            (&[PLAIN, KEY, ("HA_WITHOUT_ETCD", "go")], "must be stop or stay"),
            (&[PLAIN, KEY, ("HA_PASSWORD", "s3cr3t")], "HA_USER and HA_PASSWORD belong together"),
            (&[PLAIN, KEY, ("HA_CERT", "c")], "HA_CERT and HA_CERT_KEY belong together"),
            (&[PLAIN, KEY, ("HA_CA", "c")], "begins with http://, which uses no certificate"),
            (&[PLAIN, KEY, ("PUBLISHER", "ffmpeg")], "needs PUBLISHER=native"),
        ] {
            let error = load(set).unwrap_err();
            assert!(error.contains(says) && !error.contains("s3cr3t"), "{error}");
        }
    }
}
