//! The timeline over encoders that are numbers.

use proptest::prelude::*;

use super::*;

const FPS: u64 = 30;
const RATE: u64 = 44_100;

fn timeline() -> Timeline {
    let silence = Silence { header: vec![0xaf, 0, 0x12, 0x10].into(), frame: vec![0xaf, 1, 0].into() };
    Timeline::new(&Profile::P720, silence)
}

/// What an encoder writes for `pictures` frames and `sounds` AAC frames: reordering delays the
/// picture by two frames, priming starts the sound 1024 samples early.
fn encoded(pictures: u64, sounds: u64) -> Vec<Tag> {
    let delay = 2 * 1000 / FPS;
    let mut tags = vec![
        Tag { kind: Kind::Video, timestamp: 0, body: vec![0x17, 0, 0, 0, 0, 1].into() },
        Tag { kind: Kind::Audio, timestamp: 0, body: vec![0xaf, 0, 0x12, 0x10].into() },
    ];
    let mut frames: Vec<Tag> = (0..pictures)
        .map(|n| {
            let first = if n % 60 == 0 { 0x17 } else { 0x27 };
            let body = vec![first, 1, 0, 0, delay as u8, n as u8];
            Tag { kind: Kind::Video, timestamp: n * 1000 / FPS, body: body.into() }
        })
        .chain((0..sounds).map(|n| {
            let timestamp = (n * AAC_FRAME * 1000 / RATE + delay).saturating_sub(23);
            Tag { kind: Kind::Audio, timestamp, body: vec![0xaf, 1, 1].into() }
        }))
        .collect();
    frames.sort_by_key(|tag| tag.timestamp);
    tags.extend(frames);
    tags
}

fn drain(timeline: &mut Timeline, out: &mut Vec<TimedTag>) {
    while let Some(placed) = timeline.pop() {
        out.push(placed);
    }
}

/// Plays items of so many pictures and sounds one after another.
fn play(items: &[(u64, u64)]) -> Vec<TimedTag> {
    let (mut timeline, mut out) = (timeline(), Vec::new());
    for (seq, &(pictures, sounds)) in items.iter().enumerate() {
        timeline.begin(seq as u64 + 1, 0, sounds == 0);
        for tag in encoded(pictures, sounds) {
            timeline.push(tag);
            drain(&mut timeline, &mut out);
        }
    }
    while let Some(placed) = timeline.pop_rest() {
        out.push(placed);
    }
    out
}

fn times(out: &[TimedTag], kind: Kind) -> Vec<u64> {
    out.iter().filter(|p| p.tag.kind == kind && p.tag.is_frame()).map(|p| p.tag.timestamp).collect()
}

fn steps(times: &[u64]) -> (u64, u64) {
    let steps = times.windows(2).map(|w| w[1].checked_sub(w[0]).expect("no backward step"));
    (steps.clone().min().unwrap_or(0), steps.max().unwrap_or(0))
}

/// How far the first own sound of each item is off the first picture, beyond what the encoder
/// meant, in ms.
fn errors(out: &[TimedTag], items: usize) -> Vec<i64> {
    (1..=items as u64)
        .map(|seq| {
            let own =
                |kind| move |p: &&TimedTag| p.origin.seq == seq && p.tag.kind == kind && p.tag.is_frame();
            let picture = out.iter().find(own(Kind::Video)).unwrap();
            let shown = picture.tag.timestamp as i64 + i64::from(picture.tag.composition_time());
            let sound = out.iter().find(|p| own(Kind::Audio)(p) && *p.tag.body == [0xaf, 1, 1]).unwrap();
            // By the encoder's own clock the picture is shown at 66 ms, sound n is at 43 + 23.2 n.
            let meant = sound.origin.offset_ms as i64 - 66;
            sound.tag.timestamp as i64 - shown - meant
        })
        .collect()
}

#[test]
fn joins_have_no_gap_and_sound_stays_with_the_picture() {
    // 2.0 s of picture are 86.1 frames of sound: each join is off the grid differently.
    let out = play(&[(60, 88); 200]);
    assert_eq!(steps(&times(&out, Kind::Video)), (33, 34));
    assert_eq!(steps(&times(&out, Kind::Audio)), (23, 24));
    let errors = errors(&out, 200);
    assert!(errors.iter().all(|e| e.abs() <= 12), "{errors:?}");
    let all: Vec<u64> = out.iter().map(|p| p.tag.timestamp).collect();
    assert!(all.is_sorted(), "sound and picture do not leave in order of time");
    let headers = out.iter().filter(|p| p.tag.is_sequence_header()).count();
    assert_eq!(headers, 2);
}

#[test]
fn a_segment_is_whole_where_no_picture_waits_for_an_earlier_one() {
    let mut timeline = timeline();
    assert!(timeline.is_whole());
    // As x264 sends them: the fourth picture, then the two before it; all of them two frames late.
    let shown =
        [(true, 2_u64, true), (false, 4, false), (false, 1, false), (false, 1, true), (false, 2, true)];
    for (n, (key, later, whole)) in shown.into_iter().enumerate() {
        let first = if key { 0x17 } else { 0x27 };
        let body = vec![first, 1, 0, 0, (later * 1000).div_ceil(FPS) as u8, 0];
        timeline.push(Tag { kind: Kind::Video, timestamp: n as u64 * 33, body: body.into() });
        assert_eq!(timeline.is_whole(), whole, "after picture {n}");
    }
}

#[test]
fn a_run_that_begins_without_sound_has_an_audio_header_first() {
    let out = play(&[(60, 0), (60, 88)]);
    let sounds: Vec<&TimedTag> = out.iter().filter(|p| p.tag.kind == Kind::Audio).collect();
    assert!(sounds[0].tag.is_sequence_header());
    assert_eq!(sounds.iter().filter(|p| p.tag.is_sequence_header()).count(), 1);
}

#[test]
fn silence_fills_what_an_item_has_too_little_of() {
    let out = play(&[(300, 100), (60, 88)]);
    assert_eq!(steps(&times(&out, Kind::Audio)), (23, 24));
    let silent = out.iter().filter(|p| *p.tag.body == [0xaf, 1, 0]).count() as i64;
    assert!((silent - 333).abs() < 4, "{silent} frames of silence");
    assert!(errors(&out, 2).iter().all(|e| e.abs() <= 12));
}

#[test]
fn pictures_do_not_wait_for_sound_that_has_ended_where_nothing_follows() {
    let (mut timeline, mut out) = (timeline(), Vec::new());
    timeline.begin(1, 0, false);
    for tag in encoded(300, 100) {
        timeline.push(tag);
        drain(&mut timeline, &mut out);
    }
    let pictures = |out: &[TimedTag]| times(out, Kind::Video).len();
    assert!((265..=275).contains(&pictures(&out)), "{}", pictures(&out));
    assert!(timeline.settle());
    drain(&mut timeline, &mut out);
    assert!(pictures(&out) >= 298, "{}", pictures(&out));
    assert!(!timeline.settle());
    timeline.begin(2, 0, false);
    for tag in encoded(60, 88) {
        timeline.push(tag);
        drain(&mut timeline, &mut out);
    }
    assert_eq!(steps(&times(&out, Kind::Audio)), (23, 24));
    assert!(errors(&out, 2).iter().all(|e| e.abs() <= 12), "{:?}", errors(&out, 2));
    // Sound that is where it should be gets none.
    assert!(!timeline.settle());
}

#[test]
fn sound_beyond_the_picture_is_cut_at_the_join() {
    let out = play(&[(60, 110), (60, 88)]);
    assert_eq!(steps(&times(&out, Kind::Audio)), (23, 24));
    assert!(errors(&out, 2).iter().all(|e| e.abs() <= 12), "{:?}", errors(&out, 2));
}

#[test]
fn a_changed_header_is_sent_before_its_first_frame() {
    let (mut timeline, mut out) = (timeline(), Vec::new());
    for tag in encoded(60, 88) {
        timeline.push(tag);
    }
    timeline.begin(2, 0, false);
    for mut tag in encoded(60, 88) {
        if tag.is_sequence_header() && tag.kind == Kind::Video {
            tag.body = vec![0x17, 0, 0, 0, 0, 2].into();
        }
        timeline.push(tag);
    }
    drain(&mut timeline, &mut out);
    let headers: Vec<usize> = (0..out.len())
        .filter(|&at| out[at].tag.is_sequence_header() && out[at].tag.kind == Kind::Video)
        .collect();
    assert_eq!(headers.len(), 2);
    let next = out[headers[1]..].iter().filter(|p| p.tag.kind == Kind::Video).nth(1).unwrap();
    assert!(next.tag.is_keyframe());
}

proptest! {
    #[test]
    fn any_items_make_one_even_stream(items in prop::collection::vec((1_u64..200, prop_oneof![Just(0_u64), 1_u64..300]), 1..12)) {
        let out = play(&items);
        let pictures: u64 = items.iter().map(|item| item.0).sum();
        let video = times(&out, Kind::Video);
        prop_assert_eq!(video.len() as u64, pictures);
        if video.len() > 1 {
            let (least, most) = steps(&video);
            prop_assert!((33..=34).contains(&least) && most <= 34);
        }
        let audio = times(&out, Kind::Audio);
        if audio.len() > 1 {
            let (least, most) = steps(&audio);
            prop_assert!((23..=24).contains(&least) && most <= 24);
        }
    }
}
