//! What all commands on templates share: from flags to a template, and saying what is wrong with it.

use bakelite_hcl::diagnostic::Diagnostics;
use bakelite_hcl::source::SourceMap;
use bakelite_template::{ConfigType, Invocation, Purpose, Template, UndeclaredVariables};
use std::io::Read as _;

use crate::args::{ConfigTypeArg, TemplateArgs};
use crate::exit::Failure;
use crate::print::{print_error, write};
use crate::process::Process;
use crate::report;
use crate::report::hidden::Hidden;

/// A template that is being read: its texts, and what is wrong with them so far.
#[derive(Default)]
pub(crate) struct Reading {
    pub(crate) sources: SourceMap,
    pub(crate) diagnostics: Diagnostics,
    pub(crate) hidden: Hidden,
}

impl Reading {
    /// Reads the template at a path.
    pub(crate) fn read(&mut self, invocation: &Invocation) -> Option<Template> {
        let template = bakelite_template::read(invocation, &mut self.sources, &mut self.diagnostics);
        if let Some(template) = &template {
            self.hidden.extend(template.secrets());
            self.hidden.follow(template.derived());
        }
        template
    }

    /// Reads the template at a path and says what is wrong with it; there is none when it cannot be used.
    pub(crate) fn open(&mut self, invocation: &Invocation, process: &Process) -> Option<Template> {
        let template = self.read(invocation);
        self.say(process);
        template
    }

    /// Prints what was found so far, on standard error or as records, and forgets it. Answers whether there was an error.
    pub(crate) fn say(&mut self, process: &Process) -> bool {
        process.log.hide(&self.hidden);
        let diagnostics = std::mem::take(&mut self.diagnostics);
        let is_for_machines = process.output.machine_readable;
        let color = !is_for_machines && process.wants_color(process.errors_are_terminal);
        let secrets = self.hidden.now();
        let text = report::diagnostic::render(&diagnostics, &self.sources, secrets, color);
        if is_for_machines {
            write(&report::machine_diagnostics(
                &text,
                &diagnostics,
                &self.sources,
                secrets,
            ));
        } else {
            print_error(&text);
        }
        diagnostics.has_errors()
    }

    /// What was found so far, for machines.
    pub(crate) fn as_json(&mut self) -> String {
        report::json::render(&self.diagnostics, &self.sources, self.hidden.now())
    }
}

/// What the template crate needs to know of a command.
pub(crate) fn invocation(
    args: TemplateArgs,
    path: String,
    purpose: Purpose,
    undeclared: UndeclaredVariables,
    process: &Process,
) -> Result<Invocation, Failure> {
    let stdin = if path == "-" { Some(standard_input()?) } else { None };
    let config_type = args.config_type.map(|kind| match kind {
        ConfigTypeArg::Hcl2 => ConfigType::Hcl2,
        ConfigTypeArg::Json => ConfigType::Json,
    });
    Ok(Invocation {
        path,
        stdin,
        config_type,
        variables: args.variables,
        variable_files: args.variable_files,
        only: args.only,
        except: args.except,
        environment: process.environment.clone(),
        working_directory: process.working_directory.clone(),
        home_directory: process.home_directory(),
        started: process.started,
        purpose,
        undeclared,
    })
}

/// All of standard input.
pub(crate) fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Failure::new("failed to read standard input").because(&error))?;
    Ok(text)
}
