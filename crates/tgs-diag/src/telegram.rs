//! Checks session, chat and call, through Telegram or the `tgs-stream` that uses the session.

use std::time::{Duration, SystemTime};

use tgs_core::{
    files::lock::Holder, proxy::ProxyList, remedy, secret::Secret, settings::Settings, time::moment,
};
use tgs_rtmp::url::RtmpUrl;
use tgs_telegram::{
    ActiveSession, App, ErrorClass, GroupCallState, Ingest, SelfUser, TelegramClient, TelegramError,
    session::{
        flood_wait::FloodWaits,
        lock::{self, SessionLock},
        string::SessionString,
    },
};

use crate::{
    context::DiagContext,
    finding::Finding,
    ingest,
    runner::CheckSink,
    running_broadcast::RunningBroadcast,
    settings::{self, NOT_NEEDED, session},
};

/// The checks that use SESSION_STRING.
const CHECKS: [&str; 6] = ["session", "chat", "rights", "call", "clock", "ingest"];

/// Clock error in seconds that is a FAIL: TLS certificates and MTProto messages depend on the time.
const CLOCK_WRONG: u64 = 60;
/// Clock error in seconds that is a WARN.
const CLOCK_ODD: u64 = 5;

/// Why a session was not checked with Telegram.
enum NotAsked {
    /// The reason.
    Why(String),
    /// Another process holds the session.
    Held(Holder),
    /// The error of the connection attempt.
    Refused(TelegramError),
}

/// Checks through SESSION_STRING what tgs-stream needs from Telegram.
pub(crate) fn primary(context: &DiagContext, out: &CheckSink) {
    let Some(settings) = &context.settings else {
        return unseen(out, &CHECKS, "the settings cannot be read");
    };
    if settings.output_url.is_some() {
        // The ingest check does not need Telegram.
        return out.say(Finding::pass("session", NOT_NEEDED));
    }
    let text = settings.telegram.session.as_ref();
    let Some(own) = text.and_then(|text| session(text.expose()).ok()) else {
        return unseen(out, &CHECKS, "there is no SESSION_STRING that can be read");
    };
    let (mut client, me, _lock) = match open(context, settings, &own, out) {
        Ok(opened) => opened,
        Err(NotAsked::Why(why)) => return unseen(out, &CHECKS, &why),
        Err(NotAsked::Held(holder)) => return by_status(settings, &own, &holder, out),
        Err(NotAsked::Refused(error)) => {
            out.say(judge("session", &error, &settings::sign_in()));
            return unseen(out, &CHECKS[1..], "Telegram does not answer with this session");
        }
    };
    out.say(Finding::pass("session", format!("alive: {me}")));
    let _ = context.accounts[0].set(me);
    out.say(match client.clock_offset() {
        Ok(offset) => clock(offset),
        Err(error) => judge("clock", &error, "run tgs-diag again"),
    });
    out.say(match client.active_sessions() {
        Ok(sessions) => age(&sessions, SystemTime::now()),
        Err(error) => judge("session-age", &error, "run tgs-diag again"),
    });
    chat(&mut client, settings, out);
}

/// Checks chat, rights, call and ingest.
fn chat(client: &mut TelegramClient, settings: &Settings, out: &CheckSink) {
    let Some(id) = &settings.telegram.chat else {
        return unseen(out, &["chat", "rights", "call", "ingest"], "CHAT_ID is not set");
    };
    let chat = match client.chat(id) {
        Ok(chat) => chat,
        Err(error) => {
            out.say(judge(
                "chat",
                &error,
                &format!(
                    "check CHAT_ID; this shows what the account sees: {}",
                    remedy::command("tgs-session --list-dialogs")
                ),
            ));
            return unseen(out, &["rights", "call", "ingest"], "the chat was not found");
        }
    };
    out.say(Finding::pass("chat", format!("found: {} ({}), a {}", chat.title, chat.id, chat.kind.name())));
    // `GetGroupCallStreamRtmpUrl` without `revoke` changes nothing.
    let given = client.ingest(&chat);
    out.say(rights(chat.may_broadcast, given.as_ref().err()));
    out.say(match client.group_call(&chat) {
        Ok(live) => call(&live),
        Err(error) => judge("call", &error, "run tgs-diag again"),
    });
    match given {
        Ok(given) => out.say(server(settings, &given, out)),
        Err(_) => out.say(Finding::unseen("ingest", "Telegram sent no ingest address")),
    }
}

fn server(settings: &Settings, given: &Ingest, out: &CheckSink) -> Finding {
    match RtmpUrl::parse(given.output().expose()) {
        Ok(target) => ingest::reach(&target, settings.ingest_proxies(), out),
        Err(error) => Finding::fail(
            "ingest",
            format!("the ingest address from Telegram is invalid: {error}"),
            "look for a newer version of tgs",
        ),
    }
}

/// Findings from the tgs-stream that uses the session.
fn by_status(settings: &Settings, own: &SessionString, holder: &Holder, out: &CheckSink) {
    let name = holder.to_string();
    match RunningBroadcast::of(settings) {
        Ok(stream) if stream.is_about(&own.fingerprint()) => {
            out.say_all(stream.session(&name));
            out.say(Finding::unseen("clock", format_args!("{name} uses the session")));
            out.say(stream.ingest());
        }
        _ => unseen(
            out,
            &CHECKS,
            &format!(
                "{name} uses the session and reports no status; a second connection would end the session"
            ),
        ),
    }
}

/// Checks whether STANDBY_SESSION_STRING is valid.
pub(crate) fn standby(context: &DiagContext, out: &CheckSink) {
    let Some(settings) = &context.settings else { return };
    let text = settings.telegram.standby.as_ref();
    let Some(own) =
        text.and_then(|text| session(text.expose()).ok()).filter(|_| settings.output_url.is_none())
    else {
        return;
    };
    out.say(match open(context, settings, &own, out) {
        Ok((_, me, _)) => {
            let text = format!("alive: {me}");
            let _ = context.accounts[1].set(me);
            Finding::pass("standby", text)
        }
        Err(NotAsked::Why(why)) => Finding::unseen("standby", why),
        Err(NotAsked::Refused(error)) => judge("standby", &error, &settings::standby()),
        Err(NotAsked::Held(holder)) => {
            match RunningBroadcast::of(settings).ok().and_then(|stream| stream.standby()) {
                Some(true) => Finding::pass("standby", format!("alive when {holder} used it last")),
                Some(false) => {
                    Finding::fail("standby", format!("dead, as {holder} reports"), settings::standby())
                }
                None => Finding::unseen("standby", format_args!("{holder} uses it")),
            }
        }
    });
}

/// Locks the session, then connects with it.
fn open(
    context: &DiagContext,
    settings: &Settings,
    own: &SessionString,
    out: &CheckSink,
) -> Result<(TelegramClient, SelfUser, SessionLock), NotAsked> {
    let telegram = &settings.telegram;
    let (Some(api_id), Some(api_hash)) = (telegram.api_id, telegram.api_hash.clone()) else {
        return Err(NotAsked::Why("requires API_ID and API_HASH".to_owned()));
    };
    let lock = match SessionLock::take(&own.key, None) {
        Ok(lock) => lock,
        Err(lock::SessionLockError::Held(holder)) => return Err(NotAsked::Held(holder)),
        Err(error) => {
            return Err(NotAsked::Why(format!(
                "{error}; without the lock another process might use the session too"
            )));
        }
    };
    if context.offline {
        return Err(NotAsked::Why("--offline".to_owned()));
    }
    // A request before the end of a FLOOD_WAIT extends the wait.
    if let Some(left) = FloodWaits::new(&settings.state_dir).left(&own.fingerprint(), SystemTime::now()) {
        return Err(NotAsked::Why(format!("Telegram asks to wait {} s more", left.as_secs() + 1)));
    }
    let proxies = ProxyList::new(telegram.proxies.clone());
    let app = App { api_id, api_hash: Secret::new(api_hash.expose().clone()), device: "tgs-diag", proxies };
    let (client, me) = TelegramClient::connect(app, own, &out.cancel).map_err(NotAsked::Refused)?;
    Ok((client, me, lock))
}

/// Checks that both sessions are of one account; `None` if an account is unknown.
pub(crate) fn same_account(own: Option<&SelfUser>, standby: Option<&SelfUser>) -> Option<Finding> {
    let (own, standby) = own.zip(standby).filter(|(own, standby)| own.id != standby.id)?;
    let text = format!(
        "the standby session is of another account, {standby}, and cannot approve a session of {own}"
    );
    Some(Finding::fail("standby-account", text, settings::standby()))
}

fn unseen(out: &CheckSink, checks: &[&'static str], why: &str) {
    out.say_all(checks.iter().map(|check| Finding::unseen(check, why)));
}

/// Converts a Telegram error to a finding. `remedy` applies to errors without their own remedy.
fn judge(check: &'static str, error: &TelegramError, remedy: &str) -> Finding {
    let text = format!("failed to {error}");
    match error.class {
        ErrorClass::Flood => {
            let wait = error.wait.unwrap_or(Duration::from_secs(30)).as_secs();
            Finding::warn(check, text).with_remedy(format!("wait {wait} s before you run tgs-diag again"))
        }
        ErrorClass::Stopped => Finding::fail(
            check,
            "Telegram did not answer in time",
            "check that this machine reaches Telegram (port 443)",
        ),
        // The primary and the standby session are renewed by different commands.
        ErrorClass::Session => Finding::fail(check, text, remedy),
        _ if error.remedy().is_empty() => Finding::fail(check, text, remedy),
        _ => Finding::fail(check, text, error.remedy().into_owned()),
    }
}

fn rights(may_broadcast: bool, refused: Option<&TelegramError>) -> Finding {
    let remedy = "make the account an administrator of the chat with the right to manage video chats";
    match refused {
        None if may_broadcast => Finding::pass("rights", "the account may broadcast there"),
        None => Finding::pass(
            "rights",
            "Telegram gives the account the stream key, though it is no administrator",
        ),
        Some(error) => judge("rights", error, remedy),
    }
}

fn call(live: &GroupCallState) -> Finding {
    let remedy = "end it in Telegram, or wait for its end";
    let failed = |error: TelegramError| Finding::fail("call", error.meaning(), remedy);
    match live {
        GroupCallState::Rtmp { .. } => Finding::pass("call", "a live stream is on"),
        GroupCallState::Absent => Finding::pass("call", "no live stream is on; tgs-stream starts one"),
        GroupCallState::VideoChat => failed(TelegramError::video_chat()),
        GroupCallState::Scheduled { is_rtmp: true, .. } => {
            Finding::pass("call", "a live stream is scheduled; tgs-stream starts it when it is due")
        }
        GroupCallState::Scheduled { .. } => failed(TelegramError::scheduled()),
    }
}

fn clock(offset: i64) -> Finding {
    let side = if offset > 0 { "ahead of" } else { "behind" };
    let text = format!("this machine's clock is {} s {side} Telegram's", offset.unsigned_abs());
    let remedy = "timedatectl set-ntp true, or set the clock";
    match offset.unsigned_abs() {
        0..CLOCK_ODD => Finding::pass("clock", "this machine's clock agrees with Telegram's"),
        CLOCK_ODD..CLOCK_WRONG => Finding::warn("clock", text).with_remedy(remedy),
        CLOCK_WRONG.. => Finding::fail("clock", text, remedy),
    }
}

fn age(sessions: &[ActiveSession], now: SystemTime) -> Finding {
    let others = sessions.iter().filter(|session| !session.current).count();
    let others = format!("the account has {others} other sessions (tgs-session --show lists them)");
    match sessions.iter().find(|session| session.current) {
        Some(own) => {
            let days = now.duration_since(own.created).unwrap_or_default().as_secs() / 86_400;
            let made = moment(own.created);
            Finding::pass("session-age", format!("made {made}, {days} days ago; {others}"))
        }
        None => Finding::warn("session-age", format!("Telegram does not say when it was made; {others}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Level;

    #[test]
    fn clocks() {
        for (offset, level, words) in [
            (0, Level::Pass, "agrees"),
            (-4, Level::Pass, "agrees"),
            (5, Level::Warn, "5 s ahead of"),
            (-59, Level::Warn, "59 s behind"),
            (3600, Level::Fail, "3600 s ahead of"),
        ] {
            let found = clock(offset);
            assert!(found.level == level && found.text.contains(words), "{found:?}");
        }
    }

    #[test]
    fn ages() {
        let session = |current| ActiveSession {
            app: String::new(),
            device: String::new(),
            country: String::new(),
            active: SystemTime::UNIX_EPOCH,
            created: SystemTime::UNIX_EPOCH,
            current,
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(50);
        assert_eq!(
            age(&[session(true), session(false)], now).text,
            "made 1970-01-01 00:00:00 UTC, 2 days ago; the account has 1 other sessions (tgs-session --show lists them)"
        );
        assert_eq!(age(&[], now).level, Level::Warn);
    }
}
