//! The settings that all encoders of a broadcast share.

use std::{path::PathBuf, time::Duration};

use super::{extra_args::ExtraArgs, probe::ProbeOptions};
use crate::profile::Profile;

/// The settings that all encoders of a run share.
#[derive(Debug, Clone)]
pub struct EncodeSetup {
    /// The ffmpeg executable.
    pub ffmpeg: PathBuf,
    /// The broadcast's profile.
    pub profile: Profile,
    /// FFMPEG_ARGS, tested.
    pub extra: ExtraArgs,
    /// Directory with [`super::slate::FONT_FILE`] and the slate's text. The encoder's working
    /// directory, so that filters need no quoted paths.
    pub scratch: PathBuf,
    /// How long a still picture is shown.
    pub image_duration: Duration,
}

impl EncodeSetup {
    /// The options for probing items.
    #[must_use]
    pub fn wanted(&self) -> ProbeOptions {
        ProbeOptions { height: self.profile.height, image_duration: self.image_duration }
    }
}
