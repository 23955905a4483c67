//! What a bake yields.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bakelite_template::plan::BuildData;

use crate::error::Error;

/// What a builder or a post-processor made. Clones are the same artifact.
#[derive(Clone)]
pub struct Artifact {
    /// Who made it: `mitchellh.amazonebs`.
    pub builder_id: String,
    /// Its id; for AMIs `region:ami,region2:ami2`.
    pub id: String,
    /// Its files; absent when it is none of files, as for AMIs.
    pub files: Option<Vec<String>>,
    /// What the closing lines say of it; may have several lines.
    pub description: String,
    /// What post-processors see as `build.*`.
    pub data: BuildData,
    /// More about it, for other components and records.
    pub state: BTreeMap<String, serde_json::Value>,
    /// How it is destroyed when a chain does not keep it; absent: there is nothing to destroy.
    pub destroy: Option<Arc<dyn Destroy>>,
}

/// Destroys an artifact.
#[async_trait]
pub trait Destroy: Send + Sync {
    /// Removes it (files deleted, AMIs deregistered). Doing it twice is no error.
    async fn destroy(&self) -> Result<(), Error>;
}

/// Destroys an artifact that is files of this machine; those that are gone already are no error.
pub struct DeleteFiles(pub Vec<PathBuf>);

#[async_trait]
impl Destroy for DeleteFiles {
    async fn destroy(&self) -> Result<(), Error> {
        for path in &self.0 {
            match tokio::fs::remove_file(path).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Artifact")
            .field("builder_id", &self.builder_id)
            .field("id", &self.id)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}
