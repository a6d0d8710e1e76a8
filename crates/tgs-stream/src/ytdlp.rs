//! Runs `yt-dlp -J` on a page and reads the media URLs, or the pages it lists.
//!
//! `refusal` words its errors. When to ask, and what follows, is up to the callers.

mod answer;
mod cookies;
pub(crate) mod installed;
mod lenient;
mod page;
mod refusal;

use std::{path::PathBuf, time::Duration};

use tgs_core::{
    cancel::Cancel,
    process::{self, RunError},
};
use tgs_playout::{
    item::{FailureReason, ItemFailure, MediaSource},
    proxy::{ProxyClient, ReadPurpose},
};

pub use page::{Listed, PageItem};

/// The time limit for one page.
pub const TIME_OUT: Duration = Duration::from_mins(1);

/// A list of a thousand pages takes about 3 MB, a video with subtitles half as much.
const MAX_ANSWER: usize = 64 << 20;

/// How yt-dlp is run.
#[derive(Debug, Clone)]
pub struct YtDlp {
    /// `YTDLP_PATH`: a path, or a name to look up in PATH.
    pub program: PathBuf,
    /// `YTDLP_ARGS`, split. They come last and win.
    pub args: Vec<String>,
    /// The maximum height in pixels.
    pub height: u32,
    /// The time limit: [`TIME_OUT`], except in tests.
    pub time_out: Duration,
}

impl YtDlp {
    /// Runs `program` for videos up to `height` lines, with `args` as in `YTDLP_ARGS`. The error
    /// follows that name.
    pub fn new(program: impl Into<PathBuf>, args: &str, height: u32) -> anyhow::Result<Self> {
        let args = shell_words::split(args).map_err(|_| anyhow::anyhow!("a quote in it is not closed"))?;
        Ok(Self { program: program.into(), args, height, time_out: TIME_OUT })
    }

    /// Asks about `url` on the operator's behalf; see [`YtDlp::ask_as`].
    pub fn ask(&self, url: &str, index: Option<u32>, cancel: &Cancel) -> Result<PageItem, ItemFailure> {
        self.ask_as(
            &ProxyClient::new(&MediaSource::at(url.to_owned()), ReadPurpose::Probe),
            url,
            index,
            &[],
            cancel,
        )
    }

    /// Asks as `client` about `url`, or about entry `index` of its list, with the `headers` of a
    /// list. Blocks until the answer, the time limit or `cancel`; leaves no process behind. A proxy
    /// in `YTDLP_ARGS` wins over ours.
    pub fn ask_as(
        &self,
        client: &ProxyClient,
        url: &str,
        index: Option<u32>,
        headers: &[(String, String)],
        cancel: &Cancel,
    ) -> Result<PageItem, ItemFailure> {
        let mut command = process::command(&self.program);
        command.args(["--ignore-config", "--dump-single-json", "--flat-playlist", "--no-progress"]);
        command.args(["--socket-timeout", "15", "--playlist-items"]);
        // Channels can have a hundred thousand entries; the list is requested again each round.
        command.arg(index.map_or(":1000".to_owned(), |index| index.to_string()));
        command.args(["--format", FORMAT, "--format-sort", &self.sort()]);
        for (name, value) in headers {
            command.arg("--add-headers").arg(format!("{name}:{value}"));
        }
        command.args(&self.args).arg("--").arg(url);
        client.apply(&mut command);
        // yt-dlp accepts abbreviations, and a configuration may hold any option.
        let bypasses = ["--prox", "--geo-v", "--conf"];
        if self.args.iter().any(|arg| bypasses.iter().any(|option| arg.starts_with(option))) {
            client.note_bypass();
        }
        let output =
            process::output(command, self.time_out, MAX_ANSWER, cancel).map_err(|e| self.explain(&e))?;
        if !output.status.success() {
            if let Some(failure) =
                client.failure().filter(|failure| failure.reason == FailureReason::Forbidden)
            {
                return Err(failure);
            }
            let messages = String::from_utf8_lossy(&output.stderr);
            return Err(refusal::explain(&messages, &process::describe(output.status)));
        }
        answer::read(&output.stdout, url, index.is_some())
    }

    /// Language first, as by default: the original before dubs. H.264 and AAC at the wanted size
    /// decode cheapest, and most sites have them.
    fn sort(&self) -> String {
        format!("lang,res:{},fps:30,vcodec:h264,acodec:aac", self.height)
    }

    fn explain(&self, error: &RunError) -> ItemFailure {
        let (reason, detail) = match error {
            RunError::TimedOut { .. } => (
                FailureReason::Timeout,
                format!("yt-dlp got no answer from the page within {} s", self.time_out.as_secs_f64()),
            ),
            RunError::Start { source, .. } => (
                FailureReason::Tool,
                format!(
                    "yt-dlp does not start from {} ({source}): install it, or set YTDLP_PATH",
                    self.program.display()
                ),
            ),
            other => (FailureReason::Tool, other.to_string()),
        };
        ItemFailure::new(reason, detail)
    }
}

/// Separate video and audio if the site has them, else one file. DASH segments, which ffmpeg cannot
/// open by URL alone, come last.
const FORMAT: &str = "bv*[protocol!*=dash]+ba[protocol!*=dash]/b[protocol!*=dash]/bv*+ba/b/b*";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_split_as_a_shell_does() {
        let ytdlp = YtDlp::new("yt-dlp", r#"--cookies "/a b/c.txt" -4"#, 720).unwrap();
        assert_eq!(ytdlp.args, ["--cookies", "/a b/c.txt", "-4"]);
        assert_eq!(ytdlp.sort(), "lang,res:720,fps:30,vcodec:h264,acodec:aac");
        // The arguments may hold a password.
        let error = YtDlp::new("yt-dlp", "--password 'hush", 720).unwrap_err();
        assert_eq!(error.to_string(), "a quote in it is not closed");
    }

    #[test]
    fn a_missing_program_is_named() {
        let ytdlp = YtDlp::new("/no/such/yt-dlp", "", 720).unwrap();
        let failure = ytdlp.ask("http://h/", None, &Cancel::new()).unwrap_err();
        assert_eq!(failure.reason, FailureReason::Tool);
        assert!(
            failure.detail.starts_with("yt-dlp does not start from /no/such/yt-dlp (")
                && failure.detail.ends_with("): install it, or set YTDLP_PATH"),
            "{failure}"
        );
    }

    #[test]
    fn a_cancelled_request_ends_at_once() {
        let cancel = Cancel::new();
        cancel.cancel();
        let mut ytdlp = YtDlp::new("sleep", "", 720).unwrap();
        ytdlp.time_out = Duration::from_mins(10);
        assert_eq!(ytdlp.ask("http://h/", None, &cancel).unwrap_err().reason, FailureReason::Tool);
    }
}
