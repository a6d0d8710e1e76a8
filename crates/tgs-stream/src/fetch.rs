//! Fetches lists over HTTP, with limits on time, size and redirects; honours `Retry-After`.
//!
//! Sends one request per answer. [`crate::resolver`] interprets it.

use std::{
    collections::HashMap,
    io::{self, Read},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use tgs_core::cancel::Cancel;
use tgs_playout::{
    item::{FailureReason, ItemFailure},
    proxy::ProxyClient,
};
use ureq::{
    Agent, Proxy, ResponseExt,
    http::{HeaderMap, Response},
    tls::{Certificate, RootCerts, TlsConfig},
};

use crate::{source::MAX_LIST, url};

/// For one list, including redirects.
const TIME_OUT: Duration = Duration::from_secs(20);

/// Half of what browsers follow.
const MAX_REDIRECTS: u32 = 10;

/// A `Retry-After` up to this long is waited for, once.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The longest `Retry-After` that is honoured.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// Limits the table of blocked hosts and lists. With a full table, nothing more is blocked.
const MAX_BLOCKED: usize = 256;

/// The answer to a request.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// Text that may be a list.
    List {
        /// The URL after redirects.
        url: String,
        /// The whole body.
        bytes: Vec<u8>,
        /// How long the server lets it be used.
        max_age: Option<Duration>,
    },
    /// Media. At most its beginning was read.
    Media,
}

/// Requests `url` with `headers`. Blocks for up to 20 s, and 10 s more for a `Retry-After`.
pub(crate) fn get(
    url: &str,
    headers: &[(String, String)],
    client: &ProxyClient,
    cancel: &Cancel,
) -> Result<Fetched, ItemFailure> {
    if let Some(left) = blocked_for(url::host(url)) {
        return Err(retry_later(left));
    }
    let mut response = ask(url, headers, client)?;
    if let Some(wait) =
        retry_after(response.status().as_u16(), response.headers()).filter(|wait| *wait <= MAX_WAIT)
        && !cancel.wait(wait)
    {
        response = ask(url, headers, client)?;
    }
    if let Some(wait) = retry_after(response.status().as_u16(), response.headers()) {
        let wait = wait.min(MAX_RETRY_AFTER);
        block(url::host(url), wait);
        return Err(retry_later(wait));
    }
    // The proxy answers for the server where it refuses the address.
    if let Some(failure) = client.failure().filter(|_| !response.status().is_success()) {
        return Err(failure);
    }
    let failed = |reason, detail: &str| Err(ItemFailure::new(reason, detail));
    match response.status().as_u16() {
        200..=299 => read(response),
        404 | 410 => failed(FailureReason::Missing, "the server reports that it does not exist (HTTP 404)"),
        401 | 403 => failed(FailureReason::Forbidden, "the server refuses it (HTTP 401 or 403)"),
        status => failed(FailureReason::Network, &format!("the server fails with HTTP {status}")),
    }
}

/// Sends the request through the proxy, which checks the address of every redirect.
fn ask(
    url: &str,
    headers: &[(String, String)],
    client: &ProxyClient,
) -> Result<Response<ureq::Body>, ItemFailure> {
    let mut request = agent().get(url);
    if let Some(proxy) = client.proxy_url(url) {
        let proxy = Proxy::new(&proxy).map_err(|error| explain(&error))?;
        request = request.config().proxy(Some(proxy)).build();
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.call().map_err(|error| client.failure().unwrap_or_else(|| explain(&error)))
}

/// The shared agent. It keeps no connections, so that no server can hold them.
fn agent() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        let roots = rustls_native_certs::load_native_certs().certs;
        let roots: Vec<_> = roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(TIME_OUT))
            .max_redirects(MAX_REDIRECTS)
            .http_status_as_error(false)
            .max_idle_connections(0)
            .max_response_header_size(32 << 10)
            .user_agent(concat!("tgs-stream/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent()
    })
}

fn read(response: Response<ureq::Body>) -> Result<Fetched, ItemFailure> {
    let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.to_ascii_lowercase();
    let lists = ["mpegurl", "scpls", "x-pls", "xspf"];
    let is_media = kind.starts_with("audio/") || kind.starts_with("video/");
    if is_media && !lists.iter().any(|list| kind.contains(list)) {
        return Ok(Fetched::Media);
    }
    let url = response.get_uri().to_string();
    let max_age = max_age(response.headers());
    let mut body = response.into_body().into_reader().take(MAX_LIST + 1);
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 16 << 10];
    loop {
        match body.read(&mut chunk) {
            Ok(0) => return Ok(Fetched::List { url, bytes, max_age }),
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(explain(&ureq::Error::from(error))),
        }
        // Media declared as a list may have no end.
        if bytes.len() >= 4096 && crate::list::is_media(&bytes[..4096]) {
            return Ok(Fetched::Media);
        }
        if bytes.len() as u64 > MAX_LIST {
            let detail = format!("it exceeds {} MiB, the limit of a list", MAX_LIST >> 20);
            return Err(ItemFailure::new(FailureReason::Unplayable, detail));
        }
    }
}

fn explain(error: &ureq::Error) -> ItemFailure {
    let (reason, detail) = match error {
        ureq::Error::Timeout(_) => (
            FailureReason::Timeout,
            format!("the list's server did not answer within {} s", TIME_OUT.as_secs()),
        ),
        ureq::Error::HostNotFound => {
            (FailureReason::Network, "the server's name cannot be resolved".to_owned())
        }
        ureq::Error::ConnectionFailed => {
            (FailureReason::Network, "the server refuses the connection".to_owned())
        }
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            (FailureReason::Network, "the server refuses the connection".to_owned())
        }
        ureq::Error::TooManyRedirects => {
            (FailureReason::Unplayable, format!("the server redirects more than {MAX_REDIRECTS} times"))
        }
        ureq::Error::Io(error) => (FailureReason::Network, format!("the list cannot be fetched: {error}")),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::RedirectFailed => (
            FailureReason::Unplayable,
            "the list, or what its server redirects to, has no valid address".to_owned(),
        ),
        ureq::Error::Protocol(error) => {
            (FailureReason::Network, format!("the list's server sends invalid HTTP: {error}"))
        }
        other => (FailureReason::Network, format!("the list cannot be fetched: {other}")),
    };
    ItemFailure::new(reason, detail)
}

/// The delay of `Retry-After`. A date counts as one minute.
fn retry_after(status: u16, headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("retry-after").filter(|_| matches!(status, 429 | 503))?;
    let seconds = value.to_str().ok().and_then(|value| value.trim().parse().ok());
    Some(seconds.map_or(Duration::from_mins(1), Duration::from_secs))
}

/// The `max-age` of `Cache-Control`; 0 if the answer may not be stored.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("cache-control")?.to_str().ok()?.to_ascii_lowercase();
    let mut directives = value.split(',').map(str::trim);
    if directives.clone().any(|directive| matches!(directive, "no-store" | "no-cache")) {
        return Some(Duration::ZERO);
    }
    let seconds = directives.find_map(|directive| directive.strip_prefix("max-age="))?;
    seconds.trim_matches('"').parse().ok().map(Duration::from_secs)
}

fn retry_later(left: Duration) -> ItemFailure {
    let detail = format!("the list's server accepts no request for {} s", left.as_secs().max(1));
    ItemFailure::new(FailureReason::Network, detail)
}

/// Blocked hosts and lists, and until when.
fn blocked() -> &'static Mutex<HashMap<String, Instant>> {
    static BLOCKED: OnceLock<Mutex<HashMap<String, Instant>>> = OnceLock::new();
    BLOCKED.get_or_init(Mutex::default)
}

/// How long `key` (a host, or the URL of a list) is still blocked.
pub(crate) fn blocked_for(key: &str) -> Option<Duration> {
    let mut blocked = blocked().lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    blocked.retain(|_, until| *until > now);
    blocked.get(key).map(|until| *until - now)
}

/// Blocks `key` for `wait`.
pub(crate) fn block(key: &str, wait: Duration) {
    let mut blocked = blocked().lock().unwrap_or_else(PoisonError::into_inner);
    if blocked.len() < MAX_BLOCKED {
        blocked.insert(key.to_owned(), Instant::now() + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_a_list() {
        let age = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("cache-control", value.parse().unwrap());
            max_age(&headers).map(|age| age.as_secs())
        };
        assert_eq!(max_age(&HeaderMap::new()), None);
        for (value, expected) in [
            ("max-age=300", Some(300)),
            ("public, Max-Age=60, must-revalidate", Some(60)),
            ("no-cache", Some(0)),
            ("max-age=300, no-store", Some(0)),
            ("max-age=-1", None),
            ("max-age=99999999999999999999", None),
            ("private", None),
        ] {
            assert_eq!(age(value), expected, "{value}");
        }
    }
}
