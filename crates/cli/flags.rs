//! Go's flag syntax over clap: `-x` is `--x`, a flag's value may follow after `=` or a space, flags end at the first other argument,
//! and `-machine-readable` may stand anywhere.

use std::any::TypeId;
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal as _;

use clap::{Arg, ArgAction, Command as Grammar, CommandFactory as _, FromArgMatches as _};

use crate::args::{Cli, ValueError};
use crate::exit::{Failure, Status};
use crate::output::Output;
use crate::print::write;
use crate::process::{Process, is_machine_readable};

/// Understands the arguments. Help and usage errors are printed here; the failure then only carries the status.
pub(crate) fn parse(process: &Process) -> Result<Cli, Failure> {
    let arguments = &process.arguments;
    let grammar = as_in_go(Cli::command()).after_help(crate::env::help());
    let mut grammar = grammar.bin_name(process.called());
    let rest: Vec<OsString> = arguments
        .iter()
        .filter(|argument| !is_machine_readable(argument))
        .cloned()
        .collect();
    let long = long_form(&grammar, rest);
    // Builds of all commands only the one that is called.
    let parsed = grammar
        .try_get_matches_from_mut(long)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    parsed.map_err(|error| Failure::said(print(error, &grammar, arguments, process.output)))
}

/// All commands with their flags.
pub(crate) fn grammar() -> Grammar {
    let mut grammar = as_in_go(Cli::command());
    grammar.build();
    grammar
}

/// The commands with their flags as Go reads them: a repeated flag's last value counts, and a switch may have a value after `=`.
fn as_in_go(command: Grammar) -> Grammar {
    let help = Arg::new("help").short('h').long("help").action(ArgAction::HelpLong);
    // Taken out before clap reads the arguments: it is here to be listed.
    let for_machines = Arg::new("machine-readable").long("machine-readable");
    let for_machines = for_machines
        .action(ArgAction::SetTrue)
        .help("Print comma-separated lines for programs");
    command
        .args_override_self(true)
        .disable_help_flag(true)
        .args([for_machines, help.help("Print help")].map(|one| one.help_heading("Everywhere")))
        .mut_args(|argument| {
            if is_switch(&argument) {
                switch(argument)
            } else {
                argument
            }
        })
        .mut_subcommands(as_in_go)
}

fn is_switch(argument: &Arg) -> bool {
    argument.get_value_parser().type_id() == TypeId::of::<bool>() && matches!(argument.get_action(), ArgAction::Set)
}

/// `-x`, `-x=true`, `-x=f`
fn switch(argument: Arg) -> Arg {
    argument
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .value_parser(boolean)
        .value_name("BOOL")
        .hide_default_value(true)
}

/// The words that Go reads as a boolean.
fn boolean(word: &str) -> Result<bool, ValueError> {
    match word {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(ValueError::Boolean),
    }
}

/// Prints help to standard output and errors to standard error, flags as they are written here: with one dash.
fn print(mut error: clap::Error, grammar: &Grammar, arguments: &[OsString], output: Output) -> Status {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    // That a flag could be a value is never what is meant.
    error.remove(ContextKind::Suggested);
    let command = command(grammar, arguments);
    let is_late_flag = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => flag(OsStr::new(argument)).is_some_and(|(name, _)| {
            let mut flags = command.unwrap_or(grammar).get_arguments();
            flags.any(|known| known.get_long() == Some(&name))
        }),
        _ => false,
    };
    let rendered = error.render();
    let is_terminal = if error.use_stderr() {
        std::io::stderr().is_terminal()
    } else {
        std::io::stdout().is_terminal()
    };
    let text = if is_terminal && !output.machine_readable {
        rendered.ansi().to_string()
    } else {
        rendered.to_string()
    };
    let mut text = one_dash(&text);
    if is_late_flag {
        text += "\nhelp: flags come before the template, as in `bakelite build -force TEMPLATE`\n";
    }
    if error.use_stderr() {
        output.error(&text);
    } else if output.machine_readable {
        output.result(text.trim_end());
    } else {
        write(&text);
    }
    match error.kind() {
        ErrorKind::DisplayHelp => Status::Ok,
        ErrorKind::InvalidSubcommand if command.is_none() => Status::NoCommand,
        _ => Status::Failed,
    }
}

/// Help and errors as clap words them, with one dash before the flags.
pub(crate) fn one_dash(text: &str) -> String {
    let mut pieces = text.split("--");
    let mut shown = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let is_flag = piece.starts_with(|first: char| first.is_ascii_lowercase());
        shown.push_str(if is_flag { "-" } else { "--" });
        shown.push_str(piece);
    }
    shown
}

/// The command that the first argument names which is no flag.
fn command<'a>(grammar: &'a Grammar, arguments: &[OsString]) -> Option<&'a Grammar> {
    let words = arguments.iter().skip(1).map(|argument| argument.to_string_lossy());
    let mut words = words.filter(|word| !word.starts_with('-'));
    grammar.find_subcommand(words.next()?.as_ref())
}

/// The arguments in the form that clap reads: `--flag=value`, and `--` before the first that is no flag.
fn long_form(grammar: &Grammar, arguments: Vec<OsString>) -> Vec<OsString> {
    let mut arguments = arguments.into_iter();
    let mut long: Vec<OsString> = arguments.next().into_iter().collect();
    let mut grammar = grammar;
    while let Some(argument) = arguments.next() {
        let Some((name, value)) = flag(&argument) else {
            if let Some(command) = argument.to_str().and_then(|name| grammar.find_subcommand(name)) {
                grammar = command;
                long.push(argument);
                continue;
            }
            if argument == "--" || !grammar.has_subcommands() {
                long.push("--".into());
            }
            if argument != "--" {
                long.push(argument);
            }
            long.extend(arguments);
            break;
        };
        let takes_value = grammar
            .get_arguments()
            .any(|known| known.get_long() == Some(&name) && wants_value(known));
        let mut argument = OsString::from(format!("--{name}"));
        if let Some(value) = value
            .map(OsString::from)
            .or_else(|| if takes_value { arguments.next() } else { None })
        {
            argument.push("=");
            argument.push(value);
        }
        long.push(argument);
    }
    long
}

/// Name and value of a flag; `-h` is help, a lone `-` and `--` are no flags.
fn flag(argument: &OsStr) -> Option<(String, Option<String>)> {
    let text = argument.to_str()?;
    let body = text
        .strip_prefix("--")
        .or_else(|| text.strip_prefix('-'))
        .filter(|body| !body.is_empty())?;
    let (name, value) = match body.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (body, None),
    };
    let name = match name {
        "h" => "help",
        "v" => "version",
        other => other,
    };
    Some((name.to_owned(), value))
}

/// Does the flag's value follow as the next argument? Switches take one only after `=`.
pub(crate) fn wants_value(argument: &Arg) -> bool {
    let takes = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    takes && argument.get_num_args().is_none_or(|count| count.min_values() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(line: &str) -> String {
        let grammar = grammar();
        let arguments = line.split(' ').map(OsString::from).collect();
        long_form(&grammar, arguments)
            .join(OsStr::new(" "))
            .into_string()
            .unwrap()
    }

    #[test]
    fn one_dash_is_two() {
        assert_eq!(
            long("bakelite build -var a=b -force -color=false t"),
            "bakelite build --var=a=b --force --color=false -- t"
        );
        assert_eq!(
            long("bakelite local run -latency ec2 ami-1 ls -l"),
            "bakelite local run --latency=ec2 -- ami-1 ls -l"
        );
        assert_eq!(long("bakelite fmt -"), "bakelite fmt -- -");
        assert_eq!(long("bakelite fmt -- -t"), "bakelite fmt -- -t");
        assert_eq!(long("bakelite -v"), "bakelite --version");
    }

    #[test]
    fn flags_are_shown_with_one_dash() {
        assert_eq!(
            one_dash("  -h, --only <GLOBS>  a -- b --- c"),
            "  -h, -only <GLOBS>  a -- b --- c"
        );
    }

    #[test]
    fn the_grammar_is_consistent() {
        grammar().debug_assert();
    }
}
