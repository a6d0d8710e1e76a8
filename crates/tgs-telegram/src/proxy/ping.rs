//! A request that every DC answers without a key: proof that a connection leads to Telegram.
//!
//! <https://core.telegram.org/mtproto/auth_key>, step 1.

use std::{
    io,
    time::{SystemTime, UNIX_EPOCH},
};

use grammers_tl_types::{Deserializable, RemoteCall, Serializable, enums, functions};

use super::{framing::Frame, obfuscation::fill};

/// A `req_pq_multi` and its nonce.
pub(super) struct Ping {
    nonce: [u8; 16],
}

impl Ping {
    /// A new request.
    pub(super) fn new() -> io::Result<Self> {
        let mut nonce = [0; 16];
        fill(&mut nonce)?;
        Ok(Self { nonce })
    }

    /// The message without a key.
    pub(super) fn frame(&self) -> Frame {
        let request = functions::ReqPqMulti { nonce: self.nonce };
        let body = request.to_bytes();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut message = vec![0; 8];
        message.extend((now << 32).to_le_bytes());
        message.extend((body.len() as u32).to_le_bytes());
        message.extend(body);
        Frame::Message(message)
    }

    /// Whether `frame` is the answer.
    pub(super) fn is_answered_by(&self, frame: &Frame) -> bool {
        let Frame::Message(message) = frame else { return false };
        let Some((_, body)) = message.split_at_checked(20) else { return false };
        answer(&functions::ReqPqMulti { nonce: self.nonce }, body)
            .is_some_and(|enums::ResPq::Pq(answer)| answer.nonce == self.nonce)
    }
}

fn answer<R: RemoteCall>(_: &R, body: &[u8]) -> Option<R::Return> {
    R::Return::from_bytes(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_answer_counts() {
        let ping = Ping::new().unwrap();
        let Frame::Message(request) = ping.frame() else { panic!("a message") };
        assert_eq!((request.len(), &request[16..20]), (40, &[20, 0, 0, 0][..]));
        let answer = |nonce| {
            let answer = grammers_tl_types::types::ResPq {
                nonce,
                server_nonce: [1; 16],
                pq: vec![1; 8],
                server_public_key_fingerprints: vec![1],
            };
            Frame::Message([&[0; 20][..], &enums::ResPq::from(answer).to_bytes()].concat())
        };
        assert!(ping.is_answered_by(&answer(ping.nonce)));
        assert!(!ping.is_answered_by(&answer([0; 16])));
        assert!(
            !ping.is_answered_by(&Frame::Message(vec![0; 19])) && !ping.is_answered_by(&Frame::Status(-404))
        );
    }
}
