//! What the provisioners that run scripts on an instance share: their options, uploading and starting as one unit that is retried while
//! the instance restarts, what the exit of a script means, and the pause afterwards.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bakelite_engine::clock::pause_or_cancelled;
use bakelite_engine::communicator::{CommunicatorError, DISCONNECT_STATUS, Exit, Output, Running, Upload};
use bakelite_engine::error::Explain;
use bakelite_engine::provisioner::{ProvisionError, Provisioning};
use bakelite_scripts::script::{ScriptOptions, build_variables};
use bakelite_template::duration::GoDuration;
use bakelite_template::gotemplate::{RenderError, render};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::fs::File;

use crate::retry::until_reachable;

/// What may be tried to clean up after a script that failed: its error is what counts.
pub(crate) const CLEAN_UP_LIMIT: Duration = Duration::from_secs(30);

/// The status that stands for a lost WinRM connection in `valid_exit_codes`.
const WINRM_DISCONNECT_STATUS: i64 = 16_001;

/// More of an answer than this, in bytes, is not kept.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Options of everything that runs scripts on an instance.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct RemoteOptions {
    /// How long to retry starting a script while the instance cannot be reached.
    pub(crate) start_retry_timeout: GoDuration,
    /// Leave scripts on the instance.
    pub(crate) skip_clean: bool,
    /// Wait this long after the scripts.
    pub(crate) pause_after: GoDuration,
}

impl Default for RemoteOptions {
    fn default() -> Self {
        Self {
            start_retry_timeout: GoDuration::from_seconds(300),
            skip_clean: false,
            pause_after: GoDuration::default(),
        }
    }
}

/// Why a script did not do what it should.
#[derive(Debug, thiserror::Error)]
enum RemoteScriptError {
    #[error("failed to render `{option}`")]
    Render { option: &'static str, source: RenderError },
    #[error(
        "Script disconnected unexpectedly. If you expected your script to disconnect, i.e. from a restart, you can try adding {remedy}"
    )]
    Disconnected { remedy: &'static str },
}

impl Explain for RemoteScriptError {
    fn option(&self) -> Option<Cow<'_, str>> {
        match self {
            RemoteScriptError::Render { option, .. } => Some((*option).into()),
            RemoteScriptError::Disconnected { .. } => None,
        }
    }
}

impl RemoteOptions {
    /// Retries until it works, as long as only the connection is at fault. A timeout of zero is the default.
    pub(crate) async fn retrying<T, F>(
        &self,
        provisioning: &Provisioning,
        work: impl FnMut() -> F,
    ) -> Result<T, ProvisionError>
    where
        F: Future<Output = Result<T, CommunicatorError>>,
    {
        let limit = match self.start_retry_timeout {
            zero if zero.is_zero() => Self::default().start_retry_timeout,
            limit => limit,
        };
        until_reachable(limit.to_std(), &provisioning.cancel, work).await
    }

    /// `pause_after`.
    pub(crate) async fn pause(&self, provisioning: &Provisioning) -> Result<(), ProvisionError> {
        let span = self.pause_after;
        if span.is_zero() {
            return Ok(());
        }
        provisioning.ui.say(format!("Pausing {span} after this provisioner..."));
        pause_or_cancelled(span.to_std(), &provisioning.cancel).await
    }
}

/// All variables of a script, by name.
pub(crate) fn variables(script: &ScriptOptions, provisioning: &Provisioning) -> BTreeMap<String, String> {
    let mut variables = script.user_variables();
    variables.extend(built_in_variables(provisioning));
    variables
}

/// The variables that are not the template's.
pub(crate) fn built_in_variables(provisioning: &Provisioning) -> BTreeMap<String, String> {
    let rendering = &provisioning.rendering;
    build_variables(&rendering.build_name, &rendering.build_type, &provisioning.data)
}

/// Renders a text with what is known of the build, and with fields of its own.
pub(crate) fn rendered(
    option: &'static str,
    text: &str,
    fields: &[(&str, &str)],
    provisioning: &Provisioning,
) -> Result<String, ProvisionError> {
    let mut rendering = provisioning.rendering.with_build_data();
    for (name, value) in fields {
        rendering.fields.insert((*name).into(), (*value).into());
    }
    Ok(render(text, &rendering).map_err(|source| RemoteScriptError::Render { option, source })?)
}

/// Opens a script of this machine.
pub(crate) fn opened(
    script: &Path,
    open: impl FnOnce(&Path) -> std::io::Result<std::fs::File>,
) -> Result<std::fs::File, CommunicatorError> {
    open(script).map_err(|cause| unreadable(script, cause))
}

/// A script of this machine cannot be read.
pub(crate) fn unreadable(script: &Path, cause: std::io::Error) -> CommunicatorError {
    CommunicatorError::Local {
        operation: format!("read script `{}`", script.display()),
        cause,
    }
}

/// Uploads an open file.
pub(crate) async fn upload_file(
    provisioning: &Provisioning,
    file: std::fs::File,
    mode: u32,
    path: &str,
) -> Result<(), CommunicatorError> {
    let local = |cause| CommunicatorError::Local {
        operation: format!("upload a script to `{path}`"),
        cause,
    };
    let mut content = File::from_std(file);
    let size = content.metadata().await.map_err(local)?.len();
    let upload = Upload {
        content: &mut content,
        size,
        mode,
    };
    provisioning.communicator.upload(upload, path).await
}

/// Uploads a text that only its owner can read.
pub(crate) async fn upload_text(provisioning: &Provisioning, text: &[u8], path: &str) -> Result<(), CommunicatorError> {
    let mut content = text;
    let upload = Upload {
        content: &mut content,
        size: text.len() as u64,
        mode: 0o600,
    };
    provisioning.communicator.upload(upload, path).await
}

/// The statuses of a script that was ended by SIGHUP, SIGKILL or SIGTERM.
pub(crate) const ENDED_BY_SIGNAL: &[u32] = &[128 + 1, 128 + 9, 128 + 15];

/// What the end of a script means.
pub(crate) fn judge(script: &ScriptOptions, exit: Exit, disconnects: &Disconnects) -> Result<(), ProvisionError> {
    match exit {
        Exit::Disconnected if disconnects.is_expected => Ok(()),
        Exit::Disconnected => Err(ProvisionError::new(RemoteScriptError::Disconnected {
            remedy: disconnects.remedy,
        })),
        Exit::Status(status) if script.is_valid_exit(i64::from(status)) => Ok(()),
        Exit::Status(status) if disconnects.signals.contains(&status) => Ok(()),
        Exit::Status(status) => Err(ProvisionError::new(script.exit_error(i64::from(status)))),
    }
}

/// May a script end the connection, and how does a template say so?
pub(crate) struct Disconnects {
    is_expected: bool,
    /// Statuses that come in place of a disconnect: an instance that goes down ends the script before the server that tells of it.
    signals: &'static [u32],
    remedy: &'static str,
}

impl Disconnects {
    /// Of `shell`, which has an option for it.
    pub(crate) fn of_shell(expect_disconnect: bool, script: &ScriptOptions) -> Self {
        Self {
            is_expected: expect_disconnect || script.is_valid_exit(DISCONNECT_STATUS.into()),
            signals: if expect_disconnect { ENDED_BY_SIGNAL } else { &[] },
            remedy: "`\"expect_disconnect\": true` or `\"valid_exit_codes\": [0, 2300218]` to the shell provisioner parameters",
        }
    }

    /// Of the provisioners for Windows: by the number of either communicator.
    pub(crate) fn of_windows(script: &ScriptOptions) -> Self {
        Self {
            is_expected: [DISCONNECT_STATUS.into(), WINRM_DISCONNECT_STATUS]
                .into_iter()
                .any(|status| script.is_valid_exit(status)),
            signals: &[],
            remedy: "`valid_exit_codes = [0, 16001, 2300218]` to the provisioner, or restart with windows-restart",
        }
    }
}

/// Lets a command come to its end unheard; answers how it ended and what it wrote to its standard output.
pub(crate) async fn answer(mut running: Running) -> (Exit, String) {
    drop(running.stdin.take());
    let mut answer = Vec::new();
    while let Some(output) = running.output.recv().await {
        if let Output::Stdout(bytes) = output {
            let room = LONGEST_ANSWER.saturating_sub(answer.len());
            answer.extend(bytes.into_iter().take(room));
        }
    }
    let exit = running.exit.await.unwrap_or(Exit::Disconnected);
    (exit, String::from_utf8_lossy(&answer).into_owned())
}

/// The connection to the instance went away under a command.
pub(crate) fn lost() -> CommunicatorError {
    CommunicatorError::Disconnected {
        peer: "the instance".into(),
        cause: None,
    }
}

/// Tells that something could not be removed.
pub(crate) fn warn_of_remains(provisioning: &Provisioning, what: &str) {
    provisioning
        .ui
        .warn(format!("{what} stays on the instance: it could not be removed"));
}
