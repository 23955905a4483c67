//! The owner of what bakelite makes in AWS: finds a resource by its token where its id was lost, removes it, and finds by their tags
//! those that no journal knows of. How each kind is found and removed is in `resource/`.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bakelite_engine::error::{Error, Explain};
use bakelite_engine::undo::{LOCAL, Resource, Undo, UndoError, UndoMode};

use crate::access::AccessOptions;
use crate::call;
use crate::client::Aws;
use crate::credentials::{AccessError, Environment};
use crate::describe;
use crate::error::AwsError;
use crate::made;
use crate::resource::image::IMAGE;
use crate::resource::snapshot::SNAPSHOT;
use crate::resource::{By, KINDS, Kind, OWNER, RemoveError, Scope};
use crate::retry::{LOST_ANSWER, Tries};

/// Removes what bakelite made in AWS.
pub struct AwsUndo {
    reach: Reach,
}

/// The journal of another version names what this one cannot remove.
#[derive(Debug, thiserror::Error)]
#[error("kind `{0}` is not known to this version of bakelite")]
struct UnknownKind(String);

impl Explain for UnknownKind {
    fn help(&self) -> Option<Cow<'_, str>> {
        Some("run `gc` of the version that made it".into())
    }
}

enum Reach {
    /// The connection of the bake itself.
    Known(Arc<Aws>),
    /// What the resource's details hold, with the credentials of this environment.
    Environment(Arc<Environment>),
}

impl AwsUndo {
    /// For a bake: through the connection that made the resources.
    pub fn of(aws: &Arc<Aws>) -> Arc<dyn Undo> {
        Arc::new(Self {
            reach: Reach::Known(Arc::clone(aws)),
        })
    }

    /// For `gc`: region, endpoint and profile are in the resource's details; credentials come from the environment, as for a template
    /// without `access_key`. A resource of the local cloud is looked for at the endpoint of the environment.
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
                let is_local = resource.details.contains_key(LOCAL);
                let options = AccessOptions {
                    region: detail("region"),
                    profile: detail("profile"),
                    custom_endpoint_ec2: detail("endpoint").filter(|_| !is_local),
                    // The first call tells whether they are valid.
                    skip_credential_validation: true,
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

    fn progress(&self, resource: &Resource) -> Option<String> {
        let kind = KINDS.into_iter().find(|kind| kind.name == resource.kind)?;
        let (id, region) = (resource.id.as_ref()?, resource.details.get("region"));
        let home = match &self.reach {
            Reach::Known(aws) => Some(aws.region()),
            Reach::Environment(_) => None,
        };
        let elsewhere = region.filter(|region| home != Some(region.as_str()));
        let place = elsewhere.map(|region| format!(" in {region}")).unwrap_or_default();
        (!kind.removing.is_empty()).then(|| format!("{} {id}{place}...", kind.removing))
    }

    async fn undo(&self, resource: &Resource, mode: UndoMode) -> Result<(), UndoError> {
        let failed = |cause, again| UndoError {
            what: resource.describe_with_place(),
            cause,
            again,
        };
        let Some(kind) = KINDS.into_iter().find(|kind| kind.name == resource.kind) else {
            return Err(failed(UnknownKind(resource.kind.clone()).into(), None));
        };
        let aws = self.aws(resource).await.map_err(|error| failed(error.into(), None))?;
        let aws = aws.in_region(resource.details.get("region").map_or(aws.region(), String::as_str));
        let scope = Scope::new(&aws, mode, Some(resource));
        remove(kind, &scope, resource).await.map_err(|error| {
            let again = error.call().and_then(|error| error.class.retry());
            failed(error.into(), again)
        })
    }

    /// In the region of the environment; images and snapshots, which are copied, in every region that the account has enabled and that
    /// this caller may ask for.
    async fn sweep(&self, older_than: Duration) -> Result<Vec<Resource>, Error> {
        let aws = match &self.reach {
            Reach::Known(aws) => Arc::clone(aws),
            Reach::Environment(environment) => Aws::reach(&AccessOptions::default(), environment).await?,
        };
        let mut left = left_in(&aws, &KINDS, older_than).await?;
        let regions = describe::regions(aws.ec2()).await.unwrap_or_default();
        let others = regions.into_iter().filter(|region| region != aws.region());
        let others = others.map(|region| {
            let there = aws.in_region(&region);
            async move { left_in(&there, &COPIED, older_than).await }
        });
        for found in futures::future::join_all(others).await {
            left.extend(found?);
        }
        Ok(left)
    }
}

/// The kinds of what a bake makes outside its own region.
static COPIED: [&Kind; 2] = [&IMAGE, &SNAPSHOT];

/// What runs have left in a region.
async fn left_in(aws: &Arc<Aws>, kinds: &[&Kind], older_than: Duration) -> Result<Vec<Resource>, AwsError> {
    let scope = Scope::new(aws, UndoMode::Wait, None);
    let mut left = Vec::new();
    for kind in kinds {
        let found = (kind.find)(&scope, By::AnyRun).await?.into_iter();
        let old = found.filter(|found| found.age().is_some_and(|age| age >= older_than));
        left.extend(old.map(|found| found.resource(kind, aws)));
    }
    Ok(left)
}

async fn remove(kind: &Kind, scope: &Scope<'_>, resource: &Resource) -> Result<(), RemoveError> {
    let id = match (&resource.id, &resource.token) {
        (None, Some(token)) => find(kind, scope, token).await?,
        (id, _) => id.clone(),
    };
    let Some(id) = id else {
        return Ok(());
    };
    (kind.remove)(scope, &id).await?;
    made::forget(&id);
    Ok(())
}

/// The id of the resource with this token. A create call whose answer was lost may take effect a moment later, so a token that finds
/// nothing is looked for again.
async fn find(kind: &Kind, scope: &Scope<'_>, token: &str) -> Result<Option<String>, AwsError> {
    let mut tries = Tries::new();
    loop {
        let mut found = (kind.find)(scope, By::Token(token)).await?;
        if let Some(found) = found.pop() {
            return Ok(Some(found.id));
        }
        match tries.next(LOST_ANSWER) {
            Some(length) if scope.mode == UndoMode::Wait => call::pause(length).await,
            _ => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removals_name_what_goes_and_where_it_is() {
        let undo = AwsUndo::within(Arc::default());
        let of_kind = |kind: &str| Resource::new(OWNER, kind).detail("region", "eu-west-1");
        let with_id = |kind: &str, id: &str| Resource {
            id: Some(id.into()),
            ..of_kind(kind)
        };
        for (kind, id, line) in [
            ("image", "ami-1", "Deregistering AMI ami-1 in eu-west-1..."),
            (
                "instance",
                "i-1",
                "Terminating the source AWS instance i-1 in eu-west-1...",
            ),
            (
                "key-pair",
                "packer_1",
                "Deleting temporary keypair packer_1 in eu-west-1...",
            ),
        ] {
            assert_eq!(undo.progress(&with_id(kind, id)).as_deref(), Some(line));
        }
        // Its id is not known, so neither is whether it is there; and nobody knows sessions by their ids.
        assert_eq!(undo.progress(&of_kind("image")), None);
        assert_eq!(undo.progress(&with_id("session", "s-1")), None);
        assert_eq!(
            with_id("image", "ami-1").describe_with_place(),
            "image ami-1 in eu-west-1"
        );
    }
}
