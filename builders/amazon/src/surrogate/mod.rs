//! The amazon-ebssurrogate builder: the root volume of the AMI is a further volume of the instance, which provisioners fill. The AMI is
//! registered from snapshots of such volumes, or made of the instance after its volumes were exchanged.

mod check;
mod devices;
mod options;
mod snapshots;
mod swap;

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_ec2::types::Image;
use bakelite_aws::tag::Tags;
use bakelite_aws::undo::AwsUndo;
use bakelite_engine::artifact::Artifact;
use bakelite_engine::bake::{Bake, BakeError, Handle};
use bakelite_engine::builder::Builder;
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_template::component::{Complaint, Yields};
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;

use self::options::Options;
use self::snapshots::Snapshots;
use crate::cloud::Cloud;
use crate::findings::Findings;
use crate::image::ami::{Created, Pending};
use crate::image::artifact;
use crate::image::imaging::Imaging;
use crate::image::names;
use crate::run::launch::Launch;

/// Post-processors and the manifest know AMIs by this id.
const BUILDER_ID: &str = "mitchellh.amazon.ebssurrogate";

/// The registration of amazon-ebssurrogate.
pub(crate) const COMPONENT: Registration = Registration::plain(
    "amazon-ebssurrogate",
    "Makes an EBS-backed AMI whose root volume was filled as a further volume of an instance: with another partition table, file system or boot mode than the source AMI's.",
    Schema::of::<Options>,
    Make::Builder(make),
)
.yielding(Yields::BuildData(crate::run::connect::BUILD_DATA))
.undone_by(AwsUndo::within);

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn Builder>> {
    let options: Options = read_options(decoded, complaints)?;
    check::check(&options, decoded.home_directory.as_deref(), complaints);
    Some(Box::new(EbsSurrogate { options }))
}

/// An amazon-ebssurrogate source.
struct EbsSurrogate {
    options: Options,
}

#[async_trait]
impl Builder for EbsSurrogate {
    async fn bake(&self, bake: &Bake) -> Result<Artifact, BakeError> {
        let options = &self.options;
        let cloud = Cloud::reach(bake, &options.access).await?;
        let surrogate = bake.step("prepare", prepare(cloud, options)).await?;
        surrogate.make_ami().await
    }
}

async fn prepare<'a>(cloud: Cloud<'a>, options: &'a Options) -> Result<Surrogate<'a>, BakeError> {
    let mut findings = Findings::default();
    let virtualization = options.image.ami_virtualization_type;
    let there = cloud.clone();
    let names = names::preflight(&there, &options.image);
    let volumes = options.volumes();
    let (mut launch, renderer) =
        Launch::prepare(cloud, &options.run, &volumes, virtualization, names, &mut findings).await?;
    let mut imaging = Imaging::prepare(&launch, &options.image, None, &renderer, &mut findings).await?;
    if !options.use_create_image {
        // Registering takes the tags of the template alone.
        imaging.run_tags = Tags::new();
    }
    // What becomes of the source AMI's own volumes does not matter.
    launch.devices = imaging.devices_at_launch(launch.devices, &Image::builder().build());
    launch.preflight(&mut findings).await;
    findings.settle()?;
    Ok(Surrogate {
        options,
        launch,
        imaging,
    })
}

/// One bake of an amazon-ebssurrogate source, whose source AMI and network are known.
struct Surrogate<'a> {
    options: &'a Options,
    launch: Launch<'a>,
    imaging: Imaging<'a>,
}

impl Surrogate<'_> {
    /// The story of a bake, from the key pair to the AMI.
    async fn make_ami(&self) -> Result<Artifact, BakeError> {
        let Self { launch, imaging, .. } = self;
        let cloud = &launch.cloud;
        let bake = cloud.bake;
        let machine = launch.machine().await?;
        let id = machine.instance.value.as_str();
        launch.stopped(id).await?;
        let (pending, snapshots) = if self.options.use_create_image {
            (bake.step("image", self.exchange(id)).await?, Vec::new())
        } else {
            bake.step("image", self.register(id)).await?
        };
        let amis = imaging.finish(pending, &machine).await?;
        // Those of an intermediary AMI went with it.
        for snapshot in snapshots {
            snapshot.keep().await?;
        }
        Ok(artifact::of(BUILDER_ID, &amis, machine.data))
    }

    /// Makes the AMI of the instance whose volumes were exchanged.
    async fn exchange(&self, instance: &str) -> Result<Pending, BakeError> {
        swap::swap(&self.launch.cloud, instance, self.options).await?;
        self.imaging
            .create(instance, devices::of_ami(self.options, &BTreeMap::new()))
            .await
    }

    /// Registers the AMI from snapshots of the instance's volumes.
    async fn register(&self, instance: &str) -> Result<(Pending, Vec<Handle>), BakeError> {
        let Self {
            options,
            imaging,
            launch,
            ..
        } = self;
        let cloud = &launch.cloud;
        let usual = format!("bakelite: {}", options.image.ami_name);
        let description = options.snapshot_description.as_ref().unwrap_or(&usual);
        let with_volumes = options.kept().filter(|device| device.has_volume());
        let devices: Vec<_> = with_volumes.map(|device| device.device_name.clone()).collect();
        let tags = &imaging.texts.snapshot_tags;
        let snapshots = snapshots::take(cloud, instance, &devices, description, tags).await?;
        let Snapshots {
            ids,
            handles,
            are_encrypted,
        } = snapshots;
        let (_, root) = options.root();
        let (image, run) = (&options.image, &options.run);
        let virtualization = image.ami_virtualization_type.map(|kind| kind.as_str().to_owned());
        let request = cloud
            .ec2()
            .register_image()
            .architecture(options.ami_architecture.unwrap_or(options::Architecture::X86).into())
            .root_device_name(root)
            .set_virtualization_type(virtualization)
            .set_block_device_mappings(Some(devices::of_ami(options, &ids)))
            .set_sriov_net_support(run.sriov_support.then(|| "simple".to_owned()))
            .set_ena_support(run.ena_support.filter(|on| *on))
            .set_boot_mode(options.boot_mode.map(Into::into))
            .set_uefi_data(options.uefi_data.clone())
            .set_tpm_support(options.tpm_support.map(Into::into));
        let pending = imaging.register(request, are_encrypted).await?;
        let stays = pending.created == Created::Final;
        Ok((pending, if stays { handles } else { Vec::new() }))
    }
}
