//! The disguise of secrets with `ee`: a handshake that looks like TLS 1.3 to a web server, signed
//! with the secret, and records around the stream. Nothing here is encrypted.
//!
//! As in TDLib (`TlsInit`, `TcpTransport`): `random` of the ClientHello is HMAC-SHA256 of the hello
//! by the secret, its last four bytes XORed with the Unix time; the answer is signed likewise. A
//! proxy with another secret, or with a clock minutes apart, answers as the web server does.

use std::{
    io,
    time::{SystemTime, UNIX_EPOCH},
};

use ring::{
    agreement::{EphemeralPrivateKey, X25519},
    hmac::{HMAC_SHA256, Key, sign, verify},
    rand::SystemRandom,
};

use super::{framing::InvalidFrame, obfuscation::fill};

/// Bytes of the ClientHello with its record header: some proxies accept no other length.
const HELLO: usize = 517;

/// Place of `random` in ClientHello and ServerHello, with the record header.
const RANDOM: std::ops::Range<usize> = 11..43;

/// The record that a client sends before its first data.
const CHANGE_CIPHER_SPEC: [u8; 6] = [0x14, 3, 3, 0, 1, 1];

/// Type and version of a record of data.
const DATA: [u8; 3] = [0x17, 3, 3];

/// Longest record that is sent, as the official apps do.
const LONGEST_SENT: usize = 2878;

/// Longest record that is accepted: TLS has 2^14 bytes, and 256 of encryption.
const LONGEST_RECEIVED: usize = (1 << 14) + 256;

/// Bytes of a record's header.
pub(super) const RECORD_HEADER: usize = 5;

/// A ClientHello, and what the check of the answer needs.
pub(super) struct ClientHello {
    pub(super) bytes: Vec<u8>,
    key: Key,
}

impl ClientHello {
    /// The hello to `domain`, of at most 182 bytes.
    pub(super) fn new(secret: &[u8; 16], domain: &str) -> io::Result<Self> {
        let key = Key::new(HMAC_SHA256, secret);
        let mut bytes = unsigned_hello(domain)?;
        let digest = sign(&key, &bytes);
        bytes[RANDOM].copy_from_slice(digest.as_ref());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as u32;
        for (byte, time) in bytes[RANDOM.end - 4..RANDOM.end].iter_mut().zip(now.to_le_bytes()) {
            *byte ^= time;
        }
        Ok(Self { bytes, key })
    }

    /// Whether `answer` (ServerHello, ChangeCipherSpec and one record of data) comes from a proxy
    /// that knows the secret.
    pub(super) fn is_answered_by(&self, answer: &[u8]) -> bool {
        let Some(random) = answer.get(RANDOM) else { return false };
        let mut signed = [&self.bytes[RANDOM], answer].concat();
        let zeroed = RANDOM.start + random.len()..RANDOM.end + random.len();
        signed[zeroed].fill(0);
        verify(&self.key, &signed, random).is_ok()
    }
}

/// The length of the answer's first part by its first [`RECORD_HEADER`] bytes: the ServerHello, the
/// ChangeCipherSpec, and the header of the record behind it.
pub(super) fn server_hello_length(header: [u8; RECORD_HEADER]) -> Result<usize, InvalidFrame> {
    let length = record_length(header, [0x16, 3, 3])?;
    Ok(RECORD_HEADER + length + CHANGE_CIPHER_SPEC.len() + RECORD_HEADER)
}

/// The length of the record whose header ends the first part of the answer.
pub(super) fn server_data_length(first_part: &[u8]) -> Result<usize, InvalidFrame> {
    let (rest, header) = first_part.split_last_chunk::<RECORD_HEADER>().ok_or(InvalidFrame)?;
    if !rest.ends_with(&CHANGE_CIPHER_SPEC) {
        return Err(InvalidFrame);
    }
    record_length(*header, DATA)
}

fn record_length(header: [u8; RECORD_HEADER], begin: [u8; 3]) -> Result<usize, InvalidFrame> {
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    if header[..3] == begin && length <= LONGEST_RECEIVED { Ok(length) } else { Err(InvalidFrame) }
}

/// Cuts a stream into records; `first` precedes them with a ChangeCipherSpec.
pub(super) fn records(stream: &[u8], first: bool) -> Vec<u8> {
    let mut bytes = if first { CHANGE_CIPHER_SPEC.to_vec() } else { Vec::new() };
    for part in stream.chunks(LONGEST_SENT) {
        bytes.extend(DATA);
        bytes.extend((part.len() as u16).to_be_bytes());
        bytes.extend(part);
    }
    bytes
}

/// Removes the first record of `buffer` once it is complete, and returns its data.
pub(super) fn take_record(buffer: &mut Vec<u8>) -> Result<Option<Vec<u8>>, InvalidFrame> {
    loop {
        if buffer.starts_with(&CHANGE_CIPHER_SPEC) {
            buffer.drain(..CHANGE_CIPHER_SPEC.len());
        }
        let Some(header) = buffer.first_chunk::<RECORD_HEADER>() else { return Ok(None) };
        if header[..] == CHANGE_CIPHER_SPEC[..RECORD_HEADER] {
            return Ok(None);
        }
        let end = RECORD_HEADER + record_length(*header, DATA)?;
        if buffer.len() < end {
            return Ok(None);
        }
        let data: Vec<u8> = buffer.drain(..end).skip(RECORD_HEADER).collect();
        if !data.is_empty() {
            return Ok(Some(data));
        }
    }
}

/// A hello as browsers send it, with `random` zeroed: a random order of extensions and reserved
/// values (GREASE, RFC 8701), a real X25519 key, and padding to [`HELLO`] bytes.
fn unsigned_hello(domain: &str) -> io::Result<Vec<u8>> {
    let mut grease = [0; 5];
    fill(&mut grease)?;
    let mut grease = grease.map(|byte| [(byte & 0xf0) | 0x0a; 2]);
    if grease[1] == grease[4] {
        grease[4] = [grease[1][0] ^ 0x10; 2];
    }
    let mut session = [0; 32];
    fill(&mut session)?;
    let mut hello = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    hello.extend([0; 32]);
    hello.push(32);
    hello.extend(session);
    hello.extend([0, 32]);
    hello.extend(grease[0]);
    for suite in [
        0x1301_u16, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x9c,
        0x9d, 0x2f, 0x35,
    ] {
        hello.extend(suite.to_be_bytes());
    }
    // No compression; then the length of the extensions, which fill the rest.
    hello.extend([1, 0]);
    hello.extend(((HELLO - hello.len() - 2) as u16).to_be_bytes());
    hello.extend(extension(u16::from_be_bytes(grease[1]), &[]));
    let mut extensions = extensions(domain, grease[2], grease[3])?;
    fastrand::shuffle(&mut extensions);
    hello.extend(extensions.concat());
    hello.extend(extension(u16::from_be_bytes(grease[4]), &[0]));
    let padding = HELLO.saturating_sub(hello.len() + 4);
    hello.extend(extension(21, &vec![0; padding]));
    Ok(hello)
}

fn extensions(domain: &str, group: [u8; 2], version: [u8; 2]) -> io::Result<Vec<Vec<u8>>> {
    let no_key = |_| io::Error::other("no random numbers");
    let key = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).map_err(no_key)?;
    let key = key.compute_public_key().map_err(no_key)?;
    let length = domain.len() as u16;
    let name = [&(length + 3).to_be_bytes()[..], &[0], &length.to_be_bytes(), domain.as_bytes()].concat();
    let groups = [&[0, 8][..], &group, &[0, 0x1d, 0, 0x17, 0, 0x18]].concat();
    let share = [&[0, 41][..], &group, &[0, 1, 0, 0, 0x1d, 0, 32], key.as_ref()].concat();
    let versions = [&[6][..], &version, &[3, 4, 3, 3]].concat();
    Ok(vec![
        extension(0, &name),
        extension(5, &[1, 0, 0, 0, 0]),
        extension(10, &groups),
        extension(11, &[1, 0]),
        extension(13, &[0, 16, 4, 3, 8, 4, 4, 1, 5, 3, 8, 5, 5, 1, 8, 6, 6, 1]),
        extension(16, b"\x00\x0c\x02h2\x08http/1.1"),
        extension(18, &[]),
        extension(23, &[]),
        extension(27, &[2, 0, 2]),
        extension(35, &[]),
        extension(43, &versions),
        extension(45, &[1, 1]),
        extension(51, &share),
        extension(0x4469, b"\x00\x03\x02h2"),
        extension(0xff01, &[0]),
    ])
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &(body.len() as u16).to_be_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hello_is_a_clienthello_of_517_bytes() {
        for domain in ["a", "www.google.com", &"d".repeat(182)] {
            let hello = ClientHello::new(&[7; 16], domain).unwrap().bytes;
            assert_eq!((hello.len(), &hello[..6]), (HELLO, &[0x16, 3, 1, 2, 0, 1][..]), "{domain}");
            // Each extension ends where the next begins.
            let mut rest = &hello[43 + 33 + 34 + 2 + 2..];
            let mut kinds = Vec::new();
            while let Some((head, after)) = rest.split_first_chunk::<4>() {
                let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
                kinds.push(u16::from_be_bytes([head[0], head[1]]));
                rest = &after[length..];
            }
            assert!(rest.is_empty() && kinds.contains(&0) && kinds.contains(&51), "{kinds:x?}");
            kinds.sort_unstable();
            kinds.dedup();
            assert_eq!(kinds.len(), 18, "{kinds:x?}");
        }
    }

    #[test]
    fn rustls_accepts_the_hello() {
        // It is a well-formed ClientHello to a TLS implementation of others.
        let hello = ClientHello::new(&[7; 16], "www.example.org").unwrap().bytes;
        let mut acceptor = rustls::server::Acceptor::default();
        acceptor.read_tls(&mut hello.as_slice()).unwrap();
        let accepted = acceptor.accept().map_err(|(error, _)| error).unwrap().expect("a whole hello");
        assert_eq!(accepted.client_hello().server_name(), Some("www.example.org"));
    }

    #[test]
    fn only_an_answer_signed_with_the_secret_counts() {
        let hello = ClientHello::new(&[7; 16], "a.example").unwrap();
        let mut answer =
            [&[0x16, 3, 3, 0, 90][..], &[2; 90], &CHANGE_CIPHER_SPEC, &DATA, &[0, 4], &[1; 4]].concat();
        let first = 5 + 90 + 6 + 5;
        assert_eq!(server_hello_length(*answer.first_chunk().unwrap()), Ok(first));
        assert_eq!(server_data_length(&answer[..first]), Ok(4));
        for (secret, good) in [([7; 16], true), ([8; 16], false)] {
            answer[RANDOM].fill(0);
            let signed = sign(&Key::new(HMAC_SHA256, &secret), &[&hello.bytes[RANDOM], &answer[..]].concat());
            answer[RANDOM].copy_from_slice(signed.as_ref());
            assert_eq!(hello.is_answered_by(&answer), good);
        }
        assert!(!hello.is_answered_by(&[]) && server_data_length(&[]).is_err());
        assert!(server_hello_length([0x15, 3, 3, 0, 2]).is_err());
    }

    #[test]
    fn records_pass_byte_by_byte() {
        let stream: Vec<u8> = (0..9000_u32).map(|n| n as u8).collect();
        let (mut buffer, mut got) = (Vec::new(), Vec::new());
        for byte in records(&stream, true) {
            buffer.push(byte);
            got.extend(take_record(&mut buffer).unwrap().unwrap_or_default());
        }
        assert_eq!(got, stream);
        assert!(take_record(&mut vec![0x15, 3, 3, 0, 2, 1, 0]).is_err());
        assert!(take_record(&mut vec![0x17, 3, 3, 0xff, 0xff]).is_err());
        assert_eq!(take_record(&mut [&DATA[..], &[0, 0], &DATA, &[0, 1, 9]].concat()), Ok(Some(vec![9])));
    }
}
