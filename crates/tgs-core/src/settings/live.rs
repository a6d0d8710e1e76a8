//! The live input's settings: types, and parsers of their values.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::parse::address;
use crate::{secret::Secret, tls::TlsFiles, units};

/// Least characters of a key: 64 bits if it is hexadecimal.
const SHORTEST_KEY: usize = 16;

/// Most characters of a key.
const LONGEST_KEY: usize = 200;

/// Where publishers connect, `LIVE_INPUT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveAddress {
    /// Whether clients speak RTMPS.
    pub secure: bool,
    /// Address and port.
    pub listen: SocketAddr,
    /// The application: the path of the URL without the key.
    pub app: String,
}

/// When a publisher is put on air, `LIVE_START`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveStart {
    /// `now`: at once.
    Now,
    /// `after`: after the item on air.
    After,
    /// `ask`: when an operator says so.
    Ask,
}

/// The live input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// `LIVE_INPUT`
    pub address: LiveAddress,
    /// `LIVE_KEY`
    pub key: Option<Secret<String>>,
    /// `LIVE_KEYS_FILE`
    pub keys_file: Option<PathBuf>,
    /// `LIVE_TLS_CERT` and `LIVE_TLS_KEY`
    pub tls: Option<TlsFiles>,
    /// `LIVE_START`
    pub start: LiveStart,
    /// `LIVE_DELAY`, 2 s to 30 s.
    pub delay: Duration,
    /// `LIVE_GRACE`, 1 s to 10 min.
    pub grace: Duration,
    /// `LIVE_OVER_SCHEDULE`
    pub over_schedule: bool,
}

/// Why a text is no key. Never contains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Too few characters.
    #[error("has fewer than {SHORTEST_KEY} characters; openssl rand -hex 16 makes a key")]
    Short,
    /// Too many characters.
    #[error("has more than {LONGEST_KEY} characters")]
    Long,
    /// Characters that clients do not send as they are.
    #[error("may have letters, digits, - and _ only; openssl rand -hex 16 makes a key")]
    Characters,
}

/// Checks a key. Clients put it into a URL.
pub fn check_key(text: &str) -> Result<(), KeyError> {
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return Err(KeyError::Characters);
    }
    match text.len() {
        0..SHORTEST_KEY => Err(KeyError::Short),
        SHORTEST_KEY..=LONGEST_KEY => Ok(()),
        _ => Err(KeyError::Long),
    }
}

pub(super) fn key(value: &str) -> Result<String, String> {
    check_key(value).map(|()| value.to_owned()).map_err(|error| error.to_string())
}

pub(super) fn input(value: &str) -> Result<LiveAddress, String> {
    const FORM: &str =
        "must be rtmp://ADDRESS:PORT/APP or rtmps://ADDRESS:PORT/APP, such as rtmp://127.0.0.1:1936/live";
    let (scheme, rest) = value.split_once("://").ok_or(FORM)?;
    let secure = match scheme {
        "rtmp" => false,
        "rtmps" => true,
        _ => return Err(FORM.into()),
    };
    let (place, app) = rest.trim_end_matches('/').split_once('/').ok_or(FORM)?;
    if app.contains('/') {
        return Err(
            "has a path of several parts; the path is the application, and the key belongs into LIVE_KEY"
                .into(),
        );
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if app.is_empty() || !app.bytes().all(plain) {
        return Err("must end with an application of letters and digits, as /live".into());
    }
    let (host, port) = place.rsplit_once(':').ok_or(FORM)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().map_err(|_| FORM)?;
    Ok(LiveAddress {
        secure,
        listen: SocketAddr::new(address(host).map_err(|_| FORM)?, port),
        app: app.into(),
    })
}

pub(super) fn start(value: &str) -> Result<LiveStart, String> {
    match value {
        "now" => Ok(LiveStart::Now),
        "after" => Ok(LiveStart::After),
        "ask" => Ok(LiveStart::Ask),
        _ => Err("must be now, after or ask".into()),
    }
}

pub(super) fn delay(value: &str) -> Result<Duration, String> {
    let duration = units::parse_duration(value).map_err(|e| e.to_string())?;
    let allowed = Duration::from_secs(2)..=Duration::from_secs(30);
    if allowed.contains(&duration) { Ok(duration) } else { Err("must be from 2s to 30s".into()) }
}

pub(super) fn grace(value: &str) -> Result<Duration, String> {
    let duration = units::parse_duration(value).map_err(|e| e.to_string())?;
    let allowed = Duration::from_secs(1)..=Duration::from_mins(10);
    if allowed.contains(&duration) { Ok(duration) } else { Err("must be from 1s to 10m".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_an_address_and_an_application() {
        for (text, secure, listen) in [
            ("rtmp://127.0.0.1:1936/live", false, "127.0.0.1:1936"),
            ("rtmp://localhost:1936/live/", false, "127.0.0.1:1936"),
            ("rtmps://[::]:1936/live", true, "[::]:1936"),
        ] {
            let listen = listen.parse().unwrap();
            assert_eq!(input(text), Ok(LiveAddress { secure, listen, app: "live".into() }), "{text}");
        }
        for (text, says) in [
            ("http://127.0.0.1:1936/live", "rtmp://ADDRESS"),
            ("127.0.0.1:1936", "rtmp://ADDRESS"),
            ("rtmp://127.0.0.1/live", "rtmp://ADDRESS"),
            ("rtmp://127.0.0.1:99999/live", "rtmp://ADDRESS"),
            ("rtmp://example.org:1936/live", "rtmp://ADDRESS"),
            ("rtmp://127.0.0.1:1936", "rtmp://ADDRESS"),
            ("rtmp://127.0.0.1:1936/live/s3cr3ts3cr3ts3cr3t", "LIVE_KEY"),
            ("rtmp://127.0.0.1:1936/li ve", "application"),
        ] {
            let error = input(text).unwrap_err();
            assert!(error.contains(says) && !error.contains("s3cr3t"), "{text}: {error}");
        }
    }

    #[test]
    fn a_key_is_long_and_fits_into_a_url() {
        assert_eq!(check_key("0123456789abcdef"), Ok(()));
        assert_eq!(check_key("0123456789abcde"), Err(KeyError::Short));
        assert_eq!(check_key(&"a".repeat(201)), Err(KeyError::Long));
        for text in ["0123456789abcdef ", "0123456789/abcdef", "0123456789abcdef?a=b", "0123456789abcdefä"] {
            assert_eq!(check_key(text), Err(KeyError::Characters), "{text}");
        }
    }
}
