//! The unit of the desk on a real systemd: it steers a broadcast, and what of the broadcast is
//! secret does not exist for it.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tgs_e2e::{
    bin_path::build,
    clips::clip,
    ingest::Ingest,
    machine::{ENV_FILE, Machine, UNIT},
};

const LIMIT: Duration = Duration::from_secs(30);
const DESK: &str = "http://127.0.0.1:8080";

/// Sends a request as the page of the unit's desk does; answers status, cookie and body.
fn send(method: &str, path: &str, cookie: &str, body: &Value) -> (u16, String, Value) {
    send_to(DESK, method, path, cookie, body)
}

fn send_to(desk: &str, method: &str, path: &str, cookie: &str, body: &Value) -> (u16, String, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into();
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{desk}{path}"))
        .header("origin", desk)
        .header("cookie", cookie)
        .header("content-type", "application/json")
        .body(if body.is_null() { String::new() } else { body.to_string() })
        .unwrap();
    let Ok(mut answer) = agent.run(request) else { return (0, String::new(), Value::Null) };
    let cookie = answer.headers().get("set-cookie").map(|value| value.to_str().unwrap().to_owned());
    let cookie = cookie.unwrap_or_default().split(';').next().unwrap().to_owned();
    let body = answer.body_mut().read_to_vec().unwrap();
    (answer.status().as_u16(), cookie, serde_json::from_slice(&body).unwrap_or_default())
}

/// Waits until the log of the broadcast names the user who has sent a command.
fn logs_the_user(machine: &Machine) {
    let is_named = || machine.journal(UNIT).unwrap().contains("anna (tgs-web)");
    machine.wait_for("the user in the log", LIMIT, is_named).unwrap();
}

#[test]
fn it_steers_the_broadcast_and_sees_none_of_its_secrets() {
    let machine = Machine::boot().unwrap();
    machine.join_network().unwrap();
    machine.install_tree(&["tgs-stream", "tgs-web"]).unwrap();
    let ingest = Ingest::start().unwrap();
    let media = clip("twenty", (320, 180), "30", 44_100, 20_000).path().unwrap();
    machine.put_media(&media, "/srv/media/one.mp4").unwrap();
    machine.write("/srv/media/list.txt", "one.mp4\n", 0o644).unwrap();
    let url = ingest.url("secret-key");
    let settings = [("PLAYLIST", "/srv/media/list.txt"), ("OUTPUT_URL", &*url), ("VIDEO_QUALITY", "480p")];
    machine.settings(ENV_FILE, &settings).unwrap();
    machine.write("/etc/tgs/web.env", "LIBRARY_DIRS=/srv/media\n", 0o644).unwrap();
    let tool = "/opt/tg_video_streamer/current/bin/tgs-web";
    machine.sh(&format!("echo 'correct horse' | {tool} user add anna")).unwrap();
    assert_eq!(machine.sh("stat -c '%U:%G %a' /etc/tgs/web-users").unwrap(), "root:tgs-web 640");
    machine.sh(&format!("systemctl start {UNIT} tg_video_web")).unwrap();

    let mut cookie = String::new();
    let signed_in = machine.wait_for("the sign-in", LIMIT, || {
        let (status, set, _) =
            send("POST", "/api/sign-in", "", &json!({ "name": "anna", "password": "correct horse" }));
        cookie = set;
        status == 200
    });
    signed_in.unwrap_or_else(|error| panic!("{error}\n{}", machine.journal("tg_video_web").unwrap()));
    let on_air = machine.wait_for("the channel", LIMIT, || {
        let (_, _, channels) = send("GET", "/api/channels", &cookie, &Value::Null);
        channels[0]["status"]["on_air"]["state"] == "item"
    });
    on_air.unwrap_or_else(|error| panic!("{error}\n{}", machine.journal("tg_video_web").unwrap()));
    let next = send("POST", "/api/channels/main/call", &cookie, &json!({ "method": "next" }));
    assert_eq!((next.0, next.2), (200, json!({})));
    logs_the_user(&machine);
    // ffmpeg runs in the sandbox, too.
    let pictured = machine.wait_for("the thumbnail", LIMIT, || {
        send("GET", "/api/channels/main/thumbnail.jpg", &cookie, &Value::Null).0 == 200
    });
    pictured.unwrap_or_else(|error| panic!("{error}\n{}", machine.journal("tg_video_web").unwrap()));

    // As the service's process sees the machine, even with the group that may read the directories.
    let pid = &machine.unit("tg_video_web").unwrap()["MainPID"];
    let inside = format!(
        "nsenter --target {pid} --mount setpriv --reuid tgs-web --regid tgs-web --groups tgstream --"
    );
    machine.sh("chmod -R g+rX /opt/tg_video_streamer/shared /var/lib/tg_video_streamer").unwrap();
    for path in [
        "/opt/tg_video_streamer/shared/.env",
        "/opt/tg_video_streamer/current/.env",
        "/opt/tg_video_streamer/shared",
        "/opt/tg_video_streamer/instances",
        "/var/lib/tg_video_streamer",
        "/var/cache/tg_video_streamer",
        "/var/log/journal",
    ] {
        let read =
            machine.sh(&format!("{inside} sh -c 'cat {path} || ls {path}/' 2>&1 || echo refused")).unwrap();
        assert!(read.ends_with("refused"), "{path}: {read}");
    }
    machine.sh(&format!("{inside} test -r /srv/media/one.mp4")).unwrap();
    let written = machine.sh(&format!("{inside} sh -c 'echo x >/srv/media/x' 2>&1 || echo refused")).unwrap();
    assert!(written.ends_with("refused"), "{written}");
}

/// A process that ends with its value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a desk on this side, with the channel `berlin` at `socket`. Answers its address.
fn desk_of(dir: &Path, socket: &Path) -> (Running, String) {
    let (env_file, tool) = (dir.join("web.env"), build("tgs-web").unwrap());
    let users = dir.join("users");
    let lines = [
        "WEB_LISTEN=127.0.0.1:0".to_owned(),
        format!("WEB_USERS_FILE={}", users.display()),
        format!("WEB_SOCKETS='berlin={}'", socket.display()),
    ];
    fs::write(&env_file, lines.join("\n")).unwrap();
    let mut add = Command::new(&tool);
    add.arg("--env-file").arg(&env_file).args(["user", "add", "anna"]).stdin(Stdio::piped());
    let mut adding = add.spawn().unwrap();
    adding.stdin.take().unwrap().write_all(b"correct horse\n").unwrap();
    assert!(adding.wait().unwrap().success());
    let mut desk = Command::new("setpriv");
    desk.args(["--pdeathsig", "KILL"]).arg(tool).arg("--env-file").arg(env_file).stderr(Stdio::piped());
    let mut desk = desk.spawn().unwrap();
    let mut lines = BufReader::new(desk.stderr.take().unwrap()).lines().map_while(Result::ok);
    let address = lines.find_map(|line| Some(line.split_once("the desk is at ")?.1.to_owned())).unwrap();
    // The pipe must stay open and be read.
    thread::spawn(move || lines.for_each(|line| eprintln!("tgs-web: {line}")));
    (Running(desk), address)
}

#[test]
fn it_shows_and_steers_the_channel_of_another_host_over_ssh() {
    let machine = Machine::boot().unwrap();
    machine.join_network().unwrap();
    machine.install_tree(&["tgs-stream"]).unwrap();
    let ingest = Ingest::start().unwrap();
    let media = clip("twenty", (320, 180), "30", 44_100, 20_000).path().unwrap();
    machine.put_media(&media, "/srv/media/one.mp4").unwrap();
    machine.write("/srv/media/list.txt", "one.mp4\n", 0o644).unwrap();
    let url = ingest.url("secret-key");
    let settings = [("PLAYLIST", "/srv/media/list.txt"), ("OUTPUT_URL", &*url), ("VIDEO_QUALITY", "360p")];
    machine.settings(ENV_FILE, &settings).unwrap();
    machine.sh(&format!("systemctl start {UNIT}")).unwrap();

    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("berlin.sock");
    let forward = || {
        let mut ssh = machine.ssh_command();
        ssh.args(["-N", "-o", "ExitOnForwardFailure=yes", "-o", "StreamLocalBindUnlink=yes", "-L"]);
        ssh.arg(format!("{}:/run/{UNIT}/control.sock", socket.display()));
        Running(ssh.stdin(Stdio::null()).spawn().unwrap())
    };
    let forwarded = forward();
    let (_desk, address) = desk_of(dir.path(), &socket);
    let signs_in = json!({ "name": "anna", "password": "correct horse" });
    let (status, cookie, _) = send_to(&address, "POST", "/api/sign-in", "", &signs_in);
    assert_eq!(status, 200);
    let berlin = |what: &str, such: &dyn Fn(&Value) -> bool| {
        let shown = || {
            let (_, _, channels) = send_to(&address, "GET", "/api/channels", &cookie, &Value::Null);
            let all = channels.as_array().cloned().unwrap_or_default();
            all.iter().any(|channel| channel["name"] == "berlin" && such(channel))
        };
        machine.wait_for(what, LIMIT, shown).unwrap();
    };
    berlin("the channel", &|it| it["status"]["on_air"]["state"] == "item");
    let next = send_to(&address, "POST", "/api/channels/berlin/call", &cookie, &json!({ "method": "next" }));
    assert_eq!((next.0, next.2), (200, json!({})));
    logs_the_user(&machine);
    // The line is down, and up again.
    drop(forwarded);
    berlin("the lost channel", &|it| it["running"] == false && it["problem"].is_string());
    let _forwarded = forward();
    berlin("the channel again", &|it| it["running"] == true);
}
