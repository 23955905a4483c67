//! What evaluation can see besides the template itself: directories, the time, functions, and answers of the world.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use bakelite_hcl::budget::Budget;
use bakelite_hcl::functions::Functions;
use bakelite_hcl::scope::{EvalContext, Externals, NoAnswer};
use bakelite_hcl::value::Value;

use crate::gotemplate::Rendering;
use crate::invocation::Invocation;
use crate::secrets::Derived;

/// What the evaluation of a template can see besides it, and what it asks for.
#[derive(Debug)]
pub(crate) struct TemplateContext {
    /// `path.root`: the template's directory as the user gave it.
    pub(crate) root: String,
    /// The process's working directory.
    pub(crate) working_directory: PathBuf,
    /// The user's home directory.
    pub(crate) home_directory: Option<PathBuf>,
    /// When the run started.
    pub(crate) started: SystemTime,
    /// All functions.
    pub(crate) functions: Functions,
    /// The functions of variable defaults.
    pub(crate) default_functions: Functions,
    /// What evaluating all of the template may cost.
    pub(crate) budget: Budget,
    /// What is known of the world.
    pub(crate) answers: Answers,
}

impl TemplateContext {
    pub(crate) fn new(invocation: &Invocation, root: String) -> Self {
        Self {
            root,
            working_directory: invocation.working_directory.clone(),
            home_directory: invocation.home_directory.clone(),
            started: invocation.started,
            functions: crate::functions::standard(),
            default_functions: crate::functions::variable_defaults(),
            budget: Budget::default(),
            answers: Answers {
                environment: invocation.environment.clone(),
                known: Mutex::default(),
                derived: Derived::default(),
            },
        }
    }

    /// The template's directory, absolute: what file functions start from.
    pub(crate) fn base_directory(&self) -> PathBuf {
        self.working_directory.join(&self.root)
    }

    /// What `{{ }}` can refer to in a component of an HCL template, before there is data of a build.
    pub(crate) fn rendering(&self, build_name: &str, build_type: &str) -> Rendering {
        Rendering {
            derived: self.answers.derived().clone(),
            ..Rendering::new(build_name, build_type, self.working_directory.clone(), self.started)
        }
    }

    /// What functions need to know, with relative paths resolved against a directory.
    pub(crate) fn eval_context(&self, base_directory: &Path) -> EvalContext<'_> {
        EvalContext {
            base_directory: base_directory.to_owned(),
            working_directory: self.working_directory.clone(),
            home_directory: self.home_directory.clone(),
            started: self.started,
            externals: &self.answers,
        }
    }
}

/// A call of a function that needs a server.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) function: String,
    pub(crate) arguments: Vec<Value>,
}

impl Question {
    /// Equal for equal questions: the arguments are texts.
    fn key(&self) -> String {
        let mut key = self.function.clone();
        for argument in &self.arguments {
            key.push('\0');
            key.push_str(argument.as_str().unwrap_or_default());
        }
        key
    }
}

/// Answers of the world. Evaluation asks and, when there is no answer yet, gets *unknown*; the question is remembered until
/// somebody who can wait has found the answer and evaluates again.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    environment: BTreeMap<String, String>,
    known: Mutex<Known>,
    derived: Derived,
}

#[derive(Debug, Default)]
struct Known {
    answers: BTreeMap<String, Result<Value, NoAnswer>>,
    pending: BTreeMap<String, Question>,
}

impl Answers {
    /// The environment of the process.
    pub(crate) fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// What evaluation has made of sensitive values so far.
    pub(crate) fn derived(&self) -> &Derived {
        &self.derived
    }

    /// The questions without an answer, each once.
    pub(crate) fn take_pending(&self) -> Vec<Question> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut known.pending).into_values().collect()
    }

    /// Remembers an answer.
    pub(crate) fn learn(&self, question: &Question, answer: Result<Value, NoAnswer>) {
        if let Ok(answer) = &answer {
            self.derived.note(answer);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.answers.insert(question.key(), answer);
    }
}

impl Externals for Answers {
    fn ask(&self, function: &str, arguments: &[Value]) -> Result<Value, NoAnswer> {
        if function == "env" {
            let name = arguments.first().and_then(Value::as_str).unwrap_or_default();
            return Ok(Value::string(self.environment.get(name).map_or("", String::as_str)));
        }
        let question = Question {
            function: function.to_owned(),
            arguments: arguments.to_vec(),
        };
        let key = question.key();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = known.answers.get(&key) {
            return answer.clone();
        }
        known.pending.insert(key, question);
        Ok(Value::unknown(bakelite_hcl::types::Type::String))
    }

    fn derived(&self, value: &Value) {
        self.derived.note(value);
    }

    fn placed(&self, value: &Value) -> bool {
        self.derived.place(value)
    }
}
