//! Converts settings to the engine's and the resolver's configuration, and engine errors to exit
//! codes.

pub(crate) mod look;

use std::collections::BTreeSet;

use tgs_control::CommandSender;
use tgs_core::{
    cancel::Cancel,
    error::CliError,
    exit::Code,
    proxy::{KeptProxies, ProxyList},
    settings::{self, AudioSide, NamedOutput, PublisherKind, RecordSettings, Settings},
};
use tgs_playout::{
    command::Command,
    engine::{Control, EngineConfig, EngineError},
    ffmpeg::{
        Processing,
        loudness::LoudnessTarget,
        picture::{AudioPicture, Background, PictureOptions},
        probe::ProbeOptions,
        sound::{Side, SoundOptions},
    },
    loudness::LoudnessMeter,
    output::{self, Output},
    outputs::{OutputConfig, RecorderConfig},
    profile::Profile,
};
use tgs_rtmp::url::RtmpUrl;

use crate::{cli::Cli, resolver::Resolver, ytdlp::YtDlp};

/// The profile that VIDEO_QUALITY and VIDEO_BITRATE name.
pub(crate) fn profile(settings: &Settings) -> Profile {
    let picture = &settings.picture;
    Profile::new(picture.quality.height, picture.quality.fps, picture.kbps)
}

/// What the settings do to picture and sound.
pub(crate) fn processing(settings: &Settings) -> Processing {
    Processing {
        sound: sound(&settings.sound),
        picture: picture_options(&settings.picture),
        look: look::of(&settings.look),
    }
}

/// The engine's configuration for this output.
pub(crate) fn engine_config(cli: &Cli, settings: &Settings, output: Output) -> EngineConfig {
    EngineConfig {
        ffmpeg: settings.ffmpeg_path.clone(),
        ffprobe: settings.ffprobe_path(),
        profile: profile(settings),
        processing: processing(settings),
        ffmpeg_args: settings.ffmpeg_args.clone(),
        output,
        read_ahead: settings.read_ahead,
        // A list that repeats comes from the cache at the speed of the disk, and would fill it.
        realtime: cli.realtime || (settings.repeat && !cli.once),
        filler: settings.filler.clone(),
        cache_dir: settings.cache_dir.clone(),
        cache_limit: settings.cache_limit,
        cache_ahead: settings.cache_ahead,
        image_duration: settings.image_duration,
        // ffmpeg as the publisher cannot send codec headers that change within the stream.
        passthrough: settings.passthrough && settings.publisher == PublisherKind::Native,
        state_dir: settings.state_dir.clone(),
        first_timestamp: cli.first_timestamp,
    }
}

fn picture_options(picture: &settings::Picture) -> PictureOptions {
    PictureOptions {
        background: match picture.background {
            settings::BackgroundSetting::Black => Background::Black,
            settings::BackgroundSetting::Blur => Background::Blur,
        },
        audio_picture: match picture.audio_picture {
            settings::AudioPictureSetting::Slate => AudioPicture::Slate,
            settings::AudioPictureSetting::Cover => AudioPicture::Cover,
            settings::AudioPictureSetting::Spectrum => AudioPicture::Spectrum,
        },
        speed_up: picture.speed_up_film,
    }
}

fn sound(settings: &settings::Sound) -> SoundOptions {
    let peak = settings.peak.db();
    let side = |side| match side {
        AudioSide::Left => Side::Left,
        AudioSide::Right => Side::Right,
    };
    SoundOptions {
        loudness: settings.loudness.map(|lufs| LoudnessTarget { lufs: lufs.db(), peak }),
        languages: settings.languages,
        side: settings.side.map(side),
        fade: settings.fade,
    }
}

/// The meter of `--check`; `None` with LOUDNESS=off.
pub(crate) fn meter(settings: &Settings) -> Option<LoudnessMeter> {
    LoudnessMeter::open(
        &settings.ffmpeg_path,
        &sound(&settings.sound),
        profile(settings).channels,
        settings.image_duration,
        &settings.cache_dir,
    )
}

pub(crate) fn resolver(settings: &Settings, cancel: &Cancel) -> Result<Resolver, CliError> {
    let profile = profile(settings);
    let ytdlp = YtDlp::new(&settings.ytdlp_path, &settings.ytdlp_args, profile.height)
        .map_err(|error| CliError::new(Code::Config, error.context("use YTDLP_ARGS")))?;
    Ok(Resolver {
        ffmpeg: settings.ffmpeg_path.clone(),
        ffprobe: settings.ffprobe_path(),
        ytdlp,
        wanted: ProbeOptions::of(
            &profile,
            settings.image_duration,
            settings.sound.languages,
            settings.picture.speed_up_film,
        ),
        cancel: cancel.clone(),
    })
}

/// The further outputs, or why each of the unusable ones cannot be used. `paused` names those that
/// start paused, `kept` the proxies that each begins with.
pub(crate) fn further_outputs(
    settings: &Settings,
    paused: &BTreeSet<String>,
    kept: &KeptProxies,
) -> Result<Vec<OutputConfig>, Vec<CliError>> {
    let (mut outputs, mut problems) = (Vec::new(), Vec::new());
    for NamedOutput { name, url, proxies } in &settings.also_outputs {
        match RtmpUrl::parse(url.expose()) {
            Ok(target) => {
                let (name, paused) = (name.clone(), paused.contains(name));
                let proxies = kept.list(&format!("output:{name}"), proxies.clone());
                outputs.push(OutputConfig { name, target, proxies, paused });
            }
            Err(why) => {
                let why = anyhow::anyhow!("use the output {name} of ALSO_OUTPUT_URLS: {why}");
                problems.push(CliError::new(Code::Config, why));
            }
        }
    }
    if problems.is_empty() { Ok(outputs) } else { Err(problems) }
}

/// Where and how the broadcast is recorded.
pub(crate) fn recorder(settings: &Settings, recording: &RecordSettings) -> RecorderConfig {
    RecorderConfig {
        dir: recording.dir.clone(),
        segment: recording.segment,
        fps: profile(settings).fps,
        keep: recording.keep,
        most_bytes: recording.most_bytes,
    }
}

/// The output at `url`, through `proxies`. `origin` names the setting or server that gave the URL,
/// for the error.
pub(crate) fn rtmp_output(
    settings: &Settings,
    url: &str,
    proxies: ProxyList,
    origin: &str,
) -> Result<Output, CliError> {
    let by_ffmpeg = (settings.publisher == PublisherKind::Ffmpeg).then(|| settings.ffmpeg_path.clone());
    output::parse_output(url, by_ffmpeg)
        .map(|output| output.through(proxies))
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

/// The first of several errors; the others are logged.
pub(crate) fn first_of(errors: Vec<CliError>) -> CliError {
    let mut errors = errors.into_iter();
    let first = errors.next().unwrap_or_else(|| CliError::failure("use the settings"));
    for error in errors {
        let _ = error.log();
    }
    first
}

/// Checks that ffmpeg and ffprobe run.
pub(crate) fn check_tools(settings: &Settings, control: &Control) -> Result<(), CliError> {
    tgs_playout::engine::check_tools(&settings.ffmpeg_path, &settings.ffprobe_path(), &control.stopped())
        .map_err(engine_failed)?;
    Ok(())
}
