//! Scans the timestamps of a whole file whose own statements about its times disagree.
//!
//! Only for local files, up to a size that takes a second. Decodes nothing.

use std::{path::Path, time::Duration};

use tgs_core::{cancel::Cancel, process};

use super::times::{LONGEST, length};
use crate::{
    ffmpeg::input::{MAX_PIXELS, skip_options, source_options},
    item::MediaSource,
};

/// A larger file is not scanned.
pub(super) const MAX_FILE: u64 = 128 << 20;

/// Time limit of the scan, and limit of ffprobe's output in bytes: about 100,000 packets.
const TIME_OUT: Duration = Duration::from_secs(15);
const MAX_ANSWER: usize = 4 << 20;

/// Packets further apart than this many seconds belong to two runs; frame reordering makes small
/// steps back.
const APART: f64 = 2.0;
const BACK: f64 = -1.0;

/// A hole in all streams is a clock jump from this many seconds on; a shorter one may be lost
/// material.
const LOST: f64 = 10.0;

/// A track with more runs than this cannot be interpreted.
const MAX_RUNS: usize = 10_000;

/// Without better knowledge, a longer gap between two timestamps of a stream is a clock jump and is
/// cut out. Silence fills a shorter gap of the sound, which takes ffmpeg 0.7 MB per second.
pub(super) const GAP: Duration = Duration::from_mins(5);

/// The result of a scan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ScanResult {
    /// The end of the picture, jumps cut out; `None` without packets.
    pub(super) video: Option<Duration>,
    /// The end of the sound, likewise.
    pub(super) audio: Option<Duration>,
    /// Number of picture packets.
    pub(super) pictures: u64,
    /// Longer gaps between two timestamps are jumps.
    pub(super) longest_gap: Duration,
    /// Whether there are jumps.
    pub(super) jumps: bool,
}

/// Packets with consecutive times.
#[derive(Debug, Clone, Copy, PartialEq)]
struct TrackRun {
    start: f64,
    /// Time of the last packet.
    last: f64,
    end: f64,
}

/// One stream's packets so far.
#[derive(Debug, Default)]
struct Track {
    runs: Vec<TrackRun>,
    packets: u64,
    /// Stated duration of the last packet, which may be a picture shown for long.
    tail: f64,
}

impl Track {
    fn add(&mut self, time: f64, duration: f64) {
        self.packets += 1;
        // A container may state hours for a frame; the next frame shows its real length.
        let end = time + duration.clamp(0.0, APART);
        self.tail = duration.max(0.0);
        match self.runs.last_mut() {
            Some(run) if (BACK..=APART).contains(&(time - run.last)) => {
                run.last = time.max(run.last);
                run.end = end.max(run.end);
            }
            _ => self.runs.push(TrackRun { start: time, last: time, end }),
        }
    }

    /// The begin and end of the gap before each run; the first gap counts from `begin`.
    fn gaps(&self, begin: f64) -> impl Iterator<Item = (f64, f64)> {
        let ends = [begin].into_iter().chain(self.runs.iter().map(|run| run.end));
        ends.zip(self.runs.iter().map(|run| run.start))
    }

    /// How much of this interval has packets.
    fn covers(&self, from: f64, to: f64) -> f64 {
        self.runs.iter().map(|run| (run.end.min(to) - run.start.max(from)).max(0.0)).sum()
    }

    /// This track, with the runs joined between which `other` has packets.
    fn joined(&self, other: &Self) -> Self {
        let mut runs: Vec<TrackRun> = Vec::new();
        for run in &self.runs {
            match runs.last_mut() {
                Some(last) if is_filled(other, last.end, run.start) => last.end = run.end,
                _ => runs.push(*run),
            }
        }
        Self { runs, packets: self.packets, tail: self.tail }
    }

    /// When the track ends, with gaps above `longest` and steps back cut out.
    fn end(&self, begin: f64, longest: f64) -> Option<Duration> {
        let mut at = 0.0;
        for ((from, to), run) in self.gaps(begin).zip(&self.runs) {
            let gap = to - from;
            if (BACK..=longest).contains(&gap) {
                at += gap;
            }
            at += run.end - run.start;
        }
        let counted = self.runs.last().map_or(0.0, |run| run.end - run.last);
        length(at + (self.tail.min(longest) - counted).max(0.0))
    }
}

/// Whether `other` covers at least half of the gap between `from` and `to`.
fn is_filled(other: &Track, from: f64, to: f64) -> bool {
    to >= from && other.covers(from, to) * 2.0 >= to - from
}

/// Scans these streams of `source`. `None` if that takes too long or the result cannot be
/// interpreted.
pub(super) fn scan(
    ffprobe: &Path,
    source: &MediaSource,
    skip_bytes: u64,
    (video, audio): (Option<usize>, Option<usize>),
    cancel: &Cancel,
) -> Option<ScanResult> {
    let mut command = process::command(ffprobe);
    command
        .args(["-v", "quiet", "-of", "csv=p=0", "-show_entries"])
        .arg("packet=stream_index,pts_time,dts_time,duration_time,flags")
        .args(source_options(source))
        .args(skip_options(skip_bytes))
        .args(["-max_pixels", MAX_PIXELS])
        .args(["-i", &source.url]);
    let output = process::output(command, TIME_OUT, MAX_ANSWER, cancel).ok()?;
    measure(&String::from_utf8_lossy(&output.stdout), video, audio)
}

/// Measures ffprobe's output: one line per packet, `stream,pts,dts,duration,flags`.
fn measure(lines: &str, video: Option<usize>, audio: Option<usize>) -> Option<ScanResult> {
    let (mut picture, mut sound) = (Track::default(), Track::default());
    for line in lines.lines() {
        let mut fields = line.split(',');
        let Some(index) = fields.next().and_then(|field| field.parse().ok()) else { continue };
        let track = match Some(index) {
            index if index == video => &mut picture,
            index if index == audio => &mut sound,
            _ => continue,
        };
        let longest = LONGEST.as_secs_f64() * 10.0;
        let mut number = || fields.next()?.parse::<f64>().ok().filter(|n| n.is_finite() && n.abs() < longest);
        let (shown, decoded, duration) = (number(), number(), number());
        let Some(time) = decoded.or(shown) else { continue };
        // Packets hidden by an edit list are decoded and not shown.
        if fields.next().is_some_and(|flags| flags.contains('D')) {
            continue;
        }
        track.add(time, duration.unwrap_or(0.0));
        if track.runs.len() > MAX_RUNS {
            return None;
        }
    }
    let firsts = [&picture, &sound].map(|track| track.runs.first().map(|run| run.start));
    let begin = firsts.into_iter().flatten().reduce(f64::min)?;
    let (hole, jump) = gaps(&picture, &sound, begin);
    let longest = match jump {
        Some(jump) if hole < jump => (hole + 1.0).max((jump * 0.9).min(GAP.as_secs_f64())),
        _ => (hole + 1.0).max(GAP.as_secs_f64()),
    };
    Some(ScanResult {
        video: picture.end(begin, longest),
        audio: sound.end(begin, longest),
        pictures: picture.packets,
        longest_gap: length(longest)?,
        jumps: jump.is_some(),
    })
}

/// The longest gap of one track that the other one fills, and the shortest jump: an unfilled gap,
/// or a step back.
fn gaps(picture: &Track, sound: &Track, begin: f64) -> (f64, Option<f64>) {
    // A single track has nothing to compare with, and a picture may stand still for a while.
    let alone = picture.runs.is_empty() || sound.runs.is_empty();
    let lost = if alone { GAP.as_secs_f64() } else { LOST };
    let whole = picture.joined(sound);
    let mut hole: f64 = 0.0;
    let mut jump: Option<f64> = None;
    for (track, other) in [(picture, sound), (sound, &whole)] {
        for (from, to) in track.gaps(begin) {
            let gap = to - from;
            if gap < BACK || gap > lost && !is_filled(other, from, to) {
                jump = Some(jump.map_or(gap.abs(), |least| least.min(gap.abs())));
            } else {
                // The timestamps of two packets are further apart than the gap, by the first
                // packet's length.
                hole = hole.max(gap + APART);
            }
        }
    }
    (hole, jump)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    /// Packets of the picture (stream 0, 25 a second) and of the sound (stream 1, 50 a second) that
    /// lie in these times.
    fn packets(picture: &[(f64, f64)], sound: &[(f64, f64)]) -> String {
        let stream = |index: usize, step: f64, runs: &[(f64, f64)]| {
            let mut lines = String::new();
            for &(from, to) in runs {
                for n in 0..((to - from) / step).round() as u64 {
                    let time = from + n as f64 * step;
                    writeln!(lines, "{index},{time:.3},{time:.3},{step:.3}").unwrap();
                }
            }
            lines
        };
        stream(0, 0.04, picture) + &stream(1, 0.02, sound)
    }

    fn measured(picture: &[(f64, f64)], sound: &[(f64, f64)]) -> (f64, f64, f64, bool) {
        let found = measure(&packets(picture, sound), Some(0), Some(1)).unwrap();
        let seconds = |time: Option<Duration>| time.unwrap_or_default().as_secs_f64().round();
        (seconds(found.video), seconds(found.audio), found.longest_gap.as_secs_f64(), found.jumps)
    }

    #[test]
    fn a_gap_that_the_other_track_fills_is_none() {
        let film = [(0.0, 600.0)];
        let (video, audio, longest, jumps) = measured(&film, &[(0.0, 10.0), (500.0, 600.0)]);
        assert_eq!((video, audio, jumps), (600.0, 600.0, false));
        assert!(longest > 490.0);
        let (video, audio, longest, jumps) = measured(&[(0.0, 0.1), (400.0, 400.1)], &film);
        assert_eq!((video, audio, jumps), (400.0, 600.0, false));
        assert!(longest > 400.0);
        // A picture that begins late, beside sound.
        let (video, _, longest, jumps) = measured(&[(350.0, 355.0)], &film);
        assert_eq!((video, jumps), (355.0, false));
        assert!(longest > 350.0);
    }

    #[test]
    fn a_picture_lasts_as_long_as_it_says() {
        let slides = "0,0,0,10\n0,10,10,10\n0,20,20,10\n1,0,0,0.02\n";
        let found = measure(slides, Some(0), Some(1)).unwrap();
        assert_eq!((found.video, found.pictures, found.jumps), (length(30.0), 3, false));
        // Where it says more than that, its clock is not believed.
        let endless = "0,0,0,0.04\n0,0.04,0.04,9000000\n1,0,0,0.02\n";
        assert_eq!(measure(endless, Some(0), Some(1)).unwrap().video, length(300.04));
    }

    #[test]
    fn a_gap_that_nothing_fills_is_a_jump_and_so_is_a_step_back() {
        let plain = [(0.0, 6.0)];
        for (picture, sound) in [
            (&[(0.0, 4.0), (1804.0, 1806.0)][..], &[(0.0, 4.0), (1804.0, 1806.0)][..]),
            (&plain, &[(0.0, 2.0), (7202.0, 7206.0)]),
            (&[(0.0, 2.0), (7202.0, 7206.0)], &plain),
            (&plain, &[(100.0, 102.0), (20.0, 24.0)]),
            (&[(0.0, 3.0), (0.5, 3.5)], &plain),
            (&[(-5000.0, -4997.0), (0.0, 3.0)], &[(-5000.0, -4997.0), (0.0, 3.0)]),
            // A whole track that lies elsewhere.
            (&plain, &[(7200.0, 7206.0)]),
        ] {
            let (video, audio, longest, jumps) = measured(picture, sound);
            assert_eq!((video, audio, jumps), (6.0, 6.0, true), "{picture:?} {sound:?}");
            assert!(longest <= 300.0, "{picture:?} {sound:?}: {longest}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_answer_panics(lines in proptest::collection::vec(
            (0_usize..3, "-?[0-9]{1,25}(\\.[0-9]{1,6})?|N/A|nan|inf|1e400", "-?[0-9]{1,25}|N/A", "-?[0-9]{1,25}|N/A"),
            0..40,
        )) {
            let lines: Vec<_> = lines.iter().map(|(a, b, c, d)| format!("{a},{b},{c},{d}")).collect();
            let text = lines.join("\n");
            if let Some(found) = measure(&text, Some(0), Some(1)) {
                proptest::prop_assert!(found.video.unwrap_or_default() <= LONGEST);
                proptest::prop_assert!(found.longest_gap <= LONGEST);
            }
            let _ = measure(&text, None, Some(2));
        }
    }
}
