//! The `shell` provisioner: uploads scripts to the instance, runs them and removes them, each step retried while the instance restarts.
//!
//! Values of variables do not stand in the command line of a process of the instance when the template leaves the command to us: the
//! shell reads them from its standard input. With a command of the template's own they stand where it puts them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bakelite_engine::communicator::{CommunicatorError, Exit, Running};
use bakelite_engine::error::{Explain, Kind};
use bakelite_engine::output::stream;
use bakelite_engine::private_file::random_number;
use bakelite_engine::provisioner::{ProvisionError, Provisioner, Provisioning};
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_scripts::quote;
use bakelite_scripts::script::{ScriptOptions, Shebang, flatten};
use bakelite_template::component::Complaint;
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;

use crate::line_ends::unix_copy;
use crate::remote_script::{
    CLEAN_UP_LIMIT, Disconnects, ENDED_BY_SIGNAL, RemoteOptions, answer, judge, lost, opened, rendered, upload_file,
    upload_text, variables, warn_of_remains,
};

pub(crate) const REGISTRATION: Registration = Registration::plain(
    "shell",
    "Runs scripts on the instance.",
    Schema::of::<ShellOptions>,
    Make::Provisioner(make),
);

/// How long to wait until an instance has gone that says that it goes down, and one that only seems to.
const GOING_DOWN_LIMIT: Duration = Duration::from_mins(1);
const SHORT_GOING_DOWN_LIMIT: Duration = Duration::from_secs(10);

/// How variables are written into a command and into a file.
const IN_COMMAND: &str = "%s='%s' ";
const IN_FILE: &str = "export %s='%s'\n";

/// The inline script cannot be kept on this machine while it runs.
#[derive(Debug, thiserror::Error)]
#[error("failed to write the inline script into `{directory}`")]
struct Unwritten {
    directory: String,
    source: std::io::Error,
}

impl Explain for Unwritten {}

/// Options of shell.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
struct ShellOptions {
    /// What to run.
    #[serde(flatten)]
    script: ScriptOptions,
    /// How an inline script starts.
    #[serde(flatten)]
    shebang: Shebang,
    /// The command that runs a script; default `chmod +x {{.Path}}; {{.Vars}} {{.Path}}`. `{{.Path}}` is the script on the instance,
    /// `{{.Vars}}` the variables, `{{.EnvVarFile}}` the file with them.
    #[schemars(extend("x-late" = true))]
    execute_command: Option<String>,
    /// Put the variables into a file on the instance that the command reads, in place of the command itself.
    use_env_var_file: bool,
    /// Directory of the instance for scripts.
    remote_folder: String,
    /// Name of the script there; default `script_` with a number.
    remote_file: Option<String>,
    /// The script's whole path on the instance, in place of directory and name.
    remote_path: Option<String>,
    /// Upload scripts as they are; otherwise line ends of Windows become those of Unix.
    binary: bool,
    /// The script may end the connection, or be ended by a signal, as a restart does.
    expect_disconnect: bool,
    /// How it is run.
    #[serde(flatten)]
    remote: RemoteOptions,
}

impl Default for ShellOptions {
    fn default() -> Self {
        Self {
            script: ScriptOptions::default(),
            shebang: Shebang::default(),
            execute_command: None,
            use_env_var_file: false,
            remote_folder: "/tmp".into(),
            remote_file: None,
            remote_path: None,
            binary: false,
            expect_disconnect: false,
            remote: RemoteOptions::default(),
        }
    }
}

struct Shell {
    options: ShellOptions,
    /// Where a script lies on the instance, whichever of them runs.
    path: String,
    /// The file with the variables on the instance.
    variable_file: Option<String>,
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn Provisioner>> {
    let options: ShellOptions = read_options(decoded, complaints)?;
    options.script.check(complaints, |path| Path::new(path).exists());
    let directory = &options.remote_folder;
    let path = options.remote_path.clone().unwrap_or_else(|| {
        let file = options.remote_file.clone();
        format!(
            "{directory}/{}",
            file.unwrap_or_else(|| format!("script_{}.sh", random_number()))
        )
    });
    let variable_file = options
        .use_env_var_file
        .then(|| format!("{directory}/varfile_{}.sh", random_number()));
    let shell = Shell {
        options,
        path,
        variable_file,
    };
    Some(Box::new(shell))
}

#[async_trait]
impl Provisioner for Shell {
    async fn provision(&self, provisioning: &Provisioning) -> Result<(), ProvisionError> {
        let run = &provisioning.run;
        let unwritten = |source| {
            let directory = run.temporary_directory.display().to_string();
            Unwritten { directory, source }
        };
        let scripts = self.options.script.scripts(&self.options.shebang);
        let files = scripts.on_disk(run, "").map_err(unwritten)?;
        self.at_work(provisioning).run_all(&files.paths).await?;
        self.options.remote.pause(provisioning).await
    }

    async fn clean_up_after_timeout(&self, provisioning: &Provisioning) {
        if self.options.remote.skip_clean {
            return;
        }
        for path in self.variable_file.iter().chain([&self.path]) {
            self.at_work(provisioning).try_to_remove(path).await;
        }
    }
}

impl Shell {
    fn at_work<'a>(&'a self, provisioning: &'a Provisioning) -> Work<'a> {
        Work {
            options: &self.options,
            path: &self.path,
            variable_file: self.variable_file.as_deref(),
            variables: variables(&self.options.script, provisioning),
            provisioning,
        }
    }
}

/// A provisioner at work.
struct Work<'a> {
    options: &'a ShellOptions,
    provisioning: &'a Provisioning,
    /// All variables, by name.
    variables: BTreeMap<String, String>,
    /// Where a script lies on the instance.
    path: &'a str,
    /// The file with the variables on the instance.
    variable_file: Option<&'a str>,
}

impl Work<'_> {
    async fn run_all(&self, scripts: &[std::path::PathBuf]) -> Result<(), ProvisionError> {
        if let Some(path) = self.variable_file {
            let format = self.options.script.env_var_format.as_deref().unwrap_or(IN_FILE);
            let text = flatten(&self.variables, format);
            self.retrying(|| upload_text(self.provisioning, text.as_bytes(), path))
                .await?;
        }
        let mut result = Ok(());
        for script in scripts {
            result = self.run_script(script).await;
            if result.is_err() {
                break;
            }
        }
        match self.variable_file {
            Some(path) => self.clean(path, result).await,
            None => result,
        }
    }

    async fn run_script(&self, script: &Path) -> Result<(), ProvisionError> {
        self.provisioning
            .ui
            .say(format!("Provisioning with shell script: {}", script.display()));
        let path = self.path;
        let (command, input) = self.command(path)?;
        let mut was_tried = false;
        let start = || {
            let again = std::mem::replace(&mut was_tried, true);
            self.upload_and_start(script, path, &command, &input, again)
        };
        let started = self.retrying(start).await;
        let running = match started {
            Ok(running) => running,
            // It may be there, in part or whole. An instance that cannot be reached is not tried again.
            Err(error) if error.kind() == Kind::Failed => return self.clean(path, Err(error)).await,
            Err(error) => return Err(error),
        };
        let exit = stream(running, &self.provisioning.ui).await;
        if let (true, Exit::Status(status)) = (self.options.expect_disconnect, exit) {
            self.outlast(status).await;
        }
        let disconnects = Disconnects::of_shell(self.options.expect_disconnect, &self.options.script);
        self.clean(path, judge(&self.options.script, exit, &disconnects)).await
    }

    /// What comes after a script must not meet an instance that goes down. `reboot` returns before anything happens, and a shutdown ends the
    /// script before the connection: so this waits until the connection has ended, if systemd or the script's end says that it will.
    async fn outlast(&self, status: u32) {
        let mut gone = self.provisioning.communicator.disconnected();
        let state = tokio::select! {
            biased;
            () = &mut gone => return,
            state = self.system_state() => state,
        };
        let limit = match state.trim() {
            "stopping" => GOING_DOWN_LIMIT,
            "initializing" | "starting" | "running" | "degraded" | "maintenance" => return,
            _ if ENDED_BY_SIGNAL.contains(&status) => SHORT_GOING_DOWN_LIMIT,
            _ => return,
        };
        let _ = tokio::time::timeout(limit, gone).await;
    }

    /// What systemd says that the system does; empty where there is none.
    async fn system_state(&self) -> String {
        let command = "systemctl is-system-running 2>/dev/null";
        match self.provisioning.communicator.exec(command).await {
            Ok(running) => answer(running).await.1,
            Err(_) => String::new(),
        }
    }

    /// Uploads a script and starts it; done again as a whole when the connection is lost before it was started.
    async fn upload_and_start(
        &self,
        script: &Path,
        path: &str,
        command: &str,
        input: &str,
        again: bool,
    ) -> Result<Running, CommunicatorError> {
        if again {
            // The server may not know yet that the connection is lost: what it still writes must not be what is run.
            self.remove(path).await?;
        }
        let open = if self.options.binary {
            |script: &Path| std::fs::File::open(script)
        } else {
            unix_copy
        };
        // The mode that `chmod 0755` gave it in a step of its own.
        upload_file(self.provisioning, opened(script, open)?, 0o755, path).await?;
        let started = self.provisioning.communicator.exec(command).await;
        let mut running = match started {
            // It is not started again: it may be what ended the connection.
            Err(error @ CommunicatorError::Unanswered { .. }) if self.options.expect_disconnect => {
                self.provisioning.ui.warn(error.to_string());
                Running::lost()
            }
            started => started?,
        };
        if let Some(mut stdin) = running.stdin.take() {
            // A command that has ended already needs no input.
            let _ = stdin.write_all(input.as_bytes()).await;
            let _ = stdin.shutdown().await;
        }
        Ok(running)
    }

    /// The command that runs a script, and what it reads.
    fn command(&self, path: &str) -> Result<(String, String), ProvisionError> {
        let options = self.options;
        let format = options.script.env_var_format.as_deref();
        let has_own = !options.script.user_variables().is_empty();
        if options.execute_command.is_none() && format.is_none() && self.variable_file.is_none() && has_own {
            // With nothing of the user's in it the usual command says no secret.
            let path = quote::path(path);
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
        let file = self.variable_file.unwrap_or_default();
        // A command of the template's own has its own quotes; ours needs them.
        let word = |path: &str| match &options.execute_command {
            Some(_) => path.to_owned(),
            None => quote::path(path),
        };
        let (path, file) = (word(path), word(file));
        let fields = [("Vars", flat.as_str()), ("Path", &path), ("EnvVarFile", &file)];
        let command = options.execute_command.as_deref().unwrap_or(default);
        let command = rendered("execute_command", command, &fields, self.provisioning)?;
        Ok((command, String::new()))
    }

    /// Removes a file of ours from the instance, whatever became of the script. After a success this waits out a restart.
    async fn clean(&self, path: &str, result: Result<(), ProvisionError>) -> Result<(), ProvisionError> {
        if self.options.remote.skip_clean {
            return result;
        }
        match result {
            Ok(()) => self.retrying(|| self.remove(path)).await,
            Err(error) => {
                self.try_to_remove(path).await;
                Err(error)
            }
        }
    }

    async fn try_to_remove(&self, path: &str) {
        let removed = tokio::time::timeout(CLEAN_UP_LIMIT, self.remove(path)).await;
        if !removed.is_ok_and(|removed| removed.is_ok()) {
            warn_of_remains(self.provisioning, path);
        }
    }

    async fn remove(&self, path: &str) -> Result<(), CommunicatorError> {
        let running = self
            .provisioning
            .communicator
            .exec(&format!("rm -f {}", quote::path(path)))
            .await
            .map_err(CommunicatorError::of_repeatable_command)?;
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
        self.options.remote.retrying(self.provisioning, work).await
    }
}
