//! Runs `tgs-bot`: reads the settings, then checks them or runs the bot.

use std::{
    env,
    ffi::OsStr,
    fmt::Write as _,
    io::{Write as _, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use tgs_core::{
    cancel::Cancel,
    error::CliError,
    exit::Code,
    files::lock::{FileLock, LockError},
    logging, signals, systemd,
};
use tgs_telegram::bot::BotWake;

use crate::{
    broadcasts::Broadcasts, cli::Cli, daemon::BotDaemon, session_file::SessionFile, settings::BotSettings,
    watch::ChannelWatch, webhook::Webhook,
};

/// The state directory without systemd's.
const STATE_DIR: &str = "/var/lib/tgs-bot";
/// How long a start waits for the end of another process.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Runs the tool.
pub fn run(cli: Cli) -> Result<ExitCode, CliError> {
    let settings = BotSettings::load(cli.env_file.as_deref(), &|name| env::var_os(name));
    let settings = settings.map_err(|faults| CliError::new(Code::Config, faults))?;
    let wake = BotWake::default();
    let broadcasts = Broadcasts::start(cli.socket, &wake)?;
    if cli.check {
        return check(&settings, &broadcasts);
    }
    logging::init(&settings.rust_log);
    settings.warnings.iter().for_each(|warning| log::warn!("{warning}"));
    let dir = cli.state_dir.unwrap_or_else(state_dir);
    let served = serve(settings, broadcasts, wake, &dir, cli.time_scale.max(1));
    match served {
        Ok(()) => Ok(Code::Ok.into()),
        Err(error) => Ok(error.log().into()),
    }
}

fn state_dir() -> PathBuf {
    env::var_os("STATE_DIRECTORY")
        .filter(|dir| !dir.is_empty())
        .map_or_else(|| STATE_DIR.into(), PathBuf::from)
}

fn check(settings: &BotSettings, broadcasts: &Broadcasts) -> Result<ExitCode, CliError> {
    let mut out = String::new();
    for warning in &settings.warnings {
        let _ = writeln!(out, "warning: {warning}");
    }
    match &settings.account {
        Some(account) => {
            let (bot, access) = (account.bot_id, &settings.access);
            let _ = writeln!(out, "the settings of bot {bot} are valid: {access}");
        }
        None => out += "the settings are valid: no bot, only NOTIFY_WEBHOOK\n",
    }
    match &*broadcasts.channels() {
        [] => out += "no channel runs on this machine\n",
        channels => {
            for channel in channels {
                let _ = writeln!(out, "channel {}", channel.name);
            }
        }
    }
    stdout().write_all(out.as_bytes()).context("write to stdout")?;
    Ok(Code::Ok.into())
}

fn serve(
    settings: BotSettings,
    broadcasts: Broadcasts,
    wake: BotWake,
    dir: &Path,
    time_scale: u32,
) -> Result<(), CliError> {
    let cancel = Cancel::new();
    let waker = wake.clone();
    signals::watch(&[SIGTERM, SIGINT], cancel.clone(), move || waker.wake()).context("watch for signals")?;
    let file = SessionFile::in_dir(dir)?;
    // Telegram ends a session for good that two processes use at once.
    let lock = FileLock::take(dir, OsStr::new("session.lock"), LOCK_WAIT, &cancel);
    let _lock = lock.map_err(|error| {
        let code = if matches!(error, LockError::Held(_)) { Code::Busy } else { Code::Failure };
        CliError::new(code, error).context(format!("take the lock of the session in {}", dir.display()))
    })?;
    let webhook = settings.webhook.clone().map(|target| Webhook::start(target, &wake)).transpose()?;
    let quiet = settings.quiet;
    let mut daemon = BotDaemon::new(settings, broadcasts, wake, file, cancel);
    daemon.watch(ChannelWatch::start(dir, time_scale, webhook, quiet));
    let _reporter = daemon.report();
    systemd::ready();
    let ended = daemon.run();
    systemd::stopping();
    log::info!("stopped");
    ended
}
