//! Child processes. No child outlives the tool, receives a secret in its environment, or leaves
//! descendants behind.
//!
//! Children start through the tool's own executable (the exec shim) and are confined by Landlock.
//! If the tool is killed, the kernel kills the child; grandchildren are killed through the process
//! group, and after a `kill -9` of the tool only through the unit's cgroup. The exception is
//! [`successor`].
//!
//! Does not restart children or interpret their output.

mod child;
pub(crate) mod command;
pub mod confine;
pub(crate) mod init;
mod run;
mod shim;
pub mod successor;
pub mod user;

pub use self::{
    child::{Child, spawn},
    command::{command, find, find_in, trusted},
    run::{RunError, describe, output},
    shim::shim,
};

#[cfg(test)]
mod tests;
