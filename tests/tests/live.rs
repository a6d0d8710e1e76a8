//! A publisher goes live over a running broadcast, and the list resumes where it was.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    fs,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tgs_control::{
    AsRunKind, AsRunListing, BroadcastStatus, ControlClient, LiveState, LiveStatus, OnAir,
    method::{AsRunParams, Call, NoParams, SeekParams},
};
use tgs_e2e::{
    broadcast::{Broadcast, Launch},
    clips::clip,
    flvcheck::Report,
    ingest::Ingest,
    nginx::free_port,
    upgrades::{connect, upgrade},
};

const SECOND: Duration = Duration::from_secs(1);

const KEY: &str = "0123456789abcdef-key";

/// A broadcast of a clip of a minute with a live input.
struct Live {
    broadcast: Broadcast,
    client: ControlClient,
    ingest: Ingest,
    url: String,
    dir: tempfile::TempDir,
}

impl Live {
    fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), settings)
    }

    fn start_in(dir: tempfile::TempDir, settings: &[(&str, &str)]) -> Self {
        let ingest = Ingest::start().unwrap();
        let input = format!("rtmp://127.0.0.1:{}/live", free_port().unwrap());
        let mut launch = Launch::to(ingest.url("key")).unwrap().arg("--playlist").arg(list(dir.path()));
        for (name, value) in settings.iter().chain(&[("LIVE_INPUT", &*input), ("LIVE_KEY", KEY)]) {
            launch = launch.set(name, value);
        }
        let broadcast = launch.keeping(dir.path()).start().unwrap();
        broadcast.wait_log(&["control socket: "], 30 * SECOND).unwrap();
        broadcast.wait_log(&["live input: listens at"], 30 * SECOND).unwrap();
        let client = ControlClient::connect(&dir.path().join("state/control.sock"), "test").unwrap();
        let mut live = Self { broadcast, client, ingest, url: format!("{input}/{KEY}"), dir };
        live.until(|now| title(now) == Some("a"));
        live
    }

    fn status(&mut self) -> BroadcastStatus {
        self.client.get(&Call::Status(NoParams {})).unwrap()
    }

    /// Waits until the status is as `such` says; the time that it took.
    fn until(&mut self, such: impl Fn(&BroadcastStatus) -> bool) -> Duration {
        let began = Instant::now();
        loop {
            let now = self.status();
            if such(&now) {
                return began.elapsed();
            }
            assert!(began.elapsed() < 60 * SECOND, "{now:?}\n{}", self.broadcast.log());
            std::thread::sleep(SECOND / 50);
        }
    }

    /// Ends the broadcast, which has sent no gap. The titles of what was aired, each once in a row:
    /// filler between two parts of an item depends on how busy the machine is.
    fn end(mut self) -> Vec<String> {
        let began = Instant::now();
        let listing = loop {
            let now = self.status();
            let all = Call::AsRunList(AsRunParams { since: None, limit: 100 });
            let listing: AsRunListing = self.client.get(&all).unwrap();
            // The log is written a moment after the status.
            let logged = listing.entries.last().and_then(|entry| entry.title.as_deref());
            if title(&now).is_none_or(|shown| logged == Some(shown)) {
                break listing;
            }
            assert!(began.elapsed() < 60 * SECOND, "{now:?}\n{listing:?}\n{}", self.broadcast.log());
            std::thread::sleep(SECOND / 50);
        };
        self.broadcast.stop().unwrap();
        self.ingest.wait_ended(5 * SECOND).unwrap();
        let tags: Vec<_> = self.ingest.record().unwrap().tags().collect();
        Report::of_tags(&tags).check(30.0, 44_100.0).unwrap();
        let aired = listing.entries.into_iter().filter(|entry| entry.kind != AsRunKind::OffAir);
        let mut titles: Vec<_> = aired.filter_map(|entry| entry.title).collect();
        titles.dedup();
        titles
    }
}

fn list(dir: &Path) -> PathBuf {
    clip("minute", (320, 180), "30", 44_100, 60_000).copy_to(&dir.join("a.mp4")).unwrap();
    fs::write(dir.join("list.txt"), "a.mp4\n").unwrap();
    dir.join("list.txt")
}

fn title(now: &BroadcastStatus) -> Option<&str> {
    match &now.status.engine.on_air {
        OnAir::Item(item) => Some(&item.title),
        _ => None,
    }
}

fn offset(now: &BroadcastStatus) -> f64 {
    match &now.status.engine.on_air {
        OnAir::Item(item) => item.offset_seconds,
        _ => 0.0,
    }
}

/// A process that ends with the test.
struct Publisher(Child);

impl Publisher {
    fn start(url: &str, options: &str) -> Self {
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=s=640x360:r=25"]);
        command.args(["-re", "-f", "lavfi", "-i", "sine=r=48000", "-c:v", "libx264", "-preset", "ultrafast"]);
        command.args(["-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "50", "-c:a", "aac"]);
        command.args(options.split_whitespace()).args(["-f", "flv", url]).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), signal).unwrap();
    }

    /// Publishes through a pipeline of GStreamer that ends with this sink.
    fn gstreamer(sink: &str) -> Self {
        let mut command = Command::new("gst-launch-1.0");
        let picture = "videotestsrc is-live=true ! video/x-raw,width=640,height=360,framerate=30/1 ! x264enc \
                       tune=zerolatency speed-preset=ultrafast bitrate=800 key-int-max=30 ! h264parse ! queue ! mux.";
        let sound = "audiotestsrc is-live=true ! audioconvert ! voaacenc ! aacparse ! queue ! mux.";
        let pipeline = format!("{picture} {sound} flvmux name=mux streamable=true ! {sink}");
        // Ctrl-C ends the stream properly.
        command.arg("-q").arg("-e").args(pipeline.split_whitespace());
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }

    /// Lets it say goodbye.
    fn end(&mut self) {
        self.signal(rustix::process::Signal::INT);
        self.0.wait().unwrap();
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_publisher_takes_the_air_and_the_item_resumes() {
    let mut live = Live::start(&[]);
    let (left_at, asked) = (offset(&live.status()), Instant::now());
    let mut publisher = Publisher::start(&live.url, "");
    live.until(|now| now.live.as_ref().is_some_and(|live| live.state == LiveState::Flowing));
    let took = live.until(|now| title(now) == Some("live"));
    // The item plays on until then.
    let played = asked.elapsed().as_secs_f64();
    let shown: LiveStatus = live.client.get(&Call::LiveStatus(NoParams {})).unwrap();
    let client = shown.publisher.clone().unwrap();
    assert_eq!((&*client.key, &*client.format), ("live", "H.264 640x360, AAC 48000 Hz mono"));
    assert!(shown.on_air && !shown.waits_for_take, "{shown:?}");
    std::thread::sleep(3 * SECOND);
    let ended = Instant::now();
    publisher.end();
    let back = live.until(|now| title(now) == Some("a"));
    let now = offset(&live.status());
    let since = ended.elapsed().as_secs_f64();
    println!("on air after {took:?}, back after {back:?}, left at {left_at}, resumed at {now}");
    assert!(now < left_at + played + since + 1.0, "left at {left_at}, resumed at {now}");
    assert_eq!(live.end(), ["a", "live", "a"]);
}

#[test]
fn a_stalled_publisher_is_bridged() {
    let mut live = Live::start(&[("LIVE_GRACE", "40s")]);
    let publisher = Publisher::start(&live.url, "");
    live.until(|now| title(now) == Some("live"));
    publisher.signal(rustix::process::Signal::STOP);
    live.until(|now| matches!(now.status.engine.on_air, OnAir::Filler { .. }));
    // Longer than the engine waits for an encoder.
    std::thread::sleep(12 * SECOND);
    publisher.signal(rustix::process::Signal::CONT);
    live.until(|now| title(now) == Some("live"));
    assert_eq!(live.end(), ["a", "live"]);
}

#[test]
fn a_killed_publisher_may_come_back() {
    let mut live = Live::start(&[("LIVE_GRACE", "30s")]);
    let publisher = Publisher::start(&live.url, "");
    live.until(|now| title(now) == Some("live"));
    drop(publisher);
    live.until(|now| matches!(now.status.engine.on_air, OnAir::Filler { .. }));
    let again = Publisher::start(&live.url, "-s 320x240 -r 50");
    live.until(|now| title(now) == Some("live"));
    drop(again);
    live.until(|now| title(now) == Some("a"));
    let log = live.broadcast.log();
    assert!(log.contains("the publisher has left: no media for 3"), "{log}");
    assert_eq!(live.end(), ["a", "live", "a"]);
}

/// The loudness of `file` from `start` seconds on, in LUFS.
fn loudness(file: &Path, start: f64) -> f64 {
    let filters = format!("atrim=start={start:.3},ebur128");
    let mut measure = Command::new("ffmpeg");
    measure.args(["-nostdin", "-hide_banner", "-i"]).arg(file);
    let done = measure.args(["-map", "0:a", "-af", &filters, "-f", "null", "-"]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    let summary = said.rsplit("Summary:").next().unwrap();
    let lufs = summary.split("I:").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    lufs.parse().unwrap()
}

#[test]
fn a_quiet_publisher_is_made_louder_where_the_delay_leaves_time() {
    let mut live = Live::start(&[("LIVE_DELAY", "5s"), ("LOUDNESS", "-16")]);
    let _publisher = Publisher::start(&live.url, "-af volume=-14dB");
    live.until(|now| title(now) == Some("live") && offset(now) > 6.0);
    live.broadcast.wait_log(&["“live”: its loudness is evened out while it plays"], SECOND).unwrap();
    let file = live.dir.path().join("aired.flv");
    let aired = live.ingest.record().unwrap();
    aired.write_flv(&file).unwrap();
    let end = f64::from(aired.media().last().unwrap().received.timestamp) / 1000.0;
    // ffmpeg's sine has -18 dBFS, and so about -35 LUFS here.
    let lufs = loudness(&file, end - 3.0);
    assert!((-18.0..=-14.0).contains(&lufs), "{lufs}");
    live.end();
}

#[test]
fn an_operator_takes_and_drops_the_publisher() {
    let mut live = Live::start(&[("LIVE_START", "ask")]);
    let refused = live.client.call(&Call::LiveTake(NoParams {})).unwrap_err().to_string();
    assert!(refused.contains("no publisher sends at present"), "{refused}");
    let _publisher = Publisher::start(&live.url, "");
    live.until(|now| now.live.as_ref().is_some_and(|live| live.waits_for_take));
    std::thread::sleep(3 * SECOND);
    assert_ne!(title(&live.status()), Some("live"));
    live.client.call(&Call::LiveTake(NoParams {})).unwrap();
    live.until(|now| title(now) == Some("live"));
    let refused = live.client.call(&Call::LiveTake(NoParams {})).unwrap_err().to_string();
    assert!(refused.contains("on air already"), "{refused}");
    // The next item is the list's; the publisher stays connected and can be taken again.
    live.client.call(&Call::Next(NoParams {})).unwrap();
    live.until(|now| title(now) == Some("a") && now.live.as_ref().is_some_and(|live| live.waits_for_take));
    live.client.call(&Call::LiveTake(NoParams {})).unwrap();
    live.until(|now| title(now) == Some("live"));
    live.client.call(&Call::LiveDrop(NoParams {})).unwrap();
    let back = live.until(|now| title(now) == Some("a"));
    println!("back after {back:?}");
    assert_eq!(live.status().live.unwrap().state, LiveState::Absent);
    let refused = live.client.call(&Call::LiveDrop(NoParams {})).unwrap_err().to_string();
    assert!(refused.contains("no publisher sends at present"), "{refused}");
    live.end();
}

#[test]
fn an_upgrade_keeps_the_publisher_and_what_an_operator_wants_of_it() {
    let mut live = Live::start(&[("LIVE_START", "after"), ("LIVE_GRACE", "60s")]);
    let mut publisher = Publisher::start(&live.url, "");
    live.until(|now| now.live.as_ref().is_some_and(|live| live.state == LiveState::Flowing));
    live.client.call(&Call::LiveTake(NoParams {})).unwrap();
    live.until(|now| title(now) == Some("live"));
    let state = live.dir.path().join("state");
    let (_, _second) = upgrade(&state).unwrap();
    live.client = connect(&state).unwrap();
    // It was on air, so it does not wait for the end of the item of a minute.
    let took = live.until(|now| title(now) == Some("live"));
    assert!(took < 20 * SECOND, "on air again after {took:?}");
    live.client.call(&Call::Next(NoParams {})).unwrap();
    live.until(|now| title(now) == Some("a"));
    // Off air, and silent while it goes over.
    publisher.signal(rustix::process::Signal::STOP);
    let (_, _third) = upgrade(&state).unwrap();
    live.client = connect(&state).unwrap();
    publisher.signal(rustix::process::Signal::CONT);
    live.until(|now| now.live.as_ref().is_some_and(|live| live.waits_for_take));
    let shown = live.status().live.unwrap();
    assert_eq!(shown.publisher.unwrap().format, "H.264 640x360, AAC 48000 Hz mono");
    // ffmpeg ends with its first connection.
    assert!(publisher.0.try_wait().unwrap().is_none());
    assert!(!live.broadcast.log().contains("the publisher has left"), "{}", live.broadcast.log());
    publisher.end();
    live.until(|now| now.live.as_ref().is_some_and(|live| live.state == LiveState::Absent));
}

#[test]
fn a_publisher_waits_for_the_end_of_the_item() {
    let mut live = Live::start(&[("LIVE_START", "after")]);
    let _publisher = Publisher::start(&live.url, "");
    live.until(|now| now.live.as_ref().is_some_and(|live| live.state == LiveState::Flowing));
    std::thread::sleep(3 * SECOND);
    assert_ne!(title(&live.status()), Some("live"));
    // Ten seconds before its end.
    live.client.call(&Call::Seek(SeekParams { to: Some(50.0), by: None })).unwrap();
    live.until(|now| title(now) == Some("live"));
    assert_eq!(live.end(), ["a", "live"]);
}

#[test]
fn gstreamer_goes_live_by_its_own_client_and_by_librtmp() {
    let mut live = Live::start(&[]);
    for sink in [format!("rtmp2sink location={}", live.url), format!("rtmpsink location={}", live.url)] {
        let mut publisher = Publisher::gstreamer(&sink);
        // The status may show the publisher before it for a moment.
        let is_there = |now: &BroadcastStatus| now.live.as_ref().is_some_and(|live| live.publisher.is_some());
        live.until(|now| title(now) == Some("live") && is_there(now));
        let client = live.status().live.unwrap().publisher.unwrap();
        assert_eq!(client.format, "H.264 640x360, AAC 44100 Hz mono", "{sink}");
        publisher.end();
        let back = live.until(|now| title(now) == Some("a"));
        assert!(back < 5 * SECOND, "{sink}: back after {back:?}");
    }
    let log = live.broadcast.log();
    assert_eq!(log.matches("the publisher has left: it ended its stream").count(), 2, "{log}");
    live.end();
}

/// A timetable with a hard slot of five seconds, `seconds` from now.
fn timetable(dir: &Path, seconds: u64) -> PathBuf {
    clip("five", (320, 180), "30", 44_100, 5000).copy_to(&dir.join("news.mp4")).unwrap();
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + seconds;
    let (hours, minutes, seconds) = (at / 3600 % 24, at / 60 % 60, at % 60);
    let slot = format!("at = \"{hours:02}:{minutes:02}:{seconds:02}\"\nplay = \"news.mp4\"\nfor = \"5s\"");
    let text = format!(
        "timezone = \"UTC\"\n[[slot]]\nname = \"News\"\ndays = \"daily\"\n{slot}\nstart = \"hard\"\n"
    );
    fs::write(dir.join("timetable.toml"), text).unwrap();
    dir.join("timetable.toml")
}

/// The titles on air, with a hard slot while a publisher is.
fn titles_with_a_hard_slot(over_schedule: &str) -> (Vec<String>, String) {
    let dir = tempfile::tempdir().unwrap();
    // Far away, until the publisher is on air; a timetable is followed.
    let file = timetable(dir.path(), 6 * 3600);
    let settings = [
        ("SCHEDULE", file.to_str().unwrap()),
        ("SCHEDULE_PREROLL", "10s"),
        ("LIVE_OVER_SCHEDULE", over_schedule),
    ];
    let mut live = Live::start_in(dir, &settings);
    let mut publisher = Publisher::start(&live.url, "");
    live.until(|now| title(now) == Some("live"));
    timetable(live.dir.path(), 20);
    std::thread::sleep(30 * SECOND);
    live.until(|now| title(now) == Some("live"));
    publisher.end();
    live.until(|now| title(now) == Some("a"));
    let log = live.broadcast.log();
    (live.end(), log)
}

#[test]
fn a_hard_slot_comes_before_the_publisher() {
    let (titles, log) = titles_with_a_hard_slot("0");
    assert_eq!(titles, ["a", "live", "news", "live", "a"], "{log}");
}

#[test]
fn a_publisher_comes_before_a_hard_slot_where_the_setting_says_so() {
    let (titles, log) = titles_with_a_hard_slot("1");
    assert_eq!(titles, ["a", "live", "a"], "{log}");
}

/// A network of the test's own, with loopback only; the processes that this thread starts are in
/// it.
struct LossyNetwork(String);

impl LossyNetwork {
    fn enter() -> Self {
        let name = format!("tgs-live-{}", std::process::id());
        run("ip", &["netns", "add", &name]);
        let network = Self(name);
        let place = fs::File::open(format!("/run/netns/{}", network.0)).unwrap();
        move_into_link_name_space(place.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        // Packets as on a network, not of 64 kB.
        run(
            "ip",
            &["link", "set", "dev", "lo", "mtu", "1500", "gso_max_size", "1600", "gso_max_segs", "1", "up"],
        );
        run("nft", &["add table inet loss"]);
        run("nft", &["add chain inet loss out { type filter hook output priority 0; }"]);
        network
    }

    /// Replaces the rules for the port.
    fn lose(port: &str, what: &str) {
        run("nft", &["flush chain inet loss out"]);
        run("nft", &[&format!("add rule inet loss out tcp dport {port} {what}")]);
        run("nft", &[&format!("add rule inet loss out tcp sport {port} {what}")]);
    }
}

impl Drop for LossyNetwork {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).status();
    }
}

fn run(program: &str, words: &[&str]) {
    let output = Command::new(program).args(words).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; cargo xtask test installs it"));
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_link_that_loses_and_stalls_is_survived() {
    let _network = LossyNetwork::enter();
    let mut live = Live::start(&[]);
    let port = live.url.split([':', '/']).nth(4).unwrap().to_owned();
    LossyNetwork::lose(&port, "numgen random mod 100 < 5 drop");
    let mut publisher = Publisher::start(&live.url, "-b:v 800k -maxrate 800k -bufsize 800k");
    live.until(|now| title(now) == Some("live"));
    std::thread::sleep(10 * SECOND);
    live.until(|now| title(now) == Some("live"));
    LossyNetwork::lose(&port, "drop");
    std::thread::sleep(3 * SECOND);
    // TCP sends again ever later: what is lost then costs more than LIVE_GRACE.
    run("nft", &["flush chain inet loss out"]);
    live.until(|now| {
        title(now) == Some("live") && now.live.as_ref().is_some_and(|it| it.state == LiveState::Flowing)
    });
    LossyNetwork::lose(&port, "numgen random mod 100 < 5 drop");
    std::thread::sleep(5 * SECOND);
    assert!(!live.broadcast.log().contains("the publisher has left"), "{}", live.broadcast.log());
    publisher.end();
    live.until(|now| title(now) == Some("a"));
    assert_eq!(live.end(), ["a", "live", "a"]);
}
