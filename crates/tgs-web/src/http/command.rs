//! Commands of operators. Each goes over a connection of its own, under the user's name.

use std::{path::PathBuf, sync::Arc};

use axum::{
    Json,
    extract::{Path, State, rejection::JsonRejection},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::Value;
use tgs_control::{ControlClient, method::Call, rpc::RpcRequest};
use tokio::task;

use super::{client::SignedInOperator, refusal::Refusal};
use crate::{desk::Desk, public_url};

/// The methods that the desk sends. `monitor` and `subscribe` are its own; the others are read by
/// routes of their own.
const ALLOWED: [&str; 15] = [
    "next",
    "previous",
    "goto",
    "seek",
    "pause",
    "resume",
    "queue.add",
    "queue.move",
    "queue.remove",
    "queue.clear",
    "playlist.reload",
    "title.set",
    "stop",
    "start",
    "status",
];

/// A command.
#[derive(Debug, Deserialize)]
pub(super) struct CommandForm {
    method: String,
    #[serde(default)]
    params: Value,
}

pub(super) async fn call(
    State(desk): State<Arc<Desk>>,
    SignedInOperator(user): SignedInOperator,
    Path(channel): Path<String>,
    form: Result<Json<CommandForm>, JsonRejection>,
) -> Result<Json<Value>, Refusal> {
    let bad = |message: String| Refusal::new(StatusCode::BAD_REQUEST, "refused", message);
    let Json(CommandForm { method, params }) = form.map_err(|error| bad(error.body_text()))?;
    let channel = desk.channels.get(&channel).ok_or_else(Refusal::no_channel)?;
    if !ALLOWED.contains(&&*method) {
        return Err(bad("the desk does not send this method".into()));
    }
    let params = if params.is_null() { Value::Object(serde_json::Map::new()) } else { params };
    let mut call = Call::parse(RpcRequest { id: None, method, params })?;
    if let Call::QueueAdd(add) = &mut call {
        add.source = checked_source(&desk, add.source.trim().to_owned()).await?;
    }
    log::info!("{}: {} from {}", channel.name, call.to_parts().0, user.name);
    ask(channel.socket.clone(), user.stated_name(), call).await.map(Json)
}

/// A source that the desk may add: a file of the library or a public http(s) URL.
async fn checked_source(desk: &Arc<Desk>, source: String) -> Result<String, Refusal> {
    let refused = |message: String| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "source", message);
    if public_url::is_url(&source) {
        return public_url::checked(&source).await.map_err(|error| refused(error.to_string()));
    }
    let desk = desk.clone();
    let resolved = task::spawn_blocking(move || desk.library.resolve(&source)).await;
    resolved.map_err(|_| Refusal::internal())?.map_err(|error| refused(error.to_string()))
}

/// Sends one request to a broadcast and returns its result.
pub(super) async fn ask(socket: PathBuf, name: String, call: Call) -> Result<Value, Refusal> {
    let asked = task::spawn_blocking(move || ControlClient::connect(&socket, &name)?.call(&call));
    Ok(asked.await.map_err(|_| Refusal::internal())??)
}
