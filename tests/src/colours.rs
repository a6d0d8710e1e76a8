//! Clips of one colour each, and which of them each picture of a received stream shows.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};

use crate::clips;

/// The colours: name, and red, green and blue.
pub const COLOURS: [(&str, [u8; 3]); 6] = [
    ("red", [255, 0, 0]),
    ("lime", [0, 255, 0]),
    ("blue", [0, 0, 255]),
    ("yellow", [255, 255, 0]),
    ("magenta", [255, 0, 255]),
    ("cyan", [0, 255, 255]),
];

/// The colour of the first picture of a clip with a [`Beginning::Marked`].
const MARK: [u8; 3] = [255, 128, 0];

/// How far a decoded colour may be from its clip's, per component: the encoder's loss.
const TOLERANCE: u8 = 60;

/// The first picture of a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// As all others.
    Plain,
    /// Of a colour that no clip has.
    Marked,
}

/// What a picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture {
    /// The first picture of a clip with a [`Beginning::Marked`].
    Mark,
    /// A picture of the clip of this colour.
    Clip(&'static str),
    /// None of the colours, such as the filler.
    Other,
}

/// Writes a clip of `millis` in one of [`COLOURS`], 30 fps, to `path`.
pub fn make(colour: &str, millis: u32, beginning: Beginning, path: &Path) -> Result<()> {
    let (_, rgb) = COLOURS.iter().find(|(name, _)| *name == colour).context("no such colour")?;
    let hex = |[r, g, b]: [u8; 3]| format!("#{r:02x}{g:02x}{b:02x}");
    let mark = match beginning {
        Beginning::Plain => String::new(),
        Beginning::Marked => format!(",drawbox=c={}:t=fill:enable='eq(n,0)'", hex(MARK)),
    };
    let picture = format!("color=c={}:s=320x180:r=30:d={millis}ms{mark}", hex(*rgb));
    let sound = format!("sine=sample_rate=44100:duration={millis}ms");
    let args = ["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound, "-preset", "ultrafast"];
    clips::ffmpeg(&args.map(str::to_owned), path)
}

/// The mean colour of each picture in order of presentation, and what the decoder complains about.
pub fn decode(file: &Path) -> Result<(Vec<[u8; 3]>, Vec<String>)> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-hide_banner", "-v", "error", "-i"]).arg(file);
    ffmpeg.args(["-an", "-vf", "format=rgb24,scale=1:1:flags=area", "-fps_mode", "passthrough"]);
    let output = ffmpeg.args(["-f", "rawvideo", "-"]).output().context("run ffmpeg")?;
    ensure!(output.status.success(), "ffmpeg failed: {}", String::from_utf8_lossy(&output.stderr));
    let colours = output.stdout.chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect();
    let said = String::from_utf8_lossy(&output.stderr);
    Ok((colours, said.lines().take(5).map(str::to_owned).collect()))
}

/// What a picture of this mean colour shows.
#[must_use]
pub fn picture_of(colour: [u8; 3]) -> Picture {
    let is_near = |of: &[u8; 3]| of.iter().zip(colour).all(|(a, b)| a.abs_diff(b) < TOLERANCE);
    if is_near(&MARK) {
        return Picture::Mark;
    }
    COLOURS.iter().find(|(_, of)| is_near(of)).map_or(Picture::Other, |(name, _)| Picture::Clip(name))
}
