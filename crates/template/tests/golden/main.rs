//! Recorded cases of `validate`, `inspect` and `console`, run in process: exit code, places of diagnostics, what is printed.
//! Components are stand-ins with the options that the cases use; the whole binary is held against all cases elsewhere.

mod components;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bakelite_hcl::diagnostic::Diagnostics;
use bakelite_hcl::source::{Place, SourceMap};
use bakelite_template::console::Reply;
use bakelite_template::{ConfigType, Inspected, Invocation, Purpose, UndeclaredVariables, read};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value as Json;

use components::{TestComponents, TestData};

fn main() {
    let arguments = Arguments::from_args();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/templates.jsonl");
    let text = fs::read_to_string(&corpus).unwrap_or_default();
    let cases = text.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
    let deviations = fs::read_to_string(corpus.with_file_name("deviations.txt")).unwrap_or_default();
    let deviations: Vec<&str> = deviations
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, _)| name)
        .collect();
    let trials: Vec<Trial> = cases
        .filter_map(|case| {
            let name = case["name"].as_str()?.to_owned();
            if deviations.contains(&name.as_str()) {
                return None;
            }
            let command = Command::parse(&case)?;
            Some(Trial::test(name, move || run(&case, command)))
        })
        .collect();
    assert!(trials.len() > 250, "the corpus is not there");
    libtest_mimic::run(&arguments, trials).exit();
}

/// A command line of a case that needs no binary.
struct Command {
    purpose: Purpose,
    undeclared: UndeclaredVariables,
    path: String,
    config_type: Option<ConfigType>,
    variables: Vec<(String, String)>,
    variable_files: Vec<String>,
    only: Vec<String>,
    except: Vec<String>,
    is_machine_readable: bool,
}

impl Command {
    fn parse(case: &Json) -> Option<Self> {
        let args: Vec<&str> = case["args"].as_array()?.iter().filter_map(Json::as_str).collect();
        let mut command = Self {
            purpose: match *args.first()? {
                "validate" => Purpose::Validate {
                    syntax_only: false,
                    evaluate_data: false,
                },
                "inspect" => Purpose::Inspect { evaluate_data: false },
                "console" => Purpose::Console,
                "hcl2_upgrade" => Purpose::Init,
                "build" if case["expect"].get("places").is_some() => Purpose::Build,
                _ => return None,
            },
            undeclared: UndeclaredVariables::Ignore,
            path: String::new(),
            config_type: None,
            variables: Vec::new(),
            variable_files: Vec::new(),
            only: Vec::new(),
            except: Vec::new(),
            is_machine_readable: false,
        };
        if matches!(command.purpose, Purpose::Validate { .. }) {
            command.undeclared = UndeclaredVariables::Warn;
        }
        let mut rest = args.into_iter().skip(1);
        while let Some(argument) = rest.next() {
            let (flag, value) = argument.split_once('=').unwrap_or((argument, ""));
            match (flag, &mut command.purpose) {
                ("-h", _) => return None,
                ("-syntax-only", Purpose::Validate { syntax_only, .. }) => *syntax_only = true,
                ("-evaluate-datasources", Purpose::Validate { evaluate_data, .. }) => *evaluate_data = true,
                ("-no-warn-undeclared-var", _) => command.undeclared = UndeclaredVariables::Ignore,
                ("-config-type", _) => command.config_type = Some(ConfigType::Hcl2),
                ("-machine-readable", _) => command.is_machine_readable = true,
                ("-var-file", _) => command.variable_files.push(value.to_owned()),
                ("-only", _) => command.only.push(value.to_owned()),
                ("-except", _) => command.except.push(value.to_owned()),
                ("-var", _) => {
                    let (name, value) = rest.next()?.split_once('=')?;
                    command.variables.push((name.to_owned(), value.to_owned()));
                }
                ("-color" | "-use-sequential-evaluation" | "-output-file" | "-with-annotations", _) => {}
                _ if argument.starts_with('-') => return None,
                _ => argument.clone_into(&mut command.path),
            }
        }
        let needs_path = matches!(command.purpose, Purpose::Validate { .. } | Purpose::Build);
        (!command.path.is_empty() || !needs_path).then_some(command)
    }
}

fn run(case: &Json, command: Command) -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    let directory = scratch.path().join("case");
    fs::create_dir_all(&directory)?;
    for (path, text) in case["files"].as_object().into_iter().flatten() {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&directory))?;
        fs::write(path, text.as_str().unwrap_or_default())?;
    }
    let ran = execute(case, command, &directory);
    let mut bad = Vec::new();
    let expected = &case["expect"];
    if Some(ran.exit_code) != expected["exit_code"].as_i64() {
        bad.push(format!(
            "exit code {}, expected {}",
            ran.exit_code, expected["exit_code"]
        ));
    }
    for place in expected["places"].as_array().into_iter().flatten() {
        let (file, line) = (
            place[1].as_str().unwrap_or_default(),
            place[2].as_u64().unwrap_or_default(),
        );
        if !ran.places.contains(&(file.to_owned(), line)) {
            bad.push(format!("no {} placed at {file}:{line}", place[0]));
        }
    }
    let written = expected["files"].as_object().into_iter().flatten().next();
    if let (true, Some((_, text))) = (expected["ignore_comments"] == true, written) {
        let text = text.as_str().unwrap_or_default();
        let upgraded = without_comments(&ran.upgraded);
        if upgraded != without_comments(text) {
            bad.push(format!("expected\n{text}\nwritten\n{upgraded}"));
        }
    }
    if let Some(stdout) = expected.get("stdout").and_then(Json::as_str)
        && stdout != ran.stdout
    {
        bad.push(format!("expected {stdout:?}\n printed {:?}", ran.stdout));
    }
    if bad.is_empty() {
        Ok(())
    } else {
        Err(format!("{}\n{}", bad.join("\n"), ran.diagnostics).into())
    }
}

fn without_comments(text: &str) -> String {
    let is_content = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with('#');
    text.lines().filter(is_content).collect::<Vec<_>>().join("\n")
}

#[derive(Default)]
struct Ran {
    exit_code: i64,
    stdout: String,
    places: Vec<(String, u64)>,
    diagnostics: String,
    upgraded: String,
}

fn execute(case: &Json, command: Command, directory: &Path) -> Ran {
    let environment: BTreeMap<String, String> = case["env"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect();
    let stdin = case["stdin"].as_str().map(str::to_owned);
    let is_machine_readable = command.is_machine_readable;
    let invocation = Invocation {
        path: command.path,
        stdin: stdin.clone(),
        config_type: command.config_type,
        variables: command.variables,
        variable_files: command.variable_files,
        only: command.only,
        except: command.except,
        environment,
        working_directory: directory.to_owned(),
        home_directory: Some(PathBuf::from("/root")),
        started: SystemTime::now(),
        purpose: command.purpose,
        undeclared: command.undeclared,
    };
    let mut sources = SourceMap::default();
    let mut diagnostics = Diagnostics::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let components = TestComponents::new(directory);
    let mut ran = Ran::default();
    let template = read(&invocation, &mut sources, &mut diagnostics);
    if let Some(template) = template {
        match invocation.purpose {
            Purpose::Validate { syntax_only: true, .. } => {}
            Purpose::Init => ran.upgraded = template.upgrade(&components, true).unwrap_or_default(),
            Purpose::Validate { .. } | Purpose::Build => {
                runtime.block_on(template.plan(&components, &TestData, &mut diagnostics));
            }
            Purpose::Inspect { .. } => {
                for inspected in runtime.block_on(template.inspect(&components, None)) {
                    let Inspected::Message(message) = inspected else {
                        continue;
                    };
                    let line = if is_machine_readable {
                        format!(
                            "<UNIX>,,ui,say,{}\n",
                            message.replace('\n', "\\n").replace(',', "%!(PACKER_COMMA)")
                        )
                    } else {
                        format!("{message}\n")
                    };
                    ran.stdout.push_str(&line);
                }
            }
            Purpose::Console => {
                let console = runtime.block_on(template.console(&components, &TestData));
                let mut last = String::new();
                for line in stdin.unwrap_or_default().lines() {
                    let mut found = Diagnostics::default();
                    let reply = runtime.block_on(console.evaluate(line, &TestData, &mut sources, &mut found));
                    match reply {
                        Some(Reply::Text(text)) => last = text,
                        Some(Reply::Exit | Reply::Help) => last = String::new(),
                        None => {}
                    }
                    diagnostics.extend(found);
                }
                ran.stdout = format!("{last}\n");
            }
        }
    }
    ran.exit_code = i64::from(diagnostics.has_errors());
    for diagnostic in &diagnostics {
        let related = diagnostic.related.iter().map(|(place, _)| *place);
        for place in diagnostic.place.into_iter().chain(related) {
            ran.places.extend(lines(place, &sources));
        }
        let place = diagnostic
            .place
            .map(|place| sources.describe(place))
            .unwrap_or_default();
        let _ = writeln!(ran.diagnostics, "{place} {}: {}", diagnostic.summary, diagnostic.detail);
    }
    ran
}

/// File name and line of the start of a place.
fn lines(place: Place, sources: &SourceMap) -> Option<(String, u64)> {
    let described = sources.describe(place);
    let mut parts = described.rsplitn(3, ':');
    let (_column, line, file) = (parts.next()?, parts.next()?, parts.next()?);
    let file = Path::new(file).file_name()?.to_str()?.to_owned();
    Some((file, line.parse().ok()?))
}
