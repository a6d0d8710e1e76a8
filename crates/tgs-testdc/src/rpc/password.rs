//! The 2FA password, checked by SRP. It cannot be set, changed or recovered.

use grammers_tl_types::{enums, functions, types};

use super::{Answer, Caller, Method, error};
use crate::{
    crypt::random,
    error::RpcError,
    srp::{Challenge, Verifier},
    state::Login,
};

/// The user whose password is checked: signed in, or with the password still missing.
fn owner(caller: &Caller<'_>) -> Answer<i64> {
    match caller.state.keys.get(&caller.key).map(|key| key.login) {
        Some(Login::PasswordDue(user_id) | Login::User(user_id)) => Ok(user_id),
        _ => error("AUTH_KEY_UNREGISTERED"),
    }
}

impl Method for functions::account::GetPassword {
    const OPEN: bool = true;

    /// Each call creates a new challenge and invalidates the previous one.
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::account::Password> {
        let user_id = owner(caller)?;
        let account = caller.state.account(user_id).ok_or_else(|| RpcError::named("USER_DEACTIVATED"))?;
        let challenge = account.password.clone().map(|password| {
            let verifiers = &mut caller.state.verifiers;
            let verifier = verifiers.entry(user_id).or_insert_with(|| Verifier::new(&password));
            (verifier.algorithm(), verifier.challenge())
        });
        let (current_algo, challenge) = challenge.unzip();
        let new_algo = types::PasswordKdfAlgoSha256Sha256Pbkdf2Hmacsha512iter100000Sha256ModPow {
            salt1: random::<8>().to_vec(),
            salt2: random::<16>().to_vec(),
            g: crate::numbers::GENERATOR.cast_signed(),
            p: crate::numbers::to_256(&crate::numbers::prime()).to_vec(),
        };
        let answer = types::account::Password {
            has_recovery: false,
            has_secure_values: false,
            has_password: challenge.is_some(),
            current_algo,
            srp_b: challenge.as_ref().map(Challenge::public),
            srp_id: challenge.as_ref().map(|challenge| challenge.id),
            hint: challenge.as_ref().map(|_| "four words, or two".to_owned()),
            email_unconfirmed_pattern: None,
            new_algo: new_algo.into(),
            new_secure_algo: enums::SecurePasswordKdfAlgo::Unknown,
            secure_random: random::<32>().to_vec(),
            pending_reset_date: None,
            login_email_pattern: None,
        };
        if let Some(challenge) = challenge {
            caller.state.challenges.insert(caller.key, challenge);
        }
        Ok(answer.into())
    }
}

impl Method for functions::auth::CheckPassword {
    const OPEN: bool = true;

    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::auth::Authorization> {
        let user_id = owner(caller)?;
        let enums::InputCheckPasswordSrp::Srp(given) = self.password else {
            return error("PASSWORD_HASH_INVALID");
        };
        match caller.state.challenges.remove(&caller.key) {
            Some(challenge) if challenge.id == given.srp_id => {
                if challenge.accepts(&given.a, &given.m1) {
                    caller.sign_in(user_id)
                } else {
                    error("PASSWORD_HASH_INVALID")
                }
            }
            _ => error("SRP_ID_INVALID"),
        }
    }
}
