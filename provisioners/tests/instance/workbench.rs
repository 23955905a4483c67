//! Makes provisioners of their options as a bake does, and runs them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime};

use bakelite_communicators::connect::{Target, connect};
use bakelite_communicators::none::NoCommunicator;
use bakelite_engine::event::{Event, Level, What};
use bakelite_engine::events::{Events, Ui};
use bakelite_engine::notes::Notes;
use bakelite_engine::provisioner::{Provisioner, Provisioning, RunContext};
use bakelite_engine::registry::{Make, Registry};
use bakelite_provisioners::COMPONENTS;
use bakelite_template::component::{Complaint, ComponentKind};
use bakelite_template::decode::Decoded;
use bakelite_template::gotemplate::Rendering;
use bakelite_template::plan::BuildData;
use bakelite_test_support::eventually::in_time;
use bakelite_test_support::sshd::{Setup, Sshd};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub(crate) struct Workbench {
    pub(crate) sshd: Option<Sshd>,
    pub(crate) directory: TempDir,
    pub(crate) provisioning: Provisioning,
    events: Receiver<Event>,
}

impl Workbench {
    /// Without an instance.
    pub(crate) fn alone() -> Workbench {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("tmp")).unwrap();
        std::fs::create_dir(directory.path().join("remote")).unwrap();
        let (sender, events) = channel();
        let provisioning = Provisioning {
            communicator: Arc::new(NoCommunicator),
            ui: Ui::new(Events::new(sender)),
            cancel: CancellationToken::new(),
            data: BuildData::new(),
            rendering: rendering(directory.path()),
            notes: Notes::default(),
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
            sshd: None,
            directory,
            provisioning,
            events,
        }
    }

    /// With an instance that is reached by SSH.
    pub(crate) async fn with_instance(setup: Setup) -> Workbench {
        let sshd = Sshd::start(setup).await;
        let mut bench = Self::connected(serde_json::json!({
            "ssh_port": sshd.address.port(), "ssh_username": sshd.username, "ssh_private_key_file": sshd.key_file,
        }))
        .await;
        bench.sshd = Some(sshd);
        bench
    }

    /// Connected to this machine as these options say.
    pub(crate) async fn connected(options: serde_json::Value) -> Workbench {
        let mut bench = Self::alone();
        let options = serde_json::from_value(options).unwrap();
        let target = Target {
            address: "127.0.0.1".into(),
            ..Target::default()
        };
        let provisioning = &bench.provisioning;
        let connected = connect(
            &target,
            &options,
            &provisioning.run,
            &provisioning.ui,
            &provisioning.cancel,
        )
        .await;
        bench.provisioning.communicator = connected.unwrap();
        bench.said();
        bench
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> String {
        std::fs::write(self.directory.path().join(name), content).unwrap();
        self.path(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap()
    }

    /// Names in a directory of ours.
    pub(crate) fn names(&self, directory: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path().join(directory)).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    /// Makes a provisioner and runs it.
    pub(crate) async fn provision(&self, name: &str, options: serde_json::Value) -> Result<(), String> {
        let provisioner = made(name, &options);
        let done = in_time("the provisioner's end", provisioner.provision(&self.provisioning)).await;
        done.map_err(|error| error.report().text)
    }

    /// Makes a provisioner whose time is over after this long.
    pub(crate) async fn provision_too_long(&self, name: &str, options: serde_json::Value, limit: Duration) {
        let provisioner = made(name, &options);
        let ended = tokio::time::timeout(limit, provisioner.provision(&self.provisioning)).await;
        assert!(ended.is_err(), "it has ended: {ended:?}");
        provisioner.clean_up_after_timeout(&self.provisioning).await;
    }

    /// What was said since the last call, by level.
    pub(crate) fn messages(&self) -> Vec<(Level, String)> {
        let messages = self.events.try_iter().filter_map(|event| match event.what {
            What::Message(message) => Some((message.level, message.text)),
            _ => None,
        });
        messages.collect()
    }

    pub(crate) fn said(&self) -> Vec<String> {
        self.messages().into_iter().map(|(_, text)| text).collect()
    }

    /// What scripts printed since the last call.
    pub(crate) fn printed(&self) -> Vec<String> {
        let is_output = |level| matches!(level, Level::Output | Level::ErrorOutput);
        self.messages()
            .into_iter()
            .filter(|(level, _)| is_output(*level))
            .map(|(_, text)| text)
            .collect()
    }
}

/// A provisioner that has nothing to complain about.
fn made(name: &str, options: &serde_json::Value) -> Box<dyn Provisioner> {
    let mut complaints = Vec::new();
    let made = make(name, options, &mut complaints);
    made.unwrap_or_else(|| panic!("{complaints:?}"))
}

/// Complaints of a provisioner about options.
pub(crate) fn complaints(name: &str, options: &serde_json::Value) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    make(name, options, &mut complaints);
    complaints
}

fn make(name: &str, options: &serde_json::Value, complaints: &mut Vec<Complaint>) -> Option<Box<dyn Provisioner>> {
    let registry = Registry::new(&[COMPONENTS]);
    let Some(Make::Provisioner(make)) = registry.make(ComponentKind::Provisioner, name) else {
        panic!("no {name}")
    };
    let decoded = Decoded {
        options: options.as_object().unwrap().clone(),
        ..Decoded::default()
    };
    make(&decoded, complaints)
}

fn rendering(directory: &Path) -> Rendering {
    let mut rendering = Rendering::new("web", "null", directory.to_owned(), SystemTime::UNIX_EPOCH);
    rendering.set_build_data(BTreeMap::new());
    rendering
}
