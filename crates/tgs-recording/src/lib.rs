//! The recordings of a broadcast: what was aired, as Matroska files in one directory.
//!
//! # Theory of operation
//!
//! A file in progress (`NAME.mkv.part`) is only appended to: a head, then clusters of at most a few
//! seconds, each written whole and synced. So whatever a crash leaves is a playable file up to its
//! last whole cluster. Closing a file appends what makes it seekable (cues and chapters), fills the
//! spaces that the head has reserved, and renames it. [`part::repair`] does the same to what a
//! crash has left. Titles are noted between the clusters, so that they survive a crash too.
//!
//! Frames are stored as they were sent; nothing is encoded. This crate knows no engine, no queue
//! and no thread: `tgs-playout` records, `tgs-stream` answers `record.list` and `record.cut`.

pub mod cut;
mod ebml;
pub mod index;
mod matroska;
pub mod part;
pub mod place;
pub mod store;
pub mod when;

pub use matroska::{RecordedChapter, RecordedKeyframe, RecordedTracks};
