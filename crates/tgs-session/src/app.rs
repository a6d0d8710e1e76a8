//! Dispatches the command line of `tgs-session` to its tasks.

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tgs_core::{
    cancel::Cancel, error::CliError, exit::Code, logging, owner, proxy::KeptProxies, remedy, settings,
    signals,
};

use crate::{cli::Cli, context::Context, convert, dialogs, end_call, log_out, login, show, terminal::say};

/// Runs the tool.
pub fn run(mut cli: Cli) -> Result<ExitCode, CliError> {
    // Without settings here, use those of the installed service.
    if cli.env_file.is_none()
        && std::env::var_os("API_ID").is_none()
        && let Some(installed) = settings::installed(Path::new(""))
    {
        say(&format!("with the settings of the service, {}", installed.display()));
        cli.env_file = Some(installed);
    }
    remedy::set_env_file(cli.env_file.as_deref());
    let refused = |refused: owner::Refused| CliError::new(Code::Config, refused);
    let env_file = cli.env_file.clone().unwrap_or_else(|| ".env".into());
    if let Some(code) = owner::run_as_owner(Some(&env_file), []).map_err(refused)? {
        return Ok(code.into());
    }
    let settings = Context::load(&cli)?;
    let dirs = [&*settings.state_dir, &*settings.cache_dir];
    if let Some(code) = owner::run_as_owner(Some(&env_file), dirs).map_err(refused)? {
        return Ok(code.into());
    }
    logging::init(&settings.rust_log);
    for warning in &settings.warnings {
        log::warn!("{warning}");
    }
    let cancel = Cancel::new();
    signals::watch(&[SIGTERM, SIGINT, SIGHUP], cancel.clone(), || {}).context("listen for signals")?;
    // Begins with the proxy that works for the broadcast.
    let proxies =
        KeptProxies::in_dir(&settings.state_dir).list("telegram", settings.telegram.proxies.clone());
    let context = Context { cli, settings, cancel, proxies };
    let cli = &context.cli;
    let done = match cli.convert {
        Some(form) => convert::run(&context, form),
        None if cli.list_dialogs => dialogs::run(&context),
        None if cli.show => show::run(&context),
        None if cli.log_out => log_out::run(&context),
        None if cli.end_call => end_call::run(&context),
        None if cli.non_interactive => login::standby::run(context),
        None => login::interactive::run(&context),
    };
    done.map(Into::into)
}
