//! Root switches to the unit's user when the unit's own `.env` is checked, else to the owner of the
//! settings and the files they name.
//!
//! Access tests are valid only as that user, and root must not run a yt-dlp that another user can
//! replace.

use std::{ffi::OsString, path::Path};

use anyhow::Context;

use tgs_core::{owner, process, process::user::User};

use crate::{cli::Cli, context::DiagContext};

/// As root, runs this program again as that user and returns its exit code.
pub(crate) fn run_as_user_of(cli: &Cli, context: &DiagContext) -> anyhow::Result<Option<u8>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let of_unit = context.unit.as_ref().ok().filter(|_| context.as_unit).and_then(|unit| unit.user());
    let Some(user) = of_unit.and_then(User::named).filter(|user| user.uid != 0) else {
        return run_as_owner(context);
    };
    let mut args: Vec<OsString> = vec!["--unit".into(), context.unit_name.clone().into()];
    args.extend(cli.offline.then(|| "--offline".into()));
    args.extend(cli.json.then(|| "--json".into()));
    if let Some(env) = &context.env {
        let path = std::path::absolute(&env.path).unwrap_or_else(|_| env.path.clone());
        args.extend(["--env-file".into(), path.into()]);
    }
    if context.unit.as_ref().is_ok_and(|unit| unit.runs_replaced(Path::new("/proc"))) {
        args.push("--replaced".into());
    }
    // The user may lack access to root's working directory.
    let ran = owner::run_self_as(&user, args, Path::new("/"));
    ran.map(Some).with_context(|| format!("become {}, as which the unit runs", user.name))
}

/// Switches to the owner of the settings, STATE_DIR, CACHE_DIR and the programs to run.
fn run_as_owner(context: &DiagContext) -> anyhow::Result<Option<u8>> {
    let mut paths = Vec::new();
    if let Some(settings) = &context.settings {
        let programs = [settings.ffmpeg_path.clone(), settings.ffprobe_path(), settings.ytdlp_path.clone()];
        paths.extend(programs.iter().filter_map(|program| process::find(program).ok()));
        paths.extend([settings.state_dir.clone(), settings.cache_dir.clone()]);
    }
    let env = context.env.as_ref().map(|env| &*env.path);
    Ok(owner::run_as_owner(env, paths.iter().map(|path| &**path))?)
}
