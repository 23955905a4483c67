//! Runs PowerShell scripts on an instance: upload, run, clean (communicators.md §14).
//!
//! Values of variables and the password of another user are in files alone, never in a command, which everybody on the instance could
//! read in the list of processes.

use std::collections::BTreeSet;

use bakelite_engine::communicator::{CommunicatorError, Running};
use bakelite_engine::output::stream;
use bakelite_engine::provisioner::{ProvisionError, Provisioning};
use uuid::Uuid;

use crate::given;
use crate::powershell::PowerShellOptions;
use crate::powershell_command::{Interpreter, Policy, variable_script};
use crate::powershell_elevated::Elevated;
use crate::remote_script::{Disconnects, judge, rendered, upload_text, variables};
use crate::windows_scripts::{Conversion, WindowsScript, for_powershell, remove};

/// A provisioner at work.
struct PowerShell<'a> {
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

/// Runs the scripts of a powershell provisioner.
pub(crate) async fn run(
    options: &PowerShellOptions,
    policy: Policy,
    id: Uuid,
    provisioning: &Provisioning,
) -> Result<(), ProvisionError> {
    let powershell = PowerShell::new(options, policy, id, provisioning)?;
    let scripts = powershell.scripts();
    let result = powershell.run_all(&scripts).await;
    powershell.clean(&scripts, result.is_ok()).await;
    result?;
    options.remote.pause(provisioning).await
}

/// Removes what the scripts of a powershell provisioner have left on the instance.
pub(crate) async fn clean_up_after_timeout(
    options: &PowerShellOptions,
    policy: Policy,
    id: Uuid,
    provisioning: &Provisioning,
) {
    // What cannot be rendered was not uploaded.
    if let Ok(powershell) = PowerShell::new(options, policy, id, provisioning) {
        powershell.clean(&powershell.scripts(), false).await;
    }
}

impl<'a> PowerShell<'a> {
    fn new(
        options: &'a PowerShellOptions,
        policy: Policy,
        id: Uuid,
        provisioning: &'a Provisioning,
    ) -> Result<Self, ProvisionError> {
        let elevated = match given(options.elevated_user.as_deref()) {
            Some(user) => {
                let user = rendered("elevated_user", user, &[], provisioning)?;
                let password = given(options.elevated_password.as_deref())
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
        let path = |option: &Option<String>, default: String| given(option.as_deref()).map_or(default, str::to_owned);
        Ok(Self {
            interpreter: Interpreter {
                policy,
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
        WindowsScript::all(&self.options.script, &self.provisioning.run.working_folder, |lines| {
            self.interpreter.inline_script(lines, &self.variables)
        })
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
        Some((option, given(command.as_deref())?))
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
