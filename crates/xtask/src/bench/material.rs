//! Clips and lists that both sides play.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use tgs_e2e::clips::{Clip, clip, ffmpeg};

/// Four clips of `seconds` that differ as a real folder's do: H.264 720p25 and 360p30, HEVC
/// 1080p24, an MP3.
pub(super) fn mixed(dir: &Path, seconds: u32) -> Result<Vec<PathBuf>> {
    let video = |size: &str, rate: u32, sound: u32, codec: &str| {
        format!(
            "-f lavfi -i testsrc2=s={size}:r={rate},noise=alls=6:allf=t -f lavfi -i anoisesrc=a=0.1:c=pink:r={sound} \
             -t {seconds} -pix_fmt yuv420p {codec} -c:a aac -ac 2"
        )
    };
    [
        ("720p25.mp4", video("1280x720", 25, 44_100, "-c:v libx264 -preset veryfast -b:v 3000k")),
        ("360p30.mp4", video("640x360", 30, 48_000, "-c:v libx264 -preset veryfast -b:v 1000k")),
        (
            "1080p24.mkv",
            video(
                "1920x1080",
                24,
                48_000,
                "-c:v libx265 -preset ultrafast -x265-params log-level=none -b:v 4000k",
            ),
        ),
        (
            "sound.mp3",
            format!("-f lavfi -i anoisesrc=a=0.1:c=pink:r=44100 -t {seconds} -ac 2 -c:a libmp3lame"),
        ),
    ]
    .into_iter()
    .map(|(name, how)| {
        let path = dir.join(format!("{seconds}s-{name}"));
        if !path.exists() {
            let made = dir.join(format!("making-{name}"));
            let args: Vec<_> = how.split_whitespace().map(str::to_owned).collect();
            ffmpeg(&args, &made)
                .and_then(|()| Ok(fs::rename(&made, &path)?))
                .with_context(|| format!("make {name}"))?;
        }
        Ok(path)
    })
    .collect()
}

/// Short clips with a flash and a beep, of rates whose frames meet whole seconds and lengths that
/// meet no audio frame.
pub(super) fn flashing() -> Result<Vec<PathBuf>> {
    let kinds: [Clip; 4] = [
        clip("bench25", (640, 360), "25", 44_100, 2400),
        clip("bench30", (480, 360), "30", 48_000, 2500),
        clip("bench24", (360, 640), "24", 48_000, 2500),
        clip("bench50", (640, 360), "50", 32_000, 2100),
    ];
    kinds.iter().map(Clip::path).collect()
}

/// A playlist of `count` entries, `files` over and over.
pub(super) fn playlist(path: &Path, files: &[PathBuf], count: usize) -> Result<()> {
    let lines: Vec<_> = files.iter().cycle().take(count).map(|file| file.display().to_string()).collect();
    fs::write(path, lines.join("\n") + "\n").with_context(|| format!("write {}", path.display()))
}
