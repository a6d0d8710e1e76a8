//! The requests of a host to etcd. All may be executed more than once.

use etcd_client::{Compare, CompareOp, GetOptions, PutOptions, Txn, TxnOp, TxnOpResponse};

use crate::{election::LeaseId, error::EtcdError, etcd::EtcdPool, hosts::HostInfo, record::Offer};

/// The most hosts that are read.
const MOST_HOSTS: i64 = 64;

/// The names of the keys.
#[derive(Debug, Clone)]
pub(crate) struct KeyNames {
    /// The beginning of all.
    pub(crate) all: String,
    pub(crate) active: String,
    hosts: String,
    state: String,
    queue: String,
    handover: String,
}

impl KeyNames {
    /// The keys below `key`.
    pub(crate) fn below(key: &str) -> Self {
        Self {
            all: format!("{key}/"),
            active: format!("{key}/active"),
            hosts: format!("{key}/hosts/"),
            state: format!("{key}/state"),
            queue: format!("{key}/queue"),
            handover: format!("{key}/handover"),
        }
    }
}

/// The key `active`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ActiveKey {
    pub(crate) lease: LeaseId,
    pub(crate) create_revision: i64,
    pub(crate) mod_revision: i64,
    pub(crate) host: String,
}

/// What one look has shown, at one moment of etcd.
#[derive(Debug, Clone, Default)]
pub(crate) struct SeenKeys {
    pub(crate) active: Option<ActiveKey>,
    pub(crate) hosts: Vec<HostInfo>,
    pub(crate) state: Option<Vec<u8>>,
    /// The revision of `state`.
    pub(crate) state_revision: i64,
    /// The hand-over that is announced.
    pub(crate) offer: Option<Offer>,
}

/// Requests a lease.
pub(crate) async fn grant(pool: &mut EtcdPool, seconds: i64) -> Result<LeaseId, EtcdError> {
    pool.call(
        move |mut client| async move { client.lease_grant(seconds, None).await.map(|granted| granted.id()) },
    )
    .await
}

/// Renews the lease. A stream of its own for each renewal: an answer is that of this request.
pub(crate) async fn renew(pool: &mut EtcdPool, lease: LeaseId) -> Result<(), EtcdError> {
    pool.call(move |mut client| async move { client.lease_keep_alive(lease).await.map(drop) }).await
}

/// Ends the lease, and deletes its keys.
pub(crate) async fn revoke(pool: &mut EtcdPool, lease: LeaseId) -> Result<(), EtcdError> {
    pool.call(move |mut client| async move { client.lease_revoke(lease).await.map(drop) }).await
}

/// Says that this host is present.
pub(crate) async fn present(pool: &mut EtcdPool, keys: &KeyNames, info: &HostInfo) -> Result<(), EtcdError> {
    let (key, lease) = (format!("{}{}", keys.hosts, info.host), info.lease);
    let value = serde_json::to_vec(info).unwrap_or_default();
    pool.call(move |mut client| {
        let (key, value) = (key.clone(), value.clone());
        let options = PutOptions::new().with_lease(lease);
        async move { client.put(key, value, Some(options)).await.map(drop) }
    })
    .await
}

/// Reads everything but the queue, at one moment.
pub(crate) async fn look(pool: &mut EtcdPool, keys: &KeyNames) -> Result<SeenKeys, EtcdError> {
    let keys = keys.clone();
    let responses = pool
        .call(move |mut client| {
            let hosts = GetOptions::new().with_prefix().with_limit(MOST_HOSTS);
            let txn = Txn::new().and_then([
                TxnOp::get(keys.active.clone(), None),
                TxnOp::get(keys.hosts.clone(), Some(hosts)),
                TxnOp::get(keys.state.clone(), None),
                TxnOp::get(keys.handover.clone(), None),
            ]);
            async move { client.txn(txn).await.map(|done| done.op_responses()) }
        })
        .await?;
    let mut observed = SeenKeys::default();
    for (index, response) in responses.iter().enumerate() {
        let TxnOpResponse::Get(got) = response else { continue };
        for pair in got.kvs() {
            match index {
                0 => {
                    observed.active = Some(ActiveKey {
                        lease: pair.lease(),
                        create_revision: pair.create_revision(),
                        mod_revision: pair.mod_revision(),
                        host: String::from_utf8_lossy(pair.value()).into_owned(),
                    });
                }
                1 => observed.hosts.extend(serde_json::from_slice::<HostInfo>(pair.value())),
                3 => observed.offer = serde_json::from_slice(pair.value()).ok(),
                _ => {
                    observed.state = Some(pair.value().to_vec());
                    observed.state_revision = pair.mod_revision();
                }
            }
        }
    }
    Ok(observed)
}

/// Reads the queue.
pub(crate) async fn queue(pool: &mut EtcdPool, keys: &KeyNames) -> Result<Option<Vec<u8>>, EtcdError> {
    let key = keys.queue.clone();
    pool.call(move |mut client| {
        let key = key.clone();
        async move { client.get(key, None).await.map(|got| got.kvs().first().map(|pair| pair.value().to_vec())) }
    })
    .await
}

/// Creates `active` for the lease, unless it exists, and removes an offer of the host before.
/// Whether it did is seen by the next look: the answer to a request that was executed twice would
/// mislead.
pub(crate) async fn take(
    pool: &mut EtcdPool,
    keys: &KeyNames,
    host: &str,
    lease: LeaseId,
) -> Result<(), EtcdError> {
    let (key, handover, host) = (keys.active.clone(), keys.handover.clone(), host.to_owned());
    pool.call(move |mut client| {
        let put = TxnOp::put(key.clone(), host.clone(), Some(PutOptions::new().with_lease(lease)));
        let forget = TxnOp::delete(handover.clone(), None);
        let free = Compare::create_revision(key.clone(), CompareOp::Equal, 0);
        let txn = Txn::new().when([free]).and_then([put, forget]);
        async move { client.txn(txn).await.map(drop) }
    })
    .await
}

/// Writes the record, and the queue if there is one. `false` if this host is not active any more.
pub(crate) async fn write_record(
    pool: &mut EtcdPool,
    keys: &KeyNames,
    active: &ActiveKey,
    state: Vec<u8>,
    queue: Option<Vec<u8>>,
) -> Result<bool, EtcdError> {
    let (keys, active) = (keys.clone(), active.clone());
    pool.call(move |mut client| {
        let mut puts = vec![TxnOp::put(keys.state.clone(), state.clone(), None)];
        puts.extend(queue.clone().map(|queue| TxnOp::put(keys.queue.clone(), queue, None)));
        let txn = Txn::new().when(is_held(&keys, &active)).and_then(puts);
        async move { client.txn(txn).await.map(|done| done.succeeded()) }
    })
    .await
}

/// Announces a hand-over while this host is active, or withdraws it.
pub(crate) async fn announce(
    pool: &mut EtcdPool,
    keys: &KeyNames,
    active: &ActiveKey,
    offer: Option<&Offer>,
) -> Result<(), EtcdError> {
    let (keys, active) = (keys.clone(), active.clone());
    let value = offer.map(|offer| serde_json::to_vec(offer).unwrap_or_default());
    pool.call(move |mut client| {
        let key = keys.handover.clone();
        let change = match value.clone() {
            Some(value) => TxnOp::put(key, value, Some(PutOptions::new().with_lease(active.lease))),
            None => TxnOp::delete(key, None),
        };
        let txn = Txn::new().when(is_held(&keys, &active)).and_then([change]);
        async move { client.txn(txn).await.map(drop) }
    })
    .await
}

/// Gives `active` to the host `to` with that host's lease. `false` if this host was not active any
/// more, or the request was executed before.
pub(crate) async fn hand_over(
    pool: &mut EtcdPool,
    keys: &KeyNames,
    active: &ActiveKey,
    to: &HostInfo,
) -> Result<bool, EtcdError> {
    let (keys, active, host, lease) = (keys.clone(), active.clone(), to.host.clone(), to.lease);
    pool.call(move |mut client| {
        let put = TxnOp::put(keys.active.clone(), host.clone(), Some(PutOptions::new().with_lease(lease)));
        // The offer is taken: a successor that is started again must not follow it.
        let forget = TxnOp::delete(keys.handover.clone(), None);
        let txn = Txn::new().when(is_held(&keys, &active)).and_then([put, forget]);
        async move { client.txn(txn).await.map(|done| done.succeeded()) }
    })
    .await
}

/// That `active` is as it was read.
fn is_held(keys: &KeyNames, active: &ActiveKey) -> [Compare; 2] {
    [
        Compare::create_revision(keys.active.clone(), CompareOp::Equal, active.create_revision),
        Compare::mod_revision(keys.active.clone(), CompareOp::Equal, active.mod_revision),
    ]
}
