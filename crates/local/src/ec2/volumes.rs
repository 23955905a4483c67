//! Volumes: the devices of instances, and loose ones. What one holds that is no root device lies with the machines.

use crate::api_error::ApiError;
use crate::call::{Answer, Call};
use crate::ec2::block_devices::{self};
use crate::ec2::filters::{FilterTable, Filters};
use crate::ec2::page::Page;
use crate::ec2::tags::{self, TagSpecifications};
use crate::ids::ResourceKind;
use crate::machine::VolumeSpec;
use crate::moment::Moment;
use crate::network;
use crate::state::Tags;
use crate::state::instance::InstanceState;
use crate::state::volume::{Attachment, EbsDevice, Volume};
use crate::xml::Element;

pub(crate) async fn create_volume(mut call: Call) -> Answer {
    let zone = call.parameters.required("AvailabilityZone")?;
    let snapshot_id = call.parameters.filled("SnapshotId");
    let size = call.parameters.number("Size")?;
    let volume_type = call.parameters.text("VolumeType").unwrap_or_else(|| "gp2".to_owned());
    let (iops, throughput) = (call.parameters.number("Iops")?, call.parameters.number("Throughput")?);
    let encrypted = call.parameters.boolean("Encrypted")?;
    let kms_key_id = call.parameters.text("KmsKeyId");
    let client_token = call.parameters.filled("ClientToken");
    let tags = TagSpecifications::take(&mut call.parameters, &[ResourceKind::Volume])?.of(ResourceKind::Volume);
    call.accept()?;
    network::default_subnet(&call.region, Some(&zone))?;
    let volume = call.change(|region| {
        let earlier = region
            .volumes
            .values()
            .find(|volume| client_token.is_some() && volume.client_token == client_token);
        if let Some(volume) = earlier {
            return Ok(volume.clone());
        }
        let snapshot_size = snapshot_id
            .as_deref()
            .map(|id| region.snapshot(id).map(|snapshot| snapshot.size_gib))
            .transpose()?;
        let size_gib = size
            .or(snapshot_size)
            .ok_or_else(|| ApiError::missing_parameter("size/snapshot"))?;
        block_devices::check_volume(&volume_type, size_gib, iops, throughput)?;
        let ebs = EbsDevice {
            snapshot_id,
            size_gib,
            iops: iops.or_else(|| block_devices::default_iops(&volume_type, size_gib)),
            throughput: throughput.or((volume_type == "gp3").then_some(125)),
            volume_type,
            encrypted: encrypted.unwrap_or(false) || kms_key_id.is_some(),
            kms_key_id,
            delete_on_termination: false,
        };
        let volume = Volume {
            id: ResourceKind::Volume.new_id(),
            zone,
            created: Moment::now(),
            ebs,
            attachment: None,
            client_token,
        };
        region.volumes.insert(volume.id.clone(), volume.clone());
        region.tag(&volume.id, &tags);
        Ok(volume)
    })?;
    let data = call.read(|region| {
        let snapshot = region.snapshots.get(volume.ebs.snapshot_id.as_ref()?)?;
        snapshot.data.clone()
    })?;
    if let Some(data) = data {
        let spec = VolumeSpec {
            id: volume.id.clone(),
            device: String::new(),
            size: volume.bytes(),
        };
        call.cloud.machines.make_volume(&spec, Some(&data)).await?;
    }
    Ok(describe(&volume, &tags))
}

const FILTERS: FilterTable<Volume> = &[
    ("volume-id", |volume| vec![volume.id.clone()]),
    ("status", |volume| vec![volume.state().to_owned()]),
    ("size", |volume| vec![volume.ebs.size_gib.to_string()]),
    ("volume-type", |volume| vec![volume.ebs.volume_type.clone()]),
    ("snapshot-id", |volume| volume.ebs.snapshot_id.iter().cloned().collect()),
    ("encrypted", |volume| vec![volume.ebs.encrypted.to_string()]),
    ("availability-zone", |volume| vec![volume.zone.clone()]),
    ("create-time", |volume| vec![volume.created.to_string()]),
    ("attachment.instance-id", |volume| {
        volume.attachment.iter().map(|at| at.instance_id.clone()).collect()
    }),
    ("attachment.device", |volume| {
        volume.attachment.iter().map(|at| at.device.clone()).collect()
    }),
    ("attachment.status", |volume| {
        volume.attachment.iter().map(|_| "attached".to_owned()).collect()
    }),
    ("attachment.delete-on-termination", |volume| {
        volume
            .attachment
            .iter()
            .map(|_| volume.ebs.delete_on_termination.to_string())
            .collect()
    }),
];

pub(crate) fn describe_volumes(mut call: Call) -> Answer {
    let ids = call.parameters.list("VolumeId");
    let filters = Filters::take(&mut call.parameters, FILTERS)?;
    let page = Page::take(&mut call.parameters)?;
    call.accept()?;
    let items = call.read(|region| {
        for id in &ids {
            region.volume(id)?;
        }
        let wanted = region
            .volumes
            .values()
            .filter(|volume| ids.is_empty() || ids.contains(&volume.id))
            .filter(|volume| filters.match_item(FILTERS, volume, region.tags_of(&volume.id)));
        Ok::<_, ApiError>(
            wanted
                .map(|volume| describe(volume, region.tags_of(&volume.id)))
                .collect(),
        )
    })??;
    let (items, next) = page.cut(items);
    Ok(Element::body().list("volumeSet", items).maybe("nextToken", next))
}

fn describe(volume: &Volume, tags: &Tags) -> Element {
    let attachments = volume.attachment.iter().map(|attachment| {
        describe_attachment(&volume.id, attachment, "attached")
            .text("deleteOnTermination", volume.ebs.delete_on_termination)
    });
    Element::body()
        .text("volumeId", &volume.id)
        .text("size", volume.ebs.size_gib)
        .text("snapshotId", volume.ebs.snapshot_id.as_deref().unwrap_or_default())
        .text("availabilityZone", &volume.zone)
        .text("status", volume.state())
        .text("createTime", volume.created)
        .list("attachmentSet", attachments)
        .text("volumeType", &volume.ebs.volume_type)
        .maybe("iops", volume.ebs.iops)
        .maybe("throughput", volume.ebs.throughput)
        .text("encrypted", volume.ebs.encrypted)
        .maybe("kmsKeyId", volume.ebs.kms_key_id.as_ref())
        .text("multiAttachEnabled", false)
        .with(tags::tag_set(tags))
}

pub(crate) fn attach_volume(mut call: Call) -> Answer {
    let id = call.parameters.required("VolumeId")?;
    let instance_id = call.parameters.required("InstanceId")?;
    let device = call.parameters.required("Device")?;
    call.accept()?;
    let attachment = call.change(|region| {
        let instance = region.instance(&instance_id)?;
        let volume = region.volume(&id)?;
        if let Some(attachment) = &volume.attachment {
            return Err(ApiError::new(
                "VolumeInUse",
                format!("{id} is already attached to {}", attachment.instance_id),
            ));
        }
        if !matches!(instance.state, InstanceState::Running | InstanceState::Stopped) {
            return Err(ApiError::new(
                "IncorrectState",
                format!("Instance '{instance_id}' is not 'running' or 'stopped'."),
            ));
        }
        if instance.zone != volume.zone {
            return Err(ApiError::new(
                "InvalidVolume.ZoneMismatch",
                format!("The volume '{id}' is not in the same availability zone as instance '{instance_id}'"),
            ));
        }
        let is_taken = region.volumes.values().any(|volume| {
            let attachment = volume.attachment.as_ref();
            attachment.is_some_and(|at| at.instance_id == instance_id && at.device == device)
        });
        if is_taken {
            return Err(ApiError::invalid_parameter(format!(
                "Invalid value '{device}' for unixDevice. Attachment point {device} is already in use"
            )));
        }
        let attachment = Attachment {
            instance_id,
            device,
            since: Moment::now(),
        };
        let volume = region.volume_mut(&id)?;
        volume.ebs.delete_on_termination = false;
        volume.attachment = Some(attachment.clone());
        Ok(attachment)
    })?;
    Ok(describe_attachment(&id, &attachment, "attaching"))
}

pub(crate) fn detach_volume(mut call: Call) -> Answer {
    let id = call.parameters.required("VolumeId")?;
    let instance_id = call.parameters.text("InstanceId");
    let device = call.parameters.text("Device");
    let _force = call.parameters.boolean("Force")?;
    call.accept()?;
    let attachment = call.change(|region| {
        let attachment = region.volume(&id)?.attachment.clone();
        let attachment = attachment
            .ok_or_else(|| ApiError::new("IncorrectState", format!("Volume '{id}' is in the 'available' state.")))?;
        let is_other = |given: &Option<String>, actual: &str| given.as_deref().is_some_and(|given| given != actual);
        if is_other(&instance_id, &attachment.instance_id) || is_other(&device, &attachment.device) {
            return Err(ApiError::new(
                "InvalidAttachment.NotFound",
                format!("The volume '{id}' is not attached to that instance as that device"),
            ));
        }
        let instance = region.instance(&attachment.instance_id)?;
        if attachment.device == instance.root_device && instance.state != InstanceState::Stopped {
            return Err(ApiError::new(
                "OperationNotPermitted",
                format!("Unable to detach root volume '{id}' from instance '{}'", instance.id),
            ));
        }
        region.volume_mut(&id)?.attachment = None;
        Ok(attachment)
    })?;
    Ok(describe_attachment(&id, &attachment, "detaching"))
}

fn describe_attachment(id: &str, attachment: &Attachment, status: &str) -> Element {
    Element::body()
        .text("volumeId", id)
        .text("instanceId", &attachment.instance_id)
        .text("device", &attachment.device)
        .text("status", status)
        .text("attachTime", attachment.since)
}

pub(crate) async fn delete_volume(mut call: Call) -> Answer {
    let id = call.parameters.required("VolumeId")?;
    call.accept()?;
    call.change(|region| {
        if let Some(attachment) = &region.volume(&id)?.attachment {
            let message = format!("Volume {id} is currently attached to {}", attachment.instance_id);
            return Err(ApiError::new("VolumeInUse", message));
        }
        region.volumes.remove(&id);
        region.tags.remove(&id);
        Ok(())
    })?;
    call.cloud.remove_unused_roots().await;
    Ok(Element::body().yes())
}
