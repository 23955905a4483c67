//! What builds stand on: the values of variables, locals and data sources, and the context that they were evaluated in.

use std::collections::BTreeMap;
use std::sync::Arc;

use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics};
use bakelite_hcl::evaluate::evaluate as evaluate_expression;
use bakelite_hcl::marks::Marks;
use bakelite_hcl::types::Type;
use bakelite_hcl::value::Value;

use crate::blocks::{Labelled, Local};
use crate::component::{Component, ComponentKind, Components, DataSources, Yields};
use crate::context::TemplateContext;
use crate::decode::{Decoded, Decoding, Layer};
use crate::gotemplate::{LegacyNames, Rendering};
use crate::invocation::Purpose;
use crate::legacy::{self, Legacy};
use crate::locals::{self, Node};
use crate::scope::{Iterations, TemplateScope, Values};
use crate::secrets::Secrets;
use crate::template::{Content, Hcl, Template};
use crate::variables;

/// Evaluated values and where they were evaluated. Kept until the last provisioner has run.
#[derive(Debug)]
pub(crate) struct Evaluated {
    /// Directories, time, functions, answers of the world.
    pub(crate) context: Arc<TemplateContext>,
    /// `var`, `local`, `data`.
    pub(crate) values: Values,
    /// What only a legacy template has.
    legacy: Option<Arc<LegacyNames>>,
    /// Strings in them that must not be shown.
    pub(crate) secrets: Secrets,
}

impl Evaluated {
    /// What `{{ }}` can refer to in components of a build, before it has data of its own.
    pub(crate) fn rendering(&self, build_name: &str, build_type: &str) -> Rendering {
        Rendering {
            legacy: self.legacy.clone(),
            ..self.context.rendering(build_name, build_type)
        }
    }

    /// The variables of a legacy template.
    pub(crate) fn legacy_variables(&self) -> Option<&BTreeMap<String, String>> {
        self.legacy.as_ref().map(|legacy| &legacy.user)
    }
}

/// Does the work and, as long as it asked the world for something new, waits for the answers and does it again.
pub(crate) async fn settle<T>(
    context: &TemplateContext,
    data: &dyn DataSources,
    mut work: impl FnMut(&mut Diagnostics) -> T,
) -> (T, Diagnostics) {
    loop {
        let mut diagnostics = Diagnostics::default();
        let result = work(&mut diagnostics);
        let pending = context.answers.take_pending();
        if pending.is_empty() {
            return (result, diagnostics);
        }
        for question in pending {
            let answer = data.ask(&question.function, &question.arguments).await;
            let answer = answer.map(|answer| answer.with_marks(Marks::SENSITIVE));
            context.answers.learn(&question, answer);
        }
    }
}

/// Phase 10, first half: rules of variables, then locals and data sources in the order of their references.
pub(super) async fn evaluate(
    template: &Template,
    components: &dyn Components,
    data: &dyn DataSources,
    diagnostics: &mut Diagnostics,
) -> Evaluated {
    match &template.content {
        Content::Hcl(hcl) => evaluate_hcl(template, hcl, components, data, diagnostics).await,
        Content::Legacy(legacy) => evaluate_legacy(template, legacy, data, diagnostics).await,
    }
}

async fn evaluate_legacy(
    template: &Template,
    legacy: &Legacy,
    data: &dyn DataSources,
    diagnostics: &mut Diagnostics,
) -> Evaluated {
    let context = template.context.clone();
    let answers = &context.answers;
    let rendering = context.rendering("", "");
    let work = |found: &mut Diagnostics| legacy::resolve(legacy, &rendering, answers.environment(), answers, found);
    let (names, found) = settle(&context, data, work).await;
    diagnostics.extend(found);
    let mut secrets = Secrets::default();
    let sensitive = legacy.sensitive.iter().filter_map(|name| names.user.get(name));
    sensitive.for_each(|value| secrets.hide(value));
    answers.derived().declare(&secrets);
    let sensitive = legacy.sensitive.iter().map(String::as_str);
    answers.derived().declare_variables(sensitive);
    Evaluated {
        values: Values::default(),
        legacy: Some(names),
        secrets,
        context,
    }
}

async fn evaluate_hcl(
    template: &Template,
    hcl: &Hcl,
    components: &dyn Components,
    data: &dyn DataSources,
    diagnostics: &mut Diagnostics,
) -> Evaluated {
    let context = template.context.clone();
    let mut values = variables::values(&hcl.variables);
    let rules = |found: &mut Diagnostics| validate_variables(template, hcl, &values, found);
    let ((), found) = settle(&context, data, rules).await;
    diagnostics.extend(found);
    for node in locals::order(&hcl.blocks, diagnostics).unwrap_or_default() {
        if context.budget.is_spent() {
            break;
        }
        match node {
            Node::Local(index) => {
                let Some((_, local)) = hcl.blocks.locals.get_index(index) else {
                    continue;
                };
                let value = local_value(local, &context, &values, data, diagnostics).await;
                if let Some(value) = value {
                    values.locals.insert(local.name.text.as_str().into(), value);
                }
            }
            Node::Data(index) => {
                let Some((_, block)) = hcl.blocks.data.get_index(index) else {
                    continue;
                };
                let reading = Reading {
                    template,
                    components,
                    data,
                    context: &context,
                };
                if let Some(value) = reading.read(block, &values, diagnostics).await {
                    let named = values.data.entry(block.component.text.as_str().into()).or_default();
                    named.insert(block.name.text.as_str().into(), value);
                }
            }
        }
    }
    let mut secrets = secrets_of(hcl, &values);
    secrets.hide_environment(context.answers.environment());
    context.answers.derived().declare(&secrets);
    let sensitive = hcl.variables.iter().filter(|(_, variable)| variable.is_sensitive);
    let sensitive = sensitive.map(|(name, _)| name.as_str());
    context.answers.derived().declare_variables(sensitive);
    secrets.include(context.answers.derived());
    Evaluated {
        context,
        values,
        legacy: None,
        secrets,
    }
}

async fn local_value(
    local: &Local,
    context: &TemplateContext,
    values: &Values,
    data: &dyn DataSources,
    diagnostics: &mut Diagnostics,
) -> Option<Value> {
    let work =
        |found: &mut Diagnostics| evaluate_expression(&local.expression, &TemplateScope::new(context, values), found);
    let (value, found) = settle(context, data, work).await;
    let failed = found.has_errors();
    diagnostics.extend(found);
    let value = if local.is_sensitive {
        value.with_marks(Marks::SENSITIVE)
    } else {
        value
    };
    // What refers to a local that failed would only repeat its error: it becomes unknown.
    Some(if failed { Value::dynamic() } else { value })
}

/// What reading a data source needs besides its block.
struct Reading<'a> {
    template: &'a Template,
    components: &'a dyn Components,
    data: &'a dyn DataSources,
    context: &'a TemplateContext,
}

impl Reading<'_> {
    async fn read(&self, block: &Labelled, values: &Values, diagnostics: &mut Diagnostics) -> Option<Value> {
        let name = &block.component.text;
        let Some(component) = self
            .template
            .component(ComponentKind::DataSource, name, self.components)
        else {
            diagnostics.push(super::existence::unknown(
                self.template,
                ComponentKind::DataSource,
                name,
                block.place,
                self.components,
            ));
            return Some(Value::dynamic());
        };
        let schema = self.template.schemas.of(component);
        let work = |found: &mut Diagnostics| self.options(component, &schema, block, values, found);
        let (options, found) = settle(self.context, self.data, work).await;
        let failed = found.has_errors();
        diagnostics.extend(found);
        let kind = match component.yields {
            Yields::Data(kind) => kind(),
            _ => Type::Dynamic,
        };
        let Some(options) = options.filter(|_| !failed) else {
            return Some(Value::unknown(kind));
        };
        if data_is_unknown(self.template.purpose) || !options.unknown.is_empty() {
            return Some(unknown_members(&kind));
        }
        match self.data.read(component.name, &options).await {
            Ok(value) => Some(value),
            Err(complaint) => {
                let summary = format!("failed to read data source `{name}.{}`", block.name.text);
                let place = options.place_of(&complaint.option).unwrap_or(block.place);
                diagnostics.push(
                    Diagnostic::error(place, summary)
                        .detail(complaint.message)
                        .help(complaint.help),
                );
                Some(Value::unknown(kind))
            }
        }
    }

    fn options(
        &self,
        component: &Component,
        schema: &crate::schema::Schema,
        block: &Labelled,
        values: &Values,
        diagnostics: &mut Diagnostics,
    ) -> Option<Decoded> {
        let names = TemplateScope::new(self.context, values);
        let rendering = self.context.rendering("", "");
        let decoding = Decoding {
            scope: &names,
            rendering: &rendering,
            subject: format!("data source `{}`", component.name),
            place: block.place,
        };
        let iterations = Iterations::default();
        let layer = Layer {
            body: &block.body,
            iterations: &iterations,
        };
        let decoded = decoding.decode(&[layer], None, schema, diagnostics)?;
        let complaints = self
            .components
            .check(ComponentKind::DataSource, component.name, &decoded);
        super::complaints::complain(&complaints, &decoded, diagnostics);
        Some(decoded)
    }
}

/// An object whose attributes are known by name and not by value; anything else is unknown as a whole.
fn unknown_members(kind: &Type) -> Value {
    match kind {
        Type::Object(object) => {
            let attributes = object.attributes.iter();
            Value::object(attributes.map(|(name, kind)| (name, Value::unknown(kind.clone()))))
        }
        _ => Value::unknown(kind.clone()),
    }
}

/// Are data sources taken for unknown?
fn data_is_unknown(purpose: Purpose) -> bool {
    matches!(
        purpose,
        Purpose::Inspect { evaluate_data: false }
            | Purpose::Validate {
                evaluate_data: false,
                ..
            }
    )
}

/// Secrets of variables and locals.
fn secrets_of(hcl: &Hcl, values: &Values) -> Secrets {
    let mut secrets = Secrets::default();
    for variable in hcl.variables.values() {
        secrets.declare(&variable.effective());
    }
    for local in hcl.blocks.locals.values().filter(|local| local.is_sensitive) {
        if let Some(value) = values.locals.get(local.name.text.as_str()) {
            secrets.declare(value);
        }
    }
    for value in values
        .data
        .values()
        .flat_map(|named| named.values())
        .chain(values.locals.values())
    {
        secrets.derive(value);
    }
    secrets
}

/// Phase 10 for variables.
fn validate_variables(template: &Template, hcl: &Hcl, values: &Values, diagnostics: &mut Diagnostics) {
    variables::validate(&hcl.variables, &template.context, values, template.purpose, diagnostics);
}
