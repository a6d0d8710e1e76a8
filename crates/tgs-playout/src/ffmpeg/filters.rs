//! Filters that picture and sound share: clock jumps are cut, and a sound ends its picture.

use std::time::Duration;

use crate::profile::Profile;

/// A larger step back between two timestamps is a clock jump; in seconds, as filter syntax.
const STEP_BACK: &str = "-1";

/// Label under which a graph with a level meter passes on the sound.
pub(super) const HEARD: &str = "[heard]";

/// Gaps longer than these are clock jumps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Jump {
    pub(super) longest: Duration,
    /// The limit for the first frame. ffmpeg rebuilds the graph when rate, layout or size change
    /// half-way, and the first frame of the new graph may lie anywhere in the item.
    pub(super) first: Duration,
}

/// The filter that removes clock jumps from the timestamps and keeps each frame's own length: gaps
/// longer than `longest` (`first` before the first frame), and steps back.
pub(super) fn cut(filter: &str, jump: Option<Jump>, frame: &str) -> String {
    let Some(Jump { longest, first }) = jump else { return String::new() };
    // Variable 0 holds the time removed so far, 1 the step to this frame in seconds, 2 the last
    // timestamp.
    format!(
        "{filter}='st(1,(PTS-ld(2))*TB);st(2,if(isnan(PTS),ld(2),PTS));\
         st(0,ld(0)+if(gt(ld(1),if(N,{:.3},{:.3}))+lt(ld(1),{STEP_BACK}),(ld(1)-{frame})/TB));PTS-ld(0)',",
        longest.as_secs_f64(),
        first.as_secs_f64()
    )
}

/// A picture whose last frame is held while the sound continues: the invisible meter then supplies
/// the frames. Only for streams read separately, because the graph buffers the decoded frames of
/// the stream that is ahead.
pub(super) fn picture_for_sound(profile: &Profile, sound: &str, picture: &str) -> String {
    let (meter, width, fps) = (meter(profile, sound), profile.width, profile.fps);
    format!("{meter};{picture}[picture];[picture][meter]overlay=x={width},fps={fps}")
}

/// The level meter of a sound, as `[meter]`; the sound continues as [`HEARD`].
pub(super) fn meter(profile: &Profile, sound: &str) -> String {
    let sound = sound.trim_end_matches(',');
    let split = if sound.ends_with(']') { "asplit" } else { ",asplit" };
    let fps = profile.fps;
    format!("{sound}{split}{HEARD}[measured];[measured]showvolume=r={fps}:w=80:h=8:t=0:v=0[meter]")
}

/// Appends the operator's filters to a chain.
pub(super) fn join(chain: &str, more: Option<&String>) -> String {
    more.map_or_else(|| chain.to_owned(), |more| format!("{chain},{more}"))
}
