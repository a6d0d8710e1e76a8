//! What every user may read.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Path, Query, State},
    http::header,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::Value;
use tgs_control::{
    AsRunListing,
    method::{AsRunParams, Call, LogTailParams, NoParams, PlaylistListParams},
    write_csv,
};
use tokio::task;

use super::{client::SignedIn, command::ask, refusal::HttpRefusal};
use crate::{channel::WatchedChannel, desk::Desk, limits::acquire, shares::Share};

fn find(desk: &Desk, name: &str) -> Result<Arc<WatchedChannel>, HttpRefusal> {
    desk.channels.get(name).ok_or_else(HttpRefusal::no_channel)
}

async fn read(desk: &Desk, user: &SignedIn, channel: &str, call: Call) -> Result<Json<Value>, HttpRefusal> {
    let channel = find(desk, channel)?;
    ask(desk, &channel, user.stated_name(), call).await.map(Json)
}

pub(super) async fn channels(State(desk): State<Arc<Desk>>, _: SignedIn) -> Json<Vec<Value>> {
    Json(desk.channels.all().iter().map(|channel| channel.json()).collect())
}

pub(super) async fn queue(
    State(desk): State<Arc<Desk>>,
    user: SignedIn,
    Path(channel): Path<String>,
) -> Result<Json<Value>, HttpRefusal> {
    read(&desk, &user, &channel, Call::QueueList(NoParams {})).await
}

/// A page of the playlist.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PlaylistQuery {
    offset: usize,
    limit: Option<usize>,
}

pub(super) async fn playlist(
    State(desk): State<Arc<Desk>>,
    user: SignedIn,
    Path(channel): Path<String>,
    Query(query): Query<PlaylistQuery>,
) -> Result<Json<Value>, HttpRefusal> {
    let limit = query.limit.unwrap_or(100).min(1000);
    read(&desk, &user, &channel, Call::PlaylistList(PlaylistListParams { offset: query.offset, limit })).await
}

/// A part of the as-run log.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AsRunQuery {
    since: Option<String>,
    limit: Option<usize>,
}

/// Entries of the as-run log that any number of browsers may read.
const SMALL_LISTING: usize = 500;

/// Bytes of one piece of a listing.
const PIECE: usize = 32 << 10;

impl AsRunQuery {
    /// Reads the part. A large one takes its user's share.
    async fn read(
        self,
        desk: &Desk,
        user: &SignedIn,
        channel: &str,
        default: usize,
    ) -> Result<(Value, Option<Share<String>>), HttpRefusal> {
        let limit = self.limit.unwrap_or(default).min(10_000);
        let share = if limit > SMALL_LISTING {
            Some(desk.limits.listings.take(user.name.clone()).ok_or_else(HttpRefusal::busy)?)
        } else {
            None
        };
        let call = Call::AsRunList(AsRunParams { since: self.since, limit });
        Ok((read(desk, user, channel, call).await?.0, share))
    }
}

/// An answer that keeps the share until a browser has accepted all but its last pieces.
fn listing(bytes: Vec<u8>, kind: &'static str, share: Option<Share<String>>) -> Response {
    let bytes = Bytes::from(bytes);
    let head = [(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_LENGTH, bytes.len().to_string())];
    let pieces = (0..bytes.len()).step_by(PIECE).map(move |at| {
        let _held = &share;
        Ok::<_, Infallible>(bytes.slice(at..bytes.len().min(at + PIECE)))
    });
    (head, Body::from_stream(tokio_stream::iter(pieces))).into_response()
}

pub(super) async fn as_run(
    State(desk): State<Arc<Desk>>,
    user: SignedIn,
    Path(channel): Path<String>,
    Query(query): Query<AsRunQuery>,
) -> Result<Response, HttpRefusal> {
    let (found, share) = query.read(&desk, &user, &channel, 200).await?;
    let text = serde_json::to_vec(&found).map_err(|_| HttpRefusal::internal())?;
    Ok(listing(text, "application/json", share))
}

pub(super) async fn as_run_csv(
    State(desk): State<Arc<Desk>>,
    user: SignedIn,
    Path(channel): Path<String>,
    Query(query): Query<AsRunQuery>,
) -> Result<Response, HttpRefusal> {
    let (found, share) = query.read(&desk, &user, &channel, 10_000).await?;
    let found: AsRunListing = serde_json::from_value(found).map_err(|_| HttpRefusal::internal())?;
    let mut text = Vec::new();
    write_csv(&found.entries, &mut text).map_err(|_| HttpRefusal::internal())?;
    let name = [(header::CONTENT_DISPOSITION, "attachment; filename=\"as-run.csv\"")];
    Ok((name, listing(text, "text/csv; charset=utf-8", share)).into_response())
}

/// A part of the log.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LogQuery {
    lines: Option<usize>,
}

pub(super) async fn log(
    State(desk): State<Arc<Desk>>,
    user: SignedIn,
    Path(channel): Path<String>,
    Query(query): Query<LogQuery>,
) -> Result<Json<Value>, HttpRefusal> {
    let lines = query.lines.unwrap_or(100).min(500);
    read(&desk, &user, &channel, Call::LogTail(LogTailParams { lines })).await
}

pub(super) async fn events(
    State(desk): State<Arc<Desk>>,
    _: SignedIn,
    Path(channel): Path<String>,
) -> Result<Json<Vec<Value>>, HttpRefusal> {
    Ok(Json(find(&desk, &channel)?.events()))
}

/// A part of the history.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HistoryQuery {
    hours: Option<u64>,
}

pub(super) async fn history(
    State(desk): State<Arc<Desk>>,
    _: SignedIn,
    Path(channel): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Result<Response, HttpRefusal> {
    let hours = query.hours.unwrap_or(24).min(24);
    Ok(Json(find(&desk, &channel)?.history(hours * 3600)).into_response())
}

/// A search of the library.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LibraryQuery {
    words: String,
}

pub(super) async fn library(
    State(desk): State<Arc<Desk>>,
    _: SignedIn,
    Query(query): Query<LibraryQuery>,
) -> Result<Response, HttpRefusal> {
    let permit = acquire(&desk.limits.searches).await.ok_or_else(HttpRefusal::library)?;
    let words: String = query.words.chars().take(200).collect();
    let searched = task::spawn_blocking(move || {
        let _permit = permit;
        desk.library.search(&words)
    });
    Ok(Json(searched.await.map_err(|_| HttpRefusal::internal())?).into_response())
}
