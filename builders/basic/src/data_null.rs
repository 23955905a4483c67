//! The `null` data source: its output is its input, known only when data sources are read. For tests, and for values that must not
//! be known before.

use async_trait::async_trait;
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

pub(crate) const REGISTRATION: Registration = Registration::plain(
    "null",
    "Its output is its input. No server is asked.",
    Schema::of::<NullOptions>,
    Make::DataSource(make),
)
.yielding(Yields::Data(|| Type::object([("output", Type::String)])));

#[derive(Debug, Deserialize, JsonSchema)]
struct NullOptions {
    /// The value of `output`.
    input: String,
}

struct Null {
    options: NullOptions,
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn DataSource>> {
    let options: NullOptions = read_options(decoded, complaints)?;
    Some(Box::new(Null { options }))
}

#[async_trait]
impl DataSource for Null {
    async fn read(&self, _: &RunContext) -> Result<Value, Error> {
        Ok(Value::object([("output", Value::string(&self.options.input))]))
    }
}
