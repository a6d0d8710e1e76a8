//! Signing in by a QR code that another session of the account scans.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tgs_testdc::World;

use crate::{
    harness::{Home, base64url, with_value},
    terminal::Run,
};

/// The last line of a drawn code: it is all there. Then what it shows is scanned by a session of
/// the account.
pub(crate) fn scan(home: &Home, run: &mut Run<'_>, account: i64) -> Vec<u8> {
    run.expect("then point the camera here.");
    for _ in 0..20 {
        run.expect("\u{1b}[0m\r\n");
    }
    let token = home.dc.login_tokens().pop().unwrap();
    let (mut approver, _) = home.open(&home.session(account).telethon_string()).unwrap();
    approver.accept_login_token(&token).unwrap();
    token
}

#[test]
fn a_brand_new_login_by_qr_code_and_password() {
    let home = Home::new();
    home.write_env("SESSION_STRING='x y'");
    let before = home.env();
    let mut run = home.at_terminal(&["--write-env"]);
    run.expect("1 or 2 [1]: ").enter("");
    let token = scan(&home, &mut run, World::ALICE);
    run.expect("not shown: ").enter("correct horse");
    let said = run.end().ok();
    // Off the screen: the cursor goes up and clears.
    assert!(said.err.contains("F\u{1b}[J"), "{}", said.err);
    assert!(!said.err.contains(&base64url(&token)) && said.out.is_empty());
    let new = home.value("SESSION_STRING");
    assert_eq!(home.env(), with_value(&before, "SESSION_STRING", "'x y'", &format!("'{new}'")));
    assert_eq!(home.open(&new).unwrap().1.id, World::ALICE);
}

#[test]
fn it_follows_to_the_dc_where_the_account_lives() {
    let home = Home::new();
    let mut run = home.at_terminal(&["--qr"]);
    scan(&home, &mut run, World::BOB);
    let said = run.end().ok();
    assert_eq!(home.open(said.out.trim_end()).unwrap().1.id, World::BOB);
    assert_eq!(home.dc.sessions(World::BOB).last().unwrap().dc_id, 1);
    assert_eq!(home.dc.count("auth.importLoginToken"), 1);
}

#[test]
fn an_expired_code_is_drawn_anew() {
    let mut world = World::example();
    world.login_token_life = Duration::from_secs(5);
    let home = Home::of(world);
    let mut run = home.at_terminal(&["--qr"]);
    run.expect("camera here.").expect("F\u{1b}[J");
    assert!(home.dc.wait_for("auth.exportLoginToken", 2, Duration::from_secs(30)));
    run.expect("\u{1b}[0m\r\n");
    run.signal(Signal::TERM);
    run.end().fails(1, "it was stopped");
}

#[test]
fn a_signal_ends_it_at_once_and_takes_the_code_off_the_screen() {
    let home = Home::new();
    home.write_env("SESSION_STRING=old");
    let before = home.env();
    let mut run = home.at_terminal(&["--qr", "--write-env"]);
    run.expect("\u{1b}[0m\r\n");
    let began = Instant::now();
    run.signal(Signal::INT);
    let said = run.end().fails(1, "failed to finish: it was stopped, and nothing was changed");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(said.err.contains("F\u{1b}[J"));
    assert_eq!(home.env(), before);
}

#[test]
fn a_lost_connection_while_it_waits_is_made_again() {
    let home = Home::new();
    let mut run = home.at_terminal(&["--qr"]);
    run.expect("camera here.").expect("\u{1b}[0m\r\n");
    home.dc.hang_up(None);
    assert!(home.dc.wait_for("auth.exportLoginToken", 2, Duration::from_secs(30)));
    run.expect("F\u{1b}[J");
    for _ in 0..20 {
        run.expect("\u{1b}[0m\r\n");
    }
    let token = home.dc.login_tokens().pop().unwrap();
    let (mut approver, _) = home.open(&home.session(World::BOB).telethon_string()).unwrap();
    approver.accept_login_token(&token).unwrap();
    run.end().ok();
}
