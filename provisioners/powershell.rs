//! The `powershell` provisioner: uploads PowerShell scripts to the instance, runs them and removes them.
//!
//! Values of variables and the password of another user are in files alone, never in a command, which everybody on the instance could
//! read in the list of processes.

use std::collections::BTreeSet;
use std::path::Path;

use async_trait::async_trait;
use bakelite_engine::communicator::{CommunicatorError, Running};
use bakelite_engine::output::stream;
use bakelite_engine::provisioner::{ProvisionError, Provisioner, Provisioning};
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_scripts::script::ScriptOptions;
use bakelite_template::component::Complaint;
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use crate::powershell_command::{Interpreter, Policy, variable_script};
use crate::powershell_elevated::Elevated;
use crate::remote_script::{Disconnects, RemoteOptions, judge, rendered, upload_text, variables};
use crate::windows_scripts::{Conversion, WindowsScript, for_powershell, remove};

pub(crate) const REGISTRATION: Registration = Registration::plain(
    "powershell",
    "Runs PowerShell scripts on the instance.",
    Schema::of::<PowerShellOptions>,
    Make::Provisioner(make),
);

/// Options of powershell.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct PowerShellOptions {
    /// What to run.
    #[serde(flatten)]
    script: ScriptOptions,
    /// How a variable is written for an elevated script, in Go's format syntax: name, then value; default `$env:%s="%s"; `, as that of
    /// `env_var_format`. Values are escaped with backticks.
    elevated_env_var_format: Option<String>,
    /// The command that runs a script. `{{.Path}}` is the script on the instance, `{{.Vars}}` a script there that sets the variables.
    /// Default for `inline`: `powershell -executionpolicy bypass -file {{.Path}}`; for files
    /// `powershell -executionpolicy bypass "& { $ProgressPreference='SilentlyContinue';. {{.Vars}}; &'{{.Path}}'; exit $LastExitCode }"`.
    #[schemars(extend("x-late" = true))]
    execute_command: Option<String>,
    /// The same for a script that runs as `elevated_user`.
    #[schemars(extend("x-late" = true))]
    elevated_execute_command: Option<String>,
    /// PowerShell's execution policy while a script runs, in any case or by number, `0` to `7`; `none` leaves it to the instance.
    execution_policy: Policy,
    /// Run scripts with PowerShell 6 or later (`pwsh`), in place of Windows PowerShell.
    use_pwsh: bool,
    /// Show the lines of a script as they run: 1; with 2 also variables and calls. Default 0.
    #[schemars(range(max = 2))]
    debug_mode: u8,
    /// Path of a script on the instance; default `c:/Windows/Temp/script-` with a unique ending. One that ends in `/` or `\` is a
    /// directory.
    remote_path: Option<String>,
    /// Path of the script that sets the variables; default `c:/Windows/Temp/packer-ps-env-vars-` with a unique ending.
    remote_env_var_path: Option<String>,
    /// Run scripts as this user with the highest privileges, as a scheduled task.
    #[schemars(extend("x-late" = true))]
    elevated_user: Option<String>,
    /// The password of `elevated_user`; without one the user is a service account, such as `SYSTEM`.
    #[schemars(extend("x-late" = true, "x-sensitive" = true))]
    elevated_password: Option<String>,
    /// Upload scripts as they are; otherwise one with characters outside of ASCII gets a byte order mark, so that Windows PowerShell
    /// reads it as UTF-8.
    binary: bool,
    /// How it is run.
    #[serde(flatten)]
    remote: RemoteOptions,
}

struct PowerShell {
    options: PowerShellOptions,
    /// In the names of what it leaves on the instance for a while.
    id: Uuid,
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn Provisioner>> {
    let options: PowerShellOptions = read_options(decoded, complaints)?;
    options.script.check(complaints, |path| Path::new(path).exists());
    if options.elevated_password.is_some() && options.elevated_user.is_none() {
        let complaint = Complaint::error(
            "elevated_password",
            "`elevated_password` is given without `elevated_user`",
        );
        complaints.push(complaint.help("name the user whose password it is"));
    }
    let id = Uuid::new_v4();
    Some(Box::new(PowerShell { options, id }))
}

#[async_trait]
impl Provisioner for PowerShell {
    async fn provision(&self, provisioning: &Provisioning) -> Result<(), ProvisionError> {
        let work = Work::new(&self.options, self.id, provisioning)?;
        let scripts = work.scripts();
        let result = work.run_all(&scripts).await;
        work.clean(&scripts, result.is_ok()).await;
        result?;
        self.options.remote.pause(provisioning).await
    }

    async fn clean_up_after_timeout(&self, provisioning: &Provisioning) {
        // What cannot be rendered was not uploaded.
        if let Ok(work) = Work::new(&self.options, self.id, provisioning) {
            work.clean(&work.scripts(), false).await;
        }
    }
}

/// A provisioner at work.
struct Work<'a> {
    options: &'a PowerShellOptions,
    provisioning: &'a Provisioning,
    interpreter: Interpreter,
    /// The script that sets the variables, as text, and where it goes.
    variables: String,
    variable_path: String,
    /// What a script is called on the instance when the template does not say.
    script_path: String,
    inline_name: String,
    elevated: Option<Elevated>,
}

impl<'a> Work<'a> {
    fn new(options: &'a PowerShellOptions, id: Uuid, provisioning: &'a Provisioning) -> Result<Self, ProvisionError> {
        let elevated = match &options.elevated_user {
            Some(user) => {
                let user = rendered("elevated_user", user, &[], provisioning)?;
                let password = options
                    .elevated_password
                    .as_ref()
                    .map(|password| rendered("elevated_password", password, &[], provisioning))
                    .transpose()?;
                Some(Elevated::new(id.to_string(), user, password))
            }
            None => None,
        };
        let format = match elevated {
            Some(_) => options.elevated_env_var_format.as_deref(),
            None => options.script.env_var_format.as_deref(),
        };
        let path = |option: &Option<String>, default: String| option.clone().unwrap_or(default);
        Ok(Self {
            interpreter: Interpreter {
                policy: options.execution_policy,
                pwsh: options.use_pwsh,
                trace: options.debug_mode,
            },
            variables: variable_script(&variables(&options.script, provisioning), format),
            variable_path: path(
                &options.remote_env_var_path,
                format!("c:/Windows/Temp/packer-ps-env-vars-{id}.ps1"),
            ),
            script_path: path(&options.remote_path, format!("c:/Windows/Temp/script-{id}.ps1")),
            inline_name: format!("script-{id}.ps1"),
            elevated,
            options,
            provisioning,
        })
    }

    fn scripts(&self) -> Vec<WindowsScript> {
        WindowsScript::all(
            &self.options.script,
            &self.provisioning.run.working_directory,
            |lines| self.interpreter.inline_script(lines, &self.variables),
        )
    }

    async fn run_all(&self, scripts: &[WindowsScript]) -> Result<(), ProvisionError> {
        if self.needs_variable_script() {
            let text = for_powershell(self.variables.clone().into_bytes());
            let path = &self.variable_path;
            self.options
                .remote
                .retrying(self.provisioning, || upload_text(self.provisioning, &text, path))
                .await?;
        }
        for script in scripts {
            self.run_script(script).await?;
        }
        Ok(())
    }

    async fn run_script(&self, script: &WindowsScript) -> Result<(), ProvisionError> {
        let ui = &self.provisioning.ui;
        ui.say(format!("Provisioning with PowerShell script: {}", script.shown()));
        let path = self.destination(script);
        let command = self.command(script, &path)?;
        let running = self
            .options
            .remote
            .retrying(self.provisioning, || self.upload_and_start(script, &path, &command))
            .await?;
        let exit = stream(running, ui).await;
        let options = &self.options.script;
        judge(options, exit, &Disconnects::of_windows(options))
    }

    /// Uploads a script and starts it; done again as a whole when the connection is lost before it was started.
    async fn upload_and_start(
        &self,
        script: &WindowsScript,
        path: &str,
        command: &str,
    ) -> Result<Running, CommunicatorError> {
        let conversion = Conversion {
            convert: for_powershell,
            binary: self.options.binary,
        };
        script.upload(self.provisioning, &conversion, "", path).await?;
        let communicator = &self.provisioning.communicator;
        match &self.elevated {
            None => communicator.exec(command).await,
            Some(elevated) => {
                let runner = for_powershell(elevated.runner(command).into_bytes());
                upload_text(self.provisioning, &runner, &elevated.runner_path()).await?;
                communicator.exec(&elevated.runner_command()).await
            }
        }
    }

    fn destination(&self, script: &WindowsScript) -> String {
        script.destination(&self.script_path, &self.inline_name)
    }

    /// The command that runs a script, as the template wants it.
    fn command(&self, script: &WindowsScript, path: &str) -> Result<String, ProvisionError> {
        if let Some((option, command)) = self.own_command() {
            let fields = [("Vars", self.variable_path.as_str()), ("Path", path)];
            return rendered(option, command, &fields, self.provisioning);
        }
        Ok(match script {
            WindowsScript::Inline(_) => self.interpreter.file_command(path),
            WindowsScript::File(_) => self.interpreter.block_command(&self.variable_path, path),
        })
    }

    /// The template's own command, and the option that it is from.
    fn own_command(&self) -> Option<(&'static str, &str)> {
        let options = self.options;
        let (option, command) = match self.elevated {
            Some(_) => ("elevated_execute_command", &options.elevated_execute_command),
            None => ("execute_command", &options.execute_command),
        };
        Some((option, command.as_deref()?))
    }

    /// An inline script sets its variables itself; only a command of the template's own may still ask for them.
    fn needs_variable_script(&self) -> bool {
        self.options.script.inline_lines().is_none() || self.own_command().is_some()
    }

    /// Removes what is ours from the instance, whatever became of the scripts. What cannot be removed is told, and no error.
    async fn clean(&self, scripts: &[WindowsScript], all_well: bool) {
        let mut work = Vec::new();
        if !self.options.remote.skip_clean {
            let mut paths: BTreeSet<String> = scripts.iter().map(|script| self.destination(script)).collect();
            paths.extend(self.needs_variable_script().then(|| self.variable_path.clone()));
            work.extend(self.interpreter.remove_commands(&paths));
        }
        // A runner holds a password: it goes even where scripts stay.
        if let Some(elevated) = &self.elevated {
            work.push((elevated.runner_path(), self.interpreter.encoded(&elevated.removal())));
        }
        for (what, command) in work {
            remove(self.provisioning, all_well, &what, &command).await;
        }
    }
}
