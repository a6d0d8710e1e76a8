//! Run as root, the tool works as the owner of the directory: nothing of root's is left there, and no page or package is
//! worked on with root's rights.

use std::path::Path;

use anyhow::bail;
use rustix::process::geteuid;
use tgs_core::owner;

/// Where it is needed, runs this program anew as the owner of `root`, to its end: its exit code. The settings that
/// `env_file` names must be that user's or root's.
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
