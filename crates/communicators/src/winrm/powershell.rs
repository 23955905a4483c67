//! PowerShell scripts as command lines.

use bakelite_scripts::powershell::command_line;
pub(crate) use bakelite_scripts::powershell::single_quoted as quoted;

/// The longest command line that `cmd` takes.
pub(crate) const LONGEST_COMMAND: usize = 8191;

/// What both transfer scripts begin with.
const PATHS: &str = include_str!("scripts/paths.ps1");
/// Takes files from its input.
const TAKE: &str = include_str!("scripts/take.ps1");
/// Gives files to its output.
const GIVE: &str = include_str!("scripts/give.ps1");

/// The command line that runs a script, as short as it can be.
pub(crate) fn command(script: &str) -> String {
    let script: Vec<&str> = script.lines().map(str::trim).collect();
    command_line("powershell.exe", &script.join("\n"))
}

/// The script that takes files from its input.
pub(crate) fn take() -> String {
    TAKE.replace("#paths\n", PATHS)
}

/// The script that takes files from lines that were written into a file.
pub(crate) fn take_from(file: &str) -> String {
    let file = quoted(file);
    let take = take();
    format!(
        "$lines = [Environment]::ExpandEnvironmentVariables({file})\nGet-Content -LiteralPath $lines | & {{\n{take}\n}}"
    )
}

/// The script that gives a file, or a directory or what a pattern matches.
pub(crate) fn give(source: &str, directory: bool) -> String {
    let directory = if directory { "$true" } else { "$false" };
    format!(
        "$source = {}\n$directory = {directory}\n{}",
        quoted(source),
        GIVE.replace("#paths\n", PATHS)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_fit_into_a_command_line_with_room_for_long_paths() {
        for script in [take(), take_from("%TEMP%\\bakelite.tmp"), give(&"x".repeat(520), true)] {
            let command = command(&script);
            assert!(command.len() < LONGEST_COMMAND, "{}", command.len());
        }
    }

    #[test]
    fn scripts_are_powershell() {
        let mut parser = tree_sitter::Parser::new();
        parser.set_language(&tree_sitter_powershell::LANGUAGE.into()).unwrap();
        for script in [take(), take_from("x"), give("C:\\it's", true)] {
            let tree = parser.parse(&script, None).unwrap();
            assert!(!tree.root_node().has_error(), "{}", tree.root_node().to_sexp());
        }
        let wrong = parser.parse("foreach ($x in { 1", None).unwrap();
        assert!(wrong.root_node().has_error(), "the grammar finds mistakes");
    }
}
