//! The image of the tools in a container without rights: what systemd does for a unit is here done
//! by the tool itself, by the image, or by podman.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;
use tgs_control::http_get;
use tgs_e2e::{
    bin_path::workspace,
    broadcast::until,
    clips::clip,
    container::{Container, IMAGE, Podman, Setup, USER},
    ingest::Ingest,
    nginx::free_port,
    telegram::knowing_the_key,
    tools,
};
use tgs_telegram::session::string::SessionString;
use tgs_testdc::{TestDc, World};

const LIMIT: Duration = Duration::from_secs(40);
const STATE: &str = "/var/lib/tg_video_streamer";
const PASSWORD: &str = "correct horse";

/// A channel of two clips, each longer than the test, whose secrets are files.
struct Channel {
    dc: TestDc,
    ingest: Ingest,
    setup: Setup,
    secrets: Vec<String>,
}

impl Channel {
    fn new() -> Self {
        let (dc, ingest) = (TestDc::start(World::example()).unwrap(), Ingest::start().unwrap());
        dc.set_ingest(ingest.url("").trim_end_matches('/'));
        let [session, standby] = [0; 2].map(|_| dc.new_session(World::ALICE, 2).telethon_string());
        let (_, key) = dc.stream(World::CHANNEL);
        let setup = Setup::new().unwrap();
        for name in ["first", "second"] {
            let film = clip("contained", (320, 180), "30", 44_100, 90_000);
            let path = setup.path("media").join(format!("{name}.mp4"));
            film.copy_to(&path).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        }
        fs::write(setup.path("media").join("list.txt"), "first.mp4\nsecond.mp4\n").unwrap();
        let tool = sign_in_tool(&setup, &dc);
        let secrets = vec![session, standby, dc.api_hash(), key, PASSWORD.to_owned()];
        let setup = setup
            .volume(&tool, "/usr/local/bin/tgs-session", "ro")
            .set("API_ID", &dc.api_id().to_string())
            .set("CHAT_ID", &format!("-100{}", World::CHANNEL))
            .set("PLAYLIST", "/media/list.txt")
            .set("VIDEO_QUALITY", "360p")
            .set("PROMETHEUS_PORT", "0");
        let setup = [
            ("SESSION_STRING", &secrets[0]),
            ("STANDBY_SESSION_STRING", &secrets[1]),
            ("API_HASH", &secrets[2]),
            ("TWO_FA_PASSWORD", &secrets[4]),
        ]
        .into_iter()
        .fold(setup, |setup, (name, value)| setup.secret(name, &format!("{value}\n")).unwrap());
        Self { dc, ingest, setup, secrets }
    }

    /// Waits for media on the connection number `nth`.
    fn goes_live(&self, container: &Container<'_>, nth: usize) {
        let live = self
            .ingest
            .wait("media", LIMIT, |records| records.len() == nth && records[nth - 1].media().count() > 60);
        live.unwrap_or_else(|error| panic!("{error}\n{}", container.log().unwrap()));
    }

    fn revoke(&self, session: &str) {
        let session = SessionString::decode(session).unwrap();
        let all = self.dc.sessions(World::ALICE);
        let own = all.iter().find(|known| known.auth_key == *session.key.expose()).unwrap();
        assert!(self.dc.revoke(own.key_id));
    }

    fn none_in(&self, place: &str, text: &str) {
        for (number, secret) in self.secrets.iter().enumerate() {
            assert!(!text.contains(secret.as_str()), "secret {number} is seen in {place}");
        }
    }
}

/// The tgs-session of the package, with the test DC's key.
fn sign_in_tool(setup: &Setup, dc: &TestDc) -> PathBuf {
    let unpack = "dpkg-deb --fsys-tarfile \"$0\" | tar --extract --to-stdout ./usr/bin/tgs-session";
    let output = Command::new("bash").args(["-euc", unpack]).arg(tools::package().unwrap()).output().unwrap();
    let (packed, tool) = (setup.path("packed"), setup.path("tgs-session"));
    fs::write(&packed, output.stdout).unwrap();
    knowing_the_key(&packed, dc.rsa_public().0, &tool).unwrap();
    tool
}

/// The process of the tool, which PID 1 has started.
fn tool_pid(container: &Container<'_>) -> String {
    container.exec(&["cat", "/proc/1/task/1/children"]).unwrap().split_whitespace().next().unwrap().to_owned()
}

fn has_no_rights(container: &Container<'_>) {
    for pid in ["1", &tool_pid(container)] {
        let status = container.exec(&["cat", &format!("/proc/{pid}/status")]).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().split_whitespace().next().unwrap().to_owned()
        };
        for name in ["CapEff:", "CapPrm:", "CapBnd:", "CapInh:", "CapAmb:"] {
            assert_eq!(field(name), "0000000000000000", "{name} of {pid}");
        }
        assert_eq!((field("NoNewPrivs:"), field("Uid:")), ("1".to_owned(), USER.to_string()));
    }
    for place in ["/new", "/usr/local/bin/new", "/media/new", "/run/secrets/tgs/new", "/etc/new"] {
        let output = container.run(&["touch", place]).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("Read-only file system"), "{place}: {said}");
    }
}

/// The tool waits only for its own children; PID 1 is given the orphans of all others.
fn orphans_are_reaped(container: &Container<'_>) {
    container.exec(&["sh", "-c", "sleep 0.1 & true"]).unwrap();
    let stats = || container.exec(&["sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null || true"]).unwrap();
    let gone = || (!stats().contains("(sleep)")).then_some(());
    until("the orphan's end", LIMIT, gone).unwrap();
}

fn secrets_are_seen_nowhere(channel: &Channel, container: &Container<'_>) {
    channel.none_in("podman inspect", &container.podman(&["inspect"]).unwrap());
    channel.none_in("the log", &container.log().unwrap());
    let environments =
        container.exec(&["sh", "-c", "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' ' '"]);
    channel.none_in("an environment", &environments.unwrap());
}

fn state(channel: &Channel, name: &str) -> Option<String> {
    fs::read_to_string(channel.setup.path("state").join(name)).ok()
}

/// The position in the list, and in its item.
fn position(channel: &Channel) -> Option<(String, u64)> {
    let position: Value = serde_json::from_str(&state(channel, "position.json")?).ok()?;
    let list = &position["lists"][0];
    Some((list["item"].to_string(), list["offset_ms"].as_u64()?))
}

fn the_other_tools_are_in_the_image(podman: &Podman) {
    let run = |words: &[&str]| {
        let common = ["run", "--rm", "--read-only", "--cap-drop", "all", "--network", "none", IMAGE];
        podman.command(&[&common, words].concat()).output().unwrap()
    };
    for (words, expected) in [
        (&["ffmpeg", "-version"][..], "ffmpeg version"),
        (&["yt-dlp", "--version"], "2026."),
        (&["tgs-web", "--version"], "tgs-web "),
        (&["tgs-bot", "--version"], "tgs-bot "),
        (&["tgs-diag", "--version"], "tgs-diag "),
    ] {
        let output = run(words);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains(expected), "{words:?}: {output:?}");
    }
    // PID 1 hands on the exit code of the tool: no settings.
    assert_eq!(run(&["tgs-stream"]).status.code(), Some(78));
}

/// Ends what compose has started.
struct Compose<'a>(&'a Podman, Vec<PathBuf>);

impl Compose<'_> {
    fn run(&self, words: &[&str]) -> String {
        let files: Vec<_> = self.1.iter().map(PathBuf::as_path).collect();
        let output = self.0.compose(&files, words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
        said.into_owned()
    }
}

impl Drop for Compose<'_> {
    fn drop(&mut self) {
        let files: Vec<_> = self.1.iter().map(PathBuf::as_path).collect();
        let _ = self.0.compose(&files, &["down", "--volumes", "--timeout", "0"]).output();
    }
}

/// What needs no registry of `compose.yml`: channel and desk, which sees the channel by the shared
/// volume.
fn compose_shows_the_desk(podman: &Podman) {
    let dir = tempfile::tempdir().unwrap();
    let copied = dir.path().join("deploy");
    let copy = Command::new("cp").arg("-r").arg(workspace().join("deploy")).arg(&copied).status().unwrap();
    assert!(copy.success());
    let home = copied.join("container");
    let mut settings = fs::read_to_string(home.join("channel.env.example")).unwrap();
    settings += "OUTPUT_URL=rtmp://127.0.0.1:9/live/key\nPROMETHEUS_PORT=0\n";
    fs::write(home.join("channel.env"), settings).unwrap();
    for name in ["media", "secrets"] {
        fs::create_dir(home.join(name)).unwrap();
    }
    fs::write(home.join("media/playlist.txt"), "nothing.mp4\n").unwrap();
    for name in ["api_hash", "session_string", "standby_session_string", "two_fa_password"] {
        fs::write(home.join("secrets").join(name), "").unwrap();
    }
    let port = free_port().unwrap();
    // The machine's network, without a bridge, and a free port.
    let over = format!(
        "name: tgs-{}\nservices:\n  channel: {{network_mode: host, restart: 'no'}}\n  \
         web: {{restart: 'no', environment: {{WEB_LISTEN: '127.0.0.1:{port}'}}}}\n",
        std::process::id()
    );
    fs::write(home.join("test.yml"), over).unwrap();
    let compose = Compose(podman, vec![home.join("compose.yml"), home.join("test.yml")]);
    compose.run(&["up", "--no-build", "--detach", "channel", "web"]);
    let page = || {
        let address = (std::net::Ipv4Addr::LOCALHOST, port).into();
        http_get::get(address, "/", Duration::from_secs(5)).ok().filter(|page| page.code == 200)
    };
    until("the desk", LIMIT, page).unwrap_or_else(|error| panic!("{error}\n{}", compose.run(&["logs"])));
    let files: Vec<_> = compose.1.iter().map(PathBuf::as_path).collect();
    let status = || {
        let mut asked = podman.compose(&files, &["exec", "-T", "web", "tgs-ctl", "status"]);
        asked.output().ok().filter(|output| output.status.success())
    };
    until("the channel at the desk", LIMIT, status)
        .unwrap_or_else(|error| panic!("{error}\n{}", compose.run(&["logs"])));
}

#[test]
fn a_channel_without_rights_renews_its_session_and_comes_back_where_it_was() {
    let podman = Podman::with_image().unwrap();
    the_other_tools_are_in_the_image(&podman);
    compose_shows_the_desk(&podman);
    let channel = Channel::new();
    let container = channel.setup.start(&podman).unwrap();
    channel.goes_live(&container, 1);
    let healthy = || container.run(&["tgs-check-active", "--healthz"]).ok().filter(|it| it.status.success());
    until("a healthy container", LIMIT, healthy)
        .unwrap_or_else(|e| panic!("{e}\n{}", container.log().unwrap()));
    container.podman(&["healthcheck", "run"]).unwrap();
    assert!(container.exec(&["tgs-ctl", "status"]).unwrap().contains("Demo channel"));
    has_no_rights(&container);
    orphans_are_reaped(&container);
    secrets_are_seen_nowhere(&channel, &container);
    let log = container.log().unwrap();
    assert!(!log.contains("Landlock"), "children are not confined: {log}");

    // The mounted session dies. A new one is signed in, and lies in STATE_DIR.
    channel.revoke(&channel.secrets[0]);
    let renewed = until("a renewed session", LIMIT, || state(&channel, "session"));
    let renewed = renewed.unwrap_or_else(|error| panic!("{error}\n{}", container.log().unwrap()));
    let session = renewed.lines().nth(1).unwrap();
    assert_ne!(session, channel.secrets[0]);
    let shown = |container: &Container<'_>| container.exec(&["tgs-session", "--show"]).unwrap();
    assert!(shown(&container).contains(&format!("File:     {STATE}/session")), "{}", shown(&container));

    // SIGTERM ends it within 3 s: after that, podman would kill it (137).
    container.podman(&["stop", "--time", "3"]).unwrap();
    assert_eq!(container.wait().unwrap(), 0, "{}", container.log().unwrap());
    // The renewed session is used by the next start: no other is signed in.
    let sessions = channel.dc.sessions(World::ALICE).len();
    container.podman(&["start"]).unwrap();
    channel.goes_live(&container, 2);
    assert_eq!(channel.dc.sessions(World::ALICE).len(), sessions);

    // The tool is killed: so is the container, for podman or the kubelet to start again.
    let (item, offset) =
        until("a position", LIMIT, || position(&channel).filter(|(_, at)| *at > 3000)).unwrap();
    container.exec(&["sh", "-c", &format!("kill -KILL {}", tool_pid(&container))]).unwrap();
    assert_eq!(container.wait().unwrap(), 137, "{}", container.log().unwrap());
    container.podman(&["start"]).unwrap();
    channel.goes_live(&container, 3);
    let log = container.log().unwrap();
    let (again, later) = position(&channel).unwrap();
    assert_eq!(again, item, "{log}");
    assert!(later >= offset, "it came back at {later} ms, and was at {offset} ms: {log}");

    // A secret that is replaced decides again.
    let other = channel.dc.new_session(World::ALICE, 2).telethon_string();
    fs::write(channel.setup.path("secrets/SESSION_STRING"), &other).unwrap();
    container.podman(&["stop", "--time", "3"]).unwrap();
    container.podman(&["start"]).unwrap();
    channel.goes_live(&container, 4);
    let text = shown(&container);
    assert!(text.contains("File:     /run/secrets/tgs/SESSION_STRING"), "{text}");
    assert!(Path::new(&channel.setup.path("state/session")).exists());
}
