//! The hot standby: of several hosts with the same settings, one publishes.
//!
//! # Theory of operation
//!
//! Each host holds a lease at etcd. The key `active` belongs to the lease of the host that may
//! publish, and exists once. [`election`] decides, without input or output, what follows from each
//! answer of etcd and from the clock; [`Member`] runs it on a thread of its own. The host on air
//! has a [`tgs_core::permit::Permit`], which ends before the lease can, and writes a
//! [`StateRecord`] twice a second, from which its successor continues.
//!
//! This crate knows neither media nor Telegram, and nothing of what a record's parts mean.

mod driver;
pub mod election;
mod error;
mod etcd;
mod hosts;
mod member;
mod record;
mod requests;
mod shared;
mod watch;

pub use self::{
    error::{HaError, HandOverError},
    hosts::HostInfo,
    member::Member,
    record::StateRecord,
    shared::{EtcdLogin, HaConfig, HaView, OnAirTerm},
};
