//! The health page: 200, or a named reason that was there before. Asked over plain HTTP on this machine.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tgs_core::{http_get, mask::mask};

use crate::verdict::HealthVerdict;

/// How long looking a name up may take, and then the whole answer.
const LIMIT: Duration = Duration::from_secs(2);
/// As much of an answer as is shown.
const SHOWN: usize = 200;

/// Where the page is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthSource {
    /// `http://HOST:PORT/PATH`.
    Url {
        /// `HOST:PORT`.
        server: String,
        /// With its first slash.
        path: String,
    },
    /// The file in which `tgs-stream` tells its address; the page is `/healthz` there.
    File(PathBuf),
}

impl HealthSource {
    /// Reads an `http://` address, or the absolute path of a file.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return Ok(Self::File(text.into()));
        }
        let rest = text
            .strip_prefix("http://")
            .ok_or("is neither an http:// address nor the absolute path of a file; write it like http://127.0.0.1:9090/healthz")?;
        let (server, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if server.is_empty()
            || server.contains('@')
            || text.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            return Err("is no address; write it like http://127.0.0.1:9090/healthz".into());
        }
        let has_port = server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let server = if has_port { server.to_owned() } else { format!("{server}:80") };
        Ok(Self::Url { server, path: if path.is_empty() { "/".into() } else { path.into() } })
    }
}

/// What the page answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HealthAnswer {
    /// 200.
    Healthy,
    /// 503 with its text.
    Reason(String),
    /// No file tells where the page is, in words.
    NotThere(String),
    /// Anything else, in words.
    None(String),
}

/// Asks the page.
pub(crate) fn ask(source: &HealthSource) -> HealthAnswer {
    let (address, path) = match source {
        HealthSource::Url { server, path } => match http_get::resolve(server, LIMIT) {
            Ok(address) => (address, &**path),
            Err(e) => return HealthAnswer::None(format!("{server} is not known: {e}")),
        },
        HealthSource::File(file) => match told(file) {
            Ok(address) => (address, "/healthz"),
            Err(why) => return HealthAnswer::NotThere(why),
        },
    };
    match http_get::get(address, path, LIMIT) {
        Ok(answer) if answer.status == 200 => HealthAnswer::Healthy,
        Ok(answer) if answer.status == 503 => HealthAnswer::Reason(short(&answer.body)),
        Ok(answer) => HealthAnswer::None(format!("http://{address}{path} answers {}", answer.status)),
        Err(e) => HealthAnswer::None(format!("http://{address}{path} does not answer: {e}")),
    }
}

/// The address that `tgs-stream` has put into `file`.
fn told(file: &Path) -> Result<SocketAddr, String> {
    http_get::address_in(file).map_err(|e| match e.kind() {
        io::ErrorKind::InvalidData => format!("{} holds no address", file.display()),
        _ => format!("cannot read {}: {e}", file.display()),
    })
}

/// Text of the page on one line, without secrets.
fn short(body: &str) -> String {
    let line: String =
        body.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
    mask(&line)
}

/// What the answer says about the unit, where the page said `before` before the restart.
pub(crate) fn judge(before: Option<&HealthAnswer>, now: &HealthAnswer) -> HealthVerdict {
    match now {
        HealthAnswer::Healthy => HealthVerdict::Fine("200".into()),
        HealthAnswer::Reason(text) => match before {
            Some(HealthAnswer::Reason(old)) if lasting(text) && name(old) == name(text) => {
                HealthVerdict::Fine(format!("503 as before the restart: {text}"))
            }
            _ => HealthVerdict::Bad(format!("503: {text}")),
        },
        HealthAnswer::NotThere(why) | HealthAnswer::None(why) => HealthVerdict::Bad(why.clone()),
    }
}

/// [`judge`] where nothing was restarted: a state in which the tool waits for somebody is told at once.
pub(crate) fn judge_as_it_is(now: &HealthAnswer) -> HealthVerdict {
    match (judge(None, now), now) {
        (HealthVerdict::Bad(why), HealthAnswer::Reason(text)) if waits(text) => HealthVerdict::Lasting(why),
        (health, _) => health,
    }
}

/// Whether the reason is a state that the next minute does not end.
fn waits(reason: &str) -> bool {
    let name = name(reason);
    ["degraded", ONLY_FILLER].contains(&name) || name.starts_with("waiting_")
}

/// How a page begins that says that nothing in the list can be played.
const ONLY_FILLER: &str = "only the filler is shown";

/// The name of a reason: tgs-stream's state where it says one (`degraded: …`), and one name for all it may say of a
/// connection to the ingest, which differs from second to second.
fn name(reason: &str) -> &str {
    const CONNECTION: [&str; 3] = ["not yet connected", "connection lost", "nothing was sent"];
    if CONNECTION.iter().any(|words| reason.starts_with(words)) {
        return "connection";
    }
    if reason.starts_with(ONLY_FILLER) {
        return ONLY_FILLER;
    }
    reason.split(':').next().unwrap_or_default().trim()
}

/// Whether a state can last: on the way into another one, there is nothing to compare yet.
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
        let reason = |text: &str| HealthAnswer::Reason(text.into());
        let gone = HealthAnswer::None("gone".into());
        let fine = [
            (None, HealthAnswer::Healthy),
            (Some(gone.clone()), HealthAnswer::Healthy),
            (Some(reason("degraded: a")), HealthAnswer::Healthy),
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
            (Some(HealthAnswer::Healthy), reason("degraded: a")),
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
        assert_eq!(judge_as_it_is(&HealthAnswer::Healthy), HealthVerdict::Fine("200".into()));
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
        assert_eq!(ask(&source), HealthAnswer::Healthy);
        assert_eq!(ask(&source), HealthAnswer::Reason("degraded: API_HASH=[masked] more".into()));
        assert!(matches!(ask(&source), HealthAnswer::None(why) if why.ends_with("answers 404")));
        server.join().unwrap();
        assert!(matches!(ask(&source), HealthAnswer::None(why) if why.contains("does not answer")));
    }

    #[test]
    fn what_is_planted_in_place_of_the_file_is_not_read() {
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
            let HealthAnswer::NotThere(why) = ask(&HealthSource::File(at(name))) else {
                panic!("{name} was read")
            };
            assert!(!why.contains("hidden"), "{why}");
        }
    }
}
