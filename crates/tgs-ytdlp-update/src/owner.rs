//! Run as root, the tool becomes the owner of the directory first: nothing of root's is left there, and no page or
//! package is worked on with root's rights.

use std::{
    env, io,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::Command,
};

use rustix::process::geteuid;

/// Where it is needed, starts this program anew as the owner of `root` and does not come back.
pub(crate) fn become_owner(root: &Path) -> Result<(), String> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let dir = root.display();
    let meta = root.metadata().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!(
            "use {dir}: it is not there, and root does not make it: run systemd-tmpfiles --create, or make it as the \
             user whom it is to belong to"
        ),
        _ => format!("use {dir}: {error}"),
    })?;
    if meta.uid() == 0 {
        return Ok(());
    }
    log::info!("going on as the owner of {dir}, user {} of group {}", meta.uid(), meta.gid());
    // By its path: once the user has changed, the kernel does not tell through /proc/self/exe any more.
    let own = env::current_exe().map_err(|error| format!("find this program's own file: {error}"))?;
    // The groups of root go with its number.
    let error = Command::new(&own)
        .args(env::args_os().skip(1))
        .env("HOME", root)
        .uid(meta.uid())
        .gid(meta.gid())
        .exec();
    Err(format!("start {} as the owner of {dir}: {error}", own.display()))
}
