//! The unmodified grammers client, held from a plain test: its own runtime, a session in memory, a
//! limit to each call.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6},
    sync::Arc,
    time::Duration,
};

use grammers_client::Client;
use grammers_mtproto::{mtp, transport};
use grammers_mtsender::{
    ConnectionParams, InvocationError, NoRetries, Sender, SenderPool, ServerAddr, connect_with_auth,
};
use grammers_session::{SessionData, storages::MemorySession, types::DcOption};
use grammers_tl_types::{self as tl, RemoteCall, enums, functions};
use tgs_testdc::{SessionInfo, TestDc, World};
use tokio::runtime::{Builder, Runtime};

/// More than any answer takes, and what a hang costs.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A pool of connections with one session, as a program holds it.
pub(crate) struct Pool {
    pub(crate) client: Client,
    pub(crate) session: Arc<MemorySession>,
    pub(crate) updates: tokio::sync::mpsc::Receiver<grammers_session::updates::UpdatesLike>,
    runner: tokio::task::JoinHandle<()>,
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.runner.abort();
    }
}

/// A runtime for the client; the DC has its own.
pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// A DC with the example's world, and Alice's session on her own DC.
pub(crate) fn example() -> (TestDc, SessionInfo) {
    let dc = TestDc::start(World::example()).expect("loopback ports");
    let session = dc.new_session(World::ALICE, 2);
    (dc, session)
}

/// [`example`] with 253 chats: three pages of dialogs.
pub(crate) fn many_chats() -> (TestDc, SessionInfo) {
    let (dc, session) = example();
    dc.change(|world| {
        for i in 0..250 {
            let mut chat = world.chats[0].clone();
            (chat.id, chat.username) = (3_000_000_000 + i, None);
            world.chats.push(chat);
        }
    });
    (dc, session)
}

/// Where a DC is, and the key for it.
pub(crate) fn dc_option(id: i32, addr: SocketAddr, key: Option<&SessionInfo>) -> DcOption {
    let SocketAddr::V4(ipv4) = addr else { panic!("loopback is IPv4 here") };
    let ipv6 = SocketAddrV6::new(ipv4.ip().to_ipv6_mapped(), ipv4.port(), 0, 0);
    DcOption { id, ipv4, ipv6, auth_key: key.map(|key| key.auth_key) }
}

/// Where nobody listens.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

/// A session in memory with these keys, the first of them at home. Where the other DC is,
/// `help.getConfig` tells.
pub(crate) fn memory(dc: &TestDc, keys: &[&SessionInfo]) -> SessionData {
    let mut data = SessionData { home_dc: keys[0].dc_id, ..SessionData::default() };
    data.dc_options.clear();
    for id in [1, 2] {
        let key = keys.iter().find(|key| key.dc_id == id).copied();
        let addr = if id == data.home_dc { dc.addr(id) } else { NOWHERE };
        data.dc_options.insert(id, dc_option(id, addr, key));
    }
    data
}

/// A pool, from inside a runtime.
pub(crate) fn pool_with(dc: &TestDc, keys: &[&SessionInfo], api_id: i32) -> Pool {
    pool_of(MemorySession::from(memory(dc, keys)), api_id)
}

/// A pool around this session, from inside a runtime.
pub(crate) fn pool_of(session: MemorySession, api_id: i32) -> Pool {
    let session = Arc::new(session);
    let params = ConnectionParams { retry_policy: Box::new(NoRetries), ..ConnectionParams::default() };
    let SenderPool { runner, handle, updates } =
        SenderPool::with_configuration(Arc::clone(&session), api_id, params);
    let client = Client::new(handle);
    let runner = tokio::spawn(runner.run());
    Pool { client, session, updates, runner }
}

/// A pool with the right application.
pub(crate) fn pool(dc: &TestDc, keys: &[&SessionInfo]) -> Pool {
    pool_with(dc, keys, dc.api_id())
}

impl Pool {
    /// Calls a method; a hang fails the test.
    pub(crate) async fn call<R: RemoteCall>(&self, request: &R) -> Result<R::Return, InvocationError> {
        tokio::time::timeout(LONG, self.client.invoke(request)).await.expect("an answer in time")
    }

    /// Calls a method on another DC.
    pub(crate) async fn call_on<R: RemoteCall>(
        &self,
        dc: i32,
        request: &R,
    ) -> Result<R::Return, InvocationError> {
        tokio::time::timeout(LONG, self.client.invoke_in_dc(dc, request)).await.expect("an answer in time")
    }
}

/// A single connection with a key: no pool around it that makes new keys.
pub(crate) type Bare = Sender<transport::Full, mtp::Encrypted>;

pub(crate) async fn bare(session: &SessionInfo) -> Bare {
    let addr = ServerAddr::Tcp { address: session.addr };
    connect_with_auth(transport::Full::new(), addr, session.auth_key).await.expect("the DC listens")
}

/// Puts `invokeWithLayer` and `initConnection` around a call.
pub(crate) fn init<R: RemoteCall>(
    api_id: i32,
    query: R,
) -> functions::InvokeWithLayer<functions::InitConnection<R>> {
    functions::InvokeWithLayer {
        layer: tl::LAYER,
        query: functions::InitConnection {
            api_id,
            device_model: "test".into(),
            system_version: "1".into(),
            app_version: "2".into(),
            system_lang_code: "en".into(),
            lang_pack: String::new(),
            lang_code: "en".into(),
            proxy: None,
            params: None,
            query,
        },
    }
}

/// Asks who is signed in.
pub(crate) fn get_self() -> functions::users::GetUsers {
    functions::users::GetUsers { id: vec![enums::InputUser::UserSelf] }
}

/// The name and the code of an RPC error.
pub(crate) fn name_of<T>(result: Result<T, InvocationError>) -> (i32, String, Option<u32>) {
    match result {
        Err(InvocationError::Rpc(error)) => (error.code, error.name, error.value),
        Err(other) => panic!("not an RPC error: {other:?}"),
        Ok(_) => panic!("no error at all"),
    }
}
