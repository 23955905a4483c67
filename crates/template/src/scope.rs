//! What the expressions of a template can see: `var`, `local`, `data`, `path`, `packer`, and where they exist `source`, `build`
//! and the iterators of dynamic blocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use bakelite_hcl::budget::Budget;
use bakelite_hcl::functions::Functions;
use bakelite_hcl::scope::{EvalContext, Missing, Scope};
use bakelite_hcl::types::Type;
use bakelite_hcl::value::Value;

use crate::context::TemplateContext;
use crate::version::PACKER_VERSION;

/// Evaluated values of a template.
#[derive(Debug, Default)]
pub(crate) struct Values {
    /// `var.NAME`
    pub(crate) variables: BTreeMap<Arc<str>, Value>,
    /// `local.NAME`, as far as evaluated.
    pub(crate) locals: BTreeMap<Arc<str>, Value>,
    /// `data.TYPE.NAME`, as far as read.
    pub(crate) data: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Value>>,
}

impl Values {
    fn data_of(&self, kind: &str) -> Option<Value> {
        let named = self.data.get(kind)?;
        Some(Value::object(
            named.iter().map(|(name, value)| (name.as_ref(), value.clone())),
        ))
    }
}

/// The names and functions that an expression can use.
pub(crate) struct TemplateScope<'a> {
    eval_context: EvalContext<'a>,
    functions: Option<&'a Functions>,
    root_directory: &'a str,
    budget: &'a Budget,
    values: &'a Values,
    with_data: bool,
    more: Vec<(&'a str, Value)>,
}

impl<'a> TemplateScope<'a> {
    /// What every expression of a template sees.
    pub(crate) fn new(context: &'a TemplateContext, values: &'a Values) -> Self {
        Self {
            eval_context: context.eval_context(&context.base_directory()),
            functions: Some(&context.functions),
            root_directory: &context.root,
            budget: &context.budget,
            values,
            with_data: true,
            more: Vec::new(),
        }
    }

    /// The same with file functions starting from the working directory: validation rules have it so.
    pub(crate) fn in_working_directory(mut self) -> Self {
        self.eval_context.base_directory = self.eval_context.working_directory.clone();
        self
    }

    /// The same without `data`: the console has it so.
    pub(crate) fn without_data(mut self) -> Self {
        self.with_data = false;
        self
    }

    /// The same with a budget of its own, for what is evaluated while baking or line by line.
    pub(crate) fn on_budget(mut self, budget: &'a Budget) -> Self {
        self.budget = budget;
        self
    }

    /// The same with one more root name.
    pub(crate) fn with(mut self, name: &'a str, value: Value) -> Self {
        self.more.push((name, value));
        self
    }
}

impl Scope for TemplateScope<'_> {
    fn root(&self, name: &str) -> Option<Value> {
        if let Some((_, value)) = self.more.iter().find(|(more, _)| *more == name) {
            return Some(value.clone());
        }
        let object = |members: &BTreeMap<Arc<str>, Value>| {
            Value::object(members.iter().map(|(name, value)| (name.as_ref(), value.clone())))
        };
        match name {
            "var" => Some(object(&self.values.variables)),
            "local" => Some(object(&self.values.locals)),
            "data" if self.with_data => {
                let kinds = self.values.data.keys();
                Some(Value::object(
                    kinds.filter_map(|kind| Some((kind.as_ref(), self.values.data_of(kind)?))),
                ))
            }
            "path" => {
                let working_directory = self.eval_context.working_directory.to_string_lossy().replace('\\', "/");
                Some(Value::object([
                    ("cwd", Value::string(working_directory)),
                    ("root", Value::string(self.root_directory)),
                ]))
            }
            // Only what belongs to a chosen source knows it.
            "source" => Some(Value::object([
                ("name", Value::unknown(Type::String)),
                ("type", Value::unknown(Type::String)),
            ])),
            "packer" => Some(Value::object([
                ("version", Value::string(PACKER_VERSION)),
                ("iterationID", Value::unknown(Type::String)),
                ("versionFingerprint", Value::unknown(Type::String)),
            ])),
            _ => None,
        }
    }

    fn member(&self, root: &str, name: &str) -> Option<Value> {
        match root {
            _ if self.more.iter().any(|(more, _)| *more == root) => None,
            "var" => self.values.variables.get(name).cloned(),
            "local" => self.values.locals.get(name).cloned(),
            "data" if self.with_data => self.values.data_of(name),
            _ => None,
        }
    }

    fn root_names(&self) -> Vec<String> {
        let data = self.with_data.then_some("data");
        let always = ["var", "local", "path", "packer", "source"].into_iter().chain(data);
        always
            .chain(self.more.iter().map(|(name, _)| *name))
            .map(str::to_owned)
            .collect()
    }

    fn functions(&self) -> Option<&Functions> {
        self.functions
    }

    fn budget(&self) -> Option<&Budget> {
        Some(self.budget)
    }

    fn remedy(&self, missing: Missing<'_>) -> Option<String> {
        match missing {
            Missing::Name(["data", kind, name, ..]) if self.with_data => Some(format!(
                "there is no data source of this type and name; add a block `data \"{kind}\" \"{name}\" {{ … }}`"
            )),
            Missing::Name(["var", name, ..]) => Some(format!("declare it with a block `variable \"{name}\" {{ … }}`")),
            Missing::Name(["local", name, ..]) => Some(format!("define it in a block: `locals {{ {name} = … }}`")),
            Missing::Name([kind, name]) if self.root(kind).is_none() => {
                Some(format!("a source is named in quotes: `\"source.{kind}.{name}\"`"))
            }
            Missing::Function("env") => {
                Some("call it in the `default` of a variable, and refer to that variable here: `var.NAME`".to_owned())
            }
            _ => None,
        }
    }

    fn eval_context(&self) -> &EvalContext<'_> {
        &self.eval_context
    }
}

/// A scope that knows no name at all, only functions: defaults of variables.
pub(crate) struct Nameless<'a> {
    pub(crate) eval_context: EvalContext<'a>,
    pub(crate) functions: &'a Functions,
}

impl Scope for Nameless<'_> {
    fn root(&self, _: &str) -> Option<Value> {
        None
    }

    fn root_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn functions(&self) -> Option<&Functions> {
        Some(self.functions)
    }

    fn eval_context(&self) -> &EvalContext<'_> {
        &self.eval_context
    }
}

/// The iterators of the dynamic blocks that a block came from, innermost first. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Iterations(Option<Arc<Iteration>>);

#[derive(Debug)]
struct Iteration {
    name: String,
    value: Value,
    outer: Iterations,
}

impl Iterations {
    /// One more, inside of these.
    pub(crate) fn enter(&self, name: &str, value: Value) -> Self {
        Self(Some(Arc::new(Iteration {
            name: name.to_owned(),
            value,
            outer: self.clone(),
        })))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        let mut at = self;
        while let Some(iteration) = &at.0 {
            if iteration.name == name {
                return Some(&iteration.value);
            }
            at = &iteration.outer;
        }
        None
    }

    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut at = self;
        while let Some(iteration) = &at.0 {
            names.push(iteration.name.clone());
            at = &iteration.outer;
        }
        names
    }
}

/// A scope with the iterators of dynamic blocks in front.
pub(crate) struct Within<'a> {
    pub(crate) outer: &'a dyn Scope,
    pub(crate) iterations: &'a Iterations,
}

impl Scope for Within<'_> {
    fn root(&self, name: &str) -> Option<Value> {
        self.iterations.get(name).cloned().or_else(|| self.outer.root(name))
    }

    fn member(&self, root: &str, name: &str) -> Option<Value> {
        match self.iterations.get(root) {
            Some(_) => None,
            None => self.outer.member(root, name),
        }
    }

    fn root_names(&self) -> Vec<String> {
        let mut names = self.outer.root_names();
        names.extend(self.iterations.names());
        names
    }

    fn functions(&self) -> Option<&Functions> {
        self.outer.functions()
    }

    fn budget(&self) -> Option<&Budget> {
        self.outer.budget()
    }

    fn remedy(&self, missing: Missing<'_>) -> Option<String> {
        self.outer.remedy(missing)
    }

    fn eval_context(&self) -> &EvalContext<'_> {
        self.outer.eval_context()
    }
}

/// A scope of nothing but the iterators of dynamic blocks.
pub(crate) struct IterationsOnly<'a> {
    iterations: &'a Iterations,
    eval_context: EvalContext<'a>,
}

/// A world that answers nothing: without functions nobody asks.
struct Silent;

impl bakelite_hcl::scope::Externals for Silent {
    fn ask(&self, function: &str, _: &[Value]) -> Result<Value, bakelite_hcl::scope::NoAnswer> {
        Err(format!("`{function}` cannot be called here").into())
    }
}

impl<'a> IterationsOnly<'a> {
    pub(crate) fn new(iterations: &'a Iterations) -> Self {
        let eval_context = EvalContext {
            base_directory: std::path::PathBuf::new(),
            working_directory: std::path::PathBuf::new(),
            home_directory: None,
            started: std::time::SystemTime::UNIX_EPOCH,
            externals: &Silent,
        };
        Self {
            iterations,
            eval_context,
        }
    }
}

impl Scope for IterationsOnly<'_> {
    fn root(&self, name: &str) -> Option<Value> {
        self.iterations.get(name).cloned()
    }

    fn root_names(&self) -> Vec<String> {
        self.iterations.names()
    }

    fn functions(&self) -> Option<&Functions> {
        None
    }

    fn eval_context(&self) -> &EvalContext<'_> {
        &self.eval_context
    }
}
