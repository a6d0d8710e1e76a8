//! The command line: runs a test DC until it is interrupted, or speaks to one that runs.

use std::{io::Write, net::SocketAddr, process::ExitCode, sync::Arc, thread};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tgs_core::error::CliError;

use crate::{
    control::{self, COMMANDS},
    server::TestDc,
    world::{Account, Role, World},
};

const EXAMPLES: &str = "\
Examples:
  tgs-testdc --ingest rtmp://127.0.0.1:1935/live > /tmp/test.env
  tgs-testdc --ports 4431,4432 --control 127.0.0.1:4430
  tgs-testdc ctl --control 127.0.0.1:4430 status
  tgs-testdc ctl --control 127.0.0.1:4430 fault AUTH_KEY_UNREGISTERED --method users.getUsers --times 1
  tgs-testdc ctl --control 127.0.0.1:4430 fault FLOOD_WAIT_31 --at init
  tgs-testdc ctl --control 127.0.0.1:4430 revoke +15550100001

Stdout gets the contents of an .env file, stderr what can be tried with it. Nothing leaves this machine.";

/// A Telegram DC on loopback, for tests and the demo
#[derive(Debug, Parser)]
#[command(name = "tgs-testdc", version, about, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Steers a test DC that runs
    #[command(after_help = format!("Commands:\n{COMMANDS}"))]
    Ctl {
        /// Its control socket, as printed on stderr
        #[arg(long, value_name = "ADDR:PORT")]
        control: SocketAddr,
        /// A command and its options
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
        words: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct Run {
    /// Where streams are to be published: what stands before the stream key
    #[arg(long, value_name = "URL")]
    ingest: Option<String>,
    /// The ports of DC 1 and DC 2
    #[arg(long, value_name = "PORT,PORT", value_parser = ports, default_value = "0,0", hide_default_value = true)]
    ports: [u16; 2],
    /// The control socket, on a loopback address [default: a free port]
    #[arg(long, value_name = "ADDR:PORT")]
    control: Option<SocketAddr>,
    /// How long a QR code can be accepted, in seconds
    #[arg(long, value_name = "S", default_value_t = 30)]
    login_token_life: u64,
}

fn ports(text: &str) -> Result<[u16; 2], String> {
    let (first, second) = text.split_once(',').ok_or("two ports are needed: one for each DC")?;
    let port = |text: &str| text.trim().parse().map_err(|_| format!("{text:?} is not a port"));
    Ok([port(first)?, port(second)?])
}

/// Runs the tool.
pub fn run(cli: Cli) -> Result<ExitCode, CliError> {
    tgs_core::logging::init("info,tgs_testdc=debug");
    let done = match cli.command {
        Some(Command::Ctl { control, words }) => ctl(control, &words),
        None => serve(&cli.run),
    };
    Ok(done.map_or_else(
        |error| {
            eprintln!("tgs-testdc: {error:#}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    ))
}

fn ctl(control: SocketAddr, words: &[String]) -> anyhow::Result<()> {
    let answer = control::say(control, words)
        .with_context(|| format!("no test DC has its control socket at {control}"))?;
    print!("{}", answer.map_err(anyhow::Error::msg)?);
    Ok(())
}

fn serve(options: &Run) -> anyhow::Result<()> {
    let mut world = World::example();
    if let Some(ingest) = &options.ingest {
        world.ingest.clone_from(ingest);
    }
    world.login_token_life = std::time::Duration::from_secs(options.login_token_life);
    let port = match options.control {
        None => 0,
        Some(control) => {
            anyhow::ensure!(control.ip().is_loopback(), "{control} is not a loopback address");
            control.port()
        }
    };
    let dc = Arc::new(TestDc::start_on(world, options.ports).context("the test DC cannot listen")?);
    let control = control::serve(Arc::clone(&dc), port).context("the control socket cannot listen")?;
    // Before the first line on stdout: its reader may begin at once.
    eprint!("{}", introduction(&dc, control));
    let mut stdout = std::io::stdout();
    stdout.write_all(env_file(&dc).as_bytes()).and_then(|()| stdout.flush()).context("stdout is closed")?;
    loop {
        thread::park();
    }
}

/// The first account of the world, whose settings are printed.
fn first_account(world: &World) -> &Account {
    &world.accounts[0]
}

/// The contents of an `.env` file: a session, a standby, and the chat of the example.
fn env_file(dc: &TestDc) -> String {
    let world = dc.world();
    let account = first_account(&world);
    let string = || dc.new_session(account.user_id, account.dc_id).telethon_string();
    let mut lines = vec![
        format!("API_ID={}", world.api_id),
        format!("API_HASH={}", world.api_hash),
        format!("SESSION_STRING={}", string()),
        format!("STANDBY_SESSION_STRING={}", string()),
        format!("CHAT_ID={}", world.chats[0].marked_id()),
        format!("PHONE={}", account.phone),
    ];
    if let Some(password) = &account.password {
        lines.push(format!("TWO_FA_PASSWORD=\"{password}\""));
    }
    lines.join("\n") + "\n"
}

fn introduction(dc: &TestDc, control: SocketAddr) -> String {
    let mut lines = vec![format!("DC 1 at {}, DC 2 at {}; nothing here is real", dc.addr(1), dc.addr(2))];
    let world = dc.world();
    for account in &world.accounts {
        let password =
            account.password.as_ref().map_or("no password".to_owned(), |p| format!("password {p:?}"));
        lines.push(format!(
            "{} {}: lives on DC {}, code {}, {password}",
            account.phone, account.first_name, account.dc_id, account.code
        ));
    }
    for chat in &world.chats {
        let name = chat.username.as_ref().map(|name| format!(" @{name}")).unwrap_or_default();
        let role = chat.role(first_account(&world).user_id);
        let role = match role {
            None => "is not in it",
            Some(Role::Creator) => "made it",
            Some(Role::Admin { manage_call: true }) => "administers it",
            Some(Role::Admin { manage_call: false }) => "administers it, without the right to calls",
            Some(Role::Member) => "reads it",
        };
        lines.push(format!(
            "{}{name} {}: {} {role}",
            chat.marked_id(),
            chat.title,
            first_account(&world).first_name
        ));
    }
    lines.push("with what stands on stdout as test.env, for example:".to_owned());
    for example in ["tgs-session -- --env-file test.env --show", "tgs-stream -- --env-file test.env clip.mp4"]
    {
        lines.push(format!("  cargo run -p {example}"));
    }
    lines.push(
        "a sign-in makes a new key, for which a tool must trust this DC; no released one does:".to_owned(),
    );
    lines.push(format!(
        "  TGS_TEST_DCS=1={},2={} cargo run -p tgs-session --features test-dc -- --env-file test.env --write-env",
        dc.addr(1),
        dc.addr(2)
    ));
    lines.push("steer it by, for example:".to_owned());
    for example in ["status", "fault AUTH_KEY_UNREGISTERED --times 1", "fault silence", "clear"] {
        lines.push(format!("  tgs-testdc ctl --control {control} {example}"));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        let words = ["tgs-testdc", "ctl", "--control", "127.0.0.1:1", "fault", "silence", "--times", "1"];
        let Some(Command::Ctl { words, .. }) = Cli::parse_from(words).command else { panic!("no ctl") };
        assert_eq!(words, ["fault", "silence", "--times", "1"]);
        assert_eq!(Cli::parse_from(["tgs-testdc", "--ports", "1,2"]).run.ports, [1, 2]);
        assert_eq!(Cli::parse_from(["tgs-testdc"]).run.ports, [0, 0]);
    }

    #[test]
    fn the_env_file_has_two_sessions_of_one_account() {
        let dc = TestDc::start(World::example()).unwrap();
        let text = env_file(&dc);
        let names: Vec<_> =
            text.lines().filter_map(|line| line.split_once('=').map(|(name, _)| name)).collect();
        let expected = [
            "API_ID",
            "API_HASH",
            "SESSION_STRING",
            "STANDBY_SESSION_STRING",
            "CHAT_ID",
            "PHONE",
            "TWO_FA_PASSWORD",
        ];
        assert_eq!(names, expected);
        assert_eq!(dc.sessions(World::ALICE).len(), 2);
        let said = introduction(&dc, "127.0.0.1:9".parse().unwrap());
        assert!(said.contains("@tgs_demo") && said.contains("--control 127.0.0.1:9 status"), "{said}");
        let sign_in =
            format!("TGS_TEST_DCS=1={},2={} cargo run -p tgs-session --features", dc.addr(1), dc.addr(2));
        assert!(said.contains(&sign_in), "{said}");
    }
}
