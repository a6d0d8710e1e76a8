//! A tool that root starts on a service's files works as the service's user: what that user has
//! planted there leads root nowhere. As root only.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink},
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;
use tgs_e2e::bin_path::build;

/// nobody.
const SERVICE: u32 = 65534;
/// Another user, without a name.
const OTHER: u32 = 4_000_000_002;

/// A directory of a service's with its settings, and one of root's alone.
struct Scene {
    dir: TempDir,
}

impl Scene {
    fn new(settings: &str) -> Self {
        assert!(rustix::process::geteuid().is_root(), "a tool that root starts can be tried by root only");
        let scene = Self { dir: tempfile::tempdir().unwrap() };
        fs::set_permissions(scene.dir.path(), Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(scene.at("service")).unwrap();
        fs::create_dir(scene.at("roots")).unwrap();
        fs::set_permissions(scene.at("roots"), Permissions::from_mode(0o700)).unwrap();
        fs::write(scene.at("roots/secret"), "hidden-from-others\n").unwrap();
        for dir in ["state", "cache"] {
            fs::create_dir(scene.service(dir)).unwrap();
        }
        let [state, cache] = ["state", "cache"].map(|name| scene.service(name).display().to_string());
        let text = format!("STATE_DIR={state}\nCACHE_DIR={cache}\nPLAYLIST=list.txt\n{settings}");
        fs::write(scene.service(".env"), text).unwrap();
        fs::write(scene.service("list.txt"), "film.mp4\n").unwrap();
        scene.give();
        scene
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn service(&self, name: &str) -> PathBuf {
        self.at("service").join(name)
    }

    /// Everything in it is the service's.
    fn give(&self) {
        let mut all = vec![self.at("service")];
        while let Some(path) = all.pop() {
            lchown(&path, Some(SERVICE), Some(SERVICE)).unwrap();
            if path.is_dir() && !path.is_symlink() {
                all.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
        }
    }

    /// A program of the service's that ends with 77 where root runs it, else with 88.
    fn program(&self, name: &str) -> PathBuf {
        let path = self.service(name);
        fs::write(&path, "#!/bin/sh\n[ \"$(id -u)\" = 0 ] && exit 77\nexit 88\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        self.give();
        path
    }

    /// Runs a tool as root with these settings.
    fn run(&self, tool: &str, args: &[&str]) -> Output {
        let mut command = Command::new(build(tool).unwrap());
        command.arg("--env-file").arg(self.service(".env")).args(args);
        command.current_dir(self.dir.path()).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/root");
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// Nothing of root's has changed, and nothing in the service's directory is root's.
    #[track_caller]
    fn untouched(&self) {
        let names: Vec<_> =
            fs::read_dir(self.at("roots")).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(names, ["secret"]);
        assert_eq!(fs::read_to_string(self.at("roots/secret")).unwrap(), "hidden-from-others\n");
        let mut all = vec![self.at("service")];
        while let Some(path) = all.pop() {
            let meta = path.symlink_metadata().unwrap();
            assert_eq!(meta.uid(), SERVICE, "{}", path.display());
            if meta.is_dir() {
                all.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
        }
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn programs_that_the_settings_name_are_not_run_by_root() {
    for (tool, args) in [
        ("tgs-stream", &["--check"][..]),
        ("tgs-stream", &["--output", "rtmp://127.0.0.1:9/live/x"]),
        ("tgs-diag", &["--offline"]),
    ] {
        let scene = Scene::new("");
        let (ffmpeg, ytdlp) = (scene.program("ffmpeg"), scene.program("yt-dlp"));
        scene.program("ffprobe");
        let text = fs::read_to_string(scene.service(".env")).unwrap();
        let list = scene.service("list.txt");
        let text = text.replace("=list.txt", &format!("={}", list.display()));
        let more = format!("FFMPEG_PATH={}\nYTDLP_PATH={}\n", ffmpeg.display(), ytdlp.display());
        fs::write(scene.service(".env"), text + &more).unwrap();
        let output = scene.run(tool, args);
        let said = said(&output);
        assert!(
            said.contains(" exited with 88") && !said.contains(" exited with 77"),
            "{tool} {args:?}: {said}"
        );
        scene.untouched();
    }
}

#[test]
fn root_writes_nothing_where_a_link_leads() {
    let scene = Scene::new("OUTPUT_URL=rtmp://127.0.0.1:9/live/x\n");
    // Into what is root's, from each place that is written.
    for name in ["state/lock", "state/metrics.port", "state/position.json", "state/scratch", "cache/items"] {
        symlink(scene.at("roots/planted"), scene.service(name)).unwrap();
    }
    scene.give();
    for args in [&[][..], &["--check"], &["--cache-status"], &["--cache-clear"]] {
        let output = scene.run("tgs-stream", args);
        assert!(!said(&output).contains("hidden-from-others"), "{args:?}: {}", said(&output));
        scene.untouched();
    }
}

#[test]
fn a_link_to_another_owner_is_not_trusted() {
    let scene = Scene::new("");
    let others = scene.at("others");
    fs::create_dir_all(others.join("versions/x")).unwrap();
    symlink(scene.at("roots/secret"), others.join("versions/x/tgs-version")).unwrap();
    symlink("versions/x", others.join("current")).unwrap();
    for (owner, word) in [(OTHER, "belongs to nobody, but"), (0, "none")] {
        chown(&others, Some(owner), Some(owner)).unwrap();
        let _ = fs::remove_file(scene.service("ytdlp"));
        symlink(&others, scene.service("ytdlp")).unwrap();
        scene.give();
        let root = scene.service("ytdlp");
        let root = root.to_str().unwrap();
        for task in [&["--status"][..], &["--rollback"], &["--find-links", root]] {
            let output = scene.run("tgs-ytdlp-update", &[&["--root", root], task].concat());
            let said = said(&output);
            assert!(!said.contains("hidden-from-others"), "{owner} {task:?}: {said}");
            assert!(owner == 0 || said.contains(word), "{owner} {task:?}: {said}");
            assert_eq!(fs::read_dir(&others).unwrap().count(), 2, "{owner} {task:?}: {said}");
            scene.untouched();
        }
    }
}

#[test]
fn settings_of_roots_on_a_state_of_the_services_are_refused_with_the_remedy() {
    let scene = Scene::new("");
    let own = scene.at("roots/.env");
    let text = format!("STATE_DIR={}\nCACHE_DIR=/var/tmp\n", scene.service("state").display());
    fs::write(&own, text).unwrap();
    fs::set_permissions(&own, Permissions::from_mode(0o600)).unwrap();
    let env = own.to_str().unwrap();
    for (tool, args) in [("tgs-stream", &["--check"][..]), ("tgs-session", &["--show"])] {
        let output = Command::new(build(tool).unwrap())
            .args(["--env-file", env])
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(78), "{}", said(&output));
        let remedy = format!("who cannot read {env}, which is root's; run: chown nobody: {env}");
        assert!(said(&output).contains(&remedy), "{}", said(&output));
    }
}
