//! What a statement is about: the artifact's files, or the artifact itself when it has none.

use std::path::{Path, PathBuf};

use bakelite_engine::artifact::Artifact;
use bakelite_engine::error::{Error, Explain};
use sha2::{Digest as _, Sha256};

use crate::attestation::statement::{Identity, Subject};
use crate::go_json;

/// Why there is no subject.
#[derive(Debug, thiserror::Error)]
pub(super) enum SubjectError {
    #[error("failed to compute the SHA-256 sum of `{}`", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("failed to attest the artifact of `{0}`: it has neither files nor an id")]
    Nothing(String),
}

impl Explain for SubjectError {}

/// The subjects; for an artifact without files also the JSON that its digest is of.
pub(super) async fn of(artifact: &Artifact, directory: &Path) -> Result<(Vec<Subject>, Option<String>), Error> {
    let files = artifact.files.clone().unwrap_or_default();
    if files.is_empty() {
        let (subject, text) = of_identity(artifact)?;
        return Ok((vec![subject], Some(text)));
    }
    let directory = directory.to_owned();
    let summed = tokio::task::spawn_blocking(move || files.iter().map(|file| of_file(&directory, file)).collect());
    let subjects: Result<Vec<Subject>, SubjectError> = summed.await?;
    Ok((subjects?, None))
}

fn of_file(directory: &Path, file: &str) -> Result<Subject, SubjectError> {
    let path = directory.join(file);
    let mut sum = Sha256::new();
    let copied = std::fs::File::open(&path).and_then(|mut content| std::io::copy(&mut content, &mut sum));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match copied {
        Ok(_) => Ok(Subject::new(name, hex::encode(sum.finalize()))),
        Err(source) => Err(SubjectError::File { path, source }),
    }
}

fn of_identity(artifact: &Artifact) -> Result<(Subject, String), SubjectError> {
    if artifact.id.is_empty() {
        return Err(SubjectError::Nothing(artifact.builder_id.clone()));
    }
    let identity = Identity {
        builder_id: artifact.builder_id.clone(),
        id: artifact.id.clone(),
    };
    let text = go_json::compact(&identity);
    let sum = hex::encode(Sha256::digest(text.as_bytes()));
    Ok((Subject::new(identity.name(), sum), text))
}
