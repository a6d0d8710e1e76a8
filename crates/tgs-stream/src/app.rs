//! What `tgs-stream` does from its settings to its exit code: puts the parts together, and nothing else.

use std::{
    fs::{self, File, TryLockError},
    io::{IsTerminal, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Mutex, PoisonError},
};

use anyhow::Context;
use clap::Parser;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use tgs_core::{
    cancel::Cancel,
    exit::Code,
    logging, process,
    settings::{self, Settings},
    signals, systemd,
};
use tgs_playout::{
    command::{Command, Control},
    engine::{self, EngineError},
    publisher::{self, Output},
};
use tgs_telegram::Ingest;

use crate::{
    check, children,
    cli::Cli,
    front, kept,
    resolver::Resolver,
    show::{Show, order, profile},
    telegram::{self, Desk},
    ytdlp::YtDlp,
};

/// Runs the tool.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(code) = process::shim() {
        return code;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // To stdout or stderr, as it should be; a closed one is no reason to fail.
            let _ = error.print();
            return if error.use_stderr() { Code::Usage } else { Code::Ok }.into();
        }
    };
    run(cli).into()
}

fn run(mut cli: Cli) -> Code {
    // Typed on a server, wherever that is, the broadcast that is installed there is meant.
    if (cli.cache_status || cli.cache_clear) && cli.env_file.is_none() {
        cli.env_file = settings::installed(Path::new(""));
    }
    let loaded = Settings::load(cli.env_file.as_deref(), &|name| std::env::var_os(name), &overrides(&cli));
    let settings = match loaded {
        Ok(settings) => settings,
        Err(problems) => {
            logging::init("info");
            for problem in &problems.0 {
                log::error!("failed to read the settings: {problem}");
            }
            return Code::Config;
        }
    };
    logging::init(&settings.rust_log);
    for warning in &settings.warnings {
        log::warn!("{warning}");
    }
    if cli.cache_status || cli.cache_clear {
        let mut out = std::io::stdout();
        let done = if cli.cache_clear {
            kept::clear(&settings, &mut out).context("empty the cache")
        } else {
            kept::status(&settings, cli.json, &mut out).context("show the cache")
        };
        return done.map_or_else(|error| Failed::from(error).told(), |()| Code::Ok);
    }
    let control = Control::default();
    if let Err(error) = listen(&control, cli.check) {
        log::error!("failed to listen for signals: {error}");
        return Code::Failure;
    }
    let ended =
        if cli.check { check_only(cli, &settings, &control) } else { broadcast(&cli, &settings, &control) };
    ended.unwrap_or_else(Failed::told)
}

/// Takes signals as commands. At a terminal, and while a list is only checked, SIGHUP means that the terminal is gone.
fn listen(control: &Control, check: bool) -> std::io::Result<()> {
    let (stopped, control) = (control.stopped(), control.clone());
    let attended = check || std::io::stdin().is_terminal();
    let others: &[i32] = if check { &[] } else { &[SIGHUP, SIGUSR1] };
    signals::listen(&[SIGTERM, SIGINT], others, stopped, move |signal| match signal {
        SIGHUP if !attended => order(&control, Command::Reload),
        SIGUSR1 => order(&control, Command::Next),
        _ => {
            log::info!("stopping");
            systemd::stopping();
            order(&control, Command::Stop);
        }
    })
}

/// What the command line sets.
fn overrides(cli: &Cli) -> Vec<(&'static str, &str)> {
    [("OUTPUT_URL", &cli.output), ("PLAYLIST", &cli.playlist)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
        .collect()
}

/// An error, and the exit code it leads to.
pub(crate) struct Failed(pub(crate) Code, pub(crate) anyhow::Error);

impl Failed {
    /// Logs it; its code.
    fn told(self) -> Code {
        log::error!("failed to {:#}", self.1);
        self.0
    }
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self(Code::Failure, error)
    }
}

fn check_only(cli: Cli, settings: &Settings, control: &Control) -> Result<Code, Failed> {
    let file = playlist_file(&cli, settings);
    // It may run beside a broadcast, and leaves nothing behind.
    let scratch = tempfile::tempdir().context("make a temporary directory")?;
    children::confine(&cli, settings, scratch.path());
    engine::check_tools(&settings.ffmpeg_path, &settings.ffprobe_path(), &control.stopped())
        .map_err(engine_failed)?;
    let resolver = resolver(settings, &control.stopped())?;
    let mut stderr = std::io::stderr();
    let progress = stderr.is_terminal().then_some(&mut stderr as &mut dyn Write);
    let all = check::check(cli.sources, file, &resolver, &mut std::io::stdout(), progress)
        .context("check the list")?;
    Ok(if all { Code::Ok } else { Code::Failure })
}

fn broadcast(cli: &Cli, settings: &Settings, control: &Control) -> Result<Code, Failed> {
    let target = target(settings)?;
    if cli.fixed_port && !settings.prometheus_port_given {
        let why = "serve the metrics with --fixed-port: PROMETHEUS_PORT is not set; give each broadcast of a machine its own";
        return Err(Failed(Code::Config, anyhow::anyhow!(why)));
    }
    let _held = hold(&settings.state_dir)?;
    children::confine(cli, settings, &settings.state_dir.join("scratch"));
    let desk = Desk::default();
    let into_telegram = matches!(target, Target::Telegram);
    let mut show = Show::new(cli, settings, &control.stopped())?;
    let _front = front::open(settings, cli.fixed_port, control, into_telegram.then(|| desk.clone()));
    systemd::ready();
    match target {
        Target::Output(output) => show.play(output, control),
        Target::Telegram => {
            // Found missing now, not when a call has been created for it.
            engine::check_tools(&settings.ffmpeg_path, &settings.ffprobe_path(), &control.stopped())
                .map_err(engine_failed)?;
            let show = Mutex::new(show);
            let play = |ingest: &Ingest, control: &Control| {
                let mut show = show.lock().unwrap_or_else(PoisonError::into_inner);
                let played =
                    rtmp_output(settings, ingest.output().expose(), "the ingest that Telegram names")
                        .and_then(|output| show.play(output, control));
                played.unwrap_or_else(Failed::told)
            };
            let env_file = cli.env_file.clone().unwrap_or_else(|| ".env".into());
            let config = telegram::Config {
                settings: settings.clone(),
                reload: Box::new(|| reload(cli)),
                env_file,
                desk,
                control: control.clone(),
                hurry: cli.hurry.max(1),
            };
            Ok(telegram::run(config, &play))
        }
    }
}

/// The settings as they are now; `None`, and said, where they cannot be read any more.
fn reload(cli: &Cli) -> Option<Settings> {
    let loaded = Settings::load(cli.env_file.as_deref(), &|name| std::env::var_os(name), &overrides(cli));
    loaded.map_err(|problems| log::error!("failed to read the settings again: {problems}")).ok()
}

pub(crate) fn engine_failed(error: EngineError) -> Failed {
    let missing = matches!(error, EngineError::NoFfmpeg { .. });
    let code = if missing { Code::Unavailable } else { Code::Failure };
    Failed(code, anyhow::Error::new(error).context("broadcast"))
}

/// Where the broadcast goes.
enum Target {
    /// Where the settings say.
    Output(Output),
    /// Into the chat CHAT_ID names; Telegram says where that is.
    Telegram,
}

fn target(settings: &Settings) -> Result<Target, Failed> {
    if let Some(url) = &settings.output_url {
        return rtmp_output(settings, url.expose(), "the output (--output, OUTPUT_URL)").map(Target::Output);
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
        if settings.publisher == settings::Publisher::Ffmpeg {
            warn_of_ffmpeg();
        }
        return Ok(Target::Telegram);
    }
    let why = if missing.len() == 3 {
        "set API_ID, API_HASH and CHAT_ID in the .env file (docs/quickstart.md says where they come from), or \
         give --output (OUTPUT_URL) for another server"
            .to_owned()
    } else {
        format!("{} not set in the .env file", missing.join(" and "))
    };
    Err(Failed(Code::Config, anyhow::anyhow!("find out where to publish: {why}")))
}

fn warn_of_ffmpeg() {
    log::warn!(
        "PUBLISHER=ffmpeg: the stream key is shown in the process list, the send queue is not measured, /healthz \
         does not see an outage, and after one what was on its way is lost"
    );
}

/// The publisher for `url`, which `named` names.
fn rtmp_output(settings: &Settings, url: &str, named: &str) -> Result<Output, Failed> {
    let by_ffmpeg = (settings.publisher == settings::Publisher::Ffmpeg).then(|| settings.ffmpeg_path.clone());
    if by_ffmpeg.is_some() && settings.output_url.is_some() {
        warn_of_ffmpeg();
    }
    publisher::parse_output(url, by_ffmpeg)
        .map_err(|why| Failed(Code::Config, anyhow::anyhow!("use {named}: {why}")))
}

/// Claims the state directory: two broadcasts in one would overwrite each other's position.
fn hold(state_dir: &Path) -> Result<File, Failed> {
    let path = state_dir.join("lock");
    let open = || -> std::io::Result<File> {
        fs::create_dir_all(state_dir)?;
        File::options().read(true).write(true).create(true).truncate(false).open(&path)
    };
    let mut file = open().with_context(|| format!("use STATE_DIR: cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            let (dir, pid) = (state_dir.display(), pid.trim());
            let why = anyhow::anyhow!(
                "use STATE_DIR {dir}: another tgs-stream (pid {pid}) runs with it; give this one a STATE_DIR of its own"
            );
            return Err(Failed(Code::Busy, why));
        }
        Err(TryLockError::Error(error)) => {
            return Err(anyhow::Error::new(error).context(format!("lock {}", path.display())).into());
        }
    }
    // Only for the message above.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

pub(crate) fn resolver(settings: &Settings, cancel: &Cancel) -> Result<Resolver, Failed> {
    let height = profile(settings.quality).height;
    let ytdlp = YtDlp::new(&settings.ytdlp_path, &settings.ytdlp_args, height)
        .map_err(|error| Failed(Code::Config, error.context("use YTDLP_ARGS")))?;
    Ok(Resolver {
        ffmpeg: settings.ffmpeg_path.clone(),
        ffprobe: settings.ffprobe_path(),
        ytdlp,
        cancel: cancel.clone(),
    })
}

/// The playlist file, unless sources on the command line are all that is asked for.
pub(crate) fn playlist_file(cli: &Cli, settings: &Settings) -> Option<PathBuf> {
    (cli.playlist.is_some() || cli.sources.is_empty()).then(|| settings.playlist.clone())
}
