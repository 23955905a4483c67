//! The `windows-restart` provisioner: restarts the instance and waits until it is back.
//!
//! Windows has gone down when it cannot be asked to any more, so it is asked: for one more restart, a minute from now, which a running
//! system accepts (and is told to forget) and one that goes down refuses. It is back when it answers.

use std::borrow::Cow;
use std::time::Duration;

use async_trait::async_trait;
use bakelite_engine::clock::pause_or_cancelled;
use bakelite_engine::communicator::{CommunicatorError, Exit};
use bakelite_engine::error::{Explain, Kind};
use bakelite_engine::output::stream;
use bakelite_engine::provisioner::{ProvisionError, Provisioner, Provisioning};
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_scripts::powershell::single_quoted;
use bakelite_template::component::Complaint;
use bakelite_template::decode::Decoded;
use bakelite_template::duration::GoDuration;
use bakelite_template::schema::Schema;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::powershell_command::Interpreter;
use crate::remote_script::{answer, lost};
use crate::retry::{backoff, until_reachable};

pub(crate) const REGISTRATION: Registration = Registration::plain(
    "windows-restart",
    "Restarts the instance and waits until it is back.",
    Schema::of::<WindowsRestartOptions>,
    Make::Provisioner(make),
);

const RESTART: &str = "shutdown /r /f /t 0 /c \"packer restart\"";
const TEST_RESTART: &str = "shutdown /r /f /t 60 /c \"packer restart test\"";
const FORGET_RESTART: &str = "shutdown /a";

/// `ERROR_SHUTDOWN_IN_PROGRESS` and `ERROR_SHUTDOWN_IS_SCHEDULED`: it restarts already.
const RESTARTS_ALREADY: [u32; 2] = [1115, 1190];

/// `RPC_S_UNKNOWN_IF`: the service that restarts has stopped, the others not yet.
const SERVICE_STOPPED: u32 = 1717;

/// An instance that goes down may leave a command without an answer.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);

/// Where Windows notes that an update is not complete before another restart.
const REGISTRY_KEYS: [&str; 3] = [
    r"HKLM:SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending",
    r"HKLM:SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\PackagesPending",
    r"HKLM:SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootInProgress",
];

/// Options of windows-restart.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
struct WindowsRestartOptions {
    /// The command that restarts.
    restart_command: String,
    /// A command that must have been run, whatever its status, before the instance counts as back; besides it the instance must answer
    /// a question of ours.
    restart_check_command: Option<String>,
    /// Timeout of the whole.
    restart_timeout: GoDuration,
    /// Wait also until none of `registry_keys` exists.
    check_registry: bool,
    /// Keys of the registry that stand for a restart that is not complete; default: three of component servicing.
    registry_keys: Vec<String>,
}

impl Default for WindowsRestartOptions {
    fn default() -> Self {
        Self {
            restart_command: RESTART.into(),
            restart_check_command: None,
            restart_timeout: GoDuration::from_seconds(300),
            check_registry: false,
            registry_keys: Vec::new(),
        }
    }
}

struct WindowsRestart {
    options: WindowsRestartOptions,
}

/// Why the instance is not back.
#[derive(Debug, thiserror::Error)]
enum RestartError {
    #[error("Restart command exited with non-zero exit status: {status}")]
    Refused { status: u32 },
    #[error("Timeout waiting for machine to restart. After {limit} {last}")]
    TimedOut {
        limit: GoDuration,
        last: String,
        #[source]
        cause: Option<CommunicatorError>,
    },
}

impl Explain for RestartError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            RestartError::Refused { .. } => None,
            RestartError::TimedOut { .. } => Some("set a longer `restart_timeout`".into()),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            RestartError::Refused { .. } => Kind::Failed,
            RestartError::TimedOut { .. } => Kind::TimedOut,
        }
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        let option = match self {
            RestartError::Refused { .. } => "restart_command",
            RestartError::TimedOut { .. } => "restart_timeout",
        };
        Some(option.into())
    }
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn Provisioner>> {
    let options = read_options(decoded, complaints)?;
    Some(Box::new(WindowsRestart { options }))
}

#[async_trait]
impl Provisioner for WindowsRestart {
    async fn provision(&self, provisioning: &Provisioning) -> Result<(), ProvisionError> {
        let limit = match self.options.restart_timeout {
            zero if zero.is_zero() => WindowsRestartOptions::default().restart_timeout.to_std(),
            limit => limit.to_std(),
        };
        let mut restart = Restart {
            options: &self.options,
            provisioning,
            limit,
            last: "the restart command could not be started".into(),
            cause: None,
        };
        match tokio::time::timeout(limit, restart.run()).await {
            Ok(result) => result,
            Err(_) => Err(ProvisionError::new(RestartError::TimedOut {
                limit: limit.into(),
                last: restart.last,
                cause: restart.cause,
            })),
        }
    }
}

/// A restart under way.
struct Restart<'a> {
    options: &'a WindowsRestartOptions,
    provisioning: &'a Provisioning,
    limit: Duration,
    /// What was waited for last, and why it did not come where that is known.
    last: String,
    cause: Option<CommunicatorError>,
}

impl Restart<'_> {
    async fn run(&mut self) -> Result<(), ProvisionError> {
        let ui = &self.provisioning.ui;
        ui.say("Restarting the instance...");
        self.start().await?;
        ui.say("Waiting for machine to restart...");
        self.wait_until_down().await?;
        self.wait_until_back().await?;
        if self.options.check_registry {
            self.wait_for_registry().await?;
        }
        ui.say("Machine successfully restarted, moving on");
        Ok(())
    }

    /// Runs the restart command. That the connection goes with it is what a restart does.
    async fn start(&mut self) -> Result<(), ProvisionError> {
        let command = self.options.restart_command.as_str();
        let communicator = &self.provisioning.communicator;
        let starting = until_reachable(self.limit, &self.provisioning.cancel, || async {
            let running = communicator.exec(command).await;
            running.map_err(CommunicatorError::of_repeatable_command)
        });
        let running = starting.await?;
        self.waits("the restart command had not ended");
        match stream(running, &self.provisioning.ui).await {
            Exit::Status(status) if status != 0 && !RESTARTS_ALREADY.contains(&status) => {
                Err(RestartError::Refused { status }.into())
            }
            Exit::Status(_) | Exit::Disconnected => Ok(()),
        }
    }

    async fn wait_until_down(&mut self) -> Result<(), ProvisionError> {
        self.waits("the instance had not gone down");
        let mut tries = 0;
        loop {
            match self.ask(TEST_RESTART).await {
                Ok((Exit::Status(0), _)) => return self.forget_test().await,
                Ok((Exit::Status(status), _)) if RESTARTS_ALREADY.contains(&status) || status == SERVICE_STOPPED => {}
                Ok(_) | Err(_) => return Ok(()),
            }
            self.pause(&mut tries).await?;
        }
    }

    /// Takes the restart back that only asked a question: it must not come in the middle of the next provisioner.
    async fn forget_test(&mut self) -> Result<(), ProvisionError> {
        self.waits("the test whether it restarts could not be taken back");
        let mut tries = 0;
        while !matches!(self.ask(FORGET_RESTART).await, Ok((Exit::Status(_), _))) {
            self.pause(&mut tries).await?;
        }
        Ok(())
    }

    async fn wait_until_back(&mut self) -> Result<(), ProvisionError> {
        let check = Interpreter::default().encoded("Write-Output \"$env:COMPUTERNAME restarted.\"");
        let mut tries = 0;
        loop {
            if self.is_back(&check).await {
                return Ok(());
            }
            self.pause(&mut tries).await?;
        }
    }

    async fn is_back(&mut self, check: &str) -> bool {
        if let Some(command) = &self.options.restart_check_command {
            match self.ask(command).await {
                Ok((Exit::Status(_), said)) => self.show(&said),
                Ok((Exit::Disconnected, _)) => return self.not_yet(lost()),
                Err(error) => return self.not_yet(error),
            }
        }
        match self.ask(check).await {
            Ok((_, said)) if said.contains("restarted.") => {
                self.show(&said);
                true
            }
            Ok((exit, _)) => {
                self.waits(format!("it did not answer (status {})", exit.code()));
                false
            }
            Err(error) => self.not_yet(error),
        }
    }

    fn not_yet(&mut self, error: CommunicatorError) -> bool {
        self.waits("it could not be reached");
        self.cause = Some(error);
        false
    }

    /// What is waited for now, as the sentence about a timeout has it.
    fn waits(&mut self, last: impl Into<String>) {
        (self.last, self.cause) = (last.into(), None);
    }

    async fn wait_for_registry(&mut self) -> Result<(), ProvisionError> {
        let given = self.options.registry_keys.iter().map(String::as_str);
        let keys: Vec<&str> = if self.options.registry_keys.is_empty() {
            REGISTRY_KEYS.to_vec()
        } else {
            given.collect()
        };
        let command = Interpreter::default().encoded(&registry_script(&keys));
        let mut tries = 0;
        loop {
            match self.ask(&command).await {
                Ok((Exit::Status(0), said)) if said.trim().is_empty() => return Ok(()),
                Ok((Exit::Status(0), said)) => self.waits(format!("registry key `{}` still existed", said.trim())),
                Ok((exit, _)) => self.waits(format!("the registry could not be read (status {})", exit.code())),
                Err(error) => {
                    self.not_yet(error);
                }
            }
            self.pause(&mut tries).await?;
        }
    }

    /// Runs a command whose words are for us alone.
    async fn ask(&self, command: &str) -> Result<(Exit, String), CommunicatorError> {
        let asking = async {
            let running = self.provisioning.communicator.exec(command).await?;
            Ok(answer(running).await)
        };
        match tokio::time::timeout(ANSWER_LIMIT, asking).await {
            Ok(answered) => answered,
            Err(_) => Err(lost()),
        }
    }

    fn show(&self, said: &str) {
        for line in said.lines().filter(|line| !line.trim().is_empty()) {
            self.provisioning.ui.output(line.trim_end());
        }
    }

    async fn pause(&self, tries: &mut u32) -> Result<(), ProvisionError> {
        *tries += 1;
        pause_or_cancelled(backoff(self.limit).pause(*tries), &self.provisioning.cancel).await
    }
}

/// Prints the keys that exist.
fn registry_script(keys: &[&str]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| single_quoted(key)).collect();
    format!("@({}) | Where-Object {{ Test-Path -Path $_ }}", keys.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::powershell_command::tests::assert_parses;

    #[test]
    fn the_registry_is_asked_for_all_keys_at_once() {
        let script = registry_script(&REGISTRY_KEYS);
        assert_parses(&script);
        insta::assert_snapshot!(script);
    }
}
