//! A deploy to the two hosts of a hot standby, on two real systemds over ssh: the channel stays on
//! air, and a release that does not stay up is taken back where it was never on air.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use tempfile::TempDir;
use tgs_e2e::{
    bin_path::workspace,
    clips::clip,
    etcd::Etcd,
    ingest::{Ingest, Record, Setup},
    machine::{ADDRESS, CI_ADDRESSES, ENV_FILE, Machine, SECOND_ADDRESS, UNIT},
    tools,
};

const LIMIT: Duration = Duration::from_mins(1);
const CTL: &str = "/opt/tg_video_streamer/current/bin/tgs-ctl --channel main";
const NAMES: [&str; 2] = ["left", "right"];

/// A tgs-stream that takes all settings, and dies.
const DYING: &str =
    "#!/bin/sh\ncase $* in *--version* | *--check-settings*) exit 0 ;; esac\nsleep 3\nexit 70\n";

struct Pair {
    hosts: [Machine; 2],
    ingest: Ingest,
    etcd: Etcd,
    ci: TempDir,
}

impl Pair {
    /// The left host is on air, the right one is the standby.
    fn start() -> Self {
        let hosts = [Machine::boot().unwrap(), Machine::boot().unwrap()];
        hosts[0].reach(&hosts[1]).unwrap();
        hosts[0].join_ci_network().unwrap();
        let etcd = Etcd::start_at(Ipv4Addr::UNSPECIFIED).unwrap();
        let ingest = Ingest::start_at(Ipv4Addr::UNSPECIFIED, Setup::default()).unwrap();
        let long = clip("long", (320, 180), "30", 44_100, 120_000).path().unwrap();
        let pair = Self { hosts, ingest, etcd, ci: TempDir::new().unwrap() };
        for (turn, host) in pair.hosts.iter().enumerate() {
            host.install_tree(&["tgs-stream", "tgs-ctl", "tgs-check-active"]).unwrap();
            host.put_media(&long, "/srv/media/long.mp4").unwrap();
            host.write("/srv/media/list.txt", "long.mp4\n", 0o644).unwrap();
            let url = format!("rtmp://{}:{}/live/key", CI_ADDRESSES[turn], pair.ingest.port());
            let endpoint = format!("http://{}:{}", CI_ADDRESSES[turn], pair.etcd.port());
            let settings = [
                ("PLAYLIST", "/srv/media/list.txt"),
                ("OUTPUT_URL", url.as_str()),
                ("VIDEO_QUALITY", "360p"),
                ("LOUDNESS", "off"),
                ("HA_ENDPOINTS", endpoint.as_str()),
                ("HA_KEY", "/tgs/pair"),
                ("HA_HOST", NAMES[turn]),
                // No lease is to run out.
                ("HA_TTL", "30s"),
            ];
            host.settings(ENV_FILE, &settings).unwrap();
            host.sh(&format!("systemctl start {UNIT}")).unwrap();
            let state = ["active, priority", "standby, ready"][turn];
            pair.wait(turn, &format!("(this one): {state}"));
        }
        let enough = |records: &[Record]| records.len() == 1 && records[0].media().count() > 100;
        pair.ingest.wait("media", LIMIT, enough).unwrap();
        pair
    }

    /// Waits until `tgs-ctl status` of a host says this.
    fn wait(&self, turn: usize, words: &str) {
        let host = &self.hosts[turn];
        let says = || host.sh(&format!("{CTL} status")).is_ok_and(|said| said.contains(words));
        host.wait_for(words, LIMIT, says).unwrap_or_else(|error| {
            let said = host.sh(&format!("{CTL} status"));
            panic!("{}: {error}\n{said:?}\n{}", NAMES[turn], host.journal(UNIT).unwrap())
        });
    }

    /// Runs the deploy on the CI side.
    fn deploy(&self, archive: &Path, options: &[&str]) -> Output {
        let known = |turn: usize| fs::read_to_string(self.hosts[turn].known_hosts()).unwrap();
        let mut command = self.hosts[0].on_ci_side("bash");
        command
            .arg(workspace().join("ci/deploy_pair.sh"))
            .args([format!("root@{ADDRESS}"), format!("root@{SECOND_ADDRESS}")])
            .arg(archive)
            .args(["--stable", "5"])
            .args(options)
            .env("DEPLOY_SSH_KEY", fs::read_to_string(self.hosts[0].key()).unwrap().trim_end())
            .env("DEPLOY_KNOWN_HOSTS", known(0) + &known(1).replace(ADDRESS, SECOND_ADDRESS));
        command.output().unwrap()
    }

    /// The archive of this build, with a tgs-stream that dies.
    fn dying(&self) -> PathBuf {
        let (dir, archive) = (self.ci.path().join("dying"), self.ci.path().join("dying.tar.gz"));
        fs::create_dir(&dir).unwrap();
        let run = |command: &mut Command| assert!(command.status().unwrap().success(), "{command:?}");
        run(Command::new("tar").arg("-xzf").arg(tools::archive().unwrap()).arg("-C").arg(&dir));
        let release = fs::read_dir(&dir).unwrap().next().unwrap().unwrap();
        let program = release.path().join("bin/tgs-stream");
        fs::write(&program, DYING).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let mut tar = Command::new("tar");
        tar.args(["-I", "gzip -1", "-cf"]).arg(&archive).arg("-C").arg(&dir).arg(release.file_name());
        run(&mut tar);
        archive
    }

    fn release(&self, turn: usize) -> String {
        self.hosts[turn].sh("readlink /opt/tg_video_streamer/current").unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_bad_release_is_taken_back_where_it_was_never_on_air() {
    let pair = Pair::start();
    let before = pair.hosts[0].unit(UNIT).unwrap()["InvocationID"].clone();

    let bad = pair.deploy(&pair.dying(), &["--timeout", "25"]);
    assert_eq!(bad.status.code(), Some(1), "{}", said(&bad));
    assert_eq!(pair.hosts[0].unit(UNIT).unwrap()["InvocationID"], before, "{}", said(&bad));
    assert_eq!([pair.release(0), pair.release(1)], ["releases/test"; 2], "{}", said(&bad));
    assert_eq!(pair.ingest.records().len(), 1, "{}", said(&bad));
    pair.wait(1, "(this one): standby, ready");
}

#[test]
fn a_pair_is_deployed_to_on_air() {
    let pair = Pair::start();
    let good = pair.deploy(&tools::archive().unwrap(), &[]);
    assert_eq!(good.status.code(), Some(0), "{}", said(&good));
    for turn in 0..2 {
        assert_ne!(pair.release(turn), "releases/test", "{}", said(&good));
    }
    pair.wait(1, "(this one): active");
    let records = pair.ingest.records();
    assert_eq!(records.len(), 2, "{}", said(&good));
    println!("{:.2} s without media", records[0].silence_before(&records[1]).unwrap().as_secs_f64());
}
