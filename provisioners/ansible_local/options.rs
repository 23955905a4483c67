//! The options of `ansible-local` and their rules (communicators.md §18).

use bakelite_template::component::Complaint;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::ansible::options::Kind;
use crate::given;

/// The command that plays, when the template names none: colours although nobody watches, and lines as they come.
const COMMAND: &str = "ANSIBLE_FORCE_COLOR=1 PYTHONUNBUFFERED=1 ansible-playbook";

/// Where everything goes on the instance, in a folder of its own.
pub(super) const STAGING: &str = "/tmp/packer-provisioner-ansible-local";

/// Options of ansible-local.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct AnsibleLocalOptions {
    /// What runs playbooks on the instance, as its shell reads it; default
    /// `ANSIBLE_FORCE_COLOR=1 PYTHONUNBUFFERED=1 ansible-playbook`.
    pub(crate) command: Option<String>,
    /// The playbook to run; a file of this machine.
    pub(crate) playbook_file: Option<String>,
    /// Several of them, run in this order.
    pub(crate) playbook_files: Vec<String>,
    /// Folder of this machine that goes to the staging folder with all that is in it.
    pub(crate) playbook_dir: Option<String>,
    /// Folders that go to `playbooks` in the staging folder, for includes.
    pub(crate) playbook_paths: Vec<String>,
    /// Roles that go to `roles` in the staging folder.
    pub(crate) role_paths: Vec<String>,
    /// Folders that go to `collections` in the staging folder.
    pub(crate) collection_paths: Vec<String>,
    /// Folder with variables of groups.
    pub(crate) group_vars: Option<String>,
    /// Folder with variables of hosts.
    pub(crate) host_vars: Option<String>,
    /// Inventory of this machine; default: one with `127.0.0.1` alone.
    pub(crate) inventory_file: Option<String>,
    /// Groups of the inventory that is made, with `127.0.0.1` in each.
    pub(crate) inventory_groups: Vec<String>,
    /// Folder of the instance for all of this; default: a new one in `/tmp/packer-provisioner-ansible-local`.
    pub(crate) staging_directory: Option<String>,
    /// Remove the staging folder afterwards, also after a failure.
    pub(crate) clean_staging_directory: bool,
    /// More arguments for `command`, as the instance's shell reads them.
    pub(crate) extra_arguments: Vec<String>,
    /// Requirements to install with Ansible Galaxy on the instance first; a file of this machine.
    pub(crate) galaxy_file: Option<String>,
    /// What installs them, as the instance's shell reads it; default `ansible-galaxy`.
    pub(crate) galaxy_command: Option<String>,
    /// Install them even when they are there.
    pub(crate) galaxy_force_install: bool,
    /// Folder of the instance to install roles into; default: `galaxy_roles` in the staging folder.
    pub(crate) galaxy_roles_path: Option<String>,
    /// Folder of the instance to install collections into; default: `galaxy_collections` in the staging folder.
    pub(crate) galaxy_collections_path: Option<String>,
}

impl AnsibleLocalOptions {
    /// Complains about what does not go together or is not there. Paths in `unknown` have no value yet.
    pub(crate) fn check(&self, unknown: &[String], complaints: &mut Vec<Complaint>) {
        match (
            given(self.playbook_file.as_deref()).is_some(),
            !self.playbook_files.is_empty(),
        ) {
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
        let one = |path: &Option<String>| {
            given(path.as_deref())
                .map(str::to_owned)
                .into_iter()
                .collect::<Vec<_>>()
        };
        for (option, paths, kind) in [
            ("playbook_file", one(&self.playbook_file), Kind::File),
            ("playbook_files", self.playbook_files.clone(), Kind::File),
            ("galaxy_file", one(&self.galaxy_file), Kind::File),
            ("inventory_file", one(&self.inventory_file), Kind::File),
            ("playbook_dir", one(&self.playbook_dir), Kind::Folder),
            ("group_vars", one(&self.group_vars), Kind::Folder),
            ("host_vars", one(&self.host_vars), Kind::Folder),
            ("playbook_paths", self.playbook_paths.clone(), Kind::Folder),
            ("role_paths", self.role_paths.clone(), Kind::Folder),
            ("collection_paths", self.collection_paths.clone(), Kind::Folder),
        ] {
            let is_known = !unknown.iter().any(|path| path.split(['.', '[']).next() == Some(option));
            if is_known {
                complaints.extend(paths.iter().filter_map(|path| kind.complaint(option, path)));
            }
        }
    }

    /// What runs playbooks.
    pub(crate) fn command(&self) -> &str {
        given(self.command.as_deref()).unwrap_or(COMMAND)
    }

    /// The staging folder: the template's, or one that nobody has used.
    pub(crate) fn staging_directory(&self) -> String {
        let own = given(self.staging_directory.as_deref()).map(|folder| folder.trim_end_matches('/'));
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
            .check(&[], &mut complaints);
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
    fn each_provisioner_has_a_staging_folder_of_its_own() {
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
