//! The amazon-ebs builder: an instance of the source AMI is launched, provisioned, stopped and made into an AMI.

mod check;
mod options;

use async_trait::async_trait;
use bakelite_aws::undo::AwsUndo;
use bakelite_engine::artifact::Artifact;
use bakelite_engine::bake::{Bake, BakeError};
use bakelite_engine::builder::Builder;
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_template::component::{Complaint, Yields};
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;

use self::options::Options;
use crate::block_device;
use crate::cloud::Cloud;
use crate::findings::Findings;
use crate::image::artifact;
use crate::image::imaging::Imaging;
use crate::image::names;
use crate::run::connect::BUILD_DATA;
use crate::run::launch::Launch;

/// Post-processors and the manifest know AMIs by this id.
const BUILDER_ID: &str = "mitchellh.amazonebs";

/// The registration of amazon-ebs.
pub(crate) const COMPONENT: Registration = Registration::plain(
    "amazon-ebs",
    "Makes an EBS-backed AMI: launches an instance of a source AMI, provisions it, stops it and makes an image of it.",
    Schema::of::<Options>,
    Make::Builder(make),
)
.yielding(Yields::BuildData(BUILD_DATA))
.undone_by(AwsUndo::within);

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn Builder>> {
    let options: Options = read_options(decoded, complaints)?;
    check::check(&options, decoded.home_directory.as_deref(), complaints);
    Some(Box::new(AmazonEbs { options }))
}

/// An amazon-ebs source.
struct AmazonEbs {
    options: Options,
}

#[async_trait]
impl Builder for AmazonEbs {
    async fn bake(&self, bake: &Bake) -> Result<Artifact, BakeError> {
        let options = &self.options;
        let cloud = Cloud::reach(bake, &options.access).await?;
        let ebs = bake.step("prepare", prepare(cloud, options)).await?;
        ebs.make_ami().await
    }
}

/// Finds what must be there before anything is made, and whatever would keep the bake from succeeding.
async fn prepare<'a>(cloud: Cloud<'a>, options: &'a Options) -> Result<Ebs<'a>, BakeError> {
    let (run, image) = (&options.run, &options.image);
    let mut findings = Findings::default();
    let virtualization = image.ami_virtualization_type;
    let there = cloud.clone();
    let names = async {
        if options.skip_create_ami {
            Vec::new()
        } else {
            names::preflight(&there, image).await
        }
    };
    let (mut launch, renderer) =
        Launch::prepare(cloud, run, &options.volumes, virtualization, names, &mut findings).await?;
    let imaging = if options.skip_create_ami {
        None
    } else {
        let fast_launch = options.fast_launch.as_ref();
        Some(Imaging::prepare(&launch, image, fast_launch, &renderer, &mut findings).await?)
    };
    if let Some(imaging) = &imaging {
        launch.devices = imaging.devices_at_launch(launch.devices, &launch.source);
    }
    launch.preflight(&mut findings).await;
    findings.settle()?;
    Ok(Ebs { launch, imaging })
}

/// One bake of an amazon-ebs source, whose source AMI and network are known.
struct Ebs<'a> {
    launch: Launch<'a>,
    /// Absent when no AMI is wanted.
    imaging: Option<Imaging<'a>>,
}

impl Ebs<'_> {
    /// The story of a bake, from the key pair to the AMI.
    async fn make_ami(&self) -> Result<Artifact, BakeError> {
        let Self { launch, imaging } = self;
        let cloud = &launch.cloud;
        let bake = cloud.bake;
        let machine = launch.machine().await?;
        let id = machine.instance.value.as_str();
        let Some(imaging) = imaging else {
            cloud.say("Skipping AMI creation (skip_create_ami)");
            machine.clean_up_after(cloud, std::future::ready(true)).await;
            let why = "No AMI was created, as `skip_create_ami` says";
            return Ok(artifact::none(BUILDER_ID, why, machine.data));
        };
        launch.stopped(id).await?;
        let devices = block_device::mappings(&imaging.options.ami_block_device_mappings);
        let pending = bake.step("image", imaging.create(id, devices)).await?;
        let amis = imaging.finish(pending, &machine).await?;
        Ok(artifact::of(BUILDER_ID, &amis, machine.data))
    }
}
