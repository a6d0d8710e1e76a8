//! Half a minute of random commands. `cargo xtask soak --commands` draws a thousand over twenty
//! minutes.

use std::time::Duration;

use tgs_e2e::{broadcast::Launch, command_run};

/// Other tests run beside it; the soak is judged strictly.
const SPARE: Duration = Duration::from_secs(4);

#[test]
fn random_commands_break_nothing_and_the_status_is_what_is_seen() {
    let length = Duration::from_secs(25);
    let (found, log) = command_run::run(Launch::new().unwrap(), 11, (30, length), SPARE, |_| true).unwrap();
    assert!(found.targets().iter().all(|(met, _)| *met), "{found}\n{log}");
}
