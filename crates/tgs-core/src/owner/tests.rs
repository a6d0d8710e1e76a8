//! The rule on real files. What needs other owners runs as root only.

use std::{
    fs::Permissions,
    os::unix::fs::{PermissionsExt, chown, lchown, symlink},
};

use super::*;

const ONE: u32 = 4_000_000_001;
const OTHER: u32 = 4_000_000_002;

/// A directory whose parts get their owners; `None` where the test is not root.
fn scene() -> Option<tempfile::TempDir> {
    if !geteuid().is_root() {
        eprintln!("not root: nothing can be another user's");
        return None;
    }
    tempfile::tempdir().ok()
}

fn made(path: &Path, uid: u32, mode: u32) -> PathBuf {
    fs::create_dir_all(path).unwrap();
    chown(path, Some(uid), Some(uid)).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    path.to_owned()
}

fn file(path: &Path, uid: u32, mode: u32) -> PathBuf {
    fs::write(path, "").unwrap();
    chown(path, Some(uid), Some(uid)).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    path.to_owned()
}

fn link(target: &Path, path: &Path, uid: u32) -> PathBuf {
    symlink(target, path).unwrap();
    lchown(path, Some(uid), Some(uid)).unwrap();
    path.to_owned()
}

fn owner(path: &Path) -> Option<u32> {
    Owner::of(path).unwrap_or_else(|error| panic!("{error}")).map(|user| user.uid)
}

#[test]
fn the_first_owner_on_the_way_that_is_not_root() {
    let Some(dir) = scene() else { return };
    let at = |name: &str| dir.path().join(name);
    let roots = made(&at("roots"), 0, 0o755);
    assert_eq!(owner(&roots), None);
    assert_eq!(owner(&roots.join("not/yet")), None);
    assert_eq!(owner(Path::new("/etc/passwd")), None);
    let service = made(&at("service"), ONE, 0o750);
    let inner = made(&service.join("inner"), ONE, 0o755);
    for path in [&service, &inner, &inner.join("not/yet"), &inner.join("../inner")] {
        assert_eq!(owner(path), Some(ONE), "{}", path.display());
    }
    // A file that root has left in a service's directory can be swapped by the service.
    assert_eq!(owner(&file(&inner.join(".env"), 0, 0o600)), Some(ONE));
    // A file of a user's in a directory of root's.
    assert_eq!(owner(&file(&roots.join("theirs"), ONE, 0o600)), Some(ONE));
    // As the layout has it: links of root's lead to the service.
    let current = link(Path::new("release"), &at("current"), 0);
    made(&at("release"), 0, 0o755);
    link(Path::new("../service/inner/.env"), &at("release/.env"), 0);
    assert_eq!(owner(&current.join(".env")), Some(ONE));
    // The exploit: a link of the service's to what is root's or another's.
    assert_eq!(owner(&link(&roots, &service.join("to-roots"), ONE)), Some(ONE));
    assert_eq!(owner(&service.join("to-roots/not-yet")), Some(ONE));
    assert_eq!(owner(&link(Path::new("/etc/shadow"), &service.join("to-shadow"), ONE)), Some(ONE));
    // A link that somebody has put into a directory where everybody may.
    let sticky = made(&at("sticky"), 0, 0o1777);
    assert_eq!(owner(&link(&roots, &sticky.join("planted"), OTHER)), Some(OTHER));
    let error = Owner::of(&link(Path::new("round"), &at("round"), 0)).unwrap_err();
    assert!(matches!(&error, Refused::Io { source, .. } if source.raw_os_error() == Some(40)), "{error}");
}

#[test]
fn two_owners_are_refused() {
    let Some(dir) = scene() else { return };
    let at = |name: &str| dir.path().join(name);
    let (service, others) = (made(&at("service"), ONE, 0o755), made(&at("others"), OTHER, 0o755));
    let planted = link(&others, &service.join("ytdlp"), ONE);
    let words = Owner::of(&planted).unwrap_err().to_string();
    let [planted, service, others] = [planted, service, others].map(|path| path.display().to_string());
    assert_eq!(
        words,
        format!(
            "use {planted} as root: {service} belongs to {ONE}, but {others} to {OTHER}; run this as one of them \
             (sudo -u {OTHER} …), or give both to one user with chown"
        )
    );
    // On two paths, too.
    let mut owner = Owner::default();
    owner.add(Path::new(&service)).unwrap();
    owner.add(Path::new("/etc")).unwrap();
    assert!(matches!(owner.add(Path::new(&others)), Err(Refused::TwoOwners { .. })));
    assert_eq!(owner.user().map(|user| user.uid), Some(ONE));
}

#[test]
fn root_refuses_a_directory_that_others_may_write() {
    let Some(dir) = scene() else { return };
    let at = |name: &str| dir.path().join(name);
    let refused = |path: &Path| Owner::of(path).unwrap_err().to_string();
    let open = made(&at("open"), 0, 0o777);
    let inside = file(&open.join(".env"), 0, 0o600);
    let shown = open.display();
    assert!(refused(&inside).ends_with(&format!("others may write to {shown}; run: chmod go-w {shown}")));
    let writable = file(&at("writable"), 0, 0o666);
    assert!(refused(&writable).contains(&format!("others may write to {}", writable.display())));
    // A group with a member is somebody, one of root's or without members is nobody.
    let group = at("group");
    fs::create_dir(&group).unwrap();
    for (gid, allowed) in [(65534, false), (ONE, false), (0, true), (staff(), true)] {
        chown(&group, Some(0), Some(gid)).unwrap();
        fs::set_permissions(&group, Permissions::from_mode(0o775)).unwrap();
        assert_eq!(Owner::of(&group.join("x")).is_ok(), allowed, "{gid}");
    }
    // What is not there yet, anybody may make first.
    let sticky = made(&at("sticky"), 0, 0o1777);
    assert!(refused(&sticky.join("state")).contains("any user can create it in"));
    assert_eq!(owner(&file(&sticky.join("mine"), 0, 0o600)), None);
    // In a user's own directory that is the user's business.
    let theirs = made(&at("theirs"), ONE, 0o777);
    assert_eq!(owner(&theirs.join("x")), Some(ONE));
}

/// A group without members.
fn staff() -> u32 {
    let groups = fs::read_to_string("/etc/group").unwrap();
    let line = groups.lines().find(|line| line.starts_with("staff:") && line.ends_with(':')).unwrap();
    line.split(':').nth(2).unwrap().parse().unwrap()
}

#[test]
fn the_user_must_be_able_to_read_the_settings() {
    let Some(dir) = scene() else { return };
    let state = made(&dir.path().join("state"), ONE, 0o700);
    let mut owner = Owner::default();
    owner.add(&state).unwrap();
    for (uid, mode, allowed) in [(0, 0o600, false), (0, 0o644, true), (ONE, 0o600, true), (ONE, 0o044, false)]
    {
        let settings = file(&dir.path().join(".env"), uid, mode);
        let done = owner.must_read(&settings);
        assert_eq!(done.is_ok(), allowed, "{uid} {mode:o}");
        if let Err(error) = done {
            assert!(
                error.to_string().ends_with(&format!("run: chown {ONE}: {}", settings.display())),
                "{error}"
            );
        }
    }
}

#[test]
fn without_the_shim_nobody_becomes_another_user() {
    let Some(dir) = scene() else { return };
    let state = made(&dir.path().join("state"), ONE, 0o700);
    // This test's own process has no shim: it must fail, not continue as root.
    let error = run_as_owner(None, [&*state]).unwrap_err().to_string();
    assert!(error.starts_with(&format!("continue as {ONE}, the owner of {}: ", state.display())), "{error}");
}

#[test]
fn every_line_of_a_group_counts_for_its_members() {
    let groups = "staff:x:50:\nroot:x:0:root\nother:x:50:root,alice\nlast:x:51:root\nbroken:x\n";
    assert!(is_listed(groups, 50));
    assert!(!is_listed(groups, 51) && !is_listed(groups, 0) && !is_listed(groups, 52));
}
