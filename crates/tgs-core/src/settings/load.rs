//! Loads the settings of one run from the command line, a named file, the environment and `./.env`,
//! in this order. Reports all problems together, by name and line, never by value.

mod ha;
mod live;
mod look;
mod outputs;
mod picture;
mod proxy;
mod recording;
mod secrets;
mod sound;

use std::{
    ffi::OsString,
    fmt, io, mem,
    path::{Path, PathBuf},
};

use super::{
    parse::{
        address, api_hash, api_id, arguments, as_run_keep, chat_id, flag, gigabytes, image_duration, on_loss,
        path, pause_max, port, preroll, publisher, read_ahead, regen, schedule_return, separate, text,
    },
    secret_file,
    table::{RENAMED, TABLE, default, misspelt},
    values::{Settings, Telegram},
};
use crate::{
    env_file::{self, EnvFile},
    files, process,
    proxy::parse_proxies,
    secret::Secret,
};

/// The settings file of an installed broadcast, for its tools.
pub const INSTALLED: &str = "/opt/tg_video_streamer/current/.env";

/// Returns [`INSTALLED`] if it exists and `dir` has no `.env`, for commands run in any directory of
/// a server. An inaccessible `dir/.env` counts as missing, an inaccessible [`INSTALLED`] as
/// existing.
#[must_use]
pub fn installed(dir: &Path) -> Option<PathBuf> {
    let here = dir.join(".env").try_exists().unwrap_or(false);
    (!here && Path::new(INSTALLED).try_exists().unwrap_or(true)).then(|| INSTALLED.into())
}

/// STATE_DIR and CACHE_DIR of the unit whose settings are in `file`, for commands run by hand.
fn directories_of(file: &Path) -> Option<[PathBuf; 2]> {
    const NAME: &str = "tg_video_streamer";
    let file = std::fs::canonicalize(file).ok()?;
    let instance = match file.strip_prefix("/opt/tg_video_streamer").ok()?.to_str()? {
        "shared/.env" => String::new(),
        other => format!("@{}", other.strip_prefix("instances/")?.strip_suffix(".env")?),
    };
    Some([format!("/var/lib/{NAME}{instance}").into(), format!("/var/cache/{NAME}").into()])
}

/// All problems of the settings, by name and line, never by value. The exit code is
/// [`crate::exit::Code::Config`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("read the settings:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// The environment, as a function that looks up a variable.
pub type Env<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

impl Settings {
    /// Loads the settings from `env_file` (else from `./.env`, if it exists), the environment `env`
    /// (`&|name| std::env::var_os(name)`), and the names and values of the command line.
    pub fn load(
        env_file: Option<&Path>,
        env: &Env<'_>,
        overrides: &[(&'static str, &str)],
    ) -> Result<Self, Problems> {
        Self::load_in(Path::new(""), env_file, env, overrides)
    }

    /// Returns the settings with defaults for invalid values, and all problems, for a tool that
    /// reports them and continues. `None` only if STATE_DIR or CACHE_DIR is unknown.
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

    /// [`Settings::load`] with another working directory, for tests.
    pub(super) fn load_in(
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
}

/// Marks a setting of the command line in messages; follows its name.
const GIVEN: &str = " (on the command line)";

/// Unknown names beyond this number are only counted.
const MOST_UNKNOWN: usize = 20;

/// Variables that other programs and the runtime read; systemd may set them from the same file.
const ENVIRONMENT: [&str; 11] = [
    "CACHE_DIRECTORY",
    "JOURNAL_STREAM",
    "NOTIFY_SOCKET",
    "NO_COLOR",
    "RUNTIME_DIRECTORY",
    "RUST_BACKTRACE",
    "RUST_LIB_BACKTRACE",
    "STATE_DIRECTORY",
    "TERM",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
];

/// Whether a line of the file with this name can have an effect.
fn is_known(name: &str) -> bool {
    TABLE.iter().any(|setting| setting.name == name)
        || secret_file::is_variable(TABLE, name)
        || RENAMED.iter().any(|(former, _)| *former == name)
        || ENVIRONMENT.contains(&name)
        || process::command::INHERITED.contains(&name)
        || name.starts_with("LC_")
}

/// Looks up values and collects problems.
struct Reader<'a> {
    /// The working directory; empty except in tests.
    dir: PathBuf,
    env: &'a Env<'a>,
    overrides: &'a [(&'static str, &'a str)],
    file: Option<File>,
    secret_files: Vec<PathBuf>,
    problems: Vec<String>,
    warnings: Vec<String>,
}

struct File {
    shown: String,
    /// Whether `--env-file` names it.
    named: bool,
    content: EnvFile,
}

impl<'a> Reader<'a> {
    /// Creates a reader and reads the file.
    fn of(
        dir: &Path,
        env_file: Option<&Path>,
        env: &'a Env<'a>,
        overrides: &'a [(&'static str, &'a str)],
    ) -> Self {
        let mut reader = Self {
            dir: dir.to_owned(),
            env,
            overrides,
            file: None,
            secret_files: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        };
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
            let hint = misspelt(name)
                .map_or("it has no effect".to_owned(), |meant| format!("did you mean {meant}?"));
            format!("{shown} line {line}: {name} is not a setting; {hint}")
        };
        self.warnings.extend(unknown.clone().take(MOST_UNKNOWN).map(warning));
        let more = unknown.count().saturating_sub(MOST_UNKNOWN);
        if more > 0 {
            self.warnings.push(format!("{shown}: {more} more names are not settings"));
        }
        self.file = Some(File { shown, named, content });
    }

    /// Finds the value of `name`, also under its former name, and its label in messages; `None` if
    /// it is unset.
    fn find(&mut self, name: &'static str) -> Option<(String, String)> {
        debug_assert!(TABLE.iter().any(|setting| setting.name == name), "{name} is not in the table");
        let found = self.find_exact(name);
        let renamed = RENAMED.iter().find(|(_, now)| *now == name);
        let Some(former) = renamed.and_then(|(former, _)| self.find_exact(former)) else { return found };
        self.warnings.push(format!("{} is now {name}: rename it", former.1));
        found.or(Some(former))
    }

    fn find_exact(&mut self, name: &'static str) -> Option<(String, String)> {
        let given = self.overrides.iter().find(|(known, value)| *known == name && !value.is_empty());
        if let Some((_, value)) = given {
            return Some(((*value).to_owned(), format!("{name}{GIVEN}")));
        }
        let value = self.lookup(name);
        self.with_file(name, value)
    }

    /// Finds a variable of the file and the environment.
    fn lookup(&mut self, name: &str) -> Option<(String, String)> {
        let in_file = self.file.as_ref().and_then(|file| {
            let entry = file.content.entries.iter().find(|entry| entry.name == name)?;
            Some((file.named, entry.value.clone(), format!("{} line {}: {name}", file.shown, entry.line)))
        });
        if let Some((true, value, shown)) = in_file {
            // An empty value hides the environment too, which may hold an older value of the file.
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

    /// Parses the value. An invalid value adds a problem and returns `None`.
    fn parse<T>(&mut self, found: (String, String), parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let (value, shown) = found;
        parse(&value).map_err(|e| self.problems.push(format!("{shown} {e}"))).ok()
    }

    /// Returns the value of `name`; `None` if it is unset or invalid.
    fn optional<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let found = self.find(name)?;
        self.parse(found, parse)
    }

    /// Returns the value of `name`, or its default if it is unset or invalid.
    fn value<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let found = self.find(name).and_then(|found| self.parse(found, &parse));
        found.or_else(|| self.parse((default(name).to_owned(), format!("{name} (default)")), &parse))
    }

    /// `STATE_DIR` and `CACHE_DIR`
    fn directories(&mut self) -> [Option<PathBuf>; 2] {
        [
            self.directory("STATE_DIR", "STATE_DIRECTORY", "XDG_STATE_HOME", ".local/state"),
            self.directory("CACHE_DIR", "CACHE_DIRECTORY", "XDG_CACHE_HOME", ".cache"),
        ]
    }

    /// Finds a directory of the tools: the setting, else systemd's, else the unit's, else the
    /// user's.
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
        // systemd separates several by colons; relative paths are invalid in either variable.
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

    /// Reads all settings, invalid ones as unset; `None` if a directory is unknown. Reads all of
    /// them before it returns, so that all problems are collected.
    fn settings(&mut self) -> Option<Settings> {
        let (playlist, pause_max) = (self.value("PLAYLIST", path), self.value("PAUSE_MAX", pause_max));
        let (repeat, shuffle) = (self.value("LOOP", flag), self.value("SHUFFLE", flag));
        let picture = self.picture();
        let (ffmpeg_path, ytdlp_path) = (self.value("FFMPEG_PATH", path), self.value("YTDLP_PATH", path));
        let (read_ahead, publisher) =
            (self.value("READ_AHEAD", read_ahead), self.value("PUBLISHER", publisher));
        let (prometheus_host, prometheus_port) =
            (self.value("PROMETHEUS_HOST", address), self.value("PROMETHEUS_PORT", port));
        let [state_dir, cache_dir] = self.directories();
        let (schedule_preroll, schedule_return) =
            (self.value("SCHEDULE_PREROLL", preroll), self.value("SCHEDULE_RETURN", schedule_return));
        let (cache_limit, cache_ahead) =
            (self.value("CACHE_MAX_GB", gigabytes), self.value("CACHE_AHEAD", flag));
        let (passthrough, rust_log) = (self.value("PASSTHROUGH", flag), self.value("RUST_LOG", text));
        let (image_duration, as_run_keep) =
            (self.value("IMAGE_DURATION", image_duration), self.value("AS_RUN_KEEP", as_run_keep));
        let (output_url, telegram) = (self.find("OUTPUT_URL"), self.telegram(state_dir.as_deref()));
        self.warn_of_output(output_url.as_ref(), telegram.as_ref());
        Some(Settings {
            output_proxies: self.output_proxies(telegram.as_ref(), publisher),
            telegram: telegram?,
            also_outputs: self.also_outputs(output_url.as_ref()),
            output_url: output_url.map(|(url, _)| Secret::new(url)),
            filler: self.optional("FILLER", path),
            ffmpeg_args: self.optional("FFMPEG_ARGS", text).unwrap_or_default(),
            ytdlp_args: self.optional("YTDLP_ARGS", arguments).unwrap_or_default(),
            metrics_file: self.optional("METRICS_FILE", path),
            control_socket: self.optional("CONTROL_SOCKET", path),
            live: self.live(),
            ha: self.ha(publisher),
            recording: self.recording(),
            look: self.look()?,
            sound: self.sound()?,
            playlist: playlist?,
            repeat: repeat?,
            shuffle: shuffle?,
            separate: self.optional("SEPARATE", separate).unwrap_or_default(),
            picture: picture?,
            ffmpeg_path: ffmpeg_path?,
            ytdlp_path: ytdlp_path?,
            read_ahead: read_ahead?,
            publisher: publisher?,
            prometheus_host: prometheus_host?,
            prometheus_port: prometheus_port?,
            prometheus_port_given: self.find("PROMETHEUS_PORT").is_some(),
            state_dir: state_dir?,
            cache_dir: cache_dir?,
            pause_max: pause_max?,
            schedule: self.optional("SCHEDULE", path),
            schedule_preroll: schedule_preroll?,
            schedule_return: schedule_return?,
            cache_limit: cache_limit?,
            cache_ahead: cache_ahead?,
            passthrough: passthrough?,
            image_duration: image_duration?,
            as_run_keep: as_run_keep?,
            rust_log: rust_log?,
            secret_files: mem::take(&mut self.secret_files),
            warnings: Vec::new(),
        })
    }

    fn telegram(&mut self, state_dir: Option<&Path>) -> Option<Telegram> {
        let (regen, on_loss) = (self.value("SESSION_REGEN", regen), self.value("ON_SESSION_LOSS", on_loss));
        let viewer_check = self.value("VIEWER_CHECK", flag);
        let (session, mounted_session) = self.session(state_dir);
        Some(Telegram {
            api_id: self.optional("API_ID", api_id),
            api_hash: self.optional("API_HASH", api_hash).map(Secret::new),
            session,
            mounted_session,
            chat: self.optional("CHAT_ID", chat_id),
            call_title: self.optional("CALL_TITLE", text),
            standby: self.optional("STANDBY_SESSION_STRING", text).map(Secret::new),
            standby_file: self.standby_file(),
            password: self.optional("TWO_FA_PASSWORD", text).map(Secret::new),
            phone: self.optional("PHONE", text),
            proxies: self.optional("TELEGRAM_PROXY", |value| Ok(parse_proxies(value)?)).unwrap_or_default(),
            regen: regen?,
            on_loss: on_loss?,
            viewer_check: viewer_check?,
        })
    }

    /// Warns if OUTPUT_URL, except on the command line, diverts a broadcast that has a chat.
    fn warn_of_output(&mut self, output: Option<&(String, String)>, telegram: Option<&Telegram>) {
        let full =
            telegram.is_some_and(|it| it.api_id.is_some() && it.api_hash.is_some() && it.chat.is_some());
        if let Some((_, shown)) = output.filter(|(_, shown)| full && !shown.ends_with(GIVEN)) {
            self.warnings.push(format!(
                "{shown} is set, so the broadcast goes there and not into the Telegram chat that CHAT_ID names; \
                 remove it to go live in Telegram"
            ));
        }
    }
}
