//! Notifications as systemd receives them; and that a service waits where a terminal gets an error.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    time::{Duration, Instant},
};

use tgs_e2e::{broadcast::Launch, clips::clip, ingest::Ingest};

const LIMIT: Duration = Duration::from_secs(30);

/// Waits for a datagram with `words`; all that came until then.
fn notifications(systemd: &UnixDatagram, words: &str) -> Vec<String> {
    let end = Instant::now() + LIMIT;
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    while Instant::now() < end {
        if let Ok(length) = systemd.recv(&mut buffer) {
            all.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            if all.last().is_some_and(|last| last.contains(words)) {
                return all;
            }
        }
    }
    panic!("no {words:?} in {all:#?}");
}

/// The share with the list is mounted later than the tool is started: ready at once, the filler on
/// air, then the list from where it was left.
#[test]
fn a_list_that_comes_late_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let systemd = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    systemd.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let list = dir.path().join("share/list.txt");
    let ingest = Ingest::start().unwrap();
    let launch = || {
        let launch = Launch::to(ingest.url("key")).unwrap().keeping(dir.path());
        launch
            .set("NOTIFY_SOCKET", dir.path().join("notify"))
            .set("PLAYLIST", &list)
            .set("WATCHDOG_USEC", "4000000")
    };
    // The second one goes on over the stop.
    let clips = [("first", 4000), ("second", 30_000)];
    let clips = clips.map(|(name, millis)| clip(name, (320, 180), "30", 44_100, millis).path().unwrap());
    let text = clips.each_ref().map(|path| format!("{}\n", path.display())).concat();

    let mut broadcast = launch().start().unwrap();
    let first = notifications(&systemd, "READY=1");
    assert!(!first.iter().any(|words| words.contains("STATUS=playing")), "{first:?}");
    notifications(&systemd, "STATUS=filler: nothing to play, last failure: ");
    notifications(&systemd, "WATCHDOG=1");
    assert!(broadcast.log().contains("; waiting for it\n"), "{}", broadcast.log());
    fs::create_dir(list.parent().unwrap()).unwrap();
    fs::write(&list, &text).unwrap();
    notifications(&systemd, "STATUS=playing first");
    notifications(&systemd, "STATUS=playing second");
    broadcast.stop().unwrap();
    notifications(&systemd, "STOPPING=1");

    // The position outlives a start without the list.
    fs::rename(&list, dir.path().join("away")).unwrap();
    let again = launch().start().unwrap();
    notifications(&systemd, "STATUS=filler: nothing to play, last failure: ");
    fs::rename(dir.path().join("away"), &list).unwrap();
    let played = notifications(&systemd, "STATUS=playing");
    assert!(played.last().unwrap().contains("STATUS=playing second"), "{played:?}\n{}", again.log());
}
