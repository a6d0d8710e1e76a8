//! The exec shim: code between `fork` and `exec`, which std offers only as unsafe code.
//!
//! A child starts as this tool's own executable, which creates a session, sets the parent-death
//! signal, confines itself or changes its user, and executes the program. For the limits, see
//! [`super::confine`] and [`super::user`].

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    os::unix::process::CommandExt,
    process::{self, Command, ExitCode},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::process::Signal;

use super::{confine::Confinement, user::Ids};

/// The shim's first argument. The parent's pid, the confinement, this argument again, the program
/// and its arguments follow.
const EXEC: &str = "__exec";

/// Precedes the ids of the user that the child runs as.
const USER: &str = "user";

/// This process's executable, even after its file was replaced or deleted.
pub(super) const SELF_EXE: &str = "/proc/self/exe";

/// Whether this program's `main` begins with [`shim`].
static HAS_SHIM: AtomicBool = AtomicBool::new(false);

/// Must be the first call of every tool's `main`. Becomes the child if this process was started as
/// its shim; otherwise returns `None`.
///
/// Returns an exit code if the program could not be started (126) or the parent is gone (125).
#[must_use]
pub fn shim() -> Option<ExitCode> {
    let mut args = env::args_os().skip(1);
    if args.next().as_deref() != Some(OsStr::new(EXEC)) {
        HAS_SHIM.store(true, Ordering::SeqCst);
        return None;
    }
    let parent = args.next().unwrap_or_default();
    let held: Vec<_> = args.by_ref().take_while(|arg| arg != EXEC).collect();
    let program = args.next().unwrap_or_default();
    let name = program.to_string_lossy();
    // Without a controlling terminal, no descendant can inject input into it (TIOCSTI).
    if let Err(e) = rustix::process::setsid() {
        eprintln!("failed to start {name}: failed to give it a session of its own: {e}");
        return Some(ExitCode::from(126));
    }
    // Change the user first: the change resets the parent-death signal.
    let user = held.iter().position(|arg| arg == USER).and_then(|at| held.get(at + 1)?.to_str());
    if let Some(user) = user
        && let Err(e) =
            Ids::from_arg(user).ok_or(io::ErrorKind::InvalidInput.into()).and_then(|ids| ids.assume())
    {
        eprintln!("failed to start {name}: failed to become another user: {e}");
        return Some(ExitCode::from(126));
    }
    if let Err(e) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        eprintln!("failed to start {name}: failed to tie it to its parent: {e}");
        return Some(ExitCode::from(126));
    }
    // The parent may have died before the signal was set.
    let alive = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string());
    if alive.is_none_or(|pid| *pid != *parent) {
        return Some(ExitCode::from(125));
    }
    if user.is_none()
        && !held.is_empty()
        && let Err(e) = Confinement::from_args(&held).enforce()
    {
        eprintln!("failed to start {name}: failed to confine it: {e}");
        return Some(ExitCode::from(126));
    }
    let args: Vec<_> = args.collect();
    let mut e = Command::new(&program).args(&args).exec();
    // The user may lack access to this program's file; /proc/self/exe still works.
    if user.is_some() && e.kind() == io::ErrorKind::PermissionDenied {
        e = Command::new(SELF_EXE).args(&args).exec();
    }
    eprintln!("failed to start {name}: {e}");
    Some(ExitCode::from(126))
}

/// Whether this program's `main` begins with [`shim`].
pub(super) fn exists() -> bool {
    HAS_SHIM.load(Ordering::SeqCst)
}

/// Returns a command that runs `program` through the shim, which applies `confinement` first.
pub(super) fn through(program: &OsStr, confinement: Vec<OsString>) -> Command {
    let mut shim = Command::new(SELF_EXE);
    shim.arg(EXEC).arg(process::id().to_string()).args(confinement).arg(EXEC).arg(program);
    shim
}

/// Returns the shim arguments that select the user `ids`.
pub(super) fn user_args(ids: &Ids) -> Vec<OsString> {
    vec![USER.into(), ids.to_arg()]
}

/// Returns the program of a command, without the shim.
pub(super) fn program(command: &Command) -> &OsStr {
    let mut args = command.get_args();
    let own = command.get_program();
    if own == SELF_EXE && args.next() == Some(OsStr::new(EXEC)) {
        args.skip_while(|arg| *arg != EXEC).nth(1).unwrap_or(own)
    } else {
        own
    }
}
