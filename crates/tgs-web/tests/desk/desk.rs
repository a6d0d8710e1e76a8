//! A running `tgs-web`, and requests to it as plain bytes: a client library would mend what is
//! tested here.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::broadcast::Played;

pub(crate) const PASSWORD: &str = "correct horse";

/// A desk with the users `anna`, an operator, and `ben`, a viewer, both with [`PASSWORD`].
pub(crate) struct Desk {
    pub(crate) dir: TempDir,
    pub(crate) played: Played,
    pub(crate) address: SocketAddr,
    /// The first line of stdout, with `--demo-link`.
    pub(crate) link: String,
    child: Child,
    log: BufReader<std::process::ChildStderr>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of a refusal.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The cookie that the answer sets, as a request sends it.
    pub(crate) fn cookie(&self) -> String {
        self.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    }
}

/// The program.
pub(crate) fn tool() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tgs-web"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command
}

/// Runs `tgs-web user ARGS` with a password on stdin.
pub(crate) fn user(env_file: &Path, args: &[&str], password: &str) -> Output {
    let mut command = tool();
    command.args(["--env-file"]).arg(env_file).arg("user").args(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that asks for no password has closed its stdin.
    let _ = child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes());
    child.wait_with_output().unwrap()
}

impl Desk {
    pub(crate) fn start() -> Self {
        Self::with("", &[])
    }

    /// Starts a desk with these additional settings and arguments.
    pub(crate) fn with(settings: &str, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let played = Played::start(dir.path());
        let library = dir.path().join("library");
        fs::create_dir(&library).unwrap();
        fs::write(library.join("film.mp4"), "").unwrap();
        let env_file = dir.path().join("web.env");
        let text = format!(
            "WEB_LISTEN=127.0.0.1:0\nWEB_USERS_FILE={}\nLIBRARY_DIRS={}\n{}\n",
            dir.path().join("users").display(),
            library.display(),
            settings.replace("DIR", dir.path().to_str().unwrap())
        );
        fs::write(&env_file, text).unwrap();
        for args in [&["add", "anna"][..], &["add", "ben", "--viewer"]] {
            let added = user(&env_file, args, PASSWORD);
            assert!(added.status.success(), "{added:?}");
        }
        Self::run(dir, played, args)
    }

    fn run(dir: TempDir, played: Played, args: &[&str]) -> Self {
        let mut command = tool();
        command.arg("--env-file").arg(dir.path().join("web.env")).arg("--socket").arg(&played.socket);
        let args: Vec<_> = args.iter().map(|arg| arg.replace("DIR", dir.path().to_str().unwrap())).collect();
        let mut child = command.args(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).unwrap() > 0, "tgs-web has ended: {:?}", child.wait());
            if let Some((_, address)) = line.trim_end().split_once("the desk is at ") {
                break address.split_once("://").unwrap().1.parse().unwrap();
            }
        };
        let mut link = String::new();
        if args.iter().any(|arg| arg == "--demo-link") {
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut link).unwrap();
        }
        Self { dir, played, address, link: link.trim_end().to_owned(), child, log }
    }

    /// The origin of the desk's pages.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends `head` (request line and headers, without Host) and `body`, and reads the answer.
    pub(crate) fn send(&self, head: &str, body: &str) -> Answer {
        let mut stream = self.connect();
        let (line, rest) = head.split_once('\n').unwrap_or((head, ""));
        let length = body.len();
        let request =
            format!("{line}\nHost: {}\nContent-Length: {length}\nConnection: close\n{rest}\n", self.address);
        stream
            .write_all(format!("{}\r\n{body}", request.trim_end().replace('\n', "\r\n") + "\r\n").as_bytes())
            .unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{head}: {text}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// A request of the page: with its origin and its cookie.
    pub(crate) fn request(&self, method: &str, path: &str, cookie: &str, body: &Value) -> Answer {
        let head = format!(
            "{method} {path} HTTP/1.1\nOrigin: {}\nCookie: other=1; {cookie}\nContent-Type: application/json\n",
            self.origin()
        );
        self.send(&head, &if body.is_null() { String::new() } else { body.to_string() })
    }

    pub(crate) fn get(&self, path: &str, cookie: &str) -> Answer {
        self.request("GET", path, cookie, &Value::Null)
    }

    pub(crate) fn post(&self, path: &str, cookie: &str, body: &Value) -> Answer {
        self.request("POST", path, cookie, body)
    }

    /// Sends a command to the channel `main`.
    pub(crate) fn command(&self, cookie: &str, method: &str, params: &Value) -> Answer {
        let body = serde_json::json!({ "method": method, "params": params });
        self.post("/api/channels/main/call", cookie, &body)
    }

    pub(crate) fn try_sign_in(&self, name: &str, password: &str) -> Answer {
        self.post("/api/sign-in", "", &serde_json::json!({ "name": name, "password": password }))
    }

    /// Signs in and returns the cookie.
    pub(crate) fn sign_in(&self, name: &str) -> String {
        let answer = self.try_sign_in(name, PASSWORD);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.cookie()
    }

    /// Ends the desk and returns its log.
    pub(crate) fn end(mut self) -> String {
        self.child.kill().unwrap();
        let mut log = String::new();
        self.log.read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
