//! What will be baked, as data: builds with their evaluated builder options and with provisioners and post-processors whose
//! expressions are kept for bake time. Plans can be printed, compared and serialized; secrets are masked in what is printed and
//! serialized. What only that requires is computed then: most plans are never shown.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bakelite_hcl::diagnostic::Diagnostics;
use bakelite_hcl::value::Value;
use serde::ser::SerializeStruct;
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
    /// The secrets of the whole plan.
    pub(crate) secrets: Arc<Secrets>,
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
}

/// Options whose expressions are kept until bake time, because they may use `build.*`. Compared, printed and serialized it is its
/// [`Expressions`].
#[derive(Clone)]
pub struct Deferred {
    options: Arc<dyn Evaluate>,
    secrets: Arc<Secrets>,
}

/// Options with everything that they are evaluated with.
pub(crate) trait Evaluate: Send + Sync {
    /// Evaluates the options while baking.
    fn decode(&self, data: &BuildData) -> Result<Decoded, Diagnostics>;

    /// The options as they are written, with these secrets masked.
    fn expressions(&self, secrets: &Secrets) -> Expressions;

    /// Their block.
    fn location(&self) -> Option<Location>;
}

/// Options as they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Expressions {
    /// The text of each option's expression, by the option's path: `inline`, `part[0].name`.
    pub written: BTreeMap<String, String>,
    /// What the expressions refer to (`var.region`, `build.ID`), with its value as the console prints it where that is known while
    /// planning.
    pub references: BTreeMap<String, Option<String>>,
    /// Their block.
    pub location: Option<Location>,
}

impl Deferred {
    pub(crate) fn new(options: Arc<dyn Evaluate>) -> Self {
        let secrets = Arc::default();
        Self { options, secrets }
    }

    /// What is evaluated, with its secrets masked.
    pub fn expressions(&self) -> Expressions {
        self.options.expressions(&self.secrets)
    }

    /// Evaluates the options with what is known of the build now; functions like `timestamp` are called again each time.
    pub fn decode(&self, data: &BuildData) -> Result<Decoded, Diagnostics> {
        self.options.decode(data)
    }

    /// The block that has the options. Its line may contain secrets.
    pub fn location(&self) -> Option<Location> {
        self.options.location()
    }
}

impl fmt::Debug for Deferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expressions().fmt(f)
    }
}

/// With their secrets: another password is another bake.
impl PartialEq for Deferred {
    fn eq(&self, other: &Self) -> bool {
        let expressions = |deferred: &Self| deferred.options.expressions(&Secrets::default());
        expressions(self) == expressions(other)
    }
}

impl Serialize for Deferred {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.expressions().serialize(serializer)
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
            && self.location() == other.location()
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

impl Serialize for BuildPlan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut plan = serializer.serialize_struct("BuildPlan", 9)?;
        plan.serialize_field("name", &self.name)?;
        plan.serialize_field("build_name", &self.build_name)?;
        plan.serialize_field("builder", &self.builder)?;
        plan.serialize_field("source_name", &self.source_name)?;
        plan.serialize_field("options", &self.masked_options())?;
        plan.serialize_field("provisioners", &self.provisioners)?;
        plan.serialize_field("error_cleanup", &self.error_cleanup)?;
        plan.serialize_field("chains", &self.chains)?;
        plan.serialize_field(
            "location",
            &self.location().map(|location| location.masked(&self.secrets)),
        )?;
        plan.end()
    }
}

impl BuildPlan {
    /// The source's block. Its line may contain secrets.
    pub fn location(&self) -> Option<Location> {
        self.options.location_of("")
    }

    /// Masks these secrets, those of the whole plan, wherever the build is shown.
    pub(crate) fn hide(&mut self, secrets: &Arc<Secrets>) {
        self.secrets = Arc::clone(secrets);
        let steps = self.provisioners.iter_mut().chain(&mut self.error_cleanup);
        let post_processors = self.chains.iter_mut().flatten();
        let options = steps.map(|step| &mut step.options);
        for options in options.chain(post_processors.map(|step| &mut step.options)) {
            options.secrets = Arc::clone(secrets);
        }
    }

    /// The builder's options without secrets. What they were decoded with is masked as a whole first: it may be too short for the
    /// secrets of the plan.
    fn masked_options(&self) -> Json {
        let mut own = Secrets::default();
        own.extend(self.options.secrets.iter().chain(&self.options.declared).cloned());
        masked(
            &|text| self.secrets.mask(&own.mask(text)),
            &Json::Object(self.options.options.clone()),
        )
    }
}

fn masked(mask: &dyn Fn(&str) -> String, value: &Json) -> Json {
    match value {
        Json::String(text) => Json::String(mask(text)),
        // A number that is secret is known by its digits only.
        Json::Number(number) if mask(&number.to_string()) != number.to_string() => Json::String(MASK.to_owned()),
        Json::Array(elements) => elements.iter().map(|element| masked(mask, element)).collect(),
        Json::Object(members) => {
            let each = members.iter().map(|(name, member)| (mask(name), masked(mask, member)));
            Json::Object(each.collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Written(&'static str, AtomicUsize);

    impl Evaluate for Written {
        fn decode(&self, _: &BuildData) -> Result<Decoded, Diagnostics> {
            Ok(Decoded::default())
        }

        fn expressions(&self, secrets: &Secrets) -> Expressions {
            self.1.fetch_add(1, Ordering::Relaxed);
            let written = BTreeMap::from([("inline".to_owned(), secrets.mask(self.0))]);
            Expressions {
                written,
                ..Expressions::default()
            }
        }

        fn location(&self) -> Option<Location> {
            None
        }
    }

    /// Making them for 1,500 builds took as long as planning them.
    #[test]
    fn expressions_are_made_when_they_are_asked_for() {
        let written = Arc::new(Written("echo hunter2", AtomicUsize::default()));
        let mut deferred = Deferred::new(Arc::clone(&written) as Arc<dyn Evaluate>);
        let mut secrets = Secrets::default();
        secrets.hide("hunter2");
        deferred.secrets = Arc::new(secrets);
        assert!(deferred.decode(&BuildData::new()).is_ok());
        assert_eq!(written.1.load(Ordering::Relaxed), 0);
        assert_eq!(
            serde_json::to_string(&deferred.clone()).unwrap(),
            r#"{"written":{"inline":"echo <sensitive>"},"references":{},"location":null}"#
        );
        assert_eq!(written.1.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn another_secret_makes_another_plan() {
        let deferred = |text| Deferred::new(Arc::new(Written(text, AtomicUsize::default())));
        assert_eq!(deferred("echo hunter2"), deferred("echo hunter2"));
        assert_ne!(deferred("echo hunter2"), deferred("echo hunter3"));
    }
}
