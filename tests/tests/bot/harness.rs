//! The real `tgs-bot` at a test DC, and the people who talk to it: Telethon, steered over a pipe.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tgs_e2e::{
    bin_path::build_for_test_dc,
    colours::{self, Picture},
    telethon,
};
use tgs_testdc::{TestDc, World};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// A user with whom neither setting of the bot is concerned.
pub(crate) const MALLORY: i64 = 5_000_000_009;

/// A test DC with a bot, Alice (in Russian), Bob and Mallory.
pub(crate) fn test_dc() -> TestDc {
    let mut world = World::example().with_bot();
    world.accounts[0].lang_code = Some("ru".to_owned());
    let mut mallory = world.accounts[1].clone();
    mallory.user_id = MALLORY;
    "+15550100009".clone_into(&mut mallory.phone);
    mallory.username = Some("mallory".to_owned());
    world.accounts.push(mallory);
    TestDc::start(world).unwrap()
}

fn token(dc: &TestDc) -> String {
    dc.world().accounts.iter().find_map(|account| account.bot_token.clone()).unwrap()
}

/// A server that gets the incidents.
pub(crate) struct Hook {
    url: String,
    received: mpsc::Receiver<Value>,
}

impl Hook {
    pub(crate) fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (sender, received) = mpsc::channel();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let head = reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty());
                let head: Vec<_> = head.map(|line| line.to_ascii_lowercase()).collect();
                assert!(head.iter().any(|line| line.starts_with("x-tgs-signature: sha256=")), "{head:?}");
                let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                let mut body = vec![0; length.parse().unwrap()];
                reader.read_exact(&mut body).unwrap();
                stream.write_all(b"HTTP/1.1 204 OK\r\nconnection: close\r\n\r\n").unwrap();
                sender.send(serde_json::from_slice(&body).unwrap()).unwrap();
            }
        });
        Self { url, received }
    }

    /// Kind and state of the next incident.
    pub(crate) fn next(&self) -> [String; 2] {
        let incident = self.received.recv_timeout(20 * SECOND).unwrap();
        ["kind", "state"].map(|name| incident[name].as_str().unwrap().to_owned())
    }
}

/// A running bot.
pub(crate) struct Bot {
    child: Child,
    dir: PathBuf,
}

impl Bot {
    /// Starts the bot with its state in `dir`, for the broadcast with this control socket.
    pub(crate) fn start(dc: &TestDc, dir: &Path, socket: &Path, hook: &Hook) -> Self {
        Self::start_with(dc, dir, socket, hook, &[])
    }

    /// The same with more settings.
    pub(crate) fn start_with(
        dc: &TestDc,
        dir: &Path,
        socket: &Path,
        hook: &Hook,
        more: &[(&str, &str)],
    ) -> Self {
        let settings = [
            ("API_ID", dc.api_id().to_string()),
            ("API_HASH", dc.api_hash()),
            ("BOT_TOKEN", token(dc)),
            ("BOT_ADMINS", World::ALICE.to_string()),
            ("BOT_VIEWERS", World::BOB.to_string()),
            ("NOTIFY_WEBHOOK", hook.url.clone()),
            ("NOTIFY_SECRET", "0123456789abcdef-hook".to_owned()),
            // Everything, to look for secrets in it.
            ("RUST_LOG", "trace".to_owned()),
        ];
        let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let lines: Vec<_> =
            settings.into_iter().chain(more).map(|(name, value)| format!("{name}={value}\n")).collect();
        fs::write(dir.join("bot.env"), lines.concat()).unwrap();
        let log = File::options().create(true).append(true).open(dir.join("bot.log")).unwrap();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(build_for_test_dc("tgs-bot").unwrap())
            .arg("--env-file")
            .arg(dir.join("bot.env"))
            .arg("--state-dir")
            .arg(dir.join("bot"))
            .arg("--socket")
            .arg(socket)
            // Incidents are reported after 1.5 s instead of 30 s.
            .args(["--time-scale", "20"])
            .arg("--notes-dir")
            .arg(dir.join("notes"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TGS_TEST_DCS", format!("1={},2={}", dc.addr(1), dc.addr(2)))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, dir: dir.to_owned() }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("bot.log")).unwrap()
    }

    /// The lines of the log that contain `words`.
    pub(crate) fn count(&self, words: &str) -> usize {
        self.log().lines().filter(|line| line.contains(words)).count()
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Kills the bot, as a crash does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops the bot as systemd does. Fails if it takes longer than ten seconds.
    pub(crate) fn stop(mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < 10 * SECOND, "the bot does not stop:\n{}", self.log());
            std::thread::sleep(SECOND / 50);
        }
    }

    /// Neither log nor arguments show a secret, and the session is readable to its owner only.
    pub(crate) fn no_secret_is_seen(&self, dc: &TestDc) {
        let session = self.dir.join("bot/session");
        assert_eq!(session.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let kept = fs::read_to_string(&session).unwrap();
        let token = token(dc);
        let (_, secret) = token.split_once(':').unwrap();
        let hook = "0123456789abcdef-hook".to_owned();
        let secrets =
            [secret.to_owned(), hook, dc.api_hash(), kept.lines().nth(1).unwrap()[20..60].to_owned()];
        let arguments = fs::read_to_string(format!("/proc/{}/cmdline", self.child.id())).unwrap();
        for (place, text) in [("log", self.log()), ("arguments", arguments)] {
            for (which, secret) in secrets.iter().enumerate() {
                assert!(!text.contains(secret), "secret {which} is in the {place}");
            }
        }
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Somebody who talks to the bot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Alice,
    Bob,
    Mallory,
}

/// Everybody who talks to the bot.
pub(crate) struct People {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl People {
    pub(crate) fn connect(dc: &TestDc) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bot/people.py");
        let sessions = [(World::ALICE, 2), (World::BOB, 1), (MALLORY, 1)];
        let sessions = sessions.map(|(user, home)| dc.new_session(user, home).telethon_string());
        let (modulus, exponent, _) = dc.rsa_public();
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(telethon::python().unwrap())
            .arg(script)
            .args([dc.api_id().to_string(), dc.api_hash(), modulus.to_owned(), exponent.to_string()])
            .args(sessions)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let requests = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut people = Self { child, requests, answers };
        people.answer();
        people
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("people.py: {error}: {line:?}"))
    }

    fn ask(&mut self, who: Who, mut request: Value) -> Value {
        request["who"] = json!(who as usize);
        writeln!(self.requests, "{request}").unwrap();
        self.answer()
    }

    pub(crate) fn send(&mut self, who: Who, text: &str) {
        self.ask(who, json!({ "do": "send", "text": text }));
    }

    pub(crate) fn send_many(&mut self, who: Who, text: &str, times: usize) {
        self.ask(who, json!({ "do": "send", "text": text, "times": times }));
    }

    /// Waits until the last message of the bot contains `text`; that message. Reports of faults do
    /// not count: on a busy machine they come at any time.
    pub(crate) fn expect(&mut self, who: Who, text: &str, bot: &Bot) -> Value {
        let answer = self.ask(who, json!({ "do": "expect", "text": text }));
        assert!(answer["error"].is_null(), "{who:?}: {answer}\n{}", tail(&bot.log()));
        answer
    }

    /// Waits until the message `id` contains `text`; its whole text.
    pub(crate) fn edited(&mut self, who: Who, id: &Value, text: &str, bot: &Bot) -> String {
        let answer = self.ask(who, json!({ "do": "edited", "id": id, "text": text }));
        assert!(answer["error"].is_null(), "{who:?}: {answer}\n{}", tail(&bot.log()));
        answer["text"].as_str().unwrap().to_owned()
    }

    /// Presses a button with this data, which need not be there; what the app shows.
    pub(crate) fn press(&mut self, who: Who, data: &str) -> Value {
        self.ask(who, json!({ "do": "press", "data": data }))
    }

    /// Sends a film or another file.
    pub(crate) fn send_file(&mut self, who: Who, path: &Path) {
        let answer = self.ask(who, json!({ "do": "send_file", "path": path }));
        assert!(answer["error"].is_null(), "{answer}");
    }

    /// Forwards the last file that this person has sent.
    pub(crate) fn forward_last_file(&mut self, who: Who) {
        let answer = self.ask(who, json!({ "do": "forward_last_file" }));
        assert!(answer["error"].is_null(), "{answer}");
    }

    /// What the picture of the last message shows, the message, and the picture's name at Telegram.
    pub(crate) fn picture(&mut self, who: Who, bot: &Bot) -> (Picture, Value, Value) {
        let path = bot.dir.join("picture.jpg");
        let answer = self.ask(who, json!({ "do": "picture", "path": path }));
        assert!(answer["error"].is_null(), "{answer}\n{}", tail(&bot.log()));
        let (colours, said) = colours::decode(&path).unwrap();
        assert_eq!((colours.len(), said.len()), (1, 0), "{said:?}");
        (colours::picture_of(colours[0]), answer["id"].clone(), answer["photo"].clone())
    }

    /// Waits until a message has another picture than this one.
    fn other_picture(&mut self, who: Who, id: &Value, photo: &Value, bot: &Bot) {
        let answer = self.ask(who, json!({ "do": "other_picture", "id": id, "photo": photo }));
        assert!(answer["error"].is_null(), "{answer}\n{}", tail(&bot.log()));
    }

    /// Waits until the message `id`, the last one, shows `wanted` instead of `photo`: it is shown
    /// again until a command has taken effect.
    pub(crate) fn picture_becomes(
        &mut self,
        who: Who,
        wanted: Picture,
        id: &Value,
        mut photo: Value,
        bot: &Bot,
    ) {
        loop {
            self.other_picture(who, id, &photo, bot);
            let (shown, same, newer) = self.picture(who, bot);
            assert_eq!(&same, id);
            if shown == wanted {
                return;
            }
            photo = newer;
        }
    }

    /// Waits until any message of the bot contains `text`; that message.
    pub(crate) fn wait_any(&mut self, who: Who, text: &str, bot: &Bot) -> Value {
        let answer = self.ask(who, json!({ "do": "wait_any", "text": text }));
        assert!(answer["error"].is_null(), "{text}: {answer}\n{}", tail(&bot.log()));
        answer
    }

    /// The number of messages from the bot.
    pub(crate) fn received(&mut self, who: Who) -> u64 {
        self.ask(who, json!({ "do": "count" }))["received"].as_u64().unwrap()
    }

    /// The number of messages from the bot that contain `text`.
    pub(crate) fn containing(&mut self, who: Who, text: &str) -> u64 {
        self.ask(who, json!({ "do": "count", "text": text }))["containing"].as_u64().unwrap()
    }

    /// [`People::received`] without reports of faults.
    pub(crate) fn answers(&mut self, who: Who) -> u64 {
        self.ask(who, json!({ "do": "count" }))["answers"].as_u64().unwrap()
    }
}

impl Drop for People {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The end of a log without its traces.
fn tail(log: &str) -> String {
    let lines: Vec<_> =
        log.lines().filter(|line| !line.contains("TRACE") && !line.contains("DEBUG")).collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
