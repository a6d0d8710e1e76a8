//! What a user writes to the bot.

use tgs_control::method::{
    Call, LONGEST_TITLE, LogTailParams, NoParams, PlaylistListParams, QueueAddParams, SchedulePlanParams,
    SeekParams, StopParams, TitleParams,
};

use crate::press::PAGE_ROWS;

/// Longest URL that can be queued, in bytes.
const LONGEST_URL: usize = 2048;
/// Lines of the log that are requested; those of the last hour are shown.
const LOG_LINES: usize = 200;
/// Longest distance of a seek in seconds.
const LONGEST_SEEK: f64 = 1e6;

/// A command of a user.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum BotCommand {
    /// The own user ID.
    Start,
    Help,
    Status,
    /// What is on air, with a picture.
    Now,
    Channels,
    /// A question to the broadcast.
    Look(Call),
    /// A command to the broadcast.
    Steer(Call),
    /// A command without the argument that it needs.
    Incomplete(MissingArgument),
    Unknown,
}

/// What is missing after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissingArgument {
    Time,
    Url,
    Title,
}

/// Reads a message. Apps add the bot's name to a command: `/next@name_bot`.
pub(crate) fn parse(text: &str) -> BotCommand {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let Some(name) = word.strip_prefix('/') else { return BotCommand::Unknown };
    match name.split('@').next().unwrap_or_default() {
        "start" => BotCommand::Start,
        "help" => BotCommand::Help,
        "status" => BotCommand::Status,
        "now" => BotCommand::Now,
        "channels" => BotCommand::Channels,
        "playlist" => {
            BotCommand::Look(Call::PlaylistList(PlaylistListParams { offset: 0, limit: PAGE_ROWS }))
        }
        "today" => BotCommand::Look(Call::SchedulePlan(SchedulePlanParams::default())),
        "log" => BotCommand::Look(Call::LogTail(LogTailParams { lines: LOG_LINES })),
        "take" => BotCommand::Steer(Call::LiveTake(NoParams {})),
        "next" => BotCommand::Steer(Call::Next(NoParams {})),
        "previous" => BotCommand::Steer(Call::Previous(NoParams {})),
        "pause" => BotCommand::Steer(Call::Pause(NoParams {})),
        "resume" => BotCommand::Steer(Call::Resume(NoParams {})),
        "stop_after" => BotCommand::Steer(Call::Stop(StopParams { after_current: true })),
        "seek" => seek(rest).map_or(BotCommand::Incomplete(MissingArgument::Time), |params| {
            BotCommand::Steer(Call::Seek(params))
        }),
        "queue" => url(rest).map_or(BotCommand::Incomplete(MissingArgument::Url), |source| {
            // Not a path, and judged again whenever it is opened: it must lead to public addresses.
            let below = Some(Vec::new());
            BotCommand::Steer(Call::QueueAdd(QueueAddParams { source, position: None, below }))
        }),
        "title" if (1..=LONGEST_TITLE).contains(&rest.chars().count()) => {
            BotCommand::Steer(Call::TitleSet(TitleParams { text: rest.to_owned() }))
        }
        "title" => BotCommand::Incomplete(MissingArgument::Title),
        _ => BotCommand::Unknown,
    }
}

fn url(text: &str) -> Option<String> {
    let scheme = text.split_once("://")?.0.to_ascii_lowercase();
    let fits = matches!(&*scheme, "http" | "https")
        && text.len() <= LONGEST_URL
        && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    fits.then(|| text.to_owned())
}

/// `90`, `1:23`, `1:02:03` from the beginning; `+30` and `-30` from the picture on air.
fn seek(text: &str) -> Option<SeekParams> {
    let (sign, time) = match text.strip_prefix(['-', '−']) {
        Some(time) => (Some(-1.0), time),
        None => match text.strip_prefix('+') {
            Some(time) => (Some(1.0), time),
            None => (None, text),
        },
    };
    let mut seconds = 0.0;
    let parts: Vec<_> = time.split(':').collect();
    if parts.len() > 3 {
        return None;
    }
    for (n, part) in parts.iter().enumerate() {
        if part.is_empty() || part.len() > 7 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number: f64 = part.parse().ok()?;
        if n > 0 && number >= 60.0 {
            return None;
        }
        seconds = seconds * 60.0 + number;
    }
    (seconds <= LONGEST_SEEK).then_some(match sign {
        Some(sign) => SeekParams { to: None, by: Some(sign * seconds) },
        None => SeekParams { to: Some(seconds), by: None },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_with_their_arguments() {
        let to = |to| BotCommand::Steer(Call::Seek(SeekParams { to: Some(to), by: None }));
        let by = |by| BotCommand::Steer(Call::Seek(SeekParams { to: None, by: Some(by) }));
        for (text, command) in [
            ("/start", BotCommand::Start),
            (" /status ", BotCommand::Status),
            ("/next@tgs_demo_bot", BotCommand::Steer(Call::Next(NoParams {}))),
            ("/take", BotCommand::Steer(Call::LiveTake(NoParams {}))),
            ("/seek 1:02:03", to(3723.0)),
            ("/seek 90", to(90.0)),
            ("/seek +30", by(30.0)),
            ("/seek -1:30", by(-90.0)),
            ("/seek", BotCommand::Incomplete(MissingArgument::Time)),
            ("/seek 1:61", BotCommand::Incomplete(MissingArgument::Time)),
            ("/seek 1:2:3:4", BotCommand::Incomplete(MissingArgument::Time)),
            ("/seek inf", BotCommand::Incomplete(MissingArgument::Time)),
            ("/seek 9999999:00", BotCommand::Incomplete(MissingArgument::Time)),
            ("/queue /etc/passwd", BotCommand::Incomplete(MissingArgument::Url)),
            ("/queue file:///etc/passwd", BotCommand::Incomplete(MissingArgument::Url)),
            ("/queue https://a b", BotCommand::Incomplete(MissingArgument::Url)),
            ("/title", BotCommand::Incomplete(MissingArgument::Title)),
            ("/title a b", BotCommand::Steer(Call::TitleSet(TitleParams { text: "a b".to_owned() }))),
            ("next", BotCommand::Unknown),
            ("/", BotCommand::Unknown),
            ("", BotCommand::Unknown),
        ] {
            assert_eq!(parse(text), command, "{text}");
        }
        let BotCommand::Steer(Call::QueueAdd(added)) = parse("/queue HTTPS://example.org/a.mp4") else {
            panic!()
        };
        assert_eq!((added.source.as_str(), added.below), ("HTTPS://example.org/a.mp4", Some(Vec::new())));
        assert_eq!(parse(&format!("/title {}", "a".repeat(129))), parse("/title"));
    }
}
