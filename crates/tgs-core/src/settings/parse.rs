//! Types and parsers of setting values. Messages follow the setting's name and never repeat the
//! value.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

use crate::units;

/// `SCHEDULE_RETURN`: where the playlist continues after a slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ScheduleReturn {
    /// Where the slot has cut it.
    #[default]
    Resume,
    /// With the next item.
    Next,
}

/// The RTMP client, `PUBLISHER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublisherKind {
    /// `native`: this program.
    Native,
    /// `ffmpeg`: a child process.
    Ffmpeg,
}

/// What items of a shuffled round have in common, in `SEPARATE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeparateBy {
    /// `artist`
    Artist,
    /// `folder`
    Folder,
    /// `category`
    Category,
}

/// One rule of `SEPARATE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeparateRule {
    /// What is compared.
    pub by: SeparateBy,
    /// How many others come between two that are equal in it, 1 to 100.
    pub items: u32,
}

/// The chat, `CHAT_ID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatId {
    /// A number: marked (-100…, or negative for a basic group) or bare.
    Number(i64),
    /// A public username, without `@`.
    Name(String),
}

impl std::fmt::Display for ChatId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => write!(f, "@{name}"),
        }
    }
}

/// How a dead session is replaced, `SESSION_REGEN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Regen {
    /// `loop`: retry until a session is valid.
    Loop,
    /// `once`: one attempt, then exit.
    Once,
    /// `off`: only read `.env` again.
    Off,
}

/// What happens to the broadcast when its session dies, `ON_SESSION_LOSS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLoss {
    /// `keep`: the broadcast continues.
    Keep,
    /// `stop`: the broadcast ends.
    Stop,
}

/// Any value.
#[expect(clippy::unnecessary_wraps, reason = "the signature of all parsers")]
pub(super) fn text(value: &str) -> Result<String, String> {
    Ok(value.to_owned())
}

pub(super) fn path(value: &str) -> Result<PathBuf, String> {
    if value.starts_with("~/") {
        return Err("begins with ~, which only a shell understands; write the whole path".into());
    }
    if ["http://", "https://"].iter().any(|scheme| value.starts_with(scheme)) {
        return Err("is a URL, and must be a file of this machine; download it and write its path".into());
    }
    Ok(PathBuf::from(value))
}

pub(super) fn flag(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("must be 1 or 0".into()),
    }
}

/// `artist:3,folder`
pub(super) fn separate(value: &str) -> Result<Vec<SeparateRule>, String> {
    let rule = |text: &str| {
        let (name, items) = text.split_once(':').unwrap_or((text, "1"));
        let by = match name.trim() {
            "artist" => SeparateBy::Artist,
            "folder" => SeparateBy::Folder,
            "category" => SeparateBy::Category,
            _ => return None,
        };
        let items = items.trim().parse().ok().filter(|items| (1..=100).contains(items))?;
        Some(SeparateRule { by, items })
    };
    let rules: Option<Vec<SeparateRule>> = value.split(',').map(rule).collect();
    let twice = |rules: &Vec<SeparateRule>| {
        rules.iter().enumerate().any(|(n, rule)| rules[..n].iter().any(|before| before.by == rule.by))
    };
    rules.filter(|rules| !twice(rules)).ok_or_else(|| {
        "must be artist, folder or category, each once, with the number of others in between (1 to 100), as \
         artist:3,folder"
            .into()
    })
}

/// Returns bytes.
pub(super) fn gigabytes(value: &str) -> Result<u64, String> {
    match value.parse::<f64>() {
        Ok(gigabytes) if (0.0..=1e6).contains(&gigabytes) => Ok((gigabytes * 1e9) as u64),
        _ => Err("must be a number of GB from 0 to 1000000, as 20 or 0.5".into()),
    }
}

pub(super) fn publisher(value: &str) -> Result<PublisherKind, String> {
    match value {
        "native" => Ok(PublisherKind::Native),
        "ffmpeg" => Ok(PublisherKind::Ffmpeg),
        _ => Err("must be native or ffmpeg".into()),
    }
}

pub(super) fn regen(value: &str) -> Result<Regen, String> {
    match value {
        "loop" => Ok(Regen::Loop),
        "once" => Ok(Regen::Once),
        "off" => Ok(Regen::Off),
        _ => Err("must be loop, once or off".into()),
    }
}

pub(super) fn on_loss(value: &str) -> Result<OnLoss, String> {
    match value {
        "keep" => Ok(OnLoss::Keep),
        "stop" => Ok(OnLoss::Stop),
        _ => Err("must be keep or stop".into()),
    }
}

pub(super) fn api_id(value: &str) -> Result<i32, String> {
    let number = value.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "must be the number that https://my.telegram.org shows as api_id".into())
}

pub(super) fn api_hash(value: &str) -> Result<String, String> {
    if value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(value.to_owned());
    }
    Err("must be the 32 letters and digits that https://my.telegram.org shows as api_hash".into())
}

pub(super) fn chat_id(value: &str) -> Result<ChatId, String> {
    if let Ok(number) = value.parse::<i64>()
        && number != 0
    {
        return Ok(ChatId::Number(number));
    }
    // Accept copied links: https://t.me/name and t.me/name.
    let name = value.strip_prefix("https://").unwrap_or(value);
    let name = name.strip_prefix("t.me/").or(name.strip_prefix('@')).unwrap_or(name);
    let usable = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() >= 4
        && name.len() <= 32
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if usable { Ok(ChatId::Name(name.to_owned())) } else { Err("must be a number, -100…, or @name".into()) }
}

pub(super) fn read_ahead(value: &str) -> Result<Duration, String> {
    let duration = units::parse_duration(value).map_err(|e| e.to_string())?;
    let allowed = Duration::from_secs(3)..=Duration::from_secs(30);
    if allowed.contains(&duration) { Ok(duration) } else { Err("must be from 3s to 30s".into()) }
}

pub(super) fn image_duration(value: &str) -> Result<Duration, String> {
    let duration = units::parse_duration(value).map_err(|e| e.to_string())?;
    let allowed = Duration::from_secs(1)..=Duration::from_hours(1);
    if allowed.contains(&duration) { Ok(duration) } else { Err("must be from 1s to 1h".into()) }
}

pub(super) fn pause_max(value: &str) -> Result<Duration, String> {
    let duration = units::parse_duration(value).map_err(|e| e.to_string())?;
    let allowed = Duration::from_secs(1)..=Duration::from_hours(168);
    if allowed.contains(&duration) { Ok(duration) } else { Err("must be from 1s to 168h".into()) }
}

pub(super) fn preroll(value: &str) -> Result<Duration, String> {
    let duration = units::parse_duration(value).map_err(|e| e.to_string())?;
    let allowed = Duration::from_secs(10)..=Duration::from_mins(10);
    if allowed.contains(&duration) { Ok(duration) } else { Err("must be from 10s to 10m".into()) }
}

pub(super) fn schedule_return(value: &str) -> Result<ScheduleReturn, String> {
    match value {
        "resume" => Ok(ScheduleReturn::Resume),
        "next" => Ok(ScheduleReturn::Next),
        _ => Err("must be resume or next".into()),
    }
}

pub(super) fn as_run_keep(value: &str) -> Result<Duration, String> {
    let duration = units::parse_duration(value).map_err(|e| e.to_string())?;
    let day = Duration::from_hours(24);
    if (day..=day * 3650).contains(&duration) { Ok(duration) } else { Err("must be from 1d to 3650d".into()) }
}

pub(super) fn address(value: &str) -> Result<IpAddr, String> {
    if value == "localhost" {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    value.parse().map_err(|_| "must be an IP address, such as 127.0.0.1, 0.0.0.0 or ::".into())
}

pub(super) fn port(value: &str) -> Result<u16, String> {
    value.parse().map_err(|_| "must be a number from 0 to 65535".into())
}

pub(super) fn arguments(value: &str) -> Result<String, String> {
    match shell_words::split(value) {
        Ok(_) => Ok(value.to_owned()),
        Err(_) => Err("opens a quote and does not close it".into()),
    }
}
