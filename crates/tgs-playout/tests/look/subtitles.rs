//! Subtitles: text and bitmaps, in the film and beside it.

use std::{fs, path::Path, process::Command, time::SystemTime};

use tgs_core::cancel::Cancel;
use tgs_playout::{
    ffmpeg::{
        EncodeSetup, Processing, draw,
        look::{Look, SubtitleChoice},
        picture::PictureOptions,
        probe,
        ready_subtitles::ReadySubtitles,
    },
    item::MediaPart,
};

use crate::scene::{HEIGHT, Picture, Pictures, WIDTH, encoded, ffmpeg, item, list_of, scene, seconds, setup};

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
