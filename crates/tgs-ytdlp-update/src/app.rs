//! Runs `tgs-ytdlp-update`: prints the `RESULT:` line and sets the exit code.

use std::{
    io::{self, Write, stdout},
    process::ExitCode,
};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tempfile::TempDir;
use tgs_core::{
    cancel::Cancel,
    error::CliError,
    exit::Code,
    logging,
    process::confine::{self, Confinement},
    signals,
};

use crate::{
    cli::Cli,
    error::UpdateError,
    owner,
    status::InstalledVersions,
    update::{self, Update, UpdateContext},
    versions_dir::VersionsDir,
};

/// Runs the tool.
#[expect(clippy::needless_pass_by_value, reason = "the one `main` hands the command line over")]
pub fn run(cli: Cli) -> Result<ExitCode, CliError> {
    logging::init("info");
    // Never as root: `--check` runs the yt-dlp in use, and `--status` follows the owner's links.
    let ran = if cli.status && !cli.root.exists() {
        Ok(None)
    } else {
        owner::run_as_owner(VersionsDir::at(&cli.root).root(), cli.env_file.as_deref())
    };
    Ok(match ran {
        Ok(None) => update(&cli).into(),
        Ok(Some(code)) => code.into(),
        Err(error) => failed(&error.to_string(), Code::Failure).into(),
    })
}

fn update(cli: &Cli) -> Code {
    let tree = VersionsDir::at(&cli.root);
    if cli.status {
        return show(cli, &tree);
    }
    let cancel = Cancel::new();
    if let Err(error) = signals::watch(&[SIGTERM, SIGINT, SIGHUP], cancel.clone(), || {}) {
        return failed(&format!("listen for signals: {error}"), Code::Failure);
    }
    let scratch = match confine(cli, &tree) {
        Ok(scratch) => scratch,
        Err(error) => {
            return failed(&format!("make a directory for temporary files: {error}"), Code::Failure);
        }
    };
    let work = UpdateContext { cli, tree: &tree, scratch: scratch.path(), cancel: &cancel };
    if cli.check {
        let update = Update::new(&work);
        return match update.check() {
            Ok(outcome) => print(&format!("would be: {outcome}")),
            Err(failure) => ended(&failure, &update.still(), &cancel),
        };
    }
    let _lock = match tree.lock() {
        Ok(lock) => lock,
        Err(failure @ UpdateError::Busy { .. }) => return failed(&failure.to_string(), Code::Busy),
        Err(failure) => return failed(&failure.to_string(), Code::Failure),
    };
    if cli.rollback {
        return match update::roll_back(&tree, &cancel) {
            Ok(done) => succeeded(&done),
            Err(failure) => failed(&failure.to_string(), Code::Failure),
        };
    }
    let update = Update::new(&work);
    match update.run() {
        Ok(outcome) => succeeded(&outcome.to_string()),
        Err(failure) => ended(&failure, &update.still(), &cancel),
    }
}

/// Confines pip and the untested yt-dlp: they cannot read `.env`, and write only below `--root` and
/// in the returned directory.
fn confine(cli: &Cli, tree: &VersionsDir) -> io::Result<TempDir> {
    let scratch = tempfile::Builder::new().prefix("tgs-ytdlp-update.").tempdir()?;
    confine::make_scratch(scratch.path())?;
    let hidden = cli.env_file.iter().cloned().collect();
    let writable = vec![tree.root().to_owned()];
    confine::children(&Confinement { hidden, writable, scratch: scratch.path().to_owned() });
    Ok(scratch)
}

fn succeeded(what: &str) -> Code {
    log::info!("RESULT: {what}");
    Code::Ok
}

fn ended(failure: &UpdateError, still: &str, cancel: &Cancel) -> Code {
    if cancel.is_cancelled() {
        // A failure after the signal is a consequence of it.
        return failed(&format!("{}; what was in place still is", UpdateError::Stopped), Code::Failure);
    }
    failed(&format!("{failure}; {still}"), Code::Failure)
}

fn failed(why: &str, code: Code) -> Code {
    log::error!("RESULT: FAILED to {why}");
    code
}

fn show(cli: &Cli, tree: &VersionsDir) -> Code {
    let status = InstalledVersions::read(tree);
    if !cli.json {
        return print(&status.text());
    }
    print(&serde_json::to_string_pretty(&status).unwrap_or_default())
}

fn print(text: &str) -> Code {
    let mut out = stdout();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Code::Ok,
        Err(error) => failed(&format!("write to stdout: {error}"), Code::Failure),
    }
}
