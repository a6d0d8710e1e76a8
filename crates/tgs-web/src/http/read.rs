//! What every user may read.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
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
use tokio::{task, time::timeout};

use super::{client::SignedIn, command::ask, refusal::Refusal};
use crate::{channel::WatchedChannel, desk::Desk};

fn find(desk: &Desk, name: &str) -> Result<Arc<WatchedChannel>, Refusal> {
    desk.channels.get(name).ok_or_else(Refusal::no_channel)
}

async fn read(desk: &Desk, user: &SignedIn, channel: &str, call: Call) -> Result<Json<Value>, Refusal> {
    ask(find(desk, channel)?.socket.clone(), user.stated_name(), call).await.map(Json)
}

pub(super) async fn channels(State(desk): State<Arc<Desk>>, _: SignedIn) -> Json<Vec<Value>> {
    Json(desk.channels.all().iter().map(|channel| channel.json()).collect())
}

pub(super) async fn queue(
    State(desk): State<Arc<Desk>>,
    user: SignedIn,
    Path(channel): Path<String>,
) -> Result<Json<Value>, Refusal> {
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
) -> Result<Json<Value>, Refusal> {
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

impl AsRunQuery {
    fn call(self, default: usize) -> Call {
        let limit = self.limit.unwrap_or(default).min(10_000);
        Call::AsRunList(AsRunParams { since: self.since, limit })
    }
}

pub(super) async fn as_run(
    State(desk): State<Arc<Desk>>,
    user: SignedIn,
    Path(channel): Path<String>,
    Query(query): Query<AsRunQuery>,
) -> Result<Json<Value>, Refusal> {
    read(&desk, &user, &channel, query.call(200)).await
}

pub(super) async fn as_run_csv(
    State(desk): State<Arc<Desk>>,
    user: SignedIn,
    Path(channel): Path<String>,
    Query(query): Query<AsRunQuery>,
) -> Result<Response, Refusal> {
    let Json(listing) = read(&desk, &user, &channel, query.call(10_000)).await?;
    let listing: AsRunListing = serde_json::from_value(listing).map_err(|_| Refusal::internal())?;
    let mut text = Vec::new();
    write_csv(&listing.entries, &mut text).map_err(|_| Refusal::internal())?;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"as-run.csv\""),
    ];
    Ok((headers, text).into_response())
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
) -> Result<Json<Value>, Refusal> {
    let lines = query.lines.unwrap_or(100).min(500);
    read(&desk, &user, &channel, Call::LogTail(LogTailParams { lines })).await
}

pub(super) async fn events(
    State(desk): State<Arc<Desk>>,
    _: SignedIn,
    Path(channel): Path<String>,
) -> Result<Json<Vec<Value>>, Refusal> {
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
) -> Result<Response, Refusal> {
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
) -> Result<Response, Refusal> {
    let permit = timeout(Duration::from_secs(5), desk.limits.searches.clone().acquire_owned()).await;
    let Ok(Ok(permit)) = permit else { return Err(Refusal::busy()) };
    let words: String = query.words.chars().take(200).collect();
    let searched = task::spawn_blocking(move || {
        let _permit = permit;
        desk.library.search(&words)
    });
    Ok(Json(searched.await.map_err(|_| Refusal::internal())?).into_response())
}
