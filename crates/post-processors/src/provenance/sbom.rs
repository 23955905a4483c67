//! The SBOM that a provisioner made of the instance, for a statement of its own.

use bakelite_engine::artifact::Artifact;
use serde_json::Value;

/// An SBOM of the instance that became the artifact.
pub(super) struct Sbom {
    pub(super) format: Format,
    pub(super) document: Value,
}

/// The formats of SBOMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    CycloneDx,
    Spdx,
}

/// There is no SBOM to attest.
#[derive(Debug, thiserror::Error)]
#[error(
    "attest the SBOM: no provisioner of this build made one{format}; add `provisioner \"sbom\" {{ auto_generate = true }}`{arguments}"
)]
pub(super) struct NoSbom {
    format: String,
    arguments: &'static str,
}

impl Format {
    /// The format of this name.
    pub(super) fn of(name: &str) -> Option<Format> {
        match name {
            "cyclonedx" => Some(Format::CycloneDx),
            "spdx" => Some(Format::Spdx),
            _ => None,
        }
    }

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
pub(super) fn of(artifact: &Artifact, wanted: Option<&str>) -> Result<Sbom, NoSbom> {
    let wanted_format = wanted.and_then(Format::of);
    let formats = [Format::CycloneDx, Format::Spdx];
    let formats = formats
        .into_iter()
        .filter(|format| wanted_format.is_none_or(|wanted| wanted == *format));
    let mut found = formats.filter_map(|format| {
        let document = artifact.state.get(format.note())?.get("document")?.clone();
        Some(Sbom { format, document })
    });
    found.next().ok_or_else(|| NoSbom {
        format: wanted.map_or_else(String::new, |name| format!(" in the format `{name}`")),
        arguments: match wanted_format {
            Some(Format::Spdx) => " with `scanner_args = [\"-o\", \"spdx-json\"]`",
            _ => "",
        },
    })
}
