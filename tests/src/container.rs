//! The image of the tools, built and run by podman. Root only.
//!
//! The image is built from `deploy/container/Containerfile` with the package of the last
//! `cargo xtask dist`, over a base image of this machine's own Debian packages, so no registry is
//! needed. Images lie in `target/containers`, apart from those of the machine.
//!
//! Containers share the machine's network: the test's servers on 127.0.0.1 are theirs. One ends
//! with its value, and after five minutes if the test is killed.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::{
    bin_path::{target_dir, workspace},
    machine::text_of,
    tools,
};

/// The user and group of the image.
pub const USER: u32 = 10001;

/// The image of the tools.
pub const IMAGE: &str = "localhost/tgs-test";
const BASE: &str = "localhost/tgs-test-base";
const BASE_SCRIPT: &str = "tests/src/container/base.sh";
/// The packages of the Containerfile that the machine has; the fonts are of no use here.
const PACKAGES: &str = "ca-certificates ffmpeg python3-venv tzdata";
/// The longest life of a container.
const LIFE: Duration = Duration::from_mins(5);

/// The runtime knows cgroups of both versions, and asks for no higher limits than the machine has.
const CONFIGURATION: &str = "[engine]\ncgroup_manager = \"cgroupfs\"\nruntime = \"runc\"\nevents_logger = \"file\"\n\
    [containers]\nlog_driver = \"k8s-file\"\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n";

/// Podman with the image.
#[derive(Debug)]
pub struct Podman {
    dir: PathBuf,
}

impl Podman {
    /// Builds the image; unchanged parts come from the last build.
    pub fn with_image() -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "the container is run by root only");
        let podman = Self { dir: target_dir("containers")? };
        let dir = podman.dir.display();
        let storage = format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"{dir}/images\"\nrunroot = \"/run/tgs-containers\"\n"
        );
        fs::write(podman.dir.join("storage.conf"), storage)?;
        fs::write(podman.dir.join("containers.conf"), CONFIGURATION)?;
        let base = podman.base()?;
        let mut build = podman.configured(workspace().join("deploy/container/build-image.sh"));
        build.arg(tools::package()?).args([IMAGE, "--network", "none", "--quiet"]);
        let version = tools::YT_DLP_VERSIONS[0];
        for value in [
            format!("BASE={base}"),
            format!("PACKAGES={PACKAGES}"),
            format!("YT_DLP=yt-dlp[default]=={version} deno"),
        ] {
            build.arg("--build-arg").arg(value);
        }
        tools::wheels()?;
        text_of("build the image", &build.env("WHEELS", tools::wheels_dir()).output().context("run bash")?)?;
        Ok(podman)
    }

    /// The base image for the packages that the machine has now.
    fn base(&self) -> Result<String> {
        let script = workspace().join(BASE_SCRIPT);
        let state = [fs::read(&script)?, fs::read("/var/lib/dpkg/status")?, PACKAGES.into()];
        let image = format!("{BASE}:{}", tgs_core::digest::key(state));
        if self.command(&["image", "exists", &image]).status().context("run podman")?.success() {
            return Ok(image);
        }
        let mut make = Command::new("bash")
            .arg(script)
            .args(PACKAGES.split(' '))
            .stdout(Stdio::piped())
            .spawn()
            .context("run bash")?;
        let archive = make.stdout.take().context("an archive without output")?;
        let imported = self.command(&["import", "--quiet", "-", &image]).stdin(archive).output()?;
        text_of("import the base image", &imported)?;
        ensure!(make.wait()?.success(), "{BASE_SCRIPT} failed");
        Ok(image)
    }

    /// `podman` with these words.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = self.configured("podman");
        command.args(words).stdin(Stdio::null());
        command
    }

    /// Runs `podman` and returns its standard output; a non-zero exit status is an error.
    pub fn podman(&self, words: &[&str]) -> Result<String> {
        text_of(&words.join(" "), &self.command(words).output().context("run podman")?)
    }

    /// `podman-compose` with these files of `deploy/container` and words.
    #[must_use]
    pub fn compose(&self, files: &[&Path], words: &[&str]) -> Command {
        let mut command = self.configured(tools::manifest_checks().join("bin/podman-compose"));
        command.arg("--in-pod=0");
        for file in files {
            command.arg("--file").arg(file);
        }
        command.args(words).env("TGS_IMAGE", IMAGE).stdin(Stdio::null());
        command
    }

    fn configured(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("CONTAINERS_STORAGE_CONF", self.dir.join("storage.conf"));
        command.env("CONTAINERS_CONF", self.dir.join("containers.conf"));
        command
    }
}

/// What a container is run with.
#[derive(Debug)]
pub struct Setup {
    dir: TempDir,
    env: Vec<(String, String)>,
    volumes: Vec<String>,
}

impl Setup {
    /// Volumes for state, cache and socket, as in `compose.yml`.
    pub fn new() -> Result<Self> {
        let mut setup = Self { dir: tempfile::tempdir()?, env: Vec::new(), volumes: Vec::new() };
        // Others may enter: the container's user is another.
        fs::set_permissions(setup.dir.path(), fs::Permissions::from_mode(0o755))?;
        for (name, place) in [
            ("state", "/var/lib/tg_video_streamer"),
            ("cache", "/var/cache/tg_video_streamer"),
            ("run", "/run/tg_video_streamer"),
        ] {
            let dir = setup.path(name);
            fs::create_dir(&dir)?;
            chown(&dir, Some(USER), Some(USER))?;
            setup = setup.volume(&dir, place, "rw");
        }
        for (name, place) in [("media", "/media"), ("secrets", "/run/secrets/tgs")] {
            fs::create_dir(setup.path(name))?;
            let dir = setup.path(name);
            setup = setup.volume(&dir, place, "ro");
        }
        Ok(setup)
    }

    /// A file or directory of the setup: `state`, `cache`, `run`, `media`, `secrets`.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Adds a variable of the environment.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes `value` into a file of the secrets and sets `NAME_FILE`.
    pub fn secret(self, name: &str, value: &str) -> Result<Self> {
        let mut file = fs::File::create(self.path("secrets").join(name))?;
        file.write_all(value.as_bytes())?;
        file.set_permissions(fs::Permissions::from_mode(0o444))?;
        Ok(self.set(&format!("{name}_FILE"), &format!("/run/secrets/tgs/{name}")))
    }

    /// Mounts `host` at `place`.
    #[must_use]
    pub fn volume(mut self, host: &Path, place: &str, mode: &str) -> Self {
        self.volumes.push(format!("{}:{place}:{mode}", host.display()));
        self
    }

    /// Starts a container as `compose.yml` does: read-only, without capabilities.
    pub fn start<'a>(&self, podman: &'a Podman) -> Result<Container<'a>> {
        static TURN: AtomicU32 = AtomicU32::new(0);
        let name = format!("tgs-{}-{}", std::process::id(), TURN.fetch_add(1, Ordering::Relaxed));
        let life = LIFE.as_secs().to_string();
        let mut run = podman.command(&["run", "--detach", "--name", &name, "--timeout", &life]);
        run.args([
            "--read-only",
            "--read-only-tmpfs=false",
            "--tmpfs",
            "/tmp:mode=1777",
            "--cap-drop",
            "all",
        ]);
        run.args(["--security-opt", "no-new-privileges", "--network", "host"]);
        for volume in &self.volumes {
            run.args(["--volume", volume]);
        }
        for (name, value) in &self.env {
            run.arg("--env").arg(format!("{name}={value}"));
        }
        let container = Container { podman, name };
        // Waits of the session, not of the broadcast, are 60 times shorter.
        run.args([IMAGE, "tgs-stream", "--time-scale", "60"]);
        text_of("podman run", &run.output().context("run podman")?)?;
        Ok(container)
    }
}

/// A running container; dropping it removes it.
#[derive(Debug)]
pub struct Container<'a> {
    podman: &'a Podman,
    /// Its name.
    pub name: String,
}

impl Container<'_> {
    /// Runs a program in the container; a non-zero exit status is no error.
    pub fn run(&self, words: &[&str]) -> Result<Output> {
        self.podman.command(&[&["exec", &self.name], words].concat()).output().context("run podman exec")
    }

    /// Runs a program in the container and returns its standard output.
    pub fn exec(&self, words: &[&str]) -> Result<String> {
        text_of(&words.join(" "), &self.run(words)?)
    }

    /// `podman VERB... NAME`
    pub fn podman(&self, words: &[&str]) -> Result<String> {
        self.podman.podman(&[words, &[&self.name]].concat())
    }

    /// Everything that it has written.
    pub fn log(&self) -> Result<String> {
        let mut log = self.podman.command(&["logs", &self.name]);
        let (mut out, err) = std::io::pipe()?;
        let mut child = log.stdout(err.try_clone()?).stderr(err).spawn()?;
        drop(log);
        let mut text = String::new();
        out.read_to_string(&mut text)?;
        child.wait()?;
        Ok(text)
    }

    /// Waits for its end and returns its exit code.
    pub fn wait(&self) -> Result<i32> {
        self.podman(&["wait"])?.parse().context("an exit code")
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = self.podman(&["rm", "--force", "--time", "0"]);
    }
}
