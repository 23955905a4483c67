//! What an instance prints on its console, for `ssh_host_key = "console"`.

use std::sync::Arc;

use async_trait::async_trait;
use bakelite_aws::call::once;
use bakelite_aws::client::Aws;
use bakelite_aws::error::AwsError;
use bakelite_aws::retry::ErrorClass;
use bakelite_communicators::ssh::console::{Console, ConsoleError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The console of an instance.
pub(crate) struct InstanceConsole {
    pub(crate) aws: Arc<Aws>,
    pub(crate) instance: String,
}

#[async_trait]
impl Console for InstanceConsole {
    async fn output(&self) -> Result<String, ConsoleError> {
        // The latest output is there within seconds, but only instances on Nitro have it; others answer what EC2 has kept, minutes later
        // (GetConsoleOutput, Amazon EC2 API reference).
        let answer = match self.ask(true).await {
            Err(error) if error.code.as_deref() == Some("UnsupportedOperation") => self.ask(false).await,
            answer => answer,
        };
        let encoded = answer.map_err(|error| match error.class {
            ErrorClass::Denied | ErrorClass::Credentials => ConsoleError::Never(error.into()),
            _ => ConsoleError::Later(error.into()),
        })?;
        let output = STANDARD
            .decode(encoded)
            .map_err(|error| ConsoleError::Never(error.into()))?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }
}

impl InstanceConsole {
    async fn ask(&self, latest: bool) -> Result<String, AwsError> {
        let request = self.aws.ec2().get_console_output().instance_id(&self.instance);
        let answer = once("GetConsoleOutput", request.set_latest(latest.then_some(true)).send()).await?;
        Ok(answer.output.unwrap_or_default())
    }
}
