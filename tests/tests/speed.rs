//! A file is written as fast as it is encoded; viewers get theirs in real time, with a bounded
//! read-ahead.

use std::time::Duration;

use tgs_e2e::{broadcast::Launch, clips::clip, flvcheck::Report, ingest::Ingest};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn once_into_a_file_is_written_without_pacing() {
    let long = clip("killed", (320, 180), "30", 44_100, 30_000).path().unwrap();
    let broadcast = Launch::to("out.flv").unwrap().arg("--once").play([&long]).finish(60 * SECOND).unwrap();
    let took = broadcast.began.elapsed();
    assert!(took < 20 * SECOND, "{took:?} for 30 s");
    assert_eq!(Report::of_file(&broadcast.dir().join("out.flv")).unwrap().video.frames, 900);
}

#[test]
fn a_file_is_paced_where_that_is_asked_for() {
    let short = clip("paced", (320, 180), "30", 44_100, 6000).path().unwrap();
    let broadcast = Launch::to("out.flv")
        .unwrap()
        .arg("--once")
        .arg("--realtime")
        .play([&short])
        .finish(60 * SECOND)
        .unwrap();
    let took = broadcast.began.elapsed();
    assert!(took > 5 * SECOND, "{took:?} for 6 s");
    assert!(Report::of_file(&broadcast.dir().join("out.flv")).unwrap().video.frames >= 180);
}

/// It would come from the cache at the speed of the disk, and fill it.
#[test]
fn a_file_of_a_list_that_repeats_is_paced() {
    let short = clip("paced", (320, 180), "30", 44_100, 6000).path().unwrap();
    let mut broadcast = Launch::to("out.flv").unwrap().play([&short]).start().unwrap();
    broadcast.wait_metric("tgs_output_media_seconds_total", 13.0, 60 * SECOND).unwrap();
    let took = broadcast.began.elapsed();
    assert!(took > 11 * SECOND, "{took:?} for 13 s");
    broadcast.stop().unwrap();
}

#[test]
fn the_read_ahead_is_bounded_and_shown() {
    let long = clip("killed", (320, 180), "30", 44_100, 30_000).path().unwrap();
    for (setting, seconds) in [(None, 4.0), (Some("8s"), 8.0)] {
        let ingest = Ingest::start().unwrap();
        let launch = Launch::to(ingest.url("key")).unwrap().play([&long]);
        let launch = setting.into_iter().fold(launch, |launch, value| launch.set("READ_AHEAD", value));
        let mut broadcast = launch.start().unwrap();
        broadcast.wait_metric("tgs_readahead_seconds", seconds - 0.5, 30 * SECOND).unwrap();
        let sent =
            || ingest.records().iter().filter_map(|r| r.media().last().map(|m| m.received.timestamp)).max();
        let begun = sent().unwrap_or(0);
        let mut most = 0.0_f64;
        // Read while two more seconds are published, since the encoder would be far ahead in that
        // time.
        while sent().unwrap_or(0) < begun + 2000 {
            most = most.max(broadcast.metric("tgs_readahead_seconds").unwrap());
            assert!(broadcast.began.elapsed() < 60 * SECOND, "nothing is sent");
        }
        assert!(most <= seconds + 0.5, "{most} s");
        broadcast.stop().unwrap();
    }
}
