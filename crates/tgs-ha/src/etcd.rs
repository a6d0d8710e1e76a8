//! Calls etcd over several endpoints. Each call has a time limit; an endpoint that is slow or dead
//! costs a fraction of it.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use etcd_client::{Client, ConnectOptions, Error};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};

use crate::error::EtcdError;

/// How long an endpoint may take before the next one is asked, too.
const HEDGE: Duration = Duration::from_millis(200);

/// gRPC's code for a missing lease.
const NOT_FOUND: i32 = 5;

/// The endpoints and their connections.
pub(crate) struct EtcdPool {
    endpoints: Vec<String>,
    options: ConnectOptions,
    /// `None`: to be connected anew. A connection that is behind a dead route recovers late.
    clients: Vec<Option<Client>>,
    preferred: PreferredEndpoint,
    limit: Duration,
}

/// The endpoint that has answered last. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct PreferredEndpoint(Arc<AtomicUsize>);

impl PreferredEndpoint {
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl EtcdPool {
    /// Connects nothing yet. `limit` is the time limit of each call.
    pub(crate) fn new(endpoints: Vec<String>, options: ConnectOptions, limit: Duration) -> Self {
        let clients = endpoints.iter().map(|_| None).collect();
        Self { endpoints, options, clients, preferred: PreferredEndpoint::default(), limit }
    }

    pub(crate) fn preferred(&self) -> PreferredEndpoint {
        self.preferred.clone()
    }

    /// Calls the endpoints in turn until one answers. `call` must be harmless if it is executed
    /// more than once.
    pub(crate) async fn call<T, F, C>(&mut self, call: C) -> Result<T, EtcdError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
        C: Fn(Client) -> F + Clone + Send + 'static,
    {
        let (count, first) = (self.endpoints.len(), self.preferred.get());
        let end = Instant::now() + self.limit;
        let (mut running, mut asked, mut last) = (JoinSet::new(), 0, None);
        let mut hedge_at = Instant::now();
        loop {
            if asked < count && Instant::now() >= hedge_at {
                let index = (first + asked) % count;
                self.start(&mut running, index, call.clone());
                asked += 1;
                hedge_at = Instant::now() + HEDGE;
            }
            let until = if asked < count { hedge_at.min(end) } else { end };
            let Ok(answer) = timeout_at(until, running.join_next()).await else {
                if Instant::now() >= end {
                    return Err(last.unwrap_or(EtcdError::Silent(self.limit.as_millis())));
                }
                continue;
            };
            match answer {
                Some(Ok((index, client, answer))) => match answer {
                    Err(error) if !is_lease_gone(&error) => {
                        let endpoint = self.endpoints[index].clone();
                        last = Some(EtcdError::Failed { endpoint, why: cause(&error) });
                        hedge_at = Instant::now();
                    }
                    answer => {
                        self.clients[index] = client;
                        self.preferred.0.store(index, Ordering::Relaxed);
                        return answer.map_err(|_| EtcdError::LeaseGone);
                    }
                },
                Some(Err(_)) => hedge_at = Instant::now(),
                None if asked < count => hedge_at = Instant::now(),
                None => return Err(last.unwrap_or(EtcdError::Silent(self.limit.as_millis()))),
            }
        }
    }

    /// Starts the call at one endpoint. An endpoint that fails or is too slow is connected anew.
    fn start<T, F, C>(&mut self, running: &mut JoinSet<Called<T>>, index: usize, call: C)
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
        C: Fn(Client) -> F + Send + 'static,
    {
        let (known, endpoint) = (self.clients[index].take(), self.endpoints[index].clone());
        let options = self.options.clone();
        running.spawn(async move {
            let client = match known {
                Some(client) => client,
                None => match Client::connect([endpoint], Some(options)).await {
                    Ok(client) => client,
                    Err(error) => return (index, None, Err(error)),
                },
            };
            let answer = call(client.clone()).await;
            (index, Some(client), answer)
        });
    }
}

/// An endpoint's number, its connection, and its answer.
type Called<T> = (usize, Option<Client>, Result<T, Error>);

/// Why a call failed, in one sentence: gRPC's own display has all layers in Rust's syntax.
fn cause(error: &Error) -> String {
    let Error::GRpcStatus(status) = error else { return error.to_string() };
    let first = std::error::Error::source(status);
    let deepest = std::iter::successors(first, |cause| cause.source()).last();
    deepest.map_or_else(|| status.message().to_owned(), ToString::to_string)
}

fn is_lease_gone(error: &Error) -> bool {
    match error {
        Error::LeaseKeepAliveError(_) => true,
        Error::GRpcStatus(status) => {
            i32::from(status.code()) == NOT_FOUND && status.message().contains("lease not found")
        }
        _ => false,
    }
}
