//! The data of buttons: what is to be done, and on which channel.

use tgs_control::{
    channels::Channel,
    method::{Call, NoParams, PlaylistListParams, SeekParams, StopParams},
};
use tgs_core::digest::Digest;

/// Longest name of a channel that is written into a button; Telegram's limit for the whole is 64
/// bytes.
const LONGEST_NAME: usize = 40;

/// Entries on a page of the list.
pub(crate) const PAGE_ROWS: usize = 20;
/// Pages beyond this entry are not shown.
const LAST_ROW: usize = 1_000_000;

/// What a button does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ButtonAction {
    /// Shows the channel; below a picture, with a new one.
    Show,
    /// Shows the channel with a picture.
    Picture,
    Next,
    Previous,
    Pause,
    Resume,
    Back,
    Forward,
    StopAfter,
    /// Shows the list from this entry on.
    Page(usize),
}

/// A button that was pressed, with the channel that it concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Press<'a> {
    Channel {
        action: ButtonAction,
        channel: &'a Channel,
        /// Whether the message of the button is a picture. As the data states it.
        below_picture: bool,
    },
    /// Stops the receiving of a file.
    Cancel(u64),
}

/// Marks a button below a picture.
const BELOW_PICTURE: char = '+';
const PAGE: &str = "page.";
const CANCEL: &str = "cancel.";

impl ButtonAction {
    const NAMED: [(&'static str, Self); 9] = [
        ("show", Self::Show),
        ("picture", Self::Picture),
        ("next", Self::Next),
        ("previous", Self::Previous),
        ("pause", Self::Pause),
        ("resume", Self::Resume),
        ("back", Self::Back),
        ("forward", Self::Forward),
        ("stop_after", Self::StopAfter),
    ];

    /// The request to the broadcast; `None` for a button that only shows the channel.
    pub(crate) fn call(self) -> Option<Call> {
        let seek = |by| Call::Seek(SeekParams { to: None, by: Some(by) });
        Some(match self {
            Self::Show | Self::Picture => return None,
            Self::Next => Call::Next(NoParams {}),
            Self::Previous => Call::Previous(NoParams {}),
            Self::Pause => Call::Pause(NoParams {}),
            Self::Resume => Call::Resume(NoParams {}),
            Self::Back => seek(-30.0),
            Self::Forward => seek(30.0),
            Self::StopAfter => Call::Stop(StopParams { after_current: true }),
            Self::Page(offset) => Call::PlaylistList(PlaylistListParams { offset, limit: PAGE_ROWS }),
        })
    }

    /// Whether viewers may press it.
    pub(crate) fn only_looks(self) -> bool {
        matches!(self, Self::Show | Self::Picture | Self::Page(_))
    }

    /// The data of a button with this action.
    pub(crate) fn data(self, channel: &str, below_picture: bool) -> String {
        let mut data = match self {
            Self::Page(offset) => format!("{PAGE}{offset}"),
            named => {
                let found = Self::NAMED.iter().find(|(_, action)| *action == named);
                found.map_or_else(String::new, |(name, _)| (*name).to_owned())
            }
        };
        if below_picture {
            data.push(BELOW_PICTURE);
        }
        format!("{data}:{}", tag(channel))
    }
}

/// The data of the button that stops the receiving of a file.
pub(crate) fn cancel_data(id: u64) -> String {
    format!("{CANCEL}{id}:")
}

/// The name, or a digest of a long one.
fn tag(name: &str) -> String {
    if name.len() <= LONGEST_NAME {
        return name.to_owned();
    }
    let mut digest = Digest::default();
    digest.add(name.as_bytes());
    format!("#{}", &digest.hex()[..16])
}

/// Reads the data of a pressed button, which may be forged. `None` for other data, and if none of
/// `channels` is meant.
pub(crate) fn parse<'a>(data: &[u8], channels: &'a [Channel]) -> Option<Press<'a>> {
    let (name, wanted) = std::str::from_utf8(data).ok()?.split_once(':')?;
    if let Some(id) = name.strip_prefix(CANCEL) {
        return id.parse().ok().filter(|_| wanted.is_empty()).map(Press::Cancel);
    }
    let (name, below_picture) = match name.strip_suffix(BELOW_PICTURE) {
        Some(name) => (name, true),
        None => (name, false),
    };
    let action = match name.strip_prefix(PAGE) {
        Some(offset) => ButtonAction::Page(offset.parse().ok().filter(|offset| *offset < LAST_ROW)?),
        None => ButtonAction::NAMED.iter().find(|(known, _)| *known == name)?.1,
    };
    let channel = channels.iter().find(|channel| tag(&channel.name) == wanted)?;
    Some(Press::Channel { action, channel, below_picture })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_short_and_names_a_known_channel() {
        let channel = |name: &str| Channel { name: name.to_owned(), socket: "/x".into() };
        let channels = [channel("main"), channel(&"n".repeat(200)), channel(&"m".repeat(200))];
        let named = ButtonAction::NAMED.into_iter().map(|(_, action)| action);
        for action in named.chain([ButtonAction::Page(LAST_ROW - 1)]) {
            for (wanted, below_picture) in
                channels.iter().flat_map(|wanted| [(wanted, true), (wanted, false)])
            {
                let data = action.data(&wanted.name, below_picture);
                assert!(data.len() <= 64, "{data}");
                let press = Press::Channel { action, channel: wanted, below_picture };
                assert_eq!(parse(data.as_bytes(), &channels), Some(press));
            }
        }
        assert_eq!(parse(cancel_data(u64::MAX).as_bytes(), &channels), Some(Press::Cancel(u64::MAX)));
        for forged in [
            &b"next:other"[..],
            b"delete:main",
            b"next",
            b"",
            b"\xff:main",
            b"next:main:x",
            b"page.-1:main",
            b"page.99999999:main",
            b"page:main",
            b"cancel.x:",
            b"cancel.1:main",
        ] {
            assert_eq!(parse(forged, &channels), None, "{forged:?}");
        }
    }
}
