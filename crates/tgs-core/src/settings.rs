//! Every setting there is: one table, from which `.env.template` is made, and the values of one run.
//!
//! A value comes from the first of: the command line; a file named by `--env-file`; the environment; `./.env`; the
//! default. The named file comes before the environment because systemd's `EnvironmentFile=` puts there what the file
//! held when the unit started. An empty value is an unset one. What values mean for the broadcast is not known here.

use std::{
    ffi::OsString,
    fmt, io, mem,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{env_file, env_file::EnvFile, files, process, secret::Secret, units};

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
        "COPY_MATCHING",
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

/// Height and bitrate of the picture, `VIDEO_QUALITY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quality {
    /// `480p`
    P480,
    /// `720p`
    P720,
    /// `1080p`
    P1080,
}

/// Who speaks RTMP, `PUBLISHER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publisher {
    /// `native`: this program.
    Native,
    /// `ffmpeg`: a child process.
    Ffmpeg,
}

/// Which chat, `CHAT_ID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatId {
    /// A number: marked (-100…, or negative for a small group) or bare.
    Number(i64),
    /// A public name, without `@`.
    Name(String),
}

impl std::fmt::Display for ChatId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => write!(f, "@{name}"),
        }
    }
}

/// How a dead session is replaced, `SESSION_REGEN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Regen {
    /// `loop`: again and again, until one is good.
    Loop,
    /// `once`: one attempt, then the tool exits.
    Once,
    /// `off`: only `.env` is read again.
    Off,
}

/// What the death of the session on air does to the broadcast, `ON_SESSION_LOSS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLoss {
    /// `keep`: it goes on.
    Keep,
    /// `stop`: it ends.
    Stop,
}

/// The settings that only Telegram needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telegram {
    /// `API_ID`
    pub api_id: Option<i32>,
    /// `API_HASH`
    pub api_hash: Option<Secret<String>>,
    /// `SESSION_STRING`, unchecked: a malformed one is a dead one.
    pub session: Option<Secret<String>>,
    /// `CHAT_ID`
    pub chat: Option<ChatId>,
    /// `CALL_TITLE`
    pub call_title: Option<String>,
    /// `SESSION_REGEN`
    pub regen: Regen,
    /// `ON_SESSION_LOSS`
    pub on_loss: OnLoss,
    /// `STANDBY_SESSION_STRING`, unchecked.
    pub standby: Option<Secret<String>>,
    /// `TWO_FA_PASSWORD`
    pub password: Option<Secret<String>>,
    /// `PHONE`, as written.
    pub phone: Option<String>,
}

/// The settings of one run. [`Settings::load`] makes paths absolute, [`Settings::examine`] leaves them as written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct Settings {
    /// What Telegram needs.
    pub telegram: Telegram,
    /// `OUTPUT_URL`, unchecked.
    pub output_url: Option<Secret<String>>,
    /// `PLAYLIST`
    pub playlist: PathBuf,
    /// `LOOP`
    pub repeat: bool,
    /// `SHUFFLE`
    pub shuffle: bool,
    /// `VIDEO_QUALITY`
    pub quality: Quality,
    /// `FILLER`
    pub filler: Option<PathBuf>,
    /// `FFMPEG_ARGS`, unchecked: arguments that do not work are no reason not to start.
    pub ffmpeg_args: String,
    /// `FFMPEG_PATH`: a path, or a name to look up in PATH.
    pub ffmpeg_path: PathBuf,
    /// `YTDLP_PATH`: a path, or a name to look up in PATH.
    pub ytdlp_path: PathBuf,
    /// `YTDLP_ARGS`, one text; its quotes are closed.
    pub ytdlp_args: String,
    /// `READ_AHEAD`, 3 s to 30 s.
    pub read_ahead: Duration,
    /// `PUBLISHER`
    pub publisher: Publisher,
    /// `PROMETHEUS_HOST`
    pub prometheus_host: IpAddr,
    /// `PROMETHEUS_PORT`; 0 is any free port.
    pub prometheus_port: u16,
    /// Whether `PROMETHEUS_PORT` is set at all.
    pub prometheus_port_given: bool,
    /// `METRICS_FILE`
    pub metrics_file: Option<PathBuf>,
    /// `STATE_DIR`; need not exist yet.
    pub state_dir: PathBuf,
    /// `CACHE_DIR`; need not exist yet.
    pub cache_dir: PathBuf,
    /// `CACHE_MAX_GB`, in bytes; 0 for no cache.
    pub cache_limit: u64,
    /// `CACHE_AHEAD`
    pub cache_ahead: bool,
    /// `COPY_MATCHING`
    pub copy_matching: bool,
    /// `IMAGE_DURATION`, 1 s to 1 h.
    pub image_duration: Duration,
    /// `RUST_LOG`, unchecked.
    pub rust_log: String,
    /// What to tell the operator about the file, once the log is there.
    pub warnings: Vec<String>,
}

/// Where the settings of an installed broadcast are, seen from its tools.
pub const INSTALLED: &str = "/opt/tg_video_streamer/current/.env";

/// [`INSTALLED`], where there is one and no `.env` in the directory `dir`: for commands by hand, wherever they are typed.
/// What may not be looked at there is no `.env` of whoever types; what may not be looked at in the place of the installed
/// one is there.
#[must_use]
pub fn installed(dir: &Path) -> Option<PathBuf> {
    let here = dir.join(".env").try_exists().unwrap_or(false);
    (!here && Path::new(INSTALLED).try_exists().unwrap_or(true)).then(|| INSTALLED.into())
}

/// State and cache of the service whose settings are at `file`: those that its unit gives it, for commands by hand.
fn directories_of(file: &Path) -> Option<[PathBuf; 2]> {
    const NAME: &str = "tg_video_streamer";
    let file = std::fs::canonicalize(file).ok()?;
    let instance = match file.strip_prefix("/opt/tg_video_streamer").ok()?.to_str()? {
        "shared/.env" => String::new(),
        other => format!("@{}", other.strip_prefix("instances/")?.strip_suffix(".env")?),
    };
    Some([format!("/var/lib/{NAME}{instance}").into(), format!("/var/cache/{NAME}").into()])
}

/// Everything that is wrong with the settings, by name and line, never by value. The tool ends with
/// [`crate::exit::Code::Config`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("read the settings:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// The environment: the value of a variable, if it has one.
pub type Env<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

impl Settings {
    /// Reads the settings from the file `env_file` (else from `./.env`, where there is one), the environment `env`
    /// (`&|name| std::env::var_os(name)`), and the names and values given on the command line.
    pub fn load(
        env_file: Option<&Path>,
        env: &Env<'_>,
        overrides: &[(&'static str, &str)],
    ) -> Result<Self, Problems> {
        Self::load_in(Path::new(""), env_file, env, overrides)
    }

    /// What can be used of the settings, with the default in the place of a value that is wrong, and everything that is
    /// wrong: for a tool that says so and looks at the rest. There are none only where STATE_DIR or CACHE_DIR is unknown.
    #[must_use]
    pub fn examine(
        env_file: Option<&Path>,
        env: &Env<'_>,
        overrides: &[(&'static str, &str)],
    ) -> (Option<Self>, Problems) {
        let mut reader = Reader::of(Path::new(""), env_file, env, overrides);
        let settings = reader.settings();
        let settings = settings.map(|settings| Self { warnings: reader.warnings, ..settings });
        (settings, Problems(reader.problems))
    }

    /// [`Settings::load`] with a working directory of the test's own.
    fn load_in(
        dir: &Path,
        env_file: Option<&Path>,
        env: &Env<'_>,
        overrides: &[(&'static str, &str)],
    ) -> Result<Self, Problems> {
        let mut reader = Reader::of(dir, env_file, env, overrides);
        match reader.settings() {
            Some(settings) if reader.problems.is_empty() => {
                Ok(Self { warnings: reader.warnings, ..settings }.absolute(dir))
            }
            _ => Err(Problems(reader.problems)),
        }
    }

    /// With every path absolute, relative ones as seen from `dir` (empty: the working directory). Children run in other
    /// directories than the tool. Names of programs without a slash are looked up in PATH and stay.
    #[must_use]
    pub fn absolute(mut self, dir: &Path) -> Self {
        let absolute = |path: &mut PathBuf| {
            *path = std::path::absolute(dir.join(&*path)).unwrap_or(mem::take(path));
        };
        [&mut self.playlist, &mut self.state_dir, &mut self.cache_dir].into_iter().for_each(absolute);
        [&mut self.filler, &mut self.metrics_file].into_iter().flatten().for_each(absolute);
        for program in [&mut self.ffmpeg_path, &mut self.ytdlp_path] {
            if program.as_os_str().as_encoded_bytes().contains(&b'/') {
                absolute(program);
            }
        }
        self
    }

    /// The ffprobe program: the one beside ffmpeg where there is one, else looked up in PATH.
    #[must_use]
    pub fn ffprobe_path(&self) -> PathBuf {
        let beside = self.ffmpeg_path.with_file_name("ffprobe");
        if beside.exists() { beside } else { "ffprobe".into() }
    }
}

/// Behind the name of what was given on the command line.
const GIVEN: &str = " (on the command line)";

/// So many names that are none of ours are told one by one.
const MOST_UNKNOWN: usize = 20;

/// What other programs of ours and the runtime read from the environment, which systemd fills from the same file.
const ENVIRONMENT: [&str; 10] = [
    "CACHE_DIRECTORY",
    "JOURNAL_STREAM",
    "NOTIFY_SOCKET",
    "NO_COLOR",
    "RUST_BACKTRACE",
    "RUST_LIB_BACKTRACE",
    "STATE_DIRECTORY",
    "TERM",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
];

/// Whether a line of the file with this name may have an effect.
fn is_known(name: &str) -> bool {
    TABLE.iter().any(|setting| setting.name == name)
        || ENVIRONMENT.contains(&name)
        || process::command::INHERITED.contains(&name)
        || name.starts_with("LC_")
}

/// Looks values up and collects what is wrong with them.
struct Reader<'a> {
    env: &'a Env<'a>,
    overrides: &'a [(&'static str, &'a str)],
    file: Option<File>,
    problems: Vec<String>,
    warnings: Vec<String>,
}

struct File {
    shown: String,
    /// Whether it was named by `--env-file`.
    named: bool,
    content: EnvFile,
}

impl<'a> Reader<'a> {
    /// One that has read the file.
    fn of(
        dir: &Path,
        env_file: Option<&Path>,
        env: &'a Env<'a>,
        overrides: &'a [(&'static str, &'a str)],
    ) -> Self {
        let mut reader = Self { env, overrides, file: None, problems: Vec::new(), warnings: Vec::new() };
        match env_file {
            Some(path) => reader.read_file(path, true),
            None => reader.read_file(&dir.join(".env"), false),
        }
        reader
    }

    fn read_file(&mut self, path: &Path, named: bool) {
        let shown = path.display().to_string();
        let content = match files::read(path) {
            Ok(bytes) => env_file::parse(&bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound && !named => return,
            Err(e) => return self.problems.push(format!("{shown} cannot be read: {e}")),
        };
        let text = |note: &env_file::Note| {
            format!(
                "{shown} line {}: {} {}",
                note.line,
                note.name.as_deref().unwrap_or("the line"),
                note.text
            )
        };
        self.problems.extend(content.refused.iter().map(text));
        self.warnings.extend(content.warnings.iter().map(text));
        let unknown = content.entries.iter().filter(|entry| !is_known(&entry.name));
        let warning = |entry: &env_file::Entry| {
            let (line, name) = (entry.line, &entry.name);
            let hint =
                misspelt(name).map_or("it has no effect".to_owned(), |meant| format!("is {meant} meant?"));
            format!("{shown} line {line}: {name} is no setting of ours; {hint}")
        };
        self.warnings.extend(unknown.clone().take(MOST_UNKNOWN).map(warning));
        let more = unknown.count().saturating_sub(MOST_UNKNOWN);
        if more > 0 {
            self.warnings.push(format!("{shown}: {more} more names are no settings of ours"));
        }
        self.file = Some(File { shown, named, content });
    }

    /// The value of `name` and how to call it in a message; `None` where it is unset.
    fn find(&mut self, name: &'static str) -> Option<(String, String)> {
        debug_assert!(TABLE.iter().any(|setting| setting.name == name), "{name} is not in the table");
        let given = self.overrides.iter().find(|(known, value)| *known == name && !value.is_empty());
        if let Some((_, value)) = given {
            return Some(((*value).to_owned(), format!("{name}{GIVEN}")));
        }
        let in_file = self.file.as_ref().and_then(|file| {
            let entry = file.content.entries.iter().find(|entry| entry.name == name)?;
            Some((file.named, entry.value.clone(), format!("{} line {}: {name}", file.shown, entry.line)))
        });
        if let Some((true, value, shown)) = in_file {
            // An empty one hides the environment too: that may hold what stood here before.
            return Some((value, shown)).filter(|(value, _)| !value.is_empty());
        }
        if let Some(value) = (self.env)(name).filter(|value| !value.is_empty()) {
            let shown = format!("{name} (in the environment)");
            if let Ok(value) = value.into_string() {
                return Some((value, shown));
            }
            self.problems.push(format!("{shown} is not UTF-8 text"));
            return None;
        }
        in_file.map(|(_, value, shown)| (value, shown)).filter(|(value, _)| !value.is_empty())
    }

    /// What has been found, as `parse` reads it; `None` where that is wrong, and noted.
    fn parse<T>(&mut self, found: (String, String), parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let (value, shown) = found;
        parse(&value).map_err(|e| self.problems.push(format!("{shown} {e}"))).ok()
    }

    /// The value of `name`, if it has one.
    fn optional<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let found = self.find(name)?;
        self.parse(found, parse)
    }

    /// The value of `name`, else its default from the table, also in the place of a wrong one.
    fn value<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let found = self.find(name).and_then(|found| self.parse(found, &parse));
        found.or_else(|| self.parse((default(name).to_owned(), format!("{name} (default)")), &parse))
    }

    /// A directory of the tgs tools: as set, else systemd's, else under that of the user's own programs.
    fn directory(
        &mut self,
        name: &'static str,
        systemd: &str,
        xdg: &str,
        under_home: &str,
    ) -> Option<PathBuf> {
        if let Some(found) = self.find(name) {
            return self.parse(found, path);
        }
        // systemd lists several with colons between them; relative ones mean nothing in either variable.
        let absolute = |name: &str| {
            let value = (self.env)(name)?.into_string().ok()?;
            value.split(':').next().map(PathBuf::from).filter(|path| path.is_absolute())
        };
        let of_service = self.file.as_ref().and_then(|file| directories_of(Path::new(&file.shown)));
        let of_service = of_service.map(|[state, cache]| if name == "STATE_DIR" { state } else { cache });
        let found = absolute(systemd)
            .or_else(|| of_service.filter(|dir| dir.is_dir()))
            .or_else(|| Some(absolute(xdg)?.join("tgs")))
            .or_else(|| Some(absolute("HOME")?.join(under_home).join("tgs")));
        if found.is_none() {
            self.problems.push(format!("{name} is not set, and neither are {systemd}, {xdg} and HOME"));
        }
        found
    }

    /// All of them, wrong ones as if they were unset; `None` where a directory is unknown. Every one is read before that is
    /// found out, so that all problems are noted.
    fn settings(&mut self) -> Option<Settings> {
        let text = |value: &str| Ok(value.to_owned());
        let playlist = self.value("PLAYLIST", path);
        let repeat = self.value("LOOP", flag);
        let shuffle = self.value("SHUFFLE", flag);
        let quality = self.value("VIDEO_QUALITY", quality);
        let ffmpeg_path = self.value("FFMPEG_PATH", path);
        let ytdlp_path = self.value("YTDLP_PATH", path);
        let read_ahead = self.value("READ_AHEAD", read_ahead);
        let publisher = self.value("PUBLISHER", publisher);
        let prometheus_host = self.value("PROMETHEUS_HOST", address);
        let prometheus_port = self.value("PROMETHEUS_PORT", port);
        let prometheus_port_given = self.find("PROMETHEUS_PORT").is_some();
        let state_dir = self.directory("STATE_DIR", "STATE_DIRECTORY", "XDG_STATE_HOME", ".local/state");
        let cache_dir = self.directory("CACHE_DIR", "CACHE_DIRECTORY", "XDG_CACHE_HOME", ".cache");
        let cache_limit = self.value("CACHE_MAX_GB", gigabytes);
        let cache_ahead = self.value("CACHE_AHEAD", flag);
        let copy_matching = self.value("COPY_MATCHING", flag);
        let image_duration = self.value("IMAGE_DURATION", image_duration);
        let rust_log = self.value("RUST_LOG", text);
        let output_url = self.find("OUTPUT_URL");
        let regen = self.value("SESSION_REGEN", regen);
        let on_loss = self.value("ON_SESSION_LOSS", on_loss);
        let telegram = Telegram {
            api_id: self.optional("API_ID", api_id),
            api_hash: self.optional("API_HASH", api_hash).map(Secret::new),
            session: self.optional("SESSION_STRING", text).map(Secret::new),
            chat: self.optional("CHAT_ID", chat_id),
            call_title: self.optional("CALL_TITLE", text),
            regen: regen?,
            on_loss: on_loss?,
            standby: self.optional("STANDBY_SESSION_STRING", text).map(Secret::new),
            password: self.optional("TWO_FA_PASSWORD", text).map(Secret::new),
            phone: self.optional("PHONE", text),
        };
        let full = telegram.api_id.is_some() && telegram.api_hash.is_some() && telegram.chat.is_some();
        // Whoever gives it on the command line knows it.
        if let Some((_, shown)) = output_url.as_ref().filter(|(_, shown)| full && !shown.ends_with(GIVEN)) {
            self.warnings.push(format!(
                "{shown} is set, so the broadcast goes there and not into the Telegram chat that CHAT_ID names; \
                 remove it to go live in Telegram"
            ));
        }
        let settings = Settings {
            telegram,
            output_url: output_url.map(|(url, _)| Secret::new(url)),
            filler: self.optional("FILLER", path),
            ffmpeg_args: self.optional("FFMPEG_ARGS", text).unwrap_or_default(),
            ytdlp_args: self.optional("YTDLP_ARGS", arguments).unwrap_or_default(),
            metrics_file: self.optional("METRICS_FILE", path),
            playlist: playlist?,
            repeat: repeat?,
            shuffle: shuffle?,
            quality: quality?,
            ffmpeg_path: ffmpeg_path?,
            ytdlp_path: ytdlp_path?,
            read_ahead: read_ahead?,
            publisher: publisher?,
            prometheus_host: prometheus_host?,
            prometheus_port: prometheus_port?,
            prometheus_port_given,
            state_dir: state_dir?,
            cache_dir: cache_dir?,
            cache_limit: cache_limit?,
            cache_ahead: cache_ahead?,
            copy_matching: copy_matching?,
            image_duration: image_duration?,
            rust_log: rust_log?,
            warnings: Vec::new(),
        };
        Some(settings)
    }
}

/// The default of a setting that has one.
fn default(name: &str) -> &'static str {
    let shown = TABLE.iter().find(|setting| setting.name == name).map(|setting| setting.shown);
    if let Some(Is(value)) = shown { value } else { "" }
}

/// The setting that `name` comes close to without being one.
fn misspelt(name: &str) -> Option<&'static str> {
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

// The readers of single values. Their messages follow the name and never repeat the value.

fn path(value: &str) -> Result<PathBuf, String> {
    if value.starts_with("~/") {
        return Err("begins with ~, which only a shell understands; write the whole path".into());
    }
    Ok(PathBuf::from(value))
}

fn flag(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("must be 1 or 0".into()),
    }
}

/// In bytes.
fn gigabytes(value: &str) -> Result<u64, String> {
    match value.parse::<f64>() {
        Ok(gigabytes) if (0.0..=1e6).contains(&gigabytes) => Ok((gigabytes * 1e9) as u64),
        _ => Err("must be a number of GB from 0 to 1000000, as 20 or 0.5".into()),
    }
}

fn quality(value: &str) -> Result<Quality, String> {
    match value {
        "480p" => Ok(Quality::P480),
        "720p" => Ok(Quality::P720),
        "1080p" => Ok(Quality::P1080),
        _ => Err("must be 480p, 720p or 1080p".into()),
    }
}

fn publisher(value: &str) -> Result<Publisher, String> {
    match value {
        "native" => Ok(Publisher::Native),
        "ffmpeg" => Ok(Publisher::Ffmpeg),
        _ => Err("must be native or ffmpeg".into()),
    }
}

fn regen(value: &str) -> Result<Regen, String> {
    match value {
        "loop" => Ok(Regen::Loop),
        "once" => Ok(Regen::Once),
        "off" => Ok(Regen::Off),
        _ => Err("must be loop, once or off".into()),
    }
}

fn on_loss(value: &str) -> Result<OnLoss, String> {
    match value {
        "keep" => Ok(OnLoss::Keep),
        "stop" => Ok(OnLoss::Stop),
        _ => Err("must be keep or stop".into()),
    }
}

fn api_id(value: &str) -> Result<i32, String> {
    let number = value.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "must be the number that https://my.telegram.org shows as api_id".into())
}

fn api_hash(value: &str) -> Result<String, String> {
    if value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(value.to_owned());
    }
    Err("must be the 32 letters and digits that https://my.telegram.org shows as api_hash".into())
}

fn chat_id(value: &str) -> Result<ChatId, String> {
    if let Ok(number) = value.parse::<i64>()
        && number != 0
    {
        return Ok(ChatId::Number(number));
    }
    // https://t.me/name and t.me/name are what people copy.
    let name = value.strip_prefix("https://").unwrap_or(value);
    let name = name.strip_prefix("t.me/").or(name.strip_prefix('@')).unwrap_or(name);
    let usable = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() >= 4
        && name.len() <= 32
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if usable { Ok(ChatId::Name(name.to_owned())) } else { Err("must be a number, -100…, or @name".into()) }
}

fn read_ahead(value: &str) -> Result<Duration, String> {
    let duration = units::parse_duration(value).map_err(|e| e.to_string())?;
    let allowed = Duration::from_secs(3)..=Duration::from_secs(30);
    if allowed.contains(&duration) { Ok(duration) } else { Err("must be from 3s to 30s".into()) }
}

fn image_duration(value: &str) -> Result<Duration, String> {
    let duration = units::parse_duration(value).map_err(|e| e.to_string())?;
    let allowed = Duration::from_secs(1)..=Duration::from_hours(1);
    if allowed.contains(&duration) { Ok(duration) } else { Err("must be from 1s to 1h".into()) }
}

fn address(value: &str) -> Result<IpAddr, String> {
    if value == "localhost" {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    value.parse().map_err(|_| "must be an IP address, such as 127.0.0.1, 0.0.0.0 or ::".into())
}

fn port(value: &str) -> Result<u16, String> {
    value.parse().map_err(|_| "must be a number from 0 to 65535".into())
}

fn arguments(value: &str) -> Result<String, String> {
    match shell_words::split(value) {
        Ok(_) => Ok(value.to_owned()),
        Err(_) => Err("opens a quote and does not close it".into()),
    }
}

#[cfg(test)]
mod tests;
