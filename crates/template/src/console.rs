//! The console: lines evaluated one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use bakelite_hcl::budget::Budget;
use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics};
use bakelite_hcl::evaluate::evaluate;
use bakelite_hcl::native;
use bakelite_hcl::source::{Place, SourceMap};

use crate::component::{Components, DataSources};
use crate::gotemplate;
use crate::inspect;
use crate::outdated;
use crate::planner::{self, Evaluated};
use crate::scope::TemplateScope;
use crate::show::display_with;
use crate::template::Template;

impl Template {
    /// A console on this template's variables and locals; whatever is wrong with locals is left out in silence.
    pub async fn console(&self, components: &dyn Components, data: &dyn DataSources) -> Console {
        Console {
            evaluated: self.evaluated(components, data).await,
        }
    }
}

/// A console on the variables and locals of a template.
#[derive(Debug, Clone)]
pub struct Console {
    evaluated: Arc<Evaluated>,
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
        let evaluated = &self.evaluated;
        if let Some(variables) = evaluated.legacy_variables() {
            let text = legacy_line(line, variables, evaluated, sources, diagnostics)?;
            let mut secrets = evaluated.secrets.clone();
            secrets.include(evaluated.context.answers.derived());
            return Some(Reply::Text(secrets.mask(&text)));
        }
        if line == "variables" {
            return Some(Reply::Text(inspect::variables_and_locals(evaluated)));
        }
        let mut found = Diagnostics::default();
        let file = sources.add("<console>", line);
        let expression = native::parse_expression(line, file, 0, &mut found);
        if found.has_errors() {
            diagnostics.extend(found);
            return None;
        }
        let context = &evaluated.context;
        let budget = Budget::default();
        let names = || {
            TemplateScope::new(context, &evaluated.values)
                .without_data()
                .on_budget(&budget)
        };
        let work = |found: &mut Diagnostics| evaluate(&expression, &names(), found);
        let (value, found) = planner::settle(context, data, work).await;
        let failed = found.has_errors();
        diagnostics.extend(found);
        if failed {
            return None;
        }
        let mut secrets = evaluated.secrets.clone();
        secrets.derive(&value);
        secrets.include(context.answers.derived());
        Some(Reply::Text(display_with(&value, &|text| secrets.mask(text))))
    }

    /// `var.NAME`, `local.NAME` and the functions, for completion.
    pub fn names(&self) -> Vec<String> {
        let evaluated = &self.evaluated;
        if evaluated.legacy_variables().is_some() {
            return evaluated.context.functions.names().map(str::to_owned).collect();
        }
        let values = &evaluated.values;
        let variables = values.variables.keys().map(|name| format!("var.{name}"));
        let locals = values.locals.keys().map(|name| format!("local.{name}"));
        let functions = evaluated.context.functions.names().map(|name| format!("{name}("));
        let more = ["path.cwd", "path.root", "packer.version"]
            .into_iter()
            .map(str::to_owned);
        variables.chain(locals).chain(more).chain(functions).collect()
    }
}

/// A line of the console of a legacy template is a string with `{{ }}`.
fn legacy_line(
    line: &str,
    variables: &BTreeMap<String, String>,
    evaluated: &Evaluated,
    sources: &mut SourceMap,
    diagnostics: &mut Diagnostics,
) -> Option<String> {
    if line == "variables" {
        let variables = variables.iter().map(|(name, value)| format!("{name}: {value}\n"));
        return Some(format!("> input-variables:\n\n{}", variables.collect::<String>()));
    }
    match gotemplate::render(line, &evaluated.rendering("", "")) {
        Ok(text) => Some(text),
        Err(error) => {
            let file = sources.add("<console>", line);
            let place = Place::new(file, error.at()..line.len());
            diagnostics.push(Diagnostic::error(place, error.message()).help(outdated::help_for_functions(line)));
            None
        }
    }
}
