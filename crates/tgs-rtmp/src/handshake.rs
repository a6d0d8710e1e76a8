//! The RTMP handshake of both sides. The client's follows ffmpeg (`rtmp_handshake` in
//! `rtmpproto.c`): C1 carries Adobe's digest, and C2 echoes S1 unsigned.

use ring::hmac;

/// The RTMP version byte; the only version without encryption.
pub(crate) const VERSION: u8 = 3;

/// Length in bytes of C1, S1, C2 and S2.
pub(crate) const BLOCK: usize = 1536;

/// Length in bytes of S0, S1 and S2.
pub(crate) const ANSWER: usize = 1 + BLOCK + BLOCK;

/// The Flash Player version that ffmpeg sends.
const PLAYER: [u8; 4] = [9, 0, 124, 2];

const KEY: &[u8] = b"Genuine Adobe Flash Player 001";
const DIGEST: usize = 32;

/// The client's C0 and C1.
pub(crate) fn hello() -> Vec<u8> {
    let mut bytes = vec![VERSION, 0, 0, 0, 0];
    bytes.extend(PLAYER);
    bytes.resize_with(1 + BLOCK, || fastrand::u8(..));
    sign(&mut bytes[1..]);
    bytes
}

/// The client's C2: S1 unchanged.
pub(crate) fn reply(answer: &[u8; ANSWER]) -> &[u8] {
    &answer[1..=BLOCK]
}

/// Length in bytes of C0 and C1.
pub(crate) const HELLO: usize = 1 + BLOCK;

/// The server's S0, S1 and S2: version 0 without digest, which every client accepts, and C1 echoed.
pub(crate) fn answer(hello: &[u8; HELLO]) -> Vec<u8> {
    let mut bytes = vec![VERSION, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.resize_with(1 + BLOCK, || fastrand::u8(..));
    bytes.extend(&hello[1..]);
    bytes
}

/// Writes the digest of the other bytes at the offset that bytes 8 to 11 of the block give.
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
        // Only a server that found the digest signs S2; other servers echo C1.
        let answer: [u8; ANSWER] = response_bytes.try_into().unwrap();
        let done = server.process_bytes(reply(&answer)).unwrap();
        assert!(matches!(done, HandshakeProcessResult::Completed { .. }));
    }
}
