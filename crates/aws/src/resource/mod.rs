//! The kinds of temporary resources that bakelite makes in AWS, a file each: how it is found when its id was lost, how it is removed.

pub mod image;
pub mod instance;
pub mod key_pair;
mod kind;
pub mod launch_template;
pub mod profile;
pub mod security_group;
pub mod session;
pub mod snapshot;
pub mod volume;

pub(crate) use kind::{By, Scope};
pub use kind::{Kind, OWNER, RemoveError};

/// All kinds, in the order in which they can be removed.
pub static KINDS: [&Kind; 10] = [
    &session::SESSION,
    &instance::INSTANCE,
    &launch_template::LAUNCH_TEMPLATE,
    &profile::INSTANCE_PROFILE,
    &profile::ROLE,
    &image::IMAGE,
    &snapshot::SNAPSHOT,
    &volume::VOLUME,
    &security_group::SECURITY_GROUP,
    &key_pair::KEY_PAIR,
];
