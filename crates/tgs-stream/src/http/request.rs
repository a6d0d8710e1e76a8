//! Parses a request head as far as it affects the connection. `tiny_http` handles the request.

/// A request that can be forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HttpRequest {
    /// The method.
    pub(super) method: String,
    /// Path and query: visible ASCII.
    pub(super) target: String,
    /// Whether the connection closes after the answer.
    pub(super) close: bool,
}

/// The result of parsing a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ParsedHead {
    /// A request.
    Request(HttpRequest),
    /// Refused with this status.
    Refused(u16),
}

impl HttpRequest {
    /// Parses a head without its empty line.
    pub(super) fn parse(head: &[u8]) -> ParsedHead {
        let text = String::from_utf8_lossy(head);
        let (line, headers) = text.split_once("\r\n").unwrap_or((&text, ""));
        let words: Vec<&str> = line.split(' ').collect();
        let [method, target, version] = words[..] else { return ParsedHead::Refused(400) };
        let visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !visible(method) || !visible(target) {
            return ParsedHead::Refused(400);
        }
        let persistent = match version {
            "HTTP/1.1" => true,
            "HTTP/1.0" => false,
            other if other.starts_with("HTTP/") => return ParsedHead::Refused(505),
            _ => return ParsedHead::Refused(400),
        };
        let mut close = !persistent;
        for header in headers.split("\r\n").filter(|header| !header.is_empty()) {
            let Some((name, value)) = header.split_once(':') else { return ParsedHead::Refused(400) };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "connection" if value.to_ascii_lowercase().contains("close") => close = true,
                // Bodies are not read, so the next request cannot be found.
                "content-length" if value != "0" => close = true,
                "transfer-encoding" => close = true,
                _ => {}
            }
        }
        ParsedHead::Request(Self { method: method.to_owned(), target: target.to_owned(), close })
    }
}

/// An answer without a body; closes the connection.
pub(super) fn status_only(status: u16) -> Vec<u8> {
    let words = match status {
        400 => "Bad Request",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        505 => "HTTP Version Not Supported",
        _ => "Service Unavailable",
    };
    format!("HTTP/1.1 {status} {words}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn heads() {
        let page = |method: &str, target: &str, close| {
            ParsedHead::Request(HttpRequest { method: method.into(), target: target.into(), close })
        };
        let table = [
            ("GET /metrics HTTP/1.1", page("GET", "/metrics", false)),
            ("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: a:b", page("GET", "/metrics", false)),
            ("GET /metrics HTTP/1.0", page("GET", "/metrics", true)),
            ("HEAD /s?a=b HTTP/1.1\r\nconnection: Close", page("HEAD", "/s?a=b", true)),
            ("POST / HTTP/1.1\r\nContent-Length: 0", page("POST", "/", false)),
            ("POST / HTTP/1.1\r\nContent-Length: 7", page("POST", "/", true)),
            ("GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999", page("GET", "/", true)),
            ("GET / HTTP/1.1\r\nContent-Length: -1", page("GET", "/", true)),
            ("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked", page("PUT", "/", true)),
            ("PRI * HTTP/2.0", ParsedHead::Refused(505)),
            ("GET / HTTP/2.0", ParsedHead::Refused(505)),
            ("GET / HTTP/1.1\r\nno header", ParsedHead::Refused(400)),
            ("GET /", ParsedHead::Refused(400)),
            ("GET  / HTTP/1.1", ParsedHead::Refused(400)),
            ("GET / SSH-2.0", ParsedHead::Refused(400)),
            ("GET /\u{e9} HTTP/1.1", ParsedHead::Refused(400)),
            ("GET /\ta HTTP/1.1", ParsedHead::Refused(400)),
            ("", ParsedHead::Refused(400)),
        ];
        for (head, expected) in table {
            assert_eq!(HttpRequest::parse(head.as_bytes()), expected, "{head:?}");
        }
    }

    proptest! {
        /// Whatever is sent, one line is forwarded.
        #[test]
        fn any_head_is_parsed(head in "[ -~\r\n\u{e9}]{0,80}") {
            if let ParsedHead::Request(request) = HttpRequest::parse(head.as_bytes()) {
                let line = format!("{} {}", request.method, request.target);
                prop_assert!(line.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
            }
        }
    }
}
