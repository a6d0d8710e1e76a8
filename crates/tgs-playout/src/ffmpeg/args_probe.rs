//! Tests FFMPEG_ARGS before use: encodes three seconds and checks the result with our FLV reader.
//!
//! The result is stored per arguments, profile and ffmpeg, so that later starts skip the test.

use std::{fs, io, path::Path, process::ExitStatus, time::Duration};

use tgs_core::{cancel::Cancel, digest, files, process};
use tgs_rtmp::{
    codec::{AacConfig, AvcConfig},
    flv::{FlvError, Kind, Tag},
};

use super::{
    args::EncodeJob, extra_args::ExtraArgsError, passthrough::holds_idr, process::Encoder, setup::EncodeSetup,
};
use crate::{
    profile::{AAC_FRAME, MAX_KEYFRAME_DISTANCE, Profile},
    source_failure::first_message,
};

/// Length of the trial.
const LENGTH: Duration = Duration::from_secs(3);

/// Content of the result file for accepted arguments.
const GOOD: &str = "good";

/// Why FFMPEG_ARGS are not used.
#[derive(Debug, thiserror::Error)]
pub enum ArgsProbeError {
    /// They cannot be split, or hold an option that is refused.
    #[error(transparent)]
    Args(#[from] ExtraArgsError),
    /// The trial showed that the stream cannot be broadcast.
    #[error("{verdict}")]
    Rejected {
        /// The verdict of this trial or of an earlier one.
        verdict: String,
    },
    /// The trial could not run.
    #[error(transparent)]
    Untried(#[from] TrialError),
}

/// Checks whether the stream that `setup` makes with its extra arguments can be broadcast; the
/// error says why not. `version` names the ffmpeg; `dir` stores the result.
pub fn prove(setup: &EncodeSetup, version: &str, dir: &Path, cancel: &Cancel) -> Result<(), ArgsProbeError> {
    let key = digest::key([format!("{:?} {:?} {version}", setup.profile, setup.extra)]);
    let path = dir.join(format!("ffmpeg-args-{key}"));
    if let Ok(verdict) = files::read_text(&path) {
        return if verdict == GOOD { Ok(()) } else { Err(ArgsProbeError::Rejected { verdict }) };
    }
    // A trial that could not run says nothing about the arguments and is not stored.
    let verdict = run_trial(setup, cancel)?.map_err(|rejection| rejection.to_string());
    let text = verdict.as_ref().map_or_else(String::as_str, |()| GOOD);
    if !cancel.is_cancelled()
        && let Err(error) = files::replace(&path, text.as_bytes(), 0o644)
    {
        log::debug!("the verdict on FFMPEG_ARGS is not kept in {}: {error}", path.display());
    }
    verdict.map_err(|verdict| ArgsProbeError::Rejected { verdict })
}

/// Why a trial says nothing about the arguments.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// No directory for the trial.
    #[error("there is no room for the trial: {0}")]
    Directory(#[source] io::Error),
    /// ffmpeg does not start.
    #[error("ffmpeg does not start: {0}")]
    Start(#[source] io::Error),
    /// ffmpeg was silent.
    #[error("ffmpeg gave nothing for 10 s in their trial")]
    Silent,
    /// The end of ffmpeg is unknown.
    #[error("{0}")]
    Finish(#[source] io::Error),
    /// A signal ended ffmpeg.
    #[error("their trial was {}", process::describe(*.0))]
    Signalled(ExitStatus),
}

/// Why the stream of a trial cannot be broadcast. The text is kept for later starts.
#[derive(Debug, thiserror::Error)]
enum Rejection {
    #[error("what ffmpeg makes with them is no FLV stream: it {0}")]
    NotFlv(#[source] FlvError),
    #[error("ffmpeg does not come to an end with them")]
    Endless,
    #[error("ffmpeg refuses them: {message}")]
    Refused { message: String },
    #[error("ffmpeg takes a part of them for another output file")]
    OutputFile,
    #[error("the picture is not H.264, which Telegram needs")]
    NotAvc,
    #[error("the sound is not AAC, which Telegram needs")]
    NotAac,
    #[error("the picture is not yuv420p with 8 bits, which Telegram needs")]
    PixelFormat,
    #[error(
        "the picture is {}×{}, the broadcast's is {}×{}: VIDEO_QUALITY chooses the size",
        found.0, found.1, wanted.0, wanted.1
    )]
    Size { found: (u32, u32), wanted: (u32, u32) },
    #[error(
        "the sound is of {} Hz and {} channels, the broadcast's is AAC-LC of {} Hz and {} channels",
        found.0, found.1, wanted.0, wanted.1
    )]
    Sound { found: (u32, u32), wanted: (u32, u32) },
    #[error("{found} pictures came in 3 s instead of {expected}: the frame rate must stay {fps}")]
    FrameRate { found: usize, expected: u64, fps: u32 },
    #[error("{0} frames of sound came in 3 s: it must neither be cut nor stretched")]
    SoundLength(u64),
    #[error("they move the picture in time: it must begin with its sound and come frame by frame")]
    Timing,
    #[error(
        "its keyframes are not IDR pictures, so that a viewer cannot begin at them: leave out open GOPs and intra \
         refresh"
    )]
    NotIdr,
    #[error("keyframes are more than 2.1 s apart: leave out -g, or set it to two seconds")]
    KeyframeDistance,
}

/// Runs the trial. The outer error says why the trial could not run.
fn run_trial(setup: &EncodeSetup, cancel: &Cancel) -> Result<Result<(), Rejection>, TrialError> {
    // A directory of its own reveals an argument that ffmpeg takes for an output file.
    let scratch = tempfile::tempdir_in(&setup.scratch).map_err(TrialError::Directory)?;
    let job = EncodeJob::test_picture(setup, LENGTH);
    let mut command = job.command(setup);
    command.current_dir(scratch.path());
    let mut encoder = Encoder::start(command, cancel).map_err(TrialError::Start)?;
    let mut tags = Vec::new();
    let read = loop {
        match encoder.next_tag() {
            Ok(Some(tag)) => tags.push(tag),
            Ok(None) => break Ok(()),
            Err(FlvError::Io(e)) if e.kind() == io::ErrorKind::TimedOut => return Err(TrialError::Silent),
            Err(error) => break Err(Rejection::NotFlv(error)),
        }
        if tags.len() > 10_000 {
            break Err(Rejection::Endless);
        }
    };
    let ended = encoder.finish(read.is_ok()).map_err(TrialError::Finish)?;
    if read.is_err() {
        return Ok(read);
    }
    if ended.status.code().is_none() {
        return Err(TrialError::Signalled(ended.status));
    }
    if !ended.status.success() {
        return Ok(Err(Rejection::Refused { message: first_message(&ended.messages) }));
    }
    if fs::read_dir(scratch.path()).is_ok_and(|mut dir| dir.next().is_some()) {
        return Ok(Err(Rejection::OutputFile));
    }
    Ok(examine(&tags, &setup.profile))
}

/// Checks whether the tags of the trial can join the broadcast.
fn examine(tags: &[Tag], profile: &Profile) -> Result<(), Rejection> {
    examine_headers(tags, profile)?;
    let frames = |kind| tags.iter().filter(move |t| t.kind == kind && t.is_frame());
    let pictures: Vec<&Tag> = frames(Kind::Video).collect();
    let sounds: Vec<&Tag> = frames(Kind::Audio).collect();
    examine_rates(&pictures, &sounds, profile)?;
    examine_timing(&pictures, &sounds, profile)?;
    examine_keyframes(&pictures)
}

/// Checks the codecs and their parameters.
fn examine_headers(tags: &[Tag], profile: &Profile) -> Result<(), Rejection> {
    let header = |kind| tags.iter().find(|t| t.kind == kind && t.is_sequence_header());
    let picture = header(Kind::Video).and_then(|t| AvcConfig::parse(&t.body)).ok_or(Rejection::NotAvc)?;
    let sound = header(Kind::Audio).and_then(|t| AacConfig::parse(&t.body)).ok_or(Rejection::NotAac)?;
    if (picture.chroma_format, picture.bit_depth) != (1, 8) {
        return Err(Rejection::PixelFormat);
    }
    let (found, wanted) = ((picture.width, picture.height), (profile.width, profile.height));
    if found != wanted {
        return Err(Rejection::Size { found, wanted });
    }
    let (found, wanted) = ((sound.rate, sound.channels), (profile.audio_rate, profile.channels));
    if sound.object_type != 2 || found != wanted {
        return Err(Rejection::Sound { found, wanted });
    }
    Ok(())
}

/// Checks how many frames of picture and sound the trial gave.
fn examine_rates(pictures: &[&Tag], sounds: &[&Tag], profile: &Profile) -> Result<(), Rejection> {
    let expected = LENGTH.as_secs() * u64::from(profile.fps);
    if pictures.len().abs_diff(expected as usize) > 1 {
        return Err(Rejection::FrameRate { found: pictures.len(), expected, fps: profile.fps });
    }
    let found = sounds.len() as u64;
    if found.abs_diff(LENGTH.as_secs() * u64::from(profile.audio_rate) / AAC_FRAME) > 3 {
        return Err(Rejection::SoundLength(found));
    }
    Ok(())
}

/// Checks that the picture begins with its sound, and that its frames are evenly spaced.
fn examine_timing(pictures: &[&Tag], sounds: &[&Tag], profile: &Profile) -> Result<(), Rejection> {
    let apart = |a: u64, b: u64| a.abs_diff(b) * u64::from(profile.fps);
    let heard = sounds.first().map_or(0, |t| t.timestamp);
    let shown = pictures[0].timestamp + u64::from(pictures[0].composition_time().max(0).unsigned_abs());
    let uneven = |pair: &[&Tag]| apart(pair[0].timestamp, pair[1].timestamp) > 1500;
    if apart(heard, shown) > 3000 || pictures.windows(2).any(uneven) {
        return Err(Rejection::Timing);
    }
    Ok(())
}

/// Checks that a viewer can begin at each keyframe, and that one comes often enough.
fn examine_keyframes(pictures: &[&Tag]) -> Result<(), Rejection> {
    if pictures.iter().any(|picture| picture.is_keyframe() && !holds_idr(&picture.body)) {
        return Err(Rejection::NotIdr);
    }
    let mut last = None;
    let limit = MAX_KEYFRAME_DISTANCE.as_millis() as u64;
    let keys = pictures.iter().filter(|t| t.is_keyframe()).map(|t| t.timestamp);
    for key in keys.chain(pictures.last().map(|t| t.timestamp)) {
        if key - last.unwrap_or(pictures[0].timestamp) > limit
            || (last.is_none() && !pictures[0].is_keyframe())
        {
            return Err(Rejection::KeyframeDistance);
        }
        last = Some(key);
    }
    Ok(())
}
