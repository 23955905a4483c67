//! What a command was given: the template, variables, flags, and what it may know of the process that it runs in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

/// What a command was given. Nothing is read from the process behind the caller's back.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The template as given: a file, a directory, or `-` for standard input. Empty: no template (console).
    pub path: String,
    /// What standard input held, when the path is `-`; beside another path, the JSON template itself, which that path only names.
    pub stdin: Option<String>,
    /// `-config-type`: what standard input is. Without it, legacy JSON.
    pub config_type: Option<ConfigType>,
    /// `-var NAME=VALUE`, in order.
    pub variables: Vec<(String, String)>,
    /// `-var-file`, in order.
    pub variable_files: Vec<String>,
    /// `-only`: patterns, split at commas already or not.
    pub only: Vec<String>,
    /// `-except`: patterns, split at commas already or not.
    pub except: Vec<String>,
    /// The whole environment of the process, `PKR_VAR_*` included.
    pub environment: BTreeMap<String, String>,
    /// The process's working directory, absolute.
    pub working_directory: PathBuf,
    /// The user's home directory.
    pub home_directory: Option<PathBuf>,
    /// When the run started.
    pub started: SystemTime,
    /// What it is all for.
    pub purpose: Purpose,
    /// What to say of variables in var files that no template declares.
    pub undeclared: UndeclaredVariables,
}

/// The language of a template that has no file name to tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigType {
    /// `-config-type=hcl2`
    Hcl2,
    /// `-config-type=json`
    Json,
}

/// What a template is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `validate`
    Validate {
        /// `-syntax-only`: stop after reading.
        syntax_only: bool,
        /// `-evaluate-datasources`: ask data sources instead of taking their values for unknown.
        evaluate_data: bool,
    },
    /// `build`
    Build,
    /// `inspect`
    Inspect {
        /// `-local`: ask data sources instead of taking their values for unknown.
        evaluate_data: bool,
    },
    /// `console`
    Console,
    /// `init` and `plugins required`
    Init,
}

/// What to say of variables in var files that no template declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UndeclaredVariables {
    /// Nothing.
    Ignore,
    /// A warning each.
    Warn,
}
