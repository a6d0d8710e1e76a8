//! The checks before a start. A start stops at [`check_start`]'s errors; `--check-settings` reports
//! them all, and the warnings. Takes no lock and changes nothing: safe beside a broadcast.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};
use tgs_core::{cancel::Cancel, error::CliError, exit::Code, proxy::KeptProxies, remedy, settings::Settings};
use tgs_playout::{
    engine,
    ffmpeg::{
        EncodeSetup, ExtraArgs,
        args_probe::{self, ArgsProbeError},
    },
    output::Output,
};
use tgs_telegram::session::string::SessionString;

use crate::{
    children,
    cli::Cli,
    live_input, overwrite,
    schedule::ScheduleFile,
    settings_source::ReadSettings,
    setup::{engine_failed, further_outputs, processing, profile, resolver, rtmp_output},
};

/// The destination of the broadcast.
#[derive(Debug)]
pub(crate) enum PublishTarget {
    /// The output that the settings name.
    Output(Output),
    /// The chat CHAT_ID; Telegram names its ingest.
    Telegram,
}

/// The destination, through the proxies of `kept`, or every reason against a start. Does not check
/// that ffmpeg runs.
pub(crate) fn check_start(
    cli: &Cli,
    settings: &Settings,
    kept: &KeptProxies,
    cancel: &Cancel,
) -> Result<PublishTarget, Vec<CliError>> {
    let target = target(settings, kept);
    let checks = [
        fixed_port(cli, settings),
        resolver(settings, cancel).map(drop),
        directory("STATE_DIR", &settings.state_dir, "STATE_DIRECTORY"),
        directory("CACHE_DIR", &settings.cache_dir, "CACHE_DIRECTORY"),
        output_file(cli, settings, target.as_ref().ok()),
        live_input_secrets(settings),
    ];
    let mut refused: Vec<CliError> = checks.into_iter().filter_map(Result::err).collect();
    refused.extend(further_outputs(settings, &BTreeSet::new(), kept).err().into_iter().flatten());
    match target {
        Ok(target) if refused.is_empty() => return Ok(target),
        Ok(_) => {}
        Err(error) => refused.insert(0, error),
    }
    Err(refused)
}

fn live_input_secrets(settings: &Settings) -> Result<(), CliError> {
    let checked = settings.live.as_ref().map_or(Ok(()), live_input::check);
    checked.map_err(|error| CliError::new(Code::Config, error))
}

/// `--check-settings`: prints one line a problem. The code says whether the settings are usable.
pub(crate) fn report(
    cli: &Cli,
    read: ReadSettings,
    cancel: &Cancel,
    out: &mut dyn Write,
) -> io::Result<Code> {
    let settings = read.settings.map(|settings| settings.absolute(Path::new("")));
    let mut problems = read.problems.0;
    let mut warnings = Vec::new();
    if let Some(settings) = &settings {
        warnings.extend(settings.warnings.iter().cloned());
        examine(cli, settings, cancel, &mut problems, &mut warnings);
    }
    let mut lines = |word: &str, all: &[String]| {
        all.iter().try_for_each(|text| writeln!(out, "{word} {}", text.replace('\n', " ")))
    };
    lines("WARN", &warnings)?;
    lines("FAIL", &problems)?;
    let file = cli.env_file.as_deref().unwrap_or(Path::new(".env"));
    let of = if file.exists() { format!(" of {}", file.display()) } else { String::new() };
    if problems.is_empty() {
        writeln!(out, "the settings{of} can be used")?;
        return Ok(Code::Ok);
    }
    let count = problems.len();
    let problems = if count == 1 { "problem" } else { "problems" };
    writeln!(
        out,
        "the settings{of} cannot be used: fix the {count} {problems} above, then run the check again"
    )?;
    Ok(Code::Config)
}

/// Adds what a start would refuse to `problems`, and what it would do without to `warnings`.
fn examine(
    cli: &Cli,
    settings: &Settings,
    cancel: &Cancel,
    problems: &mut Vec<String>,
    warnings: &mut Vec<String>,
) {
    let kept = KeptProxies::in_dir(&settings.state_dir);
    let target = check_start(cli, settings, &kept, cancel);
    let into_telegram = !matches!(target, Ok(PublishTarget::Output(_))) && settings.output_url.is_none();
    problems.extend(target.err().into_iter().flatten().map(|refused| format!("failed to {refused}")));
    if into_telegram {
        check_sessions(settings, problems, warnings);
    }
    match tempfile::tempdir() {
        Ok(scratch) => {
            children::confine(cli, settings, scratch.path());
            check_tools(settings, scratch.path(), cancel, problems, warnings);
        }
        Err(error) => problems.push(format!("failed to make a temporary directory: {error}")),
    }
    let list = cli.playlist_file(settings);
    if let Some(list) = list
        && let Err(error) = access(&list, Access::READ_OK)
    {
        warnings.push(format!(
            "PLAYLIST {} cannot be read: {error}; under systemd the filler plays until it can be read",
            list.display()
        ));
    }
    if let Some(filler) = &settings.filler
        && let Err(error) = access(filler, Access::READ_OK)
    {
        warnings.push(format!(
            "FILLER {} cannot be read: {error}; the built-in slate is shown instead",
            filler.display()
        ));
    }
    if let Some(logo) = &settings.look.logo
        && let Err(error) = access(&logo.file, Access::READ_OK)
    {
        warnings.push(format!("LOGO {} cannot be read: {error}; the picture has none", logo.file.display()));
    }
    if let Some(file) = &settings.schedule
        && let Err(error) = ScheduleFile::new(file.clone()).read()
    {
        warnings.push(format!("SCHEDULE is not used until it is correct, the list plays alone: {error}"));
    }
    if let Some(recording) = &settings.recording {
        let dir = &recording.dir;
        let place = if dir.is_dir() { Some(&**dir) } else { dir.parent() };
        if place.is_none_or(|place| access(place, Access::WRITE_OK).is_err()) {
            warnings.push(format!("RECORD_DIR {} cannot be written: nothing is recorded", dir.display()));
        }
    }
    let cache = &settings.cache_dir;
    if cache.is_dir() && access(cache, Access::WRITE_OK).is_err() {
        warnings.push(format!("CACHE_DIR {} cannot be written: items are not cached", cache.display()));
    }
}

/// A dead session is no problem of the settings; a malformed one is, because a restart would lose
/// it.
fn check_sessions(settings: &Settings, problems: &mut Vec<String>, warnings: &mut Vec<String>) {
    let telegram = &settings.telegram;
    match telegram.session.as_ref().map(|text| SessionString::decode(text.expose())) {
        Some(Ok(session)) if session.is_bot == Some(true) => {
            problems.push("SESSION_STRING belongs to a bot, and a bot cannot start a live stream".to_owned());
        }
        Some(Ok(_)) => {}
        Some(Err(refused)) => problems.push(format!("SESSION_STRING {refused}")),
        None => warnings.push(
            "SESSION_STRING is not set: degraded mode until tgs-session --write-env has run".to_owned(),
        ),
    }
    if let Some(Err(refused)) = telegram.standby.as_ref().map(|text| SessionString::decode(text.expose())) {
        warnings.push(format!("STANDBY_SESSION_STRING {refused}"));
    }
}

/// Checks ffmpeg and FFMPEG_ARGS. A start ignores FFMPEG_ARGS that fail.
fn check_tools(
    settings: &Settings,
    scratch: &Path,
    cancel: &Cancel,
    problems: &mut Vec<String>,
    warnings: &mut Vec<String>,
) {
    let version = match engine::check_tools(&settings.ffmpeg_path, &settings.ffprobe_path(), cancel) {
        Ok(version) => version,
        Err(error) => return problems.push(format!("failed to {}", engine_failed(error))),
    };
    let setup = |extra| EncodeSetup {
        ffmpeg: settings.ffmpeg_path.clone(),
        ffprobe: settings.ffprobe_path(),
        profile: profile(settings),
        processing: processing(settings),
        extra,
        scratch: scratch.to_owned(),
        image_duration: settings.image_duration,
        short_groups: false,
    };
    let prove = || -> Result<(), ArgsProbeError> {
        let extra = ExtraArgs::parse(&settings.ffmpeg_args)?;
        if extra.is_empty() { Ok(()) } else { args_probe::prove(&setup(extra), &version, scratch, cancel) }
    };
    if let Err(why) = prove() {
        warnings.push(format!("FFMPEG_ARGS are not used: {why}"));
    }
}

fn target(settings: &Settings, kept: &KeptProxies) -> Result<PublishTarget, CliError> {
    if let Some(url) = &settings.output_url {
        let proxies = kept.list("output", settings.output_url_proxies());
        return rtmp_output(settings, url.expose(), proxies, "the output (--output, OUTPUT_URL)")
            .map(PublishTarget::Output);
    }
    let telegram = &settings.telegram;
    let missing: Vec<_> = [
        ("API_ID", telegram.api_id.is_none()),
        ("API_HASH", telegram.api_hash.is_none()),
        ("CHAT_ID", telegram.chat.is_none()),
    ]
    .into_iter()
    .filter_map(|(name, missing)| missing.then_some(name))
    .collect();
    if missing.is_empty() {
        return Ok(PublishTarget::Telegram);
    }
    let file = remedy::env_file().map(|file| format!(" {}", file.display())).unwrap_or_default();
    let why = if missing.len() == 3 {
        format!(
            "set API_ID, API_HASH and CHAT_ID in the .env file{file} (docs/guide/quickstart.md says where they come from), or \
             give --output (OUTPUT_URL) for another server"
        )
    } else {
        format!("{} not set in the .env file{file}", missing.join(" and "))
    };
    Err(CliError::new(Code::Config, anyhow::anyhow!("find out where to publish: {why}")))
}

fn fixed_port(cli: &Cli, settings: &Settings) -> Result<(), CliError> {
    if !cli.fixed_port || settings.prometheus_port_given {
        return Ok(());
    }
    let why = "serve the metrics with --fixed-port: PROMETHEUS_PORT is not set; give each broadcast of a machine its own";
    Err(CliError::new(Code::Config, anyhow::anyhow!(why)))
}

/// Checks that the directory of the setting `name` is writable or can be created. systemd creates
/// the one that `systemd_variable` names.
fn directory(name: &str, dir: &Path, systemd_variable: &str) -> Result<(), CliError> {
    let by_systemd = std::env::var_os(systemd_variable)
        .is_some_and(|dirs| std::env::split_paths(&dirs).any(|one| one == dir));
    if by_systemd && !dir.exists() {
        return Ok(());
    }
    // The last ancestor of a relative path is empty: the working directory.
    let there: PathBuf = dir
        .ancestors()
        .map(|dir| if dir.as_os_str().is_empty() { Path::new(".") } else { dir })
        .find(|dir| fs::symlink_metadata(dir).is_ok())
        .unwrap_or(Path::new("."))
        .to_owned();
    let usable = match fs::metadata(&there) {
        Ok(meta) if !meta.is_dir() => Err("it is not a directory".to_owned()),
        // Without a writable cache, items are not cached.
        Ok(_) if there == dir && name == "CACHE_DIR" => Ok(()),
        Ok(_) => {
            access(&there, Access::WRITE_OK | Access::EXEC_OK).map_err(|e| io::Error::from(e).to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    usable.map_err(|why| {
        let (dir, there) = (dir.display(), there.display());
        let why = anyhow::anyhow!(
            "use {name} {dir}: {there} cannot be written: {why}; set {name} to a directory that this user can write"
        );
        CliError::new(Code::Failure, why)
    })
}

/// Checks the directory of an output file, and that the file may be overwritten.
fn output_file(cli: &Cli, settings: &Settings, target: Option<&PublishTarget>) -> Result<(), CliError> {
    let Some(PublishTarget::Output(Output::File(file))) = target else { return Ok(()) };
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if dir.is_dir() {
        return overwrite::refuse(file, cli, settings).map_err(|why| {
            let why = anyhow::anyhow!("use the output {} (--output, OUTPUT_URL): {why}", file.display());
            CliError::new(Code::Config, why)
        });
    }
    let why = anyhow::anyhow!("write the output {}: there is no directory {}", file.display(), dir.display());
    Err(CliError::new(Code::Failure, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_must_be_writable_or_creatable() {
        let top = tempfile::tempdir().unwrap();
        let at = |name: &str| top.path().join(name);
        fs::write(at("file"), "").unwrap();
        std::os::unix::fs::symlink(at("gone"), at("link")).unwrap();
        let fits = |path: &Path| directory("STATE_DIR", path, "NO_SUCH_VARIABLE");
        for good in [top.path(), &at("new"), &at("new/deep"), Path::new("relative/deep")] {
            assert!(fits(good).is_ok(), "{}", good.display());
        }
        for (bad, why) in [
            (at("file"), "not a directory"),
            (at("file/x"), "not a directory"),
            (at("link/x"), "No such file"),
        ] {
            let Err(error) = fits(&bad) else { panic!("{} is taken", bad.display()) };
            let text = error.to_string();
            assert!(
                error.code() == Code::Failure && text.contains("use STATE_DIR ") && text.contains(why),
                "{text}"
            );
        }
    }
}
