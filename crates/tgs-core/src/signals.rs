//! SIGTERM and its like as a wish to stop in order: the first sets a [`Cancel`], the second ends the process.

use std::{io, thread};

use signal_hook::iterator::Signals;

use crate::cancel::Cancel;

/// Watches for `signals` (of `signal_hook::consts`) from now on, in a thread of its own. Each time one comes that does not
/// end the process, `told` is called before `cancel` is set.
pub fn watch(signals: &[i32], cancel: Cancel, told: impl Fn() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new(signals)?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in &mut signals {
            if cancel.is_cancelled() {
                // Children die with this process: their parent-death signal is set.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
            told();
            cancel.cancel();
        }
    })?;
    Ok(())
}
