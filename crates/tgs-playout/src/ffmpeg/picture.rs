//! The filter chain that fits any picture to the profile.

use std::time::Duration;

use super::{
    filters::{Jump, cut},
    probe::VideoStream,
};
use crate::profile::Profile;

/// What surrounds a picture of another shape than the broadcast's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Background {
    /// Black.
    #[default]
    Black,
    /// A blurred copy of the picture.
    Blur,
}

/// What is shown for sound without a picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AudioPicture {
    /// The slate with the title.
    #[default]
    Slate,
    /// Cover art with title and artist; without cover art, the slate.
    Cover,
    /// The same, with a moving spectrum.
    Spectrum,
}

/// What is done to each picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PictureOptions {
    /// What surrounds a picture of another shape.
    pub background: Background,
    /// What is shown for sound without a picture.
    pub audio_picture: AudioPicture,
    /// Whether film of 24 frames per second plays at 25, on a channel with 25 or 50.
    pub speed_up: bool,
}

/// What happens to the last picture.
#[derive(Clone, Copy)]
pub(super) enum Hold {
    /// The picture is held for this long.
    For(Duration),
    /// The picture is held until the output has this length.
    Until(Duration),
}

/// A picture this much lower or narrower than the broadcast's, in pixels, gets no blurred border.
const NARROW_BORDER: f64 = 8.0;

/// Fits any picture into the profile's frame: progressive, in BT.709, square pixels, never
/// stretched, padded (ffmpeg turns it upright). The first frame of a late picture also fills the
/// time before.
pub(super) fn picture_chain(
    profile: &Profile,
    options: PictureOptions,
    video: &VideoStream,
    jump: Option<Jump>,
    hold: Hold,
) -> String {
    let mut chain: Vec<String> =
        video.fields.filters(profile).into_iter().chain(video.speed.of_pictures()).collect();
    // `start_time` also closes the hole that ffmpeg leaves when it rebuilds the graph after a
    // change of size; the encoder drops the frames that this repeats.
    let rate = format!("fps={}:start_time=0", profile.fps);
    let fit = match options.background {
        Background::Blur if has_border(profile, video) => blurred_border(profile, video),
        _ => format!("{},setsar=1,pad={}:{}:-1:-1", fitted(profile, video), profile.width, profile.height),
    };
    // The order that scales fewer frames comes first.
    if video.fields.rate(profile, video.fps) > f64::from(profile.fps) {
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

/// Scales the whole picture into the frame.
fn fitted(profile: &Profile, video: &VideoStream) -> String {
    let (w, h) = (profile.width, profile.height);
    scaled(video, &format!("w='max(2,2*trunc(min({w},{h}*dar)/2))':h='max(2,2*trunc(min({h},{w}/dar)/2))'"))
}

fn scaled(video: &VideoStream, size: &str) -> String {
    if video.alpha.is_some() { video.colour.over_black(size) } else { video.colour.scaled(size) }
}

/// Whether the picture leaves a border of the frame free.
fn has_border(profile: &Profile, video: &VideoStream) -> bool {
    let (w, h) = (f64::from(profile.width), f64::from(profile.height));
    video.aspect > 0.0 && (w - h * video.aspect > NARROW_BORDER || h - w / video.aspect > NARROW_BORDER)
}

/// The picture in front of a blurred, darker copy that fills the frame. The copy is made small:
/// blurred, it has no detail, and costs a sixteenth.
fn blurred_border(profile: &Profile, video: &VideoStream) -> String {
    let (w, h) = (profile.width, profile.height);
    let (small_w, small_h) = (w / 8 * 2, h / 8 * 2);
    let cover = scaled(
        video,
        &format!(
            "w='2*ceil(max({small_w},{small_h}*dar)/2)':h='2*ceil(max({small_h},{small_w}/dar)/2)':flags=area"
        ),
    );
    let front = fitted(profile, video);
    format!(
        "split[sharp][copy];[copy]{cover},setsar=1,crop={small_w}:{small_h},gblur=sigma={},\
         lutyuv=y='16+(val-16)*0.6':u='128+(val-128)*0.7':v='128+(val-128)*0.7',scale={w}:{h}[behind];[sharp]{front},setsar=1[front];\
         [behind][front]overlay=x='floor((W-w)/4)*2':y='floor((H-h)/4)*2'",
        (small_h / 16).max(2)
    )
}
