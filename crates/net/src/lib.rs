//! How other machines are reached, in one way for the whole program: through the proxies that the environment names, with TLS that
//! trusts whom the machine or the environment trusts, and with errors that name the host, the port and the proxy.
//!
//! Users: AWS's clients and Session Manager's websocket ([`Network`] with their own authorities), WinRM, the data source `http`, Vault
//! and Consul ([`Network`]), and SSH, which never looks at the environment's proxies but dials ([`tcp::connect`]) and goes through
//! the proxy that a template names ([`handshake::through`]) with the same code. docs/reference/network.md is the page for users.
//!
//! From the bottom up: [`proxies`] (which proxy for a URL), [`trust`] (whose certificates), [`handshake`] (CONNECT and SOCKS5),
//! [`error`], [`tcp`], [`tap`] (streams that something looks into), [`network`] (all of it together), [`client`] (HTTP on top),
//! [`fetch`] (one request and its whole answer), [`settings`] (what variables say of a store), [`vault`] (the store of secrets that templates and AWS's credentials come from).
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod client;
pub mod error;
pub mod fetch;
pub mod handshake;
pub mod network;
pub mod proxies;
pub mod settings;
pub mod tap;
pub mod tcp;
pub mod trust;
pub mod vault;

use tokio::io::{AsyncRead, AsyncWrite};

pub use client::HttpClient;
pub use error::DialError;
pub use network::Network;

/// A stream of bytes in both directions, whatever it goes through.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}
