//! Fast launching of Windows AMIs: its options.

use schemars::JsonSchema;
use serde::Deserialize;

/// Fast launching of Windows AMIs.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct FastLaunch {
    /// It is wanted.
    #[expect(clippy::struct_field_names, reason = "the option's name in templates")]
    pub enable_fast_launch: bool,
    /// The launch template's id.
    pub template_id: Option<String>,
    /// The launch template's name.
    pub template_name: Option<String>,
    /// The launch template's version.
    pub template_version: Option<u32>,
    /// The launch template of each region.
    pub region_launch_templates: Vec<FastLaunchTemplate>,
    /// How many instances make snapshots at the same time.
    pub max_parallel_launches: Option<u32>,
    /// How many snapshots are kept ready.
    pub target_resource_count: Option<u32>,
}

/// The launch template for fast launching in a region.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct FastLaunchTemplate {
    /// It is wanted in this region.
    pub enable_fast_launch: bool,
    /// The region.
    pub region: Option<String>,
    /// The launch template's id.
    pub template_id: Option<String>,
    /// The launch template's name.
    pub template_name: Option<String>,
    /// The launch template's version.
    pub template_version: Option<u32>,
}
