//! Tests FFMPEG_ARGS before use: encodes three seconds and checks the result with our FLV reader.
//!
//! The result is stored per arguments, profile and ffmpeg, so that later starts skip the test.

use std::{fs, path::Path, time::Duration};

use tgs_core::{cancel::Cancel, digest, files};
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

/// Checks whether the stream that `setup` makes with its extra arguments can be broadcast; the
/// error says why not. `version` names the ffmpeg; `dir` stores the result.
pub fn prove(setup: &EncodeSetup, version: &str, dir: &Path, cancel: &Cancel) -> Result<(), ExtraArgsError> {
    let key = digest::key([format!("{:?} {:?} {version}", setup.profile, setup.extra)]);
    let path = dir.join(format!("ffmpeg-args-{key}"));
    if let Ok(verdict) = files::read_text(&path) {
        return if verdict == GOOD { Ok(()) } else { Err(ExtraArgsError::Rejected(verdict)) };
    }
    // A trial that could not run says nothing about the arguments and is not stored.
    let verdict = run_trial(setup, cancel).map_err(ExtraArgsError::Untried)?;
    let text = verdict.as_ref().map_or_else(String::as_str, |()| GOOD);
    if !cancel.is_cancelled()
        && let Err(error) = files::replace(&path, text.as_bytes(), 0o644)
    {
        log::debug!("the verdict on FFMPEG_ARGS is not kept in {}: {error}", path.display());
    }
    verdict.map_err(ExtraArgsError::Rejected)
}

/// Runs the trial. The outer error says why the trial could not run.
fn run_trial(setup: &EncodeSetup, cancel: &Cancel) -> Result<Result<(), String>, String> {
    // A directory of its own reveals an argument that ffmpeg takes for an output file.
    let scratch =
        tempfile::tempdir_in(&setup.scratch).map_err(|e| format!("there is no room for the trial: {e}"))?;
    let job = EncodeJob::test_picture(setup, LENGTH);
    let mut command = job.command(setup);
    command.current_dir(scratch.path());
    let mut encoder = Encoder::start(command, cancel).map_err(|e| format!("ffmpeg does not start: {e}"))?;
    let mut tags = Vec::new();
    let read = loop {
        match encoder.next_tag() {
            Ok(Some(tag)) => tags.push(tag),
            Ok(None) => break Ok(()),
            Err(FlvError::Io(e)) if e.kind() == std::io::ErrorKind::TimedOut => {
                return Err("ffmpeg gave nothing for 10 s in their trial".to_owned());
            }
            Err(error) => break Err(format!("what ffmpeg makes with them is no FLV stream: it {error}")),
        }
        if tags.len() > 10_000 {
            break Err("ffmpeg does not come to an end with them".to_owned());
        }
    };
    let ended = encoder.finish(read.is_ok()).map_err(|e| e.to_string())?;
    if ended.status.code().is_none() && read.is_ok() {
        return Err(format!("their trial was {}", tgs_core::process::describe(ended.status)));
    }
    if !ended.status.success() && read.is_ok() {
        return Ok(Err(format!("ffmpeg refuses them: {}", first_message(&ended.messages))));
    }
    if read.is_err() {
        return Ok(read);
    }
    if fs::read_dir(scratch.path()).is_ok_and(|mut dir| dir.next().is_some()) {
        return Ok(Err("ffmpeg takes a part of them for another output file".into()));
    }
    Ok(examine(&tags, &setup.profile))
}

/// Checks whether the tags of the trial can join the broadcast.
fn examine(tags: &[Tag], profile: &Profile) -> Result<(), String> {
    let header = |kind| tags.iter().find(|t| t.kind == kind && t.is_sequence_header());
    let picture = header(Kind::Video)
        .and_then(|t| AvcConfig::parse(&t.body))
        .ok_or("the picture is not H.264, which Telegram needs")?;
    let sound = header(Kind::Audio)
        .and_then(|t| AacConfig::parse(&t.body))
        .ok_or("the sound is not AAC, which Telegram needs")?;
    if (picture.chroma_format, picture.bit_depth) != (1, 8) {
        return Err("the picture is not yuv420p with 8 bits, which Telegram needs".into());
    }
    if (picture.width, picture.height) != (profile.width, profile.height) {
        return Err(format!(
            "the picture is {}×{}, the broadcast's is {}×{}: VIDEO_QUALITY chooses the size",
            picture.width, picture.height, profile.width, profile.height
        ));
    }
    if (sound.object_type, sound.rate, sound.channels) != (2, profile.audio_rate, profile.channels) {
        return Err(format!(
            "the sound is of {} Hz and {} channels, the broadcast's is AAC-LC of {} Hz and {} channels",
            sound.rate, sound.channels, profile.audio_rate, profile.channels
        ));
    }
    let pictures: Vec<&Tag> = tags.iter().filter(|t| t.kind == Kind::Video && t.is_frame()).collect();
    let expected = LENGTH.as_secs() * u64::from(profile.fps);
    if pictures.len().abs_diff(expected as usize) > 1 {
        return Err(format!(
            "{} pictures came in 3 s instead of {expected}: the frame rate must stay {}",
            pictures.len(),
            profile.fps
        ));
    }
    let sounds = tags.iter().filter(|t| t.kind == Kind::Audio && t.is_frame()).count() as u64;
    if sounds.abs_diff(LENGTH.as_secs() * u64::from(profile.audio_rate) / AAC_FRAME) > 3 {
        return Err(format!("{sounds} frames of sound came in 3 s: it must neither be cut nor stretched"));
    }
    let apart = |a: u64, b: u64| a.abs_diff(b) * u64::from(profile.fps);
    let heard = tags.iter().find(|t| t.kind == Kind::Audio && t.is_frame()).map_or(0, |t| t.timestamp);
    let shown = pictures[0].timestamp + u64::from(pictures[0].composition_time().max(0).unsigned_abs());
    if apart(heard, shown) > 3000 || pictures.windows(2).any(|w| apart(w[0].timestamp, w[1].timestamp) > 1500)
    {
        return Err(
            "they move the picture in time: it must begin with its sound and come frame by frame".into()
        );
    }
    if pictures.iter().any(|picture| picture.is_keyframe() && !holds_idr(&picture.body)) {
        return Err(
            "its keyframes are not IDR pictures, so that a viewer cannot begin at them: leave out open GOPs \
                    and intra refresh"
                .into(),
        );
    }
    let mut last = None;
    let limit = MAX_KEYFRAME_DISTANCE.as_millis() as u64;
    let keys = pictures.iter().filter(|t| t.is_keyframe()).map(|t| t.timestamp);
    for key in keys.chain(pictures.last().map(|t| t.timestamp)) {
        if key - last.unwrap_or(pictures[0].timestamp) > limit
            || (last.is_none() && !pictures[0].is_keyframe())
        {
            return Err("keyframes are more than 2.1 s apart: leave out -g, or set it to two seconds".into());
        }
        last = Some(key);
    }
    Ok(())
}
