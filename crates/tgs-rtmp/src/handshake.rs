//! The RTMP handshake of both sides. The client's is ffmpeg's (`rtmp_handshake` in `rtmpproto.c`):
//! its block carries Adobe's digest, and it echoes the server's block unsigned.

use ring::hmac;

/// The version byte, and the only version there is without encryption.
pub(crate) const VERSION: u8 = 3;

/// Length in bytes of each side's random block.
pub(crate) const BLOCK: usize = 1536;

/// What the server sends: version, its random block, ours back.
pub(crate) const ANSWER: usize = 1 + BLOCK + BLOCK;

/// The version of the Flash player that ffmpeg says it is.
const PLAYER: [u8; 4] = [9, 0, 124, 2];

const KEY: &[u8] = b"Genuine Adobe Flash Player 001";
const DIGEST: usize = 32;

/// The client's first bytes.
pub(crate) fn hello() -> Vec<u8> {
    let mut bytes = vec![VERSION, 0, 0, 0, 0];
    bytes.extend(PLAYER);
    bytes.resize_with(1 + BLOCK, || fastrand::u8(..));
    sign(&mut bytes[1..]);
    bytes
}

/// What the client says to the server's answer: the server's block, unchanged.
pub(crate) fn reply(answer: &[u8; ANSWER]) -> &[u8] {
    &answer[1..=BLOCK]
}

/// What the client sends first: version and its random block.
pub(crate) const HELLO: usize = 1 + BLOCK;

/// The server's answer to the client's first bytes: version 0 without digest, which every client
/// accepts, and the client's block as the echo.
pub(crate) fn answer(hello: &[u8; HELLO]) -> Vec<u8> {
    let mut bytes = vec![VERSION, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.resize_with(1 + BLOCK, || fastrand::u8(..));
    bytes.extend(&hello[1..]);
    bytes
}

/// Puts the digest of the other bytes where the block's bytes 8 to 11 say.
fn sign(block: &mut [u8]) {
    let at = 12 + block[8..12].iter().map(|b| usize::from(*b)).sum::<usize>() % 728;
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, KEY));
    context.update(&block[..at]);
    context.update(&block[at + DIGEST..]);
    block[at..at + DIGEST].copy_from_slice(context.sign().as_ref());
}

#[cfg(test)]
mod tests {
    use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};

    use super::*;

    #[test]
    fn a_server_that_wants_the_digest_takes_it() {
        let mut server = Handshake::new(PeerType::Server);
        let HandshakeProcessResult::InProgress { response_bytes } = server.process_bytes(&hello()).unwrap()
        else {
            panic!("the server is done before the client");
        };
        // Only a server that found the digest signs its second block; the other kind echoes ours.
        let answer: [u8; ANSWER] = response_bytes.try_into().unwrap();
        let done = server.process_bytes(reply(&answer)).unwrap();
        assert!(matches!(done, HandshakeProcessResult::Completed { .. }));
    }
}
