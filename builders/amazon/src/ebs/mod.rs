//! The amazon-ebs builder: an instance of the source AMI is launched, provisioned, stopped and made into an AMI.

mod check;
mod options;

use std::sync::Arc;

use async_trait::async_trait;
use bakelite_aws::client::Aws;
use bakelite_aws::undo::AwsUndo;
use bakelite_engine::artifact::Artifact;
use bakelite_engine::bake::{Bake, BakeError, Handle};
use bakelite_engine::builder::Builder;
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_hcl::diagnostic::Severity;
use bakelite_template::component::{Complaint, Component, ComponentKind, Yields};
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;

use self::options::Options;
use crate::block_device;
use crate::cloud::Cloud;
use crate::image::fast_launch::FastLaunches;
use crate::image::imaging::Imaging;
use crate::image::texts::ImageTexts;
use crate::image::{artifact, create, encryption};
use crate::run::connect::Connection;
use crate::run::instance::Access;
use crate::run::key_pair::{self, KeyPair};
use crate::run::launch::Launch;
use crate::run::preflight::{self, Findings};
use crate::run::profile;
use crate::run::security_group::{self, SecurityGroups};
use crate::run::source_ami::Requirements;
use crate::run::texts::RunTexts;
use crate::tags::Renderer;

/// Post-processors and the manifest know AMIs by this id.
const BUILDER_ID: &str = "mitchellh.amazonebs";

/// The registration of amazon-ebs.
pub(crate) const COMPONENT: Registration = Registration {
    component: Component {
        kind: ComponentKind::Builder,
        name: "amazon-ebs",
        doc: "Makes an EBS-backed AMI: launches an instance of a source AMI, provisions it, stops it and makes an image of it.",
        schema: Schema::of::<Options>,
        yields: Yields::BuildData(&[
            "SourceAMIName",
            "BuildRegion",
            "SourceAMI",
            "SourceAMICreationDate",
            "SourceAMIOwner",
            "SourceAMIOwnerName",
        ]),
    },
    make: Make::Builder(make),
    undo: Some(AwsUndo::within),
};

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn Builder>> {
    let options: Options = read_options(decoded, complaints)?;
    let before = complaints.len();
    check::check(&options, decoded.home_directory.as_deref(), complaints);
    let errors = complaints
        .iter()
        .skip(before)
        .any(|complaint| complaint.severity == Severity::Error);
    (!errors).then(|| Box::new(AmazonEbs { options }) as Box<dyn Builder>)
}

/// An amazon-ebs source.
struct AmazonEbs {
    options: Options,
}

#[async_trait]
impl Builder for AmazonEbs {
    async fn bake(&self, bake: &Bake) -> Result<Artifact, BakeError> {
        let options = &self.options;
        let aws = bake.step("reach AWS", reach(bake, options)).await?;
        let cloud = Cloud::new(bake, aws);
        let ebs = bake.step("prepare", prepare(cloud, options)).await?;
        ebs.make_ami().await
    }
}

async fn reach(bake: &Bake, options: &Options) -> Result<Arc<Aws>, BakeError> {
    Ok(Aws::reach(&options.access, &bake.run.environment).await?)
}

/// Finds what must be there before anything is made: the source AMI, the network, and that the AMI's name is free.
async fn prepare<'a>(cloud: Cloud<'a>, options: &'a Options) -> Result<Ebs<'a>, BakeError> {
    cloud.say("Looking for the source AMI and the network...");
    let (run, image) = (&options.run, &options.image);
    let requirements = Requirements {
        virtualization: image.ami_virtualization_type,
        enhanced_networking: run.ena_support == Some(true) || run.sriov_support,
    };
    let mut findings = Findings::default();
    let (Some(source), Some(network)) = preflight::look(&cloud, run, &requirements, &mut findings).await else {
        findings.settle()?;
        return Err(BakeError::cancelled());
    };
    let (id, name) = (
        source.image_id().unwrap_or_default(),
        source.name().unwrap_or("no name"),
    );
    cloud.say(format!("Source AMI: {id} ({name})"));
    let renderer = Renderer::new(cloud.bake, &source, cloud.aws.region());
    let texts = RunTexts::render(run, &options.volumes, &renderer)?;
    let types = run.instance_types();
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    let encrypted_at_launch = !options.skip_create_ami && encryption::is_at_launch(image, &types);
    let imaging = Imaging {
        cloud: cloud.clone(),
        options: image,
        devices: block_device::mappings(&image.ami_block_device_mappings),
        run_tags: texts.run_tags.clone(),
        texts: ImageTexts::render(image, &renderer)?,
        fast_launches: if options.skip_create_ami {
            FastLaunches::default()
        } else {
            FastLaunches::find(&cloud, options.fast_launch.as_ref()).await?
        },
        encrypted_at_launch,
    };
    let mut devices = options.volumes.mappings();
    if encrypted_at_launch {
        let home = cloud.aws.region();
        devices = encryption::encrypted(devices, &source, image.key_in(home, home));
    }
    let launch = Launch {
        cloud,
        options: run,
        devices,
        source,
        network,
        texts,
    };
    let of_image = async {
        if options.skip_create_ami {
            return Vec::new();
        }
        imaging.preflight().await
    };
    let (of_image, ()) = tokio::join!(of_image, launch.preflight(&mut findings));
    findings.extend(of_image);
    findings.settle()?;
    Ok(Ebs {
        options,
        launch,
        imaging,
    })
}

/// One bake of an amazon-ebs source, whose source AMI and network are known.
struct Ebs<'a> {
    options: &'a Options,
    launch: Launch<'a>,
    imaging: Imaging<'a>,
}

impl Ebs<'_> {
    /// The story of a bake, from the key pair to the AMI.
    async fn make_ami(&self) -> Result<Artifact, BakeError> {
        let Self {
            options,
            launch,
            imaging,
        } = self;
        let cloud = &launch.cloud;
        let bake = cloud.bake;
        let access = async {
            let (run, tags) = (&options.run, &launch.texts.run_tags);
            tokio::try_join!(
                key_pair::make(cloud, &run.communicator, tags),
                security_group::make(cloud, &run.security_groups, &launch.network, run.admitted(), tags),
                profile::make(cloud, run, tags),
            )
        };
        let (key_pair, security_groups, profile) = bake.step("key pair and security group", access).await?;
        let access = Access {
            security_groups: security_groups.ids.clone(),
            key_name: key_pair.name.clone(),
            profile,
        };
        let instance = bake.step("launch", launch.instance(&access)).await?;
        let id = instance.value.as_str();

        let connection = bake.step("connect", launch.connect(id, &key_pair)).await?;
        let Connection {
            communicator,
            data,
            session,
        } = connection;
        let provision = bake.provision(Arc::clone(&communicator), data.clone());
        bake.step("provision", provision).await?;
        launch.clear_keys(communicator.as_ref(), &key_pair).await;
        communicator.close().await;
        if let Some(session) = session {
            session.close().await;
        }
        if options.skip_create_ami {
            cloud.say("Skipping AMI creation (skip_create_ami)");
            return Ok(artifact::none(
                BUILDER_ID,
                "No AMI was created, as `skip_create_ami` says",
                data,
            ));
        }

        bake.step("stop", launch.stop(id)).await?;
        bake.step("attributes", launch.set_attributes(id)).await?;
        let pending = bake.step("image", imaging.create(id)).await?;

        // The instance is not needed any more once the AMI's snapshots are taken; it goes while the AMI is pending.
        let (ami, created) = (pending.id.clone(), pending.created);
        let clean_up = self.clean_up_early(&ami, &instance.handle, &key_pair, &security_groups);
        let wait = async {
            tokio::try_join!(imaging.available(pending), async {
                clean_up.await;
                Ok(())
            })
        };
        let (ami, ()) = bake.step("wait for the AMI", wait).await?;
        let amis = imaging.finish(created, ami).await?;
        Ok(artifact::of(BUILDER_ID, amis, data))
    }

    /// Undoes what the AMI does not need any more. What fails now is undone at the end of the bake, with a report.
    async fn clean_up_early(&self, ami: &str, instance: &Handle, key_pair: &KeyPair, security_groups: &SecurityGroups) {
        let machine = async {
            if create::snapshots_taken(&self.launch.cloud.aws, ami).await.is_err() || instance.destroy().await.is_err()
            {
                return;
            }
            if let Some(group) = &security_groups.handle {
                let _ = group.destroy().await;
            }
        };
        let key = async {
            if let Some(pair) = &key_pair.handle {
                let _ = pair.destroy().await;
            }
        };
        tokio::join!(machine, key);
    }
}
