//! What will be baked, as data: builds with their evaluated builder options and with provisioners and post-processors whose
//! expressions are kept for bake time. Plans can be printed, compared and serialized; secrets are masked in what is printed and
//! serialized.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bakelite_hcl::diagnostic::Diagnostics;
use bakelite_hcl::value::Value;
use serde::{Serialize, Serializer};
use serde_json::Value as Json;

use crate::decode::Decoded;
use crate::gotemplate::Rendering;
pub use crate::location::Location;
use crate::secrets::{MASK, Secrets};

/// `build.KEY` → value.
pub type BuildData = BTreeMap<String, Value>;

/// Everything that one invocation will bake.
#[derive(Default, PartialEq, Serialize)]
pub struct Plan {
    /// The builds, in the order of the template.
    pub builds: Vec<BuildPlan>,
    /// Strings that must not be shown anywhere.
    #[serde(skip)]
    pub secrets: Vec<String>,
}

/// One source of one build block, or one builder of a legacy template.
#[derive(Serialize)]
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
    #[serde(skip)]
    pub rendering: Rendering,
    /// The builder's options.
    #[serde(serialize_with = "masked")]
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
#[derive(Debug, PartialEq, Serialize)]
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
#[derive(Debug, PartialEq, Serialize)]
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

/// Options whose expressions are kept until bake time, because they may use `build.*`. Compared, printed and serialized it is its
/// [`Expressions`]; what evaluates them is held beside.
#[derive(Clone)]
pub struct Deferred {
    expressions: Expressions,
    evaluate: Arc<Evaluate>,
}

type Evaluate = dyn Fn(&BuildData) -> Result<Decoded, Diagnostics> + Send + Sync;

/// Options as they are written. Secrets are masked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Expressions {
    /// The text of each option's expression, by the option's path: `inline`, `part[0].name`.
    pub written: BTreeMap<String, String>,
    /// What the expressions refer to (`var.region`, `build.ID`), with its value as the console prints it where that is known while
    /// planning.
    pub references: BTreeMap<String, Option<String>>,
}

impl Deferred {
    /// Options that this function evaluates.
    pub fn new(
        expressions: Expressions,
        evaluate: impl Fn(&BuildData) -> Result<Decoded, Diagnostics> + Send + Sync + 'static,
    ) -> Self {
        Self {
            expressions,
            evaluate: Arc::new(evaluate),
        }
    }

    /// What is evaluated.
    pub fn expressions(&self) -> &Expressions {
        &self.expressions
    }

    /// Evaluates the options with what is known of the build now; functions like `timestamp` are called again each time.
    pub fn decode(&self, data: &BuildData) -> Result<Decoded, Diagnostics> {
        (self.evaluate)(data)
    }
}

impl fmt::Debug for Deferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expressions.fmt(f)
    }
}

impl PartialEq for Deferred {
    fn eq(&self, other: &Self) -> bool {
        self.expressions == other.expressions
    }
}

impl Serialize for Deferred {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.expressions.serialize(serializer)
    }
}

/// Two builds are equal when the same is baked: what `{{ }}` renders while baking belongs to the run.
impl PartialEq for BuildPlan {
    fn eq(&self, other: &Self) -> bool {
        let names = |plan: &Self| [&plan.name, &plan.build_name, &plan.builder, &plan.source_name].map(String::clone);
        names(self) == names(other)
            && self.options.options == other.options.options
            && self.options.unknown == other.options.unknown
            && self.provisioners == other.provisioners
            && self.error_cleanup == other.error_cleanup
            && self.chains == other.chains
            && self.location == other.location
    }
}

/// Without its secrets.
impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("builds", &self.builds)
            .finish_non_exhaustive()
    }
}

/// As JSON: secrets are masked there.
impl fmt::Debug for BuildPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_string_pretty(self).map_err(|_| fmt::Error)?;
        f.write_str(&json)
    }
}

impl BuildPlan {
    /// Hides secrets in everything but the options of the builder and of the steps, which need them: those hide their own when they are
    /// serialized.
    pub(crate) fn mask(&mut self, secrets: &Secrets) {
        let mask_all = |location: &mut Option<Location>, options: Option<&mut Deferred>| {
            if let Some(location) = location {
                location.source_line = secrets.mask(&location.source_line);
            }
            if let Some(Deferred { expressions, .. }) = options {
                let references = expressions.references.values_mut().flatten();
                for text in expressions.written.values_mut().chain(references) {
                    *text = secrets.mask(text);
                }
            }
        };
        mask_all(&mut self.location, None);
        for step in self.provisioners.iter_mut().chain(&mut self.error_cleanup) {
            mask_all(&mut step.location, Some(&mut step.options));
        }
        for step in self.chains.iter_mut().flatten() {
            mask_all(&mut step.location, Some(&mut step.options));
        }
        // A number that is secret is known by its digits only.
        each_number(&self.options.options, &mut |number| {
            if secrets.mask(&number) != number {
                self.options.secrets.push(number);
            }
        });
    }
}

fn each_number(options: &serde_json::Map<String, Json>, found: &mut dyn FnMut(String)) {
    let mut open: Vec<&Json> = options.values().collect();
    while let Some(value) = open.pop() {
        match value {
            Json::Number(number) => found(number.to_string()),
            Json::Array(elements) => open.extend(elements),
            Json::Object(members) => open.extend(members.values()),
            _ => {}
        }
    }
}

/// The options, secrets masked.
fn masked<S: Serializer>(decoded: &Decoded, serializer: S) -> Result<S::Ok, S::Error> {
    let mut secrets = Secrets::default();
    secrets.extend(decoded.secrets.iter().chain(&decoded.declared).cloned());
    without(&secrets, &Json::Object(decoded.options.clone())).serialize(serializer)
}

fn without(secrets: &Secrets, value: &Json) -> Json {
    match value {
        Json::String(text) => Json::String(secrets.mask(text)),
        Json::Number(number) if secrets.mask(&number.to_string()) != number.to_string() => {
            Json::String(MASK.to_owned())
        }
        Json::Array(elements) => elements.iter().map(|element| without(secrets, element)).collect(),
        Json::Object(members) => {
            let each = members.iter();
            Json::Object(
                each.map(|(name, member)| (secrets.mask(name), without(secrets, member)))
                    .collect(),
            )
        }
        other => other.clone(),
    }
}
