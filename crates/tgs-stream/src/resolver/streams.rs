//! Resolves an HLS playlist to one variant, and to how ffmpeg reads it.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use tgs_core::cancel::Cancel;
use tgs_playout::item::{FailureReason, ItemFailure, Media, MediaSource};

use super::{Resolved, Resolver, client, set_trust};
use crate::{
    fetch::{self, Fetched},
    hls,
    list::m3u,
    source, url,
};

/// How many variants are tried if the better ones fail.
const MAX_VARIANTS: usize = 4;

/// A local list without a write for so many segment lengths does not grow.
const QUIET_SEGMENTS: u32 = 3;

/// How often a local list is checked for growth.
const GROWTH_POLL: Duration = Duration::from_millis(250);

impl Resolver {
    /// The media of `source`, a playlist at `place` with the content `bytes`, with the sound in the
    /// first of `languages` that there is.
    pub(super) fn hls(
        &self,
        source: &MediaSource,
        place: &str,
        bytes: &[u8],
        languages: &[String],
    ) -> Result<Resolved, ItemFailure> {
        let languages = [languages, &self.wanted.languages.codes()].concat();
        let variants = hls::variants(bytes, self.ytdlp.height, &languages);
        for variant in variants.iter().take(MAX_VARIANTS) {
            let url = reference(place, &variant.video);
            let Some(list) = self.open_variant(source, &url) else { continue };
            let (video, live) = self.playlist(source, &url, &list)?;
            let Some(audio) = &variant.audio else { return media(vec![video], live) };
            if live {
                // Opened separately, each would start at its own live edge.
                break;
            }
            let url = reference(place, audio);
            let Some(list) = self.open_variant(source, &url) else { continue };
            let (audio, _) = self.playlist(source, &url, &list)?;
            return media(vec![video, audio], live);
        }
        let (whole, mut live) = self.playlist(source, &source.url, bytes)?;
        if let Some(variant) = m3u::first_variant(bytes) {
            // If the variant cannot be fetched, ffmpeg reports the reason when it opens it.
            let list = self.open_variant(source, &reference(place, &variant));
            live = list.is_some_and(|list| m3u::is_live_hls(&list));
            return media(vec![MediaSource { ends: None, ..whole }], live);
        }
        media(vec![whole], live)
    }

    /// The list at `url`, named by `source`; `None` if it cannot be read.
    fn open_variant(&self, source: &MediaSource, url: &str) -> Option<Vec<u8>> {
        if let Some(path) = url.strip_prefix("file:") {
            return source::read_list(Path::new(path)).ok().filter(|_| source.is_file());
        }
        match fetch::get(url, &source.headers, &client(url, source.trust), &self.cancel) {
            Ok(Fetched::List { bytes, .. }) => Some(bytes),
            Ok(Fetched::Media) | Err(_) => None,
        }
    }

    /// The media playlist `bytes` at `url`, and whether it is live.
    fn playlist(
        &self,
        source: &MediaSource,
        url: &str,
        bytes: &[u8],
    ) -> Result<(MediaSource, bool), ItemFailure> {
        if let Some(why) = hls::drm_reason(bytes) {
            return Err(ItemFailure::new(FailureReason::Unplayable, why));
        }
        let mut live = m3u::is_live_hls(bytes);
        let mut found = MediaSource {
            url: url.to_owned(),
            hls: true,
            jumps: hls::jumps(bytes),
            ends: None,
            ..source.clone()
        };
        if live
            && m3u::first_variant(bytes).is_none()
            && let Some(path) = url.strip_prefix("file:")
            && !grows(Path::new(path), hls::target_duration(bytes), &self.cancel)
        {
            found.ends = Some(hls::length(bytes));
            live = false;
        }
        Ok((found, live))
    }
}

fn media(mut sources: Vec<MediaSource>, live: bool) -> Result<Resolved, ItemFailure> {
    let trust = sources.first().map(|source| source.trust).unwrap_or_default();
    sources.dedup();
    let mut media = Media { sources, ..Media::at(String::new(), live) };
    set_trust(&mut media, trust)?;
    Ok(Resolved::Media { media, title: None })
}

/// The URL of `target`, written in the list at `place` (a URL or `file:` and a path).
fn reference(place: &str, target: &str) -> String {
    let Some(path) = place.strip_prefix("file:") else { return url::join(place, target) };
    if target.contains("://") {
        return target.to_owned();
    }
    let beside = Path::new(path).parent().unwrap_or(Path::new("/")).join(target);
    format!("file:{}", beside.display())
}

/// Whether the local list at `path` grows. After a recent write, waits for the next one.
fn grows(path: &Path, segment: Duration, cancel: &Cancel) -> bool {
    let look = || fs::metadata(path).ok().map(|meta| (meta.len(), meta.modified().ok()));
    let first = look();
    let Some((_, Some(written))) = first else { return false };
    // A time in the future proves nothing.
    let age = SystemTime::now().duration_since(written).unwrap_or_default();
    if age > segment * QUIET_SEGMENTS {
        return false;
    }
    let deadline = Instant::now() + segment * 3 / 2;
    while Instant::now() < deadline && !cancel.wait(GROWTH_POLL) {
        if look() != first {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn references_are_resolved() {
        for (place, target, joint) in [
            ("file:/a/m.m3u8", "v/1.m3u8", "file:/a/v/1.m3u8"),
            ("file:/a/m.m3u8", "/b/1.m3u8", "file:/b/1.m3u8"),
            ("file:/a/m.m3u8", "https://h/1.m3u8", "https://h/1.m3u8"),
            ("https://h/a/m.m3u8?t=1", "v/1.m3u8", "https://h/a/v/1.m3u8"),
        ] {
            assert_eq!(reference(place, target), joint);
        }
    }

    #[test]
    fn a_list_that_is_written_to_grows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.m3u8");
        fs::write(&path, "#EXTM3U\n").unwrap();
        let (segment, long) = (Duration::from_secs(1), Duration::from_secs(10));
        assert!(!grows(&path, segment, &Cancel::new()));
        let written = thread::scope(|scope| {
            let done = Cancel::new();
            let (writes, stop) = (path.clone(), done.clone());
            scope.spawn(move || {
                let mut text = "#EXTM3U\n".to_owned();
                while !stop.wait(Duration::from_millis(100)) {
                    text.push('\n');
                    fs::write(&writes, &text).unwrap();
                }
            });
            fs::write(&path, "#EXTM3U\n\n").unwrap();
            let grows = grows(&path, long, &Cancel::new());
            done.cancel();
            grows
        });
        assert!(written);
        // Old enough not to be checked.
        let old = SystemTime::now() - Duration::from_mins(1);
        fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
        let begun = Instant::now();
        assert!(!grows(&path, long, &Cancel::new()) && begun.elapsed() < long);
        assert!(!grows(&dir.path().join("gone"), segment, &Cancel::new()));
    }
}
