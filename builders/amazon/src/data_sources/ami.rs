//! The data source amazon-ami: the AMI that a filter finds, before the bake.

use async_trait::async_trait;
use bakelite_aws::access::AccessOptions;
use bakelite_aws::client::Aws;
use bakelite_aws::tag;
use bakelite_engine::data_source::DataSource;
use bakelite_engine::error::Error;
use bakelite_engine::provisioner::RunContext;
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_hcl::types::Type;
use bakelite_hcl::value::Value;
use bakelite_template::component::{Complaint, Yields};
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::run::source_ami::{self, AmiFilter};

/// The registration of amazon-ami.
pub(crate) const COMPONENT: Registration = Registration::plain(
    "amazon-ami",
    "Finds an AMI by filters, owners and date: `data.amazon-ami.NAME.id`.",
    Schema::of::<Options>,
    Make::DataSource(make),
)
.yielding(Yields::Data(yielded));

/// The options of an amazon-ami data source.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Options {
    /// How AWS is reached.
    #[serde(flatten)]
    access: AccessOptions,
    /// How the AMI is found.
    #[serde(flatten)]
    filter: AmiFilter,
}

fn yielded() -> Type {
    let texts = ["id", "name", "creation_date", "owner", "owner_name"].map(|name| (name, Type::String));
    Type::object(texts.into_iter().chain([("tags", Type::map(Type::String))]))
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn DataSource>> {
    let options: Options = read_options(decoded, complaints)?;
    options.access.check(complaints);
    if options.filter.filters.is_empty() && options.filter.owners.is_empty() {
        complaints.push(Complaint::error("filters", "`filters` or `owners` must be given"));
    }
    options.filter.check("", complaints);
    Some(Box::new(AmiSource { options }))
}

struct AmiSource {
    options: Options,
}

#[async_trait]
impl DataSource for AmiSource {
    async fn read(&self, run: &RunContext) -> Result<Value, Error> {
        let aws = Aws::reach(&self.options.access, &run.environment).await?;
        let image = source_ami::by_filter(aws.ec2(), &self.options.filter).await?;
        let tags = tag::read(image.tags());
        let tags = Value::map(
            Type::String,
            tags.into_iter().map(|(key, value)| (key, Value::string(value))),
        );
        let text = |text: Option<&str>| Value::string(text.unwrap_or_default());
        Ok(Value::object([
            ("id", text(image.image_id())),
            ("name", text(image.name())),
            ("creation_date", text(image.creation_date())),
            ("owner", text(image.owner_id())),
            ("owner_name", text(image.image_owner_alias())),
            ("tags", tags),
        ]))
    }
}
