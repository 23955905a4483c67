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
use bakelite_aws::undo::AwsUndo;
use bakelite_communicators::connect::{Target, connect};
use bakelite_communicators::connection_data::connection_data;
use bakelite_communicators::dial::Dial;
use bakelite_communicators::options::{CommunicatorOptions, Kind};
use bakelite_communicators::ssh::authorized_keys::clear_authorized_keys;
use bakelite_engine::artifact::Artifact;
use bakelite_engine::bake::{Bake, BakeError};
use bakelite_engine::builder::Builder;
use bakelite_engine::communicator::Communicator;
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_engine::undo::Undo;
use bakelite_hcl::diagnostic::Severity;
use bakelite_hcl::value::Value;
use bakelite_template::component::{Complaint, Component, ComponentKind, Yields};
use bakelite_template::decode::Decoded;
use bakelite_template::duration::GoDuration;
use bakelite_template::plan::BuildData;
use bakelite_template::schema::Schema;

use crate::console::InstanceConsole;
use crate::key_pair::{self, KeyPair};
use crate::network::Network;
use crate::security_group::{self, SecurityGroups};
use crate::session_manager::{self, SessionManager};
use crate::tags::Texts;
use crate::{network, password, source_ami};
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
    undo: Some(AwsUndo::within),
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
        self.make_ami(bake).await.map_err(|error| {
            let cause = error.cause();
            match AwsError::help_for(cause).or_else(|| session_manager::help_for(cause)) {
                Some(help) => error.with_help(help),
                None => error,
            }
        })
    }
}

impl AmazonEbs {
    /// The story of a bake.
    async fn make_ami(&self, bake: &Bake) -> Result<Artifact, BakeError> {
        let options = &self.options;
        let aws = bake.step("reach AWS", reach(bake, options)).await?;
        let undo = AwsUndo::of(&aws);

        let (source, network) = bake.step("prepare", prepare(bake, &aws, options)).await?;
        let texts = Texts::render(options, &bake.rendering, &source, aws.region())?;

        let access = async {
            tokio::try_join!(
                key_pair::make(bake, &aws, &undo, &options.communicator, &texts.run_tags),
                security_group::make(bake, &aws, &undo, options, &network, &texts.run_tags),
            )
        };
        let (key_pair, security_groups) = bake.step("key pair and security group", access).await?;

        let wanted = instance::Wanted {
            options,
            source: &source,
            network: &network,
            security_groups: &security_groups.ids,
            key_name: key_pair.name.as_deref(),
        };
        let launch = instance::launch(bake, &aws, &undo, &wanted, &texts);
        let instance = bake.step("launch", launch).await?;
        let id = instance.value.as_str();

        let connect = self.connect(bake, (&aws, &undo), id, &key_pair, &source);
        let (communicator, data, session) = bake.step("connect", connect).await?;
        let provision = bake.provision(Arc::clone(&communicator), data.clone());
        bake.step("provision", provision).await?;
        self.clear_keys(bake, communicator.as_ref(), &key_pair).await;
        communicator.close().await;
        if let Some(session) = session {
            session.close().await;
        }
        if options.skip_create_ami == Some(true) {
            bake.ui.say("No AMI is made, as `skip_create_ami` says.");
            return Ok(artifact::none(data));
        }

        bake.step("stop", instance::stop(bake, &aws, id, options)).await?;
        bake.step("attributes", instance::set_attributes(aws.ec2(), id, options))
            .await?;
        bake.step("replace", image::deregister_old(bake, aws.ec2(), options))
            .await?;
        let create = image::create(bake, &aws, &undo, id, options, &texts);
        let ami = bake.step("image", create).await?;

        // The instance is not needed any more once the AMI's snapshots are taken; it goes while the AMI is pending.
        let clean_up = self.clean_up_early(&aws, &ami.value, &instance.handle, &key_pair, &security_groups);
        let wait = async {
            tokio::try_join!(image::available(bake, &aws, &ami.value), async {
                clean_up.await;
                Ok(())
            })
        };
        let (image, ()) = bake.step("wait for the AMI", wait).await?;

        let finish = async {
            permissions::share(bake, aws.ec2(), &image, options).await?;
            image::tag_snapshots(bake, aws.ec2(), &image, &texts.snapshot_tags).await?;
            Ok(image::take_our_tags_off(aws.ec2(), &image).await?)
        };
        bake.step("share and tag", finish).await?;
        ami.handle.keep().await?;
        Ok(artifact::of(&aws, &ami.value, data))
    }

    /// Connects as soon as the instance has an address; it must also have become running, so that it can be stopped.
    async fn connect(
        &self,
        bake: &Bake,
        (aws, undo): (&Arc<Aws>, &Arc<dyn Undo>),
        id: &str,
        key_pair: &KeyPair,
        source: &Image,
    ) -> Result<(Arc<dyn Communicator>, BuildData, Option<Arc<SessionManager>>), BakeError> {
        let connect = async {
            let mut options: CommunicatorOptions = self.options.communicator.clone();
            let (address, password) = tokio::try_join!(
                async { address::find(aws, id, &self.options).await.map_err(BakeError::from) },
                password::fetch(
                    bake,
                    aws.ec2(),
                    id,
                    &options,
                    key_pair,
                    self.options.windows_password_timeout
                ),
            )?;
            options.ssh_port = options.ssh_port.or(address.ssh_port);
            let session = if self.options.by_session_manager() {
                Some(self.session_manager(bake, aws, undo, id).await?)
            } else {
                None
            };
            let target = Target {
                address: address.host,
                dial: session.clone().map(|session| session as Arc<dyn Dial>),
                private_key: key_pair.private_key.clone(),
                password,
                console: Some(Arc::new(InstanceConsole {
                    aws: Arc::clone(aws),
                    instance: id.to_owned(),
                })),
                ..Target::default()
            };
            let connected = connect(&target, &options, &bake.run, &bake.ui, bake.cancel.token()).await;
            let communicator = connected.map_err(BakeError::failed)?;
            Ok((communicator, connection_data(&target, &options), session))
        };
        let running = async { instance::running(bake, aws, id).await.map_err(BakeError::from) };
        let ((communicator, connection, session), ()) = tokio::try_join!(connect, running)?;
        let mut data = bake.data(id);
        data.extend(connection);
        data.extend(source_data(source, aws.region()));
        Ok((communicator, data, session))
    }

    /// The way through Session Manager, with a session that is there.
    async fn session_manager(
        &self,
        bake: &Bake,
        aws: &Arc<Aws>,
        undo: &Arc<dyn Undo>,
        id: &str,
    ) -> Result<Arc<SessionManager>, BakeError> {
        let pause = self.options.pause_before_ssm.map(GoDuration::to_std);
        if let Some(pause) = pause.filter(|pause| !pause.is_zero()) {
            bake.ui
                .say(format!("Pausing {} before the session...", GoDuration::from(pause)));
            bakelite_aws::watch::pause(pause).await;
        }
        let options = &self.options.communicator;
        SessionManager::reach(bake, aws, undo, id, options.port(), options.connect_timeout()).await
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
}

/// AWS, as the options and the environment say.
async fn reach(bake: &Bake, options: &Options) -> Result<Arc<Aws>, BakeError> {
    Ok(Aws::reach(&options.access, &bake.run.environment).await?)
}

/// Finds what must be there before anything is made: the source AMI, the network, and that the AMI's name is free.
async fn prepare(bake: &Bake, aws: &Aws, options: &Options) -> Result<(Image, Network), BakeError> {
    bake.ui.say("Looking for the source AMI and the network...");
    let ((), source, network) = tokio::try_join!(
        image::name_is_free(bake, aws.ec2(), options),
        async { Ok(source_ami::find(aws.ec2(), options).await?) },
        async { Ok(network::choose(aws.ec2(), options).await?) },
    )?;
    let (id, name) = (
        source.image_id().unwrap_or_default(),
        source.name().unwrap_or("no name"),
    );
    bake.ui.say(format!("Source AMI: {id} ({name})"));
    Ok((source, network))
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
const IMAGE_LIMIT: Duration = Duration::from_hours(6);
/// How long an instance may take to start or to stop.
const INSTANCE_LIMIT: Duration = Duration::from_mins(30);
