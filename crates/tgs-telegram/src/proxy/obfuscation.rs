//! The obfuscated stream of MTProxy: AES-256-CTR in both directions, with keys from 64 random bytes
//! and the proxy's secret.
//!
//! <https://core.telegram.org/mtproto/mtproto-transports#transport-obfuscation>; the secret as in
//! TDLib (`ObfuscatedTransport`).

use std::io;

use grammers_crypto::ObfuscatedCipher;
use ring::{
    digest::{Context, SHA256},
    rand::{SecureRandom, SystemRandom},
};

/// Bytes of the header.
const HEADER: usize = 64;

/// The tag of padded Intermediate.
const PADDED: [u8; 4] = [0xdd; 4];

/// First bytes that other protocols have: HEAD, POST, GET, OPTIONS, Intermediate, TLS.
const RESERVED: [[u8; 4]; 7] =
    [*b"HEAD", *b"POST", *b"GET ", *b"OPTI", [0xdd; 4], [0xee; 4], [0x16, 0x03, 0x01, 0x02]];

/// One direction of the stream.
pub(super) struct Keystream(ObfuscatedCipher);

impl Keystream {
    fn new(key: &[u8], iv: &[u8], secret: &[u8; 16]) -> Self {
        let mut hash = Context::new(&SHA256);
        hash.update(key);
        hash.update(secret);
        // grammers derives the key of its sending direction from these places.
        let mut init = [0; HEADER];
        init[8..40].copy_from_slice(hash.finish().as_ref());
        init[40..56].copy_from_slice(iv);
        Self(ObfuscatedCipher::new(&init))
    }

    /// Encrypts or decrypts the next bytes.
    pub(super) fn apply(&mut self, bytes: &mut [u8]) {
        self.0.encrypt(bytes);
    }
}

/// Both directions, and the header that precedes the first message.
pub(super) struct Obfuscation {
    pub(super) header: Vec<u8>,
    pub(super) outgoing: Keystream,
    pub(super) incoming: Keystream,
}

impl Obfuscation {
    /// A stream to the DC `dc` (10000 more for a test DC).
    pub(super) fn new(secret: &[u8; 16], dc: i16) -> io::Result<Self> {
        let mut init = random_header()?;
        init[56..60].copy_from_slice(&PADDED);
        init[60..62].copy_from_slice(&dc.to_le_bytes());
        let mut reversed = init;
        reversed.reverse();
        let mut outgoing = Keystream::new(&init[8..40], &init[40..56], secret);
        let incoming = Keystream::new(&reversed[8..40], &reversed[40..56], secret);
        let mut encrypted = init;
        outgoing.apply(&mut encrypted);
        let header = [&init[..56], &encrypted[56..]].concat();
        Ok(Self { header, outgoing, incoming })
    }
}

/// Random bytes that no proxy takes for another protocol.
fn random_header() -> io::Result<[u8; HEADER]> {
    let mut init = [0; HEADER];
    loop {
        fill(&mut init)?;
        let reserved = init[0] == 0xef || RESERVED.iter().any(|first| init.starts_with(first));
        if !reserved && init[4..8] != [0; 4] {
            return Ok(init);
        }
    }
}

/// Fills `bytes` with random numbers.
pub(super) fn fill(bytes: &mut [u8]) -> io::Result<()> {
    SystemRandom::new().fill(bytes).map_err(|_| io::Error::other("no random numbers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The proxy's side, from the header alone.
    #[test]
    fn the_proxy_finds_tag_and_dc_in_the_header() {
        for dc in [2, -4, 10002] {
            let mut client = Obfuscation::new(&[9; 16], dc).unwrap();
            let header: [u8; HEADER] = client.header.clone().try_into().unwrap();
            let mut reversed = header;
            reversed.reverse();
            let mut reader = Keystream::new(&header[8..40], &header[40..56], &[9; 16]);
            let mut writer = Keystream::new(&reversed[8..40], &reversed[40..56], &[9; 16]);
            let mut plain = header;
            reader.apply(&mut plain);
            assert_eq!((&plain[56..60], &plain[60..62]), (&PADDED[..], &dc.to_le_bytes()[..]));
            let (mut there, mut back) = (*b"there", *b"back");
            client.outgoing.apply(&mut there);
            reader.apply(&mut there);
            writer.apply(&mut back);
            client.incoming.apply(&mut back);
            assert_eq!((&there, &back), (b"there", b"back"));
        }
    }
}
