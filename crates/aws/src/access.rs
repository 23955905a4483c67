//! The options of credentials, region and endpoint; amazon sources and data sources flatten them into their own.

use std::collections::BTreeMap;

use bakelite_template::component::Complaint;
use schemars::JsonSchema;
use serde::Deserialize;

/// How AWS is reached.
#[derive(Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the template")]
pub struct AccessOptions {
    /// The access key's id. Without it the environment, the shared profile files, a web identity, the container's and the instance's
    /// role are tried, in this order.
    #[schemars(extend("x-sensitive" = true))]
    pub access_key: Option<String>,
    /// The access key's secret.
    #[schemars(extend("x-sensitive" = true))]
    pub secret_key: Option<String>,
    /// The session token that belongs to temporary credentials.
    #[schemars(extend("x-sensitive" = true))]
    pub token: Option<String>,
    /// The profile of the shared files to use instead of `AWS_PROFILE` or `default`.
    pub profile: Option<String>,
    /// The region: `us-east-1`. Without it `AWS_REGION`, `AWS_DEFAULT_REGION`, the profile and the instance's own are tried.
    pub region: Option<String>,
    /// The shared credentials file, instead of `~/.aws/credentials`.
    pub shared_credentials_file: Option<String>,
    /// A role to assume with the credentials that were found.
    pub assume_role: Option<AssumeRole>,
    /// The code of a multi-factor device.
    #[schemars(extend("x-unsupported" = "not supported yet"))]
    pub mfa_code: Option<String>,
    /// How often a failed call is repeated at most.
    pub max_retries: Option<u32>,
    /// Another endpoint for EC2, as a URL.
    pub custom_endpoint_ec2: Option<String>,
    /// Decode the message of a denied call, which needs `sts:DecodeAuthorizationMessage`.
    #[schemars(extend("x-unsupported" = "not supported yet"))]
    pub decode_authorization_messages: bool,
    /// Accept any TLS certificate.
    #[schemars(extend("x-unsupported" = "not supported yet"))]
    pub insecure_skip_tls_verify: bool,
    /// Do not ask the instance's metadata service for credentials.
    pub skip_metadata_api_check: bool,
    /// Accepted for templates that have it: credentials are checked by the first call that needs them.
    pub skip_credential_validation: bool,
    /// Credentials from Vault.
    #[schemars(extend("x-unsupported" = "not supported yet"))]
    pub vault_aws_engine: Option<VaultAwsEngine>,
    /// How long to wait for a state at most.
    pub aws_polling: Option<Polling>,
}

/// A role to assume.
#[derive(Clone, Default, PartialEq, Deserialize, JsonSchema)]
pub struct AssumeRole {
    /// The role's ARN.
    pub role_arn: String,
    /// How long the role's credentials are valid.
    pub duration_seconds: Option<u32>,
    /// The id that the role's owner demands.
    pub external_id: Option<String>,
    /// A policy (JSON) that narrows what the role may do.
    pub policy: Option<String>,
    /// ARNs of managed policies that narrow what the role may do.
    #[serde(default)]
    pub policy_arns: Vec<String>,
    /// The session's name in logs.
    pub session_name: Option<String>,
    /// Session tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Session tags that pass on to further roles.
    #[schemars(extend("x-unsupported" = "not supported yet"))]
    #[serde(default)]
    pub transitive_tag_keys: Vec<String>,
}

/// Credentials from Vault.
#[derive(Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VaultAwsEngine {
    /// The Vault role.
    pub name: Option<String>,
    /// The AWS role's ARN, where the Vault role allows several.
    pub role_arn: Option<String>,
    /// How long the credentials are valid.
    pub ttl: Option<String>,
    /// Where the engine is mounted.
    pub engine_name: Option<String>,
}

/// How long to wait for a state at most: the product of both. How often is looked in between follows the state's usual duration.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Polling {
    /// How many looks there would be.
    pub max_attempts: Option<u32>,
    /// The seconds between them.
    pub delay_seconds: Option<u32>,
}

impl AccessOptions {
    /// Rules across these options.
    pub fn check(&self, complaints: &mut Vec<Complaint>) {
        let (key, secret) = (self.access_key.is_some(), self.secret_key.is_some());
        if key != secret {
            let at = if key { "access_key" } else { "secret_key" };
            complaints.push(Complaint::error(
                at,
                "`access_key` and `secret_key` must be given together",
            ));
        }
    }
}
