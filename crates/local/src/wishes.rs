//! What other processes have asked a cloud for.

use std::sync::atomic::AtomicBool;

use tokio::sync::watch;

/// What a cloud was asked to do.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// To end, by the command of this name.
    pub(crate) end: watch::Sender<Option<String>>,
    /// To end, since nobody needs its instances any more.
    pub(crate) release: watch::Sender<bool>,
    /// Whether it runs only for the instances that a bake has left, and ends when it is released.
    pub(crate) is_kept: AtomicBool,
}
