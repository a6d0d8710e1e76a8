//! The HTTP headers that a list sets for its entries, limited in number, size and name.

use serde_json::Value;

use crate::url;

/// Limits on one entry's headers.
pub(super) const MAX_HEADERS: usize = 16;
const MAX_HEADER: usize = 4096;

/// Adds those of `more` that a list may set: none that changes a request's destination or framing.
pub(crate) fn add(headers: &mut Vec<(String, String)>, more: Vec<(String, String)>) {
    const OURS: [&str; 8] = [
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "range",
        "upgrade",
        "te",
        "proxy-authorization",
    ];
    let token = |name: &str| {
        name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) && !name.is_empty()
    };
    for (name, value) in more {
        let sound = token(&name)
            && !OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
            && !value.is_empty()
            && name.len() + value.len() <= MAX_HEADER
            && value.is_ascii()
            && !value.contains(|c: char| c.is_ascii_control());
        if sound {
            headers.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
            if headers.len() < MAX_HEADERS {
                headers.push((name, value));
            }
        }
    }
}

/// The string values of a JSON object.
pub(super) fn of_json(json: &[u8]) -> Vec<(String, String)> {
    let fields = serde_json::from_slice::<serde_json::Map<String, Value>>(json).unwrap_or_default();
    fields.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect()
}

/// The header that VLC's option `http-user-agent=…` sets.
pub(super) fn of_vlc_option(option: &str) -> Vec<(String, String)> {
    let (name, value) = option.split_once('=').unwrap_or_default();
    let name = match name.trim().trim_start_matches(':').to_ascii_lowercase().as_str() {
        "http-user-agent" => "User-Agent",
        "http-referrer" | "http-referer" => "Referer",
        "http-origin" => "Origin",
        "http-cookie" => "Cookie",
        _ => return Vec::new(),
    };
    vec![(name.to_owned(), value.trim().trim_matches('"').to_owned())]
}

/// The headers in Kodi's `inputstream.adaptive.stream_headers=A=b&C=d`.
pub(super) fn of_kodi_property(property: &str) -> Vec<(String, String)> {
    let (name, value) = property.split_once('=').unwrap_or_default();
    if name.to_ascii_lowercase().ends_with("_headers") { url::header_options(value) } else { Vec::new() }
}
