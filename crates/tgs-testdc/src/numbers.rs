//! The constants of the key exchange: the test DC's RSA key, and the Diffie-Hellman prime, which
//! SRP also uses.
//!
//! THE RSA KEY IS A TEST KEY. It is public, it was made for this file, and it protects nothing.

use num_bigint::BigUint;

use crate::crypt::{sha1, sha256};

/// The modulus in decimal: 617 digits, as every 2048-bit modulus, so that it can replace a built-in
/// modulus in a client's binary.
pub(crate) const RSA_MODULUS: &str = include_str!("rsa_modulus.txt");
/// The public exponent.
pub(crate) const RSA_EXPONENT: u32 = 65537;
/// The private exponent, in hexadecimal.
const RSA_PRIVATE: &str = "\
    0091b530c7e94e35edd60dadd040854acf6f65770ae12c707182e09701519db376baf1948610672914c16d078a1b9cca6387\
    e3d7ab676d4f097c850961fd94bb062c7cbf10727f443cd9d30992f6fd3d1b153319d3b35df78d92377584eca228a49827c7\
    ffd1c594cf128b9355dfc2ebbfa7158216442059e5d3a55d331f849766a656dd51b11d61ac6696d54bb0c3c92e032112196c\
    392dd26e47705c56c9331058062f4ab50369ce52b89b1e52aac0299a0ae08d185bfd2898f1da205172f7bdfbd420992629c5\
    117d56cac1d918e55fd7aab54dc2dd80bb3289a5700ff32e39d15927531e44eb22e631b4c241a8fcc9badf0ad43f535cede9\
    081164e4193d";
/// The fingerprint of the key: the lower 64 bits of the SHA-1 of `n:bytes e:bytes`.
/// <https://core.telegram.org/mtproto/auth_key#dh-exchange-initiation>
pub(crate) const RSA_FINGERPRINT: i64 = -6_730_547_253_783_695_076;
/// The fingerprints built into grammers and Telethon: production and test. A client whose modulus
/// was replaced still looks for its own fingerprint, so the server offers these too.
pub(crate) const BUILT_IN_FINGERPRINTS: [i64; 2] = [-3_414_540_481_677_951_611, -5_595_554_452_916_591_101];

/// The prime of Telegram's servers. Clients know it and skip a primality test of several seconds.
/// <https://core.telegram.org/mtproto/auth_key#presenting-proof-of-work-server-authentication>
const PRIME: &str = "\
    c71caeb9c6b1c9048e6c522f70f13f73980d40238e3e21c14934d037563d930f48198a0aa7c14058229493d22530f4dbfa33\
    6f6e0ac925139543aed44cce7c3720fd51f69458705ac68cd4fe6b6b13abdc9746512969328454f18faf8c595f642477fe96\
    bb2a941d5bcd1d4ac8cc49880708fa9b378e3c4f3a9060bee67cf9a4a4a695811051907e162753b56b0f6b410dba74d8a84b\
    2a14b3144e0ef1284754fd17ed950d5965b4b9dd46582db1178d169c6bc465b0d6ff9ca3928fef5b9ae4e418fc15e83ebea0\
    f87fa9ff5eed70050ded2849f47bf959d956850ce929851f0d8115f635b105ee2e4e15d04b2454bf6f4fadf034b10403119c\
    d8e3b92fcc5b";
/// The generator for [`prime`].
pub(crate) const GENERATOR: u32 = 3;

/// p of the proof of work, from the documentation's example. The test DC requires no real work.
/// <https://core.telegram.org/mtproto/samples-auth_key>
pub(crate) const P: u32 = 0x494c_553b;
/// q, the larger factor.
pub(crate) const Q: u32 = 0x5391_1073;

fn hexadecimal(digits: &str) -> BigUint {
    BigUint::parse_bytes(digits.as_bytes(), 16).expect("the constants of this file are hexadecimal")
}

fn modulus() -> BigUint {
    BigUint::parse_bytes(RSA_MODULUS.as_bytes(), 10).expect("the constants of this file are decimal")
}

/// The Diffie-Hellman prime.
pub(crate) fn prime() -> BigUint {
    hexadecimal(PRIME)
}

/// A number of at most 2048 bits as 256 big-endian bytes.
pub(crate) fn to_256(number: &BigUint) -> [u8; 256] {
    let bytes = number.to_bytes_be();
    let mut padded = [0; 256];
    for (to, from) in padded.iter_mut().rev().zip(bytes.iter().rev()) {
        *to = *from;
    }
    padded
}

/// Decrypts `encrypted_data` of `req_DH_params`, padded by `RSA_PAD` or by the older SHA-1 scheme,
/// which Telethon still uses. Returns the data followed by its padding.
/// <https://core.telegram.org/mtproto/auth_key>, 4.1 (RSA_PAD)
pub(crate) fn rsa_open(encrypted: &[u8]) -> Option<Vec<u8>> {
    let number = BigUint::from_bytes_be(encrypted);
    if number >= modulus() {
        return None;
    }
    let block = to_256(&number.modpow(&hexadecimal(RSA_PRIVATE), &modulus()));
    rsa_pad(&block).or_else(|| sha1_padding(&block))
}

fn rsa_pad(block: &[u8; 256]) -> Option<Vec<u8>> {
    let (xored, sealed) = block.split_first_chunk::<32>()?;
    let mut key = sha256(&[sealed]);
    key.iter_mut().zip(xored).for_each(|(a, b)| *a ^= b);
    let mut data = sealed.to_vec();
    grammers_crypto::aes::ige_decrypt(&mut data, &key, &[0; 32]);
    let hash = data.split_off(192);
    data.reverse();
    (sha256(&[&key, &data])[..] == hash).then_some(data)
}

/// Layout: zero byte, SHA-1 of the data, data, padding. The block does not state the data's length,
/// so every length is tried.
fn sha1_padding(block: &[u8; 256]) -> Option<Vec<u8>> {
    let (hash, data) = block[1..].split_first_chunk::<20>()?;
    if block[0] != 0 {
        return None;
    }
    (4..=data.len()).find(|&length| sha1(&[&data[..length]]) == *hash).map(|_| data.to_vec())
}

#[cfg(test)]
mod tests {
    use grammers_crypto::rsa::{Key, encrypt_hashed};
    use grammers_tl_types::Serializable;

    use super::*;
    use crate::crypt::random;

    fn public() -> Key {
        Key::new(RSA_MODULUS, &RSA_EXPONENT.to_string()).unwrap()
    }

    #[test]
    fn the_modulus_has_the_digits_of_a_built_in_one_and_our_fingerprint() {
        assert_eq!(RSA_MODULUS.len(), 617);
        let (n, e) = (modulus().to_bytes_be(), BigUint::from(RSA_EXPONENT).to_bytes_be());
        let hash = sha1(&[&n.to_bytes(), &e.to_bytes()]);
        assert_eq!(i64::from_le_bytes(*hash.last_chunk().unwrap()), RSA_FINGERPRINT);
    }

    #[test]
    fn opens_rsa_pad() {
        let sealed = encrypt_hashed(b"some data of the exchange", &public(), &random());
        assert!(rsa_open(&sealed).unwrap().starts_with(b"some data of the exchange"));
    }

    #[test]
    fn opens_the_older_padding() {
        let data = b"some older data";
        let mut block = vec![0];
        block.extend(sha1(&[data]));
        block.extend(data);
        block.extend(&random::<256>()[block.len()..]);
        let sealed = BigUint::from_bytes_be(&block).modpow(&BigUint::from(RSA_EXPONENT), &modulus());
        assert!(rsa_open(&to_256(&sealed)).unwrap().starts_with(data));
    }

    #[test]
    fn refuses_what_it_cannot_open() {
        for block in [&[][..], &[1; 5], &[7; 256], &[0xff; 256], &[9; 300]] {
            assert_eq!(rsa_open(block), None);
        }
    }
}
