//! The settings of the desk: `WEB_*` and `LIBRARY_DIRS`.
//!
//! A value comes from the first of: a file named by `--env-file`; the environment; [`FILE`]; the
//! default. An empty value counts as unset.

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tgs_control::channels::{self, Channel};
use tgs_core::{
    settings::{OwnTable, OwnValues, Setting, SettingsFaults, Visibility},
    tls::TlsFiles,
    units,
};

/// The settings file of the unit.
pub const FILE: &str = "/etc/tgs/web.env";

const fn row(name: &'static str, shown: Visibility, help: &'static str) -> Setting {
    Setting { name, shown, secret: false, help }
}

/// All settings of the desk.
pub const TABLE: &[Setting] = &[
    row(
        "WEB_LISTEN",
        Visibility::Default("127.0.0.1:8080"),
        "The address and port of the desk. Beyond loopback it needs WEB_TLS_CERT and WEB_TLS_KEY, or WEB_BEHIND_PROXY=1.",
    ),
    row(
        "WEB_USERS_FILE",
        Visibility::Default("/etc/tgs/web-users"),
        "The users and the hashes of their passwords; tgs-web user add writes it.",
    ),
    row(
        "WEB_TLS_CERT",
        Visibility::Example("/etc/tgs/fullchain.pem"),
        "The certificate and its intermediates, in PEM. A renewed file is used without a restart.",
    ),
    row("WEB_TLS_KEY", Visibility::Example("/etc/tgs/privkey.pem"), "The key of WEB_TLS_CERT, in PEM."),
    row(
        "WEB_BEHIND_PROXY",
        Visibility::Default("0"),
        "A proxy on this machine serves the desk over TLS: 1 or 0. X-Forwarded-For, -Proto and -Host are then believed\n\
         from loopback.",
    ),
    row(
        "WEB_SESSION_IDLE",
        Visibility::Default("12h"),
        "How long a browser stays signed in without a request. After seven days it must sign in again in any case.",
    ),
    row(
        "LIBRARY_DIRS",
        Visibility::Example("/srv/media:/srv/archive"),
        "Directories from which the desk may queue files, separated by colons. Links that lead elsewhere are refused.\n\
         The user tgs-web must be able to read them.",
    ),
    row(
        "WEB_SOCKETS",
        Visibility::Example("berlin=/run/tgs-forwarded/berlin.sock tokyo=/run/tgs-forwarded/tokyo.sock"),
        "Further channels, each as NAME=PATH with the path of its control socket: those of other hosts, forwarded by\n\
         ssh -L (docs/guide/web.md). They are shown beside the channels of this machine.",
    ),
    row("RUST_LOG", Visibility::Default("info"), "The log level, as for the other tools."),
];

/// The settings of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSettings {
    /// `WEB_LISTEN`
    pub listen: SocketAddr,
    /// `WEB_USERS_FILE`
    pub users_file: PathBuf,
    /// `WEB_TLS_CERT` and `WEB_TLS_KEY`
    pub tls: Option<TlsFiles>,
    /// `WEB_BEHIND_PROXY`
    pub behind_proxy: bool,
    /// `WEB_SESSION_IDLE`
    pub session_idle: Duration,
    /// `LIBRARY_DIRS`
    pub library_dirs: Vec<PathBuf>,
    /// `WEB_SOCKETS`
    pub sockets: Vec<Channel>,
    /// `RUST_LOG`
    pub rust_log: String,
    /// Warnings for the operator, to be logged once logging has started.
    pub warnings: Vec<String>,
}

impl WebSettings {
    /// Loads the settings from `env_file` (else from [`FILE`], if it exists) and the environment
    /// `env` (`&|name| std::env::var_os(name)`).
    pub fn load(
        env_file: Option<&Path>,
        env: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, SettingsFaults> {
        let own = OwnTable { tool: "tgs-web", table: TABLE, file: FILE };
        let mut values = OwnValues::read(own, env_file, env);
        let listen = values.get("WEB_LISTEN", address);
        let users_file = values.get("WEB_USERS_FILE", absolute);
        let cert = values.get("WEB_TLS_CERT", absolute);
        let key = values.get("WEB_TLS_KEY", absolute);
        let behind_proxy = values.get("WEB_BEHIND_PROXY", flag).unwrap_or_default();
        let session_idle = values.get("WEB_SESSION_IDLE", idle);
        let library_dirs = values.get("LIBRARY_DIRS", directories).unwrap_or_default();
        let sockets = values.get("WEB_SOCKETS", sockets).unwrap_or_default();
        let rust_log = values.get("RUST_LOG", |value| Ok(value.to_owned())).unwrap_or_default();
        let tls = match (cert, key) {
            (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
            (None, None) => None,
            _ => {
                values.faults.push("WEB_TLS_CERT and WEB_TLS_KEY belong together: set both".into());
                None
            }
        };
        if let Some(listen) = listen.filter(|listen| !listen.ip().is_loopback())
            && tls.is_none()
            && !behind_proxy
        {
            values.faults.push(format!(
                "WEB_LISTEN={listen} is reachable from other machines, and passwords would cross the network readable: \
                 set WEB_TLS_CERT and WEB_TLS_KEY, or listen on 127.0.0.1 behind a proxy (docs/guide/web.md), or set \
                 WEB_BEHIND_PROXY=1, with which only a proxy on this machine may connect without TLS"
            ));
        }
        match (listen, users_file, session_idle) {
            (Some(listen), Some(users_file), Some(session_idle)) if values.faults.is_empty() => Ok(Self {
                listen,
                users_file,
                tls,
                behind_proxy,
                session_idle,
                library_dirs,
                sockets,
                rust_log,
                warnings: values.warnings,
            }),
            _ => Err(SettingsFaults(values.faults)),
        }
    }
}

fn address(value: &str) -> Result<SocketAddr, String> {
    value.parse().map_err(|_| "must be an address and a port, as in 127.0.0.1:8080 or [::1]:8080".to_owned())
}

fn absolute(value: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(value);
    if path.is_absolute() { Ok(path) } else { Err("must be an absolute path".into()) }
}

fn directories(value: &str) -> Result<Vec<PathBuf>, String> {
    value.split(':').filter(|part| !part.is_empty()).map(absolute).collect()
}

/// Channels as NAME=PATH, separated as in a shell.
fn sockets(value: &str) -> Result<Vec<Channel>, String> {
    let words = shell_words::split(value).map_err(|_| "has a quote that does not end".to_owned())?;
    let mut all: Vec<Channel> = Vec::new();
    for (number, word) in words.iter().enumerate() {
        let parts = word.split_once('=').filter(|(name, _)| channels::is_name(name));
        let Some((name, path)) = parts.filter(|(_, path)| path.starts_with('/')) else {
            return Err(format!(
                "entry {} must be NAME=PATH, the name of letters, digits and :-_. and the path absolute",
                number + 1
            ));
        };
        if all.iter().any(|channel| channel.name == name) {
            return Err(format!("names {name} twice"));
        }
        all.push(Channel { name: name.to_owned(), socket: path.into() });
    }
    Ok(all)
}

fn flag(value: &str) -> Result<bool, String> {
    match value {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err("must be 1 or 0".into()),
    }
}

fn idle(value: &str) -> Result<Duration, String> {
    let time = units::parse_duration(value).map_err(|error| error.to_string())?;
    let range = Duration::from_secs(1)..=crate::sessions::LONGEST;
    if range.contains(&time) { Ok(time) } else { Err("must be from 1s to 168h".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, env: &[(&str, &str)]) -> Result<WebSettings, SettingsFaults> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("web.env");
        std::fs::write(&file, text).unwrap();
        let env = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        WebSettings::load(Some(&file), &env)
    }

    #[test]
    fn defaults_and_values() {
        let plain = load("", &[]).unwrap();
        assert_eq!((plain.listen.to_string().as_str(), plain.tls), ("127.0.0.1:8080", None));
        assert_eq!((plain.behind_proxy, plain.session_idle), (false, Duration::from_hours(12)));
        let text = "LIBRARY_DIRS=/a:/b\nWEB_LISTEN=[::1]:1\nWEB_SESSION_IDLE=5m\n";
        let set = load(text, &[("WEB_LISTEN", "127.0.0.1:9")]).unwrap();
        assert_eq!(set.library_dirs, [Path::new("/a"), Path::new("/b")]);
        assert_eq!((set.listen.port(), set.session_idle.as_secs()), (1, 300));
        let set = load("", &[("WEB_LISTEN", "127.0.0.1:9")]).unwrap();
        assert_eq!(set.listen.port(), 9);
    }

    #[test]
    fn channels_of_other_hosts_have_a_name_each() {
        let set = load("WEB_SOCKETS='berlin=/run/b.sock \"tokyo=/run/to kyo.sock\"'\n", &[]).unwrap();
        let channel = |name: &str, socket: &str| Channel { name: name.into(), socket: socket.into() };
        assert_eq!(set.sockets, [channel("berlin", "/run/b.sock"), channel("tokyo", "/run/to kyo.sock")]);
        for (value, words) in [
            ("/run/b.sock", "entry 1 must be NAME=PATH"),
            ("a=/x b=run/b.sock", "entry 2 must be NAME=PATH"),
            ("a/b=/x", "entry 1 must be NAME=PATH"),
            ("a=/x a=/y", "names a twice"),
            ("\"a=/x", "quote"),
        ] {
            let fault = load(&format!("WEB_SOCKETS='{value}'\n"), &[]).unwrap_err().to_string();
            assert!(fault.contains("line 1: WEB_SOCKETS") && fault.contains(words), "{value}: {fault}");
        }
    }

    #[test]
    fn beyond_loopback_passwords_must_be_encrypted() {
        let open = load("WEB_LISTEN=0.0.0.0:80\n", &[]).unwrap_err().to_string();
        assert!(open.contains("WEB_TLS_CERT") && open.contains("WEB_BEHIND_PROXY=1"), "{open}");
        assert!(load("WEB_LISTEN=[::]:80\n", &[]).is_err());
        assert!(load("WEB_LISTEN=0.0.0.0:80\nWEB_BEHIND_PROXY=1\n", &[]).is_ok());
        assert!(load("WEB_LISTEN=0.0.0.0:80\nWEB_TLS_CERT=/c\nWEB_TLS_KEY=/k\n", &[]).is_ok());
    }

    #[test]
    fn every_fault_is_named() {
        let faults =
            load("WEB_LISTEN=80\nWEB_TLS_CERT=c\nLIBRARY_DIRS=a\nWEB_BEHIND_PROXY=yes\nX=1\nbad\n", &[]);
        let text = faults.unwrap_err().to_string();
        for name in
            ["line 1: WEB_LISTEN", "line 2: WEB_TLS_CERT", "LIBRARY_DIRS", "WEB_BEHIND_PROXY", "line 6"]
        {
            assert!(text.contains(name), "{text}");
        }
        assert_eq!(load("WEB_LISTN=1\n", &[]).unwrap().warnings.len(), 1);
    }
}
