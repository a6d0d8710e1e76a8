//! The key exchange with a test DC on loopback that has the RSA key of `tgs-testdc`, for the
//! feature `test-dc` only. grammers has Telegram's RSA keys compiled in, so this module repeats the
//! exchange.
//!
//! Packaged builds exclude the feature: the owner of an accepted RSA key could capture login codes.

use std::io;

use grammers_crypto::{AuthKey, aes, factorize, generate_key_data_from_nonce, rsa};
use grammers_mtproto::{mtp::Plain, transport::Full};
use grammers_mtsender::{InvocationError, Sender, ServerAddr};
use grammers_tl_types::{Cursor, Deserializable, Serializable, enums, functions, types};
use num_bigint::BigUint;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::pinned_session::PinnedSession;

const MODULUS: &str = include_str!("../../tgs-testdc/src/rsa_modulus.txt");
const EXPONENT: &str = "65537";

/// Creates the auth key of a session without one, if its DC is on loopback.
pub(crate) async fn provide_key(session: &PinnedSession) -> Result<(), InvocationError> {
    if session.has_key() || !session.address().ip().is_loopback() {
        return Ok(());
    }
    let address = session.connect_address();
    let sender = Sender::connect(Full::new(), Plain::new(), ServerAddr::Tcp { address }).await?;
    let key = make_key(sender).await?;
    session.pin(key).map_err(|refused| InvocationError::Session(refused.into()))
}

/// Creates a key for another DC than the home DC, if that is on loopback.
pub(crate) async fn provide_guest_key(session: &PinnedSession, dc: i32) -> Result<(), InvocationError> {
    let Some(address) = session.address_without_key(dc).filter(|address| address.ip().is_loopback()) else {
        return Ok(());
    };
    let sender = Sender::connect(Full::new(), Plain::new(), ServerAddr::Tcp { address }).await?;
    session.keep_guest_key(dc, make_key(sender).await?);
    Ok(())
}

/// The client side of <https://core.telegram.org/mtproto/auth_key>.
async fn make_key(mut sender: Sender<Full, Plain>) -> Result<[u8; 256], InvocationError> {
    let (nonce, new_nonce) = (random()?, random()?);
    let enums::ResPq::Pq(offer) = sender.invoke(&functions::ReqPqMulti { nonce }).await?;
    let server_nonce = offer.server_nonce;
    let pq = offer.pq.as_slice().try_into().map_err(|_| refused("pq is not eight bytes"))?;
    let (p, q) = factorize(u64::from_be_bytes(pq));
    let (p, q) = (without_zeros(p), without_zeros(q));
    let inner =
        types::PQInnerData { pq: offer.pq, p: p.clone(), q: q.clone(), nonce, server_nonce, new_nonce };
    let key = rsa::Key::new(MODULUS, EXPONENT).ok_or_else(|| refused("the RSA key cannot be read"))?;
    let request = functions::ReqDhParams {
        nonce,
        server_nonce,
        p,
        q,
        // The test DC lists its own key first.
        public_key_fingerprint: offer.server_public_key_fingerprints.first().copied().unwrap_or_default(),
        encrypted_data: rsa::encrypt_hashed(&enums::PQInnerData::from(inner).to_bytes(), &key, &random()?),
    };
    let enums::ServerDhParams::Ok(answer) = sender.invoke(&request).await? else {
        return Err(refused("the DC does not take the test DC's key"));
    };
    let (aes_key, aes_iv) = generate_key_data_from_nonce(&server_nonce, &new_nonce);
    let mut plain = answer.encrypted_answer;
    if plain.len() < 32 || plain.len() % 16 != 0 {
        return Err(refused("an answer has a partial block"));
    }
    aes::ige_decrypt(&mut plain, &aes_key, &aes_iv);
    // The first 20 bytes are the SHA-1 of the answer.
    let mut cursor = Cursor::from_slice(&plain[20..]);
    let enums::ServerDhInnerData::Data(dh) = enums::ServerDhInnerData::deserialize(&mut cursor)
        .map_err(|_| refused("an answer cannot be read"))?;
    let (prime, b) = (BigUint::from_bytes_be(&dh.dh_prime), BigUint::from_bytes_be(&random::<256>()?));
    if prime.bits() != 2048 {
        return Err(refused("the prime does not have 2048 bits"));
    }
    let g_b = BigUint::from(dh.g.cast_unsigned()).modpow(&b, &prime).to_bytes_be();
    let client = types::ClientDhInnerData { nonce, server_nonce, retry_id: 0, g_b };
    let client = enums::ClientDhInnerData::from(client).to_bytes();
    let mut sealed = [digest(&SHA1_FOR_LEGACY_USE_ONLY, &client).as_ref(), &client].concat();
    sealed.resize(sealed.len().next_multiple_of(16), 0);
    aes::ige_encrypt(&mut sealed, &aes_key, &aes_iv);
    let request = functions::SetClientDhParams { nonce, server_nonce, encrypted_data: sealed };
    let enums::SetClientDhParamsAnswer::DhGenOk(done) = sender.invoke(&request).await? else {
        return Err(refused("the DC asks for another exchange"));
    };
    let shared = BigUint::from_bytes_be(&dh.g_a).modpow(&b, &prime).to_bytes_be();
    let mut key = [0; 256];
    key[256 - shared.len()..].copy_from_slice(&shared);
    if AuthKey::from_bytes(key).calc_new_nonce_hash(&new_nonce, 1) != done.new_nonce_hash1 {
        return Err(refused("the DC has computed another key"));
    }
    Ok(key)
}

fn random<const N: usize>() -> Result<[u8; N], InvocationError> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())
            .map_err(|error| InvocationError::Io(error.into()))?;
    }
    Ok(bytes)
}

fn without_zeros(number: u64) -> Vec<u8> {
    number.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect()
}

fn refused(why: &str) -> InvocationError {
    InvocationError::Io(io::Error::other(format!("key exchange with the test DC: {why}")))
}
