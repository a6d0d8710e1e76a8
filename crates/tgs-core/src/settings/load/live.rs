//! Reads the settings of the live input, and checks that they fit together.

use super::Reader;
use crate::{
    secret::Secret,
    settings::{
        live::{Live, LiveAddress, delay, grace, input, key, start},
        parse::{flag, path},
    },
    tls::TlsFiles,
};

impl Reader<'_> {
    /// Reads the live input; `None` without a valid `LIVE_INPUT`.
    pub(super) fn live(&mut self) -> Option<Live> {
        let found = self.find("LIVE_INPUT");
        let shown = found.as_ref().map(|(_, shown)| shown.clone()).unwrap_or_default();
        let address = found.and_then(|found| self.parse(found, input));
        let has_key = ["LIVE_KEY", "LIVE_KEYS_FILE"].map(|name| self.find(name).is_some()).contains(&true);
        let key = self.optional("LIVE_KEY", key).map(Secret::new);
        let keys_file = self.optional("LIVE_KEYS_FILE", path);
        let tls = self.live_certificate();
        let plain = self.value("LIVE_PLAIN", flag)?;
        let start = self.value("LIVE_START", start)?;
        let delay = self.value("LIVE_DELAY", delay)?;
        let grace = self.value("LIVE_GRACE", grace)?;
        let over_schedule = self.value("LIVE_OVER_SCHEDULE", flag)?;
        let address = address?;
        if !has_key {
            self.problems.push(format!(
                "{shown} needs a key: set LIVE_KEY or LIVE_KEYS_FILE; openssl rand -hex 16 makes a key"
            ));
        }
        if let Some(problem) = misfit(&address, tls.is_some(), plain) {
            self.problems.push(format!("{shown} {problem}"));
        }
        Some(Live { address, key, keys_file, tls, start, delay, grace, over_schedule })
    }

    fn live_certificate(&mut self) -> Option<TlsFiles> {
        let (cert, key) = (self.optional("LIVE_TLS_CERT", path), self.optional("LIVE_TLS_KEY", path));
        match (cert, key) {
            (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
            (None, None) => None,
            _ => {
                self.problems.push("LIVE_TLS_CERT and LIVE_TLS_KEY belong together: set both".into());
                None
            }
        }
    }
}

/// Why address and certificate do not fit together.
fn misfit(address: &LiveAddress, has_certificate: bool, plain: bool) -> Option<&'static str> {
    match (address.secure, has_certificate) {
        (true, false) => Some("begins with rtmps://, which needs LIVE_TLS_CERT and LIVE_TLS_KEY"),
        (false, true) => Some("begins with rtmp://, which uses no certificate: write rtmps://"),
        (false, false) if !address.listen.ip().is_loopback() && !plain => Some(
            "is reachable from other machines, and keys would cross the network readable: write rtmps:// and set \
             LIVE_TLS_CERT and LIVE_TLS_KEY, or set LIVE_PLAIN=1 in a network that you trust",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, ffi::OsString, path::Path, time::Duration};

    use crate::settings::{LiveStart, Settings};

    const KEY: (&str, &str) = ("LIVE_KEY", "0123456789abcdef");

    fn load(set: &[(&str, &str)]) -> Result<Settings, String> {
        let env: BTreeMap<_, _> = set.iter().copied().chain([("HOME", "/home/me")]).collect();
        let env = |name: &str| env.get(name).map(OsString::from);
        Settings::load_in(Path::new("/nowhere"), None, &env, &[]).map_err(|problems| problems.to_string())
    }

    #[test]
    fn the_live_input_is_read() {
        assert_eq!(load(&[KEY]).unwrap().live, None);
        let live = load(&[("LIVE_INPUT", "rtmp://127.0.0.1:1936/live"), KEY]).unwrap().live.unwrap();
        assert_eq!(live.key.unwrap().expose(), KEY.1);
        assert_eq!((live.delay, live.grace), (Duration::from_secs(2), Duration::from_secs(10)));
        assert_eq!((live.start, live.over_schedule, live.tls), (LiveStart::Now, true, None));
        let secure = ("LIVE_INPUT", "rtmps://0.0.0.0:1936/live");
        let tls = [("LIVE_TLS_CERT", "cert.pem"), ("LIVE_TLS_KEY", "key.pem")];
        let live = load(&[secure, KEY, tls[0], tls[1], ("LIVE_START", "ask")]).unwrap().live.unwrap();
        assert_eq!(live.tls.unwrap().cert, Path::new("/nowhere/cert.pem"));
        assert_eq!(live.start, LiveStart::Ask);
        let open = ("LIVE_INPUT", "rtmp://0.0.0.0:1936/live");
        assert!(load(&[open, ("LIVE_KEYS_FILE", "keys"), ("LIVE_PLAIN", "1")]).is_ok());
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let (near, far) = (("LIVE_INPUT", "rtmp://[::1]:1936/live"), ("LIVE_INPUT", "rtmp://[::]:1936/live"));
        let cert = ("LIVE_TLS_CERT", "cert.pem");
        for (set, says) in [
            (&[near][..], "LIVE_INPUT (in the environment) needs a key"),
            (&[near, ("LIVE_KEY", "short-s3cr3t")], "LIVE_KEY (in the environment) has fewer than 16"),
            (&[far, KEY], "set LIVE_PLAIN=1 in a network that you trust"),
            (&[("LIVE_INPUT", "rtmps://[::1]:1/live"), KEY], "needs LIVE_TLS_CERT and LIVE_TLS_KEY"),
            (&[near, KEY, cert], "LIVE_TLS_CERT and LIVE_TLS_KEY belong together"),
            (&[near, KEY, cert, ("LIVE_TLS_KEY", "k")], "write rtmps://"),
            (
                &[near, KEY, ("LIVE_START", "soon")],
                "LIVE_START (in the environment) must be now, after or ask",
            ),
            (&[near, KEY, ("LIVE_DELAY", "1s")], "must be from 2s to 30s"),
            (&[near, KEY, ("LIVE_GRACE", "11m")], "must be from 1s to 10m"),
        ] {
            let error = load(set).unwrap_err();
            assert!(error.contains(says) && !error.contains("s3cr3t"), "{error}");
        }
    }
}
