//! Sign-in: with the operator at a terminal, or unattended with the standby session.

pub(crate) mod interactive;
pub(crate) mod standby;
