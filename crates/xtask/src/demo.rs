//! `cargo xtask demo`: the real tools go the whole way through a local Telegram and a local ingest:
//! sign in, ask for the ingest, broadcast a few made-up clips, until Ctrl-C.

mod desk;
mod samples;
mod telegram;
mod watch;

use std::{
    fs,
    io::{BufRead, BufReader, IsTerminal},
    path::Path,
    process::Stdio,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use tgs_core::process::{self, Child, describe};
use tgs_e2e::{
    bin_path::{self, target_dir},
    nginx::{Nginx, Options},
};

use crate::{install, step};
use telegram::Telegram;
use watch::Screen;

/// Time that tgs-stream has to stop.
const GOODBYE: Duration = Duration::from_secs(5);
/// An ingest that was killed is started again after so long, so that the reconnecting can be seen.
const INGEST_AWAY: Duration = Duration::from_secs(5);

enum Event {
    /// tgs-stream has logged a line.
    Line(String),
    /// tgs-stream has closed its log: it has ended.
    Ended,
    /// Ctrl-C or its like.
    Signal,
}

/// Plays until a signal, or for so many seconds. `false` where tgs-stream ended with a failure.
pub(crate) fn run(seconds: Option<u64>) -> Result<bool> {
    install::for_broadcast()?;
    build()?;
    let dir = target_dir("demo")?;
    let playlist = samples::make(&dir)?;
    let (tell, events) = mpsc::channel();
    // Before the children: a signal from here on is a request to end them.
    on_signal(tell.clone())?;
    let ingest = Nginx::start_with(&Options {
        no_recording: true,
        application: "wait_key on;".into(),
        chunk_size: None,
    })?;
    let state = dir.join("state");
    fs::create_dir_all(&state).with_context(|| format!("make {}", state.display()))?;
    forget(&state);
    let telegram = Telegram::start(&dir, ingest.url("").trim_end_matches('/'))?;
    let mut screen = Screen::new(state.clone(), std::io::stdout().is_terminal());
    screen.say("a standby session signs in a new one: tgs-session --write-env --non-interactive");
    telegram.sign_in(&state)?;
    let player = start(&telegram, &playlist, &state)?;
    follow_log(&player, tell)?;
    let (desk, link) = match desk::start(&dir, &state) {
        Ok((desk, link)) => (Some(desk), link),
        Err(error) => (None, format!("the desk does not start: {error:#}")),
    };
    screen.log(&introduction(&ingest, &telegram, &playlist, &link));
    let mut demo = Demo { ingest, player, _desk: desk, events, screen, ingest_gone: None };
    demo.play(seconds.map(Duration::from_secs))
}

/// Removes what was kept of an earlier local Telegram: its sign-ins do not count for this one.
fn forget(state: &Path) {
    for dir in [state.to_owned(), state.join("cache")] {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if ["standby-seen", "flood-wait", "metrics.port"].contains(&&*name)
                || name.starts_with("sign-ins-")
            {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Builds with the progress shown.
fn build() -> Result<()> {
    if std::env::var_os(bin_path::BUILT).is_some() {
        return Ok(());
    }
    let mut cargo = bin_path::cargo();
    cargo.args([
        "build",
        "--workspace",
        "--bin",
        "tgs-stream",
        "--bin",
        "tgs-session",
        "--bin",
        "tgs-testdc",
        "--bin",
        "tgs-web",
    ]);
    ensure!(step::run("build the tools", &mut cargo), "the tools cannot be built");
    Ok(())
}

fn start(telegram: &Telegram, playlist: &Path, state: &Path) -> Result<Child> {
    let mut command = process::command(telegram.tool());
    command.arg("--env-file").arg(telegram.env_file()).args(["--from-start", "--playlist"]).arg(playlist);
    command
        .env("STATE_DIR", state)
        .env("CACHE_DIR", state.join("cache"))
        .env("RUST_LOG", "info")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // Away from any `.env` of the developer's.
    command.current_dir(state);
    process::spawn(command).context("start tgs-stream")
}

fn follow_log(player: &Child, tell: Sender<Event>) -> Result<()> {
    let log = player.take_stderr().context("tgs-stream has no stderr")?;
    thread::Builder::new().name("log".into()).spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            if tell.send(Event::Line(line)).is_err() {
                return;
            }
        }
        let _ = tell.send(Event::Ended);
    })?;
    Ok(())
}

fn on_signal(tell: Sender<Event>) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        for _ in signals.forever() {
            if tell.send(Event::Signal).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// Where to watch and what to try.
fn introduction(ingest: &Nginx, telegram: &Telegram, playlist: &Path, link: &str) -> String {
    let url = ingest.url(&telegram.stream_key());
    let pid = ingest.pid().unwrap_or_default();
    format!(
        "\n  Desk:     {link}\n            (picture and buttons in the browser; the link signs in once, within ten minutes)\n  \
         Watch:    ffplay {url}\n            mpv {url}\n            vlc {url}\n  \
         Playlist: {} (an edit is taken at the next item)\n  \
         Ingest:   nginx-rtmp, pid {pid} (kill it, and see the stream come back)\n  \
         Session:  {}\n            (ends it, and within half a minute a new one is signed in behind the picture)\n  \
         Stop:     Ctrl-C\n",
        playlist.display(),
        telegram.how_to_revoke()
    )
}

struct Demo {
    ingest: Nginx,
    player: Child,
    /// Ends with the demo.
    _desk: Option<Child>,
    events: Receiver<Event>,
    screen: Screen,
    ingest_gone: Option<Instant>,
}

impl Demo {
    fn play(&mut self, length: Option<Duration>) -> Result<bool> {
        let until = length.map(|length| Instant::now() + length);
        loop {
            match self.events.recv_timeout(Duration::from_millis(500)) {
                Ok(Event::Line(line)) => self.screen.log(&line),
                Ok(Event::Ended) => return self.ended_by_itself(),
                Ok(Event::Signal) | Err(RecvTimeoutError::Disconnected) => return self.end(),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.screen.is_lost() || until.is_some_and(|until| Instant::now() >= until) {
                return self.end();
            }
            self.screen.tick();
            self.mend_ingest();
        }
    }

    fn mend_ingest(&mut self) {
        if self.ingest.is_running() {
            self.ingest_gone = None;
        } else if self.ingest_gone.is_none() {
            self.screen.say(&format!("the ingest is gone; it comes back in {} s", INGEST_AWAY.as_secs()));
            self.ingest_gone = Some(Instant::now());
        } else if self.ingest_gone.is_some_and(|since| since.elapsed() >= INGEST_AWAY) {
            self.ingest_gone = None;
            match self.ingest.restart() {
                Ok(()) => self.screen.say("the ingest is back"),
                Err(e) => self.screen.say(&format!("the ingest does not start: {e:#}")),
            }
        }
    }

    fn ended_by_itself(&mut self) -> Result<bool> {
        let status = self.player.wait().context("wait for tgs-stream")?;
        self.screen.say(&format!("tgs-stream ended: {}", describe(status)));
        Ok(status.success())
    }

    /// Asks tgs-stream to end and waits for it, a few seconds or until a second signal. The ingest
    /// goes after it.
    fn end(&mut self) -> Result<bool> {
        self.screen.say("stopping");
        let began = Instant::now();
        let pid = Pid::from_raw(self.player.id().cast_signed()).context("pid 0")?;
        kill_process(pid, Signal::TERM).context("stop tgs-stream")?;
        while let Some(left) = GOODBYE.checked_sub(began.elapsed()) {
            match self.events.recv_timeout(left) {
                Ok(Event::Line(line)) => self.screen.log(&line),
                Ok(Event::Ended) => return self.ended_by_itself(),
                Ok(Event::Signal) | Err(_) => break,
            }
        }
        self.player.kill_group();
        self.screen.say(&format!("tgs-stream did not end within {} s and was killed", GOODBYE.as_secs()));
        Ok(false)
    }
}
