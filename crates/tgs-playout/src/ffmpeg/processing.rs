//! What is done to an item beside fitting it to the profile.

use super::{look::Look, picture::PictureOptions, sound::SoundOptions};

/// What is done to picture and sound of each item. The default is nothing. Part of the cache's
/// keys by its `Debug` form, so it names files by their content.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Processing {
    /// What is done to the sound.
    pub sound: SoundOptions,
    /// What is done to the picture.
    pub picture: PictureOptions,
    /// What is drawn over the picture.
    pub look: Look,
}
