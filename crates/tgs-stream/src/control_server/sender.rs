//! Who sends a command: the user whom the kernel names, and the name that the client states.

use std::os::unix::net::UnixStream;

use rustix::{net::sockopt::socket_peercred, process::geteuid};
use tgs_control::CommandSender;
use tgs_core::process::user::User;

/// The kernel's stand-in for users that a user namespace does not map (`PrivateUsers=yes`); see
/// user_namespaces(7).
const UNMAPPED: u32 = 65_534;

/// The longest name that a client may state, in characters.
const LONGEST_NAME: usize = 64;

/// The peer of a connection.
pub(super) fn peer(socket: &UnixStream) -> CommandSender {
    let user = match socket_peercred(socket).map(|credentials| credentials.uid) {
        Err(_) => "unknown user".to_owned(),
        Ok(uid) if uid.as_raw() == UNMAPPED && geteuid().as_raw() != UNMAPPED => "group member".to_owned(),
        Ok(uid) => User::name_of(uid.as_raw()),
    };
    CommandSender { user, client: None }
}

/// A name that a client states, without control characters; `None` if nothing is left of it.
pub(super) fn stated(name: &str) -> Option<String> {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
    Some(shown).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_the_kernels_and_the_name_is_marked_as_stated() {
        let (client, _server) = UnixStream::pair().unwrap();
        let mut sender = peer(&client);
        let own = User::name_of(geteuid().as_raw());
        assert_eq!(sender.to_string(), own);
        sender.client = stated("desk\n<0>root");
        assert_eq!(sender.to_string(), format!("{own} (stated: desk<0>root)"));
        assert_eq!(stated("\n"), None);
    }
}
