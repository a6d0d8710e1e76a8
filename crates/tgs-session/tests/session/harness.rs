//! A directory with a `.env`, a test DC, and the tool run in them. Whatever it says is searched for
//! secrets.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
};

use tempfile::TempDir;
use tgs_core::{cancel::Cancel, proxy::ProxyList, secret::Secret};
use tgs_e2e::bin_path::build_for_test_dc;
use tgs_telegram::{
    App, SelfUser, TelegramClient, TelegramError,
    session::string::{AuthKey, SessionString},
};
use tgs_testdc::{Session, SessionInfo, TestDc, World};

use crate::terminal::Run;

fn tool() -> &'static Path {
    static TOOL: OnceLock<PathBuf> = OnceLock::new();
    TOOL.get_or_init(|| build_for_test_dc("tgs-session").unwrap())
}

/// How the tool ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// The line that `tgs-stream` would log.
    pub(crate) fn last(&self) -> &str {
        self.err.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
    }

    /// It ended well.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self
    }

    /// It ended with this code, and its last line has these words.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, words: &str) -> Self {
        assert!(self.code == Some(code) && self.last().contains(words), "{:?}: {}", self.code, self.err);
        self
    }
}

/// Where the tool runs.
pub(crate) struct Home {
    pub(crate) dc: TestDc,
    dir: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self::of(World::example())
    }

    pub(crate) fn of(world: World) -> Self {
        let home = Self { dc: TestDc::start(world).unwrap(), dir: tempfile::tempdir().unwrap() };
        home.write_env("");
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.path().join("state")
    }

    /// A `.env` as people write them, with these lines in the middle.
    pub(crate) fn write_env(&self, lines: &str) {
        let (api_id, api_hash) = (self.dc.api_id(), self.dc.api_hash());
        let text = format!(
            "# mine: ä\n\nAPI_ID={api_id}\n  API_HASH = '{api_hash}'\t\n{lines}\n#SESSION_STRING=old\nVIDEO_QUALITY=\"480p\""
        );
        fs::write(self.path().join(".env"), text).unwrap();
    }

    pub(crate) fn env(&self) -> String {
        fs::read_to_string(self.path().join(".env")).unwrap_or_default()
    }

    /// The value of a variable in `.env`.
    pub(crate) fn value(&self, name: &str) -> String {
        let file = tgs_core::env_file::parse(self.env().as_bytes());
        file.entries.into_iter().find(|entry| entry.name == name).map(|entry| entry.value).unwrap_or_default()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(tool());
        let dcs = format!("1={},2={}", self.dc.addr(1), self.dc.addr(2));
        command.args(args).current_dir(self.path()).env_clear().stdin(Stdio::null());
        command.env("TGS_TEST_DCS", dcs).env("STATE_DIR", self.state_dir()).env("HOME", self.path());
        command.env("RUST_LOG", "trace").env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    /// Runs the tool without a terminal.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        self.run_with(args, &[])
    }

    /// [`Home::run`] with more in the environment.
    pub(crate) fn run_with(&self, args: &[&str], env: &[(&str, &str)]) -> Said {
        let output = self.command(args).envs(env.iter().copied()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let said = Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
        self.no_secret_in(&said.err);
        said
    }

    /// Runs it with somebody at the terminal.
    pub(crate) fn at_terminal(&self, args: &[&str]) -> Run<'_> {
        Run::start(self, args, &[])
    }

    /// [`Home::at_terminal`], where Telegram has six seconds for each answer.
    pub(crate) fn at_terminal_in_a_hurry(&self, args: &[&str]) -> Run<'_> {
        Run::start(self, args, &[("TGS_TEST_LIMIT", "6000")])
    }

    /// A session of the account that works.
    pub(crate) fn session(&self, account: i64) -> SessionInfo {
        let dc = self.dc.world().accounts.iter().find(|it| it.user_id == account).unwrap().dc_id;
        self.dc.new_session(account, dc)
    }

    /// Opens a session as `tgs-stream` would.
    pub(crate) fn open(&self, text: &str) -> Result<(TelegramClient, SelfUser), TelegramError> {
        let api_hash = Secret::new(self.dc.api_hash());
        let app = App { api_id: self.dc.api_id(), api_hash, device: "test", proxies: ProxyList::default() };
        TelegramClient::connect(app, &SessionString::decode(text).unwrap(), &Cancel::new())
    }

    /// What this session's string is.
    pub(crate) fn string(&self, session: &Session) -> String {
        let address = self.dc.addr(session.dc_id);
        let session =
            SessionString::new(session.dc_id as u8, address, AuthKey::new(session.auth_key)).unwrap();
        session.to_telethon(address).expose().clone()
    }

    /// Fails if the output contains a secret.
    #[track_caller]
    pub(crate) fn no_secret_in(&self, text: &str) {
        let accounts = self.dc.world().accounts;
        let sessions = accounts.iter().flat_map(|account| self.dc.sessions(account.user_id));
        let mut secrets: Vec<String> = sessions.map(|session| self.string(&session)).collect();
        secrets.extend(accounts.into_iter().filter_map(|account| account.password));
        secrets.push(self.dc.api_hash());
        secrets.extend(["SESSION_STRING", "STANDBY_SESSION_STRING"].map(|name| self.value(name)));
        secrets.extend(self.dc.login_tokens().iter().map(|token| base64url(token)));
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            // A part of a string is as bad as the whole.
            let part = &secret[..secret.len().min(60)];
            assert!(
                !text.contains(part) && !text.contains(&secret[secret.len() / 2..]),
                "a secret is in: {text}"
            );
        }
    }

    /// A page that answers `/status` as a running `tgs-stream` would, once.
    pub(crate) fn status_page(&self, json: &str) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        fs::create_dir_all(self.state_dir()).unwrap();
        let address = format!("{}\n", listener.local_addr().unwrap());
        fs::write(self.state_dir().join("metrics.port"), address).unwrap();
        let page =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{json}", json.len());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1000];
            let count = stream.read(&mut request).unwrap();
            assert!(request[..count].starts_with(b"GET /status HTTP/1.0\r\n"));
            stream.write_all(page.as_bytes()).unwrap();
        });
    }
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What `before` is with another value in the line of `name`.
pub(crate) fn with_value(before: &str, name: &str, old: &str, new: &str) -> String {
    let line = format!("\n{name}={old}\n");
    assert_eq!(before.matches(&line).count(), 1, "{before}");
    before.replace(&line, &format!("\n{name}={new}\n"))
}
