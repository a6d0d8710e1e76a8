//! Reads the JSON of `yt-dlp -J --flat-playlist`.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use tgs_playout::item::{FailureReason, ItemFailure, Media, MediaSource};

use super::{
    cookies, lenient,
    page::{Listed, PageItem},
};
use crate::url;

/// The most headers of a request.
const MAX_HEADERS: usize = 32;

/// The used fields of an "info dict"; entries of a list are info dicts too.
#[derive(Deserialize, Default)]
#[serde(default)]
struct VideoInfo {
    #[serde(rename = "_type", deserialize_with = "lenient::text")]
    kind: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    title: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    extractor_key: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    id: Option<String>,
    /// In seconds.
    #[serde(deserialize_with = "lenient::number")]
    duration: Option<f64>,
    #[serde(deserialize_with = "lenient::text")]
    live_status: Option<String>,
    #[serde(deserialize_with = "lenient::flag")]
    is_live: Option<bool>,
    #[serde(deserialize_with = "lenient::number")]
    playlist_index: Option<f64>,
    /// Private and removed videos can be null.
    #[serde(deserialize_with = "lenient::objects")]
    entries: Option<Vec<VideoInfo>>,
    /// The chosen formats if video and audio are separate.
    #[serde(deserialize_with = "lenient::objects")]
    requested_formats: Option<Vec<VideoFormat>>,
    // The chosen format, or the page of an entry. Not flattened: serde would store all other
    // fields.
    #[serde(deserialize_with = "lenient::text")]
    url: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    manifest_url: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    protocol: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    vcodec: Option<String>,
    #[serde(deserialize_with = "lenient::texts")]
    http_headers: Vec<(String, String)>,
    #[serde(deserialize_with = "lenient::text")]
    cookies: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    format_id: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct VideoFormat {
    #[serde(deserialize_with = "lenient::text")]
    url: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    manifest_url: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    protocol: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    vcodec: Option<String>,
    #[serde(deserialize_with = "lenient::texts")]
    http_headers: Vec<(String, String)>,
    #[serde(deserialize_with = "lenient::text")]
    cookies: Option<String>,
    #[serde(rename = "format_id", deserialize_with = "lenient::text")]
    name: Option<String>,
}

impl VideoInfo {
    /// The chosen formats.
    fn formats(&mut self) -> Vec<VideoFormat> {
        if let Some(formats) = self.requested_formats.take().filter(|formats| !formats.is_empty()) {
            return formats;
        }
        vec![VideoFormat {
            url: self.url.take(),
            manifest_url: self.manifest_url.take(),
            protocol: self.protocol.take(),
            vcodec: self.vcodec.take(),
            http_headers: std::mem::take(&mut self.http_headers),
            cookies: self.cookies.take(),
            name: self.format_id.take(),
        }]
    }
}

/// Parses yt-dlp's `answer` about the page `page`. `only`: one entry of its list was requested.
pub(super) fn read(answer: &[u8], page: &str, only: bool) -> Result<PageItem, ItemFailure> {
    let is_answer = |info: &VideoInfo| {
        info.kind.is_some()
            || info.id.is_some()
            || info.url.is_some()
            || info.entries.is_some()
            || info.requested_formats.is_some()
    };
    let info = lenient::object(answer, is_answer).map_err(|e| {
        ItemFailure::new(FailureReason::Tool, format!("yt-dlp's answer cannot be read ({e}); see YTDLP_ARGS"))
    })?;
    let Some(entries) = info.entries else {
        return video(info, page);
    };
    let mut entries = entries.into_iter();
    if !only {
        let listed: Vec<Listed> =
            entries.zip(1..).filter_map(|(entry, at)| listed(entry, page, at)).collect();
        if listed.is_empty() {
            return Err(ItemFailure::new(
                FailureReason::Unplayable,
                "the page lists nothing that can be played",
            ));
        }
        return Ok(PageItem::List(listed));
    }
    match entries.next() {
        Some(entry) => video(entry, page),
        None => Err(ItemFailure::new(FailureReason::Missing, "the page no longer lists as many entries")),
    }
}

/// The entry number `at` of the list `page`; `None` if it cannot be requested again.
fn listed(entry: VideoInfo, page: &str, at: u32) -> Option<Listed> {
    if entry.kind.as_deref().is_some_and(|kind| kind.starts_with("url")) {
        let url = entry.url.filter(|url| url::is_remote(url))?;
        return Some(Listed { url, index: None, title: entry.title });
    }
    // A video inside the page: only its number identifies it.
    let index = entry.playlist_index.filter(|at| (1.0..1e6).contains(at)).map_or(at, |at| at as u32);
    Some(Listed { url: page.to_owned(), index: Some(index), title: entry.title })
}

fn video(mut info: VideoInfo, page: &str) -> Result<PageItem, ItemFailure> {
    let live = info.is_live == Some(true);
    let mut formats = info.formats();
    // The video comes first.
    formats.sort_by_key(|format| format.vcodec.as_deref() == Some("none"));
    // A stream that has just ended is incomplete at first.
    let ended = info.live_status.as_deref() != Some("post_live");
    let m3u = info.extractor_key.as_deref() == Some("Generic")
        && formats.iter().any(|format| {
            let at_page = |url: &Option<String>| url.as_deref() == Some(page);
            format.protocol.as_deref().is_some_and(|protocol| protocol.contains("m3u8"))
                && (at_page(&format.url) || at_page(&format.manifest_url))
        });
    let known = identity(info.extractor_key, info.id, info.duration, &formats);
    let identity = known.filter(|_| ended);
    let refused = formats.iter().find_map(|format| url::refused(format.url.as_deref()?));
    let sources: Vec<MediaSource> = formats.into_iter().filter_map(source).collect();
    if sources.is_empty() || sources.len() > 2 {
        let why = refused.map_or(String::new(), |why| format!(" ({why})"));
        let detail = format!("yt-dlp finds no usable URL on the page{why}");
        return Err(ItemFailure::new(FailureReason::Unplayable, detail));
    }
    let expires = sources.iter().filter_map(|source| expires(&source.url)).min();
    let media = Media { sources, expires, identity, ..Media::at(String::new(), live) };
    Ok(if m3u {
        PageItem::M3u { media, title: info.title }
    } else {
        PageItem::Video { media, title: info.title }
    })
}

/// A stable identity of the content: extractor, id, length, formats. The generic extractor's ids
/// are names, which many pages share.
fn identity(
    extractor: Option<String>,
    id: Option<String>,
    seconds: Option<f64>,
    formats: &[VideoFormat],
) -> Option<String> {
    let extractor = extractor.filter(|extractor| extractor != "Generic")?;
    let ids: Option<Vec<&str>> = formats.iter().map(|format| format.name.as_deref()).collect();
    let seconds = seconds.map_or(String::new(), |seconds| format!("{seconds:.0}"));
    Some(format!("{extractor} {} {seconds} {}", id?, ids?.join("+")))
}

/// Accepts network URLs only: a page must not make ffmpeg read local files.
fn source(format: VideoFormat) -> Option<MediaSource> {
    let in_pieces = format.protocol.as_deref().is_some_and(|protocol| protocol.contains("dash"));
    let url = if in_pieces { format.manifest_url.or(format.url) } else { format.url };
    let url = url.filter(|url| url::is_remote(url))?;
    let hls = format.protocol.is_some_and(|protocol| protocol.contains("m3u8"));
    let mut headers = format.http_headers;
    // Old versions of yt-dlp put cookies here, which ffmpeg would send to every host.
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case("cookie"));
    headers.truncate(MAX_HEADERS);
    let cookies = cookies::for_ffmpeg(&format.cookies.unwrap_or_default(), &url);
    Some(MediaSource { headers, cookies, hls, ..MediaSource::at(url) })
}

/// The expiry of a URL as most CDNs write it: Unix time as `expire=…` or `Expires=…` in the query,
/// or `/expire/…/` in the path.
fn expires(url: &str) -> Option<SystemTime> {
    let mut parts = url.split(['?', '&', '/', '#', ';']);
    while let Some(part) = parts.next() {
        let lower = part.to_ascii_lowercase();
        let value = match lower.as_str() {
            "expire" | "expires" => parts.next(),
            _ => lower.strip_prefix("expire=").or_else(|| lower.strip_prefix("expires=")),
        };
        // From 2001 to 2286: smaller values are durations, larger ones not seconds.
        let seconds =
            value.and_then(|v| v.parse::<u64>().ok()).filter(|v| (1_000_000_000..10_000_000_000).contains(v));
        if let Some(seconds) = seconds {
            return SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        }
    }
    None
}

#[cfg(test)]
mod tests;
