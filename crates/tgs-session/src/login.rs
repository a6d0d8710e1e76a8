//! Sign-in: interactive at a terminal, or unattended through the standby session.

pub(crate) mod interactive;
pub(crate) mod standby;
