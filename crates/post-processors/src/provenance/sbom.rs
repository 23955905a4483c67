//! The SBOM that a provisioner made of the instance, for a statement of its own.

use std::borrow::Cow;

use bakelite_engine::artifact::Artifact;
use bakelite_engine::error::Explain;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// An SBOM of the instance that became the artifact.
pub(super) struct Sbom {
    pub(super) format: Format,
    pub(super) document: Value,
}

/// A format of SBOMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// CycloneDX.
    CycloneDx,
    /// SPDX.
    Spdx,
}

/// There is no SBOM to attest.
#[derive(Debug, thiserror::Error)]
#[error("no SBOM to attest: no provisioner of this build made one{format}")]
pub(super) struct NoSbom {
    format: &'static str,
    arguments: &'static str,
}

impl Explain for NoSbom {
    fn help(&self) -> Option<Cow<'_, str>> {
        let arguments = self.arguments;
        Some(format!("add `provisioner \"sbom\" {{ auto_generate = true }}`{arguments}").into())
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        Some("sbom".into())
    }
}

impl Format {
    /// The note that the provisioner `sbom` leaves.
    fn note(self) -> &'static str {
        match self {
            Format::CycloneDx => "sbom.cyclonedx",
            Format::Spdx => "sbom.spdx",
        }
    }

    /// How the file with the SBOM ends.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Format::CycloneDx => "sbom.cdx.json",
            Format::Spdx => "sbom.spdx.json",
        }
    }

    /// What a statement with the SBOM is called.
    pub(super) fn predicate_type(self) -> &'static str {
        match self {
            Format::CycloneDx => "https://cyclonedx.org/bom",
            Format::Spdx => "https://spdx.dev/Document",
        }
    }
}

/// The SBOM of a build; of the wanted format, or of either.
pub(super) fn of(artifact: &Artifact, wanted: Option<Format>) -> Result<Sbom, NoSbom> {
    let formats = [Format::CycloneDx, Format::Spdx].into_iter();
    let mut found = formats
        .filter(|format| wanted.is_none_or(|wanted| wanted == *format))
        .filter_map(|format| {
            let document = artifact.state.get(format.note())?.get("document")?.clone();
            Some(Sbom { format, document })
        });
    let (format, arguments) = match wanted {
        None => ("", ""),
        Some(Format::CycloneDx) => (" in the format `cyclonedx`", ""),
        Some(Format::Spdx) => (
            " in the format `spdx`",
            " with `scanner_args = [\"-o\", \"spdx-json\"]`",
        ),
    };
    found.next().ok_or(NoSbom { format, arguments })
}
