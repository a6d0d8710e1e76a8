//! The subtitle streams of a film, and the fonts attached to it.

use super::ffprobe::{FfprobeOutput, FfprobeStream};

/// A subtitle stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubtitleStream {
    /// ffmpeg's index.
    pub index: usize,
    /// The language as the file names it.
    pub language: Option<String>,
    /// Whether it translates signs and foreign speech only.
    pub forced: bool,
    /// How it is stored.
    pub kind: SubtitleKind,
    /// Indices of the attached fonts.
    pub fonts: Vec<usize>,
}

/// How subtitles are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubtitleKind {
    /// Text without a layout of its own.
    Plain,
    /// ASS, with its own styles.
    Styled,
    /// Bitmaps.
    Pictures {
        /// The shape of the picture that they are made for, as width and height, if known.
        aspect: Option<(u32, u32)>,
    },
}

/// The largest canvas of bitmaps that is drawn, as width and height: PGS has at most 4096 by 2160.
const LARGEST_CANVAS: Size = (4096, 2304);

/// Width and height.
type Size = (u32, u32);

/// The subtitle streams of a source.
pub(super) fn subtitles(answer: &FfprobeOutput) -> Vec<SubtitleStream> {
    let fonts: Vec<usize> = answer.streams.iter().filter(|s| is_font(s)).map(|s| s.index).collect();
    let film = answer.streams.iter().find(|s| s.codec_type.as_deref() == Some("video"));
    let (stored, shape) = (film.and_then(size), film.and_then(shape));
    let found = answer.streams.iter().filter_map(|stream| {
        let kind = kind(stream, stored, shape)?;
        let fonts = if kind == SubtitleKind::Styled { fonts.clone() } else { Vec::new() };
        let named = stream.tags.get("title").unwrap_or_default().to_lowercase();
        let forced = stream.disposition.forced != 0 || named.contains("forced");
        let language = stream.tags.language.clone().filter(|code| code != "und");
        Some(SubtitleStream { index: stream.index, language, forced, kind, fonts })
    });
    found.collect()
}

fn size(stream: &FfprobeStream) -> Option<Size> {
    stream.width.zip(stream.height).filter(|(width, height)| *width > 0 && *height > 0)
}

/// The shape of the picture as it is shown.
fn shape(stream: &FfprobeStream) -> Option<Size> {
    let stated = stream.display_aspect_ratio.as_deref().and_then(|ratio| ratio.split_once(':'));
    let stated = stated.and_then(|(width, height)| width.parse().ok().zip(height.parse().ok()));
    stated.filter(|(width, height)| *width > 0 && *height > 0).or(size(stream))
}

/// The kind of these subtitles, for a picture `stored` in this size and of this `shape`.
fn kind(stream: &FfprobeStream, stored: Option<Size>, shape: Option<Size>) -> Option<SubtitleKind> {
    if stream.codec_type.as_deref() != Some("subtitle") {
        return None;
    }
    match stream.codec_name.as_deref()? {
        "ass" | "ssa" => Some(SubtitleKind::Styled),
        "subrip" | "srt" | "webvtt" | "mov_text" | "text" | "microdvd" | "subviewer" => {
            Some(SubtitleKind::Plain)
        }
        "hdmv_pgs_subtitle" | "dvd_subtitle" | "dvb_subtitle" | "xsub" => {
            // Of the size of the film's picture, they share its pixels' shape.
            if size(stream).is_some_and(|(w, h)| w > LARGEST_CANVAS.0 || h > LARGEST_CANVAS.1) {
                return None;
            }
            let own = size(stream).filter(|own| stored != Some(*own));
            Some(SubtitleKind::Pictures { aspect: own.or(shape) })
        }
        _ => None,
    }
}

fn is_font(stream: &FfprobeStream) -> bool {
    let name = stream.tags.get("filename").unwrap_or_default().to_ascii_lowercase();
    let mime = stream.tags.get("mimetype").unwrap_or_default();
    stream.codec_type.as_deref() == Some("attachment")
        && (mime.contains("font")
            || matches!(stream.codec_name.as_deref(), Some("ttf" | "otf"))
            || [".ttf", ".otf", ".ttc"].iter().any(|end| name.ends_with(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_with_their_languages_and_fonts() {
        let answer = serde_json::from_str(
            r#"{"streams":[
                {"index":0,"codec_type":"video","codec_name":"h264","width":720,"height":576,"display_aspect_ratio":"4:3"},
                {"index":1,"codec_type":"subtitle","codec_name":"dvd_subtitle","width":720,"height":576},
                {"index":2,"codec_type":"subtitle","codec_name":"ass","tags":{"language":"rus"}},
                {"index":3,"codec_type":"subtitle","codec_name":"subrip","tags":{"language":"und","title":"English (Forced)"}},
                {"index":4,"codec_type":"subtitle","codec_name":"hdmv_pgs_subtitle","width":1920,"height":1080,"disposition":{"forced":1}},
                {"index":5,"codec_type":"subtitle","codec_name":"eia_608"},
                {"index":6,"codec_type":"attachment","tags":{"mimetype":"application/x-truetype-font","filename":"a"}},
                {"index":7,"codec_type":"attachment","tags":{"mimetype":"image/png","filename":"a.png"}}]}"#,
        )
        .unwrap();
        let found = subtitles(&answer);
        let kinds: Vec<_> = found.iter().map(|s| (s.index, s.kind, s.forced, s.fonts.len())).collect();
        let pictures = |aspect| SubtitleKind::Pictures { aspect: Some(aspect) };
        assert_eq!(
            kinds,
            [
                (1, pictures((4, 3)), false, 0),
                (2, SubtitleKind::Styled, false, 1),
                (3, SubtitleKind::Plain, true, 0),
                (4, pictures((1920, 1080)), true, 0)
            ]
        );
        assert_eq!((found[1].language.as_deref(), found[2].language.as_deref()), (Some("rus"), None));
    }
}
