//! Sessions without a network for `fuzz/fuzz_targets/`. Exists in builds of `cargo fuzz` only.

use std::time::Instant;

use crate::{
    client::session::PublishSession,
    handshake,
    server::{KeyCheck, ServerConfig, ServerSession},
    url::RtmpUrl,
};

/// The server's answers to `connect` and `createStream`, and `NetStream.Publish.Start`.
const CONSENT: &[u8] = b"\x03\0\0\0\0\0\x13\x14\0\0\0\0\x02\0\x07_result\0\x3f\xf0\0\0\0\0\0\0\
    \x03\0\0\0\0\0\x1d\x14\0\0\0\0\x02\0\x07_result\0\x40\x10\0\0\0\0\0\0\x05\0\x3f\xf0\0\0\0\0\0\0\
    \x03\0\0\0\0\0\x39\x14\0\0\0\0\x02\0\x08onStatus\0\0\0\0\0\0\0\0\0\x05\x03\0\x04code\x02\0\x17NetStream.Publish.Start\0\0\x09";

/// Feeds `pieces` to a publisher's session, live or new, and sends media between the pieces.
///
/// # Panics
///
/// If the queued output exceeds the limit for unread answers.
pub fn server_answers(live: bool, pieces: &[&[u8]]) {
    let Ok(target) = RtmpUrl::parse("rtmp://host/app/key") else { return };
    let (mut session, now) = (PublishSession::new(target), Instant::now());
    if live {
        assert!(session.receive(CONSENT, now).is_ok(), "the consent is taken");
    }
    session.out.clear();
    for (piece, time) in pieces.iter().zip((0_u32..).step_by(0x00FF_0000)) {
        if session.allowance.bytes(piece.len(), now).is_err() || session.receive(piece, now).is_err() {
            break;
        }
        assert!(session.out.len() <= 10_000, "{} bytes wait", session.out.len());
        let before = session.out.len();
        session.media(9, time, &[7; 300]);
        session.out.truncate(before);
    }
    session.goodbye();
}

/// Feeds `pieces` to a server's session, after the handshake or before it.
///
/// # Panics
///
/// If the queued output exceeds the limit for unread answers.
pub fn client_requests(skip_handshake: bool, pieces: &[&[u8]]) {
    let now = Instant::now();
    let mut session = ServerSession::new(ServerConfig::new(KeyCheck::Any), now);
    if skip_handshake {
        let _ = session.receive(&handshake::hello(), now);
        let _ = session.receive(&[0; handshake::BLOCK], now);
        session.output().clear();
    }
    for piece in pieces {
        if session.receive(piece, now).is_err() {
            break;
        }
        while matches!(session.next_event(now), Ok(Some(_))) {}
        assert!(session.output().len() <= 20_000, "{} bytes wait", session.output().len());
    }
}
