//! The `windows-shell` provisioner: batch files on the instance.
//!
//! The template's variables stand at the head of the batch file when the command is left to us: there they can hold any character, and
//! nobody reads them in the list of processes. With a command or a format of the template's own they stand where it puts them, as
//! they are.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use bakelite_engine::communicator::{CommunicatorError, Running};
use bakelite_engine::output::stream;
use bakelite_engine::provisioner::{ProvisionError, Provisioner, Provisioning};
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_scripts::script::{ScriptOptions, flatten_with};
use bakelite_template::component::Complaint;
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::remote_script::{Disconnects, RemoteOptions, built_in_variables, judge, rendered, variables};
use crate::windows_scripts::{Conversion, WindowsScript, for_cmd, remove};

pub(crate) const REGISTRATION: Registration = Registration::plain(
    "windows-shell",
    "Runs batch files on the instance.",
    Schema::of::<WindowsShellOptions>,
    Make::Provisioner(make),
);

/// How a variable is written into the command.
const VARIABLE_FORMAT: &str = "set \"%s=%s\" && ";

/// Options of windows-shell.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
struct WindowsShellOptions {
    /// What to run.
    #[serde(flatten)]
    script: ScriptOptions,
    /// The command that runs a script; default `{{.Vars}}"{{.Path}}"`. `{{.Path}}` is the script on the instance, `{{.Vars}}` the
    /// variables, written by `env_var_format` (default `set "%s=%s" && `) and not escaped. When neither option is given, the
    /// template's variables are set in the script itself, whatever characters they have.
    #[schemars(extend("x-late" = true))]
    execute_command: Option<String>,
    /// Path of a script on the instance. One that ends in `/` or `\` is a directory.
    remote_path: String,
    /// Upload scripts as they are; otherwise they get the line ends of Windows and lose a byte order mark.
    binary: bool,
    /// How it is run.
    #[serde(flatten)]
    remote: RemoteOptions,
}

impl Default for WindowsShellOptions {
    fn default() -> Self {
        Self {
            script: ScriptOptions::default(),
            execute_command: None,
            remote_path: "c:/Windows/Temp/script.bat".into(),
            binary: false,
            remote: RemoteOptions::default(),
        }
    }
}

struct WindowsShell {
    options: WindowsShellOptions,
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn Provisioner>> {
    let options: WindowsShellOptions = read_options(decoded, complaints)?;
    options.script.check(complaints, |path| Path::new(path).exists());
    let variables = options.script.user_variables();
    for (name, _) in variables.iter().filter(|(_, value)| value.contains(['\n', '\r'])) {
        let message = format!("variable `{name}` holds a line break, which cmd cannot set");
        complaints.push(Complaint::error("env", message).help("upload the text with the `file` provisioner"));
    }
    Some(Box::new(WindowsShell { options }))
}

#[async_trait]
impl Provisioner for WindowsShell {
    async fn provision(&self, provisioning: &Provisioning) -> Result<(), ProvisionError> {
        let options = &self.options;
        for (script, path) in self.scripts(provisioning) {
            let result = self.run_script(&script, &path, provisioning).await;
            self.clean(&path, result.is_ok(), provisioning).await;
            result?;
        }
        options.remote.pause(provisioning).await
    }

    async fn clean_up_after_timeout(&self, provisioning: &Provisioning) {
        for (_, path) in self.scripts(provisioning) {
            self.clean(&path, false, provisioning).await;
        }
    }
}

impl WindowsShellOptions {
    /// Can the variables stand in a script that lies at this path?
    fn sets_variables_in_script(&self, path: &str) -> bool {
        let own = self.execute_command.is_some() || self.script.env_var_format.is_some() || self.binary;
        let path = path.to_ascii_lowercase();
        !own && [".bat", ".cmd"].iter().any(|ending| path.ends_with(ending))
    }
}

impl WindowsShell {
    /// The scripts, each with its path on the instance.
    fn scripts(&self, provisioning: &Provisioning) -> Vec<(WindowsScript, String)> {
        let options = &self.options;
        let scripts = WindowsScript::all(&options.script, &provisioning.run.working_directory, str::to_owned);
        let placed = scripts.into_iter().map(|script| {
            let path = script.destination(&options.remote_path, "script.bat");
            (script, path)
        });
        placed.collect()
    }

    async fn run_script(
        &self,
        script: &WindowsScript,
        path: &str,
        provisioning: &Provisioning,
    ) -> Result<(), ProvisionError> {
        let options = &self.options;
        let ui = &provisioning.ui;
        ui.say(format!("Provisioning with batch file: {}", script.shown()));
        let (first, in_command) = if options.sets_variables_in_script(path) {
            (
                batch_lines(&options.script.user_variables()),
                built_in_variables(provisioning),
            )
        } else {
            (String::new(), variables(&options.script, provisioning))
        };
        let format = options.script.env_var_format.as_deref().unwrap_or(VARIABLE_FORMAT);
        let flat = flatten_with(&in_command, format, str::to_owned);
        let command = options.execute_command.as_deref().unwrap_or("{{.Vars}}\"{{.Path}}\"");
        let fields = [("Vars", flat.as_str()), ("Path", path)];
        let command = rendered("execute_command", command, &fields, provisioning)?;
        let running = options
            .remote
            .retrying(provisioning, || {
                self.upload_and_start(script, &first, path, &command, provisioning)
            })
            .await?;
        let exit = stream(running, ui).await;
        judge(&options.script, exit, &Disconnects::of_windows(&options.script))
    }

    /// Uploads a script and starts it; done again as a whole when the connection is lost before it was started.
    async fn upload_and_start(
        &self,
        script: &WindowsScript,
        first: &str,
        path: &str,
        command: &str,
        provisioning: &Provisioning,
    ) -> Result<Running, CommunicatorError> {
        let conversion = Conversion {
            convert: for_cmd,
            binary: self.options.binary,
        };
        script.upload(provisioning, &conversion, first, path).await?;
        provisioning.communicator.exec(command).await
    }

    /// Removes a script from the instance, whatever became of it. One that cannot be removed is told, and no error.
    async fn clean(&self, path: &str, all_well: bool, provisioning: &Provisioning) {
        if self.options.remote.skip_clean {
            return;
        }
        // With the separators of Windows: cmd reads what follows a `/` as a switch.
        let file = path.replace('/', "\\");
        let command = format!("del /f /q \"{file}\" & if exist \"{file}\" exit 1");
        remove(provisioning, all_well, path, &command).await;
    }
}

/// Variables as the first lines of a batch file. In a batch file `%` is doubled; outside of quotes, where a quote in the value leads,
/// a caret takes the meaning from what cmd would act on.
fn batch_lines(variables: &BTreeMap<String, String>) -> String {
    let mut lines = String::new();
    for (name, value) in variables {
        lines.push_str("@set \"");
        lines.push_str(name);
        lines.push('=');
        let mut in_quotes = true;
        for character in value.chars() {
            match character {
                '"' => in_quotes = !in_quotes,
                '%' => lines.push('%'),
                '&' | '|' | '<' | '>' | '^' | '(' | ')' if !in_quotes => lines.push('^'),
                _ => {}
            }
            lines.push(character);
        }
        lines.push_str("\"\r\n");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(value: &str) -> String {
        batch_lines(&[("A".to_owned(), value.to_owned())].into())
    }

    #[test]
    fn a_batch_file_sets_values_of_any_characters() {
        assert_eq!(lines("plain value"), "@set \"A=plain value\"\r\n");
        assert_eq!(lines("100% & <more> ^ !x!"), "@set \"A=100%% & <more> ^ !x!\"\r\n");
        assert_eq!(lines(r#"say "a & b" & c"#), "@set \"A=say \"a ^& b\" & c\"\r\n");
        assert_eq!(lines(r#"odd " & (c)"#), "@set \"A=odd \" ^& ^(c^)\"\r\n");
        assert_eq!(lines(""), "@set \"A=\"\r\n");
    }

    #[test]
    fn variables_stand_in_the_script_only_where_that_is_one_of_cmd() {
        let options = |json: &str| serde_json::from_str::<WindowsShellOptions>(json).unwrap();
        let in_script = |json: &str, path: &str| options(json).sets_variables_in_script(path);
        assert!(in_script("{}", "c:/a.bat") && in_script("{}", "c:/A.CMD"));
        assert!(!in_script("{}", "c:/a.vbs"));
        assert!(!in_script(r#"{"execute_command": "x"}"#, "c:/a.bat"));
        assert!(!in_script(r#"{"env_var_format": "x"}"#, "c:/a.bat"));
        assert!(!in_script(r#"{"binary": true}"#, "c:/a.bat"));
    }
}
