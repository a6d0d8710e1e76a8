//! Runs `tgs-diag`: starts the checks, prints their findings, sets the exit code.

use std::{
    env,
    io::{IsTerminal, Write, stderr, stdout},
    panic,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use tgs_core::{error::CliError, exit::Code, remedy};

use crate::{
    cli::Cli,
    context::DiagContext,
    drop_privileges, ffmpeg,
    finding::{Finding, Level, lines, sum},
    host, hot_standby, ingest, playlist, port, routes,
    runner::{self, Check, CheckSink},
    settings, telegram, timetable, unit, viewers, ytdlp,
};

/// Time limit of all checks together.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs the tool.
#[expect(clippy::needless_pass_by_value, reason = "the one `main` hands the command line over")]
pub fn run(cli: Cli) -> Result<ExitCode, CliError> {
    // A panic becomes a finding; its message is suppressed because it may contain secrets.
    panic::set_hook(Box::new(|_| {}));
    let mut context = DiagContext::new(&cli);
    remedy::set_env_file(context.env.as_ref().map(|env| &*env.path));
    if let Some(code) = drop_privileges::run_as_user_of(&cli, &context)? {
        return Ok(code.into());
    }
    let _scratch = context.confine();
    let context = Arc::new(context);
    let findings = look(&context);
    Ok(print(&findings, cli.json).into())
}

/// Runs all checks; the findings are in report order.
fn look(context: &Arc<DiagContext>) -> Vec<Finding> {
    let check = |name, run: fn(&DiagContext, &CheckSink)| {
        let context = Arc::clone(context);
        Check::new(name, move |out| run(&context, out))
    };
    let checks = vec![
        check("settings", |context, out| out.say_all(settings::look(context))),
        check("proxy", routes::look),
        check("telegram", telegram::primary),
        check("standby", telegram::standby),
        check("viewers", viewers::look),
        check("ingest", ingest::look),
        check("output", ingest::further),
        check("hot standby", hot_standby::look),
        check("ffmpeg", ffmpeg::look),
        check("yt-dlp", ytdlp::look),
        check("playlist", playlist::look),
        check("timetable", timetable::look),
        check("port", port::look),
        check("machine", host::look),
        check("unit", |context, out| out.say_all(unit::look(context))),
    ];
    let total = checks.len();
    let shows = stderr().is_terminal() && env::var_os("TERM").is_some_and(|term| term != "dumb");
    let mut progress = |left: &[&str]| {
        if shows {
            let done = total - left.len();
            let wait = format!("{done} of {total}, waiting for {}", left.join(", "));
            // A wrapped line cannot be erased. After the last check there is no progress.
            let wait: String = wait.chars().take(if left.is_empty() { 0 } else { 76 }).collect();
            // Errors are ignored, because the progress line is optional.
            let _ = write!(stderr(), "\r\x1b[K{wait}").and_then(|()| stderr().flush());
        }
    };
    let mut found = runner::run(checks, LIMIT, &mut progress);
    let [own, standby] = &context.accounts;
    if let Some(finding) = telegram::same_account(own.get(), standby.get()) {
        let behind = found.iter().rposition(|finding| finding.check == "standby").map_or(0, |last| last + 1);
        found.insert(behind, finding);
    }
    found.into_iter().map(|finding| context.redactor.finding(finding)).collect()
}

fn print(findings: &[Finding], json: bool) -> Code {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let colour =
        stdout().is_terminal() && !set("NO_COLOR") && env::var_os("TERM").is_some_and(|term| term != "dumb");
    let text = if json {
        serde_json::to_string_pretty(findings).map(|text| text + "\n").unwrap_or_default()
    } else {
        lines(findings, colour)
    };
    // A closed pipe must not fail the run.
    let _ = stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush());
    if !json {
        let _ = writeln!(stderr(), "{}", sum(findings));
    }
    if findings.iter().any(|finding| finding.level == Level::Fail) { Code::Failure } else { Code::Ok }
}
