//! The settings of the channel's look: types, and parsers of their values.

use std::{path::PathBuf, time::Duration};

use crate::{language::Languages, units};

/// Longest NOW_PLAYING_TEXT in characters.
const LONGEST_TEXT: usize = 200;

/// A corner of the picture, `LOGO_POSITION`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogoPosition {
    /// `top-left`
    TopLeft,
    /// `top-right`
    TopRight,
    /// `bottom-left`
    BottomLeft,
    /// `bottom-right`
    BottomRight,
}

/// The logo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoSettings {
    /// `LOGO`
    pub file: PathBuf,
    /// `LOGO_POSITION`
    pub position: LogoPosition,
    /// `LOGO_HEIGHT` in percent of the picture's height, 1 to 100.
    pub height: u32,
    /// `LOGO_OPACITY` in percent, 1 to 100.
    pub opacity: u32,
    /// `LOGO_MARGIN` in percent of the picture's height, 0 to 40.
    pub margin: u32,
}

/// Where the names of the item on air are shown, `NOW_PLAYING`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NowPlaying {
    /// `off`: nowhere.
    Off,
    /// `title`: in the title of the live stream.
    Title,
    /// `overlay`: over the picture, at the beginning of the item.
    Overlay,
    /// `both`.
    Both,
}

impl NowPlaying {
    /// Whether they are the title of the live stream.
    #[must_use]
    pub fn is_title(self) -> bool {
        matches!(self, Self::Title | Self::Both)
    }

    /// Whether they are drawn over the picture.
    #[must_use]
    pub fn is_overlay(self) -> bool {
        matches!(self, Self::Overlay | Self::Both)
    }
}

/// Which subtitles are drawn, `SUBTITLES`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubtitleSetting {
    /// `off`: none.
    Off,
    /// `forced`: those that translate signs and foreign speech only.
    Forced,
    /// Those in the first of these languages that an item has.
    Languages(Vec<String>),
}

/// The channel's look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookSettings {
    /// The logo, if `LOGO` is set.
    pub logo: Option<LogoSettings>,
    /// `NOW_PLAYING`
    pub now_playing: NowPlaying,
    /// `NOW_PLAYING_FOR`, 2 s to 1 min.
    pub now_playing_for: Duration,
    /// `NOW_PLAYING_TEXT`
    pub now_playing_text: String,
    /// `SUBTITLES`
    pub subtitles: SubtitleSetting,
}

pub(super) fn position(value: &str) -> Result<LogoPosition, String> {
    match value {
        "top-left" => Ok(LogoPosition::TopLeft),
        "top-right" => Ok(LogoPosition::TopRight),
        "bottom-left" => Ok(LogoPosition::BottomLeft),
        "bottom-right" => Ok(LogoPosition::BottomRight),
        _ => Err("must be top-left, top-right, bottom-left or bottom-right".into()),
    }
}

fn percent(value: &str, least: u32, most: u32) -> Result<u32, String> {
    let number = value.strip_suffix('%').unwrap_or(value).trim().parse().ok();
    number.filter(|percent| (least..=most).contains(percent)).ok_or_else(|| {
        format!("must be a whole number of percent from {least} to {most}, such as {}", least.max(10))
    })
}

pub(super) fn height(value: &str) -> Result<u32, String> {
    percent(value, 1, 100)
}

pub(super) fn margin(value: &str) -> Result<u32, String> {
    percent(value, 0, 40)
}

/// A part of one, such as 0.8, or a percentage.
pub(super) fn opacity(value: &str) -> Result<u32, String> {
    const FORM: &str = "must be from 0.01 to 1, such as 0.8, or from 1% to 100%";
    if value.ends_with('%') {
        return percent(value, 1, 100).map_err(|_| FORM.into());
    }
    let part: f64 = value.parse().map_err(|_| FORM)?;
    if (0.01..=1.0).contains(&part) { Ok((part * 100.0).round() as u32) } else { Err(FORM.into()) }
}

pub(super) fn now_playing(value: &str) -> Result<NowPlaying, String> {
    match value {
        "off" => Ok(NowPlaying::Off),
        "title" => Ok(NowPlaying::Title),
        "overlay" => Ok(NowPlaying::Overlay),
        "both" => Ok(NowPlaying::Both),
        _ => Err("must be off, title, overlay or both".into()),
    }
}

pub(super) fn now_playing_for(value: &str) -> Result<Duration, String> {
    let duration = units::parse_duration(value).map_err(|e| e.to_string())?;
    let allowed = Duration::from_secs(2)..=Duration::from_mins(1);
    if allowed.contains(&duration) { Ok(duration) } else { Err("must be from 2s to 1m".into()) }
}

pub(super) fn now_playing_text(value: &str) -> Result<String, String> {
    if value.chars().count() > LONGEST_TEXT || value.chars().any(char::is_control) {
        return Err(format!("must be one line of at most {LONGEST_TEXT} characters"));
    }
    let plain = value.replace("{title}", "").replace("{artist}", "");
    if plain.contains(['{', '}']) {
        return Err("knows {title} and {artist} only".into());
    }
    if plain == value {
        return Err("must contain {title} or {artist}".into());
    }
    Ok(value.to_owned())
}

pub(super) fn subtitles(value: &str) -> Result<SubtitleSetting, String> {
    match value {
        "off" => return Ok(SubtitleSetting::Off),
        "forced" => return Ok(SubtitleSetting::Forced),
        _ => {}
    }
    let languages = Languages::parse(value);
    let languages = languages.map_err(|error| format!("is neither off nor forced, and {error}"))?;
    Ok(SubtitleSetting::Languages(languages.codes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_ranges() {
        assert_eq!((opacity("0.5"), opacity("100%"), opacity("1")), (Ok(50), Ok(100), Ok(100)));
        assert_eq!((height("12"), margin("0%")), (Ok(12), Ok(0)));
        for refused in ["0", "1.5", "50", "x", "-1", "NaN", "0%"] {
            assert!(opacity(refused).is_err(), "{refused}");
        }
        assert!(height("0").is_err() && height("101").is_err() && margin("41").is_err());
        assert!(position("centre").is_err() && now_playing("on").is_err());
        assert!(now_playing_for("1s").is_err() && now_playing_for("8s").is_ok());
    }

    #[test]
    fn a_text_has_places_and_subtitles_have_languages() {
        assert!(now_playing_text("{artist}: {title}").is_ok());
        for refused in ["plain", "{titel}", "{title", "a\n{title}"] {
            assert!(now_playing_text(refused).is_err(), "{refused}");
        }
        let languages =
            |codes: &[&str]| Ok(SubtitleSetting::Languages(codes.iter().map(|it| (*it).into()).collect()));
        assert_eq!(subtitles("ru, EN"), languages(&["rus", "eng"]));
        assert_eq!(subtitles("forced"), Ok(SubtitleSetting::Forced));
        for refused in ["r", "ru,,en", "none", "on", "xx", "forced,ru"] {
            assert!(subtitles(refused).is_err(), "{refused}");
        }
    }
}
