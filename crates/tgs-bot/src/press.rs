//! The data of buttons: what is to be done, and on which channel.

use tgs_control::{
    channels::Channel,
    method::{Call, NoParams, SeekParams, StopParams},
};
use tgs_core::digest::Digest;

/// Longest name of a channel that is written into a button; Telegram's limit for the whole is 64
/// bytes.
const LONGEST_NAME: usize = 40;

/// What a button does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ButtonAction {
    /// Shows the channel.
    Show,
    Next,
    Previous,
    Pause,
    Resume,
    Back,
    Forward,
    StopAfter,
}

impl ButtonAction {
    const ALL: [Self; 8] = [
        Self::Show,
        Self::Next,
        Self::Previous,
        Self::Pause,
        Self::Resume,
        Self::Back,
        Self::Forward,
        Self::StopAfter,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Show => "show",
            Self::Next => "next",
            Self::Previous => "previous",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Back => "back",
            Self::Forward => "forward",
            Self::StopAfter => "stop_after",
        }
    }

    /// The command to the broadcast; `None` for a button that only looks.
    pub(crate) fn call(self) -> Option<Call> {
        let seek = |by| Call::Seek(SeekParams { to: None, by: Some(by) });
        Some(match self {
            Self::Show => return None,
            Self::Next => Call::Next(NoParams {}),
            Self::Previous => Call::Previous(NoParams {}),
            Self::Pause => Call::Pause(NoParams {}),
            Self::Resume => Call::Resume(NoParams {}),
            Self::Back => seek(-30.0),
            Self::Forward => seek(30.0),
            Self::StopAfter => Call::Stop(StopParams { after_current: true }),
        })
    }

    /// The data of a button with this action.
    pub(crate) fn data(self, channel: &str) -> String {
        format!("{}:{}", self.name(), tag(channel))
    }
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
pub(crate) fn parse<'a>(data: &[u8], channels: &'a [Channel]) -> Option<(ButtonAction, &'a Channel)> {
    let (action, wanted) = std::str::from_utf8(data).ok()?.split_once(':')?;
    let action = ButtonAction::ALL.into_iter().find(|known| known.name() == action)?;
    let channel = channels.iter().find(|channel| tag(&channel.name) == wanted)?;
    Some((action, channel))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_short_and_names_a_known_channel() {
        let channel = |name: &str| Channel { name: name.to_owned(), socket: "/x".into() };
        let channels = [channel("main"), channel(&"n".repeat(200)), channel(&"m".repeat(200))];
        for wanted in &channels {
            for action in ButtonAction::ALL {
                let data = action.data(&wanted.name);
                assert!(data.len() <= 64, "{data}");
                assert_eq!(parse(data.as_bytes(), &channels), Some((action, wanted)));
            }
        }
        for forged in [&b"next:other"[..], b"delete:main", b"next", b"", b"\xff:main", b"next:main:x"] {
            assert_eq!(parse(forged, &channels), None, "{forged:?}");
        }
    }
}
