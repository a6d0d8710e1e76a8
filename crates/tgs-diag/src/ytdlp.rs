//! Checks yt-dlp: version and age, JavaScript runtime and scripts for YouTube. Requests no page.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tgs_core::{process, remedy, time::days_since_1970};

use crate::{context::DiagContext, finding::Finding, runner::CheckSink};

/// Age in days from which yt-dlp itself warns.
const OLD: u64 = 90;

/// The remedy: updates yt-dlp and its dependencies.
fn update() -> String {
    format!("run: {}", remedy::command("tgs-ytdlp-update"))
}

/// Runs all yt-dlp checks.
pub(crate) fn look(context: &DiagContext, out: &CheckSink) {
    let Some(settings) = &context.settings else {
        return out.say(Finding::unseen("yt-dlp", "the settings cannot be read"));
    };
    let needed = crate::playlist::names_pages(&settings.playlist);
    let mut command = match context.command(&settings.ytdlp_path) {
        Ok(command) => command,
        Err(why) => return out.say(missing(&why.to_string(), needed)),
    };
    // Without a URL, `-v` prints its configuration and then its usage.
    let args = shell_words::split(&settings.ytdlp_args).unwrap_or_default();
    command.arg("--ignore-config").args(args).arg("-v");
    let limit = out.left().min(Duration::from_secs(25));
    match process::output(command, limit, 1 << 20, &out.cancel) {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            out.say_all(judge(&said, SystemTime::now(), needed));
        }
        Err(error) => out.say(missing(&error.to_string(), needed)),
    }
}

fn missing(why: &str, needed: bool) -> Finding {
    let remedy = format!("{}; or say in YTDLP_PATH where it is", update());
    if needed {
        return Finding::fail(
            "yt-dlp",
            format!("it does not run, and the playlist names pages: {why}"),
            remedy,
        );
    }
    Finding::warn("yt-dlp", format!("it does not run, so that no page can be played: {why}"))
        .with_remedy(remedy)
}

/// Judges the debug output of `yt-dlp -v`.
fn judge(said: &str, now: SystemTime, needed: bool) -> Vec<Finding> {
    let line = |start: &str| said.lines().find_map(|line| line.strip_prefix("[debug] ")?.strip_prefix(start));
    // `stable@2026.08.19 from yt-dlp/yt-dlp [594bd50c2] (pip)`
    let Some(version) = line("yt-dlp version ").and_then(|rest| rest.split(' ').next()) else {
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
        return vec![missing(last, needed)];
    };
    let number = version.rsplit('@').next().unwrap_or(version);
    let mut findings = vec![Finding::pass("yt-dlp", format!("version {version}"))];
    findings.push(match age_in_days(number, now) {
        Some(days) if days > OLD => {
            let text = format!("{days} days old: sites that have changed since cannot be played");
            Finding::warn("yt-dlp-age", text).with_remedy(update())
        }
        Some(days) => Finding::pass("yt-dlp-age", format!("{days} days old")),
        None => Finding::unseen("yt-dlp-age", format_args!("the version {number} is no date")),
    });
    findings.push(match line("JS runtimes: ") {
        None | Some("none") => Finding::warn("javascript", "no JavaScript runtime: YouTube cannot be played")
            .with_remedy(format!(
                "{}, which brings deno along; or install deno (2.3 or newer) or node (22 or newer)",
                update()
            )),
        Some(runtimes) => Finding::pass("javascript", runtimes),
    });
    let libraries = line("Optional libraries: ").unwrap_or_default();
    findings.push(match libraries.split(", ").find_map(|library| library.strip_prefix("yt_dlp_ejs-")) {
        Some(version) => Finding::pass("ejs", format!("yt-dlp-ejs {version}")),
        None => Finding::warn("ejs", "yt-dlp-ejs is missing: YouTube cannot be played")
            .with_remedy(format!("{}; or install \"yt-dlp[default]\"", update())),
    });
    findings
}

/// The age in days of a version: `2026.08.19`, `2026.8.19`, `2026.08.19.232843`, `2026.8.19.dev0`.
fn age_in_days(version: &str, now: SystemTime) -> Option<u64> {
    let mut parts = version.split('.').map(str::parse::<u64>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    if !(2020..3000).contains(&year) {
        return None;
    }
    let today = now.duration_since(UNIX_EPOCH).ok()?.as_secs() / 86_400;
    Some(today.saturating_sub(days_since_1970(year, month, day)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Level, lines};

    /// 2026-11-22.
    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_hours(498_696)
    }

    #[test]
    fn dates() {
        for (version, age) in [
            ("2026.11.22", Some(0)),
            ("2026.8.19", Some(95)),
            ("2026.10.26.232843", Some(27)),
            ("2026.10.26.dev0", Some(27)),
            ("2030.01.01", Some(0)),
            ("1.2.3", None),
            ("unknown", None),
        ] {
            assert_eq!(age_in_days(version, now()), age, "{version}");
        }
    }

    #[test]
    fn the_output_of_yt_dlp_verbose_is_parsed() {
        let old = "[debug] Command-line config: ['-v']\n[debug] yt-dlp version stable@2026.08.19 from yt-dlp/yt-dlp [5] (pip)\n\
                   [debug] Optional libraries: requests-2.34.2, sqlite3-3.40.1\n[debug] JS runtimes: none\n";
        insta::assert_snapshot!(lines(&judge(old, now(), true), false));
        let new = "[debug] yt-dlp version nightly@2026.11.20.1 from x\n[debug] JS runtimes: deno-2.5.0\n\
                   [debug] Optional libraries: yt_dlp_ejs-0.8.0\n";
        assert!(judge(new, now(), true).iter().all(|finding| finding.level == Level::Pass));
        assert_eq!(judge("Traceback\nImportError: no\n", now(), true)[0].level, Level::Fail);
        assert_eq!(judge("", now(), false)[0].level, Level::Warn);
    }
}
