//! Settings as they are written, the words where they are wrong, and the template made from them.

mod secrets;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use proptest::prelude::*;

use super::{sound, table::misspelt, *};
use crate::{env_file, language::Languages, proxy::parse_proxies, secret::Secret};

/// Loads with these variables set, and HOME, from a directory whose `.env` holds `beside`.
fn load(
    beside: &str,
    named: Option<&str>,
    env: &[(&str, &str)],
    overrides: &[(&'static str, &str)],
) -> Result<Settings, Problems> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".env"), beside).unwrap();
    let file = dir.path().join("named.env");
    if let Some(text) = named {
        fs::write(&file, text).unwrap();
    }
    let env: BTreeMap<&str, &str> = env.iter().copied().chain([("HOME", "/home/me")]).collect();
    let env = |name: &str| env.get(name).map(OsString::from);
    let loaded = Settings::load_in(dir.path(), named.map(|_| &*file), &env, overrides);
    let prefix = format!("{}/", dir.path().display());
    let strip = |lines: Vec<String>| lines.into_iter().map(|line| line.replace(&prefix, "")).collect();
    // The working directory of a test is its crate's.
    let plain = |path: PathBuf| path.strip_prefix(dir.path()).map_or(path.clone(), Path::to_owned);
    match loaded {
        Ok(settings) => Ok(Settings {
            warnings: strip(settings.warnings.clone()),
            playlist: plain(settings.playlist),
            state_dir: plain(settings.state_dir),
            ..settings
        }),
        Err(problems) => Err(Problems(strip(problems.0))),
    }
}

fn from_env(name: &str, value: &str) -> Result<Settings, Problems> {
    load("", None, &[(name, value)], &[])
}

#[test]
fn the_template_is_generated() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.env.template");
    if std::env::var_os("TGS_WRITE_TEMPLATE").is_some() {
        fs::write(&path, template()).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap();
    assert_eq!(committed, template(), "run this test with TGS_WRITE_TEMPLATE=1 and commit .env.template");
}

#[test]
fn the_template_is_a_file_that_can_be_read() {
    let template = template();
    assert_eq!(load(&template, None, &[], &[]).unwrap(), load("", None, &[], &[]).unwrap());
    // With every setting taken out of its comment.
    let filled: String = template
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(set) if !set.starts_with(' ') && set.contains('=') => format!("{set}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let settings = load(&filled, None, &[], &[]).unwrap();
    let [only] = &*settings.warnings else { panic!("{:?}", settings.warnings) };
    assert!(only.contains("OUTPUT_URL is set, so the broadcast goes there"), "{only}");
    assert_eq!(settings.ffmpeg_args, "-preset fast -b:v 2500k");
    assert_eq!(env_file::parse(filled.as_bytes()).entries.len(), TABLE.len());
}

#[test]
fn defaults() {
    let telegram = Telegram {
        api_id: None,
        api_hash: None,
        session: None,
        mounted_session: None,
        chat: None,
        call_title: None,
        regen: Regen::Loop,
        on_loss: OnLoss::Keep,
        standby: None,
        standby_file: None,
        password: None,
        phone: None,
        viewer_check: false,
        proxies: vec![],
    };
    let expected = Settings {
        telegram,
        output_url: None,
        also_outputs: vec![],
        output_proxies: None,
        playlist: "playlist.txt".into(),
        repeat: true,
        shuffle: false,
        separate: vec![],
        picture: default_picture(),
        filler: None,
        ffmpeg_args: String::new(),
        ffmpeg_path: "ffmpeg".into(),
        ytdlp_path: "yt-dlp".into(),
        ytdlp_args: String::new(),
        read_ahead: Duration::from_secs(4),
        publisher: PublisherKind::Native,
        prometheus_host: Ipv4Addr::LOCALHOST.into(),
        prometheus_port: 9090,
        prometheus_port_given: false,
        metrics_file: None,
        state_dir: "/home/me/.local/state/tgs".into(),
        control_socket: None,
        pause_max: Duration::from_hours(1),
        schedule: None,
        schedule_preroll: Duration::from_mins(1),
        schedule_return: ScheduleReturn::Resume,
        cache_dir: "/home/me/.cache/tgs".into(),
        cache_limit: 20_000_000_000,
        cache_ahead: false,
        passthrough: false,
        image_duration: Duration::from_secs(10),
        as_run_keep: Duration::from_hours(400 * 24),
        recording: None,
        live: None,
        ha: None,
        look: default_look(),
        sound: default_sound(),
        rust_log: "info".into(),
        secret_files: vec![],
        warnings: vec![],
    };
    assert_eq!(load("", None, &[], &[]).unwrap(), expected);
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

fn default_picture() -> Picture {
    Picture {
        quality: Quality { height: 720, fps: 30 },
        kbps: None,
        background: BackgroundSetting::Black,
        audio_picture: AudioPictureSetting::Cover,
        speed_up_film: false,
    }
}

fn default_sound() -> Sound {
    Sound {
        loudness: sound::loudness("-16").unwrap(),
        peak: sound::peak("-1.5").unwrap(),
        languages: Languages::default(),
        side: None,
        fade: Duration::from_millis(10),
    }
}

/// A sound without any default.
fn other_sound() -> Sound {
    Sound {
        loudness: None,
        peak: sound::peak("-2").unwrap(),
        languages: Languages::parse("de,rus").unwrap(),
        side: Some(AudioSide::Right),
        fade: Duration::from_millis(500),
    }
}

fn look_as_set() -> LookSettings {
    LookSettings {
        logo: Some(LogoSettings {
            file: "/logo.png".into(),
            position: LogoPosition::BottomLeft,
            height: 12,
            opacity: 50,
            margin: 0,
        }),
        now_playing: NowPlaying::Both,
        now_playing_for: Duration::from_secs(5),
        now_playing_text: "{artist}: {title}".into(),
        subtitles: SubtitleSetting::Languages(vec!["rus".into(), "eng".into()]),
    }
}

fn recording_as_set() -> RecordSettings {
    RecordSettings {
        dir: "/rec".into(),
        segment: Duration::from_mins(30),
        keep: Duration::from_hours(48),
        most_bytes: 1_500_000_000,
    }
}

fn default_look() -> LookSettings {
    LookSettings {
        logo: None,
        now_playing: NowPlaying::Off,
        now_playing_for: Duration::from_secs(8),
        now_playing_text: "{title} — {artist}".into(),
        subtitles: SubtitleSetting::Off,
    }
}

fn separate_as_set() -> Vec<SeparateRule> {
    [(SeparateBy::Artist, 3), (SeparateBy::Folder, 1)].map(|(by, items)| SeparateRule { by, items }).to_vec()
}

fn telegram_as_set() -> Telegram {
    Telegram {
        api_id: Some(7),
        api_hash: Some(secret("00112233445566778899aabbccddeeff")),
        session: Some(secret("hidden1")),
        mounted_session: None,
        chat: Some(ChatId::Name("name".into())),
        call_title: Some("a b".into()),
        regen: Regen::Off,
        on_loss: OnLoss::Stop,
        standby: Some(secret("hidden2")),
        standby_file: None,
        password: Some(secret("hidden 3")),
        phone: Some("+49".into()),
        viewer_check: true,
        proxies: parse_proxies("socks5://u:hidden4@h:1").unwrap(),
    }
}

fn outputs_as_set() -> Vec<NamedOutput> {
    let proxies = parse_proxies("http://u:hidden5@h:2").unwrap();
    vec![NamedOutput { name: "vk".into(), url: secret("rtmp://h/b/k"), proxies }]
}

#[test]
fn every_setting_is_read() {
    let file = "OUTPUT_URL=rtmp://h/a/k\nALSO_OUTPUT_URLS=vk=rtmp://h/b/k\nALSO_OUTPUT_PROXIES=vk=http://u:hidden5@h:2\nPLAYLIST=/l\nLOOP=no\nSHUFFLE=Yes\nSEPARATE=artist:3,folder\nVIDEO_QUALITY=1080p50\nVIDEO_BITRATE=2.5M\nSPEED_UP_FILM=1\nBACKGROUND=blur\nAUDIO_PICTURE=spectrum\nFILLER=/f\n\
                FFMPEG_ARGS='-b:v \"1M'\nFFMPEG_PATH=/opt/ff/ffmpeg\nYTDLP_PATH=/y\nYTDLP_ARGS='-4 \"a b\"'\n\
                READ_AHEAD=30s\nPUBLISHER=ffmpeg\nPROMETHEUS_HOST=::\nPROMETHEUS_PORT=0\nMETRICS_FILE=/m\nSTATE_DIR=/s\nCONTROL_SOCKET=/r/c.sock\nPAUSE_MAX=5m\nSCHEDULE=/t.toml\nSCHEDULE_PREROLL=30s\nSCHEDULE_RETURN=next\nCACHE_DIR=/c\nCACHE_MAX_GB=0.5\nCACHE_AHEAD=1\nPASSTHROUGH=1\nIMAGE_DURATION=2m\nLOUDNESS=off\nLOUDNESS_PEAK=-2\nAUDIO_LANGUAGE=German,ru\nAUDIO_CHANNEL=right\nFADE=500ms\nAS_RUN_KEEP=7d\nRECORD_DIR=/rec\nRECORD_SEGMENT=30m\nRECORD_KEEP=2d\nRECORD_MAX_GB=1.5\nLOGO=/logo.png\nLOGO_POSITION=bottom-left\nLOGO_HEIGHT=12%\nLOGO_OPACITY=0.5\nLOGO_MARGIN=0\nNOW_PLAYING=both\nNOW_PLAYING_FOR=5s\nNOW_PLAYING_TEXT='{artist}: {title}'\nSUBTITLES=ru,en\nRUST_LOG=debug\nAPI_ID=7\nCHAT_ID=@name\nSESSION_REGEN=off\n\
                API_HASH=00112233445566778899aabbccddeeff\nSESSION_STRING=hidden1\nCALL_TITLE='a b'\n\
                ON_SESSION_LOSS=stop\nSTANDBY_SESSION_STRING=hidden2\nTWO_FA_PASSWORD='hidden 3'\nPHONE=+49\nVIEWER_CHECK=1\n\
                TELEGRAM_PROXY=socks5://u:hidden4@h:1\nOUTPUT_PROXY=direct\n";
    let expected = Settings {
        telegram: telegram_as_set(),
        output_url: Some(Secret::new("rtmp://h/a/k".into())),
        also_outputs: outputs_as_set(),
        output_proxies: Some(vec![]),
        playlist: "/l".into(),
        repeat: false,
        shuffle: true,
        separate: separate_as_set(),
        picture: Picture {
            quality: Quality { height: 1080, fps: 50 },
            kbps: Some(2500),
            background: BackgroundSetting::Blur,
            audio_picture: AudioPictureSetting::Spectrum,
            speed_up_film: true,
        },
        filler: Some("/f".into()),
        ffmpeg_args: "-b:v \"1M".into(),
        ffmpeg_path: "/opt/ff/ffmpeg".into(),
        ytdlp_path: "/y".into(),
        ytdlp_args: "-4 \"a b\"".into(),
        read_ahead: Duration::from_secs(30),
        publisher: PublisherKind::Ffmpeg,
        prometheus_host: "::".parse().unwrap(),
        prometheus_port: 0,
        prometheus_port_given: true,
        metrics_file: Some("/m".into()),
        state_dir: "/s".into(),
        control_socket: Some("/r/c.sock".into()),
        pause_max: Duration::from_mins(5),
        schedule: Some("/t.toml".into()),
        schedule_preroll: Duration::from_secs(30),
        schedule_return: ScheduleReturn::Next,
        cache_dir: "/c".into(),
        cache_limit: 500_000_000,
        cache_ahead: true,
        passthrough: true,
        image_duration: Duration::from_mins(2),
        as_run_keep: Duration::from_hours(7 * 24),
        recording: Some(recording_as_set()),
        live: None,
        ha: None,
        look: look_as_set(),
        sound: other_sound(),
        rust_log: "debug".into(),
        secret_files: vec![],
        warnings: vec![TO_OUTPUT.into()],
    };
    let settings = load(file, None, &[], &[]).unwrap();
    assert_eq!(settings, expected);
    let (shown, secrets) = (format!("{settings:?}"), ["rtmp", "hidden", "aabb"]);
    assert!(!secrets.iter().any(|secret| shown.contains(secret)), "a secret is shown");
}

#[test]
fn chats_are_named_as_people_copy_them() {
    let name = |name: &str| ChatId::Name(name.into());
    let cases = [
        ("-1001234567890", ChatId::Number(-1_001_234_567_890)),
        ("1234567890", ChatId::Number(1_234_567_890)),
        ("@tgs_demo", name("tgs_demo")),
        ("tgs_demo", name("tgs_demo")),
        ("https://t.me/tgs_demo", name("tgs_demo")),
        ("t.me/tgs_demo", name("tgs_demo")),
    ];
    for (value, expected) in cases {
        assert_eq!(from_env("CHAT_ID", value).unwrap().telegram.chat, Some(expected), "{value}");
    }
}

#[test]
fn ffprobe_is_beside_ffmpeg_or_in_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let file = format!("FFMPEG_PATH={}\n", dir.path().join("ffmpeg").display());
    let found = || load(&file, None, &[], &[]).unwrap().ffprobe_path();
    assert_eq!(found(), Path::new("ffprobe"));
    fs::write(dir.path().join("ffprobe"), "").unwrap();
    assert_eq!(found(), dir.path().join("ffprobe"));
}

#[test]
fn precedence_of_file_and_environment() {
    let [line, named, env] = ["PLAYLIST=beside", "PLAYLIST=named", "env"];
    // ./.env, --env-file, the environment, the command line: what is played.
    let cases = [
        ("", None, "", "", "playlist.txt"),
        (line, None, "", "", "beside"),
        (line, None, env, "", "env"),
        (line, Some(named), env, "", "named"),
        (line, Some(named), env, "flag", "flag"),
        (line, Some(""), "", "", "playlist.txt"),
        (line, Some(""), env, "", "env"),
        // Emptied in the file since systemd read it.
        (line, Some("PLAYLIST="), env, "", "playlist.txt"),
        ("PLAYLIST=", None, "", "", "playlist.txt"),
    ];
    for (beside, named, env, flag, expected) in cases {
        let loaded = load(beside, named, &[("PLAYLIST", env)], &[("PLAYLIST", flag)]).unwrap();
        assert_eq!(loaded.playlist, Path::new(expected), "{beside:?} {named:?} {env:?} {flag:?}");
    }
}

#[test]
fn directories() {
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[("STATE_DIRECTORY", "/var/lib/tgs:/var/lib/other"), ("XDG_STATE_HOME", "/x")], "/var/lib/tgs"),
        (&[("XDG_STATE_HOME", "/x")], "/x/tgs"),
        (&[("XDG_STATE_HOME", "relative")], "/home/me/.local/state/tgs"),
        (&[("STATE_DIR", "relative"), ("STATE_DIRECTORY", "/var/lib/tgs")], "relative"),
        (&[("STATE_DIR", ""), ("STATE_DIRECTORY", "")], "/home/me/.local/state/tgs"),
    ];
    for (env, expected) in cases {
        assert_eq!(load("", None, env, &[]).unwrap().state_dir, Path::new(expected), "{env:?}");
    }
    let failed = Settings::load_in(Path::new("/nowhere"), None, &|_| None, &[]).unwrap_err();
    let expected = [
        "STATE_DIR is not set, and neither are STATE_DIRECTORY, XDG_STATE_HOME and HOME",
        "CACHE_DIR is not set, and neither are CACHE_DIRECTORY, XDG_CACHE_HOME and HOME",
    ];
    assert_eq!(failed.0, expected);
}

#[test]
fn wrong_values() {
    let cases = [
        ("LOOP", "2", "must be 1 or 0"),
        ("SHUFFLE", "maybe", "must be 1 or 0"),
        (
            "SEPARATE",
            "artist:0",
            "must be artist, folder or category, each once, with the number of others in between (1 to 100), as artist:3,folder",
        ),
        (
            "VIDEO_QUALITY",
            "4k",
            "must be 360p, 480p, 720p or 1080p, with 25, 30, 50 or 60 behind it for the frame rate: 720p50",
        ),
        ("VIDEO_BITRATE", "2500", "must be from 200k to 20M, as 2500k or 2.5M"),
        ("BACKGROUND", "white", "must be black or blur"),
        ("AUDIO_PICTURE", "video", "must be slate, cover or spectrum"),
        ("PUBLISHER", "vlc", "must be native or ffmpeg"),
        ("READ_AHEAD", "4", "has no unit; write it like 500ms, 10s, 2m, 1h or 7d"),
        ("READ_AHEAD", "four", "is not a duration; write it like 500ms, 10s, 2m, 1h or 7d"),
        ("READ_AHEAD", "2999ms", "must be from 3s to 30s"),
        ("CACHE_MAX_GB", "-1", "must be a number of GB from 0 to 1000000, as 20 or 0.5"),
        ("CACHE_MAX_GB", "20GB", "must be a number of GB from 0 to 1000000, as 20 or 0.5"),
        ("CACHE_MAX_GB", "NaN", "must be a number of GB from 0 to 1000000, as 20 or 0.5"),
        ("READ_AHEAD", "31s", "must be from 3s to 30s"),
        ("RECORD_SEGMENT", "59s", "must be from 1m to 24h"),
        ("RECORD_KEEP", "59m", "must be from 1h to 3650d"),
        ("RECORD_MAX_GB", "all", "must be a number of GB from 0 to 1000000, as 20 or 0.5"),
        ("PROMETHEUS_HOST", "example.org", "must be an IP address, such as 127.0.0.1, 0.0.0.0 or ::"),
        ("PROMETHEUS_PORT", "65536", "must be a number from 0 to 65535"),
        ("PLAYLIST", "~/list", "begins with ~, which only a shell understands; write the whole path"),
        (
            "LOGO",
            "https://h/logo.png",
            "is a URL, and must be a file of this machine; download it and write its path",
        ),
        ("STATE_DIR", "~/tgs", "begins with ~, which only a shell understands; write the whole path"),
        ("API_ID", "-1", "must be the number that https://my.telegram.org shows as api_id"),
        (
            "API_HASH",
            "abc",
            "must be the 32 letters and digits that https://my.telegram.org shows as api_hash",
        ),
        ("CHAT_ID", "0", "must be a number, -100…, or @name"),
        ("CHAT_ID", "https://t.me/+AbCdEf", "must be a number, -100…, or @name"),
        ("SESSION_REGEN", "twice", "must be loop, once or off"),
        ("ON_SESSION_LOSS", "cry", "must be keep or stop"),
        ("YTDLP_ARGS", "-o \"x", "opens a quote and does not close it"),
    ];
    for (name, value, words) in cases {
        assert_eq!(from_env(name, value).unwrap_err().0, [format!("{name} (in the environment) {words}")]);
    }
}

#[test]
fn all_problems_are_reported_together() {
    let file = "LOOP=hunter2\nSHUFFLE=1\nSHUFFLE=hunter2\nREAD_AHEAD=hunter2 \\\n\nPLAYLIST=hunter2 x\n";
    let failed = load("", Some(file), &[("PROMETHEUS_PORT", "hunter2")], &[("VIDEO_QUALITY", "hunter2")]);
    let shown = failed.unwrap_err().to_string();
    assert!(!shown.contains("hunter2"), "a value is shown: {shown}");
    let expected = "read the settings:\n  \
        named.env line 3: SHUFFLE is set a second time, first in line 2; keep one of them\n  \
        named.env line 4: the line ends in a backslash, which may join it to the next line; in a value double \
        it inside \"…\", in a comment remove it\n  \
        named.env line 6: PLAYLIST holds a space, quote, backslash or $; write it as '…', or where it holds ' \
        or \\ itself as \"…\" with \\ before each \\, \" and $\n  \
        named.env line 1: LOOP must be 1 or 0\n  \
        VIDEO_QUALITY (on the command line) must be 360p, 480p, 720p or 1080p, with 25, 30, 50 or 60 behind it for the frame rate: 720p50\n  \
        PROMETHEUS_PORT (in the environment) must be a number from 0 to 65535";
    assert_eq!(shown, expected);
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let missing = Path::new("/no/such/.env");
    let failed = Settings::load(Some(missing), &|_| Some("/home/me".into()), &[]).unwrap_err();
    assert_eq!(failed.0[0], "/no/such/.env cannot be read: No such file or directory (os error 2)");
}

#[test]
fn values_that_are_not_utf_8_are_refused() {
    use std::os::unix::ffi::OsStringExt;
    let env = |name: &str| match name {
        "PLAYLIST" => Some(OsString::from_vec(vec![0xff])),
        _ => Some("/home/me".into()).filter(|_| name == "HOME"),
    };
    let failed = Settings::load_in(Path::new("/nowhere"), None, &env, &[]).unwrap_err();
    assert_eq!(failed.0, ["PLAYLIST (in the environment) is not UTF-8 text"]);
}

#[test]
fn valid_values_are_usable_beside_invalid_ones() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("my.env");
    fs::write(&file, "VIDEO_QUALITY=4k\nAPI_ID=x\nPLAYLIST=a b\nSHUFFLE=1\nexport LOOP=0\n").unwrap();
    let (settings, problems) =
        Settings::examine(Some(&file), &|name| (name == "HOME").then(|| "/home/me".into()), &[]);
    let settings = settings.unwrap();
    assert_eq!(
        (settings.picture.quality, settings.telegram.api_id),
        (Quality { height: 720, fps: 30 }, None)
    );
    assert_eq!((settings.shuffle, settings.repeat, settings.warnings.len()), (true, false, 1));
    assert_eq!(problems.0.len(), 3);
    assert!(Settings::examine(Some(&file), &|_| None, &[]).0.is_none());
}

#[test]
fn misspelt_names_are_warned_of() {
    let file = "PLAYLST=a\nloop=1\nFFMEPG_ARGS=a\nPROMETHEUS_PROT=1\nTZ=UTC\nLOOK_UP=1\nAPI_ID=1\n# LOPP=1\n";
    let expected = [
        ".env line 1: PLAYLST is not a setting; did you mean PLAYLIST?",
        ".env line 2: loop is not a setting; did you mean LOOP?",
        ".env line 3: FFMEPG_ARGS is not a setting; did you mean FFMPEG_ARGS?",
        ".env line 4: PROMETHEUS_PROT is not a setting; did you mean PROMETHEUS_PORT?",
        ".env line 6: LOOK_UP is not a setting; it has no effect",
    ];
    assert_eq!(load(file, None, &[], &[]).unwrap().warnings, expected);
    // No name of ours is taken for another.
    assert!(TABLE.iter().all(|setting| misspelt(setting.name).is_none()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // Longer than the numbers that the messages themselves name.
    #[test]
    fn no_value_panics_or_is_shown(value in "[^a-zA-Z ]{6,20}|[0-9]{6,30}(ms|s|m|h)") {
        for setting in TABLE {
            let env = |name: &str| Some(OsString::from(if name == setting.name { &*value } else { "/home/me" }))
                .filter(|_| name == setting.name || name == "HOME");
            if let Err(problems) = Settings::load_in(Path::new("/nowhere"), None, &env, &[]) {
                prop_assert!(!problems.to_string().contains(&*value), "{}: {}", setting.name, problems);
            }
        }
    }
}

const TO_OUTPUT: &str = ".env line 1: OUTPUT_URL is set, so the broadcast goes there and not into the Telegram chat that \
                         CHAT_ID names; remove it to go live in Telegram";

const FULL: &str = "API_ID=7\nAPI_HASH=00112233445566778899aabbccddeeff\nCHAT_ID=@name\n";

#[test]
fn an_output_beside_a_full_telegram_is_reported_unless_it_was_typed() {
    let warnings = |file: &str, env: &[(&str, &str)], given: &[(&'static str, &str)]| {
        load(file, None, env, given).unwrap().warnings
    };
    let both = format!("OUTPUT_URL=rtmp://h/a/hidden\n{FULL}");
    assert_eq!(warnings(&both, &[], &[]), [TO_OUTPUT]);
    let from_env = warnings(FULL, &[("OUTPUT_URL", "out.flv")], &[]);
    assert!(from_env[0].starts_with("OUTPUT_URL (in the environment) is set, so"), "{from_env:?}");
    let none: [&str; 0] = [];
    assert_eq!(warnings(&both, &[], &[("OUTPUT_URL", "out.flv")]), none, "typed");
    assert_eq!(warnings("OUTPUT_URL=rtmp://h/a/k\nAPI_ID=7\nCHAT_ID=@name\n", &[], &[]), none, "not full");
    assert_eq!(warnings(FULL, &[], &[]), none);
}

#[test]
fn unknown_names_without_a_suggestion_are_reported() {
    let warnings = |file: &str| load(file, None, &[], &[]).unwrap().warnings;
    assert_eq!(
        warnings("PROXY=socks5://h\nLOOPS=1\n"),
        [
            ".env line 1: PROXY is not a setting; it has no effect",
            ".env line 2: LOOPS is not a setting; did you mean LOOP?"
        ]
    );
    // What children or the runtime read has an effect, where systemd reads the file.
    let none: [&str; 0] = [];
    assert_eq!(warnings("https_proxy=http://h\nTZ=UTC\nRUST_BACKTRACE=1\nLC_ALL=C\nLOOP=1\n"), none);
    let many = (0..1000).fold(String::new(), |all, n| all + &format!("OTHER_PROGRAM_{n}=x\n"));
    let found = warnings(&many);
    assert_eq!(found.len(), 21);
    assert_eq!(found[20], ".env: 980 more names are not settings");
}

#[test]
fn paths_are_absolute_and_names_of_programs_are_not() {
    let file = "PLAYLIST=list.txt\nFILLER=../f.mp4\nMETRICS_FILE=m.prom\nSTATE_DIR=s\nCACHE_DIR=./c\n\
                FFMPEG_PATH=bin/ffmpeg\nYTDLP_PATH=yt-dlp\n";
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".env"), file).unwrap();
    let loaded = Settings::load_in(dir.path(), None, &|_| None, &[]).unwrap();
    let at = |name: &str| dir.path().join(name);
    assert_eq!(loaded.playlist, at("list.txt"));
    assert_eq!(loaded.filler, Some(at("../f.mp4")));
    assert_eq!(loaded.metrics_file, Some(at("m.prom")));
    assert_eq!((loaded.state_dir, loaded.cache_dir), (at("s"), at("c")));
    assert_eq!((loaded.ffmpeg_path, loaded.ytdlp_path), (at("bin/ffmpeg"), "yt-dlp".into()));
    // From the working directory, and given on the command line.
    let given = [("PLAYLIST", "typed.txt"), ("STATE_DIR", "s"), ("CACHE_DIR", "/c")];
    let loaded = Settings::load(None, &|_| None, &given).unwrap();
    assert_eq!(loaded.playlist, std::env::current_dir().unwrap().join("typed.txt"));
}

#[test]
fn a_former_name_is_read_with_a_warning() {
    let settings = load("OUTPUT_URL=rtmp://h/a/k\nCOPY_MATCHING=1\n", None, &[], &[]).unwrap();
    assert!(settings.passthrough);
    let warnings = settings.warnings.join("\n");
    assert!(warnings.contains("line 2: COPY_MATCHING is now PASSTHROUGH"), "{warnings}");
    let file = "OUTPUT_URL=rtmp://h/a/k\nCOPY_MATCHING=1\nPASSTHROUGH=0\n";
    let both = load(file, None, &[], &[]).unwrap();
    assert!(!both.passthrough && both.warnings.len() == 1, "{:?}", both.warnings);
}

#[test]
fn proxies_of_the_stream() {
    let shown =
        |settings: &Settings| settings.ingest_proxies().iter().map(ToString::to_string).collect::<Vec<_>>();
    let load = |lines: &str| load(lines, None, &[], &[]);
    let mtproxy = "tg://proxy?server=m&port=443&secret=dd00112233445566778899aabbccddeeff";
    let settings = load(&format!("TELEGRAM_PROXY='{mtproxy} http://h:3128'\n")).unwrap();
    assert_eq!((shown(&settings), settings.telegram.proxies.len()), (vec!["http://h:3128".to_owned()], 2));
    assert!(settings.warnings.is_empty() && settings.output_url_proxies().is_empty());
    let settings = load("TELEGRAM_PROXY=socks5://h:1\nOUTPUT_PROXY=direct\n").unwrap();
    assert!(shown(&settings).is_empty() && settings.warnings.is_empty());
    let settings = load("TELEGRAM_PROXY=socks5://h:1\nOUTPUT_PROXY='http://a:1 socks5://b:2'\n").unwrap();
    assert_eq!(shown(&settings), ["http://a:1", "socks5://b:2"]);
    assert_eq!(settings.output_url_proxies(), settings.ingest_proxies());
    for (lines, words) in [
        (format!("TELEGRAM_PROXY='{mtproxy}'\n"), "not RTMP; set OUTPUT_PROXY="),
        ("TELEGRAM_PROXY=socks5://h:1\nPUBLISHER=ffmpeg\n".to_owned(), "publishes through no proxy; set"),
    ] {
        let settings = load(&lines).unwrap();
        assert!(shown(&settings).is_empty(), "{lines}");
        assert!(settings.warnings[0].contains(words), "{:?}", settings.warnings);
    }
    for (lines, words) in [
        (format!("OUTPUT_PROXY='{mtproxy}'\n"), "line 1: OUTPUT_PROXY names an MTProxy"),
        ("OUTPUT_PROXY=socks5://h:1\nPUBLISHER=ffmpeg\n".to_owned(), "needs PUBLISHER=native"),
        ("TELEGRAM_PROXY=s3cret:1\n".to_owned(), "line 1: TELEGRAM_PROXY must be socks5://"),
    ] {
        let problems = load(&lines).unwrap_err().0;
        assert!(problems[0].contains(words) && !problems[0].contains("s3cret"), "{problems:?}");
    }
}
