//! What is drawn over items, as it comes out of the encoder: pixels, not filter names.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use tgs_core::cancel::Cancel;
use tgs_playout::{
    ffmpeg::{
        EncodeJob, EncodeSetup, ExtraArgs, Processing, draw,
        look::{Corner, Logo, LogoFile, Look, LowerThird, SubtitleChoice, TextForm},
        picture::PictureOptions,
        probe,
        ready_subtitles::ReadySubtitles,
        setup::FONT_FILE,
    },
    item::{Item, ListedNames, Media, MediaPart},
    profile::Profile,
};

const WIDTH: usize = 320;
const HEIGHT: usize = 180;
const PROFILE: Profile = Profile { width: 320, height: 180, video_kbps: 1500, ..Profile::P720 };

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn ffmpeg(dir: &Path, args: &[&str]) {
    let done = Command::new("ffmpeg")
        .current_dir(dir)
        .args(["-v", "error", "-nostdin", "-y"])
        .args(args)
        .output()
        .unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A directory with `film.mp4`: four seconds of blue, and a tone.
fn scene() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let source = "color=0x2040c0:s=320x180:r=25:d=4";
    let matrix = "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p";
    ffmpeg(
        dir.path(),
        &[
            "-f",
            "lavfi",
            "-i",
            source,
            "-f",
            "lavfi",
            "-i",
            "sine=d=4",
            "-vf",
            matrix,
            "-colorspace",
            "bt709",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-c:a",
            "aac",
            "film.mp4",
        ],
    );
    fs::create_dir(dir.path().join("fonts")).unwrap();
    let font = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/slate.ttf");
    fs::copy(font, dir.path().join(FONT_FILE)).unwrap();
    dir
}

fn setup(dir: &Path, look: Look) -> EncodeSetup {
    EncodeSetup {
        ffmpeg: "ffmpeg".into(),
        ffprobe: "ffprobe".into(),
        profile: PROFILE,
        processing: Processing { look, ..Processing::default() },
        extra: ExtraArgs::default(),
        scratch: dir.to_owned(),
        image_duration: seconds(2.0),
        short_groups: false,
    }
}

/// An item of the file `name`, from `start` on.
fn item(dir: &Path, name: &str, start: f64, part: MediaPart) -> Item {
    let media = Media { part, ..Media::at(format!("file:{}", dir.join(name).display()), false) };
    Item { id: name.into(), turn: 0, title: name.into(), start: seconds(start), media }
}

/// The pictures of an encoded item.
struct Pictures {
    file: PathBuf,
    bytes: Vec<u8>,
}

fn encoded(setup: &EncodeSetup, item: &Item) -> Pictures {
    let wanted = setup.wanted();
    let mut found = probe::probe(Path::new("ffprobe"), &item.media, wanted, &Cancel::new()).unwrap();
    draw::prepare_item(setup, item, &mut found, Some(draw::BRIEF), &Cancel::new());
    let job = EncodeJob::item(item, &found, setup);
    pictures_of(setup, &job)
}

fn pictures_of(setup: &EncodeSetup, job: &EncodeJob) -> Pictures {
    let done = job.command(setup).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let file = setup.scratch.join(format!("out-{}.flv", done.stdout.len()));
    fs::write(&file, &done.stdout).unwrap();
    Pictures { file, bytes: done.stdout }
}

impl Pictures {
    fn count(&self) -> usize {
        let done = Command::new("ffprobe")
            .args(["-v", "error", "-count_packets", "-select_streams", "v"])
            .args(["-show_entries", "stream=nb_read_packets", "-of", "csv=p=0"])
            .arg(&self.file)
            .output()
            .unwrap();
        String::from_utf8_lossy(&done.stdout).trim().trim_end_matches(',').parse().unwrap()
    }

    /// All pictures.
    fn all(&self) -> Vec<Picture> {
        let how =
            "-fps_mode passthrough -vf scale=in_color_matrix=bt709:in_range=tv,format=rgb24 -f rawvideo -";
        let done = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-i"])
            .arg(&self.file)
            .args(how.split(' '))
            .output()
            .unwrap();
        done.stdout.chunks_exact(WIDTH * HEIGHT * 3).map(|picture| Picture(picture.to_vec())).collect()
    }

    /// The picture `at` seconds.
    fn at(&self, at: f64) -> Picture {
        let number = (at * 30.0).round();
        let done = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-i"])
            .arg(&self.file)
            .args([
                "-vf",
                &format!("select=gte(n\\,{number}),scale=in_color_matrix=bt709:in_range=tv,format=rgb24"),
            ])
            .args(["-frames:v", "1", "-f", "rawvideo", "-"])
            .output()
            .unwrap();
        assert_eq!(done.stdout.len(), WIDTH * HEIGHT * 3, "{}", String::from_utf8_lossy(&done.stderr));
        Picture(done.stdout)
    }
}

struct Picture(Vec<u8>);

impl Picture {
    /// The number of white pixels in the lower half.
    fn low_white(&self) -> usize {
        self.0[WIDTH * HEIGHT / 2 * 3..].chunks(3).filter(|rgb| rgb.iter().all(|part| *part > 170)).count()
    }

    fn pixel(&self, x: usize, y: usize) -> [i32; 3] {
        let at = (y * WIDTH + x) * 3;
        [0, 1, 2].map(|plane| i32::from(self.0[at + plane]))
    }

    fn is(&self, x: usize, y: usize, wanted: [i32; 3]) -> bool {
        self.pixel(x, y).iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() <= 14)
    }

    /// The pixels that `like` describes: their number, and the box around them.
    fn find(&self, like: impl Fn([i32; 3]) -> bool) -> (usize, [usize; 4]) {
        let (mut count, mut within) = (0, [WIDTH, HEIGHT, 0, 0]);
        for y in 0..HEIGHT {
            for x in 0..WIDTH {
                if like(self.pixel(x, y)) {
                    count += 1;
                    within = [within[0].min(x), within[1].min(y), within[2].max(x), within[3].max(y)];
                }
            }
        }
        (count, within)
    }

    fn white(&self) -> (usize, [usize; 4]) {
        self.find(|[r, g, b]| r > 170 && g > 170 && b > 170)
    }
}

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

const SRT: &str = "1\n00:00:02,000 --> 00:00:03,000\nПривет, как дела? Ёжик\n";

fn subtitles(languages: &[&str]) -> Look {
    let languages = languages.iter().map(|it| (*it).to_owned()).collect();
    Look { subtitles: SubtitleChoice::Languages(languages), ..Look::default() }
}

/// Asserts that white text stands at the lower edge from 2 s to 3 s of the film.
fn assert_drawn(shown: &Pictures, start: f64, what: &str) {
    let (count, [left, top, right, bottom]) = shown.at(2.5 - start).white();
    assert!(count > 60, "{what}: {count}");
    assert!(top > 110 && bottom < HEIGHT - 4 && left > 8 && right < WIDTH - 8, "{what}");
    for at in [2.0 - start - 0.12, 3.12 - start] {
        assert_eq!(shown.at(at).white().0, 0, "{what} at {at}");
    }
}

#[test]
fn text_beside_the_film_is_drawn_in_any_encoding_and_at_its_time() {
    let dir = scene();
    let dir = dir.path();
    let film = |start: f64, part: MediaPart| {
        encoded(&setup(dir, subtitles(&["ru"])), &item(dir, "film.mp4", start, part))
    };
    fs::write(dir.join("film.en.srt"), SRT.replace("Привет", "Hello")).unwrap();
    assert_eq!(film(0.0, MediaPart::default()).at(2.5).white().0, 0, "English is not asked for");
    fs::write(dir.join("film.ru.srt"), SRT).unwrap();
    let utf8 = film(0.0, MediaPart::default());
    assert_drawn(&utf8, 0.0, "UTF-8");
    let cp1251: Vec<u8> = SRT
        .chars()
        .map(|c| match c {
            'Ё' => 0xa8,
            'А'..='я' => (u32::from(c) - 0x410 + 0xc0) as u8,
            c => c as u8,
        })
        .collect();
    fs::write(dir.join("film.ru.srt"), cp1251).unwrap();
    let other = film(0.0, MediaPart::default());
    assert_eq!(other.bytes.len(), utf8.bytes.len());
    assert_eq!(other.at(2.5).0, utf8.at(2.5).0);
    assert_drawn(&film(1.0, MediaPart::default()), 1.0, "from 1 s on");
    let cut = MediaPart { in_point: seconds(1.0), ..MediaPart::default() };
    assert_drawn(&film(0.4, cut), 1.4, "from an in-point and a start");
}

/// The number in the picture of [`film_of_24`].
fn number(picture: &Picture) -> usize {
    (0..8).map(|bit| usize::from(picture.pixel(bit * 40 + 20, 40)[1] > 128) << bit).sum()
}

/// A film of 24 frames per second and 10 s: numbered pictures, a tone of 1 kHz, and a subtitle from
/// frame 120 to frame 168.
fn film_of_24(dir: &Path) {
    let counter = "color=black:s=320x180:r=24:d=10,format=gray,geq=lum='if(lt(Y\\,90)\\,16+219*mod(floor(N/pow(2\\,floor(X/40)))\\,2)\\,16)'";
    let encode = "-pix_fmt yuv420p -c:v libx264 -preset ultrafast -qp 10 -c:a aac film24.mp4";
    let mut args = vec!["-f", "lavfi", "-i", counter, "-f", "lavfi", "-i", "sine=f=1000:r=48000:d=10"];
    args.extend(encode.split(' '));
    ffmpeg(dir, &args);
    fs::write(dir.join("film24.ru.srt"), SRT.replace("02,000", "05,000").replace("03,000", "07,000"))
        .unwrap();
}

/// How often the sound of `file` crosses zero upwards in a second.
fn pitch(file: &Path) -> f64 {
    let pcm = ["-f", "s16le", "-ac", "1", "-ar", "48000", "-"];
    let done =
        Command::new("ffmpeg").args(["-v", "error", "-nostdin", "-i"]).arg(file).args(pcm).output().unwrap();
    let samples: Vec<i16> =
        done.stdout.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect();
    let rises = samples.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
    rises as f64 / (samples.len() as f64 / 48_000.0)
}

#[test]
fn film_is_sped_up_on_request_with_its_sound_and_subtitles() {
    let dir = scene();
    let dir = dir.path();
    film_of_24(dir);
    let mut setup = setup(dir, subtitles(&["ru"]));
    setup.profile.fps = 25;
    let film = |setup: &EncodeSetup, start: f64, in_point: f64| {
        let part = MediaPart { in_point: seconds(in_point), ..MediaPart::default() };
        encoded(setup, &item(dir, "film24.mp4", start, part))
    };
    let asked_for = EncodeSetup {
        processing: Processing {
            picture: PictureOptions { speed_up: true, ..PictureOptions::default() },
            ..setup.processing.clone()
        },
        ..setup.clone()
    };
    let plain = film(&setup, 0.0, 0.0);
    assert_eq!(plain.count(), 250);
    // From frame 0, from frame 50 by a start of 2 s on air, and from frame 74 by both.
    for (start, in_point, first) in [(0.0, 0.0, 0), (2.0, 0.0, 50), (2.0, 1.0, 74)] {
        let what = format!("from {start} s behind {in_point} s");
        let aired = film(&asked_for, start, in_point);
        assert_eq!(aired.count(), 240 - first, "{what}");
        let pictures: Vec<Picture> = aired.all();
        let numbers: Vec<usize> = pictures.iter().map(number).collect();
        assert_eq!(numbers, (first..240).collect::<Vec<_>>(), "{what}");
        let drawn: Vec<usize> =
            pictures.iter().filter(|picture| picture.low_white() > 20).map(number).collect();
        assert_eq!(drawn, (120..168).collect::<Vec<_>>(), "{what}");
        assert!((pitch(&aired.file) - 1000.0).abs() < 5.0, "{what}: {}", pitch(&aired.file));
    }
}

#[test]
fn text_in_the_film_is_chosen_by_language_and_keeps_its_style() {
    let dir = scene();
    let dir = dir.path();
    fs::write(dir.join("a.srt"), SRT).unwrap();
    let green = "[Script Info]\nPlayResX: 320\nPlayResY: 180\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize, \
                 PrimaryColour, Alignment, Outline\nStyle: G,Sans,40,&H0000FF00,7,0\n[Events]\nFormat: Layer, Start, \
                 End, Style, Text\nDialogue: 0,0:00:00.00,0:00:04.00,G,GREEN\n";
    fs::write(dir.join("b.ass"), green).unwrap();
    let streams = ["-map", "0", "-map", "1", "-map", "2", "-c", "copy"];
    let named =
        ["-metadata:s:s:0", "language=rus", "-metadata:s:s:1", "language=eng", "-disposition:s:1", "forced"];
    ffmpeg(
        dir,
        &[&["-i", "film.mp4", "-i", "a.srt", "-i", "b.ass"][..], &streams, &named, &["it's [a] film,.mkv"]]
            .concat(),
    );
    ffmpeg(
        dir,
        &[
            "-i",
            "film.mp4",
            "-i",
            "a.srt",
            "-c",
            "copy",
            "-c:s",
            "mov_text",
            "-metadata:s:s:0",
            "language=rus",
            "own.mp4",
        ],
    );
    for name in ["it's [a] film,.mkv", "own.mp4"] {
        for start in [0.0, 1.0] {
            let look = subtitles(&["de", "rus"]);
            assert_drawn(
                &encoded(&setup(dir, look), &item(dir, name, start, MediaPart::default())),
                start,
                name,
            );
        }
    }
    let forced = setup(dir, Look { subtitles: SubtitleChoice::Forced, ..Look::default() });
    let shown = encoded(&forced, &item(dir, "it's [a] film,.mkv", 0.0, MediaPart::default()));
    let (count, [_, _, _, bottom]) = shown.at(1.0).find(|[r, g, b]| g > 180 && r < 110 && b < 110);
    assert!(count > 100 && bottom < 60, "{count} to {bottom}");
    let none = encoded(&forced, &item(dir, "own.mp4", 0.0, MediaPart::default()));
    assert_eq!(none.at(2.5).white().0, 0);
}

/// A PGS stream: a white box of 64 by 16 at (100, 140) of a picture of 320 by 180, from 2 s to 3 s.
fn pgs() -> Vec<u8> {
    let segment = |at: u32, kind: u8, body: &[u8]| {
        let mut bytes = b"PG".to_vec();
        bytes.extend((at * 90_000).to_be_bytes());
        bytes.extend([0; 4]);
        bytes.push(kind);
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    };
    let (width, height) = (320_u16.to_be_bytes(), 180_u16.to_be_bytes());
    let composition = |number: u8, state: u8, objects: &[u8], count: u8| {
        let mut body = [width, height].concat();
        body.extend([0x10, 0, number, state, 0, 0, count]);
        body.extend(objects);
        body
    };
    let object = [0, 0, 0, 0, 0, 100, 0, 140];
    let window = [1, 0, 0, 100, 0, 140, 0, 64, 0, 16];
    // Each line: 64 pixels of colour 1, then the end of the line.
    let line = [0x00, 0xc0, 64, 1, 0, 0];
    let pixels: Vec<u8> = line.repeat(16);
    let length = (pixels.len() + 4) as u32;
    let mut picture = vec![0, 0, 0, 0xc0];
    picture.extend(&length.to_be_bytes()[1..]);
    picture.extend([0, 64, 0, 16]);
    picture.extend(pixels);
    [
        segment(2, 0x16, &composition(0, 0x80, &object, 1)),
        segment(2, 0x17, &window),
        segment(2, 0x14, &[0, 0, 1, 235, 128, 128, 255]),
        segment(2, 0x15, &picture),
        segment(2, 0x80, &[]),
        segment(3, 0x16, &composition(1, 0, &[], 0)),
        segment(3, 0x17, &window),
        segment(3, 0x80, &[]),
    ]
    .concat()
}

#[test]
fn bitmaps_are_laid_over_their_place() {
    let dir = scene();
    let dir = dir.path();
    fs::write(dir.join("a.sup"), pgs()).unwrap();
    ffmpeg(
        dir,
        &[
            "-i",
            "film.mp4",
            "-itsoffset",
            "2",
            "-i",
            "a.sup",
            "-map",
            "0",
            "-map",
            "1",
            "-c",
            "copy",
            "-metadata:s:s:0",
            "language=rus",
            "pgs.mkv",
        ],
    );
    for start in [0.0, 1.0] {
        let shown =
            encoded(&setup(dir, subtitles(&["ru"])), &item(dir, "pgs.mkv", start, MediaPart::default()));
        assert!(shown.count() >= 118 - (start * 30.0) as usize, "{}", shown.count());
        let (count, [left, top, right, bottom]) = shown.at(2.5 - start).white();
        assert!(count.abs_diff(64 * 16) < 150, "{start}: {count}");
        let place = [left.abs_diff(100), top.abs_diff(140), right.abs_diff(163), bottom.abs_diff(155)];
        assert!(place.iter().all(|off| *off <= 2), "{start}: {left} {top} {right} {bottom}");
        for at in [1.8 - start, 3.3 - start] {
            assert_eq!(shown.at(at).white().0, 0, "{start}: {at}");
        }
    }
}

/// A list that ffmpeg would follow to another file, if it went by the content.
fn list_of(dir: &Path, name: &str) -> String {
    let path = dir.join(name);
    format!("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:4,\nfile:{}\n", path.display())
}

#[test]
fn a_list_beside_a_film_is_no_subtitles_and_is_not_followed() {
    let dir = scene();
    fs::write(dir.path().join("other.srt"), "1\n00:00:00,000 --> 00:00:04,000\nnot for viewers\n").unwrap();
    ffmpeg(dir.path(), &["-i", "film.mp4", "-i", "other.srt", "-c", "copy", "-c:s", "srt", "other.mkv"]);
    fs::write(dir.path().join("film.ru.srt"), list_of(dir.path(), "other.mkv")).unwrap();
    let setup = setup(dir.path(), subtitles(&["ru"]));
    let item = item(dir.path(), "film.mp4", 0.0, MediaPart::default());
    assert_eq!(encoded(&setup, &item).at(2.0).white().0, 0);
}

#[test]
fn subtitles_that_cannot_be_extracted_are_tried_once() {
    let dir = scene();
    fs::write(dir.path().join("words.srt"), "1\n00:00:00,000 --> 00:00:04,000\nword\n").unwrap();
    ffmpeg(dir.path(), &["-i", "film.mp4", "-i", "words.srt", "-c", "copy", "-c:s", "srt", "a.mkv"]);
    let setup = setup(dir.path(), subtitles(&["ru"]));
    let item = item(dir.path(), "a.mkv", 0.0, MediaPart::default());
    let cancel = Cancel::new();
    let mut found = probe::probe(Path::new("ffprobe"), &item.media, setup.wanted(), &cancel).unwrap();
    found.subtitles[0].index = 9;
    let notes = || {
        let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".failed")).collect::<Vec<_>>()
    };
    for (limit, noted) in [(None, 0), (Some(draw::BRIEF), 1), (Some(draw::LONG), 1), (None, 1)] {
        draw::prepare_item(&setup, &item, &mut found, limit, &cancel);
        assert_eq!((&found.ready_subtitles, notes().len()), (&ReadySubtitles::Failed, noted), "{limit:?}");
    }
    // Hours later it is tried again: the fault may have been a full disk.
    let note = dir.path().join(&notes()[0]);
    let hours_ago = SystemTime::now() - seconds(7200.0);
    fs::File::options().append(true).open(&note).unwrap().set_modified(hours_ago).unwrap();
    draw::prepare_item(&setup, &item, &mut found, Some(draw::BRIEF), &cancel);
    assert!(note.metadata().unwrap().modified().unwrap() > hours_ago, "it is not tried again");
    found.subtitles[0].index = 2;
    draw::prepare_item(&setup, &item, &mut found, Some(draw::BRIEF), &cancel);
    assert!(matches!(found.ready_subtitles, ReadySubtitles::Text { .. }), "{found:?}");
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
