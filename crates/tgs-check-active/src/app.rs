//! Runs `tgs-check-active`: polls the unit, prints the outcome, sets the exit code.

use std::{
    env,
    io::{Write, stderr, stdout},
    process::ExitCode,
    thread,
    time::{Duration, Instant, SystemTime},
};

use clap::{CommandFactory, error::ErrorKind};
use tgs_control::Health;
use tgs_core::{error::CliError, exit::Code, remedy};

use crate::{
    cli::Cli,
    health::{self, HealthAnswer},
    messages::{self, Outcome},
    once, product,
    report::CheckReport,
    snapshot::UnitSnapshot,
    systemd,
    verdict::{HealthVerdict, UnitWatch, Verdict},
};

/// Poll interval of the unit's state. A restart between two polls shows as a new InvocationID.
const EVERY: Duration = Duration::from_millis(250);

/// Runs the tool.
pub fn run(cli: Cli) -> Result<ExitCode, CliError> {
    let cli = checked(cli)?;
    if cli.healthz == Some(None) {
        return Ok(once::run(&|name| env::var_os(name)).into());
    }
    let began = Instant::now();
    let since = cli.restart.then(SystemTime::now);
    let seen = look(&cli, began);
    let journal = |up: bool| if up { Vec::new() } else { systemd::journal(&cli.unit, since) };
    let up = match seen {
        Ok(Observation { verdict, snapshot, restarts, health }) => {
            let journal = journal(matches!(verdict, Verdict::Up(_)));
            // The journal does not name the failed assertion; tgs units assert that the settings
            // file exists.
            let settings = snapshot.env_file().filter(|file| !snapshot.assertion && !file.exists());
            let asserted = settings.map(|file| format!("AssertPathExists={}", file.display()));
            let condition = systemd::condition(&journal).or(asserted.as_deref());
            let finding = messages::finding(&cli.unit, &verdict, &snapshot, condition);
            print(
                &cli,
                &CheckReport::new(&cli.unit, &finding, began.elapsed(), &journal)
                    .with(&snapshot, restarts, &health),
            )
        }
        Err(finding) => print(&cli, &CheckReport::new(&cli.unit, &finding, began.elapsed(), &[])),
    };
    Ok(if up { Code::Ok } else { Code::Failure }.into())
}

/// Validates combinations of options.
fn checked(cli: Cli) -> Result<Cli, clap::Error> {
    if cli.healthz == Some(None) && (cli.restart || cli.json) {
        return Err(Cli::command().error(
            ErrorKind::ArgumentConflict,
            "--healthz without a value asks once, and cannot be used with --restart or --json",
        ));
    }
    if cli.stable < cli.timeout {
        return Ok(cli);
    }
    Err(Cli::command()
        .error(ErrorKind::ValueValidation, "--timeout must be longer than --stable: it could never be up"))
}

/// The verdict and the last observed state.
struct Observation {
    verdict: Verdict,
    snapshot: UnitSnapshot,
    restarts: u32,
    health: HealthVerdict,
}

/// Restarts the unit if requested, then polls it until there is a verdict.
fn look(cli: &Cli, began: Instant) -> Result<Observation, Outcome> {
    let show = || {
        let asked = began.elapsed();
        let snapshot = systemd::show(&cli.unit)?;
        Ok::<_, Outcome>((snapshot, (asked, began.elapsed())))
    };
    let (mut snapshot, mut times) = show()?;
    // Remedies name this unit's settings file and user.
    remedy::set_env_file(snapshot.env_file().as_deref());
    let mut watch = UnitWatch::new(cli.restart.then_some(&snapshot), cli.stable, cli.timeout);
    let mut before = None;
    if cli.restart && snapshot.load == "loaded" {
        if let Some(finding) = product::refused(&cli.unit, &snapshot) {
            return Err(finding);
        }
        before = Some(&snapshot).filter(|it| it.active == "active").and_then(|it| ask(cli, it));
        systemd::restart(&cli.unit)?;
        (snapshot, times) = show()?;
    }
    loop {
        let health = if snapshot.active == "active" {
            match ask(cli, &snapshot) {
                None => HealthVerdict::NotAsked,
                Some(now) if cli.restart => health::judge(before.as_ref(), &now),
                Some(now) => health::judge_as_it_is(&now),
            }
        } else if cli.healthz.is_some() || before.is_some() {
            HealthVerdict::Bad(no_answer(before.as_ref()))
        } else {
            HealthVerdict::NotAsked
        };
        if let Some(verdict) = watch.see(times, &snapshot, &health) {
            return Ok(Observation { verdict, restarts: watch.restarts(), snapshot, health });
        }
        thread::sleep(EVERY);
        // A new start clears ExecMainStatus, but a crash loop is explained by the previous exit.
        let end = snapshot.end;
        (snapshot, times) = show()?;
        snapshot.end = snapshot.end.or(end);
    }
}

/// The health of the unit; `None` if it is not to be checked or the unit has no health page.
fn ask(cli: &Cli, seen: &UnitSnapshot) -> Option<HealthAnswer> {
    match cli.healthz.as_ref().and_then(Option::as_ref) {
        Some(source) => Some(health::ask(source)),
        None if cli.active_only || !product::is_ours(seen) => None,
        None => product::ask(seen),
    }
}

fn no_answer(before: Option<&HealthAnswer>) -> String {
    let before = match before {
        Some(HealthAnswer::Page(Health::Unhealthy(text))) => {
            format!("; before the restart it answered 503: {text}")
        }
        Some(HealthAnswer::Page(Health::Healthy | Health::Stopped | Health::Standby)) => {
            "; before the restart it answered 200".into()
        }
        Some(HealthAnswer::NoAddress(_) | HealthAnswer::NoAnswer(_)) | None => String::new(),
    };
    format!("not asked, since the unit is not active{before}")
}

/// Prints the outcome; ignores a closed pipe. Returns whether the unit is up.
fn print(cli: &Cli, report: &CheckReport<'_>) -> bool {
    let _ = if cli.json {
        writeln!(stdout(), "{}", report.json())
    } else if report.ok {
        writeln!(stdout(), "{}", report.text())
    } else {
        writeln!(stderr(), "tgs-check-active: {}", report.text())
    };
    report.ok
}
