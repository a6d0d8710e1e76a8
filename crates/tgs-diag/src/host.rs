//! Checks the machine: free disk space, writable directories, time synchronisation, Landlock.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    fs::{Access, access, statvfs},
    process::geteuid,
};
use tgs_core::{
    process::{self, confine, user::User},
    remedy::as_root,
};

use crate::{context::DiagContext, finding::Finding, runner::CheckSink};

const MIB: u64 = 1 << 20;
/// Free space below this is a WARN.
const LITTLE: u64 = 1024 * MIB;
/// Free space below this is a FAIL: state files can soon no longer be written.
const NONE: u64 = 100 * MIB;

/// Runs all checks of the machine.
pub(crate) fn look(context: &DiagContext, out: &CheckSink) {
    if let Some(settings) = &context.settings {
        let user = context.unit.as_ref().ok().filter(|_| context.as_unit).and_then(|unit| unit.user());
        for (check, name, dir) in [
            ("disk-state", "STATE_DIR", &settings.state_dir),
            ("disk-cache", "CACHE_DIR", &settings.cache_dir),
        ] {
            out.say(disk(check, name, dir, user));
        }
        if let Some(recording) = &settings.recording {
            out.say(recordings(&recording.dir, user));
        }
    }
    out.say(landlock(confine::is_supported()));
    out.say(time_sync(out));
}

/// The nearest existing ancestor of `dir`.
fn existing(dir: &Path) -> PathBuf {
    dir.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new(".")).to_owned()
}

fn disk(check: &'static str, name: &str, dir: &Path, user: Option<&str>) -> Finding {
    let there = existing(dir);
    let (dir, exists) = (dir.display(), there == dir);
    if let Some(found) = unwritable(check, name, &dir.to_string(), &there, exists, user) {
        return found;
    }
    match statvfs(&there) {
        Ok(stat) => room(check, name, &dir.to_string(), stat.f_bavail.saturating_mul(stat.f_frsize)),
        Err(error) => Finding::unseen(check, format_args!("{}: {error}", there.display())),
    }
}

/// systemd creates no RECORD_DIR, and the recorder only its last part.
fn recordings(dir: &Path, user: Option<&str>) -> Finding {
    let check = "disk-recordings";
    if dir.is_dir() {
        return disk(check, "RECORD_DIR", dir, user);
    }
    let owner = user.map_or_else(|| User::name_of(geteuid().as_raw()), str::to_owned);
    let quoted = dir.to_string_lossy();
    let make = as_root(&format!("install -d -o {owner} {}", shell_words::quote(&quoted)));
    let text = format!("RECORD_DIR {quoted} does not exist");
    if dir.parent().is_some_and(Path::is_dir) {
        Finding::warn(check, text).with_remedy(make)
    } else {
        Finding::fail(check, text, make)
    }
}

/// A finding if the user cannot write to the directory, or if that cannot be determined.
fn unwritable(
    check: &'static str,
    name: &str,
    dir: &str,
    there: &Path,
    exists: bool,
    user: Option<&str>,
) -> Option<Finding> {
    let quoted = shell_words::quote(dir);
    let remedy = |owner: &str| {
        let make = as_root(&format!("install -d -o {owner} {quoted}"));
        format!("{make}, or set {name} to another directory")
    };
    if let Some(user) = user {
        // systemd creates missing directories of the unit with User= as owner.
        if !exists {
            return None;
        }
        let owner = fs::metadata(there).ok()?.uid();
        if User::named(user).map(|user| user.uid) != Some(owner) {
            let text =
                format!("{name} {dir} belongs to {}, but the unit runs as {user}", User::name_of(owner));
            return Some(Finding::fail(check, text, as_root(&format!("chown -R {user}: {quoted}"))));
        }
        if geteuid().as_raw() != owner && !geteuid().is_root() {
            return None;
        }
    }
    match access(there, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => None,
        Err(error) => {
            let me = User::name_of(geteuid().as_raw());
            Some(Finding::fail(
                check,
                format!("{name} {dir} cannot be written by {me}: {error}"),
                remedy(&me),
            ))
        }
    }
}

fn room(check: &'static str, name: &str, dir: &str, free: u64) -> Finding {
    let shown = if free < LITTLE {
        format!("{} MiB", free / MIB)
    } else {
        format!("{:.1} GiB", free as f64 / LITTLE as f64)
    };
    let text = format!("{name} {dir}: {shown} free");
    let remedy = format!("make room on that disk, or set {name} to another");
    match free {
        0..NONE => Finding::fail(check, text, remedy),
        NONE..LITTLE => Finding::warn(check, text).with_remedy(remedy),
        LITTLE.. => Finding::pass(check, text),
    }
}

fn landlock(supported: bool) -> Finding {
    let check = "landlock";
    if supported {
        return Finding::pass(check, "the kernel keeps ffmpeg and yt-dlp away from .env");
    }
    Finding::warn(check, "this kernel has no Landlock: ffmpeg and yt-dlp could read .env")
        .with_remedy("add landlock to the kernel's lsm= option, or use a kernel of 5.13 or newer that has it")
}

fn time_sync(out: &CheckSink) -> Finding {
    let check = "time-sync";
    let mut command = process::command("timedatectl");
    command.args(["show", "-p", "NTPSynchronized", "--value"]);
    match process::output(command, Duration::from_secs(5).min(out.left()), 4096, &out.cancel) {
        Ok(output) if output.status.success() => synchronised(String::from_utf8_lossy(&output.stdout).trim()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Finding::unseen(check, said.lines().next().unwrap_or("timedatectl fails and does not say why"))
        }
        Err(error) => Finding::unseen(check, error),
    }
}

fn synchronised(answer: &str) -> Finding {
    if answer == "yes" {
        return Finding::pass("time-sync", "the clock is kept right by NTP");
    }
    Finding::warn("time-sync", "no time synchronisation is active")
        .with_remedy(as_root("timedatectl set-ntp true"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Level;

    #[test]
    fn rooms() {
        for (free, level, words) in [
            (50 * MIB, Level::Fail, "50 MiB free"),
            (NONE, Level::Warn, "100 MiB free"),
            (LITTLE * 5 / 2, Level::Pass, "2.5 GiB free"),
        ] {
            let found = room("disk-state", "STATE_DIR", "/x", free);
            assert!(found.level == level && found.text.ends_with(words), "{found:?}");
        }
    }

    #[test]
    fn directories() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        assert_eq!(existing(&deep), dir.path());
        assert_ne!(disk("disk-state", "STATE_DIR", &deep, None).level, Level::Fail);
        let me = User::name_of(geteuid().as_raw());
        assert_ne!(disk("disk-state", "STATE_DIR", dir.path(), Some(&me)).level, Level::Fail);
        let found = disk("disk-state", "STATE_DIR", dir.path(), Some("daemon"));
        assert!(found.text.contains("but the unit runs as daemon"), "{found:?}");
        // Not writable for root either.
        let found = disk("disk-state", "STATE_DIR", Path::new("/proc/x"), None);
        assert_eq!(found.level, Level::Fail, "{found:?}");
    }

    #[test]
    fn recordings_need_a_directory_whose_disk_is_mounted() {
        let dir = tempfile::tempdir().unwrap();
        for (path, level) in [("a", Level::Warn), ("a/b", Level::Fail)] {
            let found = recordings(&dir.path().join(path), Some("tgstream"));
            assert!(found.level == level && found.text.contains("does not exist"), "{found:?}");
        }
        assert_ne!(recordings(dir.path(), None).level, Level::Fail);
    }

    #[test]
    fn kernels_and_clocks() {
        assert_eq!((landlock(true).level, landlock(false).level), (Level::Pass, Level::Warn));
        assert_eq!((synchronised("yes").level, synchronised("no").level), (Level::Pass, Level::Warn));
    }
}
