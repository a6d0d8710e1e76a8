//! Signing in and out.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tokio::task;

use super::{
    client::{HttpClient, SignedIn},
    refusal::HttpRefusal,
};
use crate::{demo_link, desk::Desk, hash, limits::acquire, sessions, users::Role};

/// What the page must know of its user.
#[derive(Debug, Serialize)]
pub(super) struct Me {
    name: String,
    role: Role,
    /// Whether files of a library can be added.
    library: bool,
    version: &'static str,
}

/// The form.
#[derive(Debug, Deserialize)]
pub(super) struct SignInForm {
    name: String,
    password: String,
}

/// The demo's link.
#[derive(Debug, Deserialize)]
pub(super) struct DemoForm {
    token: String,
}

pub(super) async fn me(State(desk): State<Arc<Desk>>, user: SignedIn) -> Json<Me> {
    Json(about(&desk, user.name, user.role))
}

fn about(desk: &Desk, name: String, role: Role) -> Me {
    Me { name, role, library: desk.library.exists(), version: env!("CARGO_PKG_VERSION") }
}

/// Verifies a name and a password.
pub(super) async fn sign_in(
    State(desk): State<Arc<Desk>>,
    client: HttpClient,
    form: Result<Json<SignInForm>, JsonRejection>,
) -> Result<Response, HttpRefusal> {
    let Json(SignInForm { name, password }) =
        form.map_err(|error| HttpRefusal::new(StatusCode::BAD_REQUEST, "refused", error.body_text()))?;
    if !desk.tries.allow(client.address, &name, Instant::now()) {
        log::warn!("too many tries to sign in from {}", client.address);
        return Err(HttpRefusal::too_many_tries());
    }
    let user = desk.users.get(&name);
    let permit = acquire(&desk.limits.hashing).await.ok_or_else(HttpRefusal::busy)?;
    let known = user.as_ref().map(|user| user.hash.clone()).filter(|hash| !hash.is_empty());
    let verified = task::spawn_blocking(move || {
        // With the password's thread, not with the request: a browser may have gone.
        let _permit = permit;
        hash::verify(&password, known.as_deref())
    });
    if !verified.await.map_err(|_| HttpRefusal::internal())? {
        // An unknown name may be a password in the wrong field.
        let who = user.as_ref().map_or("an unknown user", |_| name.as_str());
        log::warn!("wrong password for {who} from {}", client.address);
        return Err(HttpRefusal::wrong_password());
    }
    let user = user.ok_or_else(HttpRefusal::wrong_password)?;
    desk.tries.signed_in(client.address, &name);
    log::info!("{name} signed in from {}", client.address);
    signed_in(&desk, &client, name, user.role, &user.hash)
}

/// Signs in by the demo's link.
pub(super) async fn demo(
    State(desk): State<Arc<Desk>>,
    client: HttpClient,
    Json(form): Json<DemoForm>,
) -> Result<Response, HttpRefusal> {
    if !desk.tries.allow_address(client.address, Instant::now()) {
        return Err(HttpRefusal::too_many_tries());
    }
    let link = desk.demo.as_ref().ok_or_else(HttpRefusal::not_found)?;
    if !client.address.is_loopback() || !link.accept(&form.token, Instant::now()) {
        let used = "the link is used or too old; start the demo again";
        return Err(HttpRefusal::new(StatusCode::UNAUTHORIZED, "link_used", used));
    }
    log::info!("signed in by the demo's link");
    signed_in(&desk, &client, demo_link::USER.to_owned(), Role::Operator, "")
}

fn signed_in(
    desk: &Desk,
    client: &HttpClient,
    name: String,
    role: Role,
    hash: &str,
) -> Result<Response, HttpRefusal> {
    let token = desk.sessions.begin(&name, hash, Instant::now()).map_err(|error| {
        log::error!("cannot sign in: {error}");
        HttpRefusal::internal()
    })?;
    let cookie = cookie(client, &token, sessions::LONGEST.as_secs())?;
    Ok(([(header::SET_COOKIE, cookie)], Json(about(desk, name, role))).into_response())
}

pub(super) async fn sign_out(
    State(desk): State<Arc<Desk>>,
    client: HttpClient,
    user: SignedIn,
) -> Result<Response, HttpRefusal> {
    desk.sessions.end(&user.token);
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie(&client, "", 0)?)]).into_response())
}

fn cookie(client: &HttpClient, token: &str, seconds: u64) -> Result<HeaderValue, HttpRefusal> {
    let secure = if client.secure { "; Secure" } else { "" };
    let text =
        format!("{}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}", client.cookie());
    HeaderValue::try_from(text).map_err(|_| HttpRefusal::internal())
}
