//! SBOMs as documents: CycloneDX 1.6 and SPDX 2.3, made here or by others. What is made here is the same for the same packages, but
//! for its serial number and time; with a fixed time these are fixed, too.

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::packages::Inventory;

/// The formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    CycloneDx,
    Spdx,
}

/// What makes one document another.
pub(super) struct Identity {
    /// The name that the template gives it.
    pub(super) name: Option<String>,
    pub(super) serial: Uuid,
    /// `2026-01-02T03:04:05Z`
    pub(super) time: String,
}

/// Why something is no SBOM.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoSbom {
    #[error("it is no JSON ({0})")]
    Json(serde_json::Error),
    #[error("it is JSON, but neither SPDX (`spdxVersion`) nor CycloneDX (`bomFormat`)")]
    Neither,
    #[error("it is SPDX without `{0}`")]
    Spdx(&'static str),
    #[error("it is SPDX {0}; version 2 is supported")]
    SpdxVersion(String),
    #[error("it is CycloneDX without a `specVersion`")]
    CycloneDx,
}

impl Format {
    /// The note under which post-processors find an SBOM of this format.
    pub(super) fn note(self) -> &'static str {
        match self {
            Format::CycloneDx => "sbom.cyclonedx",
            Format::Spdx => "sbom.spdx",
        }
    }

    /// Its name for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Format::CycloneDx => "CycloneDX",
            Format::Spdx => "SPDX",
        }
    }
}

/// Reads an SBOM that others made: SPDX, else CycloneDX.
pub(super) fn read(text: &[u8]) -> Result<(Format, Value), NoSbom> {
    let document: Value = serde_json::from_slice(text).map_err(NoSbom::Json)?;
    let text = |key: &str| document.get(key).and_then(Value::as_str);
    if let Some(version) = text("spdxVersion") {
        if !version.starts_with("SPDX-2.") {
            return Err(NoSbom::SpdxVersion(version.trim_start_matches("SPDX-").to_owned()));
        }
        let missing = ["SPDXID", "name", "dataLicense", "documentNamespace"];
        return match missing.into_iter().find(|key| text(key).is_none()) {
            Some(key) => Err(NoSbom::Spdx(key)),
            None => Ok((Format::Spdx, document)),
        };
    }
    match (text("bomFormat"), text("specVersion")) {
        (Some("CycloneDX"), Some(_)) => Ok((Format::CycloneDx, document)),
        (Some("CycloneDX"), None) => Err(NoSbom::CycloneDx),
        _ => Err(NoSbom::Neither),
    }
}

impl Identity {
    /// Of a document that is made now; or at `fixed` seconds after 1970, and then always the same for the same inventory.
    pub(super) fn new(name: Option<String>, fixed: Option<i64>, inventory: &Inventory) -> Self {
        let at = |seconds| jiff::Timestamp::from_second(seconds).ok();
        match fixed.and_then(at) {
            Some(time) => {
                let purls: Vec<&str> = inventory.packages.iter().map(|package| package.purl.as_str()).collect();
                let content = format!("{time}\n{name:?}\n{:?}\n{}", inventory.system, purls.join("\n"));
                Self {
                    name,
                    serial: Uuid::new_v5(&Uuid::NAMESPACE_URL, content.as_bytes()),
                    time: time.to_string(),
                }
            }
            None => Self {
                name,
                serial: Uuid::new_v4(),
                time: at(jiff::Timestamp::now().as_second()).unwrap_or_default().to_string(),
            },
        }
    }

    /// How the document is called.
    pub(super) fn title<'a>(&'a self, inventory: &'a Inventory) -> &'a str {
        match &self.name {
            Some(name) => name,
            None if inventory.system.id.is_empty() => "instance",
            None => &inventory.system.id,
        }
    }
}

/// The hexadecimal SHA-256 sum of a text.
pub(super) fn sha256(text: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(text).iter().fold(String::new(), |mut sum, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(sum, "{byte:02x}");
        sum
    })
}
