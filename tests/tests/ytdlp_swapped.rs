//! An update of yt-dlp while the broadcast is on air: the next item is asked of the new version,
//! and viewers see nothing.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, Instant},
};

use tgs_e2e::{
    broadcast::{Launch, executable, until},
    clips::clip,
    ingest::Ingest,
    tools,
    web::{Page, Web},
};

const LIMIT: Duration = Duration::from_secs(40);

/// A version as tgs-ytdlp-update leaves it, which notes each question and has the real yt-dlp
/// answer it.
fn version(root: &Path, version: &str) {
    let dir = root.join("versions").join(version);
    fs::create_dir_all(dir.join("bin")).unwrap();
    let real = tools::yt_dlp().unwrap();
    let script = format!("#!/bin/sh\necho {version} >> \"$TMPDIR/asked\"\nexec {} \"$@\"", real.display());
    executable(&dir.join("bin/yt-dlp"), &script).unwrap();
    fs::write(dir.join("tgs-version"), format!("{version}\n")).unwrap();
}

fn swap(root: &Path, version: &str) {
    symlink(Path::new("versions").join(version), root.join("new")).unwrap();
    fs::rename(root.join("new"), root.join("current")).unwrap();
}

#[test]
fn the_next_item_is_asked_of_the_new_version() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ytdlp");
    for name in ["2026.1.1", "2026.2.2"] {
        version(&root, name);
    }
    swap(&root, "2026.1.1");
    let film = fs::read(clip("swapped", (320, 180), "30", 44_100, 8000).path().unwrap()).unwrap();
    let page = |n| Page::Whole(format!("<html><title>{n}</title><video src='/v.mp4'></video></html>").into());
    let web = Web::serve([("/v.mp4", Page::Whole(film)), ("/1", page(1)), ("/2", page(2)), ("/3", page(3))])
        .unwrap();
    let ingest = Ingest::start().unwrap();
    let launch = Launch::to(ingest.url("key")).unwrap().play(["/1", "/2", "/3"].map(|path| web.url(path)));
    let launch = launch.set("YTDLP_PATH", root.join("current/bin/yt-dlp")).keeping(dir.path());
    let broadcast = launch.start().unwrap();

    let asked = dir.path().join("state/scratch/asked");
    let notes = || fs::read_to_string(&asked).unwrap_or_default();
    broadcast.wait_item("", 1, LIMIT).unwrap();
    let info = |version: &str| format!("tgs_ytdlp_info{{version=\"{version}\"}} 1\n");
    assert!(broadcast.get("/metrics").unwrap().1.contains(&info("2026.1.1")));
    swap(&root, "2026.2.2");
    let swapped = Instant::now();
    assert!(notes().contains("2026.1.1") && !notes().contains("2026.2.2"), "{}", notes());
    until("a question to the new version", LIMIT, || notes().contains("2026.2.2").then_some(())).unwrap();
    let (_, metrics) = broadcast.get("/metrics").unwrap();
    assert!(metrics.contains(&info("2026.2.2")) && !metrics.contains("2026.1.1"), "{metrics}");
    // What it answered is on air, over the one connection.
    broadcast.wait_item("", 3, LIMIT).unwrap_or_else(|error| panic!("{error}, {:?}", swapped.elapsed()));
    // A machine that is too busy for yt-dlp bridges the wait, which is another matter.
    let warnings: Vec<_> =
        broadcast.warnings().into_iter().filter(|line| !line.contains("filler on air")).collect();
    assert_eq!(warnings, [] as [String; 0]);
    assert_eq!(ingest.records().len(), 1);
}
