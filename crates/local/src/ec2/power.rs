//! Starting, stopping, rebooting and terminating: the calls, and the work on machines that they cause.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::api_error::ApiError;
use crate::call::{Answer, Call};
use crate::cloud::{Cloud, RunningMachine, with_causes};
use crate::machine::{Ended, Machine, MachineSpec, RootId, VolumeSpec};
use crate::metadata;
use crate::moment::Moment;
use crate::notice::Notice;
use crate::state::Region;
use crate::state::instance::{Instance, InstanceState};
use crate::state::volume::Volume;
use crate::user_data;
use crate::xml::Element;

/// An instance by where it is, for work that goes on after the answer.
#[derive(Debug, Clone)]
pub(crate) struct InstanceName {
    pub(crate) region: String,
    pub(crate) id: String,
}

/// Whether a machine starts for the first time or again on its own disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Boot {
    First,
    Again,
}

pub(crate) fn start_instances(mut call: Call) -> Answer {
    let ids = take_ids(&mut call)?;
    call.accept()?;
    let changes = transition(&call, &ids, |cloud, instance| match instance.state {
        InstanceState::Pending | InstanceState::Running => Ok(false),
        InstanceState::Stopped => {
            instance.state = InstanceState::Pending;
            instance.next = None;
            instance.launched = Moment::now();
            instance.owner = Some(cloud.directory.owner().id().to_owned());
            instance.transition_reason.clear();
            instance.state_reason = None;
            Ok(true)
        }
        _ => Err(wrong_state(instance, "started")),
    })?;
    for change in changes.iter().filter(|change| change.changed) {
        spawn_boot(&call.cloud, change.name(&call), Boot::Again);
    }
    Ok(describe_changes(&changes))
}

pub(crate) fn stop_instances(mut call: Call) -> Answer {
    let ids = take_ids(&mut call)?;
    let (_force, hibernate) = (call.parameters.boolean("Force")?, call.parameters.boolean("Hibernate")?);
    let _skip_os_shutdown = call.parameters.boolean("SkipOsShutdown")?;
    call.accept()?;
    if hibernate == Some(true) {
        return Err(ApiError::new(
            "UnsupportedHibernationConfiguration",
            "the local cloud does not support hibernation",
        ));
    }
    let changes = transition(&call, &ids, |cloud, instance| match instance.state {
        InstanceState::Stopping | InstanceState::Stopped => Ok(false),
        InstanceState::Running if instance.stop_protection => Err(ApiError::new(
            "OperationNotPermitted",
            format!(
                "The instance '{}' may not be stopped. Modify its 'disableApiStop' instance attribute and try again.",
                instance.id
            ),
        )),
        InstanceState::Pending | InstanceState::Running => {
            instance.leave(InstanceState::Stopping, cloud.directory.owner().id());
            Ok(true)
        }
        _ => Err(wrong_state(instance, "stopped")),
    })?;
    for change in changes.iter().filter(|change| change.changed) {
        spawn_halt(&call.cloud, change.name(&call), InstanceState::Stopped);
    }
    Ok(describe_changes(&changes))
}

pub(crate) fn terminate_instances(mut call: Call) -> Answer {
    let ids = take_ids(&mut call)?;
    let (_force, _skip) = (
        call.parameters.boolean("Force")?,
        call.parameters.boolean("SkipOsShutdown")?,
    );
    call.accept()?;
    let changes = transition(&call, &ids, |cloud, instance| {
        if !instance.is_alive() {
            return Ok(false);
        }
        if instance.termination_protection {
            return Err(ApiError::new(
                "OperationNotPermitted",
                format!(
                    "The instance '{}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.",
                    instance.id
                ),
            ));
        }
        instance.leave(InstanceState::ShuttingDown, cloud.directory.owner().id());
        Ok(true)
    })?;
    for change in changes.iter().filter(|change| change.changed) {
        spawn_halt(&call.cloud, change.name(&call), InstanceState::Terminated);
    }
    Ok(describe_changes(&changes))
}

pub(crate) fn reboot_instances(mut call: Call) -> Answer {
    let ids = take_ids(&mut call)?;
    call.accept()?;
    let changes = transition(&call, &ids, |_, instance| match instance.state {
        InstanceState::Running => Ok(true),
        InstanceState::Pending => Ok(false),
        _ => Err(wrong_state(instance, "rebooted")),
    })?;
    for change in changes.iter().filter(|change| change.changed) {
        let (cloud, name) = (call.cloud.clone(), change.name(&call));
        call.cloud.tasks.spawn(async move { reboot(&cloud, &name).await });
    }
    Ok(Element::body().yes())
}

fn take_ids(call: &mut Call) -> Result<Vec<String>, ApiError> {
    let ids = call.parameters.list("InstanceId");
    if ids.is_empty() {
        Err(ApiError::missing_parameter("InstanceId"))
    } else {
        Ok(ids)
    }
}

fn wrong_state(instance: &Instance, verb: &str) -> ApiError {
    ApiError::new(
        "IncorrectInstanceState",
        format!(
            "The instance '{}' is not in a state from which it can be {verb}.",
            instance.id
        ),
    )
}

/// What a call did to one instance.
struct StateChange {
    id: String,
    before: InstanceState,
    after: InstanceState,
    changed: bool,
}

impl StateChange {
    fn name(&self, call: &Call) -> InstanceName {
        InstanceName {
            region: call.region.clone(),
            id: self.id.clone(),
        }
    }
}

/// Takes all instances of a call through `step`, or none of them when one cannot go. `step` tells whether it did anything.
fn transition(
    call: &Call,
    ids: &[String],
    step: impl Fn(&Cloud, &mut Instance) -> Result<bool, ApiError>,
) -> Result<Vec<StateChange>, ApiError> {
    call.change(|region| {
        region.check_instances(ids)?;
        let mut changes = Vec::new();
        for id in ids {
            let instance = region.instance_mut(id)?;
            call.cloud.check_owner(instance)?;
            let before = instance.state;
            let did_step = step(&call.cloud, instance)?;
            changes.push(StateChange {
                id: id.clone(),
                before,
                after: instance.state,
                changed: did_step,
            });
        }
        Ok(changes)
    })
}

fn describe_changes(changes: &[StateChange]) -> Element {
    let items = changes.iter().map(|change| {
        Element::body()
            .text("instanceId", &change.id)
            .child(change.after.describe("currentState"))
            .child(change.before.describe("previousState"))
    });
    Element::body().list("instancesSet", items)
}

/// Starts an instance's machine in the background.
pub(crate) fn spawn_boot(cloud: &Arc<Cloud>, name: InstanceName, boot: Boot) {
    let task_cloud = cloud.clone();
    cloud.tasks.spawn(async move {
        if let Err(error) = start_machine(&task_cloud, &name, boot).await {
            fail(&task_cloud, &name, boot, &error);
        }
    });
}

/// Starts the machine of a pending instance. An instance that was stopped or terminated meanwhile is left alone.
async fn start_machine(cloud: &Arc<Cloud>, name: &InstanceName, boot: Boot) -> Result<(), ApiError> {
    let called = Instant::now();
    let latency = cloud.latency;
    if !latency.boot.is_zero() {
        // As in EC2, the instance counts as running while its system still boots.
        arrive(cloud, name, None)?;
        cloud.wait(called, latency.instance + latency.boot).await;
    }
    let slot = cloud.slot(&name.id);
    let mut machine = slot.lock().await;
    let wanted = |instance: &Instance| matches!(instance.state, InstanceState::Pending | InstanceState::Running);
    let spec = cloud.read(&name.region, |region| {
        region
            .instance(&name.id)
            .ok()
            .filter(|instance| wanted(instance))
            .map(|instance| machine_spec(cloud, region, instance))
    })?;
    let Some(spec) = spec.filter(|_| !cloud.closing.is_cancelled()) else {
        return Ok(());
    };
    fill_volumes(cloud, &name.region, &spec).await?;
    let started = match boot {
        Boot::First => {
            warn_of_user_data(cloud, &spec);
            cloud.machines.start(spec).await?
        }
        Boot::Again => cloud.machines.restart(&name.id, spec).await?,
    };
    if boot == Boot::First {
        warn_of_volumes(cloud, name, &started);
    }
    arrive(cloud, name, Some(started.ssh_address().port()))?;
    *machine = Some(watched(cloud, name, started));
    Ok(())
}

/// Lets a pending instance become running when its time has come.
fn arrive(cloud: &Cloud, name: &InstanceName, ssh_port: Option<u16>) -> Result<(), ApiError> {
    cloud.change(&name.region, |region| {
        let instance = region.instance_mut(&name.id)?;
        if instance.state == InstanceState::Pending && instance.next.is_none() {
            instance.next = Some((InstanceState::Running, instance.launched.plus(cloud.latency.instance)));
        }
        instance.ssh_port = ssh_port.unwrap_or(instance.ssh_port);
        Ok(())
    })
}

fn machine_spec(cloud: &Cloud, region: &Region, instance: &Instance) -> MachineSpec {
    let [one, two, three, four] = instance.address.octets();
    MachineSpec {
        id: instance.id.clone(),
        root: instance.root.clone(),
        hostname: format!("ip-{one}-{two}-{three}-{four}"),
        users: instance.login_users.clone(),
        authorized_keys: instance.authorized_keys.clone(),
        operator_key: Some(cloud.operator_key.clone()),
        user_data: instance
            .user_data
            .as_ref()
            .and_then(|text| BASE64_STANDARD.decode(text).ok()),
        address: instance.address,
        ssh_port: instance.ssh_port,
        volumes: further_volumes(region, instance)
            .map(|(volume, device)| volume_spec(volume, device))
            .collect(),
    }
}

/// The volumes of an instance besides its root, with their devices.
pub(crate) fn further_volumes<'a>(
    region: &'a Region,
    instance: &'a Instance,
) -> impl Iterator<Item = (&'a Volume, &'a str)> {
    region.volumes.values().filter_map(|volume| {
        let attachment = volume.attachment.as_ref()?;
        let is_further = attachment.instance_id == instance.id && attachment.device != instance.root_device;
        is_further.then_some((volume, attachment.device.as_str()))
    })
}

fn volume_spec(volume: &Volume, device: &str) -> VolumeSpec {
    VolumeSpec {
        id: volume.id.clone(),
        device: device.to_owned(),
        size: volume.bytes(),
    }
}

/// Puts what their snapshots keep into the volumes of a machine that is about to start for the first time.
async fn fill_volumes(cloud: &Cloud, region: &str, spec: &MachineSpec) -> Result<(), ApiError> {
    for volume in &spec.volumes {
        if let Some(data) = cloud.read(region, |region| snapshot_data(region, &volume.id))? {
            cloud.machines.make_volume(volume, Some(&data)).await?;
        }
    }
    Ok(())
}

fn snapshot_data(region: &Region, volume: &str) -> Option<RootId> {
    let snapshot = region.volumes.get(volume)?.ebs.snapshot_id.as_ref()?;
    region.snapshots.get(snapshot)?.data.clone()
}

/// Reports what of an instance's volumes is not as on EC2.
fn warn_of_volumes(cloud: &Cloud, name: &InstanceName, machine: &Machine) {
    for line in machine.complaints() {
        tracing::warn!(instance = name.id, "{line}");
        cloud.userlands.notify(Notice::Volume {
            instance: name.id.clone(),
            line: line.clone(),
        });
    }
}

/// Reports what in an instance's user data has no effect.
fn warn_of_user_data(cloud: &Cloud, spec: &MachineSpec) {
    let actions = user_data::read(spec.user_data.as_deref().unwrap_or_default(), None);
    for line in user_data::complaints(&actions) {
        tracing::warn!(instance = spec.id, "user data: {line}");
        cloud.userlands.notify(Notice::UserData {
            instance: spec.id.clone(),
            line: line.clone(),
        });
    }
}

/// Records that a machine could not be started: a new instance is terminated, an old one stays stopped.
pub(crate) fn fail(cloud: &Arc<Cloud>, name: &InstanceName, boot: Boot, error: &ApiError) {
    tracing::warn!(instance = name.id, %error, "instance did not start");
    let recorded = cloud.change(&name.region, |region| {
        let instance = region.instance_mut(&name.id)?;
        instance.state_reason = Some((
            "Server.InternalError".to_owned(),
            format!("Server.InternalError: {}", error.message),
        ));
        "Server.InternalError".clone_into(&mut instance.transition_reason);
        instance.owner = None;
        instance.enter(if boot == Boot::First {
            InstanceState::ShuttingDown
        } else {
            InstanceState::Stopped
        });
        Ok(())
    });
    if recorded.is_ok() && boot == Boot::First {
        spawn_halt(cloud, name.clone(), InstanceState::Terminated);
    }
}

/// Returns a machine with the task that notices when it powers itself off.
fn watched(cloud: &Arc<Cloud>, name: &InstanceName, machine: Machine) -> RunningMachine {
    let (task_cloud, task_name, task_machine) = (cloud.clone(), name.clone(), machine.clone());
    let (metadata_cloud, InstanceName { region, id }) = (cloud.clone(), name.clone());
    let metadata = machine.take_metadata();
    let metadata = async move {
        match metadata {
            Some(listener) => metadata::serve(listener, metadata_cloud, region, id).await,
            None => std::future::pending().await,
        }
    };
    let watch = cloud.tasks.spawn(async move {
        tokio::select! {
            () = metadata => {}
            ended = task_machine.ended() => power_off(&task_cloud, task_name, ended),
            () = task_cloud.closing.cancelled() => {}
        }
    });
    RunningMachine {
        machine,
        _watch: AbortOnDropHandle::new(watch),
    }
}

/// Applies the instance's shutdown behaviour, after its machine has powered off.
fn power_off(cloud: &Arc<Cloud>, name: InstanceName, ended: Ended) {
    let after = cloud.change(&name.region, |region| {
        let instance = region.instance_mut(&name.id)?;
        if !matches!(instance.state, InstanceState::Pending | InstanceState::Running) {
            return Ok(None);
        }
        let (state, end) = if instance.shutdown_terminates {
            (InstanceState::ShuttingDown, InstanceState::Terminated)
        } else {
            (InstanceState::Stopping, InstanceState::Stopped)
        };
        instance.enter(state);
        let (reason, message) = match ended {
            Ended::ByItself => ("Client.InstanceInitiatedShutdown", "Instance initiated shutdown"),
            Ended::OverDisk => (
                "Server.InternalError",
                "The instance wrote more than -local-disk allows",
            ),
        };
        instance.state_reason = Some((reason.to_owned(), format!("{reason}: {message}")));
        Ok(Some(end))
    });
    match after {
        Ok(Some(end)) => spawn_halt(cloud, name, end),
        Ok(None) => {}
        Err(error) => tracing::warn!(instance = name.id, %error, "power-off not recorded"),
    }
}

fn spawn_halt(cloud: &Arc<Cloud>, name: InstanceName, end: InstanceState) {
    let task_cloud = cloud.clone();
    cloud.tasks.spawn(async move { halt(&task_cloud, &name, end).await });
}

/// Terminates a stopped instance of nobody and removes its disk.
pub(crate) async fn terminate_stopped(cloud: &Arc<Cloud>, name: &InstanceName) -> Result<(), ApiError> {
    cloud.change(&name.region, |region| {
        let instance = region.instance_mut(&name.id)?;
        instance.leave(InstanceState::ShuttingDown, cloud.directory.owner().id());
        Ok(())
    })?;
    halt(cloud, name, InstanceState::Terminated).await;
    Ok(())
}

/// Ends the machine of an instance that is on its way to `end`, and its disk when that is for good.
async fn halt(cloud: &Arc<Cloud>, name: &InstanceName, end: InstanceState) {
    let called = Moment::now();
    let latency = if end == InstanceState::Stopped {
        cloud.latency.stop
    } else {
        cloud.latency.terminate
    };
    let slot = cloud.slot(&name.id);
    let mut machine = slot.lock().await;
    if let Some(running) = machine.take() {
        running.machine.stop().await;
    }
    let recorded = cloud.change(&name.region, |region| {
        let instance = region.instance_mut(&name.id)?;
        instance.owner = None;
        instance.next = Some((end, called.plus(latency)));
        Ok(())
    });
    if let Err(error) = recorded {
        tracing::warn!(instance = name.id, %error, "end of the machine not recorded");
    }
    if end == InstanceState::Terminated {
        cloud.forget_slot(&name.id);
        discard(cloud, name).await;
    }
}

/// Removes the disk of an instance that is gone or going.
pub(crate) async fn discard(cloud: &Cloud, name: &InstanceName) {
    let discarded = cloud
        .machines
        .discard(&name.id)
        .await
        .map_err(|error| with_causes(&error));
    let recorded = discarded.and_then(|()| {
        let forget = cloud.change(&name.region, |region| {
            region.instance_mut(&name.id)?.has_disk = false;
            Ok(())
        });
        forget.map_err(|error| error.to_string())
    });
    match recorded {
        Ok(()) => cloud.remove_unused_roots().await,
        // The next start of the cloud tries again: the instance still has its disk on record.
        Err(error) => tracing::warn!(instance = name.id, error, "disk not removed"),
    }
}

/// Stops and starts the machine of a running instance.
async fn reboot(cloud: &Arc<Cloud>, name: &InstanceName) {
    let slot = cloud.slot(&name.id);
    let mut machine = slot.lock().await;
    let Some(running) = machine.take() else { return };
    running.machine.stop().await;
    if let Err(error) = restart(cloud, name, &mut machine).await {
        fail(cloud, name, Boot::Again, &error);
    }
}

/// Starts a machine again on its disk; the caller holds the slot.
pub(crate) async fn restart(
    cloud: &Arc<Cloud>,
    name: &InstanceName,
    slot: &mut Option<RunningMachine>,
) -> Result<(), ApiError> {
    let spec = cloud.read(&name.region, |region| {
        let instance = region.instance(&name.id)?;
        Ok::<_, ApiError>(machine_spec(cloud, region, instance))
    })??;
    fill_volumes(cloud, &name.region, &spec).await?;
    let started = cloud.machines.restart(&name.id, spec).await?;
    arrive(cloud, name, Some(started.ssh_address().port()))?;
    *slot = Some(watched(cloud, name, started));
    Ok(())
}
