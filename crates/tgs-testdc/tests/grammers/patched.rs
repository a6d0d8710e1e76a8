//! Key exchanges by the unmodified client: in a copy of this test program, the RSA key compiled
//! into it is replaced by the test DC's. The copy then runs one more test.

use std::{env, fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use grammers_session::{SessionData, storages::MemorySession};
use grammers_tl_types::{enums, functions};
use tgs_core::{cancel::Cancel, proxy::ProxyList, secret::Secret};
use tgs_telegram::{App, ErrorClass, TelegramClient, session::string::SessionString};
use tgs_testdc::{At, Fault, TestDc, When, World};

use crate::client::{dc_option, example, get_self, pool_of, runtime};

/// The beginning of the modulus that grammers 0.11 has for the production servers; the whole is 617
/// digits.
const BUILT_IN: &[u8] = b"2937959817066933702298617714945612856538843112005886376816255642404751219133084745514657634448776440866170189";
/// What tells the copy where DC 2 is; where DC 1 is, it learns there.
const PORT: &str = "TGS_TESTDC_PORT";
/// The session that the copy opens, and how often the DC has refused its key.
const SESSION: &str = "TGS_TESTDC_SESSION";
const REPLACED: &str = "TGS_TESTDC_REPLACED";

/// Runs one ignored test of this program in a copy of it that has the test DC's RSA key.
fn run_copy(test: &str, dc: &TestDc, variables: &[(&str, &str)]) {
    let mut program = fs::read(env::current_exe().expect("has a path")).expect("can be read");
    let places: Vec<_> = (0..program.len() - BUILT_IN.len())
        .filter(|&place| program[place] == b'2' && program[place..].starts_with(BUILT_IN))
        // The constant above is there too, and is shorter.
        .filter(|&place| program[place..place + 617].iter().all(u8::is_ascii_digit))
        .collect();
    let [place] = places[..] else { panic!("the modulus is there {} times", places.len()) };
    program[place..place + 617].copy_from_slice(dc.rsa_public().0.as_bytes());
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("grammers-with-our-key-{test}"));
    fs::write(&copy, program).expect("can be written");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("is ours");

    let mut child = Command::new(&copy);
    child.args(["--exact", &format!("patched::{test}"), "--ignored"]).envs(variables.iter().copied());
    let output = child.output().expect("can be run");
    fs::remove_file(copy).expect("is ours");
    let said = String::from_utf8([output.stdout, output.stderr].concat()).expect("is text");
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn signs_in_from_nothing() {
    let dc = TestDc::start(World::example()).unwrap();
    run_copy("inside_the_copy", &dc, &[(PORT, &dc.addr(2).port().to_string())]);
    let sessions = dc.sessions(World::BOB);
    assert_eq!((sessions.len(), sessions[0].dc_id), (1, 1));
}

/// Here the pool's new key comes about; without the patch, its exchange fails at the RSA key.
#[test]
fn a_signed_in_key_is_never_replaced() {
    let (dc, session) = example();
    dc.fault(Fault::Transport(-404), When::at(At::Init).times(1));
    let text = session.telethon_string();
    run_copy("keeps_its_key", &dc, &[(SESSION, &text), (REPLACED, "once")]);
    assert_eq!(dc.sessions(World::ALICE).len(), 1);

    // One exchange of keys after each of the four connections that were refused.
    dc.forget_key(session.key_id);
    let made = dc.count("req_pq_multi");
    run_copy("keeps_its_key", &dc, &[(SESSION, &text), (REPLACED, "always")]);
    assert_eq!(dc.count("req_pq_multi") - made, 4);
}

#[test]
#[ignore = "runs in the copy that a_signed_in_key_is_never_replaced makes"]
fn keeps_its_key() {
    let variable = |name| env::var_os(name).expect("is run by the other test").into_string().unwrap();
    let session = SessionString::decode(&variable(SESSION)).unwrap();
    let app = App {
        api_id: World::example().api_id,
        api_hash: Secret::new(String::new()),
        device: "test",
        proxies: ProxyList::default(),
    };
    let opened = TelegramClient::connect(app, &session, &Cancel::new());
    if variable(REPLACED) == "once" {
        let (mut connection, me) = opened.unwrap();
        assert_eq!((me.id, connection.self_user().unwrap()), (World::ALICE, me.clone()));
        assert_eq!(connection.session().unwrap().key, session.key);
    } else {
        let error = opened.unwrap_err();
        assert_eq!((error.class, &error.name[..]), (ErrorClass::Session, "transport error 404"));
    }
}

#[test]
#[ignore = "runs in the copy that signs_in_from_nothing makes"]
fn inside_the_copy() {
    let port: u16 = env::var_os(PORT).expect("is run by the other test").to_str().unwrap().parse().unwrap();
    let world = World::example();
    let bob = &world.accounts[1];
    let mut data = SessionData { home_dc: 2, ..SessionData::default() };
    data.dc_options.clear();
    data.dc_options.insert(2, dc_option(2, ([127, 0, 0, 1], port).into(), None));
    runtime().block_on(async {
        let mut pool = pool_of(MemorySession::from(data), world.api_id);
        // No key yet: the pool makes one, on DC 2, and another one on DC 1 where Bob lives.
        let token = pool.client.request_login_code(&bob.phone, &world.api_hash).await.unwrap();
        let user = pool.client.sign_in(&token, &bob.code).await.unwrap();
        assert_eq!(user.id().bare_id(), Some(World::BOB));
        assert!(matches!(&pool.call(&get_self()).await.unwrap()[..], [enums::User::User(me)] if me.is_self));
        pool.call(&functions::updates::GetState {}).await.unwrap();
        pool.updates.close();
    });
}
