//! Making the standby session.

use tgs_testdc::World;

use crate::harness::{Home, with_value};

const CODE: &str = "22222";

#[test]
fn it_is_of_the_same_account_and_has_a_line_of_its_own() {
    let home = Home::new();
    let primary = home.session(World::BOB).telethon_string();
    home.write_env(&format!("SESSION_STRING={primary}\nSTANDBY_SESSION_STRING="));
    let before = home.env();
    let mut run = home.at_terminal(&["--standby", "--phone", "+15550100002", "--write-env"]);
    run.expect("Code").enter(CODE).expect("STANDBY_SESSION_STRING in ").expect("is new: signed in as Bob");
    run.end().ok();
    let new = home.value("STANDBY_SESSION_STRING");
    assert_eq!(home.env(), with_value(&before, "STANDBY_SESSION_STRING", "", &new));
    assert_ne!(new, primary);
    assert_eq!(home.open(&new).unwrap().1.id, World::BOB);
}

#[test]
fn one_of_another_account_is_refused_and_ended() {
    let home = Home::new();
    home.write_env(&format!("SESSION_STRING={}", home.session(World::ALICE).telethon_string()));
    let before = home.env();
    let mut run = home.at_terminal(&["--standby", "--phone", "+15550100002", "--write-env"]);
    run.expect("Code").enter(CODE).expect("The new session was ended again.");
    run.end().fails(1, "is another account than that of SESSION_STRING (5000000001)");
    assert_eq!(home.env(), before);
    assert_eq!(home.dc.sessions(World::BOB), []);
}

#[test]
fn where_the_primary_is_dead_the_account_is_not_checked() {
    let home = Home::new();
    let dead = home.session(World::BOB);
    home.dc.revoke(dead.key_id);
    home.write_env(&format!("SESSION_STRING={}", dead.telethon_string()));
    let mut run = home.at_terminal(&["--standby", "--phone", "+15550100002"]);
    run.expect("The account of SESSION_STRING is unknown").expect("Code").enter(CODE);
    run.end().ok();
}
