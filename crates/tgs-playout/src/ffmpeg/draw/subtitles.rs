//! Subtitles that are drawn into the picture: which ones, and the filter that draws them.
//!
//! Text becomes an ASS script in the scratch directory, made once and named by the content of its
//! source: reading the subtitles of a film may take as long as reading the film. Bitmaps are laid
//! over the picture by the encoder itself.

mod beside;
mod extract;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tgs_core::{cancel::Cancel, language};

pub(crate) use self::beside::identity;
pub use self::extract::{BRIEF, LONG};
use self::{beside::SideFile, extract::Extraction};
use super::text::ass_filter;
use crate::{
    ffmpeg::{
        look::SubtitleChoice,
        probe::{Probe, SubtitleKind, SubtitleStream},
        ready_subtitles::ReadySubtitles,
        setup::EncodeSetup,
    },
    item::{Item, MediaSource},
};

/// A source of subtitles.
#[derive(Debug)]
enum SubtitleSource {
    File(SideFile),
    Stream(SubtitleStream),
}

impl SubtitleSource {
    fn language(&self) -> Option<&str> {
        match self {
            Self::File(file) => file.language.as_deref(),
            Self::Stream(stream) => stream.language.as_deref(),
        }
    }

    fn is_forced(&self) -> bool {
        match self {
            Self::File(file) => file.forced,
            Self::Stream(stream) => stream.forced,
        }
    }
}

/// Notes that an encoder cannot draw `subtitles`, so that it is not tried again soon.
pub(crate) fn give_up(setup: &EncodeSetup, subtitles: &ReadySubtitles) {
    if let ReadySubtitles::Text { fonts, .. } = subtitles {
        extract::give_up(&setup.scratch, fonts, "an encoder came to a standstill with them");
    }
}

/// Finds the subtitles of `item`, and prepares them within `limit`; without a limit, only those
/// that were prepared before are found. A failure is logged once, and the item plays without.
pub(super) fn find(
    setup: &EncodeSetup,
    item: &Item,
    probe: &Probe,
    limit: Option<Duration>,
    cancel: &Cancel,
) -> ReadySubtitles {
    let Some(path) = film(setup, item, probe) else { return ReadySubtitles::Nothing };
    let (wanted, own) = (&setup.processing.look.subtitles, &item.media.part.subtitles);
    let Some(chosen) = choose(wanted, own, beside::of(&path), probe.subtitles.clone()) else {
        return ReadySubtitles::Nothing;
    };
    let work = Extraction { setup, limit, cancel };
    let made = match &chosen {
        SubtitleSource::File(file) => work.of_file(file),
        SubtitleSource::Stream(stream) => match stream.kind {
            SubtitleKind::Pictures { aspect } => {
                return ReadySubtitles::Pictures { stream: stream.index, aspect };
            }
            SubtitleKind::Plain | SubtitleKind::Styled => work.of_stream(&path, stream),
        },
    };
    made.unwrap_or_else(|why| {
        if limit.is_some() && !cancel.is_cancelled() {
            let of = match &chosen {
                SubtitleSource::File(file) => format!(" of {}", file.path.display()),
                SubtitleSource::Stream(_) => String::new(),
            };
            log::warn!("“{}” plays without its subtitles{of}: {why}", item.title);
        }
        ReadySubtitles::Failed
    })
}

/// Whether the note about remote items was logged.
static REPORTED: AtomicBool = AtomicBool::new(false);

/// The file whose subtitles may be drawn.
fn film(setup: &EncodeSetup, item: &Item, probe: &Probe) -> Option<PathBuf> {
    if setup.processing.look.subtitles == SubtitleChoice::Off || probe.still || probe.skip_bytes > 0 {
        return None;
    }
    let source = item.media.sources.get(probe.video?.source)?;
    if source.is_hls() || item.media.live {
        return None;
    }
    let path = local(source);
    if path.is_none() && !REPORTED.swap(true, Ordering::Relaxed) {
        log::info!("SUBTITLES: only those of local files are drawn; remote items play without");
    }
    path
}

fn local(source: &MediaSource) -> Option<PathBuf> {
    source.url.strip_prefix("file:").map(PathBuf::from)
}

/// The wanted subtitles; a file beside the film comes before a stream in it, text before pictures.
fn choose(
    wanted: &SubtitleChoice,
    own: &[String],
    files: Vec<SideFile>,
    streams: Vec<SubtitleStream>,
) -> Option<SubtitleSource> {
    let only = streams.len() == 1;
    let mut all: Vec<SubtitleSource> = files.into_iter().map(SubtitleSource::File).collect();
    let (pictures, text): (Vec<_>, Vec<_>) =
        streams.into_iter().partition(|stream| matches!(stream.kind, SubtitleKind::Pictures { .. }));
    all.extend(text.into_iter().chain(pictures).map(SubtitleSource::Stream));
    let languages = match wanted {
        SubtitleChoice::Off => return None,
        SubtitleChoice::Forced if own.is_empty() => {
            return all.into_iter().find(SubtitleSource::is_forced);
        }
        SubtitleChoice::Forced => own,
        SubtitleChoice::Languages(languages) => {
            if own.is_empty() {
                languages
            } else {
                own
            }
        }
    };
    all.retain(|candidate| !candidate.is_forced());
    let spoken = |wanted: &String| {
        all.iter().position(|it| it.language().is_some_and(|own| language::is_same(own, wanted)))
    };
    // Without a language: a file beside the film, or the only stream.
    let unnamed = || {
        all.iter().position(|it| it.language().is_none() && (matches!(it, SubtitleSource::File(_)) || only))
    };
    let at = languages.iter().find_map(spoken).or_else(unnamed)?;
    Some(all.swap_remove(at))
}

/// The graph that draws `subtitles` over `picture`, the end of the graph of `item`.
pub(super) fn over(
    subtitles: &ReadySubtitles,
    setup: &EncodeSetup,
    picture: &str,
    item: &Item,
    probe: &Probe,
) -> String {
    let profile = &setup.profile;
    match subtitles {
        ReadySubtitles::Nothing | ReadySubtitles::Failed => picture.to_owned(),
        ReadySubtitles::Text { script, fonts } => {
            let drawn = probe.speed().around(&ass_filter(script, fonts), probe.stored_start(item));
            format!("{picture},{drawn}")
        }
        ReadySubtitles::Pictures { stream, aspect } => {
            let (width, height) = (f64::from(profile.width), f64::from(profile.height));
            let aspect = aspect.map_or(width / height, |(across, down)| f64::from(across) / f64::from(down));
            let even = |length: f64| ((length / 2.0).round() * 2.0).max(2.0);
            let (width, height) = (even(width.min(height * aspect)), even(height.min(width / aspect)));
            let source = probe.video.map_or(0, |video| video.source);
            let speed = probe.speed().of_pictures().map_or_else(String::new, |filter| format!(",{filter}"));
            format!(
                "{picture}[film];[{source}:{stream}]scale={width}:{height}:flags=bilinear{speed}[drawn];\
                 [film][drawn]overlay=x=(W-w)/2:y=(H-h)/2:eof_action=pass"
            )
        }
    }
}

/// Whether the item's film has subtitles that are to be drawn, without preparing them.
pub(crate) fn any(setup: &EncodeSetup, item: &Item, probe: &Probe) -> bool {
    film(setup, item, probe).is_some_and(|path| {
        let (wanted, own) = (&setup.processing.look.subtitles, &item.media.part.subtitles);
        choose(wanted, own, beside::of(&path), probe.subtitles.clone()).is_some()
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn file(name: &str) -> SideFile {
        SideFile::of("film", Path::new(name)).unwrap()
    }

    fn stream(index: usize, language: &str, kind: SubtitleKind, forced: bool) -> SubtitleStream {
        let language = Some(language.to_owned()).filter(|it| !it.is_empty());
        SubtitleStream { index, language, forced, kind, fonts: Vec::new() }
    }

    /// The index of the chosen stream, or 100 and more for a file.
    fn chosen(
        wanted: &SubtitleChoice,
        own: &[&str],
        files: &[&str],
        streams: Vec<SubtitleStream>,
    ) -> Option<usize> {
        let own: Vec<String> = own.iter().map(|it| (*it).to_owned()).collect();
        let found = choose(wanted, &own, files.iter().map(|it| file(it)).collect(), streams)?;
        Some(match found {
            SubtitleSource::Stream(stream) => stream.index,
            SubtitleSource::File(found) => {
                100 + files.iter().position(|it| Path::new(it) == found.path).unwrap()
            }
        })
    }

    #[test]
    fn the_first_language_that_there_is() {
        let languages = SubtitleChoice::Languages(vec!["ru".into(), "en".into()]);
        let pictures = SubtitleKind::Pictures { aspect: None };
        let streams = || {
            vec![
                stream(2, "eng", SubtitleKind::Plain, false),
                stream(3, "rus", pictures, false),
                stream(4, "rus", SubtitleKind::Plain, true),
                stream(5, "rus", SubtitleKind::Styled, false),
            ]
        };
        assert_eq!(chosen(&languages, &[], &[], streams()), Some(5));
        assert_eq!(chosen(&languages, &["en"], &[], streams()), Some(2));
        assert_eq!(chosen(&languages, &[], &["film.srt", "film.ru.srt"], streams()), Some(101));
        assert_eq!(chosen(&languages, &["de"], &["film.srt"], streams()), Some(100));
        assert_eq!(chosen(&languages, &["de"], &[], streams()), None);
        assert_eq!(chosen(&SubtitleChoice::Forced, &[], &["film.ru.srt"], streams()), Some(4));
        assert_eq!(chosen(&SubtitleChoice::Off, &["en"], &["film.ru.srt"], streams()), None);
        let single = vec![stream(2, "", SubtitleKind::Plain, false)];
        assert_eq!(chosen(&languages, &[], &[], single), Some(2));
    }
}
