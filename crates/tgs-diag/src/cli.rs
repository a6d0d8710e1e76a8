//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// The unit that is looked at where none is named.
pub(crate) const UNIT: &str = "tg_video_streamer";

const EXAMPLES: &str = "\
Examples:
  tgs-diag                                 check with ./.env, else with the installed .env
  sudo tgs-diag                            the same; root continues as the unit's user
  tgs-diag --unit tg_video_streamer@news   check one of several channels
  tgs-diag --env-file my.env --offline     skip the checks that need the network
  tgs-diag --json | jq '.[] | select(.level == \"FAIL\")'

Each line begins with PASS, WARN or FAIL; the remedy follows \"->\". A check that cannot run is a WARN. The output contains
no secret and can be pasted into a report. All checks run in parallel, for 30 s at most.

Only one process may use a session: do not run this with a copy of the .env of a machine that broadcasts. On the same
machine, tgs-diag queries the running tgs-stream instead of connecting a second time.

Exit codes: 0 nothing fails, 1 something does, 2 usage.";

/// Checks the settings, the session, the tools and the service, and prints remedies.
#[derive(Debug, Parser)]
#[command(name = "tgs-diag", version, about, after_help = EXAMPLES)]
pub struct Cli {
    /// Read the settings from this file instead of ./.env or /opt/tg_video_streamer/current/.env
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,

    /// The systemd unit of the broadcast, whose .env is checked [default: tg_video_streamer]
    #[arg(long, value_name = "NAME")]
    pub(crate) unit: Option<String>,

    /// Skip the checks that need the network
    #[arg(long)]
    pub(crate) offline: bool,

    /// Print the findings as an array of {check, level, text, remedy}
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
