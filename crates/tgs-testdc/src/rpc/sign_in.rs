//! Sign-in by phone and code, sign-out, and transfer of a sign-in to another DC. No code is really
//! sent: each account has a fixed code.

use grammers_tl_types::{enums, functions, types};

use super::{Answer, Caller, Method, error};
use crate::{
    crypt::{random, random_id},
    error::RpcError,
    message::now,
    objects,
    state::{Login, SentCode},
    world::{Account, CodeBy},
};

impl Caller<'_> {
    /// Signs an account in after a valid code or QR token; a password, if set, is required next.
    pub(super) fn admit(&mut self, user_id: i64) -> Answer<enums::auth::Authorization> {
        let account = self.state.account(user_id).ok_or_else(|| RpcError::named("USER_DEACTIVATED"))?;
        if account.password.is_some() {
            self.set_login(Login::PasswordDue(user_id));
            return error("SESSION_PASSWORD_NEEDED");
        }
        self.sign_in(user_id)
    }

    /// Signs the caller's key in.
    pub(super) fn sign_in(&mut self, user_id: i64) -> Answer<enums::auth::Authorization> {
        self.set_login(Login::User(user_id));
        let account = self.state.account(user_id).ok_or_else(|| RpcError::named("USER_DEACTIVATED"))?;
        Ok(authorization(objects::user(self.state, user_id, account)))
    }

    fn set_login(&mut self, login: Login) {
        if let Some(key) = self.state.keys.get_mut(&self.key) {
            key.login = login;
            key.created = now();
            key.hash = random_id();
        }
    }

    /// The account of a phone number, whose home must be this DC.
    fn account_here(&self, phone: &str) -> Answer<Account> {
        let Some(account) = self.state.account_by_phone(phone) else {
            return error("PHONE_NUMBER_INVALID");
        };
        if account.dc_id == self.dc_id {
            Ok(account.clone())
        } else {
            error(&format!("PHONE_MIGRATE_{}", account.dc_id))
        }
    }
}

fn authorization(user: enums::User) -> enums::auth::Authorization {
    types::auth::Authorization {
        setup_password_required: false,
        otherwise_relogin_days: None,
        tmp_sessions: None,
        future_auth_token: None,
        user,
    }
    .into()
}

/// The TL object for a sent code.
fn sent(code: &SentCode) -> enums::auth::SentCode {
    let length = code.code.chars().count() as i32;
    let (r#type, next_type) = match code.by {
        CodeBy::App => (types::auth::SentCodeTypeApp { length }.into(), Some(enums::auth::CodeType::Sms)),
        CodeBy::Sms => (types::auth::SentCodeTypeSms { length }.into(), Some(enums::auth::CodeType::Call)),
        CodeBy::Call => (types::auth::SentCodeTypeCall { length }.into(), None),
        CodeBy::MissedCall => {
            (types::auth::SentCodeTypeMissedCall { prefix: "+1555".to_owned(), length }.into(), None)
        }
        CodeBy::Email => {
            let code_type = types::auth::SentCodeTypeEmailCode {
                apple_signin_allowed: false,
                google_signin_allowed: false,
                email_pattern: "a***e@example.org".to_owned(),
                length,
                reset_available_period: None,
                reset_pending_date: None,
            };
            (code_type.into(), None)
        }
        CodeBy::Fragment => {
            let url = "https://fragment.com/login/0".to_owned();
            (types::auth::SentCodeTypeFragmentSms { url, length }.into(), Some(enums::auth::CodeType::Sms))
        }
    };
    let timeout = next_type.is_some().then_some(60);
    types::auth::SentCode { r#type, phone_code_hash: code.phone_code_hash.clone(), next_type, timeout }.into()
}

impl Method for functions::auth::SendCode {
    const OPEN: bool = true;

    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::auth::SentCode> {
        caller.check_app(self.api_id, &self.api_hash)?;
        let account = caller.account_here(&self.phone_number)?;
        let code = SentCode {
            phone: account.phone,
            code: account.code,
            by: account.code_by,
            phone_code_hash: format!("{:016x}", random_id()),
        };
        let answer = sent(&code);
        caller.state.codes.push(code);
        Ok(answer)
    }
}

impl Method for functions::auth::ResendCode {
    const OPEN: bool = true;

    /// Resends the code by the next delivery type, with the same hash.
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::auth::SentCode> {
        let account = caller.account_here(&self.phone_number)?;
        let Some(last) = find_code(caller, &account, &self.phone_code_hash) else {
            return error("PHONE_CODE_EXPIRED");
        };
        let by = match last.by {
            CodeBy::App | CodeBy::Fragment => CodeBy::Sms,
            CodeBy::Sms => CodeBy::Call,
            CodeBy::Call | CodeBy::MissedCall | CodeBy::Email => return error("SEND_CODE_UNAVAILABLE"),
        };
        let code = SentCode { by, ..last };
        let answer = sent(&code);
        caller.state.codes.push(code);
        Ok(answer)
    }
}

impl Method for functions::auth::CancelCode {
    const OPEN: bool = true;

    fn answer(self, caller: &mut Caller<'_>) -> Answer<bool> {
        caller.account_here(&self.phone_number)?;
        caller.state.codes.retain(|code| code.phone_code_hash != self.phone_code_hash);
        Ok(true)
    }
}

/// The latest code sent to the account with this hash.
fn find_code(caller: &Caller<'_>, account: &Account, hash: &str) -> Option<SentCode> {
    let mut codes = caller.state.codes.iter().rev();
    codes.find(|code| code.phone == account.phone && code.phone_code_hash == hash).cloned()
}

impl Method for functions::auth::SignIn {
    const OPEN: bool = true;

    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::auth::Authorization> {
        let account = caller.account_here(&self.phone_number)?;
        let Some(expected) = find_code(caller, &account, &self.phone_code_hash) else {
            return error("PHONE_CODE_EXPIRED");
        };
        let given = self.phone_code.or(match self.email_verification {
            Some(enums::EmailVerification::Code(email)) => Some(email.code),
            _ => None,
        });
        match given {
            None => error("PHONE_CODE_EMPTY"),
            Some(code) if code.is_empty() => error("PHONE_CODE_EMPTY"),
            Some(code) if code == expected.code => caller.admit(account.user_id),
            Some(_) => error("PHONE_CODE_INVALID"),
        }
    }
}

impl Method for functions::auth::LogOut {
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::auth::LoggedOut> {
        caller.state.sign_out(caller.key);
        Ok(types::auth::LoggedOut { future_auth_token: None }.into())
    }
}

impl Method for functions::auth::ExportAuthorization {
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::auth::ExportedAuthorization> {
        let me = caller.me()?.user_id;
        if !caller.state.dcs.contains_key(&self.dc_id) || self.dc_id == caller.dc_id {
            return error("DC_ID_INVALID");
        }
        let bytes = random::<64>().to_vec();
        caller.state.exported.insert(bytes.clone(), me);
        Ok(types::auth::ExportedAuthorization { id: me, bytes }.into())
    }
}

impl Method for functions::auth::ImportAuthorization {
    const OPEN: bool = true;

    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::auth::Authorization> {
        if caller.state.exported.get(&self.bytes) != Some(&self.id) {
            return error("AUTH_BYTES_INVALID");
        }
        caller.state.exported.remove(&self.bytes);
        caller.set_login(Login::Guest(self.id));
        let account = caller.me()?;
        Ok(authorization(objects::user(caller.state, self.id, &account)))
    }
}
