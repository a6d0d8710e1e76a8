//! An unreachable page plays from the cache: the whole engine, into a file.

use std::{fs::File, io::BufReader, path::Path, time::Duration};

use crate::{loopback::Site, programme::config};
use tgs_playout::{
    engine::{self, Control, EngineConfig, RunEnd, Summary},
    ffmpeg::Processing,
    output::Output,
    profile::Profile,
};
use tgs_rtmp::flv::{FlvReader, Tag};
use tgs_stream::playlist::{self, Playlist};

fn play(list: playlist::PlaylistConfig, dir: &Path) -> (Summary, Vec<Tag>) {
    let out = dir.join("out.flv");
    let config = EngineConfig {
        ffmpeg: "ffmpeg".into(),
        ffprobe: "ffprobe".into(),
        profile: Profile { width: 320, height: 180, video_kbps: 200, ..Profile::P720 },
        processing: Processing::default(),
        ffmpeg_args: String::new(),
        output: Output::File(out.clone()),
        read_ahead: Duration::from_secs(4),
        realtime: false,
        filler: None,
        cache_dir: dir.join("cache"),
        cache_limit: 1 << 30,
        cache_ahead: false,
        image_duration: Duration::from_secs(10),
        passthrough: false,
        state_dir: dir.join("state"),
        first_timestamp: 0,
    };
    let list = Playlist::open(list).unwrap();
    let summary = engine::run(config, Box::new(list), &Control::default()).unwrap();
    let mut reader = FlvReader::new(BufReader::new(File::open(out).unwrap()));
    (summary, std::iter::from_fn(|| reader.next_tag().unwrap()).collect())
}

#[test]
fn an_unreachable_page_plays_from_the_cache() {
    let site = Site::new();
    site.clip("v.mp4", "v");
    site.clip("a.m4a", "a");
    let dir = tempfile::tempdir().unwrap();
    let list = || config(&site, "SITE/apart/one\n");
    let (summary, first) = play(list(), dir.path());
    assert_eq!(summary, Summary { played: 1, failed: 0, end: RunEnd::Over });
    // The page answers, but its media are gone: they are not fetched again.
    for file in ["v.mp4", "a.m4a"] {
        std::fs::remove_file(site.dir.path().join(file)).unwrap();
    }
    assert_eq!(play(list(), dir.path()), (summary, first.clone()));
    // The page cannot be reached.
    let deaf = |mut list: playlist::PlaylistConfig| {
        list.resolver.ytdlp.program = "/no/such/yt-dlp".into();
        list
    };
    assert_eq!(play(deaf(list()), dir.path()), (summary, first));
    let unknown = play(deaf(config(&site, "SITE/apart/two\n")), dir.path()).0;
    assert_eq!(unknown, Summary { played: 0, failed: 1, end: RunEnd::Over });
}
