//! The filter graphs that fit any picture and sound to the profile.

use std::time::Duration;

use super::probe::VideoStream;
use crate::profile::Profile;

/// A step back of more than this between two time stamps is a jump of the clock, as filter graphs
/// write seconds.
const STEP_BACK: &str = "-1";

/// Where the graph of a slate hands on the sound that it is made for.
pub(super) const HEARD: &str = "[heard]";

/// What becomes of the last picture.
#[derive(Clone, Copy)]
pub(super) enum Hold {
    /// It is held for so long.
    For(Duration),
    /// It is held until so much has been shown.
    Until(Duration),
}

/// What counts as a jump between two time stamps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Jump {
    pub(super) longest: Duration,
    /// The same for the first frame. ffmpeg builds the graph anew where rate, layout or size change
    /// half-way, and its first frame then lies anywhere in the item.
    pub(super) first: Duration,
}

/// The filter that takes jumps of the clock out of the time stamps, each frame's own length left
/// in: gaps longer than `longest` (from the beginning to the first frame as well), and steps back.
fn cut(filter: &str, jump: Option<Jump>, frame: &str) -> String {
    let Some(Jump { longest, first }) = jump else { return String::new() };
    // Number 0 holds what was cut out so far, 1 the step to this frame in seconds, 2 the time
    // before it.
    format!(
        "{filter}='st(1,(PTS-ld(2))*TB);st(2,if(isnan(PTS),ld(2),PTS));\
         st(0,ld(0)+if(gt(ld(1),if(N,{:.3},{:.3}))+lt(ld(1),{STEP_BACK}),(ld(1)-{frame})/TB));PTS-ld(0)',",
        longest.as_secs_f64(),
        first.as_secs_f64()
    )
}

/// Mixes channels without a known place, which ffmpeg itself refuses to: the even ones to the left,
/// the odd to the right.
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

/// Fits any picture into the profile's frame: turned upright by ffmpeg, square pixels, never
/// stretched, padded. One that begins late is preceded by its first frame.
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
    // The start also closes the hole that ffmpeg leaves where it builds the graph anew, because the
    // source changes its size half-way; what that repeats from before is dropped by the encoder.
    let rate = format!("fps={}:start_time=0", profile.fps);
    let fit = format!(
        "scale=w='max(2,2*trunc(min({w},{h}*dar)/2))':h='max(2,2*trunc(min({h},{w}/dar)/2))':out_color_matrix=bt709:out_range=tv,\
         setsar=1,pad={w}:{h}:-1:-1"
    );
    // Whichever makes fewer frames to scale comes first.
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

/// Resamples to the profile's rate and fills holes with silence; before its beginning and behind
/// its end the timeline does.
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

/// A picture whose last frame is held while the sound beside it goes on: the invisible meter gives
/// the frames then. Only where each is read on its own, as the graph holds the decoded frames of
/// the one that the other is behind.
pub(super) fn picture_for_sound(profile: &Profile, sound: &str, picture: &str) -> String {
    let (meter, width, fps) = (meter(profile, sound), profile.width, profile.fps);
    format!("{meter};{picture}[picture];[picture][meter]overlay=x={width},fps={fps}")
}

/// The level meter of a sound, as `[meter]`; the sound goes on as [`HEARD`].
pub(super) fn meter(profile: &Profile, sound: &str) -> String {
    let sound = sound.trim_end_matches(',');
    let split = if sound.ends_with(']') { "asplit" } else { ",asplit" };
    let fps = profile.fps;
    format!("{sound}{split}{HEARD}[measured];[measured]showvolume=r={fps}:w=80:h=8:t=0:v=0[meter]")
}
