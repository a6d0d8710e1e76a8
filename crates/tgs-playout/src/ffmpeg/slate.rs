//! The slate: a plain background with text, shown for items without a picture.

use std::time::Duration;

use super::{
    draw::{PictureText, TextStyle, text_filter},
    filters::meter,
    setup::EncodeSetup,
    sound::layout,
};
use crate::profile::Profile;

/// How the slate's light falls off from the top left, from 1 to 0.
const LIGHT: &str = "max(0,1-hypot((X-0.3*W)/W,(Y-0.2*H)/H))";

/// The slate's background, without an end or of this `length`: a dark blue, lit from the top left.
/// One frame is drawn and repeated; noise of a level hides the steps between shades.
pub(super) fn slate_source(profile: &Profile, length: Option<Duration>) -> String {
    let (w, h, fps) = (profile.width, profile.height, profile.fps);
    let end = length.map(|length| format!(",trim=duration={:.3}", length.as_secs_f64())).unwrap_or_default();
    format!(
        "color=c=black:s={w}x{h}:r={fps},trim=end_frame=1,format=yuv420p,\
         geq=lum='28+46*{LIGHT}+random(0)':cb='130+10*{LIGHT}':cr='126-10*{LIGHT}',\
         loop=loop=-1:size=1,settb=1/{fps},setpts=N{end}"
    )
}

pub(super) fn silence_source(profile: &Profile) -> String {
    format!("anullsrc=r={}:cl={}", profile.audio_rate, layout(profile.channels))
}

/// A slate exactly as long as the sound beside it, whose length may be unknown: an invisible level
/// meter of that sound ends the picture. (`-shortest` does not: behind a filter graph ffmpeg 5.1
/// never ends with it.)
pub(super) fn slate_for_sound(profile: &Profile, sound: &str, slate: &str) -> String {
    let meter = meter(profile, sound);
    format!("{meter};{slate}[slate];[slate][meter]overlay=x={}:shortest=1", profile.width)
}

/// The filter that writes `text` below cover art. If the text cannot be written, it is left out.
pub(super) fn cover_text(setup: &EncodeSetup, text: &str) -> String {
    let text = PictureText { text, style: TextStyle::Cover, shown: None };
    text_filter(setup, &[text]).unwrap_or_else(|| "null".into())
}

/// The filter that writes `text` on a slate, whose picture is drawn once and repeated without end.
/// If the text cannot be written, the slate has none.
pub(super) fn slate_text(setup: &EncodeSetup, text: &str) -> String {
    let text = PictureText { text, style: TextStyle::Slate, shown: None };
    text_filter(setup, &[text]).map_or_else(
        || "null".into(),
        |draw| {
            let fps = setup.profile.fps;
            format!("trim=end_frame=1,{draw},loop=loop=-1:size=1,setpts=N/({fps}*TB)")
        },
    )
}
