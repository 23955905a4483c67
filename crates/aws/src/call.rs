//! Clients of AWS's services, all made in one way, and their calls: each failure becomes an [`AwsError`], and what the policy of [`crate::retry`] repeats is repeated.

use std::error::Error as StdError;
use std::time::Duration;

use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_async::future::pagination_stream::PaginationStream;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bakelite_engine::clock;

use crate::error::AwsError;
use crate::retry::{self, Tries};

/// A client of one service of the SDK, of a configuration that has region, endpoint and credentials: no client is made elsewhere.
macro_rules! client {
    ($sdk:ident, $config:expr, $classifier:expr) => {{
        let config = $sdk::config::Builder::from(&$config).retry_classifier($classifier);
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place: the configuration has the endpoint"
        )]
        let client = $sdk::Client::from_conf(config.build());
        client
    }};
}
pub(crate) use client;

/// Makes a call, and makes it again while its error passes with time.
///
/// # Errors
/// The last try's.
pub async fn call<T, E, F>(operation: &'static str, mut send: impl FnMut() -> F) -> Result<T, AwsError>
where
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    E: ProvideErrorMetadata + StdError + 'static,
{
    let mut tries = Tries::new();
    loop {
        // The future of a call is large: it goes to the heap once.
        let error = match Box::pin(send()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => AwsError::of(operation, &error),
        };
        let again = Some(error.class).filter(|class| retry::is_ours(*class));
        match again.and_then(|class| tries.after(class)) {
            Some(length) => pause(length).await,
            None => return Err(error),
        }
    }
}

/// Makes a call once: for the removal of resources, which is repeated as a whole.
///
/// # Errors
/// What the service, or the connection to it, answers.
pub async fn once<T, E>(
    operation: &'static str,
    call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T, AwsError>
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    Box::pin(call).await.map_err(|error| AwsError::of(operation, &error))
}

/// What a call of EC2 overrides to be made once: the SDK repeats it no more than [`once`] does.
pub fn without_retries() -> aws_sdk_ec2::config::Builder {
    aws_sdk_ec2::config::Builder::new().retry_config(RetryConfig::disabled())
}

/// The items of all pages that a Describe operation answers.
///
/// # Errors
/// That of the first page that failed.
pub async fn all<T, E>(
    operation: &'static str,
    pages: PaginationStream<Result<T, SdkError<E, HttpResponse>>>,
) -> Result<Vec<T>, AwsError>
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let items: Result<Vec<T>, _> = pages.collect().await;
    items.map_err(|error| AwsError::of(operation, &error))
}

/// A pause before a service is asked again; it ends with the future that it is part of.
pub async fn pause(length: Duration) {
    clock::pause_unless(length, std::future::pending()).await;
}
