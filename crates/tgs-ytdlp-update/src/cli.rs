//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  tgs-ytdlp-update                          bring the newest yt-dlp into place
  tgs-ytdlp-update --check                  say what would happen; changes nothing
  tgs-ytdlp-update --status
  tgs-ytdlp-update --rollback               back to the version before
  tgs-ytdlp-update --channel nightly
  tgs-ytdlp-update --find-links ./wheels    install from a folder of wheels, without an index

A new version is built beside the one in use and takes its place, by the swap of a link, only once it has shown that it
works: it has to extract what a page on this machine plays, and the first page of the playlist where the old one can. The
version before is kept. The log goes to stderr and ends with a line that begins with RESULT. Run as root, the tool
becomes the owner of the directory first.

Exit codes: 0 updated or already newest, 1 failed (what was in place still is), 2 usage, 75 another update runs.";

/// Updates yt-dlp beside the running one, with proof and a way back.
#[derive(Debug, Clone, Parser)]
#[command(name = "tgs-ytdlp-update", version, about, after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Cli {
    /// Say what would happen, and change nothing
    #[arg(long, group = "task")]
    pub(crate) check: bool,

    /// Tell which versions there are and when an update last succeeded
    #[arg(long, group = "task")]
    pub(crate) status: bool,

    /// Go back to the version before; the next update takes only a newer one than that which is
    /// left
    #[arg(long, group = "task")]
    pub(crate) rollback: bool,

    /// Show the status as JSON
    #[arg(long, requires = "status")]
    pub(crate) json: bool,

    /// Which releases to take
    #[arg(long, value_enum, default_value_t = Channel::Stable)]
    pub(crate) channel: Channel,

    /// A page that the new version must extract where the old one can [default: the first page of
    /// the playlist that --env-file names]
    #[arg(long, value_name = "URL")]
    pub(crate) canary: Option<String>,

    /// Read PLAYLIST and YTDLP_ARGS, for the canary, from this file of settings
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,

    /// The package index to ask instead of PyPI
    #[arg(long, value_name = "URL")]
    pub(crate) index_url: Option<String>,

    /// Take packages from this folder, or page of links; without --index-url, from there alone
    #[arg(long, value_name = "DIR")]
    pub(crate) find_links: Option<String>,

    /// Where the versions are kept
    #[arg(long, value_name = "DIR", default_value = "/opt/tg_video_streamer/shared/ytdlp")]
    pub(crate) root: PathBuf,
}

/// Which releases of yt-dlp are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Channel {
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
    fn what_goes_together() {
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
