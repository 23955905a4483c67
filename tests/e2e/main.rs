//! End-to-end tests: the binary, run as a user runs it, against clouds and servers that are real.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[cfg(feature = "amazon")]
mod access;
#[cfg(feature = "amazon")]
mod account;
mod amazon_options;
mod chains;
mod clients;
mod command_line;
mod coverage;
#[cfg(feature = "amazon")]
mod data_sources;
#[cfg(feature = "amazon")]
mod documentation;
mod errors;
#[cfg(feature = "amazon")]
mod host_keys;
#[cfg(feature = "amazon")]
mod interrupts;
#[cfg(feature = "amazon")]
mod keys;
mod language;
#[cfg(feature = "amazon")]
mod local_bakes;
#[cfg(feature = "amazon")]
mod local_images;
#[cfg(feature = "amazon")]
mod local_instances;
#[cfg(feature = "amazon")]
mod local_serve;
#[cfg(feature = "amazon")]
mod local_services;
#[cfg(feature = "amazon")]
mod local_storage;
#[cfg(feature = "amazon")]
mod logs;
mod manifests;
mod masking;
mod meta_arguments;
#[cfg(feature = "amazon")]
mod moto_bakes;
#[cfg(feature = "amazon")]
mod option_groups;
mod output;
mod partition;
mod provenance;
#[cfg(feature = "amazon")]
mod reboot;
#[cfg(feature = "amazon")]
mod secrets;
#[cfg(feature = "amazon")]
mod session_manager;
#[cfg(feature = "amazon")]
mod siblings;
#[cfg(feature = "amazon")]
mod templates;
mod terminal;
mod timeline;
mod user_data;
mod windows;
mod winrm;
