//! Root becomes the user whose files these are before anything is looked at: the unit's user, where the unit's own `.env` is
//! looked at, else the owner of the settings and of what they name.
//!
//! What the unit may read and write can only be tried by its user. And yt-dlp lies where that user may write: root must
//! not run what somebody else can replace.

use std::{ffi::OsString, path::Path};

use anyhow::Context;

use tgs_core::{owner, process, process::user::User};

use crate::{cli::Cli, context::DiagContext};

/// Runs this program anew as that user, where this is root: its exit code. Words where that failed.
pub(crate) fn run_as_user_of(cli: &Cli, view: &DiagContext) -> anyhow::Result<Option<u8>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let of_unit = view.unit.as_ref().ok().filter(|_| view.as_unit).and_then(|unit| unit.user());
    let Some(user) = of_unit.and_then(User::named).filter(|user| user.uid != 0) else {
        return run_as_owner(view);
    };
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
    let ran = owner::run_self_as(&user, args, Path::new("/"));
    ran.map(Some).with_context(|| format!("become {}, as which the unit runs", user.name))
}

/// The same as the owner of the settings, of STATE_DIR and CACHE_DIR, and of the programs that would be run.
fn run_as_owner(view: &DiagContext) -> anyhow::Result<Option<u8>> {
    let mut paths = Vec::new();
    if let Some(settings) = &view.settings {
        let programs = [settings.ffmpeg_path.clone(), settings.ffprobe_path(), settings.ytdlp_path.clone()];
        paths.extend(programs.iter().filter_map(|program| process::find(program).ok()));
        paths.extend([settings.state_dir.clone(), settings.cache_dir.clone()]);
    }
    let env = view.env.as_ref().map(|env| &*env.path);
    Ok(owner::run_as_owner(env, paths.iter().map(|path| &**path))?)
}
