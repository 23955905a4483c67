//! The connection to the instance, and what is known of it then.

use std::sync::Arc;

use aws_sdk_ec2::types::Image;
use bakelite_communicators::connect::{self, Target, connect};
use bakelite_communicators::connection_data::connection_data;
use bakelite_communicators::dial::Dial;
use bakelite_communicators::options::Kind;
use bakelite_communicators::ssh::authorized_keys::clear_authorized_keys;
use bakelite_engine::bake::BakeError;
use bakelite_engine::clock::{Paused, pause};
use bakelite_engine::communicator::Communicator;
use bakelite_engine::error::Error;
use bakelite_hcl::value::Value;
use bakelite_template::duration::GoDuration;
use bakelite_template::plan::BuildData;

use super::console::InstanceConsole;
use super::key_pair::KeyPair;
use super::launch::Launch;
use super::session_manager::{Login, SessionManager};
use super::{address, instance, password};

/// The values of `build.*` about the source AMI, in the order in which `inspect` and validation know them.
pub(crate) const BUILD_DATA: &[&str] = &[
    "SourceAMIName",
    "BuildRegion",
    "SourceAMI",
    "SourceAMICreationDate",
    "SourceAMIOwner",
    "SourceAMIOwnerName",
];

impl Launch<'_> {
    /// Connects as soon as the instance has an address; it must also have become running, so that it can be stopped.
    pub(crate) async fn connect(&self, id: &str, key_pair: &KeyPair) -> Result<Connection, BakeError> {
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
        let login = match connect::public_key(options, &self.cloud.bake.run).await? {
            Some(public_key) if options.ssh_keypair_name.is_none() => Some(Login {
                user: options.username().to_owned(),
                public_key,
            }),
            _ => None,
        };
        SessionManager::reach(&self.cloud, id, options.port(), options.connect_timeout(), login).await
    }

    /// Removes the temporary key from the image. A failure is a warning and does not fail the bake.
    pub(crate) async fn clear_keys(&self, communicator: &dyn Communicator, key_pair: &KeyPair) {
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
}

/// A connection to the instance.
pub(crate) struct Connection {
    pub(crate) communicator: Arc<dyn Communicator>,
    pub(crate) data: BuildData,
    pub(crate) session: Option<Arc<SessionManager>>,
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
