//! The server side of creating an authorization key, without I/O: a request in, an answer out.
//! Supports permanent keys only.
//!
//! <https://core.telegram.org/mtproto/auth_key>

use grammers_crypto::{
    AuthKey as ClientKey,
    aes::{ige_decrypt, ige_encrypt},
    generate_key_data_from_nonce,
};
use grammers_tl_types::{Cursor, Deserializable, Identifiable, Serializable, enums, functions, types};
use num_bigint::BigUint;

use crate::{
    crypt::{AuthKey, random, sha1},
    numbers::{self, BUILT_IN_FINGERPRINTS, GENERATOR, P, Q, RSA_FINGERPRINT},
};

/// The progress of one connection's exchange.
#[derive(Debug, Default)]
pub(crate) enum Exchange {
    /// No request yet, or the last exchange has ended.
    #[default]
    Idle,
    /// The server has sent `resPQ`.
    Offered { nonce: [u8; 16], server_nonce: [u8; 16] },
    /// The server has sent `server_DH_params_ok`.
    Agreeing { nonce: [u8; 16], server_nonce: [u8; 16], new_nonce: [u8; 32], secret: BigUint },
}

/// The result of a request.
#[derive(Debug)]
pub(crate) enum Step {
    Answer(Vec<u8>),
    /// The last answer, the key, and the key's first salt.
    Done {
        answer: Vec<u8>,
        key: Box<AuthKey>,
        salt: i64,
    },
}

impl Exchange {
    /// Handles a request without a key. `None` where the real server sends −404: the request is out
    /// of order or invalid.
    pub(crate) fn step(&mut self, request: &[u8], now: i32) -> Option<Step> {
        match (u32::from_bytes(request).ok()?, std::mem::take(self)) {
            (functions::ReqPqMulti::CONSTRUCTOR_ID | functions::ReqPq::CONSTRUCTOR_ID, _) => {
                // Both methods carry only a nonce.
                let nonce = <[u8; 16]>::from_bytes(&request[4..]).ok()?;
                Some(self.offer(nonce))
            }
            (functions::ReqDhParams::CONSTRUCTOR_ID, Self::Offered { nonce, server_nonce }) => {
                let request = functions::ReqDhParams::from_bytes(&request[4..]).ok()?;
                let inner = open_inner(&request, nonce, server_nonce)?;
                Some(self.agree(nonce, server_nonce, inner.new_nonce, now))
            }
            (
                functions::SetClientDhParams::CONSTRUCTOR_ID,
                Self::Agreeing { nonce, server_nonce, new_nonce, secret },
            ) => {
                let request = functions::SetClientDhParams::from_bytes(&request[4..]).ok()?;
                let g_b = open_client_half(request, nonce, server_nonce, &new_nonce)?;
                Some(finish(nonce, server_nonce, &new_nonce, &secret, &g_b))
            }
            _ => None,
        }
    }

    fn offer(&mut self, nonce: [u8; 16]) -> Step {
        let server_nonce = random();
        *self = Self::Offered { nonce, server_nonce };
        let pq = u64::from(P) * u64::from(Q);
        // The test key comes first, for clients configured with it; a client whose modulus was
        // replaced finds its own fingerprint.
        let mut fingerprints = vec![RSA_FINGERPRINT];
        fingerprints.extend(BUILT_IN_FINGERPRINTS);
        let answer = types::ResPq {
            nonce,
            server_nonce,
            pq: pq.to_be_bytes().to_vec(),
            server_public_key_fingerprints: fingerprints,
        };
        Step::Answer(enums::ResPq::from(answer).to_bytes())
    }

    fn agree(&mut self, nonce: [u8; 16], server_nonce: [u8; 16], new_nonce: [u8; 32], now: i32) -> Step {
        let secret = BigUint::from_bytes_be(&random::<256>());
        let prime = numbers::prime();
        let g_a = BigUint::from(GENERATOR).modpow(&secret, &prime);
        *self = Self::Agreeing { nonce, server_nonce, new_nonce, secret };
        let inner = enums::ServerDhInnerData::from(types::ServerDhInnerData {
            nonce,
            server_nonce,
            g: GENERATOR.cast_signed(),
            dh_prime: numbers::to_256(&prime).to_vec(),
            g_a: numbers::to_256(&g_a).to_vec(),
            server_time: now,
        })
        .to_bytes();
        let mut sealed = sha1(&[&inner]).to_vec();
        sealed.extend(inner);
        let padding = (16 - sealed.len() % 16) % 16;
        sealed.extend(&random::<16>()[..padding]);
        let (key, iv) = generate_key_data_from_nonce(&server_nonce, &new_nonce);
        ige_encrypt(&mut sealed, &key, &iv);
        let answer = types::ServerDhParamsOk { nonce, server_nonce, encrypted_answer: sealed };
        Step::Answer(enums::ServerDhParams::from(answer).to_bytes())
    }
}

/// The required fields of `p_q_inner_data`, in any of its permanent forms.
struct Inner {
    new_nonce: [u8; 32],
}

fn open_inner(request: &functions::ReqDhParams, nonce: [u8; 16], server_nonce: [u8; 16]) -> Option<Inner> {
    let proven = BigUint::from_bytes_be(&request.p) == BigUint::from(P)
        && BigUint::from_bytes_be(&request.q) == BigUint::from(Q);
    let known = request.public_key_fingerprint == RSA_FINGERPRINT
        || BUILT_IN_FINGERPRINTS.contains(&request.public_key_fingerprint);
    if !proven || !known || request.nonce != nonce || request.server_nonce != server_nonce {
        return None;
    }
    let data = numbers::rsa_open(&request.encrypted_data)?;
    let (inner_nonce, inner_server_nonce, new_nonce) = match enums::PQInnerData::from_bytes(&data).ok()? {
        enums::PQInnerData::Data(inner) => (inner.nonce, inner.server_nonce, inner.new_nonce),
        enums::PQInnerData::Dc(inner) => (inner.nonce, inner.server_nonce, inner.new_nonce),
        _ => return None,
    };
    (inner_nonce == nonce && inner_server_nonce == server_nonce).then_some(Inner { new_nonce })
}

/// Decrypts the client's `g_b` and checks it as the client checks the server's `g_a`.
fn open_client_half(
    request: functions::SetClientDhParams,
    nonce: [u8; 16],
    server_nonce: [u8; 16],
    new_nonce: &[u8; 32],
) -> Option<BigUint> {
    let mut sealed = request.encrypted_data;
    if request.nonce != nonce || request.server_nonce != server_nonce || !sealed.len().is_multiple_of(16) {
        return None;
    }
    let (key, iv) = generate_key_data_from_nonce(&server_nonce, new_nonce);
    ige_decrypt(&mut sealed, &key, &iv);
    let (hash, data) = sealed.split_first_chunk::<20>()?;
    let mut cursor = Cursor::from_slice(data);
    let enums::ClientDhInnerData::Data(inner) = enums::ClientDhInnerData::deserialize(&mut cursor).ok()?;
    if sha1(&[&data[..cursor.pos()]]) != *hash || inner.nonce != nonce || inner.server_nonce != server_nonce {
        return None;
    }
    let g_b = BigUint::from_bytes_be(&inner.g_b);
    let margin = BigUint::from(1_u32) << (2048 - 64);
    (g_b > margin && g_b < numbers::prime() - &margin).then_some(g_b)
}

fn finish(
    nonce: [u8; 16],
    server_nonce: [u8; 16],
    new_nonce: &[u8; 32],
    secret: &BigUint,
    g_b: &BigUint,
) -> Step {
    let key = numbers::to_256(&g_b.modpow(secret, &numbers::prime()));
    let new_nonce_hash1 = ClientKey::from_bytes(key).calc_new_nonce_hash(new_nonce, 1);
    let answer = types::DhGenOk { nonce, server_nonce, new_nonce_hash1 };
    let mut salt = [0; 8];
    for (byte, (a, b)) in salt.iter_mut().zip(new_nonce.iter().zip(&server_nonce)) {
        *byte = a ^ b;
    }
    Step::Done {
        answer: enums::SetClientDhParamsAnswer::from(answer).to_bytes(),
        key: Box::new(key),
        salt: i64::from_le_bytes(salt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_out_of_order_or_damaged_are_refused() {
        let dh = functions::ReqDhParams {
            nonce: [1; 16],
            server_nonce: [2; 16],
            p: P.to_be_bytes().to_vec(),
            q: Q.to_be_bytes().to_vec(),
            public_key_fingerprint: RSA_FINGERPRINT,
            encrypted_data: vec![3; 256],
        };
        assert!(Exchange::Idle.step(&dh.to_bytes(), 0).is_none());
        let mut offered = Exchange::Offered { nonce: [1; 16], server_nonce: [2; 16] };
        assert!(offered.step(&dh.to_bytes(), 0).is_none());
        assert!(matches!(offered, Exchange::Idle), "a failed exchange begins anew");
        for request in [&[][..], &[1, 2, 3], &[0; 400], &functions::ReqPqMulti::CONSTRUCTOR_ID.to_le_bytes()]
        {
            assert!(Exchange::Idle.step(request, 0).is_none(), "{request:?}");
        }
    }

    #[test]
    fn begins_with_our_key_and_the_built_in_names() {
        let request = functions::ReqPqMulti { nonce: [9; 16] }.to_bytes();
        let Some(Step::Answer(answer)) = Exchange::default().step(&request, 0) else { panic!("no answer") };
        let enums::ResPq::Pq(answer) = enums::ResPq::from_bytes(&answer).unwrap();
        assert_eq!(answer.nonce, [9; 16]);
        assert_eq!(answer.pq, 0x17ed_4894_1a08_f981_u64.to_be_bytes());
        assert_eq!(answer.server_public_key_fingerprints[0], RSA_FINGERPRINT);
        assert_eq!(answer.server_public_key_fingerprints[1..], BUILT_IN_FINGERPRINTS);
    }
}
