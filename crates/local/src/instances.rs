//! The instances of a state directory, for whoever did not launch them: what there is, running commands in one, logging in to one.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::path::Path;

use crate::control::{self, Order, Reply};
use crate::local_error::LocalError;
use crate::operator::{self, SshLogin};
use crate::owner;
use crate::state::instance::{Instance, InstanceState};
use crate::state_directory::{StateError, machines_directory, peek};
use crate::store::Store;

/// One instance, for a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceSummary {
    /// `i-…`
    pub id: String,
    /// Its tag `Name`.
    pub name: Option<String>,
    /// The region in which it is.
    pub region: String,
    /// The image that it was launched from.
    pub image: String,
    /// `pending`, `running`, `stopping` or `stopped`.
    pub state: &'static str,
    /// When it was launched, ISO 8601.
    pub launched: String,
    /// Where its SSH server listens while it runs.
    pub address: SocketAddr,
    /// The number of the process that runs it.
    pub process: Option<u32>,
}

/// Returns the instances of a state directory that are not terminated, oldest first. No cloud has to run on it.
pub fn instances(state_dir: &Path) -> Result<Vec<InstanceSummary>, LocalError> {
    let state = peek(state_dir)?;
    let mut all: Vec<InstanceSummary> = Vec::new();
    for (region, content) in &state.regions {
        let present = content.instances.values().filter(|instance| instance.exists());
        all.extend(present.map(|instance| InstanceSummary {
            id: instance.id.clone(),
            name: content.tags_of(&instance.id).get("Name").cloned(),
            region: region.clone(),
            image: instance.image_id.clone(),
            state: instance.state.name(),
            launched: instance.launched.to_string(),
            address: SocketAddr::from((instance.address, instance.ssh_port)),
            process: instance.owner.as_deref().and_then(owner::process),
        }));
    }
    all.sort_by(|one, other| one.launched.cmp(&other.launched));
    Ok(all)
}

/// Runs a command as root in a running instance, with this process's standard streams; returns its exit status. When this process ends
/// first, the command is killed.
pub async fn exec(state_dir: &Path, instance: &str, arguments: &[String]) -> Result<i32, LocalError> {
    let (_, owner) = running(state_dir, instance)?;
    let order = Order::Run {
        instance: instance.to_owned(),
        arguments: arguments.to_vec(),
    };
    let (input, output, error) = (io::stdin(), io::stdout(), io::stderr());
    let streams = [input.as_fd(), output.as_fd(), error.as_fd()];
    let reply = control::order(state_dir, &owner, &order, &streams).await;
    match reply.map_err(|source| LocalError::Control {
        process: owner::process(&owner).unwrap_or_default(),
        source,
    })? {
        Reply::Ended(status) => Ok(status),
        Reply::Refused(reason) => Err(LocalError::Refused(reason)),
        Reply::Taken => Ok(0),
    }
}

/// Returns how to log in to a running instance, as its first login user.
pub fn ssh(state_dir: &Path, instance: &str) -> Result<SshLogin, LocalError> {
    let (instance, _) = running(state_dir, instance)?;
    let user = instance.login_users.first().map_or("root", String::as_str);
    let address = SocketAddr::from((instance.address, instance.ssh_port));
    let machine = machines_directory(state_dir).join(Store::machine_directory(&instance.id));
    let login = operator::login(state_dir, &instance.id, address, user, &machine.join("host_key"));
    login.map_err(|source| LocalError::Ssh {
        path: operator::directory(state_dir),
        source,
    })
}

/// Asks the processes that keep instances of bakes that are over to end: their instances are stopped then, and any cloud can remove
/// them.
pub async fn release(state_dir: &Path) {
    let owners = state_dir.join("owners");
    for owner in owner::living(&owners) {
        // A cloud that cannot be reached keeps its instances, and removing them reports that.
        match control::order(state_dir, &owner, &Order::Release, &[]).await {
            Ok(Reply::Taken) => drop(owner::ended(|| owner::has_ended(&owners.join(&owner))).await),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, owner, "not released"),
        }
    }
}

/// A running instance, and the process that runs it.
fn running(state_dir: &Path, id: &str) -> Result<(Instance, String), LocalError> {
    let state = peek(state_dir)?;
    let found = state.regions.values().find_map(|region| region.instances.get(id));
    let instance = found.ok_or_else(|| LocalError::UnknownInstance(id.to_owned()))?;
    match &instance.owner {
        Some(owner) if instance.state == InstanceState::Running => Ok((instance.clone(), owner.clone())),
        _ => Err(LocalError::NotRunning {
            id: id.to_owned(),
            state: instance.state.name(),
        }),
    }
}

/// The processes that run clouds on a directory, each with its instances, in words.
pub(crate) fn running_on(state_dir: &Path) -> Result<String, StateError> {
    let state = peek(state_dir)?;
    let all = || state.regions.values().flat_map(|region| region.instances.values());
    let users = owner::living(&state_dir.join("owners")).into_iter().map(|owner| {
        let of_owner = |instance: &&Instance| instance.owner.as_ref() == Some(&owner) && instance.exists();
        let instances: Vec<&str> = all().filter(of_owner).map(|instance| instance.id.as_str()).collect();
        let process = owner::process(&owner).unwrap_or_default();
        match instances.as_slice() {
            [] => format!("process {process}"),
            [one] => format!("process {process} with instance {one}"),
            several => format!("process {process} with instances {}", several.join(", ")),
        }
    });
    Ok(users.collect::<Vec<_>>().join(", "))
}
