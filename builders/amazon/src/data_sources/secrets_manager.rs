//! The data source amazon-secretsmanager: one secret of Secrets Manager.

use async_trait::async_trait;
use bakelite_aws::access::AccessOptions;
use bakelite_aws::client::Aws;
use bakelite_aws::secrets::{self, CURRENT, Version};
use bakelite_engine::data_source::DataSource;
use bakelite_engine::error::Error;
use bakelite_engine::provisioner::RunContext;
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_hcl::marks::Marks;
use bakelite_hcl::types::Type;
use bakelite_hcl::value::Value;
use bakelite_template::component::{Complaint, Yields};
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;

/// The registration of amazon-secretsmanager.
pub(crate) const COMPONENT: Registration = Registration::plain(
    "amazon-secretsmanager",
    "Reads a secret of Secrets Manager: `data.amazon-secretsmanager.NAME.value`. What it holds is sensitive: it is masked in all output.",
    Schema::of::<Options>,
    Make::DataSource(make),
)
.yielding(Yields::Data(yielded));

/// The options of an amazon-secretsmanager data source.
#[derive(Clone, Deserialize, JsonSchema)]
struct Options {
    /// How AWS is reached.
    #[serde(flatten)]
    access: AccessOptions,
    /// The secret's name or ARN.
    name: String,
    /// Of a secret that is a JSON object: the member that becomes `value`. Required when it has several.
    key: Option<String>,
    /// The id of the version to read; it counts for more than `version_stage`.
    version_id: Option<String>,
    /// The label of the version to read; `AWSCURRENT` by default.
    version_stage: Option<String>,
}

fn yielded() -> Type {
    Type::object(["value", "secret_string", "secret_binary", "version_id"].map(|name| (name, Type::String)))
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn DataSource>> {
    let options: Options = read_options(decoded, complaints)?;
    options.access.check(complaints);
    Some(Box::new(SecretSource { options }))
}

struct SecretSource {
    options: Options,
}

#[async_trait]
impl DataSource for SecretSource {
    async fn read(&self, run: &RunContext) -> Result<Value, Error> {
        let Options {
            access,
            name,
            key,
            version_id,
            version_stage,
        } = &self.options;
        let version = match (version_id, version_stage) {
            (Some(id), _) => Version::Id(id.clone()),
            (None, stage) => Version::Stage(stage.clone().unwrap_or_else(|| CURRENT.into())),
        };
        let aws = Aws::reach(access, &run.environment).await?;
        let secret = secrets::get(&aws, name, &version).await?;
        let string = secret.string.unwrap_or_default();
        let value = secrets::value_of(name, key.as_deref(), &string)?;
        let binary = STANDARD.encode(secret.binary.unwrap_or_default());
        let hidden = |text: String| Value::string(text).with_marks(Marks::SENSITIVE);
        Ok(Value::object([
            ("value", hidden(value)),
            ("secret_string", hidden(string)),
            ("secret_binary", hidden(binary)),
            ("version_id", Value::string(secret.version)),
        ]))
    }
}
