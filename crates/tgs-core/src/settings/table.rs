//! The table of all settings and `.env.template`, which is generated from it.

/// A row of the table.
#[derive(Debug)]
pub struct Setting {
    /// The variable's name.
    pub name: &'static str,
    /// How the template shows the value.
    pub shown: Visibility,
    /// Whether logs and messages must not show the value.
    pub secret: bool,
    /// The description, in lines of at most 110 characters.
    pub help: &'static str,
}

/// How the template shows a setting's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// The default value.
    Default(&'static str),
    /// An example; the setting is unset by default.
    Example(&'static str),
}

const fn row(name: &'static str, shown: Visibility, help: &'static str) -> Setting {
    Setting { name, shown, secret: false, help }
}

const fn secret(name: &'static str, shown: Visibility, help: &'static str) -> Setting {
    Setting { name, shown, secret: true, help }
}

use Visibility::{Default as Is, Example};

/// Former and current names of renamed settings. Former names are still read, with a warning.
pub(super) const RENAMED: &[(&str, &str)] = &[("COPY_MATCHING", "PASSTHROUGH")];

/// All settings, in the order of the template.
pub const TABLE: &[Setting] = &[
    row("API_ID", Example("1234567"), "The application's number at Telegram, from https://my.telegram.org."),
    secret("API_HASH", Example("0123456789abcdef0123456789abcdef"), "The secret of the application API_ID."),
    secret(
        "SESSION_STRING",
        Example("1ApWapzMBu..."),
        "A signed-in Telegram session; tgs-session --write-env creates it. Strings of Telethon, GramJS and\n\
         Pyrogram work too. Telegram ends a session for good if two processes use it at once.",
    ),
    row(
        "CHAT_ID",
        Example("-1001234567890"),
        "The channel or group of the broadcast: a number, -100…, or @name. tgs-session --list-dialogs lists them.",
    ),
    row("CALL_TITLE", Example("Round the clock"), "The title of a live stream that tgs-stream starts."),
    row(
        "SESSION_REGEN",
        Is("loop"),
        "What to do about a dead session: loop (every 60 s try the string in .env, then sign in with the standby\n\
         session), once (one attempt, then exit), or off (only try the string in .env).",
    ),
    row(
        "ON_SESSION_LOSS",
        Is("keep"),
        "What to do with the broadcast when its session dies: keep (continue; it needs no session) or stop.",
    ),
    secret(
        "STANDBY_SESSION_STRING",
        Example("1BJWap1wBu..."),
        "A second session of the same account, used only to sign in again; tgs-session --standby creates it.",
    ),
    secret(
        "TWO_FA_PASSWORD",
        Example("correct horse"),
        "The account's password (two-step verification), needed to sign in again.",
    ),
    row("PHONE", Example("+491701234567"), "The account's phone number, for tgs-session."),
    secret(
        "OUTPUT_URL",
        Example("rtmps://live.example.org:443/app/KEY"),
        "The output: rtmp:// or rtmps:// with the stream key, or a .flv file. --output takes precedence.",
    ),
    row(
        "PLAYLIST",
        Is("playlist.txt"),
        "The playlist: one file, folder, playlist or URL per line. --playlist takes precedence.",
    ),
    row("LOOP", Is("1"), "Repeat the playlist: 1 or 0."),
    row("SHUFFLE", Is("0"), "Play each round in a new random order: 1 or 0."),
    row("VIDEO_QUALITY", Is("720p"), "480p (900 kbit/s), 720p (1800 kbit/s) or 1080p (3500 kbit/s)."),
    row(
        "FILLER",
        Example("/srv/media/filler.mp4"),
        "A file to show while nothing can be played, instead of the built-in slate.",
    ),
    row(
        "FFMPEG_ARGS",
        Example("-preset fast -b:v 2500k"),
        "Additional output options for the encoder, separated by spaces; double quotes around values with spaces.\n\
         They are tried first: if they fail, a warning gives the reason and the stream starts without them.",
    ),
    row("FFMPEG_PATH", Is("ffmpeg"), "The ffmpeg program; ffprobe is expected in the same directory."),
    row("YTDLP_PATH", Is("yt-dlp"), "The yt-dlp program."),
    row(
        "YTDLP_ARGS",
        Example("--cookies /etc/tgs/cookies.txt"),
        "Additional options for yt-dlp, written as in FFMPEG_ARGS.",
    ),
    row(
        "READ_AHEAD",
        Is("4s"),
        "How far the encoder runs ahead of the viewer, from 3s to 30s: the longest stall without effect.",
    ),
    row(
        "PUBLISHER",
        Is("native"),
        "The RTMP client: native, or ffmpeg as a fallback (ps then shows the stream key, and a broken connection\n\
         does not resume where it stopped).",
    ),
    row("PROMETHEUS_HOST", Is("127.0.0.1"), "The address of /metrics, /healthz and /status."),
    row(
        "PROMETHEUS_PORT",
        Is("9090"),
        "The port of /metrics, or 0 for any free one. If it is taken, one of the next ten is used.",
    ),
    row(
        "METRICS_FILE",
        Example("/var/lib/node_exporter/textfile/tgs.prom"),
        "Also write the metrics to this file, for node_exporter's textfile collector. If unset, they are written to\n\
         STATE_DIR/metrics.prom, and only when no port is free.",
    ),
    row(
        "STATE_DIR",
        Example("/var/lib/tg_video_streamer"),
        "Directory for the position in the playlist and the as-run log. Default: systemd's $STATE_DIRECTORY; for the\n\
         .env of a service, the directory of that service; else $XDG_STATE_HOME/tgs or ~/.local/state/tgs.",
    ),
    row(
        "CONTROL_SOCKET",
        Example("/run/tg_video_streamer/control.sock"),
        "The socket by which tgs-ctl and tgs-web steer the broadcast. Default: control.sock in systemd's\n\
         $RUNTIME_DIRECTORY, else in STATE_DIR. At another path, both find it by --socket only.",
    ),
    row(
        "PAUSE_MAX",
        Is("1h"),
        "The longest pause, from 1s to 168h: a pause that nobody ends is ended by itself, with a warning.",
    ),
    row(
        "CACHE_DIR",
        Example("/var/cache/tg_video_streamer"),
        "Directory for re-creatable data (the encode cache). Default: systemd's $CACHE_DIRECTORY; for the .env of a\n\
         service, the directory of that service; else $XDG_CACHE_HOME/tgs or ~/.cache/tgs.",
    ),
    row(
        "CACHE_MAX_GB",
        Is("20"),
        "Size limit of the encode cache in GB; 0 disables it. The items played longest ago are deleted first. An hour\n\
         of broadcast takes 0.9 GB at 720p, 0.5 at 480p and 1.6 at 1080p.",
    ),
    row(
        "CACHE_AHEAD",
        Is("0"),
        "Encode coming items into the cache while the broadcast has enough read-ahead: 1 or 0. For machines that\n\
         encode some items slower than real time. Needs the memory of a second encoder.",
    ),
    row(
        "PASSTHROUGH",
        Is("0"),
        "Send items as they are if they are H.264 and AAC in the broadcast's own size, frame rate and sound format:\n\
         1 or 0. Saves encoding, but the stream's headers change at such items, which some players cannot handle.\n\
         Not with FFMPEG_ARGS or PUBLISHER=ffmpeg. Items with too few keyframes are encoded nevertheless.",
    ),
    row(
        "IMAGE_DURATION",
        Is("10s"),
        "How long a picture in the playlist (jpg, png, webp, …) is shown, from 1s to 1h.",
    ),
    row(
        "AS_RUN_KEEP",
        Is("400d"),
        "How long the as-run log in STATE_DIR (what was on air, and when) is kept, from 1d to 3650d.",
    ),
    row(
        "RUST_LOG",
        Is("info"),
        "The log level: error, warn, info, debug or trace, also per module: warn,tgs_playout=debug.",
    ),
];

/// The content of `.env.template`.
#[must_use]
pub fn template() -> String {
    let mut text = String::from(
        "# The settings of the tgs tools. Copy this file to .env, make it readable only by you (chmod 600), and\n\
         # remove the # of each setting you change. Commented lines show the default, or an example where noted.\n\
         #\n\
         # NAME=value. Write a value with spaces as '…'; one with ' or \\ as \"…\" with \\ before each \\, \" and $.\n\
         # A comment has a line of its own. An empty value counts as unset. Durations have a unit: 500ms, 10s, 2m, 1h, 7d.\n",
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

/// Returns the default of a setting, or an empty string.
pub(super) fn default(name: &str) -> &'static str {
    let shown = TABLE.iter().find(|setting| setting.name == name).map(|setting| setting.shown);
    if let Some(Is(value)) = shown { value } else { "" }
}

/// Returns the setting of which `name` is a likely misspelling.
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
