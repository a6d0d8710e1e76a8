//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::engine::ArgValueCandidates;

use crate::{
    completion,
    outputs::OutputCommand,
    record::{RECORD, RecordCommand},
    seek_time::{self, SeekTime},
    since,
    upgrade::UPGRADE,
};

const EXAMPLES: &str = "\
Examples:
  tgs-ctl status --watch                   a live display of the broadcast
  tgs-ctl next
  tgs-ctl seek +30
  tgs-ctl queue add films/trailer.mp4      play this next
  tgs-ctl --channel news pause
  tgs-ctl monitor | ffplay -               watch what viewers see
  tgs-ctl help queue                       the commands of the queue

A channel is a broadcast by its name: main for the unit tg_video_streamer, NAME for tg_video_streamer@NAME. With one
channel running, --channel may be left out. A broadcast that no unit runs is found by the STATE_DIR of ./.env and the
environment, or by --socket.

Root and the members of the group tgstream may steer: sudo usermod -aG tgstream $USER, then log in again. A command
takes effect within a second; the broadcast logs it with its sender.

Exit codes: 0 ok, 1 refused or failed (with the reason), 2 usage, 69 the broadcast does not run.";

/// Steers a running broadcast, and shows what it does.
#[derive(Debug, Parser)]
#[command(name = "tgs-ctl", version, about, after_help = EXAMPLES, subcommand_required = true)]
pub struct Cli {
    /// The channel: main, or NAME of the unit tg_video_streamer@NAME
    #[arg(long, global = true, display_order = 100, value_name = "NAME", add = ArgValueCandidates::new(completion::channels))]
    pub(crate) channel: Option<String>,

    /// The control socket, instead of a channel
    #[arg(long, global = true, display_order = 100, value_name = "PATH", conflicts_with = "channel")]
    pub(crate) socket: Option<PathBuf>,

    /// What to do
    #[command(subcommand)]
    pub(crate) command: CtlCommand,
}

/// The commands.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub(crate) enum CtlCommand {
    /// Show what is on air, what comes next, and the state of the broadcast
    #[command(after_help = STATUS)]
    Status {
        /// Redraw every second until Ctrl-C; a line a second if stdout is no terminal
        #[arg(long)]
        watch: bool,
        /// Print the result of the method status; with --watch one document a line
        #[arg(long)]
        json: bool,
    },
    /// Switch to the next item
    #[command(after_help = "Examples:\n  tgs-ctl next")]
    Next,
    /// Return to the beginning of the item before
    #[command(after_help = "Examples:\n  tgs-ctl previous")]
    Previous,
    /// Continue with an entry of the playlist
    #[command(after_help = GOTO)]
    Goto {
        /// The entry's index in `playlist list`, or its ID
        #[arg(value_name = "INDEX|ID", add = ArgValueCandidates::new(completion::playlist))]
        entry: String,
        /// The entry is an ID even if it looks like an index
        #[arg(long)]
        id: bool,
    },
    /// Seek in the current item
    #[command(after_help = SEEK)]
    Seek {
        /// TIME from the item's beginning, +TIME forward, -TIME back: 1:02:03, 90, 90s, 2m
        #[arg(value_name = "TIME|+TIME|-TIME", allow_hyphen_values = true, value_parser = seek_time::parse)]
        time: SeekTime,
    },
    /// Show the filler until `resume`; PAUSE_MAX ends a forgotten pause
    #[command(after_help = "Examples:\n  tgs-ctl pause")]
    Pause,
    /// End a pause
    #[command(after_help = "Examples:\n  tgs-ctl resume")]
    Resume,
    /// Change or list the queue: what plays before the rest of the playlist
    #[command(subcommand, after_help = QUEUE)]
    Queue(QueueCommand),
    /// List or reload the playlist
    #[command(subcommand, after_help = PLAYLIST)]
    Playlist(PlaylistCommand),
    /// Show the live input, put its publisher on air, or drop it
    #[command(subcommand, after_help = LIVE)]
    Live(LiveCommand),
    /// List the further outputs (ALSO_OUTPUT_URLS), pause one, or resume it
    #[command(subcommand, after_help = OUTPUT)]
    Output(OutputCommand),
    /// List the recordings (RECORD_DIR), or cut a part of them into a file
    #[command(subcommand, after_help = RECORD)]
    Record(RecordCommand),
    /// Show the plan of the timetable (SCHEDULE), print the timetable, or replace it
    #[command(after_help = SCHEDULE, args_conflicts_with_subcommands = true)]
    Schedule(ScheduleArgs),
    /// Set the title of the broadcast
    #[command(after_help = TITLE)]
    Title {
        /// The title, at most 128 characters; an empty one removes it
        text: String,
    },
    /// Stop the broadcast: the process runs on, and publishes nothing until `start`
    #[command(after_help = STOP)]
    Stop {
        /// Play the current item to its end first
        #[arg(long)]
        after_current: bool,
    },
    /// Start a stopped broadcast
    #[command(after_help = "Examples:\n  tgs-ctl start")]
    Start,
    /// Replace the running program by the one that is installed now, without a gap
    #[command(after_help = UPGRADE)]
    Upgrade {
        /// Print the result of the method upgrade
        #[arg(long)]
        json: bool,
    },
    /// Give the air to the hot standby, and become the standby
    #[command(
        after_help = "Examples:\n  tgs-ctl handover\n\nRefused if no standby is ready; tgs-ctl status shows the hosts."
    )]
    Handover,
    /// List the channels that run on this machine
    #[command(after_help = CHANNELS)]
    Channels {
        /// Print an array of {channel, socket, status, error}
        #[arg(long)]
        json: bool,
    },
    /// Print events as they happen, until Ctrl-C
    #[command(after_help = WATCH)]
    Watch {
        /// Print each event as one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// List what was aired
    #[command(after_help = ASRUN)]
    Asrun(AsRunArgs),
    /// Print the last lines of the log
    #[command(after_help = "Examples:\n  tgs-ctl log -n 100")]
    Log {
        /// The number of lines, at most 500
        #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
        lines: usize,
    },
    /// Write the broadcast to stdout as FLV, or one picture of it to a file
    #[command(after_help = MONITOR)]
    Monitor {
        /// Write the picture that is on air to this JPEG file instead, through ffmpeg
        #[arg(long, value_name = "FILE.jpg")]
        snapshot: Option<PathBuf>,
    },
}

/// The commands of `queue`.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub(crate) enum QueueCommand {
    /// Add an entry, and print its ID
    #[command(after_help = QUEUE_ADD)]
    Add {
        /// Anything that a line of a playlist may be: a file, a folder, a list, a URL, a page
        source: String,
        /// The position in the queue, from 0 [default: the end]
        #[arg(long, value_name = "N")]
        position: Option<usize>,
    },
    /// List the entries: position, ID and title
    #[command(after_help = "Examples:\n  tgs-ctl queue list\n  tgs-ctl queue list --json")]
    List {
        /// Print the result of the method queue.list
        #[arg(long)]
        json: bool,
    },
    /// Move an entry
    #[command(after_help = "Examples:\n  tgs-ctl queue move 7 0               make entry 7 the first")]
    Move {
        /// The entry's ID in `queue list`
        #[arg(add = ArgValueCandidates::new(completion::queue))]
        id: u64,
        /// Its new position, from 0
        position: usize,
    },
    /// Remove an entry
    #[command(after_help = "Examples:\n  tgs-ctl queue remove 7")]
    Remove {
        /// The entry's ID in `queue list`
        #[arg(add = ArgValueCandidates::new(completion::queue))]
        id: u64,
    },
    /// Remove all entries
    #[command(after_help = "Examples:\n  tgs-ctl queue clear")]
    Clear,
}

/// The commands of `live`.
#[derive(Debug, Clone, Copy, PartialEq, Subcommand)]
pub(crate) enum LiveCommand {
    /// Show the publisher of LIVE_INPUT
    #[command(after_help = "Examples:\n  tgs-ctl live status\n  tgs-ctl live status --json")]
    Status {
        /// Print the result of the method live.status
        #[arg(long)]
        json: bool,
    },
    /// Put the publisher on air
    #[command(after_help = "Examples:\n  tgs-ctl live take")]
    Take,
    /// Write the publisher's stream to stdout as FLV, also before it is on air
    #[command(after_help = "Examples:\n  tgs-ctl live preview | ffplay -")]
    Preview,
    /// Disconnect the publisher, and refuse it for a minute
    #[command(after_help = "Examples:\n  tgs-ctl live drop")]
    Drop,
}

/// The options of `schedule`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct ScheduleArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ScheduleCommand>,
    /// The first date in the timetable's time zone, such as 2026-03-29 [default: today]
    #[arg(long, value_name = "DATE")]
    pub(crate) from: Option<String>,
    /// The number of days, at most 31
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) days: u16,
    /// Print the result of the method schedule.plan
    #[arg(long)]
    pub(crate) json: bool,
}

/// The commands of `schedule`.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// Print the text of the timetable
    #[command(
        after_help = "Examples:\n  tgs-ctl schedule get > timetable.toml\n  tgs-ctl schedule get --json"
    )]
    Get {
        /// Print the result of the method schedule.get, with the etag of this version
        #[arg(long)]
        json: bool,
    },
    /// Replace the timetable, which is in force at once; a text with mistakes is refused
    #[command(after_help = SCHEDULE_SET)]
    Set {
        /// Refuse if the timetable is no longer the version with this etag [default: any version]
        #[arg(long)]
        etag: Option<String>,
        /// The file with the new text; - reads stdin
        file: PathBuf,
    },
}

/// The commands of `playlist`.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub(crate) enum PlaylistCommand {
    /// List the entries in playing order: index, state and title
    #[command(after_help = PLAYLIST_LIST)]
    List {
        /// The first entry's index
        #[arg(long, value_name = "N", default_value_t = 0)]
        offset: usize,
        /// The number of entries, at most 1000
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
        /// Print the result of the method playlist.list
        #[arg(long)]
        json: bool,
    },
    /// Read the playlist again
    #[command(after_help = "Examples:\n  tgs-ctl playlist reload")]
    Reload,
}

/// The options of `asrun`.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct AsRunArgs {
    /// Only what began at or after this time (UTC), or within this duration: 2026-02-28,
    /// "2026-02-28 18:30", 24h, 7d
    #[arg(long, value_name = "TIME", value_parser = since::parse)]
    pub(crate) since: Option<String>,
    /// The number of entries, the newest ones; at most 10000
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,
    /// Print CSV with a header row
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
    /// Print the result of the method asrun.list
    #[arg(long)]
    pub(crate) json: bool,
}

const STATUS: &str = "\
Examples:
  tgs-ctl status
  tgs-ctl status --watch
  tgs-ctl status --json | jq -r .on_air.title";

const GOTO: &str = "\
Examples:
  tgs-ctl playlist list                    shows the index of each entry
  tgs-ctl goto 12";

const SEEK: &str = "\
Examples:
  tgs-ctl seek 1:02:03                     to this place of the item
  tgs-ctl seek +30                         30 seconds forward
  tgs-ctl seek -2m                         two minutes back";

const QUEUE: &str = "\
Examples:
  tgs-ctl queue add films/trailer.mp4
  tgs-ctl queue list
  tgs-ctl queue remove 7";

const QUEUE_ADD: &str = "\
Examples:
  tgs-ctl queue add films/trailer.mp4
  tgs-ctl queue add https://example.org/live.m3u8 --position 0

A relative path is relative to the directory of the broadcast's playlist. The service must be able to read it.";

const PLAYLIST: &str = "\
Examples:
  tgs-ctl playlist list
  tgs-ctl playlist reload";

const PLAYLIST_LIST: &str = "\
Examples:
  tgs-ctl playlist list --offset 100 --limit 50
  tgs-ctl playlist list --json | jq -r '.entries[].title'";

const LIVE: &str = "\
Examples:
  tgs-ctl live status
  tgs-ctl live take                        with LIVE_START=ask or after
  tgs-ctl live preview | ffplay -
  tgs-ctl live drop                        back to the playlist";

const OUTPUT: &str = "\
Examples:
  tgs-ctl output list
  tgs-ctl output pause youtube             stays so over restarts
  tgs-ctl output resume youtube";

const SCHEDULE: &str = "\
Examples:
  tgs-ctl schedule
  tgs-ctl schedule --from 2026-03-29 --days 7
  tgs-ctl schedule get > timetable.toml
  tgs-ctl schedule set timetable.toml";

const SCHEDULE_SET: &str = "\
Examples:
  tgs-ctl schedule set timetable.toml
  tgs-ctl schedule set --etag \"$(tgs-ctl schedule get --json | jq -r .etag)\" timetable.toml";

const TITLE: &str = "\
Examples:
  tgs-ctl title 'Night of the short films'
  tgs-ctl title ''                         back to the setting";

const STOP: &str = "\
Examples:
  tgs-ctl stop --after-current
  tgs-ctl start

A stopped broadcast stays stopped over restarts. To end the process: sudo systemctl stop tg_video_streamer";

const CHANNELS: &str = "\
Examples:
  tgs-ctl channels
  tgs-ctl channels --json | jq -r '.[].channel'

Lists broadcasts that units run, and the one whose STATE_DIR ./.env and the environment name. A broadcast with
CONTROL_SOCKET in its settings is not listed: name its socket with --socket.";

const WATCH: &str = "\
Examples:
  tgs-ctl watch
  tgs-ctl watch --json | jq -r 'select(.event == \"item_began\").item.title'";

const ASRUN: &str = "\
Examples:
  tgs-ctl asrun --since 24h
  tgs-ctl asrun --since 2026-02-01 --limit 10000 --csv > february.csv";

const MONITOR: &str = "\
Examples:
  tgs-ctl monitor | ffplay -
  tgs-ctl monitor > recording.flv
  tgs-ctl monitor --snapshot now.jpg";

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help() {
        let mut help = Cli::command().render_long_help().to_string();
        let mut top = Cli::command();
        top.build();
        let mut left: Vec<_> = top.get_subcommands().filter(|c| c.get_name() != "help").cloned().collect();
        left.reverse();
        while let Some(mut command) = left.pop() {
            let below = command.get_subcommands().filter(|c| c.get_name() != "help");
            left.extend(below.cloned().collect::<Vec<_>>().into_iter().rev());
            let name = command.get_bin_name().unwrap_or_default().to_owned();
            let _ = write!(help, "\n=== {name}\n{}", command.render_long_help());
        }
        insta::assert_snapshot!(help);
    }

    #[test]
    fn accepted_command_lines() {
        let read = |words: &[&str]| Cli::try_parse_from([&["t"], words].concat()).map(|cli| cli.command);
        for (words, command) in [
            (&["seek", "-90"][..], CtlCommand::Seek { time: SeekTime::By(-90.0) }),
            (&["seek", "-1:02:03"], CtlCommand::Seek { time: SeekTime::By(-3723.0) }),
            (&["seek", "+2m"], CtlCommand::Seek { time: SeekTime::By(120.0) }),
            (&["seek", "--channel", "a", "5"], CtlCommand::Seek { time: SeekTime::To(5.0) }),
            (&["--channel", "a", "queue", "remove", "3"], CtlCommand::Queue(QueueCommand::Remove { id: 3 })),
            (&["title", ""], CtlCommand::Title { text: String::new() }),
            (&["log", "-n", "3"], CtlCommand::Log { lines: 3 }),
        ] {
            assert_eq!(read(words).unwrap(), command, "{words:?}");
        }
        for words in [
            &[][..],
            &["seek"],
            &["seek", "soon"],
            &["queue"],
            &["queue", "move", "1"],
            &["queue", "remove", "-1"],
            &["--channel", "a", "--socket", "b", "next"],
            &["asrun", "--csv", "--json"],
            &["asrun", "--since", "yesterday"],
        ] {
            assert!(read(words).is_err(), "{words:?}");
        }
    }
}
