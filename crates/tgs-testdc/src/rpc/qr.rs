//! Sign-in by QR code: a new client shows a token, a signed-in client accepts it, and the new
//! client asks again.
//!
//! <https://core.telegram.org/api/qr-login>

use std::time::Instant;

use grammers_tl_types::{Serializable, enums, functions, types};

use super::{Answer, Caller, Method, account, error};
use crate::{
    crypt::random,
    message::now,
    state::{Login, LoginToken},
};

/// The result for an accepted token: sign-in here, or migration to the account's home DC.
fn go_on(caller: &mut Caller<'_>, token: Vec<u8>, user_id: i64) -> Answer<enums::auth::LoginToken> {
    if let Some(account) = caller.state.account(user_id)
        && account.dc_id != caller.dc_id
    {
        return Ok(types::auth::LoginTokenMigrateTo { dc_id: account.dc_id, token }.into());
    }
    caller.state.tokens.remove(&token);
    let authorization = caller.admit(user_id)?;
    Ok(types::auth::LoginTokenSuccess { authorization }.into())
}

impl Method for functions::auth::ExportLoginToken {
    const OPEN: bool = true;

    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::auth::LoginToken> {
        caller.check_app(self.api_id, &self.api_hash)?;
        match caller.state.keys.get(&caller.key).map(|key| key.login) {
            Some(Login::User(user_id)) => {
                let authorization = caller.sign_in(user_id)?;
                return Ok(types::auth::LoginTokenSuccess { authorization }.into());
            }
            Some(Login::PasswordDue(_)) => return error("SESSION_PASSWORD_NEEDED"),
            _ => {}
        }
        let mut tokens = caller.state.tokens.iter();
        let accepted = tokens.find_map(|(token, state)| {
            let user_id = state.accepted.filter(|_| state.key == caller.key)?;
            Some((token.clone(), user_id))
        });
        if let Some((token, user_id)) = accepted {
            return go_on(caller, token, user_id);
        }
        let life = caller.state.world.login_token_life;
        let token = random::<32>().to_vec();
        let waiting = LoginToken { key: caller.key, expires: Instant::now() + life, accepted: None };
        caller.state.tokens.insert(token.clone(), waiting);
        Ok(types::auth::LoginToken { expires: now() + life.as_secs() as i32, token }.into())
    }
}

impl Method for functions::auth::ImportLoginToken {
    const OPEN: bool = true;

    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::auth::LoginToken> {
        match caller.state.tokens.get(&self.token).map(|token| (token.accepted, token.expires)) {
            Some((Some(user_id), _)) => go_on(caller, self.token, user_id),
            Some((None, expires)) if expires < Instant::now() => error("AUTH_TOKEN_EXPIRED"),
            None | Some((None, _)) => error("AUTH_TOKEN_INVALID"),
        }
    }
}

impl Method for functions::auth::AcceptLoginToken {
    const PEOPLE_ONLY: bool = true;

    /// Notifies the waiting client by `updateLoginToken`.
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::Authorization> {
        let me = caller.me()?.user_id;
        let Some(token) = caller.state.tokens.get_mut(&self.token) else {
            return error("AUTH_TOKEN_INVALID");
        };
        if token.accepted.is_some() {
            return error("AUTH_TOKEN_ALREADY_ACCEPTED");
        }
        if token.expires < Instant::now() {
            return error("AUTH_TOKEN_EXPIRED");
        }
        token.accepted = Some(me);
        let waiting = token.key;
        let update = types::UpdateShort { update: enums::Update::LoginToken, date: now() };
        caller.state.push(waiting, &enums::Updates::from(update).to_bytes());
        match caller.state.keys.get(&waiting) {
            Some(key) => Ok(account::authorization(key, false)),
            None => error("AUTH_TOKEN_INVALID"),
        }
    }
}
