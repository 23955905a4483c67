//! A run on scripted components. A test's world is its thread's: paused time needs a runtime of one thread anyway.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bakelite_engine::artifact::{Artifact, Destroy};
use bakelite_engine::bake::Bake;
use bakelite_engine::builder::Builder;
use bakelite_engine::cancel::{Cancel, Canceller, cancellation};
use bakelite_engine::clock::Backoff;
use bakelite_engine::communicator::{Communicator, CommunicatorError, Running, Upload};
use bakelite_engine::error::{Error, Explain};
use bakelite_engine::event::{BuildEvent, Event, Level, What};
use bakelite_engine::events::Events;
use bakelite_engine::gc::{self, Collected};
use bakelite_engine::journal::Journal;
use bakelite_engine::journals::Journals;
use bakelite_engine::policy::{FailurePolicy, OnError, User};
use bakelite_engine::post_processor::{PostProcessing, PostProcessor, Processed};
use bakelite_engine::private_file::PrivateFiles;
use bakelite_engine::provisioner::{Provisioner, Provisioning, RunContext};
use bakelite_engine::registry::{Make, Registration, Registry, read_options};
use bakelite_engine::run::{self, Outcome, Settings};
use bakelite_engine::undo::{Resource, Undo, UndoError, UndoMode};
use bakelite_hcl::diagnostic::Diagnostics;
use bakelite_hcl::scope::NoAnswer;
use bakelite_hcl::source::SourceMap;
use bakelite_hcl::value::Value;
use bakelite_template::component::{Complaint, Component, ComponentKind, DataSources, Yields};
use bakelite_template::decode::Decoded;
use bakelite_template::plan::Plan;
use bakelite_template::schema::Schema;
use bakelite_template::{Invocation, Purpose, UndeclaredVariables, read};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::AsyncWrite;

/// What a call does when it is made the next time; without one it succeeds at once.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    Succeeds,
    Fails,
    /// Fails, and trying again may help.
    FailsForNow,
    SucceedsAfter(Duration),
    Hangs,
}

/// Everything outside the engine.
#[derive(Default)]
pub(crate) struct World {
    acts: Mutex<BTreeMap<String, VecDeque<Act>>>,
    log: Mutex<Vec<String>>,
}

thread_local! {
    static WORLD: RefCell<Arc<World>> = RefCell::default();
}

/// Why a call failed, as it was told to.
#[derive(Debug, thiserror::Error)]
#[error("{0} failed")]
struct Told(String);

impl Explain for Told {
    fn help(&self) -> Option<std::borrow::Cow<'_, str>> {
        Some("tell it otherwise".into())
    }

    fn option(&self) -> Option<std::borrow::Cow<'_, str>> {
        (self.0 == "build end").then_some("ends".into())
    }
}

/// Why a call failed that may be made again.
const SOON: Backoff = Backoff {
    limit: Duration::from_mins(1),
    first: Duration::from_secs(1),
    longest: Duration::from_secs(10),
};

impl World {
    fn here() -> Arc<World> {
        WORLD.with_borrow(Arc::clone)
    }

    fn note(&self, what: &str) {
        self.log.lock().unwrap().push(what.to_owned());
    }

    /// What was called so far, in order.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Makes the next calls of this name do that.
    pub(crate) fn tell(&self, what: &str, acts: impl IntoIterator<Item = Act>) {
        self.acts
            .lock()
            .unwrap()
            .entry(what.to_owned())
            .or_default()
            .extend(acts);
    }

    async fn call(&self, what: &str) -> Result<(), (Told, bool)> {
        self.note(what);
        let act = self.acts.lock().unwrap().get_mut(what).and_then(VecDeque::pop_front);
        let failed = |for_now| Err((Told(what.to_owned()), for_now));
        match act.unwrap_or(Act::Succeeds) {
            Act::Succeeds => Ok(()),
            Act::Fails => failed(false),
            Act::FailsForNow => failed(true),
            Act::SucceedsAfter(span) => {
                tokio::time::sleep(span).await;
                self.note(&format!("{what} answered"));
                Ok(())
            }
            Act::Hangs => std::future::pending().await,
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Options {
    /// How its calls are named.
    act: String,
    /// What a builder makes.
    makes: Vec<String>,
    /// Which of them it keeps.
    keeps: Vec<String>,
    /// Only there to be at fault.
    ends: String,
    /// Whether a post-processor keeps its input unless the template says so.
    keep_input: bool,
}

const fn component(kind: ComponentKind) -> Component {
    Component {
        kind,
        name: "fake",
        doc: "",
        schema: Schema::of::<Options>,
        yields: match kind {
            ComponentKind::Builder => Yields::BuildData(&[]),
            _ => Yields::Nothing,
        },
    }
}

static COMPONENTS: &[Registration] = &[
    Registration {
        component: component(ComponentKind::Builder),
        make: Make::Builder(|options, complaints| Some(Box::new(Fake::made(options, complaints)?))),
        undo: Some(|_| Arc::new(FakeUndo)),
    },
    Registration {
        component: component(ComponentKind::Provisioner),
        make: Make::Provisioner(|options, complaints| Some(Box::new(Fake::made(options, complaints)?))),
        undo: None,
    },
    Registration {
        component: component(ComponentKind::PostProcessor),
        make: Make::PostProcessor(|options, complaints| Some(Box::new(Fake::made(options, complaints)?))),
        undo: None,
    },
];

struct Fake {
    options: Options,
}

impl Fake {
    fn made(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Fake> {
        let options: Options = read_options(decoded, complaints)?;
        if options.act == "refused" {
            complaints.push(Complaint::error("act", "`act` is refused").help("take another"));
        }
        Some(Fake { options })
    }
}

#[async_trait]
impl Builder for Fake {
    async fn bake(&self, bake: &Bake) -> Result<Artifact, Error> {
        let world = World::here();
        for name in &self.options.makes {
            let resource = Resource::new("fake", "thing").token(format!("token-{name}"));
            let (world, id) = (World::here(), name.clone());
            let call = async move {
                let made = world.call(&format!("create {id}")).await;
                made.map(|()| (id, ())).map_err(|(told, _)| told)
            };
            let made = bake
                .step("create", bake.create(Arc::new(FakeUndo), resource, call))
                .await?;
            if self.options.keeps.contains(name) {
                made.handle.keep().await?;
            }
        }
        bake.provision(Arc::new(Nowhere), bake.data("id")).await?;
        world.call("build end").await.map_err(|(told, _)| told)?;
        Ok(artifact("original"))
    }
}

fn artifact(id: &str) -> Artifact {
    Artifact {
        builder_id: "fake".into(),
        id: id.into(),
        files: None,
        description: format!("artifact {id}"),
        data: BTreeMap::new(),
        state: BTreeMap::new(),
        destroy: Some(Arc::new(Destroyed(id.to_owned()))),
    }
}

struct Destroyed(String);

#[async_trait]
impl Destroy for Destroyed {
    async fn destroy(&self) -> Result<(), Error> {
        let destroyed = World::here().call(&format!("destroy {}", self.0)).await;
        destroyed.map_err(|(told, _)| told.into())
    }
}

pub(crate) struct FakeUndo;

#[async_trait]
impl Undo for FakeUndo {
    fn owner(&self) -> &'static str {
        "fake"
    }

    async fn undo(&self, resource: &Resource, mode: UndoMode) -> Result<(), UndoError> {
        let name = resource.id.as_ref().or(resource.token.as_ref()).unwrap();
        let what = match mode {
            UndoMode::Wait => format!("undo {name}"),
            UndoMode::NoWait => format!("undo {name} hastily"),
        };
        World::here().call(&what).await.map_err(|(told, for_now)| UndoError {
            what: resource.describe(),
            cause: told.into(),
            again: for_now.then_some(SOON),
        })
    }
}

#[async_trait]
impl Provisioner for Fake {
    async fn provision(&self, _: &Provisioning) -> Result<(), Error> {
        let done = World::here().call(&format!("provision {}", self.options.act)).await;
        Ok(done.map_err(|(told, _)| told)?)
    }

    async fn clean_up_after_timeout(&self, _: &Provisioning) {
        // What it may fail with is nobody's concern.
        let _ = World::here().call(&format!("clean up {}", self.options.act)).await;
    }
}

#[async_trait]
impl PostProcessor for Fake {
    async fn process(&self, _: &PostProcessing, input: &Artifact) -> Result<Processed, Error> {
        let what = format!("process {} by {}", input.id, self.options.act);
        World::here().call(&what).await.map_err(|(told, _)| told)?;
        Ok(Processed {
            artifact: Some(artifact(&self.options.act)),
            keep_input: self.options.keep_input,
            must_keep_input: false,
        })
    }
}

/// The way to an instance that nobody goes.
struct Nowhere;

#[async_trait]
impl Communicator for Nowhere {
    async fn exec(&self, _: &str) -> Result<Running, CommunicatorError> {
        unimplemented!()
    }

    async fn upload(&self, _: Upload<'_>, _: &str) -> Result<(), CommunicatorError> {
        unimplemented!()
    }

    async fn upload_directory(&self, _: &Path, _: bool, _: &str) -> Result<(), CommunicatorError> {
        unimplemented!()
    }

    async fn download(&self, _: &str, _: &mut (dyn AsyncWrite + Send + Unpin)) -> Result<(), CommunicatorError> {
        unimplemented!()
    }

    async fn download_directory(&self, _: &str, _: &Path) -> Result<(), CommunicatorError> {
        unimplemented!()
    }

    async fn close(&self) {}
}

/// Nothing outside is asked.
struct NoData;

#[async_trait]
impl DataSources for NoData {
    async fn read(&self, _: &str, _: &Decoded) -> Result<Value, Complaint> {
        unimplemented!()
    }

    async fn ask(&self, _: &str, _: &[Value]) -> Result<Value, NoAnswer> {
        unimplemented!()
    }
}

/// A user who gives these answers.
#[derive(Default)]
struct Answers(Mutex<VecDeque<String>>);

#[async_trait]
impl User for Answers {
    fn is_there(&self) -> bool {
        !self.0.lock().unwrap().is_empty()
    }

    async fn line(&self) -> Option<String> {
        self.0.lock().unwrap().pop_front()
    }
}

/// A run that can be made.
pub(crate) struct Bench {
    pub(crate) world: Arc<World>,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) cancel: Cancel,
    pub(crate) canceller: Canceller,
    pub(crate) on_error: OnError,
    pub(crate) answers: Vec<&'static str>,
    pub(crate) parallel_builds: usize,
}

/// What a run came to.
pub(crate) struct Ran {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) events: Vec<Event>,
    pub(crate) took: Duration,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let world = Arc::<World>::default();
        WORLD.set(Arc::clone(&world));
        let (canceller, cancel) = cancellation();
        Self {
            world,
            directory: tempfile::tempdir().unwrap(),
            cancel,
            canceller,
            on_error: OnError::CleanUp,
            answers: Vec::new(),
            parallel_builds: 0,
        }
    }

    pub(crate) fn registry() -> Registry {
        Registry::new(&[COMPONENTS])
    }

    async fn plan(&self, template: &str) -> Plan {
        let template_directory = tempfile::tempdir().unwrap();
        std::fs::write(template_directory.path().join("t.pkr.hcl"), template).unwrap();
        let invocation = Invocation {
            path: "t.pkr.hcl".into(),
            stdin: None,
            config_type: None,
            variables: Vec::new(),
            variable_files: Vec::new(),
            only: Vec::new(),
            except: Vec::new(),
            environment: BTreeMap::new(),
            working_directory: template_directory.path().to_owned(),
            home_directory: None,
            started: SystemTime::now(),
            purpose: Purpose::Build,
            undeclared: UndeclaredVariables::Ignore,
        };
        let (mut sources, mut diagnostics) = (SourceMap::default(), Diagnostics::default());
        let template = read(&invocation, &mut sources, &mut diagnostics).unwrap();
        let plan = template.plan(&Self::registry(), &NoData, &mut diagnostics).await;
        assert!(!diagnostics.has_errors(), "{diagnostics:?}");
        plan
    }

    /// Where journals are.
    pub(crate) fn journals(&self) -> Journals {
        Journals::own(self.directory.path().join("journal"))
    }

    /// How many journals are left.
    pub(crate) fn journals_left(&self) -> usize {
        std::fs::read_dir(self.directory.path().join("journal")).map_or(0, Iterator::count)
    }

    /// Removes what runs have left.
    pub(crate) async fn collect(&self, owners: &[Arc<dyn Undo>]) -> Vec<Collected> {
        let mut collected = Vec::new();
        let refused = gc::collect(&self.journals(), owners, &self.cancel, |one| collected.push(one)).await;
        assert!(refused.unwrap().is_empty());
        collected
    }

    /// Bakes a template of this body of a build, with a source that makes these things.
    pub(crate) async fn bake(&self, source: &str, build: &str) -> Ran {
        let template = format!(
            "source \"fake\" \"a\" {{\n  {source}\n}}\nbuild {{\n  sources = [\"source.fake.a\"]\n{build}\n}}\n"
        );
        self.run(&template).await
    }

    pub(crate) async fn run(&self, template: &str) -> Ran {
        let plan = self.plan(template).await;
        let journal = Arc::new(Journal::new(self.journals(), "run-1"));
        let answers: VecDeque<String> = self.answers.iter().map(|&answer| answer.to_owned()).collect();
        let settings = Settings {
            parallel_builds: self.parallel_builds,
            policy: FailurePolicy {
                on_error: self.on_error,
                user: Arc::new(Answers(Mutex::new(answers))),
            },
            run: RunContext {
                id: "run-1".into(),
                working_directory: self.directory.path().to_owned(),
                temporary_directory: self.directory.path().to_owned(),
                home_directory: None,
                force: false,
                debug: false,
                environment: Arc::default(),
                private_files: PrivateFiles::default(),
            },
            journal: Arc::clone(&journal),
        };
        let (sender, receiver) = channel();
        let started = tokio::time::Instant::now();
        let outcomes = run::run(plan, &Self::registry(), settings, &Events::new(sender), &self.cancel).await;
        let took = started.elapsed();
        journal.close().unwrap();
        Ran {
            outcomes,
            events: receiver.try_iter().collect(),
            took,
        }
    }
}

impl Ran {
    /// The one outcome's error.
    pub(crate) fn error(&self) -> &Error {
        self.outcomes[0].result.as_ref().unwrap_err()
    }

    /// The ids of the one outcome's artifacts.
    pub(crate) fn artifacts(&self) -> Vec<&str> {
        let artifacts = self.outcomes[0].result.as_ref().unwrap();
        artifacts.iter().map(|artifact| artifact.id.as_str()).collect()
    }

    /// What was reported of this level.
    pub(crate) fn messages(&self, level: Level) -> Vec<&str> {
        let messages = self.events.iter().filter_map(|event| match &event.what {
            What::Message(message) if message.level == level => Some(message.text.as_str()),
            _ => None,
        });
        messages.collect()
    }

    /// The builds to which this happened, in order.
    pub(crate) fn builds(&self, happened: impl Fn(&BuildEvent) -> bool) -> Vec<&str> {
        let builds = self.events.iter().filter_map(|event| match &event.what {
            What::Build(what) if happened(what) => event.build.as_deref(),
            _ => None,
        });
        builds.collect()
    }
}
