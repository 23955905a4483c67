//! The contract of a post-processor.

use async_trait::async_trait;
use bakelite_template::gotemplate::Rendering;
use tokio_util::sync::CancellationToken;

use crate::artifact::Artifact;
use crate::error::Error;
use crate::events::Ui;
use crate::provisioner::RunContext;

/// Works on the artifact of a bake after it was made.
#[async_trait]
pub trait PostProcessor: Send + Sync {
    /// Makes a new artifact of the given one, or passes it on.
    async fn process(&self, processing: &PostProcessing, artifact: &Artifact) -> Result<Processed, PostProcessError>;
}

/// What a post-processor works with.
#[derive(Clone)]
pub struct PostProcessing {
    /// Where its words go: `==> BUILD (TYPE): …`
    pub ui: Ui,
    /// Cancelled when the run is.
    pub cancel: CancellationToken,
    /// What `{{ }}` texts can refer to.
    pub rendering: Rendering,
    /// The source's name.
    pub source_name: String,
    /// The builder's name.
    pub builder: String,
    /// Where this run's files are and how it is named.
    pub run: RunContext,
}

/// What came of it.
pub struct Processed {
    /// The new artifact, or the given one passed on; absent: the chain ends here.
    pub artifact: Option<Artifact>,
    /// Whether the input is kept when the template does not say.
    pub keep_input: bool,
    /// The input is kept whatever the template says.
    pub must_keep_input: bool,
}

/// Why a post-processor failed.
pub type PostProcessError = Error;
