//! The command lines that tgs-stream is compared with: ffmpeg alone with the options tgs-stream
//! gives it, and tgrtmp.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use tgs_playout::profile::Profile;

const PROFILE: Profile = Profile::P720;

/// One ffmpeg for all clips, joined by its concat filter, paced, to RTMP. `flv` is how it writes
/// (see [`PLAIN`]).
pub(super) fn bare_ffmpeg(clips: &[PathBuf], seconds: u32, flv: &[&str], url: &str) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-nostats", "-v", "error"]);
    for clip in clips {
        command.arg("-i").arg(clip);
    }
    command.args(["-filter_complex", &joined(clips, seconds)]);
    command.args(["-map", "[video]", "-map", "[audio]"]).args(encoding()).args(flv).arg(url);
    command
}

/// The ffmpeg that sends a ready file at its own speed and encodes nothing.
pub(super) fn copying_ffmpeg(file: &Path, url: &str) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-nostats", "-v", "error", "-re", "-i"]).arg(file);
    command.args(["-c", "copy"]).args(PLAIN).arg(url);
    command
}

/// tgrtmp sending a ready file, by the `python` that has it.
pub(super) fn tgrtmp(python: &Path, file: &Path, url: &str) -> Result<Command> {
    // tgrtmp would repeat the last picture for ever.
    const SCRIPT: &str = "\
import sys, threading, tgrtmp
ended = threading.Event()
player = tgrtmp.publish(*sys.argv[1:], on_media_end=lambda *_: ended.set())
while not (player.stopped or ended.wait(0.5)):
    pass
error = player.error
player.stop()
sys.exit(str(error) if error else 0)
";
    let (app, key) = url.rsplit_once('/').context("an address without a key")?;
    let mut command = Command::new(python);
    command.args(["-c", SCRIPT]).arg(file).args([app, key]);
    Ok(command)
}

/// Plain FLV.
pub(super) const PLAIN: [&str; 2] = ["-f", "flv"];

/// Through the fifo muxer, which reconnects.
pub(super) const FIFO: [&str; 18] = [
    "-f",
    "fifo",
    "-fifo_format",
    "flv",
    "-attempt_recovery",
    "1",
    "-recover_any_error",
    "1",
    "-drop_pkts_on_overflow",
    "1",
    "-recovery_wait_time",
    "0.5",
    "-restart_with_keyframe",
    "1",
    "-queue_size",
    "1000",
    "-flags",
    "+global_header",
];

/// The concat graph. A clip without a picture (by its name) gets a black one.
fn joined(clips: &[PathBuf], seconds: u32) -> String {
    let (w, h, fps, rate) = (PROFILE.width, PROFILE.height, PROFILE.fps, PROFILE.audio_rate);
    let picture = format!(
        "scale={w}:{h}:force_original_aspect_ratio=decrease:out_color_matrix=bt709:out_range=tv,\
         setsar=1,pad={w}:{h}:-1:-1,fps={fps},format=yuv420p"
    );
    let sound =
        format!("aresample={rate}:async=1:first_pts=0,aformat=sample_fmts=fltp:channel_layouts=stereo");
    let segment = |(n, clip): (usize, &PathBuf)| {
        let picture = if clip.extension().is_some_and(|e| e == "mp3") {
            format!("color=c=black:s={w}x{h}:r={fps}:d={seconds},format=yuv420p,setsar=1")
        } else {
            format!("[{n}:v]{picture}")
        };
        format!("{picture}[v{n}];[{n}:a]{sound}[a{n}];")
    };
    let graph: String = clips.iter().enumerate().map(segment).collect();
    let pairs: Vec<_> = (0..clips.len()).map(|n| format!("[v{n}][a{n}]")).collect();
    let pairs = pairs.concat();
    let count = clips.len();
    format!("{graph}{pairs}concat=n={count}:v=1:a=1[v][a];[v]realtime[video];[a]arealtime[audio]")
}

/// The encoder's options as tgs-stream has them.
fn encoding() -> Vec<String> {
    let kbps = PROFILE.video_kbps;
    format!(
        "-c:v libx264 -preset veryfast -b:v {kbps}k -maxrate {kbps}k -bufsize {}k -g {gop} -keyint_min {gop} \
         -sc_threshold 0 -c:a aac -b:a {}k -ar {} -ac {} -color_range tv -colorspace bt709 \
         -color_primaries bt709 -color_trc bt709",
        kbps * 2,
        PROFILE.audio_kbps,
        PROFILE.audio_rate,
        PROFILE.channels,
        gop = PROFILE.gop(),
    )
    .split(' ')
    .map(str::to_owned)
    .collect()
}
