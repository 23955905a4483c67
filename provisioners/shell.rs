//! The `shell` provisioner: scripts on the instance (communicators.md §10). What its options are; `shell_run.rs` runs them.

use std::path::Path;

use async_trait::async_trait;
use bakelite_engine::provisioner::{ProvisionError, Provisioner, Provisioning};
use bakelite_engine::registry::{Registration, read_options};
use bakelite_engine::script::{ScriptOptions, Shebang, random_number};
use bakelite_template::component::Complaint;
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::given;
use crate::remote_script::RemoteOptions;
use crate::shell_run;

pub(crate) const REGISTRATION: Registration = crate::registration(
    "shell",
    "Runs scripts on the instance.",
    Schema::of::<ShellOptions>,
    make,
);

/// Options of shell.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ShellOptions {
    /// What to run.
    #[serde(flatten)]
    pub(crate) script: ScriptOptions,
    /// How an inline script starts.
    #[serde(flatten)]
    pub(crate) shebang: Shebang,
    /// The command that runs a script; default `chmod +x {{.Path}}; {{.Vars}} {{.Path}}`. `{{.Path}}` is the script on the instance,
    /// `{{.Vars}}` the variables, `{{.EnvVarFile}}` the file with them.
    #[schemars(extend("x-late" = true))]
    pub(crate) execute_command: Option<String>,
    /// Put the variables into a file on the instance that the command reads, in place of the command itself.
    pub(crate) use_env_var_file: bool,
    /// Folder of the instance for scripts; default `/tmp`.
    pub(crate) remote_folder: Option<String>,
    /// Name of the script there; default `script_` with a number.
    pub(crate) remote_file: Option<String>,
    /// The script's whole path on the instance, in place of folder and name.
    pub(crate) remote_path: Option<String>,
    /// Upload scripts as they are; otherwise line ends of Windows become those of Unix.
    pub(crate) binary: bool,
    /// The script may end the connection, or be ended by a signal, as a restart does.
    pub(crate) expect_disconnect: bool,
    /// How it is run.
    #[serde(flatten)]
    pub(crate) remote: RemoteOptions,
}

struct Shell {
    options: ShellOptions,
    /// The file with the variables on the instance.
    variable_file: Option<String>,
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn Provisioner>> {
    let mut options: ShellOptions = read_options(decoded, complaints)?;
    options.script.check(complaints, |path| Path::new(path).exists());
    // One name for all scripts of this provisioner.
    options
        .remote_file
        .get_or_insert_with(|| format!("script_{}.sh", random_number()));
    let variable_file = options
        .use_env_var_file
        .then(|| format!("{}/varfile_{}.sh", options.remote_folder(), random_number()));
    let shell = Shell { options, variable_file };
    crate::unless_wrong(shell, complaints)
}

impl ShellOptions {
    /// Where a script lies on the instance.
    pub(crate) fn remote_path(&self) -> String {
        if let Some(path) = given(self.remote_path.as_deref()) {
            return path.to_owned();
        }
        let file = self.remote_file.as_deref().unwrap_or("script.sh");
        format!("{}/{file}", self.remote_folder())
    }

    /// The folder of the instance for scripts and the file of variables.
    pub(crate) fn remote_folder(&self) -> &str {
        given(self.remote_folder.as_deref()).unwrap_or("/tmp")
    }
}

#[async_trait]
impl Provisioner for Shell {
    async fn provision(&self, provisioning: &Provisioning) -> Result<(), ProvisionError> {
        shell_run::run(&self.options, self.variable_file.as_deref(), provisioning).await
    }

    async fn clean_up_after_timeout(&self, provisioning: &Provisioning) {
        shell_run::clean_up_after_timeout(&self.options, self.variable_file.as_deref(), provisioning).await;
    }
}
