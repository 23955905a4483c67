//! The answers to what planning asks of the world: data sources by their components, secrets by their servers.

use async_trait::async_trait;
use bakelite_engine::provisioner::RunContext;
use bakelite_engine::registry::{Make, Registry};
use bakelite_hcl::value::Value;
use bakelite_template::component::{ComponentKind, DataSources};
use bakelite_template::decode::Decoded;

/// The world as planning sees it.
pub(crate) struct World<'a> {
    /// Whose data sources there are.
    pub(crate) registry: &'a Registry,
    /// What they need to know of the run.
    pub(crate) run: &'a RunContext,
}

#[async_trait]
impl DataSources for World<'_> {
    async fn read(&self, name: &str, options: &Decoded) -> Result<Value, String> {
        let Some(Make::DataSource(make)) = self.registry.make(ComponentKind::DataSource, name) else {
            return Err(format!("there is no data source `{name}`"));
        };
        let mut complaints = Vec::new();
        let Some(source) = make(options, &mut complaints) else {
            let messages: Vec<String> = complaints.into_iter().map(|complaint| complaint.message).collect();
            return Err(messages.join("; "));
        };
        source
            .read(self.run)
            .await
            .map_err(|error| bakelite_engine::chain_of(error.as_ref()))
    }

    async fn ask(&self, function: &str, arguments: &[Value]) -> Result<Value, String> {
        #[cfg(feature = "amazon")]
        if let Some(answer) = aws_secret(function, arguments, &self.run.environment).await {
            return answer;
        }
        bakelite_builders_basic::secrets::ask(function, arguments, &self.run.environment)
            .await
            .map_err(|error| bakelite_engine::chain_of(&error))
    }
}

/// The answer to the functions that ask AWS's Secrets Manager; `None` for others.
#[cfg(feature = "amazon")]
async fn aws_secret(
    function: &str,
    arguments: &[Value],
    environment: &std::collections::BTreeMap<String, String>,
) -> Option<Result<Value, String>> {
    use bakelite_aws::secrets;
    let name = arguments.first().and_then(Value::as_str).unwrap_or_default();
    let key = arguments.get(1).and_then(Value::as_str);
    let answer = match function {
        "aws_secretsmanager" => secrets::value(name, key, environment).await,
        "aws_secretsmanager_raw" => secrets::whole(name, environment).await,
        _ => return None,
    };
    let answer = answer.map(Value::string);
    Some(answer.map_err(|error| bakelite_engine::chain_of(&error)))
}
