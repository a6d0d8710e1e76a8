//! Secrets from files, and renewed sessions.

use std::{collections::BTreeMap, ffi::OsString, fs, mem, path::Path};

use super::secret;
use crate::settings::{Problems, Settings, TABLE, Visibility, inherited};

/// Loads with STATE_DIR `state`, and the environment's secrets in files of `dir`.
fn load_files(dir: &Path, env: &[(&str, &str)]) -> Result<Settings, Problems> {
    let env: BTreeMap<&str, &str> =
        env.iter().copied().chain([("HOME", "/home/me"), ("STATE_DIR", "state")]).collect();
    Settings::load_in(dir, None, &|name: &str| env.get(name).map(OsString::from), &[])
}

#[test]
fn every_secret_can_come_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    for setting in TABLE.iter().filter(|setting| setting.secret) {
        let Visibility::Example(value) = setting.shown else { panic!("{} has a default", setting.name) };
        let needs = [
            ("LIVE_INPUT", "rtmp://127.0.0.1:1936/live"),
            ("ALSO_OUTPUT_URLS", "youtube=rtmp://h/a/k"),
            ("HA_USER", "tgs"),
        ];
        let needs = needs.iter().filter(|(name, _)| *name != setting.name).copied();
        let mut env: Vec<_> = needs.collect();
        if setting.name != "LIVE_KEY" {
            env.retain(|(name, _)| *name != "LIVE_INPUT");
        }
        if setting.name != "HA_PASSWORD" {
            env.retain(|(name, _)| *name != "HA_USER");
        }
        let plain: Vec<_> = env.iter().copied().chain([(setting.name, value)]).collect();
        let expected = load_files(dir.path(), &plain).unwrap();
        fs::write(dir.path().join("secret"), format!("{value}\n")).unwrap();
        let variable = format!("{}_FILE", setting.name);
        env.push((&variable, "secret"));
        let mut settings = load_files(dir.path(), &env).unwrap();
        let path = dir.path().join("secret");
        assert_eq!(mem::take(&mut settings.secret_files), [path], "{variable}");
        settings.telegram.mounted_session = None;
        settings.telegram.standby_file = None;
        // Warnings name the variable.
        settings.warnings.clone_from(&expected.warnings);
        assert_eq!(settings, expected, "{variable}");
    }
}

#[test]
fn a_secret_that_is_set_twice_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("hash"), "wrong").unwrap();
    fs::write(dir.path().join(".env"), "\nAPI_HASH=00112233445566778899aabbccddeeff\n").unwrap();
    let problems = |env: &[(&str, &str)]| load_files(dir.path(), env).unwrap_err().0;
    let [problem] = &*problems(&[("API_HASH_FILE", "hash")]) else { panic!("not one problem") };
    assert!(problem.starts_with("API_HASH_FILE (in the environment) and "), "{problem}");
    assert!(problem.ends_with("/.env line 2: API_HASH are both set: remove one of them"), "{problem}");
    fs::write(dir.path().join(".env"), "API_HASH_FILE=hash\n").unwrap();
    let [problem] = &*problems(&[]) else { panic!("not one problem") };
    assert!(problem.starts_with("the content of hash, which ") && !problem.contains("wrong"), "{problem}");
    assert!(problem.contains("/.env line 1: API_HASH_FILE names, "), "{problem}");
    // No misspelt LIVE_KEYS_FILE, and no file for a setting that is no secret.
    fs::write(dir.path().join(".env"), "LIVE_KEY_FILE=\nPLAYLIST_FILE=x\n").unwrap();
    let warnings = load_files(dir.path(), &[]).unwrap().warnings;
    let [warning] = &*warnings else { panic!("{warnings:?}") };
    assert!(warning.contains("line 2: PLAYLIST_FILE is not a setting"), "{warning}");
}

#[test]
fn a_renewed_session_replaces_the_mounted_one_it_was_made_for() {
    let dir = tempfile::tempdir().unwrap();
    let (file, state) = (dir.path().join("session"), dir.path().join("state"));
    fs::create_dir(&state).unwrap();
    let load = || load_files(dir.path(), &[("SESSION_STRING_FILE", "session")]).unwrap().telegram;
    for (content, first) in [("mounted\n", Some("mounted")), ("", None)] {
        fs::write(&file, content).unwrap();
        let telegram = load();
        let mounted = telegram.mounted_session.unwrap();
        assert_eq!(telegram.session, first.map(secret));
        assert_eq!((&*mounted.file, mounted.is_renewed), (&*file, false));
        mounted.store(&secret("renewed")).unwrap();
        let telegram = load();
        assert_eq!(telegram.session, Some(secret("renewed")));
        assert_eq!(telegram.mounted_session.unwrap().in_force(), state.join("session"));
    }
    fs::write(&file, "another").unwrap();
    assert_eq!(load().session, Some(secret("another")));
    fs::remove_file(state.join("session")).unwrap();
    fs::create_dir(state.join("session")).unwrap();
    let settings = load_files(dir.path(), &[("SESSION_STRING_FILE", "session")]).unwrap();
    assert_eq!(settings.telegram.session, Some(secret("another")));
    let [warning] = &*settings.warnings else { panic!("{:?}", settings.warnings) };
    assert!(warning.contains("cannot be read: it is a directory"), "{warning}");
}

#[test]
fn a_child_inherits_the_files_of_secrets_and_not_their_values() {
    let names: Vec<_> = inherited().collect();
    assert_eq!(names.len(), TABLE.len());
    for (name, expected) in [("CHAT_ID", true), ("SESSION_STRING_FILE", true), ("SESSION_STRING", false)] {
        assert_eq!(names.iter().any(|it| it == name), expected, "{name}");
    }
}
