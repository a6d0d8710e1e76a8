//! The thumbnails of the overview: one keyframe of a channel as JPEG, by ffmpeg, at most every ten
//! seconds and only while a browser asks.

use std::{
    collections::HashMap,
    io::{Cursor, Read, Seek, Write},
    path::Path as FilePath,
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use axum::{
    Extension,
    body::Bytes,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use tgs_control::{
    ControlClient,
    method::{Call, NoParams},
};
use tgs_core::{cancel::Cancel, process};
use tgs_rtmp::flv::{self, FlvReader, Kind};
use tokio::{sync::Mutex, task, time::timeout};

use super::{client::SignedIn, refusal::HttpRefusal};
use crate::{desk::Desk, limits::acquire};

/// How long a thumbnail is shown.
const FRESH: Duration = Duration::from_secs(10);
/// Time limit of the picture, and of ffmpeg.
const LIMIT: Duration = Duration::from_secs(5);
/// Largest JPEG.
const LARGEST: usize = 512 << 10;
/// Tags that are read until a keyframe.
const MOST_TAGS: usize = 2000;

/// The last thumbnail of each channel.
#[derive(Debug, Default)]
pub(super) struct Thumbnails(StdMutex<HashMap<String, Arc<Mutex<Thumbnail>>>>);

/// When it was made, and the picture. The lock is held while one is made: once for all browsers.
type Thumbnail = Option<(Instant, Option<Bytes>)>;

impl Thumbnails {
    /// The thumbnail of a channel. One entry a channel: the channels are bounded.
    fn of(&self, channel: &str) -> Arc<Mutex<Thumbnail>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(channel.to_owned()).or_default().clone()
    }
}

pub(super) async fn thumbnail(
    State(desk): State<Arc<Desk>>,
    Extension(thumbnails): Extension<Arc<Thumbnails>>,
    _: SignedIn,
    Path(name): Path<String>,
) -> Result<Response, HttpRefusal> {
    let channel = desk.channels.get(&name).ok_or_else(HttpRefusal::no_channel)?;
    let thumbnail = thumbnails.of(&name);
    let made = timeout(LIMIT * 2, thumbnail.lock_owned()).await;
    let mut made = made.map_err(|_| HttpRefusal::channel_busy())?;
    let fresh = made.as_ref().filter(|(at, _)| at.elapsed() < FRESH).map(|(_, picture)| picture.clone());
    let picture = if let Some(picture) = fresh {
        picture
    } else {
        let permit = acquire(&desk.limits.thumbnails).await.ok_or_else(HttpRefusal::busy)?;
        let socket = channel.socket.clone();
        let making = task::spawn_blocking(move || {
            let new =
                make(&socket).inspect_err(|error| log::debug!("no thumbnail of {name}: {error:#}")).ok();
            // With the thread, not with the request: a browser may have gone.
            *made = Some((Instant::now(), new.clone()));
            drop(permit);
            new
        });
        making.await.map_err(|_| HttpRefusal::internal())?
    };
    let picture = picture.ok_or_else(HttpRefusal::not_running)?;
    Ok(([(header::CONTENT_TYPE, "image/jpeg"), (header::CACHE_CONTROL, "no-store")], picture).into_response())
}

/// Makes a thumbnail of the broadcast at `socket`.
fn make(socket: &FilePath) -> Result<Bytes> {
    let mut file = tempfile::tempfile().context("make a temporary file")?;
    file.write_all(&keyframe(socket)?)?;
    file.rewind()?;
    let mut command = process::command("ffmpeg");
    command.stdin(file);
    command.args(
        "-hide_banner -loglevel error -threads 1 -protocol_whitelist pipe -f flv -i pipe:0 -frames:v 1 -vf scale=480:-2".split(' '),
    );
    command.args("-q:v 6 -f mjpeg pipe:1".split(' '));
    let output = process::output(command, LIMIT, LARGEST, &Cancel::new()).context("run ffmpeg")?;
    ensure!(
        output.status.success() && !output.stdout.is_empty(),
        "ffmpeg: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(output.stdout.into())
}

/// An FLV of the headers and one keyframe.
fn keyframe(socket: &FilePath) -> Result<Vec<u8>> {
    let mut control = ControlClient::connect(socket, "tgs-web")?;
    control.call(&Call::Monitor(NoParams {}))?;
    let (received, stream) = control.into_stream();
    stream.set_read_timeout(Some(LIMIT))?;
    let mut reader = FlvReader::new(Cursor::new(received).chain(stream));
    let mut out = flv::FILE_HEADER.to_vec();
    let deadline = Instant::now() + LIMIT;
    for _ in 0..MOST_TAGS {
        ensure!(Instant::now() < deadline, "no keyframe in time");
        let Some(tag) = reader.next_tag()? else { break };
        if tag.kind == Kind::Video && (tag.is_sequence_header() || tag.is_keyframe()) {
            flv::write_tag(&mut out, &tag)?;
            if tag.is_keyframe() && !tag.is_sequence_header() {
                return Ok(out);
            }
        }
    }
    bail!("no keyframe")
}
