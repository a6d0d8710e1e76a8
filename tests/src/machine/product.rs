//! The product on a box, installed as after a deploy, but without package and deploy script.

use std::{net::SocketAddr, path::Path};

use anyhow::Result;
use tgs_control::{AddressFile, Status, StatusClient};

use super::Machine;
use crate::{
    bin_path::{build, workspace},
    tools,
};

/// The unit of the broadcast.
pub const UNIT: &str = "tg_video_streamer";

/// The settings file of [`UNIT`].
pub const ENV_FILE: &str = "/opt/tg_video_streamer/shared/.env";

const TOP: &str = "/opt/tg_video_streamer";

impl Machine {
    /// Installs a release with the `tools` of this build (`tgs-stream`, …), creates user and
    /// directories, and links the units, as a deploy does. Writes no settings; starts and enables
    /// nothing.
    pub fn install_tree(&self, tools: &[&str]) -> Result<()> {
        let release = format!("{TOP}/releases/test");
        self.put_tree(&workspace().join("deploy/systemd"), &format!("{release}/systemd"))?;
        for name in ["sysusers.d", "tmpfiles.d", "logrotate.d"] {
            let from = workspace().join("deploy").join(name);
            if from.is_dir() {
                self.put_tree(&from, &format!("{release}/{name}"))?;
            }
        }
        self.put_tree(&workspace().join("docs"), &format!("{release}/docs"))?;
        for tool in tools {
            self.put(&build(tool)?, &format!("{release}/bin/{tool}"), 0o755, "root:root")?;
        }
        self.sh(&format!(
            "cd {release}\n\
             systemd-sysusers $PWD/sysusers.d/*.conf\n\
             systemd-tmpfiles --create $PWD/tmpfiles.d/*.conf\n\
             ln -s ../../shared/.env .env\n\
             ln -s ../../shared/ytdlp/current venv\n\
             ln -s releases/test {TOP}/current\n\
             for unit in systemd/*; do ln -s {TOP}/current/$unit /etc/systemd/system/; done\n\
             [ ! -d logrotate.d ] || cp logrotate.d/* /etc/logrotate.d/\n\
             systemctl daemon-reload"
        ))
        .map(drop)
    }

    /// Installs the tests' Python environment as version `test` of yt-dlp, and selects it.
    pub fn install_yt_dlp(&self) -> Result<()> {
        let versions = format!("{TOP}/shared/ytdlp/versions");
        self.put_tree(&tools::venv(), &format!("{versions}/test"))?;
        // pip writes the interpreter's path at installation time into its scripts.
        self.sh(&format!(
            "sed -i '1s|^#!.*/bin/python.*|#!{versions}/test/bin/python3|' $(grep -lI '^#!.*/bin/python' {versions}/test/bin/*)\n\
             ln -sfn /usr/bin/python3 {versions}/test/bin/python3\n\
             ln -s versions/test {versions}/../current\n\
             chown -hR tgstream:tgstream {versions} {versions}/../current"
        ))
        .map(drop)
    }

    /// Writes a settings file that the service owns.
    pub fn settings(&self, file: &str, settings: &[(&str, &str)]) -> Result<()> {
        let lines: Vec<_> = settings.iter().map(|(name, value)| format!("{name}='{value}'\n")).collect();
        self.write(file, &lines.concat(), 0o600)?;
        self.sh(&format!("chown tgstream:tgstream {file}")).map(drop)
    }

    /// Copies a file of this machine into the box, readable by all users.
    pub fn put_media(&self, host: &Path, target: &str) -> Result<()> {
        self.put(host, target, 0o644, "root:root")
    }

    /// Adds a drop-in with these lines to `unit`.
    pub fn drop_in(&self, unit: &str, name: &str, lines: &str) -> Result<()> {
        self.write(&format!("/etc/systemd/system/{unit}.d/{name}.conf"), lines, 0o644)?;
        self.sh("systemctl daemon-reload").map(drop)
    }

    /// `/status` of the tgs-stream with this state directory. Call it from a thread that has joined
    /// the network.
    pub fn status(&self, state: &str) -> Result<Status> {
        let file = AddressFile::in_dir(Path::new(state));
        let address: SocketAddr = self.read(&file.path().to_string_lossy())?.trim().parse()?;
        Ok(StatusClient::new(address).status()?)
    }
}
