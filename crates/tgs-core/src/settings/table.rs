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
    row(
        "VIEWER_CHECK",
        Is("0"),
        "Ask Telegram twice a minute, as a viewer's app does, whether viewers get the stream: 1 or 0. The account joins its\n\
         live stream as a silent listener, and counts as a viewer. Not yet tried against Telegram itself.",
    ),
    row("PHONE", Example("+491701234567"), "The account's phone number, for tgs-session."),
    secret(
        "TELEGRAM_PROXY",
        Example("socks5://user:password@proxy.example.org:1080"),
        "Proxies to Telegram, separated by spaces and tried in turn: socks5://user:password@host:port,\n\
         http://user:password@host:port (CONNECT), mtproxy://host:port?secret=…, or links (tg://proxy?…,\n\
         https://t.me/proxy?…). Without OUTPUT_PROXY, the stream goes through its SOCKS5 and HTTP proxies too.",
    ),
    secret(
        "OUTPUT_URL",
        Example("rtmps://live.example.org:443/app/KEY"),
        "The output: rtmp:// or rtmps:// with the stream key, or a .flv file. --output takes precedence.",
    ),
    secret(
        "ALSO_OUTPUT_URLS",
        Example("youtube=rtmps://a.rtmps.youtube.com/live2/KEY second=rtmps://live.example.org/app/KEY"),
        "Further servers that receive the same broadcast, each as NAME=URL with its stream key; at most 16. The name\n\
         appears in status, log and metrics. See docs/guide/outputs.md.",
    ),
    secret(
        "ALSO_OUTPUT_PROXIES",
        Example("youtube=socks5://user:password@proxy.example.org:1080"),
        "Proxies of further outputs, each as NAME=PROXY with a name of ALSO_OUTPUT_URLS; an output with several tries\n\
         them in turn. Written as in TELEGRAM_PROXY (an MTProxy cannot carry a stream). An output that is not named\n\
         here connects directly.",
    ),
    secret(
        "OUTPUT_PROXY",
        Example("socks5://user:password@proxy.example.org:1080"),
        "Proxies of the stream itself, written as in TELEGRAM_PROXY (an MTProxy cannot carry it); or direct, for no\n\
         proxy. If unset, a stream into Telegram uses the SOCKS5 and HTTP proxies of TELEGRAM_PROXY, and OUTPUT_URL\n\
         none. Needs PUBLISHER=native.",
    ),
    row(
        "PLAYLIST",
        Is("playlist.txt"),
        "The playlist: one file, folder, playlist or URL per line. --playlist takes precedence.",
    ),
    row("LOOP", Is("1"), "Repeat the playlist: 1 or 0."),
    row("SHUFFLE", Is("0"), "Play each round in a new random order: 1 or 0."),
    row(
        "SEPARATE",
        Example("artist:3,folder"),
        "With SHUFFLE=1: do not play the same artist, folder or category again within so many items (1 without a\n\
         number), as far as the list permits.",
    ),
    row(
        "VIDEO_QUALITY",
        Is("720p"),
        "Size and frame rate: 360p, 480p, 720p or 1080p with 30 frames per second; 720p25, 720p50, 1080p60 and so on\n\
         name another rate (25, 30, 50 or 60). Choose the rate of most of your material.",
    ),
    row(
        "VIDEO_BITRATE",
        Example("2500k"),
        "Bitrate of the picture, from 200k to 20M. Default: 600k for 360p, 900k for 480p, 1800k for 720p, 3500k for\n\
         1080p; half as much again with 50 or 60 frames per second.",
    ),
    row(
        "SPEED_UP_FILM",
        Is("0"),
        "Play film of 24 frames per second 4 % faster, as television with 25 does, on a channel with 25 or 50: 1 or 0.\n\
         Without it, each second one frame is shown twice. The pitch of the sound stays.",
    ),
    row(
        "BACKGROUND",
        Is("black"),
        "What surrounds a picture that is not 16:9: black, or blur (a blurred copy of the picture).",
    ),
    row(
        "AUDIO_PICTURE",
        Is("cover"),
        "What is shown for sound without a picture: slate (the title), cover (the cover art in the file or beside it,\n\
         with title and artist; without one, the slate), or spectrum (the same, with moving bars).",
    ),
    row(
        "FILLER",
        Example("/srv/media/filler.mp4"),
        "A file to show while nothing can be played, instead of the built-in slate; or a folder, whose first 20 files\n\
         (10 minutes at most) are shown in turn.",
    ),
    row(
        "LOGO",
        Example("/srv/media/logo.png"),
        "A picture to lay over each item: PNG, WebP, GIF, APNG, or a clip of at most a minute, which repeats. Changes\n\
         of the file have an effect at the next start. Hidden for a list entry with #TGS:logo=off and for a folder\n\
         that holds a file .nologo.",
    ),
    row(
        "LOGO_POSITION",
        Is("top-right"),
        "The logo's corner: top-left, top-right, bottom-left or bottom-right.",
    ),
    row("LOGO_HEIGHT", Is("10"), "The logo's height in percent of the picture's height, from 1 to 100."),
    row(
        "LOGO_OPACITY",
        Is("1"),
        "The logo's opacity, from 0.01 to 1, or from 1% to 100%; 1 shows it as it is.",
    ),
    row(
        "LOGO_MARGIN",
        Is("4"),
        "The logo's distance to the edges in percent of the picture's height, from 0 to 40.",
    ),
    row(
        "NOW_PLAYING",
        Is("off"),
        "Where the names of the item on air are shown: off, title (of the live stream in Telegram, which changes at\n\
         most every 30 s), overlay (over the picture, at the beginning of the item) or both.",
    ),
    row("NOW_PLAYING_FOR", Is("8s"), "How long the overlay is shown, from 2s to 1m."),
    row(
        "NOW_PLAYING_TEXT",
        Is("{title} — {artist}"),
        "Their form: a text with {title} and {artist}, from the list, the tags of the file, the page, or the name of\n\
         the file. Without an artist, the text between both is left out.",
    ),
    row(
        "SUBTITLES",
        Is("off"),
        "Which subtitles to draw into the picture: off, forced (those of signs and foreign speech), or languages, the\n\
         preferred one first: ru,en. They are taken from local files, or from beside them: film.ru.srt, film.ass.",
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
        "SCHEDULE",
        Example("/srv/tv/timetable.toml"),
        "The timetable (TOML): slots that take the air from the playlist at their time. Its edits are followed. The\n\
         guide is docs/guide/timetable.md; tgs-stream --check --on 2026-12-31 shows the plan of a day.",
    ),
    row(
        "SCHEDULE_PREROLL",
        Is("1m"),
        "How long before its time a slot is prepared and its first item encoded, from 10s to 10m.",
    ),
    row(
        "SCHEDULE_RETURN",
        Is("resume"),
        "Where the playlist continues after a slot: resume (where the slot has cut it) or next (the next item).",
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
        "Send items as they are if they are H.264 and AAC in the broadcast's own size and frame rate: 1 or 0. The\n\
         sound is encoded, unless LOUDNESS=off, FADE=0ms and AUDIO_CHANNEL=both leave it as it is. Saves encoding,\n\
         but the stream's headers change at such items, which some players cannot handle.\n\
         Not with FFMPEG_ARGS or PUBLISHER=ffmpeg. Items with too few keyframes are encoded nevertheless.",
    ),
    row(
        "IMAGE_DURATION",
        Is("10s"),
        "How long a picture in the playlist (jpg, png, webp, …) is shown, from 1s to 1h.",
    ),
    row(
        "LOUDNESS",
        Is("-16"),
        "The loudness of every item in LUFS (EBU R 128), from -40 to -5, or off. A file is measured once, then plays\n\
         by one gain: at most +20 dB, none below -50 LUFS. See docs/guide/picture-and-sound.md.",
    ),
    row(
        "LOUDNESS_PEAK",
        Is("-1.5"),
        "With LOUDNESS: the highest true peak in dBTP, from -9 to 0. A limiter lowers peaks by at most 6 dB.",
    ),
    row(
        "AUDIO_LANGUAGE",
        Example("ru,en"),
        "Preferred languages of the sound, where a file has several: codes of ISO 639 or English names, at most 8. An\n\
         item's own languages in the playlist precede them.",
    ),
    row(
        "AUDIO_CHANNEL",
        Is("both"),
        "Which side of a stereo sound is heard on both: left or right, for files with a language on each side; or both.",
    ),
    row(
        "FADE",
        Is("10ms"),
        "Length of the fades of the sound at the beginning and end of each item, from 0ms to 5s. 10ms prevents clicks.",
    ),
    row(
        "AS_RUN_KEEP",
        Is("400d"),
        "How long the as-run log in STATE_DIR (what was on air, and when) is kept, from 1d to 3650d.",
    ),
    row(
        "RECORD_DIR",
        Example("/srv/recordings"),
        "Directory into which what is aired is recorded, as Matroska files, without encoding. Its parent must exist. See\n\
         docs/guide/recording.md.",
    ),
    row(
        "RECORD_SEGMENT",
        Is("1h"),
        "The time that a recorded file covers, from 1m to 24h, counted from local midnight: 1h begins a file each hour.",
    ),
    row("RECORD_KEEP", Is("30d"), "Recordings are deleted after this time, from 1h to 3650d."),
    row(
        "RECORD_MAX_GB",
        Is("0"),
        "Size limit of all recordings in GB; the oldest are deleted first. 0: no limit. An hour takes 0.9 GB at 720p,\n\
         0.5 at 480p and 1.6 at 1080p.",
    ),
    row(
        "LIVE_INPUT",
        Example("rtmps://0.0.0.0:1936/live"),
        "The address, port and application at which publishers (OBS, a phone) go live over the playlist: rtmp:// or\n\
         rtmps://. Needs LIVE_KEY or LIVE_KEYS_FILE. See docs/guide/live.md.",
    ),
    secret(
        "LIVE_KEY",
        Example("8f0c1e5b7a2d4c6e9b3f1a5d7c0e2b4d"),
        "The stream key of publishers: at least 16 letters, digits, - and _. openssl rand -hex 16 makes one.",
    ),
    row(
        "LIVE_KEYS_FILE",
        Example("/opt/tg_video_streamer/shared/live-keys"),
        "A file of mode 600 with more keys, one per line as NAME = KEY. The name appears in log and events. An edit\n\
         counts for the next publisher.",
    ),
    row(
        "LIVE_TLS_CERT",
        Example("/etc/tgs/fullchain.pem"),
        "The certificate of rtmps:// and its intermediates, in PEM. A renewed file is used without a restart.",
    ),
    row("LIVE_TLS_KEY", Example("/etc/tgs/privkey.pem"), "The key of LIVE_TLS_CERT, in PEM."),
    row(
        "LIVE_PLAIN",
        Is("0"),
        "Accept rtmp:// without TLS from other machines too: 1 or 0. The key then crosses the network readable.",
    ),
    row(
        "LIVE_START",
        Is("now"),
        "When a publisher is put on air: now, after (the item on air), or ask (tgs-ctl live take).",
    ),
    row(
        "LIVE_DELAY",
        Is("2s"),
        "How much of the live stream is held before viewers get it, from 2s to 30s: the longest stall without effect.\n\
         From 5s on its loudness is evened out as well.",
    ),
    row(
        "LIVE_GRACE",
        Is("10s"),
        "How long a publisher that has broken off may take to come back before the playlist resumes, from 1s to 10m.",
    ),
    row(
        "LIVE_OVER_SCHEDULE",
        Is("1"),
        "Whether a publisher stays on air when a slot of SCHEDULE with a hard start is due: 1 or 0.",
    ),
    row(
        "HA_ENDPOINTS",
        Example("https://10.0.0.1:2379,https://10.0.0.2:2379,https://10.0.0.3:2379"),
        "The addresses of etcd, for a hot standby: several hosts with the same HA_KEY, of which one publishes.",
    ),
    row(
        "HA_KEY",
        Example("/tgs/main"),
        "The keys in etcd: the same on all hosts of this broadcast, and of no other broadcast.",
    ),
    row(
        "HA_TTL",
        Is("5s"),
        "How long a host that has the air keeps it without an answer of etcd, in whole seconds from 3s to 60s.",
    ),
    row(
        "HA_PRIORITY",
        Is("0"),
        "Which standby takes over: the one with the highest number, from 0 to 1000. Nobody takes the air back.",
    ),
    row(
        "HA_WITHOUT_ETCD",
        Is("stop"),
        "What the host on air does when its lease has run out because it cannot reach etcd: stop, or stay on air.\n\
         With stay, two hosts may publish at once: a standby that reaches etcd takes over.",
    ),
    row(
        "HA_HOST",
        Example("studio-1"),
        "The name of this host among the others; by default the name of the machine.",
    ),
    row("HA_USER", Example("tgs"), "The user at etcd, where it asks for one."),
    secret("HA_PASSWORD", Example("correct horse"), "The password of HA_USER."),
    row(
        "HA_CA",
        Example("etcd/ca.pem"),
        "Who certifies etcd's certificates (PEM); by default the system's authorities.",
    ),
    row("HA_CERT", Example("etcd/client.pem"), "The client certificate for etcd (PEM)."),
    row("HA_CERT_KEY", Example("etcd/client-key.pem"), "The key of HA_CERT (PEM)."),
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
         # A comment has a line of its own. An empty value counts as unset. Durations have a unit: 500ms, 10s, 2m, 1h, 7d.\n\
         #\n\
         # The value of a secret can be in a file of its own: NAME_FILE=/path names it (docs/guide/containers.md).\n",
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
