//! What will be baked, as data: builds with their evaluated builder options and with provisioners and post-processors whose
//! expressions are kept for bake time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bakelite_hcl::diagnostic::Diagnostics;
use bakelite_hcl::value::Value;

use crate::decode::Decoded;
use crate::gotemplate::Rendering;
pub use crate::location::Location;

/// `build.KEY` → value.
pub type BuildData = BTreeMap<String, Value>;

/// Everything that one invocation will bake.
#[derive(Debug, Default)]
pub struct Plan {
    /// The builds, in the order of the template.
    pub builds: Vec<BuildPlan>,
    /// Texts that must not be shown anywhere.
    pub secrets: Vec<String>,
}

/// One source of one build block.
#[derive(Debug)]
pub struct BuildPlan {
    /// `[BUILD.]TYPE.NAME`, how output and `-only` name it. A legacy JSON build may be named by its type alone.
    pub name: String,
    /// The build block's `name`, empty when it has none.
    pub build_name: String,
    /// The builder: `amazon-ebs`.
    pub builder: String,
    /// The source's name (the local one where the build block renames it): `web`. For legacy JSON the builder's name.
    pub source_name: String,
    /// What `{{ }}` in texts that are rendered while baking can refer to, before the bake has data of its own.
    pub rendering: Rendering,
    /// The builder's options.
    pub options: Decoded,
    /// What runs on the instance, in order.
    pub provisioners: Vec<ProvisionerPlan>,
    /// What runs when the bake fails.
    pub error_cleanup: Option<ProvisionerPlan>,
    /// Chains of post-processors, each starting from the builder's artifact.
    pub chains: Vec<Vec<PostProcessorPlan>>,
    /// The source's block.
    pub location: Option<Location>,
}

/// One provisioner of a build.
#[derive(Debug)]
pub struct ProvisionerPlan {
    /// `shell`, `file`, …
    pub component: String,
    /// The `name` meta-argument.
    pub name: Option<String>,
    /// Waits this long before it starts.
    pub pause_before: Option<Duration>,
    /// Is cancelled after this long, per try.
    pub timeout: Option<Duration>,
    /// Tries again this often after a failure.
    pub max_retries: u32,
    /// A failure is a warning.
    pub continue_on_error: bool,
    /// Its options, evaluated when it runs.
    pub options: Deferred,
    /// Its block.
    pub location: Option<Location>,
}

/// One post-processor of a chain.
#[derive(Debug)]
pub struct PostProcessorPlan {
    /// `manifest`, `shell-local`, …
    pub component: String,
    /// The `name` meta-argument.
    pub name: Option<String>,
    /// `keep_input_artifact`, when given.
    pub keep_input_artifact: Option<bool>,
    /// Its options, evaluated when it runs.
    pub options: Deferred,
    /// Its block.
    pub location: Option<Location>,
}

/// Options whose expressions are kept until bake time, because they may use `build.*`.
#[derive(Clone)]
pub struct Deferred(Arc<Evaluate>);

type Evaluate = dyn Fn(&BuildData) -> Result<Decoded, Diagnostics> + Send + Sync;

impl Deferred {
    /// Options that this function evaluates.
    pub fn new(evaluate: impl Fn(&BuildData) -> Result<Decoded, Diagnostics> + Send + Sync + 'static) -> Self {
        Self(Arc::new(evaluate))
    }

    /// Evaluates the options with what is known of the build now; functions like `timestamp` are called again each time.
    pub fn decode(&self, data: &BuildData) -> Result<Decoded, Diagnostics> {
        (self.0)(data)
    }
}

impl fmt::Debug for Deferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deferred")
    }
}
