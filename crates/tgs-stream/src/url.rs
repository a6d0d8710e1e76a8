//! URL helpers: scheme, extension, display name, relative references, and what remote lists may
//! name. ffmpeg and yt-dlp do the full parsing.

use std::fmt::Write as _;

/// Extensions that ffmpeg opens over HTTP without yt-dlp.
const MEDIA: [&str; 41] = [
    "3g2", "3gp", "aac", "ac3", "aif", "aiff", "asf", "avi", "eac3", "f4v", "flac", "flv", "m1v", "m2t",
    "m2ts", "m2v", "m4a", "m4b", "m4v", "mka", "mkv", "mov", "mp2", "mp3", "mp4", "mpd", "mpeg", "mpg",
    "mts", "mxf", "nut", "oga", "ogg", "ogv", "opus", "ts", "vob", "wav", "webm", "wma", "wmv",
];

/// Protocols that carry live streams.
const LIVE: [&str; 16] = [
    "mms", "mmsh", "mmst", "rist", "rtmp", "rtmpe", "rtmps", "rtmpt", "rtmpte", "rtmpts", "rtp", "rtsp",
    "rtsps", "srt", "tcp", "udp",
];

/// Whether ffmpeg opens URLs with this (lower-case) extension directly.
#[must_use]
pub fn is_media(extension: &str) -> bool {
    MEDIA.contains(&extension)
}

/// Whether `scheme` carries live streams.
#[must_use]
pub fn is_live(scheme: &str) -> bool {
    LIVE.contains(&scheme)
}

/// Protocols that remote lists and pages may name. Others open local ports or files, or accept any
/// sender.
const FROM_STRANGERS: [&str; 7] = ["http", "https", "rtmp", "rtmps", "rtsp", "rtsps", "srt"];

/// Whether a remote list or page may name this.
#[must_use]
pub fn is_remote(url: &str) -> bool {
    refused(url).is_none()
}

/// Why a remote list or page may not name `url`; `None` if it may.
#[must_use]
pub fn refused(url: &str) -> Option<String> {
    let allowed = "a list or page from the network may name http(s), rtmp(s), rtsp(s) and srt addresses only";
    let Some(scheme) = scheme(url) else { return Some(format!("it is not a URL: {allowed}")) };
    if scheme == "file" {
        return Some("a list from the network may not name local files".to_owned());
    }
    if !FROM_STRANGERS.contains(&&*scheme) {
        return Some(format!("it is a {scheme}:// address: {allowed}"));
    }
    if host(url).split(':').next().is_none_or(str::is_empty) {
        return Some("it has no host".to_owned());
    }
    // ffmpeg ignores the query of HTTP URLs, but not of other protocols.
    let mut options =
        url.split(['?', '&', ';', '#']).skip(1).map(|option| option.split_once('=').unwrap_or((option, "")));
    let waits = |(name, value): (&str, &str)| match &*name.to_ascii_lowercase() {
        "listen" => value != "0",
        "mode" => !value.eq_ignore_ascii_case("caller"),
        _ => false,
    };
    if !matches!(&*scheme, "http" | "https") && options.any(waits) {
        return Some("it would wait for connections on this machine: a list or page from the network may not open ports".to_owned());
    }
    None
}

/// Normalises `url` for ffmpeg and HTTP: lower-case scheme, invalid characters percent-encoded.
#[must_use]
pub fn normalized(url: &str) -> String {
    let scheme = scheme(url).unwrap_or_default();
    let mut out = scheme.clone();
    for c in url[scheme.len()..].chars() {
        if c.is_ascii()
            && !matches!(c, ' ' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}')
            && !c.is_control()
        {
            out.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                // Writing to a string cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// Whether the query requests an M3U list, as IPTV providers use it (`get.php?…&type=m3u_plus`).
#[must_use]
pub fn asks_for_list(url: &str) -> bool {
    let query = url.split('#').next().and_then(|url| url.split_once('?')).map_or("", |(_, query)| query);
    query
        .split('&')
        .any(|option| matches!(&*option.to_ascii_lowercase(), "type=m3u" | "type=m3u8" | "type=m3u_plus"))
}

/// Parses the headers in `User-Agent=a%20b&Referer=c`.
#[must_use]
pub fn header_options(options: &str) -> Vec<(String, String)> {
    let pair = |option: &str| {
        let (name, value) = option.split_once('=')?;
        Some((name.trim().to_owned(), String::from_utf8_lossy(&percent_decode(value.trim())).into_owned()))
    };
    options.split('&').filter_map(pair).collect()
}

/// Splits Kodi's `URL|User-Agent=…&Referer=…`. A `|` without a known header is part of the URL.
#[must_use]
pub fn split_headers(text: &str) -> (&str, Vec<(String, String)>) {
    const KNOWN: [&str; 6] = ["user-agent", "referer", "origin", "cookie", "authorization", "accept"];
    let Some((url, options)) = text.rsplit_once('|') else { return (text, Vec::new()) };
    let known = |name: &str| KNOWN.contains(&name) || name.starts_with("x-");
    let mut headers = header_options(options);
    headers.retain(|(name, _)| known(&name.to_ascii_lowercase()));
    if headers.is_empty() { (text, headers) } else { (url, headers) }
}

/// The host and port, without login.
#[must_use]
pub fn host(url: &str) -> &str {
    without_user(parts(url).1)
}

/// The lower-case scheme before `://`.
#[must_use]
pub fn scheme(text: &str) -> Option<String> {
    let (scheme, _) = text.split_once("://")?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    valid.then(|| scheme.to_ascii_lowercase())
}

/// The parts before the query: `http://`, `me@host:80`, `/dir/file`.
fn parts(url: &str) -> (&str, &str, &str) {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_at(url.find("://").map_or(0, |at| at + 3));
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    (scheme, host, path)
}

/// The lower-case extension of the path, or empty.
#[must_use]
pub fn extension(url: &str) -> String {
    let (_, _, path) = parts(url);
    let name = path.rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.').map_or(String::new(), |(_, extension)| extension.to_ascii_lowercase())
}

/// The display name: the last path segment without a media extension, else the host.
#[must_use]
pub fn name(url: &str) -> String {
    let (_, host, path) = parts(url);
    let last = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or(without_user(host));
    let last = match last.rsplit_once('.') {
        Some((stem, end))
            if !stem.is_empty() && (is_media(&end.to_ascii_lowercase()) || end.starts_with("m3u")) =>
        {
            stem
        }
        _ => last,
    };
    String::from_utf8_lossy(&percent_decode(last)).into_owned()
}

/// The URL without login.
#[must_use]
pub fn without_login(url: &str) -> String {
    let (scheme, host, _) = parts(url);
    format!("{scheme}{}{}", without_user(host), &url[scheme.len() + host.len()..])
}

fn without_user(host: &str) -> &str {
    host.rsplit_once('@').map_or(host, |(_, host)| host)
}

/// Resolves the reference `target` in the document at `base`.
#[must_use]
pub fn join(base: &str, target: &str) -> String {
    if scheme(target).is_some() {
        return target.to_owned();
    }
    let (scheme, host, path) = parts(base);
    if target.starts_with("//") {
        return format!("{}{target}", scheme.trim_end_matches("//"));
    }
    if target.starts_with('/') {
        return format!("{scheme}{host}{target}");
    }
    if target.starts_with('?') {
        return format!("{scheme}{host}{path}{target}");
    }
    let mut dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
    let mut target = target;
    loop {
        if let Some(rest) = target.strip_prefix("../") {
            dir = dir.rsplit_once('/').map_or("", |(dir, _)| dir);
            target = rest;
        } else if let Some(rest) = target.strip_prefix("./") {
            target = rest;
        } else {
            return format!("{scheme}{host}{dir}/{target}");
        }
    }
}

/// The path of a `file://` URL, as raw bytes.
#[must_use]
pub fn file_path(url: &str) -> Option<Vec<u8>> {
    if scheme(url)? != "file" {
        return None;
    }
    let path = &url["file://".len()..];
    Some(percent_decode(path.strip_prefix("localhost").unwrap_or(path)))
}

/// Decodes `%41` to bytes.
#[must_use]
pub fn percent_decode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|b| char::from(*b).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (*first, digit(0), digit(1)) {
            out.push((high * 16 + low) as u8);
            rest = &tail[2..];
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_targets() {
        let cases = [
            ("http://h/d/l.m3u", "a.mp4", "http://h/d/a.mp4"),
            ("http://h/d/l.m3u?x=/y/", "./a.mp4", "http://h/d/a.mp4"),
            ("http://h/d/e/l.m3u", "../../a", "http://h/a"),
            ("http://h/l.m3u", "../a", "http://h/a"),
            ("http://h", "a", "http://h/a"),
            ("http://h/d/l.m3u", "/a", "http://h/a"),
            ("https://h/d/l.m3u", "//i/a", "https://i/a"),
            ("http://h/d/l.m3u?x", "?y", "http://h/d/l.m3u?y"),
            ("http://h/d/l.m3u", "rtmp://i/a", "rtmp://i/a"),
        ];
        for (base, target, expected) in cases {
            assert_eq!(join(base, target), expected, "{target} at {base}");
        }
    }

    #[test]
    fn names() {
        let cases = [
            ("http://h/a%20b.mp4?x=/y.mp3", "a b"),
            ("http://h/live/index.m3u8", "index"),
            ("http://h/v1.2/", "v1.2"),
            ("rtsp://me:pw@cam:554", "cam:554"),
            ("http://h/%zz%f", "%zz%f"),
        ];
        for (url, expected) in cases {
            assert_eq!(name(url), expected);
        }
    }

    #[test]
    fn schemes() {
        for (text, expected) in [
            ("HTTP://h", Some("http")),
            ("coap+tcp://h", Some("coap+tcp")),
            ("://h", None),
            ("1x://h", None),
            ("a b://h", None),
            ("C:\\x", None),
            ("a:b.mp4", None),
        ] {
            assert_eq!(scheme(text).as_deref(), expected, "{text}");
        }
        let remote = [
            "http://h",
            "RTSP://h",
            "file:///etc/passwd",
            "concat:a|b",
            "data:,x",
            "subfile,,:/a",
            "pipe:0",
            "/a",
        ];
        assert_eq!(remote.map(is_remote), [true, true, false, false, false, false, false, false]);
    }

    #[test]
    fn remote_lists_may_not_name_files_or_listeners() {
        let allowed = [
            "https://h/a?listen=1&mode=listener",
            "rtmps://h/app/x",
            "rtsp://h:554/x?tcp",
            "srt://h:9000",
            "SRT://h:9000?mode=caller&latency=100",
            "rtmp://h/app?listen=0",
        ];
        for url in allowed {
            assert_eq!(refused(url), None, "{url}");
        }
        let cases = [
            ("tcp://h:1", "it is a tcp:// address: a list or page from the network may name http(s), "),
            ("udp://@239.0.0.1:1234", "it is a udp:// address"),
            ("rtp://h:1", "it is a rtp:// address"),
            ("ftp://h/a", "it is a ftp:// address"),
            ("crypto+http://h/a", "it is a crypto+http:// address"),
            ("file:///etc/passwd", "a list from the network may not name local files"),
            ("FILE:///etc/passwd", "a list from the network may not name local files"),
            ("subfile,,start,0,end,9,,:http://h/", "it is not a URL"),
            ("srt://:9000", "it has no host"),
            ("http:///etc/passwd", "it has no host"),
            ("srt://h:1?mode=listener", "it would wait for connections on this machine"),
            ("srt://h:1?latency=1&MODE=Listener", "it would wait for connections on this machine"),
            ("srt://h:1?mode=caller&mode=rendezvous", "it would wait for connections on this machine"),
            ("rtsp://h:1/x?listen", "it would wait for connections on this machine"),
            ("rtmp://h:1/x?a=b&listen=1", "it would wait for connections on this machine"),
        ];
        for (url, why) in cases {
            let refused = refused(url).unwrap_or_default();
            assert!(refused.starts_with(why), "{url}: {refused}");
        }
    }

    #[test]
    fn urls_are_normalised_for_ffmpeg() {
        let cases = [
            ("HTTPS://Me@H/a b|c.mp4?x=1#t", "https://Me@H/a%20b%7Cc.mp4?x=1#t"),
            ("http://h/\u{e9}%20", "http://h/%C3%A9%20"),
            ("http://[::1]:80/", "http://[::1]:80/"),
        ];
        for (url, expected) in cases {
            assert_eq!(normalized(url), expected);
        }
        assert_eq!(host("rtsp://me:pw@cam:554/x"), "cam:554");
    }

    #[test]
    fn file_urls() {
        let path = |url| file_path(url).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert_eq!(path("file:///a%20b%C3%A9").as_deref(), Some("/a bé"));
        assert_eq!(path("FILE://localhost/a").as_deref(), Some("/a"));
        assert_eq!(path("http://h/a"), None);
    }
}
