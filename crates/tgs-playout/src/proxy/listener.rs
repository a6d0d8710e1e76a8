//! Starts the proxy of this process at its first use.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread,
};

use tgs_core::supervise::keep_running;

use super::{loopback::LoopbackProxy, serve};

/// Starts the proxy unless it is running.
pub(super) fn start() -> io::Result<Arc<LoopbackProxy>> {
    static PROXY: OnceLock<Arc<LoopbackProxy>> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(proxy) = PROXY.get() {
        return Ok(Arc::clone(proxy));
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let proxy = Arc::new(LoopbackProxy::new(address));
    let serving = Arc::clone(&proxy);
    let pause = |delay| {
        thread::sleep(delay);
        false
    };
    thread::Builder::new()
        .name("proxy".into())
        .spawn(move || keep_running("proxy", pause, || serve::run(&listener, &serving)))?;
    Ok(Arc::clone(PROXY.get_or_init(|| proxy)))
}
