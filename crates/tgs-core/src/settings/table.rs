//! The table of all settings, from which `.env.template` is made. Knows no value of a run.

/// One line of the table.
#[derive(Debug)]
pub struct Setting {
    /// The variable's name.
    pub name: &'static str,
    /// What the template shows as its value.
    pub shown: Shown,
    /// Whether the value may be shown to nobody.
    pub secret: bool,
    /// What it is for, in lines of at most 110 characters.
    pub help: &'static str,
}

/// The value of a setting in the template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// What holds where nothing is set.
    Default(&'static str),
    /// Unset by default; this is how a value looks.
    Example(&'static str),
}

const fn row(name: &'static str, shown: Shown, help: &'static str) -> Setting {
    Setting { name, shown, secret: false, help }
}

const fn secret(name: &'static str, shown: Shown, help: &'static str) -> Setting {
    Setting { name, shown, secret: true, help }
}

use Shown::{Default as Is, Example};

/// Renamed settings, the former name first: still read, with a warning.
pub(super) const RENAMED: &[(&str, &str)] = &[("COPY_MATCHING", "PASSTHROUGH")];

/// Every setting, in the template's order.
pub const TABLE: &[Setting] = &[
    row(
        "API_ID",
        Example("1234567"),
        "The number of your application at Telegram, from https://my.telegram.org.",
    ),
    secret("API_HASH", Example("0123456789abcdef0123456789abcdef"), "The secret that belongs to API_ID."),
    secret(
        "SESSION_STRING",
        Example("1ApWapzMBu..."),
        "A signed-in Telegram session; tgs-session --write-env makes it. Strings of Telethon, GramJS and Pyrogram are read\n\
         too. One session is for one program: used in two places at once, Telegram ends it for good.",
    ),
    row(
        "CHAT_ID",
        Example("-1001234567890"),
        "The channel or group to broadcast into: a number, -100…, or @name. tgs-session --list-dialogs shows them.",
    ),
    row(
        "CALL_TITLE",
        Example("Round the clock"),
        "The title of the live stream, where one has to be started.",
    ),
    row(
        "SESSION_REGEN",
        Is("loop"),
        "What happens once the session is dead: loop (every 60 s the string in .env is tried, then the standby session\n\
         signs in anew), once (one attempt, then exit), or off (only the string in .env is tried again).",
    ),
    row(
        "ON_SESSION_LOSS",
        Is("keep"),
        "What happens to the broadcast when the session dies on air: keep (it goes on; it needs no session) or stop.",
    ),
    secret(
        "STANDBY_SESSION_STRING",
        Example("1BJWap1wBu..."),
        "A second session of the same account, used for nothing but signing in again; tgs-session --standby makes it.",
    ),
    secret(
        "TWO_FA_PASSWORD",
        Example("correct horse"),
        "The account's password (two-step verification), for signing in again.",
    ),
    row("PHONE", Example("+491701234567"), "The account's phone number, for tgs-session."),
    secret(
        "OUTPUT_URL",
        Example("rtmps://live.example.org:443/app/KEY"),
        "Where the broadcast goes: rtmp:// or rtmps:// with the stream key, or a .flv file. --output comes first.",
    ),
    row(
        "PLAYLIST",
        Is("playlist.txt"),
        "The list to play, one file, folder, list or URL a line. --playlist comes first.",
    ),
    row("LOOP", Is("1"), "Whether the list begins again after its end: 1 or 0."),
    row("SHUFFLE", Is("0"), "Whether each round has an order of its own: 1 or 0."),
    row("VIDEO_QUALITY", Is("720p"), "480p (900 kbit/s), 720p (1800 kbit/s) or 1080p (3500 kbit/s)."),
    row(
        "FILLER",
        Example("/srv/media/filler.mp4"),
        "A file to show while nothing else can be played, in place of the built-in slate.",
    ),
    row(
        "FFMPEG_ARGS",
        Example("-preset fast -b:v 2500k"),
        "More output options for the encoder, separated by spaces; double quotes around a value with spaces.\n\
         They are tried first: where they do not work, a warning says why and the stream starts without them.",
    ),
    row("FFMPEG_PATH", Is("ffmpeg"), "The ffmpeg program; ffprobe is taken from beside it."),
    row("YTDLP_PATH", Is("yt-dlp"), "The yt-dlp program."),
    row(
        "YTDLP_ARGS",
        Example("--cookies /etc/tgs/cookies.txt"),
        "More options for yt-dlp, written as FFMPEG_ARGS are.",
    ),
    row(
        "READ_AHEAD",
        Is("4s"),
        "How much is encoded ahead of the viewer, from 3s to 30s: what a slow moment may take unnoticed.",
    ),
    row(
        "PUBLISHER",
        Is("native"),
        "Who speaks to the server: native, or ffmpeg as a way out (it shows the stream key to ps and\n\
         cannot resume where the connection broke).",
    ),
    row("PROMETHEUS_HOST", Is("127.0.0.1"), "The address at which /metrics, /healthz and /status answer."),
    row(
        "PROMETHEUS_PORT",
        Is("9090"),
        "Its port, or 0 for any free one; where it is taken, one of the next ten is used.",
    ),
    row(
        "METRICS_FILE",
        Example("/var/lib/node_exporter/textfile/tgs.prom"),
        "Write the metrics to this file too, for node_exporter's textfile collector.\n\
         Unset, that happens only if none of the ports is free, in STATE_DIR/metrics.prom.",
    ),
    row(
        "STATE_DIR",
        Example("/var/lib/tg_video_streamer"),
        "Where the position in the list is kept. By default systemd's $STATE_DIRECTORY, that of the service for its own\n\
         .env, else $XDG_STATE_HOME/tgs, else ~/.local/state/tgs.",
    ),
    row(
        "CACHE_DIR",
        Example("/var/cache/tg_video_streamer"),
        "Where what can be made again is kept. By default systemd's $CACHE_DIRECTORY, that of the service for its own\n\
         .env, else $XDG_CACHE_HOME/tgs, else ~/.cache/tgs.",
    ),
    row(
        "CACHE_MAX_GB",
        Is("20"),
        "How many GB of encoded items are kept there, so that none is encoded twice; 0 keeps none. What was played\n\
         longest ago goes first. A broadcast takes 0.9 GB an hour at 720p, 0.5 at 480p and 1.6 at 1080p.",
    ),
    row(
        "CACHE_AHEAD",
        Is("0"),
        "Whether coming items are encoded into the cache while the broadcast has all it wants: 1 or 0. For machines on\n\
         which some items encode slower than they play. It takes the memory of a second encoder.",
    ),
    row(
        "PASSTHROUGH",
        Is("0"),
        "Whether items that are H.264 and AAC of the broadcast's own size, frame rate and sound already are sent as they are:\n\
         1 or 0. It saves encoding them; but the stream's headers change at such items, which some players do not like. Not with\n\
         FFMPEG_ARGS or PUBLISHER=ffmpeg. Where keyframes come too seldom the item is encoded all the same.",
    ),
    row(
        "IMAGE_DURATION",
        Is("10s"),
        "How long a picture (jpg, png, webp, …) that is an entry of the list is shown, from 1s to 1h.",
    ),
    row(
        "RUST_LOG",
        Is("info"),
        "What is logged: error, warn, info, debug or trace, also by part: warn,tgs_playout=debug.",
    ),
];

/// `.env.template`, as it is made from [`TABLE`].
#[must_use]
pub fn template() -> String {
    let mut text = String::from(
        "# The settings of the tgs tools. Copy this to .env, keep that readable by you alone (chmod 600), and take the #\n\
         # from the front of what you set. What is commented out is the default, or an example where it says so.\n\
         #\n\
         # NAME=value. Put a value with spaces into '…'; one with ' or \\ into \"…\" with \\ before each \\, \" and $.\n\
         # A comment has a line of its own. An empty value is an unset one. Durations carry a unit: 500ms, 10s, 2m, 1h.\n",
    );
    for setting in TABLE {
        text.push('\n');
        for line in setting.help.lines() {
            text.extend(["# ", line, "\n"]);
        }
        if setting.secret {
            text.push_str("# Secret: appears in no log, message or metric.\n");
        }
        let name = setting.name;
        let quoted = |value: &str| if value.contains(' ') { format!("'{value}'") } else { value.to_owned() };
        let line = match setting.shown {
            Is(value) => format!("#{name}={}\n", quoted(value)),
            Example(value) => format!("# For example:\n#{name}={}\n", quoted(value)),
        };
        text.push_str(&line);
    }
    text
}

/// The default of a setting that has one.
pub(super) fn default(name: &str) -> &'static str {
    let shown = TABLE.iter().find(|setting| setting.name == name).map(|setting| setting.shown);
    if let Some(Is(value)) = shown { value } else { "" }
}

/// The setting that `name` comes close to without being one.
pub(super) fn misspelt(name: &str) -> Option<&'static str> {
    let upper = name.to_ascii_uppercase();
    let mut names = TABLE.iter().map(|setting| setting.name);
    if names.clone().any(|known| known == name) {
        return None;
    }
    names.find(|known| {
        let few = if known.len() < 8 { 1 } else { 2 };
        strsim::osa_distance(&upper, known) <= few
    })
}
