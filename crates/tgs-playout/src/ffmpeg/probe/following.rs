//! Finds the streams that follow ended ones in a transport stream: recordings are joined from
//! others, and broadcasters change their PIDs.

use std::path::Path;

use tgs_core::{cancel::Cancel, process};

use super::{
    ffprobe::{FfprobeOutput, MAX_ANSWER, TIME_OUT, ask, packets},
    found::{Probe, ProbeOptions},
    item::probe_from,
};
use crate::{
    ffmpeg::input::{skip_options, source_options},
    item::{ItemFailure, Media, MediaSource},
    proxy::{ProxyClient, ReadPurpose},
};

/// Bytes of the tables before a stream's first packet: three packets of a transport stream.
const TABLES: u64 = 3 * 188;

/// Streams that begin within this many bytes of each other run in parallel.
const BESIDE: u64 = 256 << 10;

/// Enough packets to see every stream that runs there.
const ENOUGH: u32 = 300;

/// Limit of the other streams that are examined.
const MOST_STREAMS: usize = 16;

/// The streams of `media` that continue where those of `found` have ended; `None` if there are
/// none. `noted` are the file offsets at which ffmpeg saw streams begin.
pub fn following(
    ffprobe: &Path,
    media: &Media,
    wanted: ProbeOptions,
    found: &Probe,
    noted: &[u64],
    cancel: &Cancel,
) -> Result<Option<Probe>, ItemFailure> {
    let (Some(pid), [source]) = (found.pid, &media.sources[..]) else { return Ok(None) };
    // ffprobe also lists streams that it has seen at the end of the file.
    let answer = ask(ffprobe, source, found.skip_bytes, packets(source), cancel)?;
    let others =
        answer.streams.iter().filter(|s| s.pid() != Some(pid)).filter(|s| answer.is_like(found, s.index));
    let mut places: Vec<u64> = noted.to_vec();
    for stream in others.take(MOST_STREAMS) {
        places.extend(first_packet(ffprobe, source, found.skip_bytes, stream.index, cancel));
    }
    places.sort_unstable();
    places.dedup();
    for place in places.into_iter().filter(|place| *place > found.skip_bytes.saturating_add(BESIDE)) {
        let from = place.saturating_sub(TABLES);
        let there = ask(ffprobe, source, from, ENOUGH, cancel)?;
        if !there.has_packets_of(pid) {
            return probe_from(ffprobe, media, wanted, from, cancel).map(Some);
        }
    }
    Ok(None)
}

/// File offset of a stream's first packet.
fn first_packet(
    ffprobe: &Path,
    source: &MediaSource,
    skip: u64,
    index: usize,
    cancel: &Cancel,
) -> Option<u64> {
    let client = ProxyClient::new(source, ReadPurpose::Probe);
    let mut command = process::command(ffprobe);
    command
        .args(["-v", "error", "-of", "json", "-read_intervals", "%+#1", "-show_entries", "packet=pos"])
        .args(["-select_streams", &index.to_string()])
        .args(source_options(source))
        .args(skip_options(skip))
        .args(["-i", &client.input_url(source)]);
    if !source.is_file() {
        client.apply(&mut command);
    }
    let output = process::output(command, TIME_OUT, MAX_ANSWER, cancel).ok()?;
    let answer: FfprobeOutput = serde_json::from_slice(&output.stdout).ok()?;
    answer.packets.first()?.pos.as_deref()?.parse().ok()
}

impl FfprobeOutput {
    /// Whether a stream is of the kind in `found`: picture, or only sound.
    fn is_like(&self, found: &Probe, index: usize) -> bool {
        let kind = if found.video.is_some() { "video" } else { "audio" };
        self.streams.iter().any(|stream| stream.index == index && stream.is(kind))
    }

    fn has_packets_of(&self, pid: u32) -> bool {
        let own = |index| self.streams.iter().any(|s| s.index == index && s.pid() == Some(pid));
        self.packets.iter().filter_map(|packet| packet.stream_index).any(own)
    }
}
