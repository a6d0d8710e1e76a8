//! What a monitor of the broadcast costs, and what the control socket costs while nobody uses it.
//!
//! One process, the same cached items: without a client, then with a monitor that reads all.

use std::{io, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use tgs_control::{
    ControlClient,
    method::{Call, NoParams},
};
use tgs_e2e::ingest::Ingest;

use super::{SPARE, commands};
use crate::bench::{
    meter::Metered,
    plan::Plan,
    report::{Figure, Judged, median},
};

/// From the first media to the first window: the cache is read ahead, the start is over.
const SETTLED: Duration = Duration::from_secs(6);

/// A monitor, in CPU seconds per second.
const MOST_COST: f64 = 0.003;

/// The cost of a monitor, and of what the channel costs.
pub(crate) fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let list = commands::filled(plan)?;
    let (mut alone, mut cost) = (Vec::new(), Vec::new());
    for turn in 0..plan.pairs {
        let dir = tempfile::tempdir().context("make a directory for the socket")?;
        let socket = dir.path().join("control.sock");
        let ingest = Ingest::start()?;
        let mut tool = plan.cached(0, &list, &ingest.url("bench"))?;
        tool.env("CONTROL_SOCKET", &socket);
        let mut started = Metered::start(&tool)?;
        ingest.wait("media", SPARE, |records| records.iter().any(|r| r.tags().any(|tag| tag.is_frame())))?;
        thread::sleep(SETTLED);
        let without = used(&mut started, plan.window)?;
        let mut client = ControlClient::connect(&socket, "bench")?;
        client.call(&Call::Monitor(NoParams {}))?;
        let (_, mut stream) = client.into_stream();
        let reading = thread::spawn(move || io::copy(&mut stream, &mut io::sink()));
        let with = used(&mut started, plan.window)?;
        drop(started);
        // Its end resets the connection.
        let read = reading.join().ok().and_then(Result::ok);
        ensure!(read.is_none_or(|bytes| bytes > 0), "the monitor got nothing");
        println!("   {}: {without:.4} without, {with:.4} with a monitor, CPU s/s", turn + 1);
        alone.push(without);
        cost.push(with - without);
    }
    let figure = |name, target, measured, note| Figure {
        name,
        unit: "s/s",
        target,
        judged: Judged::Median,
        measured,
        baseline: None,
        note,
    };
    let note = format!("of a cached channel at {:.4} without", median(&alone));
    Ok(vec![figure("a monitor, CPU", MOST_COST, cost, note)])
}

/// CPU seconds that `started` uses a second in the `time` from now.
fn used(started: &mut Metered, time: Duration) -> Result<f64> {
    let before = started.so_far()?.all;
    thread::sleep(time);
    Ok((started.so_far()?.all - before) / time.as_secs_f64())
}
