//! A run: one fault after the other, and what the ingest saw of each.

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use fastrand::Rng;

use super::{
    Cluster,
    fault::{Fault, Limit},
    found::{Found, Row},
};

/// How long all has to be well before the next fault: a node of etcd that comes back may depose the
/// leader, and the position moves on by a group of pictures.
const SETTLES: Duration = Duration::from_millis(2500);

/// The moment of the next fault is drawn from so much more.
const DRAWN: Duration = Duration::from_secs(1);

/// The parameters of a run.
#[derive(Debug)]
pub struct Plan {
    /// HA_TTL.
    pub ttl: Duration,
    /// The faults, in order.
    pub faults: Vec<Fault>,
    /// What else is drawn: the nodes, the lengths, the moments.
    pub seed: u64,
    /// Through a Telegram of the test's own, with a session for each host; otherwise to an
    /// OUTPUT_URL.
    pub through_telegram: bool,
    /// How much longer media may be missing than on a machine of its own, and how much more of an
    /// item be repeated: the record is late, too.
    pub spare: Duration,
    /// Where the logs go.
    pub logs: PathBuf,
}

impl Plan {
    /// So many faults, each kind about as often, in any order, and a tenth as many planned
    /// hand-overs.
    #[must_use]
    pub fn drawn(count: usize, ttl: Duration, seed: u64, logs: &Path) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut faults = Vec::new();
        while faults.len() < count {
            let mut all = Fault::ALL.to_vec();
            all.retain(|fault| *fault != Fault::HandOver);
            rng.shuffle(&mut all);
            faults.extend(all);
        }
        faults.truncate(count);
        faults.extend(std::iter::repeat_n(Fault::HandOver, count / 10));
        Self { ttl, faults, seed, through_telegram: false, spare: Duration::ZERO, logs: logs.to_owned() }
    }
}

/// Runs `plan` with the tgs-stream at `tool`. `go_on` sees each fault once it is over; `false` ends
/// the run. Call it on a thread of its own: it stays in the network of the cluster.
pub fn run(tool: &Path, plan: &Plan, mut go_on: impl FnMut(&Row) -> bool) -> Result<Found> {
    let mut cluster = Cluster::new(&plan.logs)?;
    cluster.add_hosts(tool, plan)?;
    cluster.until_well(SETTLES)?;
    let mut rng = Rng::with_seed(plan.seed);
    let mut found = Found::default();
    for &fault in &plan.faults {
        thread::sleep(DRAWN.mul_f64(rng.f64()));
        let row = one(&mut cluster, fault, plan, &mut rng)?;
        let ends = !go_on(&row);
        found.rows.push(row);
        if ends {
            break;
        }
    }
    Ok(found)
}

/// Lets one fault happen and end, and waits for a standby.
fn one(cluster: &mut Cluster, fault: Fault, plan: &Plan, rng: &mut Rng) -> Result<Row> {
    let ttl = plan.ttl;
    let mark = Instant::now();
    let begun = fault.begin(cluster, rng, ttl)?;
    let limit = begun.limit.of(ttl) + plan.spare;
    begun.until.wait(cluster, limit * 2);
    cluster.repair()?;
    let mut counts_from = None;
    if begun.limit == Limit::LeaderAgain {
        cluster.until("a leader of etcd", super::STARTS_WITHIN, || cluster.leader())?;
        counts_from = Some(Instant::now());
    }
    let standby = cluster.until_well(SETTLES)?;
    cluster.all_run()?;
    let window = cluster.publications.since(mark)?;
    cluster.publications.end_replaced();
    Ok(Row::of((fault, begun.words), (limit, ttl, plan.spare), counts_from, &window, standby))
}
