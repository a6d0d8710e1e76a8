//! The filter graphs that fit any picture and sound to the profile.

use std::time::Duration;

use super::probe::VideoStream;
use crate::profile::Profile;

/// A larger step back between two timestamps is a clock jump; in seconds, as filter syntax.
const STEP_BACK: &str = "-1";

/// Label under which a graph with a level meter passes on the sound.
pub(super) const HEARD: &str = "[heard]";

/// What happens to the last picture.
#[derive(Clone, Copy)]
pub(super) enum Hold {
    /// The picture is held for this long.
    For(Duration),
    /// The picture is held until the output has this length.
    Until(Duration),
}

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
fn cut(filter: &str, jump: Option<Jump>, frame: &str) -> String {
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

/// Mixes channels without a known layout, which ffmpeg refuses: even channels to the left, odd to
/// the right.
pub(super) fn mix_unplaced(channels: u32) -> String {
    if channels == 0 {
        return String::new();
    }
    let side = |first: u32| {
        let names: Vec<_> = (first..channels).step_by(2).map(|channel| format!("c{channel}")).collect();
        names.join("+")
    };
    format!("pan=stereo|FL<{}|FR<{},", side(0), side(1))
}

pub(super) fn cut_sound(jump: Option<Jump>) -> String {
    cut("asetpts", jump, "NB_SAMPLES/SR")
}

/// Fits any picture into the profile's frame: square pixels, never stretched, padded (ffmpeg turns
/// it upright). The first frame of a late picture also fills the time before.
pub(super) fn picture_chain(
    profile: &Profile,
    video: &VideoStream,
    jump: Option<Jump>,
    hold: Hold,
) -> String {
    let (w, h) = (profile.width, profile.height);
    let mut chain = Vec::new();
    if video.interlaced {
        chain.push("yadif=deint=interlaced".to_owned());
    }
    // `start_time` also closes the hole that ffmpeg leaves when it rebuilds the graph after a
    // change of size; the encoder drops the frames that this repeats.
    let rate = format!("fps={}:start_time=0", profile.fps);
    let fit = format!(
        "scale=w='max(2,2*trunc(min({w},{h}*dar)/2))':h='max(2,2*trunc(min({h},{w}/dar)/2))':out_color_matrix=bt709:out_range=tv,\
         setsar=1,pad={w}:{h}:-1:-1"
    );
    // The order that scales fewer frames comes first.
    if video.fps > f64::from(profile.fps) {
        chain.extend([rate, fit]);
    } else {
        chain.extend([fit, rate]);
    }
    match hold {
        Hold::For(length) if length.is_zero() => {}
        Hold::For(length) => {
            chain.push(format!("tpad=stop_mode=clone:stop_duration={:.3}", length.as_secs_f64()));
        }
        Hold::Until(length) => {
            chain.push(format!("tpad=stop=-1:stop_mode=clone,trim=duration={:.3}", length.as_secs_f64()));
        }
    }
    let frame = if video.fps > 0.0 { (1.0 / video.fps).min(1.0) } else { 0.04 };
    cut("setpts", jump, &format!("{frame:.4}")) + &chain.join(",")
}

/// Resamples to the profile's rate and fills holes with silence; the timeline fills before the
/// beginning and after the end.
pub(super) fn sound_chain(profile: &Profile, pad: Duration) -> String {
    let padding =
        if pad.is_zero() { String::new() } else { format!(",apad=pad_dur={:.3}", pad.as_secs_f64()) };
    format!(
        "aresample={}:async=1,aformat=sample_fmts=fltp:channel_layouts={}{padding}",
        profile.audio_rate,
        layout(profile.channels)
    )
}

pub(super) fn layout(channels: u32) -> &'static str {
    if channels == 1 { "mono" } else { "stereo" }
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
