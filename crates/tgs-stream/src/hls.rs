//! Parses HLS playlists: the variant that suits the broadcast, encryption, and timing. No I/O.

use std::{cmp::Reverse, collections::HashMap, time::Duration};

use tgs_core::language;

/// A variant of a master playlist, with URLs as written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variant {
    /// The media playlist of the video; it carries the audio too, unless `audio` names another.
    pub(crate) video: String,
    /// The media playlist of the audio.
    pub(crate) audio: Option<String>,
}

/// The variants of a master playlist, best first for a broadcast of `height` lines: the smallest of
/// at least that height, else the largest. The audio is in the first of `languages` that there is.
/// Empty for a media playlist, or without sizes.
#[must_use]
pub(crate) fn variants(list: &[u8], height: u32, languages: &[String]) -> Vec<Variant> {
    let text = String::from_utf8_lossy(list);
    let mut groups = HashMap::new();
    let mut found = Vec::new();
    let mut about = None;
    for line in text.lines().map(str::trim) {
        if let Some(media) = line.strip_prefix("#EXT-X-MEDIA:") {
            record_audio(&attributes(media), languages, &mut groups);
        } else if let Some(info) = line.strip_prefix("#EXT-X-STREAM-INF:") {
            about = Some(attributes(info));
        } else if !line.is_empty()
            && !line.starts_with('#')
            && let Some(about) = about.take()
            && let Some(rank) = rank(&about, height)
        {
            found.push((rank, line.to_owned(), about.get("AUDIO").cloned()));
        }
    }
    // `EXT-X-DEFINE` variables are left to ffmpeg.
    if found.iter().any(|(_, url, _)| url.contains("{$")) {
        return Vec::new();
    }
    found.sort_by_key(|(rank, ..)| Reverse(*rank));
    found
        .into_iter()
        .map(|(_, video, group)| {
            let audio = group.and_then(|group| groups.get(&group)).and_then(|(_, url)| url.clone());
            Variant { video, audio }
        })
        .collect()
}

/// Why the list cannot be decrypted without a DRM licence; `None` if ffmpeg may try.
#[must_use]
pub(crate) fn drm_reason(list: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(list);
    let mut keys = text
        .lines()
        .filter_map(|line| {
            line.trim()
                .strip_prefix("#EXT-X-KEY:")
                .or_else(|| line.trim().strip_prefix("#EXT-X-SESSION-KEY:"))
        })
        .map(attributes)
        .filter(|key| key.get("METHOD").is_some_and(|method| method != "NONE"))
        .peekable();
    keys.peek()?;
    let open = |key: HashMap<String, String>| {
        let format = key.get("KEYFORMAT").is_none_or(|format| format == "identity");
        let method = key.get("METHOD").is_some_and(|method| method == "AES-128" || method == "SAMPLE-AES");
        let scheme = key.get("URI").is_some_and(|uri| !uri.starts_with("skd:"));
        format && method && scheme
    };
    if keys.any(open) {
        return None;
    }
    Some("it is encrypted for licensed players (DRM): ffmpeg cannot decrypt it")
}

/// Whether segment timestamps may jump.
#[must_use]
pub(crate) fn jumps(list: &[u8]) -> bool {
    String::from_utf8_lossy(list).lines().any(|line| line.trim() == "#EXT-X-DISCONTINUITY")
}

/// The total length of the segments.
#[must_use]
pub(crate) fn length(list: &[u8]) -> Duration {
    let text = String::from_utf8_lossy(list);
    let seconds = text.lines().filter_map(|line| line.trim().strip_prefix("#EXTINF:"));
    let seconds = seconds.filter_map(|info| info.split(',').next()?.trim().parse::<f64>().ok());
    let sum = seconds.filter(|seconds| seconds.is_finite() && *seconds > 0.0).sum();
    Duration::try_from_secs_f64(sum).unwrap_or_default()
}

/// The maximum segment length.
#[must_use]
pub(crate) fn target_duration(list: &[u8]) -> Duration {
    let text = String::from_utf8_lossy(list);
    let found = text.lines().find_map(|line| line.trim().strip_prefix("#EXT-X-TARGETDURATION:"));
    let seconds = found.and_then(|seconds| seconds.trim().parse::<f64>().ok());
    Duration::try_from_secs_f64(seconds.unwrap_or(6.0)).unwrap_or_default().min(Duration::from_secs(10))
}

/// Records the audio of a group: the rendition in the first of `languages` that there is, else the
/// default one, else the first autoselected one.
fn record_audio(
    media: &HashMap<String, String>,
    languages: &[String],
    groups: &mut HashMap<String, (usize, Option<String>)>,
) {
    let is = |name: &str| media.get(name).is_some_and(|value| value == "YES");
    let (Some(group), Some("AUDIO")) = (media.get("GROUP-ID"), media.get("TYPE").map(String::as_str)) else {
        return;
    };
    let spoken = media.get("LANGUAGE").map_or("", String::as_str);
    let rank = match languages.iter().rev().position(|wanted| language::is_same(wanted, spoken)) {
        Some(preference) => 4 + preference,
        None if is("DEFAULT") => 3,
        None => 1 + usize::from(is("AUTOSELECT")),
    };
    let known = groups.get(group).map_or(0, |(rank, _)| *rank);
    if rank > known {
        groups.insert(group.clone(), (rank, media.get("URI").cloned()));
    }
}

/// A variant's rank; `None` for audio only or an unknown size.
fn rank(about: &HashMap<String, String>, height: u32) -> Option<(bool, bool, i64, u64)> {
    let (wide, high) = about.get("RESOLUTION")?.split_once(['x', 'X'])?;
    let (wide, high): (u32, u32) = (wide.trim().parse().ok()?, high.trim().parse().ok()?);
    let (wide, high) = (i64::from(wide.min(1 << 20)), i64::from(high.min(1 << 20)));
    let lines = i64::from(height);
    let enough = high >= lines || wide * 9 >= lines * 16;
    let size = if enough { -(wide * high) } else { wide * high };
    let plain = about.get("VIDEO-RANGE").is_none_or(|range| range == "SDR");
    let bandwidth = about.get("BANDWIDTH").and_then(|bits| bits.parse().ok()).unwrap_or(0);
    Some((plain, enough, size, bandwidth))
}

/// `NAME=value,OTHER="quoted, value"`.
fn attributes(mut text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    while let Some((name, rest)) = text.split_once('=') {
        let (value, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_at(rest.find(',').unwrap_or(rest.len())),
        };
        found.insert(name.trim().to_owned(), value.trim().to_owned());
        text = behind.trim_start().strip_prefix(',').unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MASTER: &[u8] = b"#EXTM3U\r\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Dub, English\",LANGUAGE=\"en-GB\",URI=\"en.m3u8\"\r\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Original\",DEFAULT=YES,URI=\"de.m3u8\"\r\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"b\",NAME=\"In the video\",DEFAULT=YES\r\n\
        #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"a\",URI=\"s.m3u8\"\r\n\
        #EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=3840x2160,VIDEO-RANGE=SDR\r\n2160.m3u8\r\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=640x360,AUDIO=\"b\",CODECS=\"avc1.4d401e,mp4a.40.2\"\r\n360.m3u8\r\n\
        #EXT-X-STREAM-INF:BANDWIDTH=3,RESOLUTION=1280x720,AUDIO=\"a\"\r\n720.m3u8\r\n\
        #EXT-X-STREAM-INF:BANDWIDTH=2,RESOLUTION=1280x720\r\n720-low.m3u8\r\n\
        #EXT-X-STREAM-INF:BANDWIDTH=4,RESOLUTION=1280x720,VIDEO-RANGE=PQ\r\n720-hdr.m3u8\r\n\
        #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,RESOLUTION=1280x720,URI=\"i.m3u8\"\r\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"mp4a.40.2\"\r\nsound.m3u8\r\n";

    fn order(height: u32) -> Vec<String> {
        variants(MASTER, height, &[]).into_iter().map(|variant| variant.video).collect()
    }

    #[test]
    fn the_best_variant_comes_first() {
        assert_eq!(order(720)[..3], ["720.m3u8", "720-low.m3u8", "2160.m3u8"]);
        assert_eq!(order(360)[0], "360.m3u8");
        assert_eq!(order(1080)[0], "2160.m3u8");
        assert_eq!(order(720).len(), 5);
        let first = &variants(MASTER, 720, &[])[0];
        assert_eq!(first.audio.as_deref(), Some("de.m3u8"));
        let spoken =
            |code: &str| variants(MASTER, 720, &["ja".into(), code.into()])[0].audio.clone().unwrap();
        assert_eq!((&*spoken("eng"), &*spoken("ru")), ("en.m3u8", "de.m3u8"));
        assert_eq!(variants(MASTER, 360, &[])[0].audio, None);
        for none in [&b"#EXTM3U\n#EXTINF:2,\n1.ts\n"[..], b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n"]
        {
            assert_eq!(variants(none, 720, &[]), []);
        }
    }

    #[test]
    fn drm_is_distinguished_from_plain_encryption() {
        let of = |key: &str| {
            drm_reason(format!("#EXTM3U\n#EXT-X-KEY:{key}\n#EXTINF:2,\n1.ts\n").as_bytes()).is_some()
        };
        for open in [
            "METHOD=NONE",
            "METHOD=AES-128,URI=\"https://h/key\"",
            "METHOD=SAMPLE-AES,URI=\"key.bin\",KEYFORMAT=\"identity\"",
        ] {
            assert!(!of(open), "{open}");
        }
        for locked in [
            "METHOD=SAMPLE-AES,URI=\"skd://asset\",KEYFORMAT=\"com.apple.streamingkeydelivery\",KEYFORMATVERSIONS=\"1\"",
            "METHOD=SAMPLE-AES-CTR,URI=\"data:text/plain;base64,AAAA\",KEYFORMAT=\"urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed\"",
            "METHOD=SAMPLE-AES,URI=\"skd://asset\"",
        ] {
            assert!(of(locked), "{locked}");
        }
        assert!(drm_reason(b"#EXTM3U\n#EXTINF:2,\n1.ts\n").is_none());
    }

    #[test]
    fn timing_tags() {
        assert!(jumps(b"#EXTM3U\n#EXT-X-DISCONTINUITY\r\n") && !jumps(b"#EXT-X-DISCONTINUITY-SEQUENCE:3\n"));
        assert_eq!(
            length(b"#EXTINF:2.5,a\n1.ts\n#EXTINF:1\n2.ts\n#EXTINF:-1,\n3.ts\n"),
            Duration::from_millis(3500)
        );
        assert_eq!(length(b"#EXTINF:1e300,\n1.ts\n#EXTINF:nan,\n"), Duration::ZERO);
        assert_eq!(target_duration(b"#EXT-X-TARGETDURATION:4\n"), Duration::from_secs(4));
        for odd in
            ["", "#EXT-X-TARGETDURATION:-1", "#EXT-X-TARGETDURATION:1e300", "#EXT-X-TARGETDURATION:nan"]
        {
            assert!(target_duration(odd.as_bytes()) <= Duration::from_secs(10), "{odd}");
        }
    }

    proptest! {
        #[test]
        fn any_list_is_read(text in "(#EXT-X-(STREAM-INF|MEDIA|KEY):|TYPE=AUDIO|GROUP-ID=|AUDIO=|RESOLUTION=|[0-9]{1,12}x[0-9]{1,12}|METHOD=|\"|,|=|\n|a){0,30}") {
            let _ = (variants(text.as_bytes(), 720, &[]), drm_reason(text.as_bytes()), jumps(text.as_bytes()));
        }
    }
}
