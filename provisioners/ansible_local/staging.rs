//! The staging folder of the instance: what goes there, and under which names (communicators.md §18).

use std::path::{Path, PathBuf};

use bakelite_engine::communicator::Upload;
use bakelite_engine::provisioner::Provisioning;
use bakelite_engine::script::{random_number, shell_word};

use super::options::AnsibleLocalOptions;
use super::{AnsibleLocalError, base_name, on_instance};
use crate::given;

/// The mode of files on the instance.
const MODE: u32 = 0o644;

/// The staging folder, to be filled.
pub(super) struct Staging<'a> {
    /// Where it is on the instance.
    pub(super) folder: &'a str,
    /// The bake.
    pub(super) provisioning: &'a Provisioning,
}

/// Where things lie on the instance.
pub(super) struct Staged {
    /// The playbooks, in order.
    pub(super) playbooks: Vec<String>,
    /// The requirements.
    pub(super) galaxy_file: Option<String>,
    /// The inventory.
    pub(super) inventory: String,
}

impl Staging<'_> {
    /// Uploads all that the options name.
    pub(super) async fn fill(&self, options: &AnsibleLocalOptions) -> Result<Staged, AnsibleLocalError> {
        match given(options.playbook_dir.as_deref()) {
            Some(folder) => self.upload_folder(folder, self.folder).await?,
            None => self.make_folder(self.folder).await?,
        }
        let playbooks = self.upload_playbooks(options).await?;
        let galaxy_file = match given(options.galaxy_file.as_deref()) {
            Some(file) => Some(self.upload_beside(file).await?),
            None => None,
        };
        let inventory = self.upload_inventory(options).await?;
        for (folder, name) in [(&options.group_vars, "group_vars"), (&options.host_vars, "host_vars")] {
            if let Some(folder) = given(folder.as_deref()) {
                self.upload_folder(folder, &self.path(name)).await?;
            }
        }
        for (folders, name) in [
            (&options.role_paths, "roles"),
            (&options.collection_paths, "collections"),
            (&options.playbook_paths, "playbooks"),
        ] {
            for folder in folders {
                let place = format!("{}/{}", self.path(name), base_name(Path::new(folder)));
                self.upload_folder(folder, &place).await?;
            }
        }
        Ok(Staged {
            playbooks,
            galaxy_file,
            inventory,
        })
    }

    async fn upload_playbooks(&self, options: &AnsibleLocalOptions) -> Result<Vec<String>, AnsibleLocalError> {
        if let Some(file) = given(options.playbook_file.as_deref()) {
            return Ok(vec![self.upload_beside(file).await?]);
        }
        let folder = given(options.playbook_dir.as_deref()).map(|folder| self.local(folder));
        let mut playbooks = Vec::new();
        for file in &options.playbook_files {
            let local = self.local(file);
            if let Some(inside) = folder.as_ref().and_then(|folder| local.strip_prefix(folder).ok()) {
                playbooks.push(self.path(&inside.to_string_lossy()));
                continue;
            }
            // Playbooks of several folders may have the same name.
            let place = self.path(local.to_string_lossy().trim_start_matches('/'));
            if let Some((parent, _)) = place.rsplit_once('/') {
                self.make_folder(parent).await?;
            }
            self.upload_file(&local, &place).await?;
            playbooks.push(place);
        }
        Ok(playbooks)
    }

    async fn upload_inventory(&self, options: &AnsibleLocalOptions) -> Result<String, AnsibleLocalError> {
        if let Some(file) = given(options.inventory_file.as_deref()) {
            return self.upload_beside(file).await;
        }
        let text = inventory(&options.inventory_groups);
        let place = self.path(&format!("packer-provisioner-ansible-local{}", random_number()));
        let upload = Upload {
            content: &mut text.as_bytes(),
            size: text.len() as u64,
            mode: MODE,
        };
        self.provisioning.communicator.upload(upload, &place).await?;
        Ok(place)
    }

    /// Uploads a file under its own name; answers where it lies.
    async fn upload_beside(&self, file: &str) -> Result<String, AnsibleLocalError> {
        let local = self.local(file);
        let place = self.path(&base_name(&local));
        self.upload_file(&local, &place).await?;
        Ok(place)
    }

    async fn upload_file(&self, local: &Path, place: &str) -> Result<(), AnsibleLocalError> {
        let read = |source| AnsibleLocalError::Read {
            path: local.display().to_string(),
            source,
        };
        self.provisioning.ui.say(format!("Uploading {}", local.display()));
        let mut file = tokio::fs::File::open(local).await.map_err(read)?;
        let size = file.metadata().await.map_err(read)?.len();
        self.provisioning
            .communicator
            .upload(
                Upload {
                    content: &mut file,
                    size,
                    mode: MODE,
                },
                place,
            )
            .await?;
        Ok(())
    }

    /// Uploads what is in a folder.
    async fn upload_folder(&self, folder: &str, place: &str) -> Result<(), AnsibleLocalError> {
        self.provisioning.ui.say(format!("Uploading {folder}"));
        self.make_folder(place).await?;
        let local = self.local(folder);
        self.provisioning
            .communicator
            .upload_folder(&local, true, place)
            .await?;
        Ok(())
    }

    async fn make_folder(&self, place: &str) -> Result<(), AnsibleLocalError> {
        on_instance(self.provisioning, &format!("mkdir -p {}", shell_word(place))).await
    }

    /// A path of this machine.
    fn local(&self, path: &str) -> PathBuf {
        self.provisioning.run.working_folder.join(path)
    }

    /// A path in the staging folder.
    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }
}

/// The instance itself, in each of its groups.
fn inventory(groups: &[String]) -> String {
    if groups.is_empty() {
        return "127.0.0.1".to_owned();
    }
    let sections = groups.iter().flat_map(|group| ["[", group, "]\n127.0.0.1\n"]);
    sections.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instance_is_in_its_groups() {
        assert_eq!(inventory(&[]), "127.0.0.1");
        assert_eq!(
            inventory(&["web".into(), "db".into()]),
            "[web]\n127.0.0.1\n[db]\n127.0.0.1\n"
        );
    }
}
