//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  tgs-session --write-env                        sign in, and put the session into .env
  tgs-session --qr --write-env                   the same, by a QR code
  tgs-session --standby --write-env              make the standby session that can approve new ones
  tgs-session --non-interactive --write-env      sign in without a prompt, approved by the standby session
  tgs-session --list-dialogs                     find the number for CHAT_ID
  tgs-session --show
  tgs-session --convert pyrogram
  tgs-session --end-call                         end the live stream: before uninstalling, then
  tgs-session --log-out                          end both sessions

API_ID and API_HASH come from https://my.telegram.org and belong into .env. All settings are listed in .env.template.
One session is for one program: used in two places at once, Telegram ends it for good. So while tgs-stream uses the
session, it is asked instead.

Exit codes: 0 ok, 1 failure, 2 usage, 75 the session is in use, 78 bad settings.";

/// Signs in to Telegram and keeps the session in .env.
#[derive(Debug, Parser)]
#[command(name = "tgs-session", version, about, after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Cli {
    /// Sign in by a QR code that a phone scans
    #[arg(long, group = "way")]
    pub(crate) qr: bool,

    /// Sign in by a login code sent to this number, as in +491701234567 (PHONE)
    #[arg(long, group = "way", value_name = "NUMBER")]
    pub(crate) phone: Option<String>,

    /// Sign in without a prompt: the standby session approves, with TWO_FA_PASSWORD if Telegram
    /// asks for it
    #[arg(long, group = "way", conflicts_with = "standby")]
    pub(crate) non_interactive: bool,

    /// Put the new session into .env, once it has proved good, instead of writing it to stdout
    #[arg(long)]
    pub(crate) write_env: bool,

    /// Do it with the standby session (STANDBY_SESSION_STRING) instead of SESSION_STRING
    #[arg(long)]
    pub(crate) standby: bool,

    /// List the channels and groups of the account, and whether a broadcast may be started there
    #[arg(long, groups = ["task", "listing"], conflicts_with_all = ["way", "write_env"])]
    pub(crate) list_dialogs: bool,

    /// Tell about the session: its form, DC, account, age, and the account's other sessions; never
    /// its key
    #[arg(long, groups = ["task", "listing"], conflicts_with_all = ["way", "write_env"])]
    pub(crate) show: bool,

    /// Write the session to stdout in another form
    #[arg(long, group = "task", value_name = "FORM", conflicts_with_all = ["way", "write_env"])]
    pub(crate) convert: Option<Form>,

    /// End the session and the standby session at Telegram and clear them in .env; with --standby,
    /// that one alone
    #[arg(long, group = "task", conflicts_with_all = ["way", "write_env"])]
    pub(crate) log_out: bool,

    /// End the live stream in the chat of CHAT_ID, which nothing else does; stop tgs-stream first
    #[arg(long, group = "task", conflicts_with_all = ["way", "write_env"])]
    pub(crate) end_call: bool,

    /// List or show as JSON
    #[arg(long, requires = "listing")]
    pub(crate) json: bool,

    /// Read the settings from this file instead of ./.env; it wins over the environment
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
}

/// What session strings can be written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// Telethon's, which is also ours
    Telethon,
    /// That of Pyrogram 2 and its followers
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
    fn what_goes_together() {
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
