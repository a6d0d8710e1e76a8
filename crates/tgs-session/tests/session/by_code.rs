//! Signing in by phone number and login code.

use rustix::process::Signal;
use tgs_testdc::{CodeBy, Fault, When, World};

use crate::harness::{Home, with_value};

const ALICE: &str = "+15550100001";
const BOB: &str = "+15550100002";
const CODE: &str = "22222";
const PASSWORD: &str = "correct horse";

#[test]
fn a_brand_new_login_with_code_and_password_ends_in_env() {
    let home = Home::new();
    home.write_env("SESSION_STRING=");
    let before = home.env();
    let mut run = home.at_terminal(&["--write-env"]);
    run.expect("1 or 2 [1]: ").enter("3").expect("1 or 2 [1]: ").enter("2");
    run.expect("Phone number with country code").enter("+1 (555) 010-0001");
    run.expect("sends the code in the Telegram app").expect("Code (5 characters)").enter(CODE);
    run.expect("Password of the account (hint: four words, or two), not shown: ").enter(PASSWORD);
    let said = run.end().ok();
    assert_eq!(said.out, "");
    assert!(said.last().starts_with("SESSION_STRING in "), "{}", said.err);
    assert!(said.last().ends_with(&format!("is new: signed in as Alice (@tgs_alice, {}).", World::ALICE)));
    let new = home.value("SESSION_STRING");
    assert_eq!(home.env(), with_value(&before, "SESSION_STRING", "", &new));
    assert_eq!(home.open(&new).unwrap().1.id, World::ALICE);
    assert_eq!(home.dc.sessions(World::ALICE).len(), 1);
}

#[test]
fn the_string_alone_goes_to_stdout_and_the_sign_in_follows_to_another_dc() {
    let home = Home::new();
    home.write_env(&format!("PHONE={BOB}"));
    let before = home.env();
    let mut run = home.at_terminal(&[]);
    run.expect("1 or 2").enter("2").expect("Code").enter(CODE);
    let said = run.end().ok();
    let string = said.out.strip_suffix('\n').unwrap();
    assert_eq!(home.open(string).unwrap().1.id, World::BOB);
    assert_eq!(home.dc.sessions(World::BOB)[0].dc_id, 1);
    assert!(!said.err.contains(string) && home.env() == before);
}

#[test]
fn a_wrong_password_may_be_typed_twice() {
    let home = Home::new();
    let mut run = home.at_terminal(&["--phone", ALICE, "--write-env"]);
    run.expect("Code").enter(CODE).expect("not shown: ").enter("wrong");
    run.expect("This is not the password").expect("not shown: ").enter("wrong again");
    run.expect("This is not the password").expect("not shown: ").enter(PASSWORD);
    run.end().ok();
    // The hint, then a fresh question for each try.
    assert_eq!(home.dc.count("account.getPassword"), 4);
    assert_eq!(home.open(&home.value("SESSION_STRING")).unwrap().1.id, World::ALICE);
}

#[test]
fn three_wrong_passwords_end_the_sign_in() {
    let home = Home::new();
    home.write_env("TWO_FA_PASSWORD='wrong for a start'");
    let before = home.env();
    let mut run = home.at_terminal(&["--phone", ALICE, "--write-env"]);
    run.expect("Code").enter(CODE).expect("TWO_FA_PASSWORD is not the password");
    run.expect("not shown: ").enter("wrong").expect("not shown: ").enter("wrong again");
    let said = run.end().fails(1, "PASSWORD_HASH_INVALID: the password is wrong");
    assert!(!said.err.contains("wrong again") && !said.err.contains("for a start"), "{}", said.err);
    assert_eq!(home.env(), before);
    assert_eq!(home.dc.count("auth.logOut"), 1);
}

#[test]
fn the_password_of_env_is_tried_first() {
    let home = Home::new();
    home.write_env(&format!("TWO_FA_PASSWORD='{PASSWORD}'"));
    let mut run = home.at_terminal(&["--phone", ALICE]);
    run.expect("Code").enter(CODE);
    let said = run.end().ok();
    assert_eq!(home.open(said.out.trim_end()).unwrap().1.id, World::ALICE);
}

#[test]
fn blanks_are_part_of_a_password() {
    let home = Home::new();
    home.dc.change(|world| world.accounts[0].password = Some(" a ä ".into()));
    let mut run = home.at_terminal(&["--phone", ALICE]);
    run.expect("Code").enter(CODE).expect("not shown: ").enter(" a ä ");
    run.end().ok();
}

#[test]
fn an_expired_code_is_followed_by_a_new_one() {
    let home = Home::new();
    home.dc.fault(Fault::named("PHONE_CODE_EXPIRED"), When::method("auth.signIn").times(1));
    let mut run = home.at_terminal(&["--phone", BOB]);
    run.expect("Code").enter(CODE).expect("The code has expired; a new one is on its way.");
    run.expect("Telegram sends the code").expect("Code").enter(CODE);
    run.end().ok();
    assert_eq!(home.dc.codes().len(), 2);
}

#[test]
fn a_wrong_code_can_be_mended_and_another_way_asked_for() {
    let home = Home::new();
    let mut run = home.at_terminal(&["--phone", BOB]);
    run.expect("to have it sent by SMS, after 60 s: ").enter("").expect("sends the code by SMS");
    run.expect("sent by a phone call").enter("11111").expect("The code is wrong.");
    run.expect("Code").enter(CODE);
    run.end().ok();
    let ways: Vec<_> = home.dc.codes().iter().map(|code| code.by).collect();
    assert_eq!(ways, [CodeBy::App, CodeBy::Sms]);
}

#[test]
fn three_wrong_codes_are_enough() {
    let home = Home::new();
    let mut run = home.at_terminal(&["--phone", BOB]);
    for _ in 0..3 {
        run.expect("Code (").enter("11111");
    }
    run.end().fails(1, "PHONE_CODE_INVALID: the code is wrong; enter the newest code again");
}

#[test]
fn a_code_by_email_and_one_that_cannot_be_sent_again() {
    let mut world = World::example();
    world.accounts[1].code_by = CodeBy::Email;
    let home = Home::of(world);
    let mut run = home.at_terminal(&["--phone", BOB]);
    run.expect("sends the code by e-mail to a***e@example.org").expect("Code (5 characters): ").enter("");
    run.expect("Telegram offers no other way to send it").expect("Code").enter(CODE);
    run.end().ok();
}

#[test]
fn what_telegram_refuses_is_reported_in_words() {
    let cases = [
        (
            "FLOOD_WAIT_600",
            "FLOOD_WAIT (wait 600 s): too many requests; Telegram asks to wait; try again after 20",
        ),
        ("PHONE_NUMBER_INVALID", "does not know such a phone number; write it with +"),
        ("PHONE_NUMBER_BANNED", "the phone number was banned by Telegram; contact Telegram"),
        ("PHONE_NUMBER_FLOOD", "too many codes were requested for this phone number; wait a day"),
        ("API_ID_INVALID", "API_ID and API_HASH do not belong together; copy"),
        ("AUTH_RESTART", "Telegram restarted the sign-in; try again"),
        ("PHONE_MIGRATE_9", "PHONE_MIGRATE_9: unknown to this version; report this name"),
    ];
    let home = Home::new();
    for (name, words) in cases {
        home.dc.clear_faults();
        home.dc.fault(Fault::named(name), When::method("auth.sendCode"));
        home.at_terminal(&["--phone", BOB, "--write-env"]).end().fails(1, words);
    }
    home.dc.clear_faults();
    home.at_terminal(&["--phone", "0170"]).end().fails(1, "write it with + and the country code");
}

#[test]
fn an_account_that_moves_between_code_and_sign_in_is_followed() {
    let home = Home::new();
    home.dc.fault(Fault::named("USER_MIGRATE_2"), When::method("auth.signIn").times(1));
    let mut run = home.at_terminal(&["--phone", BOB]);
    run.expect("Code").enter(CODE);
    let said = run.end().ok();
    assert_eq!(home.open(said.out.trim_end()).unwrap().1.id, World::BOB);
}

#[test]
fn silence_hangs_no_step() {
    let home = Home::new();
    home.write_env("TWO_FA_PASSWORD='correct horse'");
    let before = home.env();
    for step in
        ["auth.sendCode", "auth.signIn", "account.getPassword", "auth.checkPassword", "users.getUsers"]
    {
        home.dc.clear_faults();
        home.dc.fault(Fault::Silence, When::method(step));
        let mut run = home.at_terminal_in_a_hurry(&["--phone", ALICE, "--write-env"]);
        if step != "auth.sendCode" {
            run.expect("Code").enter(CODE);
        }
        run.end().fails(1, "timeout: Telegram does not answer");
    }
    assert_eq!(home.env(), before);
}

#[test]
fn a_signal_at_the_password_leaves_the_terminal_as_it_was() {
    let home = Home::new();
    let mut run = home.at_terminal(&["--phone", ALICE]);
    run.expect("Code");
    assert!(run.shows_what_is_typed());
    run.enter(CODE).expect("not shown: ");
    assert!(!run.shows_what_is_typed());
    run.signal(Signal::INT);
    run.expect("it was stopped");
    assert!(run.shows_what_is_typed());
    run.end().fails(1, "nothing was changed");
    assert_eq!(home.dc.sessions(World::ALICE), []);
}
