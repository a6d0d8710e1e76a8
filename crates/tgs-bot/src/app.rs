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
    logging,
    process::confine::{self, Confinement},
    settings::hidden_places,
    signals, systemd,
};
use tgs_telegram::bot::BotWake;

use crate::{
    broadcasts::Broadcasts,
    cli::Cli,
    daemon::BotDaemon,
    digest::DailyDigest,
    kept_files::KeptFiles,
    machine_notes::NotePlaces,
    media_dir::MediaDir,
    picture::PictureTaker,
    session_file::SessionFile,
    settings::{BotSettings, FILE},
    watch::ChannelWatch,
    webhook::Webhook,
};

/// The state directory without systemd's.
const STATE_DIR: &str = "/var/lib/tgs-bot";
/// Where ffmpeg reads and writes, in the state directory.
const SCRATCH: &str = "scratch";
/// How long a start waits for the end of another process.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Runs the tool.
pub fn run(cli: Cli) -> Result<ExitCode, CliError> {
    let settings = BotSettings::load(cli.env_file.as_deref(), &|name| env::var_os(name));
    let settings = settings.map_err(|faults| CliError::new(Code::Config, faults))?;
    let (wake, cancel) = (BotWake::default(), Cancel::new());
    let dir = cli.state_dir.clone().unwrap_or_else(state_dir);
    let pictures = PictureTaker::new(dir.join(SCRATCH), cancel.clone());
    let broadcasts = Broadcasts::start(cli.socket.clone(), &wake, pictures)?;
    if cli.check {
        return check(&settings, &broadcasts);
    }
    logging::init(&settings.rust_log);
    settings.warnings.iter().for_each(|warning| log::warn!("{warning}"));
    match serve(cli, settings, broadcasts, wake, cancel, &dir) {
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
    if let Some(Err(fault)) = settings.media.as_ref().map(MediaDir::check) {
        let _ = writeln!(out, "warning: {fault}");
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

/// Hides the bot's secrets from ffmpeg, which decodes what a broadcast sends.
fn confine(cli: &Cli, settings: &BotSettings, dir: &Path) {
    let scratch = dir.join(SCRATCH);
    if let Err(error) = confine::make_scratch(&scratch) {
        log::warn!("no pictures: failed to create {}: {error}", scratch.display());
    }
    let env_file = cli.env_file.clone().unwrap_or_else(|| FILE.into());
    let mut hidden = vec![env_file, dir.join("session"), dir.join("incidents.json")];
    hidden.extend(hidden_places(&settings.secret_files));
    confine::children(&Confinement { hidden, writable: Vec::new(), scratch });
}

fn serve(
    cli: Cli,
    settings: BotSettings,
    broadcasts: Broadcasts,
    wake: BotWake,
    cancel: Cancel,
    dir: &Path,
) -> Result<(), CliError> {
    let waker = wake.clone();
    signals::watch(&[SIGTERM, SIGINT], cancel.clone(), move || waker.wake()).context("watch for signals")?;
    let file = SessionFile::in_dir(dir)?;
    confine(&cli, &settings, dir);
    // Telegram ends a session for good that two processes use at once.
    let lock = FileLock::take(dir, OsStr::new("session.lock"), LOCK_WAIT, &cancel);
    let _lock = lock.map_err(|error| {
        let code = if matches!(error, LockError::Held(_)) { Code::Busy } else { Code::Failure };
        CliError::new(code, error).context(format!("take the lock of the session in {}", dir.display()))
    })?;
    let time_scale = cli.time_scale.max(1);
    let webhook = settings.webhook.clone().map(|target| Webhook::start(target, &wake)).transpose()?;
    let notes = NotePlaces { units: cli.notes_dir, ..NotePlaces::default() };
    let watch = ChannelWatch::start(dir, time_scale, webhook, settings.quiet, notes);
    let kept = settings.media.clone().map(|media| KeptFiles::read(media, dir, time_scale));
    let digest = DailyDigest::new(settings.digest, dir);
    let mut daemon = BotDaemon::new(settings, broadcasts, wake, file, cancel);
    daemon.watch(watch, digest, kept);
    let _reporter = daemon.report();
    systemd::ready();
    let ended = daemon.run();
    systemd::stopping();
    log::info!("stopped");
    ended
}
