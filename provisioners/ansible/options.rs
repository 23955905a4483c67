//! The options of `ansible` and their rules.

use bakelite_engine::error::Error;
use bakelite_scripts::path::Kind;
use bakelite_template::component::Complaint;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::version;

/// Options of ansible.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the template")]
pub(crate) struct AnsibleOptions {
    /// The playbook to run; a file of this machine.
    pub(crate) playbook_file: String,
    /// The program that runs it; not a command of a shell.
    #[serde(default = "ansible_playbook")]
    pub(crate) command: String,
    /// More arguments for it. They stand behind our own variables and before the inventory; no shell splits them. `{{ build `NAME` }}` and
    /// `{{ .NAME }}` stand for data of the build.
    #[schemars(extend("x-late" = true))]
    #[serde(default)]
    pub(crate) extra_arguments: Vec<String>,
    /// Environment variables for Ansible, as `NAME=value`; they win over ours.
    #[serde(default)]
    pub(crate) ansible_env_vars: Vec<String>,
    /// Arguments for OpenSSH's client when it logs in with a key.
    #[serde(default = "only_this_key")]
    pub(crate) ansible_ssh_extra_args: Vec<String>,
    /// Groups of the inventory that the instance belongs to.
    #[serde(default)]
    pub(crate) groups: Vec<String>,
    /// Groups of the inventory without a host.
    #[serde(default)]
    pub(crate) empty_groups: Vec<String>,
    /// Name of the instance in the inventory.
    #[serde(default = "default_alias")]
    pub(crate) host_alias: String,
    /// User that Ansible logs in as; default: through the proxy adapter the user of this machine who bakes, else the communicator's.
    pub(crate) user: Option<String>,
    /// First of ten ports of this machine that the proxy adapter tries to listen on; 0: any that is free.
    #[serde(default)]
    pub(crate) local_port: u16,
    /// Private key of the proxy adapter itself; with it Ansible checks the host key. Default: one is made.
    pub(crate) ssh_host_key_file: Option<String>,
    /// Public key that the proxy adapter lets in; Ansible finds the private one by itself then. Default: a pair is made.
    pub(crate) ssh_authorized_key_file: Option<String>,
    /// Type of the keys that are made for the proxy adapter, in any case.
    #[serde(default)]
    pub(crate) ansible_proxy_key_type: KeyType,
    /// The SFTP server of the instance, with its arguments; default: the one that is there. Where there is none, bakelite answers SFTP
    /// itself.
    pub(crate) sftp_command: Option<String>,
    /// Do not ask Ansible to transfer files by scp.
    #[serde(default)]
    pub(crate) use_sftp: bool,
    /// Do not run `command --version` first, neither here nor in `validate`.
    #[serde(default)]
    pub(crate) skip_version_check: bool,
    /// Directory for the inventory that is written, with `group_vars` and `host_vars` beside it; default: that of temporary files.
    pub(crate) inventory_directory: Option<String>,
    /// The line of the instance in the inventory. `{{ .Host }}`, `{{ .HostAlias }}`, `{{ .User }}` and `{{ .Port }}` stand for what the
    /// default line is made of.
    #[schemars(extend("x-late" = true))]
    pub(crate) inventory_file_template: Option<String>,
    /// An inventory to use as it is, in place of one that is written.
    pub(crate) inventory_file: Option<String>,
    /// Leave the inventory that was written.
    #[serde(default)]
    pub(crate) keep_inventory_file: bool,
    /// Requirements to install with Ansible Galaxy first: roles and collections.
    pub(crate) galaxy_file: Option<String>,
    /// The program that installs them.
    #[serde(default = "ansible_galaxy")]
    pub(crate) galaxy_command: String,
    /// Install them even when they are there.
    #[serde(default)]
    pub(crate) galaxy_force_install: bool,
    /// Install them and what they depend on even when they are there.
    #[serde(default)]
    pub(crate) galaxy_force_with_deps: bool,
    /// Directory to install roles into.
    pub(crate) roles_path: Option<String>,
    /// Directory to install collections into.
    pub(crate) collections_path: Option<String>,
    /// `false`: Ansible connects to the instance itself, and not through the proxy adapter of this build.
    #[serde(default = "yes")]
    pub(crate) use_proxy: bool,
    /// Without the proxy adapter: speak HTTP to WinRM, and not HTTPS.
    #[serde(default)]
    pub(crate) ansible_winrm_use_http: bool,
}

impl AnsibleOptions {
    /// Complains about what does not go together or does not exist.
    pub(crate) fn check(&self, complaints: &mut Vec<Complaint>) {
        for (option, path, kind) in [
            ("playbook_file", Some(&self.playbook_file), Kind::File),
            ("galaxy_file", self.galaxy_file.as_ref(), Kind::File),
            ("inventory_file", self.inventory_file.as_ref(), Kind::Any),
            (
                "inventory_directory",
                self.inventory_directory.as_ref(),
                Kind::Directory,
            ),
            ("ssh_host_key_file", self.ssh_host_key_file.as_ref(), Kind::File),
            (
                "ssh_authorized_key_file",
                self.ssh_authorized_key_file.as_ref(),
                Kind::File,
            ),
        ] {
            complaints.extend(path.and_then(|path| kind.complaint(option, path)));
        }
        for (index, text) in self.ansible_env_vars.iter().enumerate() {
            if text.split_once('=').is_none_or(|(name, _)| name.is_empty()) {
                let option = format!("ansible_env_vars[{index}]");
                let message = "environment variable is not of the form `NAME=value`";
                complaints.push(Complaint::error(option, message));
            }
        }
        if !self.skip_version_check
            && let Err(error) = version::check(&self.command)
        {
            complaints.push(Error::from(error).complaint("command"));
        }
    }

    /// Environment variables of the template, by name and value.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.ansible_env_vars.iter().filter_map(|text| text.split_once('='))
    }
}

/// Type of the adapter's keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-any-case" = true))]
pub(crate) enum KeyType {
    /// On the curve P-384.
    #[default]
    #[serde(rename = "ECDSA")]
    Ecdsa,
    /// Of 2048 bits.
    #[serde(rename = "RSA")]
    Rsa,
}

fn ansible_playbook() -> String {
    "ansible-playbook".into()
}

fn ansible_galaxy() -> String {
    "ansible-galaxy".into()
}

fn only_this_key() -> Vec<String> {
    vec!["-o IdentitiesOnly=yes".into()]
}

fn default_alias() -> String {
    "default".into()
}

const fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(json: &str) -> Vec<String> {
        let options: AnsibleOptions = serde_json::from_str(json).unwrap();
        let mut complaints = Vec::new();
        options.check(&mut complaints);
        complaints
            .into_iter()
            .map(|complaint| format!("{}: {}", complaint.option, complaint.message))
            .collect()
    }

    #[test]
    fn paths_must_exist() {
        let all = complaints(
            r#"{"skip_version_check": true, "playbook_file": "/nosuch.yml", "inventory_file": "/nosuch",
                "inventory_directory": "Cargo.toml", "ssh_host_key_file": "/nosuch", "ssh_authorized_key_file": "/nosuch"}"#,
        );
        assert_eq!(
            all,
            [
                "playbook_file: `/nosuch.yml` is not an existing file",
                "inventory_file: `/nosuch` is not an existing file or directory",
                "inventory_directory: `Cargo.toml` is not an existing directory",
                "ssh_host_key_file: `/nosuch` is not an existing file",
                "ssh_authorized_key_file: `/nosuch` is not an existing file",
            ]
        );
    }

    #[test]
    fn a_variable_has_a_name_and_a_value() {
        let all = complaints(
            r#"{"skip_version_check": true, "playbook_file": "Cargo.toml", "ansible_env_vars": ["A=1", "B"]}"#,
        );
        assert_eq!(
            all,
            ["ansible_env_vars[1]: environment variable is not of the form `NAME=value`"]
        );
        let fine = r#"{"skip_version_check": true, "playbook_file": "Cargo.toml"}"#;
        assert_eq!(complaints(fine), Vec::<String>::new());
    }

    #[test]
    fn a_program_that_is_not_ansible_is_an_error_unless_that_is_skipped() {
        let missing = complaints(r#"{"playbook_file": "Cargo.toml", "command": "/nosuch"}"#);
        assert!(
            missing[0].starts_with("command: `/nosuch --version` failed"),
            "{missing:?}"
        );
        let wrong = complaints(r#"{"playbook_file": "Cargo.toml", "command": "false"}"#);
        assert!(wrong[0].starts_with("command: `false --version` failed"), "{wrong:?}");
        let skipped = r#"{"playbook_file": "Cargo.toml", "command": "/nosuch", "skip_version_check": true}"#;
        assert_eq!(complaints(skipped), Vec::<String>::new());
    }
}
