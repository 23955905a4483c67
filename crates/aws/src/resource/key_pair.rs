//! Key pairs.

use super::kind::{By, Found, Kind, RemoveError, Scope, unless_gone};
use crate::call::once;
use crate::error::AwsError;

/// A key pair; its name is its id. One without an id is found by its tag, never by its name: a pair of that name may be the user's own.
pub static KEY_PAIR: Kind = Kind {
    name: "key-pair",
    removing: "Deleting temporary keypair",
    find: |scope, by| Box::pin(find(scope, by)),
    remove: |scope, id| Box::pin(remove(scope, id)),
};

/// EC2 answers all key pairs in one page.
async fn find(scope: &Scope<'_>, by: By<'_>) -> Result<Vec<Found>, AwsError> {
    let call = scope.ec2().describe_key_pairs().filters(by.filter()).send();
    let pairs = once("DescribeKeyPairs", call).await?.key_pairs.unwrap_or_default();
    Ok(pairs
        .into_iter()
        .filter_map(|pair| Found::new(pair.key_name, pair.tags))
        .collect())
}

async fn remove(scope: &Scope<'_>, id: &str) -> Result<(), RemoveError> {
    let call = scope.ec2().delete_key_pair().key_name(id).send();
    Ok(unless_gone(once("DeleteKeyPair", call).await)?)
}
