//! Run as root, the tool works as the owner of the directory: nothing of root's is left there, and no page or package is
//! worked on with root's rights.

use std::path::Path;

use rustix::process::geteuid;
use tgs_core::owner;

/// Where it is needed, runs this program anew as the owner of `root`, to its end: its exit code. The settings that
/// `env_file` names must be that user's or root's.
pub(crate) fn run_as_owner(root: &Path, env_file: Option<&Path>) -> Result<Option<u8>, String> {
    if geteuid().is_root() && !root.exists() {
        return Err(format!(
            "use {}: it is not there, and root does not make it: run systemd-tmpfiles --create, or make it as the user \
             whom it is to belong to",
            root.display()
        ));
    }
    owner::run_as_owner(None, [root].into_iter().chain(env_file)).map_err(|refused| refused.to_string())
}
