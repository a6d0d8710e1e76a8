//! Probes an item with ffprobe: which streams to use, how long each is, how the picture is stored.
//!
//! Runs off the playout thread, one item ahead: probing a remote file can take seconds.

mod colour;
mod cover;
mod ffprobe;
mod fields;
mod following;
mod found;
mod item;
mod measure;
mod pick;
mod scan;
mod stored;
mod subtitles;
mod tags;
mod times;

pub use self::{
    following::following,
    found::{Alpha, AudioStream, Cover, EncodedFormat, Probe, ProbeOptions, Times, VideoStream},
    item::{probe, probe_briefly, probe_from, read_any},
    subtitles::{SubtitleKind, SubtitleStream},
    tags::{Tags, tags_of},
};
