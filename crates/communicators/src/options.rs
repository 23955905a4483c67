//! The options of all communicators, one table for every builder, and what they mean when they are not given.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bakelite_template::duration::GoDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::ssh::host_key::{BastionHostKeys, HostKeyPolicy};

/// How to reach the instance. Builders flatten this into their own options.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the template")]
pub struct CommunicatorOptions {
    /// `ssh` (the default), `winrm` or `none`.
    pub communicator: Option<String>,
    /// After the first connection, wait this long and then connect again: for instances that restart something after they first answer.
    pub pause_before_connecting: Option<GoDuration>,

    /// Address to connect to; default: the address of the instance.
    pub ssh_host: Option<String>,
    /// Port of the SSH server; default 22.
    pub ssh_port: Option<u16>,
    /// User to log in as. Required for SSH.
    pub ssh_username: Option<String>,
    /// Password of the user; tried after all keys, as a password and as the answer to every prompt.
    #[schemars(extend("x-sensitive" = true))]
    pub ssh_password: Option<String>,
    /// File with the private key to log in with: PEM (PKCS#1, PKCS#8) or OpenSSH. The passphrase of a protected one comes from the
    /// environment variable `BAKELITE_SSH_PASSPHRASE`, or is asked for at the terminal.
    pub ssh_private_key_file: Option<String>,
    /// OpenSSH certificate that belongs to `ssh_private_key_file`.
    pub ssh_certificate_file: Option<String>,
    /// Name of an existing key pair of the cloud; its private key comes from `ssh_private_key_file` or the SSH agent.
    pub ssh_keypair_name: Option<String>,
    /// Name of the temporary key pair; default: a name of its own for each bake.
    pub temporary_key_pair_name: Option<String>,
    /// Type of the temporary key pair.
    pub temporary_key_pair_type: KeyType,
    /// Size of the temporary key in bits, where the builder makes it itself.
    pub temporary_key_pair_bits: Option<u32>,
    /// Remove the temporary key from the `authorized_keys` files of the user and of root when provisioning is done.
    pub ssh_clear_authorized_keys: bool,
    /// Log in with the keys of the SSH agent (`SSH_AUTH_SOCK`).
    pub ssh_agent_auth: bool,
    /// Do not offer the SSH agent to the instance.
    pub ssh_disable_agent_forwarding: bool,
    /// Run commands on a terminal of the instance.
    pub ssh_pty: bool,
    /// How long to wait until SSH answers; default 5m. `0s` together with `ssh_handshake_attempts`: no limit.
    pub ssh_timeout: Option<GoDuration>,
    /// The former name of `ssh_timeout`.
    pub ssh_wait_timeout: Option<GoDuration>,
    /// How many failed logins to accept while waiting; default 10, `0`: no limit.
    #[schemars(extend("x-zero" = true))]
    pub ssh_handshake_attempts: Option<u32>,
    /// Ciphers to offer, by their OpenSSH names, best first.
    pub ssh_ciphers: Option<Vec<String>>,
    /// Key exchange algorithms to offer, by their OpenSSH names, best first.
    pub ssh_key_exchange_algorithms: Option<Vec<String>>,
    /// Keepalive interval; default 5s, negative: no keepalives. The connection is dropped after three missed keepalives.
    pub ssh_keep_alive_interval: Option<GoDuration>,
    /// Inactivity timeout: the connection is dropped when nothing is received for this long; default: none.
    pub ssh_read_write_timeout: Option<GoDuration>,
    /// How files are transferred: `scp` (SFTP where the instance has no scp) or `sftp`. Default: the quickest method that the instance
    /// has: one stream through its shell and tar, else SFTP, else scp.
    pub ssh_file_transfer_method: Option<TransferMethod>,
    /// Which host key to accept: `accept-new` (the default: any key, which must then not change during the bake), `console` (one that
    /// the instance prints on its console, where the builder can read that), or `pin:SHA256:…`, the fingerprint of the only key.
    pub ssh_host_key: HostKeyPolicy,

    /// Bastion to connect through; several, as `[USER@]HOST[:PORT],…`, are chained in this order.
    pub ssh_bastion_host: Option<String>,
    /// Port of the bastion's SSH server; default 22.
    pub ssh_bastion_port: Option<u16>,
    /// Log in to the bastion with the keys of the SSH agent.
    pub ssh_bastion_agent_auth: bool,
    /// User to log in as on the bastion; default: `ssh_username`.
    pub ssh_bastion_username: Option<String>,
    /// Password of that user.
    #[schemars(extend("x-sensitive" = true))]
    pub ssh_bastion_password: Option<String>,
    /// Prompt at the terminal for what the bastion asks (keyboard-interactive).
    pub ssh_bastion_interactive: bool,
    /// Private key for the bastion; default: `ssh_private_key_file`.
    pub ssh_bastion_private_key_file: Option<String>,
    /// OpenSSH certificate for the bastion.
    pub ssh_bastion_certificate_file: Option<String>,
    /// Which host key of the bastion to accept: `accept-new` (the default) or `pin:SHA256:…`, as `ssh_host_key`. For several bastions one
    /// for each, in their order, separated by commas.
    pub ssh_bastion_host_key: BastionHostKeys,

    /// Proxy to connect through.
    pub ssh_proxy_host: Option<String>,
    /// Protocol of the proxy.
    pub ssh_proxy_type: ProxyType,
    /// Port of the proxy; default 1080, with `http` 3128.
    pub ssh_proxy_port: Option<u16>,
    /// User of the proxy.
    pub ssh_proxy_username: Option<String>,
    /// Password of that user.
    #[schemars(extend("x-sensitive" = true))]
    pub ssh_proxy_password: Option<String>,

    /// Ports of the instance that are forwarded to this machine's network: `PORT:HOST:PORT`.
    pub ssh_remote_tunnels: Option<Vec<String>>,
    /// Ports of this machine that are forwarded to the instance's network: `PORT:HOST:PORT`.
    pub ssh_local_tunnels: Option<Vec<String>>,

    /// The public key as bytes, for `build.SSHPublicKey`; without effect on the login.
    pub ssh_public_key: Option<Vec<u8>>,
    /// A private key as the bytes of its PEM text, tried after `ssh_private_key_file`.
    #[schemars(extend("x-sensitive" = true))]
    pub ssh_private_key: Option<Vec<u8>>,

    /// User to log in as by WinRM.
    pub winrm_username: Option<String>,
    /// Password of that user.
    #[schemars(extend("x-sensitive" = true))]
    pub winrm_password: Option<String>,
    /// Address to connect to by WinRM; default: the address of the instance.
    pub winrm_host: Option<String>,
    /// Do not use the environment's HTTP proxy for WinRM.
    pub winrm_no_proxy: bool,
    /// Port of the WinRM service; default 5985, with TLS 5986.
    pub winrm_port: Option<u16>,
    /// How long to wait until WinRM answers; default 30m.
    pub winrm_timeout: Option<GoDuration>,
    /// Use TLS for WinRM.
    pub winrm_use_ssl: bool,
    /// Do not verify the certificate of the WinRM service.
    pub winrm_insecure: bool,
    /// Authenticate with NTLM instead of Basic. Without TLS the messages are encrypted then.
    pub winrm_use_ntlm: bool,
}

/// Which communicator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// SSH.
    Ssh,
    /// WinRM.
    WinRm,
    /// No connection at all.
    None,
}

/// The type of a temporary key pair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline, extend("x-any-case" = true))]
pub enum KeyType {
    /// RSA.
    #[default]
    Rsa,
    /// Ed25519.
    Ed25519,
    /// ECDSA.
    #[schemars(extend("x-unsupported" = "no builder makes such keys"))]
    Ecdsa,
    /// DSA.
    #[schemars(extend("x-unsupported" = "no builder makes such keys"))]
    Dsa,
}

/// How files are transferred by SSH.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum TransferMethod {
    /// The `scp` program of the other side; SFTP where there is none.
    Scp,
    /// The SFTP subsystem of the other side.
    Sftp,
}

/// The protocol of a proxy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum ProxyType {
    /// SOCKS version 5.
    #[default]
    Socks5,
    /// HTTP's CONNECT.
    Http,
}

impl CommunicatorOptions {
    /// Which of the built-in communicators; `None` for any other.
    pub fn kind(&self) -> Option<Kind> {
        match self.name() {
            "ssh" => Some(Kind::Ssh),
            "winrm" => Some(Kind::WinRm),
            "none" => Some(Kind::None),
            _ => None,
        }
    }

    /// The name of the communicator.
    pub fn name(&self) -> &str {
        self.communicator.as_deref().unwrap_or("ssh")
    }

    /// The port of the SSH server or the WinRM service.
    pub fn port(&self) -> u16 {
        let (given, usual) = match self.kind() {
            Some(Kind::WinRm) if self.winrm_use_ssl => (self.winrm_port, 5986),
            Some(Kind::WinRm) => (self.winrm_port, 5985),
            _ => (self.ssh_port, 22),
        };
        given.filter(|port| *port != 0).unwrap_or(usual)
    }

    /// The user to log in as.
    pub fn username(&self) -> &str {
        let given = match self.kind() {
            Some(Kind::WinRm) => &self.winrm_username,
            _ => &self.ssh_username,
        };
        given.as_deref().unwrap_or_default()
    }

    /// The address to connect to, where the template gives one.
    pub fn given_host(&self) -> Option<&str> {
        match self.kind() {
            Some(Kind::WinRm) => self.winrm_host.as_deref(),
            _ => self.ssh_host.as_deref(),
        }
    }

    /// Where the private key of the template is.
    pub fn private_key_path(&self, home: Option<&Path>, working_directory: &Path) -> Option<PathBuf> {
        let given = self.ssh_private_key_file.as_deref();
        given.map(|path| local_path(path, home, working_directory))
    }

    /// How long to wait for WinRM.
    pub(crate) fn winrm_limit(&self) -> Duration {
        positive(self.winrm_timeout).unwrap_or(Duration::from_mins(30))
    }

    /// How long to wait for SSH altogether; `None`: for ever.
    pub fn connect_timeout(&self) -> Option<Duration> {
        match positive(self.ssh_wait_timeout).or(positive(self.ssh_timeout)) {
            None if self.ssh_handshake_attempts.is_some() => None,
            None => Some(Duration::from_mins(5)),
            given => given,
        }
    }

    /// How many failed logins end the wait; `None`: any number is accepted.
    pub fn handshake_attempts(&self) -> Option<u32> {
        match self.ssh_handshake_attempts {
            None if self.ssh_timeout.is_some() || self.ssh_wait_timeout.is_some() => None,
            None => Some(10),
            given => given.filter(|attempts| *attempts > 0),
        }
    }

    /// The interval of keepalives; `None`: none are sent.
    pub(crate) fn keepalive(&self) -> Option<Duration> {
        let interval = self.ssh_keep_alive_interval.filter(|interval| !interval.is_zero());
        positive(Some(interval.unwrap_or(GoDuration::from_seconds(5))))
    }

    /// The hosts to go through, in order.
    pub(crate) fn bastions(&self) -> Vec<Bastion> {
        let usual_port = self.ssh_bastion_port.filter(|port| *port != 0).unwrap_or(22);
        let usual_user = self.ssh_bastion_username.as_deref().unwrap_or(self.username());
        let texts = self.ssh_bastion_host.iter().flat_map(|texts| texts.split(','));
        let texts = texts.map(str::trim).filter(|text| !text.is_empty());
        let host_keys = self.ssh_bastion_host_key.0.iter().cloned();
        let host_keys = host_keys.chain(std::iter::repeat(HostKeyPolicy::AcceptNew));
        texts
            .zip(host_keys)
            .map(|(text, host_key)| {
                let (username, rest) = text.rsplit_once('@').unwrap_or((usual_user, text));
                let (host, port) = split_port(rest).unwrap_or((rest, usual_port));
                Bastion {
                    username: username.to_owned(),
                    host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
                    port,
                    host_key,
                }
            })
            .collect()
    }

    /// How long to pause between the first connection and the one that is used.
    pub(crate) fn pause(&self) -> Option<Duration> {
        positive(self.pause_before_connecting)
    }
}

/// A duration that is given and longer than nothing.
pub(crate) fn positive(span: Option<GoDuration>) -> Option<Duration> {
    span.map(GoDuration::to_std).filter(|span| !span.is_zero())
}

/// A host of `ssh_bastion_host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bastion {
    pub(crate) username: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) host_key: HostKeyPolicy,
}

/// `host:port` or `[v6]:port`; an address of version 6 without brackets has no port.
fn split_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    if host.contains(':') && !host.ends_with(']') {
        return None;
    }
    Some((host, port.parse().ok()?))
}

/// A path of a template: `~` is the home directory, other relative paths are relative to `working_directory`.
pub(crate) fn local_path(path: &str, home: Option<&Path>, working_directory: &Path) -> PathBuf {
    match (path.strip_prefix('~'), home) {
        (Some(""), Some(home)) => home.to_owned(),
        (Some(rest), Some(home)) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => working_directory.join(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(json: &str) -> CommunicatorOptions {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn defaults_of_timeout_and_attempts_depend_on_each_other() {
        let both = |json| {
            (
                options(json).connect_timeout().map(|limit| limit.as_secs()),
                options(json).handshake_attempts(),
            )
        };
        assert_eq!(both("{}"), (Some(300), Some(10)));
        assert_eq!(both(r#"{"ssh_timeout": "1m"}"#), (Some(60), None));
        assert_eq!(
            both(r#"{"ssh_timeout": "1m", "ssh_wait_timeout": "2m"}"#),
            (Some(120), None)
        );
        assert_eq!(both(r#"{"ssh_handshake_attempts": 3}"#), (None, Some(3)));
        assert_eq!(
            both(r#"{"ssh_handshake_attempts": 0, "ssh_timeout": "10s"}"#),
            (Some(10), None)
        );
    }

    #[test]
    fn host_port_and_user_are_those_of_the_communicator() {
        let both = |json: &str| {
            let options = options(json);
            let host = options.given_host().map(str::to_owned);
            (options.port(), options.username().to_owned(), host.unwrap_or_default())
        };
        let winrm = r#"{"communicator": "winrm", "winrm_host": "h", "winrm_username": "a", "ssh_username": "u", "ssh_host": "s""#;
        assert_eq!(both(&format!("{winrm}}}")), (5985, "a".into(), "h".into()));
        let tls = format!(r#"{winrm}, "winrm_use_ssl": true}}"#);
        assert_eq!(both(&tls), (5986, "a".into(), "h".into()));
        let port = format!(r#"{winrm}, "winrm_use_ssl": true, "winrm_port": 443}}"#);
        assert_eq!(both(&port).0, 443);
        assert_eq!(options("{}").winrm_limit(), Duration::from_mins(30));
    }

    #[test]
    fn a_negative_interval_turns_keepalives_off() {
        assert_eq!(options("{}").keepalive(), Some(Duration::from_secs(5)));
        assert_eq!(options(r#"{"ssh_keep_alive_interval": "-1s"}"#).keepalive(), None);
    }

    #[test]
    fn each_bastion_has_a_host_key_of_its_own() {
        let keys = |json| {
            let hops = options(json).bastions();
            hops.into_iter().map(|hop| hop.host_key).collect::<Vec<_>>()
        };
        let pinned = HostKeyPolicy::Pinned("SHA256:abc".into());
        assert_eq!(
            keys(r#"{"ssh_bastion_host": "a,b,c", "ssh_bastion_host_key": "accept-new, pin:SHA256:abc"}"#),
            [HostKeyPolicy::AcceptNew, pinned, HostKeyPolicy::AcceptNew]
        );
    }

    #[test]
    fn paths_are_relative_to_home_or_to_the_working_directory() {
        let path = |text| local_path(text, Some(Path::new("/home/me")), Path::new("/work"));
        assert_eq!(path("~/key"), Path::new("/home/me/key"));
        assert_eq!(path("key"), Path::new("/work/key"));
        assert_eq!(path("~other/key"), Path::new("/work/~other/key"));
        assert_eq!(path("/key"), Path::new("/key"));
    }

    #[test]
    fn bastions_are_gone_through_in_order() {
        let hops = |json| {
            let hops = options(json).bastions();
            let texts = hops
                .iter()
                .map(|hop| format!("{}@{} {}", hop.username, hop.host, hop.port));
            texts.collect::<Vec<_>>()
        };
        assert_eq!(hops("{}"), Vec::<String>::new());
        assert_eq!(
            hops(r#"{"ssh_username": "u", "ssh_bastion_host": "b", "ssh_bastion_port": 2222}"#),
            ["u@b 2222"]
        );
        assert_eq!(
            hops(r#"{"ssh_bastion_username": "j", "ssh_bastion_host": "a, me@b:24,[fd00::1]:25,fd00::2"}"#),
            ["j@a 22", "me@b 24", "j@fd00::1 25", "j@fd00::2 22"]
        );
    }
}
