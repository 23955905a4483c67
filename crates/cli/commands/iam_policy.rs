//! `iam-policy`: the least IAM policy for what a template uses. No cloud is asked for anything.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bakelite_builder_amazon::policy::{Used, policy};
use bakelite_engine::registry::Registry;
use bakelite_hcl::scope::NoAnswer;
use bakelite_hcl::types::Type;
use bakelite_hcl::value::Value;
use bakelite_template::component::{Complaint, Component, ComponentKind, Components, DataSources};
use bakelite_template::decode::Decoded;
use bakelite_template::{Purpose, UndeclaredVariables};
use serde_json::{Map, Value as Json, json};

use crate::args::IamPolicyArgs;
use crate::exit::{Failure, Status};
use crate::process::Process;
use crate::reading::{Reading, invocation};
use crate::registry::registry;

pub(super) async fn run(args: IamPolicyArgs, process: &Process) -> Result<Status, Failure> {
    let purpose = Purpose::Validate {
        syntax_only: false,
        evaluate_data: false,
    };
    let invocation = invocation(args.template, args.path, purpose, UndeclaredVariables::Ignore, process)?;
    let mut reading = Reading::default();
    let Some(template) = reading.open(&invocation, process) else {
        return Ok(Status::Failed);
    };
    let noting = Noting {
        registry: registry(),
        used: Mutex::default(),
    };
    let plan = template.plan(&noting, &noting, &mut reading.diagnostics).await;
    reading.hidden.extend(plan.secrets);
    if reading.say(process) {
        return Ok(Status::Failed);
    }
    let mut used = noting.used.into_inner().unwrap_or_else(PoisonError::into_inner);
    let builds = plan.builds.into_iter();
    used.extend(builds.map(|build| (build.builder, build.options.options)));
    let used = used.iter().map(|(component, options)| Used { component, options });
    let policy = policy(&used.collect::<Vec<_>>());
    process.output.result(&format!("{policy:#}\n"));
    Ok(Status::Ok)
}

/// Notes which data sources and secrets a template uses, in the place of asking for them.
struct Noting {
    registry: Registry,
    used: Mutex<Vec<(String, Map<String, Json>)>>,
}

impl Noting {
    fn note(&self, component: &str, options: Map<String, Json>) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.push((component.to_owned(), options));
    }
}

impl Components for Noting {
    fn find(&self, kind: ComponentKind, name: &str) -> Option<&Component> {
        self.registry.find(kind, name)
    }

    fn names(&self, kind: ComponentKind) -> Vec<&'static str> {
        self.registry.names(kind)
    }

    fn check(&self, kind: ComponentKind, name: &str, options: &Decoded) -> Vec<Complaint> {
        if kind == ComponentKind::DataSource {
            self.note(name, options.options.clone());
        }
        self.registry.check(kind, name, options)
    }
}

#[async_trait]
impl DataSources for Noting {
    async fn read(&self, name: &str, _options: &Decoded) -> Result<Value, Complaint> {
        Err(Complaint::error(
            "",
            format!("`iam-policy` does not read data source `{name}`"),
        ))
    }

    async fn ask(&self, function: &str, arguments: &[Value]) -> Result<Value, NoAnswer> {
        if function.starts_with("aws_secretsmanager") {
            let name = arguments.first().and_then(Value::as_str).unwrap_or("*");
            self.note(
                "amazon-secretsmanager",
                Map::from_iter([("name".to_owned(), json!(name))]),
            );
        }
        Ok(Value::unknown(Type::String))
    }
}
