//! Signal handling in a thread. The first SIGTERM or SIGINT stops gracefully, the second kills; the
//! caller decides the effect of other signals.

use std::{io, thread};

use signal_hook::iterator::Signals;

use crate::{cancel::Cancel, supervise::contain};

/// Watches for `signals` (of `signal_hook::consts`) in a thread. Each signal that does not kill the
/// process calls `on_signal`, then sets `cancel`.
pub fn watch(signals: &[i32], cancel: Cancel, on_signal: impl Fn() + Send + 'static) -> io::Result<()> {
    let stopped = cancel.clone();
    listen(signals, &[], stopped, move |_| {
        on_signal();
        cancel.cancel();
    })
}

/// Calls `on_signal` with each signal of `ending` and `others`, in a thread. Once `stopped` is set,
/// a signal of `ending` kills the process.
pub fn listen(
    ending: &[i32],
    others: &[i32],
    stopped: Cancel,
    on_signal: impl Fn(i32) + Send + 'static,
) -> io::Result<()> {
    let mut signals = Signals::new(ending.iter().chain(others))?;
    let ending = ending.to_vec();
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in &mut signals {
            if ending.contains(&signal) && stopped.is_cancelled() {
                // The kernel kills the children with this process.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
            // The panic hook logs the panic. The thread must survive it, or later signals are lost.
            let _ = contain(|| on_signal(signal));
        }
    })?;
    Ok(())
}
