//! The wait until WinRM answers: a shell can be opened, and PowerShell runs in it (communicators.md §7.2).

use std::sync::Arc;
use std::time::Duration;

use bakelite_engine::communicator::{Communicator, Exit, Output};
use bakelite_engine::events::Ui;
use bakelite_engine::foreign::quoted;
use bakelite_engine::provisioner::RunContext;
use bakelite_template::duration::GoDuration;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::WinRm;
use super::client::{Client, Credentials};
use super::exec::Input;
use super::http::WinRmError;
use super::ntlm::Login;
use super::powershell;
use super::route::{Route, RouteError};
use super::shell::Shell;
use crate::connect::Target;
use crate::options::CommunicatorOptions;

/// What PowerShell says when it runs.
const GREETING: &str = "WinRM connected.";

/// As much as is read of what a PowerShell says that is asked for the greeting: a profile may say something before.
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
    /// The deadline has come.
    #[error("wait for WinRM on {peer}: no connection within {limit}")]
    Timeout {
        /// Whom.
        peer: String,
        /// `winrm_timeout`.
        limit: GoDuration,
        /// What the last attempt failed with.
        #[source]
        last: Option<Box<NotReady>>,
    },
    /// There is no way to it.
    #[error("connect to {peer} by WinRM")]
    Unusable {
        /// Whom.
        peer: String,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why an attempt has failed.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// No shell.
    #[error(transparent)]
    Shell(#[from] WinRmError),
    /// PowerShell does not run yet.
    #[error("PowerShell does not answer: {0}")]
    PowerShell(String),
}

impl WinRmConnectError {
    /// What to do about it, where that is known.
    pub(crate) fn help(&self) -> Option<&'static str> {
        let WinRmConnectError::Timeout { last: Some(last), .. } = self else {
            return None;
        };
        match &**last {
            NotReady::Shell(WinRmError::Unauthorized { offers }) => Some(help_for(offers)),
            NotReady::Shell(WinRmError::Dial { cause, .. }) if cause.to_string().contains("certificate") => {
                Some("a certificate that nobody has signed is accepted with `winrm_insecure = true`")
            }
            NotReady::Shell(WinRmError::Dial { .. }) => Some(
                "does the instance's user data turn on WinRM, and do its firewall and its security group let the port through?",
            ),
            _ => None,
        }
    }
}

/// What to do when these schemes are offered and ours was not accepted.
fn help_for(offers: &[String]) -> &'static str {
    let takes = |scheme: &str| offers.iter().any(|offer| offer.eq_ignore_ascii_case(scheme));
    if takes("Negotiate") && !takes("Basic") {
        "the service does not take Basic: set `winrm_use_ntlm = true`, or turn Basic on (winrm set winrm/config/service/auth @{Basic=\"true\"})"
    } else {
        "are the user and its password right, and may it log in remotely?"
    }
}

/// Who and where.
struct Place<'a> {
    host: String,
    password: &'a str,
    options: &'a CommunicatorOptions,
    run: &'a RunContext,
}

/// Connects, waiting until the service can be used.
pub(crate) async fn connect(
    target: &Target,
    options: &CommunicatorOptions,
    run: &RunContext,
    ui: &Ui,
) -> Result<Arc<dyn Communicator>, WinRmConnectError> {
    let place = Place {
        host: target.host(options),
        password: target.winrm_password(options),
        options,
        run,
    };
    ui.say(format!("Using WinRM communicator to connect: {}", place.host));
    let mut winrm = wait(&place, ui).await?;
    if let Some(pause) = place.options.pause() {
        ui.say(format!("Pausing {} before connecting...", GoDuration::from(pause)));
        winrm.close().await;
        sleep_until(Instant::now() + pause).await;
        winrm = wait(&place, ui).await?;
    }
    Ok(Arc::new(winrm))
}

async fn wait(place: &Place<'_>, ui: &Ui) -> Result<WinRm, WinRmConnectError> {
    ui.say("Waiting for WinRM to become available...");
    let limit = place.options.winrm_limit();
    let winrm = WinRm::new(place.client().await?, ui.events().clone());
    let deadline = Instant::now() + limit;
    let mut pauses = FIRST_PAUSES.into_iter();
    let mut last: Option<NotReady> = None;
    loop {
        let error = match timeout_at(deadline, attempt(&winrm)).await {
            Ok(Ok(greeting)) => {
                ui.say(greeting);
                ui.say("Connected to WinRM!");
                return Ok(winrm);
            }
            Ok(Err(error)) => error,
            Err(_) => break,
        };
        tracing::debug!(
            peer = winrm.client.peer,
            error = bakelite_engine::chain_of(&error),
            "attempt to connect"
        );
        let is_refusal = |error: &NotReady| matches!(error, NotReady::Shell(WinRmError::Unauthorized { .. }));
        if is_refusal(&error) && !last.as_ref().is_some_and(is_refusal) {
            // The password may be set later in the first start: so this is not the end.
            ui.say("WinRM answers, but does not accept the user and password yet.");
        }
        last = Some(error);
        let next = Instant::now() + pauses.next().unwrap_or(PAUSE);
        if next >= deadline {
            sleep_until(deadline).await;
            break;
        }
        sleep_until(next).await;
    }
    winrm.close().await;
    Err(WinRmConnectError::Timeout {
        peer: winrm.client.peer.clone(),
        limit: limit.into(),
        last: last.map(Box::new),
    })
}

/// Opens a shell, and runs PowerShell in another: answers what that says.
async fn attempt(winrm: &WinRm) -> Result<String, NotReady> {
    Shell::open(&winrm.client).await?.delete().await;
    let script = format!(
        "$ProgressPreference = 'SilentlyContinue'; [Console]::Out.WriteLine({})",
        powershell::quoted(GREETING)
    );
    let failed = |text: &str| NotReady::PowerShell(text.to_owned());
    let running = winrm.start(&powershell::command(&script), Input::Console).await;
    let mut running = running.map_err(|error| failed(&bakelite_engine::chain_of(&error)))?;
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
        Ok(Exit::Status(status)) => Err(failed(&format!("status {status}, `{said}`"))),
        _ => Err(failed("the connection was lost")),
    }
}

impl Place<'_> {
    async fn client(&self) -> Result<Client, WinRmConnectError> {
        let options = self.options;
        let username = options.username();
        let peer = format!("{username}@{}:{}", self.host, options.port());
        let unusable = |peer: String, cause: RouteError| WinRmConnectError::Unusable {
            peer,
            cause: Box::new(cause),
        };
        let route = match Route::new(&self.host, options, &self.run.environment).await {
            Ok(route) => route,
            Err(cause) => return Err(unusable(peer, cause)),
        };
        let Ok(url) = options.winrm_url(&self.host).parse() else {
            return Err(unusable(peer, RouteError::Host(self.host.clone())));
        };
        let credentials = if options.winrm_use_ntlm == Some(true) {
            Credentials::Ntlm(Login::new(username, self.password))
        } else {
            Credentials::basic(username, self.password)
        };
        Ok(Client::new(peer, url, route, credentials))
    }
}
