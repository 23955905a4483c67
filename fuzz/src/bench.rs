//! Tries inputs on what reads them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bakelite_hcl::diagnostic::Diagnostics;
use bakelite_hcl::evaluate::{evaluate, literal, references};
use bakelite_hcl::functions::Functions;
use bakelite_hcl::marks::Marks;
use bakelite_hcl::native::parse_expression;
use bakelite_hcl::scope::{EvalContext, Externals, NoAnswer, Scope};
use bakelite_hcl::source::SourceMap;
use bakelite_hcl::types::Type;
use bakelite_hcl::value::Value;
use bakelite_local::fuzzing::Desk;
use bakelite_template::plan::Plan;
use bakelite_template::{Invocation, Purpose, UndeclaredVariables, read};
use tokio::runtime::Runtime;

use crate::components::{TestComponents, TestData};
use crate::hostile;
use crate::reached::Reached;
use crate::target::Target;

/// A directory, a runtime, a cloud and values to try inputs with.
pub struct Bench {
    directory: PathBuf,
    runtime: Runtime,
    desk: Desk,
    functions: Functions,
    values: BTreeMap<&'static str, Value>,
}

impl Bench {
    /// Works in an empty directory.
    pub fn new(directory: &Path) -> std::io::Result<Self> {
        std::fs::write(directory.join("t.tpl"), "%{ for x in v }${x}%{ endfor }")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let desk = runtime.block_on(Desk::open(&directory.join("cloud")));
        Ok(Self {
            directory: directory.to_owned(),
            desk: desk.map_err(std::io::Error::other)?,
            runtime,
            functions: bakelite_template::functions::standard(),
            values: BTreeMap::from([("var", variables()), ("local", Value::object([("a", Value::int(1))]))]),
        })
    }

    /// The names of all functions.
    pub fn functions(&self) -> Vec<&'static str> {
        self.functions.names().collect()
    }

    /// Tries an input.
    pub fn try_out(&self, target: Target, input: &[u8]) -> Reached {
        let mut reached = Reached::default();
        if target.is_of_a_peer() {
            let said = hostile::received(&self.directory, &self.runtime, target, input);
            for part in said.split("; ") {
                reached.said(part);
            }
            return reached;
        }
        match target {
            Target::Expression => self.expression(&String::from_utf8_lossy(input), &mut reached),
            Target::Template => {
                self.template("t.pkr.hcl", input, &mut reached);
                formatting(&String::from_utf8_lossy(input));
            }
            Target::Json => {
                self.template("t.json", input, &mut reached);
                self.template("t.pkr.json", input, &mut reached);
                if let Ok(fixed) = bakelite_template::legacy::fix(&String::from_utf8_lossy(input)) {
                    reached.note(("fixed", fixed.len().min(50)));
                }
            }
            Target::Tar | Target::Scp | Target::Sftp | Target::Greeting | Target::WinRm => {}
            Target::Query => reached.answer(&self.runtime.block_on(self.desk.query(input)), input),
            Target::Services => reached.answer(&self.desk.services(input), input),
            Target::Signature => reached.answer(&bakelite_local::fuzzing::signature(input), input),
            Target::DataClient => reached.answer(&self.runtime.block_on(bakelite_ssm::fuzzing::client(input)), input),
            Target::DataAgent => reached.answer(&self.runtime.block_on(bakelite_ssm::fuzzing::agent(input)), input),
        }
        reached
    }

    fn expression(&self, text: &str, reached: &mut Reached) {
        let mut sources = SourceMap::default();
        let file = sources.add("<input>", text);
        let mut diagnostics = Diagnostics::default();
        let expression = parse_expression(text, file, 0, &mut diagnostics);
        reached.note(("references", references(&expression).len().min(4)));
        let scope = Names {
            bench: self,
            eval_context: EvalContext {
                base_directory: self.directory.clone(),
                working_directory: self.directory.clone(),
                home_directory: None,
                started: SystemTime::UNIX_EPOCH,
                externals: &Silent,
            },
        };
        let value = evaluate(&expression, &scope, &mut diagnostics);
        reached.complaints(&diagnostics);
        if !diagnostics.has_errors() {
            let kind: String = value.type_of().to_string().chars().take(60).collect();
            reached.note((kind, value.is_null(), value.is_wholly_known()));
            let shown = bakelite_template::display(&value);
            reached.note(("length", shown.len().min(1000).ilog2_or_zero()));
        }
        literal(&expression, &mut Diagnostics::default());
        for complaint in &diagnostics {
            for place in complaint
                .place
                .iter()
                .chain(complaint.related.iter().map(|(place, _)| place))
            {
                sources.describe(*place);
            }
        }
    }

    fn template(&self, name: &str, input: &[u8], reached: &mut Reached) {
        let path = self.directory.join(name);
        if std::fs::write(&path, input).is_err() {
            return;
        }
        let invocation = Invocation {
            path: name.to_owned(),
            stdin: None,
            config_type: None,
            variables: Vec::new(),
            variable_files: Vec::new(),
            only: Vec::new(),
            except: Vec::new(),
            environment: BTreeMap::from([("HOME".to_owned(), "/home/user".to_owned())]),
            working_directory: self.directory.clone(),
            home_directory: None,
            started: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
            purpose: Purpose::Build,
            undeclared: UndeclaredVariables::Warn,
        };
        let mut sources = SourceMap::default();
        let mut diagnostics = Diagnostics::default();
        let template = read(&invocation, &mut sources, &mut diagnostics);
        let mut plan = Plan::default();
        if let Some(template) = &template {
            let components = TestComponents::new(&self.directory);
            plan = self
                .runtime
                .block_on(template.plan(&components, &TestData, &mut diagnostics));
            let inspected = self.runtime.block_on(template.inspect(&components, None));
            reached.note(("inspected", inspected.len()));
            reached.note(template.upgrade(&components, true).is_some());
        }
        reached.complaints(&diagnostics);
        reached.note((name, "builds", plan.builds.len().min(4)));
        let data = BTreeMap::from([("ID".to_owned(), Value::string("i-1"))]);
        for step in plan.builds.iter().flat_map(|build| &build.provisioners) {
            if let Err(more) = step.options.decode(&data) {
                reached.complaints(&more);
            }
        }
        for complaint in &diagnostics {
            for place in complaint
                .place
                .iter()
                .chain(complaint.related.iter().map(|(place, _)| place))
            {
                sources.describe(*place);
            }
        }
        let _ = std::fs::remove_file(path);
    }
}

/// What is formatted stays so when it is formatted again, if it can be parsed.
fn formatting(text: &str) {
    let once = bakelite_hcl::fmt::format(text);
    let mut diagnostics = Diagnostics::default();
    let file = SourceMap::default().add("t.pkr.hcl", text);
    bakelite_hcl::native::parse_file(text, file, &mut diagnostics);
    if !diagnostics.has_errors() {
        let twice = bakelite_hcl::fmt::format(&once);
        assert_eq!(once, twice, "formatting is not stable");
    }
}

/// Values of all kinds.
fn variables() -> Value {
    let list = Value::list(Type::String, vec![Value::string("b"), Value::string("a")]);
    Value::object([
        ("text", Value::string("hello, wörld")),
        ("number", Value::int(42)),
        ("list", list.clone()),
        ("map", Value::object([("a", Value::int(1)), ("b", Value::string("2"))])),
        ("set", Value::set(Type::Number, vec![Value::int(3), Value::int(1)])),
        ("secret", Value::string("hunter2").with_marks(Marks::SENSITIVE)),
        ("unknown", Value::unknown(Type::String)),
        ("nothing", Value::null(Type::Dynamic)),
        (
            "nested",
            Value::tuple(vec![list, Value::dynamic(), Value::unknown(Type::list(Type::Number))]),
        ),
    ])
}

struct Names<'b> {
    bench: &'b Bench,
    eval_context: EvalContext<'b>,
}

struct Silent;

impl Externals for Silent {
    fn ask(&self, function: &str, _: &[Value]) -> Result<Value, NoAnswer> {
        Err(format!("`{function}` is not answered").into())
    }
}

impl Scope for Names<'_> {
    fn root(&self, name: &str) -> Option<Value> {
        self.bench.values.get(name).cloned()
    }

    fn root_names(&self) -> Vec<String> {
        self.bench.values.keys().map(|name| (*name).to_owned()).collect()
    }

    fn functions(&self) -> Option<&Functions> {
        Some(&self.bench.functions)
    }

    fn eval_context(&self) -> &EvalContext<'_> {
        &self.eval_context
    }
}

trait OrZero {
    fn ilog2_or_zero(self) -> u32;
}

impl OrZero for usize {
    fn ilog2_or_zero(self) -> u32 {
        self.checked_ilog2().unwrap_or(0)
    }
}
