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
    /// 854×480 at 900 kbit/s.
    pub const P480: Self = Self { width: 854, height: 480, video_kbps: 900, ..Self::P720 };
    /// 1280×720 at 1800 kbit/s: the default.
    pub const P720: Self = Self {
        width: 1280,
        height: 720,
        fps: 30,
        video_kbps: 1800,
        audio_kbps: 128,
        audio_rate: 44_100,
        channels: 2,
    };
    /// 1920×1080 at 3500 kbit/s.
    pub const P1080: Self = Self { width: 1920, height: 1080, video_kbps: 3500, ..Self::P720 };

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
