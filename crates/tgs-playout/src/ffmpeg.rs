//! All that is ffmpeg's: what an item holds, the command that encodes it, the child that runs, and
//! what its end means.
//!
//! It neither queues nor times what it reads: see [`crate::read_ahead`] and [`crate::timeline`].

pub mod args;
pub mod args_probe;
pub mod colour;
pub mod draw;
pub mod extra_args;
pub mod fields;
mod filters;
mod glyphs;
pub mod input;
pub mod look;
pub mod loudness;
pub mod loudness_run;
pub mod messages;
pub(crate) mod outcome;
pub(crate) mod passthrough;
pub mod picture;
pub mod probe;
pub mod process;
pub mod processing;
pub mod ready_subtitles;
pub mod setup;
pub mod slate;
pub mod sound;
mod sound_picture;
mod sound_plan;
pub mod speed;
pub mod stall;

pub use self::{
    args::{ENCODER_VERSION, EncodeJob},
    extra_args::{ExtraArgs, ExtraArgsError},
    probe::Probe,
    process::{Encoder, EncoderExit},
    processing::Processing,
    setup::EncodeSetup,
    stall::{Abandoned, StallLimits},
};
