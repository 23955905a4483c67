//! What the unit tests of this directory have in common.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bakelite_engine::provisioner::RunContext;
use bakelite_hcl::value::Value;
use bakelite_template::gotemplate::Rendering;
use bakelite_template::plan::BuildData;

use super::options::AnsibleOptions;
use super::reach::Reach;

pub(crate) fn options(json: &str) -> AnsibleOptions {
    let mut options: serde_json::Value = serde_json::from_str(json).unwrap();
    options["playbook_file"] = "play.yml".into();
    serde_json::from_value(options).unwrap()
}

pub(crate) fn reach() -> Reach {
    Reach {
        host: "127.0.0.1".into(),
        port: 2222,
        user: "me".into(),
        instance_speaks_ssh: true,
        ..Reach::default()
    }
}

pub(crate) fn rendering() -> Rendering {
    let mut rendering = Rendering::new("web", "null", PathBuf::from("/work"), SystemTime::UNIX_EPOCH);
    rendering.fields = serde_json::from_str(r#"{"ID": "i-1"}"#).unwrap();
    rendering.set_build_data(BTreeMap::new());
    rendering
}

pub(crate) fn data(known: &[(&str, &str)]) -> BuildData {
    known
        .iter()
        .map(|(key, value)| ((*key).to_owned(), Value::string(*value)))
        .collect()
}

pub(crate) fn run(temporary_directory: &Path) -> RunContext {
    RunContext {
        id: "run-id".into(),
        working_directory: PathBuf::from("/work"),
        temporary_directory: temporary_directory.to_owned(),
        home_directory: Some(PathBuf::from("/home/me")),
        force: false,
        debug: false,
        environment: Arc::new(BTreeMap::new()),
        private_files: bakelite_engine::private_file::PrivateFiles::default(),
    }
}
