//! A sign-in from nothing by the client as it is: the RSA key compiled into it is replaced by ours, in a copy of this
//! very test program, which then runs one test more.

use std::{env, fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use grammers_session::{SessionData, storages::MemorySession};
use grammers_tl_types::{enums, functions};
use tgs_testdc::{TestDc, World};

use crate::client::{dc_option, get_self, pool_of, runtime};

/// The beginning of the modulus that grammers 0.11 has for the production servers; the whole is 617 digits.
const BUILT_IN: &[u8] = b"2937959817066933702298617714945612856538843112005886376816255642404751219133084745514657634448776440866170189";
/// What tells the copy where DC 2 is; where DC 1 is, it learns there.
const PORT: &str = "TGS_TESTDC_PORT";

#[test]
fn signs_in_from_nothing() {
    let dc = TestDc::start(World::example()).unwrap();
    let mut program = fs::read(env::current_exe().unwrap()).unwrap();
    let places: Vec<_> = (0..program.len() - BUILT_IN.len())
        .filter(|&place| program[place] == b'2' && program[place..].starts_with(BUILT_IN))
        // The constant above is there too, and is shorter.
        .filter(|&place| program[place..place + 617].iter().all(u8::is_ascii_digit))
        .collect();
    let [place] = places[..] else { panic!("the modulus is there {} times", places.len()) };
    program[place..place + 617].copy_from_slice(dc.rsa_public().0.as_bytes());
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("grammers-with-our-key");
    fs::write(&copy, program).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();

    let mut child = Command::new(copy);
    child.args(["--exact", "patched::inside_the_copy", "--ignored"]).env(PORT, dc.addr(2).port().to_string());
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
    let sessions = dc.sessions(World::BOB);
    assert_eq!((sessions.len(), sessions[0].dc_id), (1, 1));
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
