//! Child processes: none outlives the tool, sees a secret in its environment, or leaves children of
//! its own behind.
//!
//! A child is started through the tool's own executable (the exec shim), confined by Landlock. When
//! the tool is killed the kernel kills the child; its grandchildren are reached through the process
//! group, and after a `kill -9` of the tool only through the unit's cgroup.
//!
//! Does not restart children and does not interpret their output.

mod child;
pub(crate) mod command;
pub mod confine;
mod run;
mod shim;
pub mod user;

pub use self::{
    child::{Child, spawn},
    command::{command, find, find_in, trusted},
    run::{RunError, describe, output},
    shim::shim,
};

#[cfg(test)]
mod tests;
