//! What further outputs cost: CPU and memory of the engine with 1, 4 and 16 of them beside none, on
//! the same cached items, by plain RTMP.

use std::{path::Path, sync::mpsc};

use anyhow::{Context, Result, ensure};
use tgs_e2e::ingest::{Ingest, Message, Setup};

use super::{
    SPARE, commands,
    extra::{self, Cost},
};
use crate::bench::{meter::Metered, plan::Plan, report::Figure};

/// How many outputs, and the names of the figures.
const COUNTS: [(u16, [&str; 2]); 3] = [
    (1, ["an output beside the main one, CPU", "an output beside the main one, memory"]),
    (4, ["each of 4 outputs beside the main one, CPU", "each of 4 outputs beside the main one, memory"]),
    (16, ["each of 16 outputs beside the main one, CPU", "each of 16 outputs beside the main one, memory"]),
];

/// The cost of each output by their number.
pub(crate) fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let list = commands::filled(plan)?;
    let alone = (0..plan.pairs).map(|_| run(plan, &list, 0)).collect::<Result<Vec<_>>>()?;
    let mut figures = Vec::new();
    for (count, names) in COUNTS {
        let mut with = Vec::new();
        for turn in 0..plan.pairs {
            let (used, resident) = run(plan, &list, count)?;
            println!("   {count} outputs, {}: {used:.4} CPU s/s, {resident:.1} MiB", turn + 1);
            with.push((used, resident));
        }
        figures.extend(extra::figures(names, count, &alone, &with));
    }
    Ok(figures)
}

/// The cost of a channel with so many further outputs.
fn run(plan: &Plan, list: &Path, count: u16) -> Result<Cost> {
    let main = Ingest::start()?;
    // Counts connections with media; keeps nothing.
    let (pass_on, media) = mpsc::channel();
    let others = Ingest::start_with(Setup { pass_on: Some(pass_on), ..Setup::default() })?;
    let mut tool = plan.cached(0, list, &main.url("bench"))?;
    let outputs: Vec<_> = (0..count).map(|n| format!("o{n}={}", others.url(&format!("key{n}")))).collect();
    tool.env("ALSO_OUTPUT_URLS", outputs.join(" "));
    let mut started = Metered::start(&tool)?;
    main.wait("media", SPARE, |records| records.iter().any(|r| r.tags().any(|tag| tag.is_frame())))?;
    let mut seen = vec![false; usize::from(count)];
    while seen.contains(&false) {
        let (number, message): (usize, Message) =
            media.recv_timeout(SPARE).context("media of each output")?;
        if message.tag().is_some_and(|tag| tag.is_frame()) {
            *seen.get_mut(number).context("an output connected again")? = true;
        }
    }
    // Its messages are dropped from now on.
    drop(media);
    let cost = extra::cost(&mut started, plan)?;
    ensure!(others.records().len() == usize::from(count), "an output connected again");
    Ok(cost)
}
