//! Completion in shells: `-autocomplete-install` has bash and zsh ask this program what can be typed next.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Arg, Command as Grammar};

use crate::exit::{Failure, Status};
use crate::flags::wants_value;
use crate::process::Process;

/// What ends our line in a shell's file, so that it is found again.
const MARK: &str = "# completion of bakelite";

/// What the last word of a line could become, one a line; nothing where a file is wanted, which the shell completes by itself.
pub(crate) fn answer(grammar: &Grammar, line: &str) -> String {
    let mut words: Vec<&str> = line.split_whitespace().skip(1).collect();
    let last = if line.ends_with(char::is_whitespace) {
        ""
    } else {
        words.pop().unwrap_or_default()
    };
    let mut command = grammar;
    let mut before = None;
    for word in words {
        let value_of = before.and_then(|flag| argument(command, flag)).is_some_and(wants_value);
        if !value_of && let Some(inner) = command.find_subcommand(word) {
            command = inner;
        }
        before = Some(word);
    }
    let flag = before
        .and_then(|flag| argument(command, flag))
        .filter(|flag| wants_value(flag));
    let all: Vec<String> = match flag {
        Some(flag) => values(flag),
        None if last.starts_with('-') => {
            let flags = command.get_arguments().filter_map(Arg::get_long);
            let dashes = if last.starts_with("--") { "--" } else { "-" };
            flags.map(|name| format!("{dashes}{name}")).collect()
        }
        None => command
            .get_subcommands()
            .map(|inner| inner.get_name().to_owned())
            .collect(),
    };
    let all: BTreeSet<String> = all.into_iter().filter(|one| one.starts_with(last)).collect();
    all.into_iter().map(|one| one + "\n").collect()
}

/// The flag of that spelling, without a value of its own behind `=`.
fn argument<'a>(command: &'a Grammar, word: &str) -> Option<&'a Arg> {
    let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    command.get_arguments().find(|known| known.get_long() == Some(name))
}

/// The values of a flag, where they are few.
fn values(flag: &Arg) -> Vec<String> {
    let values = flag.get_possible_values();
    values.iter().map(|value| value.get_name().to_owned()).collect()
}

/// Has the user's shells ask. Installed again, the line is the present program's.
pub(crate) fn install(process: &Process) -> Result<Status, Failure> {
    let failed = || Failure::new("failed to install completions");
    let program = std::env::current_exe().map_err(|error| failed().because(&error))?;
    let shells = shells(process)?;
    if shells.is_empty() {
        return Err(
            Failure::new("failed to install completions: neither bash nor zsh is set up")
                .help("create `~/.bashrc` or `~/.zshrc`, then try again"),
        );
    }
    let name = process.called();
    for (file, is_zsh) in shells {
        let line = line(&name, &program, is_zsh);
        rewrite(&file, &name, Some(&line))?;
        process.output.say(&format!(
            "Completions of {name} are installed in {}. They work in the next shell.",
            file.display()
        ));
    }
    Ok(Status::Ok)
}

/// Takes the lines out again.
pub(crate) fn uninstall(process: &Process) -> Result<Status, Failure> {
    let name = process.called();
    for (file, _) in shells(process)? {
        if rewrite(&file, &name, None)? {
            process
                .output
                .say(&format!("Completions of {name} are removed from {}.", file.display()));
        }
    }
    Ok(Status::Ok)
}

/// The files that the user's shells read when they start: of bash and zsh, where they exist or the shell is the user's own.
fn shells(process: &Process) -> Result<Vec<(PathBuf, bool)>, Failure> {
    let home = process
        .home_directory()
        .ok_or_else(|| Failure::new("failed to find the home directory").help("set HOME"))?;
    let own = process.variable("SHELL").map(Path::new).and_then(Path::file_name);
    let all = [("bash", ".bashrc", false), ("zsh", ".zshrc", true)];
    let all = all.into_iter().filter_map(|(shell, file, is_zsh)| {
        let file = home.join(file);
        (file.exists() || own.is_some_and(|own| own == shell)).then_some((file, is_zsh))
    });
    Ok(all.collect())
}

fn line(name: &str, program: &Path, is_zsh: bool) -> String {
    let quoted = program.display().to_string().replace('\'', r"'\''");
    let complete = format!("complete -o default -C '{quoted}' {name}  {MARK} as {name}");
    if is_zsh {
        format!("autoload -U +X bashcompinit && bashcompinit && {complete}")
    } else {
        complete
    }
}

/// Writes a shell's file without our line for that name, and then with this one; answers whether it had one.
fn rewrite(file: &Path, name: &str, line: Option<&str>) -> Result<bool, Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("failed to write `{}`", file.display())).because(&error);
    let text = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read.map_err(failed)?,
    };
    let mark = format!("{MARK} as {name}");
    let kept: Vec<&str> = text.lines().filter(|line| !line.ends_with(&mark)).collect();
    let had = kept.len() < text.lines().count();
    if had || line.is_some() {
        let all = kept.into_iter().chain(line);
        let text = all.flat_map(|line| [line, "\n"]).collect::<String>();
        std::fs::write(file, text).map_err(failed)?;
    }
    Ok(had)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(line: &str) -> Vec<String> {
        let answer = answer(&crate::flags::grammar(), line);
        answer.lines().map(str::to_owned).collect()
    }

    #[test]
    fn commands_flags_and_values_are_completed() {
        assert_eq!(completed("bakelite va"), ["validate"]);
        assert_eq!(completed("bakelite plugins in"), ["install", "installed"]);
        assert_eq!(completed("bakelite build -par"), ["-parallel-builds", "-partition"]);
        assert_eq!(completed("bakelite build --par"), ["--parallel-builds", "--partition"]);
        assert_eq!(completed("bakelite build -on-error a"), ["abort", "ask"]);
        assert_eq!(
            completed("bakelite build -on-error abort -timestamp"),
            ["-timestamp-ui"]
        );
    }

    #[test]
    fn files_are_left_to_the_shell() {
        assert_eq!(completed("bakelite build "), Vec::<String>::new());
        assert_eq!(completed("bakelite build -var-file v"), Vec::<String>::new());
        assert_eq!(completed("bakelite build -force we"), Vec::<String>::new());
    }
}
