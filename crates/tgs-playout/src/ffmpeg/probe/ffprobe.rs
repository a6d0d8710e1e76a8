//! Runs ffprobe once and parses its answer.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use tgs_core::{
    cancel::Cancel,
    process::{self, RunError, describe},
};

use crate::{
    ffmpeg::input::{MAX_PIXELS, skip_options, source_options},
    item::{FailureReason, ItemFailure, MediaSource},
    proxy::{ProxyClient, ReadPurpose},
    source_failure::explain,
};

/// Time limit of ffprobe for one source.
pub(super) const TIME_OUT: Duration = Duration::from_secs(20);

/// Packets read from a file to see whether its streams are encrypted.
pub(super) const PACKETS: u32 = 20;

/// Packets read from a remote source, which may come in real time: only those that ffprobe has
/// buffered already.
pub(super) const PACKETS_REMOTE: u32 = 4;

/// Limit of the answer in bytes: enough for thousands of streams.
pub(super) const MAX_ANSWER: usize = 4 << 20;

/// Failure text for a file that plays from a disk but not from its server.
pub(super) const INDEX_LAST: &str = "its index (moov) comes last, and its server sends no parts of files: put the index first \
                          (ffmpeg -i IN.mp4 -c copy -movflags +faststart OUT.mp4), or serve it with ranges";

#[derive(Deserialize)]
pub(super) struct FfprobeOutput {
    /// ffprobe's messages on stderr.
    #[serde(skip)]
    pub(super) messages: String,
    #[serde(default)]
    pub(super) packets: Vec<Packet>,
    #[serde(default)]
    pub(super) programs: Vec<FfprobeProgram>,
    #[serde(default)]
    pub(super) streams: Vec<FfprobeStream>,
    #[serde(default)]
    pub(super) format: FfprobeFormat,
}

#[derive(Deserialize, Default)]
pub(super) struct FfprobeFormat {
    #[serde(rename = "format_name")]
    pub(super) names: Option<String>,
    pub(super) bit_rate: Option<String>,
    pub(super) start_time: Option<String>,
    pub(super) duration: Option<String>,
    #[serde(default)]
    pub(super) tags: TagMap,
}

/// A programme of a transport stream, or a variant of an HLS master playlist.
#[derive(Deserialize)]
pub(super) struct FfprobeProgram {
    #[serde(default)]
    pub(super) streams: Vec<ProgramStream>,
}

#[derive(Deserialize)]
pub(super) struct ProgramStream {
    pub(super) index: usize,
}

#[derive(Deserialize)]
pub(super) struct Packet {
    pub(super) stream_index: Option<usize>,
    pub(super) pos: Option<String>,
    /// `K` marks a keyframe, `D` a packet that is decoded and not shown.
    pub(super) flags: Option<String>,
    #[serde(default)]
    pub(super) side_data_list: Vec<SideData>,
}

#[derive(Deserialize)]
pub(super) struct SideData {
    pub(super) side_data_type: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct FfprobeStream {
    pub(super) index: usize,
    pub(super) id: Option<String>,
    pub(super) codec_type: Option<String>,
    pub(super) codec_name: Option<String>,
    pub(super) profile: Option<String>,
    pub(super) pix_fmt: Option<String>,
    pub(super) sample_fmt: Option<String>,
    pub(super) nb_frames: Option<String>,
    pub(super) sample_aspect_ratio: Option<String>,
    pub(super) display_aspect_ratio: Option<String>,
    pub(super) sample_rate: Option<String>,
    pub(super) channels: Option<u32>,
    pub(super) channel_layout: Option<String>,
    pub(super) width: Option<u32>,
    pub(super) height: Option<u32>,
    pub(super) avg_frame_rate: Option<String>,
    pub(super) r_frame_rate: Option<String>,
    pub(super) field_order: Option<String>,
    pub(super) color_range: Option<String>,
    pub(super) color_space: Option<String>,
    pub(super) color_transfer: Option<String>,
    pub(super) color_primaries: Option<String>,
    pub(super) start_time: Option<String>,
    pub(super) duration: Option<String>,
    #[serde(default)]
    pub(super) disposition: Disposition,
    #[serde(default)]
    pub(super) tags: FfprobeTags,
    /// Includes the display rotation.
    #[serde(default)]
    pub(super) side_data_list: Vec<serde_json::Value>,
    /// Why the stream cannot be decoded, if known.
    #[serde(skip)]
    pub(super) undecodable: Option<Undecodable>,
}

/// Why a stream cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undecodable {
    /// This ffmpeg has no decoder for the codec.
    NoDecoder,
    /// The packets are encrypted, and there is no key.
    Encrypted,
}

#[derive(Deserialize, Default)]
pub(super) struct Disposition {
    #[serde(default)]
    pub(super) default: u8,
    #[serde(default)]
    pub(super) attached_pic: u8,
    #[serde(default)]
    pub(super) timed_thumbnails: u8,
    #[serde(default)]
    pub(super) comment: u8,
    #[serde(default)]
    pub(super) visual_impaired: u8,
    #[serde(default)]
    pub(super) hearing_impaired: u8,
    #[serde(default)]
    pub(super) forced: u8,
}

#[derive(Deserialize, Default)]
pub(super) struct FfprobeTags {
    /// Matroska stores a stream's length in a tag.
    #[serde(rename = "DURATION")]
    pub(super) duration: Option<String>,
    pub(super) language: Option<String>,
    #[serde(flatten)]
    more: TagMap,
}

/// Tags by name. Containers differ in the case of the names.
#[derive(Deserialize, Default)]
#[serde(transparent)]
pub(super) struct TagMap(HashMap<String, serde_json::Value>);

impl TagMap {
    /// The text of this tag.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).and_then(|(_, value)| value.as_str())
    }
}

impl FfprobeTags {
    /// The text of this tag.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.more.get(name)
    }
}

pub(super) fn packets(source: &MediaSource) -> u32 {
    if source.is_file() { PACKETS } else { PACKETS_REMOTE }
}

pub(super) fn ask(
    ffprobe: &Path,
    source: &MediaSource,
    skip_bytes: u64,
    packets: u32,
    cancel: &Cancel,
) -> Result<FfprobeOutput, ItemFailure> {
    let client = ProxyClient::with_ffmpeg(source, ReadPurpose::Probe, &beside(ffprobe));
    let mut command = process::command(ffprobe);
    command
        .args(["-v", "warning", "-of", "json", "-read_intervals", &format!("%+#{packets}"), "-show_entries"])
        .arg(
            "format=format_name,start_time,duration,bit_rate:program=program_id:program_stream=index:\
             stream=index,id,codec_type,codec_name,profile,pix_fmt,sample_fmt,nb_frames,width,height,\
             sample_aspect_ratio,display_aspect_ratio,sample_rate,channels,channel_layout,avg_frame_rate,r_frame_rate,field_order,start_time,duration,\
             color_range,color_space,color_transfer,color_primaries:format_tags=title,artist,album_artist:\
             stream_disposition=default,attached_pic,timed_thumbnails,comment,visual_impaired,hearing_impaired,forced:\
             stream_tags=DURATION,language,title,artist,alpha_mode,handler_name,mimetype,filename:stream_side_data=rotation:\
             packet=stream_index,flags:packet_side_data=side_data_type",
        )
        .args(source_options(source))
        .args(skip_options(skip_bytes))
        // ffprobe decodes the first pictures, and a picture of two megabytes may take gigabytes of
        // memory.
        .args(["-max_pixels", MAX_PIXELS])
        .args(["-i", &client.input_url(source)]);
    if !source.is_file() {
        client.apply(&mut command);
    }
    let output = process::output(command, TIME_OUT, MAX_ANSWER, cancel).map_err(|error| match error {
        RunError::TimedOut { .. } => ItemFailure::new(
            FailureReason::Timeout,
            format!("ffprobe got no answer within {} s", TIME_OUT.as_secs()),
        ),
        RunError::TooMuch { .. } => ItemFailure::new(
            FailureReason::Unplayable,
            format!("its streams and tags fill more than {} MiB of ffprobe's answer", MAX_ANSWER >> 20),
        ),
        other => ItemFailure::new(FailureReason::Tool, format!("cannot run {}: {other}", ffprobe.display())),
    })?;
    if output.status.code().is_none() {
        // Killed by a signal: the source is not to blame.
        return Err(ItemFailure::new(
            FailureReason::Tool,
            format!("ffprobe was {}", describe(output.status)),
        ));
    }
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(client.failure().unwrap_or_else(|| explain(&messages, source)));
    }
    let answer: FfprobeOutput = serde_json::from_slice(&output.stdout).map_err(|error| {
        ItemFailure::new(FailureReason::Tool, format!("cannot read ffprobe's answer: {error}"))
    })?;
    // ffprobe has read the index at the end and cannot go back to the media data before.
    if !source.is_file() && answer.packets.is_empty() && messages.contains("partial file") {
        return Err(ItemFailure::new(FailureReason::Unplayable, INDEX_LAST));
    }
    Ok(FfprobeOutput { messages, ..answer })
}

/// The ffmpeg beside `ffprobe`: the inverse of how FFMPEG_PATH yields the path of ffprobe.
pub(super) fn beside(ffprobe: &Path) -> PathBuf {
    let name = ffprobe.file_name().unwrap_or_default().to_string_lossy().replace("ffprobe", "ffmpeg");
    ffprobe.with_file_name(name)
}

/// The names of all codecs that this ffmpeg decodes; `None` if the list cannot be read.
pub(super) fn decoders(ffprobe: &Path, cancel: &Cancel) -> Option<HashSet<String>> {
    let mut command = process::command(ffprobe);
    command.args(["-v", "error", "-codecs"]);
    let output = process::output(command, TIME_OUT, MAX_ANSWER, cancel).ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    // Lines are ` D.A.L. name  description`, below a line of dashes.
    let listed = text.lines().skip_while(|line| !line.trim().starts_with("---"));
    let names: HashSet<String> = listed
        .filter(|line| line.trim_start().starts_with('D'))
        .filter_map(|line| line.split_whitespace().nth(1).map(str::to_owned))
        .collect();
    Some(names).filter(|names| !names.is_empty())
}

impl FfprobeOutput {
    /// Whether an edit list hides the beginning: a copy would show it.
    pub(super) fn hides(&self) -> bool {
        let hidden = |packet: &Packet| packet.flags.as_deref().is_some_and(|flags| flags.contains('D'));
        let video = |packet: &Packet| {
            self.streams.iter().any(|s| Some(s.index) == packet.stream_index && s.is("video"))
        };
        self.packets.iter().any(|packet| hidden(packet) && video(packet))
    }

    pub(super) fn note_encrypted(&mut self) {
        let secret = |packet: &&Packet| {
            let kind = |data: &SideData| data.side_data_type.as_deref() == Some("Encryption info");
            packet.side_data_list.iter().any(kind)
        };
        let encrypted: HashSet<_> =
            self.packets.iter().filter(secret).filter_map(|packet| packet.stream_index).collect();
        for stream in self.streams.iter_mut().filter(|stream| encrypted.contains(&stream.index)) {
            stream.undecodable = Some(Undecodable::Encrypted);
        }
    }

    pub(super) fn note_undecodable(&mut self, known: &HashSet<String>) {
        for stream in &mut self.streams {
            if stream.is_unsure() && stream.codec_name.as_ref().is_some_and(|name| !known.contains(name)) {
                stream.undecodable = Some(Undecodable::NoDecoder);
            }
        }
    }
}

impl FfprobeStream {
    /// Whether this is picture or sound that ffprobe has not decoded yet.
    pub(super) fn is_unsure(&self) -> bool {
        self.undecodable.is_none()
            && (self.is("video") && self.pix_fmt.is_none() || self.is("audio") && self.sample_fmt.is_none())
    }

    /// Whether the stream is of this type and has a known codec.
    pub(super) fn is(&self, kind: &str) -> bool {
        self.codec_type.as_deref() == Some(kind)
            && self.codec_name.as_deref().is_some_and(|name| name != "none")
    }
}
