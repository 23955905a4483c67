//! Makes post-processors of their options as a bake does, and runs them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::SystemTime;

use bakelite_engine::artifact::Artifact;
use bakelite_engine::event::{Event, What};
use bakelite_engine::events::{Events, Ui};
use bakelite_engine::post_processor::{PostProcessing, Processed};
use bakelite_engine::provisioner::RunContext;
use bakelite_engine::registry::{Make, Registry};
use bakelite_post_processors::COMPONENTS;
use bakelite_template::component::{Complaint, ComponentKind};
use bakelite_template::decode::Decoded;
use bakelite_template::gotemplate::Rendering;
use bakelite_template::plan::BuildData;
use bakelite_test_support::ended::RunToEnd as _;
use bakelite_test_support::tools;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A working directory, and a build `web` of the builder `null` whose artifacts are worked on.
pub(crate) struct Workbench {
    pub(crate) directory: TempDir,
    pub(crate) processing: PostProcessing,
    events: Receiver<Event>,
}

impl Workbench {
    pub(crate) fn new() -> Workbench {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("tmp")).unwrap();
        let (sender, events) = channel();
        let processing = PostProcessing {
            ui: Ui::new(Events::new(sender)),
            cancel: CancellationToken::new(),
            rendering: rendering(directory.path()),
            source_name: "web".into(),
            builder: "null".into(),
            run: RunContext {
                id: "run-id".into(),
                working_directory: directory.path().to_owned(),
                temporary_directory: directory.path().join("tmp"),
                home_directory: None,
                force: false,
                debug: false,
                environment: Arc::new(BTreeMap::new()),
                private_files: bakelite_engine::private_file::PrivateFiles::default(),
            },
        };
        Workbench {
            directory,
            processing,
            events,
        }
    }

    /// The same with environment variables.
    pub(crate) fn with(mut self, variables: &[(&str, &str)]) -> Workbench {
        let owned = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        self.processing.run.environment = Arc::new(owned.collect());
        self
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        name.to_owned()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    /// Names in a directory of ours, sorted.
    pub(crate) fn names(&self, directory: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path().join(directory)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// Makes a post-processor and runs it; an error as its message, and its help in a line after it.
    pub(crate) async fn process(&self, name: &str, options: Value, artifact: &Artifact) -> Result<Processed, String> {
        let mut complaints = Vec::new();
        let Make::PostProcessor(make) = registered(name) else {
            unreachable!()
        };
        let made = make(&decoded(&options), &mut complaints);
        let post_processor = made.unwrap_or_else(|| panic!("{complaints:?}"));
        post_processor
            .process(&self.processing, artifact)
            .await
            .map_err(|error| {
                let report = error.report();
                let help = report.help.map(|help| format!("\nhelp: {help}"));
                report.text + &help.unwrap_or_default()
            })
    }

    /// What was said since the last call.
    pub(crate) fn said(&self) -> Vec<String> {
        let messages = self.events.try_iter().filter_map(|event| match event.what {
            What::Message(message) => Some(message.text),
            _ => None,
        });
        messages.collect()
    }

    /// Runs a script of this directory with the tests' own Python; its standard output.
    pub(crate) fn python(&self, script: &str, arguments: &[&str]) -> Result<String, String> {
        let script = format!("{}/tests/artifacts/{script}", env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(tools::program("python"));
        command.arg(script).args(arguments).current_dir(self.directory.path());
        let output = command.run_to_end();
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Makes keys of all kinds in `keys`.
    pub(crate) fn make_keys(&self) {
        std::fs::create_dir(self.directory.path().join("keys")).unwrap();
        self.python("attestations.py", &["keys", "keys"]).unwrap();
    }
}

/// Complaints of a post-processor about options: `option: message`.
pub(crate) fn complaints(name: &str, options: &Value) -> Vec<String> {
    let mut complaints: Vec<Complaint> = Vec::new();
    let Make::PostProcessor(make) = registered(name) else {
        unreachable!()
    };
    make(&decoded(options), &mut complaints);
    let text = |one: &Complaint| format!("{}: {}", one.option, one.message);
    complaints.iter().map(text).collect()
}

fn registered(name: &str) -> Make {
    let registry = Registry::new(&[COMPONENTS]);
    let made = registry.make(ComponentKind::PostProcessor, name);
    made.unwrap_or_else(|| panic!("no {name}"))
}

fn decoded(options: &Value) -> Decoded {
    Decoded {
        options: options.as_object().unwrap().clone(),
        ..Decoded::default()
    }
}

/// An artifact of files.
pub(crate) fn of_files(files: &[&str]) -> Artifact {
    Artifact {
        files: Some(files.iter().map(|file| (*file).to_owned()).collect()),
        ..of_id("")
    }
}

/// An artifact without files, as AMIs are.
pub(crate) fn of_id(id: &str) -> Artifact {
    Artifact {
        builder_id: "mitchellh.amazonebs".into(),
        id: id.into(),
        files: None,
        description: String::new(),
        data: BuildData::new(),
        state: BTreeMap::new(),
        destroy: None,
    }
}

fn rendering(directory: &Path) -> Rendering {
    let mut rendering = Rendering::new("web", "null", directory.to_owned(), SystemTime::UNIX_EPOCH);
    rendering.set_build_data(BTreeMap::new());
    rendering
}
