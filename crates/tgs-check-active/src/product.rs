//! Knowledge of units that run `tgs-stream`: the address of their pages, their STATUS= line, and
//! the check of their settings. Does not apply to units with another program.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::ErrorKind,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tgs_control::{AddressFile, Health};
use tgs_core::{
    cancel::Cancel, exit::Code, mask::mask, owner::Owner, process, process::user::User, remedy::as_root,
};

use crate::{
    health::{self, HealthAnswer, HealthSource},
    messages::{self, Outcome},
    snapshot::UnitSnapshot,
};

/// The program whose units have pages and settings.
const PROGRAM: &str = "tgs-stream";
/// Time limit of the settings check, which takes about a second on an idle disk.
const CHECK_LIMIT: Duration = Duration::from_secs(30);
/// Upper bound for the size of `/proc/PID/environ`.
const MAX_ENVIRON: u64 = 1 << 20;

/// Whether the unit runs [`PROGRAM`].
pub(crate) fn is_ours(seen: &UnitSnapshot) -> bool {
    seen.program.as_deref().and_then(Path::file_name) == Some(OsStr::new(PROGRAM))
}

/// The answer of the health page, else the health in the unit's STATUS=; `None` without both.
pub(crate) fn ask(seen: &UnitSnapshot) -> Option<HealthAnswer> {
    match pages(seen, Path::new("/proc")).map(|file| health::ask(&HealthSource::File(file))) {
        Some(HealthAnswer::NoAddress(_)) | None => {
            Health::from_summary(&seen.status).map(|health| HealthAnswer::Page(health::presentable(health)))
        }
        answer => answer,
    }
}

/// The address file: in the STATE_DIR of the running process (its environment includes
/// EnvironmentFile=), else in the unit's StateDirectory=.
fn pages(seen: &UnitSnapshot, proc: &Path) -> Option<PathBuf> {
    let environ = seen.pid.map(|pid| read_bounded(&proc.join(pid.to_string()).join("environ")));
    let environ = environ.unwrap_or_default();
    let variable = |name: &str| {
        let mut all = environ.split(|byte| *byte == 0);
        let value = all.find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        Some(PathBuf::from(OsStr::from_bytes(value))).filter(|path| path.is_absolute())
    };
    // systemd separates several directories by colons.
    let made = variable("STATE_DIRECTORY").and_then(|all| env::split_paths(&all).next());
    variable("STATE_DIR")
        .or(made)
        .or_else(|| seen.state_directory())
        .map(|dir| AddressFile::in_dir(&dir).path().to_owned())
}

/// The content of a file, up to [`MAX_ENVIRON`] bytes; empty if unreadable.
fn read_bounded(file: &Path) -> Vec<u8> {
    use std::io::Read;
    let mut bytes = Vec::new();
    if let Ok(file) = fs::File::open(file) {
        let _ = file.take(MAX_ENVIRON).read_to_end(&mut bytes);
    }
    bytes
}

/// Runs `tgs-stream --check-settings` with the unit's arguments and environment. Returns an outcome
/// if a start would refuse the settings.
pub(crate) fn refused(unit: &str, seen: &UnitSnapshot) -> Option<Outcome> {
    let program = seen.program.as_ref().filter(|_| is_ours(seen))?;
    // Root must not run a program that another user can replace.
    let euid = rustix::process::geteuid();
    if euid.is_root() && !matches!(Owner::of(program), Ok(None)) {
        return None;
    }
    if !may_check(euid.as_raw(), seen.user()) {
        return None;
    }
    let mut command = process::trusted(program);
    command.args(seen.settings_args()).arg("--check-settings");
    for (name, value) in seen.variables() {
        command.env(name, value);
    }
    if let Some(dir) = seen.directory.as_ref().filter(|dir| dir.is_dir()) {
        command.current_dir(dir);
    }
    let output = process::output(command, CHECK_LIMIT, 1 << 18, &Cancel::new()).ok()?;
    // Releases without this check exit with another code; they are restarted unchecked.
    if output.status.code() != Some(i32::from(Code::Config as u8)) {
        return None;
    }
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let clean =
        |line: &str| -> String { line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect() };
    let problems: Vec<String> = said
        .lines()
        .filter(|line| !line.starts_with("WARN") && !line.trim().is_empty())
        .map(|line| format!("\n  {}", mask(&clean(line))))
        .take(20)
        .collect();
    let absent = |file: &PathBuf| fs::metadata(file).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    let mend = match seen.env_file().filter(absent) {
        Some(file) => format!("{};", messages::write_settings(&file.to_string_lossy())),
        None => "fix them,".to_owned(),
    };
    let again = as_root(&format!("tgs-check-active {unit} --restart"));
    Some(Outcome {
        name: "bad_settings",
        reason: format!("was left as it is: a start would refuse its settings{}", problems.concat()),
        remedy: Some(format!("{mend} then: {again}")),
    })
}

/// Whether a check as `uid` equals a start as `user`: another user may lack access to the service's
/// files.
fn may_check(uid: u32, user: &str) -> bool {
    uid == 0 || user == uid.to_string() || user == User::name_of(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_and_the_units_user_check_the_settings() {
        for (uid, user, expected) in [
            (0, "", true),
            (0, "tgstream", true),
            (65534, "nobody", true),
            (65534, "65534", true),
            (65534, "tgstream", false),
            (65534, "", false),
        ] {
            assert_eq!(may_check(uid, user), expected, "{uid} {user:?}");
        }
    }

    #[test]
    fn the_pages_are_where_the_running_process_was_told() {
        let proc = tempfile::tempdir().unwrap();
        let own = proc.path().join("7");
        fs::create_dir(&own).unwrap();
        let seen = UnitSnapshot {
            pid: Some(7),
            shown: [("StateDirectory".to_owned(), "a@b c".to_owned())].into(),
            ..UnitSnapshot::default()
        };
        let at = |text: &str| {
            fs::write(own.join("environ"), text).unwrap();
            pages(&seen, proc.path()).unwrap()
        };
        let cases = [
            ("", "/var/lib/a@b/metrics.port"),
            ("A=1\0STATE_DIRECTORY=/x:/y\0", "/x/metrics.port"),
            ("STATE_DIRECTORY=/x\0STATE_DIR=/z\0", "/z/metrics.port"),
            ("STATE_DIRECTORY=/x\0STATE_DIR=\0", "/x/metrics.port"),
            ("STATE_DIR=relative\0", "/var/lib/a@b/metrics.port"),
        ];
        for (environ, file) in cases {
            assert_eq!(at(environ), Path::new(file), "{environ:?}");
        }
        let other = UnitSnapshot { pid: Some(8), ..UnitSnapshot::default() };
        assert_eq!(pages(&other, proc.path()), None);
    }
}
