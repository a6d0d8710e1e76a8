//! The hostile inputs of a chaos run: files and lists after public bug reports, created on demand.
//!
//! Their playback is not judged here: an input may play, be cut short or be skipped.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::clips::ffmpeg;

/// Picture and sound of 4 s, as ffmpeg inputs.
const SOURCES: &str = "-f lavfi -i testsrc2=s=320x180:r=25:d=4 -f lavfi -i sine=440:r=48000:d=4";
/// The encoder options of most inputs.
const CODECS: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 25 -c:a aac";

/// Creates a file at this path.
type Make = fn(&Path) -> Result<()>;

/// The inputs: file name and constructor.
pub const INPUTS: [(&str, Make); 66] = [
    // Not media.
    ("empty.mp4", |at| bytes(at, b"")),
    ("text.mp4", |at| bytes(at, &b"This is no film.\n".repeat(500))),
    ("random.mp4", |at| bytes(at, &noise(200_000))),
    ("random.mp3", |at| bytes(at, &noise(200_000))),
    ("zeros.ts", |at| bytes(at, &[0; 1 << 20])),
    ("sync-bytes.ts", |at| bytes(at, &[0x47; 1 << 20])),
    ("subtitles.srt.mkv", |at| bytes(at, b"1\n00:00:00,500 --> 00:00:02,000\nsubtitle\n")),
    ("sparse.mp4", |at| Ok(fs::File::create(at)?.set_len(10 << 30)?)),
    ("directory.mp4", |at| Ok(fs::create_dir(at)?)),
    ("dangling.mp4", |at| Ok(symlink("nowhere", at)?)),
    ("loop.mp4", |at| Ok(symlink("loop.mp4", at)?)),
    ("fifo.mp4", fifo),
    ("fifo.m3u", fifo),
    ("device.m3u", |at| Ok(symlink("/dev/zero", at)?)),
    ("device.mp4", |at| Ok(symlink("/dev/zero", at)?)),
    ("script.mp4", |at| bytes(at, b"ffconcat version 1.0\nfile /etc/passwd\nfile /etc/hostname\n")),
    // Truncated and corrupted.
    ("no-index.mp4", |at| cut(at, "mp4", 0.5)),
    ("half.mkv", |at| cut(at, "mkv", 0.5)),
    ("half.ts", |at| cut(at, "ts", 0.47)),
    ("header.flv", |at| cut(at, "flv", 0.01)),
    ("damaged.mp4", |at| damaged(at, "mp4", 97)),
    ("damaged.mkv", |at| damaged(at, "mkv", 97)),
    ("damaged.ts", |at| damaged(at, "ts", 97)),
    ("ruined.ts", |at| damaged(at, "ts", 7)),
    ("ruined.flv", |at| damaged(at, "flv", 7)),
    ("unknown-sound.mp4", |at| replaced(at, b"mp4a", b"mhm1")),
    ("unknown-picture.mp4", |at| replaced(at, b"avc1", b"xxxx")),
    ("encrypted.mp4", |at| encode(at, &format!("{SOURCES} {CODECS} {CENC}"))),
    // Timestamps and durations.
    ("endless.mp4", endless),
    ("sound-jumps.mkv", |at| jump(at, "asetpts='if(gt(T,2),PTS+7200/TB,PTS)'", "null")),
    ("both-jump.mkv", |at| {
        jump(at, "asetpts='if(gt(T,2),PTS+1800/TB,PTS)'", "setpts='if(gt(T,2),PTS+1800/TB,PTS)'")
    }),
    ("picture-jumps.mkv", |at| jump(at, "anull", "setpts='if(gt(T,2),PTS+7200/TB,PTS)'")),
    ("late-sound.ts", |at| {
        encode(at, &format!("{BIG} -itsoffset 8 -f lavfi -i sine=440:r=48000:d=2 {CODECS} -c:a mp2"))
    }),
    ("late-picture.mkv", |at| encode(at, &format!("-itsoffset 6 {SOURCES} -t 10 {CODECS}"))),
    ("stale-tag.mkv", |at| {
        encode(at, &format!("{SOURCES} {CODECS}"))?;
        replace_in(at, b"00:00:04", b"02:00:04")
    }),
    ("far.ts", |at| encode(at, &format!("{SOURCES} {CODECS} -output_ts_offset 90000"))),
    ("wraps.ts", |at| encode(at, &format!("{SOURCES} {CODECS} -output_ts_offset 95441"))),
    ("backwards.ts", |at| joined(at, "-output_ts_offset 3000", "")),
    ("codec-changes.ts", |at| joined(at, "", "-c:v mpeg2video -c:a mp2")),
    ("size-changes.ts", |at| joined(at, "", "-s 640x480 -ar 32000 -ac 1")),
    ("pids-change.ts", |at| joined(at, "", "-mpegts_start_pid 0x300 -mpegts_pmt_start_pid 0x1200")),
    // No duration, or a picture shorter than the sound.
    ("no-lengths.webm", |at| {
        encode(
            at,
            "-f lavfi -i testsrc2=s=320x180:r=25:d=2 -f lavfi -i sine=440:d=4 -c:v libvpx -deadline realtime -c:a libopus -live 1",
        )
    }),
    ("short-picture.flv", |at| {
        encode(at, &format!("-f lavfi -i testsrc2=s=320x180:r=25:d=2 -f lavfi -i sine=440:d=5 {CODECS}"))
    }),
    ("vbr.mp3", |at| {
        encode(at, "-f lavfi -i anoisesrc=d=6:a=0.3 -c:a libmp3lame -q:a 0 -write_xing 0 -id3v2_version 0")
    }),
    ("raw.aac", |at| encode(at, "-f lavfi -i sine=440:d=5 -c:a aac -f adts")),
    // Low frame rates and stills.
    ("slides.mp4", |at| {
        encode(at, &format!("-f lavfi -i testsrc2=s=320x180:r=1/5:d=10 -f lavfi -i sine=440:d=10 {CODECS}"))
    }),
    ("one-frame.mp4", |at| encode(at, &format!("-f lavfi -i testsrc2 -frames:v 1 {CODECS}"))),
    ("one-frame-with-sound.mp4", |at| {
        encode(at, &format!("-f lavfi -i testsrc2=r=25:d=0.04 -f lavfi -i sine=440:d=6 {CODECS}"))
    }),
    ("still.png", |at| encode(at, "-f lavfi -i testsrc2=s=640x360 -frames:v 1")),
    ("still.jpg", |at| encode(at, "-f lavfi -i testsrc2=s=640x360 -frames:v 1")),
    ("still.gif", |at| encode(at, "-f lavfi -i testsrc2=s=640x360 -frames:v 1")),
    // Picture sizes and shapes.
    ("dot.mkv", |at| encode(at, "-f lavfi -i testsrc2=s=2x2:r=25:d=2 -c:v ffv1")),
    ("giant.mp4", |at| {
        encode(
            at,
            "-f lavfi -i color=s=7680x4320:r=10 -frames:v 5 -c:v libx264 -preset ultrafast -pix_fmt yuv420p",
        )
    }),
    ("thousand.mkv", |at| {
        encode(at, "-f lavfi -i testsrc2=s=64x64:r=1000:d=2 -c:v libx264 -preset ultrafast -pix_fmt yuv420p")
    }),
    ("deep.mov", |at| encode(at, "-f lavfi -i testsrc2=s=320x180:r=25:d=2 -c:v qtrle -pix_fmt argb")),
    ("eight-channels.wav", |at| encode(at, "-f lavfi -i aevalsrc=0|0|0|0|0|0|0|0:s=96000:d=3")),
    ("two-programmes.ts", |at| {
        encode(
            at,
            &format!(
                "{SOURCES} -f lavfi -i smptebars=s=640x360:r=25:d=4 -f lavfi -i sine=880:d=4 -map 0 -map 1 -map 2 \
                 -map 3 {CODECS} -program program_num=1:st=0:st=1 -program program_num=2:st=2:st=3"
            ),
        )
    }),
    // Playlists.
    ("itself.m3u", |at| bytes(at, b"itself.m3u\nitself.m3u\n")),
    ("many.m3u", |at| bytes(at, &b"x://nothing\n".repeat(100_000))),
    ("nested.m3u", nested),
    ("no-segments.m3u8", |at| {
        bytes(at, b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\ngone.ts\n#EXT-X-ENDLIST\n")
    }),
    ("no-key.m3u8", |at| hls(at, "#EXT-X-KEY:METHOD=AES-128,URI=\"gone.key\"\n", "#EXT-X-ENDLIST\n")),
    ("breaks.m3u8", |at| hls(at, "#EXT-X-DISCONTINUITY\n", "#EXT-X-ENDLIST\n")),
    ("unended.m3u8", |at| hls(at, "", "")),
    ("utf16.m3u", |at| {
        let text = "#EXTM3U\r\nнет.mp4\r\n".encode_utf16().flat_map(u16::to_le_bytes);
        bytes(at, &[0xff, 0xfe].into_iter().chain(text).collect::<Vec<_>>())
    }),
    ("garbage.xspf", |at| bytes(at, b"<playlist><trackList><track><location>%%%</location></track>")),
];

const BIG: &str = "-f lavfi -i testsrc2=s=1920x1080:r=25:d=10";
const CENC: &str = "-encryption_scheme cenc-aes-ctr -encryption_key 76a6c65c5ea762046bd749a2e632ccbb \
                    -encryption_kid a7e61c373e219033c21091fa607bf3b8";

/// Creates the input of this number in [`INPUTS`] below `dir`.
pub fn make(dir: &Path, number: usize) -> Result<PathBuf> {
    let (name, make) = INPUTS[number % INPUTS.len()];
    let at = dir.join(name);
    if at.symlink_metadata().is_err() {
        make(&at).with_context(|| format!("make the input {name}"))?;
    }
    Ok(at)
}

fn bytes(at: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(at, bytes).context("write it")
}

fn encode(at: &Path, args: &str) -> Result<()> {
    ffmpeg(&args.split_whitespace().map(str::to_owned).collect::<Vec<_>>(), at)
}

/// A valid file of this type as bytes.
fn good(beside: &Path, extension: &str) -> Result<Vec<u8>> {
    let dir = beside.parent().context("an input without a directory")?;
    let made = tempfile::Builder::new().prefix(".good-").suffix(&format!(".{extension}")).tempfile_in(dir)?;
    encode(made.path(), &format!("{SOURCES} {CODECS}"))?;
    Ok(fs::read(made.path())?)
}

/// Writes the first `share` of a valid file.
fn cut(at: &Path, extension: &str, share: f64) -> Result<()> {
    let good = good(at, extension)?;
    bytes(at, &good[..(good.len() as f64 * share) as usize])
}

/// Writes a valid file with every `each`-th byte after the beginning changed.
fn damaged(at: &Path, extension: &str, each: usize) -> Result<()> {
    let mut good = good(at, extension)?;
    for (byte, other) in good.iter_mut().skip(2000).step_by(each).zip(noise(1 << 20)) {
        *byte = other;
    }
    bytes(at, &good)
}

/// Writes a valid MP4 with `from` replaced by `to`.
fn replaced(at: &Path, from: &[u8], to: &[u8]) -> Result<()> {
    bytes(at, &good(at, "mp4")?)?;
    replace_in(at, from, to)
}

fn replace_in(at: &Path, from: &[u8], to: &[u8]) -> Result<()> {
    ensure!(from.len() == to.len(), "another length");
    let mut all = fs::read(at)?;
    let found: Vec<usize> =
        all.windows(from.len()).enumerate().filter(|(_, w)| *w == from).map(|(at, _)| at).collect();
    ensure!(!found.is_empty(), "nothing to replace");
    for place in found {
        all[place..place + to.len()].copy_from_slice(to);
    }
    bytes(at, &all)
}

/// Writes an MP4 whose media headers state nearly the longest possible duration.
fn endless(at: &Path) -> Result<()> {
    let mut all = good(at, "mp4")?;
    let headers: Vec<usize> =
        all.windows(4).enumerate().filter(|(_, w)| *w == b"mdhd").map(|(at, _)| at).collect();
    ensure!(headers.len() == 2, "not two tracks");
    for header in headers {
        // After type, version and times: a time scale of 1, and the largest duration.
        all[header + 16..header + 24].copy_from_slice(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]);
    }
    bytes(at, &all)
}

fn jump(at: &Path, sound: &str, picture: &str) -> Result<()> {
    encode(at, &format!("{SOURCES} -filter:v {picture} -filter:a {sound} {CODECS} -vsync passthrough"))
}

/// Concatenates two transport streams with separate options.
fn joined(at: &Path, first: &str, second: &str) -> Result<()> {
    let dir = at.parent().context("an input without a directory")?;
    let mut all = Vec::new();
    for options in [first, second] {
        let part = tempfile::Builder::new().prefix(".part-").suffix(".ts").tempfile_in(dir)?;
        encode(part.path(), &format!("{SOURCES} {CODECS} {options}"))?;
        all.extend(fs::read(part.path())?);
    }
    bytes(at, &all)
}

/// An HLS playlist of two segments with `between` before each and `end` after them.
fn hls(at: &Path, between: &str, end: &str) -> Result<()> {
    let name = at.file_stem().context("no name")?.to_string_lossy().into_owned();
    let mut list = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n".to_owned();
    for number in 0..2 {
        let segment = format!("{name}-{number}.ts");
        encode(&at.with_file_name(&segment), &format!("{SOURCES} {CODECS}"))?;
        let _ = writeln!(list, "{between}#EXTINF:4.0,\n{segment}");
    }
    bytes(at, (list + end).as_bytes())
}

/// Thirty playlists, each of which lists all of them.
fn nested(at: &Path) -> Result<()> {
    let names: Vec<String> = (0..30).map(|number| format!("nested-{number}.m3u")).collect();
    for name in &names {
        bytes(&at.with_file_name(name), names.join("\n").as_bytes())?;
    }
    bytes(at, names.join("\n").as_bytes())
}

fn fifo(at: &Path) -> Result<()> {
    ensure!(Command::new("mkfifo").arg(at).status()?.success(), "mkfifo failed");
    Ok(())
}

/// Pseudo-random bytes, the same in each run.
fn noise(length: u32) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_input_has_a_name_of_its_own() {
        let mut names: Vec<&str> = INPUTS.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), INPUTS.len());
    }
}
