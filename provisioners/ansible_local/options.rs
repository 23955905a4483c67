//! The options of `ansible-local` and their rules.

use bakelite_scripts::path::Kind;
use bakelite_template::component::Complaint;
use schemars::JsonSchema;
use serde::Deserialize;

/// The command that plays, when the template names none: colours although nobody watches, and lines as they come.
const COMMAND: &str = "ANSIBLE_FORCE_COLOR=1 PYTHONUNBUFFERED=1 ansible-playbook";

/// Where everything goes on the instance, in a directory of its own.
pub(super) const STAGING: &str = "/tmp/packer-provisioner-ansible-local";

/// Options of ansible-local.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct AnsibleLocalOptions {
    /// What runs playbooks on the instance, as its shell reads it.
    pub(crate) command: String,
    /// The playbook to run; a file of this machine.
    pub(crate) playbook_file: Option<String>,
    /// Several of them, run in this order.
    pub(crate) playbook_files: Vec<String>,
    /// Directory of this machine that goes to the staging directory with all that is in it.
    pub(crate) playbook_dir: Option<String>,
    /// Directories that go to `playbooks` in the staging directory, for includes.
    pub(crate) playbook_paths: Vec<String>,
    /// Roles that go to `roles` in the staging directory.
    pub(crate) role_paths: Vec<String>,
    /// Directories that go to `collections` in the staging directory.
    pub(crate) collection_paths: Vec<String>,
    /// Directory with variables of groups.
    pub(crate) group_vars: Option<String>,
    /// Directory with variables of hosts.
    pub(crate) host_vars: Option<String>,
    /// Inventory of this machine; default: one with `127.0.0.1` alone.
    pub(crate) inventory_file: Option<String>,
    /// Groups of the inventory that is made, with `127.0.0.1` in each.
    pub(crate) inventory_groups: Vec<String>,
    /// Directory of the instance for all of this; default: a new one in `/tmp/packer-provisioner-ansible-local`.
    pub(crate) staging_directory: Option<String>,
    /// Remove the staging directory afterwards, also after a failure.
    pub(crate) clean_staging_directory: bool,
    /// More arguments for `command`, as the instance's shell reads them.
    pub(crate) extra_arguments: Vec<String>,
    /// Requirements to install with Ansible Galaxy on the instance first; a file of this machine.
    pub(crate) galaxy_file: Option<String>,
    /// What installs them, as the instance's shell reads it.
    pub(crate) galaxy_command: String,
    /// Install them even when they are there.
    pub(crate) galaxy_force_install: bool,
    /// Directory of the instance to install roles into; default: `galaxy_roles` in the staging directory.
    pub(crate) galaxy_roles_path: Option<String>,
    /// Directory of the instance to install collections into; default: `galaxy_collections` in the staging directory.
    pub(crate) galaxy_collections_path: Option<String>,
}

impl Default for AnsibleLocalOptions {
    fn default() -> Self {
        Self {
            command: COMMAND.into(),
            playbook_file: None,
            playbook_files: Vec::new(),
            playbook_dir: None,
            playbook_paths: Vec::new(),
            role_paths: Vec::new(),
            collection_paths: Vec::new(),
            group_vars: None,
            host_vars: None,
            inventory_file: None,
            inventory_groups: Vec::new(),
            staging_directory: None,
            clean_staging_directory: false,
            extra_arguments: Vec::new(),
            galaxy_file: None,
            galaxy_command: "ansible-galaxy".into(),
            galaxy_force_install: false,
            galaxy_roles_path: None,
            galaxy_collections_path: None,
        }
    }
}

impl AnsibleLocalOptions {
    /// Complains about what does not go together or does not exist.
    pub(crate) fn check(&self, complaints: &mut Vec<Complaint>) {
        match (self.playbook_file.is_some(), !self.playbook_files.is_empty()) {
            (true, true) => {
                let message = "`playbook_file` and `playbook_files` cannot be given together";
                complaints.push(Complaint::error("playbook_files", message));
            }
            (false, false) => complaints.push(Complaint::error(
                "",
                "`playbook_file` or `playbook_files` must be given",
            )),
            _ => {}
        }
        for (option, paths, kind) in [
            ("playbook_file", self.playbook_file.as_slice(), Kind::File),
            ("playbook_files", &self.playbook_files, Kind::File),
            ("galaxy_file", self.galaxy_file.as_slice(), Kind::File),
            ("inventory_file", self.inventory_file.as_slice(), Kind::File),
            ("playbook_dir", self.playbook_dir.as_slice(), Kind::Directory),
            ("group_vars", self.group_vars.as_slice(), Kind::Directory),
            ("host_vars", self.host_vars.as_slice(), Kind::Directory),
            ("playbook_paths", &self.playbook_paths, Kind::Directory),
            ("role_paths", &self.role_paths, Kind::Directory),
            ("collection_paths", &self.collection_paths, Kind::Directory),
        ] {
            complaints.extend(paths.iter().filter_map(|path| kind.complaint(option, path)));
        }
    }

    /// The staging directory: the template's, or one that nobody has used.
    pub(crate) fn staging_directory(&self) -> String {
        let own = self
            .staging_directory
            .as_deref()
            .map(|directory| directory.trim_end_matches('/'));
        own.map_or_else(|| format!("{STAGING}/{}", uuid::Uuid::new_v4()), str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(json: &str) -> Vec<String> {
        let mut complaints = Vec::new();
        serde_json::from_str::<AnsibleLocalOptions>(json)
            .unwrap()
            .check(&mut complaints);
        complaints
            .into_iter()
            .map(|complaint| format!("{}: {}", complaint.option, complaint.message))
            .collect()
    }

    #[test]
    fn one_way_to_name_playbooks_is_used() {
        assert_eq!(complaints(r#"{"playbook_file": "Cargo.toml"}"#), Vec::<String>::new());
        assert_eq!(
            complaints("{}"),
            [": `playbook_file` or `playbook_files` must be given"]
        );
        let both = complaints(r#"{"playbook_file": "Cargo.toml", "playbook_files": ["Cargo.toml"]}"#);
        assert_eq!(
            both,
            ["playbook_files: `playbook_file` and `playbook_files` cannot be given together"]
        );
    }

    #[test]
    fn what_goes_over_must_be_there() {
        let json = r#"{"playbook_file": "/no", "playbook_dir": "/no", "galaxy_file": "/no", "inventory_file": "/no", "group_vars": "Cargo.toml",
            "host_vars": "/no", "playbook_paths": ["/no"], "role_paths": ["tests", "/no"], "collection_paths": ["/no"]}"#;
        let all = complaints(json);
        let options: Vec<&str> = all.iter().filter_map(|text| text.split(':').next()).collect();
        assert_eq!(
            options,
            [
                "playbook_file",
                "galaxy_file",
                "inventory_file",
                "playbook_dir",
                "group_vars",
                "host_vars",
                "playbook_paths",
                "role_paths",
                "collection_paths"
            ]
        );
    }

    #[test]
    fn each_provisioner_has_a_staging_directory_of_its_own() {
        let options = AnsibleLocalOptions::default();
        assert_ne!(options.staging_directory(), options.staging_directory());
        assert!(
            options
                .staging_directory()
                .starts_with("/tmp/packer-provisioner-ansible-local/")
        );
        let own: AnsibleLocalOptions = serde_json::from_str(r#"{"staging_directory": "/srv/x/"}"#).unwrap();
        assert_eq!(own.staging_directory(), "/srv/x");
    }
}
