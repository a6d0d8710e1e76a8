//! The parts of our Matroska files (RFC 9559): head, clusters, cues, chapters, from FLV tags.
//!
//! Opens no file. Track 1 is the picture, track 2 the sound; all times are in milliseconds.

use std::sync::Arc;

use tgs_control::Timestamp;
use tgs_rtmp::{
    codec::{AacConfig, AvcConfig},
    flv::{Kind, Tag},
};

use crate::ebml::{ElementBytes, LONGEST_HEAD, UNKNOWN_SIZE, elements, find, head, long_size, number};

const EBML: u32 = 0x1a45_dfa3;
const SEGMENT: u32 = 0x1853_8067;
const SEEK_HEAD: u32 = 0x114d_9b74;
const INFO: u32 = 0x1549_a966;
const DURATION: u32 = 0x4489;
const DATE: u32 = 0x4461;
const TRACKS: u32 = 0x1654_ae6b;
pub(crate) const CLUSTER: u32 = 0x1f43_b675;
const CLUSTER_TIME: u32 = 0xe7;
const BLOCK: u32 = 0xa3;
pub(crate) const CUES: u32 = 0x1c53_bb6b;
pub(crate) const CHAPTERS: u32 = 0x1043_a770;
pub(crate) const VOID: u32 = 0xec;

/// Bytes reserved for the table of what a closed file contains.
const SEEK_SPACE: usize = 96;

/// The duration as an element: ID, size and 8 bytes.
const DURATION_SPACE: usize = 11;

/// Begins the title of a chapter that is noted between clusters.
const NOTE: &[u8; 8] = b"tgs-note";

/// Characters of a title.
const LONGEST_TITLE: usize = 200;

/// Largest distance of a block from the time of its cluster; a block has 16 bits for it.
const MAX_DISTANCE: u64 = 30_000;

/// Seconds from 1970 to 2001, where the dates of EBML begin.
const EPOCH_SECONDS: i64 = 978_307_200;

/// The tracks of a file: their codec headers, as bodies of FLV tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedTracks {
    /// H.264.
    pub video: Arc<[u8]>,
    /// AAC; absent in a broadcast without sound.
    pub audio: Option<Arc<[u8]>>,
    /// Pictures a second: players cannot tell it from times in milliseconds.
    pub fps: u32,
}

/// Where the head of a file has what closing it fills in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadPlaces {
    /// The size of the segment; its body follows.
    pub(crate) segment_size: u64,
    seek: u64,
    pub(crate) duration: u64,
    /// The first element behind the head.
    pub(crate) end: u64,
}

/// What the head of a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileHead {
    pub(crate) places: HeadPlaces,
    /// The time of the broadcast's clock at the file's time 0.
    pub(crate) started: Timestamp,
    /// The body of the element that describes the tracks.
    pub(crate) tracks: Vec<u8>,
    /// `None` in a file that was not closed.
    pub(crate) duration: Option<u64>,
    /// Positions of the cues and the chapters in a closed file.
    pub(crate) cues: Option<u64>,
    pub(crate) chapters: Option<u64>,
}

/// A keyframe of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedKeyframe {
    /// When it is shown, in milliseconds from the file's beginning.
    pub time: u64,
    /// The position of its cluster, which begins with it.
    pub at: u64,
}

/// What begins at some moment of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedChapter {
    /// In milliseconds from the file's beginning.
    pub time: u64,
    /// The item's title.
    pub title: String,
}

/// Any text as a title: one line, bounded.
#[must_use]
pub(crate) fn plain_title(text: &str) -> String {
    let shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let shown: String = shown.trim().chars().take(LONGEST_TITLE).collect();
    if shown.is_empty() { "—".to_owned() } else { shown }
}

/// The head of a file that is not closed.
pub(crate) fn file_head(codecs: &RecordedTracks, started: Timestamp) -> Vec<u8> {
    let mut out = ElementBytes::default();
    begin_segment(&mut out);
    out.void(VOID, SEEK_SPACE);
    out.master(INFO, |info| {
        info_of(info, started);
        info.void(VOID, DURATION_SPACE);
    });
    out.master(TRACKS, |tracks| put_tracks(tracks, codecs));
    out.0
}

/// The head of a stream that cannot be sought in: duration and chapters come first.
pub(crate) fn stream_head(
    tracks: &[u8],
    started: Timestamp,
    duration: u64,
    chapters: &[RecordedChapter],
) -> Vec<u8> {
    let mut out = ElementBytes::default();
    begin_segment(&mut out);
    out.master(INFO, |info| {
        info_of(info, started);
        info.float(DURATION, duration as f64);
    });
    out.bytes(TRACKS, tracks);
    out.0.extend(chapters_element(chapters, duration));
    out.0
}

fn begin_segment(out: &mut ElementBytes) {
    out.master(EBML, |ebml| {
        ebml.uint(0x4286, 1).uint(0x42f7, 1).uint(0x42f2, 4).uint(0x42f3, 8);
        ebml.text(0x4282, "matroska").uint(0x4287, 4).uint(0x4285, 2);
    });
    out.0.extend(SEGMENT.to_be_bytes());
    out.0.extend(UNKNOWN_SIZE);
}

fn info_of(info: &mut ElementBytes, started: Timestamp) {
    let seconds = (started.0 / 1000) as i64 - EPOCH_SECONDS;
    let date = seconds.saturating_mul(1_000_000_000).saturating_add((started.0 % 1000) as i64 * 1_000_000);
    info.uint(0x002a_d7b1, 1_000_000).bytes(DATE, &date.to_be_bytes());
    info.text(0x4d80, "tgs-recording").text(0x5741, concat!("tgs-stream ", env!("CARGO_PKG_VERSION")));
}

fn put_tracks(tracks: &mut ElementBytes, codecs: &RecordedTracks) {
    let common = |entry: &mut ElementBytes, number: u64, codec: &str, private: &[u8]| {
        entry.uint(0xd7, number).uint(0x73c5, number).uint(0x83, number).uint(0x9c, 0);
        entry.text(0x0022_b59c, "und").text(0x86, codec).bytes(0x63a2, private);
    };
    tracks.master(0xae, |entry| {
        common(entry, 1, "V_MPEG4/ISO/AVC", codecs.video.get(5..).unwrap_or_default());
        let size = AvcConfig::parse(&codecs.video).map(|config| (config.width, config.height));
        entry.uint(0x0023_e383, 1_000_000_000 / u64::from(codecs.fps.max(1)));
        // A header that is not understood still has a picture, whose size decoders know.
        let (width, height) = size.unwrap_or((16, 16));
        entry.master(0xe0, |video| {
            video.uint(0xb0, width.into()).uint(0xba, height.into());
        });
    });
    let Some(audio) = &codecs.audio else { return };
    tracks.master(0xae, |entry| {
        common(entry, 2, "A_AAC", audio.get(2..).unwrap_or_default());
        let config = AacConfig::parse(audio).map_or((48_000, 2), |found| (found.rate, found.channels.max(1)));
        entry.master(0xe1, |sound| {
            sound.float(0xb5, config.0.into()).uint(0x9f, config.1.into());
        });
    });
}

/// Reads the head at the beginning of a file.
pub(crate) fn read_head(bytes: &[u8]) -> Option<FileHead> {
    let ebml = head(bytes)?;
    let segment_at = ebml.len + usize::try_from(ebml.size.filter(|_| ebml.id == EBML)?).ok()?;
    let segment = head(bytes.get(segment_at..)?)?;
    if segment.id != SEGMENT || segment.len != LONGEST_HEAD {
        return None;
    }
    let (body, mut at) = (segment_at + segment.len, segment_at + segment.len);
    let (mut seek, mut info, mut tracks) = (None, None, None);
    while tracks.is_none() {
        let found = head(bytes.get(at..)?)?;
        let begins = at + found.len;
        let ends = begins.checked_add(usize::try_from(found.size?).ok()?)?;
        let content = bytes.get(begins..ends)?;
        match found.id {
            SEEK_HEAD | VOID if seek.is_none() => seek = Some((at, content)),
            INFO => info = Some((begins, content)),
            TRACKS => tracks = Some(content),
            _ => {}
        }
        at = ends;
    }
    let ((seek_at, seek), (info_at, info), tracks) = (seek?, info?, tracks?);
    let date = i64::from_be_bytes(find(info, DATE)?.try_into().ok()?);
    let started = (date / 1_000_000).checked_add(EPOCH_SECONDS * 1000)?;
    let duration = find(info, DURATION).and_then(|body| Some(f64::from_be_bytes(body.try_into().ok()?)));
    let position = |id: u32| {
        let entries = elements(seek).map(|(_, entry)| entry);
        let entry = entries.into_iter().find(|entry| find(entry, 0x53ab).map(number) == Some(id.into()))?;
        number(find(entry, 0x53ac)?).checked_add(body as u64)
    };
    Some(FileHead {
        places: HeadPlaces {
            segment_size: (segment_at + 4) as u64,
            seek: seek_at as u64,
            // The last element of the information.
            duration: (info_at + info.len() - DURATION_SPACE.min(info.len())) as u64,
            end: at as u64,
        },
        started: Timestamp(u64::try_from(started).ok()?),
        tracks: tracks.to_vec(),
        duration: duration.filter(|it| it.is_finite() && *it >= 0.0).map(|it| it as u64),
        cues: position(CUES),
        chapters: position(CHAPTERS),
    })
}

/// What closing writes into the head of a file: pieces and their positions, the size of the segment
/// last. `cues` and `chapters` are positions, `end` is the length of the file.
pub(crate) fn closing(
    places: &HeadPlaces,
    (cues, chapters): (u64, Option<u64>),
    duration: u64,
    end: u64,
) -> [(u64, Vec<u8>); 3] {
    let body = places.segment_size + 8;
    let mut seek = ElementBytes::default();
    seek.master(SEEK_HEAD, |seek| {
        let info = places.seek + SEEK_SPACE as u64;
        let chapters = chapters.map(|at| (CHAPTERS, at));
        for (id, at) in [(INFO, info), (CUES, cues)].into_iter().chain(chapters) {
            seek.master(0x4dbb, |entry| {
                entry.bytes(0x53ab, &id.to_be_bytes()).bytes(0x53ac, &(at - body).to_be_bytes());
            });
        }
    });
    let rest = SEEK_SPACE - seek.0.len();
    seek.void(VOID, rest);
    let mut length = ElementBytes::default();
    length.float(DURATION, duration as f64);
    [
        (places.seek, seek.0),
        (places.duration, length.0),
        (places.segment_size, long_size(end - body).to_vec()),
    ]
}

/// The table of the keyframes, for seeking.
pub(crate) fn cues_element(keyframes: &[RecordedKeyframe], places: &HeadPlaces) -> Vec<u8> {
    let body = places.segment_size + 8;
    let mut out = ElementBytes::default();
    out.master(CUES, |cues| {
        for keyframe in keyframes {
            cues.master(0xbb, |point| {
                point.uint(0xb3, keyframe.time).master(0xb7, |place| {
                    place.uint(0xf7, 1).uint(0xf1, keyframe.at - body);
                });
            });
        }
    });
    out.0
}

/// Reads [`cues_element`]'s body.
pub(crate) fn read_cues(cues: &[u8], places: &HeadPlaces) -> Vec<RecordedKeyframe> {
    let body = places.segment_size + 8;
    let point = |point: &[u8]| {
        let at = number(find(find(point, 0xb7)?, 0xf1)?).checked_add(body)?;
        Some(RecordedKeyframe { time: number(find(point, 0xb3)?), at })
    };
    elements(cues).filter_map(|(_, body)| point(body)).collect()
}

/// The chapters, each of which lasts until the next. No bytes if there are none.
pub(crate) fn chapters_element(chapters: &[RecordedChapter], end: u64) -> Vec<u8> {
    let mut out = ElementBytes::default();
    if chapters.is_empty() {
        // A table without entries is not allowed.
        return out.0;
    }
    let ends = chapters.iter().skip(1).map(|next| next.time).chain([end]);
    out.master(CHAPTERS, |out| {
        out.master(0x45b9, |edition| {
            edition.uint(0x45bc, 1).uint(0x45db, 1);
            for ((number, chapter), ends) in (1..).zip(chapters).zip(ends) {
                edition.master(0xb6, |atom| {
                    atom.uint(0x73c4, number).uint(0x91, nanos(chapter.time));
                    atom.uint(0x92, nanos(ends.max(chapter.time)));
                    atom.master(0x80, |display| {
                        display.text(0x85, &chapter.title).text(0x437c, "und");
                    });
                });
            }
        });
    });
    out.0
}

fn nanos(millis: u64) -> u64 {
    millis.saturating_mul(1_000_000)
}

/// Reads [`chapters_element`]'s body.
pub(crate) fn read_chapters(chapters: &[u8]) -> Vec<RecordedChapter> {
    let atom = |atom: &[u8]| {
        let title = find(find(atom, 0x80)?, 0x85)?;
        let time = number(find(atom, 0x91)?) / 1_000_000;
        Some(RecordedChapter { time, title: plain_title(&String::from_utf8_lossy(title)) })
    };
    let editions = elements(chapters).filter(|(id, _)| *id == 0x45b9);
    editions.flat_map(|(_, edition)| elements(edition)).filter_map(|(_, body)| atom(body)).collect()
}

/// A chapter as noted between clusters: players skip it.
pub(crate) fn note(chapter: &RecordedChapter) -> Vec<u8> {
    let body = [&NOTE[..], &chapter.time.to_be_bytes(), chapter.title.as_bytes()].concat();
    let mut out = ElementBytes::default();
    out.bytes(VOID, &body);
    out.0
}

/// Reads [`note`]'s body; `None` for other elements without meaning.
pub(crate) fn read_note(body: &[u8]) -> Option<RecordedChapter> {
    let (time, title) = body.strip_prefix(NOTE)?.split_first_chunk::<8>()?;
    let title = plain_title(&String::from_utf8_lossy(title));
    Some(RecordedChapter { time: u64::from_be_bytes(*time), title })
}

/// Adds note `chapter` to those of a file: the last one at a time counts.
pub(crate) fn add_chapter(chapters: &mut Vec<RecordedChapter>, chapter: RecordedChapter) {
    match chapters.binary_search_by_key(&chapter.time, |known| known.time) {
        Ok(same) => chapters[same] = chapter,
        Err(place) => chapters.insert(place, chapter),
    }
}

/// When a frame is shown.
fn shown_at(tag: &Tag) -> u64 {
    tag.timestamp.saturating_add_signed(tag.composition_time().into())
}

/// The clusters of these frames, and when the last of them is shown. A keyframe begins a cluster;
/// `keyframe` gets its time and the cluster's offset. Headers and script tags are skipped.
pub(crate) fn clusters(tags: &[Tag], mut keyframe: impl FnMut(u64, usize)) -> (Vec<u8>, Option<u64>) {
    let (mut out, mut last) = (ElementBytes::default(), None);
    let mut rest = tags;
    while let Some(first) = rest.first() {
        let far = |tag: &Tag| tag.timestamp.saturating_sub(first.timestamp) > MAX_DISTANCE;
        let ends = |tag: &Tag| tag.is_keyframe() || far(tag);
        let count = 1 + rest[1..].iter().position(ends).unwrap_or(rest.len() - 1);
        let (these, others) = rest.split_at(count);
        rest = others;
        let mut blocks = ElementBytes::default();
        blocks.bytes(CLUSTER_TIME, &first.timestamp.to_be_bytes());
        let empty = blocks.0.len();
        for tag in these.iter().filter(|tag| tag.is_frame()) {
            last = last.max(Some(shown_at(tag)));
            put_block(&mut blocks, tag, first.timestamp);
        }
        if blocks.0.len() > empty {
            if first.is_keyframe() {
                keyframe(shown_at(first), out.0.len());
            }
            out.bytes(CLUSTER, &blocks.0);
        }
    }
    (out.0, last)
}

fn put_block(blocks: &mut ElementBytes, tag: &Tag, cluster: u64) {
    // The time of a frame that claims to be shown hours away is bounded.
    let distance = shown_at(tag) as i64 - cluster as i64;
    let distance = distance.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
    let (track, media) = match tag.kind {
        Kind::Video => (0x81, &tag.body[5..]),
        _ => (0x82, &tag.body[2..]),
    };
    let flags = if tag.kind == Kind::Audio || tag.is_keyframe() { 0x80 } else { 0 };
    let time = distance.to_be_bytes();
    blocks.head(BLOCK, media.len() as u64 + 4);
    blocks.0.extend([track, time[0], time[1], flags]);
    blocks.0.extend_from_slice(media);
}

/// Bytes of the body of a cluster with which [`read_cluster_start`] is content.
pub(crate) const CLUSTER_START: usize = 32;

/// The beginning of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClusterStart {
    pub(crate) time: u64,
    /// When its first block is shown, if that is a keyframe.
    pub(crate) keyframe: Option<u64>,
}

/// Where the time of a cluster is, from the beginning of its body.
pub(crate) const TIME_IN_CLUSTER: usize = 2;

/// Reads the beginning of the body of one of our clusters.
pub(crate) fn read_cluster_start(body: &[u8]) -> Option<ClusterStart> {
    let (first, rest) = body.split_first_chunk::<10>()?;
    if first[..TIME_IN_CLUSTER] != [CLUSTER_TIME as u8, 0x88] {
        return None;
    }
    let time = number(&first[TIME_IN_CLUSTER..]);
    let block = head(rest)?;
    let of_block = rest.get(block.len..block.len + 4)?;
    let is_keyframe = block.id == BLOCK && of_block[0] == 0x81 && of_block[3] & 0x80 != 0;
    let shown = time.saturating_add_signed(i16::from_be_bytes([of_block[1], of_block[2]]).into());
    Some(ClusterStart { time, keyframe: is_keyframe.then_some(shown) })
}

/// When the last block of a whole cluster is shown; `None` if its body is damaged.
pub(crate) fn last_shown(body: &[u8]) -> Option<u64> {
    let time = read_cluster_start(body)?.time;
    let (mut covered, mut last) = (0, None);
    for (id, block) in elements(body) {
        if id == BLOCK {
            let distance = i16::from_be_bytes([*block.get(1)?, *block.get(2)?]);
            last = last.max(Some(time.saturating_add_signed(distance.into())));
        } else if id != CLUSTER_TIME {
            return None;
        }
        covered = block.as_ptr() as usize - body.as_ptr() as usize + block.len();
    }
    last.filter(|_| covered == body.len())
}
