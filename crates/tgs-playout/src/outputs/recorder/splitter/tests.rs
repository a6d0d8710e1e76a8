//! The division of a simulated stream into files.

use tgs_recording::place::RecordingZone;

use super::*;

/// 2026-10-25T00:59:50Z: ten seconds before an hour begins, and the clocks are set back.
const START: u64 = 1_792_889_990_000;

fn zone() -> RecordingZone {
    RecordingZone::named("Europe/Berlin").unwrap()
}

fn header(kind: Kind, timestamp: u64, version: u8) -> Tag {
    let codec = if kind == Kind::Video { 0x17 } else { 0xaf };
    Tag { kind, timestamp, body: vec![codec, 0, version, 0, 0, 0].into() }
}

fn picture(timestamp: u64, key: bool) -> Tag {
    Tag { kind: Kind::Video, timestamp, body: vec![if key { 0x17 } else { 0x27 }, 1, 0, 0, 0, 9].into() }
}

fn sound(timestamp: u64) -> Tag {
    Tag { kind: Kind::Audio, timestamp, body: vec![0xaf, 1, 9].into() }
}

/// Media from `from` to `to` ms: 25 pictures a second, a keyframe every 2 s, and sound.
fn media(from: u64, to: u64) -> Vec<Tag> {
    let frames = (from..to).step_by(40);
    frames.flat_map(|at| [picture(at, (at - from).is_multiple_of(2000)), sound(at + 1)]).collect()
}

fn headers(at: u64, version: u8) -> Vec<Tag> {
    vec![header(Kind::Video, at, version), header(Kind::Audio, at, version)]
}

/// The files: seconds from START to their beginnings, and the times of their frames.
type Files = Vec<(f64, Vec<(Kind, u64)>)>;

/// Runs the stream in parts of 400 ms, as they are sent at START plus `late` of their time.
fn files(tags: &[Tag], late: impl Fn(u64) -> u64) -> Files {
    let mut splitter = FileSplitter::new(zone(), Duration::from_hours(1), 25);
    let mut files = Files::new();
    let mut note = |steps: Vec<FileStep>| {
        for step in steps {
            match step {
                FileStep::Begin(file) => {
                    files.push(((file.started.0 as f64 - START as f64) / 1000.0, Vec::new()));
                }
                FileStep::Append(tags) => {
                    let times = tags.iter().map(|tag| (tag.kind, tag.timestamp));
                    files.last_mut().unwrap().1.extend(times);
                }
            }
        }
    };
    for part in tags.chunk_by(|a, b| a.timestamp / 400 == b.timestamp / 400) {
        let newest = part.last().unwrap().timestamp;
        splitter.push(part.to_vec());
        splitter.observe(newest, Timestamp(START + newest + late(newest)));
        note(splitter.steps(false));
    }
    note(splitter.steps(true));
    files
}

fn starts(files: &Files) -> Vec<f64> {
    files.iter().map(|(start, _)| *start).collect()
}

#[test]
fn a_file_begins_with_the_hour_and_with_each_change_of_the_clock() {
    // Through the hour that exists twice, and the next one.
    let tags = [headers(0, 1), media(0, 2 * 3_600_000 + 20_000)].concat();
    let count = tags.iter().filter(|tag| tag.is_frame()).count();
    let found = files(&tags, |_| 0);
    assert_eq!(starts(&found), [0.0, 10.0, 3610.0, 7210.0]);
    // Not a frame is lost or comes twice.
    assert_eq!(found.iter().map(|(_, frames)| frames.len()).sum::<usize>(), count);
    for (_, frames) in &found {
        assert_eq!(frames[0], (Kind::Video, 0));
        assert!(frames.is_sorted_by_key(|(_, at)| *at));
    }
}

#[test]
fn a_broadcast_that_stood_still_begins_a_file() {
    let tags = [headers(0, 1), media(0, 8000)].concat();
    let found = files(&tags, |at| if at < 4000 { 0 } else { 100_000 });
    // The last frames before the pause may be counted to the file behind it.
    assert_eq!(found.len(), 2, "{:?}", starts(&found));
    assert!((103.0..=105.0).contains(&found[1].0), "{:?}", starts(&found));
    // Short delays change nothing.
    assert_eq!(starts(&files(&tags, |at| at % 1900)).len(), 1);
}

#[test]
fn headers_that_change_begin_a_file_with_both_of_them() {
    // At 4 s another item: its picture first, then 120 ms of sound of the item before.
    let mut tags = [headers(0, 1), media(0, 4000)].concat();
    tags.push(header(Kind::Video, 4000, 2));
    tags.push(picture(4000, true));
    tags.extend([4001, 4041, 4081].map(sound));
    tags.push(header(Kind::Audio, 4121, 2));
    tags.extend(media(4121, 8121).into_iter().skip(1));
    let mut splitter = FileSplitter::new(zone(), Duration::from_hours(1), 25);
    splitter.push(tags);
    splitter.observe(8121, Timestamp(START + 8121));
    let steps = splitter.steps(true);
    let [FileStep::Begin(first), FileStep::Append(before), FileStep::Begin(second), FileStep::Append(behind)] =
        &steps[..]
    else {
        panic!("{steps:#?}")
    };
    assert_eq!((first.codecs.video[2], first.codecs.audio.as_ref().unwrap()[2]), (1, 1));
    assert_eq!((second.codecs.video[2], second.codecs.audio.as_ref().unwrap()[2]), (2, 2));
    let last: Vec<_> = before.iter().rev().take(3).map(|tag| (tag.kind, tag.timestamp)).collect();
    assert_eq!(last, [4081, 4041, 4001].map(|at| (Kind::Audio, at)));
    assert_eq!((behind[0].timestamp, behind[1].timestamp), (0, 122));
    assert_eq!(second.started.0, START + 4000);
}

#[test]
fn frames_of_a_codec_that_the_file_has_not_are_left_out() {
    // Only the sound changes, amid a group: it is missing until the next keyframe.
    let mut tags = [headers(0, 1), media(0, 3000)].concat();
    tags.push(header(Kind::Audio, 3000, 2));
    tags.extend((3000..4000).step_by(40).flat_map(|at| [picture(at, false), sound(at + 1)]));
    tags.extend(media(4000, 8000));
    let found = files(&tags, |_| 0);
    assert_eq!(starts(&found), [0.0, 4.0]);
    assert_eq!(found[0].1.iter().filter(|(kind, _)| *kind == Kind::Audio).count(), 75);
    assert_eq!(found[0].1.iter().filter(|(kind, _)| *kind == Kind::Video).count(), 100);
}

#[test]
fn nothing_is_written_before_the_first_keyframe_and_its_headers() {
    let mut tags = media(0, 2000);
    tags.extend(headers(2000, 1));
    tags.extend((2000..3000).step_by(40).map(|at| picture(at, false)));
    assert!(files(&tags, |_| 0).is_empty());
}
