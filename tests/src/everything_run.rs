//! A broadcast with everything on: into Telegram through a SOCKS proxy, to three further outputs,
//! recorded, looked at by the viewer check, with the desk and the bot beside it.
//!
//! Injects no fault. Measures what each ingest receives, the memory of the three daemons, and looks
//! for the secrets wherever others could see them.

mod daemons;
mod found;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tgs_testdc::{TestDc, World};

use self::daemons::{Daemon, bot, desk};
pub use self::found::Found;
use crate::{
    broadcast::Broadcast,
    clips::{ffmpeg, noisy},
    ingest::{Ingest, Message, Setup},
    nginx::free_port,
    telegram::{Scene, stream_part},
    viewer::Viewer,
};

const SECOND: Duration = Duration::from_secs(1);
/// The password of the proxy.
const PROXY_PASSWORD: &str = "proxy-s3cret-word";
/// The further outputs and their stream keys.
const OUTPUTS: [(&str, &str); 3] =
    [("first", "first-s3cret-key"), ("second", "second-s3cret-key"), ("third", "third-s3cret-key")];
/// The password of the desk.
const DESK_PASSWORD: &str = "desk-s3cret-word";
/// When the memory at the start is taken: every item was encoded once, every queue was full once.
const WARM: Duration = Duration::from_mins(5);
/// How often the desk and the bot are asked for something, and the pages searched.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// The tools, as they ship; the bot knows the test DC.
#[derive(Debug)]
pub struct Tools {
    /// The directory of tgs-stream and tgs-session.
    pub stream: PathBuf,
    /// `tgs-web`.
    pub web: PathBuf,
    /// `tgs-bot-test-dc`.
    pub bot: PathBuf,
}

/// What one output has received.
struct Received {
    name: &'static str,
    messages: Receiver<(usize, Message)>,
    viewer: Viewer,
    connections: usize,
    /// The newest timestamp, in milliseconds.
    newest: u32,
}

/// Broadcasts for `length`. `go_on` is called about once a second with the time since the start;
/// `false` ends the run. Gives what was found, and the log of tgs-stream.
pub fn run(
    tools: &Tools,
    length: Duration,
    mut go_on: impl FnMut(Duration, &Found) -> bool,
) -> Result<(Found, String)> {
    let dir = tempfile::Builder::new().prefix("tgs-everything-").tempdir()?;
    let dir = dir.path();
    let mut scene = Scene::of(TestDc::start(World::example().with_bot())?)?.with_standby_of(&tools.stream)?;
    let _proxy = proxy(&mut scene)?;
    let outputs = [Ingest::start()?, Ingest::start()?, Ingest::start()?];
    let recordings = dir.join("recordings");
    fs::create_dir(&recordings)?;
    configure(&mut scene, &outputs, &recordings)?;
    let mut received = vec![receive("telegram", &scene.ingest)];
    received.extend(OUTPUTS.iter().zip(&outputs).map(|((name, _), ingest)| receive(name, ingest)));

    let mut broadcast = start(&scene)?;
    let socket = scene.env_file().with_file_name("state").join("control.sock");
    let mut daemons =
        [desk(&tools.web, dir, &socket, DESK_PASSWORD)?, bot(&tools.bot, dir, &socket, &scene.dc)?];
    scene.hide(DESK_PASSWORD);
    scene.dc.set_part(World::CHANNEL, &second(dir)?);

    let mut found = Found::default();
    let began = Instant::now();
    let mut looked = began;
    while began.elapsed() < length && go_on(began.elapsed(), &found) {
        thread::sleep(SECOND);
        take(&mut received, &mut found);
        // Viewers get what has arrived at the ingest.
        let newest = i64::from(received[0].newest) + 1_700_000_000_000;
        scene.dc.set_last_frame(World::CHANNEL, Some(newest));
        if let Some(dead) = dead(&mut broadcast, &mut daemons)? {
            found.died = Some(dead);
            break;
        }
        let pids = [broadcast.pid(), daemons[0].pid(), daemons[1].pid()];
        found.note_memory(pids, began.elapsed() >= WARM.min(length / 3))?;
        if looked.elapsed() >= LOOK_EVERY {
            looked = Instant::now();
            found.look(&scene, &broadcast, &daemons)?;
        }
    }
    found.lasted = began.elapsed();
    found.look(&scene, &broadcast, &daemons)?;
    if found.died.is_none()
        && let Err(error) = broadcast.stop()
    {
        found.died = Some(format!("tgs-stream does not end in order: {error:#}"));
    }
    take(&mut received, &mut found);
    found.judge_recordings(&recordings)?;
    found.search_names(&scene, &recordings);
    Ok((found, broadcast.log()))
}

/// Writes the settings of everything but the proxy into `.env`.
fn configure(scene: &mut Scene, outputs: &[Ingest; 3], recordings: &Path) -> Result<()> {
    let named = OUTPUTS.iter().zip(outputs);
    let urls: Vec<_> = named.map(|((name, key), ingest)| format!("{name}={}", ingest.url(key))).collect();
    scene.set("ALSO_OUTPUT_URLS", &urls.join(" "))?;
    for (_, key) in OUTPUTS {
        scene.hide(key);
    }
    scene.set("RECORD_DIR", &recordings.display().to_string())?;
    scene.set("RECORD_SEGMENT", "10m")?;
    scene.set("VIEWER_CHECK", "1")
}

/// Starts the broadcast of a list that repeats, and waits until it is on air.
fn start(scene: &Scene) -> Result<Broadcast> {
    let mut launch = scene.launch_in_real_time()?.set("RUST_LOG", "info").set("CACHE_MAX_GB", "1");
    for millis in [20_000, 30_000, 40_000] {
        launch = launch.play([noisy("everything", millis).path()?]);
    }
    let broadcast = launch.start()?;
    broadcast.wait_item("", 1, Duration::from_mins(1))?;
    Ok(broadcast)
}

/// A second of the film, as viewers get it.
fn second(dir: &Path) -> Result<Vec<u8>> {
    let (film, second) = (noisy("everything", 20_000).path()?, dir.join("second.mp4"));
    // The first one is black.
    ffmpeg(&["-ss", "2", "-i", &film.display().to_string(), "-t", "1"].map(str::to_owned), &second)?;
    Ok(stream_part(&fs::read(&second)?))
}

fn take(received: &mut [Received], found: &mut Found) {
    for output in received {
        output.take(found);
    }
}

/// Starts a SOCKS proxy with a password, and names it in `.env`.
fn proxy(scene: &mut Scene) -> Result<ProxyProcess> {
    let port = free_port()?;
    let child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "microsocks", "-i", "127.0.0.1", "-p", &port.to_string()])
        .args(["-u", "viewer", "-P", PROXY_PASSWORD])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("run microsocks: apt-get install microsocks")?;
    scene.set("TELEGRAM_PROXY", &format!("socks5://viewer:{PROXY_PASSWORD}@127.0.0.1:{port}"))?;
    scene.hide(PROXY_PASSWORD);
    Ok(ProxyProcess(child))
}

/// A process that ends with its value.
struct ProxyProcess(Child);

impl Drop for ProxyProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn receive(name: &'static str, ingest: &Ingest) -> Received {
    let (pass_on, messages) = mpsc::channel();
    ingest.set(Setup { pass_on: Some(pass_on), ..Setup::default() });
    Received { name, messages, viewer: Viewer::default(), connections: 0, newest: 0 }
}

impl Received {
    /// Takes what has arrived.
    fn take(&mut self, found: &mut Found) {
        while let Ok((connection, message)) = self.messages.try_recv() {
            self.connections = self.connections.max(connection + 1);
            self.newest = self.newest.max(message.received.timestamp);
            if let Some(gap) = self.viewer.take(connection, &message) {
                found.note_gap(self.name, gap.length(None), self.connections);
            }
        }
        if let Some(waiting) = self.viewer.waiting() {
            found.note_wait(self.name, waiting.length(None));
        }
    }
}

fn dead(broadcast: &mut Broadcast, daemons: &mut [Daemon]) -> Result<Option<String>> {
    if let Some(status) = broadcast.ended()? {
        return Ok(Some(format!("tgs-stream ended by itself with {status}")));
    }
    for daemon in daemons {
        if let Some(status) = daemon.ended()? {
            return Ok(Some(format!("{} ended by itself with {status}", daemon.name)));
        }
    }
    Ok(None)
}

/// The arguments of a process and of its children.
fn arguments_of(pid: u32) -> String {
    let pid = pid.to_string();
    let mut command = Command::new("ps");
    command.args(["-o", "args", "-p", &pid, "--ppid", &pid]);
    let output = command.output().map(|output| output.stdout);
    String::from_utf8_lossy(&output.unwrap_or_default()).into_owned()
}

/// All names of files below `dir`, a line each.
fn names_below(dir: &Path) -> String {
    let mut names = String::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        names.push_str(&entry.file_name().to_string_lossy());
        names.push('\n');
        if entry.path().is_dir() {
            names.push_str(&names_below(&entry.path()));
        }
    }
    names
}
