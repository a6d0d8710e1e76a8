//! The box that the tests of the units and of the deploy run in: that it is up, alone, and gone
//! afterwards.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use tgs_e2e::machine::Machine;

#[test]
fn a_box_boots_alone_and_leaves_nothing_behind() {
    let machine = Machine::boot().unwrap();
    let name = machine.name().to_owned();

    assert_eq!(machine.sh("systemctl is-system-running").unwrap(), "running");
    assert_eq!(machine.sh("cat /proc/1/comm; hostname").unwrap(), format!("systemd\n{name}"));
    assert_eq!(machine.sh("find /opt /home /srv /mnt -mindepth 1").unwrap(), "");
    // Nothing that this machine has enabled runs in it.
    assert_eq!(machine.unit("nginx").unwrap()["ActiveState"], "inactive");
    let failed = machine.run(&["false"]).unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let error = machine.sh("echo to the error >&2; exit 3").unwrap_err().to_string();
    assert!(error.contains("to the error") && error.contains('3'), "{error}");

    // Files go in with owner and mode, over what is there, and the machine does not see them.
    machine.write("/opt/a/b", "text\n", 0o640).unwrap();
    machine.put(Path::new("/etc/hostname"), "/opt/a/b", 0o604, "nobody:daemon").unwrap();
    assert_eq!(machine.sh("stat -c '%a %U:%G' /opt/a/b; ls /opt/a").unwrap(), "604 nobody:daemon\nb");
    assert!(!Path::new("/opt/a/b").exists());

    // The cable is the only way from CI to the box.
    let hello = machine.ssh(&machine.key(), "hostname").unwrap();
    assert_eq!(String::from_utf8_lossy(&hello.stdout).trim(), name);
    machine.cut_cable().unwrap();
    assert!(!machine.ssh(&machine.key(), "true").unwrap().status.success());
    machine.mend_cable().unwrap();
    machine
        .wait_for("ssh over the mended cable", Duration::from_secs(20), || {
            machine.ssh(&machine.key(), "true").unwrap().status.success()
        })
        .unwrap();

    // A server of this thread is at the box's 127.0.0.1.
    machine.join_network().unwrap();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    machine.sh(&format!(": >/dev/tcp/127.0.0.1/{port}")).unwrap();

    drop(machine);
    assert_eq!(left(&name), Vec::<String>::new());
}

/// What is on this machine under the name of a box.
fn left(name: &str) -> Vec<String> {
    let places = [
        "/run/tgs-machines",
        "/run/netns",
        "/sys/fs/cgroup/systemd",
        "/sys/fs/cgroup/unified",
        "/sys/fs/cgroup",
    ];
    let entries = |place: &str| fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<_> = places
        .iter()
        .flat_map(|place| entries(place))
        .map(|path| path.display().to_string())
        .filter(|path| path.contains(name))
        .collect();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    found.extend(mounts.lines().filter(|line| line.contains(name)).map(str::to_owned));
    found
}

#[test]
fn the_next_run_clears_the_remains_of_a_killed_one() {
    const NAME: &str = "the_next_run_clears_the_remains_of_a_killed_one";
    const KILLED: &str = "TGS_TEST_RUN_TO_BE_KILLED";
    if env::var_os(KILLED).is_some() {
        let machine = Machine::boot().unwrap();
        println!("\nbox {}", machine.name());
        // Until it is killed.
        std::io::stdin().read_line(&mut String::new()).unwrap();
        return;
    }
    let mut run = Command::new(env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(KILLED, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines().map(Result::unwrap);
    let name = lines.find_map(|line| line.strip_prefix("box ").map(str::to_owned)).unwrap();
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(!left(&name).is_empty(), "nothing is left of {name}: what is there to clear?");
    let next = Machine::boot().unwrap();
    assert_eq!(left(&name), Vec::<String>::new());
    drop(next);
}
