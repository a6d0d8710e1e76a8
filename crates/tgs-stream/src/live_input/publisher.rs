//! Serves one connection of LIVE_INPUT: checks its key, and passes its media on until it ends.

use std::{
    net::{IpAddr, TcpStream},
    os::unix::net::UnixStream,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tgs_core::{settings::LiveAddress, tls::ServerCertificate, tries::Tries};
use tgs_rtmp::{
    codec_name::TagCodec,
    flv::{Kind, Tag},
    server::{
        KeyCheck, PublishRefusal, ServerConfig, ServerConnection, ServerError, ServerEvent, ServerLimits,
    },
    stream_key::StreamKey,
};

use super::{
    connections::ServedPublisher,
    handed::HandedPublisher,
    keys::LiveKeys,
    place::PlaceRefused,
    refusals::{RefusalLog, RefusalReason},
    shared::SharedLive,
};
use crate::http::closed_within;

/// What serves publishers.
#[derive(Debug)]
pub(super) struct PublisherContext {
    pub(super) address: LiveAddress,
    pub(super) keys: LiveKeys,
    pub(super) certificate: Option<ServerCertificate>,
    pub(super) shared: Arc<SharedLive>,
    /// Wrong keys by address.
    pub(super) tries: Tries,
    pub(super) refusals: RefusalLog,
    /// A publisher without media for so long is disconnected.
    pub(super) idle: Duration,
}

impl PublisherContext {
    /// The URL of the input, without a key.
    pub(super) fn url(&self) -> String {
        let LiveAddress { secure, listen, app } = &self.address;
        format!("{}://{listen}/{app}", if *secure { "rtmps" } else { "rtmp" })
    }

    /// What a publisher may do.
    fn config(&self) -> ServerConfig {
        ServerConfig {
            app: Some(self.address.app.clone()),
            limits: ServerLimits { idle: self.idle, ..ServerLimits::default() },
            ..ServerConfig::new(KeyCheck::Caller)
        }
    }

    fn refuse(&self, address: IpAddr, reason: RefusalReason, why: &str) {
        self.refusals.note(address, reason, why, Instant::now());
    }
}

/// Serves a connection until it ends, or the other end of `stopped` closes.
pub(super) fn serve(
    socket: TcpStream,
    address: IpAddr,
    served: &ServedPublisher,
    context: &Arc<PublisherContext>,
    stopped: UnixStream,
) {
    let tls = context.certificate.as_ref().map(ServerCertificate::current);
    let hold = Arc::new(PlaceHold::default());
    let cancelled = hold.cancelled(context, stopped);
    let mut refused = None;
    let decide = |key: &StreamKey| match claim(key, address, context) {
        Ok(connection) => {
            let _ = hold.place.set(connection);
            Ok(())
        }
        Err((refusal, why)) => {
            refused = Some(why);
            Err(refusal)
        }
    };
    let accepted = ServerConnection::accept_by(socket, tls, context.config(), cancelled, decide);
    match (accepted, hold.place.get()) {
        (Ok(connection), Some(place)) => {
            served.set_publishing();
            copy(connection, *place, address, (context, served, &hold));
        }
        (Err(error), _) => {
            let why = refused.map_or_else(|| error.to_string(), str::to_owned);
            context.refuse(address, RefusalReason::of(&error), &why);
        }
        // Accepted without a place: not possible.
        (Ok(_), None) => {}
    }
}

/// Goes on with a publisher that the process before has served.
pub(super) fn resume(
    socket: TcpStream,
    handed: HandedPublisher,
    served: &ServedPublisher,
    context: &Arc<PublisherContext>,
    stopped: UnixStream,
) {
    let address = handed.address;
    if context.certificate.is_some() || !context.keys.has_name(&handed.key_name) {
        return log::warn!(
            "live input: the publisher “{}” of the process before is disconnected: it is not allowed any more",
            handed.key_name
        );
    }
    let Ok(place) = context.shared.claim(&handed.key_name, address) else {
        return log::warn!("live input: a publisher has come before the one of the process before");
    };
    for header in handed.headers() {
        context.shared.media(place, &header);
    }
    let hold = Arc::new(PlaceHold::default());
    let _ = hold.place.set(place);
    let cancelled = hold.cancelled(context, stopped);
    match ServerConnection::resume(socket, handed.session, context.config(), cancelled) {
        Ok(connection) => {
            served.set_publishing();
            copy(connection, place, address, (context, served, &hold));
        }
        Err(error) => {
            log::warn!("live input: {error}");
            context.shared.lost(place);
        }
    }
}

/// The place of a connection, once it has one.
#[derive(Debug, Default)]
struct PlaceHold {
    place: OnceLock<u64>,
    /// While the connection says goodbye, it has no place any more.
    leaves: AtomicBool,
}

impl PlaceHold {
    /// Whether the connection is to end: the input ends, or another one has its place.
    fn cancelled(
        self: &Arc<Self>,
        context: &Arc<PublisherContext>,
        stopped: UnixStream,
    ) -> impl Fn() -> bool + Send + 'static {
        let (hold, context) = (Arc::clone(self), Arc::clone(context));
        move || {
            let has_place =
                |place: &u64| hold.leaves.load(Ordering::Relaxed) || context.shared.is_held_by(*place);
            closed_within(&stopped, Duration::ZERO) || !hold.place.get().is_none_or(has_place)
        }
    }
}

/// Gives the place to a client with a right key.
fn claim(
    key: &StreamKey,
    address: IpAddr,
    context: &PublisherContext,
) -> Result<u64, (PublishRefusal, &'static str)> {
    // Counted before the comparison, so that parallel connections do not get more tries.
    let allowed = !context.tries.is_spent(address, Instant::now());
    let Some(name) = context.keys.name_of(key).filter(|_| allowed) else {
        context.tries.allow(address, Instant::now());
        return Err((PublishRefusal::Key, "the client gave a wrong stream key"));
    };
    context.shared.claim(&name, address).map_err(|why| {
        let why = match why {
            PlaceRefused::Busy => "another client publishes already",
            PlaceRefused::Dropped => "an operator has dropped this publisher; it may return after a minute",
        };
        (PublishRefusal::Busy, why)
    })
}

/// Passes the publisher's media on until it ends, or another process goes on with it.
fn copy(
    mut connection: ServerConnection,
    place: u64,
    address: IpAddr,
    (context, served, hold): (&PublisherContext, &ServedPublisher, &PlaceHold),
) {
    let shared = &context.shared;
    loop {
        if shared.give_away(place, &mut connection, served) {
            return;
        }
        match connection.next_event_soon() {
            Ok(Some(ServerEvent::Media(tag))) => {
                if let Some(problem) = unsupported(&tag) {
                    hold.leaves.store(true, Ordering::Relaxed);
                    context.refuse(address, RefusalReason::Codec, &problem);
                    shared.leave(place, &problem);
                    return connection.reject(&problem);
                }
                if !shared.media(place, &tag) {
                    return;
                }
            }
            Ok(Some(ServerEvent::Metadata(metadata))) => shared.metadata(place, metadata),
            Ok(Some(ServerEvent::Ended)) => {
                hold.leaves.store(true, Ordering::Relaxed);
                shared.leave(place, "it ended its stream");
                return connection.finish();
            }
            Ok(None | Some(ServerEvent::Publishing | ServerEvent::Requested(_))) => {}
            Err(ServerError::Cancelled) => return shared.lost(place),
            Err(error) => {
                if shared.is_held_by(place) {
                    log::warn!("live input: {error}");
                }
                return shared.lost(place);
            }
        }
    }
}

/// Why the tag's codec is not supported.
fn unsupported(tag: &Tag) -> Option<String> {
    let codec = TagCodec::of(tag)?;
    match (tag.kind, &codec) {
        (Kind::Video, TagCodec::H264) | (Kind::Audio, TagCodec::Aac | TagCodec::Mp3) => None,
        (Kind::Video, _) => {
            Some(format!("the picture's codec is {}, and only H.264 is supported", codec.name()))
        }
        _ => Some(format!("the sound's codec is {}, and only AAC and MP3 are supported", codec.name())),
    }
}
