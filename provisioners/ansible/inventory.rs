//! The inventory that Ansible gets: one host, in its groups.

use std::io;
use std::path::{Path, PathBuf};

use bakelite_engine::private_file::{Naming, PrivateFile, PrivateFiles};
use bakelite_template::gotemplate::{RenderError, Rendering, render};

use super::options::AnsibleOptions;
use super::reach::Reach;

const SSH_LINE: &str = "{{ .HostAlias }} ansible_host={{ .Host }} ansible_user={{ .User }} ansible_port={{ .Port }}\n";
const WINRM_LINE: &str = "{{ .HostAlias }} ansible_host={{ .Host }} ansible_connection=winrm ansible_winrm_transport=basic \
                          ansible_shell_type=powershell ansible_user={{ .User }} ansible_port={{ .Port }}\n";

/// An inventory on this machine's disk.
pub(crate) struct Inventory {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Removes one that we wrote.
    _written: Option<PrivateFile>,
}

impl Inventory {
    /// The template's own, as it is.
    pub(crate) fn given(path: PathBuf) -> Self {
        Self { path, _written: None }
    }

    /// Writes one that only the user can read.
    pub(crate) fn write(text: &str, directory: &Path, keep: bool, files: &PrivateFiles) -> io::Result<Self> {
        let naming = Naming {
            prefix: "packer-provisioner-ansible",
            suffix: "",
            mode: 0o600,
        };
        let file = files.write(directory, naming, text.as_bytes())?;
        if keep {
            return Ok(Self::given(file.keep()?));
        }
        Ok(Self {
            path: file.path().to_owned(),
            _written: Some(file),
        })
    }
}

/// The text of an inventory.
pub(crate) fn text(options: &AnsibleOptions, reach: &Reach, rendering: &Rendering) -> Result<String, RenderError> {
    let usual = if reach.by_winrm { WINRM_LINE } else { SSH_LINE };
    let template = options.inventory_file_template.as_deref().unwrap_or(usual);
    let mut rendering = rendering.clone();
    let port = reach.port.to_string();
    for (name, value) in [
        ("Host", reach.host.as_str()),
        ("HostAlias", options.host_alias.as_str()),
        ("User", &reach.user),
        ("Port", &port),
    ] {
        rendering.fields.insert(name.into(), value.into());
    }
    let line = render(template, &rendering)?;
    let mut text = line.clone();
    for group in &options.groups {
        text.extend(["[", group, "]\n", &line]);
    }
    for group in &options.empty_groups {
        text.extend(["[", group, "]\n"]);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{options, reach, rendering};
    use super::*;

    #[test]
    fn the_host_stands_in_all_of_its_groups() {
        let json = r#"{"groups": ["web", "db"], "empty_groups": ["none"], "host_alias": "image"}"#;
        let line = "image ansible_host=127.0.0.1 ansible_user=me ansible_port=2222\n";
        let expected = format!("{line}[web]\n{line}[db]\n{line}[none]\n");
        assert_eq!(text(&options(json), &reach(), &rendering()).unwrap(), expected);
    }

    #[test]
    fn windows_is_reached_by_winrm_unless_the_line_is_the_templates() {
        let windows = Reach {
            by_winrm: true,
            ..reach()
        };
        let line = text(&options("{}"), &windows, &rendering()).unwrap();
        assert_eq!(
            line,
            "default ansible_host=127.0.0.1 ansible_connection=winrm ansible_winrm_transport=basic ansible_shell_type=powershell \
             ansible_user=me ansible_port=2222\n"
        );
        let own = options(
            r#"{"inventory_file_template": "{{ .HostAlias }} h={{ .Host }} {{ .ID }} {{ .User }}:{{ .Port }}\n"}"#,
        );
        assert_eq!(
            text(&own, &windows, &rendering()).unwrap(),
            "default h=127.0.0.1 i-1 me:2222\n"
        );
    }

    #[test]
    fn only_the_user_can_read_it_and_it_goes_unless_it_is_kept() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let inventory = Inventory::write("x", directory.path(), false, &PrivateFiles::default()).unwrap();
        let path = inventory.path.clone();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("packer-provisioner-ansible")
        );
        drop(inventory);
        assert!(!path.exists());
        let kept = Inventory::write("x", directory.path(), true, &PrivateFiles::default())
            .unwrap()
            .path;
        assert_eq!(std::fs::read_to_string(kept).unwrap(), "x");
    }
}
