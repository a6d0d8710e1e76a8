//! Commands for child processes: session, inherited environment, and the lookup of programs.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    confine::{self, Confinement},
    shim,
    user::Ids,
};

/// The variables that children inherit, beside `LC_*`.
pub(crate) const INHERITED: [&str; 14] = [
    "PATH",
    "HOME",
    "LANG",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "XDG_CACHE_HOME",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];

/// A command that runs `program` (a path, or a name in PATH) in a session of its own, with empty
/// stdin and with `INHERITED` and `LC_*` as its environment. Start it with [`super::spawn`] or
/// [`super::output`].
///
/// It is confined as set by [`confine::children`], and its `TMPDIR` and `XDG_CACHE_HOME` are the
/// scratch directory.
///
/// In a program whose `main` does not begin with [`super::shim`] (a test) the child is neither
/// confined nor killed with its parent.
#[must_use]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let confinement = confine::current();
    let mut command = command_of(program.as_ref(), confinement.map(Confinement::to_args).unwrap_or_default());
    if let Some(confinement) = confinement.filter(|held| held.scratch.is_dir()) {
        command.env("TMPDIR", &confinement.scratch);
        command.env("XDG_CACHE_HOME", confinement.scratch.join(confine::CACHE));
    }
    command
}

/// A [`command()`] for a program of ours: unconfined.
#[must_use]
pub fn trusted(program: impl AsRef<OsStr>) -> Command {
    command_of(program.as_ref(), Vec::new())
}

/// A [`trusted`] command for this program itself, to run as another user. Needs the shim.
pub(crate) fn as_user(program: &OsStr, ids: &Ids) -> io::Result<Command> {
    if !shim::exists() {
        return Err(io::Error::other("this program cannot start itself as another user"));
    }
    Ok(command_of(program, shim::user_args(ids)))
}

fn command_of(program: &OsStr, confinement: Vec<OsString>) -> Command {
    let mut command = if shim::exists() {
        shim::through(program, confinement)
    } else {
        let mut direct = Command::new(program);
        direct.process_group(0);
        direct
    };
    let inherited = env::vars_os()
        .filter(|(name, _)| name.to_str().is_some_and(|n| INHERITED.contains(&n) || n.starts_with("LC_")));
    command.env_clear().envs(inherited).stdin(Stdio::null());
    command
}

/// The executable file of `program`: looked up in this process's PATH unless it contains a slash.
pub fn find(program: impl AsRef<OsStr>) -> io::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    find_in(program.as_ref(), Path::new(""), &path)
}

/// As [`find`], in the search path `path`; a relative path is relative to `dir`.
pub fn find_in(program: &OsStr, dir: &Path, path: &OsStr) -> io::Result<PathBuf> {
    let is_path = program.as_encoded_bytes().contains(&b'/');
    // `which` expands a leading `~`, execvp does not: both must find the same file.
    let literal = |dir: PathBuf| if dir.starts_with("~") { Path::new(".").join(dir) } else { dir };
    let path = env::join_paths(env::split_paths(path).map(literal)).unwrap_or_default();
    which::which_in(program, Some(path), dir).map_err(|_| match fs::metadata(dir.join(program)) {
        Err(e) if is_path => e,
        Ok(_) if is_path => io::Error::new(io::ErrorKind::PermissionDenied, "not an executable file"),
        _ => io::Error::new(io::ErrorKind::NotFound, "not found in PATH"),
    })
}
