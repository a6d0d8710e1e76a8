//! What `tgs-stream` says and exits with: its options, its settings, `--check`, and what it cannot
//! do without.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    fs,
    os::unix::{fs::symlink, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tgs_e2e::{
    bin_path::tgs_stream,
    broadcast::Launch,
    clips::{Clip, clip},
    flvcheck::Report,
};

fn short() -> Clip {
    clip("second", (320, 180), "30", 44_100, 1000)
}

/// A directory to start the tool in, with all of its own directories inside.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file there.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Puts a playable clip there.
    fn clip(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        short().copy_to(&path).unwrap();
        path
    }

    /// Runs the tool to its end, with these variables on top of the few it needs.
    fn run(&self, args: &[&str], env: &[(&str, &str)]) -> Said {
        let dir = self.path();
        let mut command = Command::new("timeout");
        command.arg("60").arg(tgs_stream()).args(args).current_dir(dir).stdin(Stdio::null());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("STATE_DIR", dir.join("state")).env("CACHE_DIR", dir.join("cache"));
        command.env("HOME", dir).env("PROMETHEUS_PORT", "0").env("VIDEO_QUALITY", "480p");
        // --check measures loudness, and keeps it; tests/tests/sound.rs has that.
        command.env("LOUDNESS", "off");
        let output = command.envs(env.iter().copied()).output().unwrap();
        Said::new(&output, dir)
    }
}

/// How a run ended.
#[derive(Debug)]
struct Said {
    code: i32,
    /// Its stdout, with `DIR` for the directory it ran in.
    out: String,
    /// Its log (stderr): each line's level and words, with `DIR` for the directory it ran in.
    log: String,
}

impl Said {
    fn new(output: &Output, dir: &Path) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(dir.to_str().unwrap(), "DIR");
        let timed = |line: &str| line.get(4..5) == Some("-") && line.get(23..25) == Some("Z ");
        let untimed = |line: &str| if timed(line) { line[25..].to_owned() } else { line.to_owned() };
        let log = text(&output.stderr).lines().map(|line| untimed(line) + "\n").collect();
        let code = output.status.code().unwrap_or_else(|| panic!("signal {:?}", output.status.signal()));
        Self { code, out: text(&output.stdout), log }
    }
}

#[test]
fn help() {
    let home = Home::new();
    let said = home.run(&["--help"], &[]);
    assert_eq!((said.code, &*said.log), (0, ""));
    insta::assert_snapshot!(said.out);
    let said = home.run(&["--version"], &[]);
    assert_eq!((said.code, said.out), (0, format!("tgs-stream {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_command_line_that_makes_no_sense_is_2() {
    let home = Home::new();
    for (args, part) in [
        (&["--nope"][..], "unexpected argument '--nope'"),
        (&["--output"], "a value is required for '--output <URL|FILE.flv>'"),
        (&["--once", "--once"], "cannot be used multiple times"),
    ] {
        let said = home.run(args, &[]);
        assert_eq!((said.code, &*said.out), (2, ""), "{args:?}: {said:?}");
        assert!(said.log.contains(part) && said.log.contains("--help"), "{args:?}: {said:?}");
    }
}

/// What is missing or wrong is one ERROR in words that name it and how to mend it, and an exit code
/// of its own.
#[test]
fn a_failed_start_has_its_exit_code_and_its_reason() {
    let home = Home::new();
    home.clip("a.mp4");
    let clip_length = fs::metadata(home.path().join("a.mp4")).unwrap().len();
    symlink("a.mp4", home.path().join("link.flv")).unwrap();
    let notes = home.write("notes.flv", "dear diary");
    home.write("empty.txt", "# nothing yet\n\n");
    home.write("list.m3u8", "#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:2,\n1.ts\n");
    let ffmpeg = "FFMPEG_PATH=/nonexistent/ffmpeg";
    // Arguments, a variable or none, the exit code, parts of the message.
    let cases: [(&str, &str, i32, &[&str]); 14] = [
        ("a.mp4", "", 78, &["where to publish", "--output", "OUTPUT_URL"]),
        ("a.mp4 --output out.mp4", "", 78, &["--output", ".flv", "rtmp://"]),
        ("a.mp4 --output http://u:hidden@h/hidden", "", 78, &["rtmp://"]),
        ("a.mp4 --output link.flv", "", 78, &["link.flv", "it is also a source", "name another file"]),
        ("a.mp4 --output notes.flv", "", 78, &["notes.flv", "is not an FLV file", "name another file"]),
        ("a.mp4 --output rtmp://u:hidden@h/app/", "", 78, &["stream key", "rtmp://host/app/key"]),
        ("--output out.flv", "", 1, &["playlist", "DIR/playlist.txt", "No such file"]),
        ("--output out.flv --playlist gone.txt", "", 1, &["playlist", "DIR/gone.txt", "No such file"]),
        ("--output out.flv --playlist empty.txt", "", 1, &["DIR/empty.txt", "nothing to play", "SOURCE"]),
        ("--output out.flv --playlist list.m3u8", "", 1, &["DIR/list.m3u8", "HLS"]),
        ("a.mp4 --output out.flv", ffmpeg, 69, &["/nonexistent/ffmpeg", "install ffmpeg", "FFMPEG_PATH"]),
        ("a.mp4 --check", ffmpeg, 69, &["/nonexistent/ffmpeg", "install ffmpeg", "FFMPEG_PATH"]),
        ("a.mp4 --output out.flv", "STATE_DIR=a.mp4/s", 1, &["STATE_DIR", "a.mp4/s"]),
        ("a.mp4 --output out.flv", "CACHE_DIR=a.mp4/c", 1, &["a.mp4/c"]),
    ];
    for (args, env, code, parts) in cases {
        let words: Vec<&str> = args.split(' ').collect();
        let said = home.run(&words, &env.split_once('=').into_iter().collect::<Vec<_>>());
        assert_eq!((said.code, &*said.out), (code, ""), "{args} {env}: {said:?}");
        let errors: Vec<_> = said.log.lines().filter(|line| !line.starts_with("INFO")).collect();
        assert!(errors.len() == 1 && errors[0].starts_with("ERROR failed to "), "{args} {env}: {said:?}");
        for part in parts {
            assert!(errors[0].contains(part), "{args} {env}: “{part}” is not in {}", errors[0]);
        }
        assert!(!said.log.contains("hidden"), "{said:?}");
    }
    assert_eq!(fs::read_to_string(notes).unwrap(), "dear diary", "it was written over");
    assert_eq!(fs::metadata(home.path().join("a.mp4")).unwrap().len(), clip_length, "it was written over");
}

/// Settings for an RTMP server; their secrets are all `hidden`.
const OUTPUT: &str = "OUTPUT_URL=rtmp://u:hidden@127.0.0.1:9/app/hidden\n";

#[test]
fn check_settings_refuses_what_a_start_refuses_in_the_same_words() {
    let home = Home::new();
    home.clip("a.mp4");
    home.write("playlist.txt", "a.mp4\n");
    let output = OUTPUT;
    // Settings, more arguments, part of each refusal.
    let refused: [(String, &str, &[&str]); 15] = [
        (String::new(), "", &["where to publish"]),
        ("API_ID=1\nCHAT_ID=@news\n".into(), "", &["API_HASH not set"]),
        ("OUTPUT_URL=rtmp://u:hidden@h/app/\n".into(), "", &["stream key"]),
        ("OUTPUT_URL=hidden.mp4\n".into(), "", &["OUTPUT_URL", ".flv"]),
        ("OUTPUT_URL=gone/out.flv\n".into(), "", &["there is no directory gone"]),
        (
            output.to_owned() + "ALSO_OUTPUT_URLS='a=rtmp://h/app/ b=rtmp://h:0/app/hidden'\n",
            "",
            &[
                "the output a of ALSO_OUTPUT_URLS: ",
                "stream key",
                "the output b of ALSO_OUTPUT_URLS: ",
                "port",
            ],
        ),
        (output.to_owned() + "LOOP=hidden\n", "", &["line 2: LOOP must be"]),
        (output.to_owned() + "LOOP=2\nREAD_AHEAD=1s\nnonsense\n", "", &["LOOP", "READ_AHEAD", "line 4"]),
        (output.to_owned() + "YTDLP_ARGS=\"--cookies 'hidden\"\n", "", &["YTDLP_ARGS", "quote"]),
        (
            output.to_owned() + "FFMPEG_PATH=/nonexistent/ffmpeg\n",
            "",
            &["/nonexistent/ffmpeg", "install ffmpeg"],
        ),
        (output.to_owned() + "FFMPEG_PATH=/bin/false\n", "", &["/bin/false", "install ffmpeg"]),
        (output.to_owned() + "STATE_DIR=a.mp4/s\n", "", &["use STATE_DIR DIR/a.mp4/s", "not a directory"]),
        (output.to_owned() + "CACHE_DIR=a.mp4/c\n", "", &["use CACHE_DIR DIR/a.mp4/c"]),
        (output.to_owned(), "--fixed-port", &["PROMETHEUS_PORT is not set"]),
        (
            "LOOP=2\nSTATE_DIR=a.mp4/s\nFFMPEG_PATH=/bin/false\nOUTPUT_URL=x\n".into(),
            "",
            &["LOOP", "STATE_DIR", "/bin/false", "OUTPUT_URL"],
        ),
    ];
    for (settings, arg, parts) in refused {
        home.write("s.env", &settings);
        let run = |more: &[&str]| {
            let args =
                [&["--env-file", "s.env"], more, arg.split_whitespace().collect::<Vec<_>>().as_slice()]
                    .concat();
            home.run(&args, &[("PROMETHEUS_PORT", "")])
        };
        let checked = run(&["--check-settings"]);
        assert_eq!((checked.code, &*checked.log), (78, ""), "{settings}: {checked:?}");
        let fails: Vec<_> = checked.out.lines().filter(|line| line.starts_with("FAIL ")).collect();
        for part in parts {
            assert!(fails.iter().any(|line| line.contains(part)), "“{part}” is not in {checked:?}");
        }
        assert!(!checked.out.contains("hidden"), "{checked:?}");
        // The start itself: it ends at once, with the same words.
        let started = run(&[]);
        assert!(started.code > 0, "{settings}: {started:?}");
        let first = fails[0].strip_prefix("FAIL ").unwrap().trim_start_matches("failed to ");
        assert!(started.log.contains(first), "“{first}” is not in {started:?}");
        assert!(!started.log.contains("hidden"), "{started:?}");
    }
}

/// What a start would begin without is a WARN. The check leaves nothing behind.
#[test]
fn check_settings_accepts_what_a_start_accepts() {
    let home = Home::new();
    home.write("playlist.txt", "a.mp4\n");
    let output = OUTPUT;
    let telegram = "API_ID=1\nAPI_HASH=0123456789abcdef0123456789abcdef\nCHAT_ID=-1001234567890\n";
    let dead = "SESSION_STRING=1Apnosuchsession\n";
    let taken: [(String, i32, &[&str]); 5] = [
        (output.to_owned() + "PROMETHEUS_PORT=9090\n", 0, &[]),
        (output.to_owned() + "FFMPEG_ARGS='-no_such_option 1'\n", 0, &["WARN FFMPEG_ARGS are not used"]),
        (
            output.to_owned() + "PLAYLIST=gone.txt\nFILLER=gone.mp4\n",
            0,
            &["WARN PLAYLIST DIR/gone.txt", "WARN FILLER DIR/gone.mp4"],
        ),
        (telegram.to_owned(), 0, &["WARN SESSION_STRING is not set"]),
        // It begins, and is off the air.
        (telegram.to_owned() + dead, 78, &["FAIL SESSION_STRING "]),
    ];
    for (settings, code, parts) in taken {
        home.write("s.env", &settings);
        let said = home.run(&["--env-file", "s.env", "--check-settings"], &[]);
        assert_eq!((said.code, &*said.log), (code, ""), "{settings}: {said:?}");
        let told = said.out.lines().filter(|line| line.starts_with("WARN") || line.starts_with("FAIL"));
        assert_eq!(told.count(), parts.len(), "{settings}: {said:?}");
        for part in parts {
            assert!(said.out.contains(part), "“{part}” is not in {said:?}");
        }
        assert!(!said.out.contains("1Ap"), "{said:?}");
    }
    assert!(!home.path().join("state").exists() && !home.path().join("cache").exists());
}

#[test]
fn every_problem_of_the_settings_is_reported_by_line_and_name() {
    let home = Home::new();
    home.clip("a.mp4");
    let file = "# mine\nVIDEO_QUALITY=hidden1\nOUTPUT_URL=rtmp://h/app/hidden2\nLOOP=hidden3\nnonsense hidden4\n\
                READ_AHEAD=hidden5\nLOOP=hidden6\nPROMETHEUS_PORT='hidden7\n";
    home.write("bad.env", file);
    let said = home.run(&["--env-file", "bad.env", "a.mp4"], &[("SHUFFLE", "hidden8")]);
    assert_eq!((said.code, &*said.out), (78, ""), "{said:?}");
    assert!(!said.log.contains("hidden"), "{said:?}");
    let all = [
        "bad.env line 2: VIDEO_QUALITY must be",
        "bad.env line 4: LOOP must be",
        "bad.env line 5: the line",
        "bad.env line 6: READ_AHEAD",
        "bad.env line 7: LOOP is set a second time",
        "bad.env line 8: PROMETHEUS_PORT opens a quote",
        "SHUFFLE (in the environment) must be",
    ];
    for part in all {
        let with = said.log.lines().filter(|line| line.starts_with("ERROR ") && line.contains(part));
        assert_eq!(with.count(), 1, "“{part}” in {}", said.log);
    }
    assert_eq!(said.log.lines().count(), all.len(), "{}", said.log);
    let said = home.run(&["--env-file", "gone.env", "a.mp4"], &[]);
    assert!(said.code == 78 && said.log.contains("gone.env cannot be read"), "{said:?}");
}

/// Which of several places a setting is taken from, seen by the list that is checked.
#[test]
fn a_named_env_file_wins_over_the_environment_and_the_one_lying_there_only_fills() {
    let home = Home::new();
    for name in ["line", "file", "there", "env"] {
        home.clip(&format!("{name}.mp4"));
        home.write(&format!("{name}.txt"), &format!("{name}.mp4\n"));
    }
    home.write("named", "PLAYLIST=file.txt\n");
    home.write("blank", "PLAYLIST=\n");
    home.write("playlist.txt", "env.mp4\nfile.mp4\n");
    let taken = |args: &[&str], env: &[(&str, &str)]| {
        let said = home.run(&[&["--check"], args].concat(), env);
        assert_eq!(said.code, 0, "{said:?}");
        let lines = said.out.lines().filter_map(|line| line.split_once("<DIR/")?.1.strip_suffix(".mp4>"));
        lines.collect::<Vec<_>>().join(" ")
    };
    let env = [("PLAYLIST", "env.txt")];
    assert_eq!(taken(&[], &[]), "env file");
    assert_eq!(taken(&[], &env), "env");
    assert_eq!(taken(&["--env-file", "named"], &env), "file");
    home.write(".env", "PLAYLIST=there.txt\n");
    assert_eq!(taken(&[], &[]), "there");
    assert_eq!(taken(&[], &env), "env");
    assert_eq!(taken(&["--env-file", "named"], &env), "file");
    assert_eq!(taken(&["--playlist", "line.txt", "--env-file", "named"], &env), "line");
    // An empty value is an unset one, and hides what the environment has kept of the file.
    assert_eq!(taken(&["--env-file", "blank"], &env), "env file");
}

#[test]
fn check_tells_what_would_play_how_long_and_what_cannot() {
    let home = Home::new();
    home.clip("a.mp4");
    home.clip("-b é.mp4");
    home.write("list.txt", "a.mp4\n-b é.mp4\n");
    let said = home.run(&["--check", "--playlist", "list.txt"], &[]);
    assert_eq!((said.code, &*said.log), (0, ""), "{said:?}");
    insta::assert_snapshot!(said.out, @"
        1    0:00:01  a  <DIR/a.mp4>
        2    0:00:01  -b é  <DIR/-b é.mp4>
    2 of 2 can be played, 0:00:02
    ");
    home.write("text.mp4", "no video\n");
    home.write("empty.mp4", "");
    home.write("list.txt", "gone.mp4\na.mp4\n\ntext.mp4\nempty.mp4\n");
    let said = home.run(&["--check", "--playlist", "list.txt"], &[]);
    assert_eq!((said.code, &*said.log), (1, ""), "{said:?}");
    insta::assert_snapshot!(said.out, @"
        1     CANNOT  gone  <DIR/gone.mp4>: there is no such file (line 1 of DIR/list.txt)
        2    0:00:01  a  <DIR/a.mp4>
        3     CANNOT  text  <DIR/text.mp4>: it is cut off before its index, or no video at all (moov atom not found) (line 4 of DIR/list.txt)
        4     CANNOT  empty  <DIR/empty.mp4>: the file is empty (line 5 of DIR/list.txt)
    1 of 4 can be played, 0:00:01
    ");
    // It needs neither an output nor a state directory of its own, and leaves nothing behind.
    assert!(!home.path().join("state").exists() && !home.path().join("cache").exists());
}

#[test]
fn once_plays_everything_once_and_ends() {
    let clips = [short().path().unwrap(), clip("two", (320, 180), "25", 48_000, 2000).path().unwrap()];
    // Neither an earlier position nor LOOP changes what --once plays.
    let broadcast = Launch::to("out.flv").unwrap().play(&clips).arg("--once").set("LOOP", "1");
    let broadcast = broadcast.finish(Duration::from_mins(1)).unwrap();
    assert_eq!(broadcast.warnings(), [""; 0]);
    let report = Report::of_file(&broadcast.dir().join("out.flv")).unwrap();
    report.check(30.0, 44_100.0).unwrap();
    assert!(report.video.frames.abs_diff(90) <= 2, "{} pictures", report.video.frames);
}

/// Children run in another directory: what is found at the start must be found by them too.
#[test]
fn relative_paths_of_the_settings_are_those_of_the_working_directory() {
    let home = Home::new();
    home.clip("a.mp4");
    fs::create_dir(home.path().join("bin")).unwrap();
    for name in ["ffmpeg", "ffprobe"] {
        symlink(tgs_core::process::find(name).unwrap(), home.path().join("bin").join(name)).unwrap();
    }
    let env = [("FFMPEG_PATH", "bin/ffmpeg"), ("FILLER", "a.mp4"), ("STATE_DIR", "s"), ("CACHE_DIR", "./c")];
    let said = home.run(&["--once", "--output", "out.flv", "a.mp4"], &env);
    assert!(said.code == 0 && !said.log.contains("WARN"), "{said:?}");
    assert!(said.log.contains("on air: a\n"), "{said:?}");
}

#[test]
fn once_with_nothing_that_plays_is_a_failure() {
    let home = Home::new();
    home.clip("a.mp4");
    home.write("text.mp4", "no video\n");
    let run = |sources: &[&str]| home.run(&[&["--once", "--output", "out.flv"], sources].concat(), &[]);
    let said = run(&["gone.mp4", "text.mp4"]);
    assert_eq!(said.code, 1, "{said:?}");
    let bad: Vec<_> = said.log.lines().filter(|line| !line.starts_with("INFO")).collect();
    insta::assert_snapshot!(bad.join("\n"), @"
    WARN  skipped “gone”: there is no such file
    WARN  skipped “text”: it is cut off before its index, or no video at all (moov atom not found)
    ERROR failed to play anything: none of the entries can be played
    ");
    let said = run(&["gone.mp4", "a.mp4", "text.mp4"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.log.lines().filter(|line| line.starts_with("WARN")).count(), 2, "{said:?}");
    assert_eq!(said.log.lines().filter(|line| line.contains("on air: ")).count(), 1, "{said:?}");
}

#[test]
fn a_second_one_with_the_same_state_leaves_the_first_alone() {
    let mut first =
        Launch::to("out.flv").unwrap().arg("--realtime").play([short().path().unwrap()]).start().unwrap();
    first.wait_item("", 1, Duration::from_secs(30)).unwrap();
    let page = first.get("/metrics").unwrap().0;
    let home = Home::new();
    home.clip("a.mp4");
    let state = first.dir().join("state");
    let second = || home.run(&["--output", "2.flv", "a.mp4"], &[("STATE_DIR", state.to_str().unwrap())]);
    let said = second();
    assert_eq!(said.code, 75, "{said:?}");
    assert!(said.log.contains(&format!("pid {}", first.pid())), "{said:?}");
    assert!(said.log.contains(state.to_str().unwrap()) && said.log.contains("STATE_DIR"), "{said:?}");
    assert!(!home.path().join("2.flv").exists());
    assert_eq!((page, first.get("/metrics").unwrap().0), (200, 200));
    first.wait_item("", 2, Duration::from_secs(30)).unwrap();
    // Killed, it leaves no lock behind.
    first.signal(rustix::process::Signal::KILL).unwrap();
    first.wait(Duration::from_secs(5)).unwrap();
    let said = home.run(&["--output", "2.flv", "--once", "a.mp4"], &[("STATE_DIR", state.to_str().unwrap())]);
    assert_eq!(said.code, 0, "{said:?}");
}
