//! The nested blocks of the run options.

use schemars::JsonSchema;
use serde::Deserialize;

/// The instance's metadata service.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct MetadataOptions {
    /// Whether the service is there at all.
    pub http_endpoint: Option<Switch>,
    /// Whether requests need a session token (IMDSv2).
    pub http_tokens: Option<HttpTokens>,
    /// How many network hops an answer may travel: 1 to 64.
    pub http_put_response_hop_limit: Option<i32>,
    /// Whether the instance's tags are among the metadata.
    pub instance_metadata_tags: Option<Switch>,
}

/// Whether something is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Switch {
    /// On.
    Enabled,
    /// Off.
    Disabled,
}

/// Whether requests for metadata need a session token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HttpTokens {
    /// IMDSv1 and IMDSv2.
    Optional,
    /// IMDSv2 only.
    Required,
}

/// Where the instance is placed.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Placement {
    /// The host resource group's ARN.
    pub host_resource_group_arn: Option<String>,
    /// The dedicated host's id.
    pub host_id: Option<String>,
    /// Which hardware the instance shares with others.
    pub tenancy: Option<Tenancy>,
}

/// Which hardware an instance shares with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tenancy {
    /// Shared hardware.
    Default,
    /// Hardware of this account only.
    Dedicated,
    /// A dedicated host.
    Host,
}

/// A license of the instance.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct LicenseSpecification {
    /// The license.
    pub license_configuration_request: Option<LicenseConfigurationRequest>,
}

/// A license configuration.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct LicenseConfigurationRequest {
    /// Its ARN.
    pub license_configuration_arn: Option<String>,
}

/// A policy of a temporary instance profile.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[expect(non_snake_case, reason = "IAM's names")]
pub(crate) struct PolicyDocument {
    /// The version of the policy language.
    pub Version: Option<String>,
    /// What it allows or denies; may be repeated.
    pub Statement: Vec<Statement>,
}

/// One statement of a policy.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[expect(non_snake_case, reason = "IAM's names")]
pub(crate) struct Statement {
    /// `Allow` or `Deny`.
    pub Effect: Option<String>,
    /// Actions.
    pub Action: Vec<String>,
    /// Resources.
    pub Resource: Vec<String>,
}
