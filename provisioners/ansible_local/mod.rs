//! The `ansible-local` provisioner: uploads playbooks and what they need, and runs Ansible on the instance itself. In this
//! order: stage everything, install roles and collections with Galaxy, run one playbook after the other, remove the staging directory.

mod options;
mod staging;

use std::borrow::Cow;

use async_trait::async_trait;
use bakelite_engine::error::Explain;
use bakelite_engine::provisioner::{ProvisionError, Provisioner, Provisioning};
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_scripts::quote;
use bakelite_template::component::Complaint;
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;

use crate::ansible::galaxy::{Galaxy, Requirements};
use crate::instance::{self, Connection, InstanceError, Staging};
use options::AnsibleLocalOptions;
use staging::Staged;

pub(crate) const REGISTRATION: Registration = Registration::plain(
    "ansible-local",
    "Runs Ansible playbooks on the instance itself, which must have Ansible.",
    Schema::of::<AnsibleLocalOptions>,
    Make::Provisioner(make),
);

struct AnsibleLocal {
    options: AnsibleLocalOptions,
    /// Where everything lies on the instance; the same for each try.
    directory: String,
}

/// Why a playbook was not played.
#[derive(Debug, thiserror::Error)]
enum AnsibleLocalError {
    #[error("failed to read `{path}`")]
    Read { path: String, source: std::io::Error },
    #[error(transparent)]
    Instance(#[from] InstanceError),
    #[error("{program} could not be found on the instance")]
    Missing {
        program: &'static str,
        option: &'static str,
    },
}

impl Explain for AnsibleLocalError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            AnsibleLocalError::Read { .. } => None,
            AnsibleLocalError::Instance(error) => error.help(),
            AnsibleLocalError::Missing { option, .. } => {
                Some(format!("install Ansible there first, or set `{option}` to its path").into())
            }
        }
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        match self {
            AnsibleLocalError::Read { .. } => Some("galaxy_file".into()),
            AnsibleLocalError::Instance(_) => None,
            AnsibleLocalError::Missing { option, .. } => Some((*option).into()),
        }
    }
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn Provisioner>> {
    let options: AnsibleLocalOptions = read_options(decoded, complaints)?;
    options.check(complaints);
    let directory = options.staging_directory();
    Some(Box::new(AnsibleLocal { options, directory }))
}

#[async_trait]
impl Provisioner for AnsibleLocal {
    async fn provision(&self, provisioning: &Provisioning) -> Result<(), ProvisionError> {
        let run = Run {
            options: &self.options,
            directory: &self.directory,
            provisioning,
        };
        Ok(run.everything().await?)
    }
}

/// A provisioner at work.
struct Run<'a> {
    options: &'a AnsibleLocalOptions,
    directory: &'a str,
    provisioning: &'a Provisioning,
}

impl Run<'_> {
    /// What was put on the instance goes even when something failed: the image, or the next try, shall not have half of it.
    async fn everything(&self) -> Result<(), AnsibleLocalError> {
        let played = self.stage_and_play().await;
        if !self.options.clean_staging_directory {
            return played;
        }
        self.provisioning.ui.say("Removing staging directory...");
        let removed = instance::run(self.provisioning, &removal(self.directory)).await;
        played.and(removed.map_err(AnsibleLocalError::from))
    }

    async fn stage_and_play(&self) -> Result<(), AnsibleLocalError> {
        self.provisioning.ui.say("Provisioning with Ansible...");
        let staging = Staging {
            directory: self.directory,
            provisioning: self.provisioning,
        };
        let staged = staging::fill(&staging, self.options).await?;
        let requirements = self.install_requirements(&staged).await?;
        for playbook in &staged.playbooks {
            let command = self.play_command(playbook, &staged, requirements);
            self.provisioning.ui.say(format!("Executing Ansible: {command}"));
            self.run(&command, "ansible-playbook", "command").await?;
        }
        Ok(())
    }

    /// Installs roles and collections with Galaxy, on the instance; says what was named.
    async fn install_requirements(&self, staged: &Staged) -> Result<Option<Requirements>, AnsibleLocalError> {
        let (Some(local), Some(file)) = (&self.options.galaxy_file, &staged.galaxy_file) else {
            return Ok(None);
        };
        let path = self.provisioning.run.working_directory.join(local);
        let text = tokio::fs::read_to_string(&path).await;
        let text = text.map_err(|source| AnsibleLocalError::Read {
            path: local.clone(),
            source,
        })?;
        let (roles, collections) = (self.roles_path(), self.collections_path());
        let galaxy = Galaxy {
            file,
            force: self.options.galaxy_force_install,
            force_with_deps: false,
            roles_path: Some(&roles),
            collections_path: Some(&collections),
        };
        let requirements = Requirements::of(&text);
        let program = &self.options.galaxy_command;
        for arguments in galaxy.calls(requirements) {
            let words: Vec<String> = arguments.iter().map(|word| quote::word(word)).collect();
            let command = format!("cd {} && {program} {}", quote::path(self.directory), words.join(" "));
            self.provisioning.ui.say(format!("Executing Ansible Galaxy: {command}"));
            self.run(&command, "ansible-galaxy", "galaxy_command").await?;
        }
        Ok(Some(requirements))
    }

    fn roles_path(&self) -> String {
        let path = self.options.galaxy_roles_path.clone();
        path.unwrap_or_else(|| self.staged("galaxy_roles"))
    }

    fn collections_path(&self) -> String {
        let path = self.options.galaxy_collections_path.clone();
        path.unwrap_or_else(|| self.staged("galaxy_collections"))
    }

    fn staged(&self, name: &str) -> String {
        format!("{}/{name}", self.directory)
    }

    /// The command of a shell of the instance that plays a playbook.
    fn play_command(&self, playbook: &str, staged: &Staged, requirements: Option<Requirements>) -> String {
        let rendering = &self.provisioning.rendering;
        let mut variables = format!(
            "packer_build_name={:?} packer_builder_type={}",
            rendering.build_name, rendering.build_type
        );
        if let Some(address) = Connection(&self.provisioning.data).string("PackerHTTPAddr") {
            variables.push_str(" packer_http_addr=");
            variables.push_str(address);
        }
        let mut words = vec![format!("cd {} &&", quote::path(self.directory))];
        let paths = requirements.map(|requirements| {
            [
                requirements
                    .collections
                    .then(|| ("ANSIBLE_COLLECTIONS_PATH", self.collections_path())),
                requirements.roles.then(|| ("ANSIBLE_ROLES_PATH", self.roles_path())),
            ]
        });
        words.extend(paths.into_iter().flatten().flatten().map(|(name, path)| {
            // What is there already comes first, and nothing becomes no empty path, which would be the working directory.
            format!("{name}=\"${{{name}:+${name}:}}\"{}", quote::path(&path))
        }));
        words.push(self.options.command.clone());
        words.push(quote::path(playbook));
        words.push(format!("--extra-vars {}", quote::word(&variables)));
        words.extend(self.options.extra_arguments.iter().cloned());
        words.push(format!("-c local -i {}", quote::path(&staged.inventory)));
        words.join(" ")
    }

    /// Runs a program of Ansible's on the instance; `option` is what names it.
    async fn run(&self, command: &str, program: &'static str, option: &'static str) -> Result<(), AnsibleLocalError> {
        match instance::run(self.provisioning, command).await {
            Err(InstanceError::Failed { status: 127, .. }) => Err(AnsibleLocalError::Missing { program, option }),
            result => Ok(result?),
        }
    }
}

/// The command that removes a staging directory, and what ours are in when it was the last.
fn removal(directory: &str) -> String {
    let word = quote::path(directory);
    match directory.strip_prefix(options::STAGING) {
        Some(_) => format!("rm -rf {word} && {{ rmdir {} 2>/dev/null || true; }}", options::STAGING),
        None => format!("rm -rf {word}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_of_ours_take_their_parent_with_them() {
        let ours = removal("/tmp/packer-provisioner-ansible-local/x");
        assert!(
            ours.ends_with("&& { rmdir /tmp/packer-provisioner-ansible-local 2>/dev/null || true; }"),
            "{ours}"
        );
        assert_eq!(removal("/srv/my x"), "rm -rf '/srv/my x'");
    }
}
