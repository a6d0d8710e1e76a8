//! Signing in by phone, code and password.

use grammers_crypto::two_factor_auth::calculate_2fa;
use grammers_tl_types::{enums, functions, types};
use tgs_testdc::{CodeBy, TestDc, World};

use crate::client::{Pool, get_self, name_of, pool, runtime};

pub(crate) fn send_code(dc: &TestDc, phone: &str) -> functions::auth::SendCode {
    let settings = types::CodeSettings {
        allow_flashcall: false,
        current_number: false,
        allow_app_hash: false,
        allow_missed_call: false,
        allow_firebase: false,
        unknown_number: false,
        logout_tokens: None,
        token: None,
        app_sandbox: None,
    };
    functions::auth::SendCode {
        phone_number: phone.to_owned(),
        api_id: dc.api_id(),
        api_hash: dc.api_hash(),
        settings: settings.into(),
    }
}

fn sign_in(phone: &str, hash: &str, code: &str) -> functions::auth::SignIn {
    functions::auth::SignIn {
        phone_number: phone.to_owned(),
        phone_code_hash: hash.to_owned(),
        phone_code: Some(code.to_owned()),
        email_verification: None,
    }
}

/// A fresh question, and the answer to it that somebody with this password gives.
pub(crate) async fn check_password(pool: &Pool, dc: i32, password: &str) -> functions::auth::CheckPassword {
    let question = pool.call_on(dc, &functions::account::GetPassword {}).await.expect("a question");
    let enums::account::Password::Password(question) = question;
    assert!(question.has_password && question.hint.is_some());
    let Some(enums::PasswordKdfAlgo::Sha256Sha256Pbkdf2Hmacsha512iter100000Sha256ModPow(algorithm)) =
        question.current_algo
    else {
        panic!("no algorithm")
    };
    let types::PasswordKdfAlgoSha256Sha256Pbkdf2Hmacsha512iter100000Sha256ModPow { salt1, salt2, g, p } =
        algorithm;
    let b = question.srp_b.expect("has_password");
    let (m1, a) = calculate_2fa(&salt1, &salt2, &p, &g, b, vec![77; 256], password);
    let srp_id = question.srp_id.expect("has_password");
    let password = types::InputCheckPasswordSrp { srp_id, a: a.to_vec(), m1: m1.to_vec() };
    functions::auth::CheckPassword { password: password.into() }
}

#[test]
fn by_code_on_the_right_dc() {
    let dc = TestDc::start(World::example()).unwrap();
    let (first, second) = (dc.new_key(2), dc.new_key(1));
    let phone = "+1 555 0100002";
    runtime().block_on(async {
        let pool = pool(&dc, &[&first, &second]);
        assert_eq!(name_of(pool.call(&get_self()).await).1, "AUTH_KEY_UNREGISTERED");
        let migrate = name_of(pool.call(&send_code(&dc, phone)).await);
        assert_eq!(migrate, (303, "PHONE_MIGRATE".to_owned(), Some(1)));
        assert_eq!(name_of(pool.call(&send_code(&dc, "+1999")).await).1, "PHONE_NUMBER_INVALID");
        let wrong = functions::auth::SendCode { api_hash: "wrong".into(), ..send_code(&dc, phone) };
        assert_eq!(name_of(pool.call_on(1, &wrong).await).1, "API_ID_INVALID");

        let enums::auth::SentCode::Code(sent) = pool.call_on(1, &send_code(&dc, phone)).await.unwrap() else {
            panic!("another answer")
        };
        assert!(matches!(sent.r#type, enums::auth::SentCodeType::App(_)) && sent.timeout == Some(60));
        let hash = sent.phone_code_hash;
        let resend = functions::auth::ResendCode {
            phone_number: phone.to_owned(),
            phone_code_hash: hash.clone(),
            reason: None,
        };
        let ways: Vec<_> = [(); 2].map(|()| resend.clone()).into();
        for request in ways {
            pool.call_on(1, &request).await.unwrap();
        }
        assert_eq!(name_of(pool.call_on(1, &resend).await).1, "SEND_CODE_UNAVAILABLE");
        let by: Vec<_> = dc.codes().iter().map(|code| code.by).collect();
        assert_eq!(by, [CodeBy::App, CodeBy::Sms, CodeBy::Call]);

        let expired = pool.call_on(1, &sign_in(phone, "0", "22222")).await;
        assert_eq!(name_of(expired).1, "PHONE_CODE_EXPIRED");
        let invalid = pool.call_on(1, &sign_in(phone, &hash, "11111")).await;
        assert_eq!(name_of(invalid).1, "PHONE_CODE_INVALID");
        let code = dc.codes()[0].code.clone();
        pool.call_on(1, &sign_in(phone, &hash, &code)).await.unwrap();
        assert_eq!(pool.call_on(1, &get_self()).await.unwrap().len(), 1);

        assert_eq!(dc.sessions(World::BOB).len(), 1);
        pool.call_on(1, &functions::auth::LogOut {}).await.unwrap();
        assert_eq!(name_of(pool.call_on(1, &get_self()).await).1, "AUTH_KEY_UNREGISTERED");
    });
}

#[test]
fn the_password_is_due_and_checked() {
    let dc = TestDc::start(World::example()).unwrap();
    let key = dc.new_key(2);
    let phone = "+15550100001";
    runtime().block_on(async {
        let pool = pool(&dc, &[&key]);
        let enums::auth::SentCode::Code(sent) = pool.call(&send_code(&dc, phone)).await.unwrap() else {
            panic!("another answer")
        };
        let due = pool.call(&sign_in(phone, &sent.phone_code_hash, "22222")).await;
        assert_eq!(name_of(due), (401, "SESSION_PASSWORD_NEEDED".to_owned(), None));
        assert_eq!(name_of(pool.call(&get_self()).await).1, "SESSION_PASSWORD_NEEDED");

        let wrong = check_password(&pool, 2, "wrong").await;
        assert_eq!(name_of(pool.call(&wrong).await).1, "PASSWORD_HASH_INVALID");
        // A question is good for one answer.
        assert_eq!(name_of(pool.call(&wrong).await).1, "SRP_ID_INVALID");
        let right = check_password(&pool, 2, "correct horse").await;
        pool.call(&right).await.unwrap();
        assert_eq!(pool.call(&get_self()).await.unwrap().len(), 1);
    });
    assert_eq!(dc.sessions(World::ALICE)[0].key_id, key.key_id);
}

#[test]
fn the_sessions_of_an_account_are_listed_and_ended() {
    let dc = TestDc::start(World::example()).unwrap();
    let (own, other) = (dc.new_session(World::ALICE, 2), dc.new_session(World::ALICE, 2));
    runtime().block_on(async {
        let (mine, theirs) = (pool(&dc, &[&own]), pool(&dc, &[&other]));
        theirs.call(&get_self()).await.unwrap();
        let ttl = functions::account::SetAuthorizationTtl { authorization_ttl_days: 365 };
        assert!(mine.call(&ttl).await.unwrap());
        let list = mine.call(&functions::account::GetAuthorizations {}).await.unwrap();
        let enums::account::Authorizations::Authorizations(list) = list;
        assert_eq!(list.authorization_ttl_days, 365);
        let [enums::Authorization::Authorization(first), enums::Authorization::Authorization(second)] =
            &list.authorizations[..]
        else {
            panic!("{list:?}")
        };
        assert!(first.current && first.hash == 0 && !second.current && second.api_id == dc.api_id());
        let reset = functions::account::ResetAuthorization { hash: second.hash };
        assert!(mine.call(&reset).await.unwrap());
        assert_eq!(name_of(theirs.call(&get_self()).await).1, "AUTH_KEY_UNREGISTERED");
        assert_eq!(name_of(mine.call(&reset).await).1, "HASH_INVALID");
    });
}

#[test]
fn a_sign_in_goes_to_another_dc() {
    let dc = TestDc::start(World::example()).unwrap();
    let (home, media) = (dc.new_session(World::ALICE, 2), dc.new_key(1));
    let elsewhere = dc.new_session(World::ALICE, 1);
    runtime().block_on(async {
        let hers = pool(&dc, &[&home, &media]);
        let export = hers.call(&functions::auth::ExportAuthorization { dc_id: 1 }).await.unwrap();
        let enums::auth::ExportedAuthorization::Authorization(export) = export;
        let import = functions::auth::ImportAuthorization { id: export.id, bytes: export.bytes };
        hers.call_on(1, &import).await.unwrap();
        assert_eq!(hers.call_on(1, &get_self()).await.unwrap().len(), 1);
        assert_eq!(name_of(hers.call_on(1, &import).await).1, "AUTH_BYTES_INVALID");
        // Without that, the account's own DC must be asked.
        let failed = name_of(pool(&dc, &[&elsewhere]).call(&get_self()).await);
        assert_eq!(failed, (303, "USER_MIGRATE".to_owned(), Some(2)));
    });
}
