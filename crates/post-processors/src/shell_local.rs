//! The `shell-local` post-processor: runs scripts on this machine, with what is known of the artifact (communicators.md §24).

use async_trait::async_trait;
use bakelite_engine::artifact::Artifact;
use bakelite_engine::local_shell::{LocalShell, LocalShellOptions};
use bakelite_engine::post_processor::{PostProcessError, PostProcessing, PostProcessor, Processed};
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_hcl::diagnostic::Severity;
use bakelite_template::component::{Complaint, Component, ComponentKind, Yields};
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;

pub(crate) const REGISTRATION: Registration = Registration {
    component: Component {
        kind: ComponentKind::PostProcessor,
        name: "shell-local",
        doc: "Runs scripts on this machine after the artifact was made.",
        schema: Schema::of::<LocalShellOptions>,
        yields: Yields::Nothing,
    },
    make: Make::PostProcessor(make),
    undo: None,
};

struct ShellLocal {
    options: LocalShellOptions,
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn PostProcessor>> {
    let options: LocalShellOptions = read_options(decoded, complaints)?;
    options.check(complaints);
    let sound = complaints
        .iter()
        .all(|complaint| complaint.severity == Severity::Warning);
    sound.then(|| Box::new(ShellLocal { options }) as Box<dyn PostProcessor>)
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
        self.options.run(&shell).await.map_err(PostProcessError::failed)?;
        Ok(Processed {
            artifact: Some(artifact.clone()),
            keep_input: true,
            must_keep_input: true,
        })
    }
}
