//! The engine with components of the tests' own: what each call does is scripted, time is paused, and everything that happens is noted.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "time is paused here: a sleep moves the clock")]

mod bench;
mod cancelling;
mod cleaning;
mod post_processing;
mod provisioning;
mod running;
