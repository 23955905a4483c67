//! The wait until the instance answers: short attempts under one deadline, the first success wins, and the last real cause stands in
//! the error (communicators.md §2).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bakelite_engine::communicator::Communicator;
use bakelite_engine::events::Ui;
use bakelite_engine::provisioner::RunContext;
use bakelite_template::duration::GoDuration;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::access::to_instance;
use crate::dial::{Dial, Stream};
use crate::none::Nobody;
use crate::options::{CommunicatorOptions, Kind};
use crate::ssh::Ssh;
use crate::ssh::console::{Console, ConsoleError, fingerprints};
use crate::ssh::key::KeyError;
use crate::ssh::session::{Access, Session, SessionError};
use crate::ssh::tunnel::{self, TunnelError};
use crate::winrm::connect::{self as winrm, WinRmConnectError};

/// How long to wait for an instance that has gone away in the middle of a bake, as one that restarts does.
const RECONNECT_LIMIT: Duration = Duration::from_mins(2);

/// Attempts to open a stream that run side by side: a lost packet of one does not hold up the next.
const ATTEMPTS_AT_ONCE: usize = 5;

/// The pause after a login that was refused.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_secs(2);

/// Longest pause between two looks at a console; the first ones are shorter.
const CONSOLE_PAUSE: Duration = Duration::from_secs(8);

/// Where to connect to, and what only the builder knows.
#[derive(Clone, Default)]
pub struct Target {
    /// Address of the instance; `ssh_host` or `winrm_host` overrides it.
    pub address: String,
    /// Private key that the builder made for the instance, as PEM.
    pub private_key: Option<String>,
    /// The public key to it, as a line of `authorized_keys`.
    pub public_key: Option<String>,
    /// How streams are opened; default: by TCP to the address and `ssh_port`, past proxies and bastions.
    pub dial: Option<Arc<dyn Dial>>,
    /// The password of the instance's administrator, where the options give none and the builder knows it.
    pub password: Option<String>,
    /// What the instance prints on its console, for `ssh_host_key = "console"`.
    pub console: Option<Arc<dyn Console>>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The deadline has come.
    #[error("wait for SSH on {peer}: no connection within {limit}")]
    Timeout {
        /// Whom.
        peer: String,
        /// `ssh_timeout`.
        limit: GoDuration,
        /// What the last attempt failed with.
        #[source]
        last: Option<Box<SessionError>>,
    },
    /// More waiting does not help.
    #[error("connect to {peer} by SSH")]
    Refused {
        /// Whom.
        peer: String,
        /// The cause.
        #[source]
        cause: Box<SessionError>,
    },
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A tunnel cannot be made.
    #[error(transparent)]
    Tunnel(#[from] TunnelError),
    /// An agent is wanted and there is none.
    #[error("`{option}` is set, but there is no SSH agent (SSH_AUTH_SOCK is empty)")]
    NoAgent {
        /// The option that wants it.
        option: &'static str,
    },
    /// The instance has printed no host key.
    #[error("wait for the host keys on the console of {peer}: none within {limit}{}", last.as_deref().map(|last| format!(" ({last})")).unwrap_or_default())]
    Console {
        /// Whose.
        peer: String,
        /// `ssh_timeout`.
        limit: GoDuration,
        /// What the last question for the output failed with.
        last: Option<String>,
    },
    /// The console cannot be read.
    #[error("read the host keys on the console of {peer}")]
    NoConsole {
        /// Whose.
        peer: String,
        /// The cause.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The template asks for what is not there.
    #[error("connect by `{communicator}`: {reason}")]
    Unusable {
        /// The communicator.
        communicator: String,
        /// Why.
        reason: &'static str,
    },
    /// There is no connection by WinRM.
    #[error(transparent)]
    WinRm(#[from] WinRmConnectError),
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl ConnectError {
    /// What to do about it, where that is known.
    fn help(&self) -> Option<&'static str> {
        match self {
            ConnectError::Key(error) => error.help(),
            ConnectError::NoAgent { .. } => {
                Some("start an agent (`eval $(ssh-agent)`) and add the key to it (`ssh-add KEY`)")
            }
            ConnectError::Refused { cause, .. } => cause.help(),
            ConnectError::Timeout { last, .. } => last.as_ref()?.help(),
            ConnectError::WinRm(error) => error.help(),
            _ => None,
        }
    }
}

impl Target {
    /// The password for WinRM: that of the template, or else what the builder knows.
    pub fn winrm_password<'a>(&'a self, options: &'a CommunicatorOptions) -> &'a str {
        let given = options
            .winrm_password
            .as_deref()
            .filter(|password| !password.is_empty());
        given.or(self.password.as_deref()).unwrap_or_default()
    }

    /// The address that is connected to.
    pub fn host(&self, options: &CommunicatorOptions) -> String {
        options.given_host().unwrap_or(&self.address).to_owned()
    }
}

/// Connects to the instance, waiting until it can be reached. To be called as soon as an address exists.
pub async fn connect(
    target: &Target,
    options: &CommunicatorOptions,
    run: &RunContext,
    ui: &Ui,
    cancel: &CancellationToken,
) -> Result<Arc<dyn Communicator>, ConnectError> {
    let communicator = options.communicator.clone().unwrap_or_else(|| "ssh".into());
    let connected = async {
        match options.kind() {
            Some(Kind::None) => Ok(Arc::new(Nobody) as Arc<dyn Communicator>),
            Some(Kind::Ssh) => connect_ssh(target, options, run, ui).await,
            Some(Kind::WinRm) => Ok(winrm::connect(target, options, run, ui).await?),
            None => Err(ConnectError::Unusable {
                communicator,
                reason: "there is no such communicator",
            }),
        }
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(ConnectError::Cancelled),
        connected = connected => connected.inspect_err(|error| {
            if let Some(help) = error.help() {
                ui.error(format!("Help: {help}"));
            }
        }),
    }
}

#[expect(clippy::disallowed_methods, reason = "the template asks for a pause")]
async fn connect_ssh(
    target: &Target,
    options: &CommunicatorOptions,
    run: &RunContext,
    ui: &Ui,
) -> Result<Arc<dyn Communicator>, ConnectError> {
    let access = to_instance(target, options, run).await?;
    let tunnels = tunnel::parse(options.ssh_local_tunnels.as_deref())?;
    ui.say(format!("Using SSH communicator to connect: {}", host_of(&access.peer)));
    if access.host_key.needs_console() {
        let Some(console) = &target.console else {
            return Err(ConnectError::Unusable {
                communicator: "ssh".into(),
                reason: "`ssh_host_key = \"console\"` needs a builder that can read the console of its instance",
            });
        };
        read_console(&**console, &access, ui).await?;
    }
    let mut session = wait_for_session(&access, ui).await?;
    if let Some(pause) = access.options.pause() {
        ui.say(format!("Pausing {} before connecting...", GoDuration::from(pause)));
        session.close().await;
        sleep(pause).await;
        session = wait_for_session(&access, ui).await?;
    }
    if access.offered_agent.is_some() {
        ui.say(
            "The instance can use your SSH agent during this build (set `ssh_disable_agent_forwarding = true` if it needs none).",
        );
    }
    Ok(Arc::new(
        Ssh::new(access, session, &tunnels, ui.events().clone()).await?,
    ))
}

/// Waits until the instance has printed its host keys.
#[expect(clippy::disallowed_methods, reason = "a console tells of no event")]
async fn read_console(console: &dyn Console, access: &Access, ui: &Ui) -> Result<(), ConnectError> {
    ui.say("Waiting for the host keys on the console of the instance...");
    let limit = access.options.connect_timeout();
    let deadline = limit.map(|limit| Instant::now() + limit);
    let mut last = None;
    let mut pause = CONSOLE_PAUSE / 16;
    loop {
        match console.output().await {
            Ok(output) => {
                let printed = fingerprints(&output);
                if !printed.is_empty() {
                    access.host_key.printed(printed);
                    return Ok(());
                }
            }
            Err(ConsoleError::Later(error)) => last = Some(bakelite_engine::chain_of(&*error)),
            Err(ConsoleError::Never(cause)) => {
                return Err(ConnectError::NoConsole {
                    peer: access.peer.clone(),
                    cause,
                });
            }
        }
        if deadline.is_some_and(|deadline| Instant::now() + pause > deadline) {
            return Err(ConnectError::Console {
                peer: access.peer.clone(),
                limit: limit.unwrap_or_default().into(),
                last,
            });
        }
        sleep(pause).await;
        pause = (pause * 2).min(CONSOLE_PAUSE);
    }
}

async fn wait_for_session(access: &Access, ui: &Ui) -> Result<Session, ConnectError> {
    ui.say("Waiting for SSH to become available...");
    let limit = access.options.connect_timeout();
    let session = attempt_until(access, limit, access.options.handshake_attempts())
        .await
        .map_err(|gave_up| match gave_up {
            GaveUp::Refused(cause) => ConnectError::Refused {
                peer: access.peer.clone(),
                cause,
            },
            GaveUp::TimedOut(last) => ConnectError::Timeout {
                peer: access.peer.clone(),
                limit: limit.unwrap_or_default().into(),
                last,
            },
        })?;
    ui.say("Connected to SSH!");
    Ok(session)
}

/// Connects again to an instance that we were connected to, waiting for one that restarts.
pub(crate) async fn reconnect(access: &Access) -> Result<Session, SessionError> {
    // The first login shows whether our credentials still work; a server that is starting refuses some with "booting up".
    match attempt_until(access, Some(RECONNECT_LIMIT), Some(5)).await {
        Ok(session) => Ok(session),
        Err(GaveUp::Refused(cause) | GaveUp::TimedOut(Some(cause))) => Err(*cause),
        Err(GaveUp::TimedOut(None)) => Err(SessionError::Silent {
            peer: access.peer.clone(),
        }),
    }
}

/// Why no more attempts are made.
enum GaveUp {
    Refused(Box<SessionError>),
    TimedOut(Option<Box<SessionError>>),
}

async fn attempt_until(
    access: &Access,
    limit: Option<Duration>,
    refusals_allowed: Option<u32>,
) -> Result<Session, GaveUp> {
    let deadline = limit.map(|limit| Instant::now() + limit);
    let mut last = None;
    let mut refusals = 0;
    loop {
        let attempt = attempt(access, &mut last);
        let result = match deadline {
            Some(deadline) => timeout_at(deadline, attempt).await,
            None => Ok(attempt.await),
        };
        let error = match result {
            Err(_) => return Err(GaveUp::TimedOut(last)),
            Ok(Ok(session)) => return Ok(session),
            Ok(Err(error)) => error,
        };
        tracing::debug!(
            peer = access.peer,
            error = bakelite_engine::chain_of(&error),
            "attempt to connect"
        );
        refusals += u32::from(error.is_refused_login());
        if error.is_final() || refusals_allowed.is_some_and(|allowed| refusals >= allowed) {
            return Err(GaveUp::Refused(Box::new(error)));
        }
        last = Some(Box::new(error));
        let pause = Instant::now() + PAUSE_AFTER_REFUSAL;
        tokio::time::sleep_until(deadline.map_or(pause, |deadline| deadline.min(pause))).await;
    }
}

/// Opens a stream, however long it takes, and logs in over it. What went wrong meanwhile stands in `last`.
async fn attempt(access: &Access, last: &mut Option<Box<SessionError>>) -> Result<Session, SessionError> {
    let stream = open(access, last).await?;
    access.log_in_over(stream).await
}

/// Opens a stream: a new attempt starts when the one before has had its time, without giving that one up.
#[expect(
    clippy::disallowed_methods,
    reason = "an address that does not answer yet tells of no event"
)]
async fn open(access: &Access, last: &mut Option<Box<SessionError>>) -> Result<Box<dyn Stream>, SessionError> {
    let mut attempts = FuturesUnordered::new();
    let mut pause = Duration::from_millis(25);
    loop {
        if attempts.len() < ATTEMPTS_AT_ONCE {
            attempts.push(tokio::time::timeout(access.dial.limit(), access.dial.open()));
        }
        let next = sleep(pause);
        tokio::pin!(next);
        loop {
            tokio::select! {
                () = &mut next => break,
                Some(opened) = attempts.next() => match opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                    Ok(stream) => return Ok(stream),
                    Err(cause) => {
                        let error = SessionError::Dial { peer: access.peer.clone(), cause };
                        // A bastion that refuses us is not asked again and again.
                        if error.is_final() || error.is_refused_login() {
                            return Err(error);
                        }
                        *last = Some(Box::new(error));
                    }
                },
            }
        }
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// `host` of `user@host:port`.
fn host_of(peer: &str) -> &str {
    let host = peer.split_once('@').map_or(peer, |(_, host)| host);
    host.rsplit_once(':').map_or(host, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_the_template_wins_over_the_builder_s() {
        let target = Target {
            address: "10.0.0.1".into(),
            ..Target::default()
        };
        let host = |json: &str| target.host(&serde_json::from_str(json).unwrap());
        assert_eq!(host(r#"{"ssh_host": "web.internal"}"#), "web.internal");
        assert_eq!(host(r#"{"ssh_host": ""}"#), "10.0.0.1");
        assert_eq!(host("{}"), "10.0.0.1");
    }
}
