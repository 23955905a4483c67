//! What is needed to reach an instance by SSH, put together of the options: the way there, past proxies and bastions, and what we log in
//! with on each of them (communicators.md §3).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bakelite_engine::provisioner::RunContext;

use crate::connect::{ConnectError, Target};
use crate::dial::{Dial, Tcp};
use crate::options::{CommunicatorOptions, HostKeyPolicy, local_path};
use crate::ssh::auth::Credentials;
use crate::ssh::bastion::Bastion;
use crate::ssh::host_key::HostKey;
use crate::ssh::key;
use crate::ssh::proxy::{Proxy, ProxyKind};
use crate::ssh::session::Access;
use crate::ssh::tunnel::{self, RemoteTunnels};

/// The variable of the environment with the passphrase of protected keys.
const PASSPHRASE: &str = "BAKELITE_SSH_PASSPHRASE";

/// How to reach the instance of a bake.
pub(crate) async fn to_instance(
    target: &Target,
    options: &CommunicatorOptions,
    run: &RunContext,
) -> Result<Access, ConnectError> {
    let host = target.host(options);
    let paths = Paths { run };
    let remote_tunnels = tunnel::parse(options.ssh_remote_tunnels.as_deref())?;
    Ok(Access {
        peer: format!("{}@{host}:{}", options.username(), options.port()),
        dial: match &target.dial {
            Some(dial) => Arc::clone(dial),
            None => way(&host, options, &paths).await?,
        },
        host_key: Arc::new(HostKey::new(
            options.host_key_policy().unwrap_or(HostKeyPolicy::AcceptNew),
        )),
        credentials: own_credentials(target, options, &paths).await?,
        remote_tunnels: RemoteTunnels::new(&remote_tunnels),
        offered_agent: paths.agent().filter(|_| !options.ssh_disable_agent_forwarding),
        options: options.clone(),
    })
}

/// The way to the instance: straight, through a proxy, or through one bastion after the other.
async fn way(host: &str, options: &CommunicatorOptions, paths: &Paths<'_>) -> Result<Arc<dyn Dial>, ConnectError> {
    let port = options.port();
    if let Some(proxy) = given(options.ssh_proxy_host.as_deref()) {
        return Ok(Arc::new(through_proxy(proxy, host, port, options)));
    }
    let hops = options.bastions();
    let Some(first) = hops.first() else {
        return Ok(Arc::new(tcp(host, port, options)));
    };
    let credentials = bastion_credentials(options, paths).await?;
    let mut dial: Arc<dyn Dial> = Arc::new(tcp(&first.host, first.port, options));
    for (index, hop) in hops.iter().enumerate() {
        let (next_host, next_port) = hops.get(index + 1).map_or((host, port), |next| (&next.host, next.port));
        let access = Access {
            peer: format!("{}@{}:{}", hop.username, hop.host, hop.port),
            dial,
            host_key: Arc::new(HostKey::new(hop.host_key.clone())),
            credentials: Credentials {
                username: hop.username.clone(),
                ..credentials.clone()
            },
            remote_tunnels: RemoteTunnels::default(),
            offered_agent: None,
            options: CommunicatorOptions {
                ssh_keep_alive_interval: options.ssh_keep_alive_interval,
                ..CommunicatorOptions::default()
            },
        };
        dial = Arc::new(Bastion::new(access, next_host.to_owned(), next_port));
    }
    Ok(dial)
}

fn tcp(host: &str, port: u16, options: &CommunicatorOptions) -> Tcp {
    Tcp::new(host, port, Access::patience(options))
}

fn through_proxy(proxy: &str, host: &str, port: u16, options: &CommunicatorOptions) -> Proxy {
    let kind = options.proxy_kind().unwrap_or(ProxyKind::Socks5);
    let usual = if kind == ProxyKind::Http { 3128 } else { 1080 };
    let proxy_port = options.ssh_proxy_port.filter(|port| *port != 0).unwrap_or(usual);
    let login = given(options.ssh_proxy_username.as_deref()).map(|user| {
        let password = options.ssh_proxy_password.clone().unwrap_or_default();
        (user.to_owned(), password)
    });
    Proxy {
        kind,
        dial: Arc::new(tcp(proxy, proxy_port, options)),
        name: format!("{proxy}:{proxy_port}"),
        login,
        login_hint: "`ssh_proxy_username` and `ssh_proxy_password`",
        host: host.to_owned(),
        port,
    }
}

/// What we log in to the instance with, in the order in which it is tried.
async fn own_credentials(
    target: &Target,
    options: &CommunicatorOptions,
    paths: &Paths<'_>,
) -> Result<Credentials, ConnectError> {
    let mut keys = Vec::new();
    if let Some(path) = paths.file(options.ssh_private_key_file.as_deref()) {
        let key = key::open(&path, paths.passphrase()).await?;
        keys.push((format!("key `{}`", path.display()), Arc::new(key)));
    }
    if let Some(pem) = given(target.private_key.as_deref()) {
        let key = key::parse(pem, "the temporary key", None)?;
        keys.push(("the temporary key".into(), Arc::new(key)));
    }
    if let Some(bytes) = options.ssh_private_key.as_deref().filter(|bytes| !bytes.is_empty()) {
        let key = key::parse(&String::from_utf8_lossy(bytes), "ssh_private_key", None)?;
        keys.push(("key of `ssh_private_key`".into(), Arc::new(key)));
    }
    let certificate = paths.file(options.ssh_certificate_file.as_deref());
    Ok(Credentials {
        username: options.username().to_owned(),
        agent: paths.agent_for("ssh_agent_auth", options.ssh_agent_auth)?,
        keys,
        certificate: certificate.map(|path| key::read_certificate(&path)).transpose()?,
        password: options.ssh_password.clone().filter(|password| !password.is_empty()),
        interactive: false,
    })
}

/// What we log in to the bastions with; the key is that of the instance where none is named.
async fn bastion_credentials(options: &CommunicatorOptions, paths: &Paths<'_>) -> Result<Credentials, ConnectError> {
    let own = paths.file(options.ssh_bastion_private_key_file.as_deref());
    let certificate = match own {
        Some(_) => &options.ssh_bastion_certificate_file,
        None => &options.ssh_certificate_file,
    };
    let mut keys = Vec::new();
    if let Some(path) = own.or_else(|| paths.file(options.ssh_private_key_file.as_deref())) {
        let key = key::open(&path, paths.passphrase()).await?;
        keys.push((format!("key `{}`", path.display()), Arc::new(key)));
    }
    let certificate = paths.file(certificate.as_deref());
    let agent = options.ssh_bastion_agent_auth.unwrap_or(false);
    Ok(Credentials {
        username: String::new(),
        agent: paths.agent_for("ssh_bastion_agent_auth", agent)?,
        keys,
        certificate: certificate.map(|path| key::read_certificate(&path)).transpose()?,
        password: options
            .ssh_bastion_password
            .clone()
            .filter(|password| !password.is_empty()),
        interactive: options.ssh_bastion_interactive.unwrap_or(false),
    })
}

/// Files and sockets of this run.
struct Paths<'a> {
    run: &'a RunContext,
}

impl Paths<'_> {
    fn file(&self, option: Option<&str>) -> Option<PathBuf> {
        let home: Option<&Path> = self.run.home_folder.as_deref();
        given(option).map(|path| local_path(path, home, &self.run.working_folder))
    }

    fn passphrase(&self) -> Option<&str> {
        given(self.run.environment.get(PASSPHRASE).map(String::as_str))
    }

    fn agent(&self) -> Option<PathBuf> {
        given(self.run.environment.get("SSH_AUTH_SOCK").map(String::as_str)).map(PathBuf::from)
    }

    fn agent_for(&self, option: &'static str, wanted: bool) -> Result<Option<PathBuf>, ConnectError> {
        match self.agent() {
            _ if !wanted => Ok(None),
            None => Err(ConnectError::NoAgent { option }),
            agent => Ok(agent),
        }
    }
}

fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}
