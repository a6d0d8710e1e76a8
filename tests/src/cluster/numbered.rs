//! Clips whose pictures show the number of the clip and the time in it: four rows of sixteen cells,
//! black or white, the second and the fourth row inverted.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use tgs_rtmp::flv::{FILE_HEADER, Tag, write_tag};

use crate::clips;

const CELLS: usize = 16;
const ROWS: usize = 4;

/// What a picture shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shown {
    /// The number of the clip.
    pub clip: u16,
    /// Seconds from its beginning, in tenths.
    pub at: f64,
}

/// Writes the clip `number` of `seconds` to `path`, 30 fps.
pub(super) fn make(number: u16, seconds: u32, path: &Path) -> Result<()> {
    let bit = format!("mod(floor(if(lt(Y,2),floor(N/3),{number})/pow(2,X)),2)");
    let cells = format!(
        "color=c=black:s={CELLS}x{ROWS}:r=30:d={seconds},geq=lum='16+219*abs(mod(Y,2)-{bit})':cb=128:cr=128,\
         scale=320:180:flags=neighbor,setsar=1"
    );
    let sound = format!("sine=frequency={}:sample_rate=44100:duration={seconds}", 300 + 50 * number);
    let args = ["-f", "lavfi", "-i", &cells, "-f", "lavfi", "-i", &sound, "-pix_fmt", "yuv420p"];
    let codec = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"];
    clips::ffmpeg(&[&args[..], &codec].concat().iter().map(|&word| word.to_owned()).collect::<Vec<_>>(), path)
}

/// What the keyframe shows; `None` for a picture of no numbered clip, such as the slate.
pub(super) fn read(header: &Tag, keyframe: &Tag) -> Result<Option<Shown>> {
    let mut bytes = FILE_HEADER.to_vec();
    for tag in [header, keyframe] {
        write_tag(&mut bytes, &Tag { timestamp: 0, ..tag.clone() })?;
    }
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-hide_banner", "-v", "error", "-f", "flv", "-i", "-", "-frames:v", "1"]);
    ffmpeg.args(["-vf", &format!("scale={CELLS}:{ROWS}:flags=area,format=gray"), "-f", "rawvideo", "-"]);
    ffmpeg.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = ffmpeg.spawn().context("run ffmpeg")?;
    // A keyframe of 360p fits into the pipe, or ffmpeg reads before it writes.
    child.stdin.take().context("no pipe")?.write_all(&bytes)?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "ffmpeg failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(of_cells(&output.stdout))
}

fn of_cells(cells: &[u8]) -> Option<Shown> {
    let rows: Vec<_> = cells.chunks_exact(CELLS).map(number).collect();
    let &[at, at_inverted, clip, clip_inverted] = &rows[..] else { return None };
    (at == !at_inverted && clip == !clip_inverted).then(|| Shown { clip, at: f64::from(at) / 10.0 })
}

fn number(row: &[u8]) -> u16 {
    row.iter().rev().fold(0, |number, &cell| number << 1 | u16::from(cell >= 128))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tgs_rtmp::flv::FlvReader;

    #[test]
    fn a_picture_says_which_clip_and_when() {
        let dir = tempfile::tempdir().unwrap();
        let clip = dir.path().join("clip.mp4");
        make(41, 5, &clip).unwrap();
        let flv = dir.path().join("clip.flv");
        let args = [
            "-i",
            &clip.display().to_string(),
            "-an",
            "-c:v",
            "libx264",
            "-s",
            "640x360",
            "-g",
            "60",
            "-bf",
            "2",
            "-b:v",
            "600k",
        ];
        clips::ffmpeg(&args.map(str::to_owned), &flv).unwrap();
        let mut reader = FlvReader::new(std::fs::File::open(flv).unwrap());
        let (mut header, mut shown) = (None, Vec::new());
        while let Some(tag) = reader.next_tag().unwrap() {
            if tag.is_sequence_header() {
                header = Some(tag);
            } else if tag.is_keyframe() {
                shown.push(read(header.as_ref().unwrap(), &tag).unwrap());
            }
        }
        let expected = [0.0, 2.0, 4.0].map(|at| Some(Shown { clip: 41, at }));
        assert_eq!(shown, expected);
    }

    #[test]
    fn other_pictures_say_nothing() {
        assert_eq!(of_cells(&[16; CELLS * ROWS]), None);
        assert_eq!(of_cells(&[]), None);
    }
}
