//! Completion by the shell: the candidates of channels, of queue and playlist entries. A broadcast
//! that does not answer has no candidates.

use std::{env, path::PathBuf};

use clap_complete::engine::CompletionCandidate;
use serde::de::DeserializeOwned;
use tgs_control::{
    OutputListing, PlaylistPage, QueueListing,
    method::{Call, NoParams, PlaylistListParams},
};

use crate::{connect, text::plain};

/// The channels that run.
pub(crate) fn channels() -> Vec<CompletionCandidate> {
    let name = |channel: tgs_control::channels::Channel| CompletionCandidate::new(channel.name);
    tgs_control::channels::discover().into_iter().map(name).collect()
}

/// The IDs of the queue entries, with their titles.
pub(crate) fn queue() -> Vec<CompletionCandidate> {
    let listing: Option<QueueListing> = get(&Call::QueueList(NoParams {}));
    let entries = listing.map(|listing| listing.entries).unwrap_or_default();
    entries
        .into_iter()
        .map(|entry| {
            let title = if entry.title.is_empty() { entry.source } else { entry.title };
            candidate(entry.id.to_string(), &title)
        })
        .collect()
}

/// The indexes of the first playlist entries, with their titles.
pub(crate) fn playlist() -> Vec<CompletionCandidate> {
    let page: Option<PlaylistPage> = get(&Call::PlaylistList(PlaylistListParams::default()));
    let entries = page.map(|page| page.entries).unwrap_or_default();
    entries.into_iter().map(|entry| candidate(entry.index.to_string(), &entry.title)).collect()
}

/// The names of the further outputs, with their addresses.
pub(crate) fn outputs() -> Vec<CompletionCandidate> {
    let listing: Option<OutputListing> = get(&Call::OutputList(NoParams {}));
    let outputs = listing.map(|listing| listing.outputs).unwrap_or_default();
    outputs.into_iter().map(|output| candidate(output.name, &output.url)).collect()
}

fn candidate(value: String, title: &str) -> CompletionCandidate {
    CompletionCandidate::new(value).help(Some(plain(title).into()))
}

fn get<T: DeserializeOwned>(call: &Call) -> Option<T> {
    let (channel, socket) = typed(env::args_os().map(|word| word.to_string_lossy().into_owned()));
    let mut client = connect::connect(&connect::choose(channel.as_deref(), socket.as_deref()).ok()?).ok()?;
    client.get(call).ok()
}

/// `--channel` and `--socket` of the command line that is being completed. It follows `--`.
fn typed(args: impl IntoIterator<Item = String>) -> (Option<String>, Option<PathBuf>) {
    let mut words = args.into_iter().skip_while(|word| word != "--").skip(1);
    let (mut channel, mut socket) = (None, None);
    while let Some(word) = words.next() {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (&*word, None),
        };
        match option {
            "--channel" => channel = value.or_else(|| words.next()),
            "--socket" => socket = value.or_else(|| words.next()).map(PathBuf::from),
            _ => {}
        }
    }
    (channel, socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channel_is_the_one_that_was_typed() {
        let read = |line: &str| {
            let (channel, socket) = typed(line.split(' ').map(str::to_owned));
            (channel, socket.map(|path| path.display().to_string()))
        };
        assert_eq!(read("tgs-ctl -- tgs-ctl --channel news queue remove"), (Some("news".into()), None));
        assert_eq!(read("tgs-ctl -- tgs-ctl queue --socket=/a remove 7"), (None, Some("/a".into())));
        assert_eq!(read("tgs-ctl -- tgs-ctl queue remove --channel"), (None, None));
        assert_eq!(read("tgs-ctl"), (None, None));
    }
}
