//! How Ansible reaches the instance: through the adapter, or straight, and with which key or password.

use std::io;
use std::path::{Path, PathBuf};

use bakelite_engine::private_file::{Naming, PrivateFile};
use bakelite_engine::provisioner::RunContext;
use bakelite_scripts::quote;
use bakelite_template::plan::BuildData;

use super::options::AnsibleOptions;
use crate::instance::Connection;

/// Where Ansible connects to, and with what.
#[derive(Default)]
pub(crate) struct Reach {
    /// Address.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
    /// Whom it logs in as.
    pub(crate) user: String,
    /// Is the instance reached by SSH, be it through the adapter?
    pub(crate) instance_speaks_ssh: bool,
    /// Ansible itself speaks WinRM.
    pub(crate) by_winrm: bool,
    /// The private key.
    pub(crate) key: Option<Key>,
    /// A file with the variable `ansible_password`.
    pub(crate) secrets: Option<Secrets>,
    /// Arguments for OpenSSH's programs: the way past a bastion, a certificate.
    pub(crate) ssh_common_arguments: Option<String>,
}

impl Reach {
    /// The file with the private key.
    pub(crate) fn key_file(&self) -> Option<&Path> {
        match self.key.as_ref()? {
            Key::OfUser(path) => Some(path),
            Key::Temporary(file) => Some(file.path()),
        }
    }
}

/// A private key in a file.
pub(crate) enum Key {
    /// The user's.
    OfUser(PathBuf),
    /// One that goes with this value.
    Temporary(PrivateFile),
}

impl Key {
    /// Writes a key into a file that only the user can read and that goes with the answer.
    pub(crate) fn write(text: &str, run: &RunContext) -> io::Result<Self> {
        private_file("ansible-key", "", text, run).map(Self::Temporary)
    }
}

/// A file with a password, as a variable of Ansible's: what stands in its arguments every user of this machine could read. It goes with
/// this value.
pub(crate) struct Secrets(PrivateFile);

impl Secrets {
    /// Writes the password into a file that only the user can read.
    pub(crate) fn write(password: &str, run: &RunContext) -> io::Result<Self> {
        // A string of JSON is one of YAML; the tag keeps Ansible from looking for `{{ }}` in it.
        let text = format!("ansible_password: !unsafe {}\n", serde_json::Value::from(password));
        private_file("ansible-variables", ".yml", &text, run).map(Self)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

fn private_file(prefix: &str, suffix: &str, text: &str, run: &RunContext) -> io::Result<PrivateFile> {
    let naming = Naming {
        prefix,
        suffix,
        mode: 0o600,
    };
    run.private_files
        .write(&run.temporary_directory, naming, text.as_bytes())
}

/// Why Ansible cannot connect to the instance itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotStraight {
    #[error("the address of the instance is not known")]
    NoAddress,
    #[error("the communicator is `{0}`")]
    Communicator(String),
    /// The reason is the communicator's.
    #[error("{0}")]
    OnlyHere(String),
    #[error("failed to write a login")]
    Login(#[from] io::Error),
}

/// The straight way to the instance.
pub(crate) fn straight(options: &AnsibleOptions, data: &BuildData, run: &RunContext) -> Result<Reach, NotStraight> {
    let data = Connection(data);
    let host = data.string("Host").ok_or(NotStraight::NoAddress)?;
    let by_winrm = match data.string("ConnType") {
        Some("ssh") => false,
        Some("winrm") => true,
        kind => return Err(NotStraight::Communicator(kind.unwrap_or("none").to_owned())),
    };
    if let Some(reason) = data.string("SSHOnlyHere").filter(|_| !by_winrm) {
        return Err(NotStraight::OnlyHere(reason.to_owned()));
    }
    let user = options
        .user
        .as_deref()
        .or_else(|| data.string("User"))
        .unwrap_or_default();
    let reach = Reach {
        host: host.to_owned(),
        port: data
            .string("Port")
            .and_then(|port| port.parse().ok())
            .unwrap_or(if by_winrm { 5986 } else { 22 }),
        user: user.to_owned(),
        instance_speaks_ssh: !by_winrm,
        by_winrm,
        ssh_common_arguments: ssh_common_arguments(data, run).filter(|_| !by_winrm),
        ..Reach::default()
    };
    Ok(with_login(reach, data, run)?)
}

/// Adds the first of key file, agent, key in memory and password that there is.
fn with_login(mut reach: Reach, data: Connection<'_>, run: &RunContext) -> io::Result<Reach> {
    if reach.by_winrm {
        let password = data.string("WinRMPassword").or_else(|| data.string("Password"));
        reach.secrets = password.map(|password| Secrets::write(password, run)).transpose()?;
    } else if let Some(path) = data.string("SSHPrivateKeyFile") {
        reach.key = Some(Key::OfUser(home_path(path, run)));
    } else if data.string("SSHAgentAuth") == Some("true") {
        // OpenSSH's client finds it by itself.
    } else if let Some(key) = data.string("SSHPrivateKey") {
        reach.key = Some(Key::write(key, run)?);
    } else if let Some(password) = data.string("Password") {
        reach.secrets = Some(Secrets::write(password, run)?);
    }
    Ok(reach)
}

/// A path of the template's: `~` is the home directory.
fn home_path(path: &str, run: &RunContext) -> PathBuf {
    match (path.strip_prefix("~/"), &run.home_directory) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => run.working_directory.join(path),
    }
}

/// Arguments for OpenSSH's programs: a certificate, the way past a bastion.
fn ssh_common_arguments(data: Connection<'_>, run: &RunContext) -> Option<String> {
    let mut words = Vec::new();
    if let Some(path) = data.string("SSHCertificateFile") {
        words.push(format!("CertificateFile={}", home_path(path, run).display()));
    }
    if let Some(command) = data.string("SSHProxyCommand") {
        words.push(format!("ProxyCommand={command}"));
    }
    let words: Vec<String> = words.iter().map(|word| format!("-o {}", quote::word(word))).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{data, options, run};
    use super::*;

    fn reach(known: &[(&str, &str)]) -> Result<Reach, NotStraight> {
        let directory = tempfile::tempdir().unwrap();
        straight(&options("{}"), &data(known), &run(directory.path()))
    }

    const SSH: &[(&str, &str)] = &[
        ("Host", "10.0.0.1"),
        ("Port", "2222"),
        ("ConnType", "ssh"),
        ("User", "u"),
    ];

    fn ssh(more: &[(&str, &str)]) -> Reach {
        reach(&[SSH, more].concat()).unwrap()
    }

    #[test]
    fn the_first_way_to_log_in_is_used() {
        let all = [
            ("SSHPrivateKeyFile", "~/k"),
            ("SSHAgentAuth", "true"),
            ("SSHPrivateKey", "PEM"),
            ("Password", "s"),
        ];
        let file = ssh(&all);
        assert_eq!(file.key_file().unwrap(), Path::new("/home/me/k"));
        let agent = ssh(&all[1..]);
        assert!(agent.key.is_none() && agent.secrets.is_none());
        assert!(matches!(ssh(&all[2..]).key, Some(Key::Temporary(_))));
        let password = ssh(&all[3..]);
        assert!(password.key.is_none() && password.secrets.is_some());
        assert_eq!(
            (password.host.as_str(), password.port, password.user.as_str()),
            ("10.0.0.1", 2222, "u")
        );
    }

    #[test]
    fn a_key_in_memory_goes_with_the_value() {
        let directory = tempfile::tempdir().unwrap();
        let known = data(&[SSH, &[("SSHPrivateKey", "PEM")]].concat());
        let reach = straight(&options("{}"), &known, &run(directory.path())).unwrap();
        assert_eq!(std::fs::read_to_string(reach.key_file().unwrap()).unwrap(), "PEM");
        drop(reach);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn there_is_no_straight_way_everywhere() {
        let why_not = |known: &[(&str, &str)]| reach(known).err().unwrap().to_string();
        assert!(why_not(&[("ConnType", "ssh")]).contains("address"));
        assert!(why_not(&[("Host", "h"), ("ConnType", "none")]).contains("`none`"));
        let session = [SSH, &[("SSHOnlyHere", "it is reached by a session")]].concat();
        assert_eq!(why_not(&session), "it is reached by a session");
    }

    #[test]
    fn the_way_past_a_bastion_and_a_certificate_are_handed_on() {
        let reach = ssh(&[
            ("SSHProxyCommand", "ssh -W '[%h]:%p' b"),
            ("SSHCertificateFile", "c-cert.pub"),
        ]);
        assert_eq!(
            reach.ssh_common_arguments.unwrap(),
            r"-o CertificateFile=/work/c-cert.pub -o 'ProxyCommand=ssh -W '\''[%h]:%p'\'' b'"
        );
    }

    #[test]
    fn a_password_may_hold_anything() {
        let directory = tempfile::tempdir().unwrap();
        let file = Secrets::write("a\"b'{{ c }}\\ #: é", &run(directory.path())).unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert_eq!(text, "ansible_password: !unsafe \"a\\\"b'{{ c }}\\\\ #: é\"\n");
    }
}
