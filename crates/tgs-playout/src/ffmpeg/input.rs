//! Options with which ffmpeg and ffprobe open a source.

use crate::{item::MediaSource, proxy};

/// Limit of a picture's pixels (8192 by 8192); a larger one would take more than half a gigabyte.
pub(crate) const MAX_PIXELS: &str = "67108864";

/// The formats of cover art. One of a name like cover.jpg may hold anything, such as a list that
/// leads to other files.
const PICTURES: &str = "image2,jpeg_pipe,png_pipe,webp_pipe,bmp_pipe,gif_pipe,gif,tiff_pipe,jpegls_pipe";

/// The options before `-i` for this source.
#[must_use]
pub fn source_options(source: &MediaSource) -> Vec<String> {
    let mut options = proxy::input_options(source);
    let mut add = |name: &str, value: &str| options.extend([name.to_owned(), value.to_owned()]);
    let http = source.url.starts_with("http://") || source.url.starts_with("https://");
    if http {
        // Leaves time to reconnect before the encoder is abandoned (STALL); an HLS segment is
        // requested only once.
        add("-rw_timeout", if source.is_hls() { "10000000" } else { "6000000" });
        // The HLS demuxer reconnects itself, and `-reconnect` would take each playlist's end for a
        // broken connection.
        if !source.is_hls() {
            add("-reconnect", "1");
            add("-reconnect_on_network_error", "1");
            add("-reconnect_delay_max", "5");
        }
    }
    if source.picture {
        add("-format_whitelist", PICTURES);
    }
    if source.is_relayed_live() {
        // Without a limit ffmpeg looks for further streams for 5 s.
        add("-analyzeduration", "500000");
        add("-f", "flv");
    }
    if source.ends.is_some() {
        add("-live_start_index", "0");
        // The playlist does not grow: two reloads without a new segment end it.
        add("-m3u8_hold_counters", "2");
    }
    if source.is_hls() && !source.is_named_hls() {
        // Newer ffmpeg versions reject HLS whose name does not end with `.m3u8`.
        add("-f", "hls");
    }
    if http && !source.cookies.is_empty() {
        let clean = |text: String| text.replace(['\r', '\n'], " ");
        add("-cookies", &proxy::cookies(source).into_iter().map(clean).collect::<Vec<_>>().join("\n"));
    }
    if http && !source.headers.is_empty() {
        // A line break in a value would inject another header.
        let clean = |text: &str| text.replace(['\r', '\n'], " ");
        let lines: Vec<_> =
            source.headers.iter().map(|(n, v)| format!("{}: {}\r\n", clean(n), clean(v))).collect();
        add("-headers", &lines.concat());
    }
    options
}

/// Options that make ffmpeg and ffprobe read a file from this byte on.
#[must_use]
pub fn skip_options(bytes: u64) -> Vec<String> {
    if bytes == 0 { Vec::new() } else { vec!["-skip_initial_bytes".to_owned(), bytes.to_string()] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(url: &str) -> MediaSource {
        let headers = vec![("User-Agent".into(), "a\r\nX: y".into())];
        MediaSource { headers, ..MediaSource::at(url.into()) }
    }

    #[test]
    fn headers_cannot_be_smuggled_in() {
        let options = source_options(&source("https://h/v.mp4"));
        assert_eq!(options.last().map(String::as_str), Some("User-Agent: a  X: y\r\n"));
        assert!(source_options(&source("file:/a.mp4")).is_empty());
        let live = source_options(&source("unix:/run/live.sock")).join(" ");
        assert_eq!(live, "-protocol_whitelist unix -analyzeduration 500000 -f flv");
        assert!(!source_options(&source("http://h/l.m3u8?x=1")).contains(&"-reconnect".to_owned()));
    }

    #[test]
    fn cookies_and_hls_of_any_name_are_options() {
        let cookies = vec!["a=1; Domain=h; Path=/\r\nX: y".to_owned(), "b=2; Domain=h; Path=/".to_owned()];
        let list = MediaSource { cookies, hls: true, ..MediaSource::at("http://h/get?list=1".into()) };
        let options = source_options(&list).join(" ");
        assert!(options.contains("-f hls") && !options.contains("-reconnect"), "{options}");
        assert!(options.contains("-cookies a=1; Domain=h; Path=/  X: y\n"), "{options}");
        assert!(options.contains("\nb=2; Domain=h; Path=/\nb=2; Domain=h; Path=http://h:80/"), "{options}");
        let local = MediaSource { hls: true, ..MediaSource::at("file:/a.m3u".into()) };
        let options = source_options(&local).join(" ");
        assert!(options.contains("-protocol_whitelist file") && options.contains("-f hls"), "{options}");
    }
}
