//! The staging directory of `ansible-local`: what is uploaded to it, and under which names.

use std::path::Path;

use bakelite_engine::private_file::random_number;

use super::options::AnsibleLocalOptions;
use crate::instance::{InstanceError, Staging, base_name};

/// The paths on the instance.
pub(super) struct Staged {
    /// The playbooks, in order.
    pub(super) playbooks: Vec<String>,
    /// The requirements.
    pub(super) galaxy_file: Option<String>,
    /// The inventory.
    pub(super) inventory: String,
}

/// Uploads all that the options name.
pub(super) async fn fill(staging: &Staging<'_>, options: &AnsibleLocalOptions) -> Result<Staged, InstanceError> {
    match &options.playbook_dir {
        Some(directory) => staging.upload_directory(directory, staging.directory).await?,
        None => staging.make_directory(staging.directory).await?,
    }
    let playbooks = upload_playbooks(staging, options).await?;
    let galaxy_file = match &options.galaxy_file {
        Some(file) => Some(staging.upload_beside(file).await?),
        None => None,
    };
    let inventory = upload_inventory(staging, options).await?;
    for (directory, name) in [(&options.group_vars, "group_vars"), (&options.host_vars, "host_vars")] {
        if let Some(directory) = directory {
            staging.upload_directory(directory, &staging.path(name)).await?;
        }
    }
    for (directories, name) in [
        (&options.role_paths, "roles"),
        (&options.collection_paths, "collections"),
        (&options.playbook_paths, "playbooks"),
    ] {
        for directory in directories {
            let place = format!("{}/{}", staging.path(name), base_name(Path::new(directory)));
            staging.upload_directory(directory, &place).await?;
        }
    }
    Ok(Staged {
        playbooks,
        galaxy_file,
        inventory,
    })
}

async fn upload_playbooks(staging: &Staging<'_>, options: &AnsibleLocalOptions) -> Result<Vec<String>, InstanceError> {
    if let Some(file) = &options.playbook_file {
        return Ok(vec![staging.upload_beside(file).await?]);
    }
    let directory = options.playbook_dir.as_ref().map(|directory| staging.local(directory));
    let mut playbooks = Vec::new();
    for file in &options.playbook_files {
        let local = staging.local(file);
        if let Some(inside) = directory
            .as_ref()
            .and_then(|directory| local.strip_prefix(directory).ok())
        {
            playbooks.push(staging.path(&inside.to_string_lossy()));
            continue;
        }
        // Playbooks of several directories may have the same name.
        let place = staging.path(local.to_string_lossy().trim_start_matches('/'));
        if let Some((parent, _)) = place.rsplit_once('/') {
            staging.make_directory(parent).await?;
        }
        staging.upload_file(&local, &place).await?;
        playbooks.push(place);
    }
    Ok(playbooks)
}

async fn upload_inventory(staging: &Staging<'_>, options: &AnsibleLocalOptions) -> Result<String, InstanceError> {
    if let Some(file) = &options.inventory_file {
        return staging.upload_beside(file).await;
    }
    let text = inventory(&options.inventory_groups);
    let place = staging.path(&format!("packer-provisioner-ansible-local{}", random_number()));
    staging.upload_text(&text, &place).await?;
    Ok(place)
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
