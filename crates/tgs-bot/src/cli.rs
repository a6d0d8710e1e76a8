//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::machine_notes::UNIT_NOTES;

const EXAMPLES: &str = "\
Examples:
  tgs-bot --check --env-file bot.env     are the settings valid, and which channels run here?
  sudo systemctl start tg_video_bot      the bot, with /opt/tg_video_streamer/shared/bot.env
  tgs-bot --env-file bot.env --state-dir ~/.local/state/tgs-bot --socket ~/.local/state/tgs/control.sock
                                         the bot of a broadcast started by hand

The settings are API_ID, API_HASH, BOT_TOKEN, BOT_ADMINS, BOT_VIEWERS, BOT_QUIET, BOT_DIGEST, BOT_MEDIA_DIR, BOT_MEDIA_MAX_GB,
NOTIFY_WEBHOOK, NOTIFY_SECRET, TELEGRAM_PROXY and RUST_LOG; docs/guide/bot.md describes them.

Exit codes: 0 ok, 1 failure, 2 usage, 75 another tgs-bot uses the session, 78 bad configuration.";

/// A Telegram bot that shows the channels of this machine, and through which operators steer them
#[derive(Debug, Parser)]
#[command(name = "tgs-bot", version, about, after_help = EXAMPLES)]
pub struct Cli {
    /// The settings [default: /opt/tg_video_streamer/shared/bot.env, if it exists]
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,

    /// Where the bot's session is kept [default: the unit's state directory, /var/lib/tgs-bot]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Steer the broadcast with this control socket, instead of the channels of this machine; can
    /// be given several times
    #[arg(long, value_name = "PATH")]
    pub socket: Vec<PathBuf>,

    /// Divide all delays of incidents by this, for tests
    #[arg(long, hide = true, default_value_t = 1)]
    pub time_scale: u32,

    /// Where units leave how they ended, for tests
    #[arg(long, hide = true, value_name = "DIR", default_value = UNIT_NOTES)]
    pub notes_dir: PathBuf,

    /// Check the settings, list the channels, and exit; does not sign in
    #[arg(long)]
    pub check: bool,
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
    fn the_help() {
        insta::assert_snapshot!(Cli::command().render_long_help());
    }
}
