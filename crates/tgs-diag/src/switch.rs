//! Root becomes the unit's user before anything is looked at as the unit does.
//!
//! What the unit may read and write can only be tried by its user. And yt-dlp lies where that user may write: root must
//! not run what somebody else can replace.

use std::{ffi::OsString, path::Path};

use tgs_core::user::User;

use crate::{cli::Cli, view::View};

/// Runs this program anew as the unit's user, where this is root and the unit's own `.env` is looked at: its exit code.
/// Words where that failed.
pub(crate) fn run_as_user_of(cli: &Cli, view: &View) -> Result<Option<u8>, String> {
    if !rustix::process::geteuid().is_root() || !view.as_unit {
        return Ok(None);
    }
    let Some(user) = view.unit.as_ref().ok().and_then(|unit| unit.user()).and_then(User::named) else {
        return Ok(None);
    };
    if user.uid == 0 {
        return Ok(None);
    }
    let mut args: Vec<OsString> = vec!["--unit".into(), view.unit_name.clone().into()];
    args.extend(cli.offline.then(|| "--offline".into()));
    args.extend(cli.json.then(|| "--json".into()));
    if let Some(env) = &view.env {
        let path = std::path::absolute(&env.path).unwrap_or_else(|_| env.path.clone());
        args.extend(["--env-file".into(), path.into()]);
    }
    if view.unit.as_ref().is_ok_and(|unit| unit.runs_replaced(Path::new("/proc"))) {
        args.push("--replaced".into());
    }
    // Where root was, the user may not be.
    let ran = user.run_self(args, Path::new("/"));
    ran.map(Some).map_err(|e| format!("failed to become {}, as which the unit runs: {e}", user.name))
}
