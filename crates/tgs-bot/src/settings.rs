//! The settings of the bot.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
};

use jiff::civil::Time;
use tgs_core::{
    proxy::{ProxyList, parse_proxies},
    secret::Secret,
    settings::{OwnTable, OwnValues, Setting, SettingsFaults, Visibility},
};

use crate::{
    access::BotAccess,
    media_dir::MediaDir,
    quiet_hours::{QuietHours, time_of_day},
    webhook::WebhookTarget,
};

/// The settings file of the unit.
pub const FILE: &str = "/opt/tg_video_streamer/shared/bot.env";

/// Most users in one setting.
const MOST_USERS: usize = 100;

const fn row(name: &'static str, shown: Visibility, help: &'static str) -> Setting {
    Setting { name, shown, secret: false, help }
}

const fn secret(name: &'static str, shown: Visibility, help: &'static str) -> Setting {
    Setting { name, shown, secret: true, help }
}

/// All settings of the bot.
pub const TABLE: &[Setting] = &[
    row(
        "API_ID",
        Visibility::Example("1234567"),
        "The application's number at Telegram, from https://my.telegram.org.",
    ),
    secret(
        "API_HASH",
        Visibility::Example("0123456789abcdef0123456789abcdef"),
        "The secret of the application API_ID.",
    ),
    secret(
        "BOT_TOKEN",
        Visibility::Example("1234567890:AAE..."),
        "The token of the bot, from @BotFather. A bot of its own: no other program may receive its updates.",
    ),
    secret(
        "TELEGRAM_PROXY",
        Visibility::Example("socks5://user:password@proxy.example.org:1080"),
        "Proxies to Telegram, as in the .env of a broadcast: docs/guide/proxies.md.",
    ),
    row(
        "BOT_ADMINS",
        Visibility::Example("123456789,987654321"),
        "The user IDs of those who may steer, separated by commas. The bot answers /start with the sender's ID.",
    ),
    row("BOT_VIEWERS", Visibility::Example("192837465"), "The user IDs of those who may look."),
    row(
        "BOT_QUIET",
        Visibility::Example("23:00-07:00"),
        "When the bot tells only what cannot wait, by the machine's clock; the rest follows at the end.",
    ),
    row(
        "BOT_DIGEST",
        Visibility::Example("09:00"),
        "When the bot tells the administrators of the last 24 hours, each day by the machine's clock.",
    ),
    row(
        "BOT_MEDIA_DIR",
        Visibility::Example("/var/lib/tgs-bot-media"),
        "Where films and sound that administrators send to the bot are kept until they have played; without it none are taken.",
    ),
    row(
        "BOT_MEDIA_MAX_GB",
        Visibility::Default("10"),
        "The most that is kept there. The disk keeps at least 1 GiB free in any case.",
    ),
    secret(
        "NOTIFY_WEBHOOK",
        Visibility::Example("https://example.org/hook"),
        "A URL that gets each incident as JSON by POST; also without BOT_TOKEN, and then without a bot.",
    ),
    secret(
        "NOTIFY_SECRET",
        Visibility::Example("at least 16 characters"),
        "Signs the requests: X-Tgs-Signature is sha256= and the HMAC of the body in hexadecimal.",
    ),
    row("RUST_LOG", Visibility::Default("info"), "The log level, as for the other tools."),
];

/// The bot account.
#[derive(Debug, Clone)]
pub struct BotAccount {
    /// `API_ID`
    pub api_id: i32,
    /// `API_HASH`
    pub api_hash: Secret<String>,
    /// `BOT_TOKEN`
    pub token: Secret<String>,
    /// The user ID of the bot, with which its token begins.
    pub bot_id: i64,
    /// `TELEGRAM_PROXY`; empty for direct connections.
    pub proxies: ProxyList,
}

/// The settings of one run.
#[derive(Debug, Clone)]
pub struct BotSettings {
    /// `None` without `BOT_TOKEN`, where `NOTIFY_WEBHOOK` is set.
    pub account: Option<BotAccount>,
    /// `NOTIFY_WEBHOOK` and `NOTIFY_SECRET`
    pub(crate) webhook: Option<WebhookTarget>,
    /// `BOT_QUIET`
    pub(crate) quiet: Option<QuietHours>,
    /// `BOT_DIGEST`
    pub(crate) digest: Option<Time>,
    /// `BOT_MEDIA_DIR` and `BOT_MEDIA_MAX_GB`
    pub(crate) media: Option<MediaDir>,
    /// `BOT_ADMINS` and `BOT_VIEWERS`
    pub(crate) access: BotAccess,
    /// `RUST_LOG`
    pub rust_log: String,
    /// The files that `NAME_FILE` of secrets name.
    pub(crate) secret_files: Vec<PathBuf>,
    /// Warnings for the operator, to be logged once logging has started.
    pub warnings: Vec<String>,
}

impl BotSettings {
    /// Loads the settings from `env_file` (else from [`FILE`], if it exists) and the environment
    /// `env` (`&|name| std::env::var_os(name)`).
    pub fn load(
        env_file: Option<&Path>,
        env: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, SettingsFaults> {
        let own = OwnTable { tool: "tgs-bot", table: TABLE, file: FILE };
        let mut values = OwnValues::read(own, env_file, env);
        let quiet = values.get("BOT_QUIET", QuietHours::parse);
        let digest = values.get("BOT_DIGEST", |value| {
            time_of_day(value).ok_or_else(|| "must be a time of the day, as in 09:00".to_owned())
        });
        let most = values.get("BOT_MEDIA_MAX_GB", gigabytes).unwrap_or_default();
        let media = values.get("BOT_MEDIA_DIR", directory).map(|dir| MediaDir::new(dir, most));
        let url = values.get("NOTIFY_WEBHOOK", url);
        let signed = values.get("NOTIFY_SECRET", signing_secret);
        let token = match url {
            Some(_) => values.get("BOT_TOKEN", token),
            None => values.required("BOT_TOKEN", token),
        };
        let account = token.and_then(|(bot_id, token)| {
            let (api_id, api_hash) = (values.required("API_ID", number), values.required("API_HASH", hash));
            let proxies = values.get("TELEGRAM_PROXY", |value| Ok(parse_proxies(value)?)).unwrap_or_default();
            let proxies = ProxyList::new(proxies);
            Some(BotAccount { api_id: api_id?, api_hash: api_hash?, token, bot_id, proxies })
        });
        let admins = values.get("BOT_ADMINS", users).unwrap_or_default();
        let viewers = values.get("BOT_VIEWERS", users).unwrap_or_default();
        let rust_log = values.get("RUST_LOG", |value| Ok(value.to_owned())).unwrap_or_default();
        if admins.is_empty() && viewers.is_empty() && account.is_some() && values.faults.is_empty() {
            values.warnings.push(
                "neither BOT_ADMINS nor BOT_VIEWERS is set: the bot only answers /start, with the sender's ID"
                    .to_owned(),
            );
        }
        let access = BotAccess { admins, viewers };
        let webhook = url.map(|url| WebhookTarget { url, secret: signed });
        let OwnValues { faults, warnings, secret_files, .. } = values;
        if faults.is_empty() {
            Ok(Self { account, webhook, quiet, digest, media, access, rust_log, secret_files, warnings })
        } else {
            Err(SettingsFaults(faults))
        }
    }
}

fn directory(value: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(value);
    let fits = path.is_absolute() && !value.contains(char::is_control);
    if fits { Ok(path) } else { Err("must be an absolute path".to_owned()) }
}

fn gigabytes(value: &str) -> Result<u64, String> {
    let number: Option<f64> = value.parse().ok().filter(|number| (0.0..=1e6).contains(number));
    number
        .map(|number| (number * 1e9) as u64)
        .ok_or_else(|| "must be a number of GB from 0 to 1000000, as 20 or 0.5".to_owned())
}

fn url(value: &str) -> Result<Secret<String>, String> {
    let rest = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(Secret::new(value.to_owned()))
        }
        _ => Err("must be a whole address, as in https://example.org/hook".to_owned()),
    }
}

fn signing_secret(value: &str) -> Result<Secret<String>, String> {
    if value.chars().count() >= 16 {
        Ok(Secret::new(value.to_owned()))
    } else {
        Err("must have at least 16 characters: openssl rand -hex 16".to_owned())
    }
}

fn number(value: &str) -> Result<i32, String> {
    let number = value.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "must be a number, as https://my.telegram.org shows it".to_owned())
}

fn hash(value: &str) -> Result<Secret<String>, String> {
    if value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(Secret::new(value.to_owned()))
    } else {
        Err("must have 32 hexadecimal digits, as https://my.telegram.org shows it".to_owned())
    }
}

/// The bot's user ID and its token: `ID:SECRET`.
fn token(value: &str) -> Result<(i64, Secret<String>), String> {
    let parts = value.split_once(':').filter(|(_, secret)| {
        secret.len() >= 20 && secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    });
    let id = parts.and_then(|(id, _)| id.parse().ok()).filter(|id| *id > 0);
    id.map(|id| (id, Secret::new(value.to_owned()))).ok_or_else(|| {
        "must be a number, a colon and at least 20 letters and digits, as @BotFather shows it".to_owned()
    })
}

fn users(value: &str) -> Result<BTreeSet<i64>, String> {
    let parts = value.split([',', ' ']).filter(|part| !part.is_empty());
    let ids: Result<BTreeSet<i64>, String> = parts
        .map(|part| {
            part.parse().ok().filter(|id| *id > 0).ok_or_else(|| {
                "must be numbers separated by commas, no @names, which change hands; /start shows the number"
                    .to_owned()
            })
        })
        .collect();
    ids.and_then(|ids| {
        if ids.len() <= MOST_USERS { Ok(ids) } else { Err(format!("has more than {MOST_USERS} users")) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::BotRole;

    const GOOD: &str = "API_ID=12345\nAPI_HASH=0123456789abcdef0123456789abcdef\n\
                        BOT_TOKEN=77:AAtestdc0123456789abcdefghijklmnopq\n";

    fn load(text: &str) -> Result<BotSettings, SettingsFaults> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bot.env");
        std::fs::write(&file, text).unwrap();
        BotSettings::load(Some(&file), &|_| None)
    }

    #[test]
    fn users_have_the_highest_of_their_roles() {
        let settings = load(&format!("{GOOD}BOT_ADMINS=5,6\nBOT_VIEWERS='6 7'\n")).unwrap();
        assert_eq!(settings.account.unwrap().bot_id, 77);
        let roles = [5, 6, 7, 8].map(|id| settings.access.role(id));
        assert_eq!(roles, [BotRole::Admin, BotRole::Admin, BotRole::Viewer, BotRole::Stranger]);
        assert!(settings.warnings.is_empty());
        assert_eq!(load(GOOD).unwrap().warnings.len(), 1);
    }

    #[test]
    fn every_fault_is_named_without_a_secret() {
        let text = "API_ID=5\nAPI_HASH=hidden\nNOTIFY_WEBHOOK=hidden\nNOTIFY_SECRET=hidden\n";
        let faults = load(text).unwrap_err().to_string();
        assert!(faults.contains("NOTIFY_WEBHOOK must") && faults.contains("NOTIFY_SECRET must"), "{faults}");
        assert!(!faults.contains("hidden"), "{faults}");
        for (line, fault) in [
            ("BOT_DIGEST=9", "BOT_DIGEST must be a time"),
            ("BOT_MEDIA_DIR=media", "BOT_MEDIA_DIR must be an absolute"),
            ("BOT_MEDIA_MAX_GB=many", "BOT_MEDIA_MAX_GB must be a number of GB"),
        ] {
            let faults = load(&format!("{GOOD}{line}\n")).unwrap_err().to_string();
            assert!(faults.contains(fault), "{faults}");
        }
        let text = "NOTIFY_WEBHOOK=https://h/hidden\nNOTIFY_SECRET=0123456789abcdef\n";
        assert!(load(text).unwrap().account.is_none());
        let text = "API_ID=x\nAPI_HASH=hidden\nBOT_TOKEN=5:hidden0123456789hidden\nBOT_ADMINS=@anna\nBOT_VIEWERS=-5\n";
        let faults = load(text).unwrap_err().to_string();
        for name in ["line 1: API_ID", "line 2: API_HASH", "BOT_ADMINS", "BOT_VIEWERS"] {
            assert!(faults.contains(name), "{faults}");
        }
        assert!(!faults.contains("hidden"), "{faults}");
        let faults = load("").unwrap_err().to_string();
        assert!(faults.contains("BOT_TOKEN is not set"), "{faults}");
        assert!(!format!("{:?}", load(GOOD).unwrap()).contains("AAtest"));
    }
}
