//! Probes an item: runs ffprobe on each source, picks the streams, measures them.

use std::{collections::HashSet, path::Path, time::Duration};

use tgs_core::{cancel::Cancel, language::Languages};

use super::{
    ffprobe::{FfprobeOutput, FfprobeStream, Undecodable, ask, decoders, packets},
    fields::{self, FlagTrust},
    found::{Probe, ProbeOptions},
    measure::BRIEF,
    pick,
    stored::stored,
    subtitles::subtitles,
    tags::Tags,
};
use crate::item::{FailureReason, ItemFailure, Media, MediaPart, MediaSource};

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

/// Probes as [`probe`] does and decodes no more than ffprobe does: the fields of the picture are
/// not measured. For a report, not for an encode.
pub fn probe_briefly(
    ffprobe: &Path,
    media: &Media,
    wanted: ProbeOptions,
    cancel: &Cancel,
) -> Result<Probe, ItemFailure> {
    let (mut found, _) = find(ffprobe, media, wanted, 0, cancel)?;
    if wanted.speed_up {
        found.speed_film_up(media);
    }
    Ok(found)
}

/// Probes as [`probe`] does, from byte `skip_bytes` of the only source on.
pub fn probe_from(
    ffprobe: &Path,
    media: &Media,
    wanted: ProbeOptions,
    skip_bytes: u64,
    cancel: &Cancel,
) -> Result<Probe, ItemFailure> {
    let (mut found, trust) = find(ffprobe, media, wanted, skip_bytes, cancel)?;
    fields::measure(&mut found, trust, ffprobe, media, cancel);
    if wanted.speed_up {
        found.speed_film_up(media);
    }
    found.settle_alpha(ffprobe, cancel);
    found.find_cover(ffprobe, media, cancel);
    Ok(found)
}

/// What ffprobe says about `source`, with the streams noted that cannot be decoded.
fn answer(
    ffprobe: &Path,
    source: &MediaSource,
    skip_bytes: u64,
    cancel: &Cancel,
) -> Result<FfprobeOutput, ItemFailure> {
    let mut answer = ask(ffprobe, source, skip_bytes, packets(source), cancel)?;
    answer.note_encrypted();
    if answer.streams.iter().any(FfprobeStream::is_unsure)
        && let Some(known) = decoders(ffprobe, cancel)
    {
        answer.note_undecodable(&known);
    }
    Ok(answer)
}

/// Refuses a file that leads to other files although its name does not say so: who may
/// add a film to a folder may not show every file of this machine.
fn refuse_disguised(source: &MediaSource, answer: &FfprobeOutput) -> Result<(), ItemFailure> {
    const LISTS: [(&str, &[&str]); 4] =
        [("hls", &[".m3u8", ".m3u"]), ("dash", &[".mpd"]), ("concat", &[".ffconcat"]), ("imf", &[".xml"])];
    let names = answer.format.names.as_deref().unwrap_or_default();
    let listed = LISTS.iter().find(|(format, _)| names.split(',').any(|name| name == *format));
    let Some((format, ends)) = listed.filter(|_| source.is_file()) else { return Ok(()) };
    let path = source.url.to_ascii_lowercase();
    if source.is_hls() || ends.iter().any(|end| path.ends_with(end)) {
        return Ok(());
    }
    let why = format!("it is a list of other files ({format}), and its name does not end with {}", ends[0]);
    Err(ItemFailure::new(FailureReason::Unplayable, why))
}

/// Probes, and says how far the container's word about the fields is to be trusted.
fn find(
    ffprobe: &Path,
    media: &Media,
    wanted: ProbeOptions,
    skip_bytes: u64,
    cancel: &Cancel,
) -> Result<(Probe, FlagTrust), ItemFailure> {
    let part = &media.part;
    let mut found = Probe { skip_bytes, ..Probe::default() };
    let (mut closed, mut image, mut stated, mut trust) = (None, false, true, FlagTrust::Full);
    for (number, source) in media.sources.iter().enumerate() {
        let answer = answer(ffprobe, source, skip_bytes, cancel)?;
        refuse_disguised(source, &answer)?;
        let choice = pick::choose(&answer, wanted.height, &part.languages, wanted.languages);
        // A photo may hold a second picture (MPO); a raw MJPEG stream has as many as requested.
        let is_image = answer.format.is_image() && answer.packets.len() < packets(source) as usize;
        found.image |= is_image && found.video.is_none();
        if found.video.is_none() {
            found.video = choice.video(&answer, number);
            found.subtitles = subtitles(&answer);
            let picture = choice.picture.zip(found.video);
            trust = picture.map_or(trust, |(stream, video)| FlagTrust::of(stream, &video));
        }
        found.note_cover(&choice, media, number);
        found.tags = found.tags.or(Tags::of(&answer));
        found.stored = stored(&answer, &choice).filter(|_| media.sources.len() == 1);
        // The second of two sources is the sound's, even if the first holds sound too.
        found.audio = choice.audio(&answer, number).or(found.audio);
        found.unheard = found.audio.is_none() && answer.streams.iter().any(|s| s.is("audio"));
        if part.no_audio {
            (found.audio, found.unheard) = (None, false);
        }
        found.pid = choice.pid(&answer).filter(|_| media.sources.len() == 1);
        found.times.estimated |= answer.is_estimated();
        image |= is_image;
        found.times.restarts |= answer.format.restarts();
        let mut chosen = [choice.picture, choice.sound].into_iter().flatten();
        stated &= chosen.all(|stream| stream.states_end(&answer.format));
        closed = closed.or_else(|| answer.streams.iter().find_map(|stream| stream.undecodable));
    }
    if found.video.is_none() && found.audio.is_none() {
        let why = match closed {
            Some(Undecodable::Encrypted) => "it is encrypted, and there is no key to it",
            None if part.no_audio => "it holds no picture, and its list says no-audio",
            _ => "it holds neither picture nor sound that ffmpeg can decode",
        };
        return Err(ItemFailure::new(FailureReason::Unplayable, why));
    }
    let pictures = found.measure(ffprobe, media, stated, cancel);
    let brief = found.duration.is_some_and(|whole| whole < BRIEF) || pictures == Some(1);
    found.still = found.audio.is_none() && !media.live && (image || brief);
    if found.still {
        found.duration = Some(part.length().or(part.still).unwrap_or(wanted.image_duration));
        found.times.estimated = false;
        return Ok((found, FlagTrust::Full));
    }
    let ends = media.sources.first().and_then(|source| source.ends);
    found.duration = found.duration.or(ends.filter(|length| !length.is_zero()));
    found.image &= found.audio.is_some();
    // One picture is held while the sound of another source plays.
    found.times.split |= found.image;
    // Streams that follow others have times of their own.
    if skip_bytes == 0 && !media.live {
        found.cut(part)?;
    }
    Ok((found, trust))
}

impl Probe {
    /// Makes all times those of `part`.
    fn cut(&mut self, part: &MediaPart) -> Result<(), ItemFailure> {
        if let Some(whole) = self.duration.filter(|whole| *whole <= part.in_point && !whole.is_zero()) {
            let (from, whole) = (part.in_point.as_secs_f64(), whole.as_secs_f64());
            let why = format!("its list begins it at {from:.1} s, and it ends at {whole:.1} s");
            return Err(ItemFailure::new(FailureReason::Unplayable, why));
        }
        let clip = |at: Option<Duration>| at.map(|at| part.clip(at));
        self.duration = clip(self.duration);
        if let Some(video) = &mut self.video {
            (video.late, video.duration) = (video.late.saturating_sub(part.in_point), clip(video.duration));
        }
        if let Some(audio) = &mut self.audio {
            (audio.late, audio.duration) = (audio.late.saturating_sub(part.in_point), clip(audio.duration));
        }
        Ok(())
    }
}

/// Parses any bytes as ffprobe's answer about a file. For tests and fuzzing only; runs no process.
#[doc(hidden)]
#[must_use]
pub fn read_any(answer: &[u8]) -> Option<Probe> {
    let mut answer: FfprobeOutput = serde_json::from_slice(answer).ok()?;
    answer.note_encrypted();
    answer.note_undecodable(&HashSet::new());
    let choice = pick::choose(&answer, 720, &[], Languages::default());
    let mut found = Probe {
        video: choice.video(&answer, 0),
        audio: choice.audio(&answer, 0),
        stored: stored(&answer, &choice),
        subtitles: subtitles(&answer),
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
        let choice = pick::choose(&answer, 720, &[], Languages::default());
        assert_eq!(choice.video(&answer, 0).unwrap().duration, end);
        assert_eq!(choice.audio(&answer, 0).unwrap().duration, end);
    }
}
