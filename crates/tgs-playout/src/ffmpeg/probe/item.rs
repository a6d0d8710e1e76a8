//! Probes an item: runs ffprobe on each source, picks the streams, measures them.

use std::{collections::HashSet, path::Path};

use tgs_core::cancel::Cancel;

use super::{
    ffprobe::{FfprobeOutput, FfprobeStream, Undecodable, ask, decoders, packets},
    found::{Probe, ProbeOptions},
    measure::BRIEF,
    pick,
    stored::stored,
};
use crate::item::{FailureReason, ItemFailure, Media};

/// Probes `media` for a broadcast with the options `wanted`. Blocks until ffprobe answers, `cancel`
/// is set or the time limit passes (20 s per run).
pub fn probe(
    ffprobe: &Path,
    media: &Media,
    wanted: ProbeOptions,
    cancel: &Cancel,
) -> Result<Probe, ItemFailure> {
    probe_from(ffprobe, media, wanted, 0, cancel)
}

/// Probes as [`probe`] does, from byte `skip_bytes` of the only source on.
pub fn probe_from(
    ffprobe: &Path,
    media: &Media,
    wanted: ProbeOptions,
    skip_bytes: u64,
    cancel: &Cancel,
) -> Result<Probe, ItemFailure> {
    let mut found = Probe { skip_bytes, ..Probe::default() };
    let (mut closed, mut image, mut stated) = (None, false, true);
    for (number, source) in media.sources.iter().enumerate() {
        let mut answer = ask(ffprobe, source, skip_bytes, packets(source), cancel)?;
        answer.note_encrypted();
        if answer.streams.iter().any(FfprobeStream::is_unsure)
            && let Some(known) = decoders(ffprobe, cancel)
        {
            answer.note_undecodable(&known);
        }
        let choice = pick::choose(&answer, wanted.height);
        found.video = found.video.or_else(|| choice.video(&answer, number));
        found.stored = stored(&answer, &choice).filter(|_| media.sources.len() == 1);
        // The second of two sources is the sound's, even if the first holds sound too.
        found.audio = choice.audio(&answer, number).or(found.audio);
        found.unheard = found.audio.is_none() && answer.streams.iter().any(|s| s.is("audio"));
        found.pid = choice.pid(&answer).filter(|_| media.sources.len() == 1);
        found.times.estimated |= answer.is_estimated();
        // A photo may hold a second picture (MPO); a raw MJPEG stream has as many as requested.
        image |= answer.format.is_image() && answer.packets.len() < packets(source) as usize;
        found.times.restarts |= answer.format.restarts();
        let mut chosen = [choice.picture, choice.sound].into_iter().flatten();
        stated &= chosen.all(|stream| stream.states_end(&answer.format));
        closed = closed.or_else(|| answer.streams.iter().find_map(|stream| stream.undecodable));
    }
    if found.video.is_none() && found.audio.is_none() {
        let why = match closed {
            Some(Undecodable::Encrypted) => "it is encrypted, and there is no key to it",
            _ => "it holds neither picture nor sound that ffmpeg can decode",
        };
        return Err(ItemFailure::new(FailureReason::Unplayable, why));
    }
    let pictures = found.measure(ffprobe, media, stated, cancel);
    let brief = found.duration.is_some_and(|whole| whole < BRIEF) || pictures == Some(1);
    found.still = found.audio.is_none() && !media.live && (image || brief);
    if found.still {
        found.duration = Some(wanted.image_duration);
        found.times.estimated = false;
    }
    let ends = media.sources.first().and_then(|source| source.ends);
    found.duration = found.duration.or(ends.filter(|length| !length.is_zero()));
    Ok(found)
}

/// Parses any bytes as ffprobe's answer about a file. For tests and fuzzing only; runs no process.
#[doc(hidden)]
#[must_use]
pub fn read_any(answer: &[u8]) -> Option<Probe> {
    let mut answer: FfprobeOutput = serde_json::from_slice(answer).ok()?;
    answer.note_encrypted();
    answer.note_undecodable(&HashSet::new());
    let choice = pick::choose(&answer, 720);
    let mut found = Probe {
        video: choice.video(&answer, 0),
        audio: choice.audio(&answer, 0),
        stored: stored(&answer, &choice),
        pid: choice.pid(&answer),
        ..Probe::default()
    };
    found.times.estimated = answer.is_estimated();
    found.times.restarts = answer.format.restarts();
    found.still = answer.format.is_image();
    found.measure(Path::new("/"), &Media::at("file:/".into(), false), true, &Cancel::new());
    Some(found)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_stream_that_begins_late_ends_late() {
        let answer: FfprobeOutput = serde_json::from_str(
            r#"{"streams":[
                {"index":0,"codec_type":"video","codec_name":"h264","width":16,"height":16,"start_time":"4.5","duration":"7.0"},
                {"index":1,"codec_type":"audio","codec_name":"aac","start_time":"1.5","duration":"10.0"}],
               "format":{"start_time":"1.5","duration":"10.0"}}"#,
        )
        .unwrap();
        let end = Some(Duration::from_secs(10));
        let choice = pick::choose(&answer, 720);
        assert_eq!(choice.video(&answer, 0).unwrap().duration, end);
        assert_eq!(choice.audio(&answer, 0).unwrap().duration, end);
    }
}
