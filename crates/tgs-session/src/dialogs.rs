//! `--list-dialogs`: lists the possible values of CHAT_ID.

use anyhow::Context as _;
use serde::Serialize;
use tgs_core::{error::CliError, exit::Code};
use tgs_telegram::{Chat, TelegramClient};

use crate::{
    context::{Claim, Context, in_use},
    error::of_telegram,
    terminal::{plain, print, say},
};

/// A row of the list.
#[derive(Debug, Serialize)]
struct Dialog {
    id: i64,
    kind: &'static str,
    title: String,
    username: Option<String>,
    may_broadcast: bool,
}

impl From<Chat> for Dialog {
    fn from(chat: Chat) -> Self {
        Self {
            id: chat.id,
            kind: chat.kind.name(),
            title: chat.title,
            username: chat.username,
            may_broadcast: chat.may_broadcast,
        }
    }
}

/// Prints the channels and groups of the account.
pub(crate) fn run(context: &Context) -> Result<Code, CliError> {
    let session = context.session(context.which())?;
    let app = context.app()?;
    let _ours = match context.claim(&session)? {
        Claim::Granted(lock) => lock,
        Claim::InUse(holder) => {
            for line in in_use(&holder, context.stream(&session).as_ref()) {
                say(&line);
            }
            let remedy = "stop that first, or list with the standby session: --standby";
            return Err(CliError::failure(format!(
                "list the dialogs: the session is in use by {holder}; {remedy}"
            ))
            .with_code(Code::Busy));
        }
    };
    let (mut client, _) = TelegramClient::connect(app, &session, &context.cancel).map_err(of_telegram)?;
    let dialogs: Vec<Dialog> = client.chats().map_err(of_telegram)?.into_iter().map(Dialog::from).collect();
    if context.cli.json {
        let text = serde_json::to_string_pretty(&dialogs).context("write the list as JSON")?;
        print(&text)?;
        return Ok(Code::Ok);
    }
    if dialogs.is_empty() {
        say("The account is in no channel and no group.");
        return Ok(Code::Ok);
    }
    print(&table(&dialogs))?;
    Ok(Code::Ok)
}

fn table(dialogs: &[Dialog]) -> String {
    let mut lines = vec![format!("{:<15} {:<10} {:<9} {}", "CHAT_ID", "kind", "broadcast", "title")];
    lines.extend(dialogs.iter().map(|dialog| {
        let may = if dialog.may_broadcast { "yes" } else { "no" };
        let name = dialog.username.as_ref().map(|name| format!(" (@{name})")).unwrap_or_default();
        let title = plain(&format!("{}{name}", dialog.title)).replace('\n', " ");
        format!("{:<15} {:<10} {may:<9} {title}", dialog.id, dialog.kind)
    }));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let dialog = |id, kind, title: &str, username: Option<&str>, may_broadcast| Dialog {
            id,
            kind,
            title: title.into(),
            username: username.map(str::to_owned),
            may_broadcast,
        };
        let dialogs = [
            dialog(-1_001_234_567_890, "channel", "Round the clock", Some("clock"), true),
            dialog(-77, "group", "a\x1b[2J\nb", None, false),
        ];
        assert_eq!(
            table(&dialogs),
            "CHAT_ID         kind       broadcast title\n\
             -1001234567890  channel    yes       Round the clock (@clock)\n\
             -77             group      no        a\\u{1b}[2J b"
        );
    }
}
