//! The soak of a cluster: two hosts and three etcd nodes under one fault after the other.

use std::{
    fs::{self, File},
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use tgs_e2e::{
    bin_path::target_dir,
    cluster::{self, Plan},
};

use crate::{install, release, step};

/// The shortest that is allowed: the strictest.
const TTL: Duration = Duration::from_secs(3);

/// Lets so many faults happen. `false` where a target is missed.
pub(super) fn run(count: usize, seed: u64) -> Result<bool> {
    install::for_cluster()?;
    let tool = release::build()?.join("tgs-stream");
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let dir = target_dir("soak")?;
    step::say(&format!("--cluster={count} --seed {seed}; logs and events are in target/soak"));
    let mut events = File::create(dir.join("events.log"))?;
    let mut number = 0;
    let found = cluster::run(&tool, &Plan::drawn(count, TTL, seed, &dir), |row| {
        number += 1;
        step::say(&format!("{number} of {count}: {row}"));
        // The record is informative: the soak continues if it cannot be written.
        let _ = writeln!(events, "{number} {row}");
        !stop.load(Ordering::Relaxed)
    })?;
    println!("\ncluster, HA_TTL={}s, seed {seed}\n\n{found}", TTL.as_secs());
    fs::write(dir.join("table.txt"), found.to_string())?;
    Ok(found.targets().iter().all(|(met, _)| *met))
}
