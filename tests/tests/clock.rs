//! Clocks that run over: after 4 h 39 m a time stamp needs RTMP's extended field, after 49 days it
//! begins anew.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::NamedTempFile;
use tgs_e2e::{
    broadcast::{Broadcast, Launch, until},
    clips::clip,
    flvcheck::Report,
    ingest::Ingest,
    nginx::{Nginx, free_port},
};
use tgs_rtmp::flv::Tag;

const SECOND: Duration = Duration::from_secs(1);

/// Media before the moment at which the clock runs over, in ms: time for a player to come.
const BEFORE: u64 = 12_000;

/// Media altogether, in ms.
const LENGTH: u64 = 18_000;

fn broadcast(url: &str, first: u64) -> Broadcast {
    Launch::to(url)
        .unwrap()
        .arg("--once")
        .arg(format!("--first-timestamp={first}"))
        .play([clip("clock", (320, 180), "30", 44_100, LENGTH as u32).path().unwrap()])
        .start()
        .unwrap()
}

/// ffmpeg as it plays (or, with `-listen 1`, as it serves), and the file in which it notes each
/// packet.
struct Player {
    child: Child,
    notes: NamedTempFile,
}

fn player(options: &[&str], url: &str) -> Player {
    let notes = NamedTempFile::new().unwrap();
    let child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "ffmpeg", "-nostdin", "-v", "error", "-copyts"])
        .args(options)
        .args(["-i", url, "-map", "0:v", "-c", "copy", "-flush_packets", "1", "-f", "framecrc", "-"])
        .stdin(Stdio::null())
        .stdout(notes.reopen().unwrap())
        .spawn()
        .unwrap();
    Player { child, notes }
}

impl Player {
    /// The decoding times of the pictures that it was sent, in ms.
    fn times(&self) -> Vec<i64> {
        let text = std::fs::read_to_string(self.notes.path()).unwrap();
        // The last line may be half written.
        let whole = &text[..text.rfind('\n').unwrap_or(0)];
        let packets = whole.lines().filter(|line| !line.starts_with('#'));
        packets.map(|line| line.split(',').nth(1).unwrap().trim().parse().unwrap()).collect()
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // It may have ended with its stream.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a player has had `least` ms of pictures, and asserts that they came evenly.
fn even(player: &Player, least: u64) {
    let enough = || Some(player.times()).filter(|times| times.len() as u64 * 1000 / 30 >= least);
    let times = until("the player", 10 * SECOND, enough)
        .unwrap_or_else(|e| panic!("{e}, which had {:?}", player.times()));
    for step in times.windows(2) {
        assert!((33..=34).contains(&(step[1] - step[0])), "from {} to {}", step[0], step[1]);
    }
}

/// Broadcasts across the moment `over` to our recorder, to nginx with a player, and to ffmpeg.
fn goes_on_past(over: u64) {
    let first = over - BEFORE;
    let (ingest, nginx) = (Ingest::start().unwrap(), Nginx::start().unwrap());
    let listener = format!("rtmp://127.0.0.1:{}/live/key", free_port().unwrap());
    let server = player(&["-listen", "1"], &listener);
    let to = [ingest.url("key"), nginx.url("key"), listener];
    let broadcasts = to.map(|url| broadcast(&url, first));
    nginx.wait_recorded(1000, 20 * SECOND).unwrap();
    let watcher = player(&[], &nginx.url("key"));
    for mut broadcast in broadcasts {
        assert!(broadcast.wait(60 * SECOND).unwrap().success());
        assert!(!broadcast.log().contains("lost"), "{}", broadcast.log());
    }
    ingest.wait_ended(5 * SECOND).unwrap();
    let record = ingest.record().unwrap();
    // On the wire there are 32 bits.
    let tags: Vec<Tag> = record
        .tags()
        .map(|tag| Tag { timestamp: tag.timestamp + if tag.timestamp < first { 1 << 32 } else { 0 }, ..tag })
        .collect();
    assert_eq!(tags[0].timestamp, first);
    let report = Report::of_tags(&tags);
    report.check(30.0, 44_100.0).unwrap();
    assert!(report.video.last >= over + LENGTH - BEFORE - 100, "{report:?}");
    Report::of_file(&nginx.recording().unwrap()).unwrap().check(30.0, 44_100.0).unwrap();
    even(&server, LENGTH - 100);
    // The player was there before it happened.
    even(&watcher, LENGTH - BEFORE + 1000);
}

#[test]
fn goes_on_past_24_bits() {
    goes_on_past(1 << 24);
}

#[test]
fn goes_on_past_32_bits() {
    goes_on_past(1 << 32);
}
