//! A film whose pictures carry their number as a row of black and white bars, and its reading.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};

use crate::clips::ffmpeg;

/// Makes a film of so many seconds in `dir`, 30 pictures a second.
pub fn film(dir: &Path, seconds: u32) -> Result<PathBuf> {
    let path = dir.join("numbered.mp4");
    let bars = "format=gray,geq=lum='16+219*mod(floor(N/pow(2,X)),2)',scale=320:180:flags=neighbor,setsar=1";
    let args = format!(
        "-f lavfi -i color=black:s=16x2:r=30:d={seconds} -f lavfi -i sine=r=48000:d={seconds} -vf {bars} \
         -pix_fmt yuv420p -c:v libx264 -preset ultrafast -g 30 -c:a aac"
    );
    ffmpeg(&args.split(' ').map(str::to_owned).collect::<Vec<_>>(), &path)?;
    Ok(path)
}

/// The numbers of the pictures of a recording, in the order of display.
pub fn numbers(file: &Path) -> Result<Vec<usize>> {
    let filters = "scale=16:1:flags=area,format=gray";
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-fps_mode", "passthrough", "-vf", filters, "-f", "rawvideo", "-"])
        .output()?;
    ensure!(decoded.status.success(), "{}", String::from_utf8_lossy(&decoded.stderr));
    let number = |bits: &[u8]| bits.iter().rev().fold(0, |sum, bit| sum * 2 + usize::from(*bit > 125));
    Ok(decoded.stdout.chunks_exact(16).map(number).collect())
}
