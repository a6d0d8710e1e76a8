//! The loopback HTTP proxy through which ffmpeg and yt-dlp reach the network. It decides which
//! addresses they may connect to.
//!
//! Both follow redirects, playlists and DNS to any address, so the proxy judges each connection by
//! its target address: a source that an untrusted list or page names must be public, or in the
//! network of that list ([`crate::item::Trust`]). ffmpeg supports no proxy for RTSP, which uses a
//! relay. Media pass unread.
//!
//! A child receives the proxy's URL and its own credentials in its environment, which other users
//! cannot read.

mod account;
mod bridge;
mod client;
mod connect;
mod error;
mod exchange;
mod head;
mod listener;
mod loopback;
mod parked;
mod policy;
mod protocols;
mod rtsp_filter;
mod rtsp_relay;
mod serve;
mod spool;

pub use self::{
    account::ReadPurpose,
    client::ProxyClient,
    policy::checked_address,
    protocols::{cookies, input_options, is_bridged},
};
