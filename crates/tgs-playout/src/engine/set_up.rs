//! The settings of all encoders of a run, and the files that they need.

use tgs_core::cancel::Cancel;

use super::config::{EngineConfig, EngineError};
use crate::ffmpeg::{
    EncodeSetup, ExtraArgs,
    args_probe::{self, ArgsProbeError},
    draw,
    look::Look,
    setup::FONT_FILE,
};

/// The built-in font: DejaVu Sans under another name, reduced to the alphabets of Europe.
const FONT: &[u8] = include_bytes!("../../assets/slate.ttf");

/// Creates the directories and verifies FFMPEG_ARGS; arguments that fail are left out. Unless it is
/// `alone`, another engine still uses the scratch directory.
pub(super) fn set_up(
    config: &EngineConfig,
    version: &str,
    cancel: &Cancel,
    alone: bool,
) -> Result<EncodeSetup, EngineError> {
    std::fs::create_dir_all(&config.cache_dir)
        .map_err(|source| EngineError::Directory { path: config.cache_dir.clone(), source })?;
    let scratch = config.state_dir.join("scratch");
    let font = scratch.join(FONT_FILE);
    std::fs::create_dir_all(font.parent().unwrap_or(&scratch))
        .and_then(|()| if font.exists() { Ok(()) } else { std::fs::write(&font, FONT) })
        .map_err(|source| EngineError::Directory { path: scratch.clone(), source })?;
    if alone {
        draw::sweep(&scratch);
    }
    let mut plain = EncodeSetup {
        ffmpeg: config.ffmpeg.clone(),
        ffprobe: config.ffprobe.clone(),
        profile: config.profile,
        processing: config.processing.clone(),
        extra: ExtraArgs::default(),
        scratch: std::path::absolute(&scratch).unwrap_or(scratch),
        image_duration: config.image_duration,
        short_groups: false,
    };
    Look::prepare(&mut plain, cancel);
    let prove = || -> Result<EncodeSetup, ArgsProbeError> {
        let setup = EncodeSetup { extra: ExtraArgs::parse(&config.ffmpeg_args)?, ..plain.clone() };
        if !setup.extra.is_empty() {
            args_probe::prove(&setup, version, &config.cache_dir, cancel)?;
        }
        Ok(setup)
    };
    let proven = prove();
    if cancel.is_cancelled() {
        return Err(EngineError::Stopped);
    }
    Ok(proven.unwrap_or_else(|reason| {
        log::warn!("FFMPEG_ARGS are not used: {reason}");
        plain
    }))
}
