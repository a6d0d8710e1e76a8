//! What viewers get of the live stream, as Telegram tells their apps (VIEWER_CHECK).

use std::{
    cell::Cell,
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use tgs_control::{ViewerCheckStatus, ViewerPicture};
use tgs_e2e::{
    broadcast::Broadcast,
    clips::ffmpeg,
    ingest::Record,
    telegram::{Scene, stream_part},
};
use tgs_testdc::{Fault, When, World};

use crate::harness::{LIMIT, calls, count, end, health, live, metric, start};

const AGE: &str = "tgs_viewer_live_edge_age_seconds";

fn viewer_check(broadcast: &Broadcast) -> Option<ViewerCheckStatus> {
    broadcast.status().ok()?.telegram?.viewer_check
}

/// Has the test DC serve viewers what the ingest receives, until `stop` is set.
fn relay(scene: &Scene, stop: &AtomicBool) {
    let newest = Cell::new(None);
    while !stop.load(Ordering::Relaxed) {
        let before = newest.get();
        let is_newer = |records: &[Record]| {
            let last = records.last().and_then(|record| record.media().last());
            newest.set(last.map(|message| message.received.timestamp));
            newest.get() != before
        };
        // In time for `stop`, also while nothing arrives.
        let _ = scene.ingest.wait("newer media", Duration::from_millis(200), is_newer);
        scene.dc.set_last_frame(World::CHANNEL, newest.get().map(|ms| i64::from(ms) + 1_700_000_000_000));
    }
}

#[test]
fn a_picture_that_stands_still_for_viewers_is_noticed() {
    let mut scene = Scene::new().unwrap();
    scene.set("VIEWER_CHECK", "1").unwrap();
    let mut broadcast = start(&scene);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| relay(&scene, &stop));
        live(&scene, 1);
        broadcast
            .until("the viewers' picture", LIMIT, || viewer_check(&broadcast).filter(|it| it.arrives))
            .unwrap();
        health(&broadcast, 200, "ok");
        // In the call as a silent listener, by one request.
        assert_eq!(scene.dc.count("phone.joinGroupCall"), 1);
        let viewers = || broadcast.status().ok()?.telegram?.viewers.filter(|viewers| *viewers == 1);
        broadcast.until("the account among the viewers", LIMIT, viewers).unwrap();
        assert_eq!(metric(&broadcast, "tgs_viewers"), 1);
        assert!(broadcast.metric(AGE).unwrap() < 10.0);
        stop.store(true, Ordering::Relaxed);
    });
    // The ingest still takes everything.
    let noticed = || {
        let (code, text) = broadcast.get("/healthz").ok()?;
        (code == 503 && text.starts_with("viewers get nothing new for 3")).then_some(())
    };
    broadcast.until("/healthz 503", LIMIT * 2, noticed).unwrap();
    broadcast.wait_metric(AGE, 30.0, LIMIT).unwrap();
    end(&scene, &mut broadcast);
}

fn part(media: &Path) -> Vec<u8> {
    stream_part(&fs::read(media).unwrap())
}

/// A second of what the ingest has received, as viewers get it.
fn received(scene: &Scene, dir: &Path) -> Vec<u8> {
    let (whole, second) = (dir.join("whole.flv"), dir.join("second.mp4"));
    scene.ingest.records().last().unwrap().write_flv(&whole).unwrap();
    let args = ["-ss", "2", "-i", whole.to_str().unwrap(), "-t", "1", "-c", "copy"];
    ffmpeg(&args.map(str::to_owned), &second).unwrap();
    part(&second)
}

#[test]
fn a_picture_that_only_viewers_see_black_is_noticed() {
    let mut scene = Scene::new().unwrap();
    scene.set("VIEWER_CHECK", "1").unwrap();
    let mut broadcast = start(&scene);
    let enough = |records: &[Record]| {
        records
            .last()
            .and_then(|record| record.media().last())
            .is_some_and(|last| last.received.timestamp > 4000)
    };
    scene.ingest.wait("four seconds", LIMIT, enough).unwrap();
    let dir = tempfile::tempdir().unwrap();
    // What viewers get goes on, however long the looks at it take.
    let began = Instant::now();
    let go_on = || scene.dc.set_last_frame(World::CHANNEL, Some(4000 + began.elapsed().as_millis() as i64));
    go_on();
    scene.dc.set_part(World::CHANNEL, &received(&scene, dir.path()));
    let sees = |what: &str, picture| {
        let seen = || {
            go_on();
            viewer_check(&broadcast).filter(|it| it.picture == Some(picture))
        };
        broadcast.until(what, LIMIT, seen).unwrap();
    };
    sees("the picture that was sent", ViewerPicture::Good);
    let black = dir.path().join("black.mp4");
    let args =
        ["-f", "lavfi", "-i", "color=black:s=320x180:d=1", "-f", "lavfi", "-i", "anullsrc", "-shortest"];
    ffmpeg(&args.map(str::to_owned), &black).unwrap();
    scene.dc.set_part(World::CHANNEL, &part(&black));
    sees("the black picture", ViewerPicture::Black);
    go_on();
    health(&broadcast, 503, "viewers get a black picture");
    let (_, page) = broadcast.get("/metrics").unwrap();
    assert!(page.contains("tgs_viewer_picture{state=\"black\"} 1"), "{page}");
    scene.dc.set_part(World::CHANNEL, b"not a part");
    let failed = || {
        go_on();
        viewer_check(&broadcast)?.failure.filter(|why| why.contains("no part of a stream"))
    };
    broadcast.until("the failed look", LIMIT, failed).unwrap();
    scene.dc.set_part(World::CHANNEL, &received(&scene, dir.path()));
    sees("the picture again", ViewerPicture::Good);
    end(&scene, &mut broadcast);
}

#[test]
fn trouble_with_the_check_is_no_trouble_with_the_session() {
    let mut scene = Scene::new().unwrap().with_standby().unwrap();
    // Bob's DC is not the one that viewers get the stream from.
    let session = scene.dc.new_session(World::BOB, 1).telethon_string();
    scene.set("SESSION_STRING", &session).unwrap();
    scene.set("CHAT_ID", &format!("-100{}", World::ELSEWHERE)).unwrap();
    scene.set("SESSION_REGEN", "off").unwrap();
    scene.set("VIEWER_CHECK", "1").unwrap();
    let channels = "phone.getGroupCallStreamChannels";
    let refused = scene.dc.fault(Fault::named("AUTH_KEY_UNREGISTERED"), When::method(channels));
    let mut broadcast = start(&scene);
    live(&scene, 1);
    let failed = || viewer_check(&broadcast)?.failure.filter(|why| why.contains("AUTH_KEY_UNREGISTERED"));
    broadcast.until("the failed check", LIMIT, failed).unwrap();
    assert!(scene.dc.count("auth.exportAuthorization") > 0 && scene.dc.count("auth.importAuthorization") > 0);
    scene.dc.clear_fault(refused);
    scene.dc.set_last_frame(World::ELSEWHERE, Some(5000));
    broadcast.until("an answer", LIMIT, || viewer_check(&broadcast).filter(|it| it.arrives)).unwrap();
    assert_eq!(metric(&broadcast, "tgs_session_valid"), 1);
    health(&broadcast, 200, "ok");
    // Telegram wants to be left alone with it for an hour.
    scene.dc.fault(Fault::named("FLOOD_WAIT_3600"), When::method(channels));
    let flooded = || viewer_check(&broadcast)?.failure.filter(|why| why.contains("FLOOD_WAIT"));
    broadcast.until("the flood wait", LIMIT, flooded).unwrap();
    let (asked, checks) = (scene.dc.count(channels), scene.dc.count("phone.getGroupCall"));
    broadcast
        .until("more checks", LIMIT, || (scene.dc.count("phone.getGroupCall") > checks + 3).then_some(()))
        .unwrap();
    assert_eq!(scene.dc.count(channels), asked);
    assert_eq!(count(&broadcast, "viewer check: failed to"), 2, "{}", broadcast.log());
    end(&scene, &mut broadcast);
}

#[test]
fn a_scheduled_live_stream_is_started_when_it_is_due() {
    let scene = Scene::new().unwrap();
    scene.dc.schedule_rtmp(World::CHANNEL, 15);
    let mut broadcast = start(&scene);
    health(&broadcast, 503, "waiting_call: failed to start the live stream: it is scheduled for ");
    assert_eq!(scene.dc.count("phone.startScheduledGroupCall"), 0);
    broadcast.wait_log(&["scheduled live stream started"], LIMIT).unwrap();
    live(&scene, 1);
    health(&broadcast, 200, "ok");
    assert_eq!((calls(&scene).len(), scene.dc.count("phone.createGroupCall")), (1, 0));
    assert_eq!(scene.dc.count("phone.startScheduledGroupCall"), 1);
    end(&scene, &mut broadcast);
}
