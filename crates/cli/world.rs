//! The answers to what planning asks of the world: data sources by their components, secrets by their servers.

use async_trait::async_trait;
use bakelite_engine::error::Error;
use bakelite_engine::provisioner::RunContext;
use bakelite_engine::registry::Registry;
use bakelite_hcl::scope::NoAnswer;
use bakelite_hcl::value::Value;
use bakelite_template::component::{Complaint, DataSources};
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
    async fn read(&self, name: &str, options: &Decoded) -> Result<Value, Complaint> {
        let value = self.registry.read(name, options, self.run).await;
        value.map_err(|error| error.complaint(""))
    }

    async fn ask(&self, function: &str, arguments: &[Value]) -> Result<Value, NoAnswer> {
        self.secret(function, arguments).await.map_err(|error| {
            let report = error.report();
            NoAnswer {
                message: report.text,
                help: report.help,
            }
        })
    }
}

impl World<'_> {
    async fn secret(&self, function: &str, arguments: &[Value]) -> Result<Value, Error> {
        let environment = &self.run.environment;
        #[cfg(feature = "amazon")]
        {
            use bakelite_aws::secrets;
            let name = arguments.first().and_then(Value::as_str).unwrap_or_default();
            let key = arguments.get(1).and_then(Value::as_str);
            match function {
                "aws_secretsmanager" => return Ok(Value::string(secrets::value(name, key, environment).await?)),
                "aws_secretsmanager_raw" => return Ok(Value::string(secrets::whole(name, environment).await?)),
                _ => {}
            }
        }
        Ok(bakelite_builders_basic::secrets::ask(function, arguments, environment).await?)
    }
}
