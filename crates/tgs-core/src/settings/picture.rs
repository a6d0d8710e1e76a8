//! The settings of the picture: size, rate, bitrate, background, and the picture of sound.

use std::fmt;

/// Lines and rate of the picture, `VIDEO_QUALITY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quality {
    /// Lines: 360, 480, 720 or 1080.
    pub height: u32,
    /// Frames per second: 25, 30, 50 or 60.
    pub fps: u32,
}

impl Quality {
    /// The rate of a quality that names none.
    const USUAL_FPS: u32 = 30;
}

impl fmt::Display for Quality {
    /// As `VIDEO_QUALITY` takes it: `720p`, `720p50`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}p", self.height)?;
        if self.fps == Self::USUAL_FPS { Ok(()) } else { write!(f, "{}", self.fps) }
    }
}

/// What surrounds a picture of another shape than the broadcast's, `BACKGROUND`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BackgroundSetting {
    /// `black`
    #[default]
    Black,
    /// `blur`: a blurred copy of the picture.
    Blur,
}

/// What is shown for sound without a picture, `AUDIO_PICTURE`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AudioPictureSetting {
    /// `slate`: the title.
    Slate,
    /// `cover`: cover art with the title, or else the slate.
    #[default]
    Cover,
    /// `spectrum`: the same, with moving bars.
    Spectrum,
}

/// The settings of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    /// `VIDEO_QUALITY`
    pub quality: Quality,
    /// `VIDEO_BITRATE` in kbit/s, 200 to 20000; by size and rate if unset.
    pub kbps: Option<u32>,
    /// `BACKGROUND`
    pub background: BackgroundSetting,
    /// `AUDIO_PICTURE`
    pub audio_picture: AudioPictureSetting,
    /// `SPEED_UP_FILM`
    pub speed_up_film: bool,
}

/// `720p`, `720p50`
pub(super) fn quality(value: &str) -> Result<Quality, String> {
    let read = || {
        let (height, fps) = value.split_once('p')?;
        let height = [360, 480, 720, 1080].into_iter().find(|lines| lines.to_string() == height)?;
        if fps.is_empty() {
            return Some(Quality { height, fps: Quality::USUAL_FPS });
        }
        let fps = [25, 30, 50, 60].into_iter().find(|rate| rate.to_string() == fps)?;
        Some(Quality { height, fps })
    };
    let wanted =
        "must be 360p, 480p, 720p or 1080p, with 25, 30, 50 or 60 behind it for the frame rate: 720p50";
    read().ok_or_else(|| wanted.into())
}

/// `2500k` or `2.5M`; returns kbit/s.
pub(super) fn bitrate(value: &str) -> Result<u32, String> {
    let (number, unit) = match value.strip_suffix(['M', 'm']) {
        Some(number) => (number, 1000.0),
        None => (value.strip_suffix(['k', 'K']).unwrap_or_default(), 1.0),
    };
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let kbps = number.parse::<f64>().ok().filter(|_| plain).map(|number| (number * unit).round());
    match kbps {
        Some(kbps) if (200.0..=20_000.0).contains(&kbps) => Ok(kbps as u32),
        _ => Err("must be from 200k to 20M, as 2500k or 2.5M".into()),
    }
}

pub(super) fn background(value: &str) -> Result<BackgroundSetting, String> {
    match value {
        "black" => Ok(BackgroundSetting::Black),
        "blur" => Ok(BackgroundSetting::Blur),
        _ => Err("must be black or blur".into()),
    }
}

pub(super) fn audio_picture(value: &str) -> Result<AudioPictureSetting, String> {
    match value {
        "slate" => Ok(AudioPictureSetting::Slate),
        "cover" => Ok(AudioPictureSetting::Cover),
        "spectrum" => Ok(AudioPictureSetting::Spectrum),
        _ => Err("must be slate, cover or spectrum".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quality_has_lines_and_a_rate() {
        for text in ["360p", "480p25", "720p", "720p50", "1080p60"] {
            assert_eq!(quality(text).unwrap().to_string(), text);
        }
        assert_eq!(quality("720p30").unwrap(), quality("720p").unwrap());
        for text in ["", "p", "720", "720p24", "720p030", "0720p", "4320p", "720P"] {
            assert!(quality(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bitrate_has_a_unit_and_bounds() {
        assert_eq!((bitrate("2500k"), bitrate("2.5M"), bitrate("20M")), (Ok(2500), Ok(2500), Ok(20_000)));
        for text in ["2500", "199k", "21M", "-1M", "nanM", "infk", "1e3k", "k", "", "2,5M"] {
            assert!(bitrate(text).is_err(), "{text}");
        }
    }
}
