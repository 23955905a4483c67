//! Runs scripts on an instance: upload, run, clean, each tried again while the instance restarts (communicators.md §10).
//!
//! Values of variables do not stand in the command line of a process of the instance when the template leaves the command to us: the
//! shell reads them from its standard input. With a command of the template's own they stand where it puts them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bakelite_engine::communicator::{CommunicatorError, DISCONNECT_STATUS, Exit, Running, Upload};
use bakelite_engine::output::stream;
use bakelite_engine::provisioner::{ProvisionError, Provisioning};
use bakelite_engine::script::{build_variables, flatten, random_number, shell_word};
use bakelite_template::gotemplate::{RenderError, render};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use crate::line_ends::unix_copy;
use crate::patience::{pause, until_reachable};
use crate::shell::ShellOptions;

/// How variables are written into a command and into a file.
const IN_COMMAND: &str = "%s='%s' ";
const IN_FILE: &str = "export %s='%s'\n";

/// What may be tried to clean up after a script that failed: its error is what counts.
const CLEAN_UP_LIMIT: Duration = Duration::from_secs(30);

/// Why a script did not do what it should.
#[derive(Debug, thiserror::Error)]
enum ShellError {
    #[error("write the inline script into `{folder}`")]
    Inline { folder: String, source: std::io::Error },
    #[error("render `execute_command`")]
    Render(#[from] RenderError),
    #[error(
        "Script disconnected unexpectedly. If you expected your script to disconnect, i.e. from a restart, you can try adding \
         `\"expect_disconnect\": true` or `\"valid_exit_codes\": [0, 2300218]` to the shell provisioner parameters"
    )]
    Disconnected,
}

fn failed(error: impl Into<ShellError>) -> ProvisionError {
    ProvisionError::failed(error.into())
}

/// A provisioner at work.
struct Shell<'a> {
    options: &'a ShellOptions,
    provisioning: &'a Provisioning,
    /// All variables, by name.
    variables: BTreeMap<String, String>,
    /// The file with the variables on the instance.
    variable_file: Option<String>,
}

/// Runs the scripts of a shell provisioner.
pub(crate) async fn run(options: &ShellOptions, provisioning: &Provisioning) -> Result<(), ProvisionError> {
    let run = &provisioning.run;
    let folder = run.temporary_folder.display().to_string();
    let files = options
        .script
        .scripts()
        .on_disk(&run.temporary_folder, &run.working_folder, "");
    let files = files.map_err(|source| failed(ShellError::Inline { folder, source }))?;
    let mut variables = options.script.user_variables();
    let rendering = &provisioning.rendering;
    variables.extend(build_variables(
        &rendering.build_name,
        &rendering.build_type,
        &provisioning.data,
    ));
    let variable_file = options
        .use_env_var_file
        .then(|| format!("{}/varfile_{}.sh", options.remote_folder(), random_number()));
    let shell = Shell {
        options,
        provisioning,
        variables,
        variable_file,
    };
    shell.run_all(&files.paths).await?;
    if let Some(span) = options.pause_after.filter(|span| !span.is_zero()) {
        provisioning.ui.say(format!("Pausing {span} after this provisioner..."));
        pause(span.to_std(), &provisioning.cancel).await?;
    }
    Ok(())
}

impl Shell<'_> {
    async fn run_all(&self, scripts: &[std::path::PathBuf]) -> Result<(), ProvisionError> {
        if let Some(path) = &self.variable_file {
            let format = self.options.script.env_var_format.as_deref().unwrap_or(IN_FILE);
            let text = flatten(&self.variables, format);
            self.retrying(|| self.upload_text(&text, path)).await?;
        }
        let mut result = Ok(());
        for script in scripts {
            result = self.run_script(script).await;
            if result.is_err() {
                break;
            }
        }
        match &self.variable_file {
            Some(path) => self.clean(path, result).await,
            None => result,
        }
    }

    async fn run_script(&self, script: &Path) -> Result<(), ProvisionError> {
        self.provisioning
            .ui
            .say(format!("Provisioning with shell script: {}", script.display()));
        let path = self.options.remote_path();
        let (command, input) = self.command(&path)?;
        let running = self
            .retrying(|| self.upload_and_start(script, &path, &command, &input))
            .await?;
        let exit = stream(running, &self.provisioning.ui).await;
        self.clean(&path, self.judge(exit)).await
    }

    /// Uploads a script and starts it; done again as a whole when the connection is lost before it was started.
    async fn upload_and_start(
        &self,
        script: &Path,
        path: &str,
        command: &str,
        input: &str,
    ) -> Result<Running, CommunicatorError> {
        let local = |cause| CommunicatorError::Local {
            operation: format!("read script `{}`", script.display()),
            cause,
        };
        let file = if self.options.binary {
            std::fs::File::open(script)
        } else {
            unix_copy(script)
        };
        let mut file = File::from_std(file.map_err(local)?);
        let size = file.metadata().await.map_err(local)?.len();
        // The mode that `chmod 0755` gave it in a step of its own.
        let upload = Upload {
            content: &mut file,
            size,
            mode: 0o755,
        };
        self.provisioning.communicator.upload(upload, path).await?;
        let mut running = self.provisioning.communicator.exec(command).await?;
        if let Some(mut stdin) = running.stdin.take() {
            // A command that has ended already needs no input.
            let _ = stdin.write_all(input.as_bytes()).await;
            let _ = stdin.shutdown().await;
        }
        Ok(running)
    }

    async fn upload_text(&self, text: &str, path: &str) -> Result<(), CommunicatorError> {
        let upload = Upload {
            content: &mut text.as_bytes(),
            size: text.len() as u64,
            mode: 0o600,
        };
        self.provisioning.communicator.upload(upload, path).await
    }

    /// The command that runs a script, and what it reads.
    fn command(&self, path: &str) -> Result<(String, String), ProvisionError> {
        let options = self.options;
        let format = options.script.env_var_format.as_deref();
        let has_own = !options.script.user_variables().is_empty();
        if options.execute_command.is_none() && format.is_none() && self.variable_file.is_none() && has_own {
            // With nothing of the user's in it the usual command says no secret.
            let path = shell_word(path);
            let command = format!("chmod +x {path}; eval \"$(cat)\"; {path}");
            return Ok((command, flatten(&self.variables, IN_FILE)));
        }
        let default = match self.variable_file {
            Some(_) => "chmod +x {{.Path}}; . {{.EnvVarFile}} && {{.Path}}",
            None => "chmod +x {{.Path}}; {{.Vars}} {{.Path}}",
        };
        let flat = flatten(
            &self.variables,
            format.unwrap_or(if self.variable_file.is_some() {
                IN_FILE
            } else {
                IN_COMMAND
            }),
        );
        let mut rendering = self.provisioning.rendering.clone();
        let file = self.variable_file.as_deref().unwrap_or_default();
        // A command of the template's own has its own quotes; ours needs them.
        let word = |path: &str| match &options.execute_command {
            Some(_) => path.to_owned(),
            None => shell_word(path),
        };
        let (path, file) = (word(path), word(file));
        for (name, value) in [("Vars", &flat), ("Path", &path), ("EnvVarFile", &file)] {
            rendering.fields.insert(name.into(), value.as_str().into());
        }
        let command = render(options.execute_command.as_deref().unwrap_or(default), &rendering);
        Ok((command.map_err(failed)?, String::new()))
    }

    /// What the end of a script means.
    fn judge(&self, exit: Exit) -> Result<(), ProvisionError> {
        let script = &self.options.script;
        match exit {
            Exit::Disconnected
                if self.options.expect_disconnect || script.is_valid_exit(i64::from(DISCONNECT_STATUS)) =>
            {
                Ok(())
            }
            Exit::Disconnected => Err(failed(ShellError::Disconnected)),
            Exit::Status(status) if script.is_valid_exit(i64::from(status)) => Ok(()),
            Exit::Status(status) => Err(ProvisionError::failed(script.exit_error(i64::from(status)))),
        }
    }

    /// Removes a file of ours from the instance, whatever became of the script. After a success this waits out a restart.
    async fn clean(&self, path: &str, result: Result<(), ProvisionError>) -> Result<(), ProvisionError> {
        if self.options.skip_clean {
            return result;
        }
        match result {
            Ok(()) => self.retrying(|| self.remove(path)).await,
            Err(error) => {
                if tokio::time::timeout(CLEAN_UP_LIMIT, self.remove(path))
                    .await
                    .is_ok_and(|removed| removed.is_ok())
                {
                    return Err(error);
                }
                self.provisioning
                    .ui
                    .error(format!("Warning: {path} stays on the instance: it cannot be reached"));
                Err(error)
            }
        }
    }

    async fn remove(&self, path: &str) -> Result<(), CommunicatorError> {
        let running = self
            .provisioning
            .communicator
            .exec(&format!("rm -f {}", shell_word(path)))
            .await?;
        let lost = || CommunicatorError::Disconnected {
            peer: "the instance".into(),
            cause: None,
        };
        // Also a status other than 0 is one of a machine that goes down: its shells are ended.
        match stream(running, &self.provisioning.ui).await {
            Exit::Status(0) => Ok(()),
            Exit::Status(_) | Exit::Disconnected => Err(lost()),
        }
    }

    async fn retrying<T, F>(&self, work: impl FnMut() -> F) -> Result<T, ProvisionError>
    where
        F: Future<Output = Result<T, CommunicatorError>>,
    {
        until_reachable(self.options.start_limit(), &self.provisioning.cancel, work).await
    }
}
