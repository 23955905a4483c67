//! What shell-like components have in common: which scripts they run (inline | script | scripts), with which variables, and where an
//! inline script is kept while it runs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bakelite_engine::error::Explain;
use bakelite_engine::private_file::{Naming, PrivateFile};
use bakelite_engine::provisioner::RunContext;
use bakelite_hcl::value::Value;
use bakelite_template::component::Complaint;
use bakelite_template::plan::BuildData;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a shell-like component runs, as options.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ScriptOptions {
    /// Lines of a script that is written here.
    pub inline: Vec<String>,
    /// Path of a script of this machine.
    pub script: Option<String>,
    /// Paths of scripts of this machine, run in this order.
    pub scripts: Vec<String>,
    /// Environment variables, as `NAME=value`.
    pub environment_vars: Vec<String>,
    /// Environment variables; they win over `environment_vars`.
    pub env: BTreeMap<String, String>,
    /// How a variable is written into the command, in Go's format syntax: name, then value.
    pub env_var_format: Option<String>,
    /// Exit statuses that count as success.
    pub valid_exit_codes: Vec<i64>,
}

impl Default for ScriptOptions {
    fn default() -> Self {
        Self {
            inline: Vec::new(),
            script: None,
            scripts: Vec::new(),
            environment_vars: Vec::new(),
            env: BTreeMap::new(),
            env_var_format: None,
            valid_exit_codes: vec![0],
        }
    }
}

/// How an inline script of a Unix shell starts, as an option.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Shebang {
    /// Interpreter of an inline script, without `#!`; default `/bin/sh -e`. When it is not given and the first line of `inline` starts
    /// with `#!`, that line is kept.
    pub inline_shebang: Option<String>,
}

impl Shebang {
    /// The lines as a script that starts as was wanted.
    fn script(&self, lines: &str) -> String {
        match &self.inline_shebang {
            None if lines.starts_with("#!") => lines.to_owned(),
            Some(interpreter) => format!("#!{interpreter}\n{lines}"),
            None => format!("#!/bin/sh -e\n{lines}"),
        }
    }
}

impl ScriptOptions {
    /// Complains about options that do not go together. `exists`: whether there is a script of this path.
    pub fn check(&self, complaints: &mut Vec<Complaint>, exists: impl Fn(&str) -> bool) {
        let given = [
            ("inline", !self.inline.is_empty()),
            ("script", self.script.is_some()),
            ("scripts", !self.scripts.is_empty()),
        ];
        let given: Vec<&str> = given
            .into_iter()
            .filter_map(|(name, given)| given.then_some(name))
            .collect();
        match given.as_slice() {
            [] => complaints.push(Complaint::error(
                "",
                "one of `inline`, `script` and `scripts` must be given",
            )),
            [_] => {}
            [_, second, ..] => {
                complaints.push(Complaint::error(
                    *second,
                    format!("`{}` cannot be given together", given.join("` and `")),
                ));
            }
        }
        for path in self.paths().filter(|path| !exists(path)) {
            let option = if self.script.is_some() { "script" } else { "scripts" };
            complaints.push(Complaint::error(option, format!("script `{path}` does not exist")));
        }
        for (index, text) in self.environment_vars.iter().enumerate() {
            if split_variable(text).is_none() {
                let name = format!("environment_vars[{index}]");
                complaints.push(Complaint::error(
                    name,
                    "environment variable is not of the form `NAME=value`",
                ));
            }
        }
    }

    /// The scripts in the order in which they run: paths, or the joined inline lines with this shebang.
    pub fn scripts(&self, shebang: &Shebang) -> Scripts {
        match self.inline_lines() {
            Some(lines) => Scripts::Inline(shebang.script(&lines)),
            None => Scripts::Files(self.paths().map(PathBuf::from).collect()),
        }
    }

    /// The inline lines as one string, if they are what runs.
    pub fn inline_lines(&self) -> Option<String> {
        (!self.inline.is_empty()).then(|| self.inline.join("\n") + "\n")
    }

    /// Paths of scripts of this machine as they were given, in the order in which they run.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.script.iter().chain(&self.scripts).map(String::as_str)
    }

    /// The user's variables, `env` over `environment_vars`, by name.
    pub fn user_variables(&self) -> BTreeMap<String, String> {
        let listed = self.environment_vars.iter().filter_map(|text| split_variable(text));
        let listed = listed.map(|(name, value)| (name.to_owned(), value.to_owned()));
        listed
            .chain(self.env.iter().map(|(name, value)| (name.clone(), value.clone())))
            .collect()
    }

    /// Does this exit status count as success? A lost connection does when its number is listed.
    pub fn is_valid_exit(&self, code: i64) -> bool {
        self.valid_exit_codes.contains(&code)
    }

    /// The error of a script that ended with this status.
    pub fn exit_error(&self, code: i64) -> ExitError {
        ExitError {
            code,
            allowed: self.valid_exit_codes.clone(),
        }
    }
}

/// The scripts of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scripts {
    /// The text of one, with its shebang.
    Inline(String),
    /// Files of this machine.
    Files(Vec<PathBuf>),
}

impl Scripts {
    /// Writes an inline script into a file that goes away with the answer; the files to run come with it.
    /// The file's name ends in `extension`.
    pub fn on_disk(self, run: &RunContext, extension: &str) -> std::io::Result<ScriptFiles> {
        match self {
            Scripts::Inline(text) => {
                // Scripts print their own name, and users know it by this one. It is closed before it runs: Linux executes no file
                // that is open for writing.
                let naming = Naming {
                    prefix: "packer-shell",
                    suffix: extension,
                    mode: 0o700,
                };
                let file = run
                    .private_files
                    .write(&run.temporary_directory, naming, text.as_bytes())?;
                Ok(ScriptFiles {
                    paths: vec![file.path().to_owned()],
                    _inline: Some(file),
                })
            }
            Scripts::Files(paths) => {
                let paths = paths.into_iter().map(|path| run.working_directory.join(path)).collect();
                Ok(ScriptFiles { paths, _inline: None })
            }
        }
    }
}

/// Scripts on this machine's disk; an inline one is removed when this value goes.
pub struct ScriptFiles {
    /// Where they are, absolute, in the order in which they run.
    pub paths: Vec<PathBuf>,
    _inline: Option<PrivateFile>,
}

/// A script ended with a status that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Script exited with non-zero exit status: {code}. Allowed exit codes are: [{}]", spaced(.allowed))]
pub struct ExitError {
    /// The status.
    pub code: i64,
    /// What is allowed.
    pub allowed: Vec<i64>,
}

impl Explain for ExitError {}

fn spaced(codes: &[i64]) -> String {
    codes.iter().map(i64::to_string).collect::<Vec<_>>().join(" ")
}

/// `PACKER_*` variables that every script of a build gets.
pub fn build_variables(build_name: &str, builder: &str, data: &BuildData) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::from([
        ("PACKER_BUILD_NAME".to_owned(), build_name.to_owned()),
        ("PACKER_BUILDER_TYPE".to_owned(), builder.to_owned()),
    ]);
    // Known only where the builder runs an HTTP server; others say so by a text that starts with ERR_.
    for (key, name) in [
        ("PackerHTTPAddr", "PACKER_HTTP_ADDR"),
        ("PackerHTTPIP", "PACKER_HTTP_IP"),
        ("PackerHTTPPort", "PACKER_HTTP_PORT"),
    ] {
        if let Some(value) = data
            .get(key)
            .and_then(Value::as_str)
            .filter(|value| !value.starts_with("ERR_"))
        {
            variables.insert(name.to_owned(), value.to_owned());
        }
    }
    variables
}

/// Writes variables into a command by a format of Go's: `%s='%s' `. Values are quoted for single quotes.
pub fn flatten(variables: &BTreeMap<String, String>, format: &str) -> String {
    flatten_with(variables, format, |value| value.replace('\'', r#"'"'"'"#))
}

/// The same with values quoted for another language.
pub fn flatten_with(variables: &BTreeMap<String, String>, format: &str, quote: impl Fn(&str) -> String) -> String {
    variables
        .iter()
        .map(|(name, value)| go_format(format, &[name, &quote(value)]))
        .collect()
}

/// `NAME=value`, split at the first `=`.
fn split_variable(text: &str) -> Option<(&str, &str)> {
    text.split_once('=').filter(|(name, _)| !name.is_empty())
}

/// Go's `Sprintf` for strings: `%s`, `%v`, `%q`, `%%` and numbered arguments such as `%[1]s`.
fn go_format(format: &str, arguments: &[&str]) -> String {
    let (mut text, mut next, mut rest) = (String::new(), 0, format);
    while let Some(at) = rest.find('%') {
        text.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + 1..).unwrap_or_default();
        if let Some((number, after)) = rest.strip_prefix('[').and_then(|numbered| numbered.split_once(']'))
            && let Ok(number) = number.parse::<usize>()
        {
            next = number.saturating_sub(1);
            rest = after;
        }
        let mut after = rest.chars();
        let verb = after.next();
        rest = after.as_str();
        if verb == Some('%') {
            text.push('%');
            continue;
        }
        let argument = arguments.get(next).copied();
        next += 1;
        let written = match (verb, argument) {
            (Some('s' | 'v'), Some(argument)) => argument.to_owned(),
            (Some('q'), Some(argument)) => format!("{argument:?}"),
            (Some(verb), Some(argument)) => format!("%!{verb}(string={argument})"),
            (Some(verb), None) => format!("%!{verb}(MISSING)"),
            (None, _) => "%!(NOVERB)".to_owned(),
        };
        text.push_str(&written);
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(json: &str) -> ScriptOptions {
        serde_json::from_str(json).unwrap()
    }

    fn complaints(json: &str) -> Vec<String> {
        let mut complaints = Vec::new();
        options(json).check(&mut complaints, |path| path == "there.sh");
        complaints
            .into_iter()
            .map(|complaint| format!("{}: {}", complaint.option, complaint.message))
            .collect()
    }

    #[test]
    fn exactly_one_kind_of_script_is_allowed() {
        assert_eq!(complaints(r#"{"inline": ["a"]}"#), Vec::<String>::new());
        assert_eq!(
            complaints(r#"{"scripts": ["there.sh"], "inline": []}"#),
            Vec::<String>::new()
        );
        assert_eq!(
            complaints("{}"),
            [": one of `inline`, `script` and `scripts` must be given"]
        );
        assert_eq!(
            complaints(r#"{"inline": [], "scripts": []}"#),
            [": one of `inline`, `script` and `scripts` must be given"]
        );
        assert_eq!(
            complaints(r#"{"inline": ["a"], "script": "there.sh"}"#),
            ["script: `inline` and `script` cannot be given together"]
        );
    }

    #[test]
    fn scripts_must_exist_and_variables_have_a_name() {
        assert_eq!(
            complaints(r#"{"script": "not.sh"}"#),
            ["script: script `not.sh` does not exist"]
        );
        let bad = complaints(r#"{"inline": ["a"], "environment_vars": ["A=1", "NOEQ", "=x"]}"#);
        assert_eq!(bad.len(), 2);
        assert!(bad[0].starts_with("environment_vars[1]: "), "{bad:?}");
    }

    #[test]
    fn an_inline_script_has_the_shebang_that_was_meant() {
        let shebang = |json| serde_json::from_str::<Shebang>(json).unwrap();
        let text = |json| match options(json).scripts(&shebang(json)) {
            Scripts::Inline(text) => text,
            Scripts::Files(_) => panic!("not inline"),
        };
        assert_eq!(text(r#"{"inline": ["a", "b"]}"#), "#!/bin/sh -e\na\nb\n");
        assert_eq!(
            text(r##"{"inline": ["#!/usr/bin/perl", "b"]}"##),
            "#!/usr/bin/perl\nb\n"
        );
        assert_eq!(
            text(r##"{"inline": ["#!/usr/bin/perl"], "inline_shebang": "/bin/bash"}"##),
            "#!/bin/bash\n#!/usr/bin/perl\n"
        );
    }

    #[test]
    fn variables_are_sorted_by_bytes_and_quoted() {
        let mut variables = options(r#"{"environment_vars": ["Q=it's", "A=1=2"], "env": {"A": "3"}}"#).user_variables();
        variables.extend(build_variables("web", "null", &BuildData::new()));
        let flat = flatten(&variables, "%s='%s' ");
        assert_eq!(
            flat,
            r#"A='3' PACKER_BUILDER_TYPE='null' PACKER_BUILD_NAME='web' Q='it'"'"'s' "#
        );
    }

    #[test]
    fn formats_are_those_of_go() {
        let format = |format| go_format(format, &["K", "v"]);
        assert_eq!(format("export %s=\"%s\"\n"), "export K=\"v\"\n");
        assert_eq!(format("%[2]s%%%[1]s"), "v%K");
        assert_eq!(format("%q"), "\"K\"");
        assert_eq!(format("%s %s %s"), "K v %!s(MISSING)");
        assert_eq!(format("50%"), "50%!(NOVERB)");
        assert_eq!(format("%d"), "%!d(string=K)");
    }

    #[test]
    fn an_inline_script_is_on_disk_only_as_long_as_it_is_needed() {
        let directory = tempfile::tempdir().unwrap();
        let run = RunContext {
            id: "run".into(),
            working_directory: "/".into(),
            temporary_directory: directory.path().to_owned(),
            home_directory: None,
            force: false,
            debug: false,
            environment: std::sync::Arc::default(),
            private_files: bakelite_engine::private_file::PrivateFiles::default(),
        };
        let files = Scripts::Inline("x".into()).on_disk(&run, ".py").unwrap();
        let path = files.paths[0].clone();
        let name = path.file_name().unwrap().to_str().unwrap();
        let number = name
            .strip_prefix("packer-shell")
            .and_then(|rest| rest.strip_suffix(".py"));
        assert!(number.is_some_and(|number| number.parse::<u32>().is_ok()), "{name}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "x");
        drop(files);
        assert!(!path.exists());
    }

    #[test]
    fn the_exit_error_reads_as_users_grep_for_it() {
        let error = options(r#"{"valid_exit_codes": [0, 7]}"#).exit_error(3);
        assert_eq!(
            error.to_string(),
            "Script exited with non-zero exit status: 3. Allowed exit codes are: [0 7]"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_format_makes_it_panic(format in "\\PC*|[%\\[\\]0-9sq]*") {
            go_format(&format, &["K", "v"]);
        }
    }
}
