//! Logos, names and covers.

use std::{fs, path::Path};

use tgs_core::cancel::Cancel;
use tgs_playout::{
    ffmpeg::{
        EncodeJob, EncodeSetup,
        look::{Corner, Logo, LogoFile, Look, LowerThird, TextForm},
        probe,
    },
    item::{ListedNames, MediaPart},
};

use crate::scene::{HEIGHT, WIDTH, encoded, ffmpeg, item, list_of, pictures_of, scene, seconds, setup};

const BLUE: [i32; 3] = [0x20, 0x40, 0xc0];

fn logo(dir: &Path, name: &str, opacity: f64) -> Logo {
    let file = LogoFile(dir.join(name));
    Logo { file, corner: Corner::TopRight, height: 0.4, opacity, margin: 0.1, copy: None }
}

fn with_logo(dir: &Path, logo: Logo) -> EncodeSetup {
    let plain = setup(dir, Look::default());
    let logo = Some(logo.prepared(&plain, &Cancel::new()).unwrap());
    setup(dir, Look { logo, ..Look::default() })
}

#[test]
fn a_logo_is_mixed_by_its_opacity_and_its_alpha_and_ends_no_item() {
    let dir = scene();
    let dir = dir.path();
    // Red to the left, invisible to the right.
    let half = "color=0xff0000:s=100x100,format=rgba,geq=r='r(X,Y)':g='0':b='0':a='255*lt(X,50)'";
    ffmpeg(dir, &["-f", "lavfi", "-i", half, "-frames:v", "1", "logo.png"]);
    let setup = with_logo(dir, logo(dir, "logo.png", 0.5));
    let shown = encoded(&setup, &item(dir, "film.mp4", 0.0, MediaPart::default()));
    let picture = shown.at(1.0);
    // 72 pixels wide and high, 18 from the edges: the left half from 230 to 266.
    let mixed = [0x8f, 0x20, 0x60];
    assert!(picture.is(248, 54, mixed), "{:?}", picture.pixel(248, 54));
    for (x, y) in [(285, 54), (220, 54), (248, 8), (248, 100), (20, 54)] {
        assert!(picture.is(x, y, BLUE), "{x},{y}: {:?}", picture.pixel(x, y));
    }
    assert_eq!(shown.count(), 120);
    // The entry says that it has no logo.
    let hidden = MediaPart { no_logo: true, ..MediaPart::default() };
    assert!(encoded(&setup, &item(dir, "film.mp4", 0.0, hidden)).at(1.0).is(248, 54, BLUE));
    // A still, and sound alone.
    ffmpeg(dir, &["-f", "lavfi", "-i", "color=0x2040c0:s=320x180", "-frames:v", "1", "still.png"]);
    ffmpeg(dir, &["-f", "lavfi", "-i", "sine=d=2", "tone.wav"]);
    for name in ["still.png", "tone.wav"] {
        let shown = encoded(&setup, &item(dir, name, 0.0, MediaPart::default()));
        assert!(shown.count().abs_diff(60) <= 2, "{name}: {}", shown.count());
        assert!(shown.at(1.0).pixel(248, 54)[0] > 100, "{name}");
    }
    let whole = encoded(
        &with_logo(dir, logo(dir, "logo.png", 1.0)),
        &item(dir, "film.mp4", 0.0, MediaPart::default()),
    );
    assert!(whole.at(3.9).is(248, 54, [255, 0, 0]), "{:?}", whole.at(3.9).pixel(248, 54));
}

#[test]
fn a_moving_logo_repeats_until_the_item_ends() {
    let dir = scene();
    let dir = dir.path();
    // Half a second of red, half a second of green.
    let graph = "color=red:s=60x60:r=10:d=0.5[a];color=0x00ff00:s=60x60:r=10:d=0.5[b];[a][b]concat";
    ffmpeg(dir, &["-f", "lavfi", "-i", graph, "logo.gif"]);
    ffmpeg(dir, &["-f", "lavfi", "-i", graph, "-plays", "0", "-f", "apng", "logo.png"]);
    ffmpeg(dir, &["-f", "lavfi", "-i", graph, "-c:v", "libx264", "-pix_fmt", "yuv444p", "logo.mp4"]);
    for name in ["logo.gif", "logo.png", "logo.mp4"] {
        let setup = with_logo(dir, logo(dir, name, 1.0));
        let shown = encoded(&setup, &item(dir, "film.mp4", 0.0, MediaPart::default()));
        assert_eq!(shown.count(), 120, "{name}");
        for (at, red) in [(0.24, true), (0.76, false), (2.24, true), (3.76, false)] {
            let [r, g, _] = shown.at(at).pixel(266, 54);
            assert_eq!((r > 150, g > 150), (red, !red), "{name} at {at}: {r} {g}");
        }
    }
}

#[test]
fn a_file_without_a_picture_is_no_logo() {
    let dir = scene();
    fs::write(dir.path().join("logo.png"), "dear diary").unwrap();
    for (name, why) in [("logo.png", "ffmpeg cannot convert it"), ("gone.png", "cannot read it")] {
        let plain = setup(dir.path(), Look::default());
        let error = logo(dir.path(), name, 1.0).prepared(&plain, &Cancel::new()).unwrap_err().to_string();
        assert!(error.contains(why), "{name}: {error}");
    }
}

/// Texts in many scripts. Each pair looks different only if it is shaped.
const SCRIPTS: [(&str, &str, &str); 7] = [
    ("Cyrillic", "Привет, мир", "Привет, мiр"),
    ("Arabic", "سلام", "س\u{200c}ل\u{200c}ا\u{200c}م"),
    ("Hebrew", "שלום", "םולש"),
    ("Devanagari", "क्ष", "क्\u{200c}ष"),
    ("Thai", "สวัสดี", "สวสด"),
    ("Chinese", "你好世界", "世界你好"),
    ("emoji", "☺☹", "☹☺"),
];

#[test]
fn every_script_is_drawn_and_shaped_within_the_safe_area() {
    let dir = scene();
    let setup = setup(dir.path(), Look::default());
    let slate = |text: &str| pictures_of(&setup, &EncodeJob::slate(&setup, text, seconds(1.0)));
    for (script, one, other) in SCRIPTS {
        let drawn = slate(one);
        assert_eq!(drawn.count(), 30, "{script}");
        let (count, [left, top, right, bottom]) = drawn.at(0.5).white();
        assert!(count > 15, "{script}: {count} pixels");
        assert!(left >= 16 && right < WIDTH - 16 && top >= 9 && bottom < HEIGHT - 9, "{script}");
        assert_ne!(drawn.at(0.5).0, slate(other).at(0.5).0, "{script}");
    }
    for long in ["Очень длинное название ".repeat(14), "W".repeat(300), "長い題名".repeat(75)]
    {
        let (count, [left, top, right, bottom]) = slate(&long).at(0.5).white();
        assert!(count > 200, "{long}: {count}");
        assert!(
            left >= 16 && right < WIDTH - 16 && top >= 9 && bottom < HEIGHT - 9,
            "{long}: {left} {top} {right} {bottom}"
        );
    }
}

fn lower_third(form: &str) -> Look {
    let third = LowerThird { length: seconds(1.5), form: TextForm::parse(form).unwrap() };
    Look { lower_third: Some(third), ..Look::default() }
}

#[test]
fn the_names_are_shown_at_the_beginning_of_an_item_only() {
    let dir = scene();
    let dir = dir.path();
    let setup = setup(dir, lower_third("{title} — {artist}"));
    let part = MediaPart {
        listed: Box::new(ListedNames {
            title: Some("Песня {\\b1}".into()), artist: Some("Артист".into())
        }),
        ..MediaPart::default()
    };
    let shown = encoded(&setup, &item(dir, "film.mp4", 0.0, part.clone()));
    let (count, [left, top, right, bottom]) = shown.at(1.2).white();
    assert!(count > 60, "{count}");
    assert!(
        left >= 10 && top > 120 && right < WIDTH - 16 && bottom < HEIGHT - 10,
        "{left} {top} {right} {bottom}"
    );
    // The box behind the text darkens the picture.
    assert!(shown.at(1.2).pixel(left.saturating_sub(2), usize::midpoint(top, bottom))[2] < 0xa0);
    for at in [0.1, 2.5, 3.5] {
        assert_eq!(shown.at(at).white().0, 0, "{at}");
    }
    let resumed = encoded(&setup, &item(dir, "film.mp4", 1.0, part));
    assert_eq!(resumed.at(0.2).white().0, 0);
    // Without a list, the file's tags; without both, its tidied name.
    ffmpeg(
        dir,
        &[
            "-i",
            "film.mp4",
            "-c",
            "copy",
            "-metadata",
            "title=Песня {\\b1}",
            "-metadata",
            "artist=Артист",
            "tagged.mp4",
        ],
    );
    let tagged = encoded(&setup, &item(dir, "tagged.mp4", 0.0, MediaPart::default()));
    assert_eq!(tagged.at(1.2).0, shown.at(1.2).0);
}

#[test]
fn content_that_its_name_hides_is_refused() {
    let dir = scene();
    let probed = |name: &str| {
        let item = item(dir.path(), name, 0.0, MediaPart::default());
        let wanted = setup(dir.path(), Look::default()).wanted();
        probe::probe(Path::new("ffprobe"), &item.media, wanted, &Cancel::new())
    };
    fs::write(dir.path().join("upload.mp4"), list_of(dir.path(), "film.mp4") + "#EXT-X-ENDLIST\n").unwrap();
    let refused = probed("upload.mp4").unwrap_err().to_string();
    assert!(refused.contains("a list of other files (hls)"), "{refused}");
    ffmpeg(dir.path(), &["-i", "film.mp4", "-vn", "-c:a", "libmp3lame", "song.mp3"]);
    ffmpeg(
        dir.path(),
        &["-i", "film.mp4", "-map", "0:a", "-map", "0:v", "-c", "copy", "-f", "mp4", "cover.jpg"],
    );
    assert_eq!(probed("song.mp3").unwrap().cover, None, "a film as cover art");
    fs::write(dir.path().join("cover.jpg"), list_of(dir.path(), "film.mp4")).unwrap();
    assert_eq!(probed("song.mp3").unwrap().cover, None, "a list as cover art");
    ffmpeg(dir.path(), &["-i", "film.mp4", "-frames:v", "1", "-y", "cover.jpg"]);
    assert!(probed("song.mp3").unwrap().cover.is_some());
}
