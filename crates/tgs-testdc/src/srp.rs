//! The server side of SRP, by which Telegram checks a 2FA password without receiving it.
//!
//! <https://core.telegram.org/api/srp>

use std::num::NonZeroU32;

use grammers_tl_types::{enums, types};
use num_bigint::BigUint;
use ring::pbkdf2::{PBKDF2_HMAC_SHA512, derive};

use crate::{
    crypt::{random, random_id, sha256},
    numbers::{self, GENERATOR, to_256},
};

const ITERATIONS: NonZeroU32 = NonZeroU32::new(100_000).expect("not zero");

/// The verifier that the server stores for a password.
#[derive(Debug, Clone)]
pub(crate) struct Verifier {
    salt1: [u8; 40],
    salt2: [u8; 16],
    v: BigUint,
}

/// One challenge, valid for one answer.
#[derive(Debug)]
pub(crate) struct Challenge {
    pub(crate) id: i64,
    verifier: Verifier,
    b: BigUint,
    /// `srp_B`.
    public: [u8; 256],
}

/// The generator as 256 bytes, as it is hashed.
fn generator() -> [u8; 256] {
    to_256(&BigUint::from(GENERATOR))
}

/// PH2 of the documentation.
fn password_hash(password: &str, salt1: &[u8], salt2: &[u8]) -> [u8; 32] {
    let salted = |data: &[u8], salt: &[u8]| sha256(&[salt, data, salt]);
    let ph1 = salted(&salted(password.as_bytes(), salt1), salt2);
    let mut derived = [0; 64];
    derive(PBKDF2_HMAC_SHA512, ITERATIONS, salt1, &ph1, &mut derived);
    salted(&derived, salt2)
}

impl Verifier {
    pub(crate) fn new(password: &str) -> Self {
        let (salt1, salt2) = (random(), random());
        let x = BigUint::from_bytes_be(&password_hash(password, &salt1, &salt2));
        Self { salt1, salt2, v: BigUint::from(GENERATOR).modpow(&x, &numbers::prime()) }
    }

    /// The algorithm and its salts, for the client.
    pub(crate) fn algorithm(&self) -> enums::PasswordKdfAlgo {
        types::PasswordKdfAlgoSha256Sha256Pbkdf2Hmacsha512iter100000Sha256ModPow {
            salt1: self.salt1.to_vec(),
            salt2: self.salt2.to_vec(),
            g: GENERATOR.cast_signed(),
            p: to_256(&numbers::prime()).to_vec(),
        }
        .into()
    }

    /// Creates a challenge.
    pub(crate) fn challenge(&self) -> Challenge {
        let prime = numbers::prime();
        let b = BigUint::from_bytes_be(&random::<256>());
        let k = BigUint::from_bytes_be(&sha256(&[&to_256(&prime), &generator()]));
        // g_b = (k·v + g^b) mod p
        let public = (k * &self.v + BigUint::from(GENERATOR).modpow(&b, &prime)) % &prime;
        Challenge { id: random_id(), verifier: self.clone(), b, public: to_256(&public) }
    }
}

impl Challenge {
    pub(crate) fn public(&self) -> Vec<u8> {
        self.public.to_vec()
    }

    /// Whether `A` and `M1` prove knowledge of the password.
    pub(crate) fn accepts(&self, a: &[u8], m1: &[u8]) -> bool {
        let prime = numbers::prime();
        let a = BigUint::from_bytes_be(a);
        let one = BigUint::from(1_u32);
        if a <= one || a >= &prime - &one {
            return false;
        }
        let a_padded = to_256(&a);
        let u = BigUint::from_bytes_be(&sha256(&[&a_padded, &self.public]));
        // s_b = (g_a · v^u)^b mod p
        let secret = (a * self.verifier.v.modpow(&u, &prime) % &prime).modpow(&self.b, &prime);
        let key = sha256(&[&to_256(&secret)]);
        let mut mixed = sha256(&[&to_256(&prime)]);
        mixed.iter_mut().zip(sha256(&[&generator()])).for_each(|(x, y)| *x ^= y);
        let Verifier { salt1, salt2, .. } = &self.verifier;
        let expected = sha256(&[&mixed, &sha256(&[salt1]), &sha256(&[salt2]), &a_padded, &self.public, &key]);
        expected[..] == *m1
    }
}

#[cfg(test)]
mod tests {
    use grammers_crypto::two_factor_auth::calculate_2fa;

    use super::*;

    #[test]
    fn proof_of_the_password_is_accepted_and_anything_else_refused() {
        let verifier = Verifier::new("correct horse");
        let challenge = verifier.challenge();
        let (m1, a) = calculate_2fa(
            &verifier.salt1,
            &verifier.salt2,
            &to_256(&numbers::prime()),
            &GENERATOR.cast_signed(),
            challenge.public(),
            random::<256>().to_vec(),
            "correct horse",
        );
        assert!(challenge.accepts(&a, &m1));
        let mut wrong = m1;
        wrong[31] ^= 1;
        assert!(!challenge.accepts(&a, &wrong) && !verifier.challenge().accepts(&a, &m1));
        // A = 0 would make the shared secret 0 for any password.
        assert!(!challenge.accepts(&[0; 256], &[0; 32]) && !challenge.accepts(&[], &[]));
    }
}
