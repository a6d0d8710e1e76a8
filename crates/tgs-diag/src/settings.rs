//! Checks the `.env` file and its values without network access.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use tgs_core::{
    process::user::User,
    remedy,
    settings::{self, Settings},
};
use tgs_telegram::session::string::{InvalidSessionString, SessionString};

use crate::{
    context::{DiagContext, EnvPath},
    finding::Finding,
    unit_properties::UnitProperties,
};

const MY_TELEGRAM: &str = "copy API_ID and API_HASH from https://my.telegram.org";

/// The remedy for the primary session.
pub(crate) fn sign_in() -> String {
    format!("run: {}", remedy::command("tgs-session --write-env"))
}

/// The remedy for the standby session.
pub(crate) fn standby() -> String {
    format!("run: {}", remedy::command("tgs-session --standby --write-env"))
}

fn chat_remedy() -> String {
    format!(
        "set CHAT_ID; this shows what the account sees: {}",
        remedy::command("tgs-session --list-dialogs")
    )
}

/// Ownership and permissions of the settings file.
#[derive(Debug)]
struct Access {
    /// The path, with symlinks resolved.
    path: String,
    mode: u32,
    uid: u32,
    owner: String,
    /// UID and name of the unit's user, if the unit reads the file.
    expected: Option<(u32, String)>,
    /// The effective UID of this process.
    me: u32,
}

/// Runs all checks of the settings.
pub(crate) fn look(context: &DiagContext) -> Vec<Finding> {
    let mut findings = file(context);
    findings.extend(lines(context));
    findings.extend(values(context));
    findings
}

fn file(context: &DiagContext) -> Vec<Finding> {
    let Some(EnvPath { path, .. }) = &context.env else {
        let text = "there is no .env here, and no installed one; only the environment is checked";
        let remedy = "copy .env.template to .env, chmod 600 it and fill it in; or name one with --env-file";
        return vec![Finding::fail("env-file", text, remedy)];
    };
    let shown = path.display();
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) => return vec![unreadable(&shown.to_string(), &error)],
    };
    let expected = context.unit.as_ref().ok().filter(|_| context.as_unit).and_then(|unit| {
        let user = unit.user()?.to_owned();
        Some((User::named(&user)?.uid, user))
    });
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
    let access = Access {
        path: target.display().to_string(),
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        owner: User::name_of(meta.uid()),
        expected,
        me: rustix::process::geteuid().as_raw(),
    };
    let how = if context.as_unit { format!(", as {} does", context.unit_name) } else { String::new() };
    let mut findings = vec![match &context.text {
        Ok(_) => Finding::pass("env-file", format!("{shown} is used{how}")),
        Err(error) => unreadable(&shown.to_string(), error),
    }];
    findings.extend([mode(&access), owner(&access)]);
    findings
}

/// The remedy for a missing settings file; an installed host has a template.
fn write_settings(path: &str) -> String {
    const TOP: &str = "/opt/tg_video_streamer";
    let template = format!("{TOP}/current/docs/examples/env.template");
    if !path.starts_with(TOP) || !Path::new(&template).exists() {
        return format!("copy .env.template to {path}, chmod 600 it and fill it in");
    }
    // Not through the release's symlink, which the command would replace.
    let file = if path == settings::INSTALLED { format!("{TOP}/shared/.env") } else { path.to_owned() };
    let file = shell_words::quote(&file);
    let copy = remedy::as_root(&format!("install -m 600 -o tgstream -g tgstream {template} {file}"));
    let edit = remedy::as_root(&format!("editor {file}"));
    format!("{copy} && {edit}")
}

fn unreadable(path: &str, error: &io::Error) -> Finding {
    let remedy = if error.kind() == io::ErrorKind::PermissionDenied {
        format!("run this as root: {}", remedy::as_root("tgs-diag"))
    } else {
        format!("{}; or name another file with --env-file", write_settings(path))
    };
    Finding::fail("env-file", format!("{path} cannot be read: {error}"), remedy)
}

fn mode(Access { path, mode, .. }: &Access) -> Finding {
    const OTHERS: u32 = 0o077;
    if mode & OTHERS == 0 {
        return Finding::pass("env-mode", format!("{path} has mode {mode:04o}"));
    }
    let text = format!("{path} has mode {mode:04o}: others than its owner can reach the secrets in it");
    Finding::fail("env-mode", text, remedy::as_root(&format!("chmod 600 {}", shell_words::quote(path))))
}

fn owner(access: &Access) -> Finding {
    let Access { path, uid, owner, expected, me, .. } = access;
    match expected {
        Some((wanted, _)) if wanted == uid => {
            Finding::pass("env-owner", format!("{path} belongs to {owner}, as which the unit runs"))
        }
        Some((_, user)) => Finding::fail(
            "env-owner",
            format!("{path} belongs to {owner}, but the unit runs as {user}"),
            remedy::as_root(&format!("chown {user}: {}", shell_words::quote(path))),
        ),
        None if uid == me => Finding::pass("env-owner", format!("{path} belongs to {owner}, who runs this")),
        None => Finding::warn(
            "env-owner",
            format!("{path} belongs to {owner}, and no unit says whether it should"),
        ),
    }
}

/// Reports misspelt names and lines that systemd parses differently.
fn lines(context: &DiagContext) -> Vec<Finding> {
    let Some(settings) = context.settings.as_ref().filter(|_| context.env.is_some() && context.text.is_ok())
    else {
        return Vec::new();
    };
    if settings.warnings.is_empty() {
        return vec![Finding::pass("env-lines", "every line is read by systemd as it is read here")];
    }
    settings.warnings.iter().map(|warning| Finding::warn("env-lines", warning)).collect()
}

/// The check that a problem belongs to, and its remedy.
fn place(problem: &str, file: &str) -> (&'static str, String) {
    let own = [
        ("API_ID", "api", MY_TELEGRAM.to_owned()),
        ("API_HASH", "api", MY_TELEGRAM.to_owned()),
        ("STANDBY_SESSION_STRING", "standby-form", standby()),
        ("SESSION_STRING", "session-form", sign_in()),
        ("CHAT_ID", "chat-id", chat_remedy()),
    ];
    let found = own.iter().find(|(name, ..)| problem.contains(name));
    let edit = || ("settings", format!("edit {file}; .env.template explains every setting"));
    found.map_or_else(edit, |(_, check, remedy)| (check, remedy.clone()))
}

fn values(context: &DiagContext) -> Vec<Finding> {
    let file = context.env_shown();
    let unread = format!("{file} cannot be read:");
    let problems = context.problems.0.iter().filter(|problem| !problem.starts_with(&unread));
    let wrong: Vec<Finding> = problems
        .map(|problem| {
            let (check, remedy) = place(problem, &file);
            Finding::fail(check, problem, remedy)
        })
        .collect();
    let mut findings: Vec<Finding> =
        wrong.iter().filter(|finding| finding.check == "settings").cloned().collect();
    if findings.is_empty() && context.env.is_some() && context.text.is_ok() {
        let count = context.text.as_ref().map_or(0, |(_, file)| file.entries.len());
        findings.push(Finding::pass("settings", format!("{count} are set, and all can be used")));
    }
    let Some(settings) = &context.settings else { return findings };
    let fixed = context.as_unit && context.unit.as_ref().is_ok_and(UnitProperties::has_fixed_port);
    if fixed && !settings.prometheus_port_given && context.text.is_ok() {
        let text = "PROMETHEUS_PORT is not set, and an instance takes no port but the one it is given";
        findings.push(Finding::fail(
            "settings",
            text,
            format!("set PROMETHEUS_PORT in {file} to a port of its own"),
        ));
    }
    for (check, judged) in [
        ("api", api(settings)),
        ("chat-id", chat(settings)),
        ("session-form", form(settings)),
        ("standby-form", standby_form(settings)),
    ] {
        let own: Vec<_> = wrong.iter().filter(|finding| finding.check == check).cloned().collect();
        if own.is_empty() { findings.push(judged) } else { findings.extend(own) }
    }
    findings
}

pub(crate) const NOT_NEEDED: &str = "not needed: OUTPUT_URL says where the broadcast goes";

fn api(settings: &Settings) -> Finding {
    let telegram = &settings.telegram;
    match (telegram.api_id, &telegram.api_hash) {
        (Some(_), Some(_)) => Finding::pass("api", "API_ID and API_HASH have the right form"),
        _ if settings.output_url.is_some() => Finding::pass("api", NOT_NEEDED),
        (None, None) => Finding::fail("api", "API_ID and API_HASH are not set", MY_TELEGRAM),
        (None, _) => Finding::fail("api", "API_ID is not set", MY_TELEGRAM),
        (_, None) => Finding::fail("api", "API_HASH is not set", MY_TELEGRAM),
    }
}

fn chat(settings: &Settings) -> Finding {
    match &settings.telegram.chat {
        Some(chat) => Finding::pass("chat-id", format!("CHAT_ID is {chat}")),
        None if settings.output_url.is_some() => Finding::pass("chat-id", NOT_NEEDED),
        None => Finding::fail("chat-id", "CHAT_ID is not set", chat_remedy()),
    }
}

/// Why a session string cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnusableSession {
    #[error(transparent)]
    Invalid(#[from] InvalidSessionString),
    #[error("belongs to a bot, and a bot cannot start a live stream")]
    Bot,
}

/// Decodes a session string and rejects bots; the error completes "SESSION_STRING …".
pub(crate) fn session(text: &str) -> Result<SessionString, UnusableSession> {
    let session = SessionString::decode(text)?;
    if session.is_bot == Some(true) {
        return Err(UnusableSession::Bot);
    }
    Ok(session)
}

fn described(session: &SessionString) -> String {
    let (form, dc, key) = (session.format.name(), session.dc, session.fingerprint());
    format!("can be read: {form}'s form, DC {dc}, key fingerprint {key}")
}

/// Which file holds the session in force, if it is mounted.
fn place_of(settings: &Settings) -> String {
    let Some(mounted) = &settings.telegram.mounted_session else { return String::new() };
    let (file, renewed) = (mounted.file.display(), mounted.renewed_file.display());
    if mounted.is_renewed {
        format!("; it is in {renewed}, renewed since {file} was written")
    } else {
        format!("; it is in {file}")
    }
}

fn form(settings: &Settings) -> Finding {
    let check = "session-form";
    match settings.telegram.session.as_ref().map(|text| session(text.expose())) {
        Some(Ok(session)) => {
            Finding::pass(check, format!("SESSION_STRING {}{}", described(&session), place_of(settings)))
        }
        Some(Err(refused)) => Finding::fail(check, format!("SESSION_STRING {refused}"), sign_in()),
        None if settings.output_url.is_some() => Finding::pass(check, NOT_NEEDED),
        None => Finding::fail(check, "SESSION_STRING is not set", sign_in()),
    }
}

fn standby_form(settings: &Settings) -> Finding {
    let (check, telegram) = ("standby-form", &settings.telegram);
    let own = telegram.session.as_ref().and_then(|text| session(text.expose()).ok());
    match telegram.standby.as_ref().map(|text| session(text.expose())) {
        Some(Ok(other)) if own.is_some_and(|own| own.key == other.key) => Finding::fail(
            check,
            "STANDBY_SESSION_STRING is the same session as SESSION_STRING, and dies with it",
            standby(),
        ),
        Some(Ok(other)) => Finding::pass(check, format!("STANDBY_SESSION_STRING {}", described(&other))),
        Some(Err(refused)) => Finding::fail(check, format!("STANDBY_SESSION_STRING {refused}"), standby()),
        None if settings.output_url.is_some() => Finding::pass(check, NOT_NEEDED),
        None => {
            Finding::warn(check, "there is no standby session: if the session dies, an operator must sign in")
                .with_remedy(standby())
        }
    }
}
