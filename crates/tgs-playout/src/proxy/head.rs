//! Parses the heads of HTTP requests to the proxy and of servers' responses, and rewrites them for
//! the other side. Does no I/O and reads no bodies.
//!
//! Each connection carries one request, so both sides get `Connection: close`.

/// Size limit of a head: cookies take a few kilobytes.
pub(super) const MAX_HEAD: usize = 64 << 10;

/// Hop-by-hop headers, which are not forwarded.
const HOP: [&str; 6] =
    ["connection", "keep-alive", "proxy-authorization", "proxy-connection", "te", "upgrade"];

/// A server's host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authority {
    /// In lower case, without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
}

/// A client's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ProxyRequest {
    /// `CONNECT`: a connection for any bytes.
    Tunnel(Authority),
    /// A request for an `http://` URL.
    Fetch {
        server: Authority,
        path: String,
        is_get: bool,
        /// Whether it is a range that does not start at 0.
        is_part: bool,
        /// The headers that identify the client to the server.
        identity: Vec<u8>,
        /// The head for the server.
        head: Vec<u8>,
    },
}

/// A request and its `Proxy-Authorization`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestHead {
    pub(super) request: ProxyRequest,
    pub(super) authorization: Option<String>,
}

/// The head of a server's response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResponseHead {
    pub(super) status: u16,
    /// `Content-Length`.
    pub(super) length: Option<u64>,
    /// Whether the server serves ranges.
    pub(super) ranges: bool,
    /// Whether its type is text: a page or a list.
    pub(super) text: bool,
    /// `Retry-After` in seconds.
    pub(super) retry_after: Option<u64>,
    /// The head for the client.
    pub(super) head: Vec<u8>,
}

/// The end of the head in `bytes`, after its empty line.
pub(super) fn end(bytes: &[u8]) -> Option<usize> {
    let full = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
    let bare = bytes.windows(2).position(|two| two == b"\n\n").map(|at| at + 2);
    full.into_iter().chain(bare).min()
}

/// Parses the head of a request. The error is a reason for the log and the client.
pub(super) fn parse_request(head: &[u8]) -> Result<RequestHead, &'static str> {
    let mut lines = lines(head);
    let first = lines.next().and_then(|line| str::from_utf8(line).ok()).ok_or("no request line")?;
    // Some servers take a bare CR for the end of a line.
    if first.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("control characters in the request line");
    }
    let mut words = first.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("the request line has not three parts");
    };
    if !is_token(method.as_bytes()) || !version.starts_with("HTTP/1.") {
        return Err("no HTTP/1 request");
    }
    let (mut authorization, mut is_part, mut identity, mut kept) = (None, false, Vec::new(), Vec::new());
    for line in lines {
        let (name, value) = header(line).ok_or("a line of the head is no header")?;
        match &*name {
            "proxy-authorization" => authorization = str::from_utf8(value).ok().map(str::to_owned),
            "range" => is_part = !value.starts_with(b"bytes=0-"),
            "cookie" | "authorization" => identity.extend_from_slice(line),
            name if name.starts_with("x-") => identity.extend_from_slice(line),
            _ => {}
        }
        if !HOP.contains(&&*name) && name != "host" {
            kept.push(line);
        }
    }
    let request = if method == "CONNECT" {
        ProxyRequest::Tunnel(authority(target, None).ok_or("no host and port to connect to")?)
    } else {
        let rest = target.strip_prefix("http://").ok_or("the address is not one of http://")?;
        let (place, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
        let server = authority(place, Some(80)).ok_or("no host in the address")?;
        let path = path.split('#').next().unwrap_or_default();
        let slash = if path.starts_with('/') { "" } else { "/" };
        let mut head = format!("{method} {slash}{path} HTTP/1.1\r\nHost: {place}\r\n").into_bytes();
        write_headers(&mut head, &kept);
        ProxyRequest::Fetch {
            server,
            path: path.to_owned(),
            is_get: method == "GET",
            is_part,
            identity,
            head,
        }
    };
    Ok(RequestHead { request, authorization })
}

/// Parses the head of a response; `None` if it is not HTTP. Shoutcast's `ICY` becomes HTTP.
pub(super) fn parse_response(head: &[u8]) -> Option<ResponseHead> {
    let mut lines = lines(head);
    let first = lines.next()?;
    let (first, is_icy) = match first.strip_prefix(b"ICY ") {
        Some(rest) => ([b"HTTP/1.0 ", rest].concat(), true),
        None => (first.to_vec(), false),
    };
    let status = str::from_utf8(first.strip_prefix(b"HTTP/1.")?).ok()?.split(' ').nth(1)?.parse().ok()?;
    let mut answer = ResponseHead {
        status,
        length: None,
        ranges: status == 206,
        text: false,
        retry_after: None,
        head: first,
    };
    answer.head.extend_from_slice(b"\r\n");
    let mut kept = Vec::new();
    for line in lines {
        // A malformed header passes unchanged: the client judges it.
        let Some((name, value)) = header(line) else {
            kept.push(line);
            continue;
        };
        let text = str::from_utf8(value).unwrap_or_default().to_ascii_lowercase();
        match &*name {
            "content-length" => answer.length = text.parse().ok(),
            "accept-ranges" => answer.ranges |= text == "bytes",
            "content-type" => {
                answer.text = text.starts_with("text/")
                    || ["json", "xml", "mpegurl"].iter().any(|kind| text.contains(kind));
            }
            "retry-after" => answer.retry_after = text.parse().ok(),
            _ => {}
        }
        if !HOP.contains(&&*name) {
            kept.push(line);
        }
    }
    if is_icy {
        answer.length = None;
    }
    write_headers(&mut answer.head, &kept);
    Some(answer)
}

/// Writes the headers after a first line.
fn write_headers(head: &mut Vec<u8>, lines: &[&[u8]]) {
    for line in lines {
        head.extend_from_slice(line);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"Connection: close\r\n\r\n");
}

/// The lines before the empty line.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.take_while(|line| !line.is_empty())
}

/// A header's name in lower case and its value.
fn header(line: &[u8]) -> Option<(String, &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    let clean = is_token(name) && !value.iter().any(|byte| matches!(byte, b'\r' | 0));
    clean.then(|| (String::from_utf8_lossy(name).to_ascii_lowercase(), value))
}

fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

/// Parses `host:port` or `[address]:port`, or either without a port if there is a default.
pub(super) fn authority(text: &str, default: Option<u16>) -> Option<Authority> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(text) => text.split_once(']')?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match rest.strip_prefix(':') {
        None | Some("") if rest.len() <= 1 => default?,
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok()?,
        _ => return None,
    };
    let host = host.trim_end_matches('.');
    let clean = |byte: u8| byte.is_ascii_graphic() && !b"/?#@[]\\".contains(&byte) || byte >= 0x80;
    let valid = !host.is_empty() && host.len() <= 253 && host.bytes().all(clean) && port > 0;
    valid.then(|| Authority { host: host.to_ascii_lowercase(), port })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fetch(text: &str) -> Result<(Authority, String, bool), &'static str> {
        match parse_request(text.as_bytes())?.request {
            ProxyRequest::Fetch { server, head, is_part, .. } => {
                Ok((server, String::from_utf8(head).unwrap(), is_part))
            }
            ProxyRequest::Tunnel(_) => Err("a tunnel"),
        }
    }

    #[test]
    fn requests_are_written_as_the_server_wants_them() {
        let asked = "GET http://u:p@Ex.org:81/a?b=http://c HTTP/1.1\r\nProxy-Authorization: Basic eA==\r\nUser-Agent: x\r\n\
                     Range: bytes=7-\r\nConnection: keep-alive\r\nhost: other\r\n\r\n";
        let (server, head, is_part) = fetch(asked).unwrap();
        assert_eq!(server, Authority { host: "ex.org".into(), port: 81 });
        assert_eq!(
            head,
            "GET /a?b=http://c HTTP/1.1\r\nHost: Ex.org:81\r\nUser-Agent: x\r\nRange: bytes=7-\r\nConnection: close\r\n\r\n"
        );
        assert!(is_part);
        assert_eq!(parse_request(asked.as_bytes()).unwrap().authorization.as_deref(), Some("Basic eA=="));
        let (server, head, _) = fetch("HEAD http://[::1]?q HTTP/1.0\n\n").unwrap();
        assert_eq!(server, Authority { host: "::1".into(), port: 80 });
        assert!(head.starts_with("HEAD /?q HTTP/1.1\r\nHost: [::1]\r\n"), "{head}");
        let tunnel = parse_request(b"CONNECT h.example.:443 HTTP/1.1\r\n\r\n").unwrap().request;
        assert_eq!(tunnel, ProxyRequest::Tunnel(Authority { host: "h.example".into(), port: 443 }));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in [
            "",
            "GET / HTTP/1.1\r\n\r\n",
            "GET ftp://h/ HTTP/1.1\r\n\r\n",
            "GET https://h/ HTTP/1.1\r\n\r\n",
            "GET http://h/ HTTP/2\r\n\r\n",
            "GET http://h/a b HTTP/1.1\r\n\r\n",
            "GET http:/// HTTP/1.1\r\n\r\n",
            "GET http://h/a\rX:y HTTP/1.1\r\n\r\n",
            "GET http://h/a\0 HTTP/1.1\r\n\r\n",
            "GET http://h/\t HTTP/1.1\r\n\r\n",
            "GET http://h:99999/ HTTP/1.1\r\n\r\n",
            "GET http://h:0/ HTTP/1.1\r\n\r\n",
            "GET http://h/ HTTP/1.1\r\nno header\r\n\r\n",
            "GET http://h/ HTTP/1.1\r\nA: b\rC: d\r\n\r\n",
            "GET http://h/ HTTP/1.1\r\nA: b\r\n C: d\r\n\r\n",
            "CONNECT h HTTP/1.1\r\n\r\n",
            "CONNECT http://h:1/ HTTP/1.1\r\n\r\n",
            "CONNECT u@h:1 HTTP/1.1\r\n\r\n",
            "CONNECT [::1:443 HTTP/1.1\r\n\r\n",
        ] {
            assert!(parse_request(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn responses_are_parsed() {
        let icy = parse_response(b"ICY 200 OK\r\nicy-name:x\r\nContent-Type:audio/mpeg\r\n\r\n").unwrap();
        assert_eq!((icy.status, icy.length, icy.ranges, icy.text), (200, None, false, false));
        let head = String::from_utf8(icy.head).unwrap();
        assert_eq!(
            head,
            "HTTP/1.0 200 OK\r\nicy-name:x\r\nContent-Type:audio/mpeg\r\nConnection: close\r\n\r\n"
        );
        let file =
            parse_response(b"HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\nContent-Length: 12\r\n\r\n").unwrap();
        assert_eq!((file.length, file.ranges), (Some(12), true));
        assert!(parse_response(b"HTTP/1.1 206 Partial Content\r\n\r\n").unwrap().ranges);
        let busy = parse_response(b"HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nConnection: Keep-Alive\r\n\r\n")
            .unwrap();
        assert_eq!((busy.status, busy.retry_after), (503, Some(120)));
        assert!(parse_response(b"HTTP/1.1 200\r\nContent-Type: text/html; charset=x\r\n\r\n").unwrap().text);
        for other in [&b""[..], b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 x\r\n\r\n"] {
            assert_eq!(parse_response(other), None);
        }
    }

    #[test]
    fn heads_end_at_an_empty_line() {
        assert_eq!(end(b"GET\r\n\r\nbody\n\n"), Some(7));
        assert_eq!(end(b"ICY 200\n\nx\r\n\r\n"), Some(9));
        assert_eq!(end(b"GET\r\n\r"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse_request(&bytes), parse_response(&bytes), end(&bytes));
        }

        /// A request that passes stays one head with one first line: nothing is smuggled in after
        /// it.
        #[test]
        fn a_request_stays_one(text in "(GET|POST|CONNECT|X Y) (http://)?[a-z@:/?#\\[\\] .0-9]{0,12}(\r|\n|\t|é)?[a-z/]{0,5} HTTP/1.[01]\r\n([A-Za-z-]{1,6}:? ?[ -~é\r\n]{0,9}\r\n){0,3}\r\n") {
            if let Ok(RequestHead { request: ProxyRequest::Fetch { head, server, .. }, .. }) = parse_request(text.as_bytes()) {
                prop_assert_eq!(end(&head), Some(head.len()));
                prop_assert!(head.split(|b| *b == b'\n').rev().skip(1).all(|line| line.ends_with(b"\r")));
                prop_assert!(!server.host.is_empty() && server.port > 0);
                prop_assert!(!String::from_utf8_lossy(&head).replace("\r\n", "").contains('\r'));
                prop_assert!(parse_response(&head).is_none());
            }
        }
    }
}
