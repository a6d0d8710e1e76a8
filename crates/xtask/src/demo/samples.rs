//! The clips of the demo: as different as files in a folder are, made by ffmpeg once.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use tgs_e2e::clips::{ffmpeg, rotate};

use crate::step;

/// File name, and what ffmpeg makes it of; in the order of the playlist.
const SAMPLES: [(&str, &str); 7] = [
    (
        "1 widescreen, 720p at 25 fps.mp4",
        "-f lavfi -i testsrc2=s=1280x720:r=25 -f lavfi -i aevalsrc='0.2*sin(2*PI*(220+40*t)*t)':s=48000:c=stereo -t 8 \
         -c:v libx264 -preset veryfast -pix_fmt yuv420p -c:a aac",
    ),
    (
        "2 portrait, 30 fps, mono.mp4",
        "-f lavfi -i mandelbrot=s=360x640:r=30 -f lavfi -i aevalsrc='0.2*sin(2*PI*330*t)*(0.6+0.4*sin(2*PI*4*t))':s=44100 \
         -t 6 -c:v libx264 -preset veryfast -pix_fmt yuv420p -c:a aac",
    ),
    (
        "3 old television, anamorphic 4:3, MPEG-2.mpg",
        "-f lavfi -i pal75bars=s=720x576:r=25 -f lavfi -i aevalsrc='0.2*sin(2*PI*1000*t)*lt(mod(t,1),0.2)':s=48000:c=stereo \
         -t 6 -vf setsar=16/15 -c:v mpeg2video -q:v 4 -c:a mp2",
    ),
    (
        "4 cinema, 1080p at 23.976 fps, surround.mkv",
        "-f lavfi -i testsrc=s=1920x1080:r=24000/1001 -f lavfi -i aevalsrc='0.2*sin(2*PI*262*t)':s=48000:c=5.1 \
         -t 6 -c:v libx264 -preset veryfast -pix_fmt yuv420p -c:a ac3",
    ),
    (
        "5 sound only.mp3",
        "-f lavfi -i aevalsrc='0.2*sin(2*PI*392*t)*exp(-3*mod(t,0.5))':s=44100:c=stereo -t 6 -c:a libmp3lame",
    ),
    (
        "6 picture only, small.webm",
        "-f lavfi -i life=s=320x240:r=15:mold=10:ratio=0.1:death_color=#203040:life_color=#e0e0ff -t 6 \
         -c:v libvpx -b:v 500k -deadline realtime -cpu-used 8",
    ),
    (
        "7 phone held upright (rotated).mp4",
        "-f lavfi -i testsrc2=s=640x360:r=30000/1001 -f lavfi -i aevalsrc='0.2*sin(2*PI*523*t)':s=48000:c=mono \
         -t 6 -c:v libx264 -preset veryfast -pix_fmt yuv420p -c:a aac",
    ),
];

/// Makes what is missing of the clips in `dir`, and the playlist beside them unless there is one
/// (it may be edited).
pub(super) fn make(dir: &Path) -> Result<PathBuf> {
    for (name, how) in SAMPLES {
        let path = dir.join(name);
        if !path.exists() {
            step::say(&format!("make {name}"));
            make_one(&path, how).with_context(|| format!("make {}", path.display()))?;
        }
    }
    let playlist = dir.join("playlist.txt");
    if !playlist.exists() {
        let names = SAMPLES.map(|(name, _)| name).join("\n");
        fs::write(&playlist, format!("# The demo's clips, paths relative to this file.\n{names}\n"))
            .with_context(|| format!("write {}", playlist.display()))?;
    }
    Ok(playlist)
}

fn make_one(path: &Path, how: &str) -> Result<()> {
    let dir = path.parent().context("no directory")?;
    let suffix = path.extension().and_then(|e| e.to_str()).context("no extension")?;
    // Beside its place, so that a demo ended here leaves no half clip.
    let made = tempfile::Builder::new().suffix(&format!(".{suffix}")).tempfile_in(dir)?;
    let args: Vec<_> = how.split_whitespace().map(str::to_owned).collect();
    ffmpeg(&args, made.path())?;
    if path.to_string_lossy().contains("rotated") {
        rotate(made.path(), (640, 360), 90)?;
    }
    made.persist(path)?;
    Ok(())
}
