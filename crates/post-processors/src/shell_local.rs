//! The `shell-local` post-processor: runs scripts on this machine, with what is known of the artifact.

use async_trait::async_trait;
use bakelite_engine::artifact::Artifact;
use bakelite_engine::post_processor::{PostProcessError, PostProcessing, PostProcessor, Processed};
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_scripts::local_shell::{LocalShell, LocalShellOptions};
use bakelite_template::component::Complaint;
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;

pub(crate) const REGISTRATION: Registration = Registration::plain(
    "shell-local",
    "Runs scripts on this machine after the artifact was made.",
    Schema::of::<LocalShellOptions>,
    Make::PostProcessor(make),
);

struct ShellLocal {
    options: LocalShellOptions,
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn PostProcessor>> {
    let options: LocalShellOptions = read_options(decoded, complaints)?;
    options.check(complaints);
    Some(Box::new(ShellLocal { options }))
}

#[async_trait]
impl PostProcessor for ShellLocal {
    async fn process(&self, processing: &PostProcessing, artifact: &Artifact) -> Result<Processed, PostProcessError> {
        let shell = LocalShell {
            ui: &processing.ui,
            rendering: &processing.rendering,
            data: &artifact.data,
            run: &processing.run,
        };
        self.options.run(&shell).await?;
        Ok(Processed {
            artifact: Some(artifact.clone()),
            keep_input: true,
            must_keep_input: true,
        })
    }
}
