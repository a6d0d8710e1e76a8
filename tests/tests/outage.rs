//! The ingest goes away in every way it can: the broadcast comes back and goes on where the viewer
//! was.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    collections::HashMap,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tgs_e2e::{
    broadcast::{Broadcast, Launch, Process},
    clips::noisy,
    flvcheck::{Report, brightness},
    ingest::{Ingest, Record, Setup, Welcome},
    nginx::Nginx,
    stunnel::{Authority, Stunnel, Validity},
};
use tgs_rtmp::{
    chunk::kind,
    flv::{Kind, Tag},
};

const SECOND: Duration = Duration::from_secs(1);

fn film(name: &'static str, millis: u32) -> PathBuf {
    noisy(name, millis).path().unwrap()
}

/// The time stamp of the last medium over the newest connection, in ms.
fn newest(records: &[Record]) -> u32 {
    records.last().and_then(|r| r.media().last()).map_or(0, |m| m.received.timestamp)
}

/// Waits until `count` connections were made and the newest has brought so many ms of media.
fn until_media(ingest: &Ingest, count: usize, millis: u32) {
    ingest.wait("media", 30 * SECOND, |records| records.len() == count && newest(records) >= millis).unwrap();
}

/// Waits for an item, and then for so many ms of media: a slate before it shows the same again and
/// again.
fn on_air(broadcast: &Broadcast, ingest: &Ingest, title: &str, millis: u32) {
    broadcast.wait_item(title, 1, 30 * SECOND).unwrap();
    until_media(ingest, 1, newest(&ingest.records()) + millis);
}

/// When the first frame came.
fn first_media(record: &Record) -> Instant {
    record.media().next().unwrap().arrived
}

fn frames(record: &Record, kind: Kind) -> Vec<Tag> {
    record.tags().filter(|tag| tag.kind == kind && tag.is_frame()).collect()
}

/// Asserts that `second` takes up the stream at the last keyframe of `first`, with the same bytes,
/// and skips nothing.
fn goes_on(first: &Record, second: &Record) {
    // It is a stream of its own: commands, metadata, headers, an even run that begins with a
    // keyframe.
    let kinds: Vec<u8> = second.messages.iter().map(|m| m.received.kind).collect();
    let at = |wanted: u8| kinds.iter().position(|kind| *kind == wanted).unwrap();
    assert!(at(kind::COMMAND) < at(kind::DATA) && at(kind::DATA) < at(kind::VIDEO), "{kinds:?}");
    let headers: Vec<Kind> = second.tags().take(2).filter(Tag::is_sequence_header).map(|t| t.kind).collect();
    assert_eq!(headers.len(), 2, "it does not begin with the headers");
    Report::of_tags(&second.tags().collect::<Vec<_>>()).check(30.0, 44_100.0).unwrap();
    let (before, after) = (frames(first, Kind::Video), frames(second, Kind::Video));
    assert!(after[0].is_keyframe() && after[0].timestamp == 0, "{:?}", after[0].timestamp);
    let same = |tag: &&Tag| tag.body == after[0].body;
    let resumed = before.iter().find(same).expect("it goes on behind what had arrived: something is skipped");
    let shift = resumed.timestamp;
    let last = before.last().unwrap().timestamp;
    assert!(last - shift <= 2100, "it goes back {} ms, more than one keyframe", last - shift);
    // What came twice came at the same distance and with the same bytes.
    for kind in [Kind::Video, Kind::Audio] {
        let later: HashMap<u64, Tag> =
            frames(second, kind).into_iter().map(|tag| (tag.timestamp + shift, tag)).collect();
        for tag in frames(first, kind).into_iter().filter(|tag| tag.timestamp >= shift + 30) {
            // Milliseconds are rounded anew from the new beginning.
            let near = [0, 1]
                .iter()
                .find_map(|ms| later.get(&(tag.timestamp + ms)).or(later.get(&(tag.timestamp - ms))));
            let near = near.unwrap_or_else(|| panic!("{kind:?} at {} ms is skipped", tag.timestamp));
            assert!(near.body == tag.body, "{kind:?} at {} ms is another one", tag.timestamp);
        }
    }
}

fn encoder(broadcast: &Broadcast) -> Process {
    broadcast.wait_process(10 * SECOND, Process::is_encoder).unwrap()
}

/// The warnings that are not about the connection, nor about the filler.
fn other_warnings(broadcast: &Broadcast) -> Vec<String> {
    let known = ["connection to ", "cannot publish to "];
    let is_known = |w: &String| known.iter().any(|words| w.contains(words));
    broadcast.warnings_but_filler().into_iter().filter(|w| !is_known(w)).collect()
}

#[test]
fn a_reset_connection_is_replaced_at_once_and_nothing_is_skipped() {
    let ingest = Ingest::start().unwrap();
    let mut broadcast =
        Launch::to(ingest.url("key")).unwrap().play([film("outage", 30_000)]).start().unwrap();
    on_air(&broadcast, &ingest, "outage", 4500);
    let before = encoder(&broadcast);
    let mut resets = Vec::new();
    for count in [2, 3] {
        resets.push(Instant::now());
        ingest.reset();
        until_media(&ingest, count, 3300);
    }
    // Neither the encoder nor the playlist has noticed.
    assert_eq!(encoder(&broadcast).pid, before.pid);
    assert!((broadcast.metric("tgs_publisher_reconnects_total").unwrap() - 2.0).abs() < 0.1);
    assert!((broadcast.metric("streams_played_total").unwrap() - 1.0).abs() < 0.1);
    broadcast.stop().unwrap();
    let records = ingest.records();
    assert_eq!(records.len(), 3);
    for (nth, reset) in resets.iter().enumerate() {
        goes_on(&records[nth], &records[nth + 1]);
        let away = first_media(&records[nth + 1]) - *reset;
        assert!(away < 10 * SECOND, "media again after {away:?}");
    }
    broadcast.wait_log(&["WARN", "lost: the server reset the connection"], SECOND).unwrap();
    assert_eq!(other_warnings(&broadcast), [""; 0]);
}

#[test]
fn a_server_that_refuses_for_a_while_is_asked_until_it_takes_the_rest() {
    let mut ingest = Ingest::start().unwrap();
    let mut broadcast =
        Launch::to(ingest.url("key")).unwrap().arg("--once").play([film("refused", 20_000)]).start().unwrap();
    on_air(&broadcast, &ingest, "refused", 3500);
    assert_eq!(broadcast.get("/healthz").unwrap().0, 200);
    let before = encoder(&broadcast);
    ingest.refuse();
    ingest.reset();
    broadcast.wait_log(&["WARN", "cannot publish to", "refuses connections"], 20 * SECOND).unwrap();
    let (code, why) = broadcast.get("/healthz").unwrap();
    assert!(code == 503 && why.contains("refuses connections"), "{code} {why}");
    let on_air = broadcast.metric("tgs_on_air").unwrap();
    assert!(on_air.abs() < 0.1);
    // Long enough that a broadcast which went on without its viewer would have lost something.
    assert!(ingest.wait("nothing", 3 * SECOND, |records| records.len() > 1).is_err());
    let returned = Instant::now();
    ingest.listen().unwrap();
    until_media(&ingest, 2, 1000);
    assert_eq!(encoder(&broadcast).pid, before.pid);
    // The page follows within half a second.
    let healthy = || (broadcast.get("/healthz").ok()?.0 == 200).then_some(());
    broadcast.until("/healthz 200", 10 * SECOND, healthy).unwrap();
    assert!(broadcast.wait(60 * SECOND).unwrap().success());
    ingest.wait_ended(5 * SECOND).unwrap();
    let records = ingest.records();
    assert_eq!(records.len(), 2);
    let away = first_media(&records[1]) - returned;
    assert!(away < 10 * SECOND, "media again after {away:?}");
    goes_on(&records[0], &records[1]);
    // Every frame of the item has arrived (and those of the filler, where the item was late).
    let mut bodies: Vec<_> =
        records.iter().flat_map(|r| frames(r, Kind::Video)).map(|tag| tag.body).collect();
    bodies.sort();
    bodies.dedup();
    assert!(bodies.len() >= 600, "{} frames", bodies.len());
    // The same refusal is logged once.
    let told = broadcast.warnings().iter().filter(|w| w.contains("refuses connections")).count();
    assert_eq!(told, 1, "{:?}", broadcast.warnings());
    assert_eq!(other_warnings(&broadcast), [""; 0]);
}

#[test]
fn a_server_that_reads_no_more_is_given_up() {
    let ingest = Ingest::start().unwrap();
    let mut broadcast =
        Launch::to(ingest.url("key")).unwrap().play([film("outage", 30_000)]).start().unwrap();
    on_air(&broadcast, &ingest, "outage", 2500);
    ingest.pause();
    broadcast.wait_log(&["WARN", "connection to", "lost:"], 30 * SECOND).unwrap();
    let lines = broadcast.log();
    assert!(
        lines.contains("no answer from the server (TCP_USER_TIMEOUT")
            || lines.contains("took no data for 10 s"),
        "{lines}"
    );
    ingest.resume();
    until_media(&ingest, 2, 3300);
    broadcast.stop().unwrap();
    ingest.wait_ended(5 * SECOND).unwrap();
    let records = ingest.records();
    goes_on(&records[0], &records[1]);
    assert_eq!(other_warnings(&broadcast), [""; 0]);
}

#[test]
fn nginx_killed_restarted_and_paused() {
    let mut nginx = Nginx::start().unwrap();
    let mut broadcast = Launch::to(nginx.url("key")).unwrap().play([film("outage", 30_000)]).start().unwrap();
    let more =
        |nginx: &Nginx| nginx.wait_recorded(nginx.recorded_bytes().unwrap() + 300_000, 30 * SECOND).unwrap();
    more(&nginx);
    nginx.kill().unwrap();
    broadcast.wait_log(&["WARN", "cannot publish to", "refuses connections"], 20 * SECOND).unwrap();
    nginx.restart().unwrap();
    more(&nginx);
    nginx.pause().unwrap();
    broadcast.wait_log_nth(&["WARN", "connection to", "lost:"], 2, 30 * SECOND).unwrap();
    nginx.resume().unwrap();
    // What had arrived of the old connection is recorded now, too.
    broadcast.wait_log_nth(&["connected to"], 3, 30 * SECOND).unwrap();
    more(&nginx);
    broadcast.stop().unwrap();
    let recordings = nginx.recordings().unwrap();
    // One that continues within the same second would share a file; here seconds lie between.
    assert_eq!(recordings.len(), 3, "{}", nginx.log());
    for recording in recordings {
        Report::of_file(&recording).unwrap().check(30.0, 44_100.0).unwrap();
    }
    assert_eq!(other_warnings(&broadcast), [""; 0]);
}

#[test]
fn a_live_source_goes_on_at_its_live_edge() {
    // Filler behind the reconnection moves all that follows.
    assert!((0..3).any(|_| live_edge()), "filler in each attempt");
}

/// Fails where the source does not go on at its live edge; `false` where the filler was shown
/// behind the reconnection.
fn live_edge() -> bool {
    let nginx = Nginx::start().unwrap();
    let mut source = Source::start(&nginx.url("source"));
    nginx.wait_recorded(20_000, 20 * SECOND).unwrap();
    let mut ingest = Ingest::start().unwrap();
    let mut broadcast = Launch::to(ingest.url("key")).unwrap().play([nginx.url("source")]).start().unwrap();
    // Opening a live source takes ffmpeg some seconds, in which the filler may be shown.
    broadcast.wait_item("", 1, 20 * SECOND).unwrap();
    let begun = newest(&ingest.records());
    let filled = || broadcast.log().matches("filler on air").count();
    let before = filled();
    until_media(&ingest, 1, begun + 5000);
    ingest.refuse();
    ingest.reset();
    broadcast.wait_log(&["WARN", "cannot publish to", "refuses connections"], 20 * SECOND).unwrap();
    assert!(ingest.wait("nothing", 7 * SECOND, |records| records.len() > 1).is_err());
    ingest.listen().unwrap();
    until_media(&ingest, 2, 6000);
    if filled() > before {
        source.end();
        return false;
    }
    broadcast.stop().unwrap();
    ingest.wait_ended(5 * SECOND).unwrap();
    source.end();
    let records = ingest.records();
    let [first, second] = [0, 1].map(|nth| {
        let file = broadcast.dir().join(format!("{nth}.flv"));
        records[nth].write_flv(&file).unwrap();
        Report::of_file(&file).unwrap().check(30.0, 44_100.0).unwrap();
        brightness(&file).unwrap().into_iter().map(|(_, luma)| Source::seconds(luma)).collect::<Vec<_>>()
    });
    let last_arrived = |nth: usize| records[nth].media().last().unwrap().arrived;
    let away = first_media(&records[1]) - last_arrived(0);
    let (left, met) = (*first.last().unwrap(), second[0]);
    let skipped = met - left;
    assert!(
        (skipped - away.as_secs_f64()).abs() < 3.5,
        "{left} s was seen last, {met} s first, {away:?} later: that is not the live edge"
    );
    // And there it stays: no backlog is played faster or slower.
    let shown = (second.last().unwrap() - met, (last_arrived(1) - first_media(&records[1])).as_secs_f64());
    assert!((shown.0 - shown.1).abs() < 2.5, "{shown:?}");
    assert_eq!(other_warnings(&broadcast), [""; 0]);
    true
}

/// A live stream whose brightness tells its time.
struct Source(Child);

impl Source {
    fn start(url: &str) -> Self {
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "ffmpeg", "-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i"])
            .arg("nullsrc=s=160x90:r=30,geq=lum='16+T*4':cb=128:cr=128")
            .args([
                "-re",
                "-f",
                "lavfi",
                "-i",
                "sine=r=44100",
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-g",
                "30",
            ])
            .args(["-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "flv", url])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// The time in s at which the picture is as bright as this.
    fn seconds(luma: f64) -> f64 {
        (luma - 16.0) / 4.0
    }

    fn end(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn refusals_are_reported_in_words_and_the_key_never_is() {
    const KEY: &str = "s3cr3t-k3y";
    let ingest =
        Ingest::start_with(Setup { refuse_key: Some("NetStream.Publish.BadName"), ..Setup::default() })
            .unwrap();
    let file = tempfile::tempdir().unwrap();
    let settings = file.path().join("settings.env");
    std::fs::write(&settings, format!("OUTPUT_URL={}\n", ingest.url(KEY))).unwrap();
    let mut broadcast = Launch::new()
        .unwrap()
        .set("RUST_LOG", "trace")
        .arg("--env-file")
        .arg(&settings)
        .play([film("outage", 30_000)])
        .start()
        .unwrap();
    let mut seen = String::new();
    let mut look = |broadcast: &Broadcast| {
        for page in ["/status", "/metrics", "/healthz"] {
            seen += &broadcast.get(page).unwrap().1;
        }
        for process in broadcast.processes() {
            seen += &process.args.join(" ");
            seen += &std::fs::read_to_string(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        }
        seen += &std::fs::read_to_string(format!("/proc/{}/cmdline", broadcast.pid())).unwrap();
    };
    broadcast
        .wait_log(&["WARN", "cannot publish", "the stream key is wrong, or somebody publishes"], 20 * SECOND)
        .unwrap();
    look(&broadcast);
    let welcome = |welcome| ingest.set(Setup { welcome, ..Setup::default() });
    welcome(Welcome::Authenticate("adobe"));
    broadcast
        .wait_log(&["WARN", "cannot publish", "asks for a user name and password"], 20 * SECOND)
        .unwrap();
    look(&broadcast);
    welcome(Welcome::Reject("NetConnection.Connect.InvalidApp", "no application s3cr3t-k3y here"));
    broadcast.wait_log(&["WARN", "cannot publish", "no application *** here"], 20 * SECOND).unwrap();
    look(&broadcast);
    welcome(Welcome::Redirect("http://elsewhere/live/s3cr3t-k3y".to_owned()));
    broadcast
        .wait_log(&["WARN", "cannot publish", "redirects to an address that cannot be used"], 20 * SECOND)
        .unwrap();
    look(&broadcast);
    let elsewhere = Ingest::start().unwrap();
    welcome(Welcome::Redirect(format!("rtmp://127.0.0.1:{}/other/{KEY}", elsewhere.port())));
    broadcast.wait_log(&["the server redirects to", "/other/***"], 20 * SECOND).unwrap();
    until_media(&elsewhere, 1, 1000);
    look(&broadcast);
    broadcast.stop().unwrap();
    seen += &broadcast.log();
    let mut kept: Vec<PathBuf> = vec![broadcast.dir().to_owned()];
    while let Some(path) = kept.pop() {
        if path.is_dir() {
            kept.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            seen += &String::from_utf8_lossy(&std::fs::read(path).unwrap());
        }
    }
    assert!(seen.contains("tgs_on_air") && seen.contains("ffmpeg") && seen.contains("publisher"));
    let at = seen.find(KEY);
    assert_eq!(at, None, "{}", &seen[at.unwrap_or(0).saturating_sub(200)..][..300]);
}

#[test]
fn rtmps_comes_back_too_and_a_foreign_certificate_is_refused() {
    let ingest = Ingest::start().unwrap();
    let authority = Authority::new().unwrap();
    let certificate = authority.certificate("server", "IP:127.0.0.1", Validity::Now).unwrap();
    let terminator = Stunnel::start(&certificate, ingest.port()).unwrap();
    let launch = |ca: PathBuf| {
        let launch = Launch::to(terminator.url("127.0.0.1", "key")).unwrap();
        launch.set("SSL_CERT_FILE", ca).play([film("outage", 30_000)]).start().unwrap()
    };
    let mut foreign = launch(Authority::new().unwrap().file());
    foreign.wait_log(&["WARN", "cannot publish to rtmps://", "certificate"], 20 * SECOND).unwrap();
    foreign.stop().unwrap();
    let media = |record: &Record| record.media().count();
    assert!(ingest.records().iter().all(|r| media(r) == 0));
    let known = ingest.records().len();
    let mut broadcast = launch(authority.file());
    until_media(&ingest, known + 1, 3000);
    ingest.reset();
    until_media(&ingest, known + 2, 3000);
    broadcast.stop().unwrap();
    ingest.wait_ended(5 * SECOND).unwrap();
    let records = ingest.records();
    goes_on(&records[known], &records[known + 1]);
}
