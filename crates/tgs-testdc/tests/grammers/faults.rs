//! Every fault as the client sees it.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use grammers_mtproto::{mtp, transport};
use grammers_mtsender::{InvocationError, Sender, ServerAddr};
use grammers_tl_types::{Identifiable, RemoteCall, Serializable, functions, types};
use tgs_testdc::{At, Fault, TestDc, When, World};

use crate::client::{LONG, Pool, bare, example, get_self, init, name_of, pool, pool_with, runtime};

/// The names of the facts' tables, as Telegram sends them, and what the client makes of them.
const ERRORS: [(&str, i32, &str, Option<u32>); 44] = [
    ("AUTH_KEY_UNREGISTERED", 401, "AUTH_KEY_UNREGISTERED", None),
    ("AUTH_KEY_INVALID", 401, "AUTH_KEY_INVALID", None),
    ("SESSION_REVOKED", 401, "SESSION_REVOKED", None),
    ("SESSION_EXPIRED", 401, "SESSION_EXPIRED", None),
    ("AUTH_KEY_DUPLICATED", 406, "AUTH_KEY_DUPLICATED", None),
    ("USER_DEACTIVATED", 401, "USER_DEACTIVATED", None),
    ("USER_DEACTIVATED_BAN", 401, "USER_DEACTIVATED_BAN", None),
    ("PHONE_NUMBER_BANNED", 400, "PHONE_NUMBER_BANNED", None),
    ("FROZEN_METHOD_INVALID", 420, "FROZEN_METHOD_INVALID", None),
    ("FLOOD_WAIT_31", 420, "FLOOD_WAIT", Some(31)),
    ("FLOOD_PREMIUM_WAIT_7", 420, "FLOOD_PREMIUM_WAIT", Some(7)),
    // The client takes the first number for the value: 2 seconds, not 3600.
    ("2FA_CONFIRM_WAIT_3600", 420, "2FA_CONFIRM_WAIT_3600", Some(2)),
    ("RPC_CALL_FAIL", 500, "RPC_CALL_FAIL", None),
    ("INTERNAL_SERVER_ERROR", 500, "INTERNAL_SERVER_ERROR", None),
    ("Timeout", -503, "Timeout", None),
    ("CONNECTION_NOT_INITED", 400, "CONNECTION_NOT_INITED", None),
    ("CHAT_ADMIN_REQUIRED", 400, "CHAT_ADMIN_REQUIRED", None),
    ("RIGHT_FORBIDDEN", 403, "RIGHT_FORBIDDEN", None),
    ("CHAT_FORBIDDEN", 403, "CHAT_FORBIDDEN", None),
    ("CHAT_WRITE_FORBIDDEN", 403, "CHAT_WRITE_FORBIDDEN", None),
    ("CHAT_RESTRICTED", 400, "CHAT_RESTRICTED", None),
    ("USER_NOT_PARTICIPANT", 400, "USER_NOT_PARTICIPANT", None),
    ("USER_BANNED_IN_CHANNEL", 400, "USER_BANNED_IN_CHANNEL", None),
    ("BROADCAST_CALLS_DISABLED", 400, "BROADCAST_CALLS_DISABLED", None),
    ("PEER_ID_INVALID", 400, "PEER_ID_INVALID", None),
    ("CHANNEL_INVALID", 400, "CHANNEL_INVALID", None),
    ("CHANNEL_PRIVATE", 400, "CHANNEL_PRIVATE", None),
    ("CHANNEL_BANNED", 400, "CHANNEL_BANNED", None),
    ("CHAT_ID_INVALID", 400, "CHAT_ID_INVALID", None),
    ("USERNAME_INVALID", 400, "USERNAME_INVALID", None),
    ("USERNAME_NOT_OCCUPIED", 400, "USERNAME_NOT_OCCUPIED", None),
    ("GROUPCALL_INVALID", 400, "GROUPCALL_INVALID", None),
    ("GROUPCALL_FORBIDDEN", 403, "GROUPCALL_FORBIDDEN", None),
    ("GROUPCALL_ALREADY_STARTED", 400, "GROUPCALL_ALREADY_STARTED", None),
    ("GROUPCALL_ALREADY_DISCARDED", 400, "GROUPCALL_ALREADY_DISCARDED", None),
    ("CREATE_CALL_FAILED", 400, "CREATE_CALL_FAILED", None),
    ("API_ID_INVALID", 400, "API_ID_INVALID", None),
    ("API_ID_PUBLISHED_FLOOD", 400, "API_ID_PUBLISHED_FLOOD", None),
    ("SESSION_PASSWORD_NEEDED", 401, "SESSION_PASSWORD_NEEDED", None),
    ("PHONE_MIGRATE_1", 303, "PHONE_MIGRATE", Some(1)),
    ("USER_MIGRATE_1", 303, "USER_MIGRATE", Some(1)),
    ("SCHEDULE_DATE_INVALID", 400, "SCHEDULE_DATE_INVALID", None),
    ("AUTH_RESTART", 500, "AUTH_RESTART", None),
    ("BOT_METHOD_INVALID", 400, "BOT_METHOD_INVALID", None),
];

#[test]
fn every_error_arrives_by_its_name_at_the_connect_and_later() {
    let (dc, session) = example();
    runtime().block_on(async {
        let mut sender = bare(&session).await;
        for (sent, code, name, value) in ERRORS {
            for at in [At::Init, At::Later, At::Call] {
                dc.fault(Fault::named(sent), When::at(at).times(1));
                // The same connection goes on: an error is an answer.
                let first = sender.invoke(&init(dc.api_id(), get_self())).await;
                let failed = if at == At::Later { sender.invoke(&get_self()).await } else { first };
                assert_eq!(name_of(failed), (code, name.to_owned(), value), "{at:?}");
                assert!(dc.faults().is_empty());
            }
        }
        assert_eq!(sender.invoke(&get_self()).await.unwrap().len(), 1);
    });
}

#[test]
fn a_fault_can_be_for_one_session_and_one_method() {
    let (dc, alice) = example();
    let bob = dc.new_session(World::BOB, 1);
    let id = dc.fault(Fault::named("SESSION_REVOKED"), When::method("users.getUsers").session(alice.key_id));
    runtime().block_on(async {
        let (hers, his) = (pool(&dc, &[&alice]), pool(&dc, &[&bob]));
        hers.call(&functions::updates::GetState {}).await.unwrap();
        his.call(&get_self()).await.unwrap();
        for _ in 0..3 {
            assert_eq!(name_of(hers.call(&get_self()).await).1, "SESSION_REVOKED");
        }
        assert!(dc.clear_fault(id) && !dc.clear_fault(id));
        hers.call(&get_self()).await.unwrap();
    });
}

#[test]
fn a_revoked_session_and_a_wrong_application_are_reported() {
    let (dc, session) = example();
    runtime().block_on(async {
        let stranger = pool_with(&dc, &[&session], dc.api_id() + 1);
        assert_eq!(name_of(stranger.call(&get_self()).await).1, "CONNECTION_API_ID_INVALID");
        let pool = pool(&dc, &[&session]);
        pool.call(&get_self()).await.unwrap();
        assert!(dc.revoke(session.key_id) && !dc.revoke(session.key_id));
        assert_eq!(name_of(pool.call(&get_self()).await).1, "AUTH_KEY_UNREGISTERED");
        assert!(dc.sessions(World::ALICE).is_empty());
    });
}

#[test]
fn a_call_before_init_connection_is_refused() {
    let (dc, session) = example();
    runtime().block_on(async {
        let mut sender = bare(&session).await;
        assert_eq!(name_of(sender.invoke(&get_self()).await).1, "CONNECTION_NOT_INITED");
        sender.invoke(&init(dc.api_id(), functions::help::GetConfig {})).await.unwrap();
        sender.invoke(&get_self()).await.unwrap();
    });
}

fn status<T>(result: Result<T, InvocationError>) -> u32 {
    match result {
        Err(InvocationError::Transport(transport::Error::BadStatus { status })) => status,
        Err(other) => panic!("not a transport error: {other:?}"),
        Ok(_) => panic!("no error at all"),
    }
}

#[test]
fn transport_errors_arrive_as_such() {
    let (dc, session) = example();
    runtime().block_on(async {
        for code in [-404, -429] {
            for when in [When::at(At::Accept), When::at(At::Init), When::method("users.getUsers")] {
                dc.fault(Fault::Transport(code), when.times(1));
                let mut sender = bare(&session).await;
                let failed = sender.invoke(&init(dc.api_id(), get_self())).await;
                assert_eq!(status(failed), code.unsigned_abs());
            }
        }
        let mut sender = bare(&session).await;
        sender.invoke(&init(dc.api_id(), get_self())).await.unwrap();
        // A key that this DC has never seen, or no longer knows.
        dc.forget_key(session.key_id);
        let mut sender = bare(&session).await;
        assert_eq!(status(sender.invoke(&get_self()).await), 404);
    });
}

#[test]
fn silence_leaves_the_call_open_and_the_connection_too() {
    let (dc, session) = example();
    dc.fault(Fault::Silence, When::method("users.getUsers").times(1));
    runtime().block_on(async {
        let pool = pool(&dc, &[&session]);
        // The answer to the ping comes after the call has been passed over.
        let request = get_self();
        let call = pool.call(&request);
        let ping = async {
            pool.call(&functions::updates::GetState {}).await.unwrap();
            assert!(dc.wait_for("users.getUsers", 1, LONG));
            pool.call(&functions::Ping { ping_id: 1 }).await.unwrap();
        };
        tokio::select! {
            biased;
            answer = call => panic!("answered: {answer:?}"),
            () = ping => {}
        }
        pool.call(&get_self()).await.unwrap();
    });
}

/// That a connection says nothing can only be waited for.
const SHORT: Duration = Duration::from_millis(100);

#[test]
fn silence_at_the_connect_and_in_the_key_exchange() {
    let (dc, session) = example();
    runtime().block_on(async {
        dc.fault(Fault::Silence, When::at(At::Accept).times(1));
        let mut sender = bare(&session).await;
        let request = init(dc.api_id(), get_self());
        assert!(tokio::time::timeout(SHORT, sender.invoke(&request)).await.is_err());
        assert_eq!(dc.connections(), 0);
        dc.fault(Fault::Silence, When::method("req_pq_multi").times(1));
        let addr = ServerAddr::Tcp { address: session.addr };
        let mut sender = Sender::connect(transport::Full::new(), mtp::Plain::new(), addr).await.unwrap();
        let request = functions::ReqPqMulti { nonce: [1; 16] };
        assert!(tokio::time::timeout(SHORT, sender.invoke(&request)).await.is_err());
    });
}

#[test]
fn a_dropped_connection_is_an_error_and_the_client_connects_again() {
    let (dc, session) = example();
    runtime().block_on(async {
        for when in [When::at(At::Accept), When::at(At::Init), When::method("users.getUsers")] {
            let pool = pool(&dc, &[&session]);
            dc.fault(Fault::Drop, when.times(1));
            let failed = pool.call(&get_self()).await.expect_err("the connection was closed");
            assert!(matches!(failed, InvocationError::Io(_)), "{failed:?}");
            recovers(&pool).await;
            dc.hang_up(Some(session.key_id));
            recovers(&pool).await;
        }
    });
}

/// The pool notices the end of a connection some time after its calls do; until then it gives new
/// calls to it.
async fn recovers(pool: &Pool) {
    for _ in 0..100 {
        if pool.call(&get_self()).await.is_ok() {
            return;
        }
    }
    panic!("no new connection");
}

#[test]
fn garbage_breaks_the_connection_and_nothing_else() {
    let (dc, session) = example();
    runtime().block_on(async {
        for when in [When::at(At::Accept), When::at(At::Init), When::method("users.getUsers")] {
            dc.fault(Fault::Garbage, when.times(1));
            let mut sender = bare(&session).await;
            let failed = sender.invoke(&init(dc.api_id(), get_self())).await;
            let failed = failed.expect_err("garbage is no answer");
            assert!(
                matches!(failed, InvocationError::Transport(transport::Error::BadCrc { .. })),
                "{failed:?}"
            );
        }
        let mut sender = bare(&session).await;
        sender.invoke(&init(dc.api_id(), get_self())).await.unwrap();
    });
}

#[test]
fn a_slow_answer_holds_up_no_other() {
    let (dc, session) = example();
    let delay = Duration::from_secs(2);
    dc.fault(Fault::Delay(delay), When::method("users.getUsers").times(1));
    runtime().block_on(async {
        let pool = pool(&dc, &[&session]);
        pool.call(&functions::updates::GetState {}).await.unwrap();
        let began = Instant::now();
        let (request, state) = (get_self(), functions::updates::GetState {});
        let (slow, quick) = tokio::join!(
            async {
                pool.call(&request).await.unwrap();
                began.elapsed()
            },
            async {
                pool.call(&state).await.unwrap();
                began.elapsed()
            }
        );
        assert!(slow >= delay && quick < slow, "{slow:?} {quick:?}");
    });
}

#[test]
fn a_new_salt_makes_the_client_send_again() {
    let (dc, session) = example();
    runtime().block_on(async {
        let pool = pool(&dc, &[&session]);
        pool.call(&get_self()).await.unwrap();
        let before = dc.count("users.getUsers");
        dc.fault(Fault::BadSalt, When::method("users.getUsers").times(1));
        pool.call(&get_self()).await.unwrap();
        assert_eq!(dc.count("users.getUsers"), before + 2);
        for _ in 0..3 {
            pool.call(&get_self()).await.unwrap();
        }
    });
}

#[test]
fn whatever_bytes_come_the_others_are_served() {
    let (dc, session) = example();
    let mut seed = 1_u64;
    let mut noise = |length: usize| -> Vec<u8> {
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as u8
        };
        (0..length).map(|_| next()).collect()
    };
    for length in [0, 1, 4, 11, 64, 4096] {
        for first in [&[][..], &[0xef], &[0xee; 4], &[64, 0, 0, 0, 0, 0, 0, 0]] {
            let mut stream = TcpStream::connect(session.addr).unwrap();
            // The DC may have closed its side already.
            let _ = stream.write_all(&[first, &noise(length)].concat());
            let _ = stream.shutdown(Shutdown::Write);
            stream.set_read_timeout(Some(LONG)).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
    // A frame that is well-formed, with a key that is known and nothing behind it that is.
    for length in [0, 16, 32, 1040] {
        let mut payload = session.key_id.to_le_bytes().to_vec();
        payload.extend(noise(length));
        let mut stream = TcpStream::connect(session.addr).unwrap();
        let mut frame = vec![0xee; 4];
        frame.extend((payload.len() as u32).to_le_bytes());
        frame.extend(payload);
        stream.write_all(&frame).unwrap();
        let mut answer = Vec::new();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, [4_i32.to_le_bytes(), (-404_i32).to_le_bytes()].concat());
    }
    runtime().block_on(async {
        pool(&dc, &[&session]).call(&get_self()).await.unwrap();
    });
}

/// Some bytes in the place of a call.
struct Raw(Vec<u8>);

impl Serializable for Raw {
    fn serialize(&self, out: &mut impl Extend<u8>) {
        out.extend(self.0.iter().copied());
    }
}

impl RemoteCall for Raw {
    type Return = bool;
}

#[test]
fn whatever_a_call_holds_it_is_an_answer_or_an_error() {
    let (dc, session) = example();
    runtime().block_on(async {
        let mut sender = bare(&session).await;
        sender.invoke(&init(dc.api_id(), get_self())).await.unwrap();
        // users.getFullUser of a user from a message of a user from a message …: 4 bytes a level.
        let mut nested = functions::users::GetFullUser::CONSTRUCTOR_ID.to_le_bytes().to_vec();
        nested.extend(types::InputUserFromMessage::CONSTRUCTOR_ID.to_le_bytes());
        for _ in 0..8000 {
            nested.extend(types::InputPeerChannelFromMessage::CONSTRUCTOR_ID.to_le_bytes());
        }
        assert_eq!(name_of(sender.invoke(&Raw(nested.clone())).await).1, "INPUT_FETCH_ERROR");
        nested.extend([7; 1000]);
        assert_eq!(name_of(sender.invoke(&Raw(nested)).await).1, "INPUT_REQUEST_TOO_LONG");
        for id in [
            functions::messages::GetDialogs::CONSTRUCTOR_ID,
            functions::users::GetUsers::CONSTRUCTOR_ID,
            functions::auth::SendCode::CONSTRUCTOR_ID,
            functions::auth::CheckPassword::CONSTRUCTOR_ID,
            functions::phone::CreateGroupCall::CONSTRUCTOR_ID,
            functions::InitConnection::<()>::CONSTRUCTOR_ID,
            0x1234_5678,
        ] {
            for noise in [
                &[][..],
                &[0xff; 400],
                &[0xfe, 0xff, 0xff, 0xff],
                &[0x15, 0xc4, 0xb5, 0x1c, 0xff, 0xff, 0xff, 0xff],
            ] {
                let call = Raw([&id.to_le_bytes(), noise].concat());
                let (code, name, _) = name_of(sender.invoke(&call).await);
                assert!(code == 400 && ["INPUT_FETCH_ERROR", "METHOD_INVALID"].contains(&&*name), "{name}");
            }
        }
        sender.invoke(&get_self()).await.unwrap();
    });
}

#[test]
fn the_dc_stops_with_its_value_even_inside_a_runtime() {
    let addr = runtime().block_on(async {
        let dc = TestDc::start(World::example()).unwrap();
        dc.addr(1)
    });
    let Ok(mut stream) = TcpStream::connect(addr) else { return };
    // Accepted by the kernel before the listener was gone: nobody is behind it.
    stream.set_read_timeout(Some(LONG)).unwrap();
    assert!(matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)));
}
