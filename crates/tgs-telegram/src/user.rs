//! The account that a session belongs to.

use std::fmt;

use grammers_tl_types as tl;

/// The account that a session belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfUser {
    /// The user ID.
    pub id: i64,
    /// First and last name.
    pub name: String,
    /// The username, without `@`.
    pub username: Option<String>,
}

impl SelfUser {
    pub(crate) fn of(user: tl::types::User) -> Self {
        let names = [user.first_name, user.last_name];
        let name = names.into_iter().flatten().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(" ");
        Self { id: user.id, name, username: user.username }
    }
}

impl fmt::Display for SelfUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.username {
            Some(username) => write!(f, "{} (@{username}, {})", self.name, self.id),
            None => write!(f, "{} ({})", self.name, self.id),
        }
    }
}
