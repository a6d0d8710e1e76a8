//! Further outputs: whatever happens at one, the main output and a healthy one stay unbroken.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use tgs_control::{
    ControlClient, OnAir, OutputListing, OutputStatus, PublisherState,
    method::{Call, NoParams, OutputParams, StopParams},
};
use tgs_e2e::{
    broadcast::{Broadcast, Launch},
    clips::noisy,
    flvcheck::Report,
    ingest::{Ingest, Record, Setup},
    nginx::{Nginx, Options},
    proxies::{BlockedNetwork, INGEST, NetworkSide, PROXIES, ProxyServer, USER},
    throttle::Throttle,
};
use tgs_rtmp::flv::{Kind, Tag};

const SECOND: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_mins(1);
const KEY: &str = "s3cr3t-k3y";

/// Plays a film to `main` over and over, and to these outputs.
fn launch(dir: &Path, main: &Ingest, outputs: &[(&str, String)]) -> Launch {
    // Longer than a test: no picture comes twice.
    let film: PathBuf = noisy("outputs", 60_000).path().unwrap();
    let outputs: Vec<_> = outputs.iter().map(|(name, url)| format!("{name}={url}")).collect();
    let launch = Launch::to(main.url("main")).unwrap().keeping(dir).play([film]);
    launch.set("ALSO_OUTPUT_URLS", outputs.join(" ")).set("RUST_LOG", "debug")
}

fn control(broadcast: &Broadcast, dir: &Path) -> ControlClient {
    let socket = dir.join("state/control.sock");
    broadcast.until("the socket", LIMIT, || ControlClient::connect(&socket, "test").ok()).unwrap()
}

/// Waits until `output list` shows the output `name` as `such` says.
fn until(
    broadcast: &Broadcast,
    client: &mut ControlClient,
    name: &str,
    such: impl Fn(&OutputStatus) -> bool,
) {
    let mut look = || {
        let listing: OutputListing = client.get(&Call::OutputList(NoParams {})).unwrap();
        listing.outputs.into_iter().find(|output| output.name == name && such(output))
    };
    broadcast.until(&format!("a state of {name}"), LIMIT, &mut look).unwrap();
}

fn is_connected(output: &OutputStatus) -> bool {
    output.publisher == PublisherState::Connected
}

/// Waits until the newest of `count` connections has brought so many ms of media.
fn until_media(ingest: &Ingest, count: usize, millis: u32) {
    let newest = |record: &Record| record.media().last().map_or(0, |media| media.received.timestamp);
    let enough = |records: &[Record]| records.len() == count && newest(&records[count - 1]) >= millis;
    ingest.wait("media", LIMIT, enough).unwrap();
}

/// Asserts that a connection brought one unbroken stream from 0 on: header, then a keyframe.
fn is_unbroken(record: &Record) {
    let tags: Vec<_> = record.tags().collect();
    let frame = tags.iter().find(|tag| tag.is_frame()).unwrap();
    assert!(tags[0].is_sequence_header() && tags[0].timestamp == 0, "{:?}", tags[0].timestamp);
    assert!(frame.is_keyframe() && frame.timestamp == 0, "{:?}", frame.timestamp);
    Report::of_tags(&tags).check(30.0, 44_100.0).unwrap();
}

fn pictures(record: &Record) -> Vec<Tag> {
    record.tags().filter(|tag| tag.kind == Kind::Video && tag.is_frame()).collect()
}

/// Asserts that both are unbroken and show the same pictures, from the first of `also` to within a
/// second of the end.
fn show_the_same(main: &Record, also: &Record) {
    Report::of_tags(&main.tags().collect::<Vec<_>>()).check(30.0, 44_100.0).unwrap();
    is_unbroken(also);
    let (main, also) = (pictures(main), pictures(also));
    let at = main.iter().position(|tag| tag.body == also[0].body).unwrap();
    assert!(main[at..].iter().zip(&also).all(|(main, also)| main.body == also.body));
    let missing = (main.len() - at).saturating_sub(also.len());
    assert!(missing <= 30, "{missing} of {} are missing", main.len() - at);
}

/// The servers of the outputs in trouble.
struct Trouble {
    /// Connections are made by the kernel, and nobody reads them.
    hole: TcpListener,
    /// Behind `slow` and `slower`.
    behind: Ingest,
    /// 400 kbit/s of about 1600, which falls behind.
    slow: Throttle,
    /// 64 kbit/s, which stalls.
    slower: Throttle,
    refuses: Ingest,
    silent: Ingest,
    killed: Nginx,
}

impl Trouble {
    fn start() -> Self {
        let behind = Ingest::start().unwrap();
        let refusal = Setup { refuse_key: Some("NetStream.Publish.BadName"), ..Setup::default() };
        Self {
            hole: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(),
            // Not so slow that the window is shut for as long as that of a dead peer.
            slow: Throttle::start(behind.port(), 50_000).unwrap(),
            slower: Throttle::start(behind.port(), 8000).unwrap(),
            behind,
            refuses: Ingest::start_with(refusal).unwrap(),
            silent: Ingest::start_with(Setup { silent_after: Some(100), ..Setup::default() }).unwrap(),
            killed: Nginx::start_with(&Options::default()).unwrap(),
        }
    }

    fn outputs(&self) -> Vec<(&'static str, String)> {
        let local = |port: u16| format!("rtmp://127.0.0.1:{port}/live/{KEY}");
        vec![
            ("hole", local(self.hole.local_addr().unwrap().port())),
            ("slow", local(self.slow.port())),
            ("slower", local(self.slower.port())),
            ("refuses", self.refuses.url(KEY)),
            ("silent", self.silent.url(KEY)),
            ("killed", self.killed.url(KEY)),
        ]
    }
}

#[test]
fn what_happens_at_one_output_touches_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (main, healthy) = (Ingest::start().unwrap(), Ingest::start().unwrap());
    let mut trouble = Trouble::start();
    let mut outputs = trouble.outputs();
    outputs.push(("healthy", healthy.url(KEY)));
    let launch = launch(dir.path(), &main, &outputs).set("VIDEO_BITRATE", "1500k");
    let mut broadcast = launch.start().unwrap();
    let mut client = control(&broadcast, dir.path());

    until(&broadcast, &mut client, "killed", is_connected);
    trouble.killed.wait_recorded(100_000, LIMIT).unwrap();
    trouble.killed.kill().unwrap();
    broadcast.wait_log(&["WARN", "output killed: lost the connection"], LIMIT).unwrap();
    trouble.killed.restart().unwrap();
    until(&broadcast, &mut client, "killed", |it| is_connected(it) && it.reconnects == 1);
    let before = trouble.killed.recorded_bytes().unwrap();
    trouble.killed.wait_recorded(before + 100_000, LIMIT).unwrap();

    let refusal = "the stream key is wrong, or somebody publishes";
    broadcast.wait_log(&["WARN", "output refuses: cannot publish", refusal], LIMIT).unwrap();
    broadcast.wait_log(&["WARN", "output hole: cannot publish", "timed out"], LIMIT).unwrap();
    broadcast.wait_log(&["WARN", "output silent: lost the connection"], LIMIT).unwrap();
    until(&broadcast, &mut client, "slower", |it| it.reconnects >= 1);
    until(&broadcast, &mut client, "slow", |it| it.dropped_seconds >= 1.0);
    for (metric, least) in [
        (r#"tgs_output_connected{output="healthy"}"#, 1.0),
        (r#"tgs_output_sent_bytes_total{output="healthy"}"#, 500_000.0),
        (r#"tgs_output_reconnects_total{output="killed"}"#, 1.0),
        (r#"tgs_output_dropped_seconds_total{output="slow"}"#, 1.0),
    ] {
        assert!(broadcast.metric(metric).unwrap() >= least, "{metric}");
    }
    let mut seen = ["/status", "/metrics", "/healthz"].map(|page| broadcast.get(page).unwrap().1).concat();
    assert_eq!(broadcast.status().unwrap().outputs.len(), 7);
    broadcast.stop().unwrap();
    healthy.wait_ended(5 * SECOND).unwrap();

    show_the_same(&main.record().unwrap(), &healthy.record().unwrap());
    let recorded =
        trouble.killed.recordings().unwrap().into_iter().map(|file| Report::of_file(&file).unwrap());
    let received =
        trouble.behind.records().into_iter().map(|it| Report::of_tags(&it.tags().collect::<Vec<_>>()));
    for report in recorded.chain(received) {
        let times = [&report.video, &report.audio].map(|track| (track.repeated, track.backward));
        assert_eq!(times, [(0, 0); 2], "{report:#?}");
    }
    seen += &broadcast.log();
    assert!(seen.contains("/live/***") && !seen.contains(KEY));
}

#[test]
fn an_output_is_paused_over_restarts_and_follows_stop_and_start() {
    let dir = tempfile::tempdir().unwrap();
    let (main, first, second) =
        (Ingest::start().unwrap(), Ingest::start().unwrap(), Ingest::start().unwrap());
    let outputs = [("first", first.url(KEY)), ("second", second.url(KEY))];
    let mut broadcast = launch(dir.path(), &main, &outputs).start().unwrap();
    let mut client = control(&broadcast, dir.path());
    let named = |name: &str| OutputParams { name: name.to_owned() };
    until_media(&first, 1, 1000);
    until_media(&second, 1, 1000);
    client.call(&Call::OutputPause(named("second"))).unwrap();
    second.wait_ended(5 * SECOND).unwrap();
    until(&broadcast, &mut client, "second", |it| it.paused && !is_connected(it));
    let unknown = client.call(&Call::OutputPause(named("third"))).unwrap_err().to_string();
    assert!(unknown.contains("ALSO_OUTPUT_URLS names first, second"), "{unknown}");

    // A stopped broadcast publishes nothing; a new start is a new stream.
    client.call(&Call::Stop(StopParams { after_current: false })).unwrap();
    first.wait_ended(10 * SECOND).unwrap();
    client.call(&Call::Start(NoParams {})).unwrap();
    until_media(&first, 2, 1000);
    broadcast.stop().unwrap();

    let mut broadcast = launch(dir.path(), &main, &outputs).start().unwrap();
    let mut client = control(&broadcast, dir.path());
    until_media(&first, 3, 1000);
    until(&broadcast, &mut client, "second", |it| it.paused && !is_connected(it));
    assert_eq!(second.records().len(), 1, "a paused output connects");
    client.call(&Call::OutputResume(named("second"))).unwrap();
    until_media(&second, 2, 1000);
    broadcast.stop().unwrap();
    for ingest in [&first, &second] {
        ingest.wait_ended(5 * SECOND).unwrap();
        ingest.records().iter().for_each(is_unbroken);
    }
}

/// Asserts that `later` begins where `earlier` has ended, or before, by the pictures that `all` has
/// received.
fn continues(all: &Record, earlier: &Record, later: &Record) {
    let all = pictures(all);
    let place = |tag: &Tag| all.iter().position(|other| other.body == tag.body);
    let (earlier, later) = (pictures(earlier), pictures(later));
    let (last, first) = (place(earlier.last().unwrap()).unwrap(), place(&later[0]).unwrap());
    assert!(first <= last + 1, "picture {first} follows {last}");
}

#[test]
fn the_programme_goes_on_while_the_main_output_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let (mut main, also) = (Ingest::start().unwrap(), Ingest::start().unwrap());
    let mut broadcast = launch(dir.path(), &main, &[("also", also.url(KEY))]).start().unwrap();
    until_media(&main, 1, 2000);

    // A short outage costs the viewers of the main output nothing.
    main.reset();
    until_media(&main, 2, 2000);

    // A long one continues with the present.
    main.refuse();
    main.reset();
    broadcast.wait_log(&["WARN", "connection to ", " lost"], LIMIT).unwrap();
    let before = also.record().unwrap().media().last().unwrap().received.timestamp;
    until_media(&also, 1, before + 15_000);
    let (code, health) = broadcast.get("/healthz").unwrap();
    assert!(code == 503 && health.contains("connection"), "{code} {health}");
    assert!(broadcast.metric("tgs_on_air").unwrap() < 0.5);
    main.listen().unwrap();
    until_media(&main, 3, 2000);
    broadcast.stop().unwrap();
    also.wait_ended(5 * SECOND).unwrap();

    let (records, also) = (main.records(), also.record().unwrap());
    records.iter().chain([&also]).for_each(is_unbroken);
    continues(&also, &records[0], &records[1]);
    let (last, present) = (pictures(&records[1]), pictures(&records[2]));
    let place = |tag: &Tag| pictures(&also).iter().position(|other| other.body == tag.body).unwrap();
    let missed = place(&present[0]) - place(last.last().unwrap());
    assert!(missed > 10 * 30, "{missed} pictures are missed");
}

#[test]
fn a_slow_main_output_holds_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (behind, also) = (Ingest::start().unwrap(), Ingest::start().unwrap());
    let film: PathBuf = noisy("outputs", 60_000).path().unwrap();
    // Not so slow that the window is shut for as long as that of a dead peer.
    let slow = Throttle::start(behind.port(), 50_000).unwrap();
    let main = format!("rtmp://127.0.0.1:{}/live/{KEY}", slow.port());
    let launch = Launch::to(main).unwrap().keeping(dir.path()).play([film]);
    let launch = launch.set("ALSO_OUTPUT_URLS", format!("also={}", also.url(KEY))).set("VIDEO_BITRATE", "5M");
    let mut broadcast = launch.start().unwrap();
    // The buffers of both ends take half a minute of it first.
    broadcast
        .wait_log(&["WARN", "is slower than the bitrate, and media is skipped there"], 2 * LIMIT)
        .unwrap();
    let last = also.record().unwrap().media().last().unwrap().received.timestamp;
    until_media(&also, 1, last + 2000);
    // The goodbye waits for what is under way.
    slow.set(10_000_000);
    broadcast.stop().unwrap();
    also.wait_ended(5 * SECOND).unwrap();
    is_unbroken(&also.record().unwrap());
    let times = Report::of_tags(&behind.records()[0].tags().collect::<Vec<_>>());
    assert_eq!([&times.video, &times.audio].map(|track| (track.repeated, track.backward)), [(0, 0); 2]);
}

#[test]
fn while_no_output_is_connected_the_programme_waits() {
    let dir = tempfile::tempdir().unwrap();
    let (mut main, mut also) = (Ingest::start().unwrap(), Ingest::start().unwrap());
    let mut broadcast = launch(dir.path(), &main, &[("also", also.url(KEY))]).start().unwrap();
    broadcast.wait_item("outputs", 1, LIMIT).unwrap();
    until_media(&main, 1, 5000);
    until_media(&also, 1, 1000);
    for ingest in [&mut main, &mut also] {
        ingest.refuse();
    }
    for ingest in [&main, &also] {
        ingest.reset();
    }
    broadcast.wait_log(&["WARN", "no output is connected; the programme waits"], LIMIT).unwrap();
    let position = |broadcast: &Broadcast| match broadcast.status().unwrap().engine.on_air {
        OnAir::Item(item) => item.offset_seconds,
        other => panic!("{other:?}"),
    };
    broadcast.wait_log(&["WARN", "output also: cannot publish"], LIMIT).unwrap();
    std::thread::sleep(SECOND);
    let before = position(&broadcast);
    std::thread::sleep(3 * SECOND);
    let after = position(&broadcast);
    assert!((after - before).abs() < 0.001, "{before} s, then {after} s");
    main.listen().unwrap();
    until_media(&main, 2, 2000);
    also.listen().unwrap();
    until_media(&also, 2, 2000);
    broadcast.stop().unwrap();
    main.wait_ended(5 * SECOND).unwrap();
    let records = main.records();
    records.iter().for_each(is_unbroken);
    let film: Vec<Tag> = records.iter().flat_map(pictures).collect();
    let (last, first) = (pictures(&records[0]).pop().unwrap(), pictures(&records[1]).remove(0));
    let place = |tag: &Tag| film.iter().position(|other| other.body == tag.body).unwrap();
    assert!(place(&first) <= place(&last) + 1, "the programme went on");
}

#[test]
fn a_proxy_is_used_by_the_output_that_names_it_and_by_no_other() {
    const PASSWORD: &str = "s3cr3t-pr0xy";
    let network = BlockedNetwork::new().unwrap();
    let behind = Ingest::start().unwrap();
    let proxy = ProxyServer::microsocks(&network, Some((USER, PASSWORD)), None).unwrap();
    network.enter(NetworkSide::Outer).unwrap();
    let (main, direct) = (Ingest::start().unwrap(), Ingest::start().unwrap());
    // Only the proxies can look the name up.
    let url = |app: &str| format!("rtmp://{INGEST}:{}/{app}/{KEY}", behind.port());
    let outputs = [
        ("youtube", url("live")),
        ("direct", direct.url(KEY)),
        ("dead", url("dead")),
        ("blocked", url("blocked")),
    ];
    let dead = format!("socks5://{PROXIES}:9");
    let works = format!("socks5://{}", proxy.address());
    let login = format!("socks5://{USER}:{PASSWORD}@{}", proxy.address());
    let dir = tempfile::tempdir().unwrap();
    let launch = launch(dir.path(), &main, &outputs)
        .set("ALSO_OUTPUT_PROXIES", format!("youtube={dead} youtube={login} dead={dead}"));
    let mut broadcast = launch.start().unwrap();
    let mut client = control(&broadcast, dir.path());
    until(&broadcast, &mut client, "youtube", |it| is_connected(it) && it.proxy.as_ref() == Some(&works));
    until(&broadcast, &mut client, "direct", |it| is_connected(it) && it.proxy.is_none());
    // The proxy that fails is named, with the output that it belongs to.
    let said = format!("the proxy {dead}: {PROXIES}:9 refuses connections");
    broadcast.wait_log(&["WARN", "output dead: cannot publish", &said], LIMIT).unwrap();
    broadcast.wait_log(&["WARN", &format!("{said}; trying the next one")], LIMIT).unwrap();
    let unnamed = format!("cannot look up {INGEST}");
    broadcast.wait_log(&["WARN", "output blocked: cannot publish", &unnamed], LIMIT).unwrap();
    let because = |it: &OutputStatus| match &it.publisher {
        PublisherState::Reconnecting { cause } => *cause == said,
        _ => false,
    };
    until(&broadcast, &mut client, "dead", because);
    until_media(&behind, 1, 3000);
    until_media(&direct, 1, 3000);
    let mut seen = ["/status", "/metrics", "/healthz"].map(|page| broadcast.get(page).unwrap().1).concat();
    broadcast.stop().unwrap();
    behind.wait_ended(5 * SECOND).unwrap();
    show_the_same(&main.record().unwrap(), &behind.record().unwrap());
    show_the_same(&main.record().unwrap(), &direct.record().unwrap());
    let kept = std::fs::read_to_string(dir.path().join("state/proxies")).unwrap();
    assert!(kept.starts_with("output:youtube ") && kept.ends_with(" 1\n"), "{kept}");
    seen += &(broadcast.log() + &kept);
    assert!(seen.contains(&works) && !seen.contains(PASSWORD) && !seen.contains(KEY));
}
