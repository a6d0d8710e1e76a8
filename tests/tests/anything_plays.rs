//! Whatever ffmpeg can decode plays, in one even stream: written to a file as fast as it is
//! encoded.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tgs_e2e::{
    broadcast::{Broadcast, Launch},
    clips::{self, Clip, PLAIN, clip},
    flvcheck::{Report, alignment},
    full_length, tools,
};

const FRAME: f64 = 1.0 / 30.0;

/// B-frames put a picture's sending this much before its showing, in s.
const REORDERED: f64 = 2.0 * FRAME;

/// Plays `sources` once into a file of the broadcast's own directory.
fn played(sources: &[PathBuf]) -> (Broadcast, PathBuf) {
    let broadcast =
        Launch::to("out.flv").unwrap().play(sources).arg("--once").finish(Duration::from_mins(4)).unwrap();
    let out = broadcast.dir().join("out.flv");
    (broadcast, out)
}

fn paths(clips: &[Clip]) -> Vec<PathBuf> {
    clips.iter().map(|clip| clip.path().unwrap()).collect()
}

/// One unbroken stream of the profile, as long as `items` together within a frame each.
fn checked(out: &Path, items: &[PathBuf]) -> Report {
    let report = Report::of_file(out).unwrap();
    report.check(30.0, 44_100.0).unwrap();
    let length = report.video.frames as f64 / 30.0;
    let due: f64 = items.iter().map(|item| duration(item)).sum();
    assert!((length - due).abs() < FRAME * items.len() as f64, "{length} s instead of {due} s");
    // At the very end an encoder of sound rounds up to whole packets, twice.
    let surplus = report.audio.last as f64 / 1000.0 - length;
    assert!(surplus.abs() < 0.1, "{surplus} s more sound than picture");
    report
}

#[test]
fn many_items_stay_in_step() {
    let count = full_length(50, 200);
    // Lengths and rates off every grid, so that each join falls differently.
    let clips = [
        clip("step25", (320, 180), "25", 48_000, 1370),
        clip("step30", (320, 180), "30000/1001", 44_100, 1290),
        clip("step24", (320, 180), "24", 22_050, 1410),
    ];
    let list: Vec<PathBuf> = paths(&clips).into_iter().cycle().take(count).collect();
    let (broadcast, out) = played(&list);
    assert_eq!(broadcast.warnings(), [""; 0]);
    let report = Report::of_file(&out).unwrap();
    report.check(30.0, 44_100.0).unwrap();
    let measured = alignment(&out).unwrap();
    // One flash and one beep each.
    assert_eq!(measured.offsets.len(), count, "{measured:?}");
    let (low, high) = measured.range().unwrap();
    assert!(low > -40.0 && high < 40.0, "{low} to {high} ms");
    let half = measured.offsets.len() / 2;
    let mean = |part: &[(f64, f64)]| part.iter().map(|(_, o)| o).sum::<f64>() / part.len() as f64;
    let (first, second) = (mean(&measured.offsets[..half]), mean(&measured.offsets[half..]));
    assert!((first - second).abs() < 5.0, "it drifts: {first} ms, then {second} ms");
}

#[test]
fn every_kind_of_clip_plays() {
    let clips = clips::every_kind();
    let list = paths(&clips);
    let (broadcast, out) = played(&list);
    assert_eq!(broadcast.warnings(), [""; 0]);
    let report = checked(&out, &list);
    let measured = alignment(&out).unwrap();
    // The last picture of one clip belongs to a flash whose beep is cut off.
    assert!(measured.silent_flashes.len() <= 1 && measured.dark_beeps.is_empty(), "{measured:?}");
    assert_eq!(measured.offsets.len(), 2 * clips.len());
    // Where a clip has few pictures a second, its flash is that coarse.
    let coarse = |clip: &Clip| if matches!(clip.name, "square5" | "variable-rate") { 0.1 } else { 0.0 };
    let mut begins = REORDERED;
    for ((clip, path), flashes) in clips.iter().zip(&list).zip(measured.offsets.chunks(2)) {
        let allowed = FRAME * 1.5 + coarse(clip);
        for (time, offset) in flashes {
            assert!(offset.abs() < 40.0 + 1000.0 * coarse(clip), "{}: {offset} ms at {time} s", clip.name);
        }
        let (flash, _) = flashes[0];
        assert!(
            (flash - begins - 1.0).abs() < allowed,
            "{} began at {begins} and flashed at {flash} s",
            clip.name
        );
        // By the keyframe, so that what is rounded does not add up.
        let begun = keyframe_before(&report, flash, clip.name);
        begins = begun + duration(path);
    }
}

/// The moment at which the item is seen to begin that flashes first at `flash` s, which must be a
/// keyframe's: clips flash first after one second.
fn keyframe_before(report: &Report, flash: f64, name: &str) -> f64 {
    let times = report.keyframes.iter().map(|&ms| ms as f64 / 1000.0 + REORDERED);
    let nearest = times.min_by(|a, b| (a - flash + 1.0).abs().total_cmp(&(b - flash + 1.0).abs())).unwrap();
    assert!(
        (nearest - flash + 1.0).abs() < FRAME * 1.1,
        "{name}: flash at {flash}, nearest keyframe {nearest} s"
    );
    nearest
}

fn near(times: &[f64], due: f64) -> bool {
    times.iter().any(|time| (time - due).abs() < FRAME * 1.5)
}

#[test]
fn missing_picture_or_sound_is_filled_to_the_full_length() {
    let clips = clips::uneven();
    let plain = PLAIN.path().unwrap();
    // A plain clip behind each shows where it ended.
    let list: Vec<PathBuf> = paths(&clips).into_iter().flat_map(|path| [path, plain.clone()]).collect();
    let (broadcast, out) = played(&list);
    assert_eq!(broadcast.warnings(), [""; 0]);
    let report = checked(&out, &list);
    let measured = alignment(&out).unwrap();
    assert!(measured.offsets.iter().all(|(_, offset)| offset.abs() < 40.0), "{measured:?}");
    let flashes: Vec<f64> = measured.offsets.iter().map(|o| o.0).collect();
    let mut at = REORDERED;
    for clip in &clips {
        let video = clip.video.as_ref().map(|v| v.millis);
        let sound = clip.audio.as_ref().map(|a| a.millis);
        let seconds = f64::from(video.max(sound).unwrap()) / 1000.0;
        for second in 1..seconds as u32 {
            let due = at + f64::from(second);
            let within = |stream: Option<u32>| stream.is_some_and(|s| s > second * 1000);
            let found = match (within(video), within(sound)) {
                (true, true) => near(&flashes, due),
                (true, false) => near(&measured.silent_flashes, due),
                (false, true) => near(&measured.dark_beeps, due),
                (false, false) => true,
            };
            assert!(found, "{}: nothing at its second {second} ({due} s): {measured:?}", clip.name);
        }
        at += seconds;
        let flash = flashes.iter().copied().find(|flash| (flash - at - 1.0).abs() < 0.2);
        let flash = flash.unwrap_or_else(|| panic!("the clip behind {}: {measured:?}", clip.name));
        assert!((flash - at - 1.0).abs() < FRAME * 1.5, "{} did not take {seconds} s", clip.name);
        at = keyframe_before(&report, flash, clip.name) + 3.0;
    }
}

#[test]
fn covers_and_subtitles_are_ignored_and_footage_plays() {
    let mut list = vec![clips::with_extras().unwrap(), clips::with_cover().unwrap()];
    list.extend(tools::footage().unwrap());
    list.push(PLAIN.path().unwrap());
    let (broadcast, out) = played(&list);
    assert_eq!(broadcast.warnings(), [""; 0]);
    checked(&out, &list);
    let measured = alignment(&out).unwrap();
    let flashes: Vec<f64> = measured.offsets.iter().map(|o| o.0).collect();
    let [first, second] = [1.0, 2.0].map(|at| at + REORDERED);
    assert!(near(&flashes, first) && near(&flashes, second), "{measured:?}");
    // No flash to the beeps: the slate is shown, whose middle is dark.
    let [first, second] = [first, second].map(|at| at + duration(&list[0]));
    assert!(near(&measured.dark_beeps, first) && near(&measured.dark_beeps, second), "{measured:?}");
}

/// The length in s, by ffprobe.
fn duration(path: &Path) -> f64 {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// A picture of `shown` size and `stored` size (with pixels that are not square the two differ),
/// grey, with a white square in the upper left quarter of what is shown; to be turned by `rotation`
/// when it is shown.
fn picture(dir: &Path, name: &str, stored: (u32, u32), shown: (u32, u32), rotation: u16) -> PathBuf {
    let (w, h) = shown;
    let side = w.min(h) / 4;
    // Laid down turned the other way where a player turns it.
    let back = match rotation {
        90 => ",transpose=cclock",
        180 => ",hflip,vflip",
        270 => ",transpose=clock",
        _ => "",
    };
    let (sw, sh) = stored;
    // Display aspect as it is, whatever the stored size.
    let aspect = if rotation.is_multiple_of(180) { format!("{w}/{h}") } else { format!("{h}/{w}") };
    let source = format!(
        "color=c=gray:s={w}x{h}:r=25,format=gray,drawbox=x={}:y={}:w={side}:h={side}:c=white:t=fill{back},\
         scale={sw}:{sh}:flags=area,setdar={aspect}",
        w / 8,
        h / 8
    );
    let out = dir.join(format!("{name}.mp4"));
    let codec = "-c:v libx264 -preset ultrafast -pix_fmt yuv444p -t 1".split(' ').map(str::to_owned);
    let args: Vec<String> =
        ["-f".into(), "lavfi".into(), "-i".into(), source].into_iter().chain(codec).collect();
    clips::ffmpeg(&args, &out).unwrap();
    if rotation != 0 {
        clips::rotate(&out, stored, rotation).unwrap();
    }
    out
}

/// The smallest upright rectangle around the pixels that are `such`: left, top, right, bottom
/// (inclusive).
fn around(pixels: &[u8], width: usize, such: impl Fn(u8) -> bool) -> [usize; 4] {
    let hits = pixels.iter().enumerate().filter(|(_, p)| such(**p)).map(|(i, _)| (i % width, i / width));
    hits.fold([usize::MAX, usize::MAX, 0, 0], |[l, t, r, b], (x, y)| [l.min(x), t.min(y), r.max(x), b.max(y)])
}

#[test]
fn pictures_of_any_shape_are_fitted_and_padded_never_stretched() {
    const OUT: (usize, usize) = (640, 360);
    let dir = tempfile::tempdir().unwrap();
    // Name, stored size, shown size, rotation.
    let cases = [
        ("wide", (640, 360), (640, 360), 0),
        ("larger", (1920, 1080), (1920, 1080), 0),
        ("old-television", (640, 480), (640, 480), 0),
        ("cinema", (960, 402), (960, 402), 0),
        ("portrait", (360, 640), (360, 640), 0),
        ("square", (300, 300), (300, 300), 0),
        ("ribbon", (640, 64), (640, 64), 0),
        ("tower", (64, 640), (64, 640), 0),
        ("odd", (641, 361), (641, 361), 0),
        ("dvd-wide", (720, 576), (1024, 576), 0),
        ("dvd-narrow", (720, 576), (768, 576), 0),
        ("squeezed-down", (640, 720), (1280, 720), 0),
        ("turned-90", (640, 360), (360, 640), 90),
        ("turned-180", (640, 360), (640, 360), 180),
        ("turned-270", (640, 360), (360, 640), 270),
    ];
    let list: Vec<PathBuf> = cases
        .iter()
        .map(|&(name, stored, shown, rotation)| picture(dir.path(), name, stored, shown, rotation))
        .collect();
    let (broadcast, out) = played(&list);
    assert_eq!(broadcast.warnings(), [""; 0]);
    checked(&out, &list);
    // One picture from the middle of each second.
    let raw = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&out)
        .args(["-vf", "select='not(mod(n-15,30))',format=gray", "-vsync", "0", "-f", "rawvideo", "-"])
        .output()
        .unwrap()
        .stdout;
    assert_eq!(raw.len(), cases.len() * OUT.0 * OUT.1);
    for ((name, _, shown, _), pixels) in cases.iter().zip(raw.chunks(OUT.0 * OUT.1)) {
        let [left, top, right, bottom] = around(pixels, OUT.0, |p| p > 60);
        let (width, height) = ((right + 1 - left) as f64, (bottom + 1 - top) as f64);
        let (w, h) = (f64::from(shown.0), f64::from(shown.1));
        let scale = (OUT.0 as f64 / w).min(OUT.1 as f64 / h);
        // Sizes are even, so that two pixels may be missing; the encoder blurs an edge by one.
        let close = |a: f64, b: f64| (a - b).abs() <= 4.0;
        assert!(close(width, w * scale) && close(height, h * scale), "{name}: {width} by {height}");
        let (right_bar, bottom_bar) = (OUT.0 - 1 - right, OUT.1 - 1 - bottom);
        assert!(left.abs_diff(right_bar) <= 4 && top.abs_diff(bottom_bar) <= 4, "{name}: not in the middle");
        let white = around(pixels, OUT.0, |p| p > 185).map(|n| n as f64);
        let extent = (white[2] + 1.0 - white[0], white[3] + 1.0 - white[1]);
        let side = w.min(h) / 4.0 * scale;
        assert!(close(extent.0, side) && close(extent.1, side), "{name}: {white:?} is no square of {side}");
        let corner = (left as f64 + w / 8.0 * scale, top as f64 + h / 8.0 * scale);
        assert!(
            close(white[0], corner.0) && close(white[1], corner.1),
            "{name}: {white:?}, not at {corner:?}"
        );
    }
}

#[test]
fn names_are_only_names() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("a folder; with 'quotes' & $signs");
    std::fs::create_dir(&folder).unwrap();
    let long = "x".repeat(251);
    // Text that ffmpeg, a shell, its filters, its numbered files or the log could take for more
    // than a name.
    let names = [
        "with space",
        " begins and ends with space ",
        "qu'ote",
        "double\"quote",
        "-y",
        "--help",
        "line\nbreak",
        "back\\slash",
        "concat:a|b",
        "http:__x",
        "%03d",
        "%{pts} [0:v]; 'x',y=z",
        "star*?[a]",
        "#comment",
        "Ünïcödé — 日本語 🎬",
        "عربى",
        &long,
    ];
    let clip = clip("short", (320, 180), "30", 44_100, 300);
    // Without a picture the name is drawn on the slate.
    let sound = Clip { name: "short-sound-only", ext: "m4a", video: None, ..clip.clone() };
    for name in names {
        clip.copy_to(&folder.join(format!("{name}.mp4"))).unwrap();
        sound.copy_to(&folder.join(format!("{name}.m4a"))).unwrap();
    }
    // Relative to where it is started, a name that begins with a dash among them.
    clip.copy_to(&folder.join("-i")).unwrap();
    let out = dir.path().join("out.flv");
    let broadcast = Launch::to(&out)
        .unwrap()
        .within(&folder)
        .set("STATE_DIR", dir.path().join("state"))
        .arg("--once")
        .play(["--", "-i", ".", "-y.mp4"])
        .finish(Duration::from_mins(2))
        .unwrap();
    assert_eq!(broadcast.warnings(), [""; 0]);
    let on_air = broadcast.lines().iter().filter(|line| line.text.contains("on air: ")).count();
    // The folder holds all of them, and "-i" once more.
    assert_eq!(on_air, 2 * names.len() + 1 + 2, "{}", broadcast.log());
    for name in names {
        let shown = name.trim().replace('\n', " ");
        assert!(broadcast.log().contains(&format!("on air: {shown}")), "{shown}: {}", broadcast.log());
    }
    let report = Report::of_file(&out).unwrap();
    report.check(30.0, 44_100.0).unwrap();
    let seconds = report.video.frames as f64 / 30.0;
    assert!((seconds - 0.3 * on_air as f64).abs() < 3.0, "{seconds} s");
}
