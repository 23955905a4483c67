//! The undo of everything that bakelite makes in AWS: which kinds there are, and how AWS is reached for a resource that another
//! process left behind. How each kind goes stands in `remove.rs`, how it is found without the journal in `sweep.rs`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bakelite_engine::clock::Backoff;
use bakelite_engine::error::Error;
use bakelite_engine::undo::{Patience, Resource, Undo, UndoError};

use crate::access::AccessOptions;
use crate::class::AwsError;
use crate::client::Aws;
use crate::credentials::{AccessError, Environment};
use crate::remove::{self, Removal};
use crate::watch::WaitError;

/// When a removal is tried again that may work later.
const AGAIN: Backoff = Backoff {
    limit: Duration::from_secs(90),
    first: Duration::from_millis(250),
    longest: Duration::from_secs(10),
};

/// The owner's name in the journal.
pub const OWNER: &str = "aws";

/// What bakelite makes in AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceKind {
    /// A session of Session Manager.
    Session,
    /// An instance, with the volumes that do not go with it.
    Instance,
    /// A key pair; its name is its id.
    KeyPair,
    /// A security group.
    SecurityGroup,
    /// A volume.
    Volume,
    /// An AMI, with its snapshots.
    Image,
    /// A snapshot.
    Snapshot,
}

impl ResourceKind {
    /// All of them, in the order in which they can be removed.
    pub const ALL: [ResourceKind; 7] = [
        ResourceKind::Session,
        ResourceKind::Instance,
        ResourceKind::Image,
        ResourceKind::Snapshot,
        ResourceKind::Volume,
        ResourceKind::SecurityGroup,
        ResourceKind::KeyPair,
    ];

    /// Its name in the journal and towards people.
    pub fn name(self) -> &'static str {
        match self {
            ResourceKind::Session => "session",
            ResourceKind::Instance => "instance",
            ResourceKind::KeyPair => "key-pair",
            ResourceKind::SecurityGroup => "security-group",
            ResourceKind::Volume => "volume",
            ResourceKind::Image => "image",
            ResourceKind::Snapshot => "snapshot",
        }
    }

    /// A resource of this kind that is about to be made. The token (a tag of its own, or its unique name) finds it when its id was lost.
    pub fn resource(self, aws: &Aws, token: &str) -> Resource {
        let mut resource = Resource::new(OWNER, self.name())
            .token(token)
            .detail("region", aws.region());
        for (name, value) in [
            ("endpoint", aws.endpoint()),
            ("profile", aws.profile()),
            ("local", aws.local()),
        ] {
            if let Some(value) = value {
                resource = resource.detail(name, value);
            }
        }
        resource
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Removes what bakelite made in AWS.
pub struct AwsUndo {
    reach: Reach,
}

enum Reach {
    /// The bake's own way.
    Known(Arc<Aws>),
    /// What the resource says, with the credentials of this environment.
    Environment(Arc<Environment>),
}

impl AwsUndo {
    /// For a bake: through the connection that made the resources.
    pub fn of(aws: &Arc<Aws>) -> Arc<dyn Undo> {
        Arc::new(Self {
            reach: Reach::Known(Arc::clone(aws)),
        })
    }

    /// For `gc`: the resource says region, endpoint and profile; credentials come from the environment, as for a template without
    /// `access_key`. A resource of the local cloud is looked for at the endpoint of the environment.
    pub fn within(environment: Arc<Environment>) -> Arc<dyn Undo> {
        Arc::new(Self {
            reach: Reach::Environment(environment),
        })
    }

    async fn aws(&self, resource: &Resource) -> Result<Arc<Aws>, AccessError> {
        match &self.reach {
            Reach::Known(aws) => Ok(Arc::clone(aws)),
            Reach::Environment(environment) => {
                let detail = |name| resource.details.get(name).cloned();
                let endpoint = if resource.details.contains_key("local") {
                    None
                } else {
                    detail("endpoint")
                };
                let options = AccessOptions {
                    region: detail("region"),
                    profile: detail("profile"),
                    custom_endpoint_ec2: endpoint,
                    ..AccessOptions::default()
                };
                Aws::reach(&options, environment).await
            }
        }
    }
}

#[async_trait]
impl Undo for AwsUndo {
    fn owner(&self) -> &'static str {
        OWNER
    }

    async fn undo(&self, resource: &Resource, patience: Patience) -> Result<(), UndoError> {
        let failed = |cause: Box<dyn std::error::Error + Send + Sync>, again: bool| UndoError {
            what: resource.describe(),
            cause: Error::failed(cause),
            again: again.then_some(AGAIN),
        };
        let Some(kind) = ResourceKind::ALL.into_iter().find(|kind| kind.name() == resource.kind) else {
            return Err(failed(
                format!("kind `{}` is not known to this version", resource.kind).into(),
                false,
            ));
        };
        let aws = self.aws(resource).await.map_err(|error| failed(error.into(), false))?;
        let region = resource.details.get("region").map_or(aws.region(), String::as_str);
        let ec2 = if region == aws.region() {
            aws.ec2().clone()
        } else {
            aws.ec2_in(region)
        };
        let id = resource.id.clone();
        let removal = Removal {
            aws: &aws,
            ec2,
            id,
            token: resource.token.as_deref(),
            patience,
            instance: resource.details.get(remove::INSTANCE).map(String::as_str),
        };
        remove::remove(kind, &removal).await.map_err(|error| {
            let again = error.may_work_later();
            failed(error.into(), again)
        })
    }
}

/// Why a resource of AWS could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// A call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// It did not go in time.
    #[error(transparent)]
    Wait(#[from] WaitError),
}

impl RemoveError {
    fn may_work_later(&self) -> bool {
        match self {
            RemoveError::Aws(error) | RemoveError::Wait(WaitError::Aws(error)) => error.is_transient(),
            RemoveError::Wait(_) => false,
        }
    }
}
