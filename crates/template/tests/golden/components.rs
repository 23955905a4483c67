//! Stand-ins for components: options structs with the options and rules that the recorded cases touch.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bakelite_hcl::scope::NoAnswer;
use bakelite_hcl::types::Type;
use bakelite_hcl::value::Value;
use bakelite_template::component::{Complaint, Component, ComponentKind, Components, DataSources, Yields};
use bakelite_template::decode::Decoded;
use bakelite_template::duration::GoDuration;
use bakelite_template::schema::Schema;
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct NullBuilder {
    communicator: Option<String>,
    ssh_host: Option<String>,
    ssh_username: Option<String>,
    ssh_password: Option<String>,
    ssh_port: Option<u16>,
    #[serde(rename = "ssh_timeout")]
    _ssh_timeout: Option<GoDuration>,
}

#[derive(Deserialize, JsonSchema)]
struct FileBuilder {
    target: Option<String>,
    content: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
struct Shell {
    inline: Option<Vec<String>>,
    script: Option<String>,
    scripts: Option<Vec<String>>,
    command: Option<String>,
    environment_vars: Option<Vec<String>>,
    #[serde(rename = "env")]
    _env: Option<BTreeMap<String, String>>,
    #[serde(rename = "only_on")]
    _only_on: Option<Vec<String>>,
    #[schemars(extend("x-late" = true))]
    #[serde(rename = "execute_command")]
    _execute_command: Option<serde_json::Value>,
    #[serde(rename = "valid_exit_codes")]
    _valid_exit_codes: Option<Vec<i32>>,
}

#[derive(Deserialize, JsonSchema)]
struct FileProvisioner {
    source: Option<String>,
    sources: Option<Vec<String>>,
    content: Option<String>,
    destination: Option<String>,
    direction: Option<String>,
    generated: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
struct Breakpoint {
    #[serde(rename = "disable")]
    _disable: Option<bool>,
    #[serde(rename = "note")]
    _note: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
struct Manifest {
    #[serde(rename = "output")]
    _output: Option<String>,
    #[serde(rename = "strip_path")]
    _strip_path: Option<bool>,
    #[serde(rename = "custom_data")]
    _custom_data: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize, JsonSchema)]
struct Anything {
    #[serde(rename = "output")]
    _output: Option<String>,
    #[serde(rename = "files")]
    _files: Option<Vec<String>>,
}

/// A component with an option of each sort that decoding treats in its own way.
#[derive(Deserialize, JsonSchema)]
struct Typed {
    /// Where the result goes.
    target: String,
    mode: Mode,
    note: Option<String>,
    size: Option<u8>,
    #[schemars(extend("x-unsupported" = "nothing is copied"))]
    #[serde(rename = "copies")]
    _copies: Option<serde_json::Value>,
    #[serde(rename = "tags", default)]
    _tags: BTreeMap<String, String>,
    #[schemars(extend("pattern" = "^(any|pin:[0-9]+)$", "x-must-be" = "`any` or `pin:NUMBER`"))]
    #[serde(rename = "pin")]
    _pin: Option<String>,
    #[serde(default)]
    words: Vec<String>,
    #[serde(default)]
    part: Vec<Part>,
}

#[derive(Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
#[schemars(extend("x-any-case" = true))]
enum Mode {
    /// At once.
    #[schemars(extend("x-aliases" = ["0"]))]
    Fast,
    /// With care.
    VerySlow,
    /// Over night.
    #[schemars(extend("x-unsupported" = "nights are not supported"))]
    Nightly,
}

#[derive(Deserialize, JsonSchema)]
struct Part {
    /// What the part is called.
    #[serde(rename = "name")]
    _name: String,
    label: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
struct NullData {
    input: Option<String>,
}

fn null_output() -> Type {
    Type::object([("output", Type::String)])
}

macro_rules! component {
    ($kind:ident, $name:literal, $options:ty, $yields:expr) => {
        Component {
            kind: ComponentKind::$kind,
            name: $name,
            doc: "A stand-in.",
            schema: Schema::of::<$options>,
            yields: $yields,
        }
    };
}

const COMPONENTS: &[Component] = &[
    component!(Builder, "null", NullBuilder, Yields::BuildData(&[])),
    component!(Builder, "file", FileBuilder, Yields::BuildData(&[])),
    component!(Provisioner, "breakpoint", Breakpoint, Yields::Nothing),
    component!(Provisioner, "file", FileProvisioner, Yields::Nothing),
    component!(Provisioner, "shell", Shell, Yields::Nothing),
    component!(Provisioner, "shell-local", Shell, Yields::Nothing),
    component!(Provisioner, "typed", Typed, Yields::Nothing),
    component!(PostProcessor, "artifice", Anything, Yields::Nothing),
    component!(PostProcessor, "checksum", Anything, Yields::Nothing),
    component!(PostProcessor, "compress", Anything, Yields::Nothing),
    component!(PostProcessor, "manifest", Manifest, Yields::Nothing),
    component!(PostProcessor, "shell-local", Shell, Yields::Nothing),
    component!(DataSource, "null", NullData, Yields::Data(null_output)),
];

/// The stand-ins.
pub(crate) struct TestComponents {
    directory: PathBuf,
}

impl TestComponents {
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }
}

impl Components for TestComponents {
    fn find(&self, kind: ComponentKind, name: &str) -> Option<&Component> {
        COMPONENTS
            .iter()
            .find(|component| component.kind == kind && component.name == name)
    }

    fn names(&self, kind: ComponentKind) -> Vec<&'static str> {
        COMPONENTS
            .iter()
            .filter(|component| component.kind == kind)
            .map(|component| component.name)
            .collect()
    }

    fn check(&self, kind: ComponentKind, name: &str, options: &Decoded) -> Vec<Complaint> {
        let checked = match (kind, name) {
            (ComponentKind::Builder, "null") => options.options().map(|options| null_builder(&options)),
            (ComponentKind::Builder, "file") => options.options().map(|options| file_builder(&options)),
            (ComponentKind::Provisioner, "file") => options
                .options()
                .map(|options| file_provisioner(&options, &self.directory)),
            (ComponentKind::Provisioner, "typed") => options.options().map(|options| typed(&options)),
            (ComponentKind::DataSource, "null") => options.options().map(|options| null_data(&options)),
            (_, "shell" | "shell-local") => options.options().map(|options| shell(&options, &self.directory)),
            _ => Ok(Vec::new()),
        };
        checked.unwrap_or_else(|error| vec![Complaint::error("", error.to_string())])
    }
}

fn null_builder(options: &NullBuilder) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    if options.communicator.as_deref().unwrap_or("ssh") == "ssh" {
        if options.ssh_host.is_none() {
            complaints.push(Complaint::error("", "no host"));
        }
        if options.ssh_username.is_none() || options.ssh_password.is_none() {
            complaints.push(Complaint::error(
                "ssh_port",
                format!("no way to log in at port {:?}", options.ssh_port),
            ));
        }
    }
    complaints
}

fn file_builder(options: &FileBuilder) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    if options.target.is_none() {
        complaints.push(Complaint::error("", "no target"));
    }
    match (&options.content, &options.source) {
        (Some(_), Some(_)) => complaints.push(Complaint::error("content", "both content and source")),
        (None, None) => complaints.push(Complaint::warning("", "the file will be empty")),
        _ => {}
    }
    complaints
}

fn shell(options: &Shell, directory: &Path) -> Vec<Complaint> {
    let inline = options.inline.as_ref().is_some_and(|lines| !lines.is_empty());
    let scripts: Vec<&String> = options.script.iter().chain(options.scripts.iter().flatten()).collect();
    let given = usize::from(inline) + usize::from(!scripts.is_empty()) + usize::from(options.command.is_some());
    let mut complaints = Vec::new();
    if given != 1 {
        complaints.push(Complaint::error(
            "",
            format!("{given} of inline, script, scripts and command are given"),
        ));
    }
    for script in scripts {
        if !directory.join(script).is_file() {
            complaints.push(Complaint::error("script", format!("there is no `{script}`")));
        }
    }
    for pair in options.environment_vars.iter().flatten() {
        if !pair.contains('=') {
            complaints.push(Complaint::error(
                "environment_vars",
                format!("`{pair}` is not NAME=VALUE"),
            ));
        }
    }
    complaints
}

fn file_provisioner(options: &FileProvisioner, directory: &Path) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    if options.destination.is_none() {
        complaints.push(Complaint::error("", "no destination"));
    }
    if options.content.is_some() && options.source.is_some() {
        complaints.push(Complaint::error("content", "both source and content"));
    }
    if !matches!(options.direction.as_deref(), None | Some("upload" | "download")) {
        complaints.push(Complaint::error("direction", "neither upload nor download"));
    }
    for source in options.source.iter().chain(options.sources.iter().flatten()) {
        if options.generated != Some(true) && !directory.join(source).exists() {
            complaints.push(Complaint::error("source", format!("there is no `{source}`")));
        }
    }
    complaints
}

fn typed(options: &Typed) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    if options.target.is_empty() {
        complaints.push(Complaint::error("target", "is empty"));
    }
    if options.note.as_deref() == Some("") || options.note.is_none() && options.size.is_none() {
        complaints.push(Complaint::error("", "`note` or `size` must be given"));
    }
    if options.mode == Mode::VerySlow && options.size.is_none() {
        complaints.push(Complaint::error("mode", "needs `size = 1` or more"));
    }
    if options.words.is_empty() {
        complaints.push(Complaint::warning("words", "there are no words"));
    }
    for (index, part) in options.part.iter().enumerate() {
        if part.label.is_none() {
            complaints.push(Complaint::error(format!("part[{index}].name"), "goes with `label`"));
        }
    }
    complaints
}

fn null_data(options: &NullData) -> Vec<Complaint> {
    if options.input.is_some() {
        Vec::new()
    } else {
        vec![Complaint::error("", "no input")]
    }
}

/// Reads the `null` data source.
pub(crate) struct TestData;

#[async_trait]
impl DataSources for TestData {
    async fn read(&self, name: &str, options: &Decoded) -> Result<Value, Complaint> {
        let input = options
            .options
            .get("input")
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default();
        if name == "null" {
            Ok(Value::object([("output", Value::string(input))]))
        } else {
            Err(Complaint::error("", "no such data source"))
        }
    }

    async fn ask(&self, function: &str, _: &[Value]) -> Result<Value, NoAnswer> {
        Err(format!("`{function}` has no server here").into())
    }
}
