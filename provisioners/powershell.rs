//! The `powershell` provisioner: PowerShell scripts on the instance (communicators.md §14). What its options are; `powershell_run.rs`
//! runs them.

use std::path::Path;

use async_trait::async_trait;
use bakelite_engine::provisioner::{ProvisionError, Provisioner, Provisioning};
use bakelite_engine::registry::{Registration, read_options};
use bakelite_engine::script::ScriptOptions;
use bakelite_template::component::Complaint;
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use crate::powershell_command::Policy;
use crate::powershell_run;
use crate::remote_script::RemoteOptions;

pub(crate) const REGISTRATION: Registration = crate::registration(
    "powershell",
    "Runs PowerShell scripts on the instance.",
    Schema::of::<PowerShellOptions>,
    make,
);

/// Options of powershell.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct PowerShellOptions {
    /// What to run.
    #[serde(flatten)]
    pub(crate) script: ScriptOptions,
    /// How a variable is written for an elevated script, in Go's format syntax: name, then value; default `$env:%s="%s"; `, as that of
    /// `env_var_format`. Values are escaped with backticks.
    pub(crate) elevated_env_var_format: Option<String>,
    /// The command that runs a script. `{{.Path}}` is the script on the instance, `{{.Vars}}` a script there that sets the variables.
    /// Default for `inline`: `powershell -executionpolicy bypass -file {{.Path}}`; for files
    /// `powershell -executionpolicy bypass "& { $ProgressPreference='SilentlyContinue';. {{.Vars}}; &'{{.Path}}'; exit $LastExitCode }"`.
    #[schemars(extend("x-late" = true))]
    pub(crate) execute_command: Option<String>,
    /// The same for a script that runs as `elevated_user`.
    #[schemars(extend("x-late" = true))]
    pub(crate) elevated_execute_command: Option<String>,
    /// PowerShell's execution policy while a script runs: `bypass` (the default), `allsigned`, `default`, `remotesigned`,
    /// `restricted`, `undefined`, `unrestricted`, or `none`, which leaves it to the instance. Also by number, `0` to `7`.
    pub(crate) execution_policy: Option<String>,
    /// Run scripts with PowerShell 6 or later (`pwsh`), in place of Windows PowerShell.
    pub(crate) use_pwsh: bool,
    /// Show the lines of a script as they run: 1; with 2 also variables and calls. Default 0.
    #[schemars(range(max = 2))]
    pub(crate) debug_mode: u8,
    /// Where a script lies on the instance; default `c:/Windows/Temp/script-` with a unique ending. A path that ends in `/` or `\` is
    /// a folder.
    pub(crate) remote_path: Option<String>,
    /// Where the script that sets the variables lies; default `c:/Windows/Temp/packer-ps-env-vars-` with a unique ending.
    pub(crate) remote_env_var_path: Option<String>,
    /// Run scripts as this user with the highest privileges, as a scheduled task.
    #[schemars(extend("x-late" = true))]
    pub(crate) elevated_user: Option<String>,
    /// The password of `elevated_user`; without one the user is a service account, such as `SYSTEM`.
    #[schemars(extend("x-late" = true, "x-sensitive" = true))]
    pub(crate) elevated_password: Option<String>,
    /// Upload scripts as they are; otherwise one with characters outside of ASCII gets a byte order mark, so that Windows PowerShell
    /// reads it as UTF-8.
    pub(crate) binary: bool,
    /// How it is run.
    #[serde(flatten)]
    pub(crate) remote: RemoteOptions,
}

struct PowerShell {
    options: PowerShellOptions,
    policy: Policy,
    /// In the names of what it leaves on the instance for a while.
    id: Uuid,
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn Provisioner>> {
    let options: PowerShellOptions = read_options(decoded, complaints)?;
    options.script.check(complaints, |path| Path::new(path).exists());
    let policy = options.policy(complaints);
    let given = |option: &Option<String>| option.as_ref().is_some_and(|text| !text.is_empty());
    if given(&options.elevated_password) && !given(&options.elevated_user) {
        let complaint = Complaint::error(
            "elevated_password",
            "`elevated_password` is given without `elevated_user`",
        );
        complaints.push(complaint.help("name the user whose password it is"));
    }
    let id = Uuid::new_v4();
    crate::unless_wrong(PowerShell { options, policy, id }, complaints)
}

impl PowerShellOptions {
    fn policy(&self, complaints: &mut Vec<Complaint>) -> Policy {
        let text = self.execution_policy.as_deref().unwrap_or_default();
        Policy::of(text).unwrap_or_else(|| {
            let message = format!("`{text}` is not an execution policy");
            let complaint = Complaint::error("execution_policy", message);
            complaints.push(complaint.help(format!("use one of {}", Policy::names())));
            Policy::default()
        })
    }
}

#[async_trait]
impl Provisioner for PowerShell {
    async fn provision(&self, provisioning: &Provisioning) -> Result<(), ProvisionError> {
        powershell_run::run(&self.options, self.policy, self.id, provisioning).await
    }

    async fn clean_up_after_timeout(&self, provisioning: &Provisioning) {
        powershell_run::clean_up_after_timeout(&self.options, self.policy, self.id, provisioning).await;
    }
}
