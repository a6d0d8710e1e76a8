//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  tgs-ytdlp-update                          install the newest yt-dlp
  tgs-ytdlp-update --check                  print what an update would do; changes nothing
  tgs-ytdlp-update --status
  tgs-ytdlp-update --rollback               go back to the previous version
  tgs-ytdlp-update --channel nightly
  tgs-ytdlp-update --find-links ./wheels    install from a folder of wheels, without an index

A new version is built beside the one in use, tested, and then put in place by replacing a symbolic link. To pass the
test, it must extract the video of a page on this machine, and the first page of the playlist if the current version can.
The previous version is kept. The log goes to stderr and ends with a line that begins with RESULT. Run as root, the tool
continues as the owner of the directory.

Exit codes: 0 updated or already newest, 1 failed (what was in place still is), 2 usage, 75 another update runs.";

/// Updates yt-dlp beside the version in use, tests the new one, and can roll back.
#[derive(Debug, Clone, Parser)]
#[command(name = "tgs-ytdlp-update", version, about, after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Cli {
    /// Print what an update would do, and change nothing
    #[arg(long, group = "task")]
    pub(crate) check: bool,

    /// Print the installed versions and the time of the last successful update
    #[arg(long, group = "task")]
    pub(crate) status: bool,

    /// Go back to the previous version; later updates install only a version newer than the one
    /// in use now
    #[arg(long, group = "task")]
    pub(crate) rollback: bool,

    /// Print the status as JSON
    #[arg(long, requires = "status")]
    pub(crate) json: bool,

    /// The releases to install from
    #[arg(long, value_enum, default_value_t = UpdateChannel::Stable)]
    pub(crate) channel: UpdateChannel,

    /// A page that the new version must extract if the old one can [default: the first page of
    /// the playlist that --env-file names]
    #[arg(long, value_name = "URL")]
    pub(crate) canary: Option<String>,

    /// The settings file with PLAYLIST and YTDLP_ARGS, for the canary
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,

    /// The package index to use instead of PyPI
    #[arg(long, value_name = "URL")]
    pub(crate) index_url: Option<String>,

    /// A folder, or page of links, with packages; without --index-url the only source
    #[arg(long, value_name = "DIR")]
    pub(crate) find_links: Option<String>,

    /// The directory of the versions
    #[arg(long, value_name = "DIR", default_value = "/opt/tg_video_streamer/shared/ytdlp")]
    pub(crate) root: PathBuf,
}

/// Which releases of yt-dlp are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum UpdateChannel {
    /// What yt-dlp's authors call a release
    Stable,
    /// The newest of all, nightly builds too
    Nightly,
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
        for line in
            ["u", "u --status --json", "u --check --channel nightly --find-links w --index-url http://i"]
        {
            assert!(ok(line), "{line}");
        }
        for line in ["u --json", "u --check --rollback", "u --status --check", "u --channel beta", "u extra"]
        {
            assert!(!ok(line), "{line}");
        }
    }

    #[test]
    fn help() {
        insta::assert_snapshot!(Cli::command().render_long_help());
    }
}
