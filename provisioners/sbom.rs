//! The `sbom` provisioner, also called `hcp-sbom`: what is installed on the instance, as CycloneDX or SPDX.
//! What its options are and the story; the list is made in `sbom/`, by the instance's own package managers and without a scanner.

mod collect;
mod cyclonedx;
mod document;
mod licence;
mod limited;
mod options;
mod packages;
mod purl;
mod spdx;

use std::borrow::Cow;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bakelite_engine::communicator::CommunicatorError;
use bakelite_engine::error::Explain;
use bakelite_engine::private_file::random_number;
use bakelite_engine::provisioner::{ProvisionError, Provisioner, Provisioning};
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_template::component::Complaint;
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;
use serde_json::{Value, json};

use collect::CollectError;
use document::{Format, Identity, NoSbom};
use limited::Limited;
use options::{SbomOptions, Wanted};
use packages::Inventory;

pub(crate) const REGISTRATION: Registration = Registration::plain(
    "sbom",
    "Lists what is installed on the instance as an SBOM (CycloneDX or SPDX), or takes one that is there.",
    Schema::of::<SbomOptions>,
    Make::Provisioner(|decoded, complaints| make(decoded, complaints, false)),
);

/// The same under the name that templates of Packer's have.
pub(crate) const HCP_REGISTRATION: Registration = Registration::plain(
    "hcp-sbom",
    "The same as `sbom`, under the name that templates have. Nothing is uploaded to HCP.",
    Schema::of::<SbomOptions>,
    Make::Provisioner(|decoded, complaints| make(decoded, complaints, true)),
);

/// No SBOM, and no list to make one of, is longer than this, in bytes.
const LONGEST: usize = 256 << 20;

struct Sbom {
    wanted: Wanted,
    /// It has the name that promises an upload.
    is_hcp: bool,
}

/// Why there is no SBOM.
#[derive(Debug, thiserror::Error)]
enum SbomError {
    #[error("failed to download the SBOM `{path}`")]
    Download { path: String, source: CommunicatorError },
    #[error("`{path}` is not an SBOM")]
    NoSbom { path: String, source: NoSbom },
    #[error(transparent)]
    Collect(#[from] CollectError),
    #[error("no packages found on the instance: {0}")]
    Nothing(String),
    #[error("failed to write the SBOM to `{}`", path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

impl Explain for SbomError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            SbomError::Download { source, .. } | SbomError::Collect(CollectError::Communicator(source)) => {
                source.help()
            }
            SbomError::NoSbom { .. } => Some("SPDX 2 and CycloneDX are read, as JSON".into()),
            SbomError::Collect(_) | SbomError::Nothing(_) | SbomError::Write { .. } => None,
        }
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        match self {
            SbomError::Download { .. } | SbomError::NoSbom { .. } => Some("source".into()),
            SbomError::Write { .. } => Some("destination".into()),
            SbomError::Collect(_) | SbomError::Nothing(_) => None,
        }
    }
}

/// An SBOM that is there.
struct Made {
    format: Format,
    document: Value,
    text: Vec<u8>,
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>, is_hcp: bool) -> Option<Box<dyn Provisioner>> {
    let options: SbomOptions = read_options(decoded, complaints)?;
    let wanted = options.wanted(complaints)?;
    Some(Box::new(Sbom { wanted, is_hcp }))
}

#[async_trait]
impl Provisioner for Sbom {
    async fn provision(&self, provisioning: &Provisioning) -> Result<(), ProvisionError> {
        if self.is_hcp {
            provisioning
                .ui
                .say("The SBOM is kept here and in the build's provenance: nothing is uploaded to HCP");
        }
        let made = match &self.wanted.source {
            Some(path) => taken(provisioning, path).await?,
            None => listed(provisioning, &self.wanted).await?,
        };
        let mut note = json!({ "sha256": document::sha256(&made.text), "document": made.document });
        if let Some(destination) = &self.wanted.destination {
            let path = file_of(&provisioning.run.working_directory.join(destination), destination);
            write(&path, &made.text).map_err(|source| SbomError::Write {
                path: path.clone(),
                source,
            })?;
            let name = made.format.name();
            provisioning
                .ui
                .say(format!("Wrote the SBOM ({name}) to {}", path.display()));
            note["file"] = json!(path.display().to_string());
        }
        provisioning.notes.put(made.format.note(), note);
        Ok(())
    }
}

/// The SBOM at a path of the instance.
async fn taken(provisioning: &Provisioning, path: &str) -> Result<Made, SbomError> {
    provisioning.ui.say(format!("Downloading the SBOM {path}"));
    let mut downloading = Limited::new(LONGEST);
    let downloaded = provisioning.communicator.download(path, &mut downloading).await;
    downloaded.map_err(|source| SbomError::Download {
        path: path.to_owned(),
        source,
    })?;
    let text = downloading.bytes;
    let (format, document) = document::read(&text).map_err(|source| SbomError::NoSbom {
        path: path.to_owned(),
        source,
    })?;
    Ok(Made { format, document, text })
}

/// The SBOM of what the instance says to have.
async fn listed(provisioning: &Provisioning, wanted: &Wanted) -> Result<Made, SbomError> {
    provisioning.ui.say("Listing the packages of the instance");
    let collected = collect::collect(provisioning.communicator.as_ref(), &wanted.scan_path).await?;
    let inventory = Inventory::of(&collected);
    if inventory.packages.is_empty() {
        let directory = &wanted.scan_path;
        let reason =
            format!("neither dpkg, rpm nor apk knows of any below `{directory}`, and there are none of Python or npm");
        return Err(SbomError::Nothing(reason));
    }
    let count = inventory.packages.len();
    provisioning.ui.say(format!("The instance has {count} packages"));
    let fixed = provisioning.run.environment.get("SOURCE_DATE_EPOCH");
    let fixed = fixed.and_then(|seconds| seconds.parse().ok());
    let identity = Identity::new(wanted.name.clone(), fixed, &inventory);
    let document = match wanted.format {
        Format::CycloneDx => cyclonedx::document(&inventory, &identity),
        Format::Spdx => spdx::document(&inventory, &identity),
    };
    Ok(Made {
        format: wanted.format,
        text: format!("{document:#}\n").into_bytes(),
        document,
    })
}

/// A directory gets a file of its own.
fn file_of(path: &Path, destination: &str) -> PathBuf {
    if destination.ends_with('/') || path.is_dir() {
        path.join(format!("packer-user-sbom-{}.json", random_number()))
    } else {
        path.to_owned()
    }
}

/// Writes a file as a whole; its directories are created.
fn write(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(directory)?;
    let mut file = tempfile::Builder::new()
        .prefix(".bakelite-")
        .permissions(std::fs::Permissions::from_mode(0o644))
        .tempfile_in(directory)?;
    file.write_all(text)?;
    file.persist(path)?;
    Ok(())
}
