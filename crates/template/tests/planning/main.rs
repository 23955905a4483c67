//! Templates planned in process: what people read when something is wrong, what is kept for bake time, what is hidden, and that no
//! text makes it panic or hang.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../golden/components.rs"]
mod components;
mod diagnostics;
mod hostile;
mod legacy;
mod messages;
mod options;
mod plans;
mod secrets;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bakelite_hcl::diagnostic::{Diagnostics, Severity};
use bakelite_hcl::source::SourceMap;
use bakelite_template::plan::Plan;
use bakelite_template::{Invocation, Purpose, UndeclaredVariables, read};
use components::{TestComponents, TestData};

/// A directory with files, and what is given on the command line.
pub(crate) struct Case {
    directory: tempfile::TempDir,
    pub(crate) invocation: Invocation,
}

/// What planning came to.
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    pub(crate) shown: String,
}

impl Case {
    /// One file, named `t.pkr.hcl` or `t.json` by what it looks like.
    pub(crate) fn new(text: &str) -> Self {
        let name = if text.trim_start().starts_with('{') {
            "t.json"
        } else {
            "t.pkr.hcl"
        };
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(name), text).unwrap();
        let invocation = Invocation {
            path: name.to_owned(),
            stdin: None,
            config_type: None,
            variables: Vec::new(),
            variable_files: Vec::new(),
            only: Vec::new(),
            except: Vec::new(),
            environment: BTreeMap::new(),
            working_directory: directory.path().to_owned(),
            home_directory: Some(PathBuf::from("/home/user")),
            started: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
            purpose: Purpose::Build,
            undeclared: UndeclaredVariables::Warn,
        };
        Self { directory, invocation }
    }

    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.directory.path().join(name), text).unwrap();
        self
    }

    pub(crate) fn plan(&self) -> Planned {
        let mut sources = SourceMap::default();
        let mut diagnostics = Diagnostics::default();
        let template = read(&self.invocation, &mut sources, &mut diagnostics);
        let mut plan = Plan::default();
        if let Some(template) = template {
            let components = TestComponents::new(self.directory.path());
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            plan = runtime.block_on(can_be_spawned(template.plan(&components, &TestData, &mut diagnostics)));
        }
        Planned {
            plan,
            shown: show(&diagnostics, &sources),
        }
    }
}

/// Planning may run on any thread.
fn can_be_spawned<F: Future + Send>(future: F) -> F {
    future
}

/// Everything that a diagnostic says, one after the other.
pub(crate) fn show(diagnostics: &Diagnostics, sources: &SourceMap) -> String {
    let mut out = String::new();
    for one in diagnostics {
        let severity = if one.severity == Severity::Error {
            "error"
        } else {
            "warning"
        };
        let place = one
            .place
            .map(|place| format!(" at {}", sources.describe(place)))
            .unwrap_or_default();
        let _ = writeln!(out, "{severity}{place}: {}", one.summary);
        if !one.detail.is_empty() {
            let _ = writeln!(out, "    {}", one.detail);
        }
        for (place, what) in &one.related {
            let _ = writeln!(out, "    {what}: {}", sources.describe(*place));
        }
        if let Some(help) = &one.help {
            let _ = writeln!(out, "    help: {help}");
        }
    }
    out
}
