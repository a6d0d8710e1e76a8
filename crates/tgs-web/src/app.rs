//! Runs `tgs-web`: reads the settings, then serves the desk or administers its users.

use std::{
    env,
    io::{Write, stdout},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use tgs_core::{
    cancel::Cancel,
    error::CliError,
    exit::Code,
    logging,
    process::confine::{self, Confinement},
    signals,
    systemd::{self, Reporter, Watchdog},
    tls::ServerCertificate,
};
use tokio::{net::TcpListener, runtime, sync::Notify, task, time};

use crate::{
    channel::WatchedChannels,
    cli::{Administration, Cli},
    demo_link::{self, DemoLink},
    desk::Desk,
    http,
    library::Library,
    limits::{Limits, THREADS},
    listener,
    sessions::BrowserSessions,
    settings::WebSettings,
    sign_in_tries::SignInTries,
    user_commands, users,
    users::UserStore,
};

/// The loop of the runtime must turn within this time.
const STUCK: Duration = Duration::from_secs(20);

/// Runs the tool.
#[expect(clippy::needless_pass_by_value, reason = "the form that tgs_core::cli::main calls")]
pub fn run(cli: Cli) -> Result<ExitCode, CliError> {
    let settings = WebSettings::load(cli.env_file.as_deref(), &|name| env::var_os(name));
    let settings = settings.map_err(|faults| CliError::new(Code::Config, faults))?;
    if let Some(Administration::User(command)) = &cli.command {
        user_commands::run(command, &settings.users_file)?;
        return Ok(Code::Ok.into());
    }
    logging::init(&settings.rust_log);
    settings.warnings.iter().for_each(|warning| log::warn!("{warning}"));
    let served = runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(THREADS)
        .thread_name("work")
        .build()
        .context("start the runtime")
        .map_err(CliError::from)
        .and_then(|runtime| {
            let served = runtime.block_on(serve(&cli, settings));
            // Threads that wait for a broadcast end with the process.
            runtime.shutdown_background();
            served
        });
    match served {
        Ok(()) => Ok(Code::Ok.into()),
        Err(error) => Ok(error.log().into()),
    }
}

async fn serve(cli: &Cli, settings: WebSettings) -> Result<(), CliError> {
    let load = |files| ServerCertificate::load(files, &["http/1.1"]);
    let certificate = settings.tls.as_ref().map(load).transpose();
    let certificate = certificate.map_err(|error| CliError::new(Code::Config, error))?;
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("listen on {}", settings.listen))
        .map_err(|error| CliError::new(Code::Unavailable, error))?;
    let address = listener.local_addr().context("read the address")?;
    let scheme = if certificate.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{address}");
    let behind_proxy = settings.behind_proxy;
    let scratch = tempfile::tempdir().context("make a directory for ffmpeg")?;
    let secrets = settings.tls.iter().map(|tls| tls.key.clone());
    let hidden = secrets.chain([settings.users_file.clone()]).chain(cli.env_file.clone()).collect();
    confine::children(&Confinement { hidden, scratch: scratch.path().to_owned(), ..Confinement::default() });
    let desk = Arc::new(desk(cli, settings, &url)?);
    log::info!("the desk is at {url}");
    let stop = Arc::new(Notify::new());
    let waker = stop.clone();
    signals::watch(&[SIGTERM, SIGINT], Cancel::new(), move || waker.notify_one())
        .context("watch for signals")?;
    let _reporter = report(url, desk.channels.clone());
    systemd::ready();
    tokio::select! {
        () = listener::serve(listener, http::router(desk), certificate.map(Arc::new), behind_proxy) => {}
        () = stop.notified() => {}
    }
    systemd::stopping();
    log::info!("stopped");
    Ok(())
}

/// The state of the desk at `url`. Prints the link of the demo, if it is asked for.
fn desk(cli: &Cli, settings: WebSettings, url: &str) -> Result<Desk, CliError> {
    let known = users::read(&settings.users_file).map_err(|error| CliError::new(Code::Config, error))?;
    let demo = if cli.demo_link {
        let (link, token) =
            DemoLink::new(Instant::now()).map_err(|error| CliError::new(Code::Failure, error))?;
        // The demo reads it from here; the log does not have it. A closed stdout is the demo's end.
        let _ = writeln!(stdout(), "{url}/#demo={token}");
        Some(link)
    } else {
        None
    };
    if known.is_empty() && demo.is_none() {
        log::warn!("the desk has no users -> sudo tgs-web user add NAME");
    }
    Ok(Desk {
        users: UserStore::new(&settings.users_file, demo.is_some().then(|| demo_link::USER.to_owned())),
        sessions: BrowserSessions::new(settings.session_idle),
        tries: SignInTries::default(),
        channels: WatchedChannels::watch(&cli.socket, settings.sockets),
        library: Library::new(settings.library_dirs),
        demo,
        behind_proxy: settings.behind_proxy,
        limits: Limits::default(),
    })
}

/// Tells systemd what the desk does, and that its runtime turns.
fn report(url: String, channels: Arc<WatchedChannels>) -> Reporter {
    let watchdog = Watchdog::default();
    let heartbeat = watchdog.watch("runtime", STUCK);
    task::spawn(async move {
        let mut tick = time::interval(Duration::from_secs(1));
        loop {
            tick.tick().await;
            heartbeat.beat();
        }
    });
    Reporter::start(watchdog, move || match channels.all().len() {
        1 => format!("{url}, 1 channel"),
        n => format!("{url}, {n} channels"),
    })
}
