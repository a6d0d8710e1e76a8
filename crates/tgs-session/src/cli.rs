//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  tgs-session --write-env                        sign in, and write the session to .env
  tgs-session --qr --write-env                   the same, by a QR code
  tgs-session --standby --write-env              create the standby session, which can approve new sessions
  tgs-session --non-interactive --write-env      sign in without a prompt, approved by the standby session
  tgs-session --list-dialogs                     list the possible values of CHAT_ID
  tgs-session --show
  tgs-session --convert pyrogram
  tgs-session --end-call                         end the live stream: before uninstalling, then
  tgs-session --log-out                          log both sessions out

API_ID and API_HASH come from https://my.telegram.org and must be in .env. .env.template lists all settings. Only one
process may use a session: Telegram ends a session that is used in two places. While tgs-stream uses the session,
tgs-session queries tgs-stream instead of connecting.

Exit codes: 0 ok, 1 failure, 2 usage, 75 the session is in use, 78 bad settings.";

/// Signs in to Telegram and stores the session in .env.
#[derive(Debug, Parser)]
#[command(name = "tgs-session", version, about, after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Cli {
    /// Sign in by a QR code that a phone scans
    #[arg(long, group = "way")]
    pub(crate) qr: bool,

    /// Sign in by a login code sent to this number, like +491701234567 (PHONE)
    #[arg(long, group = "way", value_name = "NUMBER")]
    pub(crate) phone: Option<String>,

    /// Sign in without a prompt: the standby session approves, and TWO_FA_PASSWORD is used if
    /// Telegram requires it
    #[arg(long, group = "way", conflicts_with = "standby")]
    pub(crate) non_interactive: bool,

    /// Verify the new session and write it to .env instead of to stdout
    #[arg(long)]
    pub(crate) write_env: bool,

    /// Use the standby session (STANDBY_SESSION_STRING) instead of SESSION_STRING
    #[arg(long)]
    pub(crate) standby: bool,

    /// List the account's channels and groups, and where it may start a live stream
    #[arg(long, groups = ["task", "listing"], conflicts_with_all = ["way", "write_env"])]
    pub(crate) list_dialogs: bool,

    /// Print the session's format, DC, account and age, and the account's other sessions; never its
    /// key
    #[arg(long, groups = ["task", "listing"], conflicts_with_all = ["way", "write_env"])]
    pub(crate) show: bool,

    /// Print the session in the format of another library
    #[arg(long, group = "task", value_name = "FORM", conflicts_with_all = ["way", "write_env"])]
    pub(crate) convert: Option<Form>,

    /// Log the session and the standby session out and clear them in .env; with --standby only the
    /// standby session
    #[arg(long, group = "task", conflicts_with_all = ["way", "write_env"])]
    pub(crate) log_out: bool,

    /// End the live stream in the chat of CHAT_ID, which no other command does; stop tgs-stream
    /// first
    #[arg(long, group = "task", conflicts_with_all = ["way", "write_env"])]
    pub(crate) end_call: bool,

    /// Print the list or the report as JSON
    #[arg(long, requires = "listing")]
    pub(crate) json: bool,

    /// Read the settings from this file instead of ./.env; it overrides the environment
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
}

/// The formats of session strings that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// Telethon, the format of the tgs tools
    Telethon,
    /// Pyrogram 2 and its forks
    Pyrogram,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn combinations_of_options() {
        let ok = |line: &str| Cli::try_parse_from(line.split(' ')).is_ok();
        for line in [
            "s",
            "s --qr --write-env --standby",
            "s --phone +1 --env-file f",
            "s --non-interactive --write-env",
            "s --show --json --standby",
            "s --list-dialogs --json",
            "s --convert telethon --standby",
            "s --log-out",
            "s --log-out --standby",
            "s --end-call",
        ] {
            assert!(ok(line), "{line}");
        }
        for line in [
            "s --qr --phone +1",
            "s --qr --non-interactive",
            "s --standby --non-interactive",
            "s --show --list-dialogs",
            "s --show --write-env",
            "s --log-out --qr",
            "s --log-out --end-call",
            "s --end-call --write-env",
            "s --json",
            "s --convert gramjs",
            "s extra",
        ] {
            assert!(!ok(line), "{line}");
        }
    }
}
