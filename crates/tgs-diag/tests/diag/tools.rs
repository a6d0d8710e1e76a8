//! ffmpeg, yt-dlp and the playlist, with the real programs; and the whole against a real broadcast.

use std::{fs, os::unix::fs::symlink};

use tgs_e2e::{bin_path, clips, telegram::Scene, tools};

use crate::harness::Home;

/// PASS, or WARN where the machine is too busy to encode in real time.
const WORKS: &str = "";

#[test]
fn ffmpeg_and_its_arguments() {
    let mut home = Home::new();
    let said = home.run(&["--offline"]);
    said.has("PASS", "ffmpeg", "ffmpeg version ")
        .has("PASS", "ffprobe", "")
        .has("PASS", "ffmpeg-encoders", "libx264 and aac")
        .has(WORKS, "ffmpeg-args", "360p (FFMPEG_ARGS is not set) ");
    home.set("FFMPEG_ARGS", "-preset ultrafast -b:v 600k");
    home.run(&["--offline"]).has(WORKS, "ffmpeg-args", "360p with FFMPEG_ARGS ");
    home.set("FFMPEG_ARGS", "-c:v mpeg4");
    home.run(&["--offline"]).has("FAIL", "ffmpeg-args", "ffmpeg refuses them").has(
        "FAIL",
        "ffmpeg-args",
        "-> fix or remove",
    );
    home.set("PUBLISHER", "ffmpeg");
    assert_eq!(home.run(&["--offline"]).of("ffmpeg-rtmps").len(), 1);
    home.set("FFMPEG_PATH", "no-such-ffmpeg");
    let said = home.run(&["--offline"]);
    said.has("FAIL", "ffmpeg", "no-such-ffmpeg is not found in PATH").has(
        "FAIL",
        "ffmpeg",
        "apt-get install ffmpeg",
    );
    // What another program of that name says is no version.
    home.set("FFMPEG_PATH", "/bin/false");
    home.run(&["--offline"]).has("FAIL", "ffmpeg", "/bin/false does not run");
    let cache = home.path().join("cache");
    assert!(!cache.exists(), "the trial has left something in {}", cache.display());
}

#[test]
fn yt_dlp_tells_about_itself() {
    let mut home = Home::new();
    home.set("YTDLP_PATH", tools::yt_dlp().unwrap().to_str().unwrap());
    let said = home.run(&["--offline"]);
    said.has("PASS", "yt-dlp", "version stable@20").has("", "yt-dlp-age", "days old").has(
        "PASS",
        "ejs",
        "yt-dlp-ejs ",
    );
    assert_eq!(said.of("javascript").len(), 1);
    home.set("YTDLP_PATH", "no-such-yt-dlp");
    home.run(&["--offline"]).has("WARN", "yt-dlp", "no-such-yt-dlp is not found");
    fs::write(home.path().join("playlist.txt"), "https://example.org/watch\n").unwrap();
    let said = home.run(&["--offline"]);
    said.has("FAIL", "yt-dlp", "the playlist names pages").has("WARN", "playlist", "--offline");
}

#[test]
fn entries_that_cannot_be_played() {
    let _ = bin_path::tgs_stream();
    let mut home = Home::new();
    // Whatever else is wrong.
    home.set("API_HASH", "short");
    home.set("LOOP", "maybe");
    let list = home.path().join("playlist.txt");
    clips::clip("diag", (320, 180), "25", 44_100, 1000).copy_to(&home.path().join("good.mp4")).unwrap();
    fs::write(home.path().join("bad.mp4"), "no film").unwrap();
    fs::write(&list, "good.mp4\nbad.mp4\ngone.mp4\ngood.mp4\n").unwrap();
    let said = home.run(&["--offline"]);
    let found = said.of("playlist");
    // One list, one verdict.
    let [found] = &found[..] else { panic!("{found:#?}") };
    let name = list.display();
    let looked = format!("FAIL playlist: all 4 entries of {name} were checked; 2 can be played; ");
    assert!(found.starts_with(&format!("{looked}entry 2 cannot be played: bad ")), "{found}");
    assert!(found.contains("; entry 3 cannot be played: gone "), "{found}");
    // The list's whole path: the command works in any directory.
    let whole = home.remedy("tgs-stream", &format!("--check --playlist {name}"));
    assert!(found.ends_with(&format!("this checks the whole list: {whole}")), "{found}");
    fs::write(&list, "good.mp4\n").unwrap();
    home.run(&["--offline"]).has("PASS", "playlist", "all 1 entries");
    fs::remove_file(&list).unwrap();
    home.run(&["--offline"]).has("FAIL", "playlist", "playlist.txt cannot be read");
}

#[test]
fn beside_a_real_broadcast() {
    let mut scene = Scene::new().unwrap();
    let dir = scene.env_file().parent().unwrap().to_owned();
    clips::clip("diag", (320, 180), "25", 44_100, 1000).copy_to(&dir.join("a.mp4")).unwrap();
    fs::write(dir.join("playlist.txt"), "a.mp4\n").unwrap();
    scene.set("STATE_DIR", dir.join("state").to_str().unwrap()).unwrap();
    scene.set("CACHE_DIR", dir.join("cache").to_str().unwrap()).unwrap();
    scene.set("PROMETHEUS_PORT", "0").unwrap();
    scene.set("PLAYLIST", dir.join("playlist.txt").to_str().unwrap()).unwrap();
    let broadcast = scene.launch().unwrap().start().unwrap();
    scene
        .ingest
        .wait("a picture", std::time::Duration::from_secs(40), |records| {
            records.iter().any(|record| record.media().count() > 50)
        })
        .unwrap();
    let home = Home::new();
    symlink(scene.env_file(), home.path().join("linked.env")).unwrap();
    let said = home.run(&["--env-file", "linked.env"]);
    said.has("PASS", "session", "tgs-stream (pid ")
        .has("PASS", "session", "account Alice")
        .has("PASS", "chat", "Demo channel")
        .has("PASS", "call", "live")
        .has("PASS", "ingest", "connected")
        .has("PASS", "broadcast", "on air")
        .has("PASS", "port", "answers at")
        .has("PASS", "playlist", "1 can be played");
    assert_eq!(said.failing(), [""; 0], "{}", said.out);
    assert_eq!(said.code, Some(0));
    // What tgs-diag alone asks for.
    assert_eq!(scene.dc.count("account.getAuthorizations"), 0);
    scene.no_secret_in(&broadcast).unwrap();
    let pid = broadcast.pid();
    let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    assert!(exe.ends_with("tgs-stream"), "it has ended: {exe:?}");
}
