//! How far a soak is.

use std::{
    io::{self, Write},
    time::Duration,
};

use crate::step;

/// When the memory at the start is taken. Without a terminal, a soak says so often how far it is.
pub(super) const WARM: Duration = Duration::from_mins(1);

/// Shows how far it is: over the line before at a terminal, else on a line of its own.
pub(super) fn progress(terminal: bool, line: &str) {
    if terminal {
        print!("\r\x1b[K{line}");
        let _ = io::stdout().flush();
    } else {
        step::say(line);
    }
}

/// Hours, minutes, seconds.
pub(super) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
