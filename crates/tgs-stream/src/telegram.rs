//! A broadcast into a Telegram chat. [`driver`] executes what [`state_machine`] decides.

mod driver;
mod handed;
mod now_playing;
mod renewal;
mod session;
mod session_failure;
mod standby;
mod state_machine;
mod status;
mod viewer_check;
mod viewer_picture;

pub(crate) use driver::{EngineRunner, TelegramConfig, run};
pub(crate) use handed::HandedStream;
pub(crate) use session::LiveSession;
pub(crate) use status::SharedTelegramStatus;
