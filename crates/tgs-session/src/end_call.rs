//! `--end-call`: ends the live stream in the chat of CHAT_ID. No other command ends a stream.

use tgs_core::{error::CliError, exit::Code};
use tgs_telegram::{GroupCallState, TelegramClient};

use crate::{
    context::{Claim, Context},
    error::of_telegram,
    terminal::{plain, say},
};

/// Ends a live stream fed by RTMP. Never ends a video chat or a scheduled call.
pub(crate) fn run(context: &Context) -> Result<Code, CliError> {
    let app = context.app()?;
    let Some(id) = &context.settings.telegram.chat else {
        let file = context.env_file().display();
        let why = format!("find the chat: CHAT_ID is not set; set it in {file}");
        return Err(CliError::failure(why).with_code(Code::Config));
    };
    let session = context.session(context.which())?;
    let _ours = match context.claim(&session)? {
        Claim::Granted(lock) => lock,
        Claim::InUse(holder) => {
            let why = format!("end the live stream: the session is in use by {holder}; stop that first");
            return Err(CliError::failure(why).with_code(Code::Busy));
        }
    };
    let (mut client, _) = TelegramClient::connect(app, &session, &context.cancel).map_err(of_telegram)?;
    let chat = client.chat(id).map_err(of_telegram)?;
    let title = plain(&chat.title);
    match client.group_call(&chat).map_err(of_telegram)? {
        GroupCallState::Rtmp { call, .. } => {
            client.discard_group_call(&call).map_err(of_telegram)?;
            say(&format!("The live stream in {title} is ended."));
        }
        GroupCallState::Absent => say(&format!("There is no live stream in {title}.")),
        GroupCallState::VideoChat => {
            return Err(CliError::failure(format!(
                "end the live stream: people hold a video chat of their own in {title}; end it in Telegram"
            )));
        }
        GroupCallState::Scheduled { .. } => {
            return Err(CliError::failure(format!(
                "end the live stream: the one in {title} is scheduled for later; cancel it in Telegram"
            )));
        }
    }
    Ok(Code::Ok)
}
