//! The profile: the one format to which every item is encoded.
//!
//! [`crate::ffmpeg::args`] builds the command line.

use std::time::Duration;

use tgs_rtmp::metadata::Metadata;

/// The longest keyframe distance that the splice and Telegram's players accept.
pub const MAX_KEYFRAME_DISTANCE: Duration = Duration::from_millis(2100);

/// Samples in one AAC-LC frame (ISO/IEC 14496-3).
pub const AAC_FRAME: u64 = 1024;

/// The format of the broadcast. Every item, slate and filler is encoded to the same profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels; always 16:9, because Telegram scales every shape to 1280×720.
    pub height: u32,
    /// Frames per second.
    pub fps: u32,
    /// Video bitrate in kbit/s, mean and peak.
    pub video_kbps: u32,
    /// Audio bitrate in kbit/s.
    pub audio_kbps: u32,
    /// Audio samples per second.
    pub audio_rate: u32,
    /// Audio channels.
    pub channels: u32,
}

impl Profile {
    /// 854×480 with 30 frames per second at 900 kbit/s.
    pub const P480: Self = Self::new(480, 30, None);
    /// 1280×720 with 30 frames per second at 1800 kbit/s: the default.
    pub const P720: Self = Self::new(720, 30, None);

    /// A picture of `height` lines with `fps` frames per second at `video_kbps` kbit/s, or else at
    /// [`Self::usual_kbps`].
    #[must_use]
    pub const fn new(height: u32, fps: u32, video_kbps: Option<u32>) -> Self {
        // 4:2:0 needs an even width: 480 lines have 854.
        let width = (height * 16).div_ceil(18) * 2;
        let video_kbps = match video_kbps {
            Some(kbps) => kbps,
            None => Self::usual_kbps(height, fps),
        };
        Self { width, height, fps, video_kbps, audio_kbps: 128, audio_rate: 44_100, channels: 2 }
    }

    /// The usual bitrate in kbit/s of a picture with so many lines and frames per second.
    #[must_use]
    pub const fn usual_kbps(height: u32, fps: u32) -> u32 {
        let kbps = match height {
            ..=360 => 600,
            361..=480 => 900,
            481..=720 => 1800,
            _ => 3500,
        };
        if fps > 30 { kbps * 3 / 2 } else { kbps }
    }

    /// Frames between two keyframes: two seconds.
    #[must_use]
    pub fn gop(&self) -> u32 {
        self.fps * 2
    }

    /// The stream metadata for RTMP servers and FLV files.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        let Self { width, height, fps, video_kbps, audio_kbps, audio_rate, channels } = *self;
        Metadata { width, height, fps, video_kbps, audio_kbps, audio_rate, channels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_bitrates_follow_from_lines_and_rate() {
        let of = |height, fps| {
            let it = Profile::new(height, fps, None);
            (it.width, it.height, it.video_kbps, it.gop())
        };
        assert_eq!(of(360, 25), (640, 360, 600, 50));
        assert_eq!(of(480, 30), (854, 480, 900, 60));
        assert_eq!(of(720, 50), (1280, 720, 2700, 100));
        assert_eq!(of(1080, 60), (1920, 1080, 5250, 120));
        assert_eq!(Profile::new(720, 30, Some(2500)).video_kbps, 2500);
    }
}
