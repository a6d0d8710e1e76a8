//! Converts settings to the engine's and the resolver's configuration, and engine errors to exit
//! codes.

use tgs_control::CommandSender;
use tgs_core::{
    cancel::Cancel,
    error::CliError,
    exit::Code,
    settings::{PublisherKind, Quality, Settings},
};
use tgs_playout::{
    command::Command,
    engine::{Control, EngineError},
    output::{self, Output},
    profile::Profile,
};

use crate::{resolver::Resolver, ytdlp::YtDlp};

/// The profile that VIDEO_QUALITY names.
pub(crate) fn profile(quality: Quality) -> Profile {
    match quality {
        Quality::P480 => Profile::P480,
        Quality::P720 => Profile::P720,
        Quality::P1080 => Profile::P1080,
    }
}

pub(crate) fn resolver(settings: &Settings, cancel: &Cancel) -> Result<Resolver, CliError> {
    let height = profile(settings.quality).height;
    let ytdlp = YtDlp::new(&settings.ytdlp_path, &settings.ytdlp_args, height)
        .map_err(|error| CliError::new(Code::Config, error.context("use YTDLP_ARGS")))?;
    Ok(Resolver {
        ffmpeg: settings.ffmpeg_path.clone(),
        ffprobe: settings.ffprobe_path(),
        ytdlp,
        image_duration: settings.image_duration,
        cancel: cancel.clone(),
    })
}

/// The output at `url`. `origin` names the setting or server that gave the URL, for the error.
pub(crate) fn rtmp_output(settings: &Settings, url: &str, origin: &str) -> Result<Output, CliError> {
    let by_ffmpeg = (settings.publisher == PublisherKind::Ffmpeg).then(|| settings.ffmpeg_path.clone());
    output::parse_output(url, by_ffmpeg)
        .map_err(|why| CliError::new(Code::Config, anyhow::anyhow!("use {origin}: {why}")))
}

pub(crate) fn engine_failed(error: EngineError) -> CliError {
    let missing = matches!(error, EngineError::NoFfmpeg { .. });
    let code = if missing { Code::Unavailable } else { Code::Failure };
    CliError::new(code, anyhow::Error::new(error).context("broadcast"))
}

/// Sends a command of which nobody waits for the result: a refusal is only logged.
pub(crate) fn send(control: &Control, command: Command) {
    send_as(control, command, &CommandSender::internal());
}

/// The same for a command that came from outside.
pub(crate) fn send_as(control: &Control, command: Command, by: &CommandSender) {
    if let Err(refused) = control.send_as(command, by) {
        log::warn!("command refused: {refused}");
    }
}
