//! Server-sent events: the status of all channels and what happens on them. A browser that is too
//! slow gets the whole state again, or is dropped; the channels never wait for one.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use tokio::{
    sync::{
        broadcast::{Receiver, error::RecvError},
        mpsc,
    },
    task,
    time::{self, timeout},
};
use tokio_stream::wrappers::ReceiverStream;

use super::{client::SignedIn, refusal::HttpRefusal};
use crate::{channel::BrowserUpdate, desk::Desk, limits::SLOWEST_BROWSER, shares::Share};

/// How often the session of an open stream is verified.
const VERIFY_EVERY: Duration = Duration::from_secs(5);
/// Events that wait for a browser.
const WAITING: usize = 32;

type Sender = mpsc::Sender<Result<Event, Infallible>>;

pub(super) async fn live(State(desk): State<Arc<Desk>>, user: SignedIn) -> Result<Response, HttpRefusal> {
    let share = desk.limits.followers.take(user.name.clone()).ok_or_else(HttpRefusal::busy)?;
    let (sender, receiver) = mpsc::channel(WAITING);
    let updates = desk.channels.subscribe();
    task::spawn(follow(desk, user, updates, sender, share));
    Ok(Sse::new(ReceiverStream::new(receiver)).into_response())
}

async fn follow(
    desk: Arc<Desk>,
    user: SignedIn,
    mut updates: Receiver<BrowserUpdate>,
    sender: Sender,
    _share: Share<String>,
) {
    if !all(&desk, &sender).await {
        return;
    }
    let mut verify = time::interval(VERIFY_EVERY);
    loop {
        tokio::select! {
            () = sender.closed() => return,
            _ = verify.tick() => {
                if SignedIn::find(&desk, &user.token).is_none() {
                    send(&sender, "signed_out", "{}").await;
                    return;
                }
                // A proxy cuts a connection that is silent for long.
                if !deliver(&sender, Event::default().comment("")).await {
                    return;
                }
            }
            update = updates.recv() => {
                let delivered = match update {
                    Ok(update) => send(&sender, update.kind, &update.json).await,
                    Err(RecvError::Lagged(_)) => all(&desk, &sender).await,
                    Err(RecvError::Closed) => false,
                };
                if !delivered {
                    return;
                }
            }
        }
    }
}

/// Sends the state of all channels.
async fn all(desk: &Desk, sender: &Sender) -> bool {
    for channel in desk.channels.all() {
        if !send(sender, "status", &channel.json().to_string()).await {
            return false;
        }
    }
    true
}

async fn send(sender: &Sender, kind: &str, json: &str) -> bool {
    deliver(sender, Event::default().event(kind).data(json)).await
}

async fn deliver(sender: &Sender, event: Event) -> bool {
    timeout(SLOWEST_BROWSER, sender.send(Ok(event))).await.is_ok_and(|sent| sent.is_ok())
}
