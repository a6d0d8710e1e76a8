//! The channels of the machine, as the desk sees them.

mod connection;
mod history;
mod watch;

pub(crate) use self::{
    connection::{AsyncControl, LinkError},
    watch::{BrowserUpdate, WatchedChannel, WatchedChannels},
};
