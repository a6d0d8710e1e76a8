//! Commands for messages, ready to paste on this host: with the program's path, the settings file
//! and the user of this installation.

mod command;
mod host;

pub use self::{
    command::{as_root, as_user, command, env_file},
    host::set_env_file,
};
