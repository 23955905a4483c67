//! `RunInstances`: what a launch asks for, checked against what exists, and the instances that come of it.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::api_error::ApiError;
use crate::call::{Answer, Call};
use crate::cloud::Cloud;
use crate::distribution::Distribution;
use crate::ec2::block_devices::{self};
use crate::ec2::describe_instances;
use crate::ec2::images::{self};
use crate::ec2::launch_request::Launch;
use crate::ec2::power::{self, Boot, InstanceName, spawn_boot};
use crate::ec2::security_groups;
use crate::ids::{ResourceKind, unknown_key_pair};
use crate::machine::{BaseRoot, RootId};
use crate::moment::Moment;
use crate::network;
use crate::network::Subnet;
use crate::state::Region;
use crate::state::Tags;
use crate::state::image::{Image, ImageRoot};
use crate::state::instance::{Instance, InstanceState};
use crate::state::volume::{Attachment, BlockDevice, Volume};
use crate::userland::USERLAND_TAG;
use crate::xml::Element;

/// Room that an instance needs at least before it is launched, in bytes.
const LEAST_FREE: u64 = 16 << 20;

/// What the launch's names stand for.
struct Resolved {
    image: Image,
    root: RootId,
    devices: Vec<BlockDevice>,
    authorized_keys: Vec<String>,
    subnet: Subnet,
    security_groups: Vec<String>,
}

pub(crate) async fn run_instances(mut call: Call) -> Answer {
    let launch = Launch::take(&mut call.parameters)?;
    call.accept()?;
    Ok(run(&call, &launch).await?.1)
}

/// Launches the instances; answers their ids and their reservation.
pub(super) async fn run(call: &Call, launch: &Launch) -> Result<(Vec<String>, Element), ApiError> {
    let catalogue = call.catalogue();
    if let Some(again) = call
        .read(|region| repeated(region, launch, &call.digest))?
        .transpose()?
    {
        return Ok(again);
    }
    let image = call.read(|region| images::find(region, &catalogue, &launch.image_id).cloned())??;
    let free = call.cloud.machines.free();
    if free < LEAST_FREE {
        return Err(ApiError::disk_full(format!(
            "The file system of the local cloud is full: {free} bytes are free, an instance needs {LEAST_FREE}"
        )));
    }
    // Everything wrong with the request is told before the root is made, which may take time.
    let resolve = |region: &Region, root| launch.resolve(call, region, &catalogue, image.clone(), root);
    call.read(|region| resolve(region, RootId(String::new())).map(|_| ()))??;
    // What has to be pulled first is launched at once and stays pending until it is there.
    let root = match launch.tags.of(ResourceKind::Instance).get(USERLAND_TAG) {
        Some(value) if value == "host" => Some(call.cloud.machines.base(&BaseRoot::Host).await?),
        _ => call.cloud.root_of(&image).await?,
    };
    let is_there = root.is_some();
    let root = root.unwrap_or(RootId(String::new()));
    call.cloud.check_profile(launch.instance_profile.as_deref())?;
    let mut is_new = false;
    let (ids, answer) = call.change(|region| {
        if let Some(again) = repeated(region, launch, &call.digest).transpose()? {
            return Ok(again);
        }
        is_new = true;
        let resolved = resolve(region, root)?;
        let instances = launch.instances(call, region, &resolved)?;
        let ids: Vec<String> = instances.iter().map(|instance| instance.id.clone()).collect();
        let reservation_id = instances
            .first()
            .map(|instance| instance.reservation_id.clone())
            .unwrap_or_default();
        for instance in instances {
            launch.add(region, instance, &resolved.devices);
        }
        let items = ids.iter().filter_map(|id| region.instances.get(id));
        let items = items
            .map(|instance| describe_instances::describe_with_tags(region, instance))
            .collect();
        Ok((ids, describe_instances::reservation(&reservation_id, items)))
    })?;
    for id in ids.iter().filter(|_| is_new) {
        let name = InstanceName {
            region: call.region.clone(),
            id: id.clone(),
        };
        match &image.root {
            ImageRoot::Distribution(distribution) if !is_there => {
                boot_when_pulled(&call.cloud, name, distribution.clone(), image.name.clone());
            }
            _ => spawn_boot(&call.cloud, name, Boot::First),
        }
    }
    Ok((ids, answer))
}

/// Pulls what an instance starts from, in the background, and boots it then.
fn boot_when_pulled(cloud: &Arc<Cloud>, name: InstanceName, distribution: Distribution, ami: String) {
    let task_cloud = Arc::clone(cloud);
    cloud.tasks.spawn(async move {
        let pulling = task_cloud.userlands.pulled(&task_cloud.machines, &distribution, &ami);
        let pulled = tokio::select! {
            pulled = pulling => pulled,
            () = task_cloud.closing.cancelled() => return,
        };
        let recorded = pulled.map_err(ApiError::from).and_then(|root| {
            task_cloud.change(&name.region, |region| {
                region.instance_mut(&name.id)?.root = root;
                Ok(())
            })
        });
        match recorded {
            Ok(()) => spawn_boot(&task_cloud, name, Boot::First),
            Err(error) => power::fail(&task_cloud, &name, Boot::First, &error),
        }
    });
}

/// Returns the answer to a request that has been answered before: same client token, same parameters.
fn repeated(region: &Region, launch: &Launch, digest: &str) -> Option<Result<(Vec<String>, Element), ApiError>> {
    let token = launch.client_token.as_ref()?;
    let earlier: Vec<&Instance> = region
        .instances
        .values()
        .filter(|instance| instance.client_token.as_ref() == Some(token))
        .collect();
    let first = earlier.first()?;
    if first.request_digest != digest {
        return Some(Err(ApiError::token_reused()));
    }
    let items = earlier
        .iter()
        .map(|instance| describe_instances::describe_with_tags(region, instance))
        .collect();
    let ids = earlier.iter().map(|instance| instance.id.clone()).collect();
    Some(Ok((ids, describe_instances::reservation(&first.reservation_id, items))))
}

impl Launch {
    fn resolve(
        &self,
        call: &Call,
        region: &Region,
        catalogue: &[Image],
        image: Image,
        root: RootId,
    ) -> Result<Resolved, ApiError> {
        if image.state() != "available" {
            let message = format!(
                "The image id '[{}]' is not available (its state is {})",
                image.id,
                image.state()
            );
            return Err(ApiError::new("InvalidAMIID.Unavailable", message));
        }
        if image.architecture != self.instance_type.architecture {
            return Err(ApiError::invalid_parameter(format!(
                "The architecture '{}' of the specified instance type does not match the architecture '{}' of the \
                 specified AMI. Specify an instance type and an AMI that have matching architectures, and try again.",
                self.instance_type.architecture, image.architecture
            )));
        }
        let key = |name: &String| {
            region
                .key_pairs
                .get(name)
                .map(|pair| pair.public_line.clone())
                .ok_or_else(|| unknown_key_pair(name))
        };
        let devices = block_devices::merge(&image.block_devices, self.devices.clone(), |id| {
            let known = catalogue
                .iter()
                .flat_map(|image| &image.block_devices)
                .filter_map(|device| device.ebs.as_ref());
            match known.into_iter().find(|ebs| ebs.snapshot_id.as_deref() == Some(id)) {
                Some(ebs) => Ok(ebs.size_gib),
                None => Ok(region.snapshot(id)?.size_gib),
            }
        })?;
        let refusals = &call.cloud.refusals;
        let kind = &self.instance_type.name;
        let subnet = match (&self.network.subnet_id, &self.zone) {
            (Some(id), _) => network::subnet(&call.region, id)?,
            (None, Some(zone)) => network::default_subnet(&call.region, Some(zone))?,
            // Without a wish, EC2 takes a zone that has what it takes.
            (None, None) => network::subnets(&call.region)
                .into_iter()
                .find(|subnet| refusals.has_capacity(kind, &subnet.zone))
                .map_or_else(|| network::default_subnet(&call.region, None), Ok)?,
        };
        if let Some(zone) = self.zone.as_ref().filter(|zone| **zone != subnet.zone) {
            return Err(ApiError::invalid_parameter(format!(
                "The availability zone '{zone}' does not match the zone '{}' of the subnet '{}'",
                subnet.zone, subnet.id
            )));
        }
        if !refusals.has_capacity(kind, &subnet.zone) {
            return Err(ApiError::with_status(
                500,
                "InsufficientInstanceCapacity",
                format!(
                    "We currently do not have sufficient {kind} capacity in the Availability Zone you requested ({}). Our \
                     system will be working on provisioning additional capacity.",
                    subnet.zone
                ),
            ));
        }
        Ok(Resolved {
            root,
            devices,
            authorized_keys: self.key_name.as_ref().map(key).transpose()?.into_iter().collect(),
            subnet,
            security_groups: security_groups::resolve(region, &self.network.group_ids, &self.network.group_names)?,
            image,
        })
    }

    fn instances(&self, call: &Call, region: &Region, resolved: &Resolved) -> Result<Vec<Instance>, ApiError> {
        let reservation_id = format!("r-{}", crate::ids::random_hex(17));
        let alive = region.instances.values().filter(|instance| instance.exists());
        let mut taken: HashSet<Ipv4Addr> = alive.map(|instance| instance.address).collect();
        let mut instances = Vec::new();
        for launch_index in 0..self.most {
            let reserved = call
                .cloud
                .addresses
                .reserve(&resolved.subnet, call.cloud.ssh_port, &taken);
            let (address, ssh_port) = match reserved {
                Ok(reserved) => reserved,
                Err(_) if instances.len() >= self.least => break,
                Err(error) => return Err(error),
            };
            taken.insert(address);
            let owner = call.cloud.directory.owner().id();
            instances.push(self.instance(
                resolved,
                &reservation_id,
                launch_index,
                owner,
                &call.digest,
                (address, ssh_port),
            ));
        }
        Ok(instances)
    }

    fn instance(
        &self,
        resolved: &Resolved,
        reservation_id: &str,
        launch_index: usize,
        owner: &str,
        digest: &str,
        (address, ssh_port): (Ipv4Addr, u16),
    ) -> Instance {
        let (image, options) = (&resolved.image, &self.options);
        Instance {
            id: ResourceKind::Instance.new_id(),
            reservation_id: reservation_id.to_owned(),
            launch_index,
            image_id: image.id.clone(),
            state: InstanceState::Pending,
            next: None,
            state_reason: None,
            transition_reason: String::new(),
            terminated: None,
            owner: Some(owner.to_owned()),
            client_token: self.client_token.clone(),
            request_digest: digest.to_owned(),
            instance_type: self.instance_type.name.clone(),
            key_name: self.key_name.clone(),
            authorized_keys: resolved.authorized_keys.clone(),
            launched: Moment::now(),
            zone: resolved.subnet.zone.clone(),
            tenancy: self.tenancy.clone(),
            subnet_id: resolved.subnet.id.clone(),
            vpc_id: resolved.subnet.vpc_id.clone(),
            security_groups: resolved.security_groups.clone(),
            network_interface_id: ResourceKind::NetworkInterface.new_id(),
            address,
            ssh_port,
            has_public_address: self.network.public_address.unwrap_or(true),
            architecture: image.architecture.clone(),
            boot_mode: image.boot_mode.clone(),
            root_device: image.root_device.clone(),
            root: resolved.root.clone(),
            has_disk: true,
            login_users: image.login_users.clone(),
            user_data: self.user_data.clone(),
            instance_profile: self.instance_profile.clone(),
            is_spot: self.is_spot,
            spot_request_id: self.is_spot.then(|| ResourceKind::SpotRequest.new_id()),
            monitoring: options.monitoring,
            ebs_optimized: options.ebs_optimized,
            ena_support: image.ena_support,
            sriov_support: image.sriov_support,
            source_dest_check: true,
            termination_protection: options.termination_protection,
            stop_protection: options.stop_protection,
            shutdown_terminates: options.shutdown_terminates,
            enclave: options.enclave,
            cpu_credits: options.cpu_credits.clone(),
            metadata_options: options.metadata.clone(),
        }
    }

    /// Adds an instance with its volumes and all their tags.
    fn add(&self, region: &mut Region, instance: Instance, devices: &[BlockDevice]) {
        let volume_tags: Tags = self.tags.of(ResourceKind::Volume);
        for device in devices {
            let Some(ebs) = &device.ebs else { continue };
            let attachment = Attachment {
                instance_id: instance.id.clone(),
                device: device.device.clone(),
                since: instance.launched,
            };
            let volume = Volume {
                id: ResourceKind::Volume.new_id(),
                zone: instance.zone.clone(),
                created: instance.launched,
                ebs: ebs.clone(),
                attachment: Some(attachment),
                client_token: None,
            };
            region.tag(&volume.id, &volume_tags);
            region.volumes.insert(volume.id.clone(), volume);
        }
        region.tag(&instance.id, &self.tags.of(ResourceKind::Instance));
        region.tag(
            &instance.network_interface_id,
            &self.tags.of(ResourceKind::NetworkInterface),
        );
        if let Some(request) = &instance.spot_request_id {
            region.tag(request, &self.tags.of(ResourceKind::SpotRequest));
        }
        region.instances.insert(instance.id.clone(), instance);
    }
}
