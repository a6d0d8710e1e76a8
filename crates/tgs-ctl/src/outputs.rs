//! The commands and the text of `output`: the further outputs of a broadcast.

use clap::Subcommand;
use clap_complete::engine::ArgValueCandidates;
use tgs_control::{OutputListing, OutputStatus, PublisherState};

use crate::{
    completion,
    text::{plain, table},
};

/// The commands of `output`.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub(crate) enum OutputCommand {
    /// List the outputs: name, state and address
    #[command(after_help = "Examples:\n  tgs-ctl output list\n  tgs-ctl output list --json")]
    List {
        /// Print the result of the method output.list
        #[arg(long)]
        json: bool,
    },
    /// Disconnect an output until `resume`, also over restarts
    #[command(after_help = "Examples:\n  tgs-ctl output pause youtube")]
    Pause {
        /// The output's name in `output list`
        #[arg(add = ArgValueCandidates::new(completion::outputs))]
        name: String,
    },
    /// Connect a paused output again
    #[command(after_help = "Examples:\n  tgs-ctl output resume youtube")]
    Resume {
        /// The output's name in `output list`
        #[arg(add = ArgValueCandidates::new(completion::outputs))]
        name: String,
    },
}

/// What the output does.
fn state(output: &OutputStatus) -> String {
    let mut text = match &output.publisher {
        _ if output.paused => "paused".to_owned(),
        PublisherState::Reconnecting { cause } => format!("not connected: {}", plain(cause)),
        PublisherState::Connected if output.queue_seconds >= 1.0 => {
            format!("connected, {:.0} s behind", output.queue_seconds)
        }
        PublisherState::Connected => "connected".to_owned(),
        PublisherState::Connecting => "not connected".to_owned(),
    };
    if output.dropped_seconds >= 1.0 {
        text = format!("{text}, {:.0} s skipped so far", output.dropped_seconds);
    }
    text
}

/// Its URL, and the proxy that leads there.
fn address(output: &OutputStatus) -> String {
    let through = output.proxy.as_ref().map(|proxy| format!(" through {}", plain(proxy)));
    format!("{}{}", plain(&output.url), through.unwrap_or_default())
}

/// The output in one line, for `status`.
pub(crate) fn line(output: &OutputStatus) -> String {
    format!("{}: {}, {}", plain(&output.name), state(output), address(output))
}

/// The lines of `output list`.
pub(crate) fn lines(listing: &OutputListing, columns: Option<usize>) -> Vec<String> {
    if listing.outputs.is_empty() {
        return vec![
            "The broadcast has no further outputs; ALSO_OUTPUT_URLS in its .env names them.".to_owned(),
        ];
    }
    let mut rows = vec![["NAME", "ADDRESS", "STATE"].map(str::to_owned)];
    rows.extend(listing.outputs.iter().map(|it| [plain(&it.name), address(it), state(it)]));
    table(&rows, columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_listed_with_their_state() {
        let url = "rtmp://h:1935/live/***".to_owned();
        let output = |name: &str, publisher| OutputStatus {
            name: name.into(),
            url: url.clone(),
            publisher,
            ..OutputStatus::default()
        };
        let mut slow = output("vk", PublisherState::Connected);
        (slow.queue_seconds, slow.dropped_seconds) = (7.6, 31.0);
        let lost = PublisherState::Reconnecting { cause: "it is\naway".into() };
        let mut paused = output("c", lost.clone());
        paused.paused = true;
        let proxied = OutputStatus { proxy: Some("socks5://p:1080".into()), ..slow.clone() };
        assert!(line(&proxied).ends_with(", rtmp://h:1935/live/*** through socks5://p:1080"));
        assert_eq!(line(&slow), "vk: connected, 8 s behind, 31 s skipped so far, rtmp://h:1935/live/***");
        let outputs = vec![output("youtube", PublisherState::Connected), output("b", lost), paused];
        assert_eq!(
            lines(&OutputListing { outputs }, None),
            [
                "NAME     ADDRESS                 STATE",
                "youtube  rtmp://h:1935/live/***  connected",
                "b        rtmp://h:1935/live/***  not connected: it is\\naway",
                "c        rtmp://h:1935/live/***  paused",
            ]
        );
        assert!(lines(&OutputListing::default(), None)[0].contains("ALSO_OUTPUT_URLS"));
    }
}
