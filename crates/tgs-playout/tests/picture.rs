//! What the picture of each kind of clip looks like on air: played by the whole engine with the
//! real ffmpeg, and decoded again.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tgs_playout::{
    engine::{self, Control, EngineConfig},
    ffmpeg::{
        Processing,
        picture::{AudioPicture, Background, PictureOptions},
    },
    item::{Item, JumpTarget, Media, NextItem, Programme, UpcomingItem},
    output::Output,
    profile::Profile,
};

mod measured;

use measured::{Frame, air_rgb, bars, comb, delta_e, hdr, hue_difference};

const SMALL: Profile = Profile { width: 320, height: 180, video_kbps: 3000, ..Profile::P720 };

/// Plays one file once.
struct Once(Option<PathBuf>);

impl Programme for Once {
    fn next(&mut self) -> NextItem {
        let Some(path) = self.0.take() else { return NextItem::End };
        let media = Media::at(format!("file:{}", path.display()), false);
        let title = path.file_stem().unwrap().to_string_lossy().into_owned();
        let id = path.display().to_string();
        NextItem::Play(Item { id, turn: 0, title, start: Duration::ZERO, media })
    }

    fn confirm(&mut self, item: Item) -> NextItem {
        NextItem::Play(item)
    }

    fn upcoming(&self, _: usize) -> Vec<UpcomingItem> {
        Vec::new()
    }

    fn round_len(&self) -> usize {
        1
    }

    fn jump(&mut self, _: Option<u64>, _: JumpTarget) {}

    fn reload(&mut self) {}
}

fn ffmpeg(args: &[&str]) -> Vec<u8> {
    let done = Command::new("ffmpeg").args(["-v", "error", "-nostdin", "-y"]).args(args).output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// Makes a clip by ffmpeg; `args` are split at spaces.
fn clip(dir: &Path, name: &str, args: &str) -> PathBuf {
    let path = dir.join(name);
    let mut args: Vec<&str> = args.split(' ').filter(|arg| !arg.is_empty()).collect();
    args.push(path.to_str().unwrap());
    ffmpeg(&args);
    path
}

/// Plays `file` as it would be aired, into an FLV file.
fn air(dir: &Path, file: &Path, profile: Profile, picture: PictureOptions) -> PathBuf {
    let out = dir.join(format!("{}.flv", file.file_name().unwrap().to_string_lossy()));
    let config = EngineConfig {
        ffmpeg: "ffmpeg".into(),
        ffprobe: "ffprobe".into(),
        profile,
        processing: Processing { picture, ..Processing::default() },
        ffmpeg_args: String::new(),
        output: Output::File(out.clone()),
        read_ahead: Duration::from_secs(4),
        realtime: false,
        filler: None,
        cache_dir: dir.join("cache"),
        cache_limit: 0,
        cache_ahead: false,
        image_duration: Duration::from_secs(1),
        passthrough: false,
        state_dir: dir.join("state"),
        first_timestamp: 0,
    };
    let summary = engine::run(config, Box::new(Once(Some(file.to_owned()))), &Control::default()).unwrap();
    assert_eq!((summary.played, summary.failed), (1, 0), "{}", file.display());
    out
}

/// The frames on air.
fn frames(dir: &Path, file: &Path, profile: Profile, picture: PictureOptions) -> Vec<Frame> {
    air_rgb(&air(dir, file, profile, picture), &profile)
}

fn frames_of(dir: &Path, file: &Path, profile: Profile) -> Vec<Frame> {
    frames(dir, file, profile, PictureOptions::default())
}

#[test]
fn each_frame_of_25_is_once_on_a_channel_of_25() {
    let dir = tempfile::tempdir().unwrap();
    // The frame's number in eight bits, 40 pixels each.
    let counter =
        "color=black:s=320x180:r=25:d=4,format=gray,geq=lum='16+219*mod(floor(N/pow(2\\,floor(X/40))),2)'";
    let film = clip(
        dir.path(),
        "film.mp4",
        &format!("-f lavfi -i {counter} -pix_fmt yuv420p -c:v libx264 -preset ultrafast -qp 10"),
    );
    let numbers = |fps: u32| -> Vec<u32> {
        let frames = frames_of(dir.path(), &film, Profile { fps, ..SMALL });
        let number = |frame: &Frame| {
            (0..8).map(|bit| u32::from(frame.mean(bit * 40 + 20, 90, 8)[1] > 128.0) << bit).sum()
        };
        frames.iter().map(number).collect()
    };
    assert_eq!(numbers(25), (0..100).collect::<Vec<_>>());
    // Each twice at 50.
    assert_eq!(numbers(50), (0..200).map(|n| n / 2).collect::<Vec<_>>());
}

/// A white box that moves by two pixels a frame over grey.
fn box_at(size: &str, rate: &str, seconds: u32) -> String {
    format!(
        "-f lavfi -i color=0x404040:s={size}:r={rate}:d={seconds}[b];color=white:s=60x60:r={rate}:d={seconds}[f];[b][f]overlay=x=10+n*2:y=60"
    )
}

/// The box's centre in each frame.
fn centres(frames: &[Frame]) -> Vec<f64> {
    frames.iter().map(Frame::bright_centre).collect()
}

#[test]
fn interlaced_pictures_are_aired_without_combs_and_with_each_field_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let (small, large) = (box_at("320x180", "50", 2), box_at("720x576", "50", 1));
    let mpeg2 = "-c:v mpeg2video -q:v 2 -flags +ilme+ildct";
    // The lines of a tape, whose pixels are not square.
    let full = Profile { width: 768, height: 576, ..SMALL };
    let cases = [
        ("right.ts", format!("{small} -vf interlace=scan=tff:lowpass=0,setfield=tff {mpeg2} -top 1"), SMALL),
        ("wrong.ts", format!("{small} -vf interlace=scan=tff:lowpass=0,setfield=bff {mpeg2} -top 0"), SMALL),
        (
            "absent.avi",
            format!("{small} -vf interlace=scan=bff:lowpass=0,setfield=prog -c:v mpeg4 -q:v 2"),
            SMALL,
        ),
        (
            "progressive.mp4",
            format!(
                "{large} -vf interlace=scan=tff:lowpass=0,setfield=prog -c:v libx264 -preset ultrafast -qp 12"
            ),
            full,
        ),
        (
            "tape.dv",
            format!("{large} -vf interlace=scan=bff:lowpass=0,setfield=bff,format=yuv420p -c:v dvvideo"),
            full,
        ),
    ];
    for (name, args, profile) in cases {
        let film = clip(dir.path(), name, &args);
        for fps in if profile == full { &[50][..] } else { &[25, 50] } {
            let fps = *fps;
            let frames = frames_of(dir.path(), &film, Profile { fps, ..profile });
            // The first and the last have a neighbour on one side only.
            let frames = &frames[3..frames.len() - 3];
            let combed = frames.iter().map(comb).max().unwrap();
            assert!(combed < 12, "{name} at {fps}: {combed} combed pixels");
            let step = 100.0 / f64::from(fps);
            for (n, pair) in centres(frames).windows(2).enumerate() {
                let moved = pair[1] - pair[0];
                assert!((moved - step).abs() < 1.0, "{name} at {fps}: {moved:.1} pixels at frame {n}");
            }
        }
    }
}

#[test]
fn progressive_pictures_are_left_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    // Fine lines, which deinterlacing would blur, and which idet takes for combs.
    let film =
        clip(dir.path(), "film.avi", "-f lavfi -i testsrc2=s=320x180:r=25:d=3,hue=s=0 -c:v mpeg4 -q:v 2");
    let lines = "color=black:s=320x180:r=25:d=3,geq=lum='if(mod(Y,2),200,50)':cb=128:cr=128";
    let lines = clip(dir.path(), "lines.avi", &format!("-f lavfi -i {lines} -c:v mpeg4 -q:v 2"));
    let first = frames_of(dir.path(), &film, Profile { fps: 25, ..SMALL });
    let own = air_rgb(&film, &SMALL);
    let loss = own[20].difference(&first[20]);
    assert!(loss < 6.0, "{loss}");
    let frame = &frames_of(dir.path(), &lines, Profile { fps: 25, ..SMALL })[20];
    assert!(comb(frame) > 20_000, "{}", comb(frame));
}

#[test]
fn film_with_pulldown_gets_its_frames_back() {
    let dir = tempfile::tempdir().unwrap();
    let film = box_at("320x180", "24000/1001", 3);
    for (name, args) in [
        ("film.avi", "-vf telecine=pattern=23,setfield=prog -c:v mpeg4 -q:v 2"),
        ("film.ts", "-vf telecine=pattern=23,setfield=tff -c:v mpeg2video -q:v 2 -flags +ilme+ildct -top 1"),
    ] {
        let film = clip(dir.path(), name, &format!("{film} {args}"));
        let frames = frames_of(dir.path(), &film, SMALL);
        let frames = &frames[10..frames.len() - 10];
        let combed = frames.iter().map(comb).max().unwrap();
        assert!(combed < 12, "{name}: {combed} combed pixels");
        let steps: Vec<f64> = centres(frames).windows(2).map(|pair| (pair[1] - pair[0]).round()).collect();
        // Of five frames on air one repeats: four of the film.
        for five in steps.windows(5) {
            let repeated = five.iter().filter(|step| **step == 0.0).count();
            assert!(repeated == 1 && five.iter().all(|step| [0.0, 2.0].contains(step)), "{name}: {steps:?}");
        }
    }
}

#[test]
fn bars_have_their_colours_whatever_they_are_stored_in() {
    let dir = tempfile::tempdir().unwrap();
    let mut table = String::new();
    let mut worst: f64 = 0.0;
    for case in bars::CASES {
        let film = case.clip(dir.path());
        let frames = frames_of(dir.path(), &film, SMALL);
        for (n, wanted) in bars::COLOURS.iter().enumerate() {
            let found = frames[10].mean(n * 40 + 20, 90, 10);
            let error = delta_e(found, wanted.map(f64::from));
            worst = worst.max(error);
            writeln!(table, "{:24} {wanted:?} {found:.0?} ΔE {error:.1}", case.name).unwrap();
        }
    }
    assert!(worst <= 3.0, "{table}");
}

#[test]
fn hdr_is_tone_mapped() {
    let dir = tempfile::tempdir().unwrap();
    for curve in [hdr::Curve::Pq, hdr::Curve::Hlg] {
        let film = hdr::ramp(dir.path(), curve);
        let frame = &frames_of(dir.path(), &film, SMALL)[10];
        let steps = hdr::NITS.len();
        let greys: Vec<[f64; 3]> =
            (0..steps).map(|n| frame.mean(n * 320 / steps + 320 / steps / 2, 90, 6)).collect();
        for (n, pair) in greys.windows(2).enumerate() {
            let nits = hdr::NITS[n + 1];
            assert!(pair[1][1] > pair[0][1] + 0.9, "{curve:?}: flat at {nits} cd/m²: {greys:.0?}");
        }
        for grey in &greys {
            assert!(
                (grey[0] - grey[1]).abs() < 4.0 && (grey[2] - grey[1]).abs() < 4.0,
                "{curve:?}: {grey:.0?}"
            );
        }
        let white = greys[hdr::NITS.iter().position(|nits| (nits - 203.0).abs() < 1.0).unwrap()][1] / 255.0;
        assert!((0.75..=0.80).contains(&white), "{curve:?}: diffuse white is {white:.3}");
        let film = hdr::colours(dir.path(), curve);
        let frame = &frames_of(dir.path(), &film, SMALL)[10];
        for (n, wanted) in bars::COLOURS.iter().enumerate() {
            let found = frame.mean(n * 40 + 20, 90, 10);
            // Brightness changes, the hue stays.
            let turned = hue_difference(found, wanted.map(f64::from));
            assert!(turned < 8.0, "{curve:?}: {wanted:?} became {found:.0?}, {turned:.1}° off");
        }
    }
}

#[test]
fn what_is_transparent_is_black() {
    let dir = tempfile::tempdir().unwrap();
    // Red: opaque, half transparent, and green that is wholly transparent.
    let source = "-f lavfi -i color=red:s=320x180:r=25:d=1,format=rgba,geq=r='if(lt(X,200),200,0)':g='if(lt(X,200),0,255)':b=0:a='if(lt(X,100),255,if(lt(X,200),128,0))'";
    let cases = [
        ("vp9.webm", "-c:v libvpx-vp9 -pix_fmt yuva420p -b:v 2M -deadline realtime -cpu-used 8"),
        ("vp8.webm", "-c:v libvpx -pix_fmt yuva420p -auto-alt-ref 0 -b:v 2M -deadline realtime"),
        ("prores.mov", "-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le"),
        ("qtrle.mov", "-c:v qtrle"),
        ("still.png", "-frames:v 1"),
    ];
    for (name, args) in cases {
        let film = clip(dir.path(), name, &format!("{source} {args}"));
        let frame = &frames_of(dir.path(), &film, SMALL)[10];
        for (x, wanted) in [(50, [200.0, 0.0, 0.0]), (150, [100.0, 0.0, 0.0]), (260, [0.0, 0.0, 0.0])] {
            let found = frame.mean(x, 90, 20);
            let off = found.iter().zip(wanted).any(|(found, wanted)| (found - wanted).abs() > 14.0);
            assert!(!off, "{name} at {x}: {found:.0?} instead of {wanted:?}");
        }
    }
}

#[test]
fn a_portrait_stands_before_its_blurred_copy() {
    let dir = tempfile::tempdir().unwrap();
    // Fine vertical stripes of two colours.
    let stripes =
        "color=red:s=180x320:r=25:d=1,format=yuv444p,geq=lum='if(mod(floor(X/4),2),180,60)':cb=90:cr=170";
    let film = clip(
        dir.path(),
        "film.mp4",
        &format!("-f lavfi -i {stripes} -c:v libx264 -preset ultrafast -qp 8 -pix_fmt yuv444p"),
    );
    let wide = clip(dir.path(), "wide.mp4", "-f lavfi -i color=white:s=640x360:r=25:d=1 -pix_fmt yuv420p");
    let blur = PictureOptions { background: Background::Blur, ..PictureOptions::default() };
    let plain = &frames_of(dir.path(), &film, SMALL)[10];
    let blurred = &frames(dir.path(), &film, SMALL, blur)[10];
    // The picture is 100 pixels wide, in the middle.
    assert!(plain.mean(40, 90, 20).iter().all(|value| *value < 4.0), "{:?}", plain.mean(40, 90, 20));
    let side = blurred.mean(40, 90, 20);
    assert!(side[0] > 40.0, "the side is {side:.0?}");
    for x in [4, 105, 215, 316] {
        let edge = blurred.mean(x, 90, 4);
        assert!(edge[0] > 30.0, "a bar at {x}: {edge:.0?}");
    }
    let (middle, around) = (blurred.contrast(120..200, 60..120), blurred.contrast(10..90, 60..120));
    assert!(middle > 5.0 * around, "{middle} in the middle, {around} around it");
    let whole = plain.difference_in(blurred, 120..200, 60..120);
    assert!(whole < 3.0, "the middle differs by {whole}");
    let wide = &frames(dir.path(), &wide, SMALL, blur)[10];
    assert!(wide.mean(4, 4, 4)[1] > 250.0);
}

#[test]
fn music_shows_its_cover() {
    let dir = tempfile::tempdir().unwrap();
    let art = clip(dir.path(), "art.png", "-f lavfi -i color=0xff8000:s=300x300 -frames:v 1");
    let made = |name: &str, art: &str| {
        clip(
            dir.path(),
            name,
            &format!("-f lavfi -i sine=f=440:d=2 {art} -metadata title=Drive -metadata artist=Band"),
        )
    };
    let embedded = made(
        "with.mp3",
        &format!("-i {} -map 0 -map 1 -c:v mjpeg -disposition:v attached_pic", art.display()),
    );
    let alone = made("alone.mp3", "");
    let shown = |file: &Path, audio_picture| {
        let options = PictureOptions { audio_picture, ..PictureOptions::default() };
        frames(dir.path(), file, SMALL, options)
    };
    let is_orange =
        |colour: [f64; 3]| colour[0] > 200.0 && (90.0..170.0).contains(&colour[1]) && colour[2] < 50.0;
    let has_cover = |frames: &[Frame]| {
        assert!((55..=62).contains(&frames.len()), "{} frames", frames.len());
        let frame = &frames[20];
        let around = frame.mean(20, 20, 10);
        let text = frame.contrast(60..260, 120..154) > 1.0;
        is_orange(frame.mean(160, 60, 10))
            && around[0] > 30.0
            && around[0] < 150.0
            && around[0] > around[2] * 2.0
            && text
    };
    let first = shown(&embedded, AudioPicture::Cover);
    assert!(
        has_cover(&first),
        "{:?} {:?} {}",
        first[20].mean(160, 60, 10),
        first[20].mean(20, 20, 10),
        first[20].contrast(60..260, 120..154)
    );
    assert!(!is_orange(shown(&embedded, AudioPicture::Slate)[20].mean(160, 60, 10)));
    assert!(!is_orange(shown(&alone, AudioPicture::Cover)[20].mean(160, 60, 10)));
    fs::write(dir.path().join("cover.jpg"), "no picture").unwrap();
    assert!(!is_orange(shown(&alone, AudioPicture::Cover)[20].mean(160, 60, 10)));
    fs::copy(&art, dir.path().join("folder.png")).unwrap();
    fs::remove_file(dir.path().join("cover.jpg")).unwrap();
    assert!(has_cover(&shown(&alone, AudioPicture::Cover)));
    let moving = shown(&embedded, AudioPicture::Spectrum);
    assert!(is_orange(moving[20].mean(160, 60, 10)));
    let bars = moving[40].difference_in(&first[40], 0..320, 146..178);
    assert!(bars > 0.5, "no bars: {bars}");
}
