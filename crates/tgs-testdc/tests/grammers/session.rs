//! A session that is signed in already, as most tests of other crates use it.

use crate::client::{bare, example, get_self, init, pool, runtime};
use grammers_tl_types::{enums, functions};
use tgs_testdc::World;

#[test]
fn a_given_session_says_who_it_is() {
    let (dc, session) = example();
    runtime().block_on(async {
        let pool = pool(&dc, &[&session]);
        let users = pool.call(&get_self()).await.unwrap();
        let [enums::User::User(me)] = &users[..] else { panic!("{users:?}") };
        assert_eq!((me.id, me.is_self, me.first_name.as_deref()), (World::ALICE, true, Some("Alice")));
        // Pings go by the same way.
        let ping = functions::Ping { ping_id: 5 };
        let enums::Pong::Pong(answer) = pool.call(&ping).await.unwrap();
        assert_eq!(answer.ping_id, 5);
    });
    assert_eq!(dc.count("users.getUsers"), 1);
    assert!(dc.requests().iter().any(|r| r.method == "users.getUsers" && r.session == session.key_id));
}

#[test]
fn a_bare_connection_asks_in_its_first_message() {
    let (dc, session) = example();
    runtime().block_on(async {
        let mut sender = bare(&session).await;
        let users = sender.invoke(&init(dc.api_id(), get_self())).await.unwrap();
        assert_eq!(users.len(), 1);
    });
}
