//! Other people's proxies (dante, microsocks, tinyproxy, mtprotoproxy) between two networks. The
//! inner one has Telegram's real addresses and the ingest, whose name only the proxies can look up;
//! the outer one reaches nothing but the proxies.
//!
//! Root only. A thread enters a network; the threads and processes that it starts stay there.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::{
    netns::{self, ip},
    nginx::free_port,
    tools,
};

/// The address of the proxies.
pub const PROXIES: &str = "10.114.0.1";

/// DC 1 and DC 2, as in the table of tgs-telegram.
pub const DCS: [&str; 2] = ["149.154.175.53:443", "149.154.167.41:443"];

/// Other addresses of DC 1 and DC 2, as in mtprotoproxy's table.
const DCS_OF_MTPROTOPROXY: [&str; 2] = ["149.154.175.50", "149.154.167.51"];

/// A name that only the proxies know: their 127.0.0.1.
pub const INGEST: &str = "ingest.tgs.test";

/// The user of dante and tinyproxy.
pub const USER: &str = "viewer";

const READY_WITHIN: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// A side of the blocked link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkSide {
    /// Where Telegram, the ingest and the proxies are.
    Inner,
    /// Where tgs is.
    Outer,
}

/// Two networks; dropping the value removes them.
#[derive(Debug)]
pub struct BlockedNetwork {
    name: String,
    dir: TempDir,
}

impl BlockedNetwork {
    /// Creates both, and enters the inner one.
    pub fn new() -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "a network of its own can be made by root only");
        let name = format!("tgs-px-{}", std::process::id());
        let network = Self { name, dir: tempfile::tempdir()? };
        let (inner, outer) = (network.name_of(NetworkSide::Inner), network.name_of(NetworkSide::Outer));
        for side in [&inner, &outer] {
            ip(&["netns", "add", side])?;
            ip(&["-n", side, "link", "set", "lo", "up"])?;
        }
        ip(&[
            "link", "add", "cable", "netns", &inner, "type", "veth", "peer", "name", "cable", "netns", &outer,
        ])?;
        for (side, address) in [(&inner, PROXIES), (&outer, "10.114.0.2")] {
            ip(&["-n", side, "address", "add", &format!("{address}/30"), "dev", "cable"])?;
            ip(&["-n", side, "link", "set", "cable", "up"])?;
        }
        for dc in DCS {
            network.add_address(NetworkSide::Inner, dc.split(':').next().unwrap_or_default())?;
        }
        fs::write(network.dir.path().join("hosts"), format!("127.0.0.1 localhost {INGEST}\n"))?;
        network.enter(NetworkSide::Inner)?;
        Ok(network)
    }

    /// Moves this thread to a side.
    pub fn enter(&self, side: NetworkSide) -> Result<()> {
        netns::enter(&self.name_of(side))
    }

    /// Adds an address to the loopback interface of a side.
    pub fn add_address(&self, side: NetworkSide, address: &str) -> Result<()> {
        self.change_address("add", side, address)
    }

    /// Removes an address of [`BlockedNetwork::add_address`]: nothing leads to it.
    pub fn remove_address(&self, side: NetworkSide, address: &str) -> Result<()> {
        self.change_address("delete", side, address)
    }

    fn change_address(&self, change: &str, side: NetworkSide, address: &str) -> Result<()> {
        let length = if address.contains(':') { 128 } else { 32 };
        let address = format!("{address}/{length}");
        ip(&["-n", &self.name_of(side), "address", change, &address, "dev", "lo"])
    }

    fn name_of(&self, side: NetworkSide) -> String {
        let suffix = if side == NetworkSide::Inner { "inner" } else { "outer" };
        format!("{}-{suffix}", self.name)
    }

    /// Starts `program` in the inner network, with the names of the proxies and these other files.
    fn start(&self, program: &str, args: &[&str], files: &[(&Path, &str)]) -> Result<Child> {
        let hosts = self.dir.path().join("hosts");
        let mut script = String::from("mount --bind \"$1\" /etc/hosts; shift\n");
        let mut words = vec![hosts.display().to_string()];
        for (from, to) in files {
            script.extend(["mount --bind \"$1\" ", to, "; shift\n"]);
            words.push(from.display().to_string());
        }
        script += "exec \"$@\"";
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.name_of(NetworkSide::Inner)));
        command.args(["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"]);
        command.args(["sh", "-ec", &script, "sh"]).args(words).arg(program).args(args);
        let log = File::create(self.dir.path().join("proxy.log"))?;
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log).spawn().with_context(|| format!("run {program}"))
    }
}

impl Drop for BlockedNetwork {
    fn drop(&mut self) {
        for side in [NetworkSide::Inner, NetworkSide::Outer] {
            let _ = Command::new("ip").args(["netns", "delete", &self.name_of(side)]).status();
        }
    }
}

/// A running proxy; dropping the value ends it.
#[derive(Debug)]
pub struct ProxyServer {
    child: Child,
    /// Its port at [`PROXIES`].
    pub port: u16,
}

impl ProxyServer {
    /// microsocks with `login` (user and password), at `port` or a free one.
    pub fn microsocks(
        network: &BlockedNetwork,
        login: Option<(&str, &str)>,
        port: Option<u16>,
    ) -> Result<Self> {
        let port = port.map_or_else(free_port, Ok)?;
        let number = port.to_string();
        let mut args = vec!["-i", PROXIES, "-p", &number];
        if let Some((user, password)) = login {
            args.extend(["-u", user, "-P", password]);
        }
        Self { child: network.start("microsocks", &args, &[])?, port }.ready(network)
    }

    /// dante, which accepts [`USER`] with `password`.
    pub fn dante(network: &BlockedNetwork, password: &str) -> Result<Self> {
        let port = free_port()?;
        let dir = network.dir.path();
        let hash =
            Command::new("openssl").args(["passwd", "-6", password]).output().context("run openssl")?;
        let hash = String::from_utf8(hash.stdout)?;
        let (passwd, shadow) = (dir.join("passwd"), dir.join("shadow"));
        let known = fs::read_to_string("/etc/passwd")?;
        fs::write(&passwd, format!("{known}{USER}:x:64998:64998::/:/usr/sbin/nologin\n"))?;
        fs::write(&shadow, format!("{USER}:{}:19000:0:99999:7:::\n", hash.trim()))?;
        let config = write(
            &dir.join("danted.conf"),
            &format!(
                "logoutput: stderr\ninternal: {PROXIES} port = {port}\nexternal: {PROXIES}\nsocksmethod: username\n\
                 clientmethod: none\nuser.privileged: root\nuser.unprivileged: nobody\n\
                 client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}\nsocks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}\n"
            ),
        )?;
        let files = [(&*passwd, "/etc/passwd"), (&*shadow, "/etc/shadow")];
        Self { child: network.start("danted", &["-f", &config], &files)?, port }.ready(network)
    }

    /// tinyproxy, which accepts [`USER`] with `password`.
    pub fn tinyproxy(network: &BlockedNetwork, password: &str) -> Result<Self> {
        let port = free_port()?;
        let config = write(
            &network.dir.path().join("tinyproxy.conf"),
            &format!(
                "Port {port}\nListen {PROXIES}\nTimeout 600\nMaxClients 20\nBasicAuth {USER} {password}\n"
            ),
        )?;
        Self { child: network.start("tinyproxy", &["-d", "-c", &config], &[])?, port }.ready(network)
    }

    /// mtprotoproxy with this key (32 hexadecimal digits), at `port` or a free one.
    pub fn mtprotoproxy(network: &BlockedNetwork, key: &str, port: Option<u16>) -> Result<Self> {
        let port = port.map_or_else(free_port, Ok)?;
        let program = tools::mtprotoproxy()?;
        let python = tools::venv().join("bin/python").display().to_string();
        let config = write(
            &network.dir.path().join("config.py"),
            &format!(
                "PORT = {port}\nUSERS = {{'tg': '{key}'}}\nTLS_DOMAIN = 'www.example.org'\nMASK = False\n\
                 LISTEN_ADDR_IPV6 = ''\nPREFER_IPV6 = False\n"
            ),
        )?;
        // It passes `loop=`, which Python 3.10 has removed.
        let [dc_1, dc_2] = DCS.map(|address| address.split(':').next().unwrap_or_default());
        let [old_1, old_2] = DCS_OF_MTPROTOPROXY;
        let start = format!(
            "import asyncio, sys\nstart = asyncio.start_server\n\
             asyncio.start_server = lambda *args, loop=None, **named: start(*args, **named)\n\
             sys.argv.pop(0)\nfile = sys.argv[0]\n\
             program = open(file).read().replace('{old_1}', '{dc_1}').replace('{old_2}', '{dc_2}')\n\
             exec(compile(program, file, 'exec'), {{'__name__': '__main__', '__file__': file}})\n"
        );
        let start = write(&network.dir.path().join("start.py"), &start)?;
        let program = program.display().to_string();
        Self { child: network.start(&python, &[&start, &program, &config], &[])?, port }.ready(network)
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{PROXIES}:{}", self.port)
    }

    fn ready(mut self, network: &BlockedNetwork) -> Result<Self> {
        let until = Instant::now() + READY_WITHIN;
        let address: SocketAddr = self.address().parse()?;
        while TcpStream::connect_timeout(&address, POLL).is_err() {
            let log = || fs::read_to_string(network.dir.path().join("proxy.log")).unwrap_or_default();
            if let Some(status) = self.child.try_wait()? {
                bail!("the proxy has ended, {status}: {}", log());
            }
            ensure!(Instant::now() < until, "the proxy does not listen: {}", log());
            thread::sleep(POLL);
        }
        Ok(self)
    }
}

impl Drop for ProxyServer {
    fn drop(&mut self) {
        // dante's children end with it on SIGTERM only.
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.child),
            rustix::process::Signal::TERM,
        );
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Signs in by Kurigram through an MTProxy, with a session string of Pyrogram. Returns the user
/// id.
pub fn kurigram(address: &str, secret: &str, session: &str, api: (i32, &str)) -> Result<String> {
    const SCRIPT: &str = "
import asyncio, sys
from pyrogram import Client
async def main():
    host, port, secret, session, api_id, api_hash = sys.argv[1:]
    proxy = dict(scheme='mtproxy', hostname=host, port=int(port), secret=secret)
    app = Client('x', api_id=int(api_id), api_hash=api_hash, session_string=session, in_memory=True,
                 no_updates=True, proxy=proxy)
    await app.connect()
    print((await app.get_me()).id)
    await app.disconnect()
asyncio.run(asyncio.wait_for(main(), 15))
";
    let (host, port) = address.split_once(':').context("an address with a port")?;
    let mut command = Command::new(tools::kurigram()?);
    command.args(["-c", SCRIPT, host, port, secret, session, &api.0.to_string(), api.1]);
    let output = command.output().context("run Kurigram")?;
    ensure!(output.status.success(), "Kurigram: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn write(path: &PathBuf, text: &str) -> Result<String> {
    fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(path.display().to_string())
}
