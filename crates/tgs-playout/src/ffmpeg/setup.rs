//! What every encoder of a broadcast has in common.

use std::{path::PathBuf, time::Duration};

use super::{extra_args::ExtraArgs, probe::ProbeOptions};
use crate::profile::Profile;

/// What every encoder of a run has in common.
#[derive(Debug, Clone)]
pub struct EncodeSetup {
    /// The ffmpeg executable.
    pub ffmpeg: PathBuf,
    /// The broadcast's shape.
    pub profile: Profile,
    /// FFMPEG_ARGS, proven.
    pub extra: ExtraArgs,
    /// Directory that holds [`super::slate::FONT_FILE`] and takes the slate's text: the encoder's
    /// working directory, so that no path has to be quoted for a filter.
    pub scratch: PathBuf,
    /// How long a still picture is shown.
    pub image_duration: Duration,
}

impl EncodeSetup {
    /// What is asked for of items.
    #[must_use]
    pub fn wanted(&self) -> ProbeOptions {
        ProbeOptions { height: self.profile.height, image_duration: self.image_duration }
    }
}
