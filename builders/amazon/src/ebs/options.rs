//! Every option of an amazon-ebs source: the one declaration that decoding, validation and the reference read.

use bakelite_aws::access::AccessOptions;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::image::fast_launch::FastLaunch;
use crate::image::options::ImageOptions;
use crate::run::options::RunOptions;
use crate::run::volumes::VolumeOptions;

/// The options of an amazon-ebs source.
#[derive(Clone, Default, Deserialize, JsonSchema)]
pub(crate) struct Options {
    /// How AWS is reached.
    #[serde(flatten)]
    pub access: AccessOptions,
    /// How the instance is launched and reached.
    #[serde(flatten)]
    pub run: RunOptions,
    /// The instance's volumes.
    #[serde(flatten)]
    pub volumes: VolumeOptions,
    /// The AMI.
    #[serde(flatten)]
    pub image: ImageOptions,
    /// Do not make an AMI: the bake ends after provisioning.
    #[serde(default)]
    pub skip_create_ami: bool,
    /// Fast launching of Windows AMIs.
    pub fast_launch: Option<FastLaunch>,
}

#[cfg(test)]
mod tests {
    use bakelite_template::schema::{Field, FieldKind, Schema};

    use super::*;

    fn lines(fields: &[Field], indent: &str, lines: &mut Vec<String>) {
        for field in fields {
            let (kind, nested) = match &field.kind {
                FieldKind::Attribute(kind) => (format!("{kind}"), None),
                FieldKind::Block(schema) => ("block".into(), Some(schema)),
                FieldKind::Blocks(schema) => ("blocks".into(), Some(schema)),
            };
            let late = if field.late { " late" } else { "" };
            let sensitive = if field.sensitive { " sensitive" } else { "" };
            let unsupported = field
                .unsupported
                .as_ref()
                .map(|reason| format!(" [{reason}]"))
                .unwrap_or_default();
            lines.push(format!("{indent}{}: {kind}{late}{sensitive}{unsupported}", field.name));
            assert!(!field.doc.is_empty(), "{} has no doc", field.name);
            if let Some(schema) = nested {
                self::lines(&schema.fields, &format!("{indent}  "), lines);
            }
        }
    }

    #[test]
    fn the_options_are_these() {
        let mut shown = Vec::new();
        lines(&Schema::of::<Options>().fields, "", &mut shown);
        insta::assert_snapshot!(shown.join("\n"));
    }
}
