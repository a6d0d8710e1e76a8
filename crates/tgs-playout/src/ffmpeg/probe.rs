//! Probes an item with ffprobe: which streams to use, how long each is, how the picture is stored.
//!
//! Runs off the playout thread, one item ahead: probing a remote file can take seconds.

mod ffprobe;
mod following;
mod found;
mod item;
mod measure;
mod pick;
mod scan;
mod stored;
mod times;

pub use self::{
    following::following,
    found::{AudioStream, EncodedFormat, Probe, ProbeOptions, Times, VideoStream},
    item::{probe, probe_from, read_any},
};
