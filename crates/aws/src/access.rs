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
    /// The access key's id. Without it `profile`, the environment's keys, its web identity, the shared files, the container's and the
    /// instance's role are tried, in this order.
    #[schemars(extend("x-sensitive" = true))]
    pub access_key: Option<String>,
    /// The access key's secret.
    #[schemars(extend("x-sensitive" = true))]
    pub secret_key: Option<String>,
    /// The session token that belongs to temporary credentials.
    #[schemars(extend("x-sensitive" = true))]
    pub token: Option<String>,
    /// The profile of the shared files to use instead of the environment's keys, `AWS_PROFILE` or `default`. It must exist.
    pub profile: Option<String>,
    /// The region: `us-east-1`. Without it `AWS_REGION`, `AWS_DEFAULT_REGION`, the profile and, for the instance's role, the instance's
    /// own are tried.
    pub region: Option<String>,
    /// The shared credentials file, instead of `~/.aws/credentials`.
    pub shared_credentials_file: Option<String>,
    /// A role to assume with the credentials that were found.
    pub assume_role: Option<AssumeRole>,
    /// The code that the multi-factor device shows now. It is sent with `assume_role`, or without a role for session credentials. It is
    /// good for one call: where it is needed and not given, it is asked for at the terminal.
    #[schemars(extend("x-sensitive" = true))]
    pub mfa_code: Option<String>,
    /// The serial number or ARN of the multi-factor device: `arn:aws:iam::123456789012:mfa/user`. Default: `mfa_serial` of the profile.
    pub mfa_serial: Option<String>,
    /// How often a call is attempted at most; 0 is the default.
    pub max_retries: Option<u32>,
    /// Another endpoint for EC2 in the build's region, as a URL.
    pub custom_endpoint_ec2: Option<String>,
    /// Decode the message of a denied call, which needs `sts:DecodeAuthorizationMessage`.
    pub decode_authorization_messages: bool,
    /// Accept any TLS certificate of AWS's servers.
    pub insecure_skip_tls_verify: bool,
    /// Do not ask the instance's metadata service for credentials or the region.
    pub skip_metadata_api_check: bool,
    /// Do not check the credentials by `sts:GetCallerIdentity` before they are used.
    pub skip_credential_validation: bool,
    /// Credentials that Vault's AWS secrets engine makes. Vault is reached as its own tools reach it: `VAULT_ADDR`, `VAULT_TOKEN`,
    /// `VAULT_NAMESPACE`, `VAULT_CACERT`, `VAULT_SKIP_VERIFY`.
    pub vault_aws_engine: Option<VaultAwsEngine>,
    /// How long to wait for a state at most.
    pub aws_polling: Option<Polling>,
}

/// A role to assume.
#[derive(Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AssumeRole {
    /// The role's ARN. Without it no role is assumed.
    pub role_arn: Option<String>,
    /// How long the role's credentials are valid: 900 to 43200; 900 by default. They are renewed while the bake goes on.
    pub duration_seconds: Option<u32>,
    /// The id that the role's owner requires.
    pub external_id: Option<String>,
    /// A policy (JSON) that narrows what the role may do.
    pub policy: Option<String>,
    /// ARNs of managed policies that narrow what the role may do.
    pub policy_arns: Vec<String>,
    /// The session's name in the account's logs; `bakelite-` and a number by default.
    pub session_name: Option<String>,
    /// Session tags.
    pub tags: BTreeMap<String, String>,
    /// Session tags that pass on to further roles.
    pub transitive_tag_keys: Vec<String>,
}

/// Credentials from Vault.
#[derive(Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VaultAwsEngine {
    /// The Vault role.
    pub name: Option<String>,
    /// The AWS role's ARN, where the Vault role allows several. With it credentials of STS are asked for (`ENGINE/sts/NAME`), without it
    /// those of a user that Vault creates (`ENGINE/creds/NAME`).
    pub role_arn: Option<String>,
    /// How long the credentials of STS are valid: `1h`.
    pub ttl: Option<String>,
    /// Where the engine is mounted; `aws` by default.
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
        if let Some(engine) = self.vault() {
            if self.access_key.is_some() {
                complaints.push(Complaint::error(
                    "vault_aws_engine",
                    "`vault_aws_engine` cannot be given with `access_key` and `secret_key`",
                ));
            }
            if engine.name.is_none() {
                complaints.push(Complaint::error(
                    "vault_aws_engine",
                    "`name` of the Vault role must be given",
                ));
            }
        }
        let (key, secret) = (self.access_key.is_some(), self.secret_key.is_some());
        if key != secret && self.vault().is_none() {
            let at = if key { "access_key" } else { "secret_key" };
            complaints.push(Complaint::error(
                at,
                "`access_key` and `secret_key` must be given together",
            ));
        }
    }

    /// Vault's engine, where any of its options is given.
    pub(crate) fn vault(&self) -> Option<&VaultAwsEngine> {
        let given = self.vault_aws_engine.as_ref();
        given.filter(|engine| **engine != VaultAwsEngine::default())
    }

    /// Those of these options that decide which credentials are found.
    pub(crate) fn of_credentials(&self) -> Self {
        Self {
            region: None,
            max_retries: None,
            custom_endpoint_ec2: None,
            decode_authorization_messages: false,
            skip_credential_validation: false,
            aws_polling: None,
            ..self.clone()
        }
    }

    /// The role to assume, with its ARN.
    pub(crate) fn role(&self) -> Option<(&str, &AssumeRole)> {
        let role = self.assume_role.as_ref()?;
        Some((role.role_arn.as_deref()?, role))
    }
}
