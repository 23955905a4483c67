//! The functions that Packer adds to `{{ }}`.

use std::path::PathBuf;

use bakelite_hcl::functions::{Call, Function, Run};
use bakelite_hcl::scope::{EvalContext, Externals, NoAnswer};
use bakelite_hcl::value::Value;

use super::value::GoValue;
use super::{Context, Library, Rendering};
use crate::version::PACKER_VERSION;

/// The names of the functions that every text can use.
const NAMES: &[&str] = &[
    "aws_secretsmanager",
    "aws_secretsmanager_raw",
    "build",
    "build_name",
    "build_type",
    "consul_key",
    "env",
    "isotime",
    "lower",
    "packer_version",
    "pwd",
    "replace",
    "replace_all",
    "sed",
    "split",
    "strftime",
    "template_dir",
    "timestamp",
    "upper",
    "user",
    "uuid",
    "vault",
];

/// The functions with what they refer to.
pub(super) struct Functions<'a> {
    pub(super) rendering: &'a Rendering,
    /// Who answers functions that need a server.
    pub(super) externals: Option<&'a dyn Externals>,
}

impl Library for Functions<'_> {
    fn made(&self, arguments: &[GoValue], made: &GoValue) {
        if let GoValue::Text(made) = made {
            let given = arguments.iter().filter_map(|argument| match argument {
                GoValue::Text(text) => Some(text.as_str()),
                _ => None,
            });
            self.rendering.derived.made(given, made);
        }
    }

    fn is_known(&self, name: &str) -> bool {
        // Amazon builders add one more, and lose it again where HCL decodes.
        NAMES.contains(&name) || (name == "clean_resource_name" && self.rendering.legacy.is_some())
    }

    fn call(&self, name: &str, arguments: &[GoValue]) -> Result<Option<GoValue>, String> {
        match name {
            "build" => self.build(arguments),
            "aws_secretsmanager" | "aws_secretsmanager_raw" | "consul_key" | "vault" => self.ask(name, arguments),
            _ => self.known(name, arguments).map(Some),
        }
    }
}

impl Functions<'_> {
    /// The functions that need nothing but the template and the run.
    fn known(&self, name: &str, arguments: &[GoValue]) -> Result<GoValue, String> {
        let rendering = self.rendering;
        let text = |text: &str| Ok(GoValue::from(text));
        match name {
            "build_name" => text(&rendering.build_name),
            "build_type" => text(&rendering.build_type),
            "packer_version" => text(PACKER_VERSION),
            "timestamp" => {
                let since = rendering
                    .started
                    .duration_since(std::time::UNIX_EPOCH)
                    .unwrap_or_default();
                text(&since.as_secs().to_string())
            }
            "isotime" => self.time("legacy_isotime", arguments),
            "strftime" => self.time("legacy_strftime", arguments),
            "pwd" => text(&rendering.working_directory.to_string_lossy()),
            "uuid" => text(&uuid::Uuid::now_v7().to_string()),
            "upper" => text(&strings::<1>(arguments)?[0].to_uppercase()),
            "lower" => text(&strings::<1>(arguments)?[0].to_lowercase()),
            "replace_all" => {
                let [old, new, source] = strings::<3>(arguments)?;
                growth(source, old, new)?;
                text(&source.replace(old, new))
            }
            "replace" => replace(arguments),
            "split" => split(arguments),
            "clean_resource_name" => text(&clean(strings::<1>(arguments)?[0])),
            "template_dir" => match &rendering.legacy {
                Some(legacy) => text(&legacy.directory.to_string_lossy()),
                None => Err("the template's directory is not known here".to_owned()),
            },
            "user" => {
                let [name] = strings::<1>(arguments)?;
                match &rendering.legacy {
                    Some(legacy) => text(legacy.user.get(name).map_or("", String::as_str)),
                    None => Err(format!("there are no user variables here (`{name}`)")),
                }
            }
            "env" => {
                let [name] = strings::<1>(arguments)?;
                match &rendering.context {
                    Context::Variable(environment) => text(environment.get(name).map_or("", String::as_str)),
                    _ => Err("the environment can be read in variables only".to_owned()),
                }
            }
            "sed" => Err("the function is gone; use `replace` or `replace_all`".to_owned()),
            _ => Err("there is no such function".to_owned()),
        }
    }

    fn ask(&self, name: &str, arguments: &[GoValue]) -> Result<Option<GoValue>, String> {
        let Some(externals) = self.externals else {
            return Err("the function can be used in variables only".to_owned());
        };
        let arguments: Vec<Value> = arguments
            .iter()
            .map(|argument| Value::string(argument.print()))
            .collect();
        let answer = externals.ask(name, &arguments).map_err(|none| none.message)?;
        Ok(answer.as_str().map(GoValue::from))
    }

    fn build(&self, arguments: &[GoValue]) -> Result<Option<GoValue>, String> {
        let [key] = strings::<1>(arguments)?;
        let Context::Baking { data, open } = &self.rendering.context else {
            return Err("data of the build is available in provisioners and post-processors only".to_owned());
        };
        match data.get(key) {
            Some(value) => Ok(Some(GoValue::from(value.as_str()))),
            None if open.iter().any(|one| one == key) => Ok(None),
            None => Err(format!("the build has no `{key}`")),
        }
    }

    /// Times are formatted by the functions of the language that do the same.
    fn time(&self, function: &str, arguments: &[GoValue]) -> Result<GoValue, String> {
        let arguments: Vec<Value> = arguments
            .iter()
            .map(|argument| Value::string(argument.print()))
            .collect();
        let functions = crate::functions::standard();
        let Some(Function {
            run: Run::Plain(run), ..
        }) = functions.get(function)
        else {
            return Err("there is no such function".to_owned());
        };
        let eval_context = EvalContext {
            base_directory: PathBuf::new(),
            working_directory: self.rendering.working_directory.clone(),
            home_directory: None,
            started: self.rendering.started,
            externals: &NoWorld,
        };
        match run(&Call {
            arguments: &arguments,
            eval_context: &eval_context,
            // Telling the time is no work.
            pay: &|_| true,
        }) {
            Ok(value) => Ok(GoValue::from(value.as_str().unwrap_or_default())),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Formatting a time asks nothing.
struct NoWorld;

impl Externals for NoWorld {
    fn ask(&self, function: &str, _: &[Value]) -> Result<Value, NoAnswer> {
        Err(format!("`{function}` cannot be asked here").into())
    }
}

/// The arguments, when they are that many texts. Numbers are not texts, as in Go.
fn strings<const COUNT: usize>(arguments: &[GoValue]) -> Result<[&str; COUNT], String> {
    let mut texts = Vec::with_capacity(COUNT);
    for argument in arguments {
        match argument {
            GoValue::Text(text) => texts.push(text.as_str()),
            other => return Err(format!("an argument is a {}, not a string", other.type_name())),
        }
    }
    texts
        .try_into()
        .map_err(|_| format!("it takes {COUNT} arguments, not {}", arguments.len()))
}

/// `replace old new n source`: the first `n`, all when `n` is negative.
fn replace(arguments: &[GoValue]) -> Result<GoValue, String> {
    let [
        GoValue::Text(old),
        GoValue::Text(new),
        GoValue::Int(count),
        GoValue::Text(source),
    ] = arguments
    else {
        return Err("it takes the old text, the new text, how many, and the source".to_owned());
    };
    growth(source, old, new)?;
    Ok(match usize::try_from(*count) {
        Ok(count) => source.replacen(old.as_str(), new, count),
        Err(_) => source.replace(old.as_str(), new),
    }
    .into())
}

/// Stops a replacement that would make too much text.
fn growth(source: &str, old: &str, new: &str) -> Result<(), String> {
    let places = source.len() / old.len().max(1) + 1;
    if places.saturating_mul(new.len()) > super::LONGEST
        && source.matches(old).count().saturating_mul(new.len()) > super::LONGEST
    {
        return Err(format!("the result would be longer than {} bytes", super::LONGEST));
    }
    Ok(())
}

/// `split source separator index`
fn split(arguments: &[GoValue]) -> Result<GoValue, String> {
    let [GoValue::Text(source), GoValue::Text(separator), GoValue::Int(index)] = arguments else {
        return Err("it takes the source, the separator and an index".to_owned());
    };
    let parts: Vec<String> = if separator.is_empty() {
        source.chars().map(String::from).collect()
    } else {
        source.split(separator.as_str()).map(str::to_owned).collect()
    };
    let part = usize::try_from(*index)
        .ok()
        .and_then(|index| parts.into_iter().nth(index));
    part.map(GoValue::Text)
        .ok_or_else(|| format!("there is no part {index}"))
}

/// A name that AWS takes: anything else becomes a dash.
fn clean(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "()[] ./-'@_".contains(c);
    name.chars().map(|c| if allowed(c) { c } else { '-' }).collect()
}
