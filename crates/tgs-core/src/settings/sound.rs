//! The settings of the sound: types, and parsers of their values.

use std::time::Duration;

use crate::{language::Languages, units};

/// A side of a stereo sound, `AUDIO_CHANNEL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioSide {
    /// `left`
    Left,
    /// `right`
    Right,
}

/// A level in hundredths of a decibel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoundLevel(i32);

impl SoundLevel {
    /// The level in dB (LUFS, dBTP).
    #[must_use]
    pub fn db(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

/// The sound of all items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sound {
    /// `LOUDNESS` in LUFS, −40 to −5; `None` for `off`.
    pub loudness: Option<SoundLevel>,
    /// `LOUDNESS_PEAK` in dBTP, −9 to 0.
    pub peak: SoundLevel,
    /// `AUDIO_LANGUAGE`
    pub languages: Languages,
    /// `AUDIO_CHANNEL`; `None` for both.
    pub side: Option<AudioSide>,
    /// `FADE`, 0 to 5 s.
    pub fade: Duration,
}

fn level(value: &str, from: f64, to: f64, form: &str) -> Result<SoundLevel, String> {
    match value.parse::<f64>() {
        Ok(level) if (from..=to).contains(&level) => Ok(SoundLevel((level * 100.0).round() as i32)),
        _ => Err(form.into()),
    }
}

pub(super) fn loudness(value: &str) -> Result<Option<SoundLevel>, String> {
    if value == "off" {
        return Ok(None);
    }
    level(value, -40.0, -5.0, "must be off, or a loudness in LUFS from -40 to -5, as -16").map(Some)
}

pub(super) fn peak(value: &str) -> Result<SoundLevel, String> {
    level(value, -9.0, 0.0, "must be a true peak in dBTP from -9 to 0, as -1.5")
}

pub(super) fn languages(value: &str) -> Result<Languages, String> {
    Languages::parse(value).map_err(|error| error.to_string())
}

pub(super) fn side(value: &str) -> Result<Option<AudioSide>, String> {
    match value {
        "both" => Ok(None),
        "left" => Ok(Some(AudioSide::Left)),
        "right" => Ok(Some(AudioSide::Right)),
        _ => Err("must be both, left or right".into()),
    }
}

pub(super) fn fade(value: &str) -> Result<Duration, String> {
    let duration = units::parse_duration(value).map_err(|e| e.to_string())?;
    if duration <= Duration::from_secs(5) { Ok(duration) } else { Err("must be from 0ms to 5s".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_a_range() {
        let db = |text: &str| loudness(text).map(|level| level.map(SoundLevel::db));
        assert_eq!((db("-16"), db("-23.5"), db("off")), (Ok(Some(-16.0)), Ok(Some(-23.5)), Ok(None)));
        for text in ["", "16", "-41", "-4", "nan", "-16 LUFS", "Off"] {
            assert!(loudness(text).unwrap_err().contains("-40 to -5"), "{text}");
        }
        assert_eq!((peak("-1.5").map(SoundLevel::db), peak("0").map(SoundLevel::db)), (Ok(-1.5), Ok(0.0)));
        assert!(["0.1", "-9.1", "inf", "off"].iter().all(|text| peak(text).is_err()));
    }

    #[test]
    fn a_language_that_does_not_exist_is_named() {
        assert_eq!(format!("{:?}", languages("ru,German,eng").unwrap()), "[rus, deu, eng]");
        assert!(languages("ru,elvish").unwrap_err().contains("“elvish”"));
    }

    #[test]
    fn sides_and_fades() {
        assert_eq!((side("left"), side("both")), (Ok(Some(AudioSide::Left)), Ok(None)));
        assert!(side("centre").is_err());
        assert_eq!((fade("500ms"), fade("0s")), (Ok(Duration::from_millis(500)), Ok(Duration::ZERO)));
        assert!(fade("6s").is_err() && fade("10").is_err());
    }
}
