//! Who sends a command: the user whom the kernel names, and the name that the client states.

use std::{fmt, os::unix::net::UnixStream};

use rustix::{net::sockopt::socket_peercred, process::geteuid};
use tgs_core::process::user::User;

/// The kernel's stand-in for users that a user namespace does not map (`PrivateUsers=yes`); see
/// user_namespaces(7).
const UNMAPPED: u32 = 65_534;

/// The longest name that a client may state, in characters.
pub(super) const LONGEST_NAME: usize = 64;

/// The sender of a command, as it is logged.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    user: String,
    /// The name that the client states.
    pub(super) stated: Option<String>,
}

impl Peer {
    /// The peer of a connection.
    pub(super) fn of(socket: &UnixStream) -> Self {
        let user = match socket_peercred(socket).map(|credentials| credentials.uid) {
            Err(_) => "unknown user".to_owned(),
            Ok(uid) if uid.as_raw() == UNMAPPED && geteuid().as_raw() != UNMAPPED => {
                "group member".to_owned()
            }
            Ok(uid) => User::name_of(uid.as_raw()),
        };
        Self { user, stated: None }
    }

    /// Sets the name that the client states, without control characters.
    pub(super) fn state(&mut self, name: &str) {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
        self.stated = Some(shown).filter(|name| !name.is_empty());
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.stated {
            Some(name) => write!(f, "{} (stated: {name})", self.user),
            None => f.write_str(&self.user),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_the_kernels_and_the_name_is_marked_as_stated() {
        let (client, _server) = UnixStream::pair().unwrap();
        let mut peer = Peer::of(&client);
        let own = User::name_of(geteuid().as_raw());
        assert_eq!(peer.to_string(), own);
        peer.state("desk\n<0>root");
        assert_eq!(peer.to_string(), format!("{own} (stated: desk<0>root)"));
        peer.state("\n");
        assert_eq!(peer.to_string(), own);
    }
}
