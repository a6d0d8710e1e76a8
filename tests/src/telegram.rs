//! A test DC with an account and its sessions, an ingest, and the `.env` that names both:
//! tgs-stream goes live with them without a real account.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tgs_testdc::{SessionInfo, TestDc, World};

use crate::{
    bin_path,
    broadcast::{Broadcast, Launch},
    ingest::Ingest,
};

/// The home DC of Alice, the account of these tests.
const HOME: i32 = 2;

/// The environment of one broadcast.
#[derive(Debug)]
pub struct Scene {
    dir: TempDir,
    /// The test DC.
    pub dc: TestDc,
    /// The ingest that receives the stream.
    pub ingest: Ingest,
    /// The lines of `.env` in order.
    pub env: Vec<(&'static str, String)>,
    /// Texts that must not appear anywhere.
    secrets: Vec<String>,
    /// A tgs-stream beside a tgs-session that can exchange keys with the test DC.
    tool: Option<PathBuf>,
}

impl Scene {
    /// Creates Alice's session in `.env`, her channel, and an ingest.
    pub fn new() -> Result<Self> {
        Self::of(TestDc::start(World::example())?)
    }

    /// The same with this test DC.
    pub fn of(dc: TestDc) -> Result<Self> {
        let ingest = Ingest::start()?;
        dc.set_ingest(ingest.url("").trim_end_matches('/'));
        let session = dc.new_session(World::ALICE, HOME).telethon_string();
        let (_, key) = dc.stream(World::CHANNEL);
        let env = vec![
            ("API_ID", dc.api_id().to_string()),
            ("API_HASH", dc.api_hash()),
            ("SESSION_STRING", session.clone()),
            ("CHAT_ID", format!("-100{}", World::CHANNEL)),
        ];
        let secrets = vec![session, dc.api_hash(), key];
        let scene = Self { dir: tempfile::tempdir()?, dc, ingest, env, secrets, tool: None };
        scene.write()?;
        Ok(scene)
    }

    /// Adds a standby session and the account's password to `.env`.
    pub fn with_standby(self) -> Result<Self> {
        bin_path::build("tgs-session")?;
        let stream = bin_path::build("tgs-stream")?;
        self.with_standby_of(stream.parent().context("a tool without directory")?)
    }

    /// The same with the tools in the directory `tools`.
    pub fn with_standby_of(mut self, tools: &Path) -> Result<Self> {
        let modulus = self.dc.rsa_public().0;
        for tool in ["tgs-stream", "tgs-session"] {
            knowing_the_key(&tools.join(tool), modulus, &self.dir.path().join(tool))?;
        }
        self.tool = Some(self.dir.path().join("tgs-stream"));
        let standby = self.new_session()?.telethon_string();
        let password = "correct horse".to_owned();
        self.set("STANDBY_SESSION_STRING", &standby)?;
        self.set("TWO_FA_PASSWORD", &password)?;
        self.secrets.extend([standby, password]);
        Ok(self)
    }

    /// Creates another session of Alice.
    pub fn new_session(&mut self) -> Result<SessionInfo> {
        let session = self.dc.new_session(World::ALICE, HOME);
        self.secrets.push(session.telethon_string());
        Ok(session)
    }

    /// Adds a text that must not appear anywhere.
    pub fn hide(&mut self, secret: &str) {
        self.secrets.push(secret.to_owned());
    }

    /// Sets a line of `.env` and writes the file.
    pub fn set(&mut self, name: &'static str, value: &str) -> Result<()> {
        match self.env.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.env.push((name, value.to_owned())),
        }
        self.write()
    }

    /// The path of `.env`.
    #[must_use]
    pub fn env_file(&self) -> PathBuf {
        self.dir.path().join(".env")
    }

    /// The current value of `name` in `.env`.
    pub fn read(&self, name: &str) -> Result<String> {
        let text = fs::read_to_string(self.env_file())?;
        let prefix = format!("{name}=");
        let value = text.lines().find_map(|line| line.strip_prefix(prefix.as_str()));
        Ok(value.with_context(|| format!("no {name} in .env"))?.trim_matches('\'').to_owned())
    }

    fn write(&self) -> Result<()> {
        let lines: Vec<_> = self.env.iter().map(|(name, value)| format!("{name}='{value}'\n")).collect();
        fs::write(self.env_file(), lines.concat())?;
        fs::set_permissions(self.env_file(), fs::Permissions::from_mode(0o600))?;
        Ok(())
    }

    /// A tgs-stream with this `.env`, log level `trace` and 60 times shorter waits.
    pub fn launch(&self) -> Result<Launch> {
        Ok(self.launch_in_real_time()?.set("RUST_LOG", "trace").arg("--time-scale").arg("60"))
    }

    /// A tgs-stream with this `.env` in real time.
    pub fn launch_in_real_time(&self) -> Result<Launch> {
        let launch = self.tool.as_deref().map_or_else(Launch::new, Launch::of)?;
        Ok(launch.keeping(self.dir.path()).arg("--env-file").arg(self.env_file()))
    }

    /// Revokes the session in `.env`.
    pub fn revoke(&self) -> Result<()> {
        let text = self.read("SESSION_STRING")?;
        let session = tgs_telegram::session::string::SessionString::decode(&text)?;
        let all = self.dc.sessions(World::ALICE);
        let own =
            all.iter().find(|known| known.auth_key == *session.key.expose()).context("an unknown session")?;
        ensure!(self.dc.revoke(own.key_id), "it was revoked already");
        Ok(())
    }

    /// Fails if a secret appears in the log at any level, on a page, on a command line, or in the
    /// environment of a child (the tool that signs in reads `.env` itself).
    pub fn no_secret_in(&self, broadcast: &Broadcast) -> Result<()> {
        let mut secrets = self.secrets.clone();
        secrets.extend(self.read("SESSION_STRING").ok().filter(|session| !session.is_empty()));
        let mut places = vec![("the log".to_owned(), broadcast.log())];
        // A broadcast that has ended serves no pages.
        let serves = self.dir.path().join("state/metrics.port").exists();
        for page in ["/metrics", "/status", "/healthz"].iter().filter(|_| serves) {
            places.extend(broadcast.get(page).ok().map(|(_, body)| ((*page).to_owned(), body)));
        }
        let mut pids: Vec<u32> = broadcast.processes().iter().map(|child| child.pid).collect();
        for pid in &pids {
            places.push((format!("the environment of {pid}"), proc_file(*pid, "environ")));
        }
        pids.push(broadcast.pid());
        places.extend(pids.iter().map(|pid| (format!("the arguments of {pid}"), proc_file(*pid, "cmdline"))));
        places.push(("STATE_DIR".to_owned(), all_text_below(&self.dir.path().join("state"))));
        places.iter().try_for_each(|(place, text)| none_of(&secrets, place, text))
    }

    /// Fails if a secret appears in `text`, which is found at `place`.
    pub fn no_secret_in_text(&self, place: &str, text: &str) -> Result<()> {
        none_of(&self.secrets, place, text)
    }
}

/// A part of a live stream with the file `media`, by the header of Telegram's own clients.
#[must_use]
pub fn stream_part(media: &[u8]) -> Vec<u8> {
    let mut part = 0xa12e_810d_u32.to_le_bytes().to_vec();
    part.extend(b"\x03mp4");
    part.extend([1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    part.extend(b"\x07unified");
    part.extend([0; 8]);
    [&part, media].concat()
}

/// Fails if one of `secrets`, or a part of it, appears in `text`.
fn none_of(secrets: &[String], place: &str, text: &str) -> Result<()> {
    for (which, secret) in secrets.iter().enumerate() {
        ensure!(!text.contains(secret.as_str()), "secret {which} is seen in {place}");
        // A part of the secret counts as well.
        let (from, part) = (secret.len() / 2, secret.len().min(24));
        let part = secret.get(from..from + part / 2).unwrap_or(secret);
        ensure!(part.len() < 8 || !text.contains(part), "a part of secret {which} is seen in {place}");
    }
    Ok(())
}

/// Copies a built tool with the RSA key of Telegram's servers replaced by the test DC's: the client
/// library has no setting for it. Without this, only existing sessions work with the test DC.
pub fn knowing_the_key(tool: &Path, modulus: &str, to: &Path) -> Result<()> {
    // The first digits of the library's keys: of the production DCs and of Telegram's test DCs.
    const KEYS: [&str; 2] = [
        "293795981706693370229861771494561285653884311200588",
        "253428894488404155649716895907134732068988477590847",
    ];
    let mut program = fs::read(tool).with_context(|| format!("read {}", tool.display()))?;
    for key in KEYS {
        let mut places = memmem(&program, key.as_bytes()).into_iter();
        // tgs-stream exchanges no keys, so the linker may have dropped them.
        if let Some(at) = places.next() {
            ensure!(places.next().is_none(), "a key is twice in {}", tool.display());
            program[at..][..modulus.len()].copy_from_slice(modulus.as_bytes());
        }
    }
    fs::write(to, program)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// The offsets of `needle` in `bytes`.
fn memmem(bytes: &[u8], needle: &[u8]) -> Vec<usize> {
    let first = needle[0];
    let begins = bytes.iter().enumerate().filter(|(_, byte)| **byte == first).map(|(at, _)| at);
    begins.filter(|at| bytes[*at..].starts_with(needle)).collect()
}

fn proc_file(pid: u32, name: &str) -> String {
    let bytes = fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn all_text_below(dir: &Path) -> String {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => all_text_below(&entry.path()),
            _ => String::from_utf8_lossy(&fs::read(entry.path()).unwrap_or_default()).into_owned(),
        })
        .collect()
}
