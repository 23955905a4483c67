//! Session Manager's data channel: streams of bytes to one port of an instance, over one websocket, without a plugin.
//!
//! From the wire up: a [`frame`] is what a websocket message holds; the link puts frames into order, acknowledges them and sends lost
//! ones again, whatever websocket they come by; smux cuts the link's bytes into streams; a [`Session`](session::Session) is the
//! client's side of all that, an [`Agent`](agent::Agent) the instance's.
//!
//! Nothing here knows AWS: whoever starts a session hands over the address and token that `StartSession` answered, and a way to
//! [`Resume`](session::Resume) it.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod agent;
mod driver;
mod error;
pub mod frame;
#[doc(hidden)] // for the fuzzers, which are another crate
pub mod fuzzing;
pub mod handshake;
mod incoming;
pub mod link;
pub mod message;
mod opener;
mod outgoing;
pub mod session;
pub mod smux;
pub mod socket;
mod streams;
pub mod version;
