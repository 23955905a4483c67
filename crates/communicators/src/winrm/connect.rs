//! The wait until WinRM answers: a shell can be opened, and PowerShell runs in it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bakelite_engine::clock::{self, Paused};
use bakelite_engine::communicator::{Communicator, CommunicatorError, Exit, Output};
use bakelite_engine::error::{Explain, Kind};
use bakelite_engine::events::Ui;
use bakelite_engine::untrusted::quoted;
use bakelite_template::duration::GoDuration;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::WinRm;
use super::client::{Client, Credentials};
use super::config::Config;
use super::exec::{Input, Service};
use super::http::WinRmError;
use super::ntlm::Login;
use super::powershell;
use super::route::{Route, RouteError};
use super::shell::Shell;
use super::transfer::Transfers;

/// What PowerShell prints when it runs.
const GREETING: &str = "WinRM connected.";

/// Longest output of PowerShell that is read for the greeting: a profile may print something before.
const LONGEST_GREETING: usize = 64 * 1024;

/// The pauses between the first attempts; then [`PAUSE`].
const FIRST_PAUSES: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// The pause between attempts.
const PAUSE: Duration = Duration::from_secs(5);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum WinRmConnectError {
    /// The deadline was reached.
    #[error("timed out waiting for WinRM on {peer} after {limit}")]
    Timeout {
        /// `user@host:port` of the service.
        peer: String,
        /// `winrm_timeout`.
        limit: GoDuration,
        /// What the last attempt failed with.
        #[source]
        last: Option<Box<NotReady>>,
    },
    /// The proxy, the certificates or the host name are unusable.
    #[error("failed to connect to {peer} by WinRM")]
    Unusable {
        /// `user@host:port` of the service.
        peer: String,
        /// What the way there failed with.
        #[source]
        cause: Box<RouteError>,
    },
}

/// Why an attempt has failed.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// No shell.
    #[error(transparent)]
    Shell(#[from] WinRmError),
    /// PowerShell is not started.
    #[error("PowerShell does not answer")]
    Start(#[source] CommunicatorError),
    /// PowerShell does not run yet.
    #[error("PowerShell does not answer: status {status}, `{output}`")]
    PowerShell {
        /// The status that it ended with.
        status: u32,
        /// What it printed, quoted.
        output: String,
    },
    /// The connection was lost before PowerShell had ended.
    #[error("PowerShell does not answer: the connection was lost")]
    Lost,
}

impl Explain for WinRmConnectError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            WinRmConnectError::Timeout { last: Some(last), .. } => last.help(),
            _ => None,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            WinRmConnectError::Timeout { .. } => Kind::TimedOut,
            WinRmConnectError::Unusable { .. } => Kind::Failed,
        }
    }
}

impl Explain for NotReady {
    fn help(&self) -> Option<Cow<'_, str>> {
        let help = match self {
            NotReady::Shell(WinRmError::Unauthorized { offers }) => help_for(offers),
            NotReady::Shell(WinRmError::Dial { cause, .. }) if cause.is_about_certificate() => {
                "a self-signed certificate is accepted with `winrm_insecure = true`"
            }
            NotReady::Shell(WinRmError::Dial { .. }) => {
                "does the instance's user data turn on WinRM, and do its firewall and its security group let the port through?"
            }
            _ => return None,
        };
        Some(help.into())
    }
}

/// What to do when these schemes are offered and ours was not accepted.
fn help_for(offers: &[String]) -> &'static str {
    let takes = |scheme: &str| offers.iter().any(|offer| offer.eq_ignore_ascii_case(scheme));
    if takes("Negotiate") && !takes("Basic") {
        "the service does not accept Basic: set `winrm_use_ntlm = true`, or turn Basic on (winrm set winrm/config/service/auth @{Basic=\"true\"})"
    } else {
        "are the user and its password right, and may it log in remotely?"
    }
}

/// Connects, waiting until the service can be used.
pub(crate) async fn connect(
    config: &Config,
    environment: &BTreeMap<String, String>,
    ui: &Ui,
    cancel: &CancellationToken,
) -> Result<Arc<dyn Communicator>, WinRmConnectError> {
    ui.say(format!("Using WinRM communicator to connect: {}", config.host));
    let mut service = wait(config, environment, ui, cancel).await?;
    if let Some(pause) = config.pause {
        ui.say(format!("Pausing {} before connecting...", GoDuration::from(pause)));
        service.close().await;
        clock::pause(pause, cancel).await;
        service = wait(config, environment, ui, cancel).await?;
    }
    Ok(Arc::new(WinRm(Transfers::new(service, ui.events().clone()))))
}

async fn wait(
    config: &Config,
    environment: &BTreeMap<String, String>,
    ui: &Ui,
    cancel: &CancellationToken,
) -> Result<Service, WinRmConnectError> {
    ui.say("Waiting for WinRM to become available...");
    let limit = config.timeout;
    let service = Service::new(client(config, environment).await?);
    let deadline = Instant::now() + limit;
    let mut pauses = FIRST_PAUSES.into_iter();
    let mut last: Option<NotReady> = None;
    loop {
        let error = match timeout_at(deadline, attempt(&service)).await {
            Ok(Ok(greeting)) => {
                ui.say(greeting);
                ui.say("Connected to WinRM!");
                return Ok(service);
            }
            Ok(Err(error)) => error,
            Err(_) => break,
        };
        tracing::debug!(
            peer = service.client.peer,
            error = bakelite_engine::chain_of(&error),
            "attempt to connect"
        );
        let is_refusal = |error: &NotReady| matches!(error, NotReady::Shell(WinRmError::Unauthorized { .. }));
        if is_refusal(&error) && !last.as_ref().is_some_and(is_refusal) {
            // The password may be set later in the first start: so this is not the end.
            ui.say("WinRM answers, but does not accept the user and password yet.");
        }
        last = Some(error);
        let left = deadline.saturating_duration_since(Instant::now());
        let next = pauses.next().unwrap_or(PAUSE);
        let paused = clock::pause(next.min(left), cancel).await;
        if next >= left || paused == Paused::Cancelled {
            break;
        }
    }
    service.close().await;
    Err(WinRmConnectError::Timeout {
        peer: service.client.peer.clone(),
        limit: limit.into(),
        last: last.map(Box::new),
    })
}

/// Opens a shell, and runs PowerShell in another: returns what that prints.
async fn attempt(service: &Service) -> Result<String, NotReady> {
    Shell::open(&service.client).await?.delete().await;
    let script = format!(
        "$ProgressPreference = 'SilentlyContinue'; [Console]::Out.WriteLine({})",
        powershell::quoted(GREETING)
    );
    let running = service.start(&powershell::command(&script), Input::Console).await;
    let mut running = running.map_err(|error| NotReady::Start(error.of_repeatable_command()))?;
    running.stdin = None;
    let mut said = Vec::new();
    while let Some(output) = running.output.recv().await {
        if let Output::Stdout(piece) = output {
            let room = LONGEST_GREETING.saturating_sub(said.len()).min(piece.len());
            said.extend_from_slice(&piece[..room]);
        }
    }
    let said = quoted(String::from_utf8_lossy(&said).trim());
    match running.exit.await {
        Ok(_) if said.contains(GREETING) => Ok(said),
        Ok(Exit::Status(status)) => Err(NotReady::PowerShell { status, output: said }),
        _ => Err(NotReady::Lost),
    }
}

async fn client(config: &Config, environment: &BTreeMap<String, String>) -> Result<Client, WinRmConnectError> {
    let Config {
        host,
        port,
        username,
        password,
        ..
    } = config;
    let peer = format!("{username}@{host}:{port}");
    let unusable = |cause: RouteError| WinRmConnectError::Unusable {
        peer: peer.clone(),
        cause: Box::new(cause),
    };
    let route = Route::new(config, environment).await.map_err(unusable)?;
    let url = config
        .url()
        .parse()
        .map_err(|_| unusable(RouteError::Host(host.clone())))?;
    let credentials = if config.ntlm {
        Credentials::Ntlm(Login::new(username, password))
    } else {
        Credentials::basic(username, password)
    };
    Ok(Client::new(peer, url, route, credentials))
}
