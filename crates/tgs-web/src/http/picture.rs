//! The picture that is on air: the FLV of `monitor`, unchanged. A slow browser makes the broadcast
//! jump to the next keyframe; nothing is buffered here.

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

use super::{client::SignedIn, refusal::Refusal};
use crate::{
    channel::{AsyncControl, LinkError},
    desk::{Desk, SLOWEST_BROWSER},
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
) -> Result<Response, Refusal> {
    let permit = desk.limits.pictures.clone().try_acquire_owned().map_err(|_| Refusal::busy())?;
    let channel = desk.channels.get(&channel).ok_or_else(Refusal::no_channel)?;
    let mut control = AsyncControl::connect(&channel.socket, &user.stated_name()).await?;
    control.call(&Call::Monitor(NoParams {})).await?;
    let (first, mut stream) = control.into_stream();
    let (sender, pieces) = mpsc::channel::<io::Result<Bytes>>(WAITING);
    task::spawn(async move {
        let _permit = permit;
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

impl From<LinkError> for Refusal {
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
