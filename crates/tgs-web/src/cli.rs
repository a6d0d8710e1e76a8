//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  sudo tgs-web user add anna             a user who may do everything; asks for the password
  sudo tgs-web user add ben --viewer     a user who may watch
  sudo systemctl start tg_video_web      the desk at http://127.0.0.1:8080
  tgs-web --socket ~/.local/state/tgs/control.sock
                                         the desk of a broadcast started by hand

The settings are WEB_..., LIBRARY_DIRS and RUST_LOG, in the environment or in /etc/tgs/web.env; docs/guide/web.md describes
them. A removed user, and one with a new password, is signed out within seconds.

Exit codes: 0 ok, 1 failure, 2 usage, 69 the address cannot be used, 78 bad configuration.";

/// The desk: the channels of this machine in a browser, with the picture that is on air
#[derive(Debug, Parser)]
#[command(name = "tgs-web", version, about, after_help = EXAMPLES)]
pub struct Cli {
    /// Administration; without it the desk is served
    #[command(subcommand)]
    pub command: Option<Administration>,

    /// The settings [default: /etc/tgs/web.env, if it exists]
    #[arg(long, value_name = "FILE", global = true)]
    pub env_file: Option<PathBuf>,

    /// Show the broadcast with this control socket, instead of the channels of this machine; can be
    /// given several times
    #[arg(long, value_name = "PATH")]
    pub socket: Vec<PathBuf>,

    /// Print a link that signs in once, within ten minutes, from this machine
    #[arg(long, hide = true)]
    pub demo_link: bool,
}

/// What can be administered.
#[derive(Debug, Subcommand)]
pub enum Administration {
    /// Add, remove and list the users of the desk
    #[command(subcommand)]
    User(UserCommand),
}

/// Commands about users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user, or give one a new password; asks for the password
    Add {
        /// The user's name: letters, digits, `.`, `_` and `-`
        name: String,
        /// May watch, but send no command
        #[arg(long)]
        viewer: bool,
    },
    /// Remove a user
    Remove {
        /// The user's name
        name: String,
    },
    /// List the users
    List,
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
