//! The protocols, options and URL with which ffmpeg opens a source. Judges no address.

use std::net::IpAddr;

use super::head::{self, Authority};
use crate::item::{MediaSource, Trust};

/// The host of a bridged source for children: a name that never resolves.
pub(super) const BRIDGED_HOST: &str = "sender.invalid";

/// The URL that children open.
const BRIDGED_URL: &str = "http://sender.invalid/";

/// For HTTP: a list may name other servers, encrypted and embedded parts, but no files.
const HTTP: &str = "http,https,httpproxy,tcp,tls,crypto,data";

/// The protocols that ffmpeg may use for a URL of `scheme` and for the URLs in its content: never
/// `file`.
fn allowed(scheme: &str) -> &'static str {
    match scheme {
        "ftp" => "ftp,tcp",
        "mms" | "mmst" => "mmst,tcp",
        "mmsh" => "mmsh,http,httpproxy,tcp",
        "rist" => "rist",
        "rtmp" => "rtmp,tcp",
        "rtmps" => "rtmps,tls,httpproxy,tcp",
        "rtmpe" => "rtmpe,ffrtmpcrypt,tcp",
        "rtmpt" | "rtmpte" => "rtmpt,rtmpte,ffrtmphttp,ffrtmpcrypt,http,httpproxy,tcp",
        "rtmpts" => "rtmpts,ffrtmphttp,https,tls,httpproxy,tcp",
        "rtp" => "rtp,udp",
        "rtsp" => "rtsp,rtp,srtp,udp,tcp,http,httpproxy",
        "rtsps" => "rtsps,rtp,srtp,udp,tls,httpproxy,tcp",
        "sftp" => "sftp",
        "srt" => "srt",
        "tcp" => "tcp",
        "udp" => "udp",
        _ => HTTP,
    }
}

/// The value of `-protocol_whitelist` for `source`; `None` for files other than HLS lists, where
/// ffmpeg's default suffices.
fn whitelist(source: &MediaSource) -> Option<&'static str> {
    if source.is_relayed_live() {
        return Some("unix");
    }
    if !source.is_file() {
        let scheme = source.url.split_once("://").map_or("", |(scheme, _)| scheme);
        return Some(allowed(&scheme.to_ascii_lowercase()));
    }
    // An HLS list on disk may name segments on a server.
    source.is_hls().then_some("file,crypto,data,http,https,httpproxy,tcp,tls")
}

/// Whether an ffmpeg of the proxy reads `source`: its sender may accept a single connection.
#[must_use]
pub fn is_bridged(source: &MediaSource) -> bool {
    is_any(source, &["rist", "srt", "tcp"])
}

/// Whether ffmpeg uses an HTTP proxy for `source`.
pub(super) fn is_tunnelled(source: &MediaSource) -> bool {
    is_any(source, &["http", "https", "rtmps"])
}

/// Whether ffmpeg opens `source` through an RTSP relay, because ffmpeg follows RTSP redirects
/// itself.
pub(super) fn is_relayed(source: &MediaSource) -> bool {
    source.trust != Trust::Operator && is_any(source, &["rtsp", "rtsps"])
}

/// Whether `source` is opened through the proxy. TLS alone cannot redirect, so the operator's RTMPS
/// is direct. RTMPT sends many requests over one connection, which the proxy does not keep open.
pub(super) fn is_proxied(source: &MediaSource) -> bool {
    is_any(source, &["http", "https"])
        || is_bridged(source)
        || (source.trust != Trust::Operator && is_tunnelled(source))
}

/// The server that `url` names.
pub(super) fn server_of(url: &str) -> Option<Authority> {
    let (scheme, rest) = url.split_once("://")?;
    let place = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    let port = match &*scheme.to_ascii_lowercase() {
        "https" => 443,
        "rtmp" => 1935,
        "rtsp" => 554,
        "rtsps" => 322,
        _ => 80,
    };
    head::authority(place, Some(port))
}

fn is_any(source: &MediaSource, schemes: &[&str]) -> bool {
    let scheme = source.url.split_once("://").map_or("", |(scheme, _)| scheme);
    schemes.iter().any(|one| scheme.eq_ignore_ascii_case(one))
}

/// The options before `-i` for a source that ffmpeg opens itself.
pub(super) fn options(source: &MediaSource) -> Vec<String> {
    let mut options = Vec::new();
    if let Some(protocols) = whitelist(source) {
        options.extend(["-protocol_whitelist".to_owned(), protocols.to_owned()]);
    }
    if let Some(name) = rtmp_name(source) {
        options.extend(["-rtmp_tcurl".to_owned(), name]);
    }
    options
}

/// The URL that ffmpeg opens, without a relay.
pub(super) fn input_url(source: &MediaSource) -> String {
    if is_bridged(source) { BRIDGED_URL.to_owned() } else { direct_url(source) }
}

/// The options that belong to `ProxyClient::input_url`.
#[must_use]
pub fn input_options(source: &MediaSource) -> Vec<String> {
    if is_bridged(source) {
        return ["-rw_timeout", "10000000", "-protocol_whitelist", "http,tcp"].map(str::to_owned).into();
    }
    if is_relayed(source) {
        // Over UDP the server would choose the address to which ffmpeg sends.
        return ["-rtsp_transport", "tcp", "-protocol_whitelist", "rtsp,tcp"].map(str::to_owned).into();
    }
    options(source)
}

/// The URL of a relay at `port` that leads to `source`.
pub(super) fn relayed_url(source: &MediaSource, port: u16) -> String {
    let url = with_place(&source.url, &format!("127.0.0.1:{port}"));
    format!("rtsp://{}", url.split_once("://").map_or("", |(_, rest)| rest))
}

/// The URL with the checked address instead of the server's name.
pub(super) fn direct_url(source: &MediaSource) -> String {
    source
        .address
        .and_then(|address| with_address(&source.url, address))
        .unwrap_or_else(|| source.url.clone())
}

fn with_address(url: &str, address: IpAddr) -> Option<String> {
    let port = server_of(url)?.port;
    let host = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
    Some(with_place(url, &format!("{host}:{port}")))
}

/// `url` with `place` instead of its host and port.
fn with_place(url: &str, place: &str) -> String {
    let begin = url.find("://").map_or(0, |at| at + 3);
    let end = url[begin..].find(['/', '?', '#']).map_or(url.len(), |at| begin + at);
    let login = url[begin..end].rsplit_once('@').map_or("", |(login, _)| login);
    let at = if login.is_empty() { "" } else { "@" };
    format!("{}{login}{at}{place}{}", &url[..begin], &url[end..])
}

/// The `tcUrl` for an RTMP server that ffmpeg opens by its address.
fn rtmp_name(source: &MediaSource) -> Option<String> {
    source.address?;
    let rest = source.url.strip_prefix("rtmp://")?;
    let (place, path) = rest.split_once('/')?;
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    // ffmpeg's split: the application is the first part of the path, or the first two of three.
    let parts: Vec<&str> = path.split(['?', '#']).next()?.splitn(3, '/').collect();
    let app = if parts.len() == 3 { parts[..2].join("/") } else { parts[0].to_owned() };
    Some(format!("rtmp://{place}/{app}"))
}

/// The cookies of `source`, each in two forms: through a proxy, ffmpeg compares a cookie's path
/// with the whole URL.
#[must_use]
pub fn cookies(source: &MediaSource) -> Vec<String> {
    let place = server_of(&source.url).filter(|_| source.url.starts_with("http://"));
    let whole = |cookie: &String| {
        let Authority { host, port } = place.as_ref()?;
        let (rest, path) = cookie.split_once("; Path=")?;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        Some(format!("{rest}; Path=http://{host}:{port}{path}"))
    };
    source.cookies.iter().flat_map(|cookie| [Some(cookie.clone()), whole(cookie)]).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Network;

    #[test]
    fn schemes_that_use_the_proxy() {
        let proxied = |trust: Trust| {
            let schemes =
                ["http", "HTTPS", "srt", "tcp", "rtmps", "rtsps", "rtmp", "rtsp", "rtmpt", "udp", "ftp"];
            let all =
                schemes.map(|scheme| MediaSource { trust, ..MediaSource::at(format!("{scheme}://h/")) });
            all.iter().take_while(|source| is_proxied(source)).count()
        };
        assert_eq!(proxied(Trust::Operator), 4);
        assert_eq!(proxied(Trust::Found(Network::Public)), 5);
        assert!(!is_proxied(&MediaSource::at("file:/a.mp4".into())));
    }

    #[test]
    fn rtsp_of_untrusted_sources_uses_a_relay() {
        let trust = Trust::Found(Network::Public);
        for (url, opened) in [
            ("rtsps://u:p@cam/a?b=c", "rtsp://u:p@127.0.0.1:5/a?b=c"),
            ("RTSP://[::1]:9", "rtsp://127.0.0.1:5"),
        ] {
            let source = MediaSource { trust, ..MediaSource::at(url.into()) };
            assert!(is_relayed(&source) && !is_proxied(&source), "{url}");
            assert_eq!(relayed_url(&source, 5), opened);
            assert!(!is_relayed(&MediaSource::at(url.into())), "{url}");
        }
    }

    fn at(url: &str, address: &str) -> MediaSource {
        MediaSource { address: address.parse().ok(), ..MediaSource::at(url.into()) }
    }

    #[test]
    fn nothing_from_the_network_opens_files() {
        let schemes = "http https HTTP ftp sftp mms mmsh mmst rist rtmp rtmps rtmpe rtmpt rtmpte rtmpts rtp rtsp rtsps \
                       srt tcp udp data other";
        for scheme in schemes.split_whitespace() {
            let list = whitelist(&MediaSource::at(format!("{scheme}://h/a.m3u8"))).unwrap();
            let bad = ["file", "pipe", "concat", "subfile", "unix", "cache", "async"];
            assert!(list.split(',').all(|one| !bad.contains(&one)), "{scheme}: {list}");
        }
        assert_eq!(whitelist(&MediaSource::at("file:/a.mp4".into())), None);
        assert_eq!(whitelist(&MediaSource::at("unix:/run/live.sock".into())), Some("unix"));
        assert!(
            whitelist(&MediaSource::at("file:/a.m3u8".into())).is_some_and(|list| list.contains("https"))
        );
    }

    #[test]
    fn a_checked_address_stands_for_the_name() {
        for (url, address, expected) in [
            ("rtmp://ex.org/app/key?a=b", "1.2.3.4", "rtmp://1.2.3.4:1935/app/key?a=b"),
            ("rtsp://u:p@ex.org:5540", "1.2.3.4", "rtsp://u:p@1.2.3.4:5540"),
            ("srt://ex.org:9?mode=caller", "2a00::1", "srt://[2a00::1]:9?mode=caller"),
            ("srt://ex.org:9", "", "srt://ex.org:9"),
        ] {
            assert_eq!(direct_url(&at(url, address)), expected);
        }
        for (url, name) in [
            ("rtmp://ex.org/app/key", "rtmp://ex.org/app"),
            ("rtmp://ex.org:81/app/inst/key?x", "rtmp://ex.org:81/app/inst"),
            ("rtmp://u:p@ex.org/app", "rtmp://ex.org/app"),
        ] {
            assert_eq!(rtmp_name(&at(url, "1.2.3.4")).as_deref(), Some(name));
        }
        assert_eq!(rtmp_name(&at("rtmp://ex.org/app", "")), None);
    }
}
