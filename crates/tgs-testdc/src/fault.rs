//! Faults on demand: what fails, when, and how often. This module only selects them; the connection
//! applies them.

use std::{str::FromStr, time::Duration};

use crate::error::RpcError;

/// A fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The call gets an error.
    Rpc(RpcError),
    /// A transport error such as −404 or −429; then the connection closes.
    Transport(i32),
    /// The call is never answered; the connection stays open.
    Silence,
    /// The connection closes at once.
    Drop,
    /// A frame of random bytes with a plausible length; the connection stays open.
    Garbage,
    /// The answer is delayed by this time.
    Delay(Duration),
    /// The salt has changed: `bad_server_salt`; the client must resend.
    BadSalt,
    /// The answer names another MTProto session; the client library panics on it.
    WrongSession,
    /// An endless list of dialogs: each page is followed by another.
    Endless,
    /// A page of dialogs with one dialog fewer than requested, though more follow.
    ShortPage,
    /// A page of dialogs that ends with channels and users without a valid access hash.
    OddDialogs,
}

impl Fault {
    /// The RPC error of this name, with its code.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self::Rpc(RpcError::named(name))
    }
}

/// Parses the command-line form: `silence`, `drop`, `garbage`, `bad-salt`, `wrong-session`,
/// `endless`, `short-page`, `odd-dialogs`, `delay:500` (ms), `transport:-404`, an error's name, or
/// `401:NAME`.
impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| digits.parse::<i32>().map_err(|_| format!("{digits:?} is not a number"));
        Ok(match (text, text.split_once(':')) {
            ("silence", _) => Self::Silence,
            ("drop", _) => Self::Drop,
            ("garbage", _) => Self::Garbage,
            ("bad-salt", _) => Self::BadSalt,
            ("wrong-session", _) => Self::WrongSession,
            ("endless", _) => Self::Endless,
            ("short-page", _) => Self::ShortPage,
            ("odd-dialogs", _) => Self::OddDialogs,
            (_, Some(("delay", ms))) => Self::Delay(Duration::from_millis(number(ms)?.unsigned_abs().into())),
            (_, Some(("transport", code))) => Self::Transport(-number(code)?.abs()),
            (_, Some((code, name))) => Self::Rpc(RpcError { code: number(code)?, name: name.to_owned() }),
            (name, None) if name.contains('_') && name == name.to_uppercase() => Self::named(name),
            _ => {
                return Err(format!(
                    "no fault is called {text:?}: there are silence, drop, garbage, bad-salt, wrong-session, endless, \
                     short-page, odd-dialogs, delay:MS, transport:-404 and names of errors"
                ));
            }
        })
    }
}

/// The point of a connection at which a fault occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum At {
    /// After accepting a TCP connection, before any read. An RPC error or a salt change has no
    /// effect there.
    Accept,
    /// At a call inside `initConnection`.
    Init,
    /// At a call outside `initConnection`.
    Later,
    /// At any call.
    #[default]
    Call,
}

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "accept" => Ok(Self::Accept),
            "init" => Ok(Self::Init),
            "later" => Ok(Self::Later),
            "call" => Ok(Self::Call),
            _ => Err(format!("{text:?} is not accept, init, later or call")),
        }
    }
}

/// The conditions of a fault; the default is every call, without limit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct When {
    /// Only at this method, by its TL name: `users.getUsers`. Service messages (`ping`,
    /// `get_future_salts`) and steps of the key exchange (`req_pq_multi`) match only faults that
    /// name them; a key exchange step only silence, drop, garbage and transport errors.
    pub method: Option<String>,
    /// Only this many times.
    pub times: Option<u32>,
    /// Only with this auth key (its id).
    pub session: Option<i64>,
    /// The point of the connection.
    pub at: At,
}

impl When {
    /// At every call, without limit.
    #[must_use]
    pub fn always() -> Self {
        Self::default()
    }

    /// At this point of a connection.
    #[must_use]
    pub fn at(at: At) -> Self {
        Self { at, ..Self::default() }
    }

    /// At every call of this method.
    #[must_use]
    pub fn method(method: &str) -> Self {
        Self { method: Some(method.to_owned()), ..Self::default() }
    }

    /// Only this many times.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Only with this auth key.
    #[must_use]
    pub fn session(self, key_id: i64) -> Self {
        Self { session: Some(key_id), ..self }
    }
}

/// The event that faults are matched against.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Occasion<'a> {
    Accept,
    /// A call, inside `initConnection` or not.
    Call {
        method: &'a str,
        session: i64,
        init: bool,
    },
    /// A service message or a step of the key exchange.
    Service {
        method: &'a str,
        session: i64,
    },
}

/// The pending faults.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    last_id: u32,
    waiting: Vec<(u32, Fault, When)>,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault, when: When) -> u32 {
        self.last_id += 1;
        self.waiting.push((self.last_id, fault, when));
        self.last_id
    }

    /// Removes one fault or all. Returns whether any was pending.
    pub(crate) fn clear(&mut self, id: Option<u32>) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|(waiting, ..)| id.is_some_and(|id| id != *waiting));
        self.waiting.len() < before
    }

    pub(crate) fn waiting(&self) -> &[(u32, Fault, When)] {
        &self.waiting
    }

    /// The oldest fault that matches, with its count decremented.
    pub(crate) fn pick(&mut self, occasion: Occasion<'_>) -> Option<Fault> {
        let position = self.waiting.iter().position(|(_, _, when)| meets(when, occasion))?;
        let (_, fault, when) = &mut self.waiting[position];
        let fault = fault.clone();
        if let Some(times) = &mut when.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.waiting.remove(position);
            }
        }
        Some(fault)
    }
}

fn meets(when: &When, occasion: Occasion<'_>) -> bool {
    if when.times == Some(0) {
        return false;
    }
    let of = |session| when.session.is_none_or(|only| only == session);
    match occasion {
        Occasion::Accept => when.at == At::Accept,
        Occasion::Call { method, session, init } => {
            let there = match when.at {
                At::Accept => false,
                At::Init => init,
                At::Later => !init,
                At::Call => true,
            };
            there && of(session) && when.method.as_deref().is_none_or(|only| only == method)
        }
        Occasion::Service { method, session } => {
            when.at != At::Accept && of(session) && when.method.as_deref() == Some(method)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, init: bool) -> Occasion<'_> {
        Occasion::Call { method, session: 1, init }
    }

    #[test]
    fn a_fault_meets_what_it_names_and_counts_down() {
        let mut faults = Faults::default();
        faults.add(Fault::Drop, When::method("users.getUsers").times(2));
        assert_eq!(faults.pick(call("help.getConfig", true)), None);
        assert_eq!(faults.pick(Occasion::Accept), None);
        assert_eq!(faults.pick(call("users.getUsers", true)), Some(Fault::Drop));
        assert_eq!(faults.pick(call("users.getUsers", false)), Some(Fault::Drop));
        assert_eq!(faults.pick(call("users.getUsers", false)), None);
    }

    #[test]
    fn places_are_kept_apart() {
        for (at, accept, init, later) in [
            (At::Accept, true, false, false),
            (At::Init, false, true, false),
            (At::Later, false, false, true),
            (At::Call, false, true, true),
        ] {
            let mut faults = Faults::default();
            faults.add(Fault::Silence, When::at(at));
            assert_eq!(faults.pick(Occasion::Accept).is_some(), accept, "{at:?}");
            assert_eq!(faults.pick(call("a.b", true)).is_some(), init, "{at:?}");
            assert_eq!(faults.pick(call("a.b", false)).is_some(), later, "{at:?}");
        }
    }

    #[test]
    fn service_messages_meet_only_faults_that_name_them() {
        let ping = Occasion::Service { method: "ping", session: 1 };
        let mut faults = Faults::default();
        faults.add(Fault::Silence, When::always());
        assert_eq!(faults.pick(ping), None);
        faults.add(Fault::Silence, When::method("ping").session(2));
        assert_eq!(faults.pick(ping), None);
        faults.add(Fault::Silence, When::method("ping").session(1));
        assert_eq!(faults.pick(ping), Some(Fault::Silence));
    }

    #[test]
    fn one_is_cleared_or_all() {
        let mut faults = Faults::default();
        let first = faults.add(Fault::Drop, When::always());
        faults.add(Fault::Silence, When::always());
        assert!(faults.clear(Some(first)) && !faults.clear(Some(first)));
        assert_eq!(faults.pick(call("a.b", false)), Some(Fault::Silence));
        assert!(faults.clear(None) && faults.waiting().is_empty());
    }

    #[test]
    fn faults_are_read_from_text() {
        for (text, fault) in [
            ("silence", Fault::Silence),
            ("delay:250", Fault::Delay(Duration::from_millis(250))),
            ("endless", Fault::Endless),
            ("short-page", Fault::ShortPage),
            ("odd-dialogs", Fault::OddDialogs),
            ("transport:-404", Fault::Transport(-404)),
            ("transport:429", Fault::Transport(-429)),
            ("AUTH_KEY_DUPLICATED", Fault::named("AUTH_KEY_DUPLICATED")),
            ("500:WHAT_EVER", Fault::Rpc(RpcError { code: 500, name: "WHAT_EVER".into() })),
        ] {
            assert_eq!(text.parse(), Ok(fault), "{text}");
        }
        assert!("silent".parse::<Fault>().is_err() && "delay:x".parse::<Fault>().is_err());
    }
}
