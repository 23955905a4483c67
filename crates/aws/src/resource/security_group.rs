//! Security groups.

use super::kind::{By, Found, Kind, RemoveError, Scope, unless_gone};
use crate::call::once;
use crate::describe;
use crate::error::AwsError;

/// A security group.
pub static SECURITY_GROUP: Kind = Kind {
    name: "security-group",
    removing: "Deleting temporary security group",
    find: |scope, by| Box::pin(find(scope, by)),
    remove: |scope, id| Box::pin(remove(scope, id)),
};

async fn find(scope: &Scope<'_>, by: By<'_>) -> Result<Vec<Found>, AwsError> {
    let groups = describe::security_groups(scope.ec2(), vec![by.filter()]).await?;
    Ok(groups
        .into_iter()
        .filter_map(|group| Found::new(group.group_id, group.tags))
        .collect())
}

async fn remove(scope: &Scope<'_>, id: &str) -> Result<(), RemoveError> {
    let call = scope.ec2().delete_security_group().group_id(id).send();
    Ok(unless_gone(once("DeleteSecurityGroup", call).await)?)
}
