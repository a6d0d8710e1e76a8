//! `.env` as it is written on a real disk: bytes, modes, owners, planted links, a killed writer.
//!
//! What needs a second user runs as root only.

use std::{
    fs::{self, Permissions},
    io::{BufRead, BufReader, ErrorKind},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown, lchown, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;
use tgs_core::{
    cancel::Cancel,
    env_file,
    env_file::writer::{self, EnvWriteError, Locked},
    secret::Secret,
};

const TOOL: &str = env!("CARGO_BIN_EXE_tgs-core-test-tool");
/// nobody, of the group nogroup.
const OTHER: u32 = 65534;
const FILE: &str =
    "# mine\r\nAPI_ID=1\nexport SESSION_STRING = 'old secret'  # note\n#SESSION_STRING=x\n\nLOOP=1";
const CHANGED: &str =
    "# mine\r\nAPI_ID=1\nexport SESSION_STRING = 'new secret'  # note\n#SESSION_STRING=x\n\nLOOP=1";

fn lock(path: &Path) -> Result<Locked, EnvWriteError> {
    writer::lock(path, Duration::ZERO, &Cancel::new())
}

fn set(path: &Path) -> Result<(), EnvWriteError> {
    lock(path)?.replace("SESSION_STRING", &Secret::new("new secret".into()))
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"))
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("the test's own files").permissions().mode() & 0o7777
}

/// A directory with a `.env`, and that file.
fn dir_with(text: &str, mode: u32) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join(".env");
    fs::write(&file, text).expect("the test's own files");
    fs::set_permissions(&file, Permissions::from_mode(mode)).expect("the test's own files");
    (dir, file)
}

/// A directory, its `.env` and a copy of the tool that the second user can start; `None` where the
/// test is not root.
fn second_user(text: &str) -> Option<(TempDir, PathBuf, PathBuf)> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not root: there is no second user");
        return None;
    }
    let (dir, file) = dir_with(text, 0o644);
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("the test's own files");
    let tool = dir.path().join("tool");
    fs::copy(TOOL, &tool).expect("the test's own files");
    Some((dir, file, tool))
}

/// What the tool prints as the second user who sets the value.
fn set_as_other(tool: &Path, file: &Path) -> String {
    loop {
        let mut command = Command::new(tool);
        command.arg("env-set").arg(file).args(["SESSION_STRING", "new secret"]).uid(OTHER).gid(OTHER);
        match command.output() {
            // A child of another test was forked while the copy was written, and has yet to close
            // it.
            Err(e) if e.kind() == ErrorKind::ExecutableFileBusy => thread::yield_now(),
            output => return String::from_utf8(output.expect("the tool starts").stderr).expect("text"),
        }
    }
}

fn start(args: &[&str], file: &Path) -> Child {
    let mut command = Command::new(TOOL);
    command.args(args).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the tool starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("text");
    assert!(["held\n", "started\n"].contains(&line.as_str()), "{line}");
    child
}

#[test]
fn every_other_byte_stays_and_the_mode_is_never_wider() {
    for (before, after) in [(0o600, 0o600), (0o644, 0o600), (0o400, 0o400), (0o4777, 0o600)] {
        let (dir, file) = dir_with(FILE, before);
        set(&file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), CHANGED);
        assert_eq!(mode(&file), after);
        let backup = dir.path().join(".env.bak");
        assert_eq!(fs::read_to_string(&backup).unwrap(), FILE);
        assert_eq!(mode(&backup), 0o600);
        assert_eq!(names(dir.path()), [".env", ".env.bak"]);
    }
}

#[test]
fn a_file_that_is_not_there_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(".env");
    let locked = lock(&file).unwrap();
    assert_eq!(locked.read().unwrap().expose(), b"");
    locked.replace("SESSION_STRING", &Secret::new("new secret".into())).unwrap();
    assert_eq!(locked.read().unwrap().expose(), b"SESSION_STRING='new secret'\n");
    assert_eq!((locked.path(), mode(&file)), (file, 0o600));
    drop(locked);
    assert_eq!(names(dir.path()), [".env"]);
}

#[test]
fn the_link_of_a_release_is_followed_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("releases/1")).unwrap();
    fs::create_dir(at("shared")).unwrap();
    symlink("releases/1", at("current")).unwrap();
    symlink("../../shared/.env", at("releases/1/.env")).unwrap();
    // At first it dangles.
    for _ in 0..2 {
        set(&at("current/.env")).unwrap();
    }
    assert_eq!(fs::read_to_string(at("shared/.env")).unwrap(), "SESSION_STRING='new secret'\n");
    assert!(at("releases/1/.env").is_symlink());
    assert_eq!(names(&at("releases/1")), [".env"]);
    assert_eq!(names(&at("shared")), [".env", ".env.bak"]);
    // However the way there is written.
    for path in ["current/../../shared/.env", "./shared//./.env", "current/.env"] {
        let locked = lock(&at(path)).unwrap();
        assert!(fs::canonicalize(locked.path()).unwrap().ends_with("shared/.env"), "{path}");
    }
    symlink("round", at("round")).unwrap();
    assert!(set(&at("round")).is_err());
}

#[test]
fn links_in_the_place_of_our_files_are_not_followed() {
    for planted in [".env.bak", ".env.tgs-new", ".env.bak.tgs-new"] {
        let (dir, file) = dir_with(FILE, 0o600);
        let precious = dir.path().join("precious");
        for hard in [false, true] {
            let link = dir.path().join(planted);
            fs::write(&precious, "precious").unwrap();
            fs::write(&file, FILE).unwrap();
            let _ = fs::remove_file(&link);
            if hard { fs::hard_link(&precious, &link) } else { symlink(&precious, &link) }.unwrap();
            set(&file).unwrap();
            assert_eq!(fs::read_to_string(&precious).unwrap(), "precious", "{planted}");
            assert_eq!(fs::read_to_string(&file).unwrap(), CHANGED);
            assert_eq!(names(dir.path()), [".env", ".env.bak", "precious"]);
            assert!(dir.path().join(".env.bak").symlink_metadata().unwrap().is_file());
        }
    }
    let (dir, file) = dir_with(FILE, 0o600);
    let link = dir.path().join(".env.lock");
    symlink(dir.path().join("precious"), &link).unwrap();
    let error = set(&file).unwrap_err();
    assert!(matches!(&error, EnvWriteError::Link { path } if *path == link), "{error}");
    assert_eq!(names(dir.path()), [".env", ".env.lock"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), FILE);
}

#[test]
fn root_leaves_files_to_their_owner() {
    let Some((dir, file, tool)) = second_user(FILE) else { return };
    let owner = |name: &str| {
        let stat = fs::symlink_metadata(dir.path().join(name)).unwrap();
        (stat.uid(), stat.gid())
    };
    chown(dir.path(), Some(OTHER), Some(OTHER)).unwrap();
    chown(&file, Some(OTHER), Some(1)).unwrap();
    let locked = lock(&file).unwrap();
    assert_eq!(owner(".env.lock"), (OTHER, OTHER));
    locked.replace("SESSION_STRING", &Secret::new("new secret".into())).unwrap();
    drop(locked);
    assert_eq!((owner(".env"), mode(&file)), ((OTHER, 1), 0o600));
    assert_eq!((owner(".env.bak"), mode(&dir.path().join(".env.bak"))), ((OTHER, 1), 0o600));
    // Who can go on with them, though no member of the file's group.
    assert_eq!(set_as_other(&tool, &file), "");
    assert_eq!((owner(".env"), owner(".env.bak")), ((OTHER, OTHER), (OTHER, OTHER)));
    // One that root makes is the directory's owner's.
    fs::remove_file(&file).unwrap();
    set(&file).unwrap();
    assert_eq!((owner(".env"), mode(&file)), ((OTHER, OTHER), 0o600));
}

#[test]
fn root_follows_no_link_of_another_user() {
    let Some((dir, file, _)) = second_user(FILE) else { return };
    chown(&file, Some(OTHER), Some(OTHER)).unwrap();
    chown(dir.path(), Some(OTHER), Some(OTHER)).unwrap();
    let (other, roots) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let precious = roots.path().join("precious.env");
    fs::write(&precious, "A=1\n").unwrap();
    let link = other.path().join(".env");
    let point = |to: &Path| {
        let _ = fs::remove_file(&link);
        symlink(to, &link).unwrap();
        lchown(&link, Some(OTHER), Some(OTHER)).unwrap();
    };
    // To a file of root's, to a new one in root's directory, and to a second name of root's file in
    // the user's own.
    fs::hard_link(&precious, dir.path().join("second")).unwrap();
    for to in [&precious, &roots.path().join("new"), &dir.path().join("second")] {
        point(to);
        let error = set(&link).unwrap_err();
        assert!(matches!(&error, EnvWriteError::Link { .. }), "{error}");
    }
    // Nor to root's directory by a link on the way.
    point(roots.path());
    for name in ["precious.env", "new"] {
        let error = set(&link.join(name)).unwrap_err();
        assert!(matches!(&error, EnvWriteError::Link { .. }), "{error}");
    }
    assert_eq!(fs::read_to_string(&precious).unwrap(), "A=1\n");
    assert_eq!(names(roots.path()), ["precious.env"]);
    // To what he could write himself.
    point(&file);
    set(&link).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), CHANGED);
    assert!(link.is_symlink());
}

#[test]
fn a_refused_write_is_reported_with_its_remedy() {
    let Some((dir, file, tool)) = second_user(FILE) else { return };
    let at = dir.path().display();
    assert_eq!(
        set_as_other(&tool, &file),
        format!(
            "cannot create files in {at} (Permission denied (os error 13)); this user needs write permission there, and \
             in a systemd unit ReadWritePaths= must list it\n"
        )
    );
    chown(dir.path(), Some(OTHER), Some(OTHER)).unwrap();
    assert_eq!(
        set_as_other(&tool, &file),
        format!(
            "{at}/.env belongs to the user with uid 0; run this as that user or as root, or make the file yours with \
             chown\n"
        )
    );
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(
        set_as_other(&tool, &file),
        format!("cannot read {at}/.env: Permission denied (os error 13)\n")
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), FILE);
    assert_eq!(names(dir.path()), [".env", "tool"]);
}

#[test]
fn a_file_with_a_line_that_cannot_be_read_is_left_alone() {
    let text = "A=1\nSESSION_STRING=secret one\nB=2\n";
    let (dir, file) = dir_with(text, 0o600);
    let words = lock(&file).unwrap_err().to_string();
    let start = format!("{}: line 2: SESSION_STRING holds a space", file.display());
    assert!(words.starts_with(&start) && !words.contains("secret"), "{words}");
    assert_eq!((fs::read_to_string(&file).unwrap().as_str(), names(dir.path())), (text, vec![".env".into()]));
}

#[test]
fn nothing_shows_a_value() {
    let (_dir, file) = dir_with("A='secret one'\n", 0o600);
    let locked = lock(&file).unwrap();
    let error = locked.replace("A", &Secret::new("secret\ntwo".into())).unwrap_err();
    for shown in [format!("{error} {error:?}"), format!("{locked:?} {:?}", locked.read())] {
        assert!(!shown.contains("secret"), "{shown}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "A='secret one'\n");
}

#[test]
fn a_second_writer_waits_and_then_names_the_first() {
    let (_dir, file) = dir_with(FILE, 0o600);
    let mut first = start(&["env-hold"], &file);
    let error = writer::lock(&file, Duration::from_millis(50), &Cancel::new()).unwrap_err();
    let words = format!(
        "{} is being changed by tgs-core-test-tool (pid {}); try again when that has ended",
        file.display(),
        first.id()
    );
    assert_eq!(error.to_string(), words);
    let cancel = Cancel::new();
    cancel.cancel();
    let error = writer::lock(&file, Duration::from_mins(1), &cancel).unwrap_err();
    assert!(matches!(error, EnvWriteError::Cancelled { .. }), "{error}");
    thread::scope(|scope| {
        let second = scope.spawn(|| writer::lock(&file, Duration::from_mins(1), &Cancel::new()));
        drop(first.stdin.take());
        second.join().unwrap().unwrap();
    });
    first.wait().unwrap();
    // A killed holder holds nothing.
    let mut first = start(&["env-hold"], &file);
    first.kill().unwrap();
    first.wait().unwrap();
    set(&file).unwrap();
}

#[test]
fn kill_9_leaves_the_old_file_or_the_new_one() {
    // Longer than a page, so that half of it could be on disk.
    let rest = "# one of many lines that stay\n".repeat(400);
    let (dir, file) = dir_with(&format!("{rest}SESSION_STRING={}\nLOOP=1\n", "z".repeat(353)), 0o600);
    let whole = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        let value = text.strip_prefix(&rest).and_then(|text| text.strip_prefix("SESSION_STRING="));
        let value = value.and_then(|text| text.strip_suffix("\nLOOP=1\n")).expect("all that stays");
        assert_eq!(value.len(), 353);
        assert!(value.bytes().all(|byte| byte == value.as_bytes()[0]), "two values in one");
        assert!(env_file::parse(text.as_bytes()).refused.is_empty());
        assert_eq!(mode(path), 0o600);
    };
    for _ in 0..200 {
        let mut writer = start(&["env-loop"], &file);
        // Not to wait for anything: to hit another moment each time.
        thread::sleep(Duration::from_micros(fastrand::u64(0..5000)));
        writer.kill().unwrap();
        writer.wait().unwrap();
        whole(&file);
        if dir.path().join(".env.bak").exists() {
            whole(&dir.path().join(".env.bak"));
        }
    }
    // Whatever was left is taken away by the next one.
    set(&file).unwrap();
    assert!(fs::read_to_string(&file).unwrap().contains("SESSION_STRING='new secret'\n"));
    assert_eq!(names(dir.path()), [".env", ".env.bak"]);
}
