//! Wakes the driver when a key changes. It only saves time: the driver looks at the keys
//! in any case, and decides by what it reads.

use std::{sync::Arc, time::Duration};

use etcd_client::{Client, ConnectOptions, Error, WatchOptions};
use tokio::{sync::Notify, time::timeout};

use crate::etcd::PreferredEndpoint;

/// How often a watch looks whether it is at the endpoint that answers.
const LOOK: Duration = Duration::from_secs(1);

/// Watches the keys that begin with `key` until the task is aborted.
pub(crate) async fn run(
    endpoints: Vec<String>,
    options: ConnectOptions,
    preferred: PreferredEndpoint,
    key: String,
    wake: Arc<Notify>,
) {
    loop {
        let index = preferred.get();
        // A failure is shown by the driver, which asks the same endpoint.
        let _ = watch(&endpoints[index], &options, &key, &wake, || preferred.get() == index).await;
        tokio::time::sleep(LOOK / 2).await;
    }
}

async fn watch(
    endpoint: &str,
    options: &ConnectOptions,
    key: &str,
    wake: &Notify,
    is_preferred: impl Fn() -> bool,
) -> Result<(), Error> {
    let mut client = Client::connect([endpoint], Some(options.clone())).await?;
    let Ok(watching) = timeout(LOOK * 2, client.watch(key, Some(WatchOptions::new().with_prefix()))).await
    else {
        return Ok(());
    };
    let mut watching = watching?;
    while is_preferred() {
        match timeout(LOOK, watching.message()).await {
            Err(_) => {}
            Ok(message) => {
                if message?.is_none() {
                    return Ok(());
                }
                wake.notify_one();
            }
        }
    }
    Ok(())
}
