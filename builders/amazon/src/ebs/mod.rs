//! The amazon-ebs builder: an instance of the source AMI is launched, provisioned, stopped and made into an AMI.

mod address;
mod artifact;
pub(crate) mod blocks;
mod check;
mod image;
mod instance;
pub mod options;
mod permissions;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_ec2::types::Image;
use bakelite_aws::class::AwsError;
use bakelite_aws::client::Aws;
use bakelite_aws::tag::Tags;
use bakelite_aws::undo::AwsUndo;
use bakelite_communicators::connect::{Target, connect};
use bakelite_communicators::connection_data::connection_data;
use bakelite_communicators::options::{CommunicatorOptions, Kind};
use bakelite_communicators::ssh::authorized_keys::clear_authorized_keys;
use bakelite_engine::artifact::Artifact;
use bakelite_engine::bake::{Bake, BakeError};
use bakelite_engine::builder::Builder;
use bakelite_engine::communicator::Communicator;
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_hcl::diagnostic::Severity;
use bakelite_hcl::value::Value;
use bakelite_template::component::{Complaint, Component, ComponentKind, Yields};
use bakelite_template::decode::Decoded;
use bakelite_template::gotemplate::Rendering;
use bakelite_template::plan::BuildData;
use bakelite_template::schema::Schema;

use crate::key_pair::{self, KeyPair};
use crate::security_group::{self, SecurityGroups};
use crate::{network, source_ami, tags};
use options::Options;

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
};

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn Builder>> {
    let options: Options = read_options(decoded, complaints)?;
    let before = complaints.len();
    check::check(&options, &decoded.unknown, complaints);
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
        let result = self.make_ami(bake).await;
        if let Err(BakeError::Failed(error)) = &result {
            if let Some(help) = AwsError::help_for(error.as_ref()) {
                bake.ui.error(format!("Help: {help}"));
            }
        }
        result
    }
}

impl AmazonEbs {
    /// The story of a bake.
    async fn make_ami(&self, bake: &Bake) -> Result<Artifact, BakeError> {
        let options = &self.options;
        let aws = bake
            .step("reach AWS", async {
                Aws::reach(&options.access, &bake.run.environment)
                    .await
                    .map_err(BakeError::failed)
            })
            .await?;
        let undo = AwsUndo::of(&aws);

        bake.ui.say("Looking for the source AMI and the network...");
        let prepare = async {
            tokio::try_join!(
                image::name_is_free(bake, aws.ec2(), options),
                async { source_ami::find(aws.ec2(), options).await.map_err(BakeError::failed) },
                async { network::choose(aws.ec2(), options).await.map_err(BakeError::failed) },
            )
        };
        let ((), source, network) = bake.step("prepare", prepare).await?;
        bake.ui.say(format!(
            "Source AMI: {} ({})",
            source.image_id().unwrap_or_default(),
            source.name().unwrap_or("no name")
        ));
        let rendering = tags::rendering(&bake.rendering, &source, aws.region());
        let run_tags =
            tags::tags("run_tags", &options.run_tags, &options.run_tag, &rendering).map_err(BakeError::failed)?;

        let access = async {
            tokio::try_join!(
                key_pair::make(bake, &aws, &undo, &options.communicator, &run_tags),
                security_group::make(bake, &aws, &undo, options, &network, &run_tags),
            )
        };
        let (key_pair, security_groups) = bake.step("key pair and security group", access).await?;

        let volume_tags = tags::volume_tags(
            "run_volume_tags",
            &options.run_volume_tags,
            &options.run_volume_tag,
            &rendering,
        )
        .map_err(BakeError::failed)?;
        let wanted = instance::Wanted {
            options,
            source: &source,
            network: &network,
            security_groups: &security_groups.ids,
            key_name: key_pair.name.as_deref(),
        };
        let instance = bake
            .step(
                "launch",
                instance::launch(bake, &aws, &undo, &wanted, &run_tags, &volume_tags),
            )
            .await?;
        let id = instance.value.as_str();

        let (communicator, data) = bake
            .step("connect", self.connect(bake, &aws, id, &key_pair, &source))
            .await?;
        bake.step("provision", bake.provision(Arc::clone(&communicator), data.clone()))
            .await?;
        self.clear_keys(bake, communicator.as_ref(), &key_pair).await;
        communicator.close().await;
        if options.skip_create_ami == Some(true) {
            bake.ui.say("No AMI is made, as `skip_create_ami` says.");
            return Ok(artifact::none(data));
        }

        bake.step("stop", instance::stop(bake, &aws, id, options)).await?;
        bake.step("attributes", instance::set_attributes(aws.ec2(), id, options))
            .await?;
        bake.step("replace", image::deregister_old(bake, aws.ec2(), options))
            .await?;
        let ami = bake
            .step(
                "image",
                image::create(bake, &aws, &undo, id, options, &run_tags, &rendering),
            )
            .await?;
        // The instance is not needed any more once the AMI's snapshots are taken; it goes while the AMI is pending.
        let clean_up = self.clean_up_early(&aws, &ami.value, &instance.handle, &key_pair, &security_groups);
        let wait = async { tokio::try_join!(image::available(bake, &aws, &ami.value), async { Ok(clean_up.await) }) };
        let (image, ()) = bake.step("wait for the AMI", wait).await?;
        bake.step("share and tag", self.finish(bake, &aws, &image, &rendering))
            .await?;
        ami.handle.keep().await?;
        Ok(artifact::of(&aws, &ami.value, data))
    }

    /// Connects as soon as the instance has an address; it must also have become running, so that it can be stopped.
    async fn connect(
        &self,
        bake: &Bake,
        aws: &Aws,
        id: &str,
        key_pair: &KeyPair,
        source: &Image,
    ) -> Result<(Arc<dyn Communicator>, BuildData), BakeError> {
        let connect = async {
            let address = address::find(aws, id, &self.options).await.map_err(BakeError::failed)?;
            let mut options: CommunicatorOptions = self.options.communicator.clone();
            options.ssh_port = options.ssh_port.or(address.ssh_port);
            let target = Target {
                address: address.host,
                private_key: key_pair.private_key.clone(),
                ..Target::default()
            };
            let connected = connect(&target, &options, &bake.run, &bake.ui, bake.cancel.token()).await;
            let communicator = connected.map_err(BakeError::failed)?;
            Ok((communicator, connection_data(&target, &options)))
        };
        let running = async { instance::running(bake, aws, id).await.map_err(BakeError::failed) };
        let ((communicator, connection), ()) = tokio::try_join!(connect, running)?;
        let mut data = bake.data(id);
        data.extend(connection);
        data.extend(source_data(source, aws.region()));
        Ok((communicator, data))
    }

    /// Takes the temporary key out of the image. That it cannot be is said and does not fail the bake.
    async fn clear_keys(&self, bake: &Bake, communicator: &dyn Communicator, key_pair: &KeyPair) {
        let options = &self.options.communicator;
        let name = key_pair.handle.as_ref().and(key_pair.name.as_deref());
        let (true, Some(name), Some(Kind::Ssh)) = (options.ssh_clear_authorized_keys, name, options.kind()) else {
            return;
        };
        bake.ui.say("Removing the temporary key from the authorized keys...");
        if let Err(error) = clear_authorized_keys(communicator, name, &bake.ui).await {
            bake.ui.error(format!(
                "Warning: the temporary key stays in the image: {}",
                bakelite_engine::chain_of(&error)
            ));
        }
    }

    /// Undoes what the AMI does not need any more. What does not go now goes at the end of the bake, with a report.
    async fn clean_up_early(
        &self,
        aws: &Aws,
        ami: &str,
        instance: &bakelite_engine::bake::Handle,
        key_pair: &KeyPair,
        security_groups: &SecurityGroups,
    ) {
        let machine = async {
            if image::snapshots_taken(aws, ami).await.is_err() || instance.destroy().await.is_err() {
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

    /// What is left to do once the AMI is available: permissions, the snapshots' tags, and taking our own tags off.
    async fn finish(&self, bake: &Bake, aws: &Aws, image: &Image, rendering: &Rendering) -> Result<(), BakeError> {
        let options = &self.options;
        permissions::share(bake, aws.ec2(), image, options)
            .await
            .map_err(BakeError::failed)?;
        let mut snapshot_tags: Tags =
            tags::tags("tags", &options.tags, &options.tag, rendering).map_err(BakeError::failed)?;
        snapshot_tags.extend(
            tags::tags(
                "snapshot_tags",
                &options.snapshot_tags,
                &options.snapshot_tag,
                rendering,
            )
            .map_err(BakeError::failed)?,
        );
        image::tag_snapshots(bake, aws.ec2(), image, &snapshot_tags)
            .await
            .map_err(BakeError::failed)?;
        image::take_our_tags_off(aws.ec2(), image)
            .await
            .map_err(BakeError::failed)
    }
}

/// What `build.*` says about the source AMI.
fn source_data(source: &Image, region: &str) -> BuildData {
    let text = |text: Option<&str>| Value::string(text.unwrap_or_default());
    [
        ("BuildRegion", Value::string(region)),
        ("SourceAMI", text(source.image_id())),
        ("SourceAMIName", text(source.name())),
        ("SourceAMICreationDate", text(source.creation_date())),
        ("SourceAMIOwner", text(source.owner_id())),
        ("SourceAMIOwnerName", text(source.image_owner_alias())),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// How long an AMI may take at most, when the template does not say: large volumes take hours.
const IMAGE_LIMIT: Duration = Duration::from_secs(6 * 3600);
/// How long an instance may take to start or to stop.
const INSTANCE_LIMIT: Duration = Duration::from_secs(1800);
