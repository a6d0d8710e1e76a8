//! The channel's look through the whole of tgs-stream: logo and names in what the ingest receives,
//! the call's title in Telegram, and a picture of it without going live.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{fs, path::Path, process::Command, time::Duration};

use serde_json::Value;
use tgs_control::{
    ControlClient,
    method::{Call, TitleParams},
};
use tgs_e2e::{
    bin_path,
    broadcast::{Launch, wrapped_ffmpeg},
    clips::ffmpeg,
    flvcheck::Report,
    telegram::Scene,
};
use tgs_testdc::World;

const LIMIT: Duration = Duration::from_mins(1);

/// Makes a blue film with a title, and a red logo, in `dir`.
fn make(dir: &Path, name: &str, title: &str) {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut args = words("-f lavfi -i color=0x2040c0:s=640x360:r=30:d=6 -f lavfi -i sine=d=6 -shortest");
    args.extend(words("-c:v libx264 -preset ultrafast -c:a aac -metadata"));
    args.push(format!("title={title}"));
    ffmpeg(&args, &dir.join(name)).unwrap();
    let logo = words("-f lavfi -i color=red:s=64x64 -frames:v 1");
    ffmpeg(&logo, &dir.join("logo.png")).unwrap();
}

/// The pixel at (x, y) of a picture file, and the number of white ones in its lower third.
fn look_at(file: &Path, at: &str, width: usize, (x, y): (usize, usize)) -> ([u8; 3], usize) {
    let done = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(file)
        .args(["-ss", at, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
        .output()
        .unwrap();
    let pixels = done.stdout;
    assert!(pixels.len() > width * 3, "{}", String::from_utf8_lossy(&done.stderr));
    let found = |x: usize, y: usize| [0, 1, 2].map(|plane| pixels[(y * width + x) * 3 + plane]);
    let height = pixels.len() / 3 / width;
    let lower = &pixels[height * 2 / 3 * width * 3..];
    let white = lower.chunks_exact(3).filter(|pixel| pixel.iter().all(|plane| *plane > 180)).count();
    (found(x, y), white)
}

fn is_red([r, g, b]: [u8; 3]) -> bool {
    r > 180 && g < 60 && b < 60
}

#[test]
fn a_preview_shows_what_is_aired() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), "it's a film.mp4", "Заголовок");
    let tool = bin_path::build("tgs-stream").unwrap();
    let preview = |at: &str, output: &str| {
        Command::new(&tool)
            .current_dir(dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", dir.path())
            .envs([
                ("LOGO", "logo.png"),
                ("NOW_PLAYING", "overlay"),
                ("NOW_PLAYING_FOR", "2s"),
                ("VIDEO_QUALITY", "480p"),
            ])
            .args(["--preview", "it's a film.mp4", "--at", at, "--output", output])
            .output()
            .unwrap()
    };
    for (at, names) in [("00:01.5", true), ("4s", false)] {
        let done = preview(at, "out.png");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let (logo, white) = look_at(&dir.path().join("out.png"), "0", 854, (854 - 19 - 20, 19 + 20));
        assert!(is_red(logo), "{logo:?}");
        assert_eq!(white > 200, names, "{at}: {white}");
    }
    fs::write(dir.path().join("diary.png"), "dear diary").unwrap();
    for (at, output, says) in [
        ("1", "out.flv", "a preview is a PNG file"),
        ("1", "diary.png", "is not a PNG file"),
        ("1", "logo.png", "it is also LOGO"),
        ("soon", "new.png", "write 00:10"),
        ("1:00", "new.png", "it ends after 6.0 s"),
    ] {
        let done = preview(at, output);
        let text = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && text.contains(says), "{output}: {text}");
    }
    assert!(!dir.path().join("new.png").exists());
}

#[test]
fn logo_names_and_title_reach_the_viewers_and_an_operators_title_wins() {
    let mut scene = Scene::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), "a.mp4", "First");
    make(dir.path(), "b.mp4", "Second");
    scene.set("LOGO", &dir.path().join("logo.png").display().to_string()).unwrap();
    scene.set("NOW_PLAYING", "both").unwrap();
    scene.set("NOW_PLAYING_FOR", "3s").unwrap();
    scene.set("VIDEO_QUALITY", "480p").unwrap();
    let launch = scene.launch().unwrap().play([dir.path().join("a.mp4"), dir.path().join("b.mp4")]);
    let mut broadcast = launch.start().unwrap();
    let title = || scene.dc.calls(World::CHANNEL).pop()?.title;
    for wanted in ["First", "Second", "First"] {
        broadcast.until(wanted, LIMIT, || title().filter(|title| title == wanted)).unwrap();
    }
    let socket = scene.env_file().with_file_name("state").join("control.sock");
    let mut client = ControlClient::connect(&socket, "test").unwrap();
    let mut operator = |text: &str| {
        let _: Value = client.get(&Call::TitleSet(TitleParams { text: text.into() })).unwrap();
    };
    operator("By hand");
    broadcast.until("the operator's title", LIMIT, || title().filter(|title| title == "By hand")).unwrap();
    // It stays through the next items.
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(title().as_deref(), Some("By hand"));
    operator("");
    broadcast.until("the item's title", LIMIT, || title().filter(|title| title != "By hand")).unwrap();
    broadcast.stop().unwrap();
    // What viewers got: the names for 3 s, then none. On a busy machine the filler comes first.
    let record = scene.ingest.records().remove(0);
    let file = dir.path().join("received.flv");
    record.write_flv(&file).unwrap();
    let seen = |at: u32| look_at(&file, &at.to_string(), 854, (854 - 19 - 20, 19 + 20));
    let begun = (0..60).find(|at| seen(*at).1 > 100).unwrap();
    let (logo, _) = seen(begun);
    assert!(is_red(logo), "{logo:?}");
    let (logo, white) = seen(begun + 4);
    assert!(is_red(logo) && white == 0, "{logo:?} {white}");
}

#[test]
fn an_item_plays_without_the_subtitles_on_which_its_encoder_fails() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), "film.mp4", "Film");
    fs::write(dir.path().join("film.ru.srt"), "1\n00:00:00,500 --> 00:00:05,000\nПривет\n").unwrap();
    let script = "case \"$*\" in *ass@text=subtitles-*) exit 1 ;; *) exec \"$REAL\" \"$@\" ;; esac";
    let tools = tempfile::tempdir().unwrap();
    let tool = wrapped_ffmpeg(tools.path(), script).unwrap();
    let launch = Launch::to("out.flv").unwrap().set("SUBTITLES", "ru").set("FFMPEG_PATH", tool);
    let broadcast = launch.arg("--once").play([dir.path().join("film.mp4")]).finish(LIMIT).unwrap();
    let warnings = broadcast.warnings();
    assert!(
        warnings.iter().any(|line| line.contains("going on without its subtitles or cover art")),
        "{warnings:?}"
    );
    let report = Report::of_file(&broadcast.dir().join("out.flv")).unwrap();
    assert!(report.video.last >= 5_900, "{report:?}");
}
