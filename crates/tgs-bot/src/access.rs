//! Who may do what. Users are known by their numeric IDs: names can be taken over.

use std::{collections::BTreeSet, fmt};

/// What a user of the bot may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum BotRole {
    /// May see the own user ID.
    Stranger,
    /// May look.
    Viewer,
    /// May look and steer.
    Admin,
}

/// The users with a role.
#[derive(Debug, Clone, Default)]
pub(crate) struct BotAccess {
    /// `BOT_ADMINS`
    pub(crate) admins: BTreeSet<i64>,
    /// `BOT_VIEWERS`
    pub(crate) viewers: BTreeSet<i64>,
}

impl BotAccess {
    /// The role of a user.
    pub(crate) fn role(&self, user_id: i64) -> BotRole {
        if self.admins.contains(&user_id) {
            BotRole::Admin
        } else if self.viewers.contains(&user_id) {
            BotRole::Viewer
        } else {
            BotRole::Stranger
        }
    }
}

impl fmt::Display for BotAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} may steer, {} may look", self.admins.len(), self.viewers.len())
    }
}
