//! All that is ffmpeg's: what an item holds, the command that encodes it, the child that runs, and
//! what its end means.
//!
//! It neither queues nor times what it reads: see [`crate::read_ahead`] and [`crate::timeline`].

pub mod args;
pub mod args_probe;
pub mod extra_args;
mod filters;
pub mod input;
pub mod messages;
pub(crate) mod outcome;
pub(crate) mod passthrough;
pub mod probe;
pub mod process;
pub mod setup;
pub mod slate;
pub mod stall;

pub use self::{
    args::{ENCODER_VERSION, EncodeJob},
    extra_args::{ExtraArgs, ExtraArgsError},
    probe::Probe,
    process::{Encoder, EncoderExit},
    setup::EncodeSetup,
    stall::{Abandoned, StallLimits},
};
