//! The session that grammers' pool reads and writes: one DC with a pinned address and auth key.
//! Stores nothing on disk and keeps no peer or update state.

use std::{
    collections::BTreeMap,
    fmt,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    sync::{Mutex, MutexGuard, PoisonError},
};

use grammers_session::{
    BoxFuture, Session,
    types::{DcOption, PeerId, PeerInfo, UpdateState, UpdatesState},
};

use crate::{
    dc,
    proxy::DcTarget,
    session::string::{AuthKey, SessionString},
};

/// The pool tried to replace a session's auth key after transport error 404.
#[derive(Debug, thiserror::Error)]
#[error("refused to replace the session's key")]
pub(crate) struct KeyReplacementRefused;

/// The home DC of one session.
pub(crate) struct PinnedSession(Mutex<HomeDc>);

struct HomeDc {
    dc: u8,
    address: SocketAddr,
    /// `None` until the first connection creates the auth key; never replaced after that.
    key: Option<AuthKey>,
    table: dc::DcTable,
    /// The address of the forwarder to the proxies, if there are any.
    forwarder: Option<SocketAddr>,
    /// The addresses of the forwarders to other DCs.
    elsewhere: BTreeMap<i32, SocketAddr>,
    /// The DC's second address, while the first does not answer.
    second: Option<SocketAddr>,
    /// The keys of test DCs other than the home DC.
    #[cfg(feature = "test-dc")]
    guest_keys: std::collections::BTreeMap<i32, [u8; 256]>,
}

impl PinnedSession {
    /// A session at `dc`; `None` if the DC has no known address.
    pub(crate) fn new(dc: u8, key: Option<AuthKey>, table: dc::DcTable) -> Option<Self> {
        let address = table.address(dc)?;
        Some(Self(Mutex::new(HomeDc {
            dc,
            address,
            key,
            table,
            forwarder: None,
            elsewhere: BTreeMap::new(),
            second: None,
            #[cfg(feature = "test-dc")]
            guest_keys: std::collections::BTreeMap::new(),
        })))
    }

    fn home(&self) -> MutexGuard<'_, HomeDc> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The home DC's ID, in the pool's type.
    pub(crate) fn dc(&self) -> i32 {
        self.home().dc.into()
    }

    /// The DC's address, also where a forwarder is connected to.
    #[cfg(any(test, feature = "test-dc"))]
    pub(crate) fn address(&self) -> SocketAddr {
        self.home().address
    }

    /// The address of another DC than the home DC, if no key for it is known.
    #[cfg(feature = "test-dc")]
    pub(crate) fn address_without_key(&self, dc: i32) -> Option<SocketAddr> {
        let home = self.home();
        let is_known = dc == i32::from(home.dc) || home.guest_keys.contains_key(&dc);
        home.table.listed(u8::try_from(dc).ok()?).filter(|_| !is_known)
    }

    /// Keeps the key of another DC than the home DC.
    #[cfg(feature = "test-dc")]
    pub(crate) fn keep_guest_key(&self, dc: i32, key: [u8; 256]) {
        self.home().guest_keys.insert(dc, key);
    }

    /// The address that the pool connects to: the forwarder's with proxies, else the DC's.
    pub(crate) fn connect_address(&self) -> SocketAddr {
        let home = self.home();
        home.forwarder.or(home.second).unwrap_or(home.address)
    }

    /// Changes between the DC's two addresses. Returns `false` if it has only one, or if a
    /// forwarder chooses.
    pub(crate) fn change_address(&self) -> bool {
        let mut home = self.home();
        let addresses = home.table.addresses(home.dc);
        let other = addresses.into_iter().find(|address| *address != home.address);
        if home.forwarder.is_some() || other.is_none() {
            return false;
        }
        home.second = if home.second.is_some() { None } else { other };
        true
    }

    /// Directs a new pool to a forwarder, or to the DC itself.
    pub(crate) fn connect_through(&self, forwarder: Option<SocketAddr>) {
        let mut home = self.home();
        home.forwarder = forwarder;
        home.elsewhere.clear();
    }

    /// Directs the pool to a forwarder to another DC.
    pub(crate) fn connect_elsewhere_through(&self, dc: i32, forwarder: SocketAddr) {
        self.home().elsewhere.insert(dc, forwarder);
    }

    /// Another DC, for a forwarder; `None` if it has no known address.
    pub(crate) fn target_elsewhere(&self, dc: i32) -> Option<DcTarget> {
        let (home, dc) = (self.home(), u8::try_from(dc).ok()?);
        let addresses = home.table.addresses(dc);
        (!addresses.is_empty()).then(|| DcTarget { dc: home.table.proxy_id(dc), addresses })
    }

    /// The home DC, for a forwarder.
    pub(crate) fn target(&self) -> DcTarget {
        let home = self.home();
        let mut addresses = home.table.addresses(home.dc);
        addresses.retain(|address| *address != home.address);
        addresses.insert(0, home.address);
        DcTarget { dc: home.table.proxy_id(home.dc), addresses }
    }

    pub(crate) fn has_key(&self) -> bool {
        self.home().key.is_some()
    }

    /// Exports the session string; `None` without an auth key.
    pub(crate) fn export(&self) -> Option<SessionString> {
        let home = self.home();
        SessionString::new(home.dc, home.address, home.key.clone()?).ok()
    }

    /// Moves to another DC and discards the key. Returns `false` if the DC has no known address.
    pub(crate) fn move_to(&self, dc: u8) -> bool {
        let mut home = self.home();
        let Some(address) = home.table.address(dc) else { return false };
        (home.dc, home.address, home.key, home.second) = (dc, address, None, None);
        true
    }

    /// Stores the first auth key; refuses a different one after that.
    pub(crate) fn pin(&self, new: [u8; 256]) -> Result<(), KeyReplacementRefused> {
        let mut home = self.home();
        match &home.key {
            Some(pinned) if *pinned.expose() != new => return Err(KeyReplacementRefused),
            Some(_) => {}
            None => home.key = Some(AuthKey::new(new)),
        }
        Ok(())
    }
}

impl fmt::Debug for PinnedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let home = self.home();
        f.debug_struct("PinnedSession").field("dc", &home.dc).field("address", &home.address).finish()
    }
}

impl Session for PinnedSession {
    type Error = KeyReplacementRefused;

    fn home_dc_id(&self) -> Result<i32, KeyReplacementRefused> {
        Ok(self.dc())
    }

    /// Ignored: only [`PinnedSession::move_to`] changes the DC.
    fn set_home_dc_id(&self, _: i32) -> BoxFuture<'_, Result<(), KeyReplacementRefused>> {
        Box::pin(async { Ok(()) })
    }

    fn dc_option(&self, id: i32) -> Result<Option<DcOption>, KeyReplacementRefused> {
        let connect_address = self.connect_address();
        let home = self.home();
        let option = |address, auth_key| {
            let (ipv4, ipv6) = both_families(address);
            DcOption { id, ipv4, ipv6, auth_key }
        };
        if id == i32::from(home.dc) {
            return Ok(Some(option(connect_address, home.key.as_ref().map(|key| *key.expose()))));
        }
        // Not around the proxies.
        if home.forwarder.is_some() {
            return Ok(home.elsewhere.get(&id).map(|forwarder| option(*forwarder, None)));
        }
        // Built-in addresses are omitted, because those of the server's list take precedence.
        let listed = u8::try_from(id).ok().and_then(|dc| home.table.listed(dc));
        #[cfg(feature = "test-dc")]
        let key = home.guest_keys.get(&id).copied();
        #[cfg(not(feature = "test-dc"))]
        let key = None;
        Ok(listed.map(|address| option(address, key)))
    }

    /// Stores the auth key of the home DC if it has none, and addresses of other DCs.
    fn set_dc_option(&self, option: &DcOption) -> BoxFuture<'_, Result<(), KeyReplacementRefused>> {
        let mut home = self.home();
        let done = if option.id == i32::from(home.dc) {
            drop(home);
            option.auth_key.map_or(Ok(()), |key| self.pin(key))
        } else {
            // The pool repeats the address that it has connected to.
            if home.elsewhere.get(&option.id) != Some(&option.ipv4.into()) {
                home.table.learn(option);
            }
            Ok(())
        };
        Box::pin(async { done })
    }

    fn peer(&self, _: PeerId) -> BoxFuture<'_, Result<Option<PeerInfo>, KeyReplacementRefused>> {
        Box::pin(async { Ok(None) })
    }

    fn cache_peer(&self, _: PeerInfo) -> BoxFuture<'_, Result<(), KeyReplacementRefused>> {
        Box::pin(async { Ok(()) })
    }

    fn updates_state(&self) -> BoxFuture<'_, Result<UpdatesState, KeyReplacementRefused>> {
        Box::pin(async { Ok(UpdatesState::default()) })
    }

    fn set_update_state(&self, _: UpdateState) -> BoxFuture<'_, Result<(), KeyReplacementRefused>> {
        Box::pin(async { Ok(()) })
    }
}

/// The address in the field of its family; the other field is unused.
fn both_families(address: SocketAddr) -> (SocketAddrV4, SocketAddrV6) {
    match address {
        SocketAddr::V4(v4) => (v4, SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0)),
        SocketAddr::V6(v6) => (SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), v6),
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    const HOME: &str = "127.0.0.1:4001";

    fn session(key: Option<u8>) -> PinnedSession {
        let address = HOME.parse().unwrap();
        let like = SessionString::new(2, address, AuthKey::new(key_of(7))).unwrap();
        let key = key.map(|first| AuthKey::new(key_of(first)));
        PinnedSession::new(2, key, dc::DcTable::for_session(&like)).unwrap()
    }

    /// A key whose bytes are not all equal, which would be refused as a placeholder.
    fn key_of(first: u8) -> [u8; 256] {
        let mut key = [1; 256];
        key[0] = first;
        key
    }

    fn set(
        session: &PinnedSession,
        id: i32,
        address: &str,
        key: Option<u8>,
    ) -> Result<(), KeyReplacementRefused> {
        let (ipv4, ipv6) = both_families(address.parse().unwrap());
        let option = DcOption { id, ipv4, ipv6, auth_key: key.map(key_of) };
        let mut future = session.set_dc_option(&option);
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => done,
            Poll::Pending => panic!("set_dc_option does not wait"),
        }
    }

    #[test]
    fn a_key_is_never_replaced() {
        for known in [None, Some(7)] {
            let session = session(known);
            assert_eq!(session.has_key(), known.is_some());
            assert_eq!(session.export().is_some(), known.is_some());
            set(&session, 2, HOME, Some(7)).unwrap();
            set(&session, 2, HOME, None).unwrap();
            assert!(set(&session, 2, HOME, Some(8)).is_err());
            assert_eq!(session.dc_option(2).unwrap().unwrap().auth_key, Some(key_of(7)));
            assert_eq!(*session.export().unwrap().key.expose(), key_of(7));
        }
    }

    #[test]
    fn the_address_of_the_home_dc_is_pinned_and_those_of_others_are_learnt_once() {
        let session = session(Some(7));
        for address in ["10.0.0.1:1", "10.0.0.2:2"] {
            set(&session, 2, address, Some(7)).unwrap();
            set(&session, 4, address, None).unwrap();
        }
        set(&session, 3, "[2001:db8::1]:443", None).unwrap();
        set(&session, 300, "10.0.0.3:3", None).unwrap();
        assert_eq!(session.address(), HOME.parse().unwrap());
        assert_eq!(session.dc_option(2).unwrap().unwrap().ipv4, HOME.parse().unwrap());
        assert_eq!(session.dc_option(4).unwrap().unwrap().ipv4, "10.0.0.1:1".parse().unwrap());
        // A lone IPv6 address is not used; the built-in IPv4 address stays.
        assert_eq!((session.dc_option(3).unwrap(), session.dc_option(300).unwrap()), (None, None));
        session.connect_through(Some("127.0.0.1:9".parse().unwrap()));
        assert_eq!(session.dc_option(2).unwrap().unwrap().ipv4, "127.0.0.1:9".parse().unwrap());
        assert_eq!(session.dc_option(4).unwrap(), None, "around the proxies");
        let target = session.target_elsewhere(4).unwrap();
        assert_eq!((target.dc, &target.addresses[..]), (4, &["10.0.0.1:1".parse().unwrap()][..]));
        assert!(session.target_elsewhere(9).is_none() && session.target_elsewhere(300).is_none());
        for (dc, forwarder) in [(4, "127.0.0.1:8"), (5, "127.0.0.1:7")] {
            session.connect_elsewhere_through(dc, forwarder.parse().unwrap());
            assert_eq!(session.dc_option(dc).unwrap().unwrap().ipv4, forwarder.parse().unwrap());
            // The address of a forwarder does not become the DC's.
            let before = session.target_elsewhere(dc).unwrap().addresses;
            set(&session, dc, forwarder, Some(9)).unwrap();
            assert_eq!(session.target_elsewhere(dc).unwrap().addresses, before);
        }
        session.connect_through(Some("127.0.0.1:6".parse().unwrap()));
        assert_eq!(session.dc_option(4).unwrap(), None, "to the forwarder of an old pool");
        assert!(session.move_to(3) && session.address().is_ipv4() && session.export().is_none());
        assert!(session.move_to(4) && session.address() == "10.0.0.1:1".parse().unwrap());
        assert!(!session.move_to(9));
    }

    #[test]
    fn no_key_is_printed() {
        let shown = format!("{:?}", session(Some(7)));
        assert_eq!(shown, format!("PinnedSession {{ dc: 2, address: {HOME} }}"));
    }
}
