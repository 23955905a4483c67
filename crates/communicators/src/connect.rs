//! From the options of a template to a connection: the table of the kinds of communicator, and for SSH and WinRM what their options
//! become. The wait is short attempts under one deadline: the first success wins, and the error has the last real cause.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bakelite_engine::clock;
use bakelite_engine::communicator::Communicator;
use bakelite_engine::error::{Error, Explain, Kind};
use bakelite_engine::events::Ui;
use bakelite_engine::provisioner::RunContext;
use bakelite_engine::step::waiting_for;
use bakelite_template::component::Complaint;
use bakelite_template::duration::GoDuration;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::check::{check_ssh, check_winrm};
use crate::dial::{Dial, Tcp};
use crate::none::NoCommunicator;
use crate::options::{CommunicatorOptions, ProxyType, TransferMethod, local_path, positive};
use crate::ssh::Ssh;
use crate::ssh::auth::Credentials;
use crate::ssh::bastion::Bastion;
use crate::ssh::connection::{Connection, GaveUp, Wait};
use crate::ssh::console::{Console, ConsoleError, fingerprints};
use crate::ssh::host_key::HostKey;
use crate::ssh::key::{self, KeyError};
use crate::ssh::methods::Method;
use crate::ssh::proxy::{Proxy, ProxyKind};
use crate::ssh::session::{Config, Connector, Session, SessionError};
use crate::ssh::tunnel::{self, RemoteTunnels, TunnelError};
use crate::winrm;
use crate::winrm::connect::WinRmConnectError;

/// The variable of the environment with the passphrase of protected keys.
const PASSPHRASE: &str = "BAKELITE_SSH_PASSPHRASE";

/// The public key of `ssh_private_key_file`, as `authorized_keys` has it; absent when the template names no file. A protected key is opened
/// with the passphrase of the environment, else with what the person at the terminal answers.
///
/// # Errors
/// The file cannot be read, is no private key, or stays closed.
pub async fn public_key(options: &CommunicatorOptions, run: &RunContext) -> Result<Option<String>, Error> {
    let Some(path) = options.private_key_path(run.home_directory.as_deref(), &run.working_directory) else {
        return Ok(None);
    };
    let passphrase = run.environment.get(PASSPHRASE).map(String::as_str);
    let key = key::open(&path, passphrase).await?;
    key.public_key().to_openssh().map(Some).map_err(Error::failed)
}

/// Longest pause between two looks at a console; the first ones are shorter.
const CONSOLE_PAUSE: Duration = Duration::from_secs(8);

/// A kind of communicator: what `communicator` in a template names. SSH, WinRM and `none` are the rows of this crate; a builder adds its
/// own by [`Target::kinds`] and [`CommunicatorOptions::check_with`].
#[derive(Clone, Copy)]
pub struct CommunicatorKind {
    /// Its name in templates.
    pub name: &'static str,
    /// Complains about options that do not go together or cannot work. `home` is the user's home directory, for paths that begin with
    /// `~`.
    pub check: fn(options: &CommunicatorOptions, home: Option<&Path>, complaints: &mut Vec<Complaint>),
    /// Connects, waiting until the instance can be reached. Dropped when the run is cancelled.
    pub connect: for<'a> fn(Connecting<'a>) -> Connected<'a>,
}

/// The connection to come.
pub type Connected<'a> = BoxFuture<'a, Result<Arc<dyn Communicator>, ConnectError>>;

/// What a kind of communicator connects with.
#[derive(Clone, Copy)]
pub struct Connecting<'a> {
    /// The instance.
    pub target: &'a Target,
    /// The options of the template.
    pub options: &'a CommunicatorOptions,
    /// Directories and environment of the run.
    pub run: &'a RunContext,
    /// Where the user reads what is waited for.
    pub ui: &'a Ui,
    /// Ends every wait.
    pub cancel: &'a CancellationToken,
}

/// The kinds that every builder has.
const KINDS: [CommunicatorKind; 3] = [
    CommunicatorKind {
        name: "ssh",
        check: check_ssh,
        connect: |connecting| connect_ssh(connecting).boxed(),
    },
    CommunicatorKind {
        name: "winrm",
        check: |options, _, complaints| check_winrm(options, complaints),
        connect: |connecting| connect_winrm(connecting).boxed(),
    },
    CommunicatorKind {
        name: "none",
        check: |_, _, _| (),
        connect: |_| std::future::ready(Ok(Arc::new(NoCommunicator) as Arc<dyn Communicator>)).boxed(),
    },
];

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
    /// Kinds of communicator that only this builder has.
    pub kinds: &'static [CommunicatorKind],
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The deadline was reached.
    #[error("timed out waiting for SSH on {peer} after {limit}")]
    Timeout {
        /// `user@host:port` of the instance.
        peer: String,
        /// `ssh_timeout`.
        limit: GoDuration,
        /// What the last attempt failed with.
        #[source]
        last: Option<Box<SessionError>>,
    },
    /// More waiting does not help.
    #[error("failed to connect to {peer} by SSH")]
    Refused {
        /// `user@host:port` of the instance.
        peer: String,
        /// What the last attempt failed with.
        #[source]
        cause: Box<SessionError>,
    },
    /// A key or certificate of the template or of the builder is unusable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A tunnel of the template is malformed, or its port is not free.
    #[error(transparent)]
    Tunnel(#[from] TunnelError),
    /// An option needs an SSH agent and there is none.
    #[error("`{option}` is set, but there is no SSH agent (SSH_AUTH_SOCK is empty)")]
    NoAgent {
        /// `ssh_agent_auth` or `ssh_bastion_agent_auth`.
        option: &'static str,
    },
    /// The instance has printed no host key.
    #[error("timed out waiting for the host keys on the console of {peer} after {limit}")]
    Console {
        /// `user@host:port` of the instance.
        peer: String,
        /// `ssh_timeout`.
        limit: GoDuration,
        /// What the last request for the output failed with.
        #[source]
        last: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The console cannot be read.
    #[error("failed to read the host keys on the console of {peer}")]
    NoConsole {
        /// `user@host:port` of the instance.
        peer: String,
        /// What the builder's request failed with.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The template requires what this builder does not have.
    #[error("failed to connect by `{communicator}`: {reason}")]
    Unusable {
        /// The value of `communicator`.
        communicator: String,
        /// What is missing.
        reason: &'static str,
    },
    /// There is no connection by WinRM.
    #[error(transparent)]
    WinRm(#[from] WinRmConnectError),
    /// A communicator of the builder's own failed.
    #[error(transparent)]
    Other(bakelite_engine::error::Error),
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl Explain for ConnectError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            ConnectError::Key(error) => error.help(),
            ConnectError::NoAgent { .. } => {
                Some("start an agent (`eval $(ssh-agent)`) and add the key to it (`ssh-add KEY`)".into())
            }
            ConnectError::Refused { cause, .. } => cause.help(),
            ConnectError::Timeout { last, .. } => last.as_ref()?.help(),
            ConnectError::WinRm(error) => error.help(),
            ConnectError::Other(error) => error.help().map(Into::into),
            _ => None,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            ConnectError::Timeout { .. } | ConnectError::Console { .. } => Kind::TimedOut,
            ConnectError::WinRm(error) => error.kind(),
            ConnectError::Other(error) => error.kind(),
            ConnectError::Cancelled => Kind::Cancelled,
            _ => Kind::Failed,
        }
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        match self {
            ConnectError::NoAgent { option } => Some((*option).into()),
            ConnectError::Unusable { .. } => Some("communicator".into()),
            ConnectError::Console { .. } | ConnectError::NoConsole { .. } => Some("ssh_host_key".into()),
            _ => None,
        }
    }
}

impl Target {
    /// The password for WinRM: that of the template, or else what the builder knows.
    pub fn winrm_password<'a>(&'a self, options: &'a CommunicatorOptions) -> &'a str {
        let given = options.winrm_password.as_deref();
        given.or(self.password.as_deref()).unwrap_or_default()
    }

    /// The address that is connected to.
    pub fn host(&self, options: &CommunicatorOptions) -> String {
        options.given_host().unwrap_or(&self.address).to_owned()
    }
}

fn kind(extra: &'static [CommunicatorKind], name: &str) -> Option<CommunicatorKind> {
    let kinds = KINDS.iter().chain(extra);
    kinds.copied().find(|kind| kind.name == name)
}

impl CommunicatorOptions {
    /// Complains about options that do not go together or cannot work. `home` is the user's home directory.
    pub fn check(&self, home: Option<&Path>, complaints: &mut Vec<Complaint>) {
        self.check_with(&[], home, complaints);
    }

    /// The same for a builder with kinds of communicator of its own.
    pub fn check_with(&self, extra: &'static [CommunicatorKind], home: Option<&Path>, complaints: &mut Vec<Complaint>) {
        if let Some(kind) = kind(extra, self.name()) {
            return (kind.check)(self, home, complaints);
        }
        let names: Vec<String> = KINDS
            .iter()
            .chain(extra)
            .map(|kind| format!("`{}`", kind.name))
            .collect();
        let complaint = Complaint::error("communicator", format!("communicator `{}` is unknown", self.name()));
        complaints.push(complaint.help(format!("use one of {}", names.join(", "))));
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
    let connecting = Connecting {
        target,
        options,
        run,
        ui,
        cancel,
    };
    let Some(kind) = kind(target.kinds, options.name()) else {
        return Err(ConnectError::Unusable {
            communicator: options.name().to_owned(),
            reason: "there is no such communicator",
        });
    };
    let _waiting = waiting_for(format!("a connection by {}", options.name()), None);
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(ConnectError::Cancelled),
        connected = (kind.connect)(connecting) => connected,
    }
}

async fn connect_ssh(connecting: Connecting<'_>) -> Result<Arc<dyn Communicator>, ConnectError> {
    let (target, options, ui) = (connecting.target, connecting.options, connecting.ui);
    let context = Context {
        options,
        run: connecting.run,
        config: Config {
            keepalive: options.keepalive(),
            inactivity_timeout: positive(options.ssh_read_write_timeout),
            ciphers: options.ssh_ciphers.clone().unwrap_or_default(),
            key_exchanges: options.ssh_key_exchange_algorithms.clone().unwrap_or_default(),
        },
    };
    let connector = context.connector(target).await?;
    let tunnels = tunnel::parse(options.ssh_local_tunnels.as_deref())?;
    ui.say(format!(
        "Using SSH communicator to connect: {}",
        host_of(&connector.peer)
    ));
    if connector.host_key.needs_console() {
        let Some(console) = &target.console else {
            return Err(ConnectError::Unusable {
                communicator: "ssh".into(),
                reason: "`ssh_host_key = \"console\"` needs a builder that can read the console of its instance",
            });
        };
        let limit = options.connect_timeout();
        read_console(&**console, &connector, limit, connecting).await?;
    }
    let mut session = wait_for_ssh(&connector, connecting).await?;
    if let Some(pause) = options.pause() {
        ui.say(format!("Pausing {} before connecting...", GoDuration::from(pause)));
        session.close().await;
        clock::pause(pause, connecting.cancel).await;
        session = wait_for_ssh(&connector, connecting).await?;
    }
    if connector.offered_agent.is_some() {
        ui.say(
            "The instance can use your SSH agent during this build (set `ssh_disable_agent_forwarding = true` if it needs none).",
        );
    }
    let methods: &[Method] = match options.ssh_file_transfer_method {
        None => &[Method::Stream, Method::Sftp, Method::Scp],
        Some(TransferMethod::Scp) => &[Method::Scp, Method::Sftp],
        Some(TransferMethod::Sftp) => &[Method::Sftp],
    };
    let connection = Connection::new(connector, session, ui.events().clone(), connecting.cancel.clone());
    let ssh = Ssh::new(connection, &tunnels, options.ssh_pty, methods).await?;
    Ok(Arc::new(ssh))
}

/// Waits until the instance has printed its host keys.
async fn read_console(
    console: &dyn Console,
    connector: &Connector,
    limit: Option<Duration>,
    Connecting { ui, cancel, .. }: Connecting<'_>,
) -> Result<(), ConnectError> {
    ui.say("Waiting for the host keys on the console of the instance...");
    let deadline = limit.map(|limit| Instant::now() + limit);
    let mut last = None;
    let mut pause = CONSOLE_PAUSE / 16;
    loop {
        match console.output().await {
            Ok(output) => {
                let printed = fingerprints(&output);
                if !printed.is_empty() {
                    connector.host_key.printed(printed);
                    return Ok(());
                }
            }
            Err(ConsoleError::Later(error)) => last = Some(error),
            Err(ConsoleError::Never(cause)) => {
                return Err(ConnectError::NoConsole {
                    peer: connector.peer.clone(),
                    cause,
                });
            }
        }
        if deadline.is_some_and(|deadline| Instant::now() + pause > deadline) {
            return Err(ConnectError::Console {
                peer: connector.peer.clone(),
                limit: limit.unwrap_or_default().into(),
                last,
            });
        }
        clock::pause(pause, cancel).await;
        pause = (pause * 2).min(CONSOLE_PAUSE);
    }
}

async fn wait_for_ssh(connector: &Connector, connecting: Connecting<'_>) -> Result<Session, ConnectError> {
    let Connecting {
        options, ui, cancel, ..
    } = connecting;
    ui.say("Waiting for SSH to become available...");
    let wait = Wait {
        limit: options.connect_timeout(),
        refusals: options.handshake_attempts(),
    };
    let session = connector.connect(wait, cancel).await.map_err(|gave_up| {
        let peer = connector.peer.clone();
        match gave_up {
            GaveUp::Refused(cause) => ConnectError::Refused {
                peer,
                cause: Box::new(cause),
            },
            GaveUp::TimedOut(last) => ConnectError::Timeout {
                peer,
                limit: wait.limit.unwrap_or_default().into(),
                last: last.map(Box::new),
            },
        }
    })?;
    ui.say("Connected to SSH!");
    Ok(session)
}

/// `host` of `user@host:port`.
fn host_of(peer: &str) -> &str {
    let host = peer.split_once('@').map_or(peer, |(_, host)| host);
    host.rsplit_once(':').map_or(host, |(host, _)| host)
}

/// What the way to an instance by SSH, past proxies and bastions, and the logins on each of them are made of.
struct Context<'a> {
    options: &'a CommunicatorOptions,
    run: &'a RunContext,
    config: Config,
}

impl Context<'_> {
    /// How to reach the instance of a bake.
    async fn connector(&self, target: &Target) -> Result<Connector, ConnectError> {
        let options = self.options;
        let host = target.host(options);
        let remote_tunnels = tunnel::parse(options.ssh_remote_tunnels.as_deref())?;
        let host_key = options.ssh_host_key.clone();
        Ok(Connector {
            peer: format!("{}@{host}:{}", options.username(), options.port()),
            dial: match &target.dial {
                Some(dial) => Arc::clone(dial),
                None => self.dial(&host).await?,
            },
            host_key: Arc::new(HostKey::new(host_key)),
            credentials: self.credentials(target).await?,
            remote_tunnels: RemoteTunnels::new(&remote_tunnels),
            offered_agent: self.agent().filter(|_| !options.ssh_disable_agent_forwarding),
            config: self.config.clone(),
        })
    }

    /// The way to the instance: straight, through a proxy, or through one bastion after the other.
    async fn dial(&self, host: &str) -> Result<Arc<dyn Dial>, ConnectError> {
        let port = self.options.port();
        if let Some(proxy) = &self.options.ssh_proxy_host {
            return Ok(Arc::new(self.proxy(proxy, host, port)));
        }
        let bastions = self.options.bastions();
        let Some(first) = bastions.first() else {
            return Ok(Arc::new(self.tcp(host, port)));
        };
        let credentials = self.bastion_credentials().await?;
        let mut dial: Arc<dyn Dial> = Arc::new(self.tcp(&first.host, first.port));
        for (index, bastion) in bastions.iter().enumerate() {
            let next = bastions.get(index + 1);
            let (next_host, next_port) = next.map_or((host, port), |next| (&next.host, next.port));
            let connector = Connector {
                peer: format!("{}@{}:{}", bastion.username, bastion.host, bastion.port),
                dial,
                host_key: Arc::new(HostKey::new(bastion.host_key.clone())),
                credentials: Credentials {
                    username: bastion.username.clone(),
                    ..credentials.clone()
                },
                remote_tunnels: RemoteTunnels::default(),
                offered_agent: None,
                config: Config {
                    keepalive: self.config.keepalive,
                    ..Config::default()
                },
            };
            dial = Arc::new(Bastion::new(connector, next_host.to_owned(), next_port));
        }
        Ok(dial)
    }

    fn tcp(&self, host: &str, port: u16) -> Tcp {
        Tcp::new(host, port, self.config.unacknowledged_limit())
    }

    fn proxy(&self, proxy: &str, host: &str, port: u16) -> Proxy {
        let options = self.options;
        let (kind, usual) = match options.ssh_proxy_type {
            ProxyType::Socks5 => (ProxyKind::Socks5, 1080),
            ProxyType::Http => (ProxyKind::Http, 3128),
        };
        let proxy_port = options.ssh_proxy_port.filter(|port| *port != 0).unwrap_or(usual);
        let login = options.ssh_proxy_username.clone().map(|user| {
            let password = options.ssh_proxy_password.clone().unwrap_or_default();
            (user, password)
        });
        Proxy {
            kind,
            dial: Arc::new(self.tcp(proxy, proxy_port)),
            name: format!("{proxy}:{proxy_port}"),
            login,
            login_hint: "`ssh_proxy_username` and `ssh_proxy_password`",
            host: host.to_owned(),
            port,
        }
    }

    /// What we log in to the instance with, in the order in which it is tried.
    async fn credentials(&self, target: &Target) -> Result<Credentials, ConnectError> {
        let options = self.options;
        let mut keys = Vec::new();
        if let Some(path) = self.file(options.ssh_private_key_file.as_deref()) {
            let key = key::open(&path, self.variable(PASSPHRASE)).await?;
            keys.push((format!("key `{}`", path.display()), Arc::new(key)));
        }
        if let Some(pem) = &target.private_key {
            let key = key::parse(pem, "the temporary key", None)?;
            keys.push(("the temporary key".into(), Arc::new(key)));
        }
        if let Some(bytes) = options.ssh_private_key.as_deref().filter(|bytes| !bytes.is_empty()) {
            let key = key::parse(&String::from_utf8_lossy(bytes), "ssh_private_key", None)?;
            keys.push(("key of `ssh_private_key`".into(), Arc::new(key)));
        }
        let certificate = self.file(options.ssh_certificate_file.as_deref());
        Ok(Credentials {
            username: options.username().to_owned(),
            agent: self.agent_for("ssh_agent_auth", options.ssh_agent_auth)?,
            keys,
            certificate: certificate.map(|path| key::read_certificate(&path)).transpose()?,
            password: options.ssh_password.clone(),
            interactive: false,
        })
    }

    /// What we log in to the bastions with; the key is that of the instance where none is named.
    async fn bastion_credentials(&self) -> Result<Credentials, ConnectError> {
        let options = self.options;
        let own = self.file(options.ssh_bastion_private_key_file.as_deref());
        let certificate = match own {
            Some(_) => &options.ssh_bastion_certificate_file,
            None => &options.ssh_certificate_file,
        };
        let certificate = self.file(certificate.as_deref());
        let mut keys = Vec::new();
        if let Some(path) = own.or_else(|| self.file(options.ssh_private_key_file.as_deref())) {
            let key = key::open(&path, self.variable(PASSPHRASE)).await?;
            keys.push((format!("key `{}`", path.display()), Arc::new(key)));
        }
        Ok(Credentials {
            username: String::new(),
            agent: self.agent_for("ssh_bastion_agent_auth", options.ssh_bastion_agent_auth)?,
            keys,
            certificate: certificate.map(|path| key::read_certificate(&path)).transpose()?,
            password: options.ssh_bastion_password.clone(),
            interactive: options.ssh_bastion_interactive,
        })
    }

    fn file(&self, option: Option<&str>) -> Option<PathBuf> {
        let home = self.run.home_directory.as_deref();
        option.map(|path| local_path(path, home, &self.run.working_directory))
    }

    /// A variable of the environment that is not empty.
    fn variable(&self, name: &str) -> Option<&str> {
        let value = self.run.environment.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    fn agent(&self) -> Option<PathBuf> {
        self.variable("SSH_AUTH_SOCK").map(PathBuf::from)
    }

    fn agent_for(&self, option: &'static str, wanted: bool) -> Result<Option<PathBuf>, ConnectError> {
        match self.agent() {
            _ if !wanted => Ok(None),
            None => Err(ConnectError::NoAgent { option }),
            agent => Ok(agent),
        }
    }
}

async fn connect_winrm(connecting: Connecting<'_>) -> Result<Arc<dyn Communicator>, ConnectError> {
    let (target, options) = (connecting.target, connecting.options);
    let config = winrm::Config {
        host: target.host(options),
        port: options.port(),
        username: options.username().to_owned(),
        password: target.winrm_password(options).to_owned(),
        tls: options.winrm_use_ssl,
        insecure: options.winrm_insecure,
        ntlm: options.winrm_use_ntlm,
        no_proxy: options.winrm_no_proxy,
        timeout: options.winrm_limit(),
        pause: options.pause(),
    };
    Ok(winrm::connect::connect(&config, &connecting.run.environment, connecting.ui, connecting.cancel).await?)
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
        assert_eq!(host("{}"), "10.0.0.1");
    }

    #[tokio::test]
    async fn a_builder_brings_a_kind_of_its_own() {
        const OWN: &[CommunicatorKind] = &[CommunicatorKind {
            name: "docker",
            check: |_, _, complaints| complaints.push(Complaint::warning("", "checked")),
            connect: |_| std::future::ready(Ok(Arc::new(NoCommunicator) as Arc<dyn Communicator>)).boxed(),
        }];
        let options: CommunicatorOptions = serde_json::from_str(r#"{"communicator": "docker"}"#).unwrap();
        let (mut own, mut unknown) = (Vec::new(), Vec::new());
        options.check_with(OWN, None, &mut own);
        options.check(None, &mut unknown);
        assert_eq!(own, [Complaint::warning("", "checked")]);
        assert_eq!(unknown[0].message, "communicator `docker` is unknown");
        assert_eq!(unknown[0].help.as_deref(), Some("use one of `ssh`, `winrm`, `none`"));
        let kind = kind(OWN, options.name()).map(|kind| kind.name);
        assert_eq!(kind, Some("docker"));
    }
}
