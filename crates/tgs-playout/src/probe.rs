//! What is in an item, by ffprobe: which streams to use, how long each is, how the picture is stored.
//!
//! Runs off the pacing thread, one item ahead: a probe of a remote file can take seconds.

mod later;
mod pick;
mod scan;
mod times;

pub use later::later;

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use tgs_core::{
    cancel::Cancel,
    process::{self, RunError, describe},
};

pub(crate) use self::times::LONGEST;
use self::times::{clock, length, ratio, seconds};
use crate::{
    encoder::{self, StallLimits},
    item::{FailureReason, ItemFailure, Media, MediaSource},
    proxy::{Client, Reads},
};

/// A longer gap between two time stamps of one stream is taken for a jump of the clock and cut out, where nothing better is
/// known. Sound fills a shorter one with silence, which takes ffmpeg 0.7 MB a second.
const GAP: Duration = Duration::from_mins(5);

/// The same where there is sound only: no other stream waits for it.
const GAP_OF_SOUND: Duration = Duration::from_secs(10);

/// The same for a picture without sound.
const GAP_OF_PICTURE: Duration = Duration::from_mins(1);

/// A picture and its sound end so near to each other; otherwise the file is looked at more closely.
const SAME_END: Duration = Duration::from_secs(1);

/// Picture and sound take more than this many bits a second; otherwise parts of what the file claims may not be there.
const SPARSE: f64 = 300_000.0;

/// A picture that is shown for less than this, without sound, is shown as a still.
const BRIEF: Duration = Duration::from_millis(300);

/// Pictures of a source that is not on this machine that are further apart than this are read apart from the sound.
const SPARSE_PICTURES: f64 = 2.0;

/// How long ffprobe may take for one source.
const TIME_OUT: Duration = Duration::from_secs(20);

/// The first packets of a file tell whether they are encrypted.
const PACKETS: u32 = 20;

/// Of what comes from elsewhere, perhaps in real time, only those that ffprobe has read already.
const PACKETS_REMOTE: u32 = 4;

/// ffprobe's answer for thousands of streams would still fit.
const MAX_ANSWER: usize = 4 << 20;

/// The picture stream that will be shown.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct VideoStream {
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
    /// How long after the beginning of its source it begins.
    pub late: Duration,
    /// When it ends, counted from the beginning of its source, where the container tells.
    pub duration: Option<Duration>,
}

/// The sound stream that will be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioStream {
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
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Probe {
    /// The picture, unless there is only sound (cover art is no picture).
    pub video: Option<VideoStream>,
    /// The sound, unless the item is silent.
    pub audio: Option<AudioStream>,
    /// Length of the longer stream; `None` for live sources and where nothing tells.
    pub duration: Option<Duration>,
    /// How far its times can be believed.
    pub times: Times,
    /// Whether it is one picture without sound, which is shown for as long as the setup says.
    pub still: bool,
    /// What it is as it is stored, where that might go on air without being encoded.
    pub stored: Option<EncodedFormat>,
    /// Whether there is sound that cannot be decoded, and none that can.
    pub unheard: bool,
    /// From which byte of its source on it was asked for.
    pub skip_bytes: u64,
    /// In a transport stream, which may go on with other streams half-way: the PID of what is shown, or else heard.
    pub pid: Option<u32>,
}

/// How far the times in an item can be believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; no two exclude each other")]
pub struct Times {
    /// Whether its length is a guess, not the file's word: an earlier end is no failure.
    pub estimated: bool,
    /// Whether ffmpeg takes a step of the clock in this format for another beginning.
    pub restarts: bool,
    /// Whether the ends of picture and sound were measured.
    pub measured: bool,
    /// Whether the sound runs far ahead of the picture, or goes on behind it, where one reader reads both.
    pub apart: bool,
    /// A longer gap between two time stamps is a jump.
    pub longest_gap: Option<Duration>,
}

impl Probe {
    /// What a viewer will miss of it, for the operator: a clause without a full stop.
    #[must_use]
    pub fn loss(&self) -> Option<&'static str> {
        self.unheard.then_some("without its sound, which cannot be decoded here")
    }
}

/// H.264 with 4:2:0 and 8 bits, square pixels, upright and progressive, beside AAC-LC, in one source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EncodedFormat {
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
struct FfprobeOutput {
    /// What ffprobe said beside it.
    #[serde(skip)]
    messages: String,
    #[serde(default)]
    packets: Vec<Packet>,
    #[serde(default)]
    programs: Vec<FfprobeProgram>,
    #[serde(default)]
    streams: Vec<FfprobeStream>,
    #[serde(default)]
    format: FfprobeFormat,
}

#[derive(Deserialize, Default)]
struct FfprobeFormat {
    #[serde(rename = "format_name")]
    names: Option<String>,
    bit_rate: Option<String>,
    start_time: Option<String>,
    duration: Option<String>,
}

/// One of the programmes of a transport stream, or one variant of an HLS master list.
#[derive(Deserialize)]
struct FfprobeProgram {
    #[serde(default)]
    streams: Vec<ProgramStream>,
}

#[derive(Deserialize)]
struct ProgramStream {
    index: usize,
}

#[derive(Deserialize)]
struct Packet {
    stream_index: Option<usize>,
    pos: Option<String>,
    /// `K` for a keyframe, `D` for what is decoded and not shown.
    flags: Option<String>,
    #[serde(default)]
    side_data_list: Vec<SideData>,
}

#[derive(Deserialize)]
struct SideData {
    side_data_type: Option<String>,
}

#[derive(Deserialize)]
struct FfprobeStream {
    index: usize,
    id: Option<String>,
    codec_type: Option<String>,
    codec_name: Option<String>,
    profile: Option<String>,
    pix_fmt: Option<String>,
    sample_fmt: Option<String>,
    nb_frames: Option<String>,
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
    tags: FfprobeTags,
    /// How to turn it upright, among other things.
    #[serde(default)]
    side_data_list: Vec<serde_json::Value>,
    /// Why nothing can be decoded of it, as far as that is known.
    #[serde(skip)]
    closed: Option<ClosedGops>,
}

/// Why a stream cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClosedGops {
    /// This ffmpeg has no decoder for it.
    NoDecoder,
    /// Its packets are encrypted, and there is no key.
    Encrypted,
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
struct FfprobeTags {
    #[serde(rename = "DURATION")]
    duration: Option<String>,
}

/// What a broadcast wants of an item.
#[derive(Debug, Clone, Copy)]
pub struct ProbeOptions {
    /// Lines of its picture.
    pub height: u32,
    /// How long a still picture is shown.
    pub image_duration: Duration,
}

impl Probe {
    /// What an encoder of it has to keep to, where it comes from `media`.
    #[must_use]
    pub fn watch(&self, media: &Media) -> StallLimits {
        let remote = media.sources.iter().any(|source| !source.is_file());
        StallLimits { remote, picture: self.video.map(|video| (video.index, video.fps)) }
    }
}

/// Takes any bytes for ffprobe's answer about a file. For tests and fuzzing alone; nothing is run.
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

/// Asks ffprobe what `media` holds, for a broadcast that is `wanted`. Blocks until it answers, `cancel` is set or the
/// time-out (20 s a source).
pub fn probe(
    ffprobe: &Path,
    media: &Media,
    wanted: ProbeOptions,
    cancel: &Cancel,
) -> Result<Probe, ItemFailure> {
    probe_from(ffprobe, media, wanted, 0, cancel)
}

/// Asks as [`probe`] does about what begins at a byte of its only source.
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
        // With two sources the second is the sound's, whatever sound the first may hold.
        found.audio = choice.audio(&answer, number).or(found.audio);
        found.unheard = found.audio.is_none() && answer.streams.iter().any(|s| s.is("audio"));
        found.pid = choice.pid(&answer).filter(|_| media.sources.len() == 1);
        found.times.estimated |= answer.is_estimated();
        image |= answer.format.is_image();
        found.times.restarts |= answer.format.restarts();
        let mut chosen = [choice.picture, choice.sound].into_iter().flatten();
        stated &= chosen.all(|stream| stream.states_end(&answer.format));
        closed = closed.or_else(|| answer.streams.iter().find_map(|stream| stream.closed));
    }
    if found.video.is_none() && found.audio.is_none() {
        let why = match closed {
            Some(ClosedGops::Encrypted) => "it is encrypted, and there is no key to it",
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

/// The names of all codecs that this ffmpeg can decode; `None` where it does not say.
fn decoders(ffprobe: &Path, cancel: &Cancel) -> Option<HashSet<String>> {
    let mut command = process::command(ffprobe);
    command.args(["-v", "error", "-codecs"]);
    let output = process::output(command, TIME_OUT, MAX_ANSWER, cancel).ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    // ` D.A.L. name  description`, below a line of dashes.
    let listed = text.lines().skip_while(|line| !line.trim().starts_with("---"));
    let names: HashSet<String> = listed
        .filter(|line| line.trim_start().starts_with('D'))
        .filter_map(|line| line.split_whitespace().nth(1).map(str::to_owned))
        .collect();
    Some(names).filter(|names| !names.is_empty())
}

impl Probe {
    /// Finds out how long it is: by what the container says, and where that is not to be believed, by what is there.
    /// Each stream's end is known where `stated`. Answers how many pictures there are, where they were counted.
    fn measure(&mut self, ffprobe: &Path, media: &Media, stated: bool, cancel: &Cancel) -> Option<u64> {
        let ends = [self.video.and_then(|v| v.duration), self.audio.and_then(|a| a.duration)];
        let [video, audio] = ends;
        self.duration = if media.live { None } else { video.max(audio) };
        let remote = media.sources.iter().any(|source| !source.is_file());
        let sparse = self.video.is_some_and(|v| v.fps > 0.0 && 1.0 / v.fps > SPARSE_PICTURES);
        self.times.apart = remote && !media.live && self.audio.is_some() && sparse;
        self.times.longest_gap = Some(match (self.video, self.audio) {
            (Some(_), None) => GAP_OF_PICTURE,
            (None, _) => GAP_OF_SOUND,
            (Some(v), Some(a)) => {
                // A stream that begins late has a gap before it, which the other one fills.
                let within = |late: Duration, other: Option<Duration>| other.is_none_or(|end| late <= end);
                let late =
                    [(v.late, audio), (a.late, video)].into_iter().filter(|&(late, end)| within(late, end));
                late.map(|(late, _)| late.saturating_add(SAME_END)).fold(GAP, Duration::max)
            }
        });
        let source = match &media.sources[..] {
            [source] if !media.live => source,
            _ => return None,
        };
        let size = source.url.strip_prefix("file:").and_then(|path| fs::metadata(path).ok())?.len();
        let size = size.saturating_sub(self.skip_bytes);
        if size > scan::MAX_FILE || stated && !self.is_doubtful(size, ends) {
            return None;
        }
        let streams = (self.video.map(|v| v.index), self.audio.map(|a| a.index));
        let found = scan::scan(ffprobe, source, self.skip_bytes, streams, cancel)?;
        self.times.measured = true;
        self.times.longest_gap = Some(found.longest_gap);
        // Its own word is more exact than whole packets, where it is about the same.
        let better = |said: Option<Duration>, found: Option<Duration>| match (said, found) {
            (Some(said), Some(found)) if stated && said.abs_diff(found) < SAME_END / 2 => Some(said),
            (_, found) => found,
        };
        if let Some(v) = &mut self.video {
            v.duration = better(v.duration, found.video);
        }
        if let Some(a) = &mut self.audio {
            a.duration = better(a.duration, found.audio);
        }
        let measured = self.video.and_then(|v| v.duration).max(self.audio.and_then(|a| a.duration));
        // What the file says goes before what is there: a file that was cut off is not as long as it should be.
        if found.jumps || self.times.estimated || self.duration.is_none() {
            self.duration = measured;
            self.times.estimated = false;
        }
        Some(found.pictures)
    }

    /// Whether what the container says of the ends of its streams needs a look at the streams, in a file of `size` bytes.
    fn is_doubtful(&self, size: u64, [video, audio]: [Option<Duration>; 2]) -> bool {
        match (self.video, self.audio, video, audio) {
            (Some(_), Some(_), Some(v), Some(a)) => {
                v.abs_diff(a) > SAME_END
                    || self.times.estimated
                    || size as f64 * 8.0 / v.max(a).as_secs_f64() < SPARSE
            }
            (Some(_), None, Some(v), _) => v < BRIEF,
            _ => self.times.estimated,
        }
    }
}

fn packets(source: &MediaSource) -> u32 {
    if source.is_file() { PACKETS } else { PACKETS_REMOTE }
}

/// The ffmpeg that belongs to `ffprobe`, as FFMPEG_PATH names the one by the other.
fn beside(ffprobe: &Path) -> PathBuf {
    let name = ffprobe.file_name().unwrap_or_default().to_string_lossy().replace("ffprobe", "ffmpeg");
    ffprobe.with_file_name(name)
}

fn ask(
    ffprobe: &Path,
    source: &MediaSource,
    skip_bytes: u64,
    packets: u32,
    cancel: &Cancel,
) -> Result<FfprobeOutput, ItemFailure> {
    let client = Client::with_ffmpeg(source, Reads::Looks, &beside(ffprobe));
    let mut command = process::command(ffprobe);
    command
        .args(["-v", "warning", "-of", "json", "-read_intervals", &format!("%+#{packets}"), "-show_entries"])
        .arg(
            "format=format_name,start_time,duration,bit_rate:program=program_id:program_stream=index:\
             stream=index,id,codec_type,codec_name,profile,pix_fmt,sample_fmt,nb_frames,width,height,\
             sample_aspect_ratio,sample_rate,channels,avg_frame_rate,r_frame_rate,field_order,start_time,duration:\
             stream_disposition=default,attached_pic,timed_thumbnails:stream_tags=DURATION:stream_side_data=rotation:\
             packet=stream_index,flags:packet_side_data=side_data_type",
        )
        .args(encoder::source_options(source))
        .args(encoder::skip_options(skip_bytes))
        // It decodes the first pictures, and one of two megabytes may take gigabytes.
        .args(["-max_pixels", encoder::MAX_PIXELS])
        .args(["-i", &client.opened_url(source)]);
    if !source.is_file() {
        client.apply(&mut command);
    }
    let output = process::output(command, TIME_OUT, MAX_ANSWER, cancel).map_err(|error| match error {
        RunError::TimedOut { .. } => ItemFailure::new(
            FailureReason::Timeout,
            format!("ffprobe got no answer within {} s", TIME_OUT.as_secs()),
        ),
        other => ItemFailure::new(FailureReason::Tool, format!("cannot run {}: {other}", ffprobe.display())),
    })?;
    if output.status.code().is_none() {
        // It says nothing then, and what it was asked about has no part in it.
        return Err(ItemFailure::new(
            FailureReason::Tool,
            format!("ffprobe was {}", describe(output.status)),
        ));
    }
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(client.failure().unwrap_or_else(|| encoder::explain(&messages, source)));
    }
    let answer: FfprobeOutput = serde_json::from_slice(&output.stdout).map_err(|error| {
        ItemFailure::new(FailureReason::Tool, format!("cannot read ffprobe's answer: {error}"))
    })?;
    // The index was read, and what is before it cannot be read any more.
    if !source.is_file() && answer.packets.is_empty() && messages.contains("partial file") {
        return Err(ItemFailure::new(FailureReason::Unplayable, INDEX_LAST));
    }
    Ok(FfprobeOutput { messages, ..answer })
}

/// Why a file plays from a disk and not from its server.
const INDEX_LAST: &str = "its index (moov) comes last, and its server sends no parts of files: put the index first \
                          (ffmpeg -i IN.mp4 -c copy -movflags +faststart OUT.mp4), or serve it with ranges";

/// What the streams that would be picked are as they are stored.
fn stored(answer: &FfprobeOutput, choice: &pick::StreamChoice) -> Option<EncodedFormat> {
    let (picture, sound) = (choice.picture?, choice.sound?);
    let fps = picture.avg_frame_rate.as_deref().and_then(ratio)?;
    let even = picture.r_frame_rate.as_deref().and_then(ratio).is_some_and(|rate| (rate - fps).abs() < 0.01);
    let plain = picture.codec_name.as_deref() == Some("h264")
        && picture.pix_fmt.as_deref() == Some("yuv420p")
        && matches!(picture.sample_aspect_ratio.as_deref(), None | Some("1:1" | "N/A"))
        && matches!(picture.field_order.as_deref(), Some("progressive"))
        && picture.side_data_list.iter().all(|data| data.get("rotation").is_none())
        && (sound.codec_name.as_deref(), sound.profile.as_deref()) == (Some("aac"), Some("LC"))
        && !answer.hides();
    // Copied, what one stream has more than the other would be lost, and what has no end of its own may have it.
    let ends = [picture.own_end(&answer.format)?, sound.own_end(&answer.format)?];
    if ends[0].abs_diff(ends[1]) > SAME_END || answer.is_estimated() {
        return None;
    }
    Some(EncodedFormat {
        fps,
        rate: sound.sample_rate.as_deref()?.parse().ok()?,
        channels: sound.channels?,
        kbps: answer.format.bit_rate.as_deref()?.parse::<u32>().ok()? / 1000,
    })
    .filter(|_| plain && even)
}

impl FfprobeOutput {
    /// Whether an edit list hides its beginning: a copy would show it.
    fn hides(&self) -> bool {
        let hidden = |packet: &Packet| packet.flags.as_deref().is_some_and(|flags| flags.contains('D'));
        let video = |packet: &Packet| {
            self.streams.iter().any(|s| Some(s.index) == packet.stream_index && s.is("video"))
        };
        self.packets.iter().any(|packet| hidden(packet) && video(packet))
    }

    fn note_encrypted(&mut self) {
        let secret = |packet: &&Packet| {
            let kind = |data: &SideData| data.side_data_type.as_deref() == Some("Encryption info");
            packet.side_data_list.iter().any(kind)
        };
        let encrypted: HashSet<_> =
            self.packets.iter().filter(secret).filter_map(|packet| packet.stream_index).collect();
        for stream in self.streams.iter_mut().filter(|stream| encrypted.contains(&stream.index)) {
            stream.closed = Some(ClosedGops::Encrypted);
        }
    }

    fn note_undecodable(&mut self, known: &HashSet<String>) {
        for stream in &mut self.streams {
            if stream.is_unsure() && stream.codec_name.as_ref().is_some_and(|name| !known.contains(name)) {
                stream.closed = Some(ClosedGops::NoDecoder);
            }
        }
    }
}

impl FfprobeStream {
    /// Whether ffprobe has decoded nothing of it so far, though it is picture or sound.
    fn is_unsure(&self) -> bool {
        self.closed.is_none()
            && (self.is("video") && self.pix_fmt.is_none() || self.is("audio") && self.sample_fmt.is_none())
    }

    /// Whether it is of this type and there is a decoder's name for it.
    fn is(&self, kind: &str) -> bool {
        self.codec_type.as_deref() == Some(kind)
            && self.codec_name.as_deref().is_some_and(|name| name != "none")
    }
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
        let choice = pick::choose(&answer, 720);
        assert_eq!(choice.video(&answer, 0).unwrap().duration, end);
        assert_eq!(choice.audio(&answer, 0).unwrap().duration, end);
    }
}
