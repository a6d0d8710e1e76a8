//! As root, switches to the owner of `--root`: no root-owned files are left there, and no page or
//! package is processed as root.

use std::path::Path;

use anyhow::bail;
use rustix::process::geteuid;
use tgs_core::owner;

/// If run as root, runs this program again as the owner of `root` and returns its exit code.
/// `env_file` must belong to that user or root.
pub(crate) fn run_as_owner(root: &Path, env_file: Option<&Path>) -> anyhow::Result<Option<u8>> {
    if geteuid().is_root() && !root.exists() {
        bail!(
            "use {}: it is not there, and root does not make it: run systemd-tmpfiles --create, or make it as the user \
             whom it is to belong to",
            root.display()
        );
    }
    Ok(owner::run_as_owner(None, [root].into_iter().chain(env_file))?)
}
