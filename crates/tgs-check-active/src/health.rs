//! Queries the health page over plain HTTP and judges the answer. A restart is not blamed for a 503
//! whose reason existed before it.

use std::{path::PathBuf, time::Duration};

use tgs_control::{
    AddressFile, Health, StatusClient,
    health::{CONNECTION_LOST, NOT_CONNECTED, NOTHING_SENT, ONLY_FILLER},
    http_get,
};
use tgs_core::mask::mask;

use crate::verdict::HealthVerdict;

/// Time limit of name resolution.
const RESOLVE_LIMIT: Duration = Duration::from_secs(2);
/// Maximum length of a shown answer, in characters.
const SHOWN: usize = 200;

/// The location of the health page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthSource {
    /// `http://HOST:PORT/PATH`.
    Url {
        /// `HOST:PORT`.
        server: String,
        /// The path with its leading slash.
        path: String,
    },
    /// The file in which `tgs-stream` publishes its address; the page is `/healthz` there.
    File(PathBuf),
}

/// Why a text names no health page; follows the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHealthSource {
    /// Another scheme than http, or a relative path.
    #[error(
        "is neither an http:// address nor the absolute path of a file; write it like http://127.0.0.1:9090/healthz"
    )]
    Form,
    /// An `http://` address without a host, with a login, or with white space.
    #[error("is no address; write it like http://127.0.0.1:9090/healthz")]
    Address,
}

impl HealthSource {
    /// Reads an `http://` address, or the absolute path of a file.
    pub fn parse(text: &str) -> Result<Self, InvalidHealthSource> {
        if text.starts_with('/') {
            return Ok(Self::File(text.into()));
        }
        let rest = text.strip_prefix("http://").ok_or(InvalidHealthSource::Form)?;
        let (server, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if server.is_empty()
            || server.contains('@')
            || text.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            return Err(InvalidHealthSource::Address);
        }
        let has_port = server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let server = if has_port { server.to_owned() } else { format!("{server}:80") };
        Ok(Self::Url { server, path: if path.is_empty() { "/".into() } else { path.into() } })
    }
}

/// The result of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HealthAnswer {
    /// 200, or 503 with its reason on one line, secrets masked.
    Page(Health),
    /// The address file holds no address, for this reason.
    NoAddress(String),
    /// No answer or an unexpected one, for this reason.
    NoAnswer(String),
}

/// Queries the page.
pub(crate) fn ask(source: &HealthSource) -> HealthAnswer {
    let asked = match source {
        HealthSource::Url { server, path } => match http_get::resolve(server, RESOLVE_LIMIT) {
            Ok(address) => StatusClient::new(address).health_at(path),
            Err(e) => return HealthAnswer::NoAnswer(format!("{server} is not known: {e}")),
        },
        HealthSource::File(file) => match AddressFile::at(file.clone()).read() {
            Ok(address) => StatusClient::new(address).health(),
            Err(error) => return HealthAnswer::NoAddress(error.to_string()),
        },
    };
    match asked {
        Ok(health) => HealthAnswer::Page(presentable(health)),
        Err(error) => HealthAnswer::NoAnswer(error.to_string()),
    }
}

/// Reduces the reason to one line and masks secrets.
pub(crate) fn presentable(health: Health) -> Health {
    match health {
        Health::Healthy => Health::Healthy,
        Health::Stopped => Health::Stopped,
        Health::Standby => Health::Standby,
        Health::Unhealthy(reason) => Health::Unhealthy(short(&reason)),
    }
}

/// The first [`SHOWN`] characters of a page on one line, secrets masked.
fn short(body: &str) -> String {
    let line: String =
        body.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
    mask(&line)
}

/// Judges an answer against the answer `before` the restart.
pub(crate) fn judge(before: Option<&HealthAnswer>, now: &HealthAnswer) -> HealthVerdict {
    match now {
        HealthAnswer::Page(Health::Healthy) => HealthVerdict::Fine("200".into()),
        HealthAnswer::Page(Health::Stopped) => HealthVerdict::Fine("200, stopped by an operator".into()),
        HealthAnswer::Page(Health::Standby) => HealthVerdict::Fine("200, the standby of another host".into()),
        HealthAnswer::Page(Health::Unhealthy(text)) => match before {
            Some(HealthAnswer::Page(Health::Unhealthy(old))) if lasting(text) && name(old) == name(text) => {
                HealthVerdict::Fine(format!("503 as before the restart: {text}"))
            }
            _ => HealthVerdict::Bad(format!("503: {text}")),
        },
        HealthAnswer::NoAddress(why) | HealthAnswer::NoAnswer(why) => HealthVerdict::Bad(why.clone()),
    }
}

/// [`judge`] without a restart: a state that needs an operator is reported without waiting.
pub(crate) fn judge_as_it_is(now: &HealthAnswer) -> HealthVerdict {
    match (judge(None, now), now) {
        (HealthVerdict::Bad(why), HealthAnswer::Page(Health::Unhealthy(text))) if waits(text) => {
            HealthVerdict::Lasting(why)
        }
        (health, _) => health,
    }
}

/// Whether the reason names a state that waiting does not end.
fn waits(reason: &str) -> bool {
    let name = name(reason);
    ["degraded", ONLY_FILLER].contains(&name) || name.starts_with("waiting_")
}

/// The name of a reason: the state of tgs-stream (`degraded: …`), or one name for all ingest
/// connection reasons, because their texts change within seconds.
fn name(reason: &str) -> &str {
    if [NOT_CONNECTED, CONNECTION_LOST, NOTHING_SENT].iter().any(|words| reason.starts_with(words)) {
        return "connection";
    }
    if reason.starts_with(ONLY_FILLER) {
        return ONLY_FILLER;
    }
    reason.split(':').next().unwrap_or_default().trim()
}

/// Whether a state can last; only lasting states before and after a restart are comparable.
fn lasting(reason: &str) -> bool {
    !["starting", "stopping", ""].contains(&name(reason))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{BufRead, BufReader, Write},
        net::TcpListener,
        os::unix::fs::symlink,
        thread,
    };

    use super::*;

    #[test]
    fn addresses() {
        let url = |server: &str, path: &str| HealthSource::Url { server: server.into(), path: path.into() };
        let cases = [
            ("http://127.0.0.1:9090/healthz", url("127.0.0.1:9090", "/healthz")),
            ("http://localhost", url("localhost:80", "/")),
            ("http://[::1]:1/a?b", url("[::1]:1", "/a?b")),
            ("/var/lib/x/metrics.port", HealthSource::File("/var/lib/x/metrics.port".into())),
        ];
        for (text, expected) in cases {
            assert_eq!(HealthSource::parse(text), Ok(expected));
        }
        for text in [
            "",
            "a",
            "https://a/",
            "http://",
            "http:///x",
            "http://a b",
            "http://u:p@h/",
            "http://a/\r\nX: y",
        ] {
            assert!(HealthSource::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_counts_as_healthy() {
        let reason = |text: &str| HealthAnswer::Page(Health::Unhealthy(text.into()));
        let gone = HealthAnswer::NoAnswer("gone".into());
        let fine = [
            (None, HealthAnswer::Page(Health::Healthy)),
            (Some(gone.clone()), HealthAnswer::Page(Health::Healthy)),
            (Some(reason("degraded: a")), HealthAnswer::Page(Health::Healthy)),
            (Some(reason("degraded: a")), reason("degraded: b")),
            (Some(reason("waiting_network: a")), reason("waiting_network: a")),
            (Some(reason("connection lost: reset")), reason("not yet connected to the server")),
            (Some(reason("nothing was sent for 9 s")), reason("connection lost: refused")),
        ];
        for (before, now) in fine {
            assert!(matches!(judge(before.as_ref(), &now), HealthVerdict::Fine(_)), "{before:?} {now:?}");
        }
        let bad = [
            (None, reason("degraded: a")),
            (None, gone.clone()),
            (Some(HealthAnswer::Page(Health::Healthy)), reason("degraded: a")),
            (Some(gone.clone()), reason("degraded: a")),
            (Some(gone.clone()), gone.clone()),
            (Some(reason("degraded: a")), reason("waiting_rights: a")),
            (Some(reason("degraded: a")), gone),
            (Some(reason("starting:")), reason("starting:")),
            (Some(reason("")), reason("")),
        ];
        for (before, now) in bad {
            assert!(matches!(judge(before.as_ref(), &now), HealthVerdict::Bad(_)), "{before:?} {now:?}");
        }
        assert_eq!(judge_as_it_is(&reason("degraded: a")), HealthVerdict::Lasting("503: degraded: a".into()));
        for lasts in ["waiting_people: a", "only the filler is shown for 7 min: nothing to play"] {
            assert!(matches!(judge_as_it_is(&reason(lasts)), HealthVerdict::Lasting(_)));
        }
        for soon in ["starting: a", "not yet connected to the server", "connection lost: reset"] {
            assert_eq!(judge_as_it_is(&reason(soon)), HealthVerdict::Bad(format!("503: {soon}")));
        }
        assert_eq!(judge_as_it_is(&HealthAnswer::Page(Health::Healthy)), HealthVerdict::Fine("200".into()));
    }

    #[test]
    fn a_page_is_asked_at_the_address_that_the_file_tells() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("metrics.port");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        fs::write(&file, format!("{}\n", listener.local_addr().unwrap())).unwrap();
        let server = thread::spawn(move || {
            for answer in ["200 OK\r\n\r\nok", "503 No\r\n\r\ndegraded: API_HASH=abc\nmore", "404 No\r\n\r\n"]
            {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = BufReader::new(&stream).lines().map(Result::unwrap);
                assert_eq!(asked.next().unwrap(), "GET /healthz HTTP/1.0");
                assert!(asked.any(|line| line.is_empty()));
                stream.write_all(format!("HTTP/1.0 {answer}").as_bytes()).unwrap();
            }
        });
        let source = HealthSource::File(file.clone());
        assert_eq!(ask(&source), HealthAnswer::Page(Health::Healthy));
        assert_eq!(
            ask(&source),
            HealthAnswer::Page(Health::Unhealthy("degraded: API_HASH=[masked] more".into()))
        );
        assert!(matches!(ask(&source), HealthAnswer::NoAnswer(why) if why.ends_with("answers 404")));
        server.join().unwrap();
        assert!(matches!(ask(&source), HealthAnswer::NoAnswer(why) if why.contains("does not answer")));
    }

    #[test]
    fn a_planted_address_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("secret"), "hidden").unwrap();
        symlink(at("secret"), at("link")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        for name in ["secret", "link", "pipe", "missing"] {
            let HealthAnswer::NoAddress(why) = ask(&HealthSource::File(at(name))) else {
                panic!("{name} was read")
            };
            assert!(!why.contains("hidden"), "{why}");
        }
    }
}
