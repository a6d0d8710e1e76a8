//! Commands of operators. Each goes over a connection of its own, under the user's name.

use std::{path::PathBuf, sync::Arc};

use axum::{
    Json,
    extract::{Path, State, rejection::JsonRejection},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::Value;
use tgs_control::{
    ControlClient,
    method::{Call, QueueAddParams},
    rpc::RpcRequest,
};
use tokio::task;

use super::{client::SignedInOperator, refusal::HttpRefusal};
use crate::{channel::WatchedChannel, desk::Desk, limits::acquire, public_url};

/// The methods that the desk sends. `monitor` and `subscribe` are its own; the others have routes
/// of their own.
const ALLOWED: [&str; 18] = [
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
    "live.take",
    "live.drop",
    "preview",
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
) -> Result<Json<Value>, HttpRefusal> {
    let bad = |message: String| HttpRefusal::new(StatusCode::BAD_REQUEST, "refused", message);
    let Json(CommandForm { method, params }) = form.map_err(|error| bad(error.body_text()))?;
    let channel = desk.channels.get(&channel).ok_or_else(HttpRefusal::no_channel)?;
    if !ALLOWED.contains(&&*method) {
        return Err(bad("the desk does not send this method".into()));
    }
    let params = if params.is_null() { Value::Object(serde_json::Map::new()) } else { params };
    let mut call = Call::parse(RpcRequest { id: None, method, params })?;
    if let Call::QueueAdd(add) = &mut call {
        let (source, below) = checked_source(&desk, add.source.trim().to_owned()).await?;
        (add.source, add.below) = (source, Some(below));
    }
    if let Call::Preview(preview) = &mut call {
        let (source, below) = checked_source(&desk, preview.source.trim().to_owned()).await?;
        (preview.source, preview.below) = (source, Some(below));
    }
    log::info!("{}: {} from {}", channel.name, call.to_parts().0, user.name);
    ask(&desk, &channel, user.stated_name(), call).await.map(Json)
}

/// A source that the desk may add: a file of the library or a public http(s) URL. Also returns the
/// directories to which tgs-stream restricts it when it opens it.
pub(super) async fn checked_source(
    desk: &Arc<Desk>,
    source: String,
) -> Result<(String, Vec<PathBuf>), HttpRefusal> {
    let refused = |message: String| HttpRefusal::new(StatusCode::UNPROCESSABLE_ENTITY, "source", message);
    let permit = acquire(&desk.limits.sources).await.ok_or_else(HttpRefusal::library)?;
    let (desk, is_url) = (desk.clone(), public_url::is_url(&source));
    let judged = task::spawn_blocking(move || {
        // With the thread, not with the request: a disk may not answer.
        let _permit = permit;
        if is_url {
            return public_url::checked(&source).map(|url| (url, Vec::new())).map_err(|why| why.to_string());
        }
        let file = desk.library.resolve(&source).map_err(|why| why.to_string())?;
        Ok((file, desk.library.dirs().to_vec()))
    });
    judged.await.map_err(|_| HttpRefusal::internal())?.map_err(refused)
}

/// Sends one request to a broadcast and returns its result.
pub(super) async fn ask(
    desk: &Desk,
    channel: &WatchedChannel,
    name: String,
    call: Call,
) -> Result<Value, HttpRefusal> {
    let act = move |control: &mut ControlClient| {
        let call = known_to(control.hello().protocol, call);
        Ok(control.call(&call)?)
    };
    connected(desk, channel, name, act).await
}

/// Connects to a broadcast and lets `act` send requests to it, on a thread that may block.
pub(super) async fn connected<T: Send + 'static>(
    desk: &Desk,
    channel: &WatchedChannel,
    name: String,
    act: impl FnOnce(&mut ControlClient) -> Result<T, HttpRefusal> + Send + 'static,
) -> Result<T, HttpRefusal> {
    let own = acquire(&channel.requests).await.ok_or_else(HttpRefusal::channel_busy)?;
    let all = acquire(&desk.limits.requests).await.ok_or_else(HttpRefusal::channel_busy)?;
    let socket = channel.socket.clone();
    let asked = task::spawn_blocking(move || {
        let _permits = (own, all);
        act(&mut ControlClient::connect(&socket, &name)?)
    });
    asked.await.map_err(|_| HttpRefusal::internal())?
}

/// The call without what an older broadcast would refuse.
fn known_to(protocol: u32, call: Call) -> Call {
    match call {
        Call::QueueAdd(add) if protocol < QueueAddParams::BELOW_SINCE => {
            log::warn!("restart the broadcast: its version judges a queued source only when it is added");
            Call::QueueAdd(QueueAddParams { below: None, ..add })
        }
        call => call,
    }
}
