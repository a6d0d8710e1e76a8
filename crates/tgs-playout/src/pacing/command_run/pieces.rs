//! What was received: the pieces between the cuts, and the proof that they make one stream.

use std::collections::HashMap;

use proptest::prelude::*;
use tgs_rtmp::flv::{Kind, Tag};

use super::material::GROUP;
use crate::lane::lane_of;

/// Pictures received without a cut between them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    /// The item; 0 for the filler.
    pub(super) seq: u64,
    pub(super) from: u64,
    pub(super) pictures: u64,
    /// The latest picture in display order, and the arrival of the first one.
    pub(super) latest: u64,
    pub(super) arrived: u64,
}

/// The pieces of a broadcast, proven to be even and whole.
pub(super) fn pieces(received: &[(u64, Tag)]) -> Result<Vec<Piece>, TestCaseError> {
    let mut times = [Vec::new(), Vec::new()];
    let mut pieces: Vec<Piece> = Vec::new();
    let mut heard: HashMap<u64, u64> = HashMap::new();
    prop_assert!(received.is_sorted_by_key(|(_, tag)| tag.timestamp), "time goes back");
    for (arrived, tag) in received.iter().filter(|(_, tag)| tag.is_frame()) {
        times[usize::from(tag.kind == Kind::Audio)].push(tag.timestamp);
        let at = if tag.kind == Kind::Video { 5 } else { 2 };
        let numbers: Vec<u64> =
            tag.body[at..].chunks_exact(8).map(|n| u64::from_be_bytes(n.try_into().unwrap())).collect();
        if let [seq, n] = numbers[..] {
            let heard = heard.entry(lane_of(seq)).or_default();
            prop_assert!(seq == 0 || seq >= *heard, "sound {} of item {} after item {}", n, seq, heard);
            *heard = seq.max(*heard);
            continue;
        }
        let [seq, n, display] = numbers[..] else { continue };
        match pieces.last_mut() {
            Some(piece) if piece.seq == seq && n == piece.from + piece.pictures => {
                piece.pictures += 1;
                piece.latest = piece.latest.max(display);
            }
            _ => {
                prop_assert!(tag.is_keyframe(), "item {} begins with picture {}", seq, n);
                pieces.push(Piece { seq, from: n, pictures: 1, latest: display, arrived: *arrived });
            }
        }
    }
    for (times, (least, most)) in times.iter().zip([(33, 34), (23, 24)]) {
        for pair in times.windows(2) {
            prop_assert!((least..=most).contains(&(pair[1] - pair[0])), "{:?}", pair);
        }
    }
    let cut = pieces.len().saturating_sub(1);
    for piece in &pieces[..cut] {
        prop_assert_eq!(piece.latest + 1, piece.from + piece.pictures, "a picture is missing: {:?}", piece);
    }
    let mut reached_of: HashMap<u64, (u64, u64)> = HashMap::new();
    for piece in pieces.iter().filter(|piece| piece.seq > 0) {
        let Piece { seq, from, pictures, .. } = *piece;
        let reached = reached_of.entry(lane_of(seq)).or_default();
        if seq == reached.0 {
            prop_assert!(from <= reached.1 && from + GROUP > reached.1, "{:?} after {:?}", piece, reached);
        } else {
            prop_assert!(seq > reached.0 && from == 0, "{:?} after {:?}", piece, reached);
        }
        *reached = (seq, from + pictures);
    }
    Ok(pieces)
}
