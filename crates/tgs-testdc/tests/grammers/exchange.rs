//! A key from nothing, by the client's own parts. grammers has its servers' RSA keys compiled in,
//! so the one step that uses them is done here with ours.

use grammers_crypto::{AuthKey, aes, factorize, generate_key_data_from_nonce, rsa};
use grammers_mtproto::{mtp, transport};
use grammers_mtsender::{InvocationError, Sender, ServerAddr};
use grammers_tl_types::{Cursor, Deserializable, Serializable, enums, functions, types};
use num_bigint::BigUint;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tgs_testdc::{SessionInfo, TestDc, World};

use crate::client::{bare, init, name_of, runtime};

fn sha1(data: &[u8]) -> Vec<u8> {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, data).as_ref().to_vec()
}

fn short(number: u64) -> Vec<u8> {
    number.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect()
}

/// Makes a key. Some clients send the DC's number inside the RSA envelope; `name` is the
/// place of the key's name among those offered: our own, or a built-in one, as a client with a
/// replaced modulus has it.
async fn make_key(dc: &TestDc, dc_id: i32, tell_dc: bool, name: usize) -> Result<[u8; 256], InvocationError> {
    let addr = ServerAddr::Tcp { address: dc.addr(dc_id) };
    let mut sender = Sender::connect(transport::Full::new(), mtp::Plain::new(), addr).await?;
    let (nonce, new_nonce) = ([3; 16], [4; 32]);
    let enums::ResPq::Pq(offer) = sender.invoke(&functions::ReqPqMulti { nonce }).await?;
    let server_nonce = offer.server_nonce;
    let (p, q) = factorize(u64::from_be_bytes(offer.pq.clone().try_into().expect("eight bytes")));
    let (p, q) = (short(p), short(q));
    let inner =
        types::PQInnerData { pq: offer.pq, p: p.clone(), q: q.clone(), nonce, server_nonce, new_nonce };
    let inner = if tell_dc {
        let types::PQInnerData { pq, p, q, .. } = inner;
        types::PQInnerDataDc { pq, p, q, nonce, server_nonce, new_nonce, dc: dc_id }.into()
    } else {
        enums::PQInnerData::from(inner)
    };
    let (modulus, exponent, fingerprint) = dc.rsa_public();
    assert_eq!((modulus.len(), offer.server_public_key_fingerprints[0]), (617, fingerprint));
    let key = rsa::Key::new(modulus, &exponent.to_string()).expect("decimal numbers");
    let encrypted_data = rsa::encrypt_hashed(&inner.to_bytes(), &key, &[5; 224]);
    let request = functions::ReqDhParams {
        nonce,
        server_nonce,
        p,
        q,
        public_key_fingerprint: offer.server_public_key_fingerprints[name],
        encrypted_data,
    };
    let enums::ServerDhParams::Ok(answer) = sender.invoke(&request).await? else { panic!("refused") };
    let (aes_key, aes_iv) = generate_key_data_from_nonce(&server_nonce, &new_nonce);
    let mut plain = answer.encrypted_answer;
    aes::ige_decrypt(&mut plain, &aes_key, &aes_iv);
    let mut cursor = Cursor::from_slice(&plain[20..]);
    let enums::ServerDhInnerData::Data(dh) =
        enums::ServerDhInnerData::deserialize(&mut cursor).expect("DH data");
    assert_eq!(plain[..20], sha1(&plain[20..20 + cursor.pos()]));
    let (prime, b) = (BigUint::from_bytes_be(&dh.dh_prime), BigUint::from_bytes_be(&[6; 256]));
    let g_b = BigUint::from(dh.g.cast_unsigned()).modpow(&b, &prime).to_bytes_be();
    let client = types::ClientDhInnerData { nonce, server_nonce, retry_id: 0, g_b };
    let client = enums::ClientDhInnerData::from(client).to_bytes();
    let mut sealed = [sha1(&client), client].concat();
    sealed.resize(sealed.len().next_multiple_of(16), 0);
    aes::ige_encrypt(&mut sealed, &aes_key, &aes_iv);
    let request = functions::SetClientDhParams { nonce, server_nonce, encrypted_data: sealed };
    let enums::SetClientDhParamsAnswer::DhGenOk(done) = sender.invoke(&request).await? else {
        panic!("refused")
    };
    let shared = BigUint::from_bytes_be(&dh.g_a).modpow(&b, &prime).to_bytes_be();
    let mut bytes = [0; 256];
    bytes[256 - shared.len()..].copy_from_slice(&shared);
    let key = AuthKey::from_bytes(bytes);
    assert_eq!(done.new_nonce_hash1, key.calc_new_nonce_hash(&new_nonce, 1));
    Ok(bytes)
}

#[test]
fn a_key_is_made_and_used() {
    let dc = TestDc::start(World::example()).unwrap();
    runtime().block_on(async {
        for (dc_id, tell_dc, name) in [(1, false, 0), (2, true, 1)] {
            let auth_key = make_key(&dc, dc_id, tell_dc, name).await.unwrap();
            let session = SessionInfo { user_id: 0, dc_id, addr: dc.addr(dc_id), auth_key, key_id: 0 };
            let mut sender = bare(&session).await;
            let config = sender.invoke(&init(dc.api_id(), functions::help::GetConfig {})).await.unwrap();
            let enums::Config::Config(config) = config;
            assert_eq!((config.this_dc, config.dc_options.len()), (dc_id, 2));
            // Nobody is signed in with it.
            let failed = sender.invoke(&functions::updates::GetState {}).await;
            assert_eq!(name_of(failed).1, "AUTH_KEY_UNREGISTERED");
        }
    });
    assert_eq!(dc.count("set_client_DH_params"), 2);
}
