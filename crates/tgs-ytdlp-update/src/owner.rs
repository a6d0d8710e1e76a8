//! Run as root, the tool works as the owner of the directory: nothing of root's is left there, and no page or package is
//! worked on with root's rights.

use std::{env, io, path::Path};

use rustix::process::geteuid;
use tgs_core::user::User;

/// Where it is needed, runs this program anew as the owner of `root`, to its end: its exit code.
pub(crate) fn run_as_owner(root: &Path) -> Result<Option<u8>, String> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let dir = root.display();
    let owner = User::owner_of(root).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!(
            "use {dir}: it is not there, and root does not make it: run systemd-tmpfiles --create, or make it as the \
             user whom it is to belong to"
        ),
        _ => format!("use {dir}: {error}"),
    })?;
    if owner.uid == 0 {
        return Ok(None);
    }
    log::info!("going on as the owner of {dir}, {}", owner.name);
    let ran = owner.run_self(env::args_os().skip(1), Path::new("."));
    ran.map(Some).map_err(|error| format!("go on as {}, the owner of {dir}: {error}", owner.name))
}
