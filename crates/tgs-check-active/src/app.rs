//! What `tgs-check-active` does from its command line to its exit code.

use std::{
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
    product,
    report::CheckReport,
    snapshot::UnitSnapshot,
    systemd,
    verdict::{HealthVerdict, UnitWatch, Verdict},
};

/// How often the unit is looked at. A run that ends and begins anew in between is known by its
/// invocation.
const EVERY: Duration = Duration::from_millis(250);

/// Runs the tool.
pub fn run(cli: Cli) -> Result<ExitCode, CliError> {
    let cli = checked(cli)?;
    let began = Instant::now();
    let since = cli.restart.then(SystemTime::now);
    let seen = look(&cli, began);
    let journal = |up: bool| if up { Vec::new() } else { systemd::journal(&cli.unit, since) };
    let up = match seen {
        Ok(Observation { verdict, snapshot, restarts, health }) => {
            let journal = journal(matches!(verdict, Verdict::Up(_)));
            // The journal does not tell which assertion failed: the one of ours is that there are
            // settings.
            let settings = snapshot.env_file().filter(|file| !snapshot.assertion && !file.exists());
            let asserted = settings.map(|file| format!("AssertPathExists={}", file.display()));
            let condition = systemd::condition(&journal).or(asserted.as_deref());
            let finding = messages::finding(&cli.unit, &verdict, &snapshot, condition);
            tell(
                &cli,
                &CheckReport::new(&cli.unit, &finding, began.elapsed(), &journal)
                    .with(&snapshot, restarts, &health),
            )
        }
        Err(finding) => tell(&cli, &CheckReport::new(&cli.unit, &finding, began.elapsed(), &[])),
    };
    Ok(if up { Code::Ok } else { Code::Failure }.into())
}

/// What goes together on the command line.
fn checked(cli: Cli) -> Result<Cli, clap::Error> {
    if cli.stable < cli.timeout {
        return Ok(cli);
    }
    Err(Cli::command()
        .error(ErrorKind::ValueValidation, "--timeout must be longer than --stable: it could never be up"))
}

/// What was found out.
struct Observation {
    verdict: Verdict,
    snapshot: UnitSnapshot,
    restarts: u32,
    health: HealthVerdict,
}

/// Restarts the unit where that is wanted, and looks until there is an answer.
fn look(cli: &Cli, began: Instant) -> Result<Observation, Outcome> {
    let mut snapshot = systemd::show(&cli.unit)?;
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
        snapshot = systemd::show(&cli.unit)?;
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
        if let Some(verdict) = watch.see(began.elapsed(), &snapshot, &health) {
            return Ok(Observation { verdict, restarts: watch.restarts(), snapshot, health });
        }
        thread::sleep(EVERY);
        // A new start wipes out how the run before it ended, which is what a loop is about.
        let end = snapshot.end;
        snapshot = systemd::show(&cli.unit)?;
        snapshot.end = snapshot.end.or(end);
    }
}

/// What the page of the unit answers, where it is to be asked and there is one.
fn ask(cli: &Cli, seen: &UnitSnapshot) -> Option<HealthAnswer> {
    match &cli.healthz {
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
        Some(HealthAnswer::Page(Health::Healthy)) => "; before the restart it answered 200".into(),
        Some(HealthAnswer::NoAddress(_) | HealthAnswer::NoAnswer(_)) | None => String::new(),
    };
    format!("not asked, since the unit is not active{before}")
}

/// Prints the outcome; a reader that is gone changes nothing about it. Answers whether the unit is
/// up.
fn tell(cli: &Cli, report: &CheckReport<'_>) -> bool {
    let _ = if cli.json {
        writeln!(stdout(), "{}", report.json())
    } else if report.ok {
        writeln!(stdout(), "{}", report.text())
    } else {
        writeln!(stderr(), "tgs-check-active: {}", report.text())
    };
    report.ok
}
