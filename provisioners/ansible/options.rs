//! The options of `ansible` and their rules (communicators.md §17.1).

use std::path::Path;

use bakelite_template::component::Complaint;
use schemars::JsonSchema;
use serde::Deserialize;

use super::version;
use crate::given;

/// Options of ansible.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the template")]
pub(crate) struct AnsibleOptions {
    /// The playbook to run; a file of this machine.
    pub(crate) playbook_file: Option<String>,
    /// The program that runs it; default `ansible-playbook`. It is not a shell's command.
    pub(crate) command: Option<String>,
    /// More arguments for it. They stand behind our own variables and before the inventory; no shell splits them. `{{ build `NAME` }}` and
    /// `{{ .NAME }}` stand for data of the build.
    #[schemars(extend("x-late" = true))]
    pub(crate) extra_arguments: Vec<String>,
    /// Environment variables for Ansible, as `NAME=value`; they win over ours.
    pub(crate) ansible_env_vars: Vec<String>,
    /// Arguments for OpenSSH's client when it logs in with a key; default `["-o IdentitiesOnly=yes"]`.
    pub(crate) ansible_ssh_extra_args: Option<Vec<String>>,
    /// Groups of the inventory that the instance belongs to.
    pub(crate) groups: Vec<String>,
    /// Groups of the inventory without a host.
    pub(crate) empty_groups: Vec<String>,
    /// Name of the instance in the inventory; default `default`.
    pub(crate) host_alias: Option<String>,
    /// User that Ansible logs in as; default: through the proxy adapter the user of this machine who bakes, else the communicator's.
    pub(crate) user: Option<String>,
    /// First of ten ports of this machine that the proxy adapter tries to listen on; default: any that is free.
    pub(crate) local_port: Option<u32>,
    /// Private key of the proxy adapter itself; with it Ansible checks the host key. Default: one is made.
    pub(crate) ssh_host_key_file: Option<String>,
    /// Public key that the proxy adapter lets in; Ansible finds the private one by itself then. Default: a pair is made.
    pub(crate) ssh_authorized_key_file: Option<String>,
    /// Type of the keys that are made for the proxy adapter: `ECDSA` (the default) or `RSA`.
    pub(crate) ansible_proxy_key_type: Option<String>,
    /// The SFTP server of the instance, with its arguments; default: the one that is there. Where there is none, bakelite answers SFTP
    /// itself.
    pub(crate) sftp_command: Option<String>,
    /// Do not ask Ansible to transfer files by scp.
    pub(crate) use_sftp: bool,
    /// Do not run `command --version` first, neither here nor in `validate`.
    pub(crate) skip_version_check: bool,
    /// Folder for the inventory that is written, with `group_vars` and `host_vars` beside it; default: that of temporary files.
    pub(crate) inventory_directory: Option<String>,
    /// The line of the instance in the inventory. `{{ .Host }}`, `{{ .HostAlias }}`, `{{ .User }}` and `{{ .Port }}` stand for what the
    /// default line is made of.
    #[schemars(extend("x-late" = true))]
    pub(crate) inventory_file_template: Option<String>,
    /// An inventory to use as it is, in place of one that is written.
    pub(crate) inventory_file: Option<String>,
    /// Leave the inventory that was written.
    pub(crate) keep_inventory_file: bool,
    /// Requirements to install with Ansible Galaxy first: roles and collections.
    pub(crate) galaxy_file: Option<String>,
    /// The program that installs them; default `ansible-galaxy`.
    pub(crate) galaxy_command: Option<String>,
    /// Install them even when they are there.
    pub(crate) galaxy_force_install: bool,
    /// Install them and what they depend on even when they are there.
    pub(crate) galaxy_force_with_deps: bool,
    /// Folder to install roles into.
    pub(crate) roles_path: Option<String>,
    /// Folder to install collections into.
    pub(crate) collections_path: Option<String>,
    /// `false`: Ansible connects to the instance itself, and not through the proxy adapter of this build.
    pub(crate) use_proxy: Option<bool>,
    /// Without the proxy adapter: speak HTTP to WinRM, and not HTTPS.
    pub(crate) ansible_winrm_use_http: bool,
}

impl AnsibleOptions {
    /// Complains about what does not go together or is not there. Paths in `unknown` have no value yet.
    pub(crate) fn check(&self, unknown: &[String], complaints: &mut Vec<Complaint>) {
        let is_known = |option: &str| !unknown.iter().any(|path| path.split(['.', '[']).next() == Some(option));
        if given(self.playbook_file.as_deref()).is_none() {
            complaints.push(Complaint::error("", "`playbook_file` must be given"));
        }
        for (option, path, kind) in [
            ("playbook_file", &self.playbook_file, Kind::File),
            ("galaxy_file", &self.galaxy_file, Kind::File),
            ("inventory_file", &self.inventory_file, Kind::Any),
            ("inventory_directory", &self.inventory_directory, Kind::Folder),
            ("ssh_host_key_file", &self.ssh_host_key_file, Kind::File),
            ("ssh_authorized_key_file", &self.ssh_authorized_key_file, Kind::File),
        ] {
            if let Some(path) = given(path.as_deref()).filter(|_| is_known(option)) {
                complaints.extend(kind.complaint(option, path));
            }
        }
        if self.local_port.is_some_and(|port| port > u32::from(u16::MAX)) {
            complaints.push(Complaint::error("local_port", "`local_port` must be at most 65535"));
        }
        if self.key_type().is_none() && is_known("ansible_proxy_key_type") {
            let complaint = Complaint::error(
                "ansible_proxy_key_type",
                "`ansible_proxy_key_type` must be `ECDSA` or `RSA`",
            );
            complaints.push(complaint);
        }
        for (index, text) in self.ansible_env_vars.iter().enumerate() {
            if text.split_once('=').is_none_or(|(name, _)| name.is_empty()) && is_known("ansible_env_vars") {
                let option = format!("ansible_env_vars[{index}]");
                let message = "environment variable is not of the form `NAME=value`";
                complaints.push(Complaint::error(option, message));
            }
        }
        if !self.skip_version_check
            && is_known("command")
            && let Err(error) = version::check(self.command())
        {
            let complaint = Complaint::error("command", bakelite_engine::chain_of(&error));
            complaints.push(complaint.help(
                "install Ansible, or name its program in `command`; `skip_version_check = true` skips this check",
            ));
        }
    }

    /// The program that runs playbooks.
    pub(crate) fn command(&self) -> &str {
        given(self.command.as_deref()).unwrap_or("ansible-playbook")
    }

    /// The name of the instance in the inventory.
    pub(crate) fn host_alias(&self) -> &str {
        given(self.host_alias.as_deref()).unwrap_or("default")
    }

    /// The type of the adapter's keys; `None` when the option says something else.
    pub(crate) fn key_type(&self) -> Option<KeyType> {
        match given(self.ansible_proxy_key_type.as_deref())
            .map(str::to_ascii_uppercase)
            .as_deref()
        {
            None | Some("ECDSA") => Some(KeyType::Ecdsa),
            Some("RSA") => Some(KeyType::Rsa),
            Some(_) => None,
        }
    }

    /// Environment variables of the template, by name and value.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.ansible_env_vars.iter().filter_map(|text| text.split_once('='))
    }
}

/// Type of the adapter's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyType {
    /// On the curve P-384.
    Ecdsa,
    /// Of 2048 bits.
    Rsa,
}

/// What a path must be.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// Either.
    Any,
}

impl Kind {
    /// What is wrong with an option's path.
    pub(crate) fn complaint(self, option: &str, path: &str) -> Option<Complaint> {
        let (found, name) = match self {
            Kind::File => (Path::new(path).is_file(), "file"),
            Kind::Folder => (Path::new(path).is_dir(), "folder"),
            Kind::Any => (Path::new(path).exists(), "file or folder"),
        };
        (!found).then(|| Complaint::error(option, format!("`{path}` is not a {name} that exists")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(json: &str, unknown: &[&str]) -> Vec<String> {
        let options: AnsibleOptions = serde_json::from_str(json).unwrap();
        let unknown: Vec<String> = unknown.iter().map(|path| (*path).to_owned()).collect();
        let mut complaints = Vec::new();
        options.check(&unknown, &mut complaints);
        complaints
            .into_iter()
            .map(|complaint| format!("{}: {}", complaint.option, complaint.message))
            .collect()
    }

    #[test]
    fn what_must_exist_is_looked_for_unless_it_is_not_known_yet() {
        let all = complaints(
            r#"{"skip_version_check": true, "playbook_file": "/nosuch.yml", "galaxy_file": "/nosuch", "inventory_file": "/nosuch",
                "inventory_directory": "Cargo.toml", "ssh_host_key_file": "/nosuch", "ssh_authorized_key_file": "/nosuch"}"#,
            &["galaxy_file"],
        );
        assert_eq!(
            all,
            [
                "playbook_file: `/nosuch.yml` is not a file that exists",
                "inventory_file: `/nosuch` is not a file or folder that exists",
                "inventory_directory: `Cargo.toml` is not a folder that exists",
                "ssh_host_key_file: `/nosuch` is not a file that exists",
                "ssh_authorized_key_file: `/nosuch` is not a file that exists",
            ]
        );
        assert_eq!(
            complaints(r#"{"skip_version_check": true}"#, &[]),
            [": `playbook_file` must be given"]
        );
    }

    #[test]
    fn values_are_checked() {
        let all = complaints(
            r#"{"skip_version_check": true, "playbook_file": "Cargo.toml", "local_port": 65536, "ansible_proxy_key_type": "dsa",
                "ansible_env_vars": ["A=1", "B"]}"#,
            &[],
        );
        let options: Vec<&str> = all.iter().filter_map(|text| text.split(':').next()).collect();
        assert_eq!(options, ["local_port", "ansible_proxy_key_type", "ansible_env_vars[1]"]);
        let fine = r#"{"skip_version_check": true, "playbook_file": "Cargo.toml", "local_port": 65535, "ansible_proxy_key_type": "rsa"}"#;
        assert_eq!(complaints(fine, &[]), Vec::<String>::new());
    }

    #[test]
    fn a_program_that_is_not_ansible_is_an_error_unless_that_is_skipped() {
        let missing = complaints(r#"{"playbook_file": "Cargo.toml", "command": "/nosuch"}"#, &[]);
        assert!(
            missing[0].starts_with("command: run `/nosuch --version`"),
            "{missing:?}"
        );
        let wrong = complaints(r#"{"playbook_file": "Cargo.toml", "command": "false"}"#, &[]);
        assert!(wrong[0].starts_with("command: run `false --version`"), "{wrong:?}");
        let skipped = r#"{"playbook_file": "Cargo.toml", "command": "/nosuch", "skip_version_check": true}"#;
        assert_eq!(complaints(skipped, &[]), Vec::<String>::new());
    }
}
