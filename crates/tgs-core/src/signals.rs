//! Signals as wishes: SIGTERM and its like to stop in order (the first asks, the second ends the process), others as the
//! tool reads them.

use std::{io, thread};

use signal_hook::iterator::Signals;

use crate::{cancel::Cancel, supervise::contain};

/// Watches for `signals` (of `signal_hook::consts`) from now on, in a thread of its own. Each time one comes that does not
/// end the process, `told` is called before `cancel` is set.
pub fn watch(signals: &[i32], cancel: Cancel, told: impl Fn() + Send + 'static) -> io::Result<()> {
    let stopped = cancel.clone();
    listen(signals, &[], stopped, move |_| {
        told();
        cancel.cancel();
    })
}

/// Tells `told` each signal of `ending` and `others` from now on, in a thread of its own. One of `ending` that comes once
/// `stopped` is set ends the process.
pub fn listen(
    ending: &[i32],
    others: &[i32],
    stopped: Cancel,
    told: impl Fn(i32) + Send + 'static,
) -> io::Result<()> {
    let mut signals = Signals::new(ending.iter().chain(others))?;
    let ending = ending.to_vec();
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in &mut signals {
            if ending.contains(&signal) && stopped.is_cancelled() {
                // Children die with this process: their parent-death signal is set.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
            // Logged by the panic hook. A thread that is gone would take no further signal.
            let _ = contain(|| told(signal));
        }
    })?;
    Ok(())
}
