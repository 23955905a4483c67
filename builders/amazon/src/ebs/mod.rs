//! The amazon-ebs builder: an instance of the source AMI is launched, provisioned, stopped and made into an AMI.

mod address;
mod artifact;
mod bake;
mod blocks;
mod check;
mod image;
mod image_attributes;
mod instance;
mod options;
mod texts;

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_ec2::types::Image;
use bakelite_aws::client::Aws;
use bakelite_aws::undo::AwsUndo;
use bakelite_communicators::connect::{Target, connect};
use bakelite_communicators::connection_data::connection_data;
use bakelite_communicators::dial::Dial;
use bakelite_communicators::options::Kind;
use bakelite_communicators::ssh::authorized_keys::clear_authorized_keys;
use bakelite_engine::artifact::Artifact;
use bakelite_engine::bake::{Bake, BakeError, Handle};
use bakelite_engine::builder::Builder;
use bakelite_engine::clock::{Paused, pause};
use bakelite_engine::communicator::Communicator;
use bakelite_engine::error::Error;
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_hcl::diagnostic::Severity;
use bakelite_hcl::value::Value;
use bakelite_template::component::{Complaint, Component, ComponentKind, Yields};
use bakelite_template::decode::Decoded;
use bakelite_template::duration::GoDuration;
use bakelite_template::plan::BuildData;
use bakelite_template::schema::Schema;

use self::bake::Ebs;
use self::options::Options;
use self::texts::Texts;
use crate::cloud::Cloud;
use crate::console::InstanceConsole;
use crate::key_pair::{self, KeyPair};
use crate::security_group::{self, SecurityGroups};
use crate::session_manager::SessionManager;
use crate::source_ami::{self, Requirements};
use crate::{network, password};

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
    let requirements = Requirements {
        virtualization: options.ami_virtualization_type,
        enhanced_networking: options.ena_support == Some(true) || options.sriov_support,
    };
    let ((), source, network) = tokio::try_join!(
        image::name_is_free(&cloud, options),
        async { Ok(source_ami::find(cloud.ec2(), &options.source, &requirements).await?) },
        async { Ok(network::choose(cloud.ec2(), &options.network).await?) },
    )?;
    let (id, name) = (
        source.image_id().unwrap_or_default(),
        source.name().unwrap_or("no name"),
    );
    cloud.say(format!("Source AMI: {id} ({name})"));
    let texts = Texts::render(options, &cloud.bake.rendering, &source, cloud.aws.region())?;
    Ok(Ebs {
        cloud,
        options,
        source,
        network,
        texts,
    })
}

impl Ebs<'_> {
    /// The story of a bake, from the key pair to the AMI.
    async fn make_ami(&self) -> Result<Artifact, BakeError> {
        let Self {
            cloud, options, texts, ..
        } = self;
        let bake = cloud.bake;
        let access = async {
            let port = options.open_port();
            let (tags, groups) = (&texts.run_tags, &options.security_groups);
            tokio::try_join!(
                key_pair::make(cloud, &options.communicator, tags),
                security_group::make(cloud, groups, &self.network, port, tags),
            )
        };
        let (key_pair, security_groups) = bake.step("key pair and security group", access).await?;
        let launch = self.launch(&security_groups.ids, key_pair.name.as_deref());
        let instance = bake.step("launch", launch).await?;
        let id = instance.value.as_str();

        let connection = bake.step("connect", self.connect(id, &key_pair)).await?;
        let Connection {
            communicator,
            data,
            session,
        } = connection;
        let provision = bake.provision(Arc::clone(&communicator), data.clone());
        bake.step("provision", provision).await?;
        self.clear_keys(communicator.as_ref(), &key_pair).await;
        communicator.close().await;
        if let Some(session) = session {
            session.close().await;
        }
        if options.skip_create_ami {
            cloud.say("Skipping AMI creation (skip_create_ami)");
            return Ok(artifact::none(data));
        }

        bake.step("stop", self.stop(id)).await?;
        bake.step("attributes", self.set_attributes(id)).await?;
        bake.step("replace", image::deregister_old(cloud, options)).await?;
        let ami = bake.step("image", self.create_image(id)).await?;

        // The instance is not needed any more once the AMI's snapshots are taken; it goes while the AMI is pending.
        let clean_up = self.clean_up_early(&ami.value, &instance.handle, &key_pair, &security_groups);
        let wait = async {
            tokio::try_join!(image::available(cloud, &ami.value), async {
                clean_up.await;
                Ok(())
            })
        };
        let (image, ()) = bake.step("wait for the AMI", wait).await?;

        let finish = async {
            self.set_image_attributes(&image).await?;
            image::tag_snapshots(cloud, &image, &texts.snapshot_tags).await?;
            Ok(image::remove_temporary_tags(cloud.ec2(), &image).await?)
        };
        bake.step("share and tag", finish).await?;
        ami.handle.keep().await?;
        Ok(artifact::of(&cloud.aws, &ami.value, data))
    }

    /// Connects as soon as the instance has an address; it must also have become running, so that it can be stopped.
    async fn connect(&self, id: &str, key_pair: &KeyPair) -> Result<Connection, BakeError> {
        let Self { cloud, options, .. } = self;
        let bake = cloud.bake;
        let connect = async {
            let mut communicator = options.communicator.clone();
            let timeout = options.windows_password_timeout;
            let (address, password) = tokio::try_join!(
                async { Ok(address::find(&cloud.aws, id, options).await?) },
                password::fetch(cloud, id, &communicator, key_pair, timeout),
            )?;
            communicator.ssh_port = communicator.ssh_port.or(address.ssh_port);
            let session = if options.by_session_manager() {
                Some(self.session_manager(id).await?)
            } else {
                None
            };
            let target = Target {
                address: address.host,
                dial: session.clone().map(|session| session as Arc<dyn Dial>),
                private_key: key_pair.private_key.clone(),
                password,
                console: Some(Arc::new(InstanceConsole {
                    aws: Arc::clone(&cloud.aws),
                    instance: id.to_owned(),
                })),
                ..Target::default()
            };
            let cancel = bake.cancel.token();
            let connected = connect(&target, &communicator, &bake.run, &bake.ui, cancel).await;
            let data = connection_data(&target, &communicator);
            Ok((connected?, data, session))
        };
        let running = async { Ok::<_, BakeError>(instance::running(cloud, id).await?) };
        let ((communicator, connection, session), ()) = tokio::try_join!(connect, running)?;
        let mut data = bake.data(id);
        data.extend(connection);
        data.extend(source_data(&self.source, cloud.aws.region()));
        Ok(Connection {
            communicator,
            data,
            session,
        })
    }

    /// The connection through Session Manager, with a session that is there.
    async fn session_manager(&self, id: &str) -> Result<Arc<SessionManager>, BakeError> {
        let wait = self.options.pause_before_ssm.map(GoDuration::to_std);
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            let shown = GoDuration::from(wait);
            self.cloud.say(format!("Pausing {shown} before the session..."));
            if pause(wait, self.cloud.bake.cancel.token()).await == Paused::Cancelled {
                return Err(Error::cancelled());
            }
        }
        let options = &self.options.communicator;
        SessionManager::reach(&self.cloud, id, options.port(), options.connect_timeout()).await
    }

    /// Removes the temporary key from the image. A failure is a warning and does not fail the bake.
    async fn clear_keys(&self, communicator: &dyn Communicator, key_pair: &KeyPair) {
        let (ui, options) = (&self.cloud.bake.ui, &self.options.communicator);
        let name = key_pair.handle.as_ref().and(key_pair.name.as_deref());
        let (true, Some(name), Some(Kind::Ssh)) = (options.ssh_clear_authorized_keys, name, options.kind()) else {
            return;
        };
        ui.say("Removing the temporary key from the authorized keys...");
        if let Err(error) = clear_authorized_keys(communicator, name, ui).await {
            let why = bakelite_engine::chain_of(&error);
            ui.warn(format!("the temporary key stays in the image: {why}"));
        }
    }

    /// Undoes what the AMI does not need any more. What fails now is undone at the end of the bake, with a report.
    async fn clean_up_early(&self, ami: &str, instance: &Handle, key_pair: &KeyPair, security_groups: &SecurityGroups) {
        let machine = async {
            if image::snapshots_taken(&self.cloud.aws, ami).await.is_err() || instance.destroy().await.is_err() {
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

/// A connection to the instance.
struct Connection {
    communicator: Arc<dyn Communicator>,
    data: BuildData,
    session: Option<Arc<SessionManager>>,
}

/// The values of `build.*` about the source AMI.
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
