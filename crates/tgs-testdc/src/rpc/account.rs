//! An account's sessions and their lifetime.

use grammers_tl_types::{enums, functions, types};

use super::{Answer, Caller, Method, error};
use crate::state::{Key, Login};

/// A session as other sessions of the account see it. The current session has hash 0.
pub(super) fn authorization(key: &Key, current: bool) -> enums::Authorization {
    types::Authorization {
        current,
        official_app: false,
        password_pending: matches!(key.login, Login::PasswordDue(_)),
        encrypted_requests_disabled: false,
        call_requests_disabled: false,
        unconfirmed: false,
        hash: if current { 0 } else { key.hash },
        device_model: key.client.device_model.clone(),
        platform: "Test".to_owned(),
        system_version: key.client.system_version.clone(),
        api_id: key.client.api_id,
        app_name: "tgs-testdc".to_owned(),
        app_version: key.client.app_version.clone(),
        date_created: key.created,
        date_active: key.active,
        ip: "127.0.0.1".to_owned(),
        country: "Loopback".to_owned(),
        region: String::new(),
    }
    .into()
}

/// Default of `account.getAuthorizationTTL` in days.
const DEFAULT_TTL_DAYS: i32 = 183;

fn ttl_days(caller: &Caller<'_>, user_id: i64) -> i32 {
    caller.state.ttl_days.get(&user_id).copied().unwrap_or(DEFAULT_TTL_DAYS)
}

impl Method for functions::account::GetAuthorizations {
    const PEOPLE_ONLY: bool = true;

    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::account::Authorizations> {
        let me = caller.me()?.user_id;
        let mut mine: Vec<_> =
            caller.state.keys.iter().filter(|(_, key)| key.login == Login::User(me)).collect();
        mine.sort_by_key(|(id, key)| (**id != caller.key, key.created, **id));
        let authorizations =
            mine.into_iter().map(|(id, key)| authorization(key, *id == caller.key)).collect();
        let authorization_ttl_days = ttl_days(caller, me);
        Ok(types::account::Authorizations { authorization_ttl_days, authorizations }.into())
    }
}

impl Method for functions::account::ResetAuthorization {
    fn answer(self, caller: &mut Caller<'_>) -> Answer<bool> {
        let me = caller.me()?.user_id;
        let own = caller.key;
        let mut keys = caller.state.keys.iter();
        let found = keys.find(|(id, key)| {
            **id != own && key.login == Login::User(me) && key.hash == self.hash && self.hash != 0
        });
        match found.map(|(id, _)| *id) {
            Some(id) => Ok(caller.state.sign_out(id)),
            None => error("HASH_INVALID"),
        }
    }
}

impl Method for functions::auth::ResetAuthorizations {
    /// Terminates all other sessions.
    fn answer(self, caller: &mut Caller<'_>) -> Answer<bool> {
        let me = caller.me()?.user_id;
        for (id, key) in &mut caller.state.keys {
            if *id != caller.key && key.login == Login::User(me) {
                key.login = Login::Nobody;
            }
        }
        Ok(true)
    }
}

impl Method for functions::account::SetAuthorizationTtl {
    fn answer(self, caller: &mut Caller<'_>) -> Answer<bool> {
        let me = caller.me()?.user_id;
        if !(1..=730).contains(&self.authorization_ttl_days) {
            return error("TTL_DAYS_INVALID");
        }
        caller.state.ttl_days.insert(me, self.authorization_ttl_days);
        Ok(true)
    }
}

impl Method for functions::account::UpdateStatus {
    fn answer(self, _: &mut Caller<'_>) -> Answer<bool> {
        Ok(true)
    }
}
