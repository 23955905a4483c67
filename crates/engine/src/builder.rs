//! The contract of a builder.

use async_trait::async_trait;

use crate::artifact::Artifact;
use crate::bake::{Bake, BakeError};

/// Makes an artifact. One value is constructed from the options of one source and bakes once.
///
/// Nothing is created except through [`Bake::create`]; everything that it registers is undone by the engine after `bake` returned,
/// failed or was dropped on cancellation. So no state may live only in the future.
#[async_trait]
pub trait Builder: Send + Sync {
    /// Makes the artifact, running the provisioners through [`Bake::provision`] when the instance is reachable.
    async fn bake(&self, bake: &Bake) -> Result<Artifact, BakeError>;
}
