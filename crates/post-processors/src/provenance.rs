//! The `provenance` post-processor: writes how an artifact came to be, as an in-toto statement with an SLSA predicate, signed if
//! the template asks for it.

mod options;
mod origin;
mod predicate;
mod sbom;
mod subjects;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bakelite_engine::artifact::Artifact;
use bakelite_engine::error::Explain;
use bakelite_engine::post_processor::{PostProcessError, PostProcessing, PostProcessor, Processed};
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_template::component::Complaint;
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;

use crate::attestation;
use crate::attestation::key::{KeyError, SigningKey, VerifyingKey};
use crate::attestation::statement::{PROVENANCE, Statement};
use crate::go_json;
use crate::replace::replace;
use options::ProvenanceOptions;
use origin::Origin;
use predicate::Redaction;

pub(crate) const REGISTRATION: Registration = Registration::plain(
    "provenance",
    "Writes where the artifact comes from, as an in-toto statement with an SLSA v1 predicate, signed with a key if wanted.",
    Schema::of::<ProvenanceOptions>,
    Make::PostProcessor(make),
);

struct Provenance {
    options: ProvenanceOptions,
    /// Strings in the options that must not be recorded.
    secrets: Vec<String>,
}

/// Why there is no provenance.
#[derive(Debug, thiserror::Error)]
enum ProvenanceError {
    #[error("failed to load the key `{path}` of `{option}`")]
    Key {
        option: &'static str,
        path: String,
        source: KeyError,
    },
    #[error("failed to {operation} `{}`", path.display())]
    File {
        operation: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
}

impl Explain for ProvenanceError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            ProvenanceError::Key { source, .. } => source.help(),
            ProvenanceError::File { .. } => None,
        }
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        match self {
            ProvenanceError::Key { option, .. } => Some((*option).into()),
            ProvenanceError::File { .. } => None,
        }
    }
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn PostProcessor>> {
    let options: ProvenanceOptions = read_options(decoded, complaints)?;
    options.check(complaints);
    options.check_files(complaints);
    let secrets = decoded.secrets.clone();
    Some(Box::new(Provenance { options, secrets }))
}

#[async_trait]
impl PostProcessor for Provenance {
    async fn process(&self, processing: &PostProcessing, artifact: &Artifact) -> Result<Processed, PostProcessError> {
        if self.options.provenance {
            self.attest(processing, artifact).await?;
        }
        Ok(Processed {
            artifact: Some(artifact.clone()),
            keep_input: true,
            must_keep_input: true,
        })
    }
}

impl Provenance {
    async fn attest(&self, processing: &PostProcessing, artifact: &Artifact) -> Result<(), PostProcessError> {
        let directory = &processing.run.working_directory;
        let keys = self.keys(directory)?;
        let wanted = self.options.sbom_format;
        let sbom = self.options.sbom.then(|| sbom::of(artifact, wanted));
        let sbom = sbom.transpose()?;
        let (subjects, identity) = subjects::of(artifact, directory).await?;
        let origin = Origin::find(&processing.run, self.options.source_uri.as_deref()).await;
        let redaction = Redaction::new(&processing.rendering.derived, &self.secrets);
        let predicate = predicate::of(&self.options, processing, origin, identity, &redaction);
        let statement = Statement::new(subjects.clone(), PROVENANCE, predicate);

        let output = self.output(processing, artifact);
        let mut files = vec![("provenance.json", text_of(&statement, keys.as_ref())?)];
        if let Some(sbom) = sbom {
            let statement = Statement::new(subjects, sbom.format.predicate_type(), sbom.document.clone());
            files.push((sbom.format.ending(), go_json::indented(&sbom.document)));
            files.push(("sbom.att.json", text_of(&statement, keys.as_ref())?));
        }
        write(directory, &output, &files)?;
        for (ending, _) in &files {
            processing.ui.say(format!("Wrote {output}.{ending}"));
        }
        Ok(())
    }

    /// The key that signs and the one that checks; none when nothing is signed.
    fn keys(&self, directory: &Path) -> Result<Option<(SigningKey, VerifyingKey)>, ProvenanceError> {
        let Some((option, path)) = self.options.signing_key() else {
            return Ok(None);
        };
        let failed = |option, path: &str| {
            let path = path.to_owned();
            move |source| ProvenanceError::Key { option, path, source }
        };
        let key = SigningKey::read(&directory.join(path)).map_err(failed(option, path))?;
        let verifier = match &self.options.verifier {
            None => key.verifying_key(),
            Some(path) => VerifyingKey::read(&directory.join(path)).map_err(failed("verifier", path))?,
        };
        Ok(Some((key, verifier)))
    }

    /// Directory and beginning of the files' names, as the template has the directory.
    fn output(&self, processing: &PostProcessing, artifact: &Artifact) -> String {
        let first = artifact.files.iter().flatten().next().map(Path::new);
        let beside = || {
            let directory = first.and_then(Path::parent).unwrap_or(Path::new(""));
            directory.to_string_lossy().into_owned()
        };
        let directory = self.options.output_dir.clone().unwrap_or_else(beside);
        let stem = match first.and_then(Path::file_name) {
            Some(name) => name.to_string_lossy().into_owned(),
            None => plain(&format!("{}-{}", artifact.builder_id, artifact.id)),
        };
        let name = &processing.source_name;
        let stem = if stem == *name || stem.starts_with(&format!("{name}.")) {
            stem
        } else {
            format!("{name}.{stem}")
        };
        Path::new(&directory).join(stem).to_string_lossy().into_owned()
    }
}

/// Letters, digits, `.`, `-` and `_` stay.
fn plain(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    text.chars().map(|c| if is_plain(c) { c } else { '_' }).collect()
}

/// The statement as it is written: signed in an envelope, or as it is.
fn text_of(statement: &Statement, keys: Option<&(SigningKey, VerifyingKey)>) -> Result<String, PostProcessError> {
    let Some((key, verifier)) = keys else {
        return Ok(go_json::indented(statement));
    };
    let payload = go_json::compact(statement);
    let envelope = attestation::sign(payload.as_bytes(), key, verifier)?;
    Ok(go_json::indented(&envelope))
}

fn write(directory: &Path, output: &str, files: &[(&str, String)]) -> Result<(), ProvenanceError> {
    for (ending, text) in files {
        let path = directory.join(format!("{output}.{ending}"));
        let error = |operation| {
            let path = path.clone();
            move |source| ProvenanceError::File {
                operation,
                path,
                source,
            }
        };
        let parent = crate::replace::directory_of(&path);
        std::fs::create_dir_all(parent).map_err(error("create the directory of"))?;
        replace(&path, text).map_err(error("write"))?;
    }
    Ok(())
}
