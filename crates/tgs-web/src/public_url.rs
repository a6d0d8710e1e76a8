//! Judges URLs that the desk may queue: http(s), to a server with public addresses only. Opens no
//! connection; tgs-stream resolves the name again, and judges its address, when the entry is due.

use std::net::ToSocketAddrs;

use axum::http::Uri;
use tgs_playout::network::Network;

/// Longest URL.
const LONGEST: usize = 4096;

/// Why a URL is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlRefused {
    /// The text is no http(s) URL.
    #[error("write a whole address, as in https://example.org/film.mp4, without a login and without spaces")]
    Form,
    /// The name has no address.
    #[error("the name {0} cannot be resolved")]
    Unresolved(String),
    /// The server is not public.
    #[error("{0} leads to an address that is not public; such sources belong into the playlist")]
    NotPublic(String),
}

/// Whether `text` is a URL rather than a path.
pub(crate) fn is_url(text: &str) -> bool {
    text.contains("://")
}

/// The URL in `text`, if all addresses of its server are public. Waits for the name server.
pub(crate) fn checked(text: &str) -> Result<String, UrlRefused> {
    let (host, port) = server(text).ok_or(UrlRefused::Form)?;
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let found = (bare.as_str(), port).to_socket_addrs();
    let addresses: Vec<_> = found.map_err(|_| UrlRefused::Unresolved(host.clone()))?.collect();
    if addresses.is_empty() {
        return Err(UrlRefused::Unresolved(host));
    }
    if addresses.iter().any(|address| Network::of(address.ip()) != Network::Public) {
        return Err(UrlRefused::NotPublic(host));
    }
    Ok(text.to_owned())
}

/// Host and port of an http(s) URL that every parser reads alike.
fn server(text: &str) -> Option<(String, u16)> {
    // Parsers differ on these: some take `\` for `/`, or what precedes `@` for the host.
    let odd = |c: char| !c.is_ascii_graphic() || matches!(c, '\\' | '@' | '|' | '"' | '<' | '>' | '`');
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    if text.len() > LONGEST || text.contains(|c: char| odd(c) && c != '@') || authority.contains(odd) {
        return None;
    }
    let port = match &*scheme.to_ascii_lowercase() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let uri: Uri = text.split('#').next()?.parse().ok()?;
    let parsed = uri.authority()?;
    let host = parsed.host();
    if parsed.as_str() != authority || host.is_empty() {
        return None;
    }
    let port = match &authority[host.len()..] {
        "" => port,
        given => given.strip_prefix(':')?.parse().ok()?,
    };
    Some((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Option<UrlRefused> {
        checked(text).err()
    }

    #[test]
    fn public_servers_alone() {
        for good in
            ["http://1.1.1.1/a.mp4", "https://8.8.8.8:8443/a?b=c#t=10", "HTTPS://[2606:4700::1111]/x@y"]
        {
            assert_eq!(checked(good).as_deref(), Ok(good));
        }
        for private in [
            "http://127.0.0.1/a",
            "http://localhost:9090/status",
            "http://10.0.0.1/a",
            "http://192.168.1.1/a",
            "http://169.254.169.254/latest/meta-data",
            "http://[::1]/a",
            "http://[::ffff:10.0.0.1]/a",
            "http://[fd00::1]/a",
            "http://100.64.0.1/a",
            "http://0.0.0.0/a",
        ] {
            assert!(matches!(refused(private), Some(UrlRefused::NotPublic(_))), "{private}");
        }
        for odd in [
            "ftp://1.1.1.1/a",
            "file:///etc/passwd",
            "http://",
            "http:///etc/passwd",
            "http://1.1.1.1@127.0.0.1/a",
            "http://127.0.0.1\\@1.1.1.1/a",
            "http://1.1.1.1/a b",
            "http://1.1.1.1/a\n/etc/passwd",
            "http://1.1.1.1/a|User-Agent=x",
            "http://1.1.1.1:0x50/a",
            "http://1.1.1.1:99999/a",
            "rtmp://1.1.1.1/a",
            "concat:http://1.1.1.1/a",
            "http://exämple.org/a",
        ] {
            assert_eq!(refused(odd), Some(UrlRefused::Form), "{odd}");
        }
    }

    #[test]
    fn paths_are_no_urls() {
        assert!(is_url("file:///a") && is_url("http://h/") && !is_url("/srv/a.mp4"));
    }
}
