//! The pages and requests of the desk.

mod client;
mod command;
mod follow;
mod picture;
mod read;
mod refusal;
mod sign_in;
mod thumbnail;
mod timetable;

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tokio::time::timeout;

pub(crate) use self::client::Peer;
use self::{client::HttpClient, refusal::HttpRefusal, thumbnail::Thumbnails};
use crate::{
    assets::{self, Asset},
    desk::Desk,
};

/// Longest body of a request.
const LONGEST_BODY: usize = 16 << 10;
/// Time limit of an answer's beginning.
const LIMIT: Duration = Duration::from_secs(30);

/// Scripts, styles and media come from the desk itself; nothing may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
                      media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";

/// All routes.
pub(crate) fn router(desk: Arc<Desk>) -> Router {
    let channel = Router::new()
        .route("/call", post(command::call))
        .route("/queue", get(read::queue))
        .route("/playlist", get(read::playlist))
        .route("/as-run", get(read::as_run))
        .route("/as-run.csv", get(read::as_run_csv))
        .route("/log", get(read::log))
        .route("/events", get(read::events))
        .route("/history", get(read::history))
        .route("/timetable", get(timetable::show).post(timetable::edit))
        .route("/monitor.flv", get(picture::monitor))
        .route("/preview.flv", get(picture::preview))
        .route("/thumbnail.jpg", get(thumbnail::thumbnail));
    let mut router = Router::new()
        .route("/api/me", get(sign_in::me))
        .route("/api/sign-in", post(sign_in::sign_in))
        .route("/api/sign-out", post(sign_in::sign_out))
        .route("/api/channels", get(read::channels))
        .route("/api/live", get(follow::live))
        .route("/api/library", get(read::library))
        .nest("/api/channels/{channel}", channel)
        .fallback(page);
    if desk.demo.is_some() {
        router = router.route("/api/demo-sign-in", post(sign_in::demo));
    }
    router
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(Extension(Arc::new(Thumbnails::default())))
        .layer(middleware::from_fn_with_state(desk.clone(), guard))
        .with_state(desk)
}

/// Refuses requests that another site caused, bounds their time, and adds the headers of security.
async fn guard(State(desk): State<Arc<Desk>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let client = peer.map(|peer| HttpClient::of(peer, desk.behind_proxy, request.headers()));
    let mut response = match client {
        None => HttpRefusal::internal().into_response(),
        // Only a proxy on this machine is believed, so nobody has encrypted this connection.
        Some(_) if peer.is_some_and(Peer::is_readable_by_others) => HttpRefusal::plain().into_response(),
        Some(client) if changes(request.method()) && !client.is_same_origin(request.headers()) => {
            HttpRefusal::cross_origin().into_response()
        }
        Some(client) => {
            request.extensions_mut().insert(client);
            match timeout(LIMIT, next.run(request)).await {
                Ok(response) => response,
                Err(_) => HttpRefusal::late().into_response(),
            }
        }
    };
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &'static str); 6] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

/// The files of the page, by their exact paths: nothing is decoded.
async fn page(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path =
        if uri.path() == "/" { "index.html" } else { uri.path().strip_prefix('/').unwrap_or_default() };
    if changes(&method) {
        HttpRefusal::not_found().into_response()
    } else {
        file(assets::find(path), &headers)
    }
}

/// A file of the page. A browser asks each time whether it changed: there is no stale page after an
/// update.
fn file(asset: Option<&'static Asset>, headers: &HeaderMap) -> Response {
    let Some(asset) = asset else { return HttpRefusal::not_found().into_response() };
    let has = |name: HeaderName, part: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains(part))
    };
    let common = [
        (header::ETAG, asset.tag.as_str()),
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept-encoding"),
    ];
    if has(header::IF_NONE_MATCH, &asset.tag) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    let kind = [(header::CONTENT_TYPE, asset.kind)];
    if has(header::ACCEPT_ENCODING, "gzip") {
        return (common, kind, [(header::CONTENT_ENCODING, "gzip")], asset.gzip.as_slice()).into_response();
    }
    (common, kind, asset.bytes).into_response()
}
