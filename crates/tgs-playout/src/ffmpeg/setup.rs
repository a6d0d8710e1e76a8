//! The settings that all encoders of a broadcast share.

use std::{path::PathBuf, time::Duration};

use super::{extra_args::ExtraArgs, probe::ProbeOptions, processing::Processing};
use crate::profile::Profile;

/// The built-in font, in [`EncodeSetup::scratch`].
pub const FONT_FILE: &str = "fonts/slate.ttf";

/// The settings that all encoders of a run share.
#[derive(Debug, Clone)]
pub struct EncodeSetup {
    /// The ffmpeg executable.
    pub ffmpeg: PathBuf,
    /// The ffprobe executable.
    pub ffprobe: PathBuf,
    /// The broadcast's profile.
    pub profile: Profile,
    /// What is done to picture and sound.
    pub processing: Processing,
    /// FFMPEG_ARGS, tested.
    pub extra: ExtraArgs,
    /// Directory with [`FONT_FILE`] and generated files. The encoder's working
    /// directory, so that filters need no quoted paths.
    pub scratch: PathBuf,
    /// How long a still picture is shown.
    pub image_duration: Duration,
    /// Whether a keyframe comes each second instead of each two.
    pub short_groups: bool,
}

impl EncodeSetup {
    /// The options for probing items.
    #[must_use]
    pub fn wanted(&self) -> ProbeOptions {
        let Processing { sound, picture, .. } = &self.processing;
        ProbeOptions::of(&self.profile, self.image_duration, sound.languages, picture.speed_up)
    }
}
