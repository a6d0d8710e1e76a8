//! The picture that is on air, and that of a publisher: the FLV of `monitor` and `live.preview`,
//! unchanged. A slow browser makes the broadcast jump to the next keyframe; nothing is buffered
//! here.

use std::{io, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use tgs_control::method::{Call, NoParams};
use tokio::{
    io::AsyncReadExt,
    sync::mpsc,
    task,
    time::{self, timeout},
};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    client::{SignedIn, SignedInOperator},
    refusal::HttpRefusal,
};
use crate::{
    channel::{AsyncControl, LinkError},
    desk::Desk,
    limits::SLOWEST_BROWSER,
};

/// Bytes of one piece.
const PIECE: usize = 32 << 10;
/// Pieces that wait for a browser: little, so that the picture stays close to the broadcast.
const WAITING: usize = 2;
const VERIFY_EVERY: Duration = Duration::from_secs(5);

pub(super) async fn monitor(
    State(desk): State<Arc<Desk>>,
    user: SignedIn,
    Path(channel): Path<String>,
) -> Result<Response, HttpRefusal> {
    relay(desk, user, channel, Call::Monitor(NoParams {})).await
}

/// What the publisher of the live input sends; for operators, who put it on air.
pub(super) async fn preview(
    State(desk): State<Arc<Desk>>,
    SignedInOperator(user): SignedInOperator,
    Path(channel): Path<String>,
) -> Result<Response, HttpRefusal> {
    relay(desk, user, channel, Call::LivePreview(NoParams {})).await
}

async fn relay(
    desk: Arc<Desk>,
    user: SignedIn,
    channel: String,
    call: Call,
) -> Result<Response, HttpRefusal> {
    let share = desk.limits.pictures.take(user.name.clone()).ok_or_else(HttpRefusal::busy)?;
    let channel = desk.channels.get(&channel).ok_or_else(HttpRefusal::no_channel)?;
    let mut control = AsyncControl::connect(&channel.socket, &user.stated_name()).await?;
    control.call(&call).await?;
    let (first, mut stream) = control.into_stream();
    let (sender, pieces) = mpsc::channel::<io::Result<Bytes>>(WAITING);
    task::spawn(async move {
        let _share = share;
        let mut piece = first;
        let mut verify = time::interval(VERIFY_EVERY);
        loop {
            if !piece.is_empty() {
                let sent = timeout(SLOWEST_BROWSER, sender.send(Ok(Bytes::from(piece)))).await;
                if !sent.is_ok_and(|sent| sent.is_ok()) {
                    return;
                }
            }
            piece = Vec::with_capacity(PIECE);
            tokio::select! {
                () = sender.closed() => return,
                _ = verify.tick() => {
                    if SignedIn::find(&desk, &user.token).is_none() {
                        return;
                    }
                }
                read = stream.read_buf(&mut piece) => match read {
                    Ok(0) => return,
                    Ok(_) => {}
                    Err(error) => {
                        // The broadcast has ended; the page tries again.
                        let _ = sender.send(Err(error)).await;
                        return;
                    }
                },
            }
        }
    });
    let body = Body::from_stream(ReceiverStream::new(pieces));
    Ok(([(header::CONTENT_TYPE, "video/x-flv")], body).into_response())
}

impl From<LinkError> for HttpRefusal {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Refused(error) => error.into(),
            error => {
                log::debug!("no picture: {error}");
                Self::not_running()
            }
        }
    }
}
