//! A directory with a `.env`, a test DC, and the tool run in them. Whatever it says is searched for
//! secrets.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use serde_json::Value;
use tempfile::TempDir;
use tgs_testdc::{SessionInfo, TestDc, World};

/// What the tool said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// The lines of this check, the remedy behind each.
    pub(crate) fn of(&self, check: &str) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let mut ours = false;
        for line in self.out.lines() {
            match line.strip_prefix("  -> ") {
                Some(remedy) if ours => {
                    let last = found.last_mut().unwrap();
                    *last += " -> ";
                    *last += remedy;
                }
                Some(_) => {}
                None => {
                    ours = line.split([' ', ':']).nth(1) == Some(check);
                    if ours {
                        found.push(line.to_owned());
                    }
                }
            }
        }
        found
    }

    /// The check has one line; it begins with this level, and has these words.
    #[track_caller]
    pub(crate) fn has(&self, level: &str, check: &str, words: &str) -> &Self {
        let found = self.of(check);
        assert!(
            found.len() == 1 && found[0].starts_with(level) && found[0].contains(words),
            "no {level} {check} with {words:?}, but {found:#?} in:\n{}{}",
            self.out,
            self.err
        );
        assert!(level != "FAIL" || found[0].contains(" -> "), "no remedy: {found:?}");
        self
    }

    /// The checks that fail.
    pub(crate) fn failing(&self) -> Vec<&str> {
        self.out.lines().filter_map(|line| line.strip_prefix("FAIL ")?.split(':').next()).collect()
    }
}

/// Where the tool runs.
pub(crate) struct Home {
    pub(crate) dc: TestDc,
    dir: TempDir,
    /// What stands in `.env`.
    env: Vec<(String, String)>,
}

impl Home {
    /// Alice's session, her channel, an ingest that listens, and a playlist of one clip.
    pub(crate) fn new() -> Self {
        Self::of(World::example())
    }

    pub(crate) fn of(world: World) -> Self {
        let dc = TestDc::start(world).unwrap();
        let mut home = Self { dc, dir: tempfile::tempdir().unwrap(), env: Vec::new() };
        let session = home.session(World::ALICE).telethon_string();
        fs::write(home.path().join("playlist.txt"), "").unwrap();
        let values = [
            ("API_ID", home.dc.api_id().to_string()),
            ("API_HASH", home.dc.api_hash()),
            ("SESSION_STRING", session),
            ("CHAT_ID", format!("-100{}", World::CHANNEL)),
            ("STATE_DIR", home.path().join("state").display().to_string()),
            ("CACHE_DIR", home.path().join("cache").display().to_string()),
            ("VIDEO_QUALITY", "360p".to_owned()),
            ("PROMETHEUS_PORT", "0".to_owned()),
        ];
        for (name, value) in values {
            home.set(name, &value);
        }
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn env_file(&self) -> PathBuf {
        self.path().join(".env")
    }

    /// Sets a line of `.env`; without a value, takes it out.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        if !value.is_empty() {
            self.env.push((name.to_owned(), value.to_owned()));
        }
        let lines: Vec<_> = self.env.iter().map(|(name, value)| format!("{name}='{value}'\n")).collect();
        self.write_env(&lines.concat());
    }

    /// Writes `.env` as it is given.
    pub(crate) fn write_env(&self, text: &str) {
        fs::write(self.env_file(), text).unwrap();
        fs::set_permissions(self.env_file(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn value(&self, name: &str) -> String {
        self.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// A session of the account that works.
    pub(crate) fn session(&self, account: i64) -> SessionInfo {
        let dc = self.dc.world().accounts.iter().find(|it| it.user_id == account).unwrap().dc_id;
        self.dc.new_session(account, dc)
    }

    /// A command of the tool `program` as a remedy words it here: with the path of the one beside
    /// tgs-diag, if it is built.
    pub(crate) fn remedy(&self, program: &str, args: &str) -> String {
        let beside = Path::new(env!("CARGO_BIN_EXE_tgs-diag")).with_file_name(program);
        let program = if beside.exists() { beside } else { program.into() };
        format!("{} {args} --env-file {}", program.display(), self.env_file().display())
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tgs-diag"));
        command.args(args).current_dir(self.path()).env_clear().stdin(Stdio::null());
        command.env("HOME", self.path()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    /// Runs the tool; nothing secret is in what it says.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        let output = self.command(args).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let said = Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
        self.no_secret_in(&said.out);
        self.no_secret_in(&said.err);
        said
    }

    /// Runs it with `--json`.
    pub(crate) fn json(&self, args: &[&str]) -> Vec<Value> {
        let said = self.run(&[args, &["--json"]].concat());
        serde_json::from_str(&said.out).unwrap()
    }

    /// Neither a secret of `.env` nor a piece of one is in `text`.
    #[track_caller]
    pub(crate) fn no_secret_in(&self, text: &str) {
        let names = ["API_HASH", "SESSION_STRING", "STANDBY_SESSION_STRING", "TWO_FA_PASSWORD"];
        let mut secrets: Vec<String> = names.iter().map(|name| self.value(name)).collect();
        secrets.push(self.dc.stream(World::CHANNEL).1);
        secrets.extend(self.value("OUTPUT_URL").rsplit_once('/').map(|(_, key)| key.to_owned()));
        for secret in secrets.iter().filter(|secret| secret.len() > 5) {
            for part in [&secret[..secret.len().min(60)], &secret[secret.len() / 2..]] {
                assert!(!text.contains(part), "a secret is in: {text}");
            }
        }
    }

    /// Pages as those of a running tgs-stream: `/status` and `/healthz`.
    pub(crate) fn pages(&self, status: &str, health: u16, words: &str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        fs::create_dir_all(self.path().join("state")).unwrap();
        fs::write(self.path().join("state/metrics.port"), format!("{address}\n")).unwrap();
        let (status, words) = (status.to_owned(), words.to_owned());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 1000];
                let count = stream.read(&mut request).unwrap();
                let for_status = request[..count].starts_with(b"GET /status ");
                let (code, body) = if for_status { (200, &status) } else { (health, &words) };
                let page = format!("HTTP/1.1 {code} X\r\nConnection: close\r\n\r\n{body}");
                let _ = stream.write_all(page.as_bytes());
            }
        });
        address
    }
}

/// A server that takes connections and never says a word.
pub(crate) fn silent() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            kept.push(stream);
        }
    });
    address
}
