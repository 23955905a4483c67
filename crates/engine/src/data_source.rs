//! The contract of a data source.

use async_trait::async_trait;
use bakelite_hcl::value::Value;

use crate::error::Error;
use crate::provisioner::RunContext;

/// Fetches something that the template needs to know before it can be planned.
#[async_trait]
pub trait DataSource: Send + Sync {
    /// The value of `data.TYPE.NAME`, of the type that the component declares.
    async fn read(&self, run: &RunContext) -> Result<Value, Error>;
}
