//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// The unit that is looked at where none is named.
pub(crate) const UNIT: &str = "tg_video_streamer";

const EXAMPLES: &str = "\
Examples:
  tgs-diag                                 look at ./.env, else at the installed .env
  sudo tgs-diag                            the same, as the unit's user: root becomes that user
  tgs-diag --unit tg_video_streamer@news   look at one of several channels
  tgs-diag --env-file my.env --offline     nothing that needs the network
  tgs-diag --json | jq '.[] | select(.level == \"FAIL\")'

A line begins with PASS, WARN or FAIL. What to do follows it, behind \"->\". What could not be looked at is a WARN.
No secret is in the output: it can be pasted into a report. Everything is looked at side by side, for 30 s at most.

One session is for one program: do not run this with a copy of the .env of a machine that broadcasts. On one machine
it asks the running tgs-stream instead of connecting beside it.

Exit codes: 0 nothing fails, 1 something does, 2 usage.";

/// Says what is wrong with the settings, the session, the tools and the service, and how to mend
/// it.
#[derive(Debug, Parser)]
#[command(name = "tgs-diag", version, about, after_help = EXAMPLES)]
pub struct Cli {
    /// Look at this file of settings instead of ./.env or /opt/tg_video_streamer/current/.env
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,

    /// The systemd unit of the broadcast, tg_video_streamer where none is named; its own .env is
    /// looked at
    #[arg(long, value_name = "NAME")]
    pub(crate) unit: Option<String>,

    /// Look at nothing that needs the network
    #[arg(long)]
    pub(crate) offline: bool,

    /// Print an array of {check, level, text, remedy}
    #[arg(long)]
    pub(crate) json: bool,

    /// Passed by root to itself when it continues as the unit's user, who cannot see it: the
    /// running program is not the installed one
    #[arg(long, hide = true)]
    pub(crate) replaced: bool,
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
    fn help() {
        insta::assert_snapshot!(Cli::command().render_long_help());
    }
}
