//! Commands for child processes: session, inherited environment and program lookup.

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

/// Variables that children inherit, besides `LC_*`.
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

/// Returns a command that runs `program` (a path, or a name in PATH) in its own session, with empty
/// stdin and only `INHERITED` and `LC_*` in its environment. Start it with [`super::spawn`] or
/// [`super::output`].
///
/// [`confine::children`] sets the confinement. `TMPDIR` is its scratch directory and contains
/// `XDG_CACHE_HOME`.
///
/// In a program whose `main` does not begin with [`super::shim`] (a test), the child is neither
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

/// Returns an unconfined [`command()`], for programs of this project.
#[must_use]
pub fn trusted(program: impl AsRef<OsStr>) -> Command {
    command_of(program.as_ref(), Vec::new())
}

/// Returns a [`trusted`] command that runs this program as another user. Requires the shim.
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

/// Finds the executable of `program`: in this process's PATH unless the name contains a slash.
pub fn find(program: impl AsRef<OsStr>) -> io::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    find_in(program.as_ref(), Path::new(""), &path)
}

/// Like [`find`], in the search path `path`; relative paths are relative to `dir`.
pub fn find_in(program: &OsStr, dir: &Path, path: &OsStr) -> io::Result<PathBuf> {
    let is_path = program.as_encoded_bytes().contains(&b'/');
    // `which` expands a leading `~`, execvp does not; both must find the same file.
    let literal = |dir: PathBuf| if dir.starts_with("~") { Path::new(".").join(dir) } else { dir };
    let path = env::join_paths(env::split_paths(path).map(literal)).unwrap_or_default();
    which::which_in(program, Some(path), dir).map_err(|_| match fs::metadata(dir.join(program)) {
        Err(e) if is_path => e,
        Ok(_) if is_path => io::Error::new(io::ErrorKind::PermissionDenied, "not an executable file"),
        _ => io::Error::new(io::ErrorKind::NotFound, "not found in PATH"),
    })
}
