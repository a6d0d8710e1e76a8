//! Who sends a request, and from where: the address, whether TLS protects it, the host that the
//! browser shows, and the user.

use std::{net::IpAddr, sync::Arc, time::Instant};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, header, request::Parts},
};

use super::refusal::HttpRefusal;
use crate::{desk::Desk, users::Role};

/// The other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// Its address.
    pub(crate) address: IpAddr,
    /// Whether the connection uses TLS.
    pub(crate) tls: bool,
}

impl Peer {
    /// Whether the connection crosses a network without TLS.
    pub(crate) fn is_readable_by_others(self) -> bool {
        !self.tls && !self.address.to_canonical().is_loopback()
    }
}

/// The browser, which may be behind a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HttpClient {
    /// Its address.
    pub(super) address: IpAddr,
    /// Whether it uses TLS.
    pub(super) secure: bool,
    /// The host and port that it shows.
    host: Option<String>,
}

impl HttpClient {
    /// The client of a request. A proxy is believed if it connects from loopback.
    pub(super) fn of(peer: Peer, behind_proxy: bool, headers: &HeaderMap) -> Self {
        let last = |name: &'static str| {
            let values = headers.get_all(HeaderName::from_static(name)).iter().next_back()?;
            // A proxy appends: what precedes was sent by the client.
            values.to_str().ok()?.rsplit(',').next().map(|value| value.trim().to_owned())
        };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
        let mut client = Self { address: peer.address.to_canonical(), secure: peer.tls, host };
        if behind_proxy && client.address.is_loopback() {
            if let Some(address) = last("x-forwarded-for").and_then(|address| address.parse::<IpAddr>().ok())
            {
                client.address = address.to_canonical();
            }
            if let Some(scheme) = last("x-forwarded-proto") {
                client.secure = scheme == "https";
            }
            client.host = last("x-forwarded-host").or(client.host);
        }
        client
    }

    /// Whether the request comes from a page of the desk itself.
    pub(super) fn is_same_origin(&self, headers: &HeaderMap) -> bool {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let site = text(HeaderName::from_static("sec-fetch-site"));
        let scheme = if self.secure { "https" } else { "http" };
        let own = self.host.as_ref().map(|host| format!("{scheme}://{host}"));
        let origin = text(header::ORIGIN);
        origin.is_some() && origin == own.as_deref() && site.is_none_or(|site| site == "same-origin")
    }

    /// The cookie's name. Under TLS a browser holds it to this host.
    pub(super) fn cookie(&self) -> &'static str {
        if self.secure { "__Host-tgs-desk" } else { "tgs-desk" }
    }
}

impl<S: Sync> FromRequestParts<S> for HttpClient {
    type Rejection = HttpRefusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, HttpRefusal> {
        parts.extensions.get::<Self>().cloned().ok_or_else(HttpRefusal::internal)
    }
}

/// The signed-in user of a request.
#[derive(Debug, Clone)]
pub(super) struct SignedIn {
    /// The user's name.
    pub(super) name: String,
    /// The role.
    pub(super) role: Role,
    /// The token of the cookie.
    pub(super) token: String,
}

impl SignedIn {
    /// The user of `token`.
    pub(super) fn find(desk: &Desk, token: &str) -> Option<Self> {
        let hash = |name: &str| desk.users.get(name).map(|user| user.hash);
        let name = desk.sessions.user(token, hash, Instant::now())?;
        let role = desk.users.get(&name)?.role;
        Some(Self { name, role, token: token.to_owned() })
    }

    /// The name under which the user's commands are recorded.
    pub(super) fn stated_name(&self) -> String {
        format!("{} (tgs-web)", self.name)
    }
}

impl FromRequestParts<Arc<Desk>> for SignedIn {
    type Rejection = HttpRefusal;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Self, HttpRefusal> {
        let client = parts.extensions.get::<HttpClient>().ok_or_else(HttpRefusal::internal)?;
        let name = client.cookie();
        let cookies = parts.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let token = pairs.find(|(known, _)| *known == name).map(|(_, token)| token);
        token.and_then(|token| Self::find(desk, token)).ok_or_else(HttpRefusal::not_signed_in)
    }
}

/// The signed-in user of a request, who may send commands.
#[derive(Debug, Clone)]
pub(super) struct SignedInOperator(pub(super) SignedIn);

impl FromRequestParts<Arc<Desk>> for SignedInOperator {
    type Rejection = HttpRefusal;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Self, HttpRefusal> {
        let user = SignedIn::from_request_parts(parts, desk).await?;
        if user.role == Role::Operator { Ok(Self(user)) } else { Err(HttpRefusal::viewer()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn peer(address: &str) -> Peer {
        Peer { address: address.parse().unwrap(), tls: false }
    }

    #[test]
    fn only_loopback_may_do_without_tls() {
        for (address, tls, readable) in [
            ("127.0.0.1", false, false),
            ("::ffff:127.0.0.1", false, false),
            ("::1", false, false),
            ("192.0.2.7", false, true),
            ("192.0.2.7", true, false),
        ] {
            let peer = Peer { tls, ..peer(address) };
            assert_eq!(peer.is_readable_by_others(), readable, "{address}");
        }
    }

    #[test]
    fn a_proxy_is_believed_from_loopback_alone() {
        let stated = headers(&[
            ("host", "127.0.0.1:8080"),
            ("x-forwarded-for", "198.51.100.9, 192.0.2.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "desk.example.org"),
        ]);
        let client = HttpClient::of(peer("127.0.0.1"), true, &stated);
        assert_eq!((client.address.to_string().as_str(), client.secure), ("192.0.2.1", true));
        assert_eq!(client.host.as_deref(), Some("desk.example.org"));
        for (address, behind) in [("127.0.0.1", false), ("192.0.2.7", true)] {
            let client = HttpClient::of(peer(address), behind, &stated);
            assert_eq!((client.address.to_string().as_str(), client.secure), (address, false));
            assert_eq!(client.host.as_deref(), Some("127.0.0.1:8080"));
        }
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        let client = HttpClient::of(peer("127.0.0.1"), false, &headers(&[("host", "127.0.0.1:8080")]));
        let same = |all: &[(&'static str, &str)]| client.is_same_origin(&headers(all));
        assert!(same(&[("origin", "http://127.0.0.1:8080")]));
        assert!(same(&[("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "same-origin")]));
        assert!(!same(&[("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "cross-site")]));
        let others = ["https://127.0.0.1:8080", "http://127.0.0.1", "http://evil.example", "null", ""];
        for origin in others {
            assert!(!same(&[("origin", origin)]), "{origin}");
        }
        assert!(!same(&[]) && !same(&[("referer", "http://127.0.0.1:8080/")]));
    }
}
