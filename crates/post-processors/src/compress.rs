//! The `compress` post-processor: packs the artifact's files into one archive.

mod archive;
mod bgzf;
mod format;
mod owners;

use std::sync::Arc;

use async_trait::async_trait;
use bakelite_engine::artifact::{Artifact, DeleteFiles};
use bakelite_engine::post_processor::{PostProcessError, PostProcessing, PostProcessor, Processed};
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_template::component::Complaint;
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;
use schemars::JsonSchema;
use serde::Deserialize;

use format::Format;

use crate::output::output;

pub(crate) const REGISTRATION: Registration = Registration::plain(
    "compress",
    "Packs the artifact's files into one archive or compressed file; its name decides how.",
    Schema::of::<CompressOptions>,
    Make::PostProcessor(make),
);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
struct CompressOptions {
    /// The archive; `{{.BuildName}}` and `{{.BuilderType}}` are filled in. Its ending decides the format: `tar`, `zip`, `gz`, `bgzf`,
    /// `bzip2` or `bz2`, `xz`, `lz4`, with or without `tar` before; anything else is a gzipped tar.
    #[schemars(extend("x-late" = true))]
    output: String,
    /// An ending to decide by instead of the one of `output`.
    format: String,
    /// 1 (fast) to 9 (small); 0 or -1: the format's default.
    #[schemars(range(max = 9))]
    compression_level: i32,
}

impl Default for CompressOptions {
    fn default() -> Self {
        Self {
            output: "packer_{{.BuildName}}_{{.BuilderType}}".into(),
            format: String::new(),
            compression_level: 6,
        }
    }
}

struct Compress {
    options: CompressOptions,
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn PostProcessor>> {
    let options: CompressOptions = read_options(decoded, complaints)?;
    Some(Box::new(Compress { options }))
}

#[async_trait]
impl PostProcessor for Compress {
    async fn process(&self, processing: &PostProcessing, artifact: &Artifact) -> Result<Processed, PostProcessError> {
        let output = output(&self.options.output, processing, None)?;
        let format = Format::of(&output, &self.options.format);
        let directory = processing.run.working_directory.clone();
        let target = directory.join(&output);
        let inputs: Vec<String> = artifact.files.clone().unwrap_or_default();
        let level = u32::try_from(self.options.compression_level)
            .ok()
            .filter(|level| *level > 0);
        processing
            .ui
            .say(format!("Packing {} file(s) into {output}", inputs.len()));
        let work = {
            let target = target.clone();
            tokio::task::spawn_blocking(move || archive::pack(&directory, &inputs, &target, format, level))
        };
        work.await??;
        let made = Artifact {
            builder_id: "packer.post-processor.compress".into(),
            id: String::new(),
            description: format!("compressed artifacts in: {output}"),
            files: Some(vec![output]),
            data: artifact.data.clone(),
            state: artifact.state.clone(),
            destroy: Some(Arc::new(DeleteFiles(vec![target]))),
        };
        Ok(Processed {
            artifact: Some(made),
            keep_input: false,
            must_keep_input: false,
        })
    }
}
