//! What is shown for sound without a picture: the slate, or cover art, and a spectrum if wanted.

use std::path::Path;

use super::{
    look::tidied,
    picture::AudioPicture,
    probe::Tags,
    setup::EncodeSetup,
    slate::{cover_text, slate_for_sound, slate_text},
};
use crate::{item::Item, profile::Profile};

/// Label under which a graph with a spectrum passes the sound on.
const TUNE: &str = "[tune]";

/// The inputs of the graph of [`sound_graph`], as ffmpeg's labels.
pub(super) struct SoundInputs<'a> {
    /// The sound, with the filters before the profile's.
    pub(super) heard: &'a str,
    /// The slate's background, which does not end.
    pub(super) slate: usize,
    /// The cover art: number of the input and index of the stream.
    pub(super) cover: Option<(usize, usize)>,
}

/// The graph from a sound to its picture.
pub(super) fn sound_graph(setup: &EncodeSetup, item: &Item, tags: &Tags, inputs: &SoundInputs) -> String {
    let profile = &setup.profile;
    let text = shown_text(item, tags);
    let still = match inputs.cover {
        // The cover is one frame, which the overlay repeats.
        Some((input, index)) => {
            let cover = cover(setup, &format!("[{input}:{index}]"), &text);
            format!("{cover}[still];[{}:v][still]overlay", inputs.slate)
        }
        None => format!("[{}:v]{}", inputs.slate, slate_text(setup, &text)),
    };
    if setup.processing.picture.audio_picture != AudioPicture::Spectrum {
        return slate_for_sound(profile, inputs.heard, &still);
    }
    let seen = spectrum(profile, inputs.heard);
    let still = format!("{still}[wall];[wall][bars]overlay=x=0:y=H-h:eof_action=pass");
    format!("{seen};{}", slate_for_sound(profile, TUNE, &still))
}

/// Artist and title by the tags, unless the operator's list names the item.
fn shown_text(item: &Item, tags: &Tags) -> String {
    let path = item.media.sources.first().and_then(|source| source.url.strip_prefix("file:"));
    let name = path.map(Path::new).and_then(|path| path.file_stem().or(path.file_name()));
    let by_name = name.is_some_and(|name| item.title.starts_with(&*name.to_string_lossy()));
    match (&tags.title, &tags.artist) {
        (Some(title), Some(artist)) if by_name => format!("{artist} — {title}"),
        (Some(title), None) if by_name => title.clone(),
        _ if by_name => tidied(&item.title),
        _ => item.title.clone(),
    }
}

/// The cover art, sharp, before a blurred and darker copy that fills the frame; `text` below.
fn cover(setup: &EncodeSetup, art: &str, text: &str) -> String {
    let Profile { width: w, height: h, .. } = setup.profile;
    let even = |share: u32| h * share / 200 * 2;
    let art_h = even(54);
    let text = cover_text(setup, text);
    format!(
        "{art}scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,setsar=1,split[art][copy];\
         [copy]scale={w}:{h}:force_original_aspect_ratio=increase,crop={w}:{h},gblur=sigma={},\
         lutyuv=y='16+(val-16)*0.4':u='128+(val-128)*0.5':v='128+(val-128)*0.5'[blurred];\
         [art]scale=w={}:h={art_h}:force_original_aspect_ratio=decrease:force_divisible_by=2[front];\
         [blurred][front]overlay=x=(W-w)/2:y={},{text}",
        h / 18,
        w / 4 * 2,
        even(10),
    )
}

/// Bars that move with the sound, as `[bars]`; the sound continues as [`TUNE`].
fn spectrum(profile: &Profile, heard: &str) -> String {
    let heard = heard.trim_end_matches(',');
    let split = if heard.ends_with(']') { "asplit" } else { ",asplit" };
    let (w, h, fps) = (profile.width, profile.height / 10 * 2, profile.fps);
    format!(
        "{heard}{split}{TUNE}[seen];[seen]aformat=channel_layouts=mono,\
         showfreqs=s={w}x{h}:rate={fps}:mode=bar:ascale=log:fscale=log:averaging=3:colors=0xd8e8f4,\
         format=yuva420p,colorchannelmixer=aa=0.7[bars]"
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::item::Media;

    #[test]
    fn tags_replace_the_name_of_the_file_and_nothing_else() {
        let text = |title: &str| {
            let media = Media::at("file:/music/01 track.mp3".into(), false);
            let item = Item { id: String::new(), turn: 0, title: title.into(), start: Duration::ZERO, media };
            shown_text(&item, &Tags { title: Some("Drive".into()), artist: Some("Band".into()) })
        };
        assert_eq!(text("01 track"), "Band — Drive");
        assert_eq!(text("01 track.mp3"), "Band — Drive");
        assert_eq!(text("The morning show"), "The morning show");
    }
}
