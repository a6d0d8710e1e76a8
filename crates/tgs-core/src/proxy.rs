//! Proxies on the way to Telegram and to the ingest: how settings name them, and how a connection
//! through SOCKS5 or HTTP CONNECT is opened. Opens no socket, and does not speak MTProxy.

mod kept;
mod list;
mod mtproxy_secret;
mod parse;
mod tunnel;
mod upstream;

pub use self::{
    kept::KeptProxies,
    list::ProxyList,
    mtproxy_secret::{MtProxyDisguise, MtProxySecret},
    parse::{InvalidProxy, MOST_PROXIES, parse_proxies, parse_proxy},
    tunnel::{TunnelError, TunnelHandshake},
    upstream::{ProxyLogin, ProxyProtocol, UpstreamProxy},
};
