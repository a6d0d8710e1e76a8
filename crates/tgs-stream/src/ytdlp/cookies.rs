//! Converts yt-dlp's cookies to ffmpeg's option `-cookies`.

use crate::url;

/// The most cookies passed on.
const MAX_COOKIES: usize = 50;

/// The cookies of yt-dlp's field `cookies` for the server of `address`, one line each.
///
/// ffmpeg compares `Domain` with the end of host and port, and ignores `Secure`. So the domain of a
/// cookie is the whole host with its port; a domain cookie is repeated with a leading dot.
pub(super) fn for_ffmpeg(field: &str, address: &str) -> Vec<String> {
    let host = url::host(address);
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (name, format!(":{port}")),
        _ => (host, String::new()),
    };
    let secure = url::scheme(address).as_deref() == Some("https");
    let mut lines = Vec::new();
    for cookie in parse(field).into_iter().take(MAX_COOKIES) {
        let domain = cookie.domain.unwrap_or(name).to_ascii_lowercase();
        let parent = domain.trim_start_matches('.');
        let own = name.to_ascii_lowercase();
        let below = own.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'));
        if parent.is_empty() || (own != parent && !below) || (cookie.secure && !secure) {
            continue;
        }
        let path = cookie.path.filter(|path| path.starts_with('/')).unwrap_or("/");
        let line =
            |domain: &str| format!("{}={}; Domain={domain}{port}; Path={path}", cookie.name, cookie.value);
        lines.push(line(&own));
        if domain.starts_with('.') {
            lines.push(line(&domain));
        }
    }
    lines
}

#[derive(Debug, Default)]
struct Cookie<'a> {
    name: &'a str,
    value: String,
    domain: Option<&'a str>,
    path: Option<&'a str>,
    secure: bool,
}

/// `a=1; Domain=h; Path=/; Secure; b=2; …`: attributes belong to the cookie before them.
fn parse(field: &str) -> Vec<Cookie<'_>> {
    let mut cookies: Vec<Cookie> = Vec::new();
    for part in field.split(';').map(str::trim) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let (name, value) = (name.trim(), value.trim());
        let last = cookies.last_mut();
        match (name.to_ascii_lowercase().as_str(), last) {
            ("domain", Some(cookie)) => cookie.domain = Some(value).filter(|value| !value.is_empty()),
            ("path", Some(cookie)) => cookie.path = Some(value),
            ("secure", Some(cookie)) => cookie.secure = true,
            ("expires" | "version" | "max-age" | "httponly" | "samesite" | "comment" | "", _)
            | ("domain" | "path" | "secure", None) => {}
            _ => cookies.push(Cookie { name, value: unquoted(value), ..Cookie::default() }),
        }
    }
    // ffmpeg or the server would misread other characters.
    let sound = |text: &str| !text.contains(|c: char| c == ';' || c.is_control());
    cookies.retain(|cookie| {
        sound(cookie.name)
            && sound(&cookie.value)
            && cookie.path.is_none_or(sound)
            && cookie.domain.is_none_or(sound)
    });
    cookies
}

/// Undoes Python's quoting of special characters as octal escapes.
fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let octal = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            out.push(byte);
            rest = &tail[3..];
        } else {
            out.extend(tail.first());
            rest = tail.get(1..).unwrap_or_default();
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cookies_go_to_their_own_host_only() {
        let cases: [(&str, &str, &[&str]); 8] = [
            ("tok=abc; Domain=h; Path=/", "http://h/v/film.mp4", &["tok=abc; Domain=h; Path=/"]),
            ("tok=abc; Domain=h; Path=/", "http://me@h:8005/v", &["tok=abc; Domain=h:8005; Path=/"]),
            (
                "a=1; Domain=.Site.org; Path=/v; Expires=1900000000; b=2; Domain=other.org; Path=/",
                "https://c.site.org/v",
                &["a=1; Domain=c.site.org; Path=/v", "a=1; Domain=.site.org; Path=/v"],
            ),
            ("a=1; Domain=site.org; Path=/", "https://evilsite.org/", &[]),
            ("a=1; Domain=.site.org; Path=/", "https://site.org.evil/", &[]),
            ("a=1; Domain=h; Path=/; Secure", "http://h/", &[]),
            ("a=1; Domain=h; Path=/; Secure; Version=0", "https://h/", &["a=1; Domain=h; Path=/"]),
            (r#"q="x y\"\054z"; n"#, "http://h/", &[r#"q=x y",z; Domain=h; Path=/"#, "n=; Domain=h; Path=/"]),
        ];
        for (field, address, lines) in cases {
            assert_eq!(for_ffmpeg(field, address), lines, "{field} at {address}");
        }
        let many = "a=1; ".repeat(1000);
        assert_eq!(for_ffmpeg(&many, "http://h/").len(), MAX_COOKIES);
        // A line break would start another cookie.
        assert_eq!(for_ffmpeg(r#"a="x\012b=2""#, "http://h/"), [""; 0]);
    }

    proptest! {
        #[test]
        fn any_field_is_parsed(field in "([a-z=;\"\\\\ 0-7]|\\PC){0,40}", address in "[a-z]{1,5}://\\PC{0,20}") {
            for line in for_ffmpeg(&field, &address) {
                prop_assert!(!line.contains('\n'));
            }
        }
    }
}
