//! The console: lines evaluated one by one.

use std::sync::Arc;

use bakelite_hcl::budget::Budget;
use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics};
use bakelite_hcl::evaluate::evaluate;
use bakelite_hcl::native;
use bakelite_hcl::source::SourceMap;

use crate::component::{Components, DataSources};
use crate::environment::Environment;
use crate::gotemplate::{self, Rendering};
use crate::inspect;
use crate::legacy::{self, Legacy};
use crate::planner::{self, Ground};
use crate::scope::Names;
use crate::secrets::Secrets;
use crate::show::display_with;
use crate::template::{Content, Template};

impl Template {
    /// A console on this template's variables and locals; whatever is wrong with locals is left out in silence.
    pub async fn console(&self, components: &dyn Components, data: &dyn DataSources) -> Console {
        match &self.content {
            Content::Hcl(hcl) => Console::new(self.evaluated(hcl, components, data).await),
            Content::Legacy(legacy) => Console::legacy(legacy, &self.environment),
        }
    }
}

/// A console on the variables and locals of a template.
#[derive(Debug, Clone)]
pub struct Console {
    language: Language,
}

/// What lines of the console are.
#[derive(Debug, Clone)]
enum Language {
    /// Expressions.
    Hcl(Arc<Ground>),
    /// Texts with `{{ }}`.
    Legacy(Box<Rendering>, Arc<Environment>, Secrets),
}

/// What a line of the console comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A text to print, secrets masked.
    Text(String),
    /// `exit`
    Exit,
    /// `help`
    Help,
}

impl Console {
    pub(crate) fn new(ground: Arc<Ground>) -> Self {
        Self {
            language: Language::Hcl(ground),
        }
    }

    pub(crate) fn legacy(legacy: &Legacy, environment: &Arc<Environment>) -> Self {
        let mut rendering = legacy::rendering_of(legacy, environment);
        let for_variables = Rendering {
            environment: Some(environment.answers.environment().clone()),
            ..rendering.clone()
        };
        let user = legacy::resolve(
            legacy,
            &for_variables,
            &environment.answers,
            &mut Diagnostics::default(),
        );
        let mut secrets = Secrets::default();
        let sensitive = legacy.sensitive.iter().filter_map(|name| user.get(name));
        sensitive.for_each(|text| secrets.hide(text));
        environment.answers.derived().declare(&secrets);
        rendering.user = Some(user);
        Self {
            language: Language::Legacy(Box::new(rendering), environment.clone(), secrets),
        }
    }

    /// Evaluates a line; `None` when it has errors, which are then in `diagnostics`.
    pub async fn evaluate(
        &self,
        line: &str,
        data: &dyn DataSources,
        sources: &mut SourceMap,
        diagnostics: &mut Diagnostics,
    ) -> Option<Reply> {
        let line = line.trim();
        match line {
            "" => return Some(Reply::Text(String::new())),
            "exit" => return Some(Reply::Exit),
            "help" => return Some(Reply::Help),
            _ => {}
        }
        let ground = match &self.language {
            Language::Hcl(ground) => ground,
            Language::Legacy(rendering, _, secrets) => {
                let text = legacy_line(line, rendering, diagnostics)?;
                let mut secrets = secrets.clone();
                secrets.include(&rendering.derived);
                return Some(Reply::Text(secrets.mask(&text)));
            }
        };
        if line == "variables" {
            return Some(Reply::Text(inspect::variables_and_locals(ground)));
        }
        let mut found = Diagnostics::default();
        let file = sources.add("<console>", line);
        let expression = native::parse_expression(line, file, 0, &mut found);
        if found.has_errors() {
            diagnostics.extend(found);
            return None;
        }
        let environment = &ground.environment;
        let budget = Budget::default();
        let names = || {
            Names::new(environment, &ground.values)
                .without_data()
                .on_budget(&budget)
        };
        let work = |found: &mut Diagnostics| evaluate(&expression, &names(), found);
        let (value, found) = planner::settle(environment, data, work).await;
        let failed = found.has_errors();
        diagnostics.extend(found);
        if failed {
            return None;
        }
        let mut secrets = ground.secrets.clone();
        secrets.derive(&value);
        secrets.include(environment.answers.derived());
        Some(Reply::Text(display_with(&value, &|text| secrets.mask(text))))
    }

    /// `var.NAME`, `local.NAME` and the functions, for completion.
    pub fn names(&self) -> Vec<String> {
        let ground = match &self.language {
            Language::Hcl(ground) => ground,
            Language::Legacy(_, environment, _) => return environment.functions.names().map(str::to_owned).collect(),
        };
        let values = &ground.values;
        let variables = values.variables.keys().map(|name| format!("var.{name}"));
        let locals = values.locals.keys().map(|name| format!("local.{name}"));
        let functions = ground.environment.functions.names().map(|name| format!("{name}("));
        let more = ["path.cwd", "path.root", "packer.version"]
            .into_iter()
            .map(str::to_owned);
        variables.chain(locals).chain(more).chain(functions).collect()
    }
}

fn legacy_line(line: &str, rendering: &Rendering, diagnostics: &mut Diagnostics) -> Option<String> {
    if line == "variables" {
        let variables = rendering
            .user
            .iter()
            .flatten()
            .map(|(name, value)| format!("{name}: {value}\n"));
        return Some(format!("> input-variables:\n\n{}", variables.collect::<String>()));
    }
    match gotemplate::render(line, rendering) {
        Ok(text) => Some(text),
        Err(error) => {
            diagnostics.push(Diagnostic::error(None, error.to_string()));
            None
        }
    }
}
