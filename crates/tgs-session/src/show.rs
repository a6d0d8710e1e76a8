//! `--show`: reports everything about a session except its key.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use serde::Serialize;
use tgs_core::{
    error::CliError,
    exit::Code,
    time::{ago, moment},
};
use tgs_telegram::{ActiveSession, SelfUser, TelegramClient, TelegramError, session::string::SessionString};

use crate::{
    context::{Claim, Context, SessionRole, in_use},
    error::of_telegram,
    terminal::{plain, print},
};

/// The report.
#[derive(Debug, Default, Serialize)]
struct SessionReport {
    /// The mounted or renewed session's file; `None` if the session is in `.env`.
    file: Option<String>,
    format: &'static str,
    dc: u8,
    address: Option<String>,
    /// Identifies the auth key without revealing it.
    fingerprint: String,
    account: Option<AccountReport>,
    /// Seconds since 1970.
    created: Option<u64>,
    others: Vec<OtherSessionReport>,
    /// The other process that uses the session.
    in_use_by: Option<String>,
    /// The status of that process.
    #[serde(skip)]
    stream: Vec<String>,
    chat: Option<String>,
    /// The error, or why Telegram was not queried.
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct AccountReport {
    id: i64,
    name: String,
    username: Option<String>,
    #[serde(skip)]
    shown: String,
}

/// Another session of the account.
#[derive(Debug, Serialize)]
struct OtherSessionReport {
    app: String,
    device: String,
    country: String,
    active: u64,
    created: u64,
}

/// Prints the report, then fails if the session is dead.
pub(crate) fn run(context: &Context) -> Result<Code, CliError> {
    let session = context.session(context.which())?;
    let mut shown = SessionReport { file: file(context), ..SessionReport::of(&session) };
    let ended = shown.ask(context, &session);
    let text = if context.cli.json {
        serde_json::to_string_pretty(&shown).context("write the report as JSON")?
    } else {
        shown.lines(SystemTime::now()).join("\n")
    };
    print(&text)?;
    ended.map(|()| Code::Ok)
}

/// The file of a session that is mounted or replaces a mounted one.
fn file(context: &Context) -> Option<String> {
    let telegram = &context.settings.telegram;
    match context.which() {
        SessionRole::Primary => {
            telegram.mounted_session.as_ref().map(|it| it.in_force().display().to_string())
        }
        SessionRole::Standby => telegram.standby_file.as_ref().map(|it| it.display().to_string()),
    }
}

impl SessionReport {
    fn of(session: &SessionString) -> Self {
        Self {
            format: session.format.name(),
            dc: session.dc,
            address: session.socket_addr().map(|address| address.to_string()),
            fingerprint: session.fingerprint(),
            ..Self::default()
        }
    }

    /// Queries Telegram, or the process that uses the session.
    fn ask(&mut self, context: &Context, session: &SessionString) -> Result<(), CliError> {
        let app = context.app().inspect_err(|failed| self.problem = Some(failed.to_string()))?;
        match context.claim(session)? {
            Claim::InUse(holder) => {
                let stream = context.stream(session);
                self.stream = in_use(&holder, stream.as_ref());
                self.in_use_by = Some(holder.to_string());
                self.chat = stream.and_then(|stream| stream.chat);
                Ok(())
            }
            Claim::Granted(_lock) => {
                let asked = TelegramClient::connect(app, session, &context.cancel)
                    .and_then(|(mut client, me)| self.fill(&mut client, me));
                asked.map_err(|error| {
                    self.problem = Some(error.to_string());
                    of_telegram(error)
                })
            }
        }
    }

    fn fill(&mut self, client: &mut TelegramClient, me: SelfUser) -> Result<(), TelegramError> {
        let shown = me.to_string();
        self.account = Some(AccountReport { id: me.id, name: me.name, username: me.username, shown });
        let (current, others): (Vec<_>, Vec<_>) =
            client.active_sessions()?.into_iter().partition(|session| session.current);
        self.created = current.first().map(|session| seconds(session.created));
        self.others = others.into_iter().map(OtherSessionReport::from).collect();
        Ok(())
    }

    fn lines(&self, now: SystemTime) -> Vec<String> {
        let address = self.address.as_ref().map(|address| format!(" ({address})")).unwrap_or_default();
        let mut lines: Vec<_> = self.file.iter().map(|file| format!("File:     {file}")).collect();
        lines.extend([
            format!("Form:     {}", self.format),
            format!("DC:       {}{address}", self.dc),
            format!("Key:      fingerprint {}", self.fingerprint),
        ]);
        lines.extend(self.stream.iter().cloned());
        if let Some(account) = &self.account {
            lines.push(format!("Account:  {}", plain(&account.shown)));
        }
        if let Some(created) = self.created {
            lines.push(format!("Made:     {}", past(created, now)));
        }
        if self.account.is_some() {
            let none = if self.others.is_empty() { " none" } else { "" };
            lines.push(format!("Other sessions of the account:{none}"));
        }
        lines.extend(self.others.iter().map(|other| {
            let text = format!("{} on {}, {}", other.app, other.device, other.country);
            format!("  {}, used {}", plain(&text).replace('\n', " "), past(other.active, now))
        }));
        if let Some(problem) = &self.problem {
            lines.push(format!("Problem:  {problem}"));
        }
        lines
    }
}

impl From<ActiveSession> for OtherSessionReport {
    fn from(it: ActiveSession) -> Self {
        let (active, created) = (seconds(it.active), seconds(it.created));
        Self { app: it.app, device: it.device, country: it.country, active, created }
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A past time and its age.
fn past(second: u64, now: SystemTime) -> String {
    let time = UNIX_EPOCH + std::time::Duration::from_secs(second);
    format!("{} ({})", moment(time), ago(now.duration_since(time).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let shown = SessionReport {
            format: "Telethon",
            dc: 2,
            address: Some("149.154.167.41:443".into()),
            fingerprint: "0123abcd".into(),
            account: Some(AccountReport {
                id: 7,
                name: "A\x1b".into(),
                username: None,
                shown: "A\x1b (7)".into(),
            }),
            created: Some(86_400),
            others: vec![OtherSessionReport {
                app: "Telegram\nAndroid".into(),
                device: "Pixel".into(),
                country: "DE".into(),
                active: 604_000,
                created: 0,
            }],
            ..SessionReport::default()
        };
        let now = UNIX_EPOCH + std::time::Duration::from_hours(168);
        assert_eq!(
            shown.lines(now),
            [
                "Form:     Telethon",
                "DC:       2 (149.154.167.41:443)",
                "Key:      fingerprint 0123abcd",
                "Account:  A\\u{1b} (7)",
                "Made:     1970-01-02 00:00:00 UTC (6 days ago)",
                "Other sessions of the account:",
                "  Telegram Android on Pixel, DE, used 1970-01-07 23:46:40 UTC (13 min ago)",
            ]
        );
    }
}
