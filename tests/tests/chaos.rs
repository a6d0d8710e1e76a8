//! 45 s of a chaos run: hostile items between good ones. `cargo xtask soak --chaos` draws more
//! of them.

use std::time::Duration;

use tgs_e2e::{broadcast::Launch, chaos::Chaos};

#[test]
fn hostile_items_between_good_ones_cost_no_gap_and_no_good_item() {
    let length = Duration::from_secs(45);
    let chaos = Chaos::start(Launch::new().unwrap(), 11, length).unwrap();
    let (seen, log) = chaos.watch(length, |_| true).unwrap();
    assert!(seen.targets().iter().all(|(met, _)| *met), "{seen}\n{log}");
}
