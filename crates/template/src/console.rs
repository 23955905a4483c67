//! The console: lines evaluated one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use bakelite_hcl::budget::Budget;
use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics};
use bakelite_hcl::evaluate::evaluate;
use bakelite_hcl::native;
use bakelite_hcl::source::SourceMap;

use crate::component::{Components, DataSources};
use crate::gotemplate;
use crate::inspect;
use crate::planner::{self, Ground};
use crate::scope::Names;
use crate::show::display_with;
use crate::template::Template;

impl Template {
    /// A console on this template's variables and locals; whatever is wrong with locals is left out in silence.
    pub async fn console(&self, components: &dyn Components, data: &dyn DataSources) -> Console {
        Console {
            ground: self.evaluated(components, data).await,
        }
    }
}

/// A console on the variables and locals of a template.
#[derive(Debug, Clone)]
pub struct Console {
    ground: Arc<Ground>,
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
        let ground = &self.ground;
        if let Some(variables) = ground.legacy_variables() {
            let text = legacy_line(line, variables, ground, diagnostics)?;
            let mut secrets = ground.secrets.clone();
            secrets.include(ground.environment.answers.derived());
            return Some(Reply::Text(secrets.mask(&text)));
        }
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
        let ground = &self.ground;
        if ground.legacy_variables().is_some() {
            return ground.environment.functions.names().map(str::to_owned).collect();
        }
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

/// A line of the console of a legacy template is a string with `{{ }}`.
fn legacy_line(
    line: &str,
    variables: &BTreeMap<String, String>,
    ground: &Ground,
    diagnostics: &mut Diagnostics,
) -> Option<String> {
    if line == "variables" {
        let variables = variables.iter().map(|(name, value)| format!("{name}: {value}\n"));
        return Some(format!("> input-variables:\n\n{}", variables.collect::<String>()));
    }
    match gotemplate::render(line, &ground.rendering("", "")) {
        Ok(text) => Some(text),
        Err(error) => {
            diagnostics.push(Diagnostic::error(None, error.to_string()));
            None
        }
    }
}
