//! Sessions of Session Manager.

use super::kind::{By, Found, Kind, RemoveError, Scope};
use crate::error::AwsError;
use crate::ssm;

/// A session. It has no tags: the token of its [`Resource`](bakelite_engine::undo::Resource) is its reason.
pub static SESSION: Kind = Kind {
    name: "session",
    removing: "",
    find: |scope, by| Box::pin(find(scope, by)),
    remove: |scope, id| Box::pin(remove(scope, id)),
};

/// The detail of a session that holds the id of its instance.
pub const INSTANCE: &str = "instance";

/// A sweep finds none: a session ends with its instance.
async fn find(scope: &Scope<'_>, by: By<'_>) -> Result<Vec<Found>, AwsError> {
    let instance = scope.resource.and_then(|resource| resource.details.get(INSTANCE));
    let (By::Token(token), Some(instance)) = (by, instance) else {
        return Ok(Vec::new());
    };
    match ssm::find(scope.aws.ssm(), instance, token).await {
        // Whoever may start and terminate sessions may not always list them. A session ends with its instance, which is temporary, too,
        // and comes before it in the list of what is removed.
        Err(error) if error.is_denied() => Ok(Vec::new()),
        found => Ok(found?.into_iter().filter_map(|id| Found::new(Some(id), None)).collect()),
    }
}

async fn remove(scope: &Scope<'_>, id: &str) -> Result<(), RemoveError> {
    Ok(ssm::terminate(scope.aws.ssm(), id).await?)
}
