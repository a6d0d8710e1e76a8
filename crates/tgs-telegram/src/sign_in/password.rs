//! Proves the account's password by SRP, without sending it: <https://core.telegram.org/api/srp>.

use std::panic::{AssertUnwindSafe, catch_unwind};

use grammers_crypto::two_factor_auth::{calculate_2fa, check_p_and_g};
use grammers_tl_types as tl;
use rustix::rand::{GetRandomFlags, getrandom};
use tgs_core::secret::Secret;

use super::{answer::signed_in, attempt::SignIn};
use crate::{SelfUser, TelegramClient, TelegramError};

/// The permitted generators g; the library panics on others.
const BASES: std::ops::RangeInclusive<i32> = 2..=7;
/// Length of the prime p in bytes: 2048 bits.
const LENGTH: usize = 256;

impl SignIn {
    /// The password hint that the account's owner has set.
    pub fn password_hint(&mut self) -> Result<Option<String>, TelegramError> {
        Ok(challenge(&mut self.client)?.hint.filter(|hint| !hint.is_empty()))
    }

    /// Completes the sign-in with the account's password. `PASSWORD_HASH_INVALID` permits another
    /// attempt.
    pub fn submit_password(&mut self, password: &Secret<String>) -> Result<SelfUser, TelegramError> {
        check(&mut self.client, password)
    }
}

/// Requests the password challenge, which is valid for one attempt.
fn challenge(client: &mut TelegramClient) -> Result<tl::types::account::Password, TelegramError> {
    let doing = "request the password challenge";
    let tl::enums::account::Password::Password(password) =
        client.call(doing, &tl::functions::account::GetPassword {})?;
    Ok(password)
}

/// Whether the account of a signed-in session has a password.
pub(super) fn is_set(client: &mut TelegramClient) -> Result<bool, TelegramError> {
    challenge(client).map(|password| password.has_password)
}

/// Completes the sign-in; each attempt uses a new challenge.
fn check(client: &mut TelegramClient, password: &Secret<String>) -> Result<SelfUser, TelegramError> {
    let doing = "sign in with the account's password";
    let challenge = challenge(client)?;
    let proof = proof(challenge, password).map_err(|name| TelegramError::named(name, doing))?;
    let request = tl::functions::auth::CheckPassword { password: proof.into() };
    let answer = client.call(doing, &request)?;
    signed_in(doing, answer)
}

/// The SRP proof for a challenge, or the error name of an invalid challenge.
fn proof(
    challenge: tl::types::account::Password,
    password: &Secret<String>,
) -> Result<tl::types::InputCheckPasswordSrp, &'static str> {
    use tl::enums::PasswordKdfAlgo as Algo;
    let algo = match challenge.current_algo {
        Some(Algo::Sha256Sha256Pbkdf2Hmacsha512iter100000Sha256ModPow(algo)) => algo,
        Some(Algo::Unknown) => return Err("passwordKdfAlgoUnknown"),
        None => return Err("PASSWORD_EMPTY"),
    };
    let (Some(srp_id), Some(g_b)) = (challenge.srp_id, challenge.srp_b) else { return Err("PASSWORD_EMPTY") };
    let mut a = [0; LENGTH];
    if getrandom(&mut a, GetRandomFlags::empty()) != Ok(LENGTH) {
        return Err("no randomness");
    }
    // Other values make the library panic, or reveal information about the password to a false
    // server.
    let usable = algo.p.len() == LENGTH
        && BASES.contains(&algo.g)
        && (1..=LENGTH).contains(&g_b.len())
        && g_b.iter().any(|byte| *byte != 0)
        && padded(&g_b) < algo.p;
    let proved = catch_unwind(AssertUnwindSafe(|| {
        (usable && check_p_and_g(&algo.p, &algo.g)).then(|| {
            let password = password.expose().as_bytes();
            calculate_2fa(&algo.salt1, &algo.salt2, &algo.p, &algo.g, g_b, a.to_vec(), password)
        })
    }));
    match proved {
        Ok(Some((m1, g_a))) => {
            Ok(tl::types::InputCheckPasswordSrp { srp_id, a: g_a.to_vec(), m1: m1.to_vec() })
        }
        Ok(None) | Err(_) => Err("bad SRP parameters"),
    }
}

/// Left-padded with zeros, so that byte order equals numeric order.
fn padded(number: &[u8]) -> Vec<u8> {
    [&vec![0; LENGTH - number.len()], number].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(algo: Option<tl::enums::PasswordKdfAlgo>, g_b: &[u8]) -> tl::types::account::Password {
        tl::types::account::Password {
            has_recovery: false,
            has_secure_values: false,
            has_password: true,
            current_algo: algo,
            srp_b: Some(g_b.to_vec()),
            srp_id: Some(1),
            hint: None,
            email_unconfirmed_pattern: None,
            new_algo: tl::enums::PasswordKdfAlgo::Unknown,
            new_secure_algo: tl::enums::SecurePasswordKdfAlgo::Unknown,
            secure_random: Vec::new(),
            pending_reset_date: None,
            login_email_pattern: None,
        }
    }

    fn algo(p: Vec<u8>, g: i32) -> tl::enums::PasswordKdfAlgo {
        let (salt1, salt2) = (vec![1], vec![2]);
        tl::types::PasswordKdfAlgoSha256Sha256Pbkdf2Hmacsha512iter100000Sha256ModPow { salt1, salt2, g, p }
            .into()
    }

    #[test]
    fn a_faulty_challenge_is_refused() {
        let cases = [
            (challenge(None, &[5]), "PASSWORD_EMPTY"),
            (challenge(Some(tl::enums::PasswordKdfAlgo::Unknown), &[5]), "passwordKdfAlgoUnknown"),
            (challenge(Some(algo(vec![7; 255], 3)), &[5]), "bad SRP parameters"),
            (challenge(Some(algo(vec![7; 256], 9)), &[5]), "bad SRP parameters"),
            (challenge(Some(algo(vec![6; 256], 3)), &[5]), "bad SRP parameters"),
            (challenge(Some(algo(vec![7; 256], 3)), &[]), "bad SRP parameters"),
            (challenge(Some(algo(vec![7; 256], 3)), &[0; 9]), "bad SRP parameters"),
            (challenge(Some(algo(vec![7; 256], 3)), &[1; 257]), "bad SRP parameters"),
            (challenge(Some(algo(vec![7; 256], 3)), &[8; 256]), "bad SRP parameters"),
        ];
        for (challenge, name) in cases {
            assert_eq!(proof(challenge, &Secret::new("secret".to_owned())).unwrap_err(), name);
        }
    }
}
