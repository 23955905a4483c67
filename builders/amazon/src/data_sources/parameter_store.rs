//! The data source amazon-parameterstore: one parameter of Systems Manager's Parameter Store.

use std::borrow::Cow;

use async_trait::async_trait;
use bakelite_aws::access::AccessOptions;
use bakelite_aws::client::Aws;
use bakelite_aws::error::AwsError;
use bakelite_aws::ssm;
use bakelite_engine::data_source::DataSource;
use bakelite_engine::error::{Error, Explain};
use bakelite_engine::provisioner::RunContext;
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_hcl::marks::Marks;
use bakelite_hcl::types::Type;
use bakelite_hcl::value::Value;
use bakelite_template::component::{Complaint, Yields};
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;
use schemars::JsonSchema;
use serde::Deserialize;

/// The registration of amazon-parameterstore.
pub(crate) const COMPONENT: Registration = Registration::plain(
    "amazon-parameterstore",
    "Reads a parameter of Systems Manager's Parameter Store: `data.amazon-parameterstore.NAME.value`.",
    Schema::of::<Options>,
    Make::DataSource(make),
)
.yielding(Yields::Data(yielded));

/// The options of an amazon-parameterstore data source.
#[derive(Clone, Deserialize, JsonSchema)]
struct Options {
    /// How AWS is reached.
    #[serde(flatten)]
    access: AccessOptions,
    /// The parameter's name or ARN: `/images/base`. `NAME:3` is its third version, `NAME:stable` the one with that label.
    name: String,
    /// Decrypt the value of a `SecureString`, which is sensitive then: it is masked in all output. Else it stays encrypted.
    #[serde(default)]
    with_decryption: bool,
}

fn yielded() -> Type {
    Type::object(["value", "version", "arn"].map(|name| (name, Type::String)))
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn DataSource>> {
    let options: Options = read_options(decoded, complaints)?;
    options.access.check(complaints);
    Some(Box::new(ParameterSource { options }))
}

struct ParameterSource {
    options: Options,
}

/// Why there is no value.
#[derive(Debug, thiserror::Error)]
enum ParameterError {
    #[error("there is no parameter `{name}` in region `{region}`")]
    Absent {
        name: String,
        region: String,
        #[source]
        cause: AwsError,
    },
    #[error("failed to read parameter `{name}`")]
    Call {
        name: String,
        #[source]
        cause: AwsError,
    },
}

impl Explain for ParameterError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Absent { .. } => Some("`aws ssm describe-parameters` lists those of the region".into()),
            Self::Call { cause, .. } => cause.help(),
        }
    }
}

#[async_trait]
impl DataSource for ParameterSource {
    async fn read(&self, run: &RunContext) -> Result<Value, Error> {
        let Options {
            access,
            name,
            with_decryption,
        } = &self.options;
        let aws = Aws::reach(access, &run.environment).await?;
        let found = ssm::parameter(aws.ssm(), name, *with_decryption).await;
        let found = found.map_err(|cause| {
            let name = name.clone();
            if cause.is_not_found() {
                let region = aws.region().to_owned();
                ParameterError::Absent { name, region, cause }
            } else {
                ParameterError::Call { name, cause }
            }
        })?;
        let value = Value::string(found.value);
        let value = if found.is_secret {
            value.with_marks(Marks::SENSITIVE)
        } else {
            value
        };
        Ok(Value::object([
            ("value", value),
            ("version", Value::string(found.version.to_string())),
            ("arn", Value::string(found.arn)),
        ]))
    }
}
