//! Test clips, made once by ffmpeg and stored in `target/clips` under a name with a hash of their
//! definition.
//!
//! Every clip shows black with a white flash of 0.1 s at each whole second but the first, and a
//! 1 kHz beep at the same times, so that the offset of picture and sound can be measured in any
//! output (`flvcheck::alignment`).

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::bin_path::target_dir;

/// The picture of a clip.
#[derive(Debug, Clone, Hash)]
pub struct Video {
    /// Coded width and height in pixels.
    pub size: (u32, u32),
    /// Frames per second in ffmpeg's syntax (`25`, `30000/1001`).
    pub rate: &'static str,
    /// Length in milliseconds.
    pub millis: u32,
    /// Clockwise rotation for players in degrees (0, 90, 180, 270); MP4 and MOV only.
    pub rotation: u16,
    /// Filters after the flashing source, with a leading comma (`,setsar=4/3`), or empty.
    pub filters: &'static str,
    /// ffmpeg's video output options, separated by spaces.
    pub codec: &'static str,
}

/// The sound of a clip.
#[derive(Debug, Clone, Hash)]
pub struct Audio {
    /// Sample rate in Hz.
    pub rate: u32,
    /// ffmpeg's channel layout name (`mono`, `stereo`, `5.1`, `7.1`).
    pub layout: &'static str,
    /// Length in milliseconds.
    pub millis: u32,
    /// ffmpeg's audio output options, separated by spaces.
    pub codec: &'static str,
}

/// The definition of a clip.
#[derive(Debug, Clone, Hash)]
pub struct Clip {
    /// The name in messages and file names: letters, digits, `-`.
    pub name: &'static str,
    /// The container, as a file name extension.
    pub ext: &'static str,
    /// The picture, if any.
    pub video: Option<Video>,
    /// The sound, if any.
    pub audio: Option<Audio>,
    /// Further output options, separated by spaces.
    pub more: &'static str,
}

/// 640x360, 30 fps, 3 s, H.264.
pub const VIDEO: Video = Video {
    size: (640, 360),
    rate: "30",
    millis: 3000,
    rotation: 0,
    filters: "",
    codec: "-c:v libx264 -preset ultrafast -pix_fmt yuv420p",
};

/// 48 kHz stereo, 3 s, AAC.
pub const AUDIO: Audio = Audio { rate: 48_000, layout: "stereo", millis: 3000, codec: "-c:a aac -b:a 128k" };

/// The simplest clip: [`VIDEO`] and [`AUDIO`] in MP4. A base for `..PLAIN`.
pub const PLAIN: Clip = Clip { name: "plain", ext: "mp4", video: Some(VIDEO), audio: Some(AUDIO), more: "" };

/// A plain clip of `millis` with this size, frame rate and sample rate.
#[must_use]
pub fn clip(name: &'static str, size: (u32, u32), rate: &'static str, sound: u32, millis: u32) -> Clip {
    Clip {
        name,
        video: Some(Video { size, rate, millis, ..VIDEO }),
        audio: Some(Audio { rate: sound, millis, ..AUDIO }),
        ..PLAIN
    }
}

/// A clip of `millis` with noise beside its flashes: the bitrate of a film, and no two equal
/// encoded frames. The noise fills a strip: a whole picture of it takes an encoder three times as
/// long.
#[must_use]
pub fn noisy(name: &'static str, millis: u32) -> Clip {
    const STRIP: &str =
        ",split[whole][part];[part]crop=320:90,noise=alls=30:allf=t[strip];[whole][strip]overlay=0:270";
    let video = Video { millis, filters: STRIP, ..VIDEO };
    Clip { name, video: Some(video), audio: Some(Audio { rate: 44_100, millis, ..AUDIO }), ..PLAIN }
}

impl Clip {
    /// The file, created if missing. Safe for concurrent processes.
    pub fn path(&self) -> Result<PathBuf> {
        let mut hash = DefaultHasher::new();
        self.hash(&mut hash);
        let file = format!("{}-{:016x}.{}", self.name, hash.finish(), self.ext);
        let path = target_dir("clips")?.join(file);
        if !path.exists() {
            self.make(&path).with_context(|| format!("make the clip {}", self.name))?;
        }
        Ok(path)
    }

    /// Copies the file to `path`, to test special names (spaces, unicode, a leading dash).
    pub fn copy_to(&self, path: &Path) -> Result<()> {
        fs::copy(self.path()?, path).with_context(|| format!("copy the clip {}", self.name))?;
        Ok(())
    }

    /// Writes the first `share` (0 to 1) of the file's bytes to `path`: a truncated download.
    pub fn cut_to(&self, path: &Path, share: f64) -> Result<()> {
        let bytes = fs::read(self.path()?)?;
        let keep = (bytes.len() as f64 * share) as usize;
        fs::write(path, &bytes[..keep.min(bytes.len())]).context("write the cut clip")
    }

    fn make(&self, path: &Path) -> Result<()> {
        let dir = path.parent().context("clip without directory")?;
        let made = tempfile::Builder::new().suffix(&format!(".{}", self.ext)).tempfile_in(dir)?;
        ffmpeg(&self.arguments(), made.path())?;
        if let Some(video) = &self.video
            && video.rotation != 0
        {
            rotate(made.path(), video.size, video.rotation)?;
        }
        made.persist(path)?;
        Ok(())
    }

    fn arguments(&self) -> Vec<String> {
        let mut args = Vec::new();
        let mut words = |text: &str| args.extend(text.split_whitespace().map(str::to_owned));
        if let Some(v) = &self.video {
            let (w, h) = v.size;
            let flash = "drawbox=c=white:t=fill:enable='gte(t,0.5)*lt(mod(t+0.0001,1),0.1)'";
            let (rate, filters) = (v.rate, v.filters);
            words(&format!(
                "-f lavfi -t {}ms -i color=c=black:s={w}x{h}:r={rate},{flash}{filters}",
                v.millis
            ));
        }
        if let Some(a) = &self.audio {
            let (rate, layout) = (a.rate, a.layout);
            let beep = "0.5*sin(2*PI*1000*t)*gte(t,0.5)*lt(mod(t+0.00001,1),0.1)";
            // One expression applies to all channels of the layout.
            words(&format!("-f lavfi -t {}ms -i aevalsrc='{beep}':s={rate}:c={layout}", a.millis));
        }
        if let Some(v) = &self.video {
            words(v.codec);
        }
        if let Some(a) = &self.audio {
            words(a.codec);
        }
        words(self.more);
        args
    }
}

/// Runs ffmpeg with `args` and the output file `out`, which it overwrites.
pub fn ffmpeg(args: &[String], out: &Path) -> Result<()> {
    // A clip takes a second or two; the timeout ends an ffmpeg that hangs.
    let output = Command::new("timeout")
        .args(["120", "ffmpeg", "-nostdin", "-hide_banner", "-v", "error", "-y"])
        .args(args)
        .arg(out)
        .output()
        .context("run ffmpeg: apt-get install ffmpeg")?;
    ensure!(
        output.status.success(),
        "ffmpeg {} {}: {}",
        args.join(" "),
        out.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Rotates the picture of an MP4 (first track, coded as `size`) by `degrees` clockwise in players:
/// writes its display matrix, because ffmpeg's own option differs between versions.
pub fn rotate(path: &Path, size: (u32, u32), degrees: u16) -> Result<()> {
    const ONE: i32 = 1 << 16;
    // Offset after the box type: version and flags, times, id, duration, reserved, layer, group,
    // volume.
    const MATRIX: usize = 4 + 40;
    let (width, height) = (size.0.cast_signed() << 16, size.1.cast_signed() << 16);
    // The two rotation rows, then the offset that moves the picture back to the origin.
    let [turn_x, turn_y, offset] = match degrees {
        90 => [[0, ONE], [-ONE, 0], [height, 0]],
        180 => [[-ONE, 0], [0, -ONE], [width, height]],
        270 => [[0, -ONE], [ONE, 0], [0, width]],
        other => anyhow::bail!("a rotation by {other} degrees is not one of 90, 180 and 270"),
    };
    let mut bytes = fs::read(path)?;
    let at = bytes.windows(4).position(|name| name == b"tkhd").context("no tkhd box")? + MATRIX;
    let rows = [[turn_x[0], turn_x[1], 0], [turn_y[0], turn_y[1], 0], [offset[0], offset[1], 1 << 30]];
    let matrix = rows.concat().into_iter().flat_map(i32::to_be_bytes).collect::<Vec<_>>();
    bytes.get_mut(at..at + matrix.len()).context("the tkhd box is cut")?.copy_from_slice(&matrix);
    fs::write(path, bytes).context("write the rotated clip")
}

/// Clips of 3 s that differ in every property that the engine normalises, each with picture and
/// sound of full length.
#[must_use]
pub fn every_kind() -> Vec<Clip> {
    let video = |video| Some(Video { ..video });
    let x264 = |name, size, rate| clip(name, size, rate, 48_000, 3000);
    let picture = |name, ext, codec| Clip { name, ext, video: video(Video { codec, ..VIDEO }), ..PLAIN };
    let sound = |name, rate, layout| Clip { name, audio: Some(Audio { rate, layout, ..AUDIO }), ..PLAIN };
    let turned = |name, rotation| Clip { name, video: video(Video { rotation, ..VIDEO }), ..PLAIN };
    let filtered = |name, ext, filters| Clip { name, ext, video: video(Video { filters, ..VIDEO }), ..PLAIN };
    let mut clips = vec![
        x264("hd25", (1280, 720), "25"),
        x264("fullhd24", (1920, 1080), "24000/1001"),
        x264("tiny60", (176, 144), "60"),
        x264("portrait", (360, 640), "30"),
        x264("square5", (300, 300), "5"),
        x264("ribbon", (640, 64), "30"),
        turned("turned90", 90),
        turned("turned180", 180),
        turned("turned270", 270),
        filtered("anamorphic", "mp4", ",scale=720:576,setsar=64/45"),
        // Two of three frames, then one of three: a variable frame rate.
        filtered("variable-rate", "mkv", ",select='if(lt(t,1.5),mod(n,3),not(mod(n,3)))'"),
        picture(
            "ten-bit",
            "mp4",
            "-c:v libx265 -preset ultrafast -x265-params log-level=none -pix_fmt yuv420p10le",
        ),
        picture("full-chroma", "mkv", "-c:v libx264 -preset ultrafast -pix_fmt yuv444p"),
        picture("full-range", "mkv", "-c:v mjpeg -q:v 4 -pix_fmt yuvj420p -strict unofficial"),
        picture("mpeg2", "ts", "-c:v mpeg2video -q:v 4"),
        picture("gif-colours", "mkv", "-c:v ffv1 -pix_fmt bgr0"),
        sound("mono8k", 8_000, "mono"),
        sound("surround", 48_000, "5.1"),
        sound("seven-one", 48_000, "7.1"),
        sound("high-rate", 96_000, "stereo"),
    ];
    clips.push(Clip {
        name: "vp9-alpha",
        ext: "webm",
        video: Some(Video {
            codec: "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -pix_fmt yuva420p",
            ..VIDEO
        }),
        audio: Some(Audio { codec: "-c:a libopus", ..AUDIO }),
        ..PLAIN
    });
    clips.push(Clip {
        name: "pcm-mov",
        ext: "mov",
        audio: Some(Audio { rate: 44_100, codec: "-c:a pcm_s24le", ..AUDIO }),
        ..PLAIN
    });
    clips.push(Clip {
        name: "mp3-avi",
        ext: "avi",
        video: Some(Video { codec: "-c:v mpeg4 -q:v 4", ..VIDEO }),
        audio: Some(Audio { rate: 44_100, codec: "-c:a libmp3lame", ..AUDIO }),
        ..PLAIN
    });
    clips
}

/// Clips without sound, without picture, with sound 1 s shorter, and with sound 1 s longer.
#[must_use]
pub fn uneven() -> Vec<Clip> {
    let sound_of = |name, millis| Clip { name, audio: Some(Audio { millis, ..AUDIO }), ..PLAIN };
    vec![
        Clip { name: "no-sound", audio: None, ..PLAIN },
        Clip { name: "no-picture", ext: "m4a", video: None, ..PLAIN },
        Clip {
            name: "no-picture-mp3",
            ext: "mp3",
            video: None,
            audio: Some(Audio { rate: 44_100, codec: "-c:a libmp3lame", ..AUDIO }),
            ..PLAIN
        },
        sound_of("short-sound", 2000),
        sound_of("long-sound", 4000),
    ]
}

/// A plain clip with a subtitle track and a cover picture, both to be ignored.
pub fn with_extras() -> Result<PathBuf> {
    let path = target_dir("clips")?.join("with-extras-1.mkv");
    if path.exists() {
        return Ok(path);
    }
    let dir = tempfile::tempdir()?;
    let subtitles = dir.path().join("s.srt");
    fs::write(&subtitles, "1\n00:00:00,500 --> 00:00:02,000\nsubtitle\n")?;
    let cover = dir.path().join("cover.png");
    ffmpeg(&words("-f lavfi -i color=c=red:s=200x300 -frames:v 1"), &cover)?;
    let made = dir.path().join("made.mkv");
    let mut args = words("-i");
    args.push(PLAIN.path()?.display().to_string());
    args.extend([
        "-i".to_owned(),
        subtitles.display().to_string(),
        "-attach".to_owned(),
        cover.display().to_string(),
    ]);
    args.extend(words("-metadata:s:t mimetype=image/png -map 0 -map 1 -c copy -c:s srt"));
    ffmpeg(&args, &made)?;
    let beside = tempfile::NamedTempFile::new_in(target_dir("clips")?)?;
    fs::copy(&made, beside.path())?;
    beside.persist(&path)?;
    Ok(path)
}

/// An MP3 with a cover picture: an attached picture is no video, so the slate is shown.
pub fn with_cover() -> Result<PathBuf> {
    let path = target_dir("clips")?.join("with-cover-1.mp3");
    if path.exists() {
        return Ok(path);
    }
    let beside = tempfile::Builder::new().suffix(".mp3").tempfile_in(target_dir("clips")?)?;
    let beep = "aevalsrc='0.5*sin(2*PI*1000*t)*gte(t,0.5)*lt(mod(t,1),0.1)':s=44100:c=stereo";
    let args = format!(
        "-f lavfi -t 3 -i {beep} -f lavfi -t 0.04 -i color=c=red:s=200x300 -map 0 -map 1 -frames:v 1 \
         -c:a libmp3lame -c:v mjpeg -disposition:v attached_pic"
    );
    ffmpeg(&words(&args), beside.path())?;
    beside.persist(&path)?;
    Ok(path)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
