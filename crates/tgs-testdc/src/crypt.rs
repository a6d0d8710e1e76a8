//! The server side of MTProto 2.0 encryption, with its hashes and random bytes. No framing.
//!
//! `grammers_crypto::{encrypt_data_v2, decrypt_data_v2}` implement the client's `x` values only.
//! <https://core.telegram.org/mtproto/description#defining-aes-key-and-initialization-vector>

use grammers_crypto::aes::{ige_decrypt, ige_encrypt};
use ring::{
    digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256},
    rand::{SecureRandom, SystemRandom},
};

/// A permanent authorization key: 2048 bits that client and DC share.
pub(crate) type AuthKey = [u8; 256];

/// The direction of a message; the value is the `x` of MTProto 2.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ToServer = 0,
    ToClient = 8,
}

/// SHA-1 of the concatenated parts.
pub(crate) fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 20];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// SHA-256 of the concatenated parts.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the operating system has random bytes");
    bytes
}

/// A random non-zero identifier: zero means "none" for salts, keys and hashes.
pub(crate) fn random_id() -> i64 {
    i64::from_le_bytes(random()) | 1
}

/// The lower 64 bits of the key's SHA-1, which identify the key in messages.
pub(crate) fn key_id(key: &AuthKey) -> i64 {
    let hash = sha1(&[key]);
    let mut id = [0; 8];
    id.copy_from_slice(&hash[12..]);
    i64::from_le_bytes(id)
}

/// AES key and IV of one message.
fn message_keys(key: &AuthKey, msg_key: &[u8; 16], way: Way) -> ([u8; 32], [u8; 32]) {
    let x = way as usize;
    let a = sha256(&[msg_key, &key[x..x + 36]]);
    let b = sha256(&[&key[40 + x..76 + x], msg_key]);
    let mut aes_key = [0; 32];
    aes_key[..8].copy_from_slice(&a[..8]);
    aes_key[8..24].copy_from_slice(&b[8..24]);
    aes_key[24..].copy_from_slice(&a[24..]);
    let mut aes_iv = [0; 32];
    aes_iv[..8].copy_from_slice(&b[..8]);
    aes_iv[8..24].copy_from_slice(&a[8..24]);
    aes_iv[24..].copy_from_slice(&b[24..]);
    (aes_key, aes_iv)
}

/// `msg_key`: the middle 128 bits of a hash over part of the key and the padded plaintext.
fn message_key(key: &AuthKey, plain: &[u8], way: Way) -> [u8; 16] {
    let x = way as usize;
    let large = sha256(&[&key[88 + x..120 + x], plain]);
    let mut msg_key = [0; 16];
    msg_key.copy_from_slice(&large[8..24]);
    msg_key
}

/// Decrypts a client's message (`msg_key` and the encrypted data). `None` if it was not encrypted
/// with this key.
pub(crate) fn decrypt(key: &AuthKey, message: &[u8]) -> Option<Vec<u8>> {
    open(key, message, Way::ToServer)
}

fn open(key: &AuthKey, message: &[u8], way: Way) -> Option<Vec<u8>> {
    let (msg_key, data) = message.split_first_chunk::<16>()?;
    if data.is_empty() || !data.len().is_multiple_of(16) {
        return None;
    }
    let (aes_key, aes_iv) = message_keys(key, msg_key, way);
    let mut plain = data.to_vec();
    ige_decrypt(&mut plain, &aes_key, &aes_iv);
    (message_key(key, &plain, way) == *msg_key).then_some(plain)
}

/// Encrypts a message to a client: key id, `msg_key`, data.
pub(crate) fn encrypt(key: &AuthKey, plain: Vec<u8>) -> Vec<u8> {
    seal(key, plain, Way::ToClient)
}

fn seal(key: &AuthKey, mut plain: Vec<u8>, way: Way) -> Vec<u8> {
    // MTProto 2.0 requires 12 to 1024 bytes of padding, to a multiple of 16.
    let padding = 16 + (16 - plain.len() % 16);
    plain.extend(&random::<32>()[..padding]);
    let msg_key = message_key(key, &plain, way);
    let (aes_key, aes_iv) = message_keys(key, &msg_key, way);
    ige_encrypt(&mut plain, &aes_key, &aes_iv);
    let mut message = key_id(key).to_le_bytes().to_vec();
    message.extend(msg_key);
    message.extend(plain);
    message
}

#[cfg(test)]
mod tests {
    use grammers_crypto::{AuthKey as ClientKey, DequeBuffer, decrypt_data_v2, encrypt_data_v2};

    use super::*;

    #[test]
    fn a_client_reads_what_we_write() {
        let key = random::<256>();
        for length in [16, 100, 1000] {
            let plain: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let mut sealed = encrypt(&key, plain.clone());
            let opened = decrypt_data_v2(&mut sealed, &ClientKey::from_bytes(key)).unwrap();
            assert_eq!(opened[..plain.len()], plain);
        }
    }

    #[test]
    fn we_read_what_a_client_writes() {
        let key = random::<256>();
        let mut buffer = DequeBuffer::with_capacity(256, 64);
        buffer.extend(*b"sixteen bytes and some more");
        encrypt_data_v2(&mut buffer, &ClientKey::from_bytes(key));
        let (id, message) = buffer.as_ref().split_first_chunk::<8>().unwrap();
        assert_eq!(i64::from_le_bytes(*id), key_id(&key));
        assert!(decrypt(&key, message).unwrap().starts_with(b"sixteen bytes and some more"));
        assert_eq!(decrypt(&random(), message), None);
    }

    #[test]
    fn damage_is_refused() {
        let key = random::<256>();
        for message in [&[][..], &[0; 16], &[0; 31], &[0; 48]] {
            assert_eq!(decrypt(&key, message), None);
        }
    }
}
