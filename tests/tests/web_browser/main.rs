//! The desk in a real browser, over a real broadcast: the picture moves and is that of the clip,
//! buttons act, the queue is reordered by drag, viewers are refused, and nothing hinders readers
//! with a keyboard, a screen reader or a phone.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

mod driver;
mod live_input;
mod timetable;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::{Value, json};
use tgs_e2e::{
    bin_path::{build, target_dir, workspace},
    broadcast::{Broadcast, Launch},
    clips::ffmpeg,
    ingest::Ingest,
};

use driver::{Browser, axe};

const PASSWORD: &str = "correct horse";
const SECOND: Duration = Duration::from_secs(1);

/// The clips and the colour that each shows in its middle.
const CLIPS: [(&str, &str, [u8; 3]); 4] = [
    ("red", "0xd01818", [208, 24, 24]),
    ("green", "0x18a028", [24, 160, 40]),
    ("blue", "0x2038d8", [32, 56, 216]),
    ("grey", "0x808080", [128, 128, 128]),
];

/// A clip with this colour in its middle, ten minutes long; made once.
fn colour(name: &str) -> PathBuf {
    let path = target_dir("colours").unwrap().join(format!("{name}-600s.mp4"));
    if !path.exists() {
        let (_, colour, _) = CLIPS.iter().find(|(known, ..)| *known == name).unwrap();
        // The last one is the picture in the guide.
        let picture = match name {
            "grey" => format!("testsrc2=s=426x240:r=30,drawbox=x=163:y=90:w=100:h=60:t=fill:color={colour}"),
            _ => format!("color=c={colour}:s=426x240:r=30"),
        };
        let once = format!(
            "-f lavfi -i {picture} -f lavfi -i sine=frequency=330:sample_rate=48000 -t 60 \
             -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac"
        );
        let made = |args: &str, name: &str| {
            let args: Vec<_> = args.split_whitespace().map(str::to_owned).collect();
            let new = path.with_extension(format!("{}.{name}.mp4", std::process::id()));
            ffmpeg(&args, &new).unwrap();
            new
        };
        let minute = made(&once, "minute");
        let new = made(&format!("-stream_loop 9 -i {} -c copy", minute.display()), "whole");
        fs::remove_file(minute).unwrap();
        fs::rename(new, &path).unwrap();
    }
    path
}

/// A desk for the broadcast that keeps its state in `dir`.
struct Desk {
    child: Child,
    address: String,
    env_file: PathBuf,
}

impl Desk {
    fn start(dir: &Path) -> Self {
        let env_file = dir.join("web.env");
        let text = format!(
            "WEB_LISTEN=127.0.0.1:0\nWEB_USERS_FILE={}\nLIBRARY_DIRS={}\n",
            dir.join("users").display(),
            dir.join("library").display()
        );
        fs::write(&env_file, text).unwrap();
        let mut desk =
            Self { child: Command::new("true").spawn().unwrap(), address: String::new(), env_file };
        desk.child.wait().unwrap();
        desk.user(&["add", "anna"]);
        desk.user(&["add", "ben", "--viewer"]);
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL"])
            .arg(build("tgs-web").unwrap())
            .arg("--env-file")
            .arg(&desk.env_file);
        command.arg("--socket").arg(dir.join("state/control.sock")).stderr(Stdio::piped());
        desk.child = command.spawn().unwrap();
        let mut lines = BufReader::new(desk.child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.find_map(|line| Some(line.split_once("the desk is at ")?.1.to_owned()));
        desk.address = address.unwrap();
        // The pipe must stay open and be read.
        thread::spawn(move || lines.for_each(|line| eprintln!("tgs-web: {line}")));
        desk
    }

    fn user(&self, args: &[&str]) {
        let mut command = Command::new(build("tgs-web").unwrap());
        command.arg("--env-file").arg(&self.env_file).arg("user").args(args);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        // A command that asks for no password has closed its stdin.
        let _ = child.stdin.take().unwrap().write_all(format!("{PASSWORD}\n").as_bytes());
        assert!(child.wait().unwrap().success());
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(ingest: &Ingest, dir: &Path) -> Broadcast {
    let list = dir.join("list.txt");
    fs::write(&list, "library/red.mp4\nlibrary/green.mp4\nlibrary/blue.mp4\n").unwrap();
    let launch = Launch::to(ingest.url("key")).unwrap().arg("--playlist").arg(list).keeping(dir);
    let mut launch = launch.set("SCHEDULE", timetable::path(dir));
    for (name, value) in live_input::settings(dir) {
        launch = launch.set(name, value);
    }
    let broadcast = launch.start().unwrap();
    broadcast.wait_item("", 1, 30 * SECOND).unwrap();
    broadcast
}

fn sign_in(browser: &Browser, name: &str, password: &str) {
    browser.type_into("input[name=name]", name);
    browser.type_into("input[name=password]", password);
    browser.press("\u{e007}");
}

/// Waits until the picture shows this colour in its middle.
fn shows(browser: &Browser, name: &str) {
    shows_in(browser, "picture", name);
}

/// The same for the video element of this id.
fn shows_in(browser: &Browser, id: &str, name: &str) {
    let (_, _, [r, g, b]) = CLIPS.iter().find(|(known, ..)| *known == name).unwrap();
    let expression = format!(
        "(() => {{
            const video = document.getElementById('{id}');
            if (!video || !video.videoWidth) return false;
            const canvas = document.createElement('canvas');
            canvas.width = canvas.height = 1;
            const context = canvas.getContext('2d');
            context.drawImage(video, video.videoWidth / 2, video.videoHeight / 2, 1, 1, 0, 0, 1, 1);
            const [r, g, b] = context.getImageData(0, 0, 1, 1).data;
            return Math.abs(r - {r}) < 40 && Math.abs(g - {g}) < 40 && Math.abs(b - {b}) < 40;
        }})()"
    );
    browser.wait_for(&expression, 30 * SECOND);
}

/// Waits until the picture's time advances, with less than three seconds of it waiting.
fn moves(browser: &Browser) {
    let start = browser.run("return document.getElementById('picture').currentTime;", &Value::Null);
    browser.wait(&format!("document.getElementById('picture').currentTime > {start} + 0.5"));
    browser.wait(
        "(({ buffered, currentTime }) => buffered.length && buffered.end(buffered.length - 1) - currentTime < 3)\
         (document.getElementById('picture'))",
    );
}

/// The titles in the queue.
const QUEUE: &str = "[...document.querySelectorAll('#queue .grow')].map((entry) => entry.textContent).join()";

/// Delays the first change of the queue's order on its way to the desk, as a network may. `moves`
/// counts those that have arrived.
const FIRST_MOVE_IS_SLOW: &str = "
    const send = window.fetch;
    let begun = 0;
    window.moves = 0;
    window.fetch = async (...request) => {
        if (!String(request[1]?.body).includes('queue.move')) return send(...request);
        begun += 1;
        if (begun === 1) await new Promise((done) => setTimeout(done, 500));
        const response = await send(...request);
        window.moves += 1;
        return response;
    };";

/// Asserts that axe-core finds nothing to complain about.
fn is_accessible(browser: &Browser, place: &str) {
    browser.run(&axe(), &Value::Null);
    let found = browser.run_async(
        "const { violations } = await axe.run();
         return violations.map((one) => one.id + ': ' + one.help + ': ' + one.nodes.map((node) => node.html).join(' | '));",
    );
    assert_eq!(found, json!([]), "{place}");
}

/// Keeps a picture of the page for the guide.
fn keep(browser: &Browser, name: &str) {
    if std::env::var_os("TGS_WRITE_DOCS").is_some() {
        fs::write(workspace().join("docs/images").join(name), browser.screenshot()).unwrap();
    }
}

/// Everything of the test: the parts run one after another in one browser.
struct Scene {
    dir: tempfile::TempDir,
    ingest: Ingest,
    broadcast: Broadcast,
    desk: Desk,
    browser: Browser,
}

#[test]
fn the_desk_shows_and_steers_a_broadcast() {
    let mut scene = Scene::start("");
    scene.signs_in_and_sees_the_picture();
    scene.buttons_act();
    scene.the_queue_is_reordered();
    scene.a_slot_is_added_and_moved();
    scene.all_parts_are_accessible();
    scene.the_overview_has_a_picture_and_another_language();
    scene.broadcast.stop().unwrap();
}

#[test]
fn the_desk_follows_a_broadcast_and_refuses_viewers() {
    let mut scene = Scene::start(&timetable::slot());
    scene.browser.open(&scene.desk.address);
    sign_in(&scene.browser, "anna", PASSWORD);
    scene.a_publisher_is_seen_and_put_on_air();
    scene.the_channel_dies_and_comes_back();
    scene.the_session_ends_and_a_viewer_is_refused();
    scene.broadcast.stop().unwrap();
}

impl Scene {
    /// A broadcast with this timetable, and a browser that has opened nothing.
    fn start(timetable: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("library")).unwrap();
        for (name, ..) in CLIPS {
            fs::copy(colour(name), dir.path().join("library").join(format!("{name}.mp4"))).unwrap();
        }
        timetable::write(dir.path(), timetable);
        let ingest = Ingest::start().unwrap();
        // The broadcast last: its first clip must not pass while the desk is built.
        let (desk, browser) = (Desk::start(dir.path()), Browser::start());
        let broadcast = launch(&ingest, dir.path());
        browser.resize(1440, 900, false);
        Self { dir, ingest, broadcast, desk, browser }
    }

    /// A wrong password, then the right one: the only channel's page opens, and the picture is that
    /// of the clip.
    fn signs_in_and_sees_the_picture(&self) {
        let browser = &self.browser;
        browser.open(&self.desk.address);
        browser.wait_text("Sign in");
        is_accessible(browser, "sign-in");
        sign_in(browser, "anna", "wrong password");
        browser.wait_text("The name or the password is wrong.");
        browser.reload();
        sign_in(browser, "anna", PASSWORD);
        browser.wait("location.hash === '#/channel/main'");
        shows(browser, "red");
        moves(browser);
        browser.wait("document.getElementById('on-air').textContent === 'red'");
    }

    /// Skip with the keyboard, seek, pause and resume.
    fn buttons_act(&self) {
        let browser = &self.browser;
        browser.run("document.getElementById('next').focus();", &Value::Null);
        browser.press("\u{e007}");
        shows(browser, "green");
        browser.wait("document.getElementById('on-air').textContent === 'green'");
        browser.type_into("#seek-to", "0:20\u{e007}");
        browser.wait("/^0:2/.test(document.getElementById('position').textContent)");
        browser.click("#pause");
        browser.wait_text("Paused: viewers see the filler.");
        browser.click("#pause");
        browser.wait("!document.body.innerText.includes('Paused: viewers see the filler.')");
    }

    /// By search and by path, in another order by drag and with the arrow keys; a path elsewhere is
    /// refused.
    fn the_queue_is_reordered(&self) {
        let browser = &self.browser;
        browser.type_into("#add-source", "grey");
        // Not what was found for the beginning of it.
        browser.wait(
            "[...document.querySelectorAll('.found button')].map(it => it.textContent).join().endsWith('grey.mp4') && \
             document.querySelectorAll('.found button').length === 1",
        );
        browser.click(".found button");
        browser.wait(&format!("{QUEUE} === 'grey'"));
        browser.wait("document.getElementById('add-source').value === ''");
        browser.type_into("#add-source", &self.dir.path().join("library/blue.mp4").display().to_string());
        browser.click("#preview-item");
        browser.wait_for("document.querySelector('#preview-picture img')?.naturalWidth > 0", 20 * SECOND);
        browser.type_into("#add-source", "\u{e007}");
        browser.wait(&format!("{QUEUE} === 'grey,blue'"));
        browser.run(FIRST_MOVE_IS_SLOW, &Value::Null);
        let height = browser.run("return document.querySelector('#queue li').offsetHeight;", &Value::Null);
        browser.drag("#queue li:first-child .handle", height.as_f64().unwrap() as i32 + 5);
        browser.wait(&format!("{QUEUE} === 'blue,grey'"));
        browser.run("document.querySelector('#queue li:nth-child(2) .handle').focus();", &Value::Null);
        browser.press("\u{e013}");
        browser.wait("moves === 2");
        browser.wait(&format!("{QUEUE} === 'grey,blue'"));
        browser.reload();
        browser.wait(&format!("{QUEUE} === 'grey,blue'"));
        browser.type_into("#add-source", "/etc/passwd\u{e007}");
        browser.wait_text("there is no such file in the library");
        browser.click("#next");
        shows(browser, "grey");
    }

    /// Each part of the page, the size of a phone, and the dark colours.
    fn all_parts_are_accessible(&self) {
        let browser = &self.browser;
        is_accessible(browser, "channel");
        let tidy = "document.getElementById('add-source').value = ''; document.activeElement.blur(); scrollTo(0, 0);";
        browser.run(tidy, &Value::Null);
        browser.wait("!document.querySelector('.toast')");
        keep(browser, "desk.jpg");
        for tab in ["timetable", "asrun", "charts", "events", "log", "playlist"] {
            browser.click(&format!("#tab-{tab}"));
            browser.wait(&format!("document.getElementById('tab-{tab}').ariaSelected === 'true'"));
            is_accessible(browser, tab);
        }
        browser.wait("document.querySelectorAll('#tab-panel tbody tr').length === 3");
        browser.resize(390, 844, true);
        browser.wait("document.documentElement.scrollWidth <= 390");
        is_accessible(browser, "phone");
        browser.run(tidy, &Value::Null);
        keep(browser, "desk-phone.jpg");
        browser.resize(1440, 900, false);
        let dark = json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
        browser.devtools("Emulation.setEmulatedMedia", &dark);
        is_accessible(browser, "dark");
    }

    fn the_overview_has_a_picture_and_another_language(&self) {
        let browser = &self.browser;
        let choose = |language: &str| {
            let script = "const choice = document.querySelector('select'); choice.value = arguments[0];
                          choice.dispatchEvent(new Event('change'));";
            browser.run(script, &json!(language));
        };
        browser.click("a.brand");
        browser.wait("document.querySelector('.card img')?.naturalWidth > 0");
        is_accessible(browser, "overview");
        choose("ru");
        browser.wait_text("Каналы");
        choose("en");
        browser.wait_text("Channels");
        browser.click(".card");
        shows(browser, "grey");
    }

    fn the_channel_dies_and_comes_back(&mut self) {
        self.broadcast.signal(Signal::KILL).unwrap();
        let _ = self.broadcast.wait(10 * SECOND);
        self.browser.wait_text("The broadcast is not running.");
        self.broadcast = launch(&self.ingest, self.dir.path());
        self.browser.wait("!document.body.innerText.includes('The broadcast is not running.')");
        moves(&self.browser);
        let errors = self.browser.errors();
        assert!(!errors.iter().any(|error| error.contains("Content Security Policy")), "{errors:?}");
    }

    /// The user is removed: the page asks to sign in again. A viewer sees the picture and has no
    /// buttons; a request by hand is refused.
    fn the_session_ends_and_a_viewer_is_refused(&self) {
        let browser = &self.browser;
        self.desk.user(&["remove", "anna"]);
        browser.wait_text("The session has ended.");
        sign_in(browser, "ben", PASSWORD);
        browser.wait("document.getElementById('picture')?.currentTime > 0");
        moves(browser);
        browser.wait_text("Operators send the commands.");
        let buttons = browser
            .run("return document.querySelectorAll('#next, #stop, #add-source').length;", &Value::Null);
        assert_eq!(buttons, 0);
        self.a_viewer_sees_the_timetable_and_changes_nothing();
        let status = browser.run_async(
            "const answer = await fetch('/api/channels/main/call', { method: 'POST',
                headers: { 'content-type': 'application/json' }, body: '{\"method\":\"next\"}' });
             return answer.status;",
        );
        assert_eq!(status, 403);
    }
}
