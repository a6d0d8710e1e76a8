//! What is in an item, by ffprobe: which streams to use, how long each is, how the picture is stored.
//!
//! Runs off the pacing thread, one item ahead: a probe of a remote file can take seconds.

use std::{path::Path, time::Duration};

use serde::Deserialize;
use tgs_core::{
    cancel::Cancel,
    process::{self, RunError, describe},
};

use crate::{
    encoder,
    item::{Failure, Media, Reason, Source},
};

/// How long ffprobe may take for one source.
const TIME_OUT: Duration = Duration::from_secs(20);

/// ffprobe's answer for thousands of streams would still fit.
const MAX_ANSWER: usize = 4 << 20;

/// The picture stream that will be shown.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Video {
    /// Which of the item's sources it is in, from 0.
    pub source: usize,
    /// ffmpeg's stream index within that source.
    pub index: usize,
    /// Width in pixels as stored.
    pub width: u32,
    /// Height in pixels as stored.
    pub height: u32,
    /// Mean frames a second; 0 where unknown.
    pub fps: f64,
    /// Whether frames are made of two fields.
    pub interlaced: bool,
    /// When it ends, counted from the beginning of its source, where the container tells.
    pub duration: Option<Duration>,
}

/// The sound stream that will be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audio {
    /// Which of the item's sources it is in, from 0.
    pub source: usize,
    /// ffmpeg's stream index within that source.
    pub index: usize,
    /// How long after the beginning of its source it begins.
    pub late: Duration,
    /// When it ends, counted from the beginning of its source, where the container tells.
    pub duration: Option<Duration>,
}

/// What an item holds. At least one of the two streams is there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Probe {
    /// The picture, unless there is only sound (cover art is no picture).
    pub video: Option<Video>,
    /// The sound, unless the item is silent.
    pub audio: Option<Audio>,
    /// Length of the longer stream; `None` for live sources and where nothing tells.
    pub duration: Option<Duration>,
    /// What it is as it is stored, where that might go on air without being encoded.
    pub stored: Option<Stored>,
}

/// H.264 with 4:2:0 and 8 bits, square pixels, upright and progressive, beside AAC-LC, in one source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stored {
    /// Frames a second, all of them equally long.
    pub fps: f64,
    /// Samples a second.
    pub rate: u32,
    /// Channels.
    pub channels: u32,
    /// Bitrate of both in kbit/s.
    pub kbps: u32,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
}

#[derive(Deserialize, Default)]
struct Format {
    bit_rate: Option<String>,
    start_time: Option<String>,
    duration: Option<String>,
}

#[derive(Deserialize)]
struct Stream {
    index: usize,
    codec_type: Option<String>,
    codec_name: Option<String>,
    profile: Option<String>,
    pix_fmt: Option<String>,
    sample_aspect_ratio: Option<String>,
    sample_rate: Option<String>,
    channels: Option<u32>,
    width: Option<u32>,
    height: Option<u32>,
    avg_frame_rate: Option<String>,
    r_frame_rate: Option<String>,
    field_order: Option<String>,
    start_time: Option<String>,
    duration: Option<String>,
    #[serde(default)]
    disposition: Disposition,
    #[serde(default)]
    tags: Tags,
    /// How to turn it upright, among other things.
    #[serde(default)]
    side_data_list: Vec<serde_json::Value>,
}

#[derive(Deserialize, Default)]
struct Disposition {
    #[serde(default)]
    default: u8,
    #[serde(default)]
    attached_pic: u8,
    #[serde(default)]
    timed_thumbnails: u8,
}

/// Matroska keeps a stream's length in a tag.
#[derive(Deserialize, Default)]
struct Tags {
    #[serde(rename = "DURATION")]
    duration: Option<String>,
}

/// Asks ffprobe what `media` holds. Blocks until it answers, `cancel` is set or the time-out (20 s a source).
pub fn probe(ffprobe: &Path, media: &Media, cancel: &Cancel) -> Result<Probe, Failure> {
    let mut found = Probe { video: None, audio: None, duration: None, stored: None };
    for (number, source) in media.sources.iter().enumerate() {
        let answer = ask(ffprobe, source, cancel)?;
        if found.video.is_none() {
            found.video = pick_video(&answer, number);
        }
        found.stored = stored(&answer).filter(|_| media.sources.len() == 1);
        // With two sources the second is the sound's, whatever sound the first may hold.
        if let Some(audio) = pick_audio(&answer, number) {
            found.audio = Some(audio);
        }
    }
    if found.video.is_none() && found.audio.is_none() {
        return Err(Failure::new(
            Reason::Unplayable,
            "it holds neither picture nor sound that ffmpeg can decode",
        ));
    }
    let video = found.video.and_then(|v| v.duration);
    let audio = found.audio.and_then(|a| a.duration);
    found.duration = if media.live { None } else { video.max(audio) };
    Ok(found)
}

fn ask(ffprobe: &Path, source: &Source, cancel: &Cancel) -> Result<Answer, Failure> {
    let mut command = process::command(ffprobe);
    command
        .args(["-v", "error", "-of", "json", "-show_entries"])
        .arg(
            "format=start_time,duration,bit_rate:stream=index,codec_type,codec_name,profile,pix_fmt,width,height,\
             sample_aspect_ratio,sample_rate,channels,avg_frame_rate,r_frame_rate,field_order,start_time,duration:\
             stream_disposition=default,attached_pic,timed_thumbnails:stream_tags=DURATION:stream_side_data=rotation",
        )
        .args(encoder::source_options(source))
        .args(["-i", &source.url]);
    let output = process::output(command, TIME_OUT, MAX_ANSWER, cancel).map_err(|error| match error {
        RunError::TimedOut { .. } => {
            Failure::new(Reason::Timeout, format!("ffprobe got no answer within {} s", TIME_OUT.as_secs()))
        }
        other => Failure::new(Reason::Tool, format!("cannot run {}: {other}", ffprobe.display())),
    })?;
    if output.status.code().is_none() {
        // It says nothing then, and what it was asked about has no part in it.
        return Err(Failure::new(Reason::Tool, format!("ffprobe was {}", describe(output.status))));
    }
    if !output.status.success() {
        return Err(encoder::explain(&String::from_utf8_lossy(&output.stderr), source));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| Failure::new(Reason::Tool, format!("cannot read ffprobe's answer: {error}")))
}

/// The largest picture stream; the first of equals.
fn pick_video(answer: &Answer, source: usize) -> Option<Video> {
    let mut best: Option<Video> = None;
    for stream in answer.streams.iter().filter(|s| s.is("video")) {
        let cover = stream.disposition.attached_pic | stream.disposition.timed_thumbnails != 0;
        let (Some(width), Some(height)) = (stream.width, stream.height) else { continue };
        if cover || width == 0 || height == 0 {
            continue;
        }
        if best
            .is_some_and(|b| u64::from(b.width) * u64::from(b.height) >= u64::from(width) * u64::from(height))
        {
            continue;
        }
        let rate = |text: &Option<String>| text.as_deref().and_then(ratio);
        best = Some(Video {
            source,
            index: stream.index,
            width,
            height,
            fps: rate(&stream.avg_frame_rate).or_else(|| rate(&stream.r_frame_rate)).unwrap_or(0.0),
            interlaced: matches!(stream.field_order.as_deref(), Some("tt" | "bb" | "tb" | "bt")),
            duration: stream.end(&answer.format),
        });
    }
    best
}

/// What the streams that would be picked are as they are stored.
fn stored(answer: &Answer) -> Option<Stored> {
    let stream = |index: usize| answer.streams.iter().find(|stream| stream.index == index);
    let picture = stream(pick_video(answer, 0)?.index)?;
    let sound = stream(pick_audio(answer, 0)?.index)?;
    let fps = picture.avg_frame_rate.as_deref().and_then(ratio)?;
    let even = picture.r_frame_rate.as_deref().and_then(ratio).is_some_and(|rate| (rate - fps).abs() < 0.01);
    let plain = picture.codec_name.as_deref() == Some("h264")
        && picture.pix_fmt.as_deref() == Some("yuv420p")
        && matches!(picture.sample_aspect_ratio.as_deref(), None | Some("1:1" | "N/A"))
        && matches!(picture.field_order.as_deref(), Some("progressive"))
        && picture.side_data_list.iter().all(|data| data.get("rotation").is_none())
        && (sound.codec_name.as_deref(), sound.profile.as_deref()) == (Some("aac"), Some("LC"));
    Some(Stored {
        fps,
        rate: sound.sample_rate.as_deref()?.parse().ok()?,
        channels: sound.channels?,
        kbps: answer.format.bit_rate.as_deref()?.parse::<u32>().ok()? / 1000,
    })
    .filter(|_| plain && even)
}

/// The sound stream marked as default; else the first.
fn pick_audio(answer: &Answer, source: usize) -> Option<Audio> {
    let mut sounds = answer.streams.iter().filter(|s| s.is("audio"));
    let first = sounds.clone().next()?;
    let stream = sounds.find(|s| s.disposition.default != 0).unwrap_or(first);
    Some(Audio {
        source,
        index: stream.index,
        late: stream.late(&answer.format),
        duration: stream.end(&answer.format),
    })
}

impl Stream {
    /// Whether it is of this type and there is a decoder's name for it.
    fn is(&self, kind: &str) -> bool {
        self.codec_type.as_deref() == Some(kind)
            && self.codec_name.as_deref().is_some_and(|name| name != "none")
    }

    /// How long after the file's beginning it begins.
    fn late(&self, format: &Format) -> Duration {
        let time = |text: &Option<String>| text.as_deref().and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
        Duration::try_from_secs_f64(time(&self.start_time) - time(&format.start_time)).unwrap_or_default()
    }

    /// When it ends, counted from the file's beginning. Matroska's tag says that, elsewhere the stream's own length
    /// is given.
    fn end(&self, format: &Format) -> Option<Duration> {
        let own = self.duration.as_deref().and_then(seconds).map(|own| own + self.late(format));
        let end = own.or_else(|| self.tags.duration.as_deref().and_then(clock));
        end.or_else(|| format.duration.as_deref().and_then(seconds))
    }
}

/// `12.345`, in seconds.
fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok().filter(|d| !d.is_zero())
}

/// `00:01:02.500000000`, as Matroska's DURATION tag has it.
fn clock(text: &str) -> Option<Duration> {
    let mut parts = text.splitn(3, ':');
    let hours: f64 = parts.next()?.parse().ok()?;
    let minutes: f64 = parts.next()?.parse().ok()?;
    let rest: f64 = parts.next()?.parse().ok()?;
    Duration::try_from_secs_f64(hours * 3600.0 + minutes * 60.0 + rest).ok().filter(|d| !d.is_zero())
}

/// `30000/1001`, in frames a second.
fn ratio(text: &str) -> Option<f64> {
    let (above, below) = text.split_once('/')?;
    let (above, below): (f64, f64) = (above.parse().ok()?, below.parse().ok()?);
    Some(above / below).filter(|rate| rate.is_finite() && *rate > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read() {
        assert_eq!(clock("00:01:02.500000000"), Some(Duration::from_millis(62_500)));
        assert_eq!(clock("junk"), None);
        assert_eq!(seconds("N/A"), None);
        assert_eq!(seconds("-1"), None);
        assert_eq!(ratio("0/0"), None);
        assert_eq!(ratio("25/1"), Some(25.0));
    }

    #[test]
    fn a_stream_that_begins_late_ends_late() {
        let answer: Answer = serde_json::from_str(
            r#"{"streams":[
                {"index":0,"codec_type":"video","codec_name":"h264","width":16,"height":16,"start_time":"4.5","duration":"7.0"},
                {"index":1,"codec_type":"audio","codec_name":"aac","start_time":"1.5","duration":"10.0"}],
               "format":{"start_time":"1.5","duration":"10.0"}}"#,
        )
        .unwrap();
        let end = Some(Duration::from_secs(10));
        assert_eq!(pick_video(&answer, 0).unwrap().duration, end);
        assert_eq!(pick_audio(&answer, 0).unwrap().duration, end);
    }

    #[test]
    fn cover_art_is_no_picture_and_the_default_sound_is_heard() {
        let answer: Answer = serde_json::from_str(
            r#"{"streams":[
                {"index":0,"codec_type":"video","codec_name":"mjpeg","width":600,"height":600,"disposition":{"attached_pic":1}},
                {"index":1,"codec_type":"audio","codec_name":"mp3","duration":"8.0","disposition":{"default":0}},
                {"index":2,"codec_type":"audio","codec_name":"aac","disposition":{"default":1}}],
               "format":{"duration":"9.5"}}"#,
        )
        .unwrap();
        assert_eq!(pick_video(&answer, 0), None);
        let audio = pick_audio(&answer, 0).unwrap();
        assert_eq!((audio.index, audio.duration), (2, Some(Duration::from_millis(9500))));
    }
}
