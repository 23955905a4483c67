//! Scripts that run on this machine: what the shell-local provisioner and the shell-local post-processor do.
//!
//! Values of variables do not stand in the command line of a process, where every user of the machine could read them: they are in
//! the process's environment, and the command refers to them by name.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use bakelite_engine::error::Explain;
use bakelite_engine::events::Ui;
use bakelite_engine::provisioner::RunContext;
use bakelite_template::component::Complaint;
use bakelite_template::gotemplate::{RenderError, Rendering, render};
use bakelite_template::plan::BuildData;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::local_process::{self, LocalProcessError};
use crate::quote;
use crate::script::{ExitError, ScriptOptions, Scripts, Shebang, build_variables, flatten};

/// How a variable is written unless the template sets another way.
const VARIABLE_FORMAT: &str = "%s='%s' ";

/// An operating system that `only_on` can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// macOS.
    Darwin,
    /// FreeBSD.
    Freebsd,
    /// Linux.
    Linux,
    /// OpenBSD.
    Openbsd,
    /// Solaris.
    Solaris,
    /// Windows.
    Windows,
}

impl System {
    /// Is this the one that this program runs on?
    fn is_here(self) -> bool {
        let name = match self {
            Self::Darwin => "macos",
            Self::Freebsd => "freebsd",
            Self::Linux => "linux",
            Self::Openbsd => "openbsd",
            Self::Solaris => "solaris",
            Self::Windows => "windows",
        };
        name == std::env::consts::OS
    }
}

/// Options of shell-local.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LocalShellOptions {
    /// What to run.
    #[serde(flatten)]
    pub script: ScriptOptions,
    /// How an inline script starts.
    #[serde(flatten)]
    pub shebang: Shebang,
    /// One command; the same as an `inline` of one line, which is the way to write it now.
    pub command: Option<String>,
    /// The process that runs a script, as a list of program and arguments; default `["/bin/sh", "-c", "{{.Vars}} {{.Script}}"]`.
    /// `{{.Vars}}` are the variables, `{{.Script}}` (or `{{.Command}}`) is the script's path.
    #[schemars(extend("x-late" = true))]
    pub execute_command: Option<Vec<String>>,
    /// Ending of the file that an inline script is written to: `.py`.
    pub tempfile_extension: String,
    /// Systems on which the scripts run; on others the step is skipped. Default: all.
    pub only_on: Vec<System>,
    /// Paths for a Linux shell on Windows; without effect elsewhere.
    pub use_linux_pathing: bool,
}

/// Where scripts run: what they may know of the build.
pub struct LocalShell<'a> {
    /// Prints what they print.
    pub ui: &'a Ui,
    /// What the command's `{{ }}` can refer to, and the names of source and builder.
    pub rendering: &'a Rendering,
    /// What `build.*` holds.
    pub data: &'a BuildData,
    /// Working directory, environment, temporary files.
    pub run: &'a RunContext,
}

/// Why scripts of this machine failed.
#[derive(Debug, thiserror::Error)]
pub enum LocalShellError {
    /// The inline script cannot be written.
    #[error("failed to write the script into `{directory}`")]
    Write {
        /// The directory of temporary files.
        directory: String,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// `execute_command` cannot be rendered.
    #[error("failed to render `execute_command`")]
    Render(#[from] RenderError),
    /// The program cannot be run.
    #[error(transparent)]
    Process(#[from] LocalProcessError),
    /// A script ended with a status that is not allowed.
    #[error(transparent)]
    Exit(#[from] ExitError),
}

impl Explain for LocalShellError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            LocalShellError::Process(error) => error.help(),
            LocalShellError::Exit(error) => error.help(),
            LocalShellError::Write { .. } | LocalShellError::Render(_) => None,
        }
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        match self {
            LocalShellError::Render(_) | LocalShellError::Process(LocalProcessError::Start { .. }) => {
                Some("execute_command".into())
            }
            LocalShellError::Write { .. } | LocalShellError::Process(_) | LocalShellError::Exit(_) => None,
        }
    }
}

impl LocalShellOptions {
    /// Complains about options that do not go together.
    pub fn check(&self, complaints: &mut Vec<Complaint>) {
        let with_command = self.with_command();
        if self.command.is_some()
            && (!self.script.inline.is_empty() || self.script.script.is_some() || !self.script.scripts.is_empty())
        {
            complaints.push(Complaint::error(
                "command",
                "`command` cannot be given together with `inline`, `script` or `scripts`",
            ));
        }
        let own = complaints.len();
        with_command.check(complaints, |path| Path::new(path).exists());
        // That nothing is given depends on `command`, too, whose value may not be known yet.
        let nothing = complaints
            .iter_mut()
            .skip(own)
            .filter(|complaint| complaint.option.is_empty());
        nothing.for_each(|complaint| complaint.message.push_str(", or the former `command`"));
        if self
            .execute_command
            .as_ref()
            .is_some_and(|words| words.first().is_none_or(String::is_empty))
        {
            complaints.push(Complaint::error(
                "execute_command",
                "`execute_command` names no program",
            ));
        }
        if self.use_linux_pathing && !self.script.inline.is_empty() {
            complaints.push(Complaint::error(
                "use_linux_pathing",
                "`use_linux_pathing` cannot be given together with `inline`",
            ));
        }
    }

    /// Runs the scripts one after the other until one fails. Dropping the future ends what runs.
    pub async fn run(&self, shell: &LocalShell<'_>) -> Result<(), LocalShellError> {
        if !self.runs_here() {
            shell.ui.say("Skipping shell-local due to runtime OS");
            return Ok(());
        }
        let options = self.with_command();
        let scripts = options.scripts(&self.shebang);
        let extension = match scripts {
            Scripts::Inline(_) => self.tempfile_extension.as_str(),
            Scripts::Files(_) => "",
        };
        let directory = &shell.run.temporary_directory;
        let write_error = |cause| LocalShellError::Write {
            directory: directory.display().to_string(),
            cause,
        };
        let files = scripts.on_disk(shell.run, extension).map_err(write_error)?;
        for path in &files.paths {
            let code = self.run_script(shell, &options, path).await?;
            if !options.is_valid_exit(code) {
                return Err(options.exit_error(code).into());
            }
        }
        Ok(())
    }

    async fn run_script(
        &self,
        shell: &LocalShell<'_>,
        options: &ScriptOptions,
        path: &Path,
    ) -> Result<i64, LocalShellError> {
        shell.ui.say(format!("Running local shell script: {}", path.display()));
        let mut variables = options.user_variables();
        variables.extend(build_variables(
            &shell.rendering.build_name,
            &shell.rendering.build_type,
            shell.data,
        ));
        let words = self.command_for(shell.rendering, options, &variables, path)?;
        let (program, arguments) = words
            .split_first()
            .map_or(("", words.as_slice()), |(first, rest)| (first.as_str(), rest));
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&shell.run.working_directory);
        command
            .envs(shell.run.environment.iter())
            .env("PACKER_RUN_UUID", &shell.run.id)
            .envs(&variables);
        Ok(local_process::run(command, shell.ui).await?)
    }

    /// Program and arguments for a script.
    fn command_for(
        &self,
        rendering: &Rendering,
        options: &ScriptOptions,
        variables: &BTreeMap<String, String>,
        path: &Path,
    ) -> Result<Vec<String>, RenderError> {
        let path = path.to_string_lossy().into_owned();
        let Some(words) = &self.execute_command else {
            if options.env_var_format.is_none() {
                return Ok(vec!["/bin/sh".into(), "-c".into(), quote::path(&path)]);
            }
            let default = ["/bin/sh", "-c", "{{.Vars}} {{.Script}}"].map(str::to_owned);
            return rendered(
                &default,
                rendering,
                &flat(options, variables, false),
                &quote::path(&path),
            );
        };
        // The post-processor has always taken a single text for a shell's.
        let shell = ["/bin/sh".to_owned(), "-c".to_owned()];
        let words = if words.len() == 1 {
            [&shell, words.as_slice()].concat()
        } else {
            words.clone()
        };
        let by_name = options.env_var_format.is_none() && can_refer_by_name(&words);
        rendered(&words, rendering, &flat(options, variables, by_name), &path)
    }

    fn with_command(&self) -> ScriptOptions {
        let mut options = self.script.clone();
        if options.inline.is_empty() {
            options.inline.extend(self.command.clone());
        }
        options
    }

    fn runs_here(&self) -> bool {
        self.only_on.is_empty() || self.only_on.iter().any(|system| system.is_here())
    }
}

/// The variables as the command has them: with their values, or referring to the environment by their names.
fn flat(options: &ScriptOptions, variables: &BTreeMap<String, String>, by_name: bool) -> String {
    if by_name {
        let references: Vec<String> = variables.keys().map(|name| format!("{name}=\"${name}\" ")).collect();
        return references.concat();
    }
    flatten(variables, options.env_var_format.as_deref().unwrap_or(VARIABLE_FORMAT))
}

fn rendered(words: &[String], rendering: &Rendering, variables: &str, path: &str) -> Result<Vec<String>, RenderError> {
    let mut rendering = rendering.clone();
    for (name, value) in [("Vars", variables), ("Script", path), ("Command", path)] {
        rendering.fields.insert(name.into(), value.into());
    }
    words.iter().map(|word| render(word, &rendering)).collect()
}

/// Can the variables of this command be `A="$A"` instead of `A='value'`? Only where a shell reads them, outside of quotes.
fn can_refer_by_name(words: &[String]) -> bool {
    const SHELLS: &[&str] = &["sh", "bash", "dash", "ash", "ksh", "zsh"];
    let [program, flag, text, ..] = words else { return false };
    let program = program.rsplit('/').next().unwrap_or_default();
    if !SHELLS.contains(&program) || !flag.starts_with('-') || !flag.ends_with('c') {
        return false;
    }
    let others = words
        .iter()
        .enumerate()
        .any(|(index, word)| index != 2 && word.contains(".Vars"));
    let before = text.split(".Vars").next().unwrap_or_default();
    !others && text.matches(".Vars").count() <= 1 && !before.contains(['\'', '"', '\\', '`'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn variables_are_referred_to_by_name_only_where_a_shell_reads_them() {
        assert!(can_refer_by_name(&words(&[
            "/bin/sh",
            "-c",
            "Y=2 {{.Vars}} /bin/sh {{.Script}}"
        ])));
        assert!(can_refer_by_name(&words(&["bash", "-ec", "{{.Vars}} {{.Script}}"])));
        assert!(!can_refer_by_name(&words(&["sh", "-c", "ssh host '{{.Vars}} x'"])));
        assert!(!can_refer_by_name(&words(&["env", "{{.Vars}}", "{{.Script}}"])));
        assert!(!can_refer_by_name(&words(&["sh", "-c", "{{.Script}}", "{{.Vars}}"])));
    }

    #[test]
    fn the_options_complain_about_what_does_not_go_together() {
        let check = |json: &str| {
            let mut complaints = Vec::new();
            serde_json::from_str::<LocalShellOptions>(json)
                .unwrap()
                .check(&mut complaints);
            complaints
                .into_iter()
                .map(|complaint| complaint.option)
                .collect::<Vec<_>>()
        };
        assert_eq!(check(r#"{"command": "a"}"#), Vec::<String>::new());
        assert_eq!(check(r#"{"command": "a", "inline": ["b"]}"#), ["command"]);
        assert_eq!(
            check(r#"{"inline": ["b"], "execute_command": []}"#),
            ["execute_command"]
        );
        assert_eq!(check("{}"), [""]);
    }
}
