//! The `ansible` provisioner: runs `ansible-playbook` on this machine against the instance. In this order: find
//! the way to the instance, install roles and collections with Galaxy, write the inventory, run the playbook.

mod adapter;
mod arguments;
pub(crate) mod galaxy;
mod inventory;
pub(crate) mod options;
pub(crate) mod reach;
#[cfg(test)]
mod testing;
mod version;

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bakelite_engine::error::Explain;
use bakelite_engine::provisioner::{ProvisionError, Provisioner, Provisioning};
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_scripts::local_process::{self, LocalProcessError};
use bakelite_template::component::Complaint;
use bakelite_template::decode::Decoded;
use bakelite_template::gotemplate::{RenderError, Rendering, render};
use bakelite_template::schema::Schema;
use tokio::process::Command;

use crate::instance::Connection;
use adapter::{Adapter, AdapterError, Instance, KeyError, Keys};
use arguments::{Call, shown};
use galaxy::{Galaxy, Requirements};
use inventory::Inventory;
use options::AnsibleOptions;
use reach::{Key, NotStraight, Reach};

pub(crate) const REGISTRATION: Registration = Registration::plain(
    "ansible",
    "Runs an Ansible playbook on this machine against the instance.",
    Schema::of::<AnsibleOptions>,
    Make::Provisioner(make),
);

struct Ansible {
    options: AnsibleOptions,
}

/// Why a playbook was not played.
#[derive(Debug, thiserror::Error)]
enum AnsibleError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    #[error("failed to write {what} for Ansible into `{directory}`")]
    Write {
        what: &'static str,
        directory: String,
        source: io::Error,
    },
    #[error("failed to render `{option}`")]
    Render { option: &'static str, source: RenderError },
    #[error("failed to read `galaxy_file` (`{path}`)")]
    Requirements { path: String, source: io::Error },
    #[error(transparent)]
    Process(#[from] LocalProcessError),
    #[error("Error executing Ansible: Non-zero exit status: exit status {status}")]
    Play { status: i64 },
    #[error("`{command}` exited with status {status}")]
    Galaxy { command: String, status: i64 },
}

impl Explain for AnsibleError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            AnsibleError::Adapter(error) => error.help(),
            AnsibleError::Process(error) => error.help(),
            _ => None,
        }
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        match self {
            AnsibleError::Key(error) => error.option(),
            AnsibleError::Adapter(error) => error.option(),
            AnsibleError::Render { option, .. } => Some((*option).into()),
            AnsibleError::Requirements { .. } | AnsibleError::Galaxy { .. } => Some("galaxy_file".into()),
            AnsibleError::Write { .. } | AnsibleError::Process(_) | AnsibleError::Play { .. } => None,
        }
    }
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn Provisioner>> {
    let options: AnsibleOptions = read_options(decoded, complaints)?;
    options.check(complaints);
    Some(Box::new(Ansible { options }))
}

#[async_trait]
impl Provisioner for Ansible {
    async fn provision(&self, provisioning: &Provisioning) -> Result<(), ProvisionError> {
        let play = Play {
            options: &self.options,
            provisioning,
        };
        Ok(play.run().await?)
    }
}

/// A provisioner at work.
struct Play<'a> {
    options: &'a AnsibleOptions,
    provisioning: &'a Provisioning,
}

impl Play<'_> {
    async fn run(&self) -> Result<(), AnsibleError> {
        if let Some(reach) = self.straight()? {
            return self.play(&reach).await;
        }
        let (adapter, reach) = self.through_adapter().await?;
        tokio::select! {
            played = self.play(&reach) => played,
            never = adapter.serve() => match never {},
        }
    }

    /// The straight way, where the template wants it and there is one.
    fn straight(&self) -> Result<Option<Reach>, AnsibleError> {
        if self.options.use_proxy {
            return Ok(None);
        }
        let Provisioning { data, run, ui, .. } = self.provisioning;
        match reach::straight(self.options, data, run) {
            Ok(reach) => Ok(Some(reach)),
            Err(NotStraight::Login(source)) => Err(unwritten("a login", &run.temporary_directory, source)),
            Err(reason) => {
                ui.warn(format!(
                    "Ansible cannot connect to the instance itself ({reason}): the proxy adapter is used in spite of \
                     `use_proxy = false`"
                ));
                Ok(None)
            }
        }
    }

    /// The way through an adapter that listens.
    async fn through_adapter(&self) -> Result<(Adapter, Reach), AnsibleError> {
        let run = &self.provisioning.run;
        let path = |option: &Option<String>| option.as_ref().map(|path| run.working_directory.join(path));
        let (host, authorized) = (
            path(&self.options.ssh_host_key_file),
            path(&self.options.ssh_authorized_key_file),
        );
        let keys = Keys::new(
            self.options.ansible_proxy_key_type,
            host.as_deref(),
            authorized.as_deref(),
        )?;
        let user = self.options.user.clone();
        let user = user.unwrap_or_else(|| local_user(self.provisioning));
        let instance = Instance::new(self.provisioning, self.options.sftp_command.clone());
        let adapter = Adapter::listen(self.options.local_port, &user, &keys, instance).await?;
        let key = keys.private.map(|key| Key::write(&key, run)).transpose();
        let reach = Reach {
            host: "127.0.0.1".into(),
            port: adapter.port(),
            user,
            instance_speaks_ssh: Connection(&self.provisioning.data)
                .string("ConnType")
                .is_none_or(|kind| kind == "ssh"),
            key: key.map_err(|source| unwritten("a key", &run.temporary_directory, source))?,
            ..Reach::default()
        };
        Ok((adapter, reach))
    }

    /// Plays the playbook against an instance that can be reached.
    async fn play(&self, reach: &Reach) -> Result<(), AnsibleError> {
        let Provisioning {
            data,
            rendering,
            run,
            ui,
            ..
        } = self.provisioning;
        let rendering = rendering.with_build_data();
        // What Ansible does not get to remove when it is ended goes with this.
        let scratch = run
            .private_files
            .directory(&run.temporary_directory, "ansible-local-tmp");
        let scratch = scratch.map_err(|source| unwritten("temporary files", &run.temporary_directory, source))?;
        self.install_requirements(scratch.path()).await?;
        let inventory = self.inventory(reach, &rendering)?;
        let extra = self.options.extra_arguments.iter().map(|text| render(text, &rendering));
        let extra = extra.collect::<Result<Vec<_>, _>>();
        let extra = extra.map_err(|source| AnsibleError::Render {
            option: "extra_arguments",
            source,
        })?;
        let data = Connection(data);
        let call = Call {
            options: self.options,
            reach,
            build_name: &rendering.build_name,
            builder: &rendering.build_type,
            extra: &extra,
            http_address: data.string("PackerHTTPAddr"),
            inventory: &inventory.path,
            playbook: &run.working_directory.join(&self.options.playbook_file),
        };
        let arguments = call.arguments();
        let secrets = ["Password", "WinRMPassword"].map(|key| data.string(key).unwrap_or_default());
        ui.say(format!(
            "Executing Ansible: {}",
            shown(&self.options.command, &arguments, &secrets)
        ));
        let mut command = self.command(&self.options.command, scratch.path());
        command.args(&arguments);
        match local_process::run(command, ui).await? {
            0 => Ok(()),
            status => Err(AnsibleError::Play { status }),
        }
    }

    /// Installs roles and collections with Galaxy, where the template names some.
    async fn install_requirements(&self, scratch: &Path) -> Result<(), AnsibleError> {
        let Some(file) = &self.options.galaxy_file else {
            return Ok(());
        };
        let path = self.provisioning.run.working_directory.join(file);
        let unread = |source| AnsibleError::Requirements {
            path: file.clone(),
            source,
        };
        let text = tokio::fs::read_to_string(&path).await.map_err(unread)?;
        let galaxy = Galaxy {
            file: &path.display().to_string(),
            force: self.options.galaxy_force_install,
            force_with_deps: self.options.galaxy_force_with_deps,
            roles_path: self.options.roles_path.as_deref(),
            collections_path: self.options.collections_path.as_deref(),
        };
        let program = &self.options.galaxy_command;
        for arguments in galaxy.calls(Requirements::of(&text)) {
            let said = format!("{program} {}", arguments.join(" "));
            self.provisioning.ui.say(format!("Executing Ansible Galaxy: {said}"));
            let mut command = self.command(program, scratch);
            command.args(&arguments);
            let status = local_process::run(command, &self.provisioning.ui).await?;
            if status != 0 {
                return Err(AnsibleError::Galaxy { command: said, status });
            }
        }
        Ok(())
    }

    fn inventory(&self, reach: &Reach, rendering: &Rendering) -> Result<Inventory, AnsibleError> {
        let run = &self.provisioning.run;
        if let Some(path) = &self.options.inventory_file {
            return Ok(Inventory::given(run.working_directory.join(path)));
        }
        let text = inventory::text(self.options, reach, rendering);
        let text = text.map_err(|source| AnsibleError::Render {
            option: "inventory_file_template",
            source,
        })?;
        let directory = match &self.options.inventory_directory {
            Some(directory) => run.working_directory.join(directory),
            None => run.temporary_directory.clone(),
        };
        let inventory = Inventory::write(&text, &directory, self.options.keep_inventory_file, &run.private_files);
        inventory.map_err(|source| unwritten("an inventory", &directory, source))
    }

    /// A program of Ansible's, with its environment.
    fn command(&self, program: &str, scratch: &Path) -> Command {
        let run = &self.provisioning.run;
        let mut command = Command::new(program);
        command.current_dir(&run.working_directory).envs(run.environment.iter());
        command
            .env("PACKER_RUN_UUID", &run.id)
            .env("ANSIBLE_LOCAL_TEMP", scratch);
        if self.options.ssh_host_key_file.is_none() {
            command.env("ANSIBLE_HOST_KEY_CHECKING", "False");
        }
        if !self.options.use_sftp {
            command.env("ANSIBLE_SCP_IF_SSH", "True");
        }
        command.envs(self.options.variables());
        command
    }
}

fn unwritten(what: &'static str, directory: &Path, source: io::Error) -> AnsibleError {
    let directory = directory.display().to_string();
    AnsibleError::Write {
        what,
        directory,
        source,
    }
}

/// The user of this machine.
fn local_user(provisioning: &Provisioning) -> String {
    let environment = &provisioning.run.environment;
    let named = ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| environment.get(name).filter(|user| !user.is_empty()));
    named
        .cloned()
        .or_else(user_of_this_process)
        .unwrap_or_else(|| "bakelite".to_owned())
}

/// Whom the system's list of users names.
fn user_of_this_process() -> Option<String> {
    let id = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string(PathBuf::from("/etc/passwd")).ok()?;
    let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines
        .find(|fields| fields.get(2) == Some(&id.as_str()))
        .and_then(|fields| Some((*fields.first()?).to_owned()))
}
