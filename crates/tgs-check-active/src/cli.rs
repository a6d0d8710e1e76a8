//! The command line.

use std::time::Duration;

use clap::Parser;
use tgs_core::units::parse_duration;

use crate::health::HealthSource;

const EXAMPLES: &str = "\
Examples:
  tgs-check-active                               check tg_video_streamer.service and its broadcast
  sudo tgs-check-active --restart                restart it, and check that it comes up
  sudo tgs-check-active tg_video_streamer@news --restart --timeout 90
  tgs-check-active --active-only                 check the unit's state only
  tgs-check-active other.service --healthz http://127.0.0.1:9090/healthz --json
  tgs-check-active --healthz                     in a container: ask the broadcast once

A unit is up if it is active and running, in the same run and without a restart, for --stable seconds. If it runs
tgs-stream, /healthz must answer too: with 200 or, after --restart, with the same named state (waiting_network,
degraded, ...) as before. So an outage of Telegram or a dead session does not fail a good release. root finds the page's
address in the running process; other users read the unit's STATUS= instead. --active-only skips this check.

Before --restart, tgs-stream --check-settings checks the settings. If they are invalid, nothing is restarted.

Exit codes: 0 up, 1 not up (with the reason), 2 usage.";

/// Checks that a systemd unit is up and stays up.
#[derive(Debug, Parser)]
#[command(name = "tgs-check-active", version, about, after_help = EXAMPLES)]
pub struct Cli {
    /// The unit; .service is appended to a name without a suffix
    #[arg(default_value = "tg_video_streamer", value_parser = unit)]
    pub unit: String,

    /// Restart the unit first, or start it
    #[arg(long)]
    pub restart: bool,

    /// Time limit of the check, in seconds or like 2m
    #[arg(long, value_name = "TIME", default_value = "60", value_parser = time)]
    pub timeout: Duration,

    /// How long the unit must stay in the same run, in seconds or like 2m
    #[arg(long, value_name = "TIME", default_value = "5", value_parser = time)]
    pub stable: Duration,

    /// Check the unit's state only, not its health page
    #[arg(long, conflicts_with = "healthz")]
    pub active_only: bool,

    /// The health page, or the file that holds its address (STATE_DIR/metrics.port)
    ///
    /// Needed only if the tool does not find the page itself. Without a value, ask the broadcast of
    /// this STATE_DIR once and without systemd, as the health check of a container.
    #[arg(long, value_name = "URL|FILE", num_args = 0..=1, value_parser = HealthSource::parse)]
    pub healthz: Option<Option<HealthSource>>,

    /// Print the outcome as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// A whole number of seconds, or a duration with its unit; at most a day.
fn time(text: &str) -> Result<Duration, String> {
    let seconds = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let time = match seconds {
        Some(seconds) => Duration::from_secs(seconds),
        None => parse_duration(text).map_err(|e| e.to_string())?,
    };
    if time > Duration::from_hours(24) {
        return Err("is longer than a day".into());
    }
    Ok(time)
}

/// The unit's full name.
fn unit(text: &str) -> Result<String, String> {
    /// What systemd calls a unit by its suffix.
    const SUFFIXES: [&str; 11] = [
        "service",
        "socket",
        "device",
        "mount",
        "automount",
        "swap",
        "target",
        "path",
        "timer",
        "slice",
        "scope",
    ];
    let fits = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if text.is_empty() || text.starts_with('-') || !text.chars().all(fits) {
        return Err("is not a unit name; write it like tg_video_streamer or tg_video_streamer@news".into());
    }
    if text.ends_with('@') || text.ends_with("@.service") {
        return Err("is a template; name an instance, like tg_video_streamer@news".into());
    }
    let suffix = text.rsplit_once('.').map_or("", |(_, suffix)| suffix);
    Ok(if SUFFIXES.contains(&suffix) { text.to_owned() } else { format!("{text}.service") })
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

    #[test]
    fn accepted_command_lines() {
        let read = |line: &str| Cli::try_parse_from(format!("t {line}").trim_end().split(' ')).ok();
        let cli = read("").unwrap();
        assert_eq!(cli.unit, "tg_video_streamer.service");
        assert_eq!((cli.timeout.as_secs(), cli.stable.as_secs()), (60, 5));
        let units = [
            ("a@b", "a@b.service"),
            ("a.service", "a.service"),
            ("a.b", "a.b.service"),
            ("yt-dlp-update.timer", "yt-dlp-update.timer"),
            ("a@b\\x2dc", "a@b\\x2dc.service"),
        ];
        for (text, expected) in units {
            assert_eq!(read(text).unwrap().unit, expected);
        }
        for (text, seconds) in [("0", 0), ("90", 90), ("2m", 120), ("10s", 10)] {
            assert_eq!(read(&format!("--timeout {text}")).unwrap().timeout.as_secs(), seconds);
        }
        assert_eq!(read("").unwrap().healthz, None);
        assert_eq!(read("--healthz").unwrap().healthz, Some(None));
        assert_eq!(read("a --healthz /f").unwrap().healthz, Some(Some(HealthSource::File("/f".into()))));
        for line in [
            "a b",
            "a@",
            "a@.service",
            "a/b",
            "--",
            "--timeout 25h",
            "--timeout 1.5",
            "--timeout 99999999999999999999",
            "--stable -1",
            "--healthz 127.0.0.1:9090",
            "--healthz https://a/healthz",
            "--active-only --healthz http://a/",
        ] {
            let understood = read(line).map(|cli| cli.unit);
            assert!(understood.is_none() || line == "--", "{line}: {understood:?}");
        }
    }
}
