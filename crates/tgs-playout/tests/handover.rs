//! One engine leaves the air at a picture, and another one begins with the next, with the real
//! ffmpeg: the pictures carry their number as a row of black and white bars.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod ffmpeg;

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use ffmpeg::make;
use tgs_playout::{
    engine::{self, Control, EngineConfig, RunEnd},
    ffmpeg::Processing,
    handover::LeavePoint,
    item::{Item, JumpTarget, Media, NextItem, Programme},
    output::Output,
    profile::Profile,
};

const PROFILE: Profile = Profile { width: 320, height: 180, video_kbps: 400, ..Profile::P720 };

/// Pictures of each clip.
const CLIP: usize = 180;

/// Two clips, from this one and this offset on.
struct Clips {
    all: Vec<PathBuf>,
    next: usize,
    start: Duration,
}

impl Programme for Clips {
    fn next(&mut self) -> NextItem {
        let Some(path) = self.all.get(self.next) else { return NextItem::End };
        let (id, turn) = (path.display().to_string(), self.next as u64);
        let media = Media::at(format!("file:{id}"), false);
        self.next += 1;
        let start = std::mem::take(&mut self.start);
        NextItem::Play(Item { title: id.clone(), id, turn, start, media })
    }

    fn confirm(&mut self, item: Item) -> NextItem {
        NextItem::Play(item)
    }

    fn round_len(&self) -> usize {
        self.all.len()
    }

    fn jump(&mut self, _: Option<u64>, _: JumpTarget) {}

    fn reload(&mut self) {}
}

/// Makes two clips whose pictures are numbered on from one to the other.
fn make_clips(dir: &Path) {
    let bits = |first: usize| {
        format!(
            "-f lavfi -i color=black:s=16x2:r=30,format=gray,\
             geq=lum='16+219*mod(floor((N+{first})/pow(2,X)),2)',scale=320:180:flags=neighbor,setsar=1 \
             -f lavfi -i sine=r=48000 -t {} -pix_fmt yuv420p -c:v libx264 -preset ultrafast -g 30 -c:a aac",
            CLIP / 30
        )
    };
    for number in 0..2 {
        make(dir, &format!("{} {number}.mp4", bits(number * CLIP)));
    }
}

/// The numbers of the pictures of a recording, in order.
fn numbers(file: &Path) -> Vec<usize> {
    let filters = "scale=16:1:flags=area,format=gray";
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-fps_mode", "passthrough", "-vf", filters, "-f", "rawvideo", "-"])
        .output()
        .unwrap();
    assert!(decoded.status.success(), "{}", String::from_utf8_lossy(&decoded.stderr));
    let number = |bits: &[u8]| bits.iter().rev().fold(0, |sum, bit| sum * 2 + usize::from(*bit > 125));
    decoded.stdout.chunks_exact(16).map(number).collect()
}

fn config(dir: &Path, out: &str, cached: bool) -> EngineConfig {
    EngineConfig {
        ffmpeg: "ffmpeg".into(),
        ffprobe: "ffprobe".into(),
        profile: PROFILE,
        processing: Processing::default(),
        ffmpeg_args: String::new(),
        output: Output::File(dir.join(out)),
        read_ahead: Duration::from_secs(6),
        realtime: true,
        filler: None,
        cache_dir: dir.join("cache"),
        cache_limit: if cached { 1 << 30 } else { 0 },
        cache_ahead: false,
        image_duration: Duration::from_secs(10),
        passthrough: false,
        state_dir: dir.join("state"),
        first_timestamp: 0,
    }
}

fn wait<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// One engine plays from `start` and leaves at the first point that is `wanted`; another one plays
/// from there. Returns the pictures of both.
fn hand_over(
    dir: &Path,
    (next, start): (usize, Duration),
    cached: bool,
    wanted: impl Fn(&LeavePoint) -> bool,
) -> (Vec<usize>, Vec<usize>) {
    let clips: Vec<_> = (0..2).map(|number| dir.join(format!("{number}.mp4"))).collect();
    let [first, second] = [(); 2].map(|()| Control::default());
    let play = |control: &Control, out: &str, next, start, realtime| {
        let programme = Clips { all: clips.clone(), next, start };
        let config = EngineConfig { realtime, ..config(dir, out, cached) };
        engine::run(config, Box::new(programme), control).unwrap()
    };
    if cached {
        play(&Control::default(), "whole.flv", 0, Duration::ZERO, false);
    }
    let point = thread::scope(|threads| {
        let one = threads.spawn(|| play(&first, "one.flv", next, start, true));
        let point = wait("no such point", || first.leave_points().into_iter().find(&wanted));
        first.leave_at(&point);
        assert!(first.wait_left(Duration::from_secs(20)), "it does not leave");
        let summary = one.join().unwrap();
        assert_eq!((summary.end, summary.failed), (RunEnd::Left, 0));
        point
    });
    second.hold();
    thread::scope(|threads| {
        let two = threads.spawn(|| play(&second, "two.flv", point.turn as usize, point.offset, false));
        wait("the other engine does not get ready", || second.is_ready().then_some(()));
        assert!(second.status.read().sent_at.is_none(), "the held one has begun");
        second.release();
        let summary = two.join().unwrap();
        assert_eq!((summary.end, summary.failed), (RunEnd::Over, 0));
    });
    (numbers(&dir.join("one.flv")), numbers(&dir.join("two.flv")))
}

fn assert_continues((one, two): (Vec<usize>, Vec<usize>)) {
    // A slow machine shows the slate before an item; its pictures read as 0.
    let all: Vec<usize> = one.iter().chain(&two).copied().filter(|number| *number != 0).collect();
    let breaks: Vec<_> = all.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
    assert!(breaks.is_empty(), "{breaks:?}; one {:?}, two {:?}", one.last(), two.first());
    assert!(
        !one.is_empty() && two.last() == Some(&(2 * CLIP - 1)),
        "{:?} to {:?}, then {:?} to {:?}",
        one.first(),
        one.last(),
        two.first(),
        two.last()
    );
}

#[test]
fn the_other_engine_continues_with_the_next_picture() {
    let dir = tempfile::tempdir().unwrap();
    make_clips(dir.path());
    // Behind the first picture, which is a keyframe, too.
    let later = |point: &LeavePoint| point.turn == 0 && point.offset > Duration::from_millis(1300);
    let next = |point: &LeavePoint| point.turn == 1 && point.offset.is_zero();
    // Half-way in an encoded item, at the end of an item, and in a cached item.
    assert_continues(hand_over(dir.path(), (0, Duration::from_millis(1300)), false, later));
    assert_continues(hand_over(dir.path(), (0, Duration::from_secs(3)), false, next));
    assert_continues(hand_over(dir.path(), (0, Duration::ZERO), true, later));
}
