//! What `powershell` writes: the commands that run a script, the script that an `inline` becomes, the script that sets variables, and
//! the cleanup. No input or output here.

use std::collections::{BTreeMap, BTreeSet};

use bakelite_scripts::powershell::{command_line, single_quoted, within_double_quotes};
use bakelite_scripts::script::flatten_with;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a variable is written.
const VARIABLE_FORMAT: &str = "$env:%s=\"%s\"; ";

/// A cleanup of more text than this, in bytes, is cut into several: cmd takes 8,191 characters, and each byte becomes 2.7.
const LONGEST_CLEANUP: usize = 2000;

/// An execution policy of PowerShell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(extend("x-any-case" = true))]
pub(crate) enum Policy {
    /// Nothing is blocked and nothing is asked.
    #[default]
    #[schemars(extend("x-aliases" = ["0"]))]
    Bypass,
    /// Scripts must be signed by a trusted publisher.
    #[schemars(extend("x-aliases" = ["1"]))]
    AllSigned,
    /// The default of Windows.
    #[schemars(extend("x-aliases" = ["2"]))]
    Default,
    /// Scripts from elsewhere must be signed.
    #[schemars(extend("x-aliases" = ["3"]))]
    RemoteSigned,
    /// No scripts run.
    #[schemars(extend("x-aliases" = ["4"]))]
    Restricted,
    /// No policy of this session.
    #[schemars(extend("x-aliases" = ["5"]))]
    Undefined,
    /// All scripts run; those from elsewhere are asked about.
    #[schemars(extend("x-aliases" = ["6"]))]
    Unrestricted,
    /// No policy is set: the instance's own holds.
    #[schemars(extend("x-aliases" = ["7"]))]
    None,
}

impl Policy {
    fn argument(self) -> String {
        let name = match self {
            Self::None => return String::new(),
            Self::Bypass => "bypass",
            Self::AllSigned => "allsigned",
            Self::Default => "default",
            Self::RemoteSigned => "remotesigned",
            Self::Restricted => "restricted",
            Self::Undefined => "undefined",
            Self::Unrestricted => "unrestricted",
        };
        format!(" -executionpolicy {name}")
    }
}

/// The PowerShell that runs scripts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Interpreter {
    /// Its execution policy.
    pub(crate) policy: Policy,
    /// PowerShell 6 or later?
    pub(crate) pwsh: bool,
    /// How much it tells of what it does: 0 to 2.
    pub(crate) trace: u8,
}

impl Interpreter {
    fn program(self) -> &'static str {
        if self.pwsh { "pwsh" } else { "powershell" }
    }

    /// The command that runs a script which sets its own variables and exit status.
    pub(crate) fn file_command(self, path: &str) -> String {
        let path = if path.contains([' ', '&', '(', ')', '^', ';', ',']) {
            format!("\"{path}\"")
        } else {
            path.to_owned()
        };
        format!("{}{} -file {path}", self.program(), self.policy.argument())
    }

    /// The command that runs a script of the user's after one that sets the variables.
    pub(crate) fn block_command(self, variables: &str, path: &str) -> String {
        let command = if self.pwsh { " -command" } else { "" };
        let trace = match self.trace {
            0 => String::new(),
            level => format!("Set-PSDebug -Trace {level};"),
        };
        format!(
            "{}{}{command} \"& {{ $ProgressPreference='SilentlyContinue';{trace}. {}; &{}; exit $LastExitCode }}\"",
            self.program(),
            self.policy.argument(),
            single_quoted(variables),
            single_quoted(path),
        )
    }

    /// The script that inline lines become. An error that ends one of them ends the script with status 1, and so does a program's
    /// status other than 0, with that status. Nothing is indented: a text of several lines ends at the start of one.
    pub(crate) fn inline_script(self, lines: &str, variables: &str) -> String {
        let trace = match self.trace {
            0 => String::new(),
            level => format!("Set-PSDebug -Trace {level}\n"),
        };
        format!(
            "$ProgressPreference = 'SilentlyContinue'\n\
             {trace}$global:LASTEXITCODE = 0\n\
             $bakeliteStatus = 0\n\
             try {{\n\
             {variables}\n\
             {lines}\
             }} catch {{\n\
             Write-Error -ErrorRecord $_ -ErrorAction Continue\n\
             $bakeliteStatus = 1\n\
             }}\n\
             if ($LASTEXITCODE -ne 0) {{ $bakeliteStatus = $LASTEXITCODE }}\n\
             exit $bakeliteStatus\n"
        )
    }

    /// The commands that remove files from the instance, each with the files that it is for. One ends with the number of those that
    /// are still there.
    pub(crate) fn remove_commands(self, paths: &BTreeSet<String>) -> Vec<(String, String)> {
        let mut lists: Vec<(String, String)> = Vec::new();
        for path in paths {
            let word = single_quoted(path);
            match lists.last_mut() {
                Some((shown, list)) if list.len() + word.len() < LONGEST_CLEANUP => {
                    *shown = format!("{shown}, {path}");
                    *list = format!("{list}, {word}");
                }
                _ => lists.push((path.clone(), word)),
            }
        }
        let commands = lists
            .into_iter()
            .map(|(shown, list)| (shown, self.encoded(&removal(&list))));
        commands.collect()
    }

    /// The command that runs a script of ours without a file. Without progress, which would be written to standard error.
    pub(crate) fn encoded(self, script: &str) -> String {
        command_line(
            self.program(),
            &format!("$ProgressPreference = 'SilentlyContinue'\n{script}"),
        )
    }
}

fn removal(list: &str) -> String {
    format!(
        "$paths = @({list})\n\
         Remove-Item -LiteralPath $paths -Force -ErrorAction SilentlyContinue\n\
         $left = @($paths | Where-Object {{ Test-Path -LiteralPath $_ }})\n\
         exit $left.Count\n"
    )
}

/// The script that sets the variables.
pub(crate) fn variable_script(variables: &BTreeMap<String, String>, format: Option<&str>) -> String {
    flatten_with(variables, format.unwrap_or(VARIABLE_FORMAT), within_double_quotes)
}

#[cfg(test)]
pub(crate) mod tests {
    use insta::assert_snapshot;

    use super::*;

    /// Asserts that a grammar which is not ours takes a text for PowerShell.
    pub(crate) fn assert_parses(script: &str) {
        let mut parser = tree_sitter::Parser::new();
        parser.set_language(&tree_sitter_powershell::LANGUAGE.into()).unwrap();
        let tree = parser.parse(script, None).unwrap();
        let root = tree.root_node();
        assert!(!root.has_error(), "{}\n{script}", root.to_sexp());
    }

    fn with(policy: Policy) -> Interpreter {
        Interpreter {
            policy,
            ..Interpreter::default()
        }
    }

    fn variables() -> BTreeMap<String, String> {
        [("A", "it's \"1\" $x `"), ("B", "two\nlines")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn commands_that_run_a_script() {
        let mut lines = Vec::new();
        for policy in [Policy::Bypass, Policy::RemoteSigned, Policy::None] {
            for pwsh in [false, true] {
                let interpreter = Interpreter { pwsh, ..with(policy) };
                lines.push(interpreter.file_command("c:/Windows/Temp/script-1.ps1"));
                lines.push(interpreter.block_command("c:/vars.ps1", "c:/my scripts/it's.ps1"));
            }
        }
        let traced = Interpreter {
            trace: 2,
            ..with(Policy::Bypass)
        };
        lines.push(traced.block_command("c:/vars.ps1", "c:/x.ps1"));
        lines.push(traced.file_command("c:/my scripts/x.ps1"));
        for block in lines
            .iter()
            .filter_map(|line| line.split_once('"')?.1.strip_suffix('"'))
        {
            assert_parses(block);
        }
        assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn what_an_inline_script_becomes() {
        let traced = Interpreter {
            trace: 1,
            ..with(Policy::Bypass)
        };
        let variables = variable_script(&variables(), None);
        let script = traced.inline_script("@'\ntext\n'@\nthrow 'x' # comment\n", &variables);
        assert_snapshot!(script);
        assert_parses(&script);
        assert!(!with(Policy::Bypass).inline_script("x\n", "").contains("Set-PSDebug"));
    }

    #[test]
    fn variables_are_written_as_the_template_wants_them() {
        assert_eq!(
            variable_script(
                &variables(),
                Some("[Environment]::SetEnvironmentVariable(\"%s\", \"%s\")\n")
            ),
            "[Environment]::SetEnvironmentVariable(\"A\", \"it`'s `\"1`\" `$x ``\")\n\
             [Environment]::SetEnvironmentVariable(\"B\", \"two\nlines\")\n"
        );
    }

    #[test]
    fn the_clean_up() {
        let script = removal("'c:/a.ps1', 'c:/it''s.ps1'");
        assert_parses(&script);
        assert_snapshot!(script);
        let interpreter = with(Policy::Restricted);
        assert_eq!(interpreter.remove_commands(&BTreeSet::new()), []);
        let many: BTreeSet<String> = (0..100)
            .map(|number| format!("c:/Windows/Temp/script-{number}.ps1"))
            .collect();
        let commands = interpreter.remove_commands(&many);
        assert!(commands.len() > 1 && commands.iter().all(|(_, command)| command.len() < 8000));
        let shown: Vec<&str> = commands.iter().map(|(shown, _)| shown.as_str()).collect();
        assert_eq!(shown.join(", ").split(", ").count(), 100);
    }
}
