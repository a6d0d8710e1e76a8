//! Signing in by QR code, accepted by a standby session.

use std::time::Duration;

use grammers_mtsender::InvocationError;
use grammers_session::updates::UpdatesLike;
use grammers_tl_types::{enums, functions, types};
use tgs_testdc::{TestDc, World};

use crate::{
    client::{LONG, Pool, get_self, name_of, pool, runtime},
    sign_in::check_password,
};

fn export(dc: &TestDc) -> functions::auth::ExportLoginToken {
    functions::auth::ExportLoginToken { api_id: dc.api_id(), api_hash: dc.api_hash(), except_ids: Vec::new() }
}

async fn new_token(dc: &TestDc, pool: &Pool) -> Vec<u8> {
    let enums::auth::LoginToken::Token(token) = pool.call(&export(dc)).await.expect("an answer") else {
        panic!("no token")
    };
    token.token
}

async fn accept(pool: &Pool, token: Vec<u8>) -> Result<enums::Authorization, InvocationError> {
    pool.call(&functions::auth::AcceptLoginToken { token }).await
}

/// Waits for `updateLoginToken`.
async fn await_token_update(pool: &mut Pool) {
    let update = tokio::time::timeout(LONG, pool.updates.recv()).await.expect("an update in time");
    let Some(UpdatesLike::Updates(enums::Updates::UpdateShort(short))) = update else {
        panic!("another update")
    };
    assert_eq!(short.update, enums::Update::LoginToken);
}

#[test]
fn on_the_same_dc() {
    let dc = TestDc::start(World::example()).unwrap();
    let (fresh, standby) = (dc.new_key(1), dc.new_session(World::BOB, 1));
    runtime().block_on(async {
        let (mut new, standby) = (pool(&dc, &[&fresh]), pool(&dc, &[&standby]));
        let token = new_token(&dc, &new).await;
        let import = functions::auth::ImportLoginToken { token: token.clone() };
        assert_eq!(name_of(new.call(&import).await).1, "AUTH_TOKEN_INVALID");
        let enums::Authorization::Authorization(accepted) = accept(&standby, token.clone()).await.unwrap();
        assert_eq!((accepted.api_id, accepted.current), (dc.api_id(), false));
        await_token_update(&mut new).await;
        assert_eq!(name_of(accept(&standby, token).await).1, "AUTH_TOKEN_ALREADY_ACCEPTED");
        let enums::auth::LoginToken::Success(_) = new.call(&export(&dc)).await.unwrap() else {
            panic!("no success")
        };
        assert_eq!(new.call(&get_self()).await.unwrap().len(), 1);
    });
    assert_eq!(dc.sessions(World::BOB).len(), 2);
}

#[test]
fn with_migration_and_a_password() {
    let dc = TestDc::start(World::example()).unwrap();
    let (here, there) = (dc.new_key(1), dc.new_key(2));
    let standby = dc.new_session(World::ALICE, 2);
    runtime().block_on(async {
        let (mut new, standby) = (pool(&dc, &[&here, &there]), pool(&dc, &[&standby]));
        let token = new_token(&dc, &new).await;
        accept(&standby, token).await.unwrap();
        await_token_update(&mut new).await;
        let enums::auth::LoginToken::MigrateTo(to) = new.call(&export(&dc)).await.unwrap() else {
            panic!("no migration")
        };
        assert_eq!(to.dc_id, 2);
        let import = functions::auth::ImportLoginToken { token: to.token };
        let due = new.call_on(2, &import).await;
        assert_eq!(name_of(due), (401, "SESSION_PASSWORD_NEEDED".to_owned(), None));
        let right = check_password(&new, 2, "correct horse").await;
        let types::auth::Authorization { user, .. } = match new.call_on(2, &right).await.unwrap() {
            enums::auth::Authorization::Authorization(authorization) => authorization,
            other @ enums::auth::Authorization::SignUpRequired(_) => panic!("{other:?}"),
        };
        assert_eq!(user.id(), World::ALICE);
        assert_eq!(new.call_on(2, &get_self()).await.unwrap().len(), 1);
    });
}

#[test]
fn a_password_is_due_on_the_same_dc_too() {
    let dc = TestDc::start(World::example()).unwrap();
    let (fresh, standby) = (dc.new_key(2), dc.new_session(World::ALICE, 2));
    runtime().block_on(async {
        let (mut new, standby) = (pool(&dc, &[&fresh]), pool(&dc, &[&standby]));
        let token = new_token(&dc, &new).await;
        accept(&standby, token).await.unwrap();
        await_token_update(&mut new).await;
        for _ in 0..2 {
            assert_eq!(name_of(new.call(&export(&dc)).await).1, "SESSION_PASSWORD_NEEDED");
        }
    });
}

#[test]
fn tokens_expire() {
    let dc = TestDc::start(World { login_token_life: Duration::ZERO, ..World::example() }).unwrap();
    let (fresh, standby) = (dc.new_key(1), dc.new_session(World::BOB, 1));
    runtime().block_on(async {
        let (new, standby) = (pool(&dc, &[&fresh]), pool(&dc, &[&standby]));
        let token = new_token(&dc, &new).await;
        assert_eq!(name_of(accept(&standby, token.clone()).await).1, "AUTH_TOKEN_EXPIRED");
        let import = functions::auth::ImportLoginToken { token };
        assert_eq!(name_of(new.call(&import).await).1, "AUTH_TOKEN_EXPIRED");
        assert_eq!(name_of(accept(&standby, vec![0; 32]).await).1, "AUTH_TOKEN_INVALID");
        assert_eq!(name_of(accept(&new, vec![0; 32]).await).1, "AUTH_KEY_UNREGISTERED");
    });
}
