//! Network namespaces, for root only. A thread enters one; the threads and processes that it starts
//! stay there.

use std::{
    fs::File,
    os::fd::AsFd as _,
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A namespace; dropping it removes it.
#[derive(Debug)]
pub(crate) struct NetworkNamespace(String);

impl NetworkNamespace {
    /// Creates the namespace `name` with a loopback interface that is up.
    pub(crate) fn new(name: String) -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "a network of its own can be made by root only");
        ip(&["netns", "add", &name])?;
        let namespace = Self(name);
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// The name in /run/netns.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// Moves this thread into the namespace.
    pub(crate) fn enter(&self) -> Result<()> {
        enter(&self.0)
    }

    /// The arguments of nsenter that run a program in the namespace.
    pub(crate) fn option(&self) -> String {
        format!("--net=/run/netns/{}", self.0)
    }

    /// Runs ip(8) on the namespace.
    pub(crate) fn ip(&self, words: &[&str]) -> Result<()> {
        ip(&[&["-n", &self.0], words].concat())
    }

    /// Runs commands of nft(8) in the namespace.
    pub(crate) fn nft(&self, script: &str) -> Result<()> {
        let mut command = Command::new("nsenter");
        command.arg(self.option()).args(["nft", script]);
        run(command, "nftables")
    }

    /// Runs `work` in the namespace, on a thread of its own.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        thread::scope(|scope| {
            let thread = scope.spawn(|| self.enter().and_then(|()| work()));
            thread.join().ok().context("the thread in the network failed")?
        })
    }
}

impl Drop for NetworkNamespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).stderr(Stdio::null()).status();
    }
}

/// Moves this thread into the namespace `name`.
pub(crate) fn enter(name: &str) -> Result<()> {
    let path = format!("/run/netns/{name}");
    let file = File::open(&path).with_context(|| format!("open {path}"))?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .with_context(|| format!("enter the network {path}"))
}

/// Runs ip(8).
pub(crate) fn ip(words: &[&str]) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(words);
    run(command, "iproute2")
}

fn run(mut command: Command, package: &str) -> Result<()> {
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let output = command.output().with_context(|| format!("run {command:?}: apt-get install {package}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    Ok(())
}
