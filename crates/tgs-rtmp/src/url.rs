//! RTMP addresses, split as ffmpeg splits them (`rtmp_open` in `rtmpproto.c`), so that both
//! programs publish an address to the same stream. The stream key is never displayed.

use std::fmt;

use crate::stream_key::StreamKey;

/// Longest accepted address in bytes. It keeps every string below AMF0's 65535 bytes.
const MAX_LEN: usize = 4096;

/// Replaces the key wherever an address is displayed.
const HIDDEN: &str = "***";

/// An RTMP address: `rtmp[s]://host[:port]/app/key`.
#[derive(Clone, PartialEq, Eq)]
pub struct RtmpUrl {
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) app: String,
    pub(crate) key: StreamKey,
}

/// Why an address is invalid. Contains no part of the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// The scheme is neither `rtmp://` nor `rtmps://`.
    #[error("the address does not begin with rtmp:// or rtmps://")]
    Scheme,
    /// The host name is missing or contains invalid characters.
    #[error("the address has no host name (rtmp://host/app/key)")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("the port of the address is not a number from 1 to 65535")]
    Port,
    /// No stream key follows the last slash.
    #[error("the address ends without a stream key (rtmp://host/app/key)")]
    NoKey,
    /// The address exceeds 4096 bytes or contains a space or a control character.
    #[error("the address is too long, or has a space or a control character in it")]
    Form,
}

impl RtmpUrl {
    /// Parses `address`. The default port is 1935, with TLS 443.
    pub fn parse(address: &str) -> Result<Self, UrlError> {
        let address = address.trim();
        let (tls, rest) = scheme(address).ok_or(UrlError::Scheme)?;
        if address.len() > MAX_LEN || address.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(UrlError::Form);
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = host_and_port(authority)?;
        let (app, key) = app_and_key(path);
        if key.is_empty() || key.starts_with('?') {
            return Err(UrlError::NoKey);
        }
        let port = port.unwrap_or(if tls { 443 } else { 1935 });
        Ok(Self { tls, host, port, app: app.to_owned(), key: StreamKey::new(key) })
    }

    /// The target of a redirect. `to` names the whole stream or, from SRS, the application only.
    pub(crate) fn redirected(&self, to: &str) -> Result<Self, UrlError> {
        let address = to.trim().trim_end_matches('/');
        if address.strip_suffix(self.key.expose()).is_some_and(|application| application.ends_with('/')) {
            return Self::parse(address);
        }
        let (tls, rest) = scheme(address).ok_or(UrlError::Scheme)?;
        let mut target = Self::parse(&format!("{address}/key"))?;
        target.tls = tls;
        rest.split_once('/').map_or("", |(_, app)| app).clone_into(&mut target.app);
        target.key = self.key.clone();
        Ok(target)
    }

    /// The application's address, as sent in `connect` (`tcUrl`).
    pub(crate) fn tc_url(&self) -> String {
        let (scheme, host, port, app) = (self.scheme(), self.bracketed(), self.port, &self.app);
        format!("{scheme}://{host}:{port}/{app}")
    }

    /// Whether the connection uses TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Host name or IP address, and port.
    #[must_use]
    pub fn host(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Redacts the key and the application's query in text from the server.
    pub(crate) fn redact(&self, text: &str) -> String {
        let key = self.key.expose();
        let bare = key.split_once('?').map_or("", |(bare, _)| bare);
        let query = self.app.split_once('?').map_or("", |(_, query)| query);
        let secrets = [key, bare, query].into_iter().filter(|secret| !secret.is_empty());
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
    }

    fn scheme(&self) -> &'static str {
        if self.tls { "rtmps" } else { "rtmp" }
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

impl fmt::Display for RtmpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Shows the application's first part only: some services put tokens after it.
        let app = self.app.split(['/', '?']).next().filter(|app| !app.is_empty());
        let (scheme, host, port) = (self.scheme(), self.bracketed(), self.port);
        write!(f, "{scheme}://{host}:{port}/{}{HIDDEN}", app.map(|app| format!("{app}/")).unwrap_or_default())
    }
}

impl fmt::Debug for RtmpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RtmpUrl({self})")
    }
}

fn scheme(address: &str) -> Option<(bool, &str)> {
    let (scheme, rest) = address.split_once("://")?;
    match scheme.to_ascii_lowercase().as_str() {
        "rtmp" => Some((false, rest)),
        "rtmps" => Some((true, rest)),
        _ => None,
    }
}

fn host_and_port(authority: &str) -> Result<(String, Option<u16>), UrlError> {
    // User name and password are dropped: RTMP authentication is not implemented.
    let host_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match host_port.strip_prefix('[') {
        Some(v6) => {
            let (host, rest) = v6.split_once(']').ok_or(UrlError::Host)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| UrlError::Host)?;
            (
                host,
                rest.strip_prefix(':')
                    .map_or(if rest.is_empty() { Ok(None) } else { Err(()) }, |p| Ok(Some(p))),
            )
        }
        None => {
            host_port.split_once(':').map_or((host_port, Ok(None)), |(host, port)| (host, Ok(Some(port))))
        }
    };
    let known = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(known) {
        return Err(UrlError::Host);
    }
    let port = match port {
        Ok(None) => None,
        Ok(Some(port)) => Some(port.parse().ok().filter(|p| *p != 0).ok_or(UrlError::Port)?),
        Err(()) => return Err(UrlError::Host),
    };
    Ok((host.to_owned(), port))
}

/// ffmpeg's rule: the application is the first part of the path, or the first two if more than one
/// part follows the first. A part with a colon (`123:secret/with/slashes`) starts the key.
fn app_and_key(path: &str) -> (&str, &str) {
    let Some((first, rest)) = path.split_once('/') else { return ("", path) };
    match (rest.find('/'), rest.find(':')) {
        (None, _) => (first, rest),
        (Some(slash), Some(colon)) if colon < slash => (first, rest),
        (Some(slash), _) => (&path[..first.len() + 1 + slash], &rest[slash + 1..]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "1234:s3cr3t";

    #[test]
    fn addresses_are_split_as_ffmpeg_does() {
        // address, TLS, host, port, application, key
        let table = [
            ("rtmp://host/app/key", false, "host", 1935, "app", "key"),
            ("rtmps://dc4-1.rtmp.t.me/s/1234:s3cr3t", true, "dc4-1.rtmp.t.me", 443, "s", SECRET),
            ("RTMP://127.0.0.1:1936/live/k?token=a/b", false, "127.0.0.1", 1936, "live/k?token=a", "b"),
            ("rtmp://u:p@host/app/key?a=b", false, "host", 1935, "app", "key?a=b"),
            ("rtmp://[::1]:80/a/b/key", false, "::1", 80, "a/b", "key"),
            ("rtmp://[::1]/a/b/c/key", false, "::1", 1935, "a/b", "c/key"),
            ("rtmp://host/app/12:ab/cd", false, "host", 1935, "app", "12:ab/cd"),
            ("rtmp://host/key", false, "host", 1935, "", "key"),
            (" rtmps://host:8443/app/key\n", true, "host", 8443, "app", "key"),
        ];
        for (address, tls, host, port, app, key) in table {
            let t = RtmpUrl::parse(address).unwrap_or_else(|e| panic!("{address}: {e}"));
            assert_eq!(
                (t.tls, &*t.host, t.port, &*t.app, t.key.expose()),
                (tls, host, port, app, key),
                "{address}"
            );
        }
    }

    #[test]
    fn unusable_addresses_are_refused_in_words_without_the_key() {
        let table = [
            ("", UrlError::Scheme),
            ("http://host/app/SECRET", UrlError::Scheme),
            ("rtmp:/host/app/SECRET", UrlError::Scheme),
            ("rtmp:///app/SECRET", UrlError::Host),
            ("rtmp://ho st/app/SECRET", UrlError::Form),
            ("rtmp://ho%st/app/SECRET", UrlError::Host),
            ("rtmp://[::1/app/SECRET", UrlError::Host),
            ("rtmp://[host]/app/SECRET", UrlError::Host),
            ("rtmp://[::1]x/app/SECRET", UrlError::Host),
            ("rtmp://host:0/app/SECRET", UrlError::Port),
            ("rtmp://host:70000/app/SECRET", UrlError::Port),
            ("rtmp://host:/app/SECRET", UrlError::Port),
            ("rtmp://host/app/", UrlError::NoKey),
            ("rtmp://host/app/?SECRET", UrlError::NoKey),
            ("rtmp://host", UrlError::NoKey),
            ("rtmp://host/app/SEC\tRET", UrlError::Form),
        ];
        for (address, error) in table {
            assert_eq!(RtmpUrl::parse(address), Err(error), "{address}");
            assert!(!error.to_string().contains("SECRET") && !format!("{error:?}").contains("SECRET"));
        }
        let long = format!("rtmp://host/app/{}", "k".repeat(MAX_LEN));
        assert_eq!(RtmpUrl::parse(&long), Err(UrlError::Form));
    }

    #[test]
    fn the_key_is_shown_nowhere() {
        let target = RtmpUrl::parse("rtmps://user:passw0rd@host/s/1234:s3cr3t?token=t0ken").unwrap();
        for shown in [format!("{target}"), format!("{target:?}"), format!("{target:#?}")] {
            assert!(shown.contains("rtmps://host:443/s/***"), "{shown}");
            for secret in ["1234", "s3cr3t", "t0ken", "passw0rd", "user"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
        let token = RtmpUrl::parse("rtmp://host/app?token=t0ken/1234:s3cr3t").unwrap();
        assert_eq!(token.to_string(), "rtmp://host:1935/app/***");
        assert_eq!(token.redact("no token=t0ken/ for 1234:s3cr3t"), "no ***/ for ***");
        let redacted = target.redact("stream 1234:s3cr3t is taken, 1234:s3cr3t?token=t0ken too");
        assert_eq!(redacted, "stream *** is taken, *** too");
    }

    #[test]
    fn redirects_name_the_stream_or_the_application() {
        let target = RtmpUrl::parse("rtmp://host/app/key").unwrap();
        let table = [
            ("rtmp://other:99/app/key", ("other", 99, "app")),
            ("rtmp://other/app/key/", ("other", 1935, "app")),
            ("rtmp://other/app", ("other", 1935, "app")),
            ("rtmp://other/a/b", ("other", 1935, "a/b")),
            ("rtmps://other/monkey", ("other", 443, "monkey")),
            ("rtmp://other", ("other", 1935, "")),
        ];
        for (to, expected) in table {
            let new = target.redirected(to).unwrap_or_else(|e| panic!("{to}: {e}"));
            assert_eq!((&*new.host, new.port, &*new.app), expected, "{to}");
            assert_eq!(new.key.expose(), "key");
        }
        assert_eq!(target.redirected("http://other/app"), Err(UrlError::Scheme));
    }
    proptest! {
        #[test]
        fn anything_is_parsed_or_refused(rest in "[ -~]{0,60}", key in "[a-z]{12}") {
            for address in [format!("rtmp://{rest}"), format!("rtmps://host/app/{key}{rest}"), rest] {
                if let Ok(target) = RtmpUrl::parse(&address) {
                    prop_assert!(!format!("{target} {target:?}").contains(&key), "{}", target);
                }
            }
        }
    }
}
