//! The `manifest` post-processor: appends what was made to a JSON file. Builds that end together each get
//! their entry: writers of one file take turns under a lock, and readers see the old file or the new one, never half of one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bakelite_engine::artifact::Artifact;
use bakelite_engine::error::Explain;
use bakelite_engine::post_processor::{PostProcessError, PostProcessing, PostProcessor, Processed};
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_template::component::Complaint;
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;
use rustix::fs::FlockOperation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::go_json;
use crate::replace::{destination, directory_of, replace};

pub(crate) const REGISTRATION: Registration = Registration::plain(
    "manifest",
    "Appends what was made to a JSON file: name, builder, time, files, artifact id.",
    Schema::of::<ManifestOptions>,
    Make::PostProcessor(make),
);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
struct ManifestOptions {
    /// The file. Its directory must exist.
    output: String,
    /// Note files by their base name.
    strip_path: bool,
    /// Leave the time of the build out, so that equal builds give equal manifests.
    strip_time: bool,
    /// More to note with each entry.
    custom_data: BTreeMap<String, String>,
}

impl Default for ManifestOptions {
    fn default() -> Self {
        Self {
            output: "packer-manifest.json".into(),
            strip_path: false,
            strip_time: false,
            custom_data: BTreeMap::new(),
        }
    }
}

struct Manifest {
    options: ManifestOptions,
}

/// Why the manifest could not be written.
#[derive(Debug, thiserror::Error)]
enum ManifestError {
    #[error("failed to {operation} manifest `{}`", path.display())]
    File {
        operation: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("`{}` is not a manifest: {why}", path.display())]
    Content { path: PathBuf, why: String },
}

impl Explain for ManifestError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            ManifestError::File { .. } => None,
            ManifestError::Content { .. } => Some("move it away, or set `output` to another file".into()),
        }
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        Some("output".into())
    }
}

/// One entry, in the order of the file's keys.
#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    builder_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    build_time: Option<u64>,
    files: Option<Vec<Value>>,
    artifact_id: &'a str,
    packer_run_uuid: &'a str,
    custom_data: Option<&'a BTreeMap<String, String>>,
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn PostProcessor>> {
    let options = read_options(decoded, complaints)?;
    Some(Box::new(Manifest { options }))
}

#[async_trait]
impl PostProcessor for Manifest {
    async fn process(&self, processing: &PostProcessing, artifact: &Artifact) -> Result<Processed, PostProcessError> {
        let run = &processing.run;
        let path = run.working_directory.join(&self.options.output);
        let entry = serde_json::to_value(self.entry(processing, artifact))?;
        let (run_id, force) = (run.id.clone(), run.force);
        tokio::task::spawn_blocking(move || append(&path, entry, &run_id, force)).await??;
        Ok(Processed {
            artifact: Some(artifact.clone()),
            keep_input: true,
            must_keep_input: true,
        })
    }
}

impl Manifest {
    fn entry<'a>(&'a self, processing: &'a PostProcessing, artifact: &'a Artifact) -> Entry<'a> {
        let options = &self.options;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let files = artifact.files.as_ref().filter(|files| !files.is_empty());
        Entry {
            name: &processing.source_name,
            builder_type: &processing.builder,
            build_time: (!options.strip_time).then_some(now),
            files: files.map(|files| {
                files
                    .iter()
                    .map(|file| self.file(&processing.run.working_directory, file))
                    .collect()
            }),
            artifact_id: &artifact.id,
            packer_run_uuid: &processing.run.id,
            custom_data: Some(&options.custom_data).filter(|data| !data.is_empty()),
        }
    }

    fn file(&self, directory: &Path, file: &str) -> Value {
        let size = std::fs::metadata(directory.join(file)).map_or(0, |metadata| metadata.len());
        let base = Path::new(file)
            .file_name()
            .map_or_else(|| file.into(), |name| name.to_string_lossy());
        let name = if self.options.strip_path { base.as_ref() } else { file };
        json!({ "name": name, "size": size })
    }
}

/// Appends an entry while holding the lock of the manifest's directory: the lock leaves no file behind, holds between programs, and
/// ends with the process that holds it.
fn append(path: &Path, entry: Value, run: &str, force: bool) -> Result<(), ManifestError> {
    let error = |operation| {
        move |source| ManifestError::File {
            operation,
            path: path.to_owned(),
            source,
        }
    };
    // Whoever comes by a link takes turns with those who do not.
    let path = &destination(path).map_err(error("follow the links of"))?;
    let lock = File::open(directory_of(path)).map_err(error("open the directory of"))?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(|cause| error("lock")(cause.into()))?;
    let mut manifest = read(path)?;
    if force
        && manifest
            .get("last_run_uuid")
            .and_then(Value::as_str)
            .is_some_and(|last| last != run)
    {
        manifest.insert("builds".into(), json!([]));
    }
    let builds = manifest.entry("builds").or_insert_with(|| json!([]));
    let Some(entries) = builds.as_array_mut() else {
        return Err(ManifestError::Content {
            path: path.to_owned(),
            why: "`builds` is not a list".into(),
        });
    };
    entries.push(entry);
    manifest.insert("last_run_uuid".into(), json!(run));
    replace(path, &go_json::indented(&manifest)).map_err(error("write"))
}

fn read(path: &Path) -> Result<Map<String, Value>, ManifestError> {
    let content = |why| ManifestError::Content {
        path: path.to_owned(),
        why,
    };
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => return Ok(Map::new()),
        Err(source) => {
            return Err(ManifestError::File {
                operation: "read",
                path: path.to_owned(),
                source,
            });
        }
    };
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    let mut manifest: Map<String, Value> = serde_json::from_slice(&text).map_err(|error| content(error.to_string()))?;
    if manifest.get("builds").is_some_and(Value::is_null) {
        manifest.remove("builds");
    }
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Value {
        json!({ "name": name })
    }

    #[test]
    fn entries_written_together_are_all_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.json");
        std::thread::scope(|scope| {
            for writer in 0..12 {
                let path = &path;
                scope.spawn(move || append(path, entry(&writer.to_string()), "run", false).unwrap());
            }
        });
        let manifest = read(&path).unwrap();
        assert_eq!(manifest["builds"].as_array().unwrap().len(), 12);
        assert_eq!(
            std::fs::read_dir(directory.path()).unwrap().count(),
            1,
            "only the manifest is left"
        );
    }

    #[test]
    fn force_starts_anew_once_per_run() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.json");
        for (name, run) in [("a", "one"), ("b", "two"), ("c", "two")] {
            append(&path, entry(name), run, true).unwrap();
        }
        let names: Vec<Value> = read(&path).unwrap()["builds"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["name"].clone())
            .collect();
        assert_eq!(names, [json!("b"), json!("c")]);
    }

    #[test]
    fn a_manifest_behind_a_link_is_written() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("shared")).unwrap();
        let link = directory.path().join("m.json");
        std::os::unix::fs::symlink("shared/manifest.json", &link).unwrap();
        // The link may lead nowhere yet.
        for name in ["a", "b"] {
            append(&link, entry(name), "run", false).unwrap();
        }
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        let manifest = read(&directory.path().join("shared/manifest.json")).unwrap();
        assert_eq!(manifest["builds"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn links_in_a_circle_are_no_manifest() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("m.json");
        std::os::unix::fs::symlink("m.json", &link).unwrap();
        assert!(append(&link, entry("a"), "run", false).is_err());
    }

    #[test]
    fn what_is_no_manifest_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.json");
        std::fs::write(&path, "not json").unwrap();
        assert!(append(&path, entry("a"), "run", false).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "not json");
    }
}
