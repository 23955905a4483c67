//! The amazon-ebsvolume builder: provisioners fill the volumes of an instance, which stay when it goes, and snapshots of them.

mod artifact;
mod options;

use std::path::Path;

use async_trait::async_trait;
use bakelite_aws::tag::{self, Tags};
use bakelite_aws::undo::AwsUndo;
use bakelite_engine::artifact::Artifact;
use bakelite_engine::bake::{Bake, BakeError, Made};
use bakelite_engine::builder::Builder;
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_template::component::{Complaint, Yields};
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;

use self::options::{EbsVolume, Options};
use crate::cloud::Cloud;
use crate::findings::Findings;
use crate::image::{attributes, snapshot};
use crate::run::launch::Launch;
use crate::run::volumes::{VolumeError, attached_to};
use crate::tags::{Renderer, pairs};
use crate::{block_device, run};

/// The registration of amazon-ebsvolume.
pub(crate) const COMPONENT: Registration = Registration::plain(
    "amazon-ebsvolume",
    "Makes EBS volumes: launches an instance with them, provisions it, and keeps the volumes and snapshots of them.",
    Schema::of::<Options>,
    Make::Builder(make),
)
.yielding(Yields::BuildData(crate::run::connect::BUILD_DATA))
.undone_by(AwsUndo::within);

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn Builder>> {
    let options: Options = read_options(decoded, complaints)?;
    check(&options, decoded.home_directory.as_deref(), complaints);
    Some(Box::new(AmazonEbsVolume { options }))
}

/// Complains about options that contradict each other or cannot work.
fn check(options: &Options, home: Option<&Path>, complaints: &mut Vec<Complaint>) {
    options.access.check(complaints);
    run::check::check(&options.run, home, complaints);
    block_device::check(
        "ebs_volumes",
        &options.volumes().launch_block_device_mappings,
        complaints,
    );
    for (index, volume) in options.ebs_volumes.iter().enumerate() {
        if volume.snapshot_description.is_some() && !volume.snapshot_volume {
            let message = "`snapshot_description` needs `snapshot_volume = true`";
            let at = format!("ebs_volumes[{index}].snapshot_description");
            complaints.push(Complaint::error(at, message));
        }
    }
}

/// An amazon-ebsvolume source.
struct AmazonEbsVolume {
    options: Options,
}

#[async_trait]
impl Builder for AmazonEbsVolume {
    async fn bake(&self, bake: &Bake) -> Result<Artifact, BakeError> {
        let options = &self.options;
        let cloud = Cloud::reach(bake, &options.access).await?;
        let baking = bake.step("prepare", prepare(cloud, options)).await?;
        baking.make_volumes().await
    }
}

async fn prepare<'a>(cloud: Cloud<'a>, options: &'a Options) -> Result<Volumes<'a>, BakeError> {
    let mut findings = Findings::default();
    let others = std::future::ready(Vec::new());
    let (launch, renderer) =
        Launch::prepare(cloud, &options.run, &options.volumes(), None, others, &mut findings).await?;
    let texts = options
        .ebs_volumes
        .iter()
        .map(|volume| Texts::render(volume, &renderer));
    let texts = texts.collect::<Result<_, _>>()?;
    launch.preflight(&mut findings).await;
    findings.settle()?;
    Ok(Volumes { options, launch, texts })
}

/// The tags of a volume and its snapshot, rendered before anything is made.
struct Texts {
    tags: Tags,
    snapshot_tags: Tags,
}

impl Texts {
    fn render(volume: &EbsVolume, renderer: &Renderer) -> Result<Self, crate::tags::TextError> {
        Ok(Self {
            tags: renderer.tags("ebs_volumes.tags", &volume.tags, pairs(&volume.tag))?,
            snapshot_tags: renderer.tags(
                "ebs_volumes.snapshot_tags",
                &volume.snapshot_tags,
                pairs(&volume.snapshot_tag),
            )?,
        })
    }
}

/// One bake of an amazon-ebsvolume source, whose source AMI and network are known.
struct Volumes<'a> {
    options: &'a Options,
    launch: Launch<'a>,
    texts: Vec<Texts>,
}

impl Volumes<'_> {
    /// The story of a bake, from the key pair to the volumes.
    async fn make_volumes(&self) -> Result<Artifact, BakeError> {
        let Self { launch, options, texts } = self;
        let cloud = &launch.cloud;
        let bake = cloud.bake;
        let machine = launch.machine().await?;
        let instance = machine.instance.value.as_str();
        launch.stopped(instance).await?;
        let of_instance = attached_to(cloud.ec2(), instance).await?;
        let mut kept = Vec::new();
        let mut snapshots = Vec::new();
        for (volume, texts) in options
            .ebs_volumes
            .iter()
            .zip(texts)
            .filter(|(volume, _)| volume.device.has_volume())
        {
            let device = &volume.device.device_name;
            let Some(id) = of_instance.get(device) else {
                let (instance, device) = (instance.to_owned(), device.clone());
                return Err(VolumeError::Missing { instance, device }.into());
            };
            if volume.snapshot_volume {
                let snapshot = bake.step("snapshot", self.snapshot(volume, id, texts)).await?;
                snapshots.push(snapshot);
            }
            if !volume.device.delete_on_termination {
                kept.push((id.clone(), &texts.tags));
            }
        }
        for (id, tags) in &kept {
            cloud.say(format!("Volume: {id}"));
            self.tag_volume(id, tags).await?;
        }
        // What has lost the tags of temporary resources is no longer removed, and nothing can fail behind that: all lose them in one call.
        let volumes = kept.iter().map(|(id, _)| id.clone());
        let stays: Vec<_> = volumes
            .chain(snapshots.iter().map(|snapshot| snapshot.value.clone()))
            .collect();
        if !stays.is_empty() {
            cloud.aws.untag(stays).await?;
        }
        for snapshot in &snapshots {
            snapshot.handle.keep().await?;
        }
        machine.clean_up_after(cloud, std::future::ready(true)).await;
        let snapshots = snapshots.into_iter().map(|snapshot| snapshot.value).collect();
        let volumes = kept.into_iter().map(|(id, _)| id).collect();
        Ok(artifact::of(&cloud.aws, volumes, snapshots, machine.data))
    }

    /// Takes a snapshot of a volume, and shares it.
    async fn snapshot(&self, volume: &EbsVolume, id: &str, texts: &Texts) -> Result<Made<String>, BakeError> {
        let cloud = &self.launch.cloud;
        let usual = format!("bakelite: {}", volume.device.device_name);
        let description = volume.snapshot_description.as_ref().unwrap_or(&usual);
        let (made, _) = snapshot::take(cloud, id, description, &texts.snapshot_tags).await?;
        let aws = &cloud.aws;
        attributes::share_snapshot(aws, &made.value, &volume.snapshot_users, &volume.snapshot_groups).await?;
        Ok(made)
    }

    /// A volume that stays has its own tags and none of the instance.
    async fn tag_volume(&self, id: &str, tags: &Tags) -> Result<(), BakeError> {
        let aws = &self.launch.cloud.aws;
        aws.tag(vec![id.to_owned()], tags).await?;
        let others = self.launch.texts.volume_tags.keys();
        let others = others.filter(|key| !tags.contains_key(*key));
        Ok(tag::remove(aws.ec2(), vec![id.to_owned()], others.map(String::as_str)).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_needs_its_snapshot() {
        let options = |snapshot: bool| {
            serde_json::from_value::<Options>(serde_json::json!({
                "region": "us-east-1", "instance_type": "t3.micro", "source_ami": "ami-12345678", "ssh_username": "ec2-user",
                "ebs_volumes": [{"device_name": "/dev/xvdf", "snapshot_description": "d", "snapshot_volume": snapshot}]
            }))
            .unwrap()
        };
        let complaints = |options| {
            let mut complaints = Vec::new();
            check(&options, None, &mut complaints);
            complaints
                .into_iter()
                .map(|complaint| complaint.option)
                .collect::<Vec<_>>()
        };
        assert_eq!(complaints(options(false)), ["ebs_volumes[0].snapshot_description"]);
        assert!(complaints(options(true)).is_empty());
    }
}
