//! Tests a yt-dlp: it must extract the video of a page on loopback. `--version` is no test, because
//! it also works in broken releases.

use std::{path::Path, time::Duration};

use serde_json::Value;
use tgs_core::{cancel::Cancel, process};

use crate::{
    child::{self, Stdout},
    error::{ChildFailure, NotWorking},
    page::TestPage,
};

/// Time limit: the first start compiles Python bytecode, possibly on a slow disk.
const LIMIT: Duration = Duration::from_secs(90);

/// The result of a successful test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProvenYtdlp {
    /// The JavaScript runtimes found, such as `deno-2.9.8`; YouTube requires one.
    pub(crate) javascript: Option<String>,
}

/// Tests the yt-dlp of the environment `dir`; the error is the cause.
pub(crate) fn run(dir: &Path, cancel: &Cancel) -> Result<ProvenYtdlp, NotWorking> {
    let page = TestPage::serve().map_err(NotWorking::NoPage)?;
    let mut command = process::command(dir.join("bin/yt-dlp"));
    command.args(["--ignore-config", "--no-cache-dir", "--no-update", "--verbose", "--dump-single-json"]);
    // Without a proxy, which could not reach the loopback page.
    command.args(["--proxy", "", "--socket-timeout", "10", "--", &page.url]);
    let output = child::run("yt-dlp", command, Stdout::Answer, LIMIT, cancel)?;
    let found = serde_json::from_slice(&output.stdout).is_ok_and(|answer| plays(&answer, &page.film));
    if !output.status.success() {
        return Err(NotWorking::Extracts(ChildFailure::of(&output)));
    }
    if !found {
        return Err(NotWorking::OtherVideo);
    }
    Ok(ProvenYtdlp { javascript: javascript(&String::from_utf8_lossy(&output.stderr)) })
}

/// Whether a format of yt-dlp's result is `film`.
fn plays(answer: &Value, film: &str) -> bool {
    let formats = answer["formats"].as_array().into_iter().flatten();
    formats.chain([answer]).any(|format| format["url"] == film)
}

/// The JavaScript runtimes that `--verbose` lists.
fn javascript(messages: &str) -> Option<String> {
    let line = messages.lines().find_map(|line| line.strip_prefix("[debug] JS runtimes: "))?;
    Some(line.trim().to_owned()).filter(|runtimes| runtimes != "none")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_film_of_the_page_counts() {
        assert!(plays(&json!({"formats": [{"url": "a"}, {"url": "film"}]}), "film"));
        assert!(plays(&json!({"url": "film"}), "film"));
        assert!(!plays(&json!({"formats": [{"url": "a"}], "title": "film"}), "film"));
        assert!(!plays(&json!(null), "film"));
    }

    #[test]
    fn runtimes() {
        let messages =
            "[debug] exe versions: none\n[debug] JS runtimes: deno-2.9.8, node-22\n[debug] Proxy map: {}";
        assert_eq!(javascript(messages).as_deref(), Some("deno-2.9.8, node-22"));
        assert_eq!(javascript("[debug] JS runtimes: none\n"), None);
        assert_eq!(javascript(""), None);
    }
}
